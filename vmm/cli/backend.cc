#include "vmm/cli/backend.h"

#include <fmt/format.h>

#include "vmm/kvm/kvm_backend.h"
#include "vmm/soft/soft_vcpu.h"

namespace trapline {

std::string choose_backend(Options& options, std::string& note) {
  if (options.backend == BackendChoice::kSoft) return {};
  const bool asked = options.backend == BackendChoice::kKvm;
  std::string why = kvm::why_not();
  if (asked && !why.empty()) return "--backend kvm: " + why;
  const std::string only = option_of_software_cpu(options);
  if (asked && !only.empty()) return fmt::format("{} needs --backend soft", only);
  const std::string no_el2 = kvm::why_no_el2(options.el2);
  if (asked && !no_el2.empty()) return "--backend kvm, --el2: " + no_el2;

  if (asked) return {};
  options.backend = BackendChoice::kSoft;
  if (!why.empty()) return {};
  if (!only.empty()) {
    note = fmt::format("{}: on the software CPU", only);
  } else if (!no_el2.empty()) {
    note = fmt::format("--el2: on the software CPU: {}", no_el2);
  } else {
    options.backend = BackendChoice::kKvm;
  }
  return {};
}

Result<std::unique_ptr<Backend>> make_backend(const BackendParts& parts) {
  const Options& options = parts.options;
  if (options.backend == BackendChoice::kKvm) {
    auto made = kvm::make_kvm_machine(parts.memory, parts.stage2, options);
    if (!made) return Error{"--backend kvm: " + made.error()};
    return made;
  }
  return std::unique_ptr<Backend>(soft::make_soft_machine(
      parts.memory, parts.stage2, parts.clock, options.cpus, options.isv_never,
      options.translate_after.value_or(soft::kTranslateAfter),
      {options.el2.on, options.el2.vhe, options.nested_ledger != NestedLedgerChoice::kOff},
      options.cpu));
}

}  // namespace trapline
