#include "vmm/machine/machine.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <system_error>
#include <thread>
#include <utility>

#include "vmm/boot/device_tree.h"
#include "vmm/host/messages.h"

namespace trapline {
namespace {

constexpr uint64_t kQuantum = 100'000;   // instructions a vCPU runs in turn
constexpr uint64_t kSlice = 20'000'000;  // with --max-insns and threads: between two looks
constexpr int kHeldMs = 50;              // output that nobody takes: between two looks

uint64_t steady_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

std::vector<uint8_t> seed_bytes(size_t size, bool fixed) {
  std::vector<uint8_t> bytes(size);
  if (fixed) {
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(0x5a + 37 * i);
  } else if (getrandom(bytes.data(), size, 0) != static_cast<ssize_t>(size)) {
    std::fprintf(stderr, "trapline: no entropy from the host for rng-seed\n");
  }
  return bytes;
}

// The interrupt inputs of a vCPU, as the GIC sees them.
class CpuLine final : public IrqLine {
 public:
  CpuLine(Vcpu& vcpu, bool fiq) : vcpu_(vcpu), fiq_(fiq) {}
  void set(bool level) override { fiq_ ? vcpu_.set_fiq(level) : vcpu_.set_irq(level); }

 private:
  Vcpu& vcpu_;
  bool fiq_;
};

}  // namespace

struct Machine::Cpu {
  Cpu(unsigned n, Vcpu& v, const ExitServices& services, InstructionSource::Choice choice)
      : index(n), vcpu(v), exits(v, services, choice), irq(v, false), fiq(v, true) {}

