#include "tools/lockstep/follower.h"

#include <fmt/format.h>

#include "vmm/soft/exception.h"
#include "vmm/soft/sysreg_table.h"

namespace trapline::lockstep {
namespace {

using soft::Cpu;

// PSTATE bits that both models have: NZCV, PAN, SS, IL, DAIF, EL and SP.
constexpr uint64_t kComparedPstate = 0xf070'03df;
constexpr uint64_t kNzcv = 0xf000'0000;

// Virtual interrupts are nobody's here: no guest of the guest runs.
unsigned interrupt_target(const Cpu& cpu, bool fiq) {
  const uint64_t routed = kHcrTge | (fiq ? kHcrFmo : kHcrImo);
  return cpu.has_el2 && (cpu.ps.el == 2 || (cpu.sys.el2.hcr & routed) != 0) ? 2 : 1;
}

constexpr bool is_mrs(uint32_t word) { return (word & 0xfff0'0000) == 0xd530'0000; }

constexpr SysregId kHcr = sysreg_id(3, 4, 1, 1, 0);

// Registers in which two correct CPUs of different make may differ.
bool implementation_specific(SysregId id) {
  const unsigned op1 = id >> 11 & 7, crn = id >> 7 & 15, crm = id >> 3 & 15;
  if (id >> 14 == 2) return true;                   // debug
  if (crn == 0) return true;                        // identification, caches
  if (crn == 14) return true;                       // counter and timers
  if (crn == 12 && crm != 0) return true;           // ICC_*, ISR_EL1
  if (crn == 4 && crm == 6) return true;            // ICC_PMR_EL1
  if (id == sysreg_id(3, 0, 2, 0, 2)) return true;  // TCR_EL1: bits of absent features
  // SCTLR, ACTLR, CPACR: RES0 and RES1 bits; CPTR_EL2, MDCR_EL2, HSTR_EL2, which are absent
  // features' too.
  return crn == 1 && (op1 == 0 || (op1 == 4 && id != kHcr));
}

std::string register_name(unsigned index) { return index == 31 ? "sp" : fmt::format("x{}", index); }

}  // namespace

Follower::Follower(GuestMemory& memory, Stage2& stage2, bool el2)
    : machine_(soft::make_soft_machine(memory, stage2, clock_, 1, true, soft::kTranslateAfter,
                                       {.on = el2, .vhe = false})),
      vcpu_(machine_->vcpu(0)) {}

void Follower::start(const Record& first) {
  vcpu_.reset(first.pc, 0);
  for (unsigned i = 0; i < 32; ++i) vcpu_.set_register(i, first.x[i]);
  vcpu_.set_register(kRegPstate, first.pstate);
}

Follower::Freedom Follower::step(std::string& error) {
  // What a device answered is in QEMU's next record.
  struct Passing final : ExitSink {
    Answer handle(const Exit& exit, CpuView& view) override {
      if (exit.brief) return {Resume::kWhole};
      if (seen.kind == ExitKind::kBudget || exit.kind != ExitKind::kDebug) seen = exit;
      if (exit.kind == ExitKind::kSysreg && !exit.sysreg_write && exit.sysreg_rt < 31) {
        view.regs->x[exit.sysreg_rt] = 0;
      }
      return {Resume::kGoOn, true};
    }
    Exit seen;
  } sink;
  vcpu_.step(sink);
  const Exit& exit = sink.seen;
  switch (exit.kind) {
    case ExitKind::kDebug:
    case ExitKind::kBudget:
      return Freedom::kNone;
    case ExitKind::kDataAbort: {
      // A device. Its answer, and a write-back, are in QEMU's next record.
      note_adoption(fmt::format("device at {:#x}", exit.ipa & ~kPageMask), 0, 0);
      return Freedom::kAllRegisters;
    }
    case ExitKind::kSysreg: {
      const char* name = soft::sysreg_name(exit.sysreg);
      note_adoption(name != nullptr ? name : "system register", 0, 0);
      return Freedom::kRt;
    }
    case ExitKind::kHvc:
      note_adoption("hvc", 0, 0);
      return Freedom::kAllRegisters;
    case ExitKind::kWfi:
    case ExitKind::kWfe:
      return Freedom::kNone;
    default:
      error = fmt::format("our CPU stopped: exit kind {}, esr {:#x}, far {:#x}, ipa {:#x}",
                          static_cast<unsigned>(exit.kind), exit.esr, exit.far, exit.ipa);
      return Freedom::kNone;
  }
}

void Follower::note_adoption(const std::string& what, uint64_t ours, uint64_t qemu) {
  Adoption& a = adoptions_.try_emplace(what, Adoption{0, ours, qemu}).first->second;
  ++a.count;
}

void Follower::adopt(const Record& next, Freedom freedom, uint32_t word) {
  if (freedom == Freedom::kAllRegisters) {
    for (unsigned i = 0; i < 32; ++i) vcpu_.set_register(i, next.x[i]);
    return;
  }
  const unsigned rt = word & 31;
  if (rt == 31) return;
  if (freedom == Freedom::kRt) {
    vcpu_.set_register(rt, next.x[rt]);
    return;
  }
  const auto id = static_cast<SysregId>(word >> 5 & 0xffff);
  if (is_mrs(word) && implementation_specific(id)) {
    const uint64_t ours = vcpu_.get_register(rt);
    if (ours == next.x[rt]) return;
    const char* name = soft::sysreg_name(id);
    note_adoption(name != nullptr ? name : fmt::format("sysreg {:#x}", id), ours, next.x[rt]);
    vcpu_.set_register(rt, next.x[rt]);
  }
}

std::string Follower::compare(const Record& next) const {
  std::string out;
  auto check = [&out](const std::string& name, uint64_t ours, uint64_t qemu) {
    if (ours != qemu) out += fmt::format("  {:7} ours {:016x}  qemu {:016x}\n", name, ours, qemu);
  };
  check("pc", vcpu_.get_register(kRegPc), next.pc);
  check("pstate", vcpu_.get_register(kRegPstate) & kComparedPstate, next.pstate & kComparedPstate);
  for (unsigned i = 0; i < 32; ++i) check(register_name(i), vcpu_.get_register(i), next.x[i]);
  return out;
}

std::string Follower::advance(const Record& now, const Record& next) {
  // QEMU logs a block before it finds that it must not run it yet.
  const bool interrupted_before = next.interrupt != 0 && next.interrupt_elr == now.pc;
  const bool repeated = next.interrupt == 0 && next.same_state(now);
  if (repeated) return {};

  std::string error;
  if (!interrupted_before) {
    const Fetched fetched = vcpu_.fetch(now.pc);
    past_[executed_++ % past_.size()] = {now.pc, fetched.word};
    Record target = next;
    const Freedom freedom = step(error);
    if (!error.empty()) return error + "\n";
    adopt(target, freedom, fetched.word);
  }
  if (next.interrupt != 0) {
    Cpu& cpu = vcpu_.cpu();
    const bool fiq = next.interrupt != 5;
    const uint32_t let_through = cpu.interrupt_bits[cpu.ps.daif & 7];
    if ((let_through & (fiq ? Cpu::kFiq : Cpu::kIrq)) == 0) {
      return "  QEMU took an interrupt that is masked here\n";
    }
    if (cpu.pc != next.interrupt_elr) {
      return fmt::format("  interrupt at ours {:016x}  qemu {:016x}\n", cpu.pc, next.interrupt_elr);
    }
    take_interrupt(cpu, fiq ? soft::VectorKind::kFiq : soft::VectorKind::kIrq,
                   interrupt_target(cpu, fiq));
  }
  // QEMU clears NZCV, which AArch64.TakeException() (shared/exceptions) leaves as it is.
  if (next.exception) vcpu_.cpu().nzcv = static_cast<uint32_t>(next.pstate & kNzcv);
  return compare(next);
}

std::string Follower::history() const {
  std::string out;
  const uint64_t n = past_.size();
  for (uint64_t i = executed_ > n ? executed_ - n : 0; i < executed_; ++i) {
    const Past& past = past_[i % n];
    out += fmt::format("  {:016x}  {:08x}\n", past.pc, past.word);
  }
  return out;
}

std::string Follower::adoptions() const {
  std::string out;
  for (const auto& [what, a] : adoptions_) {
    out += fmt::format("  {:8}  {}", a.count, what);
    if (a.ours != a.qemu) out += fmt::format("  ours {:#x}, qemu {:#x}", a.ours, a.qemu);
    out += '\n';
  }
  return out;
}

std::string Follower::system_registers() const {
  std::string out;
  for (const soft::SysregRow& row : soft::sysreg_rows()) {
    if (row.offset < 0 || row.mask == 0) continue;
    if (const uint64_t value = soft::sysreg_value(vcpu_.cpu(), row)) {
      out += fmt::format("  {:16} {:016x}\n", row.name, value);
    }
  }
  return out;
}

}  // namespace trapline::lockstep
