// `--display`: who looks at the guest's screen.
#ifndef TRAPLINE_VMM_CLI_DISPLAY_H_
#define TRAPLINE_VMM_CLI_DISPLAY_H_

#include <memory>
#include <optional>
#include <string>

#include "vmm/config/result.h"
#include "vmm/control/sockets.h"
#include "vmm/display/viewers.h"

namespace trapline {

struct Display {
  std::optional<ListeningSocket> socket;
  std::unique_ptr<Viewers> viewers;  // null: nobody
};

// What is wrong with the text; empty if nothing.
std::string check_display(const std::string& where);
// `enter`: Viewers::start()'s. One line that names the option if it cannot be.
Result<Display> open_display(const std::string& where, Viewers::EnterJail enter);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_DISPLAY_H_
