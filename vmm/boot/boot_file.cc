#include "vmm/boot/boot_file.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "vmm/host/later_files.h"

namespace trapline {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;

// From the size of a huge page on those.
uint64_t whole_pages(uint64_t size) {
  const uint64_t page =
      size >= kHugePage ? kHugePage : static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return (size + page - 1) / page * page;
}

}  // namespace

// --- bytes ---------------------------------------------------------------------------------------

Bytes::~Bytes() {
  if (data_ != nullptr) munmap(data_, mapped_);
}

Bytes::Bytes(Bytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, 0)) {}

Bytes& Bytes::operator=(Bytes&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_, other.mapped_);
  return *this;
}

Result<Bytes> Bytes::reserve(uint64_t size) {
  Bytes bytes;
  if (size == 0) return bytes;
  bytes.mapped_ = whole_pages(size);
  // Aligned as guest memory is: huge pages then stay whole where they are moved.
  const uint64_t spare = bytes.mapped_ >= kHugePage ? kHugePage : 0;
  void* raw = mmap(nullptr, bytes.mapped_ + spare, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) {
    return Error{fmt::format("cannot reserve {} bytes: {}", size, std::strerror(errno))};
  }
  auto* at = static_cast<uint8_t*>(raw);
  if (spare != 0) {
    const uint64_t before = -reinterpret_cast<uintptr_t>(at) % kHugePage;
    if (before != 0) munmap(at, before);
    if (before != spare) munmap(at + before + bytes.mapped_, spare - before);
    at += before;
    madvise(at, bytes.mapped_, MADV_HUGEPAGE);
  }
  bytes.data_ = at;
  bytes.size_ = size;
  return bytes;
}

void Bytes::shrink(uint64_t size) {
  const uint64_t keep = whole_pages(std::max<uint64_t>(size, 1));
  if (keep < mapped_) {
    munmap(data_ + keep, mapped_ - keep);
    mapped_ = keep;
  }
  size_ = std::min(size_, size);
}

// --- files ---------------------------------------------------------------------------------------

Result<BootFile> BootFile::open(const std::string& path) { return of(open_input(path), path); }

Result<BootFile> BootFile::of(int fd, const std::string& path, bool borrowed) {
  BootFile file;
  file.path_ = path;
  file.fd_ = fd;
  file.borrowed_ = borrowed;
  struct stat info {};
  if (file.fd_ < 0 || fstat(file.fd_, &info) != 0) return Error{path + ": " + std::strerror(errno)};
  if (S_ISDIR(info.st_mode)) return Error{path + ": is a directory"};
  if (!S_ISREG(info.st_mode)) return Error{path + ": not a regular file"};
  if (info.st_size <= 0) return Error{path + ": is empty"};
  file.size_ = static_cast<uint64_t>(info.st_size);
  return file;
}

BootFile::BootFile(std::string path, Bytes content)
    : path_(std::move(path)), size_(content.size()), content_(std::move(content)) {}

BootFile::~BootFile() {
  if (fd_ >= 0 && !borrowed_) close(fd_);
}

BootFile::BootFile(BootFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      borrowed_(other.borrowed_),
      size_(other.size_),
      content_(std::move(other.content_)) {}

BootFile& BootFile::operator=(BootFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(borrowed_, other.borrowed_);
  std::swap(size_, other.size_);
  std::swap(content_, other.content_);
  return *this;
}

std::string BootFile::read(uint64_t offset, void* out, uint64_t size) const {
  if (offset > size_ || size > size_ - offset) return path_ + ": truncated";
  if (fd_ < 0) {
    if (size != 0) std::memcpy(out, content_.data() + offset, size);
    return {};
  }
  auto* to = static_cast<uint8_t*>(out);
  while (size != 0) {
    const ssize_t got = pread(fd_, to, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return path_ + ": cannot read: " + std::strerror(errno);
    if (got == 0) return path_ + ": truncated: it ends before the size that it had when opened";
    to += got;
    offset += static_cast<uint64_t>(got);
    size -= static_cast<uint64_t>(got);
  }
  return {};
}

Result<Bytes> BootFile::read(uint64_t offset, uint64_t size) const {
  auto bytes = Bytes::reserve(size);
  if (!bytes) return Error{path_ + ": " + bytes.error()};
  if (std::string error = read(offset, bytes->data(), size); !error.empty()) return Error{error};
  return bytes;
}

Result<Bytes> BootFile::take() {
  if (fd_ < 0) return std::move(content_);
  return read(0, size_);
}

Result<BootFile> BootFiles::open(const std::string& path) {
  auto entry = open_.find(path);
  if (entry == open_.end()) {
    auto file = BootFile::open(path);
    if (!file) return file;
    struct stat info {};
    fstat(file->fd_, &info);
    const uint64_t size = file->size_;
    entry = open_.emplace(path, Known{std::move(*file), size, info.st_mtim}).first;
    return BootFile::of(entry->second.file.fd_, path, true);
  }
  const Known& known = entry->second;
  auto file = BootFile::of(known.file.fd_, path, true);
  struct stat info {};
  if (file && fstat(file->fd_, &info) == 0 && changed_.empty() &&
      (file->size_ != known.size || info.st_mtim.tv_sec != known.written.tv_sec ||
       info.st_mtim.tv_nsec != known.written.tv_nsec)) {
    changed_ = path;
  }
  return file;
}

Result<BootFile> open_limited(const std::string& path, uint64_t limit, const std::string& holder) {
  auto file = BootFile::open(path);
  if (file && file->size() > limit) {
    return Error{fmt::format("{}: {} bytes, but {} holds {}", path, file->size(), holder, limit)};
  }
  return file;
}

}  // namespace trapline
