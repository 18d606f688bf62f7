// What `stat` of a control socket tells, and what happened between two of them.
#ifndef TRAPLINE_VMM_CLI_LIVE_SAMPLE_H_
#define TRAPLINE_VMM_CLI_LIVE_SAMPLE_H_

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vmm/report/profile.h"

namespace trapline {

struct LiveCount {
  uint64_t count = 0;
  Distribution time;  // of a sample
};

struct LiveVcpu {
  std::string state;
  uint64_t exits = 0, instructions = 0;
  double guest_ns = 0, exit_ns = 0, idle_ns = 0;
};

struct LiveSample {
  double wall_s = 0;
  uint64_t instructions = 0, exits = 0;
  std::map<std::string, LiveCount> classes, registers;  // "DABT_LOW isv0", "gicc ICC_IAR1_EL1"
  std::vector<LiveVcpu> vcpus;
};

// The document `stat`; what it lacks is 0.
LiveSample live_sample(const nlohmann::json& stat);

// A host's events; without `wall_s`.
LiveSample live_sample(const Profile& profile);

// What `now` has and `before` had not yet.
LiveSample between(const LiveSample& before, const LiveSample& now);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_LIVE_SAMPLE_H_
