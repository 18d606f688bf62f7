#include "decode/a64_rows.h"

namespace trapline::a64 {
namespace {

struct Entry {
  Row row;
  Class cls;
  friend constexpr bool operator==(const Entry&, const Entry&) = default;
};

constexpr Entry kNothing{Row{.access = {},
                             .registers = 0,
                             .imm_mask = 0,
                             .imm_left = 0,
                             .imm_right = 0,
                             .form = Form::kUnallocated,
                             .spare = 0},
                         Class::kUnallocated};

constexpr Entry kElsewhere = [] {
  Entry e = kNothing;
  e.cls = Class::kNotMemory;
  e.row.form = Form::kElsewhere;
  return e;
}();

constexpr Entry entry(Class cls, Op op, unsigned size_log2, unsigned count, uint64_t registers,
                      AddressMode mode, Form form = Form::kComplete) {
  Entry e = kNothing;
  e.cls = cls;
  e.row.access.op = op;
  e.row.access.size_log2 = static_cast<uint8_t>(size_log2);
  e.row.access.count = static_cast<uint8_t>(count);
  e.row.access.mode = mode;
  e.row.registers = registers;
  e.row.form = form;
  return e;
}

// The immediate fields. The signed ones are shifted up to bit 63 and back.
constexpr void signed_field(Entry& e, unsigned high, unsigned low, unsigned scale) {
  e.row.imm_mask = ((uint32_t{2} << high) - 1) & ~((uint32_t{1} << low) - 1);
  e.row.imm_left = static_cast<uint8_t>(63 - high);
  e.row.imm_right = static_cast<uint8_t>(63 - high + low - scale);
}
constexpr void imm7(Entry& e, unsigned scale) { signed_field(e, 21, 15, scale); }
constexpr void imm9(Entry& e, unsigned scale = 0) { signed_field(e, 20, 12, scale); }
constexpr void imm19(Entry& e) { signed_field(e, 23, 5, 2); }
constexpr void imm12(Entry& e, unsigned scale) {
  e.row.imm_mask = 0x003ffc00;
  e.row.imm_left = 0;
  e.row.imm_right = static_cast<uint8_t>(10 - scale);
}

// size 001000 o2 L o1 Rs o0 Rt2 Rn Rt: exclusives, ordered, compare and swap.
constexpr Entry exclusive(uint32_t w) {
  const unsigned size = w >> 30;
  const bool load = w >> 22 & 1;
  switch ((w >> 23 & 1) << 1 | (w >> 21 & 1)) {
    case 0b00:
      return load ? entry(Class::kExclusive, Op::kLoadExclusive, size, 1, kRt | kRn,
                          AddressMode::kBase, Form::kExclusive)
                  : entry(Class::kExclusive, Op::kStoreExclusive, size, 1, kRt | kRs | kRn,
                          AddressMode::kBase, Form::kExclusive);
    case 0b01:
      if (size < 2) {
        Entry e = entry(Class::kLse, Op::kCompareAndSwap, size + 2, 2, kRt | kRs | kRn,
                        AddressMode::kBase, Form::kCompareAndSwapPair);
        e.row.access.acquire = load;
        return e;
      }
      return load ? entry(Class::kExclusive, Op::kLoadExclusive, size, 2, kRt | kRt2 | kRn,
                          AddressMode::kBase, Form::kExclusive)
                  : entry(Class::kExclusive, Op::kStoreExclusive, size, 2, kRt | kRt2 | kRs | kRn,
                          AddressMode::kBase, Form::kExclusive);
    case 0b10: {
      // o0 tells LDAR from LDLAR and STLR from STLLR (FEAT_LOR). Without LORegions, which no CPU
      // here has, the limited forms order as the full ones do.
      Entry e = entry(Class::kOrdered, load ? Op::kLoad : Op::kStore, size, 1, kRt | kRn,
                      AddressMode::kBase);
      e.row.access.acquire = load;
      e.row.access.release = !load;
      return e;
    }
    default: {
      Entry e = entry(Class::kLse, Op::kCompareAndSwap, size, 1, kRt | kRs | kRn,
                      AddressMode::kBase, Form::kCompareAndSwap);
      e.row.access.acquire = load;
      return e;
    }
  }
}

// 0 Q 001100 post L ...: structures. The decoder reads the element size.
constexpr Entry structure(uint32_t w) {
  if (w >> 31) return kNothing;
  const bool post = w >> 23 & 1, load = w >> 22 & 1, single = w >> 24 & 1;
  if (!single && (w >> 21 & 1)) return kNothing;
  Op op = load ? Op::kLoadMultiple : Op::kStoreMultiple;
  if (single) op = load ? Op::kLoadLane : Op::kStoreLane;
  Entry e = entry(Class::kStructure, op, 0, 0, kRt | kRn | (post ? uint64_t{kRm} : 0),
                  post ? AddressMode::kPostRegister : AddressMode::kBase,
                  single ? Form::kStructureSingle : Form::kStructureMultiple);
  e.row.access.vector = 1;
  e.row.access.q = w >> 30 & 1;
  return e;
}

// opc 011 V 00 imm19 Rt
constexpr Entry literal(uint32_t w) {
  const unsigned opc = w >> 30;
  const bool vector = w >> 26 & 1;
  if (opc == 3 && vector) return kNothing;
  if (opc == 3) {
    Entry e = entry(Class::kPrefetch, Op::kPrefetch, 0, 1, kRt, AddressMode::kLiteral);
    imm19(e);
    return e;
  }
  const unsigned size = vector ? opc + 2 : (opc == 1 ? 3 : 2);
  Entry e = entry(Class::kLiteral, Op::kLoad, size, 1, kRt, AddressMode::kLiteral);
  e.row.access.vector = vector;
  if (opc == 2 && !vector) e.row.access.sign = SignExtend::kTo64;
  imm19(e);
  return e;
}

// 11 011001 opc 1 imm9 op2 Rn Rt: FEAT_MTE.
constexpr Entry tags(uint32_t w) {
  const unsigned opc = w >> 22 & 3;
  constexpr AddressMode kModes[] = {AddressMode::kBase, AddressMode::kPostIndex,
                                    AddressMode::kOffset, AddressMode::kPreIndex};
  const AddressMode mode = kModes[w >> 10 & 3];
  Entry e = kNothing;
  if (mode != AddressMode::kBase) {
    e = entry(Class::kMte, opc & 1 ? Op::kStoreTagZero : Op::kStoreTag, 4, opc & 2 ? 2 : 1,
              kRt | kRn, mode);
    imm9(e, 4);
    return e;
  }
  switch (opc) {
    case 0:
      return entry(Class::kMte, Op::kStoreTagZeroMultiple, 4, 1, kRt | kRn, mode,
                   Form::kTagMultiple);
    case 1:
      e = entry(Class::kMte, Op::kLoadTag, 4, 1, kRt | kRn, AddressMode::kOffset);
      imm9(e, 4);
      return e;
    case 2:
      return entry(Class::kMte, Op::kStoreTagMultiple, 4, 1, kRt | kRn, mode, Form::kTagMultiple);
    default:
      return entry(Class::kMte, Op::kLoadTagMultiple, 4, 1, kRt | kRn, mode, Form::kTagMultiple);
  }
}

// 00 011 o0 01 op1 0 Rs op2 01 Rn Rd: FEAT_MOPS.
constexpr Entry memory_copy_or_set(uint32_t w) {
  const unsigned op1 = w >> 22 & 3;
  const bool o0 = w >> 26 & 1;
  const uint64_t registers = kRt | kRs | kRn;
  if (op1 == 3) {
    return entry(Class::kMops, o0 ? Op::kSetTagProlog : Op::kSetProlog, 0, 1, registers,
                 AddressMode::kRegisterVa, Form::kSet);
  }
  constexpr Op kForward[] = {Op::kCopyForwardProlog, Op::kCopyForwardMain, Op::kCopyForwardEpilog};
  constexpr Op kCopy[] = {Op::kCopyProlog, Op::kCopyMain, Op::kCopyEpilog};
  return entry(Class::kMops, o0 ? kCopy[op1] : kForward[op1], 0, 1, registers,
               AddressMode::kRegisterVa, Form::kCopy);
}

// size 011001 opc 0 imm9 00 Rn Rt: LDAPUR, STLUR (FEAT_LRCPC2).
constexpr Entry unscaled_ordered(uint32_t w) {
  const unsigned size = w >> 30, opc = w >> 22 & 3;
  if (size == 3 && opc >= 2) return kNothing;
  if (size == 2 && opc == 3) return kNothing;
  Entry e =
      entry(Class::kRcpc, opc ? Op::kLoad : Op::kStore, size, 1, kRt | kRn, AddressMode::kOffset);
  e.row.access.acquire_pc = opc != 0;
  e.row.access.release = opc == 0;
  if (opc == 2) e.row.access.sign = SignExtend::kTo64;
  if (opc == 3) e.row.access.sign = SignExtend::kTo32;
  imm9(e);
  return e;
}

// size 011001 opc 0 Rt2 opc2 10 Rn Rt: FEAT_LRCPC3, ordered pairs and ordered with write-back.
constexpr Entry ordered_pair(uint32_t w) {
  const unsigned size = w >> 30, opc = w >> 22 & 3;
  if (size < 2) return kNothing;
  const bool load = opc & 1, pair = opc < 2;
  Entry e = entry(Class::kRcpc3, load ? Op::kLoad : Op::kStore, size, pair ? 2 : 1, kRt | kRn,
                  load ? AddressMode::kPostIndex : AddressMode::kPreIndex,
                  pair ? Form::kOrderedPair : Form::kOrderedWriteback);
  e.row.access.acquire_pc = load;
  e.row.access.release = !load;
  const int bytes = static_cast<int>((pair ? 2u : 1u) << size);
  e.row.access.imm = load ? bytes : -bytes;
  return e;
}

// 29:24 == 011001: everything that grew between the pairs and the literals.
constexpr Entry ordered_and_tags(uint32_t w) {
  const unsigned size = w >> 30, op2 = w >> 10 & 3;
  if (w >> 21 & 1) {
    if (size == 3) return tags(w);
    if (size == 2) return kNothing;
    if (op2 == 0) {
      // LSE128; the RCW pairs share the space. The order is A (23), R (22).
      Entry e = entry(Class::kLse128, Op::kSwapPair, 4, 1, kRt | kRn, AddressMode::kBase,
                      Form::kAtomic128);
      e.row.access.acquire = w >> 23 & 1;
      e.row.access.release = w >> 22 & 1;
      e.row.access.q = size;  // For Form::kAtomic128 only: S, cleared by the decoder.
      return e;
    }
    if (op2 == 1) return kNothing;
    return entry(Class::kRcw, Op::kNone, 0, 0, 0, AddressMode::kBase, Form::kRcwCompare);
  }
  switch (op2) {
    case 0:
      return unscaled_ordered(w);
    case 1:
      return size == 0 ? memory_copy_or_set(w) : kNothing;
    case 2:
      return ordered_pair(w);
    default:
      if (size == 3 && (w >> 22 & 3) == 0) {
        return entry(Class::kGcs, Op::kNone, 0, 0, 0, AddressMode::kBase, Form::kGcsStore);
      }
      return kNothing;
  }
}

// 29:24 == 011101: MOPS with o0 == 1, and LDAPUR/STLUR of SIMD&FP registers (FEAT_LRCPC3).
constexpr Entry ordered_vector(uint32_t w) {
  const unsigned size = w >> 30, opc = w >> 22 & 3, op2 = w >> 10 & 3;
  if (w >> 21 & 1) return kNothing;
  if (op2 == 1) return size == 0 ? memory_copy_or_set(w) : kNothing;
  if (op2 != 2) return kNothing;
  if (opc >= 2 && size != 0) return kNothing;
  Entry e = entry(Class::kRcpc3, opc & 1 ? Op::kLoad : Op::kStore, opc & 2 ? 4 : size, 1, kRt | kRn,
                  AddressMode::kOffset);
  e.row.access.vector = 1;
  e.row.access.acquire_pc = opc & 1;
  e.row.access.release = !(opc & 1);
  imm9(e);
  return e;
}

// opc 101 V 0 mode L imm7 Rt2 Rn Rt
constexpr Entry pair(uint32_t w) {
  const unsigned opc = w >> 30, mode_bits = w >> 23 & 3;
  const bool vector = w >> 26 & 1, load = w >> 22 & 1;
  if (opc == 3) return kNothing;
  constexpr AddressMode kModes[] = {AddressMode::kOffset, AddressMode::kPostIndex,
                                    AddressMode::kOffset, AddressMode::kPreIndex};
  const AddressMode mode = kModes[mode_bits];
  if (opc == 1 && !vector) {
    if (mode_bits == 0) return kNothing;
    if (!load) {
      Entry e = entry(Class::kMte, Op::kStoreTagPair, 4, 1, kRt | kRt2 | kRn, mode);
      imm7(e, 4);
      return e;
    }
    Entry e = entry(Class::kPair, Op::kLoad, 2, 2, kRt | kRt2 | kRn, mode);
    e.row.access.sign = SignExtend::kTo64;
    imm7(e, 2);
    return e;
  }
  const unsigned size = vector ? opc + 2 : (opc == 2 ? 3 : 2);
  Entry e = entry(Class::kPair, load ? Op::kLoad : Op::kStore, size, 2, kRt | kRt2 | kRn, mode);
  e.row.access.vector = vector;
  e.row.access.nontemporal = mode_bits == 0;
  imm7(e, size);
  return e;
}

// What size and opc say in all of "size 111 V ...": a prefetch, a load or a store, or nothing.
constexpr Entry register_transfer(uint32_t w, AddressMode mode) {
  const unsigned size = w >> 30, opc = w >> 22 & 3;
  if (w >> 26 & 1) {
    if (opc >= 2 && size != 0) return kNothing;
    Entry e = entry(Class::kLdst, opc & 1 ? Op::kLoad : Op::kStore, opc & 2 ? 4 : size, 1,
                    kRt | kRn, mode);
    e.row.access.vector = 1;
    return e;
  }
  if (size == 3 && opc == 2) {
    Entry e = entry(Class::kPrefetch, Op::kPrefetch, 3, 1, kRt | kRn, mode);
    return e;
  }
  if (size >= 2 && opc == 3) return kNothing;
  Entry e = entry(Class::kLdst, opc ? Op::kLoad : Op::kStore, size, 1, kRt | kRn, mode);
  if (opc == 2) e.row.access.sign = SignExtend::kTo64;
  if (opc == 3) e.row.access.sign = SignExtend::kTo32;
  return e;
}

// size 111 V 00 opc 0 imm9 op2 Rn Rt: unscaled, post-index, unprivileged, pre-index.
constexpr Entry register_imm9(uint32_t w) {
  constexpr AddressMode kModes[] = {AddressMode::kOffset, AddressMode::kPostIndex,
                                    AddressMode::kOffset, AddressMode::kPreIndex};
  const unsigned op2 = w >> 10 & 3;
  Entry e = register_transfer(w, kModes[op2]);
  if (e == kNothing) return e;
  if (e.row.access.op == Op::kPrefetch) {
    if (op2 != 0) return kNothing;  // PRFUM only
    e.row.access.size_log2 = 0;
  }
  if (op2 == 2) {
    if (e.row.access.vector) return kNothing;
    e.row.access.unprivileged = 1;
  }
  imm9(e);
  return e;
}

// size 111 V 00 opc 1 ...: atomics, register offset, LDRAA/LDRAB.
constexpr Entry register_other(uint32_t w) {
  const unsigned size = w >> 30, op2 = w >> 10 & 3;
  const bool vector = w >> 26 & 1;
  if (op2 == 2) {
    Entry e = register_transfer(w, AddressMode::kRegister);
    if (e == kNothing) return e;
    e.row.registers |= kRm;
    e.row.form = Form::kRegisterOffset;
    return e;
  }
  if (vector) return kNothing;
  if (op2 == 0) {
    Entry e =
        entry(Class::kLse, Op::kSwap, size, 1, kRt | kRs | kRn, AddressMode::kBase, Form::kAtomic);
    e.row.access.acquire = w >> 23 & 1;
    e.row.access.release = w >> 22 & 1;
    return e;
  }
  // 11 111000 M S 1 imm9 W 1 Rn Rt: ten bits of offset, in units of 8, of which S is the sign.
  if (size != 3) return kNothing;
  Entry e = entry(Class::kPauth, Op::kLoadAuthenticated, 3, 1, kRt | kRn,
                  op2 == 3 ? AddressMode::kPreIndex : AddressMode::kOffset);
  e.row.access.lane = w >> 23 & 1;
  e.row.imm_mask = 0x001ff000;
  e.row.imm_right = 12 - 3;
  if (w >> 22 & 1) e.row.access.imm = -512 * 8;
  return e;
}

// A word of the group.
constexpr Entry classify(uint32_t w) {
  const bool vector = w >> 26 & 1, bit24 = w >> 24 & 1;
  switch (w >> 28 & 3) {
    case 0b00:
      if (vector) return structure(w);
      return bit24 ? kNothing : exclusive(w);
    case 0b01:
      if (!bit24) return literal(w);
      return vector ? ordered_vector(w) : ordered_and_tags(w);
    case 0b10:
      return pair(w);
    default:
      break;
  }
  if (bit24) {
    Entry e = register_transfer(w, AddressMode::kOffset);
    if (e == kNothing) return e;
    imm12(e, e.row.access.size_log2);
    if (e.row.access.op == Op::kPrefetch) e.row.access.size_log2 = 0;
    return e;
  }
  return w >> 21 & 1 ? register_other(w) : register_imm9(w);
}

struct Table {
  uint16_t row_of_key[kKeys];
  Entry entries[kMaxRows];
  unsigned count;
};

// Few bits of an entry, spread: entries that are equal have the same.
constexpr unsigned hash_of(const Entry& e) {
  const Access& a = e.row.access;
  uint32_t h = static_cast<uint32_t>(a.op) | static_cast<uint32_t>(a.size_log2) << 8 |
               static_cast<uint32_t>(a.count) << 12 | static_cast<uint32_t>(a.mode) << 16 |
               static_cast<uint32_t>(e.row.form) << 20 | static_cast<uint32_t>(a.sign) << 26 |
               static_cast<uint32_t>(a.vector) << 28 | static_cast<uint32_t>(a.acquire) << 29 |
               static_cast<uint32_t>(a.release) << 30 | static_cast<uint32_t>(a.q) << 31;
  h ^= static_cast<uint32_t>(e.cls) * 0x85eb'ca6bu ^ static_cast<uint32_t>(e.row.registers >> 20);
  return h * 0x9e37'79b1u >> 22;
}

// The compiler runs this, within the steps that every compiler grants a constant by itself: what is
// outside the group is not classified, and equal entries are found by a hash.
constexpr Table build() {
  constexpr unsigned kHashed = 1024;
  uint16_t hashed[kHashed] = {};  // 0: free; else the entry's number plus 1
  Table t{};
  t.entries[0] = kNothing;
  t.entries[1] = kElsewhere;
  t.count = 2;
  hashed[hash_of(kNothing)] = 1;
  for (unsigned key = 0; key < kKeys; ++key) {
    const uint32_t word = word_of(key);
    if (!in_loads_and_stores(word)) {
      t.row_of_key[key] = 1;
      continue;
    }
    const Entry e = classify(word);
    unsigned at = hash_of(e);
    while (hashed[at] != 0 && !(t.entries[hashed[at] - 1u] == e)) at = (at + 1) % kHashed;
    if (hashed[at] == 0) {
      t.entries[t.count++] = e;
      hashed[at] = static_cast<uint16_t>(t.count);
    }
    t.row_of_key[key] = static_cast<uint16_t>(hashed[at] - 1u);
  }
  return t;
}

constexpr Table kTable = build();
static_assert(kTable.count <= kMaxRows);

}  // namespace

constexpr RowsOfKeys kRowOfKey = [] {
  RowsOfKeys c{};
  for (unsigned key = 0; key < kKeys; ++key) c.row[key] = kTable.row_of_key[key];
  return c;
}();

constexpr Rows kRows = [] {
  Rows c{};
  for (unsigned i = 0; i < kTable.count; ++i) c.row[i] = kTable.entries[i].row;
  return c;
}();

constexpr Classes kClasses = [] {
  Classes c{};
  for (unsigned i = 0; i < kTable.count; ++i) c.of_row[i] = kTable.entries[i].cls;
  return c;
}();

}  // namespace trapline::a64
