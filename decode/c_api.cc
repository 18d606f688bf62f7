#include <cstddef>

#include "decode/a64_decoder.h"
#include "decode/trapline_decode.h"

namespace trapline {
namespace {

// The C enumerations are written out for C compilers; they say the same as access.h.
#define MIRRORS(c, cpp) static_assert(static_cast<int>(c) == static_cast<int>(cpp))
MIRRORS(TRAPLINE_OP_NONE, Op::kNone);
MIRRORS(TRAPLINE_OP_LOAD, Op::kLoad);
MIRRORS(TRAPLINE_OP_STORE, Op::kStore);
MIRRORS(TRAPLINE_OP_LOAD_EXCLUSIVE, Op::kLoadExclusive);
MIRRORS(TRAPLINE_OP_STORE_EXCLUSIVE, Op::kStoreExclusive);
MIRRORS(TRAPLINE_OP_COMPARE_AND_SWAP, Op::kCompareAndSwap);
MIRRORS(TRAPLINE_OP_SWAP, Op::kSwap);
MIRRORS(TRAPLINE_OP_ATOMIC_ADD, Op::kAtomicAdd);
MIRRORS(TRAPLINE_OP_ATOMIC_CLEAR, Op::kAtomicClear);
MIRRORS(TRAPLINE_OP_ATOMIC_EOR, Op::kAtomicEor);
MIRRORS(TRAPLINE_OP_ATOMIC_SET, Op::kAtomicSet);
MIRRORS(TRAPLINE_OP_ATOMIC_SMAX, Op::kAtomicSmax);
MIRRORS(TRAPLINE_OP_ATOMIC_SMIN, Op::kAtomicSmin);
MIRRORS(TRAPLINE_OP_ATOMIC_UMAX, Op::kAtomicUmax);
MIRRORS(TRAPLINE_OP_ATOMIC_UMIN, Op::kAtomicUmin);
MIRRORS(TRAPLINE_OP_SWAP_PAIR, Op::kSwapPair);
MIRRORS(TRAPLINE_OP_ATOMIC_CLEAR_PAIR, Op::kAtomicClearPair);
MIRRORS(TRAPLINE_OP_ATOMIC_SET_PAIR, Op::kAtomicSetPair);
MIRRORS(TRAPLINE_OP_LOAD_AUTHENTICATED, Op::kLoadAuthenticated);
MIRRORS(TRAPLINE_OP_LOAD_MULTIPLE, Op::kLoadMultiple);
MIRRORS(TRAPLINE_OP_STORE_MULTIPLE, Op::kStoreMultiple);
MIRRORS(TRAPLINE_OP_LOAD_LANE, Op::kLoadLane);
MIRRORS(TRAPLINE_OP_STORE_LANE, Op::kStoreLane);
MIRRORS(TRAPLINE_OP_LOAD_REPLICATE, Op::kLoadReplicate);
MIRRORS(TRAPLINE_OP_LOAD_64B, Op::kLoad64B);
MIRRORS(TRAPLINE_OP_STORE_64B, Op::kStore64B);
MIRRORS(TRAPLINE_OP_STORE_64BV, Op::kStore64BV);
MIRRORS(TRAPLINE_OP_STORE_64BV0, Op::kStore64BV0);
MIRRORS(TRAPLINE_OP_STORE_TAG, Op::kStoreTag);
MIRRORS(TRAPLINE_OP_STORE_TAG_ZERO, Op::kStoreTagZero);
MIRRORS(TRAPLINE_OP_STORE_TAG_PAIR, Op::kStoreTagPair);
MIRRORS(TRAPLINE_OP_LOAD_TAG, Op::kLoadTag);
MIRRORS(TRAPLINE_OP_LOAD_TAG_MULTIPLE, Op::kLoadTagMultiple);
MIRRORS(TRAPLINE_OP_STORE_TAG_MULTIPLE, Op::kStoreTagMultiple);
MIRRORS(TRAPLINE_OP_STORE_TAG_ZERO_MULTIPLE, Op::kStoreTagZeroMultiple);
MIRRORS(TRAPLINE_OP_COPY_FORWARD_PROLOG, Op::kCopyForwardProlog);
MIRRORS(TRAPLINE_OP_COPY_FORWARD_MAIN, Op::kCopyForwardMain);
MIRRORS(TRAPLINE_OP_COPY_FORWARD_EPILOG, Op::kCopyForwardEpilog);
MIRRORS(TRAPLINE_OP_COPY_PROLOG, Op::kCopyProlog);
MIRRORS(TRAPLINE_OP_COPY_MAIN, Op::kCopyMain);
MIRRORS(TRAPLINE_OP_COPY_EPILOG, Op::kCopyEpilog);
MIRRORS(TRAPLINE_OP_SET_PROLOG, Op::kSetProlog);
MIRRORS(TRAPLINE_OP_SET_MAIN, Op::kSetMain);
MIRRORS(TRAPLINE_OP_SET_EPILOG, Op::kSetEpilog);
MIRRORS(TRAPLINE_OP_SET_TAG_PROLOG, Op::kSetTagProlog);
MIRRORS(TRAPLINE_OP_SET_TAG_MAIN, Op::kSetTagMain);
MIRRORS(TRAPLINE_OP_SET_TAG_EPILOG, Op::kSetTagEpilog);
MIRRORS(TRAPLINE_OP_PREFETCH, Op::kPrefetch);
MIRRORS(TRAPLINE_OP_ZERO_BLOCK, Op::kZeroBlock);
MIRRORS(TRAPLINE_OP_ZERO_BLOCK_TAGS, Op::kZeroBlockTags);
MIRRORS(TRAPLINE_OP_ZERO_BLOCK_BOTH, Op::kZeroBlockBoth);
MIRRORS(TRAPLINE_OP_CACHE_MAINTENANCE, Op::kCacheMaintenance);
MIRRORS(TRAPLINE_OP_COUNT, Op::kCount);
MIRRORS(TRAPLINE_MODE_BASE, AddressMode::kBase);
MIRRORS(TRAPLINE_MODE_OFFSET, AddressMode::kOffset);
MIRRORS(TRAPLINE_MODE_PRE_INDEX, AddressMode::kPreIndex);
MIRRORS(TRAPLINE_MODE_POST_INDEX, AddressMode::kPostIndex);
MIRRORS(TRAPLINE_MODE_REGISTER, AddressMode::kRegister);
MIRRORS(TRAPLINE_MODE_POST_REGISTER, AddressMode::kPostRegister);
MIRRORS(TRAPLINE_MODE_LITERAL, AddressMode::kLiteral);
MIRRORS(TRAPLINE_MODE_REGISTER_VA, AddressMode::kRegisterVa);
MIRRORS(TRAPLINE_EXTEND_UXTW, Extend::kUxtw);
MIRRORS(TRAPLINE_EXTEND_LSL, Extend::kLsl);
MIRRORS(TRAPLINE_EXTEND_SXTW, Extend::kSxtw);
MIRRORS(TRAPLINE_EXTEND_SXTX, Extend::kSxtx);
MIRRORS(TRAPLINE_SIGN_NONE, SignExtend::kNone);
MIRRORS(TRAPLINE_SIGN_TO_32, SignExtend::kTo32);
MIRRORS(TRAPLINE_SIGN_TO_64, SignExtend::kTo64);
MIRRORS(TRAPLINE_ACCESS, DecodeStatus::kAccess);
MIRRORS(TRAPLINE_NOT_MEMORY, DecodeStatus::kNotMemory);
MIRRORS(TRAPLINE_UNALLOCATED, DecodeStatus::kUnallocated);
MIRRORS(TRAPLINE_UNSUPPORTED, DecodeStatus::kUnsupported);
#undef MIRRORS

static_assert(sizeof(trapline_access) == sizeof(Access));
static_assert(offsetof(trapline_access, op) == offsetof(Access, op));
static_assert(offsetof(trapline_access, size_log2) == offsetof(Access, size_log2));
static_assert(offsetof(trapline_access, count) == offsetof(Access, count));
static_assert(offsetof(trapline_access, rt) == offsetof(Access, rt));
static_assert(offsetof(trapline_access, rt2) == offsetof(Access, rt2));
static_assert(offsetof(trapline_access, rs) == offsetof(Access, rs));
static_assert(offsetof(trapline_access, rn) == offsetof(Access, rn));
static_assert(offsetof(trapline_access, rm) == offsetof(Access, rm));
static_assert(offsetof(trapline_access, imm) == offsetof(Access, imm));
static_assert(offsetof(trapline_access, spare) == offsetof(Access, spare));
static_assert(offsetof(trapline_access, address) == 12 && offsetof(trapline_access, flags) == 13 &&
              offsetof(trapline_access, lanes) == 14);

// The bit-fields, byte by byte: their order inside a byte is the compiler's, that of the C struct
// is not.
uint8_t address_byte(const Access& a) {
  return static_cast<uint8_t>(static_cast<unsigned>(a.mode) | static_cast<unsigned>(a.extend) << 3 |
                              unsigned{a.shift} << 5);
}

uint8_t flags_byte(const Access& a) {
  unsigned flags = static_cast<unsigned>(a.sign);
  if (a.vector) flags |= TRAPLINE_VECTOR;
  if (a.unprivileged) flags |= TRAPLINE_UNPRIVILEGED;
  if (a.acquire) flags |= TRAPLINE_ACQUIRE;
  if (a.acquire_pc) flags |= TRAPLINE_ACQUIRE_PC;
  if (a.release) flags |= TRAPLINE_RELEASE;
  if (a.nontemporal) flags |= TRAPLINE_NONTEMPORAL;
  return static_cast<uint8_t>(flags);
}

uint8_t lanes_byte(const Access& a) {
  return static_cast<uint8_t>(unsigned{a.lane} | unsigned{a.extra_regs} << 4 | unsigned{a.q} << 6 |
                              unsigned{a.interleaved} << 7);
}

}  // namespace
}  // namespace trapline

extern "C" int trapline_decode(uint32_t word, struct trapline_access* out) {
  trapline::Access a;
  const trapline::DecodeStatus status = trapline::decode(word, a);
  *out = trapline_access{.op = static_cast<uint8_t>(a.op),
                         .size_log2 = a.size_log2,
                         .count = a.count,
                         .rt = a.rt,
                         .rt2 = a.rt2,
                         .rs = a.rs,
                         .rn = a.rn,
                         .rm = a.rm,
                         .imm = a.imm,
                         .address = trapline::address_byte(a),
                         .flags = trapline::flags_byte(a),
                         .lanes = trapline::lanes_byte(a),
                         .spare = a.spare};
  return static_cast<int>(status);
}

extern "C" const char* trapline_decode_class(uint32_t word) { return trapline::decode_class(word); }
