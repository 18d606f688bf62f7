// A CPU with memory and stage 2 whose engine is a recorder: what the system half asked of it.
#ifndef TRAPLINE_TESTS_VMM_SOFT_SYSTEM_FIXTURE_H_
#define TRAPLINE_TESTS_VMM_SOFT_SYSTEM_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "vmm/soft/cpu.h"
#include "vmm/soft/soft_vcpu.h"

namespace trapline::soft {

// Calls to the engine in their order: "tlbi va 0x1000 asid 5 broadcast", "context", ...
extern std::vector<std::string> g_engine_calls;

class StoppedClock final : public Clock {
 public:
  uint64_t now() override { return 12345; }
  Handle at(uint64_t, std::function<void()>) override { return 0; }
  void cancel(Handle) override {}
};

// RAM of 16 MiB at 0x40000000, read-only memory (flash) of 64 KiB at 0, walk-only memory of 64 KiB
// at 0x100000, everything else unmapped.
class SystemTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kRam = 0x4000'0000;
  static constexpr uint64_t kRamSize = 16 << 20;
  static constexpr uint64_t kFlash = 0;
  static constexpr uint64_t kWalkOnly = 0x10'0000;

  explicit SystemTest(CpuModel model = CpuModel::kBase);

  uint64_t ram(uint64_t ipa) const;
  void set_ram(uint64_t ipa, uint64_t value);
  // MMU on with 4 KiB tables at RAM + 1 MiB; 48-bit regions.
  void mmu_on();
  // A 4 KiB page at level 3.
  void map_page(uint64_t va, uint64_t ipa, uint64_t attributes);

  GuestMemory memory;
  Stage2 stage2;
  StoppedClock clock;
  std::unique_ptr<SoftMachine> machine;
  SoftVcpu* vcpu;
  Cpu& cpu() { return vcpu->cpu(); }

 private:
  uint64_t next_table_ = kRam + 0x10'2000;
};

// Descriptor attributes.
inline constexpr uint64_t kPte = 3 | 1 << 10;  // valid page, AF
inline constexpr uint64_t kPteUser = 1 << 6, kPteReadOnly = 1 << 7;
inline constexpr uint64_t kPteNormal = 1 << 2;  // AttrIndx 1
inline constexpr uint64_t kPteInner = 3 << 8;

}  // namespace trapline::soft

#endif  // TRAPLINE_TESTS_VMM_SOFT_SYSTEM_FIXTURE_H_
