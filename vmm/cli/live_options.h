// The words of the commands that look at running VMs: list, stat, top, ctl; and record, at those of
// other VMMs.
#ifndef TRAPLINE_VMM_CLI_LIVE_OPTIONS_H_
#define TRAPLINE_VMM_CLI_LIVE_OPTIONS_H_

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace trapline {

struct LiveOptions {
  enum class Command { kNone, kList, kStat, kTop, kCtl, kRecord };
  Command command = Command::kNone;
  std::string name;    // of the VM
  std::string output;  // of record
  bool json = false, once = false;
  bool kvm = false;                // the guests of this host's KVM
  int pid = 0;                     // with it: of this VMM alone
  double interval_s = 0;           // 0: none was given
  std::vector<std::string> words;  // ctl: behind the name
  std::string since;               // ctl save
  bool compress = false;           // likewise
  std::string downtime;            // ctl migrate; empty: none was given
};

// Adds the commands; `options` is filled when one of them parses.
void add_live_commands(CLI::App& app, LiveOptions& options);
// What is wrong with the options; empty if nothing.
std::string check_live_options(LiveOptions& options);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_LIVE_OPTIONS_H_
