#include "vmm/symbols/kernel_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace trapline {
namespace {

constexpr size_t kMostUnpacked = size_t{1} << 30;
constexpr size_t kStep = size_t{4} << 20;

const char* const kTooLarge = "is larger than 1 GiB when unpacked";

bool starts_with(std::span<const uint8_t> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// Room for another step; false: it has grown too large.
bool grow(std::vector<uint8_t>& out, size_t used) {
  if (used >= kMostUnpacked) return false;
  if (out.capacity() < used + kStep)
    out.reserve(std::min(2 * (used + kStep), kMostUnpacked + kStep));
  out.resize(used + kStep);
  return true;
}

Result<bool> inflate_all(std::span<const uint8_t> in, std::vector<uint8_t>& out) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return Error{"zlib cannot start"};
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  size_t used = 0;
  for (int status = Z_OK; status != Z_STREAM_END;) {
    if (stream.avail_in == 0) {
      stream.next_in = const_cast<Bytef*>(in.data());
      stream.avail_in = static_cast<uInt>(std::min(in.size(), kStep));
      in = in.subspan(stream.avail_in);
    }
    if (!grow(out, used)) return Error{kTooLarge};
    stream.next_out = out.data() + used;
    stream.avail_out = kStep;
    status = inflate(&stream, Z_NO_FLUSH);
    used += kStep - stream.avail_out;
    if (status != Z_OK && status != Z_STREAM_END)
      return Error{"has damaged or truncated gzip data"};
  }
  out.resize(used);
  return true;
}

Result<bool> unzstd_all(std::span<const uint8_t> bytes, std::vector<uint8_t>& out) {
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                        ZSTD_freeDStream);
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  size_t used = 0;
  for (size_t left = 1; left != 0;) {
    if (!grow(out, used)) return Error{kTooLarge};
    ZSTD_outBuffer step{out.data() + used, kStep, 0};
    const size_t before = in.pos;
    left = ZSTD_decompressStream(stream.get(), &step, &in);
    used += step.pos;
    const bool stuck = left != 0 && step.pos == 0 && in.pos == before;
    if (ZSTD_isError(left) != 0 || stuck) return Error{"has damaged or truncated zstd data"};
  }
  out.resize(used);
  return true;
}

Result<bool> read_all(int fd, std::vector<uint8_t>& out) {
  size_t used = 0;
  for (;;) {
    if (!grow(out, used)) return Error{"is larger than 1 GiB"};
    const ssize_t got = read(fd, out.data() + used, kStep);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{std::string("cannot be read: ") + std::strerror(errno)};
    used += static_cast<size_t>(got);
    if (got == 0) break;
  }
  out.resize(used);
  return true;
}

}  // namespace

Result<bool> unpack(std::span<const uint8_t> in, std::vector<uint8_t>& out) {
  // EFI zboot: payload's offset and size at 8, compression's name at 24.
  if (starts_with(in, std::string_view("MZ\0\0zimg", 8)) && in.size() >= 64) {
    uint32_t place[2];
    std::memcpy(place, in.data() + 8, sizeof place);
    if (place[0] > in.size() || place[1] > in.size() - place[0]) {
      return Error{"is a truncated EFI zboot kernel"};
    }
    const auto name = in.subspan(24, 32);
    const auto payload = in.subspan(place[0], place[1]);
    if (starts_with(name, "gzip")) return inflate_all(payload, out);
    if (starts_with(name, "zstd")) return unzstd_all(payload, out);
    return Error{"is an EFI zboot kernel compressed with neither gzip nor zstd"};
  }
  if (starts_with(in, "\x1f\x8b\x08")) return inflate_all(in, out);
  if (starts_with(in, "\x28\xb5\x2f\xfd")) return unzstd_all(in, out);
  return false;
}

Result<KernelFile> KernelFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Error{path + ": " + std::strerror(errno)};
  const auto close_fd = [](const int* f) { ::close(*f); };
  const std::unique_ptr<const int, decltype(close_fd)> closer(&fd, close_fd);
  struct stat status {};
  fstat(fd, &status);
  if (S_ISDIR(status.st_mode)) return Error{path + ": is a folder"};
  KernelFile file;
  // A pipe, and what says that it is empty although it is not (/proc), is read.
  if (S_ISREG(status.st_mode) && status.st_size > 0) {
    const auto size = static_cast<size_t>(status.st_size);
    void* memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED) return Error{path + ": " + std::strerror(errno)};
    file.mapped_ = {static_cast<const uint8_t*>(memory), size};
    file.bytes_ = file.mapped_;
  } else {
    if (auto read = read_all(fd, file.unpacked_); !read) return Error{path + ": " + read.error()};
    file.bytes_ = file.unpacked_;
  }
  std::vector<uint8_t> out;
  const auto compressed = unpack(file.bytes_, out);
  if (!compressed) return Error{path + ": " + compressed.error()};
  if (!out.empty()) {
    file.unpacked_ = std::move(out);
    file.bytes_ = file.unpacked_;
  }
  return file;
}

KernelFile::KernelFile(KernelFile&& other) noexcept
    : unpacked_(std::move(other.unpacked_)),
      mapped_(std::exchange(other.mapped_, {})),
      bytes_(std::exchange(other.bytes_, {})) {}

KernelFile::~KernelFile() {
  if (!mapped_.empty()) munmap(const_cast<uint8_t*>(mapped_.data()), mapped_.size());
}

}  // namespace trapline
