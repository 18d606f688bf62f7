// A disk: a raw image, a qcow2 image for reading, or what a server has.
#ifndef TRAPLINE_DEVICES_VIRTIO_IMAGE_H_
#define TRAPLINE_DEVICES_VIRTIO_IMAGE_H_

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>

#include "mmio/device.h"

namespace trapline::virtio {

class BlkEngine;

enum class ImageFormat : uint8_t { kProbe, kRaw, kQcow2, kVmdk, kVpc, kVhdx, kVdi };

struct ImageOptions {
  bool read_only = false;
  ImageFormat format = ImageFormat::kProbe;
  bool backing = false;       // a qcow2 image's backing files may be opened
  bool fail_on_loss = false;  // requests to a server that is away fail; else they wait for it
  bool may_mark = true;  // false: as if the file could carry no attribute (image_format.h); tests
};

class Image {
 public:
  virtual ~Image();

  uint64_t bytes() const { return bytes_; }  // multiple of 512
  bool read_only() const { return read_only_; }
  // A write that makes the first sector begin like another format must be refused (image_format.h).
  bool guards_format() const { return guards_format_; }
  const std::string& path() const { return path_; }
  virtual int fd() const { return -1; }  // of path()
  // A file whose bytes are the disk's, for asynchronous I/O; -1: use the methods.
  virtual int raw_fd() const { return -1; }
  // Asynchronous I/O of its own; null: it has none. While that engine is at work the methods below
  // are not called.
  virtual std::unique_ptr<BlkEngine> make_engine();
  // What a server has: there is no file, and its time is not known.
  virtual bool is_remote() const { return false; }
  // The server's address (nbd_dial.h), which may have to be connected to again; empty: none.
  virtual std::string address() const { return {}; }
  // For statistics; any thread.
  virtual void counters(CounterVisitor /*visit*/, void* /*context*/) const {}

  // All return 0 or a negative errno, are complete or failed, and are thread-safe. The range lies
  // within bytes(). `durable`: on the disk when the call returns.
  virtual int readv(const iovec* iov, unsigned count, uint64_t offset) = 0;
  // Reads `bytes`, which is what `iov` holds, if that needs no waiting for the disk. False: it
  // would need it, or nobody can tell; `iov` may be filled in part.
  virtual bool read_at_once(const iovec* /*iov*/, unsigned /*count*/, uint64_t /*offset*/,
                            uint64_t /*bytes*/) {
    return false;
  }
  virtual int writev(const iovec* iov, unsigned count, uint64_t offset, bool durable) = 0;
  virtual int flush() = 0;
  // See HostFile; of what is only read nothing, for readers exclude nobody who goes on from here.
  // While nothing is in flight.
  virtual std::string unlock() { return {}; }
  virtual std::string lock() { return {}; }
  virtual int discard(uint64_t offset, uint64_t size) = 0;
  virtual int write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) = 0;

 protected:
  uint64_t bytes_ = 0;
  bool read_only_ = true;
  bool guards_format_ = false;
  std::string path_;
};

struct ImageResult {
  std::unique_ptr<Image> image;  // null: `error` is one line that names the file
  std::string error;
  std::string warning;  // may be set with an image
};

// What `path` names: an NBD server by its URI (nbd.h), else a file. Tells qcow2 from raw as
// image_format.h says, unless the options do; what our own driver does not do (qcow2 for writing,
// other formats) qemu-nbd does (qemu_nbd.h). Refused, each with its own text: a missing file, a
// directory, no permission, under 512 bytes, locked by another VM or open in this one; qcow2 with
// backing files that the options do not allow, and what qcow2.h says. A raw image whose size is no
// multiple of 512 loses its tail, with a warning.
ImageResult open_image(const std::string& path, const ImageOptions& options);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_IMAGE_H_
