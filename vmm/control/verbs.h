// Requests and their replies: what a control socket serves, without the socket.
#ifndef TRAPLINE_VMM_CONTROL_VERBS_H_
#define TRAPLINE_VMM_CONTROL_VERBS_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/control/controlled.h"
#include "vmm/control/request.h"
#include "vmm/host/descriptor.h"

namespace trapline {

// `{"ok": false, "error": ...}` and a line's end.
std::string error_reply(std::string_view error);

// The document of `stat`: that of --stats, with "vcpus".
nlohmann::json live_json(const LiveReport& live);

class Verbs {
 public:
  // `keeper`: null where a machine can be neither saved nor moved. `console`: the path of the
  // socket at which the guest's serial line is; empty: it is elsewhere.
  Verbs(Controlled& machine, std::string name, std::string version, StateKeeper* keeper = nullptr,
        std::string console = {})
      : machine_(machine),
        keeper_(keeper),
        name_(std::move(name)),
        version_(std::move(version)),
        console_(std::move(console)) {}

  struct Reply {
    std::string line;        // its end included
    bool subscribe = false;  // events follow
  };
  // Of one line, without its end; `passed` came beside it.
  Reply answer(std::string_view line, std::vector<Descriptor> passed = {});

 private:
  std::string status();
  std::string save(const Request& request, std::vector<Descriptor> passed);
  std::string screenshot(std::vector<Descriptor> passed);
  std::string migrate(const Request& request, std::vector<Descriptor> passed);
  std::string profile_report();

  Controlled& machine_;
  StateKeeper* const keeper_;
  std::string name_, version_, console_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_VERBS_H_
