#include "vmm/display/picture.h"

#include <zlib.h>

#include <cstring>
#include <string_view>

namespace trapline {
namespace {

void append_big(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

// RFC 2083, 3.2: length, type, data, and the CRC of the latter two.
void append_chunk(std::string& out, std::string_view type, std::string_view data) {
  append_big(out, static_cast<uint32_t>(data.size()));
  const size_t begin = out.size();
  out += type;
  out += data;
  const auto* const bytes = reinterpret_cast<const Bytef*>(out.data() + begin);
  append_big(out, static_cast<uint32_t>(crc32(0, bytes, static_cast<uInt>(out.size() - begin))));
}

// Each row behind its filter's number, 0: none.
std::string rows_of(const Picture& picture) {
  std::string rows;
  rows.reserve((size_t{picture.width} * 3 + 1) * picture.height);
  for (size_t i = 0; i < picture.pixels.size(); ++i) {
    if (i % picture.width == 0) rows.push_back(0);
    const uint32_t pixel = picture.pixels[i];
    for (const int shift : {16, 8, 0}) rows.push_back(static_cast<char>(pixel >> shift));
  }
  return rows;
}

}  // namespace

Picture take_picture(const Ramfb::Surface& s) {
  Picture picture{s.width, s.height, std::vector<uint32_t>(size_t{s.width} * s.height)};
  for (uint32_t y = 0; y < s.height; ++y) {
    std::memcpy(picture.pixels.data() + size_t{y} * s.width, s.host + size_t{y} * s.stride,
                size_t{s.width} * sizeof(uint32_t));
  }
  return picture;
}

std::string png(const Picture& picture) {
  const std::string rows = rows_of(picture);
  uLongf size = compressBound(rows.size());
  std::string data(size, 0);
  if (compress2(reinterpret_cast<Bytef*>(data.data()), &size,
                reinterpret_cast<const Bytef*>(rows.data()), rows.size(), Z_BEST_SPEED) != Z_OK) {
    return {};
  }
  data.resize(size);
  std::string header;
  append_big(header, picture.width);
  append_big(header, picture.height);
  header += std::string_view("\x08\x02\0\0\0", 5);  // 8 bits a sample, RGB, not interlaced
  std::string out = "\x89PNG\r\n\x1a\n";
  append_chunk(out, "IHDR", header);
  append_chunk(out, "IDAT", data);
  append_chunk(out, "IEND", {});
  return out;
}

}  // namespace trapline
