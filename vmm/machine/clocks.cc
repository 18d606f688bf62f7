#include "vmm/machine/clocks.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
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

bool DeadlineQueue::move(Clock::Handle handle, uint64_t deadline) {
  const uint64_t before = next();
  const auto known = deadlines_.find(handle);
  auto node = events_.extract(Key{known->second, handle});
  known->second = deadline;
  node.key() = {deadline, handle};
  events_.insert(std::move(node));
  return next() != before;
}

std::function<void()> DeadlineQueue::take_due(uint64_t now, Clock::Handle& handle) {
  if (events_.empty() || events_.begin()->first.first > now) return nullptr;
  auto node = events_.extract(events_.begin());
  handle = node.key().second;
  deadlines_.erase(handle);
  return std::move(node.mapped());
}

namespace {

int new_timer() {
  const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "no timer for the clock");
  return fd;
}

}  // namespace

HostClock::HostClock() : start_ns_(steady_ns()), timer_(new_timer()), thread_([this] { run(); }) {}

HostClock::~HostClock() {
  stop();
  close(timer_);
}

void HostClock::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    set_alarm();
  }
  if (thread_.joinable()) thread_.join();
}

// To the first deadline, if the thread sleeps: else it will look itself.
void HostClock::set_alarm() {
  if (!asleep_) return;
  uint64_t at = 0;
  if (stop_) {
    at = 1;
  } else if (frozen_ == kGoes && !queue_.empty()) {
    // A guest may program any 64-bit compare value: a day is far enough.
    constexpr uint64_t kMost = kFrequency * 86400;
    const uint64_t now_ticks = now(), next = queue_.next();
    at = start_ns_ + std::min(next, now_ticks + kMost) * kNsPerTick;
  }
  if (at == alarm_) return;
  alarm_ = at;
  const itimerspec when{
      .it_interval = {},
      .it_value = {static_cast<time_t>(at / 1'000'000'000), static_cast<long>(at % 1'000'000'000)}};
  timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
}

uint64_t HostClock::now() {
  const uint64_t frozen = frozen_.load(std::memory_order_acquire);
  if (frozen != kGoes) [[unlikely]] {
    return frozen;
  }
  return (steady_ns() - start_ns_.load(std::memory_order_relaxed)) / kNsPerTick;
}

void HostClock::freeze(uint64_t ticks) {
  std::unique_lock lock(mutex_);
  frozen_.store(ticks, std::memory_order_release);
  done_.wait(lock, [&] { return running_ == 0; });
}

void HostClock::go(bool as_if_never_frozen) {
  {
    std::lock_guard lock(mutex_);
    const uint64_t frozen = frozen_.load(std::memory_order_relaxed);
    if (frozen == kGoes) return;
    if (!as_if_never_frozen) start_ns_ = steady_ns() - frozen * kNsPerTick;
    frozen_.store(kGoes, std::memory_order_release);
    set_alarm();
  }
}

Clock::Handle HostClock::at(uint64_t deadline, std::function<void()> callback) {
  std::lock_guard lock(mutex_);
  const bool first = deadline < queue_.next();
  const Handle handle = queue_.add(deadline, std::move(callback));
  if (first) {
    const SideWork side(SideWork::Kind::kArm);
    set_alarm();
  }
  return handle;
}

bool HostClock::postpone(Handle handle, uint64_t deadline) {
  std::lock_guard lock(mutex_);
  if (!queue_.holds(handle)) return false;
  if (queue_.move(handle, deadline)) set_alarm();
  return true;
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
    auto callback = frozen_ == kGoes ? queue_.take_due(now(), running_) : nullptr;
    if (callback) {
      lock.unlock();
      callback();
      lock.lock();
      running_ = 0;
      done_.notify_all();
      continue;
    }
    asleep_ = true;
    set_alarm();
    lock.unlock();
    uint64_t expirations;
    [[maybe_unused]] const ssize_t n = read(timer_, &expirations, sizeof expirations);
    lock.lock();
    asleep_ = false;
    alarm_ = 0;
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
