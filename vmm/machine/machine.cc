#include "vmm/machine/machine.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <cstdio>
#include <utility>

#include "vmm/boot/device_tree.h"
#include "vmm/host/messages.h"
#include "vmm/machine/gic.h"
#include "vmm/machine/machine_cpu.h"
#include "vmm/symbols/load.h"

namespace trapline {
namespace {

std::vector<uint8_t> seed_bytes(size_t size, bool fixed) {
  std::vector<uint8_t> bytes(size);
  if (fixed) {
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(0x5a + 37 * i);
  } else if (getrandom(bytes.data(), size, 0) != static_cast<ssize_t>(size)) {
    std::fprintf(stderr, "trapline: no entropy from the host for rng-seed\n");
  }
  return bytes;
}

}  // namespace

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
  gdb_.reset();     // halts, reads and writes vCPUs
  console_.stop();  // input to the UART, stops
  if (peripherals_ != nullptr && peripherals_->screen() != nullptr) peripherals_->screen()->stop();
  if (peripherals_ != nullptr) peripherals_->quiesce();  // disk and network: DMA, interrupts
  if (host_clock_ != nullptr) host_clock_->stop();       // deadlines of timers, RTC and devices
  life_.change(LifeState::kEnded);
}

Result<std::unique_ptr<Machine>> Machine::create(const Options& options, Console& console,
                                                 MakeBackend make_backend) {
  std::unique_ptr<Machine> machine(new Machine(options, console));
  // What is restored boots from these files at its first reset, if ever.
  const bool boots = options.restore.empty() && options.incoming.empty();
  machine->memory_used_ = !boots;
  if (boots) {
    auto plan = plan_boot(options, machine->boot_files_);
    if (!plan) return Error{plan.error()};
    machine->plan_ = std::move(*plan);
  }
  std::string error = machine->assemble(make_backend);
  if (error.empty() && boots) error = machine->plan();
  if (!error.empty()) return Error{error};
  if (boots) {  // pages are moved, which the jail forbids once the guest runs
    machine->load_memory();
    machine->preloaded_ = true;
  }
  if (options.symbols != "auto" && options.symbols != "none") {
    auto table = load_symbols(options.symbols);
    if (!table) return Error{"--symbols " + table.error()};
    machine->symbols_ = std::move(*table);
    if (options.kaslr_offset != 0) machine->symbols_.relocate(options.kaslr_offset);
  }
  return machine;
}

