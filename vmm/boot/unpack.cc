#include "vmm/boot/unpack.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "vmm/config/size.h"

namespace trapline {
namespace {

// The header of an EFI zboot file.
struct ZbootHeader {
  uint8_t mz[4];    // "MZ\0\0"
  uint8_t zimg[4];  // "zimg"
  uint32_t payload_offset;
  uint32_t payload_size;
  uint8_t reserved[8];
  char compression[32];  // "gzip", "zstd22", ... with zeroes behind
  uint8_t linux_magic[4];
  uint32_t pe_offset;
};
static_assert(sizeof(ZbootHeader) == kMagicBytes);

Error too_large(const std::string& path) {
  return Error{path + ": larger than the guest's memory when unpacked (--memory)"};
}

Result<BootFile> finish(const std::string& path, Bytes out, uint64_t size) {
  if (size == 0) return Error{path + ": is empty when unpacked"};
  out.shrink(size);
  return BootFile(path, std::move(out));
}

// One gzip member; what follows it is ignored.
Result<BootFile> inflate_gzip(const std::string& path, const Bytes& in, uint64_t limit) {
  auto out = Bytes::reserve(limit + 1);  // one more, to see that it is too large
  if (!out) return Error{path + ": " + out.error()};
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return Error{path + ": zlib cannot start"};
  stream.next_in = const_cast<Bytef*>(in.data());
  stream.next_out = out->data();
  uint64_t fed = 0, given = 0;
  int status = Z_OK;
  // zlib counts in 32 bits.
  constexpr uint64_t kMostAtOnce = uint64_t{1} << 30;
  while (status == Z_OK) {
    if (stream.avail_in == 0) {
      stream.avail_in = static_cast<uInt>(std::min(kMostAtOnce, in.size() - fed));
      fed += stream.avail_in;
    }
    if (stream.avail_out == 0) {
      stream.avail_out = static_cast<uInt>(std::min(kMostAtOnce, out->size() - given));
      given += stream.avail_out;
    }
    status = inflate(&stream, Z_NO_FLUSH);  // Z_BUF_ERROR: no input left, or no room
  }
  const uint64_t size = given - stream.avail_out;
  inflateEnd(&stream);
  if (size > limit) return too_large(path);
  if (status != Z_STREAM_END) return Error{path + ": damaged or truncated gzip data"};
  return finish(path, std::move(*out), size);
}

// One zstd frame; what follows it (zboot appends the size) is ignored. In one go into the output,
// so that the frame's window takes no memory besides.
Result<BootFile> inflate_zstd(const std::string& path, const Bytes& in, uint64_t limit) {
  const Error damaged{path + ": damaged or truncated zstd data"};
  const size_t frame = ZSTD_findFrameCompressedSize(in.data(), in.size());
  if (ZSTD_isError(frame) != 0) return damaged;
  const unsigned long long claimed = ZSTD_getFrameContentSize(in.data(), frame);
  if (claimed == ZSTD_CONTENTSIZE_ERROR) return damaged;
  const bool known = claimed != ZSTD_CONTENTSIZE_UNKNOWN;
  if (known && claimed > limit) return too_large(path);
  auto out = Bytes::reserve(known ? std::max<uint64_t>(claimed, 1) : limit);
  if (!out) return Error{path + ": " + out.error()};
  const size_t size = ZSTD_decompress(out->data(), out->size(), in.data(), frame);
  if (ZSTD_isError(size) != 0) {
    const bool room = ZSTD_getErrorCode(size) != ZSTD_error_dstSize_tooSmall;
    return room || known ? damaged : too_large(path);
  }
  return finish(path, std::move(*out), size);
}

}  // namespace

bool is_gzip(const uint8_t (&head)[kMagicBytes]) {
  // RFC 1952: method 8 (deflate), and the upper three flags are zero.
  return head[0] == 0x1f && head[1] == 0x8b && head[2] == 8 && (head[3] & 0xe0) == 0;
}

bool is_zboot(const uint8_t (&head)[kMagicBytes]) {
  return std::memcmp(head, "MZ\0\0zimg", 8) == 0;
}

Result<BootFile> unpack_gzip(const BootFile& file, uint64_t limit) {
  if (file.size() > limit) {
    return Error{file.path() + ": compressed, it alone needs " + needs_but_has(file.size(), limit) +
                 " (--memory)"};
  }
  auto in = file.read(0, file.size());
  if (!in) return Error{in.error()};
  return inflate_gzip(file.path(), *in, limit);
}

Result<BootFile> unpack_zboot(const BootFile& file, uint64_t limit) {
  ZbootHeader header;
  if (std::string error = file.read(0, &header, sizeof header); !error.empty()) {
    return Error{error};
  }
  std::string compression(header.compression,
                          strnlen(header.compression, sizeof header.compression));
  const bool gzip = compression == "gzip";
  if (!gzip && !compression.starts_with("zstd")) {
    for (char& c : compression) {
      if (c < ' ' || c > '~') c = '?';
    }
    return Error{
        fmt::format("{}: EFI zboot kernel compressed with '{}': only gzip and zstd are "
                    "unpacked; firmware can start it (--firmware)",
                    file.path(), compression)};
  }
  if (header.payload_offset > file.size() ||
      header.payload_size > file.size() - header.payload_offset) {
    return Error{file.path() + ": truncated EFI zboot kernel"};
  }
  if (header.payload_size > limit) {
    return Error{file.path() + ": compressed, it alone needs " +
                 needs_but_has(header.payload_size, limit) + " (--memory)"};
  }
  auto in = file.read(header.payload_offset, header.payload_size);
  if (!in) return Error{in.error()};
  return gzip ? inflate_gzip(file.path(), *in, limit) : inflate_zstd(file.path(), *in, limit);
}

}  // namespace trapline
