#include "vmm/exit/counters.h"

#include <algorithm>
#include <iterator>

#include "vmm/exit/observer.h"

namespace trapline {

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

VcpuCounters::VcpuCounters() : table_(kSlots) {}

// Open addressing over a fixed table: a guest that sprays addresses fills it and lands in
// overflow_.
VcpuCounters::RegisterCount& VcpuCounters::find_slot(uint32_t key, uint64_t offset) {
  uint32_t tag = key + 1;
  for (size_t i = home(key), probe = 0; probe < 16; ++probe, i = (i + 1) % kSlots) {
    RegisterCount& entry = table_[i];
    if (entry.key == tag) return entry;
    if (entry.key == 0) {
      if (used_ >= kSlots * 3 / 4) break;
      ++used_;
      entry.key = tag;
      entry.offset = offset;
      return entry;
    }
  }
  return overflow_[std::min<size_t>(region_of(key), kRegions)];
}

void VcpuCounters::unmapped_access(uint64_t /*ipa*/, unsigned /*size*/, bool /*write*/) {
  ++counters.unmapped_accesses;
}

void VcpuCounters::merge(const VcpuCounters& other) {
  for (size_t i = 0; i < exits.size(); ++i) exits[i] += other.exits[i];
  counters.decode_ok += other.counters.decode_ok;
  counters.decode_unsupported += other.counters.decode_unsupported;
  counters.decode_fallback += other.counters.decode_fallback;
  counters.retries += other.counters.retries;
  counters.disagreements += other.counters.disagreements;
  counters.stuck_aborts += other.counters.stuck_aborts;
  counters.external_aborts += other.counters.external_aborts;
  counters.unmapped_accesses += other.counters.unmapped_accesses;
  counters.unsupported_accesses += other.counters.unsupported_accesses;
  counters.undefined += other.counters.undefined;
  for (const RegisterCount& count : other.table_) {
    if (count.key == 0) continue;
    RegisterCount& mine = slot(count.key - 1, count.offset);
    mine.reads += count.reads;
    mine.writes += count.writes;
  }
  for (size_t i = 0; i < overflow_.size(); ++i) {
    overflow_[i].reads += other.overflow_[i].reads;
    overflow_[i].writes += other.overflow_[i].writes;
  }
}

std::vector<VcpuCounters::RegisterCount> VcpuCounters::register_counts() const {
  std::vector<RegisterCount> result;
  for (const RegisterCount& count : table_) {
    if (count.key == 0) continue;
    result.push_back(count);
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
