// What stands behind an exit whose cost alone is asked for. For bench_exit and bench_cpu.
#ifndef TRAPLINE_BENCH_NULL_DEVICE_H_
#define TRAPLINE_BENCH_NULL_DEVICE_H_

#include "mmio/device.h"
#include "vmm/exit/psci.h"

namespace trapline::bench {

// A register that does nothing: what is left is the exit.
class NullDevice final : public Device {
 public:
  MmioResult read(uint64_t, unsigned, unsigned) override { return {}; }
  MmioResult write(uint64_t, unsigned, uint64_t, unsigned) override { return {}; }
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return "null"; }
};

// One CPU, which is on.
class NoPower final : public PowerControl {
 public:
  unsigned cpu_count() const override { return 1; }
  Power power(unsigned) override { return Power::kOn; }
  bool cpu_on(unsigned, uint64_t, uint64_t) override { return false; }
  bool is_guest_memory(uint64_t) const override { return false; }
};

}  // namespace trapline::bench

#endif  // TRAPLINE_BENCH_NULL_DEVICE_H_
