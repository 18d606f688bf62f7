// `trapline ctl NAME VERB...`.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/cli/live.h"
#include "vmm/cli/run.h"
#include "vmm/config/size.h"
#include "vmm/control/client.h"
#include "vmm/host/descriptor.h"
#include "vmm/host/later_files.h"
#include "vmm/host/messages.h"
#include "vmm/host/output_file.h"
#include "vmm/state/endpoint.h"

namespace trapline {
namespace {

int print(const std::string& text) {
  if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) return 0;
  return fail("cannot write to standard output");
}

// Until the VM ends, or the reader goes away.
int follow_events(ControlClient& client, const std::string& name) {
  std::string line;
  bool stopped = false;
  while (client.next_line(line, true)) {
    const nlohmann::json event = nlohmann::json::parse(line, nullptr, false);
    stopped = event.is_object() && event.contains("event") && event["event"] == "stop";
    if (const int status = print(line + "\n"); status != 0) return status;
  }
  if (stopped) return 0;
  return fail(fmt::format("the VM named {} is gone, or we were too slow for its events", name));
}

int usage() {
  return fail(
      "ctl: give status, stats, events, profile start|stop|reset, profile report FILE, pause, "
      "resume, reset, power-off, stop, save FILE, migrate unix:PATH|exec:COMMAND, cancel, "
      "screenshot FILE, balloon SIZE or console");
}

// Begins what takes a while, and waits for its end.
int follow_job(ControlClient& client, const std::string& name, const nlohmann::json& request,
               std::vector<Descriptor> passed, FileAside* file) {
  // First: its events must not be missed.
  auto reply = client.request({{"verb", "events"}});
  std::vector<int> numbers;
  numbers.reserve(passed.size());
  for (const Descriptor& descriptor : passed) numbers.push_back(descriptor.get());
  if (reply) reply = client.request(request, numbers);
  passed.clear();  // the VM's now: that it closes them is seen
  if (!reply) return fail(fmt::format("{}: {}", name, reply.error()));
  const uint64_t job = reply->value("job", uint64_t{0});
  std::string line;
  while (client.next_line(line, true)) {
    const nlohmann::json event = nlohmann::json::parse(line, nullptr, false);
    if (!event.is_object() || event.value("job", uint64_t{0}) != job) continue;
    const std::string result = event.value("result", std::string());
    const std::string why = event.value("why", std::string());
    if (result == "done") {
      const std::string error = file == nullptr ? std::string() : file->put_in_place();
      return error.empty() ? print(why + "\n") : fail(error);
    }
    if (result == "failed") return fail(fmt::format("{}: {}", name, why));
    message("trapline: " + why + "\n");
  }
  return fail(fmt::format("the VM named {} is gone, or we were too slow for its events", name));
}

// The VM opens nothing by itself that we name: we do, with our rights, and pass it what we opened.
int save(ControlClient& client, const LiveOptions& options, const nlohmann::json& request) {
  FileAside file;
  if (std::string error = file.make(request["file"], FileAside::Mode::kPrivate); !error.empty()) {
    return fail(fmt::format("{}: {}", options.name, error));
  }
  std::vector<Descriptor> passed;
  passed.emplace_back(dup(file.fd()));
  if (!options.since.empty()) {
    passed.emplace_back(open_input(options.since));
    if (passed.back().get() < 0) {
      return fail(
          fmt::format("{}: --since {}: {}", options.name, options.since, std::strerror(errno)));
    }
  }
  return follow_job(client, options.name, request, std::move(passed), &file);
}

int screenshot(ControlClient& client, const LiveOptions& options) {
  FileAside file;
  std::string error = file.make(options.words[1], FileAside::Mode::kAsReplaced);
  if (!error.empty()) return fail(fmt::format("{}: {}", options.name, error));
  const int passed = file.fd();
  auto reply = client.request({{"verb", "screenshot"}}, {&passed, 1});
  if (!reply) return fail(fmt::format("{}: {}", options.name, reply.error()));
  error = file.put_in_place();
  return error.empty() ? 0 : fail(error);
}

int migrate(ControlClient& client, const LiveOptions& options, const nlohmann::json& request) {
  const std::string to = request["to"];
  if (std::string error = state::check_endpoint(to); !error.empty()) {
    return fail(fmt::format("{}: migrate {}: {}", options.name, to, error));
  }
  auto link = state::connect_to(to);
  if (!link)
    return fail(fmt::format("{}: {}: the machine runs on here", options.name, link.error()));
  std::vector<Descriptor> passed;
  passed.emplace_back(*link);
  return follow_job(client, options.name, request, std::move(passed), nullptr);
}

// What it is asked, or nothing if that is no use of the verb.
std::optional<nlohmann::json> request_of(const LiveOptions& options) {
  const std::vector<std::string>& words = options.words;
  const std::string& verb = words[0];
  const bool profile = verb == "profile", save = verb == "save", migrate = verb == "migrate";
  const bool screenshot = verb == "screenshot", balloon = verb == "balloon";
  const bool report = profile && words.size() >= 2 && words[1] == "report";
  if (words.size() != (report ? 3u : profile || save || migrate || screenshot || balloon ? 2u : 1u))
    return std::nullopt;
  if ((!options.since.empty() || options.compress) && !save) return std::nullopt;
  if (!options.downtime.empty() && !migrate) return std::nullopt;
  nlohmann::json request{{"verb", verb == "stats" ? "stat" : verb}};
  std::error_code ignored;
  if (profile) request["action"] = words[1];
  if (save) {
    request["file"] = std::filesystem::absolute(words[1], ignored).string();
    if (!options.since.empty()) {
      request["since"] = std::filesystem::absolute(options.since, ignored).string();
    }
    request["compress"] = options.compress;
  }
  if (balloon) {
    uint64_t bytes = 0;
    if (!parse_size(words[1], bytes).empty()) return std::nullopt;
    request["bytes"] = bytes;
  }
  if (migrate) {
    request["to"] = words[1];
    constexpr std::string_view kUnix = "unix:";
    if (words[1].starts_with(kUnix) && words[1].size() > kUnix.size()) {
      request["to"] = std::string(kUnix) +
                      std::filesystem::absolute(words[1].substr(kUnix.size()), ignored).string();
    }
    if (!options.downtime.empty()) {
      uint64_t ms = 0;
      if (!parse_number(options.downtime, 0, 3'600'000, ms).empty()) return std::nullopt;
      request["downtime_ms"] = ms;
    }
  }
  return request;
}

}  // namespace

int ctl_command(const LiveOptions& options) {
  const std::vector<std::string>& words = options.words;
  const bool report = words[0] == "profile" && words.size() == 3;
  auto request = request_of(options);
  if (!request) return usage();
  // The reply may take the VM a while to make: not in vain.
  if (report) {
    if (std::string error = check_output(words[2]); !error.empty()) return fail(error);
  }
  auto client = ControlClient::connect(options.name);
  if (!client) return fail(client.error());
  if (words[0] == "save") return save(*client, options, *request);
  if (words[0] == "screenshot") return screenshot(*client, options);
  if (words[0] == "migrate") return migrate(*client, options, *request);
  auto reply = client->request(*request);
  if (!reply) return fail(fmt::format("{}: {}", options.name, reply.error()));
  if (words[0] == "console") return attach_console(reply->value("socket", std::string()));
  if (report) {
    const std::string text =
        (*reply)["report"].dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    const std::string error = write_output(words[2], text);
    return error.empty() ? 0 : fail(error);
  }
  if (words[0] == "events") return follow_events(*client, options.name);
  if (words[0] == "status" || words[0] == "stat" || words[0] == "stats") {
    return print(reply->dump(2) + "\n");
  }
  return 0;
}

}  // namespace trapline
