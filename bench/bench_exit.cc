// What does one data-abort exit cost in the VMM, from ExitHandler::handle() to the guest's
// registers?
//
// A software vCPU with its MMU on (4 KiB pages, four levels at both stages), code and tables in
// guest RAM, and a device on the bus. Only the VMM's side is timed: the CPU's own way out and in is
// bench_cpu's. Names:
//   Exit/isv1/<hot|swept>
//   Exit/isv0/<off|rewalk|recheck|protect>/<native|capstone>/<hit|miss>/<hot|swept>
//   ExitDevice/<device>        ISV=1 read of one register of a real device
// isv1 and isv0 read the same register of a device that does nothing, so that their ratio is the
// price of the missing syndrome. Counters of each: the stages translate, fetch, decode, lookup,
// emulate in ns, from the statistics that --stats switches on (medians of a run of their own; each
// holds the reading of a clock, about as long as the shortest of them).
// A miss is a hit after a drop(); under `rewalk`, whose key is the word, a word not seen for long.
// "swept" writes 64 MiB of other memory before each exit (timed by hand, the sweep excluded).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bench/null_device.h"
#include "bench/plain_names.h"
#include "decode/capstone_adapter.h"
#include "devices/gicv3/gicv3.h"
#include "devices/pl011.h"
#include "devices/pl031.h"
#include "devices/timer.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/transport_mmio.h"
#include "vmm/config/platform.h"
#include "vmm/exit/exit.h"
#include "vmm/machine/clocks.h"
#include "vmm/machine/peripherals.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/stage2.h"
#include "vmm/soft/engine/soft_view.h"
#include "vmm/soft/soft_vcpu.h"
#include "vmm/stats/latency.h"

namespace trapline {
namespace {

constexpr uint64_t kRam = platform::kRamBase, kRamSize = 64 << 20;
constexpr uint64_t kTables = kRam + 0x10000, kCode = kRam + 0x200000;
constexpr uint64_t kCodeVa = 0xffff'8000'0020'0000;    // upper half, as a guest kernel's
constexpr uint64_t kDeviceVa = 0xffff'8000'4000'0000;  // maps the device window, 2 MiB blocks
constexpr uint64_t kRealVirtio = platform::kVirtio.base + platform::kVirtio.size;
constexpr uint32_t kLdrPost = 0xb8400401;  // ldr w1, [x0], #0

class NullSink final : public OutputSink {
 public:
  size_t put(const uint8_t*, size_t size) override { return size; }
  void force(const uint8_t*, size_t) override {}
};

class Rig final : private GuestMemory::Observer {
 public:
  Rig(CachePolicy policy, DecoderChoice decoder) {
    memory_.add(kRam, kRamSize, true);
    stage2_.map(kRam, kRamSize, memory_.host(kRam, kRamSize),
                kS2Read | kS2Write | kS2Exec | kS2Walk);
    machine_ = soft::make_soft_machine(memory_, stage2_, clock_, 1, false);
    memory_.add_observer(this);
    bus_.add(platform::kGicd.base, platform::kGicd.size, &gic_.distributor());
    bus_.add(platform::kGicr.base, platform::kGicr.size, &gic_.redistributors());
    bus_.add(platform::kUart.base, platform::kUart.size, &uart_);
    bus_.add(platform::kRtc.base, platform::kRtc.size, &rtc_);
    bus_.add(platform::kVirtio.base, platform::kVirtio.size, &null_);
    bus_.add(platform::kTimerFrame0.base, platform::kTimerFrame0.size, &frames_.frame());
    virtio::MmioTransport::Options options;
    options.name = "virtio-rng0";
    options.dma = &dma_;
    options.irq = &gic_.spi(platform::kVirtioSpi);
    options.io = IoMode::deterministic(clock_);
    virtio_ = std::make_unique<virtio::MmioTransport>(std::move(options),
                                                      std::make_unique<virtio::Rng>(1));
    bus_.add(kRealVirtio, platform::kVirtio.size, virtio_.get());
    ExitServices services;
    services.bus = &bus_;
    services.gate = &gate_;
    services.power = &power_;
    handler_ = std::make_unique<ExitHandler>(
        vcpu(), services, InstructionSource::Choice{decoder, policy, false, machine_.get()});
    view_ = std::make_unique<soft::SoftView>(machine_->vcpu(0).cpu());
    build_tables();
    memory_.write(kCode, &kLdrPost, 4);
    code_ = memory_.host(kCode, 4);
    soft::Cpu& cpu = machine_->vcpu(0).cpu();
    vcpu().reset(kCodeVa, 0);
    cpu.sys.mmu.tcr =
        uint64_t{16} | uint64_t{16} << 16 | uint64_t{2} << 30 | uint64_t{5} << 32 |
        0x3500'3500;  // 48-bit halves, 4 KiB granules, cacheable inner shareable walks
    cpu.sys.mmu.mair = 0xff;
    cpu.sys.mmu.ttbr0 = cpu.sys.mmu.ttbr1 = kTables;
    cpu.sys.mmu.sctlr |= 1;
    vcpu().set_register(0, kDeviceVa + platform::kVirtio.base);
  }

