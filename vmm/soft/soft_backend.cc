// The machine-wide side of the software CPU: stage 2, and the assembly of the vCPUs.
#include "vmm/soft/engine/engine.h"
#include "vmm/soft/machine.h"
#include "vmm/soft/nested_counter.h"
#include "vmm/soft/soft_internal.h"
#include "vmm/soft/soft_vcpu.h"

namespace trapline::soft {

namespace {

class Machine final : public SoftMachine {
 public:
  Machine(GuestMemory& memory, Stage2& stage2, Clock& clock, unsigned count, bool isv_never,
          uint16_t translate_after, El2Choice el2, CpuModel model)
      : memory_(memory), stage2_(stage2), shared_(memory) {
    try {
      make(clock, count, isv_never, translate_after, el2, model);
    } catch (...) {
      destroy();
      throw;
    }
  }
  ~Machine() override { destroy(); }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  unsigned cpus() const override { return static_cast<unsigned>(vcpus_.size()); }
  SoftVcpu& vcpu(unsigned index) override { return *vcpus_[index]; }
  SharedState& shared() override { return shared_; }
  void map(uint64_t ipa, uint64_t size, uint8_t* host, uint8_t perms) override;
  void unmap(uint64_t ipa, uint64_t size) override;
  bool watch(uint64_t ipa_page) override;
  void track_writes() override { tlb_demote_tracked_writes(shared_); }
  std::optional<NestedLedger> nested_ledger() const override {
    if (counters_.empty()) return std::nullopt;
    NestedLedger sum;
    for (const auto& counter : counters_) sum.merge(counter->ledger());
    for (const auto& [key, count] : sum.traps) {
      sum.names.try_emplace(key.second, nested_trap_name(key.second));
    }
    return sum;
  }

 private:
  void make(Clock& clock, unsigned count, bool isv_never, uint16_t translate_after, El2Choice el2,
            CpuModel model) {
    for (unsigned i = 0; i < count; ++i) {
      Cpu& cpu = *cpus_.emplace_back(std::make_unique<Cpu>());
      cpu.index = i;
      cpu.model = model;
      cpu.isv_never = isv_never;
      cpu.has_el2 = el2.on;
      cpu.has_vhe = el2.on && el2.vhe;
      cpu.translate_after = translate_after;
      cpu.memory = &memory_;
      cpu.stage2 = &stage2_;
      cpu.clock = &clock;
      cpu.shared = &shared_;
      if (el2.ledger) {
        cpu.ledger = counters_.emplace_back(std::make_unique<NestedCounter>(cpu, windows_)).get();
      }
      engine_create(cpu);
      vcpus_.push_back(std::make_unique<SoftVcpu>(cpu));
    }
    for (auto& vcpu : vcpus_) vcpu->reset(0, 0);
  }
  void destroy() {
    vcpus_.clear();
    for (auto& cpu : cpus_) {
      if (cpu->engine != nullptr) engine_destroy(*cpu);
    }
  }

  GuestMemory& memory_;
  Stage2& stage2_;
  SharedState shared_;
  std::vector<std::unique_ptr<Cpu>> cpus_;
  NestedWindows windows_;
  std::vector<std::unique_ptr<NestedCounter>> counters_;
  std::vector<std::unique_ptr<SoftVcpu>> vcpus_;
};

void Machine::map(uint64_t ipa, uint64_t size, uint8_t* host, uint8_t perms) {
  stage2_.map(ipa, size, host, perms);
  memory_.map_changed();
  tlb_invalidate_ipa(shared_, current_cpu(shared_), ipa, size);
}

void Machine::unmap(uint64_t ipa, uint64_t size) {
  stage2_.unmap(ipa, size);
  memory_.map_changed();
  tlb_invalidate_ipa(shared_, current_cpu(shared_), ipa, size);
}

bool Machine::watch(uint64_t ipa_page) {
  std::atomic<uint8_t>* flags = memory_.page_flags(ipa_page);
  if (flags == nullptr) return false;
  // Neither flag is ever taken back: a page that code was once found through often is again.
  constexpr uint8_t kBoth = GuestMemory::kWatched | GuestMemory::kWatchedByAll;
  if ((flags->load(std::memory_order_seq_cst) & kBoth) == kBoth) return true;
  // The flag first: a TLB entry made after the demotion sees it.
  flags->fetch_or(GuestMemory::kWatched, std::memory_order_seq_cst);
  tlb_demote_writes(shared_, current_cpu(shared_), ipa_page & ~kPageMask);
  flags->fetch_or(GuestMemory::kWatchedByAll, std::memory_order_seq_cst);
  return true;
}

}  // namespace

std::unique_ptr<SoftMachine> make_soft_machine(GuestMemory& memory, Stage2& stage2, Clock& clock,
                                               unsigned cpus, bool isv_never,
                                               uint16_t translate_after, El2Choice el2,
                                               CpuModel model) {
  return std::make_unique<Machine>(memory, stage2, clock, cpus, isv_never, translate_after, el2,
                                   model);
}

}  // namespace trapline::soft
