#include "vmm/machine/clocks.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "mmio/side_work.h"
#include "vmm/vcpu/host_clock.h"

namespace trapline {

Clock::Handle DeadlineQueue::add(uint64_t deadline, std::function<void()> callback) {
  Clock::Handle handle = ++last_;
  events_.emplace(Key{deadline, handle}, std::move(callback));
  deadlines_.emplace(handle, deadline);
  return handle;
}

bool DeadlineQueue::remove(Clock::Handle handle) {
  auto it = deadlines_.find(handle);
  if (it == deadlines_.end()) return false;
  events_.erase(Key{it->second, handle});
  deadlines_.erase(it);
  return true;
}

std::function<void()> DeadlineQueue::take_due(uint64_t now, Clock::Handle& handle) {
  if (events_.empty() || events_.begin()->first.first > now) return nullptr;
  auto node = events_.extract(events_.begin());
  handle = node.key().second;
  deadlines_.erase(handle);
  return std::move(node.mapped());
}

HostClock::HostClock() : start_ns_(steady_ns()), thread_([this] { run(); }) {}

HostClock::~HostClock() { stop(); }

void HostClock::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

uint64_t HostClock::now() { return (steady_ns() - start_ns_) / kNsPerTick; }

Clock::Handle HostClock::at(uint64_t deadline, std::function<void()> callback) {
  Handle handle;
  bool first;
  {
    std::lock_guard lock(mutex_);
    first = deadline < queue_.next();
    handle = queue_.add(deadline, std::move(callback));
  }
  if (first) {
    const SideWork side(SideWork::Kind::kArm);
    wake_.notify_one();
  }
  return handle;
}

void HostClock::cancel(Handle handle) {
  std::unique_lock lock(mutex_);
  if (queue_.remove(handle)) return;
  if (running_ == handle && std::this_thread::get_id() != thread_.get_id()) {
    done_.wait(lock, [&] { return running_ != handle; });
  }
}

void HostClock::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (auto callback = queue_.take_due(now(), running_)) {
      lock.unlock();
      callback();
      lock.lock();
      running_ = 0;
      done_.notify_all();
      continue;
    }
    uint64_t next = queue_.next();
    // A far deadline (a guest may program any 64-bit compare value) waits in slices of an hour.
    constexpr uint64_t kSlice = Clock::kFrequency * 3600;
    uint64_t slice_end = now() + kSlice;
    uint64_t until = next < slice_end ? next : slice_end;
    auto when = std::chrono::steady_clock::time_point(
        std::chrono::nanoseconds(start_ns_ + until * kNsPerTick));
    wake_.wait_until(lock, when);
  }
}

Clock::Handle IcountClock::at(uint64_t deadline, std::function<void()> callback) {
  return queue_.add(deadline, std::move(callback));
}

uint64_t IcountClock::budget() const {
  uint64_t next = queue_.next();
  if (next > ~uint64_t{0} / kNsPerTick) return ~uint64_t{0};
  uint64_t due = next * kNsPerTick, now = instructions();
  return due > now ? due - now : 0;
}

void IcountClock::fire_due() {
  Handle handle = 0;
  // A callback may add deadlines, but none before now(): a guest-programmed past one fires once
  // here.
  while (auto callback = queue_.take_due(now(), handle)) callback();
}

bool IcountClock::skip_to_next(uint64_t most) {
  uint64_t wait = std::min(budget(), most);
  if (wait == ~uint64_t{0}) return false;
  skipped_ += wait;
  return true;
}

}  // namespace trapline
