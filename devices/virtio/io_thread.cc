#include "devices/virtio/io_thread.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <system_error>

#include "mmio/side_work.h"

namespace trapline::virtio {

void Function::wait(int kick_fd, bool block, bool /*running*/) {
  pollfd fd = {.fd = kick_fd, .events = POLLIN, .revents = 0};
  if (poll(&fd, 1, block ? -1 : 0) > 0) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = ::read(kick_fd, &count, sizeof count);
  }
}

IoThread::IoThread(Function& function, std::mutex& work, const std::string& name)
    // Blocking: io_uring refuses to wait on a read of a non-blocking file; poll() precedes all
    // other reads.
    : function_(function), work_(work), kick_fd_(eventfd(0, EFD_CLOEXEC)) {
  if (kick_fd_ < 0) throw std::system_error(errno, std::generic_category(), name);
  function_.begin(kick_fd_);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    close(kick_fd_);
    throw std::system_error(error.code(), name + ": cannot start a thread");
  }
  pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
}

IoThread::~IoThread() {
  park();
  {
    std::lock_guard lock(mutex_);
    exit_ = true;
  }
  changed_.notify_all();
  thread_.join();
  close(kick_fd_);
}

void IoThread::wake(uint64_t bits) {
  // Only the first bit needs the system call: the thread takes all bits after it read the eventfd.
  if (pending_.fetch_or(bits, std::memory_order_acq_rel) == 0) {
    const SideWork side(SideWork::Kind::kWake);
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(kick_fd_, &one, sizeof one);
  }
}

void IoThread::kick(unsigned queue) { wake(uint64_t{1} << queue); }

void IoThread::park() {
  {
    std::lock_guard lock(mutex_);
    park_ = true;
  }
  wake(kControl);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return parked_; });
}

void IoThread::unpark() {
  {
    std::lock_guard lock(mutex_);
    park_ = false;
    parked_ = false;
  }
  changed_.notify_all();
}

void IoThread::run() {
  uint64_t backlog = 0;  // queues that process() said have more
  for (;;) {
    bool running;
    {
      std::unique_lock lock(mutex_);
      // A loop: unpark() and park() may both pass before this thread wakes.
      while (park_ && function_.idle()) {
        parked_ = true;
        changed_.notify_all();
        changed_.wait(lock);
        if (exit_) return;
      }
      running = !park_;
    }
    bool control = false;
    if (running) {
      const uint64_t taken = pending_.exchange(0, std::memory_order_acq_rel);
      control = (taken & kControl) != 0;
      uint64_t queues = (taken & ~kControl) | heard_ | backlog;
      backlog = 0;
      while (queues != 0) {
        const auto queue = static_cast<unsigned>(std::countr_zero(queues));
        queues &= queues - 1;
        std::lock_guard lock(work_);
        if (function_.process(queue)) backlog |= uint64_t{1} << queue;
      }
    }
    // While parking the notifications stay in pending_, and a completion wakes the wait. A control
    // bit just taken may have come without an event of its own: look again before sleeping.
    function_.wait(kick_fd_, backlog == 0 && !control, running);
  }
}

}  // namespace trapline::virtio