  unsigned index;
  Vcpu& vcpu;
  ExitHandler exits;
  CpuLine irq, fiq;
  // Guarded by power_mutex_ for others; the CPU's own thread moves kOnPending to kOn.
  std::atomic<Power> power{Power::kOff};
  uint64_t entry = 0, context = 0;
  enum class Wait : uint8_t { kNone, kInterrupt, kEvent };
  Wait wait = Wait::kNone;  // in WFI or a suspend, or in WFE
  uint64_t wait_until = 0;  // kEvent, in turn: instructions of the clock
  bool restart = false;     // WFI ends in a restart (PSCI power-down suspend)
  // What the debugger lets it do; changes while it is parked.
  DebugGo go = DebugGo::kRun;
  // Instructions at the crash last reported: a debugger that goes on after it meets it again.
  uint64_t crash_told_at = ~uint64_t{0};
  std::thread thread;
};

Machine::Machine(const Options& options, Console& console)
    : options_(options), console_(console), idle_watch_(options.cpus) {}

Machine::~Machine() {
  shut_down();
  // Devices that hold deadlines go before the clock; vCPUs before what they run on.
  cpus_.clear();
}

// Who calls into the machine from a thread of its own, in the order in which they are stopped: each
// may still call those behind it, and none before it.
void Machine::shut_down() {
  life_.change(LifeState::kStopping);
  wake_all();
  for (auto& cpu : cpus_) {
    if (cpu->thread.joinable()) cpu->thread.join();
  }
  if (gdb_ != nullptr) gdb_->ended(life_.status());
  gdb_.reset();                                          // halts, reads and writes vCPUs
  console_.stop();                                       // input to the UART, stops
  if (peripherals_ != nullptr) peripherals_->quiesce();  // disk and network: DMA, interrupts
  if (host_clock_ != nullptr) host_clock_->stop();       // deadlines of timers, RTC and devices
  life_.change(LifeState::kEnded);
}

Result<std::unique_ptr<Machine>> Machine::create(const Options& options, Console& console) {
  std::unique_ptr<Machine> machine(new Machine(options, console));
  auto plan = plan_boot(options);
  if (!plan) return Error{plan.error()};
  machine->plan_ = std::move(*plan);
  if (std::string error = machine->assemble(); !error.empty()) return Error{error};
  return machine;
}

std::string Machine::assemble() {
  std::string error = memory_.add(platform::kRamBase, options_.memory, true);
  if (!error.empty()) return "--memory: " + error;
  if (options_.icount) {
    auto clock = std::make_unique<IcountClock>();
    icount_clock_ = clock.get();
    clock_ = std::move(clock);
  } else {
    auto clock = std::make_unique<HostClock>();
    host_clock_ = clock.get();
    clock_ = std::move(clock);
  }
  stage2_.map(platform::kRamBase, options_.memory,
              memory_.host(platform::kRamBase, options_.memory),
              kS2Read | kS2Write | kS2Exec | kS2Walk);
  backend_ = soft::make_soft_machine(memory_, stage2_, *clock_, options_.cpus, options_.isv_never,
                                     options_.translate_after.value_or(soft::kTranslateAfter));
  if (icount_clock_ != nullptr) {
    icount_clock_->set_source([this] { return instructions(); });
  }
  gic_ = std::make_unique<Gicv3>(options_.cpus, platform::kSpis);
  timer_ = std::make_unique<GenericTimer>(*clock_, options_.cpus);

  ExitServices services;
  services.bus = &bus_;
  services.gate = options_.cpus > 1 ? &gate_ : nullptr;
  services.gic = &gic_->cpu_interface();
  services.timer = timer_.get();
  services.power = this;
  services.icount = options_.icount;
  InstructionSource::Choice choice{options_.decoder, options_.icache, options_.icache_check,
                                   &backend_->backend()};
  for (unsigned i = 0; i < options_.cpus; ++i) {
    cpus_.push_back(std::make_unique<Cpu>(i, backend_->vcpu(i), services, choice));
    Cpu& cpu = *cpus_.back();
    if (!options_.stats.empty()) cpu.exits.statistics().enable_timing();
    // Under icount a device may bring the next deadline nearer: run() ends at each exit.
    if (!options_.icount) cpu.vcpu.set_exit_sink(&cpu.exits);
    gic_->connect_cpu(i, &cpu.irq, &cpu.fiq);
    timer_->connect(i, &gic_->ppi(i, Gicv3::kVirtualTimerIntid),
                    &gic_->ppi(i, Gicv3::kPhysicalTimerIntid));
    if (std::atomic<uint64_t>* due = cpu.vcpu.timers_due()) {
      timer_->publish_due(i, &due[0], &due[1]);
    }
  }
  memory_.add_observer(this);
  if (options_.gdb_port != 0) {
    error = GdbServer::listen(options_.gdb_port, gdb_socket_);
    if (!error.empty()) return error;
  }
  peripherals_ = std::make_unique<Peripherals>(Peripherals::Services{
      options_, memory_, backend_->backend(), bus_, *gic_, *clock_, console_});
  error = bus_.add(platform::kGicd.base, platform::kGicd.size, &gic_->distributor());
  if (error.empty()) {
    error = bus_.add(platform::kGicr.base, platform::kGicr.size * options_.cpus,
                     &gic_->redistributors());
  }
  if (error.empty()) error = peripherals_->add_flash_memory();
  if (error.empty()) error = peripherals_->add_devices();
  if (!error.empty()) return error;

  DeviceTreeInput tree;
  tree.options = &options_;
  tree.plan = &plan_;
  tree.flash = peripherals_->has_flash();
  tree.fw_cfg = tree.virtio = true;
  tree.virtio_slots = peripherals_->virtio_slots();
  tree.rng_seed = seed_bytes(32, options_.icount);
  if (options_.kaslr_seed) tree.kaslr_seed = seed_bytes(8, options_.icount);
  device_tree_ = build_device_tree(tree);
  return plan_.place_device_tree(device_tree_.size(), options_);
}

// A cache entry made from these bytes is stale (policy `protect`).
void Machine::memory_written(uint64_t ipa, uint64_t size) {
  for (auto& cpu : cpus_) cpu->exits.instructions().memory_written(ipa, size);
}

// Stage 2 may now refuse or answer otherwise what a cache entry was made from.
void Machine::memory_map_changed() {
  for (auto& cpu : cpus_) cpu->exits.instructions().memory_map_changed();
}

// --- start, reset, end ---

void Machine::load_memory() {
  plan_.load(memory_);
  memory_.write(plan_.dtb_ipa, device_tree_.data(), device_tree_.size());
}

void Machine::reset() {
  peripherals_->quiesce();
  peripherals_->reset();
  gic_->distributor().reset();
  gic_->redistributors().reset();
  timer_->reset();
  load_memory();
  std::lock_guard lock(power_mutex_);
  for (auto& cpu : cpus_) {
    cpu->power = Power::kOff;
    cpu->wait = Cpu::Wait::kNone;
    cpu->restart = false;
  }
  Cpu& boot = *cpus_[0];
  boot.entry = plan_.entry;
  boot.context = plan_.dtb_ipa;
  boot.power = Power::kOnPending;
}

int Machine::run() {
  struct Cleanup {
    Machine& machine;
    ~Cleanup() { machine.shut_down(); }
  };
  start_ = std::chrono::steady_clock::now();
  start_cycles_ = host_cycles();
  {
    Cleanup cleanup{*this};
    if (gdb_socket_ >= 0) {
      halted_ = true;  // until a debugger says continue
      message(fmt::format("trapline: waiting for gdb: target remote :{}\n", options_.gdb_port));
      gdb_ = std::make_unique<GdbServer>(std::exchange(gdb_socket_, -1), *this);
    }
    Console::Hooks hooks = peripherals_->console_hooks();
    hooks.quit = [this] { stop(kPoweredOff); };
    hooks.hold = [this] {  // out of run(), to where the loops look at held()
      for (auto& cpu : cpus_) cpu->vcpu.kick();
    };
    console_.start(std::move(hooks), options_.icount);
    unsigned resets = 0;
    do {
      reset();
      {
        std::lock_guard lock(power_mutex_);
        threads_ = options_.icount ? 1 : options_.cpus;
      }
      if (!life_.change(LifeState::kRunning)) break;  // a stop came first
      peripherals_->resume();
      options_.icount ? run_in_turn() : run_threads();
      advise_about_resets(++resets);
    } while (life_.state() == LifeState::kResetting && !options_.no_reboot);
  }
  read_clocks();
  return life_.status();
}

void Machine::advise_about_resets(unsigned resets) {
  constexpr unsigned kMany = 3;
  if (resets != kMany || life_.state() != LifeState::kResetting || options_.no_reboot) return;
  message(
      fmt::format("trapline: the guest has reset itself {} times; if it does so for ever (a kernel "
                  "with panic=-1, say), --no-reboot ends the run at a reset\n",
                  resets));
}

// Asked for from outside: not even the guest's last words are waited for.
void Machine::stop(int status) {
  console_.abandon();
  end(status);
}

void Machine::end(int status) {
  if (life_.change(LifeState::kStopping, status)) wake_all();
}

void Machine::give_up(const std::string& why) {
  message("trapline: " + why + "\n");
  end(kBadInput);
}

void Machine::wake_all() {
  for (auto& cpu : cpus_) cpu->vcpu.kick();
  std::lock_guard lock(power_mutex_);
  power_changed_.notify_all();
}

uint64_t Machine::instructions() const {
  uint64_t total = 0;
  for (const auto& cpu : cpus_) total += cpu->vcpu.retired();
  return total;
}

uint64_t Machine::slice(uint64_t most) const {
  if (options_.max_insns == 0) return most;
  uint64_t done = instructions();
  return done >= options_.max_insns ? 0 : std::min(most, options_.max_insns - done);
}

// --- the debugger's side ---

Vcpu& Machine::cpu(unsigned index) { return cpus_[index]->vcpu; }

bool Machine::read_sysreg(unsigned index, SysregId id, uint64_t& value) {
  value = cpus_[index]->vcpu.get_sysreg(id);
  // Those of devices: 0 above. None of what gdb_target names has a side effect.
  if (timer_->sysreg_read(id, index, value)) return true;
  if ((id >> 7 & 15) == 12 || id == sysreg_id(3, 0, 4, 6, 0)) {
    uint64_t of_gic = 0;
    if (gic_->cpu_interface().sysreg_read(id, index, of_gic)) value = of_gic;
  }
  return true;
}

std::string Machine::cpu_state(unsigned index) {
  const Cpu& cpu = *cpus_[index];
  if (cpu.power == Power::kOff) return "off";
  if (cpu.power == Power::kOnPending) return "is being turned on";
  switch (cpu.wait) {
    case Cpu::Wait::kNone:
      return "runs";
    case Cpu::Wait::kInterrupt:
      return "waits for an interrupt";
    case Cpu::Wait::kEvent:
      return "waits for an event";
  }
  return {};
}

std::string Machine::device_at(uint64_t ipa) {
  Bus::Hint hint;
  const Bus::Region* region = bus_.find(ipa, 1, hint);
  return region == nullptr ? std::string() : std::string(region->device->name());
}

std::string Machine::exit_profile() {
  std::lock_guard lock(report_mutex_);
  read_clocks();
  return report_table(report());
}

// --- the debugger's side: who waits for whom ---

bool Machine::halt() {
  halted_ = true;
  wait_until_parked();
  return !life_.stopping();
}

void Machine::pause() {
  ++pauses_;
  wait_until_parked();
}

void Machine::unpause() {
  std::lock_guard lock(power_mutex_);
  --pauses_;
  power_changed_.notify_all();
}

// A reset under way ends, and its new threads park.
void Machine::wait_until_parked() {
  for (auto& cpu : cpus_) cpu->vcpu.kick();
  std::unique_lock lock(power_mutex_);
  power_changed_.notify_all();
  power_changed_.wait(lock, [&] { return (running() && parked_ == threads_) || life_.stopping(); });
}

void Machine::resume(const DebugGo* go) {
  std::lock_guard lock(power_mutex_);
  for (auto& cpu : cpus_) cpu->go = *go++;
  halted_ = false;
  power_changed_.notify_all();
}

bool Machine::park_if_halted(const Cpu* cpu) {
  const bool stays = cpu != nullptr && cpu->go == DebugGo::kStay;
  if (!halt_wanted() && !stays) [[likely]] {
    return false;
  }
  std::unique_lock lock(power_mutex_);
  ++parked_;
  power_changed_.notify_all();
  power_changed_.wait(lock, [&] {
    return (!halt_wanted() && (cpu == nullptr || cpu->go != DebugGo::kStay)) || !running();
  });
  --parked_;
  return true;
}

// A vCPU stopped by itself: it stays where it is until the debugger goes on.
void Machine::debug_stop(Cpu& cpu, const DebugStop& stop) {
  halted_ = true;
  gdb_->stopped(cpu.index, stop);
}

// On the CPU's thread. WFI, WFE and suspend are over: a step does not wait.
void Machine::debug_step(Cpu& cpu) {
  if (cpu.power == Power::kOn) {
    if (cpu.wait != Cpu::Wait::kNone) wake(cpu, 0);
    const Exit exit = cpu.vcpu.step();
    if (exit.kind == ExitKind::kKicked) return;  // not yet: halted or stopped meanwhile, or again
    after_exit(cpu, exit);
    if (exit.kind == ExitKind::kDebug || exit.kind == ExitKind::kCrashed) return;
  }
  debug_stop(cpu, {.signal = SIGTRAP, .stepped = true});
}

// --- PSCI ---

PowerControl::Power Machine::power(unsigned cpu) { return cpus_[cpu]->power; }

bool Machine::cpu_on(unsigned index, uint64_t entry, uint64_t context) {
  std::lock_guard lock(power_mutex_);
  Cpu& cpu = *cpus_[index];
  if (cpu.power != Power::kOff) return false;
  cpu.entry = entry;
  cpu.context = context;
  cpu.power = Power::kOnPending;
  power_changed_.notify_all();
  return true;
}

// --- running ---

// PSCI CPU_ON (and power-on) leave the reset to the CPU's own thread.
void Machine::begin_if_turned_on(Cpu& cpu) {
  if (cpu.power != Power::kOnPending) return;
  gic_->reset_cpu_interface(cpu.index);
  timer_->reset_cpu(cpu.index);
  cpu.vcpu.reset(cpu.entry, cpu.context);
  cpu.power = Power::kOn;
}

void Machine::after_exit(Cpu& cpu, const Exit& exit) {
  switch (cpu.exits.handle(exit)) {
    case AfterExit::kResume:
    case AfterExit::kKicked:
    case AfterExit::kBudget:
      break;
    case AfterExit::kRestart:
      cpu.restart = true;
      cpu.wait = Cpu::Wait::kInterrupt;
      break;
    case AfterExit::kWait:
    case AfterExit::kSuspend:
      cpu.wait = Cpu::Wait::kInterrupt;
      look_for_dead_end(cpu, exit.pc);
      break;
    case AfterExit::kWaitEvent:
      cpu.wait = Cpu::Wait::kEvent;
      look_for_dead_end(cpu, exit.pc);
      if (icount_clock_ != nullptr) {
        // An instruction a nanosecond.
        cpu.wait_until = icount_clock_->instructions() + cpu.vcpu.longest_event_wait();
      }
      break;
    case AfterExit::kCpuOff: {
      {
        std::lock_guard lock(power_mutex_);
        cpu.power = Power::kOff;
      }
      tell_dead_end();
      break;
    }
    case AfterExit::kSystemOff:
      end(kPoweredOff);
      break;
    case AfterExit::kSystemReset:
      if (life_.change(LifeState::kResetting)) wake_all();
      break;
    case AfterExit::kCrashed:
      crash_report(cpu);
      if (gdb_ != nullptr && gdb_->attached()) {
        debug_stop(cpu, {.signal = SIGSEGV});
      } else {
        end(kGuestFailed);
      }
      break;
    case AfterExit::kDebug:
      if (gdb_ != nullptr) {
        const bool watched = (exit.valid_mask & Exit::kFar) != 0;
        debug_stop(cpu, {.signal = SIGTRAP,
                         .stepped = cpu.go == DebugGo::kStep && !watched,
                         .watched = watched,
                         .address = exit.far,
                         .is_write = DataAbort{exit.esr}.write()});
      }
      break;
    case AfterExit::kFailed:
      message(fmt::format("trapline: vcpu {}: the backend cannot go on\n", cpu.index));
      end(kGuestFailed);
      break;
  }
}

void Machine::look_for_dead_end(Cpu& cpu, uint64_t pc) {
  const auto now_ns = [this] {
    return icount_clock_ != nullptr ? icount_clock_->instructions() : steady_ns();
  };
  if (idle_watch_.waits(cpu.index, pc, cpu.vcpu.retired(), now_ns)) tell_dead_end();
}

void Machine::tell_dead_end() {
  std::string where;
  for (auto& cpu : cpus_) {
    if (cpu->power == Power::kOff) continue;
    if (cpu->power == Power::kOnPending || !idle_watch_.stuck(cpu->index) ||
        gic_->can_signal(cpu->index)) {
      return;
    }
    where += fmt::format("{}vcpu {} at pc {:#x}", where.empty() ? "" : ", ", cpu->index,
                         idle_watch_.place(cpu->index));
  }
  if (!idle_watch_.first_to_tell()) return;
  if (where.empty()) where = "all are off";
  message(fmt::format(
      "trapline: all vCPUs wait, and nothing can wake them ({}): the guest has stopped; "
      "a kernel that needs EL2 (a hypervisor) does this here\n",
      where));
}

// In turn: a waiting vCPU waits on.
bool Machine::waits(Cpu& cpu) {
  switch (cpu.wait) {
    case Cpu::Wait::kNone:
      return false;
    case Cpu::Wait::kInterrupt:
      return !cpu.vcpu.wakeup_pending();
    case Cpu::Wait::kEvent:
      return !cpu.vcpu.event_pending() && icount_clock_->instructions() < cpu.wait_until;
  }
  return false;
}

// The vCPU's WFI, WFE or suspend is over. It may end early (a kick, the time): WFI and WFE may
// complete at any time (D1.6.1, D1.6.2), and so may PSCI's CPU_SUSPEND.
void Machine::wake(Cpu& cpu, uint64_t timeout_ns) {
  const bool wfe = std::exchange(cpu.wait, Cpu::Wait::kNone) == Cpu::Wait::kEvent;
  cpu.vcpu.wait_for_event(timeout_ns, wfe);
  if (std::exchange(cpu.restart, false)) {
    cpu.vcpu.reset(cpu.exits.restart_entry(), cpu.exits.restart_context());
  }
}

void Machine::limit_reached() {
  message(fmt::format("trapline: --max-insns {} reached\n", options_.max_insns));
  end(kLimitReached);
}

// One thread a vCPU; this one waits.
void Machine::run_threads() {
  for (auto& cpu : cpus_) {
    try {
      cpu->thread = std::thread([this, &cpu] {
        try {
          cpu_thread(*cpu);
        } catch (const std::exception& error) {
          give_up(fmt::format("vcpu {}: {}", cpu->index, error.what()));
        }
      });
    } catch (const std::system_error& error) {
      give_up(fmt::format("vcpu {}: cannot start a thread: {}", cpu->index, error.what()));
    }
  }
  for (auto& cpu : cpus_) {
    if (cpu->thread.joinable()) cpu->thread.join();
  }
}

void Machine::cpu_thread(Cpu& cpu) {
  constexpr uint64_t kLongWait = 1'000'000'000;  // ns
  while (running()) {
    begin_if_turned_on(cpu);
    if (park_if_halted(&cpu)) continue;
    if (cpu.go == DebugGo::kStep) [[unlikely]] {
      if (slice(1) == 0) return limit_reached();
      debug_step(cpu);
      continue;
    }
    if (cpu.power != Power::kOn) {
      std::unique_lock lock(power_mutex_);
      power_changed_.wait(lock,
                          [&] { return cpu.power != Power::kOff || halt_wanted() || !running(); });
      continue;
    }
    if (console_.held()) {
      console_.wait_while_held(kHeldMs);
      continue;
    }
    if (cpu.wait != Cpu::Wait::kNone) {
      wake(cpu, cpu.wait == Cpu::Wait::kEvent ? cpu.vcpu.longest_event_wait() : kLongWait);
    }
    uint64_t budget = options_.max_insns == 0 ? ~uint64_t{0} : slice(kSlice);
    if (budget == 0) return limit_reached();
    after_exit(cpu, cpu.vcpu.run(budget));
  }
}

// All vCPUs in turn on this thread, a quantum each; time is what they executed.
void Machine::run_in_turn() {
  constexpr int kIdlePollMs = 10;
  while (running()) {
    for (auto& cpu : cpus_) begin_if_turned_on(*cpu);
    if (park_if_halted(nullptr)) continue;
    console_.poll(0);
    bool ran = false;
    for (auto& each : cpus_) {
      Cpu& cpu = *each;
      uint64_t left = kQuantum;
      while (left != 0 && running()) {
        // A debugger halts the turn, and it goes on with what is left of it: else a breakpoint that
        // the first CPU meets often would keep the others from ever running.
        if (park_if_halted(nullptr)) continue;
        if (console_.held()) {  // the turn goes on where it was: the guest sees nothing of it
          console_.wait_while_held(kHeldMs);
          continue;
        }
        if (cpu.go == DebugGo::kStay) break;
        if (cpu.go == DebugGo::kStep) [[unlikely]] {
          icount_clock_->fire_due();
          begin_if_turned_on(cpu);
          ran = true;
          if (slice(1) == 0) {
            limit_reached();
            break;
          }
          debug_step(cpu);
          continue;
        }
        if (cpu.power == Power::kOff) break;
        if (console_.input_due()) console_.poll(0);
        icount_clock_->fire_due();
        if (cpu.wait != Cpu::Wait::kNone) {
          if (waits(cpu)) break;
          wake(cpu, 0);
        }
        uint64_t budget = slice(std::min(left, icount_clock_->budget()));
        if (budget == 0) {
          if (slice(1) != 0) continue;  // a deadline is due
          limit_reached();
          break;
        }
        uint64_t before = cpu.vcpu.retired();
        begin_if_turned_on(cpu);
        ran = true;
        const Exit exit = cpu.vcpu.run(budget);
        after_exit(cpu, exit);
        if (exit.kind == ExitKind::kCrashed) break;
        uint64_t executed = cpu.vcpu.retired() - before;
        left -= std::min(left, executed == 0 ? 1 : executed);
      }
    }
    if (ran) continue;
    // Everybody waits: time jumps to the next deadline or to the end of a WFE. On a terminal real
    // time passes with virtual time, but for WFEs, which come thick and fast.
    uint64_t wfe_left = ~uint64_t{0};
    for (const auto& cpu : cpus_) {
      if (cpu->power == Power::kOff || cpu->wait != Cpu::Wait::kEvent) continue;
      if (cpu->go == DebugGo::kStay) continue;
      wfe_left = std::min(wfe_left, cpu->wait_until - icount_clock_->instructions());
    }
    if (console_.interactive() && wfe_left == ~uint64_t{0}) console_.poll(kIdlePollMs);
    if (!icount_clock_->skip_to_next(wfe_left)) {
      // No deadline, and WFIs that do not end by themselves.
      for (const auto& cpu : cpus_) idle_watch_.waits_for_ever(cpu->index);
      tell_dead_end();
      console_.poll(kIdlePollMs);
    }
    icount_clock_->fire_due();
  }
}

// --- reports ---

void Machine::crash_report(Cpu& cpu) {
  if (std::exchange(cpu.crash_told_at, cpu.vcpu.retired()) == cpu.vcpu.retired()) return;
  std::string out = fmt::format(
      "trapline: vcpu {}: the guest is beyond help: 1,000 exceptions in a row at its vectors with "
      "nothing executed\n",
      cpu.index);
  uint64_t x[33];
  cpu.vcpu.get_registers((uint64_t{1} << 33) - 1, x);
  for (unsigned i = 0; i < 31; ++i) {
    out += fmt::format("  x{:<2} {:016x}{}", i, x[i], i % 4 == 3 ? "\n" : "");
  }
  out += fmt::format("  sp  {:016x}\n", x[kRegSp]);
  out +=
      fmt::format("  pc  {:016x}  pstate {:08x}\n", x[kRegPc], cpu.vcpu.get_register(kRegPstate));
  static constexpr struct {
    const char* name;
    SysregId id;
  } kShown[] = {
      {"ESR_EL1", sysreg_id(3, 0, 5, 2, 0)},   {"FAR_EL1", sysreg_id(3, 0, 6, 0, 0)},
      {"ELR_EL1", sysreg_id(3, 0, 4, 0, 1)},   {"SPSR_EL1", sysreg_id(3, 0, 4, 0, 0)},
      {"VBAR_EL1", sysreg_id(3, 0, 12, 0, 0)}, {"SCTLR_EL1", sysreg_id(3, 0, 1, 0, 0)},
      {"TCR_EL1", sysreg_id(3, 0, 2, 0, 2)},   {"TTBR0_EL1", sysreg_id(3, 0, 2, 0, 0)},
      {"TTBR1_EL1", sysreg_id(3, 0, 2, 0, 1)}, {"MAIR_EL1", sysreg_id(3, 0, 10, 2, 0)},
  };
  unsigned column = 0;
  for (const auto& reg : kShown) {
    out += fmt::format("  {:<9} {:016x}{}", reg.name, cpu.vcpu.get_sysreg(reg.id),
                       ++column % 3 == 0 ? "\n" : "");
  }
  out += column % 3 == 0 ? "" : "\n";
  message(out);
}

void Machine::read_clocks() {
  wall_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  cycles_ = host_cycles() - start_cycles_;
}

std::optional<RunReport> Machine::report_now() {
  pause();
  std::optional<RunReport> result;
  if (!life_.stopping()) {
    std::lock_guard lock(report_mutex_);
    read_clocks();
    result = report();
  }
  unpause();
  return result;
}

RunReport Machine::report() {
  RunReport report;
  for (auto& cpu : cpus_) {
    report.total.merge(cpu->exits.statistics());
    CacheCounters c = cpu->exits.instructions().cache_counters();
    report.icache.hits += c.hits;
    report.icache.misses += c.misses;
    report.icache.invalidations += c.invalidations;
    report.icache.mismatches += c.mismatches;
    report.icache.overtaken += c.overtaken;
  }
  report.instructions = instructions();
  report.wall_seconds = wall_seconds_;
  report.ns_per_cycle = cycles_ == 0 ? 1 : wall_seconds_ * 1e9 / static_cast<double>(cycles_);
  report.cpus = options_.cpus;
  static constexpr const char* kPolicies[] = {"off", "rewalk", "recheck", "protect"};
  report.icache_policy = kPolicies[static_cast<size_t>(options_.icache)];
  report.decoder = options_.decoder == DecoderChoice::kNative ? "native" : "capstone";
  report.backend = "soft";
  report.clock = options_.icount ? "icount" : "host";
  report.bus = &bus_;
  report.sysreg_devices = {&gic_->cpu_interface(), timer_.get()};
  return report;
}

}  // namespace trapline
