#include "devices/virtio/nbd_journal.h"

#include <algorithm>
#include <new>
#include <utility>

namespace trapline::virtio {
namespace {

uint64_t cost_of(const NbdWrite& write) {
  return NbdJournal::cost(write.data != nullptr ? write.bytes : 0);
}

bool overlap(const NbdWrite& a, const NbdWrite& b) {
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

}  // namespace

void NbdJournal::add(NbdWrite write) {
  ++added_;
  const uint64_t cost = cost_of(write);
  // What is incomplete anyway is not worth its memory.
  if (!whole() || !has_room(cost)) return forget();
  try {
    writes_.push_back(std::move(write));
  } catch (const std::bad_alloc&) {
    return forget();
  }
  cost_ += cost;
}

void NbdJournal::forget() {
  writes_.clear();
  cost_ = 0;
  forgotten_ = added_;
}

void NbdJournal::flushed(uint64_t mark) {
  if (forgotten_ <= mark) forgotten_ = 0;
  while (!writes_.empty() && added_ - writes_.size() < mark) {
    cost_ -= cost_of(writes_.front());
    writes_.pop_front();
  }
}

size_t NbdJournal::apart(size_t first, size_t most) const {
  const size_t end = std::min(writes_.size(), first + most);
  size_t i = first;
  for (; i < end; ++i) {
    const auto from = writes_.begin() + static_cast<ptrdiff_t>(first);
    const auto to = writes_.begin() + static_cast<ptrdiff_t>(i);
    if (std::any_of(from, to, [&](const NbdWrite& w) { return overlap(w, writes_[i]); })) break;
  }
  return i - first;
}

}  // namespace trapline::virtio
