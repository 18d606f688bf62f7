#include "vmm/vcpu/nested_ledger.h"

namespace trapline {

const char* nested_exit_name(NestedExit exit) {
  static constexpr const char* kNames[] = {"hypercall", "mmio_isv1", "mmio_isv0", "stage2_fault",
                                           "ipi",       "sysreg",    "wfx",       "interrupt",
                                           "fp",        "smc",       "other",     "foreign"};
  return kNames[static_cast<unsigned>(exit)];
}

void NestedLedger::merge(const NestedLedger& other) {
  for (unsigned i = 0; i < static_cast<unsigned>(NestedExit::kCount); ++i) {
    NestedCounts& to = exits[i];
    const NestedCounts& from = other.exits[i];
    to.exits += from.exits, to.moved += from.moved, to.stays += from.stays;
    to.traps_nv += from.traps_nv, to.traps_nv2 += from.traps_nv2;
    to.erets += from.erets, to.tlbis += from.tlbis, to.ats += from.ats;
    to.instructions += from.instructions;
  }
  for (const auto& [key, count] : other.traps) {
    traps[key].nv += count.nv;
    traps[key].nv2 += count.nv2;
  }
  names.insert(other.names.begin(), other.names.end());
}

}  // namespace trapline
