#include "vmm/soft/sysreg_table.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <utility>

#include "vmm/memory/walk_inl.h"
#include "vmm/soft/el2.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/id_registers.h"

namespace trapline::soft {
namespace {

using Gate = SysregGate;
using Effect = SysregEffect;

constexpr uint8_t kRo1 = kEl1Read;
constexpr uint8_t kRw1 = kEl1Read | kEl1Write;
constexpr uint8_t kRo2 = kEl2Read;
constexpr uint8_t kRw2 = kEl2Read | kEl2Write;
constexpr uint8_t kRw2Vhe = kRw2 | kNeedsVhe;
constexpr uint8_t kRoAll = kEl1Read | kEl0Read;
constexpr uint8_t kRwAll = kRw1 | kEl0Read | kEl0Write;
constexpr uint8_t kRwAllMax = kRwAll | kNeedsMax;
constexpr uint64_t kAll = ~uint64_t{0};
constexpr uint64_t kLow32 = 0xffff'ffff;

// SCTLR_EL1 bits that do something here; D17.2.118.
constexpr uint64_t kSctlrWritable = 0x1f | 1 << 9 | 1 << 12 | 1 << 14 | 1 << 15 | 1 << 16 |
                                    1 << 18 | 1 << 19 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26;
// TCR_EL1 without HA, HD, HPDn, HWU, TBIDn, E0PDn (D17.2.131); bits 6 and 35 are RES0.
constexpr uint64_t kTcrWritable = 0x77'ffff'ffbf;
// SPSR_ELx: NZCV, DIT, PAN, SS, IL, DAIF, M.
uint64_t spsr_writable(const Cpu& cpu) { return id::with(cpu.model, 0xf070'03df, kPstateDit); }
// FPCR: AHP, DN, FZ, RMode; the trap enables read as zero. FPSR: QC and the cumulative flags.
constexpr uint64_t kFpcrWritable = 0x07c0'0000;
constexpr uint64_t kFpsrWritable = 0x0800'009f;
// MDSCR_EL1: SS, ERR, TDCC, KDE, HDE, MDE, SC2, TDA, INTdis, RXO, TXU, TXfull, RXfull.
constexpr uint64_t kMdscrWritable = 0x6cea'f041;

constexpr SysregRow constant(SysregId id, const char* name, uint8_t access, uint64_t value,
                             Gate gate = Gate::kNone) {
  SysregRow row;
  row.id = id;
  row.name = name;
  row.access = access;
  row.gate = gate;
  row.ones = value;
  return row;
}

constexpr SysregRow stored(SysregId id, const char* name, uint8_t access, size_t offset,
                           uint64_t mask, Effect effect = Effect::kNone, uint64_t ones = 0) {
  SysregRow row;
  row.id = id;
  row.name = name;
  row.access = access;
  row.offset = static_cast<int16_t>(offset);
  row.mask = mask;
  row.ones = ones;
  row.effect = effect;
  return row;
}

constexpr SysregRow computed(SysregId id, const char* name, uint8_t access,
                             uint64_t (*get)(const Cpu&), void (*set)(Cpu&, uint64_t) = nullptr,
                             Gate gate = Gate::kNone, Effect effect = Effect::kNone) {
  SysregRow row;
  row.id = id;
  row.name = name;
  row.access = access;
  row.get = get;
  row.set = set;
  row.gate = gate;
  row.effect = effect;
  return row;
}

constexpr SysregRow device(SysregId id, const char* name, uint8_t access, Gate gate = Gate::kNone) {
  SysregRow row = constant(id, name, access, 0, gate);
  row.effect = Effect::kDevice;
  return row;
}

// Of a device, which hears of each write, and of the CPU, which obeys it, too.
constexpr SysregRow mirrored(SysregId id, const char* name, size_t offset, uint64_t mask) {
  SysregRow row = stored(id, name, kRw2, offset, mask);
  row.effect = Effect::kDevice;
  return row;
}

constexpr uint64_t kIchTraps = 0x5c00;  // TC, TALL0, TALL1, TDIR: what is the CPU's

void ignore(Cpu&, uint64_t) {}
uint64_t read_zero(const Cpu&) { return 0; }

uint64_t read_ccsidr(const Cpu& cpu) {
  // CSSELR_EL1: level - 1 in bits 3:1, InD in bit 0.
  switch (cpu.sys.csselr_el1 & 15) {
    case 0:
    case 1:
      return id::kCcsidrL1;
    case 2:
      return id::kCcsidrL2;
    default:
      return 0;
  }
}

// Below EL2 the virtual interrupts where HCR_EL2 routes the physical ones to EL2 (D17.2.65).
uint64_t read_isr(const Cpu& cpu) {
  const uint32_t lines = cpu.attention.load(std::memory_order_relaxed);
  const bool guest = under_hypervisor(cpu);
  const uint32_t irq = guest && has(cpu, kHcrImo) ? Cpu::kVirq | Cpu::kSetVirq : Cpu::kIrq;
  const uint32_t fiq = guest && has(cpu, kHcrFmo) ? Cpu::kVfiq | Cpu::kSetVfiq : Cpu::kFiq;
  const bool serror = guest && has(cpu, kHcrAmo) && has(cpu, kHcrVse);
  return ((lines & irq) != 0 ? 1u << 7 : 0) | ((lines & fiq) != 0 ? 1u << 6 : 0) |
         (serror ? 1u << 8 : 0);
}

uint64_t read_dczid(const Cpu& cpu) {
  // DZP: DC ZVA is prohibited at the current EL.
  const bool prohibited = (cpu.ps.el == 0 && (cpu.sys.mmu.sctlr >> 14 & 1) == 0) ||
                          (under_hypervisor(cpu) && has(cpu, kHcrTdz));
  return id::kDczid | (prohibited ? 1 << 4 : 0);
}

uint64_t read_sp_el0(const Cpu& cpu) {
  return cpu.ps.el == 0 || cpu.ps.sp_sel == 0 ? cpu.r.x[kSlotSp] : cpu.sys.sp_el0;
}

uint64_t read_counter(const Cpu& cpu) { return cpu.clock != nullptr ? cpu.clock->now() : 0; }

// Without an offset at EL2 and for the EL0 that is EL2's own, under E2H (D11.2.2).
uint64_t read_virtual_counter(const Cpu& cpu) {
  const bool host = cpu.ps.el == 2 ? has(cpu, kHcrE2h) : cpu.ps.el == 0 && host_el0(cpu);
  return read_counter(cpu) - (host ? 0 : cpu.sys.el2.cntvoff);
}

// EL1 reads what its hypervisor wants it to.
uint64_t read_midr(const Cpu& cpu) {
  return cpu.has_el2 && cpu.ps.el < 2 ? cpu.sys.el2.vpidr : id::kMidr;
}
uint64_t read_mpidr(const Cpu& cpu) {
  return cpu.has_el2 && cpu.ps.el < 2 ? cpu.sys.el2.vmpidr : cpu.sys.mpidr_el1;
}

// HCR_EL2 (D17.2.48): what depends on features that are not shown is RES0. There is no EL3, so that
// HCD acts, and no AArch32, so that RW is RES1.
constexpr uint64_t kHcrWritable = 0x3'ffff'ffff;
void write_hcr(Cpu& cpu, uint64_t value) {
  cpu.sys.el2.hcr = (value & (kHcrWritable | (cpu.has_vhe ? uint64_t{kHcrE2h} : 0))) | kHcrRw;
}

// SCTLR_EL2 and CPTR_EL2 have two layouts: E2H's is that of the EL1 register.
uint64_t read_sctlr_el2(const Cpu& cpu) { return cpu.sys.el2.sctlr; }
void write_sctlr_el2(Cpu& cpu, uint64_t value) {
  constexpr uint64_t kPlain =
      kSctlrM | kSctlrA | kSctlrC | kSctlrSa | kSctlrI | kSctlrWxn | kSctlrEe;
  cpu.sys.el2.sctlr = has(cpu, kHcrE2h) ? (value & kSctlrWritable) | id::kSctlrRes1
                                        : (value & kPlain) | id::kSctlrEl2Res1;
}
constexpr uint64_t kCptrTcpac = uint64_t{1} << 31;
uint64_t read_cptr(const Cpu& cpu) {
  const uint64_t cptr = cpu.sys.el2.cptr;
  if (has(cpu, kHcrE2h)) return cptr & (kCptrTcpac | 1 << 28 | 3 << 20);  // TTA, FPEN
  return (cptr & (kCptrTcpac | 1 << 20 | 1 << 10)) | 0x33ff;              // TTA, TFP
}

// MDCR_EL2, D17.3.17: the traps of debug registers; HPMN, TPMCR, TPM and HPME of a PMU.
void write_mdcr(Cpu& cpu, uint64_t value) {
  pmu_sync(cpu);
  cpu.sys.el2.mdcr = value & id::with(cpu.model, 0xf00, 0xff);
  pmu_changed(cpu);
}

void write_pan(Cpu& cpu, uint64_t value) {
  cpu.ps.pan = (value >> 22 & 1) != 0;
  cpu.sys.mmu.pan = cpu.ps.pan;
}

// Reading either of a pair gives the bits; writing sets, or clears, those that are ones.
struct PmuBitsAccess {
  uint64_t (*get)(const Cpu&);
  void (*set)(Cpu&, uint64_t);
};
template <PmuBits kWhich>
uint64_t read_pmu_bits(const Cpu& cpu) {
  return pmu_bits(cpu, kWhich);
}
template <PmuBits kWhich, bool kTo>
void write_pmu_bits(Cpu& cpu, uint64_t value) {
  set_pmu_bits(cpu, kWhich, value, kTo);
}
template <PmuBits kWhich>
constexpr PmuBitsAccess kPmuSet{read_pmu_bits<kWhich>, write_pmu_bits<kWhich, true>};
template <PmuBits kWhich>
constexpr PmuBitsAccess kPmuClear{read_pmu_bits<kWhich>, write_pmu_bits<kWhich, false>};
constexpr SysregRow pmu_bits_row(SysregId id, const char* name, uint8_t access, PmuBitsAccess how) {
  return computed(id, name, access, how.get, how.set, Gate::kPmuEn, Effect::kNewBlock);
}

// clang-format off
#define SYS(field) offsetof(SystemRegisters, field)
constexpr SysregRow kFixedRows[] = {
    // --- identification ---
    computed(sysreg_id(3, 0, 0, 0, 0), "MIDR_EL1", kRo1, read_midr),
    computed(sysreg_id(3, 0, 0, 0, 5), "MPIDR_EL1", kRo1, read_mpidr),
    constant(sysreg_id(3, 0, 0, 0, 6), "REVIDR_EL1", kRo1, 0),
    computed(sysreg_id(3, 0, 0, 4, 0), "ID_AA64PFR0_EL1", kRo1,
             [](const Cpu& cpu) {
               return id::with(cpu.model, id::kAa64Pfr0, id::kAa64Pfr0Max) |
                      (cpu.has_el2 ? id::kAa64Pfr0El2 : 0);
             }),
    constant(sysreg_id(3, 0, 0, 4, 1), "ID_AA64PFR1_EL1", kRo1, 0),
    computed(sysreg_id(3, 0, 0, 5, 0), "ID_AA64DFR0_EL1", kRo1,
             [](const Cpu& cpu) {
               return id::with(cpu.model, id::kAa64Dfr0, id::kAa64Dfr0Max) +
                      (cpu.has_vhe ? id::kAa64Dfr0Vhe : 0);
             }),
    constant(sysreg_id(3, 0, 0, 5, 1), "ID_AA64DFR1_EL1", kRo1, 0),
    computed(sysreg_id(3, 0, 0, 6, 0), "ID_AA64ISAR0_EL1", kRo1,
             [](const Cpu& cpu) { return id::with(cpu.model, id::kAa64Isar0, id::kAa64Isar0Max); }),
    computed(sysreg_id(3, 0, 0, 6, 1), "ID_AA64ISAR1_EL1", kRo1,
             [](const Cpu& cpu) { return id::with(cpu.model, 0, id::kAa64Isar1Max); }),
    constant(sysreg_id(3, 0, 0, 6, 2), "ID_AA64ISAR2_EL1", kRo1, 0),
    constant(sysreg_id(3, 0, 0, 7, 0), "ID_AA64MMFR0_EL1", kRo1, id::kAa64Mmfr0),
    computed(sysreg_id(3, 0, 0, 7, 1), "ID_AA64MMFR1_EL1", kRo1,
             [](const Cpu& cpu) {
               return id::kAa64Mmfr1 | (cpu.has_el2 ? id::kAa64Mmfr1El2 : 0) |
                      (cpu.has_vhe ? id::kAa64Mmfr1Vhe : 0);
             }),
    constant(sysreg_id(3, 0, 0, 7, 2), "ID_AA64MMFR2_EL1", kRo1, 0),
    constant(sysreg_id(3, 1, 0, 0, 1), "CLIDR_EL1", kRo1, id::kClidr),
    computed(sysreg_id(3, 1, 0, 0, 0), "CCSIDR_EL1", kRo1, read_ccsidr),
    constant(sysreg_id(3, 1, 0, 0, 7), "AIDR_EL1", kRo1, 0),
    stored(sysreg_id(3, 2, 0, 0, 0), "CSSELR_EL1", kRw1, SYS(csselr_el1), 0xf),
    constant(sysreg_id(3, 3, 0, 0, 1), "CTR_EL0", kRoAll, id::kCtr, Gate::kUct),
    computed(sysreg_id(3, 3, 0, 0, 7), "DCZID_EL0", kRoAll, read_dczid),

    // --- control and translation ---
    stored(sysreg_id(3, 0, 1, 0, 0), "SCTLR_EL1", kRw1, SYS(el1.sctlr), kSctlrWritable,
           Effect::kTranslation, id::kSctlrRes1),
    stored(sysreg_id(3, 0, 1, 0, 1), "ACTLR_EL1", kRw1, SYS(actlr_el1), kAll),
    stored(sysreg_id(3, 0, 1, 0, 2), "CPACR_EL1", kRw1, SYS(cpacr_el1), 3 << 20,
           Effect::kTranslation),
    stored(sysreg_id(3, 0, 2, 0, 0), "TTBR0_EL1", kRw1, SYS(el1.ttbr0), kAll, Effect::kTranslation),
    stored(sysreg_id(3, 0, 2, 0, 1), "TTBR1_EL1", kRw1, SYS(el1.ttbr1), kAll, Effect::kTranslation),
    stored(sysreg_id(3, 0, 2, 0, 2), "TCR_EL1", kRw1, SYS(el1.tcr), kTcrWritable,
           Effect::kTranslation),
    stored(sysreg_id(3, 0, 10, 2, 0), "MAIR_EL1", kRw1, SYS(el1.mair), kAll, Effect::kTranslation),
    stored(sysreg_id(3, 0, 10, 3, 0), "AMAIR_EL1", kRw1, SYS(amair_el1), kAll),
    stored(sysreg_id(3, 0, 13, 0, 1), "CONTEXTIDR_EL1", kRw1, SYS(contextidr_el1), kLow32),

    // --- exceptions ---
    computed(sysreg_id(3, 0, 4, 0, 0), "SPSR_EL1", kRw1,
             [](const Cpu& cpu) { return cpu.sys.spsr_el1; },
             [](Cpu& cpu, uint64_t value) { cpu.sys.spsr_el1 = value & spsr_writable(cpu); }),
    stored(sysreg_id(3, 0, 4, 0, 1), "ELR_EL1", kRw1, SYS(elr_el1), kAll),
    stored(sysreg_id(3, 0, 5, 1, 0), "AFSR0_EL1", kRw1, SYS(afsr0_el1), kAll),
    stored(sysreg_id(3, 0, 5, 1, 1), "AFSR1_EL1", kRw1, SYS(afsr1_el1), kAll),
    stored(sysreg_id(3, 0, 5, 2, 0), "ESR_EL1", kRw1, SYS(esr_el1), kLow32),
    stored(sysreg_id(3, 0, 6, 0, 0), "FAR_EL1", kRw1, SYS(far_el1), kAll),
    stored(sysreg_id(3, 0, 7, 4, 0), "PAR_EL1", kRw1, SYS(par_el1), kAll),
    stored(sysreg_id(3, 0, 12, 0, 0), "VBAR_EL1", kRw1, SYS(vbar_el1), ~uint64_t{0x7ff}),
    constant(sysreg_id(3, 0, 12, 0, 1), "RVBAR_EL1", kRo1, 0),  // not where EL2 is: execute_register()
    computed(sysreg_id(3, 0, 12, 1, 0), "ISR_EL1", kRo1, read_isr),

    // --- PSTATE and stack pointers ---
    computed(sysreg_id(3, 0, 4, 1, 0), "SP_EL0", kRw1, read_sp_el0,
             [](Cpu& cpu, uint64_t value) { cpu.sys.sp_el0 = value; }),
    computed(sysreg_id(3, 0, 4, 2, 0), "SPSel", kRw1,
             [](const Cpu& cpu) { return uint64_t{cpu.ps.sp_sel}; },
             [](Cpu& cpu, uint64_t value) { set_el_and_spsel(cpu, cpu.ps.el, value & 1); }),
    computed(sysreg_id(3, 0, 4, 2, 2), "CurrentEL", kRo1,
             [](const Cpu& cpu) { return uint64_t{cpu.ps.el} << 2; }),
    computed(sysreg_id(3, 0, 4, 2, 3), "PAN", kRw1,
             [](const Cpu& cpu) { return uint64_t{cpu.ps.pan} << 22; }, write_pan, Gate::kNone,
             Effect::kTranslation),
    computed(sysreg_id(3, 3, 4, 2, 0), "NZCV", kRwAll,
             [](const Cpu& cpu) { return uint64_t{cpu.nzcv & 0xf000'0000}; },
             [](Cpu& cpu, uint64_t value) { cpu.nzcv = value & 0xf000'0000; }),
    computed(sysreg_id(3, 3, 4, 2, 1), "DAIF", kRwAll,
             [](const Cpu& cpu) { return uint64_t{cpu.ps.daif} << 6; },
             [](Cpu& cpu, uint64_t value) { cpu.ps.daif = value >> 6 & 15; }, Gate::kUma,
             Effect::kNewBlock),
    computed(sysreg_id(3, 3, 4, 2, 5), "DIT", kRwAll | kNeedsMax,
             [](const Cpu& cpu) { return cpu.ps.dit ? kPstateDit : 0; },
             [](Cpu& cpu, uint64_t value) { cpu.ps.dit = (value & kPstateDit) != 0; }),
    computed(sysreg_id(3, 3, 4, 4, 0), "FPCR", kRwAll,
             [](const Cpu& cpu) { return uint64_t{cpu.fpcr}; },
             [](Cpu& cpu, uint64_t value) { cpu.fpcr = value & kFpcrWritable; }, Gate::kFpen),
    computed(sysreg_id(3, 3, 4, 4, 1), "FPSR", kRwAll,
             [](const Cpu& cpu) { return uint64_t{cpu.fpsr}; },
             [](Cpu& cpu, uint64_t value) { cpu.fpsr = value & kFpsrWritable; }, Gate::kFpen),

    // --- thread pointers ---
    stored(sysreg_id(3, 0, 13, 0, 4), "TPIDR_EL1", kRw1, SYS(tpidr_el1), kAll),
    stored(sysreg_id(3, 3, 13, 0, 2), "TPIDR_EL0", kRwAll, SYS(tpidr_el0), kAll),
    stored(sysreg_id(3, 3, 13, 0, 3), "TPIDRRO_EL0", kRw1 | kEl0Read, SYS(tpidrro_el0), kAll),

    // --- counter and timers ---
    stored(sysreg_id(3, 0, 14, 1, 0), "CNTKCTL_EL1", kRw1, SYS(cntkctl_el1), 0x3ff),
    // EL1 is the highest level, so it may write the frequency; the counter runs as it runs.
    computed(sysreg_id(3, 3, 14, 0, 0), "CNTFRQ_EL0", kRw1 | kEl0Read,
             [](const Cpu&) { return Clock::kFrequency; }, ignore, Gate::kFrq),
    computed(sysreg_id(3, 3, 14, 0, 1), "CNTPCT_EL0", kRoAll, read_counter, nullptr, Gate::kPct),
    computed(sysreg_id(3, 3, 14, 0, 2), "CNTVCT_EL0", kRoAll, read_virtual_counter, nullptr,
             Gate::kVct),
    device(sysreg_id(3, 3, 14, 2, 0), "CNTP_TVAL_EL0", kRwAll, Gate::kPtimer),
    device(sysreg_id(3, 3, 14, 2, 1), "CNTP_CTL_EL0", kRwAll, Gate::kPtimer),
    device(sysreg_id(3, 3, 14, 2, 2), "CNTP_CVAL_EL0", kRwAll, Gate::kPtimer),
    device(sysreg_id(3, 3, 14, 3, 0), "CNTV_TVAL_EL0", kRwAll, Gate::kVtimer),
    device(sysreg_id(3, 3, 14, 3, 1), "CNTV_CTL_EL0", kRwAll, Gate::kVtimer),
    device(sysreg_id(3, 3, 14, 3, 2), "CNTV_CVAL_EL0", kRwAll, Gate::kVtimer),

    // --- the PMU; its event counters follow below ---
    computed(sysreg_id(3, 3, 9, 12, 0), "PMCR_EL0", kRwAllMax, pmu_control, set_pmu_control,
             Gate::kPmuEn, Effect::kNewBlock),
    pmu_bits_row(sysreg_id(3, 3, 9, 12, 1), "PMCNTENSET_EL0", kRwAllMax, kPmuSet<PmuBits::kEnabled>),
    pmu_bits_row(sysreg_id(3, 3, 9, 12, 2), "PMCNTENCLR_EL0", kRwAllMax, kPmuClear<PmuBits::kEnabled>),
    pmu_bits_row(sysreg_id(3, 3, 9, 12, 3), "PMOVSCLR_EL0", kRwAllMax, kPmuClear<PmuBits::kOverflows>),
    computed(sysreg_id(3, 3, 9, 12, 4), "PMSWINC_EL0", kEl1Write | kEl0Write | kNeedsMax, nullptr,
             pmu_software_increment, Gate::kPmuSw, Effect::kNewBlock),
    computed(sysreg_id(3, 3, 9, 12, 5), "PMSELR_EL0", kRwAllMax,
             [](const Cpu& cpu) { return uint64_t{cpu.pmu.selected}; },
             [](Cpu& cpu, uint64_t value) { cpu.pmu.selected = value & 31; }, Gate::kPmuErBoth),
    constant(sysreg_id(3, 3, 9, 12, 6), "PMCEID0_EL0", kRoAll | kNeedsMax, kPmuEvents, Gate::kPmuEn),
    constant(sysreg_id(3, 3, 9, 12, 7), "PMCEID1_EL0", kRoAll | kNeedsMax, 0, Gate::kPmuEn),
    computed(sysreg_id(3, 3, 9, 13, 0), "PMCCNTR_EL0", kRwAllMax, pmu_cycles, set_pmu_cycles,
             Gate::kPmuCr, Effect::kNewBlock),
    computed(sysreg_id(3, 3, 9, 13, 1), "PMXEVTYPER_EL0", kRwAllMax,
             [](const Cpu& cpu) { return pmu_type(cpu, cpu.pmu.selected); },
             [](Cpu& cpu, uint64_t value) { set_pmu_type(cpu, cpu.pmu.selected, value); },
             Gate::kPmuEn, Effect::kNewBlock),
    computed(sysreg_id(3, 3, 9, 13, 2), "PMXEVCNTR_EL0", kRwAllMax,
             [](const Cpu& cpu) { return pmu_counter(cpu, cpu.pmu.selected); },
             [](Cpu& cpu, uint64_t value) { set_pmu_counter(cpu, cpu.pmu.selected, value); },
             Gate::kPmuEr, Effect::kNewBlock),
    computed(sysreg_id(3, 3, 9, 14, 0), "PMUSERENR_EL0", kRw1 | kEl0Read | kNeedsMax,
             [](const Cpu& cpu) { return uint64_t{cpu.pmu.user}; },
             [](Cpu& cpu, uint64_t value) { cpu.pmu.user = value & 15; }),
    pmu_bits_row(sysreg_id(3, 0, 9, 14, 1), "PMINTENSET_EL1", kRw1 | kNeedsMax, kPmuSet<PmuBits::kInterrupts>),
    pmu_bits_row(sysreg_id(3, 0, 9, 14, 2), "PMINTENCLR_EL1", kRw1 | kNeedsMax, kPmuClear<PmuBits::kInterrupts>),
    pmu_bits_row(sysreg_id(3, 3, 9, 14, 3), "PMOVSSET_EL0", kRwAllMax, kPmuSet<PmuBits::kOverflows>),
    computed(sysreg_id(3, 3, 14, 15, 7), "PMCCFILTR_EL0", kRwAllMax,
             [](const Cpu& cpu) { return pmu_type(cpu, Pmu::kCycles); },
             [](Cpu& cpu, uint64_t value) { set_pmu_type(cpu, Pmu::kCycles, value); },
             Gate::kPmuEn, Effect::kNewBlock),

    // --- the GIC's CPU interface: direction and side effects are the device's business ---
    device(sysreg_id(3, 0, 4, 6, 0), "ICC_PMR_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 8, 0), "ICC_IAR0_EL1", kRo1),
    device(sysreg_id(3, 0, 12, 8, 1), "ICC_EOIR0_EL1", kEl1Write),
    device(sysreg_id(3, 0, 12, 8, 2), "ICC_HPPIR0_EL1", kRo1),
    device(sysreg_id(3, 0, 12, 8, 3), "ICC_BPR0_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 8, 4), "ICC_AP0R0_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 8, 5), "ICC_AP0R1_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 8, 6), "ICC_AP0R2_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 8, 7), "ICC_AP0R3_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 9, 0), "ICC_AP1R0_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 9, 1), "ICC_AP1R1_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 9, 2), "ICC_AP1R2_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 9, 3), "ICC_AP1R3_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 11, 1), "ICC_DIR_EL1", kEl1Write),
    device(sysreg_id(3, 0, 12, 11, 3), "ICC_RPR_EL1", kRo1),
    device(sysreg_id(3, 0, 12, 11, 5), "ICC_SGI1R_EL1", kEl1Write),
    device(sysreg_id(3, 0, 12, 11, 6), "ICC_ASGI1R_EL1", kEl1Write),
    device(sysreg_id(3, 0, 12, 11, 7), "ICC_SGI0R_EL1", kEl1Write),
    device(sysreg_id(3, 0, 12, 12, 0), "ICC_IAR1_EL1", kRo1),
    device(sysreg_id(3, 0, 12, 12, 1), "ICC_EOIR1_EL1", kEl1Write),
    device(sysreg_id(3, 0, 12, 12, 2), "ICC_HPPIR1_EL1", kRo1),
    device(sysreg_id(3, 0, 12, 12, 3), "ICC_BPR1_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 12, 4), "ICC_CTLR_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 12, 5), "ICC_SRE_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 12, 6), "ICC_IGRPEN0_EL1", kRw1),
    device(sysreg_id(3, 0, 12, 12, 7), "ICC_IGRPEN1_EL1", kRw1),

    // --- EL2 ---
    stored(sysreg_id(3, 4, 0, 0, 0), "VPIDR_EL2", kRw2, SYS(el2.vpidr), kLow32),
    stored(sysreg_id(3, 4, 0, 0, 5), "VMPIDR_EL2", kRw2, SYS(el2.vmpidr), kAll),
    computed(sysreg_id(3, 4, 1, 0, 0), "SCTLR_EL2", kRw2, read_sctlr_el2, write_sctlr_el2,
             Gate::kNone, Effect::kTranslation),
    stored(sysreg_id(3, 4, 1, 0, 1), "ACTLR_EL2", kRw2, SYS(el2.actlr), kAll),
    computed(sysreg_id(3, 4, 1, 1, 0), "HCR_EL2", kRw2,
             [](const Cpu& cpu) { return cpu.sys.el2.hcr; }, write_hcr, Gate::kNone,
             Effect::kTranslation),
    computed(sysreg_id(3, 4, 1, 1, 1), "MDCR_EL2", kRw2,
             [](const Cpu& cpu) { return cpu.sys.el2.mdcr; }, write_mdcr, Gate::kNone,
             Effect::kDebug),
    computed(sysreg_id(3, 4, 1, 1, 2), "CPTR_EL2", kRw2, read_cptr,
             [](Cpu& cpu, uint64_t value) { cpu.sys.el2.cptr = value & kLow32; }, Gate::kNone,
             Effect::kTranslation),
    stored(sysreg_id(3, 4, 1, 1, 3), "HSTR_EL2", kRw2, SYS(el2.hstr), 0xffff),
    stored(sysreg_id(3, 4, 1, 1, 7), "HACR_EL2", kRw2, SYS(el2.hacr), kAll),
    stored(sysreg_id(3, 4, 2, 0, 0), "TTBR0_EL2", kRw2, SYS(el2.ttbr0), kAll, Effect::kTranslation),
    stored(sysreg_id(3, 4, 2, 0, 1), "TTBR1_EL2", kRw2Vhe, SYS(el2.ttbr1), kAll,
           Effect::kTranslation),
    stored(sysreg_id(3, 4, 2, 0, 2), "TCR_EL2", kRw2, SYS(el2.tcr), kTcrWritable | 1 << 6,
           Effect::kTranslation),
    stored(sysreg_id(3, 4, 2, 1, 0), "VTTBR_EL2", kRw2, SYS(el2.vttbr), kAll, Effect::kTranslation),
    stored(sysreg_id(3, 4, 2, 1, 2), "VTCR_EL2", kRw2, SYS(el2.vtcr), 0xfffff,
           Effect::kTranslation, uint64_t{1} << 31),
    computed(sysreg_id(3, 4, 4, 0, 0), "SPSR_EL2", kRw2,
             [](const Cpu& cpu) { return cpu.sys.el2.spsr; },
             [](Cpu& cpu, uint64_t value) { cpu.sys.el2.spsr = value & spsr_writable(cpu); }),
    stored(sysreg_id(3, 4, 4, 0, 1), "ELR_EL2", kRw2, SYS(el2.elr), kAll),
    stored(sysreg_id(3, 4, 4, 1, 0), "SP_EL1", kRw2, SYS(sp_el1), kAll),
    // Of an EL1 with AArch32: RES0.
    computed(sysreg_id(3, 4, 4, 3, 0), "SPSR_irq", kRw2, read_zero, ignore),
    computed(sysreg_id(3, 4, 4, 3, 1), "SPSR_abt", kRw2, read_zero, ignore),
    computed(sysreg_id(3, 4, 4, 3, 2), "SPSR_und", kRw2, read_zero, ignore),
    computed(sysreg_id(3, 4, 4, 3, 3), "SPSR_fiq", kRw2, read_zero, ignore),
    stored(sysreg_id(3, 4, 5, 1, 0), "AFSR0_EL2", kRw2, SYS(el2.afsr0), kAll),
    stored(sysreg_id(3, 4, 5, 1, 1), "AFSR1_EL2", kRw2, SYS(el2.afsr1), kAll),
    stored(sysreg_id(3, 4, 5, 2, 0), "ESR_EL2", kRw2, SYS(el2.esr), kLow32),
    stored(sysreg_id(3, 4, 6, 0, 0), "FAR_EL2", kRw2, SYS(el2.far), kAll),
    stored(sysreg_id(3, 4, 6, 0, 4), "HPFAR_EL2", kRw2, SYS(el2.hpfar), 0xfff'ffff'fff0),
    stored(sysreg_id(3, 4, 10, 2, 0), "MAIR_EL2", kRw2, SYS(el2.mair), kAll, Effect::kTranslation),
    stored(sysreg_id(3, 4, 10, 3, 0), "AMAIR_EL2", kRw2, SYS(el2.amair), kAll),
    stored(sysreg_id(3, 4, 12, 0, 0), "VBAR_EL2", kRw2, SYS(el2.vbar), ~uint64_t{0x7ff}),
    constant(sysreg_id(3, 4, 12, 0, 1), "RVBAR_EL2", kRo2, 0),
    stored(sysreg_id(3, 4, 12, 9, 5), "ICC_SRE_EL2", kRw2, SYS(el2.icc_sre), 8, Effect::kNone, 7),
    stored(sysreg_id(3, 4, 13, 0, 1), "CONTEXTIDR_EL2", kRw2Vhe, SYS(el2.contextidr), kLow32),
    stored(sysreg_id(3, 4, 13, 0, 2), "TPIDR_EL2", kRw2, SYS(el2.tpidr), kAll),
    mirrored(sysreg_id(3, 4, 14, 0, 3), "CNTVOFF_EL2", SYS(el2.cntvoff), kAll),
    stored(sysreg_id(3, 4, 14, 1, 0), "CNTHCTL_EL2", kRw2, SYS(el2.cnthctl), 0xfff),
    device(sysreg_id(3, 4, 14, 2, 0), "CNTHP_TVAL_EL2", kRw2),
    device(sysreg_id(3, 4, 14, 2, 1), "CNTHP_CTL_EL2", kRw2),
    device(sysreg_id(3, 4, 14, 2, 2), "CNTHP_CVAL_EL2", kRw2),
    device(sysreg_id(3, 4, 14, 3, 0), "CNTHV_TVAL_EL2", kRw2Vhe),
    device(sysreg_id(3, 4, 14, 3, 1), "CNTHV_CTL_EL2", kRw2Vhe),
    device(sysreg_id(3, 4, 14, 3, 2), "CNTHV_CVAL_EL2", kRw2Vhe),

    // --- the virtual CPU interface, as its hypervisor sees it: which of AP and LR there are is the
    // device's business ---
    device(sysreg_id(3, 4, 12, 8, 0), "ICH_AP0R0_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 8, 1), "ICH_AP0R1_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 8, 2), "ICH_AP0R2_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 8, 3), "ICH_AP0R3_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 9, 0), "ICH_AP1R0_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 9, 1), "ICH_AP1R1_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 9, 2), "ICH_AP1R2_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 9, 3), "ICH_AP1R3_EL2", kRw2),
    mirrored(sysreg_id(3, 4, 12, 11, 0), "ICH_HCR_EL2", SYS(el2.ich_hcr), kIchTraps),
    device(sysreg_id(3, 4, 12, 11, 1), "ICH_VTR_EL2", kRo2),
    device(sysreg_id(3, 4, 12, 11, 2), "ICH_MISR_EL2", kRo2),
    device(sysreg_id(3, 4, 12, 11, 3), "ICH_EISR_EL2", kRo2),
    device(sysreg_id(3, 4, 12, 11, 5), "ICH_ELRSR_EL2", kRo2),
    device(sysreg_id(3, 4, 12, 11, 7), "ICH_VMCR_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 12, 0), "ICH_LR0_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 12, 1), "ICH_LR1_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 12, 2), "ICH_LR2_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 12, 3), "ICH_LR3_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 12, 4), "ICH_LR4_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 12, 5), "ICH_LR5_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 12, 6), "ICH_LR6_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 12, 7), "ICH_LR7_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 13, 0), "ICH_LR8_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 13, 1), "ICH_LR9_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 13, 2), "ICH_LR10_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 13, 3), "ICH_LR11_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 13, 4), "ICH_LR12_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 13, 5), "ICH_LR13_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 13, 6), "ICH_LR14_EL2", kRw2),
    device(sysreg_id(3, 4, 12, 13, 7), "ICH_LR15_EL2", kRw2),

    // --- self-hosted debug; there is no external debugger behind the DCC ---
    computed(sysreg_id(2, 0, 0, 0, 2), "OSDTRRX_EL1", kRw1, [](const Cpu&) { return uint64_t{0}; },
             ignore),
    stored(sysreg_id(2, 0, 0, 2, 0), "MDCCINT_EL1", kRw1, SYS(mdccint_el1), 3 << 29),
    stored(sysreg_id(2, 0, 0, 2, 2), "MDSCR_EL1", kRw1, SYS(mdscr_el1), kMdscrWritable,
           Effect::kDebug),
    computed(sysreg_id(2, 0, 0, 3, 2), "OSDTRTX_EL1", kRw1, [](const Cpu&) { return uint64_t{0}; },
             ignore),
    computed(sysreg_id(2, 0, 0, 6, 2), "OSECCR_EL1", kRw1, [](const Cpu&) { return uint64_t{0}; },
             ignore),
    constant(sysreg_id(2, 0, 1, 0, 0), "MDRAR_EL1", kRo1, 0),
    computed(sysreg_id(2, 0, 1, 0, 4), "OSLAR_EL1", kEl1Write, nullptr,
             [](Cpu& cpu, uint64_t value) { cpu.sys.oslar_locked = value & 1; }, Gate::kNone,
             Effect::kDebug),
    // OSLM = 0b10 (OS lock implemented), OSLK.
    computed(sysreg_id(2, 0, 1, 1, 4), "OSLSR_EL1", kRo1,
             [](const Cpu& cpu) { return uint64_t{8} | (cpu.sys.oslar_locked & 1) << 1; }),
    stored(sysreg_id(2, 0, 1, 3, 4), "OSDLR_EL1", kRw1, SYS(osdlr_el1), 1),
    computed(sysreg_id(2, 0, 1, 4, 4), "DBGPRCR_EL1", kRw1, [](const Cpu&) { return uint64_t{0}; },
             ignore),
    computed(sysreg_id(2, 0, 7, 8, 6), "DBGCLAIMSET_EL1", kRw1,
             [](const Cpu&) { return uint64_t{0xff}; }, ignore),
    computed(sysreg_id(2, 0, 7, 9, 6), "DBGCLAIMCLR_EL1", kRw1,
             [](const Cpu&) { return uint64_t{0}; }, ignore),
    constant(sysreg_id(2, 0, 7, 14, 6), "DBGAUTHSTATUS_EL1", kRo1, 0),
    constant(sysreg_id(2, 3, 0, 1, 0), "MDCCSR_EL0", kRoAll, 0, Gate::kTdcc),
    computed(sysreg_id(2, 3, 0, 4, 0), "DBGDTR_EL0", kRwAll, [](const Cpu&) { return uint64_t{0}; },
             ignore, Gate::kTdcc),
    computed(sysreg_id(2, 3, 0, 5, 0), "DBGDTRRX_EL0", kRwAll,
             [](const Cpu&) { return uint64_t{0}; }, ignore, Gate::kTdcc),
};
#undef SYS
// clang-format on

