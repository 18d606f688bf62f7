#include "vmm/exit/psci.h"

#include <gtest/gtest.h>

#include <vector>

namespace trapline {
namespace {

class FakePower : public PowerControl {
 public:
  unsigned cpu_count() const override { return 4; }
  Power power(unsigned cpu) override { return states[cpu]; }
  bool cpu_on(unsigned cpu, uint64_t entry, uint64_t context) override {
    if (states[cpu] != Power::kOff) return false;
    states[cpu] = Power::kOnPending;
    last_entry = entry;
    last_context = context;
    return true;
  }
  bool is_guest_memory(uint64_t ipa) const override { return ipa - 0x40000000 < 0x1000000; }

  Power states[4] = {Power::kOn, Power::kOff, Power::kOff, Power::kOff};
  uint64_t last_entry = 0, last_context = 0;
};

uint64_t call(FakePower& power, uint64_t x0, uint64_t x1 = 0, uint64_t x2 = 0, uint64_t x3 = 0) {
  uint64_t args[4] = {x0, x1, x2, x3};
  PsciResult result = psci_call(power, args);
  EXPECT_EQ(result.action, PsciResult::Action::kReturn);
  return result.value;
}

TEST(Psci, Table) {
  struct {
    uint64_t x0, x1, x2;
    int64_t expected;
  } const kCases[] = {
      {0x84000000, 0, 0, 0x10001},            // PSCI_VERSION 1.1
      {0x80000000, 0, 0, 0x10001},            // SMCCC_VERSION 1.1
      {0x80000001, 0x80000001, 0, -1},        // SMCCC_ARCH_FEATURES: nothing
      {0x8400000a, 0xc4000003, 0, 0},         // PSCI_FEATURES(CPU_ON)
      {0x8400000a, 0x80000000, 0, 0},         // PSCI_FEATURES(SMCCC_VERSION)
      {0x8400000a, 0x84000007, 0, -1},        // MIGRATE_INFO_UP_CPU
      {0x84000006, 0, 0, 2},                  // MIGRATE_INFO_TYPE
      {0xc4000004, 0, 0, 0},                  // AFFINITY_INFO of a running CPU
      {0xc4000004, 1, 0, 1},                  // ... of one that is off
      {0xc4000004, 7, 0, -2},                 // ... of none
      {0xc4000004, 1, 1, 0},                  // ... of the cluster
      {0xc4000003, 9, 0x40000000, -2},        // CPU_ON of none
      {0xc4000003, 1, 0x80000000, -9},        // ... at no memory
      {0xc4000003, 1, 0x40000002, -9},        // ... unaligned
      {0xc4000003, 0, 0x40000000, -4},        // ... of one that is on
      {0xc4000001, 0x10000, 0x80000000, -9},  // CPU_SUSPEND, power-down, bad entry
      {0xc4000012, 5, 0, -2},                 // SYSTEM_RESET2, vendor type
      {0x12345678, 0, 0, -1},
      {0xffffffffffffffff, 0, 0, -1},
  };
  for (const auto& c : kCases) {
    FakePower power;
    EXPECT_EQ(static_cast<int64_t>(call(power, c.x0, c.x1, c.x2)), c.expected)
        << std::hex << c.x0 << " " << c.x1;
  }
}

TEST(Psci, CpuOn) {
  FakePower power;
  EXPECT_EQ(call(power, 0xc4000003, 2, 0x40001000, 0xfeedfacecafebeef), 0u);
  EXPECT_EQ(power.last_entry, 0x40001000u);
  EXPECT_EQ(power.last_context, 0xfeedfacecafebeefu);
  EXPECT_EQ(static_cast<int64_t>(call(power, 0xc4000003, 2, 0x40001000)), -5);  // ON_PENDING
  // The 32-bit convention passes 32-bit arguments.
  EXPECT_EQ(call(power, 0x84000003, 0xdead000000000003, 0xdead000040001000, 0xffff00000001), 0u);
  EXPECT_EQ(power.last_entry, 0x40001000u);
  EXPECT_EQ(power.last_context, 1u);
}

TEST(Psci, Actions) {
  struct {
    uint64_t x0, x1, x2;
    PsciResult::Action expected;
  } const kCases[] = {
      {0x84000008, 0, 0, PsciResult::Action::kSystemOff},
      {0x84000009, 0, 0, PsciResult::Action::kSystemReset},
      {0xc4000012, 0, 0, PsciResult::Action::kSystemReset},
      {0x84000002, 0, 0, PsciResult::Action::kCpuOff},
      {0xc4000001, 0, 0, PsciResult::Action::kSuspend},
      {0xc4000001, 0x10000, 0x40000000, PsciResult::Action::kSuspendEntry},
  };
  for (const auto& c : kCases) {
    FakePower power;
    uint64_t args[4] = {c.x0, c.x1, c.x2, 0};
    EXPECT_EQ(psci_call(power, args).action, c.expected) << std::hex << c.x0;
  }
}

}  // namespace
}  // namespace trapline
