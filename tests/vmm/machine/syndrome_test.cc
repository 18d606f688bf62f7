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

}  // namespace
}  // namespace trapline
