#include "vmm/control/verbs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "vmm/display/picture.h"
#include "vmm/host/output_file.h"

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

std::string begun(const StateKeeper::Begun& begun) {
  if (!begun.error.empty()) return error_reply(begun.error);
  return line_of(ordered_json{{"ok", true}, {"job", begun.job}});
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

Verbs::Reply Verbs::answer(std::string_view line, std::vector<Descriptor> passed) {
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
      if (keeper_ != nullptr && keeper_->stranded()) return {done(keeper_->take_over())};
      return {done(machine_.resume_guest())};
    case Request::Verb::kReset:
      return {done(machine_.reset_guest())};
    case Request::Verb::kPowerOff:
      return {done(machine_.end_guest(0, "powered off by trapline ctl"))};
    case Request::Verb::kStop:
      return {done(machine_.end_guest(kBySignal + SIGTERM, "stopped by trapline ctl"))};
    case Request::Verb::kSave:
      if (keeper_ == nullptr) break;
      return {save(*request, std::move(passed))};
    case Request::Verb::kMigrate:
      if (keeper_ == nullptr) break;
      return {migrate(*request, std::move(passed))};
    case Request::Verb::kScreenshot:
      return {screenshot(std::move(passed))};
    case Request::Verb::kBalloon:
      return {done(machine_.set_balloon(request->bytes))};
    case Request::Verb::kCancel:
      if (keeper_ == nullptr) break;
      return {done(keeper_->cancel())};
    case Request::Verb::kConsole:
      if (console_.empty()) {
        return {error_reply(
            "the guest's serial line is elsewhere: run with --serial none, unix:PATH or tcp:PORT")};
      }
      return {line_of(ordered_json{{"ok", true}, {"socket", console_}})};
  }
  return {error_reply("unknown verb")};
}

// The VM opens nothing that a caller names: it may not, and the caller's rights are what counts.
std::string Verbs::save(const Request& request, std::vector<Descriptor> passed) {
  const bool since = !request.since.empty();
  if (passed.size() != (since ? 2u : 1u)) {
    return error_reply(since ? "save: pass the descriptors of \"file\" and \"since\" with it"
                             : "save: pass the descriptor of \"file\" with it");
  }
  return begun(keeper_->save({request.file, request.since, request.compress, std::move(passed[0]),
                              since ? std::move(passed[1]) : Descriptor()}));
}

std::string Verbs::screenshot(std::vector<Descriptor> passed) {
  struct stat info {};
  // A pipe might never take it.
  if (passed.size() != 1 || fstat(passed[0].get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return error_reply("screenshot: pass the descriptor of a regular file with it");
  }
  Result<Picture> picture = machine_.picture();
  if (!picture) return error_reply(picture.error());
  const std::string file = png(*picture);
  if (file.empty()) return error_reply("the host has no memory left");
  if (!write_all(passed[0].get(), file)) return error_reply(std::strerror(errno));
  return line_of(
      ordered_json{{"ok", true}, {"width", picture->width}, {"height", picture->height}});
}

std::string Verbs::migrate(const Request& request, std::vector<Descriptor> passed) {
  if (passed.size() != 1) {
    return error_reply("migrate: pass a descriptor that is connected to \"to\" with it");
  }
  return begun(keeper_->migrate({request.to, request.downtime_ms, std::move(passed[0])}));
}

std::string Verbs::status() {
  const MachineStatus now = machine_.status();
  const bool stranded = keeper_ != nullptr && keeper_->stranded();
  ordered_json out{{"ok", true},
                   {"protocol", kControlProtocol},
                   {"version", version_},
                   {"name", name_},
                   {"pid", getpid()},
                   {"state", stranded     ? "stranded"
                             : now.paused ? "paused"
                                          : now.state},
                   {"profile", now.profile},
                   {"cpus", now.cpus},
                   {"memory_bytes", now.memory_bytes},
                   {"backend", now.backend},
                   {"clock", now.clock},
                   {"boots", now.boots},
                   {"uptime_s", now.uptime_s}};
  if (const auto balloon = machine_.balloon()) {
    ordered_json& shown = out["balloon"];
    shown = {{"target_bytes", balloon->target_bytes},
             {"actual_bytes", balloon->actual_bytes},
             {"reported_bytes", balloon->reported_bytes}};
    for (size_t i = 0; i < balloon->stats.size(); ++i) {
      if (balloon->stats[i]) shown["guest"][virtio::Balloon::kStatNames[i]] = *balloon->stats[i];
    }
  }
  return line_of(out);
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
