// How fast is the software CPU? The loops of the benchmark guest (bench/guest), the same binary
// that bench/roundtrip_vs_qemu runs under QEMU too, on a vCPU without a machine around it.
//
// Cpu/<integer|branchy|copy|bytes|calls>/<mmu_on|mmu_off|interpreted>
//                       hot loops; time and items are of one round. interpreted: no block is
//                       translated to host code, MMU on
// Cpu/program/<mmu_on|mmu_off|interpreted>, Cpu/program_cold/<mmu_on|interpreted>
//                       a program of 1.2 MB of text: 70 KiB in use at a time; cold: as it is first
//                       run, its blocks still to be built. Time of one of its 32 drivers' calls
// Cpu/block_build/<interpreted|translated>
//                       instructions that are run once. Time of one block, built (and translated)
//                       and run
// Cpu/tlb_miss          loads from 4,096 pages in turn. Time of one load
// Cpu/exit_roundtrip/<stub|handler>
//                       a load from a device's register: out of run(), completed, and to the next.
//                       stub: by the vCPU alone; handler: through ExitHandler, bus and a device
//                       that does nothing. Time of one
// Counter insns/s: guest instructions retired a second of processor time.
//
// bench_cpu [--benchmark_...] [GUEST.bin]; default: guest.bin beside the program.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>

#include "bench/guest/driven.h"
#include "bench/guest_rig.h"
#include "bench/null_device.h"
#include "vmm/config/platform.h"
#include "vmm/exit/exit.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::bench {
namespace {

std::string g_image;

void report(benchmark::State& state, uint64_t instructions) {
  state.counters["insns/s"] =
      benchmark::Counter(static_cast<double>(instructions), benchmark::Counter::kIsRate);
}

struct Way {
  const char* name;
  bool mmu;
  uint16_t translate_after = soft::kTranslateAfter;
};
constexpr Way kMmuOn{"mmu_on", true}, kMmuOff{"mmu_off", false},
    kInterpreted{"interpreted", true, 0}, kTranslated{"translated", true, 1};

// `items` in each round.
void loop(benchmark::State& state, const std::string& name, uint64_t rounds, uint64_t items,
          const Way& way) {
  GuestRig rig(g_image, way.mmu, way.translate_after);
  rig.call(name, rounds);
  uint64_t instructions = 0;
  while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(rounds * items))) {
    instructions += rig.call(name, rounds);
  }
  report(state, instructions);
}

void program(benchmark::State& state, const Way& way) {
  GuestRig rig(g_image, way.mmu, way.translate_after);
  rig.call("make_program", 1);
  rig.call("cpu_program", 32 * 32 / 8);  // each driver often enough for its blocks to be translated
  uint64_t instructions = 0;
  for (auto _ : state) instructions += rig.call("cpu_program", 1);
  report(state, instructions);
}

// Each iteration runs the program as if it had just been loaded.
void program_cold(benchmark::State& state, const Way& way) {
  constexpr uint64_t kDrivers = 32;
  GuestRig rig(g_image, way.mmu, way.translate_after);
  uint64_t instructions = 0;
  while (state.KeepRunningBatch(kDrivers)) {
    state.PauseTiming();
    rig.call("make_program", 1);
    state.ResumeTiming();
    instructions += rig.call("cpu_program", kDrivers);
  }
  report(state, instructions);
}

void block_build(benchmark::State& state, const Way& way) {
  GuestRig rig(g_image, way.mmu, way.translate_after);
  rig.call("make_program", 1);
  rig.call("block_build", 1);
  const uint64_t before = rig.stats().blocks_built;
  rig.call("block_build", 1);
  const uint64_t blocks = rig.stats().blocks_built - before;
  uint64_t instructions = 0;
  while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(blocks))) {
    instructions += rig.call("block_build", 1);
  }
  report(state, instructions);
  state.counters["insns/block"] = static_cast<double>(instructions) / state.iterations();
}

