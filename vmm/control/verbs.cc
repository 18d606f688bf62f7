#include "vmm/control/verbs.h"

#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <utility>

namespace trapline {
namespace {

using nlohmann::ordered_json;

// A name of a guest's need not be UTF-8.
template <typename Json>
std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Of a verb that has nothing to tell.
std::string done(const std::string& error) {
  return error.empty() ? line_of(ordered_json{{"ok", true}}) : error_reply(error);
}

constexpr int kBySignal = 128;  // design.md, "The command line"

}  // namespace

std::string error_reply(std::string_view error) {
  return line_of(ordered_json{{"ok", false}, {"error", error}});
}

nlohmann::json live_json(const LiveReport& live) {
  nlohmann::json out = report_json(live.report);
  nlohmann::json vcpus = nlohmann::json::array();
  for (size_t i = 0; i < live.vcpus.size(); ++i) {
    const VcpuUse& use = live.vcpus[i];
    nlohmann::json exits;
    for (size_t c = 0; c < use.exits.size(); ++c) {
      exits[exit_class_name(static_cast<ExitClass>(c))] = use.exits[c];
    }
    vcpus.push_back({{"vcpu", i},
                     {"state", use.state},
                     {"insns", use.instructions},
                     {"exits", std::move(exits)},
                     {"guest_ns", use.run_ns > use.exit_ns ? use.run_ns - use.exit_ns : 0},
                     {"exit_ns", use.exit_ns},
                     {"idle_ns", use.idle_ns}});
  }
  out["vcpus"] = std::move(vcpus);
  return out;
}

Verbs::Reply Verbs::answer(std::string_view line) {
  auto request = parse_request(line);
  if (!request) return {error_reply(request.error())};
  switch (request->verb) {
    case Request::Verb::kStatus:
      return {status()};
    case Request::Verb::kStat:
      return {line_of(nlohmann::json{{"ok", true}, {"stat", live_json(machine_.live())}})};
    case Request::Verb::kEvents:
      return {line_of(ordered_json{{"ok", true}, {"protocol", kControlProtocol}}), true};
    case Request::Verb::kProfileStart:
      return {done(machine_.profile_start())};
    case Request::Verb::kProfileStop:
      return {done(machine_.profile_stop())};
    case Request::Verb::kProfileReset:
      return {done(machine_.profile_reset())};
    case Request::Verb::kProfileReport:
      return {profile_report()};
    case Request::Verb::kPause:
      return {done(machine_.pause_guest())};
    case Request::Verb::kResume:
      return {done(machine_.resume_guest())};
    case Request::Verb::kReset:
      return {done(machine_.reset_guest())};
    case Request::Verb::kPowerOff:
      return {done(machine_.end_guest(0, "powered off by trapline ctl"))};
    case Request::Verb::kStop:
      return {done(machine_.end_guest(kBySignal + SIGTERM, "stopped by trapline ctl"))};
  }
  return {error_reply("unknown verb")};
}

std::string Verbs::status() {
  const MachineStatus now = machine_.status();
  return line_of(ordered_json{{"ok", true},
                              {"protocol", kControlProtocol},
                              {"version", version_},
                              {"name", name_},
                              {"pid", getpid()},
                              {"state", now.paused ? "paused" : now.state},
                              {"profile", now.profile},
                              {"cpus", now.cpus},
                              {"memory_bytes", now.memory_bytes},
                              {"backend", now.backend},
                              {"clock", now.clock},
                              {"boots", now.boots},
                              {"uptime_s", now.uptime_s}});
}

std::string Verbs::profile_report() {
  if (std::string_view(machine_.status().profile) == "off") {
    return error_reply("nothing was profiled: `profile start` first, or run with --profile");
  }
  const std::optional<RunReport> report = machine_.report_now();
  if (!report) return error_reply("the VM is at its end");
  return line_of(nlohmann::json{{"ok", true}, {"report", report_json(*report)}});
}

}  // namespace trapline
