// SoftVcpu: reset, registers, save and load.
#include <algorithm>
#include <type_traits>

#include "vmm/soft/el2.h"
#include "vmm/soft/engine/engine.h"
#include "vmm/soft/id_registers.h"
#include "vmm/soft/soft_vcpu.h"
#include "vmm/soft/sysreg_table.h"

namespace trapline::soft {
namespace {

constexpr uint32_t kStateVersion = 2;
constexpr uint32_t kLines = Cpu::kIrq | Cpu::kFiq | Cpu::kVirq | Cpu::kVfiq | Cpu::kEvent;

// Everything a snapshot holds, in its order. `f` writes or reads one plain value.
template <typename CpuType, typename F>
void visit_state(CpuType& cpu, F&& f) {
  for (unsigned i = 0; i < 31; ++i) f(cpu.r.x[i]);
  f(cpu.r.x[kSlotSp]);
  f(cpu.pc);
  f(cpu.nzcv);
  f(cpu.fpcr);
  f(cpu.fpsr);
  for (auto& v : cpu.v) {
    f(v.lo);
    f(v.hi);
  }
  f(cpu.ps.el);
  f(cpu.ps.sp_sel);
  f(cpu.ps.daif);
  f(cpu.ps.pan);
  f(cpu.ps.il);
  f(cpu.ps.ss);
  f(cpu.ps.stepped);
  if (cpu.model >= CpuModel::kMax) f(cpu.ps.dit);

  auto& s = cpu.sys;
  f(s.el1.sctlr), f(s.el1.tcr), f(s.el1.ttbr0), f(s.el1.ttbr1), f(s.el1.mair);
  f(s.vbar_el1), f(s.elr_el1), f(s.spsr_el1), f(s.esr_el1), f(s.far_el1), f(s.par_el1);
  f(s.sp_el0), f(s.sp_el1);
  f(s.tpidr_el0), f(s.tpidrro_el0), f(s.tpidr_el1), f(s.contextidr_el1);
  f(s.cpacr_el1), f(s.csselr_el1), f(s.amair_el1), f(s.actlr_el1);
  f(s.afsr0_el1), f(s.afsr1_el1), f(s.cntkctl_el1), f(s.mdscr_el1);
  f(s.mpidr_el1);
  f(s.osdlr_el1), f(s.oslar_locked), f(s.mdccint_el1);
  for (unsigned i = 0; i < 16; ++i) {
    f(s.dbgbvr[i]), f(s.dbgbcr[i]), f(s.dbgwvr[i]), f(s.dbgwcr[i]);
  }

  if (cpu.has_el2) {
    auto& h = s.el2;
    f(h.hcr), f(h.sctlr), f(h.tcr), f(h.ttbr0), f(h.ttbr1), f(h.mair), f(h.vtcr), f(h.vttbr);
    f(h.vbar), f(h.elr), f(h.spsr), f(h.esr), f(h.far), f(h.hpfar);
    f(h.cptr), f(h.mdcr), f(h.hstr), f(h.hacr), f(h.actlr), f(h.amair), f(h.afsr0), f(h.afsr1);
    f(h.tpidr), f(h.contextidr), f(h.vpidr), f(h.vmpidr), f(h.cnthctl), f(h.cntvoff);
    f(h.icc_sre), f(h.ich_hcr), f(h.sp);
  }

  if (cpu.model >= CpuModel::kMax) {
    auto& p = cpu.pmu;
    f(p.cycles), f(p.cycle_filter), f(p.control), f(p.enabled), f(p.interrupts), f(p.overflows);
    f(p.user), f(p.selected);
    for (unsigned i = 0; i < Pmu::kEventCounters; ++i) f(p.counters[i]), f(p.types[i]);
  }

  auto& m = cpu.monitor;
  f(m.valid), f(m.device), f(m.bytes), f(m.ipa), f(m.value[0]), f(m.value[1]), f(m.version);
  uint64_t retired = cpu.retired;
  f(retired);
  if constexpr (!std::is_const_v<CpuType>) cpu.retired = retired;
  f(cpu.futile_exceptions), f(cpu.retired_at_exception);
}

// What holds of every state, also of one that a damaged snapshot names.
void make_legal(Cpu& cpu) {
  cpu.r.x[kSlotXzr] = 0;
  cpu.nzcv &= 0xf000'0000;
  cpu.ps.el = std::min<uint8_t>(cpu.ps.el, cpu.has_el2 ? 2 : 1);
  cpu.ps.sp_sel &= 1;
  cpu.ps.daif &= 0xf;
  if (!cpu.has_vhe) cpu.sys.el2.hcr &= ~uint64_t{kHcrE2h};
  update_regime(cpu);
  if (cpu.monitor.bytes > 16) cpu.monitor.valid = false;
  pmu_restarted(cpu);
}

}  // namespace

void SoftVcpu::reset(uint64_t pc, uint64_t x0) {
  cpu_.r = {};
  cpu_.r.x[0] = x0;
  cpu_.pc = pc;
  cpu_.nzcv = cpu_.fpcr = cpu_.fpsr = 0;
  for (Vreg& v : cpu_.v) v = {};
  cpu_.ps = {};
  cpu_.sys = {};
  IrqLine* const pmu_line = cpu_.pmu.line;
  cpu_.pmu = {};
  cpu_.pmu.line = pmu_line;
  cpu_.sys.el1.sctlr = id::kSctlrReset;
  cpu_.sys.mpidr_el1 = uint64_t{1} << 31 | cpu_.index;
  if (cpu_.has_el2) {
    cpu_.ps.el = 2;
    El2Registers& el2 = cpu_.sys.el2;
    el2.hcr = kHcrRw;
    el2.sctlr = id::kSctlrEl2Res1;
    el2.vtcr = uint64_t{1} << 31;
    el2.vpidr = id::kMidr;
    el2.vmpidr = cpu_.sys.mpidr_el1;
    el2.icc_sre = 7;
    el2.mdcr = id::with(cpu_.model, 0, Pmu::kEventCounters);  // HPMN
  }
  cpu_.monitor = {};
  cpu_.event = false;
  cpu_.futile_exceptions = 0;
  cpu_.retired_at_exception = cpu_.retired;
  cpu_.attention.fetch_and(~uint32_t{Cpu::kEvent}, std::memory_order_seq_cst);
  for (const SysregRow& row : sysreg_rows()) {
    // Sets the RES1 bits of the debug registers.
    if (row.effect == SysregEffect::kDebug && row.offset >= 0) set_sysreg_value(cpu_, row, 0);
  }
  make_legal(cpu_);
  engine_reset(cpu_);
  debug_context_changed(cpu_);
}

uint64_t SoftVcpu::get_register(unsigned index) {
  if (index < 31) return cpu_.r.x[index];
  switch (index) {
    case kRegSp:
      return cpu_.r.x[kSlotSp];
    case kRegPc:
      return cpu_.pc;
    case kRegPstate:
      return pstate_to_spsr(cpu_);
    default:
      return 0;
  }
}

void SoftVcpu::get_registers(uint64_t mask, uint64_t* out) {
  for (; mask != 0; mask &= mask - 1) {
    *out++ = get_register(static_cast<unsigned>(__builtin_ctzll(mask)));
  }
}

void SoftVcpu::set_register(unsigned index, uint64_t value) {
  if (index < 31) {
    cpu_.r.x[index] = value;
  } else if (index == kRegSp) {
    cpu_.r.x[kSlotSp] = value;
  } else if (index == kRegPc) {
    cpu_.pc = value;
  } else if (index == kRegPstate) {
    spsr_to_pstate(cpu_, value);
  }
}

Vreg SoftVcpu::get_vector(unsigned index) { return cpu_.v[index & 31]; }
void SoftVcpu::set_vector(unsigned index, Vreg value) { cpu_.v[index & 31] = value; }

uint64_t SoftVcpu::retired() const { return cpu_.retired; }

void SoftVcpu::save(StateWriter& out) {
  pmu_sync(cpu_);
  out.put(kStateVersion);
  visit_state(cpu_, [&out](const auto& value) { out.put(value); });
  const uint32_t lines = cpu_.attention.load(std::memory_order_seq_cst) & kLines;
  out.put<uint32_t>(lines | (cpu_.event ? Cpu::kEvent : 0u));
}

bool SoftVcpu::load(StateReader& in) {
  if (in.get<uint32_t>() != kStateVersion) return false;
  visit_state(cpu_, [&in](auto& value) {
    using T = std::remove_reference_t<decltype(value)>;
    if constexpr (std::is_same_v<T, bool>) {
      value = in.get<uint8_t>() != 0;  // any byte is a legal bool then
    } else {
      value = in.get<T>();
    }
  });
  const uint32_t lines = in.get<uint32_t>() & kLines;
  cpu_.event = false;
  cpu_.attention.fetch_and(~uint32_t{kLines}, std::memory_order_seq_cst);
  if (lines != 0) raise_attention(cpu_, lines);
  make_legal(cpu_);
  engine_reset(cpu_);
  debug_context_changed(cpu_);
  return in.ok();
}

}  // namespace trapline::soft
