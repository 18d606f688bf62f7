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
    {"save", "", Request::Verb::kSave},
    {"migrate", "", Request::Verb::kMigrate},
    {"screenshot", "", Request::Verb::kScreenshot},
    {"balloon", "", Request::Verb::kBalloon},
    {"cancel", "", Request::Verb::kCancel},
    {"console", "", Request::Verb::kConsole},
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

// What stands beside the verb.
Result<Request> with_arguments(Request::Verb verb, const nlohmann::json& object) {
  constexpr uint64_t kMostMs = 3'600'000;
  Request request{};
  request.verb = verb;
  if (verb == Request::Verb::kSave) {
    if (!text_field(object, "file", request.file) || request.file.empty() ||
        request.file[0] != '/') {
      return Error{"save: no \"file\", with an absolute path"};
    }
    if (!text_field(object, "since", request.since)) return Error{"save: \"since\" is no text"};
    const auto compress = object.find("compress");
    if (compress != object.end() && !compress->is_boolean()) {
      return Error{"save: \"compress\" is neither true nor false"};
    }
    request.compress = compress != object.end() && compress->get<bool>();
  }
  if (verb == Request::Verb::kMigrate) {
    if (!text_field(object, "to", request.to) || request.to.empty()) {
      return Error{"migrate: no \"to\""};
    }
    if (const auto at = object.find("downtime_ms"); at != object.end()) {
      if (!at->is_number_unsigned() || at->get<uint64_t>() > kMostMs) {
        return Error{fmt::format("migrate: \"downtime_ms\" is from 0 to {}", kMostMs)};
      }
      request.downtime_ms = at->get<uint64_t>();
    }
  }
  if (verb == Request::Verb::kBalloon) {
    const auto at = object.find("bytes");
    if (at == object.end() || !at->is_number_unsigned()) {
      return Error{"balloon: no \"bytes\", a number"};
    }
    request.bytes = at->get<uint64_t>();
  }
  return request;
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
    if (row.action == action) return with_arguments(row.value, object);
  }
  if (!known) return Error{fmt::format("unknown verb '{}'", shown(verb))};
  if (verb == "profile") {
    return Error{fmt::format("profile: \"action\" is start, stop, reset or report, not '{}'",
                             shown(action))};
  }
  return Error{fmt::format("{} has no \"action\"", verb)};
}

}  // namespace trapline
