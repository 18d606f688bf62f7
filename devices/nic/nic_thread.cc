#include "devices/nic/nic_thread.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace trapline {

NicThread::NicThread(Card& card, std::unique_ptr<virtio::NetBackend> backend, uint64_t offloads,
                     const std::string& name)
    : card_(card), backend_(std::move(backend)), kick_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (kick_fd_ < 0) throw std::system_error(errno, std::generic_category(), name);
  backend_->set_offloads(offloads & backend_->offloads());
  backend_->set_receive([this](const virtio::NetHeader&, const uint8_t* frame, size_t size) {
    refused_ = !card_.receive(frame, size);
    return !refused_;
  });
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
}

NicThread::~NicThread() {
  park();
  {
    std::lock_guard lock(mutex_);
    exit_ = true;
  }
  changed_.notify_all();
  thread_.join();
  close(kick_fd_);
}

void NicThread::kick() {
  if (kicked_.exchange(true, std::memory_order_acq_rel)) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(kick_fd_, &one, sizeof one);
}

void NicThread::park() {
  std::unique_lock lock(mutex_);
  park_ = true;
  // Past kick(): the thread must wake though it was kicked before.
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(kick_fd_, &one, sizeof one);
  changed_.wait(lock, [this] { return parked_; });
}

void NicThread::unpark() {
  {
    std::lock_guard lock(mutex_);
    park_ = parked_ = false;
  }
  changed_.notify_all();
}

void NicThread::wait(bool block) {
  fds_.assign(1, {.fd = kick_fd_, .events = POLLIN, .revents = 0});
  int timeout = -1;
  backend_->fill(fds_, timeout);
  if (poll(fds_.data(), fds_.size(), block ? timeout : 0) > 0 && fds_[0].revents != 0) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = ::read(kick_fd_, &count, sizeof count);
  }
  backend_->dispatch(fds_, 1);
}

void NicThread::run() {
  bool more = true;  // whatever was put up while the thread was parked
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      while (park_) {
        parked_ = true;
        more = true;
        changed_.notify_all();
        changed_.wait(lock);
        if (exit_) return;
      }
    }
    if (kicked_.exchange(false, std::memory_order_acq_rel) || more) {
      if (refused_) {
        refused_ = false;
        backend_->ready();
      }
      more = card_.transmit();
    }
    wait(!more);
  }
}

}  // namespace trapline
