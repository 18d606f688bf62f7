// The loads-and-stores group (Arm ARM DDI 0487, C4.1 "Loads and stores") as a table built by the
// compiler. Bits 31:21 and 11:10 of a word choose a Row: the Access with all that
// these bits already say, the register fields to copy in, and where the immediate stands. Words
// whose meaning needs further bits name a Form, which the decoder finishes in a switch.
//
// Internal to decode/. Freestanding.
#ifndef TRAPLINE_DECODE_A64_ROWS_H_
#define TRAPLINE_DECODE_A64_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "decode/access.h"

namespace trapline::a64 {

// The class printed by `trapline decode` and by decode_class().
enum class Class : uint8_t {
  kNotMemory,
  kUnallocated,
  kLdst,
  kLiteral,
  kPair,
  kExclusive,
  kOrdered,
  kRcpc,
  kRcpc3,
  kLse,
  kLse128,
  kPauth,
  kStructure,
  kLs64,
  kMte,
  kMops,
  kPrefetch,
  kZero,
  kCache,
  kSve,
  kSme,
  kRcw,
  kGcs,
  kCount
};

// What remains to be looked at once the row is known.
enum class Form : uint8_t {
  kComplete,  // nothing: registers and immediate as the row says
  kUnallocated,
  kElsewhere,       // outside the group
  kRegisterOffset,  // option and S
  kExclusive,       // o0
  kCompareAndSwap,  // o0, Rt2 == 11111
  kCompareAndSwapPair,
  kAtomic,     // o3, opc
  kAtomic128,  // o3, opc, Rt2: LSE128 and RCW
  kRcwCompare,
  kOrderedPair,       // LDIAPP, STILP
  kOrderedWriteback,  // LDAPR, STLR with write-back
  kGcsStore,
  kTagMultiple,  // imm9 == 0
  kCopy,
  kSet,
  kStructureMultiple,
  kStructureSingle,
};

// Which register fields of the word go to which byte of the Access's first half.
enum : uint64_t {
  kRt = uint64_t{31} << 24,
  kRt2 = uint64_t{31} << 32,  // from bits 14:10
  kRs = uint64_t{31} << 40,   // from bits 20:16
  kRn = uint64_t{31} << 48,
  kRm = uint64_t{31} << 56,  // from bits 20:16
};
static_assert(offsetof(Access, rt) == 3 && offsetof(Access, rt2) == 4 &&
                  offsetof(Access, rs) == 5 && offsetof(Access, rn) == 6 &&
                  offsetof(Access, rm) == 7 && offsetof(Access, imm) == 8,
              "the register masks above are byte positions in the Access");

// 32 bytes: two rows a cache line.
struct Row {
  Access access;
  uint64_t registers;
  // imm += int64((word & imm_mask) << imm_left) >> imm_right. A signed field goes up to bit 63
  // first; the scale is in imm_right, for below the field all bits are zero.
  uint32_t imm_mask;
  uint8_t imm_left;
  uint8_t imm_right;
  Form form;
  uint8_t spare;
  friend constexpr bool operator==(const Row&, const Row&) = default;
};
static_assert(sizeof(Row) == 32);

// The key is bits 31:21 and 11:10. Bits 27 and 25 are fixed in the group, so three quarters of the
// keys are words outside it: they share one row, and their part of the table stays cold.
inline constexpr unsigned kKeys = 8192;

constexpr unsigned key_of(uint32_t w) { return (w >> 19 & ~3u) | (w >> 10 & 3); }

// The inverse of key_of: a word with these bits set and all else clear.
constexpr uint32_t word_of(unsigned key) {
  return uint32_t{key >> 2} << 21 | uint32_t{key & 3} << 10;
}

constexpr bool in_loads_and_stores(uint32_t w) { return (w & 0x0a000000) == 0x08000000; }

inline constexpr unsigned kMaxRows = 352;

struct RowsOfKeys {
  uint16_t row[kKeys];
};
struct Rows {
  alignas(32) Row row[kMaxRows];
};
struct Classes {
  Class of_row[kMaxRows];
};

// constexpr in a64_rows.cc. NOLINTBEGIN(bugprone-dynamic-static-initializers)
extern const RowsOfKeys kRowOfKey;
extern const Rows kRows;
extern const Classes kClasses;
// NOLINTEND(bugprone-dynamic-static-initializers)

}  // namespace trapline::a64

#endif  // TRAPLINE_DECODE_A64_ROWS_H_