// Lets run() leave after so many exits.
class Batch final : public ExitSink {
 public:
  explicit Batch(ExitSink& sink) : sink_(sink) {}
  Answer handle(const Exit& exit, CpuView& view) override {
    if (exit.brief && left_ == 1) return {Resume::kWhole};  // which may leave
    Answer answer = sink_.handle(exit, view);
    if (answer.how == Resume::kWhole) return answer;
    if (exit.kind != ExitKind::kDataAbort || !DataAbort{exit.esr}.valid()) ++others;
    if (--left_ == 0) {
      left_ = kExits;
      answer.then_leave = true;
    }
    return answer;
  }
  static constexpr unsigned kExits = 1000;
  uint64_t others = 0;

 private:
  ExitSink& sink_;
  unsigned left_ = kExits;
};

void exit_roundtrip(benchmark::State& state, GuestRig& rig, ExitSink& sink) {
  Batch batch(sink);
  rig.enter("mmio_user", ~uint64_t{0}, batch);
  const uint64_t before = rig.vcpu().retired();
  while (state.KeepRunningBatch(Batch::kExits)) rig.vcpu().run(~uint64_t{0}, batch);
  report(state, rig.vcpu().retired() - before);
  if (batch.others != 0) state.SkipWithError("not the exit of the device's register");
}

// What an exit costs the CPU.
void exit_stub(benchmark::State& state) {
  struct Zero final : ExitSink {
    Answer handle(const Exit& exit, CpuView& view) override {
      view.regs->x[DataAbort{exit.esr}.rt()] = 0;
      return {Resume::kGoOn};
    }
  } zero;
  GuestRig rig(g_image, true);
  exit_roundtrip(state, rig, zero);
}

void exit_handler(benchmark::State& state) {
  GuestRig rig(g_image, true);
  NullDevice device;
  NoPower power;
  DeviceGate gate;
  Bus bus;
  bus.add(platform::kVirtio.base, platform::kVirtio.size, &device);
  ExitServices services;
  services.bus = &bus;
  services.gate = &gate;
  services.power = &power;
  ExitHandler handler(rig.vcpu(), services,
                      {DecoderChoice::kNative, CachePolicy::kOff, false, nullptr});
  exit_roundtrip(state, rig, handler);
}

void add(const std::string& name, std::function<void(benchmark::State&)> body) {
  benchmark::RegisterBenchmark(("Cpu/" + name).c_str(), std::move(body));
}

void register_all() {
  constexpr uint64_t kRounds = 10'000;  // a call and its return are lost in them
  for (const char* name : {"integer", "branchy", "copy", "bytes", "calls"}) {
    for (const Way& way : {kMmuOn, kMmuOff, kInterpreted}) {
      add(fmt::format("{}/{}", name, way.name),
          [=](benchmark::State& s) { loop(s, std::string("cpu_") + name, kRounds, 1, way); });
    }
  }
  for (const Way& way : {kMmuOn, kMmuOff, kInterpreted}) {
    add(fmt::format("program/{}", way.name), [=](benchmark::State& s) { program(s, way); });
  }
  for (const Way& way : {kMmuOn, kInterpreted}) {
    add(fmt::format("program_cold/{}", way.name),
        [=](benchmark::State& s) { program_cold(s, way); });
  }
  for (const Way& way : {kInterpreted, kTranslated}) {
    add(fmt::format("block_build/{}", way.name), [=](benchmark::State& s) { block_build(s, way); });
  }
  add("tlb_miss", [](benchmark::State& s) { loop(s, "tlb_miss", 4, kTlbPages, kMmuOn); });
  add("exit_roundtrip/stub", exit_stub);
  add("exit_roundtrip/handler", exit_handler);
}

}  // namespace
}  // namespace trapline::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const auto beside = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "guest.bin";
  trapline::bench::g_image = argc > 1 ? argv[1] : beside.string();
  if (argc > 2 && benchmark::ReportUnrecognizedArguments(argc - 1, argv + 1)) return 1;
  trapline::bench::register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
