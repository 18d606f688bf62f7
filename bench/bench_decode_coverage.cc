// How much of the A64 loads-and-stores group does the decoder know, and is it right?
//
//   bench_decode_coverage [--all-words] [--samples N]
//
// Compares every opcode-bit combination of the group, each with every value of bits 20:16 and N
// random pairs of Rn and Rt (default 32), with LLVM 19; the system instructions by VA; and a random
// sample of the rest of the space for memory accesses (SVE, SME). With --all-words it also runs all
// 2^32 words against the invariants that need no oracle.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/decode/coverage.h"
#include "tests/decode/word_check.h"

using trapline::test::Coverage;

int main(int argc, char** argv) {
  bool all_words = false;
  unsigned samples = 32;
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--all-words")) {
      all_words = true;
    } else if (!std::strcmp(argv[i], "--samples") && i + 1 < argc) {
      samples = static_cast<unsigned>(std::strtoul(argv[++i], nullptr, 10));
    } else {
      fmt::print(stderr, "usage: bench_decode_coverage [--all-words] [--samples N]\n");
      return 1;
    }
  }
  bool good = true;
  if (all_words) {
    const auto start = std::chrono::steady_clock::now();
    const trapline::test::AllWords r = trapline::test::check_words(0, uint64_t{1} << 32, 1);
    const std::chrono::duration<double> t = std::chrono::steady_clock::now() - start;
    fmt::print(
        "all 2^32 words: {} access, {} unsupported, {} unallocated, {} not memory; "
        "{} broken invariants; {:.1f} s, {:.0f} M words/s (checks included)\n",
        r.access, r.unsupported, r.unallocated, r.not_memory, r.broken, t.count(),
        4294.967296 / t.count());
    for (const auto& text : r.examples) fmt::print("  {}\n", text);
    good = good && r.broken == 0;
  }
  Coverage coverage;
  if (!coverage.ok()) {
    fmt::print("LLVM's AArch64 target is not there: nothing to compare with\n");
    return good ? 0 : 1;
  }
  coverage.run_group(1, samples);
  coverage.run_system();
  coverage.run_elsewhere(20'000'000);
  coverage.print(stdout);
  return good && coverage.good() ? 0 : 1;
}