  Vcpu& vcpu() { return machine_->vcpu(0); }
  ExitHandler& handler() { return *handler_; }
  // As the CPU does it: the view made ready, the sink asked, and the instruction stepped past.
  void take(const Exit& exit) {
    view_->refresh(exit.pc);
    ExitSink& sink = *handler_;
    if (sink.handle(exit, *view_) != Answer{Resume::kGoOn}) ++refused;
  }
  uint64_t refused = 0;

  Exit abort(uint64_t ipa, uint64_t iss) {
    Exit exit;
    exit.kind = ExitKind::kDataAbort;
    exit.esr = uint64_t{0x24} << 26 | 1u << 25 | iss | 0x07;
    exit.far = kDeviceVa + ipa;
    exit.ipa = ipa;
    exit.valid_mask = Exit::kEsr | Exit::kFar | Exit::kIpa;
    exit.pc = kCodeVa;
    return exit;
  }
  Exit isv1_read(uint64_t ipa) { return abort(ipa, 1u << 24 | 2u << 22 | 5u << 16); }
  // One of 31,744 loads (ldur wN, [x0, #imm] and ldur xN), four times what the cache holds.
  void set_word(Exit& exit, unsigned variant) {
    const unsigned rt = 1 + variant % 30, imm = variant / 30 % 256, wide = variant / 7680 & 1;
    const uint32_t word = 0xb8400000 | wide << 30 | imm << 12 | rt;
    std::memcpy(code_, &word, 4);
    exit.far = kDeviceVa + platform::kVirtio.base + imm;
    exit.ipa = platform::kVirtio.base + imm;
  }
  Exit isv0_read() { return abort(platform::kVirtio.base, 0); }

 private:
  void memory_written(uint64_t ipa, uint64_t size) override {
    handler_->instructions().memory_written(ipa, size);
  }
  void store(uint64_t ipa, uint64_t value) { memory_.write(ipa, &value, 8); }
  // Level 0 -> 1 -> 2 -> 3 for the code page, 2 MiB device blocks beside it.
  void build_tables() {
    const uint64_t l1 = kTables + 0x1000, l2 = kTables + 0x2000, l3 = kTables + 0x3000,
                   dev2 = kTables + 0x4000;
    const unsigned l0_index = kCodeVa >> 39 & 511;
    store(kTables + 8 * l0_index, l1 | 3);
    store(l1 + 8 * (kCodeVa >> 30 & 511), l2 | 3);
    store(l2 + 8 * (kCodeVa >> 21 & 511), l3 | 3);
    store(l3 + 8 * (kCodeVa >> 12 & 511), kCode | 0x703);
    store(l1 + 8 * (kDeviceVa >> 30 & 511), dev2 | 3);
    for (uint64_t i = 0; i < 512; ++i) store(dev2 + 8 * i, i << 21 | 0x701);
  }

  GuestMemory memory_;
  uint8_t* code_ = nullptr;
  Stage2 stage2_;
  HostClock clock_;
  std::unique_ptr<soft::SoftMachine> machine_;
  Gicv3 gic_{1};
  NullSink sink_;
  Pl011 uart_{sink_, nullptr};
  Pl031 rtc_{clock_, 0, nullptr};
  MemoryMappedTimer frames_{clock_};
  bench::NullDevice null_;
  MemoryDma dma_{memory_};
  std::unique_ptr<virtio::MmioTransport> virtio_;
  Bus bus_;
  DeviceGate gate_;
  bench::NoPower power_;
  std::unique_ptr<ExitHandler> handler_;
  std::unique_ptr<soft::SoftView> view_;
};

// Displaces what the exit path had in the caches.
void sweep() {
  static std::vector<uint8_t> ballast(64 << 20);
  for (size_t i = 0; i < ballast.size(); i += 64) ++ballast[i];
  benchmark::ClobberMemory();
}

template <typename Body>
void measure(benchmark::State& state, bool swept, Body&& body) {
  if (!swept) {
    for (auto _ : state) body();
    return;
  }
  std::vector<double> seconds;
  for (auto _ : state) {
    sweep();
    auto start = std::chrono::steady_clock::now();
    body();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    state.SetIterationTime(seconds.back());
  }
  // A busy machine disturbs the mean more.
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
  state.counters["median_ns"] = 1e9 * seconds[seconds.size() / 2];
}

double ns_per_cycle() {
  static const double value = [] {
    const auto start = std::chrono::steady_clock::now();
    const uint64_t cycles = host_cycles();
    while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(20)) {
    }
    const uint64_t passed = host_cycles() - cycles;
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start)
               .count() /
           static_cast<double>(passed);
  }();
  return value;
}

