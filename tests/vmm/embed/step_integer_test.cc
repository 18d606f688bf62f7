// The stepper's integer instructions against the software CPU's, one at a time.
#include <gtest/gtest.h>

#include <cstring>
#include <iterator>
#include <random>

#include "tests/vmm/soft/engine_fixture.h"
#include "vmm/embed/stepper.h"

namespace trapline::embed {
namespace {

using soft::Bench;
using soft::kCode;

// Translates nothing and lends nothing: integer instructions need neither.
class RegistersOnly final : public CpuView {
 public:
  Translation translate(uint64_t, unsigned, Direction, bool) override { return {}; }
  uint8_t* ram(uint64_t, Direction) override { return nullptr; }
  void ram_written(uint64_t, unsigned) override {}
};

// Registers with what arithmetic stumbles over.
uint64_t interesting(std::mt19937_64& random) {
  static constexpr uint64_t kEdges[] = {0,
                                        1,
                                        2,
                                        31,
                                        32,
                                        63,
                                        64,
                                        0x7fffffff,
                                        0x80000000,
                                        0xffffffff,
                                        0x100000000,
                                        0x7fffffffffffffff,
                                        0x8000000000000000,
                                        0xffffffff80000000,
                                        0xffffffffffffffff};
  if (random() % 2 == 0) return kEdges[random() % std::size(kEdges)];
  return random() >> random() % 64;
}

class StepInteger : public ::testing::Test {
 protected:
  // Both execute the word; false: the stepper does not take it.
  bool same(uint32_t word) {
    GeneralRegisters regs{};
    for (unsigned i = 0; i < 31; ++i) regs.x[i] = interesting(random_);
    regs.x[kSlotSp] = interesting(random_) & ~uint64_t{15};
    const auto nzcv = static_cast<uint32_t>(random_()) & 0xf0000000;
    RegistersOnly view;
    GeneralRegisters stepped = regs;
    view.regs = &stepped;
    view.pc = kCode;
    view.nzcv = nzcv;
    if (!step_integer(word, view)) return false;

    soft::Cpu& cpu = bench_.cpu();
    soft::SoftVcpu& vcpu = bench_.vcpu();
    bench_.put(kCode, {word});
    std::memcpy(cpu.r.x, regs.x, sizeof(uint64_t) * 33);
    constexpr uint64_t kEl1h = 0x3c5;
    vcpu.set_register(kRegPstate, kEl1h | nzcv);
    cpu.pc = kCode;
    const uint64_t retired = cpu.retired;
    const Exit exit = soft::step(vcpu);
    EXPECT_NE(exit.kind, ExitKind::kHvc) << std::hex << word;
    EXPECT_EQ(cpu.retired, retired + 1) << std::hex << word;
    for (unsigned i = 0; i < 31; ++i) {
      EXPECT_EQ(stepped.x[i], cpu.r.x[i]) << std::hex << word << " x" << std::dec << i;
    }
    EXPECT_EQ(stepped.x[kSlotSp], cpu.r.x[kSlotSp]) << std::hex << word;
    EXPECT_EQ(stepped.x[kSlotXzr], 0u);
    EXPECT_EQ(view.pc, cpu.pc) << std::hex << word;
    EXPECT_EQ(view.nzcv, vcpu.get_register(kRegPstate) & 0xf0000000) << std::hex << word;
    return true;
  }

