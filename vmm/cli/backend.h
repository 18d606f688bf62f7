// Which backend a machine runs on: the one point where the program knows them all.
#ifndef TRAPLINE_VMM_CLI_BACKEND_H_
#define TRAPLINE_VMM_CLI_BACKEND_H_

#include <memory>
#include <string>

#include "vmm/config/options.h"
#include "vmm/config/result.h"
#include "vmm/machine/machine.h"

namespace trapline {

// --backend auto becomes the one to use; `note` says why it is not KVM, where the host has it. One
// line if --backend kvm cannot be had.
std::string choose_backend(Options& options, std::string& note);

Result<std::unique_ptr<Backend>> make_backend(const BackendParts& parts);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_BACKEND_H_
