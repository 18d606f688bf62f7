// The virtual CPU interface by its number of list registers (IHI 0069, 12.4).
#include "devices/gicv3/virtual_interface.h"
#include "mmio/state.h"
#include "tests/devices/gicv3/gic_fixture.h"

namespace trapline::gicv3 {
namespace {

constexpr uint64_t kHcrEn = 1, kHcrUie = 2, kHcrNpie = 8;
constexpr uint64_t kVmcrOpen = uint64_t{0xff} << 24 | 3;  // VPMR, VENG1, VENG0

class ListRegisters : public testing::TestWithParam<unsigned> {
 protected:
  ListRegisters() : gic(2, 32, count()) {
    gic.connect_virtual(0, &virq, &vfiq);
    gic.connect_cpu(0, &irq, nullptr);
    set(kIchVmcr, kVmcrOpen);
    set(kIchHcr, kHcrEn);
  }
  static unsigned count() { return GetParam(); }
  static SysregId lr(unsigned n) { return static_cast<SysregId>(kIchLr0 + n); }
  static uint64_t pending(uint32_t intid, uint8_t priority) {
    return ListRegister::kPending | ListRegister::kGroup | uint64_t{priority} << 48 | intid;
  }
  uint64_t get(SysregId id) {
    uint64_t value = 0xdead;
    EXPECT_TRUE(gic.cpu_interface().sysreg_read(id, 0, value));
    return value;
  }
  void set(SysregId id, uint64_t value) {
    EXPECT_TRUE(gic.cpu_interface().sysreg_write(id, 0, value));
  }
  uint64_t all() const { return (uint64_t{1} << count()) - 1; }

  FakeLine virq, vfiq, irq;
  Gicv3 gic;
};

TEST_P(ListRegisters, AsManyAsAreSaid) {
  EXPECT_EQ(get(kIchVtr) & 31, count() - 1);
  EXPECT_EQ(get(kIchElrsr), all());
  uint64_t value;
  for (unsigned n = 0; n < 16; ++n) {
    EXPECT_EQ(gic.cpu_interface().sysreg_read(lr(n), 0, value), n < count()) << n;
    EXPECT_EQ(gic.cpu_interface().sysreg_write(lr(n), 0, 0), n < count()) << n;
  }
}

// All in use: each is taken in the order of its priority, and ELRSR, EISR and the lines follow.
TEST_P(ListRegisters, FullAndEmptiedByPriority) {
  for (unsigned n = 0; n < count(); ++n) {
    set(lr(n), pending(100 + n, static_cast<uint8_t>(0x80 - 8 * n)) | ListRegister::kEoi);
    EXPECT_TRUE(virq.level);
  }
  EXPECT_EQ(get(kIchElrsr), 0u);
  for (unsigned n = count(); n-- > 0;) {
    EXPECT_EQ(get(icv_id(kIccIar1)), 100 + n);
    EXPECT_FALSE(virq.level) << "what is left has a lower priority than what runs";
    EXPECT_EQ(get(lr(n)) & ListRegister::kStateMask, ListRegister::kActive);
    set(icv_id(kIccEoir1), 100 + n);
    EXPECT_EQ(get(kIchEisr), all() & ~((uint64_t{1} << n) - 1)) << "EOI is to be told";
    EXPECT_EQ(get(kIchElrsr), 0u) << "until the hypervisor has taken note";
    EXPECT_EQ(virq.level, n != 0);
  }
  for (unsigned n = 0; n < count(); ++n) set(lr(n), 0);
  EXPECT_EQ(get(kIchElrsr), all());
  EXPECT_EQ(get(kIchEisr), 0u);
  EXPECT_EQ(get(icv_id(kIccIar1)), 1023u);
}

// Underflow: none or one is valid. With one list register that is always so.
TEST_P(ListRegisters, Underflow) {
  set(kIchHcr, kHcrEn | kHcrUie);
  for (unsigned valid = 0; valid <= count(); ++valid) {
    for (unsigned n = 0; n < count(); ++n) {
      set(lr(n), n < valid ? pending(100 + n, 0x80) : 0);
    }
    EXPECT_EQ(get(kIchMisr), valid <= 1 ? kHcrUie : 0) << valid;
  }
  // An active one is valid, too; one that is pending and active is not "pending" for NPIE.
  set(kIchHcr, kHcrEn | kHcrUie | kHcrNpie);
  for (unsigned n = 0; n < count(); ++n) {
    set(lr(n), pending(100 + n, 0x80) | ListRegister::kActive);
  }
  EXPECT_EQ(get(kIchMisr), kHcrNpie | (count() == 1 ? kHcrUie : 0));
}

// EOI of what no list register holds is counted, however many there are.
TEST_P(ListRegisters, EoiCount) {
  set(lr(0), pending(100, 0x80));
  EXPECT_EQ(get(icv_id(kIccIar1)), 100u);
  set(lr(0), pending(101, 0xc0));  // the active one was moved out
  set(icv_id(kIccEoir1), 100);
  EXPECT_EQ(get(kIchHcr) >> 27, 1u);
  EXPECT_EQ(get(kIchAp1r0), 0u) << "the priority dropped";
}

TEST_P(ListRegisters, SaveAndLoad) {
  for (unsigned n = 0; n < count(); ++n) set(lr(n), pending(100 + n, static_cast<uint8_t>(8 * n)));
  EXPECT_EQ(get(icv_id(kIccIar1)), 100u);
  StateWriter out;
  gic.redistributors().save(out);
  for (const unsigned other : {0u, 1u, 4u, 8u, 16u}) {
    Gicv3 loaded(2, 32, other);
    StateReader in(out.buffer().data(), out.buffer().size());
    EXPECT_EQ(loaded.redistributors().load(in), other == count()) << other;
    if (other != count()) continue;
    for (const SysregId id : {lr(0), lr(count() - 1), kIchHcr, kIchVmcr, kIchAp1r0}) {
      uint64_t value = 0;
      EXPECT_TRUE(loaded.cpu_interface().sysreg_read(id, 0, value));
      EXPECT_EQ(value, get(id));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Counts, ListRegisters, testing::Values(1u, 4u, 8u, 16u));

}  // namespace
}  // namespace trapline::gicv3
