#include "vmm/vcpu/syndrome.h"

#include <gtest/gtest.h>

namespace trapline {
namespace {

constexpr uint64_t esr(unsigned sas, bool sse, unsigned srt, bool sf, bool ar, bool wnr) {
  return uint64_t{0x24} << 26 | 1u << 25 | 1u << 24 | sas << 22 | unsigned{sse} << 21 | srt << 16 |
         unsigned{sf} << 15 | unsigned{ar} << 14 | unsigned{wnr} << 6 | 0x07;
}

TEST(DataAbort, EveryFieldFromItsOwnBits) {
  for (unsigned bit = 0; bit < 25; ++bit) {
    DataAbort abort{uint64_t{1} << bit};
    EXPECT_EQ(abort.valid(), bit == 24) << bit;
    EXPECT_EQ(abort.size_log2(), bit == 22 ? 1 : bit == 23 ? 2 : 0) << bit;
    EXPECT_EQ(abort.sign_extend(), bit == 21) << bit;
    EXPECT_EQ(abort.rt(), bit >= 16 && bit < 21 ? 1u << (bit - 16) : 0u) << bit;
    EXPECT_EQ(abort.sixty_four(), bit == 15) << bit;
    EXPECT_EQ(abort.acquire_release(), bit == 14) << bit;
    EXPECT_EQ(abort.far_not_valid(), bit == 10) << bit;
    EXPECT_EQ(abort.external(), bit == 9) << bit;
    EXPECT_EQ(abort.cache_maintenance(), bit == 8) << bit;
    EXPECT_EQ(abort.s1ptw(), bit == 7) << bit;
    EXPECT_EQ(abort.write(), bit == 6) << bit;
    EXPECT_EQ(abort.dfsc(), bit < 6 ? 1u << bit : 0u) << bit;
  }
}

TEST(AccessFromSyndrome, Table) {
  struct {
    uint64_t esr;
    Op op;
    unsigned bytes, rt;
    SignExtend sign;
    bool acquire, release;
  } const kCases[] = {
      {esr(2, false, 3, false, false, false), Op::kLoad, 4, 3, SignExtend::kNone, false, false},
      {esr(0, true, 31, false, false, false), Op::kLoad, 1, 31, SignExtend::kTo32, false, false},
      {esr(2, true, 30, true, false, false), Op::kLoad, 4, 30, SignExtend::kTo64, false, false},
      {esr(3, false, 0, true, true, false), Op::kLoad, 8, 0, SignExtend::kNone, true, false},
      {esr(1, false, 7, false, true, true), Op::kStore, 2, 7, SignExtend::kNone, false, true},
      {esr(3, false, 31, true, false, true), Op::kStore, 8, 31, SignExtend::kNone, false, false},
  };
  for (const auto& c : kCases) {
    Access access = access_from_syndrome(DataAbort{c.esr});
    EXPECT_EQ(access.op, c.op);
    EXPECT_EQ(access.bytes(), c.bytes);
    EXPECT_EQ(access.rt, c.rt);
    EXPECT_EQ(access.sign, c.sign);
    EXPECT_EQ(access.acquire, c.acquire);
    EXPECT_EQ(access.release, c.release);
    EXPECT_FALSE(access.writes_back());
  }
}

// Over all that a syndrome can say and an instruction can be: its access says the same again.
TEST(IssOf, IsTheInverse) {
  unsigned instructions = 0;
  for (uint32_t bits = 0; bits < 2048; ++bits) {
    const uint32_t iss = iss::kIsv | (bits & 0x3ff) << 14 | (bits >> 10) << 6;
    const DataAbort abort{iss};
    const Access access = access_from_syndrome(abort);
    const uint32_t built = iss_of(access);
    const bool store = abort.write();
    // What no instruction is: sign-extended stores and doublewords, a sign from 32 to 32 bits, and
    // an SF that is not the register's.
    const bool real = !(store && abort.sign_extend()) &&
                      !(abort.sign_extend() && abort.size_log2() == 3) &&
                      !(abort.sign_extend() && !abort.sixty_four() && abort.size_log2() == 2) &&
                      (abort.sign_extend() || abort.sixty_four() == (abort.size_log2() == 3));
    if (!real) continue;
    ++instructions;
    EXPECT_EQ(built, iss & ~uint32_t{iss::kWnr}) << std::hex << iss;
    EXPECT_EQ(access_from_syndrome(DataAbort{built | (store ? iss::kWnr : 0)}), access);
  }
  // 32 registers, with and without AR: 4 stores, 4 loads, 5 that extend a sign.
  EXPECT_EQ(instructions, 2u * 32 * (4 + 4 + 5));
}

TEST(IssOf, NoSyndromeWhereHardwareReportsNone) {
  Access access{};
  access.op = Op::kLoad;
  access.size_log2 = 2;
  access.count = 1;
  access.mode = AddressMode::kOffset;
  EXPECT_NE(iss_of(access), 0u);
  const auto without = [&access](auto change) {
    Access changed = access;
    change(changed);
    return iss_of(changed);
  };
  EXPECT_EQ(without([](Access& a) { a.mode = AddressMode::kPreIndex; }), 0u);
  EXPECT_EQ(without([](Access& a) { a.mode = AddressMode::kPostIndex; }), 0u);
  EXPECT_EQ(without([](Access& a) { a.count = 2; }), 0u);
  EXPECT_EQ(without([](Access& a) { a.vector = 1; }), 0u);
  EXPECT_EQ(without([](Access& a) { a.op = Op::kLoadExclusive; }), 0u);
  EXPECT_EQ(without([](Access& a) { a.op = Op::kAtomicAdd; }), 0u);
}

}  // namespace
}  // namespace trapline