// What EL2 may trap of EL1 and EL0, or have made virtual.
struct TrapRange {
  SysregId first, last;
  SysregTrap trap;
};
constexpr TrapRange one(SysregId id, SysregTrap trap) { return {id, id, trap}; }
constexpr TrapRange kTraps[] = {
    one(sysreg_id(3, 0, 0, 0, 6), SysregTrap::kTid1),                         // REVIDR
    one(sysreg_id(3, 1, 0, 0, 7), SysregTrap::kTid1),                         // AIDR
    {sysreg_id(3, 1, 0, 0, 0), sysreg_id(3, 1, 0, 0, 1), SysregTrap::kTid2},  // CCSIDR, CLIDR
    one(sysreg_id(3, 2, 0, 0, 0), SysregTrap::kTid2),                         // CSSELR
    one(sysreg_id(3, 3, 0, 0, 1), SysregTrap::kTid2),                         // CTR
    {sysreg_id(3, 0, 0, 1, 0), sysreg_id(3, 0, 0, 7, 7), SysregTrap::kTid3},
    one(sysreg_id(3, 0, 1, 0, 0), SysregTrap::kVm),                              // SCTLR
    one(sysreg_id(3, 0, 1, 0, 1), SysregTrap::kTacr),                            // ACTLR
    one(sysreg_id(3, 0, 1, 0, 2), SysregTrap::kCpacr),                           // CPACR
    {sysreg_id(3, 0, 2, 0, 0), sysreg_id(3, 0, 2, 0, 2), SysregTrap::kVm},       // TTBRn, TCR
    {sysreg_id(3, 0, 5, 1, 0), sysreg_id(3, 0, 5, 2, 0), SysregTrap::kVm},       // AFSRn, ESR
    one(sysreg_id(3, 0, 6, 0, 0), SysregTrap::kVm),                              // FAR
    {sysreg_id(3, 0, 10, 2, 0), sysreg_id(3, 0, 10, 3, 0), SysregTrap::kVm},     // MAIR, AMAIR
    one(sysreg_id(3, 0, 13, 0, 1), SysregTrap::kVm),                             // CONTEXTIDR
    one(sysreg_id(3, 3, 9, 12, 0), SysregTrap::kPmcr),                           // PMCR
    {sysreg_id(3, 3, 9, 12, 1), sysreg_id(3, 3, 9, 14, 7), SysregTrap::kPmu},    // the others
    {sysreg_id(3, 0, 9, 14, 1), sysreg_id(3, 0, 9, 14, 2), SysregTrap::kPmu},    // PMINTEN*
    {sysreg_id(3, 3, 14, 8, 0), sysreg_id(3, 3, 14, 15, 7), SysregTrap::kPmu},   // PMEV*, PMCCFILTR
    one(sysreg_id(3, 3, 14, 0, 1), SysregTrap::kCounter),                        // CNTPCT
    {sysreg_id(3, 3, 14, 2, 0), sysreg_id(3, 3, 14, 2, 2), SysregTrap::kTimer},  // CNTP_*
    one(sysreg_id(3, 0, 4, 6, 0), SysregTrap::kEither),                          // ICC_PMR
    {sysreg_id(3, 0, 12, 8, 0), sysreg_id(3, 0, 12, 8, 7), SysregTrap::kGroup0},
    {sysreg_id(3, 0, 12, 9, 0), sysreg_id(3, 0, 12, 9, 3), SysregTrap::kGroup1},
    one(sysreg_id(3, 0, 12, 11, 1), SysregTrap::kDir),
    one(sysreg_id(3, 0, 12, 11, 3), SysregTrap::kEither),  // ICC_RPR
    {sysreg_id(3, 0, 12, 11, 5), sysreg_id(3, 0, 12, 11, 7), SysregTrap::kSgi},
    {sysreg_id(3, 0, 12, 12, 0), sysreg_id(3, 0, 12, 12, 3), SysregTrap::kGroup1},
    one(sysreg_id(3, 0, 12, 12, 4), SysregTrap::kEither),  // ICC_CTLR
    one(sysreg_id(3, 0, 12, 12, 5), SysregTrap::kSre),
    one(sysreg_id(3, 0, 12, 12, 6), SysregTrap::kGroup0),  // ICC_IGRPENn
    one(sysreg_id(3, 0, 12, 12, 7), SysregTrap::kGroup1),
    one(sysreg_id(2, 0, 1, 0, 0), SysregTrap::kDebugRom),  // MDRAR
    {sysreg_id(2, 0, 1, 0, 4), sysreg_id(2, 0, 1, 4, 4), SysregTrap::kDebugOs},
    {sysreg_id(2, 0, 0, 0, 0), sysreg_id(2, 0, 0, 15, 7), SysregTrap::kDebug},
    {sysreg_id(2, 0, 7, 0, 0), sysreg_id(2, 0, 7, 15, 7), SysregTrap::kDebug},
    {sysreg_id(2, 3, 0, 0, 0), sysreg_id(2, 3, 0, 15, 7), SysregTrap::kDebug},
};
constexpr SysregTrap trap_of(SysregId id) {
  for (const TrapRange& range : kTraps) {
    if (id >= range.first && id <= range.last) return range.trap;
  }
  return SysregTrap::kNone;
}

