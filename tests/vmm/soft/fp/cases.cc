#include "tests/vmm/soft/fp/cases.h"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "vmm/soft/fp/fp_lanes.h"

namespace trapline::soft::fp {

unsigned long from_environment(const char* name, unsigned long otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoul(text, nullptr, 0) : otherwise;
}

std::vector<std::string> encoding_patterns(CpuModel of) {
  std::vector<std::string> r;
  // Floating point has more corners than the rest: its patterns come several times.
  const std::vector<std::span<const Row>> base = {
      scalar_rows(),    convert_rows(),   simd_fp_rows(),    scalar_rows(),      convert_rows(),
      simd_fp_rows(),   scalar_rows(),    convert_rows(),    simd_fp_rows(),     simd_int_rows(),
      simd_misc_rows(), simd_wide_rows(), simd_shift_rows(), simd_permute_rows()};
  const std::vector<std::span<const Row>> more = {crypto_rows(), complex_rows(), bounded_rows(),
                                                  bounded_rows()};
  for (auto rows : of == CpuModel::kBase ? base : more) {
    for (const Row& row : rows) {
      std::string pattern;
      for (const char* p = row.pattern; *p; ++p) {
        if (*p != ' ') pattern += *p;
      }
      r.push_back(pattern);
    }
  }
  return r;
}

uint32_t random_word(const std::string& pattern, Random& random) {
  uint32_t word = static_cast<uint32_t>(random.next());
  // Repeated registers are a case of their own: destructive forms, lanes read before written.
  const unsigned alias = random.below(8);
  if (alias == 0) word = (word & ~31u) | (word >> 5 & 31);
  if (alias == 1) word = (word & ~31u) | (word >> 16 & 31);
  if ((word & 31) == 30) word ^= 2;
  if ((word >> 5 & 31) == 30) word ^= 2 << 5;
  for (unsigned i = 0; i < 32; ++i) {
    const uint32_t bit = 1u << (31 - i);
    if (pattern[i] == '0') word &= ~bit;
    if (pattern[i] == '1') word |= bit;
  }
  return word;
}

namespace {

// A floating-point value of the given format with an eye for the corners.
uint64_t random_float(Random& random, int exp_bits, int frac_bits) {
  const uint64_t frac_mask = (uint64_t{1} << frac_bits) - 1;
  const uint64_t exp_max = (uint64_t{1} << exp_bits) - 1, bias = exp_max / 2;
  const uint64_t sign = (random.next() & 1) << (exp_bits + frac_bits);
  uint64_t exp = 0, frac = 0;
  switch (random.below(4)) {  // fraction
    case 0:
      frac = random.next() & frac_mask;
      break;
    case 1:
      frac = (random.next() & random.next() & random.next()) & frac_mask;
      break;
    case 2:
      frac = random.next() & frac_mask & ~uint64_t{0} << random.below(frac_bits + 1);
      break;
    default:
      frac = (random.next() & 1 ? frac_mask : 0) ^ random.below(4);
      break;
  }
  switch (random.below(12)) {  // exponent
    case 0:
      return sign;  // zero
    case 1:
      exp = 0;
      break;  // denormal
    case 2:
      exp = exp_max;
      break;  // NaN
    case 3:
      return sign | exp_max << frac_bits;  // infinity
    case 4:
      exp = 1 + random.below(3);
      break;  // just normal
    case 5:
      exp = exp_max - 1 - random.below(3);
      break;  // huge
    case 6:
      exp = random.next() & exp_max;
      break;  // any
    case 7:
      exp = bias + random.below(70);
      exp = exp > exp_max ? bias : exp;
      break;  // integers
    case 8:
      exp = bias - frac_bits / 2 + random.below(frac_bits);
      break;
    default:
      exp = bias - 2 + random.below(6);
      break;  // near one
  }
  return sign | (exp & exp_max) << frac_bits | frac;
}

uint64_t random_integer(Random& random, unsigned bits) {
  const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  const uint64_t top = uint64_t{1} << (bits - 1);
  switch (random.below(8)) {
    case 0:
      return 0;
    case 1:
      return mask;  // -1, or the unsigned maximum
    case 2:
      return top;  // the signed minimum
    case 3:
      return top - 1;
    case 4:
      return random.below(9) & mask;
    case 5:
      return (-uint64_t{random.below(9)}) & mask;
    case 6:
      return random.next() & mask >> random.below(bits);
    default:
      return random.next() & mask;
  }
}

uint64_t random_half(Random& random) {  // 64 bits
  uint64_t r = 0;
  switch (random.below(8)) {
    case 0:
      return random.next();
    case 1:
    case 2:
      return random_float(random, 11, 52);
    case 3:
    case 4:
      return random_float(random, 8, 23) << 32 | random_float(random, 8, 23);
    case 5:
      for (unsigned i = 0; i < 4; ++i) r = r << 16 | random_float(random, 5, 10);
      return r;
    default: {
      const unsigned bits = 8u << random.below(4);
      for (unsigned i = 0; i < 64; i += bits) r |= random_integer(random, bits) << i;
      return r;
    }
  }
}

// The exponent is about half the range, so that a product is close to the smallest normal number;
// the fraction is zero, all ones or anything.
uint64_t near_edge(Random& random) {
  const uint64_t sign = random.next() & 0x8000000080000000;
  const uint64_t frac = random.below(3) == 0 ? 0 : random.below(2) ? ~uint64_t{0} : random.next();
  const uint64_t exp = random.below(3);
  if (random.below(2)) return (sign & ~0x80000000) | (0x200 - exp) << 52 | frac >> 12;
  const uint64_t both = uint64_t{1} << 32 | 1;
  return sign | ((0x41 - exp) << 23) * both | (frac & 0x7fffff) * both;
}

}  // namespace

Record random_record(Random& random) {
  Record r{};
  for (uint64_t& x : r.x) x = random.below(4) ? random_integer(random, 64) : random_half(random);
  for (Vreg& v : r.v) v = {random_half(random), random_half(random)};
  if (random.below(3) == 0) {  // operands that are close to each other: cancellation, ties
    for (unsigned i = 4; i < 32; ++i) {
      r.v[i] = r.v[i & 3];
      const uint64_t sign = random.below(2) ? uint64_t{1} << (random.below(2) ? 63 : 31) : 0;
      r.v[i].lo = (r.v[i].lo + random.below(3) - 1) ^ sign;
      r.v[i].hi ^= sign;
    }
  }
  if (random.below(8) == 0) {  // products and quotients at the edge of the normal range
    for (Vreg& v : r.v) v = {near_edge(random), near_edge(random)};
  }
  r.nzcv = random.next() & 0xf0000000;
  if (random.below(2)) r.fpcr = random.next() & (kRModeMask | kFz | kDn | kAhp);
  switch (random.below(4)) {
    case 0:
      break;
    case 1:
      r.fpsr = random.next() & (kQc | 0x9f);
      break;
    default:
      r.fpsr = kIxc;
      break;
  }
  return r;
}

void execute(uint32_t word, Record& record) {
  static const auto cpu = std::make_unique<Cpu>();
  std::memcpy(cpu->r.x, record.x, sizeof(record.x));
  std::memcpy(cpu->v, record.v, sizeof(record.v));
  cpu->r.x[kSlotXzr] = 0;
  cpu->nzcv = static_cast<uint32_t>(record.nzcv);
  cpu->fpcr = static_cast<uint32_t>(record.fpcr);
  cpu->fpsr = static_cast<uint32_t>(record.fpsr);
  const uint16_t index = fp_lookup(word, CpuModel::kMax);
  fp_functions[index](*cpu, word);
  std::memcpy(record.x, cpu->r.x, sizeof(record.x));
  std::memcpy(record.v, cpu->v, sizeof(record.v));
  record.nzcv = cpu->nzcv;
  record.fpcr = cpu->fpcr;
  record.fpsr = cpu->fpsr;
}

std::string difference(const Record& expected, const Record& actual) {
  std::string r;
  for (unsigned i = 0; i < 30; ++i) {
    if (expected.x[i] != actual.x[i]) {
      r += fmt::format(" x{} {:016x} not {:016x}", i, actual.x[i], expected.x[i]);
    }
  }
  for (unsigned i = 0; i < 32; ++i) {
    if (expected.v[i] == actual.v[i]) continue;
    r += fmt::format(" v{} {:016x}:{:016x} not {:016x}:{:016x}", i, actual.v[i].hi, actual.v[i].lo,
                     expected.v[i].hi, expected.v[i].lo);
  }
  if (expected.nzcv != actual.nzcv) {
    r += fmt::format(" nzcv {:x} not {:x}", actual.nzcv >> 28, expected.nzcv >> 28);
  }
  if (expected.fpcr != actual.fpcr) {
    r += fmt::format(" fpcr {:x} not {:x}", actual.fpcr, expected.fpcr);
  }
  if (expected.fpsr != actual.fpsr) {
    r += fmt::format(" fpsr {:x} not {:x}", actual.fpsr, expected.fpsr);
  }
  return r;
}

}  // namespace trapline::soft::fp
