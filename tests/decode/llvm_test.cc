// A stratified sample of bench_decode_coverage: every opcode of the loads-and-stores group.
#include <gtest/gtest.h>

#include "tests/decode/coverage.h"

namespace trapline::test {
namespace {

TEST(Llvm, EveryOpcodeOfTheGroup) {
  Coverage coverage(20240607);
  if (!coverage.ok()) GTEST_SKIP() << "LLVM has no AArch64 target";
#ifdef __SANITIZE_ADDRESS__
  coverage.run_group(8, 1);
#else
  coverage.run_group(1, 1);
#endif
  coverage.run_system();
  coverage.run_elsewhere(300'000);
  EXPECT_TRUE(coverage.missed.empty());
  EXPECT_TRUE(coverage.different.empty());
  EXPECT_EQ(coverage.over_unexplained, 0u);
  EXPECT_EQ(coverage.accepted, coverage.same);
  EXPECT_GT(coverage.accepted, 50'000u);
  EXPECT_GT(coverage.elsewhere_memory, 0u);
  EXPECT_EQ(coverage.unsupported.count("RCW"), 1u);
  EXPECT_TRUE(coverage.good());
  if (!coverage.good()) coverage.print(stdout);
}

}  // namespace
}  // namespace trapline::test