constexpr const char* kBreakpointNames[id::kBreakpoints][2] = {
    {"DBGBVR0_EL1", "DBGBCR0_EL1"}, {"DBGBVR1_EL1", "DBGBCR1_EL1"}, {"DBGBVR2_EL1", "DBGBCR2_EL1"},
    {"DBGBVR3_EL1", "DBGBCR3_EL1"}, {"DBGBVR4_EL1", "DBGBCR4_EL1"}, {"DBGBVR5_EL1", "DBGBCR5_EL1"}};
constexpr const char* kWatchpointNames[id::kWatchpoints][2] = {{"DBGWVR0_EL1", "DBGWCR0_EL1"},
                                                               {"DBGWVR1_EL1", "DBGWCR1_EL1"},
                                                               {"DBGWVR2_EL1", "DBGWCR2_EL1"},
                                                               {"DBGWVR3_EL1", "DBGWCR3_EL1"}};

constexpr const char* kPmuNames[Pmu::kEventCounters][2] = {
    {"PMEVCNTR0_EL0", "PMEVTYPER0_EL0"}, {"PMEVCNTR1_EL0", "PMEVTYPER1_EL0"},
    {"PMEVCNTR2_EL0", "PMEVTYPER2_EL0"}, {"PMEVCNTR3_EL0", "PMEVTYPER3_EL0"},
    {"PMEVCNTR4_EL0", "PMEVTYPER4_EL0"}, {"PMEVCNTR5_EL0", "PMEVTYPER5_EL0"}};
