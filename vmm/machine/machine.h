// A whole virtual machine: memory, stage 2, devices on the bus, vCPUs, and how they run.
#ifndef TRAPLINE_VMM_MACHINE_MACHINE_H_
#define TRAPLINE_VMM_MACHINE_MACHINE_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "devices/timer.h"
#include "mmio/bus.h"
#include "vmm/boot/boot.h"
#include "vmm/config/options.h"
#include "vmm/config/platform.h"
#include "vmm/config/result.h"
#include "vmm/control/controlled.h"
#include "vmm/debug/debuggee.h"
#include "vmm/debug/gdb_server.h"
#include "vmm/exit/exit.h"
#include "vmm/exit/psci.h"
#include "vmm/machine/clocks.h"
#include "vmm/machine/console.h"
#include "vmm/machine/idle_watch.h"
#include "vmm/machine/lifecycle.h"
#include "vmm/machine/panic_watch.h"
#include "vmm/machine/peripherals.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/stage2.h"
#include "vmm/stats/irq_probe.h"
#include "vmm/stats/report.h"
#include "vmm/symbols/symbols.h"
#include "vmm/trace/recorder.h"
#include "vmm/vcpu/irqchip.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

// Exit statuses of the program (design.md, "The command line").
enum ExitStatus : int {
  kPoweredOff = 0,
  kBadInput = 1,
  kGuestFailed = 2,
  kMigratedAway = 3,
  kLimitReached = 124,
};

// A part of a machine's state. `load` is false for what is not its own, or of a version that it
// does not know.
struct StateUnit {
  std::string name;
  std::function<void(StateWriter&)> save;
  std::function<bool(StateReader&)> load;
};

// What a backend is made from.
struct BackendParts {
  const Options& options;
  GuestMemory& memory;
  Stage2& stage2;
  Clock& clock;
};
using MakeBackend = Result<std::unique_ptr<Backend>> (*)(const BackendParts&);

