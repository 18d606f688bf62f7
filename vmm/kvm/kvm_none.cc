// Where the host's processors are not arm64.
#include "vmm/kvm/host_events.h"
#include "vmm/kvm/kvm_backend.h"

namespace trapline::kvm {

std::string why_not() { return "this host is not arm64"; }
std::string why_no_el2(const Options::El2& /*el2*/) { return why_not(); }

Result<std::unique_ptr<Backend>> make_kvm_machine(GuestMemory& /*memory*/, Stage2& /*stage2*/,
                                                  const Options& /*options*/) {
  return Error{why_not()};
}

Result<std::unique_ptr<HostEvents>> HostEvents::start(pid_t /*pid*/) { return Error{why_not()}; }

}  // namespace trapline::kvm
