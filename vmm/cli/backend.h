// Which backend runs the vCPUs.
#ifndef TRAPLINE_VMM_CLI_BACKEND_H_
#define TRAPLINE_VMM_CLI_BACKEND_H_

#include <memory>

#include "vmm/machine/machine.h"

namespace trapline {

// The software CPU: the one there is.
std::unique_ptr<Backend> make_backend(const BackendParts& parts);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_BACKEND_H_
