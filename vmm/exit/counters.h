// What the exit path counts, always: exits by class, what became of them, accesses by register. One
// object a vCPU, written only by its thread, by bump(); any thread may merge() it into one of its
// own at any time.
#ifndef TRAPLINE_VMM_EXIT_COUNTERS_H_
#define TRAPLINE_VMM_EXIT_COUNTERS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "mmio/bus.h"
#include "mmio/emulate.h"
#include "mmio/sysreg.h"
#include "mmio/zero_memory.h"
#include "vmm/exit/shared_count.h"
#include "vmm/vcpu/syndrome.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

enum class ExitClass : uint8_t {
  kDataAbortIsv1,
  kDataAbortIsv0,
  kPrefetchAbort,
  kSysreg,
  kHvc,
  kWfx,
  kOther,
  kCount
};
const char* exit_class_name(ExitClass c);

// What an exit counts as.
inline constexpr auto kClassOfKind = [] {
  std::array<ExitClass, static_cast<size_t>(ExitKind::kCount)> table{};
  table.fill(ExitClass::kOther);
  const auto set = [&](ExitKind kind, ExitClass c) { table[static_cast<size_t>(kind)] = c; };
  set(ExitKind::kDataAbort, ExitClass::kDataAbortIsv0);
  set(ExitKind::kPrefetchAbort, ExitClass::kPrefetchAbort);
  set(ExitKind::kSysreg, ExitClass::kSysreg);
  set(ExitKind::kHvc, ExitClass::kHvc);
  set(ExitKind::kWfi, ExitClass::kWfx);
  set(ExitKind::kWfe, ExitClass::kWfx);
  return table;
}();
inline ExitClass class_of(const Exit& exit) {
  const ExitClass c = kClassOfKind[static_cast<size_t>(exit.kind)];
  return c == ExitClass::kDataAbortIsv0 && DataAbort{exit.esr}.valid() ? ExitClass::kDataAbortIsv1
                                                                       : c;
}

// The register that an access of a device counts for: by words. A window as large as a flash bank
// holds no registers: it counts as one.
inline constexpr uint64_t kLargestFile = uint64_t{2} << 20;  // bytes, of a device's registers
constexpr uint64_t register_offset(uint64_t window_size, uint64_t offset) {
  return window_size > kLargestFile ? 0 : offset & ~uint64_t{3};
}
// The same of a region that has parts: `index` becomes that of the one that answered.
uint64_t register_in_window(const Bus::Region& region, uint64_t offset, uint16_t& index);

struct ExitCounters {
  uint64_t decode_ok = 0;
  uint64_t decode_unsupported = 0;
  uint64_t decode_fallback = 0;  // words that Capstone left to the native decoder
  uint64_t retries = 0;          // rule 1: nothing emulated, the guest runs the instruction again
  uint64_t disagreements = 0;    // of those: the decoded access contradicted the syndrome
  uint64_t stuck_aborts = 0;     // external aborts after too long without progress
  uint64_t external_aborts = 0;  // delivered to the guest, all causes
  uint64_t unmapped_accesses = 0;
  uint64_t unsupported_accesses = 0;
  uint64_t exclusives = 0;  // load-exclusives stepped on from, where a monitor has to be helped
  uint64_t exclusives_beyond = 0;  // of those: no store-exclusive within reach: external aborts
  uint64_t undefined = 0;          // system registers nobody answers for
};

class VcpuCounters final : public AccessObserver {
 public:
  VcpuCounters();

  [[gnu::always_inline]] void device_access(const Bus::Region& region, uint64_t offset,
                                            unsigned /*size*/, bool write, uint64_t /*value*/,
                                            bool /*abort*/) override {
    uint16_t index = region.index;
    if (region.has_parts) [[unlikely]] {
      offset = register_in_window(region, offset, index);
    } else {
      offset = register_offset(region.size, offset);
    }
    const uint32_t key = uint32_t{index} << kRegionShift | static_cast<uint32_t>(offset >> 2);
    RegisterCount& count = slot(key, offset);
    bump(write ? count.writes : count.reads);
  }
  void unmapped_access(uint64_t ipa, unsigned size, bool write) override;
  void sysreg_access(SysregId id, bool write) {
    RegisterCount& count = slot(kSysregBit | id, id);
    bump(write ? count.writes : count.reads);
  }

  void exit(ExitClass c) { bump(exits[static_cast<size_t>(c)]); }

  // `other` may be counting meanwhile.
  void merge(const VcpuCounters& other);

  // Accesses of one register of one device, or of one system register.
  struct RegisterCount {
    // region index << 22 | offset >> 2 (capped), or kSysregBit | SysregId; + 1.
    uint32_t key = 0;
    uint64_t reads = 0, writes = 0;
    uint64_t offset = 0;
  };
  static constexpr uint32_t kSysregBit = 0x8000'0000;
  static constexpr unsigned kRegionShift = 22;  // of a device's key: Region::index above it
  static constexpr size_t region_of(uint32_t key) { return key >> kRegionShift; }

  std::array<uint64_t, static_cast<size_t>(ExitClass::kCount)> exits{};
  ExitCounters counters;
  std::vector<RegisterCount> register_counts() const;  // non-zero ones
  struct DeviceCount {
    uint64_t reads = 0, writes = 0;
  };
  // By Region::index; complete, where a guest can overfill the table of registers.
  static constexpr size_t kRegions = 256;
  std::array<DeviceCount, kRegions> region_counts() const;

 private:
  static constexpr unsigned kSlotsLog2 = 12;
  static constexpr size_t kSlots = size_t{1} << kSlotsLog2;
  static size_t home(uint32_t key) { return (key * 0x9e3779b1u) >> (32 - kSlotsLog2); }

  [[gnu::always_inline]] RegisterCount& slot(uint32_t key, uint64_t offset) {
    RegisterCount& entry = table_[home(key)];
    return entry.key == key + 1 ? entry : find_slot(key, offset);
  }
  RegisterCount& find_slot(uint32_t key, uint64_t offset);

  ZeroArray<RegisterCount> table_;
  // Which of it are in use, in the order of their first access.
  ZeroArray<uint16_t> order_;
  size_t used_ = 0;  // stored last
  // What the table has no room for: by region, and of system registers, the last.
  std::array<RegisterCount, kRegions + 1> overflow_{};
};

struct CacheCounters {
  uint64_t hits = 0, misses = 0, invalidations = 0;
  uint64_t mismatches = 0;  // --icache-check: hits that a fresh walk, fetch and decode contradict
  uint64_t overtaken = 0;   // and hits that another thread's write overtook while they were checked
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_EXIT_COUNTERS_H_
