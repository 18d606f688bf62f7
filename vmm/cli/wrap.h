// `trapline wrap`.
#ifndef TRAPLINE_VMM_CLI_WRAP_H_
#define TRAPLINE_VMM_CLI_WRAP_H_

#include <string>
#include <vector>

namespace trapline {

// Becomes the program, with libtrapline-nisv.so preloaded; returns only if that cannot be.
int wrap_command(const std::vector<std::string>& words);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_WRAP_H_
