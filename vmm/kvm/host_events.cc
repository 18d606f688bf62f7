#include "vmm/kvm/host_events.h"

#include <dirent.h>
#include <event-parse.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <vector>

#include "vmm/vcpu/host_clock.h"

// Of libtracefs, whose header (1.6) is C and no C++.
extern "C" {
struct tracefs_instance;
const char* tracefs_tracing_dir();
tracefs_instance* tracefs_instance_create(const char* name);
int tracefs_instance_destroy(tracefs_instance* instance);
void tracefs_instance_free(tracefs_instance* instance);
int tracefs_instance_file_write(tracefs_instance* instance, const char* file, const char* text);
int tracefs_trace_off(tracefs_instance* instance);
int tracefs_event_enable(tracefs_instance* instance, const char* system, const char* event);
int tracefs_event_disable(tracefs_instance* instance, const char* system, const char* event);
tep_handle* tracefs_local_events_system(const char* folder, const char* const* systems);
int tracefs_iterate_raw_events(tep_handle* tep, tracefs_instance* instance, cpu_set_t* cpus,
                               int cpus_size,
                               int (*take)(tep_event*, tep_record*, int cpu, void* context),
                               void* context);
}

namespace trapline::kvm {
namespace {

constexpr const char* kSystem = "kvm";
constexpr const char* kPrefix = "trapline-";  // and our process's number
constexpr const char* kBufferKb = "8192";     // a CPU
// An event's time is taken a little before it can be read.
constexpr uint64_t kSlackNs = 1'000'000;

std::vector<std::string> entries(const std::string& folder) {
  std::vector<std::string> names;
  DIR* open = opendir(folder.c_str());
  if (open == nullptr) return names;
  while (const dirent* entry = readdir(open)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  closedir(open);
  return names;
}

// Instances of recorders that were killed.
void remove_leftovers(const std::string& tracing) {
  for (const std::string& name : entries(tracing + "/instances")) {
    pid_t owner = 0;
    const char* const end = name.data() + name.size();
    if (!name.starts_with(kPrefix)) continue;
    if (std::from_chars(name.data() + std::strlen(kPrefix), end, owner).ptr != end) continue;
    if (owner > 0 && kill(owner, 0) != 0 && errno == ESRCH) {
      rmdir((tracing + "/instances/" + name).c_str());
    }
  }
}

class TracefsEvents final : public HostEvents {
 public:
  TracefsEvents() { trace_seq_init(&text_); }
  ~TracefsEvents() override {
    if (instance_ != nullptr) {
      tracefs_trace_off(instance_);
      tracefs_event_disable(instance_, kSystem, nullptr);
      tracefs_instance_destroy(instance_);
      tracefs_instance_free(instance_);
    }
    if (tep_ != nullptr) tep_free(tep_);
    trace_seq_destroy(&text_);
  }
  TracefsEvents(const TracefsEvents&) = delete;
  TracefsEvents& operator=(const TracefsEvents&) = delete;

  std::string begin(pid_t pid);
  void drain(const std::function<void(std::string_view)>& put, bool all) override;

 private:
  struct Line {
    uint64_t time_ns;
    std::string text;
  };

  std::string write(const char* file, const std::string& what) {
    if (tracefs_instance_file_write(instance_, file, what.c_str()) >= 0) return {};
    return fmt::format("tracefs: {}: {}", file, std::strerror(errno));
  }
  static int take(tep_event* /*event*/, tep_record* record, int cpu, void* self) {
    static_cast<TracefsEvents*>(self)->take(*record, cpu);
    return 0;
  }
  void take(tep_record& record, int cpu);

  tracefs_instance* instance_ = nullptr;
  tep_handle* tep_ = nullptr;
  trace_seq text_{};
  std::vector<Line> lines_;  // whose time may not have come
};

std::string TracefsEvents::begin(pid_t pid) {
  const char* const tracing = tracefs_tracing_dir();
  if (tracing == nullptr || access(tracing, R_OK | W_OK | X_OK) != 0) {
    const int why = tracing == nullptr ? ENOENT : errno;
    return fmt::format("{}: {}: tracing needs root and tracefs (mount -t tracefs tracefs {})",
                       tracing == nullptr ? "/sys/kernel/tracing" : tracing, std::strerror(why),
                       "/sys/kernel/tracing");
  }
  const std::string folder = tracing;
  if (access((folder + "/events/kvm/kvm_exit").c_str(), F_OK) != 0) {
    return folder + "/events/kvm: this kernel has no KVM, or no trace events";
  }
  if (pid != 0 && kill(pid, 0) != 0 && errno == ESRCH) {
    return fmt::format("--pid {}: no such process", pid);
  }
  remove_leftovers(folder);
  const std::string name = fmt::format("{}{}", kPrefix, getpid());
  const char* const systems[] = {kSystem, nullptr};
  instance_ = tracefs_instance_create(name.c_str());
  if (instance_ == nullptr) return fmt::format("{}/instances: {}", folder, std::strerror(errno));
  tep_ = tracefs_local_events_system(nullptr, systems);
  if (tep_ == nullptr) return folder + "/events/kvm: formats that libtraceevent does not read";
  for (const auto& [file, what] : {std::pair<const char*, std::string>{"trace_clock", "mono"},
                                   {"buffer_size_kb", kBufferKb}}) {
    if (std::string error = write(file, what); !error.empty()) return error;
  }
  if (pid != 0) {
    std::string threads;
    for (const std::string& thread : entries(fmt::format("/proc/{}/task", pid))) {
      threads += thread + " ";
    }
    if (std::string error = write("set_event_pid", threads); !error.empty()) return error;
    if (std::string error = write("options/event-fork", "1"); !error.empty()) return error;
  }
  if (tracefs_event_enable(instance_, kSystem, nullptr) != 0) {
    return fmt::format("{}/events/kvm: {}", folder, std::strerror(errno));
  }
  return {};
}

void TracefsEvents::take(tep_record& record, int cpu) {
  if (record.missed_events != 0) {  // -1: the kernel does not know how many
    lines_.push_back({record.ts, fmt::format("CPU:{} [LOST {} EVENTS]", cpu,
                                             std::max<long long>(1, record.missed_events))});
  }
  const int pid = tep_data_pid(tep_, &record);
  if (!tep_is_pid_registered(tep_, pid)) {
    std::string name;
    std::getline(std::ifstream(fmt::format("/proc/{}/comm", pid)), name);
    tep_register_comm(tep_, name.empty() ? "<...>" : name.c_str(), pid);
  }
  trace_seq_reset(&text_);
  tep_print_event(tep_, &text_, &record, "%s-%d [%03d] ", TEP_PRINT_COMM, TEP_PRINT_PID,
                  TEP_PRINT_CPU);
  const std::string head(text_.buffer, text_.len);
  trace_seq_reset(&text_);
  tep_print_event(tep_, &text_, &record, "%s: %s", TEP_PRINT_NAME, TEP_PRINT_INFO);
  constexpr uint64_t kNsPerS = 1'000'000'000;
  lines_.push_back(
      {record.ts, fmt::format("{}{}.{:09}: {}", head, record.ts / kNsPerS, record.ts % kNsPerS,
                              std::string_view(text_.buffer, text_.len))});
}

// The CPUs are read one after another, so that a line of one may be older than what another had
// given before: what came after this began waits for the next time.
void TracefsEvents::drain(const std::function<void(std::string_view)>& put, bool all) {
  if (all) tracefs_trace_off(instance_);
  const uint64_t began = steady_ns();
  tracefs_iterate_raw_events(tep_, instance_, nullptr, 0, take, this);
  std::stable_sort(lines_.begin(), lines_.end(),
                   [](const Line& a, const Line& b) { return a.time_ns < b.time_ns; });
  size_t done = 0;
  for (; done < lines_.size() && (all || lines_[done].time_ns + kSlackNs < began); ++done) {
    put(lines_[done].text);
  }
  lines_.erase(lines_.begin(), lines_.begin() + static_cast<ptrdiff_t>(done));
}

}  // namespace

Result<std::unique_ptr<HostEvents>> HostEvents::start(pid_t pid) {
  auto events = std::make_unique<TracefsEvents>();
  if (std::string error = events->begin(pid); !error.empty()) return Error{error};
  return std::unique_ptr<HostEvents>(std::move(events));
}

}  // namespace trapline::kvm
