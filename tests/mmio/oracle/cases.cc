#include "tests/mmio/oracle/cases.h"

#include <cstring>

#include "decode/a64_decoder.h"

namespace trapline::test {
namespace {

constexpr uint32_t bits(unsigned high, unsigned low) {
  return static_cast<uint32_t>((uint64_t{2} << high) - (uint64_t{1} << low));
}
constexpr uint32_t kRtRn = bits(9, 0);
constexpr uint32_t kSize = bits(31, 30);
constexpr uint32_t kRs = bits(20, 16);
constexpr uint32_t kRt2 = bits(14, 10);

constexpr uint32_t kNop = 0xd503201f;
constexpr uint32_t kClrex = 0xd5033f5f;
constexpr uint32_t kPacdza = 0xdac12be0, kPacdzb = 0xdac12fe0, kXpacd = 0xdac147e0;

}  // namespace

// C4.1, the encoding tables of "Loads and stores".
const OracleClass kOracleClasses[] = {
    {"LDR/STR unsigned offset", {{0x39000000, kSize | bits(26, 26) | bits(23, 10) | kRtRn}}, 1},
    {"LDR/STR unscaled, unprivileged, pre, post",
     {{0x38000000, kSize | bits(26, 26) | bits(23, 22) | bits(20, 10) | kRtRn}},
     1},
    {"LDR/STR register offset",
     {{0x38200800, kSize | bits(26, 26) | bits(23, 22) | bits(20, 12) | kRtRn}},
     1},
    {"LDR literal", {{0x18000000, kSize | bits(26, 26) | bits(4, 0)}}, 1},
    {"LDP/STP", {{0x28000000, kSize | bits(26, 26) | bits(24, 0)}}, 1},
    {"exclusives",
     {{0x085f7c00, kSize | bits(15, 15) | kRtRn},
      {0x887f0000, bits(30, 30) | bits(15, 15) | kRt2 | kRtRn}},
     2},
    {"ordered",
     {{0x089f7c00, kSize | bits(22, 22) | bits(15, 15) | kRtRn},
      {0x38bfc000, kSize | kRtRn},
      {0x19000000, kSize | bits(23, 22) | bits(20, 12) | kRtRn}},
     3},
    {"CAS", {{0x08a07c00, kSize | bits(22, 22) | bits(15, 15) | kRs | kRtRn}}, 1},
    {"CASP", {{0x08207c00, bits(30, 30) | bits(22, 22) | bits(15, 15) | kRs | kRtRn}}, 1},
    {"LD<op>, SWP",
     {{0x38200000, kSize | bits(23, 22) | kRs | bits(14, 12) | kRtRn},
      {0x38200000, kSize | bits(23, 22) | kRs | bits(14, 12) | kRtRn},
      {0x38208000, kSize | bits(23, 22) | kRs | kRtRn}},
     3},
    {"LDRAA/LDRAB", {{0xf8200400, bits(23, 22) | bits(20, 11) | kRtRn}}, 1},
    {"LD1-4/ST1-4 multiple",
     {{0x0c000000, bits(30, 30) | bits(22, 22) | bits(15, 10) | kRtRn},
      {0x0c800000, bits(30, 30) | bits(22, 22) | bits(20, 10) | kRtRn},
      {0x0c9f0000, bits(30, 30) | bits(22, 22) | bits(15, 10) | kRtRn}},
     3},
    {"LD1-4/ST1-4 single",
     {{0x0d000000, bits(30, 30) | bits(22, 21) | bits(15, 10) | kRtRn},
      {0x0d800000, bits(30, 30) | bits(22, 10) | kRtRn},
      {0x0d9f0000, bits(30, 30) | bits(22, 21) | bits(15, 10) | kRtRn}},
     3},
    {"LD1R-LD4R",
     {{0x0d40c000, bits(30, 30) | bits(21, 21) | bits(13, 13) | bits(11, 10) | kRtRn},
      {0x0dc0c000, bits(30, 30) | bits(21, 16) | bits(13, 13) | bits(11, 10) | kRtRn}},
     2},
    {"DC ZVA, GVA, GZVA",
     {{0xd50b7420, bits(4, 0)}, {0xd50b7460, bits(4, 0)}, {0xd50b7480, bits(4, 0)}},
     3},
    {"MTE",
     {{0xd9200400, bits(23, 22) | bits(20, 10) | kRtRn},
      {0xd9600000, bits(20, 12) | kRtRn},
      {0x68000000, bits(24, 23) | bits(21, 0)}},
     3},
    {"prefetch",
     {{0xf9800000, bits(21, 0)},
      {0xf8800000, bits(20, 12) | kRtRn},
      {0xf8a04800, bits(20, 16) | bits(15, 12) | kRtRn}},
     3},
};
const unsigned kOracleClassCount = sizeof kOracleClasses / sizeof kOracleClasses[0];

namespace {

// Which general registers, beside the base, the access names.
struct Roles {
  bool rt, rt2, rs, rm;
};

Roles roles_of(const Access& a) {
  Roles roles{};
  roles.rt = !a.vector && a.op != Op::kPrefetch;
  roles.rt2 = !a.vector && (a.count == 2 || a.op == Op::kStoreTagPair) &&
              a.op != Op::kCompareAndSwap && a.op != Op::kStoreTag && a.op != Op::kStoreTagZero;
  roles.rs = a.op == Op::kStoreExclusive || is_read_modify_write(a.op);
  roles.rm = a.mode == AddressMode::kRegister || a.mode == AddressMode::kPostRegister;
  return roles;
}

// x30 is taken; and results that the manual leaves UNKNOWN are not compared.
bool usable(const Access& a) {
  const Roles roles = roles_of(a);
  if (a.rn == 30 || (roles.rt && a.rt == 30) || (roles.rt2 && a.rt2 == 30)) return false;
  if ((roles.rs && a.rs == 30) || (roles.rm && a.rm == 30)) return false;
  if (a.op == Op::kLoad && a.count == 2 && a.rt == a.rt2) return false;
  if (a.op == Op::kLoadExclusive && a.count == 2 && a.rt == a.rt2) return false;
  if (a.mode == AddressMode::kRegister && a.rm == a.rn) return false;
  if (a.op == Op::kPrefetch && a.imm != 0 && a.mode == AddressMode::kBase) return true;  // RPRFM
  return true;
}

unsigned required_alignment(const Access& a) {
  if (a.op == Op::kLoadExclusive || is_read_modify_write(a.op)) return a.bytes();
  if (a.acquire || a.acquire_pc || a.release) return a.element_bytes();
  if (a.op >= Op::kStoreTag && a.op <= Op::kStoreTagPair) return 16;
  return 1;
}

// A store-exclusive to match a load-exclusive, with registers that do not overlap.
bool matching_store(uint32_t load, const Access& a, std::mt19937_64& random, uint32_t& store) {
  const unsigned rt = static_cast<unsigned>(random() % 30);
  const unsigned rt2 = static_cast<unsigned>(random() % 30);
  const unsigned rs = static_cast<unsigned>(random() % 30);
  if (rs == rt || rs == rt2 || rs == a.rn || a.rt == a.rn) return false;
  if (a.count == 2 && a.rt2 == a.rn) return false;
  store = (load & ~(bits(22, 22) | kRs | kRt2 | bits(4, 0) | bits(15, 15))) | rs << 16 | rt;
  store |= a.count == 2 ? rt2 << 10 : kRt2;
  store |= static_cast<uint32_t>(random() & 1) << 15;
  return true;
}

bool try_make(const OracleClass& oracle_class, unsigned index, std::mt19937_64& random,
              OracleCase& c) {
  const auto& pattern = oracle_class.patterns[random() % oracle_class.count];
  uint32_t word = pattern.value | (static_cast<uint32_t>(random()) & pattern.random_bits);
  Access a;
  if (decode(word, a) != DecodeStatus::kAccess || !usable(a)) return false;

  OracleState& s = c.before;
  for (uint64_t& x : s.x) x = random() % 8 == 0 ? random() % 3 - 1 : random();
  for (uint64_t& v : s.v) v = random();
  for (unsigned i = 0; i < ORACLE_WINDOW_BYTES; i += 8) {
    const uint64_t value = random() % 4 == 0 ? 0 - random() % 2 : random();
    std::memcpy(s.memory + i, &value, 8);
  }
  const auto x = [&](unsigned r) -> uint64_t& { return r == 31 ? s.sp : s.x[r]; };
  s.sp = random();

  // Half of the time near the page boundary, in the middle of the window.
  const unsigned bytes = a.bytes() == 0 ? 1 : a.bytes();
  unsigned offset = static_cast<unsigned>(random() % (ORACLE_WINDOW_BYTES - bytes + 1));
  if (random() % 2 == 0) offset = 512 - 64 + static_cast<unsigned>(random() % 64);
  unsigned alignment = required_alignment(a);
  if (alignment == 1 && random() % 2 == 0) alignment = a.element_bytes();
  offset &= ~(alignment - 1);
  if (offset + bytes > ORACLE_WINDOW_BYTES) return false;
  uint64_t target = ORACLE_WINDOW + offset;
  const bool authenticated = a.op == Op::kLoadAuthenticated;
  if (!authenticated && a.mode != AddressMode::kLiteral && random() % 4 == 0) {
    target |= random() << 56;  // Linux ignores the top byte of user data addresses
  }

  uint32_t words[3] = {word, kNop, kNop};
  c.emulated[0] = word;
  c.emulated_count = 1;
  const uint64_t imm = static_cast<uint64_t>(int64_t{a.imm});
  switch (a.mode) {
    case AddressMode::kBase:
    case AddressMode::kPostIndex:
    case AddressMode::kPostRegister:
      x(a.rn) = target;
      break;
    case AddressMode::kOffset:
    case AddressMode::kPreIndex:
      x(a.rn) = target - imm;
      break;
    case AddressMode::kRegister: {
      uint64_t index_value = a.rm == 31 ? 0 : s.x[a.rm];
      if (a.extend == Extend::kUxtw) index_value = static_cast<uint32_t>(index_value);
      if (a.extend == Extend::kSxtw) {
        index_value = static_cast<uint64_t>(
            int64_t{static_cast<int32_t>(static_cast<uint32_t>(index_value))});
      }
      x(a.rn) = target - (index_value << a.shift);
      break;
    }
    case AddressMode::kLiteral: {
      const uint64_t pc = ORACLE_CODE + sizeof(OracleCode) * uint64_t{index};
      target &= ~uint64_t{3};
      const auto words_away = static_cast<int64_t>(target - pc) / 4;
      words[0] = c.emulated[0] = word | (static_cast<uint32_t>(words_away) & 0x7ffff) << 5;
      break;
    }
    case AddressMode::kRegisterVa:
      if (a.rt == 31) return false;
      s.x[a.rt] = target;
      break;
  }

  if (a.op == Op::kCompareAndSwap && random() % 2 == 0) {
    // Let it succeed.
    for (unsigned i = 0; i < a.count; ++i) {
      if (a.rs + i >= 30 || a.rs + i == a.rn) continue;
      std::memcpy(&s.x[a.rs + i], s.memory + offset + i * a.element_bytes(), a.element_bytes());
    }
  }
  if (a.op == Op::kLoadExclusive) {
    // clrex; the pair. Or without the load: the store fails.
    uint32_t store;
    if (!matching_store(word, a, random, store)) return false;
    words[0] = kClrex;
    words[1] = word;
    words[2] = store;
    c.emulated[1] = store;
    c.emulated_count = 2;
    if (random() % 8 == 0) {
      words[1] = kNop;
      c.emulated[0] = store;
      c.emulated_count = 1;
    }
  }
  if (authenticated) {
    if (a.rn == 31 || (a.rt == a.rn && !a.writes_back())) return false;
    words[0] = (a.lane != 0 ? kPacdzb : kPacdza) | a.rn;
    words[1] = word;
    words[2] = kXpacd | a.rn;
    c.signed_register = a.rn;
  }
  std::memcpy(c.code.word, words, sizeof words);
  c.oracle_class = &oracle_class;
  return true;
}

}  // namespace

OracleCase make_case(const OracleClass& oracle_class, unsigned index, std::mt19937_64& random) {
  for (;;) {
    OracleCase c;
    if (try_make(oracle_class, index, random, c)) return c;
  }
}

}  // namespace trapline::test
