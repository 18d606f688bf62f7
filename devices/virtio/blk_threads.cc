// Block I/O by a pool of threads that call preadv and pwritev.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
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
      waiting_.push_back(request);
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
    done.insert(done.end(), finished_.begin(), finished_.end());
    finished_.clear();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [this] { return exit_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      BlkRequest* request = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      perform(image_, *request);
      lock.lock();
      finished_.push_back(request);
      const uint64_t one = 1;
      [[maybe_unused]] const ssize_t n = write(done_fd_, &one, sizeof one);
    }
  }

  Image& image_;
  const int done_fd_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<BlkRequest*> waiting_;
  std::vector<BlkRequest*> finished_;
  bool exit_ = false;
  std::thread threads_[kThreads];
};

}  // namespace

void perform(Image& image, BlkRequest& r) {
  switch (r.op) {
    case BlkOp::kRead:
      r.result = image.readv(r.iov.data(), static_cast<unsigned>(r.iov.size()), r.offset);
      break;
    case BlkOp::kWrite:
      r.result =
          image.writev(r.iov.data(), static_cast<unsigned>(r.iov.size()), r.offset, r.durable);
      break;
    case BlkOp::kFlush:
      r.result = image.flush();
      break;
    case BlkOp::kDiscard:
      r.result = image.discard(r.offset, r.bytes);
      break;
    case BlkOp::kWriteZeroes:
      r.result = image.write_zeroes(r.offset, r.bytes, r.may_unmap);
      break;
  }
  const bool allocates = r.op == BlkOp::kDiscard || r.op == BlkOp::kWriteZeroes;
  if (allocates && r.durable && r.result == 0) r.result = image.flush();
}

std::unique_ptr<BlkEngine> make_thread_engine(Image& image) {
  return std::make_unique<ThreadEngine>(image);
}

}  // namespace trapline::virtio
