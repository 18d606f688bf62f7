// How block requests reach the host: io_uring, a pool of threads, or at once.
#ifndef TRAPLINE_DEVICES_VIRTIO_BLK_ENGINE_H_
#define TRAPLINE_DEVICES_VIRTIO_BLK_ENGINE_H_

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "devices/virtio/image.h"
#include "devices/virtio/report.h"

namespace trapline::virtio {

enum class BlkOp : uint8_t { kRead, kWrite, kFlush, kDiscard, kWriteZeroes };

// What a disk is asked for, whatever device asks; each derives its own from it.
struct BlkRequest {
  BlkOp op = BlkOp::kRead;
  bool durable = false;    // on the disk at completion
  bool may_unmap = false;  // write zeroes
  uint64_t offset = 0;     // bytes
  uint64_t bytes = 0;
  std::vector<iovec> iov;     // read, write; an engine may consume it
  int result = 0;             // 0 or a negative errno
  uint8_t first_sector[512];  // its copy, where the image guards its format

  // The engine's progress.
  size_t first_iov = 0;
  uint64_t done = 0;
  bool syncing = false;
};

// Performs it now; sets result.
void perform(Image& image, BlkRequest& request);

// Of a write whose iov is complete. False, and reported: it would make an image that guards its
// format look like another. What is looked at is a copy, which will be written: the guest may
// change its memory meanwhile.
bool keeps_format(const Image& image, BlkRequest& request, Report& report);

// Says which request failed, and why.
void report_failure(const Image& image, const BlkRequest& request, Report& report);

// All methods on the I/O thread, but for submit_at_notify().
class BlkEngine {
 public:
  static constexpr unsigned kMaxInFlight = 128;

  virtual ~BlkEngine() = default;
  // At most kMaxInFlight requests are under way at once: the caller counts.
  virtual void submit(BlkRequest* request) = 0;
  // The only request under way, on any thread, by an engine that can send it without waiting and
  // whose wait() will see it end. `again`: but wait() is to look before it sleeps on. False: not
  // taken.
  virtual bool submit_at_notify(BlkRequest* /*request*/, bool& /*again*/) { return false; }
  // Function::wait(), and the finished requests are appended to `done`.
  virtual void wait(int kick_fd, bool block, std::vector<BlkRequest*>& done) = 0;
  // Before each wait() of who waits for the last requests to end: they are to end in a bounded
  // time, by an error if need be.
  virtual void parking() {}
};

// Null when the kernel has no io_uring for us that can be restricted, or the image is not raw. The
// ring knows the image and `kick_fd`, which wait() gets, and no other file.
std::unique_ptr<BlkEngine> make_uring_engine(Image& image, int kick_fd);
std::unique_ptr<BlkEngine> make_thread_engine(Image& image);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_BLK_ENGINE_H_
