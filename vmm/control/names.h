// Names of running VMs, and the folder in which each has its control socket.
#ifndef TRAPLINE_VMM_CONTROL_NAMES_H_
#define TRAPLINE_VMM_CONTROL_NAMES_H_

#include <string>
#include <vector>

#include "vmm/config/result.h"

namespace trapline {

inline constexpr size_t kMaxVmName = 64;

// Empty, or what is wrong with it: letters, digits, "-", "_" and ".", up to kMaxVmName; no "." in
// front.
std::string check_vm_name(const std::string& name);

// $XDG_RUNTIME_DIR/trapline, else /tmp/trapline-UID.
std::string runtime_folder();
std::string vm_socket_path(const std::string& name);

// The folder, made if need be, as a descriptor: ours, nobody else's, no symbolic link.
Result<int> open_runtime_folder(bool make);

// Of all sockets there, whether somebody listens or not; sorted.
std::vector<std::string> vm_names();

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_NAMES_H_
