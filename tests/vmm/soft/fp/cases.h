// Random instructions and register states for the floating-point tests, from a fixed seed.
#ifndef TRAPLINE_TESTS_VMM_SOFT_FP_CASES_H_
#define TRAPLINE_TESTS_VMM_SOFT_FP_CASES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/soft/cpu.h"

namespace trapline::soft::fp {

// SplitMix64.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  unsigned below(unsigned n) { return static_cast<unsigned>(next() % n); }

 private:
  uint64_t state_;
};

// The record that harness.S loads and stores.
struct Record {
  uint64_t x[30];
  uint64_t nzcv, fpcr, fpsr, pad;
  Vreg v[32];
};
static_assert(sizeof(Record) == 784);

// A number from the environment.
unsigned long from_environment(const char* name, unsigned long otherwise);

// All patterns of the decode tables, or those that a later model has more than CpuModel::kBase.
std::vector<std::string> encoding_patterns(CpuModel of);
// A random word of the pattern: fixed bits as printed, the rest random, and no register field 30
// where that could be a general register (the harness's link register).
uint32_t random_word(const std::string& pattern, Random& random);
Record random_record(Random& random);

// Executes one accepted word on a record, by the functions under test.
void execute(uint32_t word, Record& record);
// What differs, one line; empty if nothing.
std::string difference(const Record& expected, const Record& actual);

}  // namespace trapline::soft::fp

#endif  // TRAPLINE_TESTS_VMM_SOFT_FP_CASES_H_
