// `trapline ctl NAME VERB...`.
#include <fmt/format.h>

#include <cstdio>
#include <string>

#include "vmm/cli/live.h"
#include "vmm/cli/run.h"
#include "vmm/control/client.h"
#include "vmm/host/output_file.h"

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
      "ctl: give status, events, profile start|stop|reset, profile report FILE, pause, resume, "
      "reset, power-off or stop");
}

}  // namespace

int ctl_command(const LiveOptions& options) {
  const std::vector<std::string>& words = options.words;
  const bool profile = words[0] == "profile";
  const bool report = profile && words.size() >= 2 && words[1] == "report";
  if (words.size() != (report ? 3u : profile ? 2u : 1u)) return usage();
  // The reply may take the VM a while to make: not in vain.
  if (report) {
    if (std::string error = check_output(words[2]); !error.empty()) return fail(error);
  }
  auto client = ControlClient::connect(options.name);
  if (!client) return fail(client.error());
  nlohmann::json request{{"verb", words[0]}};
  if (profile) request["action"] = words[1];
  auto reply = client->request(request);
  if (!reply) return fail(fmt::format("{}: {}", options.name, reply.error()));
  if (report) {
    const std::string text =
        (*reply)["report"].dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    const std::string error = write_output(words[2], text);
    return error.empty() ? 0 : fail(error);
  }
  if (words[0] == "events") return follow_events(*client, options.name);
  if (words[0] == "status" || words[0] == "stat") {
    return print(reply->dump(2) + "\n");
  }
  return 0;
}

}  // namespace trapline
