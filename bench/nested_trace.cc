// The walker of vmm/memory/walk_inl.h, compiled once more against registers that note who reads
// them: the counts are those of the code that runs, not of a description of it.
#include "bench/nested_trace.h"

#include <array>

namespace trapline {

struct TracedRegister {
  uint64_t value = 0;
  mutable uint32_t reads = 0;
  constexpr operator uint64_t() const {
    ++reads;
    return value;
  }
};
struct TracedRegisters {
  TracedRegister sctlr, tcr, ttbr0, ttbr1, mair, pan;
  Regime regime = Regime::kEl10;  // the CPU's state, no register
  uint8_t guest_stage2 = 0;
};

}  // namespace trapline

// Every function of walk_inl.h that takes the registers becomes an overload for the traced ones.
#define TranslationRegs TracedRegisters
#include "vmm/memory/walk_inl.h"
#undef TranslationRegs

namespace trapline::bench {

WalkTrace trace_walk(const WalkRig& rig) {
  const auto& from = rig.regs();
  TracedRegisters regs;
  regs.sctlr.value = from.sctlr;
  regs.tcr.value = from.tcr;
  regs.ttbr0.value = from.ttbr0;
  regs.ttbr1.value = from.ttbr1;
  regs.mair.value = from.mair;

  WalkTrace out;
  const Stage1Walk walk = walk_stage1<SoftWalkFeatures>(
      regs, WalkRig::kCodeVa, WalkFor::kFetch, false,
      [&](uint64_t at, uint64_t& descriptor) { return rig.read_descriptor(at, descriptor); });
  out.found = walk.status == Stage1Walk::Status::kOk;
  out.descriptors = walk.table_loads;
  const std::array<std::pair<const char*, const TracedRegister*>, 6> all = {
      {{"SCTLR_EL1", &regs.sctlr},
       {"TCR_EL1", &regs.tcr},
       {"TTBR0_EL1", &regs.ttbr0},
       {"TTBR1_EL1", &regs.ttbr1},
       {"MAIR_EL1", &regs.mair},
       {"PSTATE.PAN", &regs.pan}}};
  for (const auto& [name, reg] : all) {
    if (reg->reads == 0) continue;
    out.registers.emplace_back(name);
    out.register_uses += reg->reads;
  }
  return out;
}

}  // namespace trapline::bench
