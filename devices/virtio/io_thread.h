// The thread that does a device's work: woken by notifications, parked while the transport changes
// what it works on.
#ifndef TRAPLINE_DEVICES_VIRTIO_IO_THREAD_H_
#define TRAPLINE_DEVICES_VIRTIO_IO_THREAD_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "devices/virtio/function.h"

namespace trapline::virtio {

class IoThread {
 public:
  // Starts parked. `work` is held around process(). `name` is the thread's, cut to 15 characters.
  IoThread(Function& function, std::mutex& work, const std::string& name);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  // process(queue) will run. Any thread; never blocks.
  void kick(unsigned queue);
  // At assembly: from now on the host's kernel may write to event(), for any of the first `queues`.
  void hear_events(unsigned queues) { heard_ = (uint64_t{1} << queues) - 1; }
  int event() const { return kick_fd_; }
  // Returns when nothing is in flight and the thread touches neither queues nor guest memory.
  void park();
  void unpark();

 private:
  static constexpr uint64_t kControl = uint64_t{1} << 63;  // look at park_ and exit_

  void run();
  void wake(uint64_t bits);

  Function& function_;
  std::mutex& work_;
  int kick_fd_;
  std::atomic<uint64_t> pending_{0};  // queues to process
  uint64_t heard_ = 0;                // those that an event of the kernel's may mean
  std::mutex mutex_;
  std::condition_variable changed_;
  bool park_ = true;
  bool parked_ = false;
  bool exit_ = false;
  std::thread thread_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_IO_THREAD_H_
