// The system registers as data: one row a register, for MRS/MSR, register dumps and gdb.
#ifndef TRAPLINE_VMM_SOFT_SYSREG_TABLE_H_
#define TRAPLINE_VMM_SOFT_SYSREG_TABLE_H_

#include <cstdint>
#include <span>

#include "vmm/soft/cpu.h"

namespace trapline::soft {

// Who may do what; what EL1 may, EL2 may, too. Accesses that a row allows may still be trapped:
// EL0's by `gate`, those below EL2 by `trap`.
enum SysregAccess : uint8_t {
  kEl1Read = 1,
  kEl1Write = 2,
  kEl0Read = 4,
  kEl0Write = 8,
  kEl2Read = 16,
  kEl2Write = 32,
  kNeedsVhe = 64,   // there only with FEAT_VHE
  kNeedsMax = 128,  // and of CpuModel::kMax
};

// The control of EL2 that traps an access from below (EC 0x18).
enum class SysregTrap : uint8_t {
  kNone,
  kVm,        // HCR_EL2.TVM writes, TRVM reads
  kTid1,      // HCR_EL2.TID1
  kTid2,      // TID2
  kTid3,      // TID3
  kTacr,      // TACR
  kCpacr,     // CPTR_EL2.TCPAC
  kDebug,     // MDCR_EL2.TDA, or TDE
  kDebugRom,  // TDRA, or TDE
  kDebugOs,   // TDOSA, or TDE
  kCounter,   // CNTHCTL_EL2.EL1PCTEN
  kTimer,     // CNTHCTL_EL2.EL1PTEN, or EL1PCEN
  kSre,       // ICC_SRE_EL2.Enable
  kSgi,       // HCR_EL2.IMO or FMO: SGIs are not virtualised by hardware; ICH_HCR_EL2.TC
  kPmu,       // MDCR_EL2.TPM
  kPmcr,      // TPM or TPMCR
  // By ICH_HCR_EL2; else made virtual, ICV_*.
  kGroup0,  // TALL0; HCR_EL2.FMO
  kGroup1,  // TALL1; HCR_EL2.IMO
  kEither,  // TC; either
  kDir,     // TC or TDIR; either
};

// The control that lets an access through, else it traps to EL1 (EC 0x18; kFpen: EC 0x07).
enum class SysregGate : uint8_t {
  kNone,
  kUct,     // SCTLR_EL1.UCT, EL0
  kUma,     // SCTLR_EL1.UMA, EL0
  kTdcc,    // MDSCR_EL1.TDCC, EL0
  kPct,     // CNTKCTL_EL1.EL0PCTEN, EL0
  kVct,     // CNTKCTL_EL1.EL0VCTEN, EL0
  kFrq,     // either of the two, EL0
  kPtimer,  // CNTKCTL_EL1.EL0PTEN, EL0
  kVtimer,  // CNTKCTL_EL1.EL0VTEN, EL0
  kFpen,    // CPACR_EL1.FPEN, both ELs
  // PMUSERENR_EL0, EL0: EN or
  kPmuEn,
  kPmuSw,  // SW
  kPmuCr,  // CR, reads
  kPmuEr,  // ER, reads
  kPmuErBoth,
};

// What a write means for the rest of the CPU.
enum class SysregEffect : uint8_t {
  kNone,
  kNewBlock,     // interrupts may have become unmasked
  kTranslation,  // update_regime()
  kDebug,        // debug_context_changed()
  kDevice,       // reads and writes leave run() as kSysreg; where there is storage, writes only
};

struct SysregRow {
  SysregId id = 0;
  uint8_t access = 0;
  SysregGate gate = SysregGate::kNone;
  SysregEffect effect = SysregEffect::kNone;
  SysregTrap trap = SysregTrap::kNone;
  const char* name = nullptr;
  // Plain storage: an offset in SystemRegisters, -1 if none; a write keeps the bits of `mask` and
  // sets those of `ones`.
  int16_t offset = -1;
  uint64_t mask = 0;
  uint64_t ones = 0;  // without storage: the constant value
  uint64_t (*get)(const Cpu&) = nullptr;
  void (*set)(Cpu&, uint64_t) = nullptr;
};

// What an encoding names at the present EL: with E2H the names of EL1's registers are EL2's, and
// those of *_EL12 and *_EL02 are EL1's (D8.1.6). 0: nothing.
SysregId canonical_sysreg(const Cpu& cpu, SysregId id);

// Null if there is no such register.
const SysregRow* find_sysreg(SysregId id);
// All rows, in the order of the table: for dumps.
std::span<const SysregRow> sysreg_rows();
// "SCTLR_EL1"; null if unknown.
const char* sysreg_name(SysregId id);

// The value, whatever its source, without permission checks.
uint64_t sysreg_value(const Cpu& cpu, const SysregRow& row);
void set_sysreg_value(Cpu& cpu, const SysregRow& row, uint64_t value);

// The identification space that reads as zero where no row says otherwise (D17.2).
constexpr bool in_id_space(SysregId id) {
  return id >= sysreg_id(3, 0, 0, 1, 0) && id <= sysreg_id(3, 0, 0, 7, 7);
}

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_SYSREG_TABLE_H_
