// Translation with an explicit regime, for address-translation and cache-maintenance instructions
// that do not check what a load would; everybody else uses mmu_translate() of cpu.h.
#ifndef TRAPLINE_VMM_SOFT_MMU_H_
#define TRAPLINE_VMM_SOFT_MMU_H_

#include <cstdint>

#include "vmm/memory/table_reader.h"
#include "vmm/memory/walk_inl.h"
#include "vmm/soft/cpu.h"

namespace trapline::soft {

// Stage 1 by `regs` and, where the guest is a hypervisor and its guest runs, its stage 2: out of
// both comes an address of our stage 2. False: `fault` is what came in the way, on a walk of stage
// 1 the level in walk.level; only what is about faults is filled in. With check_stage2 false the
// hypervisor's rights over the address do not matter.
bool walk_guest(const TranslationRegs& regs, uint64_t va, WalkFor purpose, bool el0,
                TableReader& reader, Stage1Walk& walk, MmuResult& fault, bool check_stage2 = true);

// As mmu_translate(), by `regs`. With check_stage2 false stage 2 must map the address but its
// rights are not checked.
MmuResult translate_with(const Cpu& cpu, const TranslationRegs& regs, uint64_t va, WalkFor purpose,
                         bool el0, bool check_stage2);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_MMU_H_
