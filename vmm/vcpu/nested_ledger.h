// What nesting would cost on hardware: of each exit of an inner guest, what its hypervisor did at
// EL2 that FEAT_NV or FEAT_NV2 would have made a trap to the host below. Counts only, summed over
// all vCPUs.
#ifndef TRAPLINE_VMM_VCPU_NESTED_LEDGER_H_
#define TRAPLINE_VMM_VCPU_NESTED_LEDGER_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace trapline {

// Why the inner guest left; the last two are no exits of it.
enum class NestedExit : uint8_t {
  kHypercall,    // HVC64
  kMmioIsv1,     // a data abort of the hypervisor's stage 2, and the guest went on behind it
  kMmioIsv0,     //
  kStage2Fault,  // it went on with the same instruction
  kIpi,          // an SGI by ICC_SGI*R
  kSysreg,       // another MRS or MSR
  kWfx,
  kInterrupt,
  kFp,
  kSmc,
  kOther,
  kForeign,  // interrupts and scheduling while no exit of the inner guest was being dealt with
  kCount
};
const char* nested_exit_name(NestedExit exit);

// What trapped: a register or a system instruction by its encoding in bits 15:0 as SysregId has it
// (op0 == 1: SYS), and what has none.
enum NestedTrap : uint32_t {
  kNestedWrite = 1u << 16,  // of a register
  kNestedEret = 1u << 17,
  kNestedHvc,
  kNestedSmc,
  kNestedExitItself,  // the exception from the inner guest to EL2
};

struct NestedCounts {
  uint64_t exits = 0;      // whose price is known: the same vCPU was entered again on the same CPU
  uint64_t moved = 0;      // it was entered on another: not in any sum
  uint64_t stays = 0;      // at EL2, until EL1 or EL0 ran
  uint64_t traps_nv = 0;   // with FEAT_NV
  uint64_t traps_nv2 = 0;  // and FEAT_NV2
  uint64_t erets = 0, tlbis = 0, ats = 0;
  uint64_t instructions = 0;  // between exit and entry, at any level
};

struct NestedTrapCount {
  uint64_t nv = 0, nv2 = 0;
};

struct NestedLedger {
  NestedCounts exits[static_cast<unsigned>(NestedExit::kCount)];
  std::map<std::pair<NestedExit, uint32_t>, NestedTrapCount> traps;  // by NestedTrap
  std::map<uint32_t, std::string> names;                             // of NestedTrap

  void merge(const NestedLedger& other);
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_VCPU_NESTED_LEDGER_H_
