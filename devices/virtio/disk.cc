#include "devices/virtio/disk.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

#include "mmio/side_work.h"

namespace trapline::virtio {

Disk::Disk(std::unique_ptr<Image> image, std::string name)
    : image_(std::move(image)), name_(std::move(name)) {}

Disk::~Disk() {
  if (thread_.joinable()) {
    {
      std::lock_guard lock(mutex_);
      exit_ = true;
    }
    eventfd_write(kick_fd_, 1);
    thread_.join();
  }
  engine_.reset();
  if (kick_fd_ >= 0) close(kick_fd_);
}

void Disk::start(Controller& controller) {
  controller_ = &controller;
  // Blocking: as IoThread's.
  kick_fd_ = eventfd(0, EFD_CLOEXEC);
  if (kick_fd_ < 0) throw std::system_error(errno, std::generic_category(), name_);
  engine_ = image_->make_engine();
  if (engine_ == nullptr) engine_ = make_uring_engine(*image_, kick_fd_);
  try {
    if (engine_ == nullptr) engine_ = make_thread_engine(*image_);
  } catch (const std::system_error&) {
    // One request at a time.
  }
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    throw std::system_error(error.code(), name_ + ": cannot start a thread");
  }
  pthread_setname_np(thread_.native_handle(), name_.substr(0, 15).c_str());
}

bool Disk::submit(BlkRequest& r, bool at_once) {
  r.first_iov = 0;
  r.done = 0;
  r.result = 0;
  r.syncing = false;
  if (r.op == BlkOp::kFlush && lost_ != 0) {
    r.result = lost_;
    return true;
  }
  if (!thread_.joinable()) {
    perform(*image_, r);
    return true;
  }
  if (at_once && r.op == BlkOp::kRead && r.bytes <= kMaxBytesAtOnce &&
      image_->read_at_once(r.iov.data(), static_cast<unsigned>(r.iov.size()), r.offset, r.bytes)) {
    return true;
  }
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    wake = waiting_ == 0;
    inbox_[waiting_++] = &r;
    ++under_way_;
  }
  if (wake) {
    const SideWork side(SideWork::Kind::kWake);
    eventfd_write(kick_fd_, 1);
  }
  return false;
}

int Disk::result(const BlkRequest& r, Report& report) {
  if (r.result == 0) return 0;
  report_failure(*image_, r, report);
  // After a failed fdatasync the kernel forgets what it could not write: a later one that succeeds
  // would lie.
  if (r.op == BlkOp::kFlush) lost_ = r.result;
  return r.result;
}

void Disk::drain() {
  std::unique_lock lock(mutex_);
  if (under_way_ == 0) return;
  draining_ = true;
  eventfd_write(kick_fd_, 1);
  idle_.wait(lock, [this] { return under_way_ == 0; });
  draining_ = false;
}

void Disk::sum_counters(const std::vector<const Disk*>& disks, CounterVisitor visit,
                        void* context) {
  using Sums = std::vector<std::pair<std::string_view, uint64_t>>;
  Sums sums;
  for (const Disk* disk : disks) {
    disk->image().counters(
        [](void* all, std::string_view name, uint64_t value) {
          auto& so_far = *static_cast<Sums*>(all);
          const auto at = std::find_if(so_far.begin(), so_far.end(),
                                       [name](const auto& sum) { return sum.first == name; });
          if (at == so_far.end()) {
            so_far.emplace_back(name, value);
          } else {
            at->second += value;
          }
        },
        &sums);
  }
  for (const auto& [name, value] : sums) visit(context, name, value);
}

// Tells the controller, and counts only then: drain() waits for both.
void Disk::settle(std::vector<BlkRequest*>& done) {
  if (done.empty()) return;
  controller_->finished(done);
  {
    std::lock_guard lock(mutex_);
    under_way_ -= static_cast<unsigned>(done.size());
    if (under_way_ == 0) idle_.notify_all();
  }
  done.clear();
}

void Disk::run() {
  BlkRequest* taken[BlkEngine::kMaxInFlight];
  std::vector<BlkRequest*> done;
  done.reserve(BlkEngine::kMaxInFlight);
  for (;;) {
    unsigned count = 0;
    bool parking = false;
    {
      std::lock_guard lock(mutex_);
      if (exit_ && under_way_ == 0) return;
      parking = draining_ || exit_;
      count = std::exchange(waiting_, 0);
      std::copy_n(inbox_, count, taken);
    }
    for (unsigned i = 0; i < count; ++i) {
      if (engine_ != nullptr) {
        engine_->submit(taken[i]);
      } else {
        perform(*image_, *taken[i]);
        done.push_back(taken[i]);
      }
    }
    settle(done);
    if (engine_ != nullptr) {
      if (parking) engine_->parking();
      engine_->wait(kick_fd_, true, done);
      settle(done);
    } else {
      eventfd_t kicks;
      eventfd_read(kick_fd_, &kicks);
    }
  }
}

}  // namespace trapline::virtio
