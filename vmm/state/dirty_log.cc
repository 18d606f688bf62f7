#include "vmm/state/dirty_log.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "vmm/config/platform.h"
#include "vmm/state/format.h"

namespace trapline::state {
namespace {

bool is_zero(const uint8_t* page) {
  uint64_t words[8];
  for (size_t at = 0; at < kPageSize; at += sizeof words) {
    std::memcpy(words, page + at, sizeof words);
    uint64_t any = 0;
    for (const uint64_t word : words) any |= word;
    if (any != 0) return false;
  }
  return true;
}

}  // namespace

uint64_t PageSet::count() const {
  uint64_t sum = 0;
  for (const uint64_t word : words_) sum += static_cast<unsigned>(std::popcount(word));
  return sum;
}

void PageSet::add(const PageSet& other) {
  for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
}

void PageSet::add_all() {
  std::fill(words_.begin(), words_.end(), ~uint64_t{0});
  if (pages_ % 64 != 0) words_.back() = (uint64_t{1} << pages_ % 64) - 1;
}

void PageSet::clear() { std::fill(words_.begin(), words_.end(), 0); }

GuestMemory::Slot& ram_of(Machine& machine) {
  std::vector<GuestMemory::Slot>& slots = machine.memory().slots();
  return *std::find_if(slots.begin(), slots.end(), [](const GuestMemory::Slot& slot) {
    return slot.base == platform::kRamBase;
  });
}

DirtyLog::DirtyLog(Machine& machine) : machine_(machine), since_(ram_of(machine).pages()) {}

void DirtyLog::start() {
  if (machine_.memory().tracks_dirty()) return;
  machine_.memory().track_dirty();
  machine_.backend().track_writes();
}

PageSet DirtyLog::take() {
  GuestMemory::Slot& ram = ram_of(machine_);
  PageSet set(ram.pages());
  for (size_t i = 0; i < set.words().size(); ++i) set.words()[i] = GuestMemory::take_dirty(ram, i);
  machine_.backend().track_writes();
  since_.add(set);
  return set;
}

bool copy_pages(Machine& machine, const PageSet& set, bool fresh, PageSink& sink) {
  const GuestMemory::Slot& ram = ram_of(machine);
  std::vector<uint8_t> copy(kMostPages * kPageSize);
  uint64_t page = 0;
  while (page < set.pages()) {
    const uint64_t word = set.words()[page / 64] >> page % 64;
    if (word == 0) {
      page = (page / 64 + 1) * 64;
      continue;
    }
    page += static_cast<unsigned>(std::countr_zero(word));
    // A run within the word. The bytes change while they are looked at: what is sent is a copy.
    const uint64_t first = page;
    const auto most = std::min<uint64_t>(
        static_cast<unsigned>(std::countr_one(set.words()[page / 64] >> page % 64)), kMostPages);
    uint64_t n = 0;
    while (n < most && (!fresh || !is_zero(ram.host + (first + n) * kPageSize))) ++n;
    page += std::max<uint64_t>(n, 1);
    if (n == 0) continue;
    std::memcpy(copy.data(), ram.host + first * kPageSize, n * kPageSize);
    for (uint64_t at = 0; at < n;) {
      const bool zero = is_zero(copy.data() + at * kPageSize);
      uint64_t end = at + 1;
      while (end < n && is_zero(copy.data() + end * kPageSize) == zero) ++end;
      const auto count = static_cast<uint32_t>(end - at);
      if (zero ? !sink.zeroes(first + at, count)
               : !sink.pages(first + at, count, copy.data() + at * kPageSize)) {
        return false;
      }
      at = end;
    }
  }
  return true;
}

}  // namespace trapline::state