template <unsigned kN>
constexpr SysregRow pmu_counter_row() {
  return computed(
      sysreg_id(3, 3, 14, 8 + kN / 8, kN % 8), kPmuNames[kN][0], kRwAllMax,
      [](const Cpu& cpu) { return pmu_counter(cpu, kN); },
      [](Cpu& cpu, uint64_t value) { set_pmu_counter(cpu, kN, value); }, Gate::kPmuEr,
      Effect::kNewBlock);
}
template <unsigned kN>
constexpr SysregRow pmu_type_row() {
  return computed(
      sysreg_id(3, 3, 14, 12 + kN / 8, kN % 8), kPmuNames[kN][1], kRwAllMax,
      [](const Cpu& cpu) { return pmu_type(cpu, kN); },
      [](Cpu& cpu, uint64_t value) { set_pmu_type(cpu, kN, value); }, Gate::kPmuEn,
      Effect::kNewBlock);
}
template <unsigned... kN>
constexpr std::array<SysregRow, 2 * sizeof...(kN)> pmu_rows(
    std::integer_sequence<unsigned, kN...>) {
  return {pmu_counter_row<kN>()..., pmu_type_row<kN>()...};
}
constexpr auto kPmuRows = pmu_rows(std::make_integer_sequence<unsigned, Pmu::kEventCounters>{});

