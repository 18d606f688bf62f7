// What one A64 memory instruction does, in 16 bytes: the currency between the decoder, the
// decoded-instruction cache and mmio::emulate(). It holds no address and no register values.
//
// Freestanding: this header must compile with -ffreestanding -fno-exceptions -fno-rtti.
#ifndef TRAPLINE_DECODE_ACCESS_H_
#define TRAPLINE_DECODE_ACCESS_H_

#include <cstdint>

namespace trapline {

// The operation. Names follow the instruction descriptions of Arm ARM DDI 0487, C6.2 and C7.2.
enum class Op : uint8_t {
  kNone = 0,  // Not an access; a zeroed Access is recognisably empty.

  // `count` elements of `1 << size_log2` bytes, at ascending addresses, to or from rt, rt2.
  kLoad,
  kStore,

  // LDXR/LDAXR/LDXP/LDAXP, STXR/STLXR/STXP/STLXP. Status register of the store: rs.
  kLoadExclusive,
  kStoreExclusive,

  // CAS{A}{L}{B|H} (rs: compare and result, rt: new value). CASP has count == 2 and size_log2 2 or
  // 3; like LDXP/STXP it is one atomic unit, aligned to bytes().
  kCompareAndSwap,
  // LSE: rt receives the old value, rs is the operand. ST<op> is LD<op> with rt == 31.
  kSwap,
  kAtomicAdd,
  kAtomicClear,  // LDCLR: old & ~operand
  kAtomicEor,
  kAtomicSet,  // LDSET: old | operand
  kAtomicSmax,
  kAtomicSmin,
  kAtomicUmax,
  kAtomicUmin,
  // LSE128 (FEAT_LSE128): a 16-byte element; rt is the low and rt2 the high half.
  kSwapPair,
  kAtomicClearPair,
  kAtomicSetPair,

  // LDRAA/LDRAB: as kLoad, the base carries a PAC that is stripped. Key (0 A, 1 B) in `lane`.
  kLoadAuthenticated,

  // LD1-LD4/ST1-ST4. Multiple structures: regs() registers starting at rt, `q`, `interleaved`.
  kLoadMultiple,
  kStoreMultiple,
  // Single structure: element `lane` of regs() registers starting at rt.
  kLoadLane,
  kStoreLane,
  // LD1R-LD4R: one element a register, replicated to every lane of a 64- (q=0) or 128-bit vector.
  kLoadReplicate,

  // FEAT_LS64: eight registers from rt. ST64BV/ST64BV0: status in rs.
  kLoad64B,
  kStore64B,
  kStore64BV,
  kStore64BV0,

  // FEAT_MTE. `imm` is the byte offset. One granule is 16 bytes; count granules. Rt == 31 is SP for
  // STG, STZG, ST2G, STZ2G.
  kStoreTag,              // STG, ST2G
  kStoreTagZero,          // STZG, STZ2G: also zeroes the data
  kStoreTagPair,          // STGP: also stores rt, rt2
  kLoadTag,               // LDG
  kLoadTagMultiple,       // LDGM
  kStoreTagMultiple,      // STGM
  kStoreTagZeroMultiple,  // STZGM

  // FEAT_MOPS. Destination register rt (Rd), source rs (Rs), size rn (Rn). `imm` holds the option
  // bits (non-temporal and unprivileged), word bits 15:12.
  kCopyForwardProlog,
  kCopyForwardMain,
  kCopyForwardEpilog,
  kCopyProlog,
  kCopyMain,
  kCopyEpilog,
  // SET*: data value in rs.
  kSetProlog,
  kSetMain,
  kSetEpilog,
  kSetTagProlog,
  kSetTagMain,
  kSetTagEpilog,

  // PRFM, PRFUM, RPRFM: no effect on a device. Prefetch operation in rt. RPRFM has mode kBase and
  // rt >= 24, its operation in imm and the range's metadata in rm.
  kPrefetch,
  kZeroBlock,         // DC ZVA: address in rt; writes the whole block that holds it
  kZeroBlockTags,     // DC GVA
  kZeroBlockBoth,     // DC GZVA
  kCacheMaintenance,  // DC/IC by VA: address in rt; `imm` is op1:CRm:op2 (bits 13:10, 7:4, 2:0)