  Bench bench_;
  std::mt19937_64 random_{20261129};
};

TEST_F(StepInteger, RandomWordsOfEachGroup) {
  static constexpr uint32_t kGroups[] = {8, 9, 5, 13, 10, 11};  // bits 28:25
  for (const uint32_t group : kGroups) {
    unsigned taken = 0;
    for (unsigned i = 0; i < 60'000 && taken < 3'000 && !HasFailure(); ++i) {
      const auto word = (static_cast<uint32_t>(random_()) & ~(uint32_t{15} << 25)) | group << 25;
      taken += same(word);
    }
    EXPECT_GE(taken, 1'000u) << "group " << group;
  }
}

// What random words seldom are, or never.
TEST_F(StepInteger, RareEncodings) {
  static constexpr uint32_t kBases[] = {
      0x1ac00800, 0x9ac00800,                          // udiv
      0x1ac00c00, 0x9ac00c00,                          // sdiv
      0x1ac02000, 0x9ac02400, 0x9ac02800, 0x1ac02c00,  // lslv, lsrv, asrv, rorv
      0x5ac00000, 0xdac00000, 0x5ac00400, 0xdac00400, 0x5ac00800, 0xdac00800, 0xdac00c00,
      0x5ac01000, 0xdac01000, 0x5ac01400, 0xdac01400,  // rbit, rev16, rev, rev32, clz, cls
      0x1a000000, 0x3a000000, 0x9a000000, 0xba000000, 0x5a000000, 0x7a000000, 0xda000000,
      0xfa000000,                                      // adc, adcs, sbc, sbcs
      0x3a400000, 0xba400000, 0x7a400800, 0xfa400800,  // ccmn, ccmp
      0x1a800000, 0x9a800400, 0x5a800000, 0xda800400,  // csel, csinc, csinv, csneg
      0x1b000000, 0x9b008000, 0x9b200000, 0x9b208000, 0x9ba00000, 0x9ba08000, 0x9b407c00,
      0x9bc07c00,              // madd, msub, smaddl, smsubl, umaddl, umsubl, smulh, umulh
      0x8b200000, 0xcb200000,  // add, sub extended
      0xd61f0000, 0xd63f0000, 0xd65f0000,  // br, blr, ret
  };
  for (const uint32_t base : kBases) {
    for (unsigned i = 0; i < 200 && !HasFailure(); ++i) {
      const auto random = static_cast<uint32_t>(random_());
      uint32_t registers = (random & 0x1f) | (random & 0x1f << 5);  // Rd, Rn
      const bool one_source = (base & 0x5fe00000) == 0x5ac00000;
      if (!one_source) registers |= random & 0x1f << 16;  // Rm
      if ((base & 0x1f000000) == 0x1b000000 && (base & 0x7c00) == 0) {
        registers |= random & 0x1f << 10;  // Ra
      }
      const bool conditional =
          (base & 0x1fe00000) == 0x1a400000 || (base & 0x1fe00000) == 0x1a800000;
      if (conditional) registers |= random & 0xf << 12;
      if ((base & 0x1fe00000) == 0x1a400000) registers &= ~0x10u;
      if ((base & 0x1f200000) == 0x0b200000)
        registers |= (random & 7) << 13 | (random >> 3 & 3) << 10;
      if ((base & 0xff000000) == 0xd6000000) registers &= 0x1f << 5;
      // A branch to nowhere ends in an abort, which is the same instruction's end.
      EXPECT_TRUE(same(base | registers)) << std::hex << (base | registers);
    }
  }
}

TEST_F(StepInteger, WithoutEffect) {
  for (const uint32_t word :
       std::initializer_list<uint32_t>{0xd503201f, 0xd503203f, 0xd50320bf, 0xd503245f, 0xd5033bbf,
                                       0xd5033f9f, 0xd5033fdf, 0xd503229f}) {
    EXPECT_TRUE(same(word)) << std::hex << word;
  }
}

TEST_F(StepInteger, NotTaken) {
  GeneralRegisters regs{};
  RegistersOnly view;
  view.regs = &regs;
  view.pc = kCode;
  // svc, hvc, eret, wfi, paciasp, mrs, msr, ldr, fadd, crc32b, pacga, udf, clrex, addg
  for (const uint32_t word : std::initializer_list<uint32_t>{
           0xd4000001, 0xd4000002, 0xd69f03e0, 0xd503207f, 0xd503233f, 0xd53be040, 0xd51b4200,
           0xf9400000, 0x1e622820, 0x1ac04000, 0x9ac03000, 0x00000000, 0xd5033f5f, 0x91800000}) {
    EXPECT_FALSE(step_integer(word, view)) << std::hex << word;
    EXPECT_EQ(view.pc, kCode);
  }
}

}  // namespace
}  // namespace trapline::embed
