#include "vmm/cli/backend.h"

#include "vmm/soft/soft_vcpu.h"

namespace trapline {

std::unique_ptr<Backend> make_backend(const BackendParts& parts) {
  const Options& options = parts.options;
  return soft::make_soft_machine(
      parts.memory, parts.stage2, parts.clock, options.cpus, options.isv_never,
      options.translate_after.value_or(soft::kTranslateAfter),
      {options.el2.on, options.el2.vhe, options.nested_ledger != NestedLedgerChoice::kOff});
}

}  // namespace trapline