  kCount
};

// How the address is formed (C1.3.3). For the pre- and post-indexed modes the base is written back.
enum class AddressMode : uint8_t {
  kBase = 0,      // [Xn|SP]
  kOffset,        // [Xn|SP, #imm]
  kPreIndex,      // [Xn|SP, #imm]!
  kPostIndex,     // [Xn|SP], #imm
  kRegister,      // [Xn|SP, Rm, <extend> #shift]
  kPostRegister,  // [Xn|SP], Xm  (SIMD structures)
  kLiteral,       // PC + imm
  kRegisterVa,    // the address is Xt itself (DC, IC); MOPS forms its own
};

enum class Extend : uint8_t { kUxtw = 0, kLsl = 1, kSxtw = 2, kSxtx = 3 };

// What a narrower load does with the upper bits of the destination. kNone zero-extends to 64 bits.
enum class SignExtend : uint8_t { kNone = 0, kTo32 = 1, kTo64 = 2 };

inline constexpr uint8_t kRegZr = 31;  // in rt, rt2, rs, rm: XZR. In rn: SP.

struct Access {
  Op op;
  uint8_t size_log2;  // log2 of an element's bytes: 0..4 (16-byte: Q registers, LSE128)
  uint8_t count;      // elements in memory, at ascending addresses: 1..64
  uint8_t rt;         // first data register
  uint8_t rt2;        // second data register of a pair
  uint8_t rs;         // status, compare value or operand
  uint8_t rn;         // base; 31 is SP
  uint8_t rm;         // offset register
  int32_t imm;        // byte offset, already scaled

  // byte 12
  AddressMode mode : 3;
  Extend extend : 2;
  uint8_t shift : 3;  // of the offset register: 0..4

  // byte 13
  SignExtend sign : 2;
  uint8_t vector : 1;        // rt, rt2 name SIMD&FP registers
  uint8_t unprivileged : 1;  // LDTR, STTR: checked as EL0
  uint8_t acquire : 1;       // LDAR, LDAXR, CASA...
  uint8_t acquire_pc : 1;    // LDAPR, LDAPUR, LDIAPP, LDAP1
  uint8_t release : 1;       // STLR, STLXR, CASL, LDLAR's counterpart STLLR...
  uint8_t nontemporal : 1;   // LDNP, STNP: a hint

  // byte 14
  uint8_t lane : 4;         // single-structure lane index
  uint8_t extra_regs : 2;   // structure registers - 1
  uint8_t q : 1;            // structures: 128-bit registers
  uint8_t interleaved : 1;  // LD2-LD4/ST2-ST4: consecutive elements go to consecutive registers

  uint8_t spare;  // byte 15: zero from every decoder; InstructionSource's mark

  constexpr unsigned element_bytes() const { return 1u << size_log2; }
  constexpr unsigned bytes() const { return unsigned{count} << size_log2; }
  constexpr unsigned regs() const { return extra_regs + 1u; }
  constexpr bool writes_back() const {
    return mode == AddressMode::kPreIndex || mode == AddressMode::kPostIndex ||
           mode == AddressMode::kPostRegister;
  }
  friend constexpr bool operator==(const Access&, const Access&) = default;
};
static_assert(sizeof(Access) == 16, "an Access and its cache key share one cache line by fours");
static_assert(alignof(Access) == 4, "no hidden padding");

// What the access does to memory; a read-modify-write does both. ESR_ELx.WnR is 0 for kReadWrite
// when a read of the location would also fault, 1 otherwise (D17.2.37).
constexpr bool reads_memory(Op op) {
  switch (op) {
    case Op::kLoad:
    case Op::kLoadExclusive:
    case Op::kLoadAuthenticated:
    case Op::kLoadMultiple:
    case Op::kLoadLane:
    case Op::kLoadReplicate:
    case Op::kLoad64B:
    case Op::kLoadTag:
    case Op::kLoadTagMultiple:
    case Op::kCompareAndSwap:
    case Op::kSwap:
    case Op::kSwapPair:
      return true;
    default:
      return (op >= Op::kAtomicAdd && op <= Op::kAtomicUmin) || op == Op::kAtomicClearPair ||
             op == Op::kAtomicSetPair || (op >= Op::kCopyForwardProlog && op <= Op::kCopyEpilog);
  }
}

constexpr bool writes_memory(Op op) {
  switch (op) {
    case Op::kStore:
    case Op::kStoreExclusive:
    case Op::kCompareAndSwap:
    case Op::kSwap:
    case Op::kSwapPair:
    case Op::kStoreMultiple:
    case Op::kStoreLane:
    case Op::kStore64B:
    case Op::kStore64BV:
    case Op::kStore64BV0:
    case Op::kZeroBlock:
    case Op::kZeroBlockTags:
    case Op::kZeroBlockBoth:
      return true;
    default:
      return (op >= Op::kAtomicAdd && op <= Op::kAtomicUmin) || op == Op::kAtomicClearPair ||
             op == Op::kAtomicSetPair || (op >= Op::kStoreTag && op <= Op::kStoreTagPair) ||
             op == Op::kStoreTagMultiple || op == Op::kStoreTagZeroMultiple ||
             (op >= Op::kCopyForwardProlog && op <= Op::kSetTagEpilog);
  }
}

constexpr bool is_read_modify_write(Op op) {
  return op == Op::kCompareAndSwap || op == Op::kSwap || op == Op::kSwapPair ||
         (op >= Op::kAtomicAdd && op <= Op::kAtomicSetPair && op != Op::kSwapPair);
}

}  // namespace trapline

#endif  // TRAPLINE_DECODE_ACCESS_H_
