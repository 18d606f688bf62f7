#include "vmm/soft/soft_vcpu.h"

#include "vmm/memory/nested_walk_inl.h"
#include "vmm/soft/engine/engine.h"
#include "vmm/soft/exception.h"
#include "vmm/soft/id_registers.h"
#include "vmm/soft/mmu.h"
#include "vmm/soft/pmu.h"
#include "vmm/soft/soft_internal.h"
#include "vmm/soft/sysreg_table.h"

namespace trapline::soft {
namespace {

thread_local Cpu* t_current_cpu = nullptr;

}  // namespace

Cpu* current_cpu(const SharedState& shared) {
  return t_current_cpu != nullptr && t_current_cpu->shared == &shared ? t_current_cpu : nullptr;
}

SoftVcpu::SoftVcpu(Cpu& cpu) : cpu_(cpu) {}

SoftVcpu::~SoftVcpu() {
  if (t_current_cpu == &cpu_) t_current_cpu = nullptr;
}

void SoftVcpu::run(uint64_t budget, ExitSink& sink) {
  t_current_cpu = &cpu_;
  engine_run(cpu_, budget, sink);
}

void SoftVcpu::step(ExitSink& sink) {
  t_current_cpu = &cpu_;
  engine_step(cpu_, sink);
}

void SoftVcpu::set_breakpoints(const uint64_t* pcs, unsigned count) {
  engine_set_breakpoints(cpu_, pcs, count);
}

bool SoftVcpu::set_watchpoints(const Watchpoint* list, unsigned count) {
  engine_set_watchpoints(cpu_, list, count);
  return true;
}

// --- the instruction that exited -----------------------------------------------------------------

Stage1Walk SoftVcpu::look_up(uint64_t va, WalkFor purpose, bool el0) {
  TranslationRegs regs = cpu_.sys.mmu;
  regs.pan = false;
  return outcome(walk_nested(regs, va, purpose, el0, TableReader(*cpu_.stage2)));
}

Fetched SoftVcpu::fetch(uint64_t pc) {
  Fetched out;
  if (translate_pc(pc, out)) out.word = __atomic_load_n(out.word_host, __ATOMIC_RELAXED);
  return out;
}

// Nobody's TLBI waits for an exit's walk and fetch. Only reads, so that no bracket is needed, as
// SoftView::begin_ram() is for stores: who put something else into a freed table or page did so
// after its DSB, so whoever reads that sees, after this fence, the request of before it, too.
bool SoftVcpu::fetch_overtaken() const {
  std::atomic_thread_fence(std::memory_order_acquire);
  return (cpu_.attention.load(std::memory_order_relaxed) & Cpu::kMaintenance) != 0;
}

bool SoftVcpu::translate_pc(uint64_t pc, Fetched& out) {
  out.ok = false;
  out.loads = 0;
  if ((pc & 3) != 0) return false;
  TableReader reader(*cpu_.stage2, &out);
  Stage1Walk walk;
  MmuResult fault;
  if (!walk_guest(cpu_.sys.mmu, pc, WalkFor::kFetch, cpu_.ps.el == 0, reader, walk, fault)) {
    return false;
  }
  const Stage2Walk s2 = cpu_.stage2->walk(walk.ipa);
  if (!s2.ok || !(s2.executable || s2.walkable)) return false;
  out.ok = true;
  out.ipa = walk.ipa;
  out.word_host = reinterpret_cast<const uint32_t*>(s2.host);
  return true;
}

// --- system registers --------------------------------------------------------------------------

namespace {

// The stack pointers: the current one lives elsewhere, and SP_EL1 no EL1 instruction names.
constexpr SysregId kSpEl0 = sysreg_id(3, 0, 4, 1, 0), kSpEl1 = sysreg_id(3, 4, 4, 1, 0);

uint64_t* stack_pointer(Cpu& cpu, SysregId id) {
  const unsigned own = cpu.ps.sp_sel == 1 ? cpu.ps.el : 0;  // whose is current
  if (id == kSpEl0) return own != 0 ? &cpu.sys.sp_el0 : &cpu.r.x[kSlotSp];
  if (id == kSpEl1) return own == 1 ? &cpu.r.x[kSlotSp] : &cpu.sys.sp_el1;
  return nullptr;
}

}  // namespace

uint64_t SoftVcpu::get_sysreg(SysregId id) {
  if (const uint64_t* sp = stack_pointer(cpu_, id)) return *sp;
  pmu_sync(cpu_);  // its counters are as old as its last event
  uint64_t value = 0;
  read_sysreg_raw(cpu_, id, value);
  return value;
}

bool SoftVcpu::set_sysreg(SysregId id, uint64_t value) {
  if (uint64_t* sp = stack_pointer(cpu_, id)) {
    *sp = value;
    return true;
  }
  const SysregRow* row = find_sysreg(id);
  if (row == nullptr || (row->access & kEl1Write) == 0 || row->effect == SysregEffect::kDevice) {
    return false;
  }
  set_sysreg_value(cpu_, *row, value);
  if (row->effect == SysregEffect::kTranslation) update_regime(cpu_);
  debug_context_changed(cpu_);  // cheap, and right for any that remains
  return true;
}

}  // namespace trapline::soft
