// `trapline list`.
#include <fmt/format.h>

#include <cstdio>
#include <string>

#include "vmm/cli/live.h"
#include "vmm/cli/live_view.h"
#include "vmm/cli/run.h"
#include "vmm/control/client.h"
#include "vmm/control/names.h"

namespace trapline {

// Sockets of VMs that were killed are passed over.
int list_command() {
  constexpr int kPatienceS = 2;
  std::string rows;
  for (const std::string& name : vm_names()) {
    auto client = ControlClient::connect(name, kPatienceS);
    if (!client) continue;
    auto status = client->request({{"verb", "status"}});
    if (!status) {
      rows += fmt::format("{:<24} {}\n", name, "does not answer");
      continue;
    }
    rows += fmt::format("{:<24} {:>8} {:<10} {:>4} {:>10} {:<8}\n", name, number_of(*status, "pid"),
                        text_of(*status, "state"), number_of(*status, "cpus"),
                        duration_text(number_of(*status, "uptime_s")), text_of(*status, "profile"));
  }
  if (rows.empty()) return 0;
  std::fputs(fmt::format("{:<24} {:>8} {:<10} {:>4} {:>10} {:<8}\n{}", "NAME", "PID", "STATE",
                         "CPUS", "UPTIME", "PROFILE", rows)
                 .c_str(),
             stdout);
  return 0;
}

}  // namespace trapline
