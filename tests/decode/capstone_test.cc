// Capstone 4 as a decoder: it agrees with the native one on every form that it knows, and what it
// does not know is decoded natively and counted.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "decode/access_text.h"
#include "decode/capstone_adapter.h"
#include "tests/decode/oracle_compare.h"

namespace trapline {
namespace {

TEST(Capstone, AgreesOnEveryOpcode) {
  CapstoneDecoder capstone;
  ASSERT_TRUE(capstone.ok());
  std::mt19937_64 random(7);
  uint64_t compared = 0, different = 0;
  for (uint32_t opcode = 0; opcode < test::kOpcodes; ++opcode) {
    for (uint32_t i = 0; i < 8; ++i) {
      const uint64_t r = random();
      const uint32_t rm = i & 1 ? 31 : r & 31, rn = r >> 5 & 31, rt = i == 2 ? rn : r >> 10 & 31;
      const uint32_t word = test::group_word(opcode, rm, rn, rt);
      Access theirs, ours;
      const DecodeStatus their_status = capstone.decode(word, theirs);
      if (capstone.last_was_native()) continue;
      ++compared;
      const DecodeStatus our_status = decode(word, ours);
      if (their_status == our_status && theirs == ours) continue;
      if (++different < 10) {
        ADD_FAILURE() << std::hex << word << ": " << access_text(theirs) << " / "
                      << access_text(ours) << " / " << capstone.text(word, 0);
      }
    }
  }
  EXPECT_EQ(different, 0u);
  EXPECT_GT(compared, 50'000u);
  EXPECT_EQ(capstone.counts().capstone, compared);
}

struct Fault {
  uint32_t word;
  const char* what;
};

// Capstone 4.0.2's faults: it rejects these, or (RPRFM) says what they meant before.
constexpr Fault kFaults[] = {
    {0xf8400821, "ldtr x1, [x1]: no write-back here, and so nothing unpredictable"},
    {0x38400821, "ldtrb w1, [x1]"},
    {0xf8408421, "ldr x1, [x1], #8: CONSTRAINED UNPREDICTABLE, not unallocated"},
    {0xa9400441, "ldp x1, x1, [x2]: likewise"},
    {0xf8a2483c, "rprfm pldstrm, x2, [x1]"},
    {0xf8e10062, "ldaddal: Armv8.1"},
    {0xc89f7c41, "stllr: Armv8.1"},
    {0x78bfc041, "ldaprh: Armv8.3"},
    {0xf8600c41, "ldraa: Armv8.3"},
    {0x19900041, "ldapursb: Armv8.4"},
    {0xd930043f, "stg: Armv8.5"},
    {0xf83fd034, "ld64b: Armv8.7"},
    {0x1901d440, "cpyfpwtn: Armv8.8"},
    {0x19e21061, "ldclrpal: Armv9.4"},
    {0x99420861, "ldiapp: Armv8.9"},
    {0xd50b7d3f, "dc cvadp: printed as SYS"},
};

TEST(Capstone, FaultsFallToTheNativeDecoder) {
  CapstoneDecoder capstone;
  uint64_t native = 0;
  for (const Fault& row : kFaults) {
    SCOPED_TRACE(row.what);
    Access theirs, ours;
    EXPECT_EQ(decode(row.word, ours), DecodeStatus::kAccess);
    EXPECT_EQ(capstone.decode(row.word, theirs), DecodeStatus::kAccess);
    EXPECT_TRUE(capstone.last_was_native());
    EXPECT_EQ(theirs, ours);
    EXPECT_EQ(capstone.counts().unknown + capstone.counts().incomplete, ++native);
  }
  EXPECT_EQ(capstone.counts().incomplete, 2u);  // RPRFM and DC CVADP
  Access access;
  EXPECT_EQ(capstone.decode(0xf9400841, access), DecodeStatus::kAccess);
  EXPECT_FALSE(capstone.last_was_native());
}

TEST(Capstone, SystemInstructions) {
  struct Row {
    uint32_t word;
    DecodeStatus status;
  };
  constexpr Row kRows[] = {
      {0xd50b7423, DecodeStatus::kAccess},     // dc zva
      {0xd5087623, DecodeStatus::kAccess},     // dc ivac
      {0xd50b7a23, DecodeStatus::kAccess},     // dc cvac
      {0xd50b7b23, DecodeStatus::kAccess},     // dc cvau
      {0xd50b7e23, DecodeStatus::kAccess},     // dc civac
      {0xd50b7523, DecodeStatus::kAccess},     // ic ivau
      {0xd5087643, DecodeStatus::kNotMemory},  // dc isw
      {0xd508751f, DecodeStatus::kNotMemory},  // ic iallu
      {0x8b020020, DecodeStatus::kNotMemory},  // add
  };
  CapstoneDecoder capstone;
  for (const Row& row : kRows) {
    SCOPED_TRACE(testing::Message() << std::hex << row.word);
    Access theirs, ours;
    EXPECT_EQ(capstone.decode(row.word, theirs), row.status);
    EXPECT_EQ(decode(row.word, ours), row.status);
    EXPECT_EQ(theirs, ours);
    EXPECT_FALSE(capstone.last_was_native());
  }
}

TEST(Capstone, Text) {
  CapstoneDecoder capstone;
  EXPECT_EQ(capstone.text(0xb80047e3, 0), "str w3, [sp], #4");
  EXPECT_EQ(capstone.text(0x58000043, 0x1000), "ldr x3, #0x1008");
  EXPECT_EQ(capstone.text(0xd503201f, 0), "nop");
  EXPECT_EQ(capstone.text(0xf8e10062, 0), "");  // LSE
}

}  // namespace
}  // namespace trapline
