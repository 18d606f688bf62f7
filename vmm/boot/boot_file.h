// Files that a user names for the start of a guest, before anything about them is known to be sane:
// regular files only, their size known before a byte is read, and no more host memory used than
// whoever reads allows.
#ifndef TRAPLINE_VMM_BOOT_BOOT_FILE_H_
#define TRAPLINE_VMM_BOOT_BOOT_FILE_H_

#include <cstdint>
#include <ctime>
#include <map>
#include <string>

#include "vmm/config/result.h"

namespace trapline {

// Private bytes of the host that take memory only where they were written, in huge pages if there
// are enough of them.
class Bytes {
 public:
  Bytes() = default;
  ~Bytes();
  Bytes(Bytes&& other) noexcept;
  Bytes& operator=(Bytes&& other) noexcept;

  // `size` bytes of zero; a reservation, not yet memory.
  static Result<Bytes> reserve(uint64_t size);
  // Gives back what lies behind `size`.
  void shrink(uint64_t size);

  // Bytes from data() on that are whole pages of their own, with zeroes behind size(): they can be
  // moved elsewhere.
  uint64_t movable() const { return mapped_; }
  // All of those are somebody else's now.
  void moved() { data_ = nullptr, size_ = mapped_ = 0; }

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0, mapped_ = 0;
};

// A file opened for reading, or what was unpacked from one. Every error names the path.
class BootFile {
 public:
  // Refuses what is no regular file (without waiting for a FIFO's writer) and an empty one.
  static Result<BootFile> open(const std::string& path);
  BootFile(std::string path, Bytes content);
  ~BootFile();
  BootFile(BootFile&& other) noexcept;
  BootFile& operator=(BootFile&& other) noexcept;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  // bytes, when opened

  // All of [offset, offset + size), which must lie below size(). An error text (the file may have
  // been cut off meanwhile); empty on success.
  std::string read(uint64_t offset, void* out, uint64_t size) const;
  Result<Bytes> read(uint64_t offset, uint64_t size) const;
  // The whole content; of an unpacked file without a copy. The file is used up.
  Result<Bytes> take();

 private:
  friend class BootFiles;
  BootFile() = default;
  // Of an open file, which is the result's, or (`borrowed`) somebody else's who outlives it.
  static Result<BootFile> of(int fd, const std::string& path, bool borrowed = false);

  std::string path_;
  int fd_ = -1;  // -1: all in content_
  bool borrowed_ = false;
  uint64_t size_ = 0;
  Bytes content_;
};

// The files that a machine boots from, open as long as it may boot again: from what they hold then,
// whatever became of their names.
class BootFiles {
 public:
  // As BootFile::open(), at the first time; then the same file. This object outlives the result.
  Result<BootFile> open(const std::string& path);
  // Of those opened once more the first that was written to in between; empty: none.
  const std::string& changed() const { return changed_; }

 private:
  struct Known {
    BootFile file;
    uint64_t size;
    timespec written;
  };
  std::map<std::string, Known> open_;
  std::string changed_;
};

// A file of at most `limit` bytes; `holder` is what holds no more: "the flash".
Result<BootFile> open_limited(const std::string& path, uint64_t limit, const std::string& holder);

}  // namespace trapline

#endif  // TRAPLINE_VMM_BOOT_BOOT_FILE_H_