std::string Machine::assemble(MakeBackend make_backend) {
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
  auto backend = make_backend({options_, memory_, stage2_, *clock_});
  if (!backend) return backend.error();
  backend_ = std::move(*backend);
  if (icount_clock_ != nullptr) {
    icount_clock_->set_source([this] { return instructions(); });
  }
  std::vector<Vcpu*> vcpus;
  for (unsigned i = 0; i < options_.cpus; ++i) vcpus.push_back(&backend_->vcpu(i));
  const bool live = !options_.name.empty() || !options_.metrics.empty();
  if (options_.profile || live)
    irq_probe_ = std::make_unique<IrqProbe>(options_.cpus, platform::kSpis);
  irqchip_ = backend_->in_kernel() ? backend_->make_irqchip()
                                   : make_gicv3(vcpus, irq_probe_.get(),
                                                options_.el2.on ? options_.el2.list_registers : 0);
  timer_ = std::make_unique<GenericTimer>(*clock_, options_.cpus);

  ExitServices services;
  services.bus = &bus_;
  services.gate = options_.cpus > 1 ? &gate_ : nullptr;
  services.gic = irqchip_->cpu_interface();
  services.timer = timer_.get();
  services.power = this;
  services.icount = options_.icount;
  InstructionSource::Choice choice{options_.decoder, options_.icache, options_.icache_check,
                                   backend_.get(), options_.el2.on};
  for (unsigned i = 0; i < options_.cpus; ++i) {
    cpus_.push_back(std::make_unique<Cpu>(i, backend_->vcpu(i), services, choice));
    Cpu& cpu = *cpus_.back();
    cpu.exits.sample_every(options_.stats_every);
    cpu.timed = options_.profile || live;
    if (!options_.stats.empty() || live) {
      cpu.latency = std::make_unique<ExitLatency>();
      cpu.exits.add_observer(cpu.latency.get(), Attention::kSample);
    }
    timer_->connect(i, &irqchip_->ppi(i, platform::kTimerVirtualPpi),
                    &irqchip_->ppi(i, platform::kTimerNonSecurePpi));
    if (options_.el2.on) {
      timer_->connect_el2(i, &irqchip_->ppi(i, platform::kTimerHypVirtualPpi),
                          &irqchip_->ppi(i, platform::kTimerHypPpi));
    }
    if (host_clock_ != nullptr) cpu.watch_sleep(*timer_, *clock_);
    cpu.vcpu.connect_pmu(&irqchip_->ppi(i, platform::kPmuPpi));
    if (std::atomic<uint64_t>* due = cpu.vcpu.timers_due()) {
      timer_->publish_due(i, &due[0], &due[1]);
    }
  }
  memory_.add_observer(this);
  if (options_.gdb_port != 0) {
    error = GdbServer::listen(options_.gdb_port, gdb_socket_);
    if (!error.empty()) return error;
  }
  peripherals_ = std::make_unique<Peripherals>(
      Peripherals::Services{options_, memory_, *backend_, bus_, *irqchip_, *clock_, console_});
  error = irqchip_->add_to(bus_);
  if (error.empty()) error = peripherals_->add_flash_memory();
  if (error.empty()) error = peripherals_->add_devices();
  if (!error.empty()) return error;

  if (!options_.record.empty()) {
    error = start_recording();
    if (!error.empty()) return error;
  }
  return {};
}

std::string Machine::plan() {
  if (plan_.name.empty() || plan_.loaded) {
    auto plan = plan_boot(options_, boot_files_);
    if (!plan) return plan.error();
    plan_ = std::move(*plan);
    if (!boot_files_.changed().empty() && !std::exchange(told_of_change_, true)) {
      message(
          fmt::format("trapline: {} was written to while the guest ran; it now boots what is "
                      "there\n",
                      boot_files_.changed()));
    }
  }
  DeviceTreeInput tree;
  tree.options = &options_;
  tree.plan = &plan_;
  tree.flash = peripherals_->has_flash();
  tree.fw_cfg = tree.virtio = true;
  tree.virtio_slots = peripherals_->virtio_slots();
  tree.pcie = peripherals_->has_pcie();
  tree.its = peripherals_->has_its();
  tree.rng_seed = seed_bytes(32, options_.icount);
  if (options_.kaslr_seed) tree.kaslr_seed = seed_bytes(8, options_.icount);
  device_tree_ = build_device_tree(tree);
  std::string error = plan_.place_device_tree(device_tree_.size(), options_);
  planned_ = error.empty();
  return error;
}

// A cache entry made from these bytes is stale (policy `protect`).
void Machine::memory_written(uint64_t ipa, uint64_t size) {
  for (auto& cpu : cpus_) cpu->exits.instructions().memory_written(ipa, size);
  if (recording_ != nullptr) recording_->memory_written(ipa, size);
}

// Stage 2 may now refuse or answer otherwise what a cache entry was made from.
void Machine::memory_map_changed() {
  for (auto& cpu : cpus_) cpu->exits.instructions().memory_map_changed();
  if (recording_ != nullptr) recording_->map_changed();
}

// --- start, reset, end ---

void Machine::load_memory() {
  plan_.load(memory_, !std::exchange(memory_used_, true));
  planned_ = false;  // anew for the next reset
  memory_.write(plan_.dtb_ipa, device_tree_.data(), device_tree_.size());
}

