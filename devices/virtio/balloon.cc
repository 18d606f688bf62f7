#include "devices/virtio/balloon.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace trapline::virtio {
namespace {

constexpr uint64_t kStatsVq = uint64_t{1} << 1, kDeflateOnOom = uint64_t{1} << 2,
                   kPageReporting = uint64_t{1} << 5;  // 5.5.3
enum QueueIndex : unsigned { kInflate = 0, kDeflate = 1, kStatistics = 2 };
constexpr unsigned kBudget = 16;
constexpr size_t kPiece = 1024;      // page numbers that are looked at together
constexpr uint64_t kStatBytes = 10;  // struct virtio_balloon_stat: le16 tag, le64 value
constexpr uint32_t kActualAt = 4;    // in the configuration space

}  // namespace

uint64_t Balloon::features() const { return kStatsVq | kDeflateOnOom | kPageReporting; }

void Balloon::set_target(uint64_t bytes) {
  target_ = static_cast<uint32_t>(bytes / kPageBytes);
  host_->config_changed();
}

Balloon::Shown Balloon::shown() {
  Shown shown{target_ * kPageBytes, actual_ * kPageBytes, reported_, {}};
  {
    std::lock_guard lock(statistics_mutex_);
    shown.stats = statistics_;
  }
  // Under icount nobody from outside has a say.
  if (!host_->deterministic()) {
    wants_statistics_ = true;
    host_->kick(kStatistics);
  }
  return shown;
}

void Balloon::config_read(unsigned offset, void* out, unsigned size) const {
  const uint32_t config[2] = {target_, actual_};
  std::memcpy(out, reinterpret_cast<const uint8_t*>(config) + offset, size);
}

void Balloon::config_write(unsigned offset, const void* data, unsigned size) {
  if (offset != kActualAt || size != sizeof(uint32_t)) return;
  uint32_t actual;
  std::memcpy(&actual, data, sizeof actual);
  actual_ = actual;
}

// Its pages are the guest's again (5.5.6.1).
void Balloon::reset() {
  actual_ = 0;
  statistics_read_ = false;
  std::lock_guard lock(statistics_mutex_);
  statistics_ = {};
}

bool Balloon::process(unsigned index) {
  if (index == kStatistics) return take_statistics();
  Queue& queue = host_->queue(index);
  for (unsigned budget = kBudget; budget > 0; --budget) {
    const Queue::Pop popped = queue.pop(chain_);
    if (popped == Queue::Pop::kBroken) host_->fail(queue.error());
    if (popped != Queue::Pop::kChain) {
      if (queue.enable_notifications()) continue;
      break;
    }
    if (index == kInflate) inflate();
    if (index > kStatistics) report_free();
    queue.push(chain_.head, 0);  // a deflated page is filled when the guest touches it
  }
  host_->publish(index);
  return queue.has_available();
}

// Page numbers, four bytes each; runs of them go back as one.
void Balloon::inflate() {
  std::vector<uint32_t> pages(kPiece);
  uint64_t begin = 0, end = 0;  // bytes
  const auto give_back = [&] {
    if (begin == end) return;
    if (host_->dma().host(begin, end - begin) == nullptr) {
      host_->report().add("pages in the balloon that are not RAM");
      return;
    }
    give_back_(begin, end - begin);
    inflated_.fetch_add(end - begin, std::memory_order_relaxed);
  };
  // A driver has 256 of them in a buffer; a chain of another kind is cut at this bound.
  for (uint64_t at = 0; at < 64 * kPiece * sizeof(uint32_t); at += kPiece * sizeof(uint32_t)) {
    const size_t bytes = chain_.read(at, pages.data(), kPiece * sizeof(uint32_t));
    for (size_t i = 0; i < bytes / sizeof(uint32_t); ++i) {
      const uint64_t page = pages[i] * kPageBytes;
      if (page != end) {
        give_back();
        begin = page;
      }
      end = page + kPageBytes;
    }
    if (bytes < kPiece * sizeof(uint32_t)) break;
  }
  give_back();
}

// 5.5.6.7: the buffer itself is what is free.
void Balloon::report_free() {
  for (const Segment& s : chain_.writable) {
    const uint64_t begin = (s.ipa + kPageBytes - 1) & ~(kPageBytes - 1);
    const uint64_t end = (s.ipa + s.size) & ~(kPageBytes - 1);
    if (begin >= end) continue;
    give_back_(begin, end - begin);
    reported_.fetch_add(end - begin, std::memory_order_relaxed);
  }
}

// 5.5.6.3: a driver has one buffer, which it brings full; when it gets it back, it fills it anew.
// So it stays in the ring until new ones are wanted.
bool Balloon::take_statistics() {
  Queue& queue = host_->queue(kStatistics);
  for (unsigned budget = kBudget; budget > 0; --budget) {
    const Queue::Pop popped = queue.pop(chain_);
    if (popped == Queue::Pop::kBroken) host_->fail(queue.error());
    if (popped != Queue::Pop::kChain) {
      if (queue.enable_notifications()) continue;
      break;
    }
    if (!statistics_read_) {
      // In this order: who saw what this read, and wants more, must not be forgotten.
      wants_statistics_ = false;
      read_statistics();
      statistics_read_ = true;
    }
    if (!wants_statistics_) {
      queue.unpop(1);
      break;
    }
    queue.push(chain_.head, 0);
    statistics_read_ = false;
  }
  host_->publish(kStatistics);
  return false;
}

void Balloon::read_statistics() {
  std::array<uint8_t, kStatNames.size() * kStatBytes * 2> bytes;
  const size_t size = chain_.read(0, bytes.data(), bytes.size());
  std::lock_guard lock(statistics_mutex_);
  for (size_t at = 0; at + kStatBytes <= size; at += kStatBytes) {
    uint16_t tag;
    uint64_t value;
    std::memcpy(&tag, bytes.data() + at, sizeof tag);
    std::memcpy(&value, bytes.data() + at + sizeof tag, sizeof value);
    if (tag < statistics_.size()) statistics_[tag] = value;
  }
}

void Balloon::counters(CounterVisitor visit, void* context) const {
  visit(context, "balloon_actual_bytes", actual_ * kPageBytes);
  visit(context, "balloon_inflated_bytes", inflated_.load(std::memory_order_relaxed));
  visit(context, "balloon_reported_bytes", reported_.load(std::memory_order_relaxed));
}

void Balloon::save(StateWriter& out) const {
  out.put(target_.load());
  out.put(actual_.load());
}

bool Balloon::load(StateReader& in) {
  target_ = in.get<uint32_t>();
  actual_ = in.get<uint32_t>();
  statistics_read_ = false;
  return in.ok();
}

}  // namespace trapline::virtio
