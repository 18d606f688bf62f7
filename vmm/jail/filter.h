// The table of calls as a seccomp filter.
#ifndef TRAPLINE_VMM_JAIL_FILTER_H_
#define TRAPLINE_VMM_JAIL_FILTER_H_

#include <span>
#include <string>

#include "vmm/jail/calls.h"
#include "vmm/jail/jail.h"

namespace trapline::jail {

// As jail.h has it.
std::string why_no_filter();

// On every thread, those to come included. One line, empty on success; then it cannot be undone.
std::string install_filter(std::span<const Call> calls, const Needs& needs);

}  // namespace trapline::jail

#endif  // TRAPLINE_VMM_JAIL_FILTER_H_