constexpr SysregId kCpacr = sysreg_id(3, 0, 1, 0, 2), kCptr = sysreg_id(3, 4, 1, 1, 2);
// EL1's registers whose names E2H lends to EL2's (D8.1.6).
constexpr bool renamed_by_e2h(SysregId id) {
  switch (id) {
    case sysreg_id(3, 0, 1, 0, 0):   // SCTLR
    case kCpacr:                     // CPTR
    case sysreg_id(3, 0, 2, 0, 0):   // TTBR0
    case sysreg_id(3, 0, 2, 0, 1):   // TTBR1
    case sysreg_id(3, 0, 2, 0, 2):   // TCR
    case sysreg_id(3, 0, 4, 0, 0):   // SPSR
    case sysreg_id(3, 0, 4, 0, 1):   // ELR
    case sysreg_id(3, 0, 5, 1, 0):   // AFSR0
    case sysreg_id(3, 0, 5, 1, 1):   // AFSR1
    case sysreg_id(3, 0, 5, 2, 0):   // ESR
    case sysreg_id(3, 0, 6, 0, 0):   // FAR
    case sysreg_id(3, 0, 10, 2, 0):  // MAIR
    case sysreg_id(3, 0, 10, 3, 0):  // AMAIR
    case sysreg_id(3, 0, 12, 0, 0):  // VBAR
    case sysreg_id(3, 0, 13, 0, 1):  // CONTEXTIDR
    case sysreg_id(3, 0, 14, 1, 0):  // CNTKCTL: CNTHCTL
      return true;
    default:
      return false;
  }
}

