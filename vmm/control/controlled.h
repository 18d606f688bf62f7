// The machine as those see it who watch and steer it from outside. Whoever serves them knows no
// more of it than this.
#ifndef TRAPLINE_VMM_CONTROL_CONTROLLED_H_
#define TRAPLINE_VMM_CONTROL_CONTROLLED_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "devices/virtio/balloon.h"
#include "vmm/config/result.h"
#include "vmm/display/picture.h"
#include "vmm/exit/counters.h"
#include "vmm/host/descriptor.h"
#include "vmm/stats/report.h"

namespace trapline {

struct VcpuUse {
  const char* state = "off";  // "runs", "waits" (WFI, WFE, a pause), "off"
  uint64_t instructions = 0;
  std::array<uint64_t, static_cast<size_t>(ExitClass::kCount)> exits{};
  double run_ns = 0;   // in the guest and in exits
  double idle_ns = 0;  // all other time
  double exit_ns = 0;  // of run_ns, what handling exits took: the sample's mean times the exits
};

struct LiveReport {
  RunReport report;  // without a profile
  std::vector<VcpuUse> vcpus;
};

struct MachineStatus {
  const char* state = "created";  // "running", "resetting", "stopping", "ended"
  bool paused = false;
  const char* profile = "off";  // "on", "stopped": there is one to report
  unsigned cpus = 1;
  uint64_t memory_bytes = 0;
  uint64_t boots = 0;
  double uptime_s = 0;
  std::string backend, clock;
};

// What happened to the machine. `kind`: boot, restore, reset, panic, stuck, pause, resume, stop;
// save and migrate, of what a StateKeeper does.
struct MachineEvent {
  const char* kind;
  std::string why;
  std::optional<int> status;  // stop: the program's exit status
  // save, migrate: whose, and how it stands: "running", "done", "failed".
  std::optional<uint64_t> job = std::nullopt;
  const char* result = nullptr;
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  // Any thread, with any lock held: returns at once.
  virtual void happened(const MachineEvent& event) = 0;
};

// Saves and moves a machine: one at a time, on a thread of its own, and events tell how it goes.
class StateKeeper {
 public:
  virtual ~StateKeeper() = default;
  // Called by one thread. The job's number, or one line that says why it does not begin.
  struct Begun {
    uint64_t job = 0;
    std::string error;
  };
  struct SaveRequest {
    std::string path;       // as it is called; `file` is to become it
    std::string since;      // the file of the save before; empty: all is saved
    bool compress = false;  // by zstd; then RAM cannot be mapped
    Descriptor file, base;  // of `since`
  };
  struct MigrateRequest {
    std::string to;  // as it is called
    uint64_t downtime_ms = 300;
    Descriptor link;  // to it
  };
  virtual Begun save(SaveRequest request) = 0;
  virtual Begun migrate(MigrateRequest request) = 0;
  // Of the one that runs. Empty, or one line.
  virtual std::string cancel() = 0;
  // A migration ended with nobody here knowing whether the machine runs elsewhere: it is held.
  virtual bool stranded() = 0;
  // Then: it runs here after all, if nobody has its disks.
  virtual std::string take_over() = 0;
};

// Called by one thread, which is none of the machine's.
class Controlled {
 public:
  virtual ~Controlled() = default;

  // These stop no vCPU, and wait for none.
  virtual MachineStatus status() = 0;
  virtual LiveReport live() = 0;
  // What is on the guest's screen; one line if there is nothing.
  virtual Result<Picture> picture() = 0;

  // These may halt the vCPUs for a moment. Empty, or one line that says why not.
  virtual std::string profile_start() = 0;  // from nothing
  virtual std::string profile_stop() = 0;
  virtual std::string profile_reset() = 0;
  // What --stats would write now; none while the run ends.
  virtual std::optional<RunReport> report_now() = 0;

  // What is in the memory balloon, and the statistics that the guest told last; it is asked for
  // newer ones. None: there is no balloon.
  virtual std::optional<virtio::Balloon::Shown> balloon() = 0;
  // Asks the guest to put so much into it, as far as it can. Empty, or one line.
  virtual std::string set_balloon(uint64_t bytes) = 0;

  virtual std::string pause_guest() = 0;
  virtual std::string resume_guest() = 0;
  virtual std::string reset_guest() = 0;
  // Ends the run with that status, as if the guest had powered off or a signal had come.
  virtual std::string end_guest(int status, const std::string& why) = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_CONTROLLED_H_
