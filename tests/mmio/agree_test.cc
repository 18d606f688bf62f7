// Design rule 1: what may and what may not be emulated for a syndrome.
#include "mmio/agree.h"

#include "tests/mmio/table.h"

namespace trapline::test {
namespace {

TEST(Agree, WithTheSyndrome) {
  const struct {
    uint32_t word;
    const char* text;
    const char* state;
    bool wnr;
    uint64_t far;
    bool agrees;
  } kCases[] = {
      // Direction.
      {0xb9400020, "ldr w0, [x1]", "x1=9000010", false, 0x9000010, true},
      {0xb9400020, "ldr w0, [x1]", "x1=9000010", true, 0x9000010, false},
      {0xb9000020, "str w0, [x1]", "x1=9000010", true, 0x9000010, true},
      {0xb9000020, "str w0, [x1]", "x1=9000010", false, 0x9000010, false},
      {0xb8208022, "swp w0, w2, [x1]", "x1=9000010", false, 0x9000010, true},
      {0xb8208022, "swp w0, w2, [x1]", "x1=9000010", true, 0x9000010, true},
      {0x48207c82, "casp x0, x1, x2, x3, [x4]", "x4=9000010", false, 0x9000018, true},
      {0x885f7c20, "ldxr w0, [x1]", "x1=9000010", true, 0x9000010, false},
      {0x88037c20, "stxr w3, w0, [x1]", "x1=9000010", true, 0x9000010, true},
      {0xf9800020, "prfm pldl1keep, [x1]", "x1=9000010", false, 0x9000010, false},
      {0xd9200820, "stg x0, [x1]", "x1=9000010", true, 0x9000018, true},
      {0xd9600020, "ldg x0, [x1]", "x1=9000018", false, 0x9000010, true},
      {0xd50b7e21, "dc civac, x1", "x1=9000018", true, 0x9000018, true},
      {0xd50b7e21, "dc civac, x1", "x1=9000018", true, 0x9000010, false},
      // Address.
      {0xb9400020, "ldr w0, [x1]", "x1=9000010", false, 0x9000013, true},
      {0xb9400020, "ldr w0, [x1]", "x1=9000010", false, 0x9000014, false},
      {0xb9400020, "ldr w0, [x1]", "x1=9000010", false, 0x900000f, false},
      {0xb8408c20, "ldr w0, [x1, #8]!", "x1=9000010", false, 0x9000018, true},
      {0xb8408420, "ldr w0, [x1], #8", "x1=9000010", false, 0x9000018, false},
      {0xa9400820, "ldp x0, x2, [x1]", "x1=9000ff8", false, 0x9001000, true},
      {0xa9400820, "ldp x0, x2, [x1]", "x1=9000ff8", false, 0x9001008, false},
      {0x4c000020, "st4 {v0.16b-v3.16b}, [x1]", "x1=9000000", true, 0x900003f, true},
      {0x4c000020, "st4 {v0.16b-v3.16b}, [x1]", "x1=9000000", true, 0x9000040, false},
      // The tag is stripped, on either side.
      {0xb9400020, "ldr w0, [x1]", "x1=5500000009000010", false, 0x9000010, true},
      {0xb9400020, "ldr w0, [x1]", "x1=9000010", false, 0x5500000009000010, true},
      {0xb9400020, "ldr w0, [x1]", "x1=0080000009000010", false, 0xff80000009000010, false},
      {0xf8200420, "ldraa x0, [x1]", "x1=55000009000010", false, 0x9000010, true},
      // DC ZVA: the block; MOPS: what is left, on the side of WnR.
      {0xd50b7421, "dc zva, x1", "x1=900007f", true, 0x900007f, true},
      {0xd50b7421, "dc zva, x1", "x1=900007f", true, 0x9000040, true},
      {0xd50b7421, "dc zva, x1", "x1=900007f", true, 0x9000080, false},
      {0x19410440, "cpyfm [x0]!, [x1]!, x2!", "nzcv=20000000 x0=9000010 x1=9001010 x2=20", true,
       0x900002f, true},
      {0x19410440, "cpyfm [x0]!, [x1]!, x2!", "nzcv=20000000 x0=9000010 x1=9001010 x2=20", false,
       0x900002f, false},
      {0x19410440, "cpyfm [x0]!, [x1]!, x2!", "x0=9000030 x1=9001030 x2=ffffffffffffffe0", false,
       0x9001010, true},
      {0x19c14440, "setm [x0]!, x2!, x1", "x0=9000030 x2=ffffffffffffffe0", true, 0x900000f, false},
      {0x19c14440, "setm [x0]!, x2!, x1", "x0=9000030 x2=ffffffffffffffe0", false, 0x9000010,
       false},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(std::string(c.text) + " " + c.state + " far " + hex(c.far));
    Machine machine;
    machine.set(c.state);
    Access access;
    ASSERT_EQ(decode(c.word, access), DecodeStatus::kAccess);
    const uint64_t va = effective_address(access, machine.view);
    EXPECT_EQ(agrees_with_syndrome(access, va, c.wnr, true, c.far, machine.view), c.agrees);
    // Without a FAR (KVM) only the direction counts.
    EXPECT_EQ(agrees_with_syndrome(access, va, c.wnr, false, ~c.far, machine.view),
              c.agrees || (c.wnr ? writes_memory(access.op) || access.op == Op::kCacheMaintenance
                                 : reads_memory(access.op)));
  }
}

// Where the IPA is known to the byte, and FAR is not. Translation is the identity here.
TEST(Agree, WithTheIpa) {
  const struct {
    uint32_t word;
    const char* text;
    const char* state;
    bool wnr;
    uint64_t ipa;
    bool agrees;
  } kCases[] = {
      {0xb8404420, "ldr w0, [x1], #4", "x1=9000010", false, 0x9000010, true},
      {0xb8404420, "ldr w0, [x1], #4", "x1=9000010", true, 0x9000010, false},
      {0xb8404420, "ldr w0, [x1], #4", "x1=9000010", false, 0x9000013, true},
      {0xb8404420, "ldr w0, [x1], #4", "x1=9000010", false, 0x9000014, false},
      {0xb8404420, "ldr w0, [x1], #4", "x1=9000010", false, 0x9001010, false},  // another page
      {0xa9400820, "ldp x0, x2, [x1]", "x1=9000ff8", false, 0x9001000, true},   // its second half
      {0xa9400820, "ldp x0, x2, [x1]", "x1=9000ff8", false, 0x9000000, false},
      {0xb8208022, "swp w0, w2, [x1]", "x1=9000010", false, 0x9000010, true},
      {0xd50b7421, "dc zva, x1", "x1=900007f", true, 0x9000040, true},
      {0xd50b7421, "dc zva, x1", "x1=900007f", true, 0x9000080, false},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(std::string(c.text) + " " + c.state + " ipa " + hex(c.ipa));
    Machine machine;
    machine.set(c.state);
    Access access;
    ASSERT_EQ(decode(c.word, access), DecodeStatus::kAccess);
    const uint64_t va = effective_address(access, machine.view);
    EXPECT_EQ(agrees_with_ipa(access, va, c.wnr, c.ipa, machine.view), c.agrees);
    if (!c.agrees) continue;
    EXPECT_EQ(machine.view.known_va_page, c.ipa & ~uint64_t{0xfff});
    EXPECT_EQ(machine.view.known_ipa_page, c.ipa & ~uint64_t{0xfff});
  }
}

}  // namespace
}  // namespace trapline::test
