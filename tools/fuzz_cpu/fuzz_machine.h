// One software CPU with RAM, read-only memory and one device, and what serves its exits.
#ifndef TRAPLINE_TOOLS_FUZZ_CPU_FUZZ_MACHINE_H_
#define TRAPLINE_TOOLS_FUZZ_CPU_FUZZ_MACHINE_H_

#include <cstdint>
#include <memory>

#include "devices/gicv3/gicv3.h"
#include "mmio/bus.h"
#include "mmio/emulate.h"
#include "tools/fuzz_cpu/random.h"
#include "vmm/soft/soft_vcpu.h"

namespace trapline::fuzz {

class FuzzClock final : public Clock {
 public:
  uint64_t now() override { return ++ticks_; }
  Handle at(uint64_t, std::function<void()>) override { return 0; }
  void cancel(Handle) override {}

 private:
  uint64_t ticks_ = 0;
};

// Answers with what was written last; refuses one register.
class FuzzDevice final : public Device {
 public:
  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return "fuzz"; }

 private:
  uint64_t value_ = 0;
};

struct Totals {
  uint64_t programs = 0, instructions = 0, crashed = 0;
  uint64_t exits[static_cast<unsigned>(ExitKind::kCount)] = {};
};

class FuzzMachine {
 public:
  FuzzMachine(bool isv_never, soft::El2Choice el2);
  // Runs the program of the seed, at most `budget` instructions.
  void run(uint64_t seed, uint64_t budget, Totals& totals);
  ~FuzzMachine();

 private:
  void write_tables(Random& random);
  void write_stage2(Random& random);
  void write_vectors(Random& random, uint64_t at, bool of_el2);
  void prepare(Random& random);
  void prepare_el2(Random& random);
  void disturb(Random& random);
  class Sink final : public ExitSink {
   public:
    explicit Sink(FuzzMachine& machine) : machine_(machine) {}
    Answer handle(const Exit& exit, CpuView& view) override { return machine_.serve(exit, view); }

   private:
    FuzzMachine& machine_;
  };
  Answer serve(const Exit& exit, CpuView& view);
  Answer data_abort(const Exit& exit, CpuView& view);
  Answer fault(const Exit& exit, uint8_t ec);
  bool system_register(const Exit& exit, CpuView& view);

  GuestMemory memory_;
  Stage2 stage2_;
  FuzzClock clock_;
  Bus bus_;
  FuzzDevice device_;
  EmulateContext emulate_;
  std::unique_ptr<soft::SoftMachine> machine_;
  // With EL2: a GIC whose virtual interrupts reach the CPU.
  struct Lines;
  soft::El2Choice el2_;
  std::unique_ptr<Gicv3> gic_;
  std::unique_ptr<Lines> lines_;
  Sink sink_{*this};
  // Of the program that runs.
  Random* random_ = nullptr;
  Totals* totals_ = nullptr;
  ExitKind last_ = ExitKind::kBudget;
};

}  // namespace trapline::fuzz

#endif  // TRAPLINE_TOOLS_FUZZ_CPU_FUZZ_MACHINE_H_
