#include "decode/a64_decoder.h"

#include <bit>

#include "decode/a64_rows.h"
#include "decode/scalable.h"

namespace trapline {
namespace {

using a64::Class;
using a64::Form;
using a64::Row;

static_assert(std::endian::native == std::endian::little,
              "the register masks of a row are byte positions in a little-endian word");

constexpr uint32_t field(uint32_t w, unsigned high, unsigned low) {
  return w >> low & ((uint32_t{2} << (high - low)) - 1);
}
constexpr uint8_t reg(uint32_t w, unsigned low) { return static_cast<uint8_t>(w >> low & 31); }

constexpr Op kAtomics[8] = {Op::kAtomicAdd,  Op::kAtomicClear, Op::kAtomicEor,  Op::kAtomicSet,
                            Op::kAtomicSmax, Op::kAtomicSmin,  Op::kAtomicUmax, Op::kAtomicUmin};

// size 111000 A R 1 Rs o3 opc 00 Rn Rt: LD<op>, SWP, and what was put in their gaps.
inline DecodeStatus atomic(uint32_t w, Access& a, Class& cls) {
  const unsigned opc = field(w, 14, 12), order = field(w, 23, 22);
  if (!(w >> 15 & 1)) {
    a.op = kAtomics[opc];
    // C6.2 "LD<op>": no acquire when the old value is thrown away.
    if (a.rt == kRegZr) a.acquire = 0;
    return DecodeStatus::kAccess;
  }
  switch (opc) {
    case 0b000:
      if (a.rt == kRegZr) a.acquire = 0;
      return DecodeStatus::kAccess;
    case 0b100:  // LDAPR
      if (order != 0b10) return DecodeStatus::kUnallocated;
      cls = Class::kRcpc;
      a.op = Op::kLoad;
      a.rs = 0;
      a.acquire = 0;
      a.acquire_pc = 1;
      return DecodeStatus::kAccess;
    default:
      break;
  }
  if (a.size_log2 < 2) {
    // 0 S 111000 A R 1 Rs 1 opc 00: RCWCLR, RCWSWP, RCWSET and their soft forms.
    if (opc < 1 || opc > 3) return DecodeStatus::kUnallocated;
    cls = Class::kRcw;
    return DecodeStatus::kUnsupported;
  }
  if (a.size_log2 != 3 || order != 0) return DecodeStatus::kUnallocated;
  // 11 111000 00 1 Rs 1 opc 00: FEAT_LS64. Eight registers from an even one up to X22.
  if ((a.rt & 1) || (a.rt & 0b11000) == 0b11000) return DecodeStatus::kUnallocated;
  switch (opc) {
    case 0b001:
      if (a.rs != kRegZr) return DecodeStatus::kUnallocated;
      a.op = Op::kStore64B;
      a.rs = 0;
      break;
    case 0b010:
      a.op = Op::kStore64BV0;
      break;
    case 0b011:
      a.op = Op::kStore64BV;
      break;
    case 0b101:
      if (a.rs != kRegZr) return DecodeStatus::kUnallocated;
      a.op = Op::kLoad64B;
      a.rs = 0;
      break;
    default:
      return DecodeStatus::kUnallocated;
  }
  cls = Class::kLs64;
  a.count = 8;
  return DecodeStatus::kAccess;
}

// 0 S 011001 A R 1 Rt2 o3 opc 00 Rn Rt: LSE128 (S == 0), and the RCW pairs.
inline DecodeStatus atomic128(uint32_t w, Access& a, Class& cls) {
  const bool soft = a.q;
  a.q = 0;
  a.rt2 = reg(w, 16);
  const unsigned opc = field(w, 15, 12);
  if (!soft) {
    switch (opc) {
      case 0b0001:
        a.op = Op::kAtomicClearPair;
        break;
      case 0b0011:
        a.op = Op::kAtomicSetPair;
        break;
      case 0b1000:
        a.op = Op::kSwapPair;
        break;
      default:
        a.op = Op::kNone;
        break;
    }
    if (a.op != Op::kNone) {
      const bool bad = a.rt == kRegZr || a.rt2 == kRegZr;
      return bad ? DecodeStatus::kUnallocated : DecodeStatus::kAccess;
    }
  }
  if (opc >= 0b1001 && opc <= 0b1011 && a.rt != kRegZr && a.rt2 != kRegZr) {
    cls = Class::kRcw;
    return DecodeStatus::kUnsupported;
  }
  return DecodeStatus::kUnallocated;
}

// 0 S 011001 A R 1 Rs 0000 1 pair Rn Rt: RCWCAS, RCWCASP.
inline DecodeStatus rcw_compare(uint32_t w) {
  if (field(w, 15, 12) != 0) return DecodeStatus::kUnallocated;
  const bool pair = w >> 10 & 1;
  if (pair && ((w >> 16 & 1) || (w & 1))) return DecodeStatus::kUnallocated;
  return DecodeStatus::kUnsupported;
}

// 1x 011001 opc 0 Rt2 opc2 10 Rn Rt, where opc2<0> takes the write-back away.
inline DecodeStatus ordered_pair(uint32_t w, Access& a) {
  const unsigned opc2 = field(w, 15, 12);
  if (opc2 > 1) return DecodeStatus::kUnallocated;
  a.rt2 = reg(w, 16);
  if (opc2 == 1) {
    a.mode = AddressMode::kBase;
    a.imm = 0;
  }
  return DecodeStatus::kAccess;
}

// CPY*: three different registers; address registers are not 31 (UNDEFINED otherwise). A size in
// XZR is accepted: see the table of CONSTRAINED UNPREDICTABLE choices in README.md.
inline DecodeStatus copy(uint32_t w, Access& a) {
  if (a.rt == a.rs || a.rs == a.rn || a.rt == a.rn) return DecodeStatus::kUnallocated;
  if (a.rt == 31 || a.rs == 31) return DecodeStatus::kUnallocated;
  a.imm = static_cast<int32_t>(field(w, 15, 12));
  return DecodeStatus::kAccess;
}

// SET*: as CPY*; the value, in rs, may be XZR too. op2<3:2> is the stage.
inline DecodeStatus set(uint32_t w, Access& a) {
  const unsigned stage = field(w, 15, 14);
  if (stage == 3 || a.rt == a.rs || a.rs == a.rn || a.rt == a.rn) return DecodeStatus::kUnallocated;
  if (a.rt == 31) return DecodeStatus::kUnallocated;
  a.op = static_cast<Op>(static_cast<unsigned>(a.op) + stage);
  a.imm = static_cast<int32_t>(field(w, 13, 12));
  return DecodeStatus::kAccess;
}
static_assert(static_cast<unsigned>(Op::kSetEpilog) == static_cast<unsigned>(Op::kSetProlog) + 2 &&
                  static_cast<unsigned>(Op::kSetTagEpilog) ==
                      static_cast<unsigned>(Op::kSetTagProlog) + 2,
              "set() adds the stage to the prolog");

// Post-index structures: Rm == 31 means the immediate form, whose offset is the bytes moved.
inline void structure_post_index(Access& a) {
  if (a.mode == AddressMode::kPostRegister && a.rm == 31) {
    a.mode = AddressMode::kPostIndex;
    a.rm = 0;
    a.imm = static_cast<int32_t>(a.bytes());
  }
}

// 0 Q 001100 post L 0 Rm opcode size Rn Rt
inline DecodeStatus structure_multiple(uint32_t w, Access& a) {
  // By opcode: registers, and whether their elements are interleaved.
  struct Shape {
    uint8_t regs, interleaved;
  };
  constexpr Shape kShapes[16] = {{4, 1}, {}, {4, 0}, {}, {3, 1}, {}, {3, 0}, {1, 0},
                                 {2, 1}, {}, {2, 0}, {}, {},     {}, {},     {}};
  const Shape shape = kShapes[field(w, 15, 12)];
  const unsigned size = field(w, 11, 10);
  if (shape.regs == 0) return DecodeStatus::kUnallocated;
  if (size == 3 && !a.q && shape.interleaved) return DecodeStatus::kUnallocated;  // .1D
  if (a.mode == AddressMode::kBase && field(w, 20, 16) != 0) return DecodeStatus::kUnallocated;
  a.size_log2 = static_cast<uint8_t>(size);
  a.count = static_cast<uint8_t>(shape.regs << (3 + a.q - size));
  a.extra_regs = shape.regs - 1u;
  a.interleaved = shape.interleaved;
  structure_post_index(a);
  return DecodeStatus::kAccess;
}

// 0 Q 001101 post L R Rm opcode S size Rn Rt
inline DecodeStatus structure_single(uint32_t w, Access& a, Class& cls) {
  const unsigned regs = (field(w, 13, 13) << 1 | field(w, 21, 21)) + 1;
  const unsigned size = field(w, 11, 10), s = field(w, 12, 12), q = a.q;
  const bool load = a.op == Op::kLoadLane;
  unsigned scale = field(w, 15, 14), lane = 0;
  a.extra_regs = regs - 1u;
  a.interleaved = regs > 1;
  a.count = static_cast<uint8_t>(regs);
  switch (scale) {
    case 0:
      lane = q << 3 | s << 2 | size;
      break;
    case 1:
      if (size & 1) return DecodeStatus::kUnallocated;
      lane = q << 2 | s << 1 | size >> 1;
      break;
    case 2:
      if (size & 2) return DecodeStatus::kUnallocated;
      lane = q << 1 | s;
      if (size == 1) {
        if (s) return DecodeStatus::kUnallocated;
        scale = 3;
        lane = q;
      }
      break;
    default:
      if (!load || s) return DecodeStatus::kUnallocated;
      a.op = Op::kLoadReplicate;
      scale = size;
      break;
  }
  a.size_log2 = static_cast<uint8_t>(scale);
  a.lane = lane & 15;
  if (a.mode == AddressMode::kBase && field(w, 20, 16) != 0) {
    // LDAP1, STL1 (FEAT_LRCPC3): 20:16 == 00001, one D element of one register.
    const bool d = a.op != Op::kLoadReplicate && scale == 3 && regs == 1;
    if (!d || field(w, 20, 16) != 1) return DecodeStatus::kUnallocated;
    cls = Class::kRcpc3;
    a.acquire_pc = load;
    a.release = !load;
  }
  structure_post_index(a);
  return DecodeStatus::kAccess;
}

// Register offset: option<1> must be set. PRFM with Rt == 11xxx is RPRFM (FEAT_RPRFM).
inline DecodeStatus register_offset(uint32_t w, Access& a) {
  const unsigned option = field(w, 15, 13);
  if (!(option & 2)) return DecodeStatus::kUnallocated;
  const unsigned s = field(w, 12, 12);
  if (a.op == Op::kPrefetch) {
    a.size_log2 = 0;
    if (a.rt >= 24) {
      // The range's metadata is in Rm and the base is no plain address: nothing is accessed.
      a.mode = AddressMode::kBase;
      a.imm = static_cast<int32_t>((option & 4) << 3 | (option & 1) << 4 | s << 3 | (a.rt & 7u));
      return DecodeStatus::kAccess;
    }
    a.shift = s ? 3 : 0;
  } else {
    a.shift = s ? a.size_log2 : 0;
  }
  a.extend = static_cast<Extend>((option & 4) >> 1 | (option & 1));
  return DecodeStatus::kAccess;
}

// DC and IC by VA: SYS #op1, C7, CRm, #op2, Xt (C5.3). Set/way and by-PA forms touch no VA.
DecodeStatus system_instruction(uint32_t w, Access& a, Class& cls) {
  const unsigned op1 = field(w, 18, 16), crn = field(w, 15, 12), crm = field(w, 11, 8),
                 op2 = field(w, 7, 5);
  const bool read = w >> 21 & 1;  // SYSL
  if (crn != 7) return DecodeStatus::kNotMemory;
  if (crm == 7) {
    // FEAT_GCS: GCSPUSHM, GCSSS1 (SYS #3), GCSPOPM, GCSSS2 (SYSL #3), GCSPUSHX, GCSPOPCX, GCSPOPX.
    const bool gcs = (op1 == 3 && op2 <= 3 && (op2 & 1) == unsigned{read}) ||
                     (op1 == 0 && !read && op2 >= 4 && op2 <= 6);
    if (!gcs) return DecodeStatus::kNotMemory;
    cls = Class::kGcs;
    return DecodeStatus::kUnsupported;
  }
  if (read) return DecodeStatus::kNotMemory;
  Op op = Op::kNone;
  Class found = Class::kCache;
  if (op1 == 0) {
    // DC IVAC, IGVAC, IGDVAC
    if (crm == 6 && (op2 == 1 || op2 == 3 || op2 == 5)) op = Op::kCacheMaintenance;
  } else if (op1 == 3) {
    switch (crm) {
      case 4:
        found = Class::kZero;
        if (op2 == 1) op = Op::kZeroBlock;
        if (op2 == 3) op = Op::kZeroBlockTags;
        if (op2 == 4) op = Op::kZeroBlockBoth;
        break;
      case 5:  // IC IVAU
        if (op2 == 1) op = Op::kCacheMaintenance;
        break;
      case 10:  // DC CVAC, CGVAC, CGDVAC
      case 12:  // DC CVAP, CGVAP, CGDVAP
      case 13:  // DC CVADP, CGVADP, CGDVADP
      case 14:  // DC CIVAC, CIGVAC, CIGDVAC
        if (op2 == 1 || op2 == 3 || op2 == 5) op = Op::kCacheMaintenance;
        break;
      case 11:  // DC CVAU; FEAT_OCCMO: CVAOC, CGDVAOC
        if (op2 == 0 || op2 == 1 || op2 == 7) op = Op::kCacheMaintenance;
        break;
      case 15:  // FEAT_OCCMO: CIVAOC, CIGDVAOC
        if (op2 == 0 || op2 == 7) op = Op::kCacheMaintenance;
        break;
      default:
        break;
    }
  }
  if (op == Op::kNone) return DecodeStatus::kNotMemory;
  cls = found;
  a.op = op;
  a.count = 1;
  a.rt = reg(w, 0);
  a.mode = AddressMode::kRegisterVa;
  if (op == Op::kCacheMaintenance) a.imm = static_cast<int32_t>(op1 << 10 | crm << 4 | op2);
  return DecodeStatus::kAccess;
}

// Everything outside the loads-and-stores group.
DecodeStatus elsewhere(uint32_t w, Access& a, Class& cls) {
  if ((w & 0xffd00000) == 0xd5000000 && (w & 0x00080000)) return system_instruction(w, a, cls);
  const bool sve = a64::in_sve_memory(w);
  if (sve || a64::in_sme_memory(w)) {
    cls = sve ? Class::kSve : Class::kSme;
    return a64::is_scalable_access(w) ? DecodeStatus::kUnsupported : DecodeStatus::kUnallocated;
  }
  return DecodeStatus::kNotMemory;
}

DecodeStatus finish(uint32_t w, Form form, Access& a, Class& cls) {
  const bool o0 = w >> 15 & 1;
  const bool rt2_is_31 = field(w, 14, 10) == 31;
  switch (form) {
    case Form::kComplete:
      return DecodeStatus::kAccess;
    case Form::kUnallocated:
      return DecodeStatus::kUnallocated;
    case Form::kElsewhere:
      return elsewhere(w, a, cls);
    case Form::kRegisterOffset:
      return register_offset(w, a);
    case Form::kExclusive:
      if (a.op == Op::kLoadExclusive) {
        a.acquire = o0;
      } else {
        a.release = o0;
      }
      return DecodeStatus::kAccess;
    case Form::kCompareAndSwap:
      a.release = o0;
      return rt2_is_31 ? DecodeStatus::kAccess : DecodeStatus::kUnallocated;
    case Form::kCompareAndSwapPair:
      a.release = o0;
      if ((a.rs | a.rt) & 1) return DecodeStatus::kUnallocated;
      return rt2_is_31 ? DecodeStatus::kAccess : DecodeStatus::kUnallocated;
    case Form::kAtomic:
      return atomic(w, a, cls);
    case Form::kAtomic128:
      return atomic128(w, a, cls);
    case Form::kRcwCompare:
      return rcw_compare(w);
    case Form::kOrderedPair:
      return ordered_pair(w, a);
    case Form::kOrderedWriteback:
      return field(w, 20, 12) == 0 ? DecodeStatus::kAccess : DecodeStatus::kUnallocated;
    case Form::kGcsStore:
      // GCSSTR, GCSSTTR: 20:16 == 11111, 15:12 == 000x.
      if (field(w, 20, 16) != 31 || field(w, 15, 13) != 0) return DecodeStatus::kUnallocated;
      return DecodeStatus::kUnsupported;
    case Form::kTagMultiple:
      return field(w, 20, 12) == 0 ? DecodeStatus::kAccess : DecodeStatus::kUnallocated;
    case Form::kCopy:
      return copy(w, a);
    case Form::kSet:
      return set(w, a);
    case Form::kStructureMultiple:
      return structure_multiple(w, a);
    case Form::kStructureSingle:
      return structure_single(w, a, cls);
  }
  return DecodeStatus::kUnallocated;
}

// The Access of a row with the word's registers and immediate.
inline Form from_row(uint32_t w, const Row& row, Access& out) {
  uint64_t half;
  __builtin_memcpy(&half, &row.access, 8);
  const uint64_t word = w;
  const uint64_t spread = (word & 0x001f'001f) << 24 | (word & 0x7c00) << 22 |
                          (word & 0x03e0) << 43 | (word & 0x001f'0000) << 40;
  half |= spread & row.registers;
  uint64_t rest;
  __builtin_memcpy(&rest, reinterpret_cast<const char*>(&row.access) + 8, 8);
  const int64_t at_top = static_cast<int64_t>(uint64_t{w & row.imm_mask} << row.imm_left);
  const uint32_t imm = static_cast<uint32_t>(rest) + static_cast<uint32_t>(at_top >> row.imm_right);
  rest = (rest & 0xffff'ffff'0000'0000) | imm;
  __builtin_memcpy(&out, &half, 8);
  __builtin_memcpy(reinterpret_cast<char*>(&out) + 8, &rest, 8);
  return row.form;
}

DecodeStatus decode_with_class(uint32_t w, Access& out, Class& cls) {
  const unsigned index = a64::kRowOfKey.row[a64::key_of(w)];
  cls = a64::kClasses.of_row[index];
  const DecodeStatus status = finish(w, from_row(w, a64::kRows.row[index], out), out, cls);
  if (status != DecodeStatus::kAccess) out = Access{};
  return status;
}

}  // namespace

bool in_memory_classes(uint32_t word) {
  return a64::in_loads_and_stores(word) || a64::in_sve_memory(word) || a64::in_sme_memory(word);
}

DecodeStatus decode(uint32_t word, Access& out) {
  const Row& row = a64::kRows.row[a64::kRowOfKey.row[a64::key_of(word)]];
  const Form form = from_row(word, row, out);
  if (form == Form::kComplete) [[likely]]
    return DecodeStatus::kAccess;
  Class unused;
  const DecodeStatus status = finish(word, form, out, unused);
  if (status != DecodeStatus::kAccess) out = Access{};
  return status;
}

const char* decode_class(uint32_t word) {
  constexpr const char* kNames[] = {
      "not-memory", "unallocated", "LDST",   "LITERAL", "PAIR",      "EXCLUSIVE", "ORDERED", "RCPC",
      "RCPC3",      "LSE",         "LSE128", "PAUTH",   "STRUCTURE", "LS64",      "MTE",     "MOPS",
      "PREFETCH",   "ZERO",        "CACHE",  "SVE",     "SME",       "RCW",       "GCS"};
  static_assert(sizeof(kNames) / sizeof(kNames[0]) == static_cast<unsigned>(Class::kCount));
  Access access;
  Class cls = Class::kNotMemory;
  switch (decode_with_class(word, access, cls)) {
    case DecodeStatus::kNotMemory:
      return kNames[static_cast<unsigned>(Class::kNotMemory)];
    case DecodeStatus::kUnallocated:
      return kNames[static_cast<unsigned>(Class::kUnallocated)];
    default:
      return kNames[static_cast<unsigned>(cls)];
  }
}

}  // namespace trapline
