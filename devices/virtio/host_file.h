// Files of the host that hold a guest's data: opened and locked once, errors as text.
#ifndef TRAPLINE_DEVICES_VIRTIO_HOST_FILE_H_
#define TRAPLINE_DEVICES_VIRTIO_HOST_FILE_H_

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <utility>

namespace trapline {

class HostFile {
 public:
  struct Options {
    bool read_only = false;
    bool create = false;  // an empty file where there is none
  };

  HostFile() = default;
  ~HostFile();
  HostFile(HostFile&& other) noexcept;
  HostFile& operator=(HostFile&& other) noexcept;

  // Opens a regular file or block device. Writers lock it exclusively, readers shared, by an
  // open-file-description lock, which also excludes QEMU's: one image has one writer, on all VMs of
  // this host, and no readers besides. Waits up to 1 s for a lock. A file that this process has
  // open already, by whatever name, is told from one that another holds. Returns an error text that
  // names the file; empty on success.
  std::string open(const std::string& path, const Options& options);

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  // bytes, when opened
  // The same for two objects if and only if they are the same file, by whatever name.
  using Identity = std::pair<uint64_t, uint64_t>;
  Identity identity() const { return identity_; }
  bool is_block_device() const { return identity_.first == kBlockDevices; }

  // All of it or a negative errno. Reads past the end yield zeroes.
  int read(uint64_t offset, void* out, size_t size) const;
  int write(uint64_t offset, const void* data, size_t size) const;
  int sync() const;  // fdatasync

  // Gives up the lock of an open file, for another process that takes it over; takes it again. As
  // open(): one line that names the file, empty on success.
  std::string unlock();
  std::string lock();

 private:
  int set_lock(short type) const;                          // 0 or an errno
  static constexpr uint64_t kBlockDevices = ~uint64_t{0};  // no file system has this number

  void reset();
  static Identity identity_of(const struct stat& st);

  int fd_ = -1;
  uint64_t size_ = 0;
  Identity identity_;
  bool read_only_ = false;
  std::string path_;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_VIRTIO_HOST_FILE_H_
