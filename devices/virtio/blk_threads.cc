// Block I/O by a pool of threads that call preadv and pwritev.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "devices/virtio/blk_engine.h"

namespace trapline::virtio {
namespace {

constexpr unsigned kThreads = 4;

class ThreadEngine final : public BlkEngine {
 public:
  explicit ThreadEngine(Image& image) : image_(image), done_fd_(eventfd(0, EFD_CLOEXEC)) {
    if (done_fd_ < 0) throw std::system_error(errno, std::generic_category(), "virtio-blk");
    for (std::thread& t : threads_) {
      try {
        t = std::thread([this] { run(); });
      } catch (const std::system_error& error) {
        if (threads_[0].joinable()) break;  // fewer do as well
        close(done_fd_);
        throw std::system_error(error.code(), "virtio-blk: cannot start a thread");
      }
    }
  }

  ~ThreadEngine() override {
    {
      std::lock_guard lock(mutex_);
      exit_ = true;
    }
    work_.notify_all();
    for (std::thread& t : threads_) {
      if (t.joinable()) t.join();
    }
    close(done_fd_);
  }

  void submit(BlkRequest* request) override {
    {
      std::lock_guard lock(mutex_);
      waiting_[(first_ + count_++) % kMaxInFlight] = request;
    }
    work_.notify_one();
  }

  void wait(int kick_fd, bool block, std::vector<BlkRequest*>& done) override {
    pollfd fds[2] = {{.fd = kick_fd, .events = POLLIN, .revents = 0},
                     {.fd = done_fd_, .events = POLLIN, .revents = 0}};
    if (poll(fds, 2, block ? -1 : 0) <= 0) return;
    uint64_t count;
    for (const pollfd& fd : fds) {
      if ((fd.revents & POLLIN) == 0) continue;
      [[maybe_unused]] const ssize_t n = read(fd.fd, &count, sizeof count);
    }
    std::lock_guard lock(mutex_);
    done.insert(done.end(), finished_, finished_ + finished_count_);
    finished_count_ = 0;
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [this] { return exit_ || count_ > 0; });
      if (count_ == 0) return;
      BlkRequest* request = waiting_[first_];
      first_ = (first_ + 1) % kMaxInFlight;
      --count_;
      lock.unlock();
      perform(image_, *request);
      lock.lock();
      finished_[finished_count_++] = request;
      const uint64_t one = 1;
      [[maybe_unused]] const ssize_t n = write(done_fd_, &one, sizeof one);
    }
  }

  Image& image_;
  const int done_fd_;
  std::mutex mutex_;
  std::condition_variable work_;
  // Fixed: a host without memory must not lose a request.
  BlkRequest* waiting_[kMaxInFlight];  // a ring
  unsigned first_ = 0, count_ = 0;
  BlkRequest* finished_[kMaxInFlight];
  unsigned finished_count_ = 0;
  bool exit_ = false;
  std::thread threads_[kThreads];
};

int perform_now(Image& image, const BlkRequest& r) {
  switch (r.op) {
    case BlkOp::kRead:
      return image.readv(r.iov.data(), static_cast<unsigned>(r.iov.size()), r.offset);
    case BlkOp::kWrite:
      return image.writev(r.iov.data(), static_cast<unsigned>(r.iov.size()), r.offset, r.durable);
    case BlkOp::kFlush:
      return image.flush();
    case BlkOp::kDiscard:
      return image.discard(r.offset, r.bytes);
    default:
      return image.write_zeroes(r.offset, r.bytes, r.may_unmap);
  }
}

}  // namespace

void perform(Image& image, BlkRequest& r) {
  try {
    r.result = perform_now(image, r);
    const bool allocates = r.op == BlkOp::kDiscard || r.op == BlkOp::kWriteZeroes;
    if (allocates && r.durable && r.result == 0) r.result = image.flush();
  } catch (const std::bad_alloc&) {
    r.result = -ENOMEM;
  }
}

std::unique_ptr<BlkEngine> make_thread_engine(Image& image) {
  return std::make_unique<ThreadEngine>(image);
}

}  // namespace trapline::virtio
