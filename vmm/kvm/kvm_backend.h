// The processors of an arm64 host, by Linux's KVM, behind the Vcpu and Backend joints.
#ifndef TRAPLINE_VMM_KVM_KVM_BACKEND_H_
#define TRAPLINE_VMM_KVM_KVM_BACKEND_H_

#include <memory>
#include <string>

#include "vmm/config/options.h"
#include "vmm/config/result.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/stage2.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline::kvm {

// Why this host cannot run guests by KVM, in one line: no arm64, no /dev/kvm, no right to it, no
// vGICv3. Empty: it can.
std::string why_not();
// Why it cannot give guests what `el2` asks for; empty: it can, or nothing is asked.
std::string why_no_el2(const Options::El2& el2);

// All vCPUs of a machine, with the memory that `memory` holds by now. The arguments outlive it.
Result<std::unique_ptr<Backend>> make_kvm_machine(GuestMemory& memory, Stage2& stage2,
                                                  const Options& options);

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_KVM_BACKEND_H_
