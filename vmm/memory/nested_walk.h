// Translation where a guest is a hypervisor: stage 1 of its own guest, then the hypervisor's stage
// 2 (VTCR_EL2, VTTBR_EL2; D8.2), both read through Trapline's stage 2. "Guest stage 2" is always
// the hypervisor's; what comes out of it is an IPA of Trapline's stage 2, to be walked by the
// caller.
#ifndef TRAPLINE_VMM_MEMORY_NESTED_WALK_H_
#define TRAPLINE_VMM_MEMORY_NESTED_WALK_H_

#include <cstdint>

#include "vmm/memory/walk.h"

namespace trapline {

struct GuestStage2Walk {
  enum class Status : uint8_t {
    kOk,
    kFault,       // the hypervisor's stage 2 does not map the address: fsc, level; never permission
    kTableFault,  // Trapline's stage 2 does not let the table entry at table_ipa be read
  };
  Status status = Status::kFault;
  uint8_t fsc = 0;    // with its level
  uint8_t level = 0;  // of the leaf, or of the fault
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool device = false;       // by MemAttr
  uint8_t mem_attr = 0;      // descriptor bits 5:2
  uint8_t shareability = 0;  // descriptor bits 9:8
  uint8_t page_log2 = 12;    // size of the leaf
  uint64_t ipa = 0;          // output, of the byte asked for
  uint64_t table_ipa = 0;
};

// The translation of an IPA of the inner guest. `read(ipa, uint64_t& descriptor) -> bool` reads a
// table entry through Trapline's stage 2.
template <typename ReadDescriptor>
GuestStage2Walk walk_guest_stage2(const TranslationRegs& regs, uint64_t ipa, ReadDescriptor&& read);

struct NestedWalk {
  enum class Status : uint8_t {
    kOk,
    kStage1Fault,  // stage 1 refuses: fsc. The fault of a guest without a hypervisor
    kStage2Fault,  // the hypervisor's stage 2 refuses: an exception to EL2 with fsc, s1ptw, and
                   // fault_ipa for HPFAR_EL2
    kTableFault,   // Trapline's stage 2 does not let the table entry at `ipa` be read: an external
                   // abort on a walk (fsc); of the hypervisor's stage 2 if `of_stage2`
  };
  Status status = Status::kStage1Fault;
  uint8_t fsc = 0;         // with its level
  int8_t level = 0;        // of fsc
  bool s1ptw = false;      // stage 2 refused a table of stage 1, not the address itself
  bool of_stage2 = false;  // kTableFault: a table of the guest's stage 2 (taken to EL2)
  bool ipa_valid = true;   // kStage2Fault: HPFAR_EL2 is not UNKNOWN (D17.2.65)
  uint64_t fault_ipa = 0;  // the inner guest's: output of stage 1, or of the stage-1 table's entry
  uint64_t ipa = 0;        // output: Trapline's IPA of the byte asked for; or of a table's entry

  // Both stages, at the EL asked for. Stage 1 alone is in `stage1`, the last stage-2 walk in
  // `stage2` (of the address itself if status is kOk).
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool device = false;
  uint8_t page_log2 = 12;  // the smaller leaf
  Stage1Walk stage1;
  GuestStage2Walk stage2;

  // Every descriptor read, in order, by its address in Trapline's stage 2. Five levels of stage 1,
  // each behind the levels of stage 2, and those of the address: with 40-bit addresses stage 2 has
  // at most three.
  static constexpr unsigned kMaxLoads = 5 * (3 + 1) + 3;
  uint8_t loads = 0;
  uint64_t descriptor_ipa[kMaxLoads];
  uint64_t descriptor[kMaxLoads];
};

// What walks of one stage say, of both: the output and the rights, or why there are none.
inline Stage1Walk outcome(const NestedWalk& nested);

// Stage 1 and, if regs.guest_stage2 says so, the hypervisor's stage 2. With `check_stage2` false
// its rights over the address itself do not matter (cache maintenance), only its mapping.
// `Features` are stage 1's; stage 2 is always SoftWalkFeatures'.
template <typename Features = SoftWalkFeatures, typename ReadDescriptor>
NestedWalk walk_nested(const TranslationRegs& regs, uint64_t va, WalkFor purpose, bool el0,
                       ReadDescriptor&& read, bool check_stage2 = true);

}  // namespace trapline

#endif  // TRAPLINE_VMM_MEMORY_NESTED_WALK_H_
