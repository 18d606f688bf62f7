#include "vmm/soft/nested_counter.h"

#include "vmm/soft/el2.h"
#include "vmm/soft/nv_rules.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::soft {
namespace {

// An inner guest runs, or is about to: below EL2, in a VM.
bool in_guest(const Cpu& cpu) { return cpu.ps.el < 2 && has(cpu, kHcrVm) && !has(cpu, kHcrTge); }

uint64_t vcpu_of(const Cpu& cpu) {
  return cpu.sys.el2.vttbr >> 48 << 40 | (cpu.sys.el2.vmpidr & 0xff'00ff'ffff);
}

NestedExit exit_of(VectorKind kind, Ec ec, uint32_t iss) {
  if (kind != VectorKind::kSync) return NestedExit::kInterrupt;
  switch (ec) {
    case Ec::kHvc64:
      return NestedExit::kHypercall;
    case Ec::kSmc64:
      return NestedExit::kSmc;
    case Ec::kWfx:
      return NestedExit::kWfx;
    case Ec::kFpAccess:
      return NestedExit::kFp;
    case Ec::kSysreg: {
      // ICC_SGI1R, ASGI1R, SGI0R: op0 3, op1 0, CRn 12, CRm 11, op2 5 to 7.
      const bool sgi = (iss >> 20 & 3) == 3 && (iss >> 14 & 7) == 0 && (iss >> 10 & 15) == 12 &&
                       (iss >> 1 & 15) == 11 && (iss >> 17 & 7) >= 5;
      return sgi ? NestedExit::kIpi : NestedExit::kSysreg;
    }
    case Ec::kDataAbortLower:
    case Ec::kInstAbortLower:
      return NestedExit::kStage2Fault;  // until it is known where the guest goes on
    default:
      return NestedExit::kOther;
  }
}

}  // namespace

NestedCounts& NestedCounter::counts() {
  if (current_ != nullptr && !interrupted_) return current_->counts;
  return ledger_.exits[static_cast<unsigned>(NestedExit::kForeign)];
}

void NestedCounter::account_instructions() {
  counts().instructions += cpu_.retired - counted_to_;
  counted_to_ = cpu_.retired;
}

void NestedCounter::trap(uint32_t what, Rule rule) {
  if (!rule.nv && !rule.nv2) return;
  NestedCounts& sum = counts();
  sum.traps_nv += rule.nv;
  sum.traps_nv2 += rule.nv2;
  NestedTrapCount& count = current_ != nullptr && !interrupted_
                               ? current_->traps[what]
                               : ledger_.traps[{NestedExit::kForeign, what}];
  count.nv += rule.nv;
  count.nv2 += rule.nv2;
}

void NestedCounter::access(SysregId name, bool write) {
  const NvRule rule = nv_rule(name, has(cpu_, kHcrE2h));
  const bool instruction = name >> 14 == 1;
  if (instruction && rule.nv) ++((name >> 7 & 15) == 8 ? counts().tlbis : counts().ats);
  trap(name | (write && !instruction ? uint32_t{kNestedWrite} : 0), {rule.nv, rule.nv2});
}

void NestedCounter::exception(VectorKind kind, Ec ec, uint32_t iss, uint64_t return_pc) {
  if (in_guest(cpu_)) {
    open(kind, ec, iss, return_pc);
  } else if (kind != VectorKind::kSync && !interrupted_) {
    // Of the hypervisor's own: what it does until it returns is not the inner exit's price.
    account_instructions();
    interrupted_ = true;
    interrupted_pc_ = return_pc;
  }
  if (cpu_.ps.el < 2) ++counts().stays;
}

void NestedCounter::open(VectorKind kind, Ec ec, uint32_t iss, uint64_t return_pc) {
  std::lock_guard lock(windows_.mutex);
  auto window = std::make_shared<NestedWindow>();
  window->vcpu = vcpu_of(cpu_);
  window->cpu = cpu_.index;
  window->why = exit_of(kind, ec, iss);
  window->isv = ec == Ec::kDataAbortLower && (iss & iss::kIsv) != 0;
  window->pc = return_pc;
  current_ = window;
  interrupted_ = false;
  counted_to_ = cpu_.retired;
  windows_.open[window->vcpu] = std::move(window);
  trap(kNestedExitItself, {true, true});
}

void NestedCounter::eret(uint64_t return_pc) {
  ++counts().erets;
  trap(kNestedEret, {true, true});
  if (interrupted_ && return_pc == interrupted_pc_ && !in_guest(cpu_)) {
    account_instructions();
    interrupted_ = false;
  }
  if (in_guest(cpu_)) close(return_pc);
}

void NestedCounter::close(uint64_t return_pc) {
  account_instructions();
  interrupted_ = false;
  current_.reset();
  std::lock_guard lock(windows_.mutex);
  const auto found = windows_.open.find(vcpu_of(cpu_));
  if (found == windows_.open.end()) return;  // its first entry
  NestedWindow& window = *found->second;
  if (window.why == NestedExit::kStage2Fault && return_pc == window.pc + 4) {
    window.why = window.isv ? NestedExit::kMmioIsv1 : NestedExit::kMmioIsv0;
  }
  NestedCounts& sum = ledger_.exits[static_cast<unsigned>(window.why)];
  if (window.cpu != cpu_.index) {
    ++sum.moved;
  } else {
    const NestedCounts& c = window.counts;
    ++sum.exits;
    sum.stays += c.stays;
    sum.traps_nv += c.traps_nv;
    sum.traps_nv2 += c.traps_nv2;
    sum.erets += c.erets, sum.tlbis += c.tlbis, sum.ats += c.ats;
    sum.instructions += c.instructions;
    for (const auto& [what, count] : window.traps) {
      NestedTrapCount& total = ledger_.traps[{window.why, what}];
      total.nv += count.nv;
      total.nv2 += count.nv2;
    }
  }
  windows_.open.erase(found);
}

}  // namespace trapline::soft