constexpr size_t kRowCount =
    std::size(kFixedRows) + 2 * id::kBreakpoints + 2 * id::kWatchpoints + kPmuRows.size();

constexpr std::array<SysregRow, kRowCount> make_rows() {
  std::array<SysregRow, kRowCount> rows{};
  size_t n = 0;
  for (const SysregRow& row : kFixedRows) rows[n++] = row;
  for (const SysregRow& row : kPmuRows) rows[n++] = row;
  // DBGBCR: BAS is RES1 without AArch32 (D17.3.2). DBGWCR: D17.3.10.
  constexpr uint64_t kBcrWritable = 0x00ff'e007, kBcrRes1 = 0x1e0, kWcrWritable = 0x1f1f'ffff;
  constexpr uint64_t kAddressWritable = ~uint64_t{3};
  for (unsigned i = 0; i < id::kBreakpoints; ++i) {
    // A context ID has all its bits.
    const uint64_t value =
        i + id::kContextBreakpoints >= id::kBreakpoints ? kAll : kAddressWritable;
    rows[n++] = stored(sysreg_id(2, 0, 0, i, 4), kBreakpointNames[i][0], kRw1,
                       offsetof(SystemRegisters, dbgbvr) + 8 * i, value, Effect::kDebug);
    rows[n++] =
        stored(sysreg_id(2, 0, 0, i, 5), kBreakpointNames[i][1], kRw1,
               offsetof(SystemRegisters, dbgbcr) + 8 * i, kBcrWritable, Effect::kDebug, kBcrRes1);
  }
  for (unsigned i = 0; i < id::kWatchpoints; ++i) {
    rows[n++] = stored(sysreg_id(2, 0, 0, i, 6), kWatchpointNames[i][0], kRw1,
                       offsetof(SystemRegisters, dbgwvr) + 8 * i, kAddressWritable, Effect::kDebug);
    rows[n++] = stored(sysreg_id(2, 0, 0, i, 7), kWatchpointNames[i][1], kRw1,
                       offsetof(SystemRegisters, dbgwcr) + 8 * i, kWcrWritable, Effect::kDebug);
  }
  for (SysregRow& row : rows) row.trap = trap_of(row.id);
  return rows;
}
constexpr auto kRows = make_rows();

