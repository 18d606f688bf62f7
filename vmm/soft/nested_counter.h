// Keeps the ledger of nested virtualisation (vmm/vcpu/nested_ledger.h) of one CPU. Only with
// --nested-ledger; the CPU calls it at what the names below say, at EL2 or on the way there.
//
// A window is the time from the exception that an inner vCPU leaves by to the next entry of the
// same one, by VMID and virtual MPIDR; on whichever CPU that is, so that the open windows are the
// machine's.
#ifndef TRAPLINE_VMM_SOFT_NESTED_COUNTER_H_
#define TRAPLINE_VMM_SOFT_NESTED_COUNTER_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "vmm/soft/cpu.h"
#include "vmm/vcpu/nested_ledger.h"

namespace trapline::soft {

struct NestedWindow {
  uint64_t vcpu;  // whose: VMID and virtual MPIDR
  unsigned cpu;   // on which it left
  NestedExit why;
  bool isv = false;
  uint64_t pc;  // of the instruction that left
  NestedCounts counts;
  std::unordered_map<uint32_t, NestedTrapCount> traps;
};

// The machine's.
struct NestedWindows {
  std::mutex mutex;
  std::unordered_map<uint64_t, std::shared_ptr<NestedWindow>> open;  // by vCPU
};

class NestedCounter {
 public:
  NestedCounter(Cpu& cpu, NestedWindows& windows) : cpu_(cpu), windows_(windows) {}

  // An exception to EL2 is being taken: the state is still that of where it comes from.
  void exception(VectorKind kind, Ec ec, uint32_t iss, uint64_t return_pc);
  // ERET at EL2, done: the state is that of where it leads.
  void eret(uint64_t return_pc);
  // MRS, MSR or SYS at EL2.
  void access(SysregId name, bool write);
  void hvc() { trap(kNestedHvc, {true, true}); }
  void smc() { trap(kNestedSmc, {true, true}); }

  const NestedLedger& ledger() const { return ledger_; }

 private:
  struct Rule {
    bool nv, nv2;
  };
  void trap(uint32_t what, Rule rule);
  NestedCounts& counts();
  void account_instructions();
  void open(VectorKind kind, Ec ec, uint32_t iss, uint64_t return_pc);
  void close(uint64_t return_pc);

  Cpu& cpu_;
  NestedWindows& windows_;
  NestedLedger ledger_;
  std::shared_ptr<NestedWindow>
      current_;               // what happens now is its price; null: nobody's, kForeign
  bool interrupted_ = false;  // by an interrupt of the hypervisor's own, until it returns
  uint64_t interrupted_pc_ = 0;
  uint64_t counted_to_ = 0;  // instructions
};

// The manual's name: "HCR_EL2", "SCTLR_EL12", "TLBI VAE2IS", "ERET".
std::string nested_trap_name(uint32_t what);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_NESTED_COUNTER_H_
