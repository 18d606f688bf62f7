#include "devices/virtio/input.h"

#include <linux/input-event-codes.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

namespace trapline::virtio {
namespace {

constexpr unsigned kEventQueue = 0;
constexpr unsigned kBudget = 64;

// enum virtio_input_config_select, 5.8.4.
enum Select : uint8_t {
  kIdName = 0x01,
  kIdDevids = 0x03,
  kPropBits = 0x10,
  kEvBits = 0x11,
  kAbsInfo = 0x12,
};

// Bus and product as those of QEMU's devices.
constexpr uint16_t kBusVirtual = 6, kVendor = 0x0627, kProductKeyboard = 1, kProductTablet = 3;

using Bytes = std::vector<uint8_t>;

Bytes little(std::initializer_list<uint32_t> values, unsigned bytes) {
  Bytes out;
  for (const uint32_t value : values) {
    for (unsigned i = 0; i < bytes; ++i) out.push_back(static_cast<uint8_t>(value >> 8 * i));
  }
  return out;
}

void add_bits(Bytes& bitmap, unsigned first, unsigned last) {
  bitmap.resize(std::max<size_t>(bitmap.size(), last / 8 + 1));
  for (unsigned i = first; i <= last; ++i) bitmap[i / 8] |= static_cast<uint8_t>(1 << i % 8);
}

// The codes of an event type that the device may send; empty: none.
Bytes codes_of(Input::Kind kind, uint8_t type) {
  Bytes bits;
  if (kind == Input::Kind::kKeyboard) {
    if (type == EV_KEY) add_bits(bits, KEY_ESC, KEY_COMPOSE);
    if (type == EV_REP) add_bits(bits, REP_DELAY, REP_PERIOD);
  } else {
    if (type == EV_KEY) add_bits(bits, BTN_LEFT, BTN_MIDDLE);
    if (type == EV_REL) add_bits(bits, REL_WHEEL, REL_WHEEL);
    if (type == EV_ABS) add_bits(bits, ABS_X, ABS_Y);
  }
  return bits;
}

// What the configuration space shows of (select, subselect).
Bytes answer(Input::Kind kind, uint8_t select, uint8_t subselect) {
  const bool keyboard = kind == Input::Kind::kKeyboard;
  switch (select) {
    case kIdName: {
      constexpr std::string_view kNames[] = {"Trapline keyboard", "Trapline tablet"};
      const std::string_view name = kNames[keyboard ? 0 : 1];
      return {name.begin(), name.end()};
    }
    case kIdDevids:
      return little({kBusVirtual, kVendor, keyboard ? kProductKeyboard : kProductTablet, 1u}, 2);
    case kEvBits:
      return codes_of(kind, subselect);
    case kAbsInfo:  // least, most, fuzz, flat, resolution
      if (keyboard || (subselect != ABS_X && subselect != ABS_Y)) return {};
      return little({0, Input::kAxisMost, 0, 0, 0}, 4);
    default:
      return {};
  }
}

}  // namespace

void Input::config_read(unsigned offset, void* out, unsigned size) const {
  std::array<uint8_t, 8 + kUnionBytes> config{};
  const Bytes shown = answer(kind_, select_, subselect_);
  config[0] = select_;
  config[1] = subselect_;
  config[2] = static_cast<uint8_t>(shown.size());
  std::copy(shown.begin(), shown.end(), config.begin() + 8);
  std::memcpy(out, config.data() + offset, size);
}

void Input::config_write(unsigned offset, const void* data, unsigned size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (unsigned i = 0; i < size; ++i) {
    if (offset + i == 0) select_ = bytes[i];
    if (offset + i == 1) subselect_ = bytes[i];
  }
}

void Input::start(uint64_t, bool) {
  std::lock_guard lock(waiting_mutex_);
  driven_ = true;
}

void Input::reset() {
  select_ = subselect_ = 0;
  std::lock_guard lock(waiting_mutex_);
  driven_ = false;
  waiting_.clear();
}

void Input::send(std::span<const InputEvent> events) {
  {
    std::lock_guard lock(waiting_mutex_);
    if (!driven_ || events.empty()) return;
    if (waiting_.size() + events.size() + 1 > kMaxWaiting) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    waiting_.insert(waiting_.end(), events.begin(), events.end());
    waiting_.push_back({EV_SYN, SYN_REPORT, 0});
  }
  host_->kick(kEventQueue);
}

bool Input::process(unsigned index) { return index == kEventQueue ? deliver() : take_status(); }

bool Input::deliver() {
  Queue& queue = host_->queue(kEventQueue);
  bool more = false;
  for (unsigned budget = kBudget;; --budget) {
    std::unique_lock lock(waiting_mutex_);
    if (waiting_.empty()) break;
    if (budget == 0) {
      more = true;
      break;
    }
    const InputEvent event = waiting_.front();
    const Queue::Pop popped = queue.pop(chain_);
    if (popped == Queue::Pop::kChain) waiting_.pop_front();
    lock.unlock();
    if (popped == Queue::Pop::kBroken) host_->fail(queue.error());
    if (popped != Queue::Pop::kChain) {
      if (!queue.enable_notifications()) break;
      continue;
    }
    const size_t written = chain_.write(host_->dma(), 0, &event, sizeof event);
    queue.push(chain_.head, static_cast<uint32_t>(written));
  }
  host_->publish(kEventQueue);
  return more;
}

// LEDs, of which there are none, and the keys' repetition, which is the driver's.
bool Input::take_status() {
  Queue& queue = host_->queue(1);
  for (unsigned budget = kBudget; budget > 0; --budget) {
    const Queue::Pop popped = queue.pop(chain_);
    if (popped == Queue::Pop::kBroken) host_->fail(queue.error());
    if (popped != Queue::Pop::kChain) {
      if (queue.enable_notifications()) continue;
      break;
    }
    queue.push(chain_.head, 0);
  }
  host_->publish(1);
  return queue.has_available();
}

void Input::counters(CounterVisitor visit, void* context) const {
  visit(context, "input_dropped", dropped_.load(std::memory_order_relaxed));
}

void Input::save(StateWriter& out) const {
  std::lock_guard lock(waiting_mutex_);
  out.put(select_);
  out.put(subselect_);
  out.put<uint8_t>(driven_ ? 1 : 0);
  out.put(static_cast<uint32_t>(waiting_.size()));
  for (const InputEvent& event : waiting_) out.put(event);
}

bool Input::load(StateReader& in) {
  std::lock_guard lock(waiting_mutex_);
  select_ = in.get<uint8_t>();
  subselect_ = in.get<uint8_t>();
  driven_ = in.get<uint8_t>() != 0;
  const auto size = in.get<uint32_t>();
  if (size > kMaxWaiting) return false;
  waiting_.clear();
  for (uint32_t i = 0; i < size; ++i) waiting_.push_back(in.get<InputEvent>());
  return in.ok();
}

}  // namespace trapline::virtio
