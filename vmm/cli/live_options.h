// The words of the commands that look at running VMs: list, stat, top, ctl.
#ifndef TRAPLINE_VMM_CLI_LIVE_OPTIONS_H_
#define TRAPLINE_VMM_CLI_LIVE_OPTIONS_H_

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace trapline {

struct LiveOptions {
  enum class Command { kNone, kList, kStat, kTop, kCtl };
  Command command = Command::kNone;
  std::string name;  // of the VM
  bool json = false, once = false;
  double interval_s = 0;           // 0: none was given
  std::vector<std::string> words;  // ctl: behind the name
};

// Adds the commands; `options` is filled when one of them parses.
void add_live_commands(CLI::App& app, LiveOptions& options);
// What is wrong with the options; empty if nothing.
std::string check_live_options(const LiveOptions& options);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_LIVE_OPTIONS_H_
