// Loads and stores of one or two registers: LDR, STR, LDP, STP and their relatives.
#include "tests/mmio/table.h"

namespace trapline::test {
namespace {

TEST(Plain, SizesAndSignExtension) {
  check_all({
      {0xf9400020, "ldr x0, [x1]", "x1=9000010", "A.r8@10=1716151413121110", "x0=1716151413121110"},
      {0xb9400020, "ldr w0, [x1]", "x0=ffffffffffffffff x1=9000010", "A.r4@10=13121110",
       "x0=13121110"},
      {0x79400020, "ldrh w0, [x1]", "x0=ffffffffffffffff x1=9000010", "A.r2@10=1110", "x0=1110"},
      {0x39400020, "ldrb w0, [x1]", "x0=ffffffffffffffff x1=9000010", "A.r1@10=10", "x0=10"},
      {0xb9800020, "ldrsw x0, [x1]", "x1=9000010", "A.r4@10=13121110", "x0=13121110"},
      {0xb9800020, "ldrsw x0, [x1]", "x1=90000f0", "A.r4@f0=f3f2f1f0", "x0=fffffffff3f2f1f0"},
      {0x79800020, "ldrsh x0, [x1]", "x1=90000f0", "A.r2@f0=f1f0", "x0=fffffffffffff1f0"},
      {0x79c00020, "ldrsh w0, [x1]", "x1=90000f0", "A.r2@f0=f1f0", "x0=fffff1f0"},
      {0x39800020, "ldrsb x0, [x1]", "x1=9000080", "A.r1@80=80", "x0=ffffffffffffff80"},
      {0x39c00020, "ldrsb w0, [x1]", "x1=9000080", "A.r1@80=80", "x0=ffffff80"},
      {0x39c00020, "ldrsb w0, [x1]", "x1=900007f", "A.r1@7f=7f", "x0=7f"},
      {0xf9000020, "str x0, [x1]", "x0=1122334455667788 x1=9000010", "A.w8@10=1122334455667788",
       ""},
      {0xb9000020, "str w0, [x1]", "x0=1122334455667788 x1=9000010", "A.w4@10=55667788", ""},
      {0x79000020, "strh w0, [x1]", "x0=1122334455667788 x1=9000010", "A.w2@10=7788", ""},
      {0x39000020, "strb w0, [x1]", "x0=1122334455667788 x1=9000010", "A.w1@10=88", ""},
  });
}

TEST(Plain, Register31) {
  check_all({
      {0xf940003f, "ldr xzr, [x1]", "x1=9000010", "A.r8@10=1716151413121110", ""},
      {0xf900003f, "str xzr, [x1]", "x1=9000010", "A.w8@10=0", ""},
      {0xf94007e0, "ldr x0, [sp, #8]", "sp=9000010", "A.r8@18=1f1e1d1c1b1a1918",
       "x0=1f1e1d1c1b1a1918"},
      {0xb80107e0, "str w0, [sp], #16", "x0=5 sp=9000010", "A.w4@10=5", "sp=9000020"},
      {0xa9ff0bff, "ldp xzr, x2, [sp, #-16]!", "sp=9000020",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918", "x2=1f1e1d1c1b1a1918 sp=9000010"},
      {0xf87f6820, "ldr x0, [x1, xzr]", "x1=9000010", "A.r8@10=1716151413121110",
       "x0=1716151413121110"},
      // The alignment check of the stack pointer; not for another base, not for a prefetch.
      {0xf94003e0, "ldr x0, [sp]", "sa=1 sp=9000018", "", "", "fault ec 26"},
      {0xf90007e0, "str x0, [sp, #8]", "sa=1 sp=9000018", "", "", "fault ec 26"},
      {0xf94007e0, "ldr x0, [sp, #8]", "sa=1 sp=9000010", "A.r8@18=1f1e1d1c1b1a1918",
       "x0=1f1e1d1c1b1a1918"},
      {0xf98003e0, "prfm pldl1keep, [sp]", "sa=1 sp=9000018", "", ""},
  });
}

TEST(Plain, Addressing) {
  check_all({
      {0xb9400420, "ldr w0, [x1, #4]", "x1=9000010", "A.r4@14=17161514", "x0=17161514"},
      {0xb85fc020, "ldur w0, [x1, #-4]", "x1=9000018", "A.r4@14=17161514", "x0=17161514"},
      {0xb85fc420, "ldr w0, [x1], #-4", "x1=9000018", "A.r4@18=1b1a1918", "x0=1b1a1918 x1=9000014"},
      {0xb85fcc20, "ldr w0, [x1, #-4]!", "x1=9000018", "A.r4@14=17161514",
       "x0=17161514 x1=9000014"},
      {0xb8004409, "str w9, [x0], #4", "x0=9000010 x9=7", "A.w4@10=7", "x0=9000014"},
      {0xb8080d09, "str w9, [x8, #128]!", "x8=9000010 x9=7", "A.w4@90=7", "x8=9000090"},
      {0xf8627820, "ldr x0, [x1, x2, lsl #3]", "x1=9000010 x2=2", "A.r8@20=2726252423222120",
       "x0=2726252423222120"},
      {0xf8625820, "ldr x0, [x1, w2, uxtw #3]", "x1=9000010 x2=ffffffff00000002",
       "A.r8@20=2726252423222120", "x0=2726252423222120"},
      {0xf862d820, "ldr x0, [x1, w2, sxtw #3]", "x1=9000018 x2=ffffffff",
       "A.r8@10=1716151413121110", "x0=1716151413121110"},
      {0xf862e820, "ldr x0, [x1, x2, sxtx]", "x1=9000018 x2=fffffffffffffff8",
       "A.r8@10=1716151413121110", "x0=1716151413121110"},
      {0x18000080, "ldr w0, #16", "pc=9000000", "A.r4@10=13121110", "x0=13121110"},
      {0x98000780, "ldrsw x0, #240", "pc=9000000", "A.r4@f0=f3f2f1f0", "x0=fffffffff3f2f1f0"},
      {0x9c000080, "ldr q0, #16", "pc=9000000", "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918",
       "v0=1f1e1d1c1b1a1918_1716151413121110"},
      {0xb8404820, "ldtr w0, [x1, #4]", "x1=9000010", "A.r4@14=17161514", "x0=17161514"},
      {0xb8404820, "ldtr w0, [x1, #4]", "x1=900b010", "", "", "fault f 900b014 r"},
      {0xb8004820, "sttr w0, [x1, #4]", "x1=900b010", "", "", "fault f 900b014 w"},
      {0xb9400420, "ldr w0, [x1, #4]", "x1=900b010", "G.r4@14=17161514", "x0=17161514"},
  });
}

// CONSTRAINED UNPREDICTABLE: the write-back comes last; a store takes the base as it was.
TEST(Plain, WriteBackOfTheDataRegister) {
  check_all({
      {0xf8408421, "ldr x1, [x1], #8 ", "x1=9000010", "A.r8@10=1716151413121110", "x1=9000018"},
      {0xf8008421, "str x1, [x1], #8 ", "x1=9000010", "A.w8@10=9000010", "x1=9000018"},
      {0xf8008c21, "str x1, [x1, #8]! ", "x1=9000010", "A.w8@18=9000010", "x1=9000018"},
  });
}

TEST(Plain, Pairs) {
  check_all({
      {0xa9400820, "ldp x0, x2, [x1]", "x1=9000010",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918",
       "x0=1716151413121110 x2=1f1e1d1c1b1a1918"},
      {0x29ff0820, "ldp w0, w2, [x1, #-8]!", "x1=9000018", "A.r4@10=13121110 A.r4@14=17161514",
       "x0=13121110 x1=9000010 x2=17161514"},
      {0x68c10820, "ldpsw x0, x2, [x1], #8", "x1=90000f0", "A.r4@f0=f3f2f1f0 A.r4@f4=f7f6f5f4",
       "x0=fffffffff3f2f1f0 x1=90000f8 x2=fffffffff7f6f5f4"},
      {0xa8410820, "ldnp x0, x2, [x1, #16]", "x1=9000000",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918",
       "x0=1716151413121110 x2=1f1e1d1c1b1a1918"},
      {0xa9810820, "stp x0, x2, [x1, #16]!", "x0=1 x1=9000000 x2=2", "A.w8@10=1 A.w8@18=2",
       "x1=9000010"},
      {0x28bf7c20, "stp w0, wzr, [x1], #-8", "x0=1 x1=9000010", "A.w4@10=1 A.w4@14=0",
       "x1=9000008"},
      {0xad000440, "stp q0, q1, [x2]", "x2=9000020 v0=2_1 v1=4_3",
       "A.w8@20=1 A.w8@28=2 A.w8@30=3 A.w8@38=4", ""},
      {0x6d400440, "ldp d0, d1, [x2]", "x2=9000010 v0=9_9 v1=9_9",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918",
       "v0=0_1716151413121110 v1=0_1f1e1d1c1b1a1918"},
      {0x2d400440, "ldp s0, s1, [x2]", "x2=9000010 v0=9_9 v1=9_9",
       "A.r4@10=13121110 A.r4@14=17161514", "v0=0_13121110 v1=0_17161514"},
  });
}

// A scalar load of a SIMD&FP register zeroes the rest of it; a Q register is two of 8 bytes.
TEST(Plain, Vectors) {
  check_all({
      {0x3d400020, "ldr b0, [x1]", "x1=9000010 v0=9_9999999999999999", "A.r1@10=10", "v0=0_10"},
      {0x7d400020, "ldr h0, [x1]", "x1=9000010 v0=9_9999999999999999", "A.r2@10=1110", "v0=0_1110"},
      {0xbc404420, "ldr s0, [x1], #4", "x1=9000010 v0=9_9999999999999999", "A.r4@10=13121110",
       "x1=9000014 v0=0_13121110"},
      {0xfd400020, "ldr d0, [x1]", "x1=9000010 v0=9_9", "A.r8@10=1716151413121110",
       "v0=0_1716151413121110"},
      {0x3ce2783f, "ldr q31, [x1, x2, lsl #4]", "x1=9000000 x2=1",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918",
       "v31=1f1e1d1c1b1a1918_1716151413121110"},
      {0x3d000020, "str b0, [x1]", "x1=9000010 v0=2_1122334455667788", "A.w1@10=88", ""},
      {0x3c810c20, "str q0, [x1, #16]!", "x1=9000010 v0=2_1", "A.w8@20=1 A.w8@28=2", "x1=9000020"},
      {0xfc1f8020, "stur d0, [x1, #-8]", "x1=9000010 v0=2_1", "A.w8@8=1", ""},
  });
}

TEST(Plain, BigEndian) {
  check_all({
      {0xf9400020, "ldr x0, [x1]", "be=1 x1=9000010", "A.r8@10=1716151413121110",
       "x0=1011121314151617"},
      {0x79800020, "ldrsh x0, [x1]", "be=1 x1=90000f0", "A.r2@f0=f1f0", "x0=fffffffffffff0f1"},
      {0x39400020, "ldrb w0, [x1]", "be=1 x1=9000010", "A.r1@10=10", "x0=10"},
      {0xb9000020, "str w0, [x1]", "be=1 x0=11223344 x1=9000010", "A.w4@10=44332211", ""},
      {0x29000820, "stp w0, w2, [x1]", "be=1 x0=11223344 x1=9000010 x2=1",
       "A.w4@10=44332211 A.w4@14=1000000", ""},
      // Q: the lower address holds the high half.
      {0x3dc00020, "ldr q0, [x1]", "be=1 x1=9000010",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918", "v0=1011121314151617_18191a1b1c1d1e1f"},
      {0x3d800020, "str q0, [x1]", "be=1 x1=9000010 v0=1122334455667788_99aabbccddeeff00",
       "A.w8@10=8877665544332211 A.w8@18=ffeeddccbbaa99", ""},
      {0xf9400020, "ldr x0, [x1]", "be=1 known=9000000 x1=9000010", "A.r8@10=1716151413121110",
       "x0=1011121314151617"},
  });
}

TEST(Plain, Ordered) {
  check_all({
      {0x88dffc20, "ldar w0, [x1]", "x1=9000010", "A.r4@10=13121110", "x0=13121110"},
      {0x48dffc20, "ldarh w0, [x1]", "x1=9000010 known=9000000", "A.r2@10=1110", "x0=1110"},
      {0xc89ffc20, "stlr x0, [x1]", "x0=5 x1=9000010", "A.w8@10=5", ""},
      {0xf8bfc020, "ldapr x0, [x1]", "x1=9000010", "A.r8@10=1716151413121110",
       "x0=1716151413121110"},
      {0x999f8020, "ldapursw x0, [x1, #-8]", "x1=90000f8", "A.r4@f0=f3f2f1f0",
       "x0=fffffffff3f2f1f0"},
      {0x19001020, "stlurb w0, [x1, #1]", "x0=105 x1=9000010", "A.w1@11=5", ""},
      // Unaligned: always a fault, unless FEAT_LSE2 and within 16 bytes.
      {0x88dffc20, "ldar w0, [x1]", "x1=9000012", "", "", "fault 21 9000012 r"},
      {0x889ffc20, "stlr w0, [x1]", "x1=9000012", "", "", "fault 21 9000012 w"},
      {0x99402020, "ldapur w0, [x1, #2]", "x1=9000010", "", "", "fault 21 9000012 r"},
      {0x88dffc20, "ldar w0, [x1]", "lse2=1 x1=9000012", "A.r4@12=15141312", "x0=15141312"},
      {0x88dffc20, "ldar w0, [x1]", "lse2=1 x1=900001e", "", "", "fault 21 900001e r"},
  });
}

// FEAT_LRCPC3, from the descriptions of LDIAPP, STILP, LDAPR, STLR, LDAPUR (SIMD&FP) in C6.2, C7.2.
TEST(Plain, Rcpc3) {
  check_all({
      {0xd9421820, "ldiapp x0, x2, [x1]", "x1=9000010",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918",
       "x0=1716151413121110 x2=1f1e1d1c1b1a1918"},
      {0x99420820, "ldiapp w0, w2, [x1], #8", "x1=9000010", "A.r4@10=13121110 A.r4@14=17161514",
       "x0=13121110 x1=9000018 x2=17161514"},
      {0x99020820, "stilp w0, w2, [x1, #-8]!", "x0=1 x1=9000018 x2=2", "A.w4@10=1 A.w4@14=2",
       "x1=9000010"},
      {0xd9021820, "stilp x0, x2, [x1]", "x0=1 x1=9000010 x2=2", "A.w8@10=1 A.w8@18=2", ""},
      {0xd9c00820, "ldapr x0, [x1], #8", "x1=9000010", "A.r8@10=1716151413121110",
       "x0=1716151413121110 x1=9000018"},
      {0x99800820, "stlr w0, [x1, #-4]!", "x0=1 x1=9000014", "A.w4@10=1", "x1=9000010"},
      {0x1dc00820, "ldapur q0, [x1]", "x1=9000010",
       "A.r8@10=1716151413121110 A.r8@18=1f1e1d1c1b1a1918", "v0=1f1e1d1c1b1a1918_1716151413121110"},
      {0x5d002820, "stlur h0, [x1, #2]", "x1=9000010 v0=1234", "A.w2@12=1234", ""},
      {0x4d418420, "ldap1 {v0.d}[1], [x1]", "x1=9000010 v0=9_8", "A.r8@10=1716151413121110",
       "v0=1716151413121110_8"},
      {0x4d018420, "stl1 {v0.d}[1], [x1]", "x1=9000010 v0=9_8", "A.w8@10=9", ""},
      {0x4d018420, "stl1 {v0.d}[1], [x1]", "x1=9000014 v0=9_8", "", "", "fault 21 9000014 w"},
  });
}

// The base of these carries a PAC. 48-bit addresses with TBI: bits 54:48 are PAC, the tag stays.
TEST(Plain, Authenticated) {
  check_all({
      {0xf8201420, "ldraa x0, [x1, #8]", "x1=55000009000010", "A.r8@18=1f1e1d1c1b1a1918",
       "x0=1f1e1d1c1b1a1918"},
      {0xf8fffc20, "ldrab x0, [x1, #-8]!", "x1=aa55000009000018", "A.r8@10=1716151413121110",
       "x0=1716151413121110 x1=aa00000009000010"},
      {0xf8200c20, "ldraa x0, [x1]!", "x1=55000009000010", "A.r8@10=1716151413121110",
       "x0=1716151413121110 x1=9000010"},
  });
  FakeView view;
  view.tbi_lower = view.tbi_upper = false;
  view.va_bits_lower = 39;
  view.va_bits_upper = 42;
  Access access;
  ASSERT_EQ(decode(0xf8200420, access), DecodeStatus::kAccess);  // ldraa x0, [x1]
  view.general.x[1] = 0x7f55'5555'1234'5678;
  EXPECT_EQ(effective_address(access, view), 0x0000'0055'1234'5678u);
  view.general.x[1] = 0x12d5'5155'1234'5678;
  EXPECT_EQ(effective_address(access, view), 0xffff'fd55'1234'5678u);
  view.tbi_upper = true;
  EXPECT_EQ(effective_address(access, view), 0x12ff'fd55'1234'5678u);
}

TEST(Plain, NoEffect) {
  check_all({
      {0xf9800020, "prfm pldl1keep, [x1]", "x1=9003000", "", ""},
      {0xf8801020, "prfum pldl1keep, [x1, #1]", "x1=9000000", "", ""},
      {0xd50b7a21, "dc cvac, x1", "x1=9000010", "", ""},
      {0xd50b7e21, "dc civac, x1", "x1=9003010", "", ""},
      {0xd50b7521, "ic ivau, x1", "x1=9000010", "", ""},
  });
}

// The page that the hardware translated needs no walk, and a tag does not hide it.
TEST(Plain, KnownPage) {
  for (const uint32_t word : {0xf9400020u, 0xf9000020u, 0xa9400820u, 0x3dc00020u}) {
    Machine machine;
    machine.set("x1=9000010 known=9000000");
    EXPECT_EQ(machine.run(word), "done");
    EXPECT_EQ(machine.view.translations, 0u);
    machine.set("x1=5500000009000010 known=5500000009000000");
    machine.view.known_ipa_page = kBase;
    EXPECT_EQ(machine.run(word), "done");
    EXPECT_EQ(machine.view.translations, 0u);
    machine.set("x1=5500000009000010");
    machine.view.known_va_page = ~uint64_t{0};
    EXPECT_EQ(machine.run(word), "done");
    EXPECT_EQ(machine.view.translations, 1u);
  }
}

TEST(Plain, ExtensionsOfNarrowDeviceValues) {
  // A device may answer with more bits than it was asked for: they are dropped.
  class Wide final : public Device {
   public:
    MmioResult read(uint64_t, unsigned, unsigned) override { return {~uint64_t{0}, false}; }
    MmioResult write(uint64_t, unsigned, uint64_t, unsigned) override { return {}; }
    void reset() override {}
    void save(StateWriter&) const override {}
    bool load(StateReader&) override { return true; }
    std::string_view name() const override { return "wide"; }
  } wide;
  Machine machine;
  Bus bus;
  ASSERT_EQ(bus.add(kBase, 0x1000, &wide), "");
  for (const bool known : {false, true}) {
    machine.context.hint = {};
    machine.set(known ? "x1=9000010 known=9000000" : "x1=9000010");
    Access access;
    ASSERT_EQ(decode(0x79400020, access), DecodeStatus::kAccess);  // ldrh w0, [x1]
    emulate(access, kBase + 0x10, machine.view, &bus, machine.context);
    EXPECT_EQ(machine.view.general.x[0], 0xffffu);
  }
}

}  // namespace
}  // namespace trapline::test
