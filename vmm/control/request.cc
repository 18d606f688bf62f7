#include "vmm/control/request.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace trapline {
namespace {

struct Row {
  std::string_view verb, action;  // the action: of "profile" only
  Request::Verb value;
};
constexpr Row kRows[] = {
    {"status", "", Request::Verb::kStatus},
    {"stat", "", Request::Verb::kStat},
    {"events", "", Request::Verb::kEvents},
    {"profile", "start", Request::Verb::kProfileStart},
    {"profile", "stop", Request::Verb::kProfileStop},
    {"profile", "reset", Request::Verb::kProfileReset},
    {"profile", "report", Request::Verb::kProfileReport},
    {"pause", "", Request::Verb::kPause},
    {"resume", "", Request::Verb::kResume},
    {"reset", "", Request::Verb::kReset},
    {"power-off", "", Request::Verb::kPowerOff},
    {"stop", "", Request::Verb::kStop},
};

// As an error may repeat it: short, and nothing that moves a terminal's cursor.
std::string shown(const std::string& text) {
  constexpr size_t kMost = 40;
  std::string out = text.substr(0, kMost);
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text.size() > kMost ? out + "..." : out;
}

// The field's text; false if it is something else. Absent: empty.
bool text_field(const nlohmann::json& object, const char* key, std::string& text) {
  const auto at = object.find(key);
  if (at == object.end()) return true;
  if (!at->is_string()) return false;
  text = at->get<std::string>();
  return true;
}

}  // namespace

Result<Request> parse_request(std::string_view line) {
  if (line.size() > kMaxRequest) {
    return Error{fmt::format("a request has at most {} bytes", kMaxRequest)};
  }
  const nlohmann::json object = nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
  if (!object.is_object()) return Error{"no JSON object: {\"verb\": \"status\"} is one"};
  if (const auto at = object.find("protocol"); at != object.end()) {
    if (!at->is_number_unsigned() || at->get<uint64_t>() != kControlProtocol) {
      return Error{fmt::format("this VM speaks protocol {} only", kControlProtocol)};
    }
  }
  std::string verb, action;
  if (!text_field(object, "verb", verb) || verb.empty()) return Error{"no \"verb\""};
  if (!text_field(object, "action", action)) return Error{"\"action\" is no text"};
  bool known = false;
  for (const Row& row : kRows) {
    if (row.verb != verb) continue;
    known = true;
    if (row.action == action) return Request{row.value};
  }
  if (!known) return Error{fmt::format("unknown verb '{}'", shown(verb))};
  if (verb == "profile") {
    return Error{fmt::format("profile: \"action\" is start, stop, reset or report, not '{}'",
                             shown(action))};
  }
  return Error{fmt::format("{} has no \"action\"", verb)};
}

}  // namespace trapline