// Open addressing at less than half load; 0 is empty, else row index + 1.
constexpr unsigned kHashLog2 = 9;
static_assert(kRowCount * 2 < (1u << kHashLog2));
constexpr unsigned hash(SysregId id) {
  return static_cast<uint32_t>(id * 0x9e37'79b1u) >> (32 - kHashLog2);
}
constexpr auto make_index() {
  std::array<uint8_t, 1u << kHashLog2> index{};
  for (size_t i = 0; i < kRowCount; ++i) {
    unsigned slot = hash(kRows[i].id);
    while (index[slot] != 0) slot = (slot + 1) & (index.size() - 1);
    index[slot] = static_cast<uint8_t>(i + 1);
  }
  return index;
}
static_assert(kRowCount < 255);
constexpr auto kIndex = make_index();

}  // namespace

SysregId canonical_sysreg(const Cpu& cpu, SysregId id) {
  const unsigned op0 = id >> 14, op1 = id >> 11 & 7, crn = id >> 7 & 15, crm = id >> 3 & 15;
  const unsigned op2 = id & 7;
  if (op0 != 3) return id;
  const bool el2_host = cpu.ps.el == 2 && has(cpu, kHcrE2h);
  const bool timer = crn == 14 && (crm == 2 || crm == 3);
  if (op1 == 5) {  // *_EL12, *_EL02
    if (!el2_host) return 0;
    const SysregId own = sysreg_id(3, timer ? 3 : 0, crn, crm, op2);
    return timer || renamed_by_e2h(own) ? own : SysregId{0};
  }
  if (op1 == 3 && timer && (el2_host || (cpu.ps.el == 0 && host_el0(cpu)))) {
    return sysreg_id(3, 4, crn, crm, op2);  // CNTP_* and CNTV_* are CNTHP_* and CNTHV_*
  }
  if (op1 == 0 && el2_host && renamed_by_e2h(id)) {
    return id == kCpacr ? kCptr : sysreg_id(3, 4, crn, crm, op2);
  }
  return id;
}

