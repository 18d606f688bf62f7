// A disk of a controller that has several: an image, and a thread that performs what is asked of
// it. virtio-blk, which has one disk and an I/O thread anyway, does without.
#ifndef TRAPLINE_DEVICES_VIRTIO_DISK_H_
#define TRAPLINE_DEVICES_VIRTIO_DISK_H_

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "devices/virtio/blk_engine.h"
#include "devices/virtio/image.h"

namespace trapline::virtio {

class Disk {
 public:
  static constexpr uint64_t kMaxBytesAtOnce =
      16 * 1024;  // copied in less than a thread takes to wake

  class Controller {
   public:
    virtual ~Controller() = default;
    // These have their result. On the disk's thread, without a lock of Disk's.
    virtual void finished(const std::vector<BlkRequest*>& requests) = 0;
  };

  // Without start() the requests are performed by who submits them, and submit() returns true.
  Disk(std::unique_ptr<Image> image, std::string name);
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  // At assembly. std::system_error if the host has no thread or descriptor.
  void start(Controller& controller);

  Image& image() { return *image_; }
  const Image& image() const { return *image_; }
  const std::string& name() const { return name_; }

  // The counters of their images, each with its sum. Any thread.
  static void sum_counters(const std::vector<const Disk*>& disks, CounterVisitor visit,
                           void* context);

  // Any thread, one at a time. At most BlkEngine::kMaxInFlight are under way at once: the caller
  // counts. True: the request has its result; false: finished() will be told. `at_once`: a small
  // read that needs no waiting for the host may be done here.
  bool submit(BlkRequest& request, bool at_once);
  // What a request came to, of which submit() or finished() has said that it is over: 0 or a
  // negative errno. A failure is reported.
  int result(const BlkRequest& request, Report& report);
  // Returns when nothing is under way, finished() included. Nobody submits meanwhile; the caller
  // holds no lock that finished() takes.
  void drain();

 private:
  void run();
  void settle(std::vector<BlkRequest*>& done);

  const std::unique_ptr<Image> image_;
  const std::string name_;
  Controller* controller_ = nullptr;
  std::unique_ptr<BlkEngine> engine_;  // the thread's; null: it performs them itself
  int kick_fd_ = -1;

  std::mutex mutex_;
  std::condition_variable idle_;
  // Fixed: a host without memory must not lose a request.
  BlkRequest* inbox_[BlkEngine::kMaxInFlight];
  unsigned waiting_ = 0, under_way_ = 0;
  bool draining_ = false;  // somebody waits for the last request
  bool exit_ = false;
  std::atomic<int> lost_{0};  // a flush failed with this: what was written is not known to be safe
  std::thread thread_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_DISK_H_
