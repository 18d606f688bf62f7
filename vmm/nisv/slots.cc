#include "vmm/nisv/slots.h"

#include <algorithm>

namespace trapline::nisv {

bool Slots::set(const kvm_userspace_memory_region& region) {
  Slot made{region, false, {}};
  bool gone = false;
  for (auto it = slots_.begin(); it != slots_.end(); ++it) {
    if (it->region.slot != region.slot) continue;
    const kvm_userspace_memory_region& old = it->region;
    gone = region.memory_size != old.memory_size || region.userspace_addr != old.userspace_addr ||
           region.guest_phys_addr != old.guest_phys_addr || region.flags != old.flags;
    if (!gone || region.memory_size != 0) made.written = std::move(it->written);
    slots_.erase(it);
    break;
  }
  if (region.memory_size == 0) return gone;
  const auto after = std::upper_bound(
      slots_.begin(), slots_.end(), region.guest_phys_addr,
      [](uint64_t ipa, const Slot& slot) { return ipa < slot.region.guest_phys_addr; });
  slots_.insert(after, std::move(made));
  return gone;
}

bool Slots::unmapped(uint64_t host, uint64_t size) {
  bool any = false;
  for (Slot& slot : slots_) {
    const uint64_t begin = slot.region.userspace_addr, end = begin + slot.region.memory_size;
    if (host >= end || host + size <= begin) continue;
    any = slot.unmapped = true;
  }
  return any;
}

const Slots::Slot* Slots::at(uint64_t ipa) const {
  auto after = std::upper_bound(
      slots_.begin(), slots_.end(), ipa,
      [](uint64_t value, const Slot& slot) { return value < slot.region.guest_phys_addr; });
  if (after == slots_.begin()) return nullptr;
  const Slot& slot = *--after;
  return ipa - slot.region.guest_phys_addr < slot.region.memory_size ? &slot : nullptr;
}

Slots::Found Slots::find(uint64_t ipa) const {
  const Slot* slot = at(ipa);
  if (slot == nullptr) return {};
  return {slot->region.userspace_addr + (ipa - slot->region.guest_phys_addr), true,
          (slot->region.flags & KVM_MEM_READONLY) == 0, !slot->unmapped};
}

void Slots::wrote(uint64_t ipa, uint64_t size) {
  auto* slot = const_cast<Slot*>(at(ipa));
  if (slot == nullptr || size == 0 || (slot->region.flags & KVM_MEM_LOG_DIRTY_PAGES) == 0) return;
  const uint64_t offset = ipa - slot->region.guest_phys_addr;
  const uint64_t last = std::min(offset + size, uint64_t{slot->region.memory_size}) - 1;
  const std::lock_guard lock(log_);
  slot->written.resize(slot->region.memory_size / page_ / 64 + 1);
  for (uint64_t page = offset / page_; page <= last / page_; ++page) {
    slot->written[page / 64] |= uint64_t{1} << (page % 64);
  }
}

void Slots::add_to_log(uint32_t number, uint64_t* bitmap) {
  for (Slot& slot : slots_) {
    if (slot.region.slot != number) continue;
    const std::lock_guard lock(log_);
    // KVM's bitmap is a whole number of words.
    const uint64_t words = (slot.region.memory_size / page_ + 63) / 64;
    for (uint64_t i = 0; i < std::min<uint64_t>(words, slot.written.size()); ++i) {
      bitmap[i] |= slot.written[i];
    }
    slot.written.clear();
  }
}

}  // namespace trapline::nisv