// As at power-on. One line if what it boots from cannot be read (any more).
std::string Machine::reset() {
  const bool preloaded = std::exchange(preloaded_, false);
  if (!preloaded && !planned_) {
    if (std::string error = plan(); !error.empty()) return error;
  }
  peripherals_->quiesce();
  peripherals_->reset();
  irqchip_->reset();
  timer_->reset();
  if (!preloaded) load_memory();
  round_ = {};
  std::lock_guard lock(power_mutex_);
  for (auto& cpu : cpus_) {
    cpu->power = Power::kOff;
    cpu->wait = Cpu::Wait::kNone;
    cpu->restart = false;
  }
  if (backend_->in_kernel()) {
    // Before any runs: whichever does may turn another one on.
    for (auto& cpu : cpus_) {
      cpu->vcpu.reset(plan_.entry, plan_.dtb_ipa);
      cpu->power = Power::kOn;
    }
    return {};
  }
  Cpu& boot = *cpus_[0];
  boot.entry = plan_.entry;
  boot.context = plan_.dtb_ipa;
  boot.power = Power::kOnPending;
  return {};
}

int Machine::run() {
  struct Cleanup {
    Machine& machine;
    ~Cleanup() { machine.shut_down(); }
  };
  start_ = std::chrono::steady_clock::now();
  start_cycles_ = host_cycles();
  if (options_.profile) start_profile();
  {
    Cleanup cleanup{*this};
    if (gdb_socket_ >= 0) {
      halted_ = true;  // until a debugger says continue
      message(fmt::format("trapline: waiting for gdb: target remote :{}\n", options_.gdb_port));
      gdb_ = std::make_unique<GdbServer>(std::exchange(gdb_socket_, -1), *this);
    }
    Console::Hooks hooks = peripherals_->console_hooks();
    if (event_sink_ != nullptr) {
      hooks.output = [this](std::string_view bytes) { panic_watch_.output(bytes); };
    }
    hooks.quit = [this] { stop(kPoweredOff); };
    hooks.hold = [this] {  // out of run(), to where the loops look at held()
      for (auto& cpu : cpus_) cpu->kick();
    };
    console_.start(std::move(hooks), options_.icount);
    unsigned resets = 0;
    do {
      const bool boots = !std::exchange(restored_, false);
      {
        std::unique_lock lock(power_mutex_);
        power_changed_.wait(lock, [&] { return !state_held_ || life_.stopping(); });
        threads_ = options_.icount ? 1 : options_.cpus;
      }
      if (boots) {
        if (const std::string error = reset(); !error.empty()) {
          give_up(error);
          break;
        }
      }
      if (!life_.change(LifeState::kRunning)) break;  // a stop came first
      if (boots) {
        tell_event({"boot", fmt::format("boot {}", ++boots_), {}});
      } else {
        tell_event({"restore", "", {}});
      }
      if (host_clock_ != nullptr) host_clock_->go(false);
      peripherals_->resume();
      options_.icount ? run_in_turn() : run_threads();
      if (life_.state() == LifeState::kResetting) tell_event({"reset", why(), {}});
      advise_about_resets(++resets);
    } while (life_.state() == LifeState::kResetting && !options_.no_reboot);
  }
  read_clocks();
  tell_event({"stop", why(), life_.status()});
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
void Machine::stop(int status, const std::string& why) {
  console_.abandon();
  if (!why.empty()) return end(status, why);
  constexpr int kSignal = 128;
  end(status, status > kSignal ? fmt::format("signal {}", status - kSignal) : "the user left");
}

// `why` is there for whoever sees the change.
void Machine::end(int status, const std::string& why) {
  {
    std::lock_guard lock(power_mutex_);
    if (!life_.change(LifeState::kStopping, status)) return;
    why_ = why;
  }
  wake_all();
}

void Machine::reset_soon(const std::string& why) {
  {
    std::lock_guard lock(power_mutex_);
    if (!life_.change(LifeState::kResetting)) return;
    why_ = why;
  }
  wake_all();
}

std::string Machine::why() {
  std::lock_guard lock(power_mutex_);
  return why_;
}

void Machine::give_up(const std::string& why) {
  message("trapline: " + why + "\n");
  end(kBadInput, why);
}

void Machine::wake_all() {
  for (auto& cpu : cpus_) cpu->kick();
  std::lock_guard lock(power_mutex_);
  power_changed_.notify_all();
}

}  // namespace trapline
