// Word -> handler for the "Scalar Floating-Point and Advanced SIMD" group (C4.1.95). The rows live
// beside their handlers; here they are expanded into one function table and a bucket index.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "vmm/soft/fp/fp_lanes.h"

namespace trapline::soft {
namespace {

constexpr unsigned kTableSize = 2048;

}  // namespace

// The handlers are templates instantiated in several files, so it is filled at run time: once there
// is a word to look up, not at every start.
FpFunction fp_functions[kTableSize];

namespace {

using fp::Row;

// Buckets are keyed by bits 30:21, where nearly all rows are fixed.
constexpr unsigned kBucketShift = 21, kBuckets = 1024;

struct Entry {
  uint32_t mask = 0, value = 0;  // word & mask == value
  uint32_t z = 0, h = 0, k = 0;  // selector bits
  bool q_rule = false;
  CpuModel model = CpuModel::kBase;  // the first that has it
  uint16_t index[4] = {};
};

struct Table {
  FpForm forms[kTableSize] = {};
  std::vector<Entry> buckets[kBuckets];
  unsigned count = 1;

  Table() {
    for (auto rows : {fp::scalar_rows(), fp::convert_rows(), fp::simd_int_rows(),
                      fp::simd_misc_rows(), fp::simd_wide_rows(), fp::simd_shift_rows(),
                      fp::simd_fp_rows(), fp::simd_permute_rows()}) {
      for (const Row& row : rows) add(row, CpuModel::kBase);
    }
    for (auto rows : {fp::crypto_rows(), fp::complex_rows(), fp::bounded_rows()}) {
      for (const Row& row : rows) add(row, CpuModel::kMax);
    }
  }

  void add(const Row& row, CpuModel model) {
    Entry e;
    e.model = model;
    unsigned bit = 32;
    for (const char* p = row.pattern; *p; ++p) {
      if (*p == ' ') continue;
      const uint32_t one = 1u << (--bit & 31);
      if (*p == '0' || *p == '1') e.mask |= one;
      if (*p == '1') e.value |= one;
      if (*p == 'z') e.z |= one;
      if (*p == 'h') e.h |= one;
      if (*p == 'k') e.k |= one;
      if (*p == 'Q') e.q_rule = true;
    }
    if (bit != 0 || count + 4 > kTableSize) {
      std::fprintf(stderr, "fp_decode: bad row %s\n", row.pattern);
      std::abort();
    }
    for (unsigned i = 0; i < 4; ++i) {
      if (row.f[i].run == nullptr) continue;
      e.index[i] = static_cast<uint16_t>(count);
      forms[count] = {row.op, row.f[i].size_log2};
      fp_functions[count++] = row.f[i].run;
    }
    const uint32_t key_mask = (kBuckets - 1) << kBucketShift;
    for (uint32_t b = 0; b < kBuckets; ++b) {
      if ((b << kBucketShift & e.mask) == (e.value & key_mask)) buckets[b].push_back(e);
    }
  }
};

const Table& table() {
  static const Table instance;
  return instance;
}

uint32_t extract(uint32_t word, uint32_t mask) {
  uint32_t value = 0;
  for (unsigned n = 0; mask != 0; mask &= mask - 1, ++n) {
    value |= (word >> std::countr_zero(mask) & 1) << n;
  }
  return value;
}

}  // namespace

uint16_t fp_lookup(uint32_t word, CpuModel model) {
  for (const Entry& e : table().buckets[word >> kBucketShift & (kBuckets - 1)]) {
    if ((word & e.mask) != e.value || e.model > model) continue;
    unsigned selector = 0;
    bool is_64bit = false;
    if (e.z != 0) {
      selector = extract(word, e.z);
      is_64bit = (word & e.z) == e.z;
    } else if (e.h != 0) {
      const uint32_t immh = extract(word, e.h);
      if (immh == 0) continue;  // modified immediate
      selector = std::bit_width(immh) - 1;
      is_64bit = selector == 3;
    } else if (e.k != 0) {
      selector = std::countr_zero(extract(word, e.k) | 0x10);
      if (selector > 3) return 0;
      is_64bit = selector == 3;
    }
    if (e.q_rule && is_64bit && !fp::q_bit(word)) return 0;
    if (e.index[selector & 3] != 0) return e.index[selector & 3];
  }
  return 0;
}

FpForm fp_form(uint16_t index) { return table().forms[index]; }

}  // namespace trapline::soft
