#include "devices/virtio/console.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace trapline::virtio {
namespace {

constexpr uint64_t kEmergencyWrite = uint64_t{1} << 2;  // 5.3.3
constexpr unsigned kEmergencyOffset = 8;                // struct virtio_console_config, 5.3.4
constexpr unsigned kReceiveQueue = 0;
constexpr unsigned kTransmitQueue = 1;
constexpr unsigned kBudget = 64;
constexpr size_t kPiece = 16 * 1024;
// How long a new driver must have been quiet before it gets input: 500 ms, or so many of a
// deterministic device's delays (40 ms), and how many outputs may make it longer.
constexpr int kHoldStepMs = 20;
constexpr unsigned kHoldSteps = 25, kHoldDelays = 400, kHoldRestarts = 4096;

}  // namespace

uint64_t Console::features() const { return kEmergencyWrite; }

size_t Console::receive(const uint8_t* data, size_t size) {
  size_t taken;
  {
    std::lock_guard lock(input_mutex_);
    taken = std::min(size, kMaxInput - input_.size());
    input_.insert(input_.end(), data, data + taken);
  }
  if (taken > 0 && host_ != nullptr) host_->kick(kReceiveQueue);
  return taken;
}

size_t Console::input_space() const {
  std::lock_guard lock(input_mutex_);
  return kMaxInput - input_.size();
}

void Console::output_room() {
  if (host_ != nullptr) host_->kick(kTransmitQueue);
}

void Console::config_read(unsigned offset, void* out, unsigned size) const {
  // cols and rows mean something with F_SIZE only; one port; emerg_wr is write-only.
  const uint32_t config[3] = {0, 1, 0};
  std::memcpy(out, reinterpret_cast<const uint8_t*>(config) + offset, size);
}

void Console::config_write(unsigned offset, const void* data, unsigned) {
  if (offset != kEmergencyOffset) return;
  // The driver cannot be told to wait.
  sink_.force(static_cast<const uint8_t*>(data), 1);
}

void Console::start(uint64_t, bool) {
  hold_left_ = host_->deterministic() ? kHoldDelays : kHoldSteps;
  hold_restarts_ = kHoldRestarts;
}

void Console::reset() {
  // Input that no driver read belongs to the next one; output that was not taken yet is the
  // driver's, which gave it up.
}

bool Console::process(unsigned queue) {
  return queue == kReceiveQueue ? process_receive() : process_transmit();
}

// Linux fills the receive queue before it connects its console to it, and throws away what comes
// between (in_intr() of virtio_console.c while guest_connected is false); when console=hvc0 its
// whole log is printed there first. Nothing in the interface says when it is done, so input waits
// until the driver has been quiet for a while, once.
bool Console::may_receive() {
  if (hold_left_ == 0) return true;
  if (host_->deterministic()) --hold_left_;
  return false;
}

void Console::wait(int kick_fd, bool block, bool running) {
  if (!block || !holding_ || !running) return Function::wait(kick_fd, block, running);
  pollfd fd = {.fd = kick_fd, .events = POLLIN, .revents = 0};
  const int n = poll(&fd, 1, kHoldStepMs);
  if (n > 0) return Function::wait(kick_fd, false, running);
  if (n < 0) return;
  if (hold_left_ > 0) --hold_left_;
  host_->kick(kReceiveQueue);
}

bool Console::process_receive() {
  Queue& queue = host_->queue(kReceiveQueue);
  bool broken = false, was_full, more = false;
  {
    std::lock_guard lock(input_mutex_);
    holding_ = !input_.empty() && queue.has_available() && !may_receive();
    if (holding_) return host_->deterministic();  // after its delay; else wait() sees to it
    was_full = input_.size() == kMaxInput;
    for (unsigned budget = kBudget; !input_.empty();) {
      if (budget-- == 0) {
        more = true;
        break;
      }
      const Queue::Pop popped = queue.pop(chain_);
      if (popped == Queue::Pop::kBroken) broken = true;
      if (popped != Queue::Pop::kChain) {
        if (!queue.enable_notifications()) break;
        continue;
      }
      scratch_.resize(std::min<uint64_t>(input_.size(), chain_.writable_bytes));
      std::copy_n(input_.begin(), scratch_.size(), scratch_.begin());
      input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(scratch_.size()));
      chain_.write(host_->dma(), 0, scratch_.data(), scratch_.size());
      queue.push(chain_.head, static_cast<uint32_t>(scratch_.size()));
    }
    was_full = was_full && input_.size() < kMaxInput;
  }
  if (broken) host_->fail(queue.error());
  host_->publish(kReceiveQueue);
  if (was_full && input_space_) input_space_();
  return more;
}

bool Console::process_transmit() {
  Queue& queue = host_->queue(kTransmitQueue);
  size_t taken = 0;
  bool full = false;
  for (unsigned budget = kBudget; budget > 0 && taken < kMaxOutput && !full;) {
    const Queue::Pop popped = queue.pop(chain_);
    if (popped == Queue::Pop::kBroken) host_->fail(queue.error());
    if (popped != Queue::Pop::kChain) {
      if (queue.enable_notifications()) continue;
      break;
    }
    --budget;
    if (hold_left_ != 0 && hold_restarts_ != 0) {
      --hold_restarts_;
      hold_left_ = host_->deterministic() ? kHoldDelays : kHoldSteps;
    }
    scratch_.resize(kPiece);
    uint64_t sent = queue.take_partly_done();
    while (sent < chain_.readable_bytes && taken < kMaxOutput && !full) {
      const size_t size = chain_.read(sent, scratch_.data(), scratch_.size());
      const size_t n = sink_.put(scratch_.data(), size);
      full = n < size;
      sent += n;
      taken += n;
    }
    if (sent < chain_.readable_bytes) {
      queue.unpop_partly(sent);  // stays uncompleted
    } else {
      queue.push(chain_.head, 0);
    }
  }
  host_->publish(kTransmitQueue);
  return !full && queue.has_available();  // full: output_room() will come
}

void Console::save(StateWriter& out) const {
  std::lock_guard lock(input_mutex_);
  out.put(static_cast<uint32_t>(input_.size()));
  for (const uint8_t byte : input_) out.put(byte);
}

bool Console::load(StateReader& in) {
  std::lock_guard lock(input_mutex_);
  input_.clear();
  const auto size = in.get<uint32_t>();
  if (size > kMaxInput) return false;
  for (uint32_t i = 0; i < size; ++i) input_.push_back(in.get<uint8_t>());
  return in.ok();
}

}  // namespace trapline::virtio
