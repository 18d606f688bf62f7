// The machine as its control socket sees it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "vmm/machine/machine_cpu.h"
#include "vmm/vcpu/host_clock.h"

namespace trapline {
namespace {

const char* state_name(LifeState state) {
  static constexpr const char* kNames[] = {"created", "running", "resetting", "stopping", "ended"};
  static_assert(std::size(kNames) == static_cast<size_t>(LifeState::kCount));
  return kNames[static_cast<size_t>(state)];
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

MachineStatus Machine::status() {
  MachineStatus now;
  const LifeState state = life_.state();
  now.state = state_name(state);
  now.paused = held_by_user_;
  now.cpus = options_.cpus;
  now.memory_bytes = options_.memory;
  now.boots = boots_;
  if (state != LifeState::kCreated) {  // run() has set what follows
    now.uptime_s = seconds_since(start_);
    now.profile = profiling() ? "on" : profile_rows_ != nullptr ? "stopped" : "off";
  }
  now.backend = backend_->name();
  now.clock = options_.icount ? "icount" : "host";
  return now;
}

Result<Picture> Machine::picture() {
  const Ramfb* const ramfb = peripherals_->ramfb();
  if (ramfb == nullptr) return Error{"the VM has no screen: run it with --display"};
  const std::optional<Ramfb::Surface> surface = ramfb->surface();
  if (!surface) return Error{"the guest shows nothing (firmware sets up the screen: --firmware)"};
  return take_picture(*surface);
}

std::optional<virtio::Balloon::Shown> Machine::balloon() {
  virtio::Balloon* const balloon = peripherals_->balloon();
  if (balloon == nullptr) return std::nullopt;
  return balloon->shown();
}

std::string Machine::set_balloon(uint64_t bytes) {
  virtio::Balloon* const balloon = peripherals_->balloon();
  if (balloon == nullptr) return "the VM has no balloon: run it with --balloon";
  if (options_.icount) return "with --clock icount nobody outside changes what a guest does";
  if (bytes > options_.memory) return fmt::format("the VM has {} bytes of memory", options_.memory);
  balloon->set_target(bytes);
  return {};
}

// No vCPU is asked or stopped: all that is read here can be read while it changes.
LiveReport Machine::live() {
  LiveReport out;
  const bool begun = life_.state() != LifeState::kCreated;  // then start_ is known
  const uint64_t now = host_cycles();
  out.report = counts(begun ? seconds_since(start_) : 0, begun ? now - start_cycles_ : 0);
  const double uptime_ns = out.report.wall_seconds * 1e9;
  for (const auto& cpu : cpus_) {
    VcpuUse use;
    const RunClock::Reading run = cpu->clock.read(now);
    use.state = cpu->power == Power::kOff ? "off" : run.runs ? "runs" : "waits";
    use.instructions = cpu->vcpu.retired();
    use.run_ns = static_cast<double>(run.cycles) * out.report.ns_per_cycle;
    use.idle_ns = std::max(0.0, uptime_ns - use.run_ns);
    for (size_t c = 0; c < use.exits.size(); ++c) {
      use.exits[c] = peek(cpu->exits.counters().exits[c]);
      if (cpu->latency == nullptr) continue;
      const Histogram& sample = cpu->latency->of(static_cast<ExitClass>(c)).total;
      if (const uint64_t count = sample.count(); count != 0) {
        use.exit_ns += static_cast<double>(sample.sum()) * out.report.ns_per_cycle /
                       static_cast<double>(count) * static_cast<double>(use.exits[c]);
      }
    }
    // The sample has its own clocks' cost in it.
    use.exit_ns = std::min(use.exit_ns, use.run_ns);
    out.vcpus.push_back(use);
  }
  return out;
}

// --- what changes something ---

// While no vCPU runs, and nobody makes a report.
std::string Machine::with_parked_vcpus(const std::function<void()>& change) {
  if (life_.state() == LifeState::kCreated) return "the VM has not begun to run";
  pause();
  const bool stopping = life_.stopping();
  if (!stopping) {
    std::lock_guard lock(report_mutex_);
    change();
  }
  unpause();
  return stopping ? kAtItsEnd : std::string();
}

std::string Machine::profile_start() {
  if (profiling()) return "profiling has been started already (`profile reset` begins anew)";
  return with_parked_vcpus([this] { start_profile(); });
}

std::string Machine::profile_stop() {
  if (!profiling()) return "nothing is being profiled";
  return with_parked_vcpus([this] { stop_profile(); });
}

std::string Machine::profile_reset() {
  if (profile_rows_ == nullptr) return "nothing was profiled";
  return with_parked_vcpus([this] {
    const bool goes_on = profiling();
    start_profile();
    if (!goes_on) stop_profile();
  });
}

std::string Machine::pause_guest() {
  if (life_.state() == LifeState::kCreated) return "the VM has not begun to run";
  if (held_by_user_) return "the VM is paused already";
  pause();
  if (life_.stopping()) {
    unpause();
    return kAtItsEnd;
  }
  held_by_user_ = true;
  tell_event({"pause", "trapline ctl", {}});
  return {};
}

std::string Machine::resume_guest() {
  if (!held_by_user_) return "the VM is not paused";
  held_by_user_ = false;
  unpause();
  tell_event({"resume", "trapline ctl", {}});
  return {};
}

std::string Machine::reset_guest() {
  if (!running()) return "the VM does not run";
  reset_soon("trapline ctl");
  return {};
}

std::string Machine::end_guest(int status, const std::string& why) {
  if (life_.stopping()) return kAtItsEnd;
  stop(status, why);
  return {};
}

}  // namespace trapline
