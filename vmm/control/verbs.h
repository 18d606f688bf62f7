// Requests and their replies: what a control socket serves, without the socket.
#ifndef TRAPLINE_VMM_CONTROL_VERBS_H_
#define TRAPLINE_VMM_CONTROL_VERBS_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "vmm/control/controlled.h"
#include "vmm/control/request.h"

namespace trapline {

// `{"ok": false, "error": ...}` and a line's end.
std::string error_reply(std::string_view error);

// The document of `stat`: that of --stats, with "vcpus".
nlohmann::json live_json(const LiveReport& live);

class Verbs {
 public:
  Verbs(Controlled& machine, std::string name, std::string version)
      : machine_(machine), name_(std::move(name)), version_(std::move(version)) {}

  struct Reply {
    std::string line;        // its end included
    bool subscribe = false;  // events follow
  };
  // Of one line, without its end.
  Reply answer(std::string_view line);

 private:
  std::string status();
  std::string profile_report();

  Controlled& machine_;
  std::string name_, version_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_VERBS_H_
