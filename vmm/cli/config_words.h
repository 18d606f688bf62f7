// Options of `trapline run` that come from JSON: `--config F`, and the machine of a saved state.
#ifndef TRAPLINE_VMM_CLI_CONFIG_WORDS_H_
#define TRAPLINE_VMM_CLI_CONFIG_WORDS_H_

#include <string>
#include <vector>

#include "vmm/config/result.h"

namespace trapline {

// The words of a command line with those of the --config file behind them that it names, and of
// `machine`, JSON too and empty if there is none. Options that the command line has itself are
// left out there; of a machine that exists already it may name other files, and nothing else.
Result<std::vector<std::string>> with_config(std::vector<std::string> words,
                                             const std::string& machine);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_CONFIG_WORDS_H_
