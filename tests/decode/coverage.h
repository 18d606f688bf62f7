// The decoder held against LLVM 19 over the encoding space, with figures.
#ifndef TRAPLINE_TESTS_DECODE_COVERAGE_H_
#define TRAPLINE_TESTS_DECODE_COVERAGE_H_

#include <cstdint>
#include <cstdio>
#include <map>
#include <random>
#include <string>

#include "tests/decode/llvm_oracle.h"

namespace trapline::test {

class Coverage {
 public:
  explicit Coverage(uint64_t seed = 1) : random_(seed) {}

  bool ok() const { return llvm_.ok(); }

  // Every `stride`th opcode of the loads-and-stores group (the first random below `stride`), each
  // with all 32 values of bits 20:16 and `samples` pairs of Rn and Rt: random ones, equal ones,
  // and the numbers 30 and 31.
  void run_group(uint32_t stride, unsigned samples);
  // SYS and SYSL with CRn == 7: every op1, CRm, op2.
  void run_system();
  // `count` random words of the rest: every word that LLVM prints as a memory access is
  // marked, and no other.
  void run_elsewhere(uint64_t count);

  void compare(uint32_t word);

  // Nothing missed, nothing different, over-acceptance at most 0.1 % and all of it explained.
  bool good() const;
  void print(std::FILE* to) const;

  struct Bucket {
    uint64_t words = 0;
    std::string example;
  };
  using Buckets = std::map<std::string, Bucket>;

  uint64_t words = 0;          // compared, in the group
  uint64_t allocated = 0;      // that LLVM takes
  uint64_t unpredictable = 0;  // of these, "soft fail"
  uint64_t accepted = 0;       // of LLVM's, decoded here
  uint64_t same = 0;           // of these, with the same text
  uint64_t ours = 0;           // decoded here, whatever LLVM says
  uint64_t over = 0;           // decoded here, unallocated for LLVM
  uint64_t over_unexplained = 0;
  uint64_t elsewhere_words = 0, elsewhere_memory = 0, system_words = 0, system_memory = 0;
  uint64_t elsewhere_marked = 0;
  Buckets unsupported;  // by class: LLVM takes it, we recognise it only
  Buckets missed;       // by LLVM's opcode
  Buckets different;    // by LLVM's opcode
  Buckets over_by;      // by our class and reason

 private:
  void note(Buckets& buckets, const std::string& key, uint32_t word, const std::string& ours,
            const std::string& theirs);

  LlvmOracle llvm_;
  std::mt19937_64 random_;
};

}  // namespace trapline::test

#endif  // TRAPLINE_TESTS_DECODE_COVERAGE_H_