class Machine final : public PowerControl,
                      public Debuggee,
                      public Controlled,
                      private GuestMemory::Observer {
 public:
  // Assembles the machine; all that a user can get wrong is found here.
  static Result<std::unique_ptr<Machine>> create(const Options& options, Console& console,
                                                 MakeBackend make_backend);
  ~Machine() override;

  // Runs to the end; the program's exit status. Once.
  int run();
  // Any thread, at any time: ends run() soon, or keeps it from beginning. The first stop's status
  // is the program's; a reset that was asked for does not happen any more.
  void stop(int status) { stop(status, {}); }
  void stop(int status, const std::string& why);
  // Before run(), with --display: `viewers` outlives the machine.
  void show_to(Viewers& viewers) { peripherals_->screen()->show_to(viewers); }
  // Before run(): who is told what happens.
  void tell_events_to(EventSink* sink) { event_sink_ = sink; }

  // The figures of the run that is over.
  RunReport report();
  // The figures so far, for which the vCPUs are halted for a moment: any thread but a vCPU's. None
  // while the run ends.
  std::optional<RunReport> report_now() override;
  const std::vector<uint8_t>& device_tree() const { return device_tree_; }

  // PowerControl
  unsigned cpu_count() const override { return options_.cpus; }
  Power power(unsigned cpu) override;
  bool cpu_on(unsigned cpu, uint64_t entry, uint64_t context) override;
  bool is_guest_memory(uint64_t ipa) const override { return memory_.slot(ipa) != nullptr; }

  // --record: the end of the trace, once run() is over and its figures are known. One line; empty
  // on success.
  std::string finish_recording(const RunReport& figures);
  // Profiling, from now on and from nothing; while no vCPU runs.
  void start_profile();
  // What was counted stays to be reported.
  void stop_profile();

  // --- state: machine_state.cc; any thread that is none of the machine's ---
  // Empty, or one line that says why its state can be neither saved nor loaded.
  std::string why_no_state() const;
  // Until release() no vCPU runs, nothing is in flight, no input arrives and time stands still:
  // with the time that passes meanwhile, as for any guest whose host is busy. Not twice at once.
  // One line if there is nothing to hold any more.
  std::string hold();
  void release();
  // Of a held machine that nobody releases soon: the rest of the program goes on without it.
  void strand() { input_held_ = {}; }
  // Of a held machine that goes on elsewhere: run() ends with that status.
  void leave(int status, const std::string& why);
  // All of the state but for memory, in the order in which it is saved and loaded. While held.
  std::vector<StateUnit> state_units();
  // Files that the guest writes to or reads while it runs.
  std::vector<StateFile> state_files() const { return peripherals_->state_files(); }
  // Their locks, for a machine elsewhere that is to go on with them. While held, and not released
  // before they are taken back, for which there is one line if somebody else has one.
  std::string hand_over_files();
  std::string take_files_back();
  // Of a machine that was created to go on where another was: before the units are loaded, and
  // after. `files_changed`: what they hold is to be that of the state, as far as it is there.
  // `copied`: others may go on from the same state: the guest is told by a new generation ID.
  void begin_load();
  std::string end_load(bool files_changed, bool copied);
  GuestMemory& memory() { return memory_; }
  Backend& backend() { return *backend_; }
  const Options& options() const { return options_; }

  // Controlled
  MachineStatus status() override;
  LiveReport live() override;
  Result<Picture> picture() override;
  std::optional<virtio::Balloon::Shown> balloon() override;
  std::string set_balloon(uint64_t bytes) override;
  std::string profile_start() override;
  std::string profile_stop() override;
  std::string profile_reset() override;
  std::string pause_guest() override;
  std::string resume_guest() override;
  std::string reset_guest() override;
  std::string end_guest(int status, const std::string& why) override;

  // Debuggee
  unsigned cpus() const override { return options_.cpus; }
  Vcpu& cpu(unsigned index) override;
  GuestMemory& guest_memory() override { return memory_; }
  const Stage2& stage2() const override { return stage2_; }
  bool read_sysreg(unsigned index, SysregId id, uint64_t& value) override;
  std::string cpu_state(unsigned index) override;
  std::string device_at(uint64_t ipa) override;
  std::string exit_profile() override;
  bool halt() override;
  void resume(const DebugGo* go) override;
  void kill() override { stop(kPoweredOff); }

 private:
  struct Cpu;
  void memory_written(uint64_t ipa, uint64_t size) override;
  void memory_map_changed() override;
  Machine(const Options& options, Console& console);
  std::string assemble(MakeBackend make_backend);
  // Reads what the machine boots from, and makes its device tree.
  std::string plan();
  std::string reset();
  void load_memory();
  // Nothing calls into the machine any more when this returns. Again is harmless.
  void shut_down();
  void advise_about_resets(unsigned resets);

  void run_threads();
  void cpu_thread(Cpu& cpu);
  void run_in_turn();
  void take_turn(Cpu& cpu);
  void spend_turn(uint64_t executed, bool kicked);
  void begin_if_turned_on(Cpu& cpu);
  void act(Cpu& cpu, AfterExit after);
  bool waits(Cpu& cpu);
  void wake(Cpu& cpu, uint64_t timeout_ns);
  void limit_reached();
  uint64_t slice(uint64_t most) const;  // instructions that --max-insns still allows
  void end(int status, const std::string& why);
  void reset_soon(const std::string& why);
  std::string why();
  void tell_event(const MachineEvent& event) {
    if (event_sink_ != nullptr) event_sink_->happened(event);
  }
  // The host refused what a run needs: said in one line, and the end.
  void give_up(const std::string& why);
  void wake_all();
  // While a debugger or a report halts the machine, or a debugger this vCPU (null: all are run by
  // one thread): where the threads that run vCPUs wait. True: they did, and all is to be looked at
  // again.
  bool park_if_halted(const Cpu* cpu);
  bool halt_wanted() const {
    return halted_.load(std::memory_order_relaxed) || pauses_.load(std::memory_order_relaxed) != 0;
  }
  // Returns when no vCPU runs, or the machine ends. Balanced by unpause().
  void pause();
  void unpause();
  void wait_until_parked();
  // A CPU that began to wait: is it, and are all others, waiting for what cannot come?
  void look_for_dead_end(Cpu& cpu, uint64_t pc);
  void tell_dead_end();
  void read_clocks();
  void add_nested(RunReport& report) const;
  RunReport counts(double wall_seconds, uint64_t cycles) const;
  bool profiling() const;
  std::string with_parked_vcpus(const std::function<void()>& change);
  std::string start_recording();
  std::vector<const SysregDevice*> sysreg_devices() const;  // ours: not the kernel's
  void save_clock(StateWriter& out);
  bool load_clock(StateReader& in);
  void save_power(StateWriter& out);
  bool load_power(StateReader& in);
  void save_console(StateWriter& out);
  bool load_console(StateReader& in);
  struct ProfileSource;
  std::unique_ptr<ProfileSource> read_profile();
  void add_profile(RunReport& report, std::unique_ptr<ProfileSource> source) const;
  void debug_stop(Cpu& cpu, const DebugStop& stop);
  void debug_step(Cpu& cpu);
  bool running() const { return life_.running(); }
  uint64_t instructions() const;
  void crash_report(Cpu& cpu);

  Options options_;
  Console& console_;
  BootFiles boot_files_;
  BootPlan plan_;
  std::vector<uint8_t> device_tree_;

  GuestMemory memory_;
  Stage2 stage2_;
  HostClock* host_clock_ = nullptr;
  IcountClock* icount_clock_ = nullptr;
  std::unique_ptr<Clock> clock_;
  std::unique_ptr<Backend> backend_;

  Bus bus_;
  DeviceGate gate_;
  std::unique_ptr<Irqchip> irqchip_;
  std::unique_ptr<GenericTimer> timer_;
  std::unique_ptr<Peripherals> peripherals_;

  SymbolTable symbols_;  // of the file that --symbols names
  std::unique_ptr<IrqProbe> irq_probe_;
  std::unique_ptr<RowBudget> profile_rows_;
  uint64_t profile_start_ = 0;                   // host cycles
  uint64_t profile_end_ = 0;                     // 0: it goes on
  std::unique_ptr<trace::Recording> recording_;  // --record
  std::vector<std::unique_ptr<Cpu>> cpus_;
  std::mutex power_mutex_;
  std::condition_variable power_changed_;
  int gdb_socket_ = -1;
  std::unique_ptr<GdbServer> gdb_;
  std::atomic<bool> halted_{false};
  std::atomic<unsigned> pauses_{0};
  unsigned threads_ = 0, parked_ = 0;  // guarded by power_mutex_
  Lifecycle life_;
  std::string why_;  // of the last change of `life_`; guarded by power_mutex_
  EventSink* event_sink_ = nullptr;
  PanicWatch panic_watch_{[this](const std::string& line) { tell_event({"panic", line, {}}); }};
  std::atomic<uint64_t> boots_{0};
  std::atomic<bool> held_by_user_{false};  // pause_guest()
  IdleWatch idle_watch_;
  // icount: where the vCPUs' turns are.
  struct Round {
    bool under_way = false;
    unsigned cpu = 0;
    uint64_t left = 0;   // of that one's quantum
    bool ran = false;    // somebody did
    bool moved = false;  // and has executed something since an exit or a deadline
  } round_;
  static constexpr uint64_t kQuantum = 100'000;  // instructions a vCPU runs in turn
  bool planned_ = false;
  bool told_of_change_ = false;
  bool preloaded_ = false;    // what it boots from lies in memory already
  bool memory_used_ = false;  // by a guest before this one
  bool restored_ = false;     // the first run is not from a reset
  bool state_held_ = false;   // guarded by power_mutex_: no reset meanwhile
  std::unique_lock<std::mutex> input_held_;
  std::chrono::steady_clock::time_point start_;
  uint64_t start_cycles_ = 0;
  std::mutex report_mutex_;  // of the next two, while the machine is there to be asked
  double wall_seconds_ = 0;
  uint64_t cycles_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_MACHINE_H_