// The stages, by a run of their own with the clocks on.
template <typename Body>
void report_stages(benchmark::State& state, Rig& rig, ExitClass exit_class, bool swept,
                   Body&& body) {
  ExitLatency latency;
  rig.handler().add_observer(&latency, Attention::kSample);
  for (int i = 0; i < (swept ? 50 : 2000); ++i) {
    if (swept) sweep();
    body();
  }
  const ExitLatency::Times& times = latency.of(exit_class);
  for (size_t i = 0; i < times.stages.size(); ++i) {
    state.counters[stage_name(static_cast<Stage>(i))] =
        static_cast<double>(times.stages[i].quantile(0.5)) * ns_per_cycle();
  }
}

void isv1(benchmark::State& state, bool swept) {
  Rig rig(CachePolicy::kOff, DecoderChoice::kNative);
  Exit exit = rig.isv1_read(platform::kVirtio.base);
  const auto body = [&] { rig.take(exit); };
  measure(state, swept, body);
  report_stages(state, rig, ExitClass::kDataAbortIsv1, swept, body);
}

void isv0(benchmark::State& state, CachePolicy policy, DecoderChoice decoder, bool miss,
          bool swept) {
  Rig rig(policy, decoder);
  Exit exit = rig.isv0_read();
  InstructionSource& instructions = rig.handler().instructions();
  rig.take(exit);
  unsigned variant = 0;
  const auto body = [&] {
    if (miss && policy == CachePolicy::kRewalk) {
      rig.set_word(exit, ++variant);
    } else if (miss) {
      instructions.drop(exit.pc);
    }
    rig.take(exit);
  };
  measure(state, swept, body);
  report_stages(state, rig, ExitClass::kDataAbortIsv0, swept, body);
  const ExitCounters& counters = rig.handler().counters().counters;
  if (rig.refused != 0 || counters.retries != 0 || counters.external_aborts != 0)
    state.SkipWithError("not emulated");
}

void device(benchmark::State& state, uint64_t ipa) {
  Rig rig(CachePolicy::kOff, DecoderChoice::kNative);
  Exit exit = rig.isv1_read(ipa);
  for (auto _ : state) rig.take(exit);
}

void add(const std::string& name, bool swept, std::function<void(benchmark::State&)> body) {
  auto* b = benchmark::RegisterBenchmark((name + (swept ? "/swept" : "/hot")).c_str(), body);
  if (swept) b->UseManualTime()->Iterations(50);
}

void register_all() {
  static constexpr struct {
    const char* name;
    CachePolicy policy;
  } kPolicies[] = {{"off", CachePolicy::kOff},
                   {"rewalk", CachePolicy::kRewalk},
                   {"recheck", CachePolicy::kRecheck},
                   {"protect", CachePolicy::kProtect}};
  for (bool swept : {false, true}) {
    add("Exit/isv1", swept, [swept](benchmark::State& s) { isv1(s, swept); });
    for (const auto& p : kPolicies) {
      for (DecoderChoice decoder : {DecoderChoice::kNative, DecoderChoice::kCapstone}) {
        if (decoder == DecoderChoice::kCapstone && !CapstoneDecoder::built_in()) continue;
        for (bool miss : {false, true}) {
          // Without a cache every exit is a miss.
          if (p.policy == CachePolicy::kOff && !miss) continue;
          std::string name = std::string("Exit/isv0/") + p.name +
                             (decoder == DecoderChoice::kNative ? "/native" : "/capstone") +
                             (miss ? "/miss" : "/hit");
          add(name, swept, [=](benchmark::State& s) { isv0(s, p.policy, decoder, miss, swept); });
        }
      }
    }
  }
  static constexpr struct {
    const char* name;
    uint64_t ipa;
  } kDevices[] = {{"null", platform::kVirtio.base},
                  {"gicd", platform::kGicd.base + 8},            // GICD_IIDR
                  {"gicr", platform::kGicr.base + 8},            // GICR_TYPER
                  {"timer_frame", platform::kTimerFrame0.base},  // CNTPCT
                  {"virtio_mmio", kRealVirtio + 0x60},           // InterruptStatus
                  {"pl011", platform::kUart.base + 0x18},        // UARTFR
                  {"pl031", platform::kRtc.base}};               // RTCDR
  for (const auto& d : kDevices) {
    benchmark::RegisterBenchmark((std::string("ExitDevice/") + d.name).c_str(),
                                 [d](benchmark::State& s) { device(s, d.ipa); });
  }
}

}  // namespace
}  // namespace trapline

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  trapline::register_all();
  trapline::bench::run_under_plain_names();
  benchmark::Shutdown();
  return 0;
}
