// A bare machine for engine tests: RAM, no devices, page tables on request.
#ifndef TRAPLINE_TESTS_VMM_SOFT_ENGINE_FIXTURE_H_
#define TRAPLINE_TESTS_VMM_SOFT_ENGINE_FIXTURE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "vmm/soft/engine/engine.h"
#include "vmm/soft/soft_vcpu.h"

namespace trapline::soft {

// Time is what the CPUs have retired.
class RetiredClock final : public Clock {
 public:
  uint64_t now() override {
    if (meanwhile) meanwhile();
    uint64_t sum = 0;
    for (const Cpu* cpu : cpus) sum += cpu->retired;
    return sum;
  }
  Handle at(uint64_t, std::function<void()>) override { return 0; }
  void cancel(Handle) override {}
  std::vector<Cpu*> cpus;
  std::function<void()> meanwhile;
};

inline constexpr uint64_t kRam = 0x4000'0000;
inline constexpr uint64_t kRamSize = uint64_t{64} << 20;
inline constexpr uint64_t kDevice = 0x0900'0000;  // stage 2 maps nothing there
inline constexpr uint64_t kTables = kRam + 0x10'0000;
inline constexpr uint64_t kVectors = kRam + 0x20'0000;  // filled with HVC #0x800 + offset / 4
inline constexpr uint64_t kCode = kRam + 0x8'0000;
inline constexpr uint64_t kData = kRam + 0x30'0000;

// Stage-1 descriptor bits.
enum Descriptor : uint64_t {
  kPage = 3,
  kBlock = 1,
  kTable = 3,
  kAf = 1 << 10,
  kUser = 1 << 6,
  kReadOnly = 1 << 7,
  kNonGlobal = 1 << 11,
  kDeviceMemory = 1 << 2,  // MAIR index 1
  kUxn = uint64_t{1} << 54,
  kPxn = uint64_t{1} << 53,
};

// Until an exit, which is not dealt with; one instruction.
inline Exit go(Vcpu& vcpu, uint64_t budget) {
  ExitCatcher catcher;
  vcpu.run(budget, catcher);
  return catcher.caught;
}
inline Exit step(Vcpu& vcpu) {
  ExitCatcher catcher;
  vcpu.step(catcher);
  return catcher.caught;
}

class Bench {
 public:
  // TRAPLINE_TRANSLATE_AFTER in the environment sets how often a block is interpreted first.
  explicit Bench(unsigned cpus = 1, bool isv_never = false, CpuModel model = CpuModel::kMax);
  Bench(unsigned cpus, bool isv_never, uint16_t translate_after, CpuModel model = CpuModel::kMax);

  // Identity map of the first 4 GiB by 1 GiB blocks (RAM Normal, the first GiB Device), except for
  // what map_page() says. EL0 may not touch it.
  void enable_mmu();
  // Maps one 4 KiB page below 4 GiB by a table of its own 2 MiB.
  void map_page(uint64_t va, uint64_t pa, uint64_t bits);
  uint64_t* descriptor(uint64_t va);

  void put(uint64_t address, std::initializer_list<uint32_t> words);
  template <typename T>
  void poke(uint64_t address, T value) {
    memory.write(address, &value, sizeof value);
  }
  template <typename T>
  T peek(uint64_t address) {
    T value{};
    memory.read(address, &value, sizeof value);
    return value;
  }
  // Writes as no device would: nobody hears of it.
  void poke_silently(uint64_t address, uint32_t value) {
    __atomic_store_n(reinterpret_cast<uint32_t*>(memory.host(address, 4)), value, __ATOMIC_RELAXED);
  }
  Cpu& cpu(unsigned index = 0) { return machine->vcpu(index).cpu(); }
  SoftVcpu& vcpu(unsigned index = 0) { return machine->vcpu(index); }
  // From kCode until an exit.
  Exit run(uint64_t budget = 100'000) {
    cpu().pc = kCode;
    return go(vcpu(), budget);
  }
  // The instruction that exited is done.
  void step_past(unsigned index = 0) {
    cpu(index).pc += 4;
    ++cpu(index).retired;
  }

  GuestMemory memory;
  Stage2 stage2;
  RetiredClock clock;
  std::unique_ptr<SoftMachine> machine;

 private:
  uint64_t next_table_ = kTables + 0x1000;
};

// The vector that was taken, from the exit its HVC makes; ~0 if it was another exit.
inline unsigned vector_of(const Exit& exit) {
  if (exit.kind != ExitKind::kHvc || (exit.esr & 0x8000) == 0) return ~0u;
  return (exit.esr & 0x7fff) * 4 & ~0x7fu;
}

inline constexpr uint32_t kHvc0 = 0xd4000002;  // hvc #0: the end of a test program
inline constexpr uint32_t kNop = 0xd503201f;

}  // namespace trapline::soft

#endif  // TRAPLINE_TESTS_VMM_SOFT_ENGINE_FIXTURE_H_
