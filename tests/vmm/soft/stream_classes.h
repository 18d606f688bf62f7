// The encoding classes of C4.1 that this CPU implements and that mean the same at EL0 everywhere:
// what the stream test draws from, and what the sweep of all words counts by.
#ifndef TRAPLINE_TESTS_VMM_SOFT_STREAM_CLASSES_H_
#define TRAPLINE_TESTS_VMM_SOFT_STREAM_CLASSES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "decode/access.h"
#include "tests/vmm/soft/fp/cases.h"

namespace trapline::soft::stream {

using fp::Random;

enum class Kind : uint8_t {
  kInteger,  // general registers and flags only
  kFp,       // the rows of vmm/soft/fp/fp_decode.cc
  kMemory,   // has an address: base and index must be made
  kLiteral,
  kVa,  // DC, IC: the address is Xt
  kSystem,
  kFlags,  // writes no register, whatever bits 4:0 say
  kFpcr,   // MSR: reserved bits of the value must be zero
  kFpsr,
  kBranch,
  kIndirect,
};

struct Class {
  std::string name;
  uint32_t fixed = 0, random = 0;  // bits
  Kind kind = Kind::kInteger;
  bool (*valid)(uint32_t) = nullptr;  // allocated, and nothing CONSTRAINED UNPREDICTABLE
  CpuModel model = CpuModel::kBase;   // the first that has it

  bool contains(uint32_t word) const { return (word & ~random) == fixed; }
  bool defines(uint32_t word) const { return contains(word) && (valid == nullptr || valid(word)); }
  uint32_t draw(Random& random_source) const;
};

const std::vector<Class>& classes();
const Class& class_named(std::string_view name);

}  // namespace trapline::soft::stream

#endif  // TRAPLINE_TESTS_VMM_SOFT_STREAM_CLASSES_H_
