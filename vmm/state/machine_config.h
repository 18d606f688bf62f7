// The machine that a state belongs to, as the options of `trapline run` that make it, in JSON: what
// `run --config` reads, too.
#ifndef TRAPLINE_VMM_STATE_MACHINE_CONFIG_H_
#define TRAPLINE_VMM_STATE_MACHINE_CONFIG_H_

#include <string>

#include "vmm/config/options.h"

namespace trapline::state {

// Of what the guest can tell, nothing of how its host runs it. Files have absolute names.
std::string machine_config(const Options& options);

}  // namespace trapline::state

#endif  // TRAPLINE_VMM_STATE_MACHINE_CONFIG_H_
