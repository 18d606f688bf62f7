#include "vmm/exit/counters.h"

#include <algorithm>
#include <iterator>

#include "vmm/exit/observer.h"

namespace trapline {

uint64_t register_in_window(const Bus::Region& region, uint64_t offset, uint16_t& index) {
  BusTarget::Part part;
  if (!region.device->part_at(offset, part)) return register_offset(region.size, offset);
  index = part.region;
  return register_offset(part.size, part.offset);
}

const char* exit_class_name(ExitClass c) {
  static constexpr const char* kNames[] = {
      "data_abort.isv1", "data_abort.isv0", "prefetch_abort", "sysreg", "hvc", "wfx", "other"};
  static_assert(std::size(kNames) == static_cast<size_t>(ExitClass::kCount));
  return kNames[static_cast<size_t>(c)];
}

const char* stage_name(Stage s) {
  static constexpr const char* kNames[] = {"translate", "fetch", "decode", "lookup",
                                           "emulate",   "wake",  "arm"};
  static_assert(std::size(kNames) == static_cast<size_t>(Stage::kCount));
  return kNames[static_cast<size_t>(s)];
}

VcpuCounters::VcpuCounters()
    : table_(zero_array<RegisterCount>(kSlots)), order_(zero_array<uint16_t>(kSlots)) {
  static_assert(kSlots <= size_t{1} << 16);
}

// Open addressing over a fixed table: a guest that sprays addresses fills it and lands in
// overflow_.
VcpuCounters::RegisterCount& VcpuCounters::find_slot(uint32_t key, uint64_t offset) {
  uint32_t tag = key + 1;
  for (size_t i = home(key), probe = 0; probe < 16; ++probe, i = (i + 1) % kSlots) {
    RegisterCount& entry = table_[i];
    if (entry.key == tag) return entry;
    if (entry.key == 0) {
      if (used_ >= kSlots * 3 / 4) break;
      entry.offset = offset;
      __atomic_store_n(&entry.key, tag, __ATOMIC_RELEASE);
      order_[used_] = static_cast<uint16_t>(i);
      __atomic_store_n(&used_, used_ + 1, __ATOMIC_RELEASE);
      return entry;
    }
  }
  return overflow_[std::min<size_t>(region_of(key), kRegions)];
}

void VcpuCounters::unmapped_access(uint64_t /*ipa*/, unsigned /*size*/, bool /*write*/) {
  bump(counters.unmapped_accesses);
}

void VcpuCounters::merge(const VcpuCounters& other) {
  for (size_t i = 0; i < exits.size(); ++i) exits[i] += peek(other.exits[i]);
  static constexpr uint64_t ExitCounters::*kFields[] = {&ExitCounters::decode_ok,
                                                        &ExitCounters::decode_unsupported,
                                                        &ExitCounters::decode_fallback,
                                                        &ExitCounters::retries,
                                                        &ExitCounters::disagreements,
                                                        &ExitCounters::stuck_aborts,
                                                        &ExitCounters::external_aborts,
                                                        &ExitCounters::unmapped_accesses,
                                                        &ExitCounters::unsupported_accesses,
                                                        &ExitCounters::exclusives,
                                                        &ExitCounters::exclusives_beyond,
                                                        &ExitCounters::undefined};
  static_assert(sizeof kFields / sizeof kFields[0] == sizeof(ExitCounters) / sizeof(uint64_t));
  for (auto field : kFields) counters.*field += peek(other.counters.*field);
  const size_t used = __atomic_load_n(&other.used_, __ATOMIC_ACQUIRE);
  for (size_t n = 0; n < used; ++n) {
    const RegisterCount& count = other.table_[other.order_[n]];
    RegisterCount& mine = slot(count.key - 1, count.offset);
    mine.reads += peek(count.reads);
    mine.writes += peek(count.writes);
  }
  for (size_t i = 0; i < overflow_.size(); ++i) {
    overflow_[i].reads += peek(other.overflow_[i].reads);
    overflow_[i].writes += peek(other.overflow_[i].writes);
  }
}

std::vector<VcpuCounters::RegisterCount> VcpuCounters::register_counts() const {
  std::vector<RegisterCount> result;
  for (size_t n = 0; n < used_; ++n) {
    result.push_back(table_[order_[n]]);
    --result.back().key;
  }
  return result;
}

std::array<VcpuCounters::DeviceCount, VcpuCounters::kRegions> VcpuCounters::region_counts() const {
  std::array<DeviceCount, kRegions> result{};
  for (size_t i = 0; i < kRegions; ++i) result[i] = {overflow_[i].reads, overflow_[i].writes};
  for (const RegisterCount& count : register_counts()) {
    if ((count.key & kSysregBit) != 0) continue;
    result[region_of(count.key)].reads += count.reads;
    result[region_of(count.key)].writes += count.writes;
  }
  return result;
}

}  // namespace trapline
