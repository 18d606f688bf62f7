// Where a migration goes and comes from: "unix:PATH" or "exec:COMMAND".
#ifndef TRAPLINE_VMM_STATE_ENDPOINT_H_
#define TRAPLINE_VMM_STATE_ENDPOINT_H_

#include <string>

#include "vmm/config/result.h"

namespace trapline::state {

// Empty, or what is wrong with the text.
std::string check_endpoint(const std::string& where);

// A connected descriptor: to who listens at the path, or to a shell's command, whose standard input
// and output it is.
Result<int> connect_to(const std::string& where);
// Likewise, from the first who connects to the path.
Result<int> wait_for(const std::string& where);

}  // namespace trapline::state

#endif  // TRAPLINE_VMM_STATE_ENDPOINT_H_
