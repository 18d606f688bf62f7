// `trapline stat NAME`.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>

#include "vmm/cli/live.h"
#include "vmm/cli/live_view.h"
#include "vmm/cli/run.h"
#include "vmm/control/client.h"

namespace trapline {

int stat_command(const LiveOptions& options) {
  auto client = ControlClient::connect(options.name);
  if (!client) return fail(client.error());
  std::optional<LiveSample> before;
  for (;;) {
    auto reply = client->request({{"verb", "stat"}});
    if (!reply) return fail(reply.error());
    const nlohmann::json& stat = (*reply)["stat"];
    std::string text;
    if (options.json) {
      text = stat.dump(options.interval_s > 0 ? -1 : 2) + "\n";
    } else {
      LiveSample now = live_sample(stat);
      const std::string title = fmt::format("{}: up {}", options.name, duration_text(now.wall_s));
      const LiveSample shown = before ? between(*before, now) : now;
      for (const std::string& line : live_view(title, shown, {.rates = before.has_value()})) {
        text += line + "\n";
      }
      if (options.interval_s > 0) text += "\n";
      before = std::move(now);
    }
    if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
      return fail("cannot write to standard output");
    }
    if (options.interval_s == 0) return 0;
    std::this_thread::sleep_for(std::chrono::duration<double>(options.interval_s));
  }
}

}  // namespace trapline