const SysregRow* find_sysreg(SysregId id) {
  for (unsigned slot = hash(id); kIndex[slot] != 0; slot = (slot + 1) & (kIndex.size() - 1)) {
    const SysregRow& row = kRows[kIndex[slot] - 1];
    if (row.id == id) return &row;
  }
  return nullptr;
}

std::span<const SysregRow> sysreg_rows() { return kRows; }

const char* sysreg_name(SysregId id) {
  const SysregRow* row = find_sysreg(id);
  return row != nullptr ? row->name : nullptr;
}

uint64_t sysreg_value(const Cpu& cpu, const SysregRow& row) {
  if (row.offset >= 0) {
    uint64_t value;
    std::memcpy(&value, reinterpret_cast<const uint8_t*>(&cpu.sys) + row.offset, sizeof value);
    return value;
  }
  return row.get != nullptr ? row.get(cpu) : row.ones;
}

void set_sysreg_value(Cpu& cpu, const SysregRow& row, uint64_t value) {
  if (row.offset >= 0) {
    value = (value & row.mask) | row.ones;
    std::memcpy(reinterpret_cast<uint8_t*>(&cpu.sys) + row.offset, &value, sizeof value);
  } else if (row.set != nullptr) {
    row.set(cpu, value);
  }
}

}  // namespace trapline::soft
