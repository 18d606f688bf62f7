// Random instructions with registers and memory to run them on, class by class.
#ifndef TRAPLINE_TESTS_MMIO_ORACLE_CASES_H_
#define TRAPLINE_TESTS_MMIO_ORACLE_CASES_H_

#include <cstdint>
#include <random>

#include "decode/access.h"
#include "tests/mmio/oracle/case.h"

namespace trapline::test {

// A slice of the encoding space: the fixed bits are the manual's, the others are drawn.
struct OracleClass {
  const char* name;
  struct Pattern {
    uint32_t value;
    uint32_t random_bits;
  } patterns[4];
  unsigned count;
};

extern const OracleClass kOracleClasses[];
extern const unsigned kOracleClassCount;

struct OracleCase {
  const OracleClass* oracle_class = nullptr;
  OracleCode code{};          // what the guest executes
  uint32_t emulated[2] = {};  // what decode() and emulate() execute: the accesses among them
  unsigned emulated_count = 0;
  int signed_register = -1;  // LDRAA, LDRAB: the guest signs it first and strips it afterwards
  OracleState before{};
};

// The stub of case `index` is at ORACLE_CODE + 16 * index; literal loads depend on it.
OracleCase make_case(const OracleClass& oracle_class, unsigned index, std::mt19937_64& random);

}  // namespace trapline::test

#endif  // TRAPLINE_TESTS_MMIO_ORACLE_CASES_H_
