#include "decode/a64_decoder.h"
#include "decode/c_access.h"

namespace trapline {
namespace {

// The C enumerations are written out for C compilers; they say the same as access.h.
#define MIRRORS(c, cpp) static_assert(static_cast<int>(c) == static_cast<int>(cpp))
MIRRORS(TL_OP_NONE, Op::kNone);
MIRRORS(TL_OP_LOAD, Op::kLoad);
MIRRORS(TL_OP_STORE, Op::kStore);
MIRRORS(TL_OP_LOAD_EXCLUSIVE, Op::kLoadExclusive);
MIRRORS(TL_OP_STORE_EXCLUSIVE, Op::kStoreExclusive);
MIRRORS(TL_OP_COMPARE_AND_SWAP, Op::kCompareAndSwap);
MIRRORS(TL_OP_SWAP, Op::kSwap);
MIRRORS(TL_OP_ATOMIC_ADD, Op::kAtomicAdd);
MIRRORS(TL_OP_ATOMIC_CLEAR, Op::kAtomicClear);
MIRRORS(TL_OP_ATOMIC_EOR, Op::kAtomicEor);
MIRRORS(TL_OP_ATOMIC_SET, Op::kAtomicSet);
MIRRORS(TL_OP_ATOMIC_SMAX, Op::kAtomicSmax);
MIRRORS(TL_OP_ATOMIC_SMIN, Op::kAtomicSmin);
MIRRORS(TL_OP_ATOMIC_UMAX, Op::kAtomicUmax);
MIRRORS(TL_OP_ATOMIC_UMIN, Op::kAtomicUmin);
MIRRORS(TL_OP_SWAP_PAIR, Op::kSwapPair);
MIRRORS(TL_OP_ATOMIC_CLEAR_PAIR, Op::kAtomicClearPair);
MIRRORS(TL_OP_ATOMIC_SET_PAIR, Op::kAtomicSetPair);
MIRRORS(TL_OP_LOAD_AUTHENTICATED, Op::kLoadAuthenticated);
MIRRORS(TL_OP_LOAD_MULTIPLE, Op::kLoadMultiple);
MIRRORS(TL_OP_STORE_MULTIPLE, Op::kStoreMultiple);
MIRRORS(TL_OP_LOAD_LANE, Op::kLoadLane);
MIRRORS(TL_OP_STORE_LANE, Op::kStoreLane);
MIRRORS(TL_OP_LOAD_REPLICATE, Op::kLoadReplicate);
MIRRORS(TL_OP_LOAD_64B, Op::kLoad64B);
MIRRORS(TL_OP_STORE_64B, Op::kStore64B);
MIRRORS(TL_OP_STORE_64BV, Op::kStore64BV);
MIRRORS(TL_OP_STORE_64BV0, Op::kStore64BV0);
MIRRORS(TL_OP_STORE_TAG, Op::kStoreTag);
MIRRORS(TL_OP_STORE_TAG_ZERO, Op::kStoreTagZero);
MIRRORS(TL_OP_STORE_TAG_PAIR, Op::kStoreTagPair);
MIRRORS(TL_OP_LOAD_TAG, Op::kLoadTag);
MIRRORS(TL_OP_LOAD_TAG_MULTIPLE, Op::kLoadTagMultiple);
MIRRORS(TL_OP_STORE_TAG_MULTIPLE, Op::kStoreTagMultiple);
MIRRORS(TL_OP_STORE_TAG_ZERO_MULTIPLE, Op::kStoreTagZeroMultiple);
MIRRORS(TL_OP_COPY_FORWARD_PROLOG, Op::kCopyForwardProlog);
MIRRORS(TL_OP_COPY_FORWARD_MAIN, Op::kCopyForwardMain);
MIRRORS(TL_OP_COPY_FORWARD_EPILOG, Op::kCopyForwardEpilog);
MIRRORS(TL_OP_COPY_PROLOG, Op::kCopyProlog);
MIRRORS(TL_OP_COPY_MAIN, Op::kCopyMain);
MIRRORS(TL_OP_COPY_EPILOG, Op::kCopyEpilog);
MIRRORS(TL_OP_SET_PROLOG, Op::kSetProlog);
MIRRORS(TL_OP_SET_MAIN, Op::kSetMain);
MIRRORS(TL_OP_SET_EPILOG, Op::kSetEpilog);
MIRRORS(TL_OP_SET_TAG_PROLOG, Op::kSetTagProlog);
MIRRORS(TL_OP_SET_TAG_MAIN, Op::kSetTagMain);
MIRRORS(TL_OP_SET_TAG_EPILOG, Op::kSetTagEpilog);
MIRRORS(TL_OP_PREFETCH, Op::kPrefetch);
MIRRORS(TL_OP_ZERO_BLOCK, Op::kZeroBlock);
MIRRORS(TL_OP_ZERO_BLOCK_TAGS, Op::kZeroBlockTags);
MIRRORS(TL_OP_ZERO_BLOCK_BOTH, Op::kZeroBlockBoth);
MIRRORS(TL_OP_CACHE_MAINTENANCE, Op::kCacheMaintenance);
MIRRORS(TL_OP_COUNT, Op::kCount);
MIRRORS(TL_MODE_BASE, AddressMode::kBase);
MIRRORS(TL_MODE_OFFSET, AddressMode::kOffset);
MIRRORS(TL_MODE_PRE_INDEX, AddressMode::kPreIndex);
MIRRORS(TL_MODE_POST_INDEX, AddressMode::kPostIndex);
MIRRORS(TL_MODE_REGISTER, AddressMode::kRegister);
MIRRORS(TL_MODE_POST_REGISTER, AddressMode::kPostRegister);
MIRRORS(TL_MODE_LITERAL, AddressMode::kLiteral);
MIRRORS(TL_MODE_REGISTER_VA, AddressMode::kRegisterVa);
MIRRORS(TL_EXTEND_UXTW, Extend::kUxtw);
MIRRORS(TL_EXTEND_LSL, Extend::kLsl);
MIRRORS(TL_EXTEND_SXTW, Extend::kSxtw);
MIRRORS(TL_EXTEND_SXTX, Extend::kSxtx);
MIRRORS(TL_SIGN_NONE, SignExtend::kNone);
MIRRORS(TL_SIGN_TO_32, SignExtend::kTo32);
MIRRORS(TL_SIGN_TO_64, SignExtend::kTo64);
MIRRORS(TL_OK, DecodeStatus::kAccess);
MIRRORS(TL_NOT_MEMORY, DecodeStatus::kNotMemory);
MIRRORS(TL_UNALLOCATED, DecodeStatus::kUnallocated);
MIRRORS(TL_UNSUPPORTED, DecodeStatus::kUnsupported);
#undef MIRRORS

static_assert(sizeof(tl_access) == 48, "the layout is the library's ABI");

}  // namespace
}  // namespace trapline

extern "C" tl_status tl_decode(uint32_t word, struct tl_access* out) {
  trapline::Access a;
  const auto status = static_cast<tl_status>(trapline::decode(word, a));
  *out = {};
  if (status != TL_OK) return status;
  trapline::access_to_c(a, *out);
  return status;
}

extern "C" const char* tl_decode_class(uint32_t word) { return trapline::decode_class(word); }

extern "C" const char* tl_status_text(tl_status status) {
  switch (status) {
    case TL_OK:
      return "an access to memory";
    case TL_NOT_MEMORY:
      return "not a memory instruction";
    case TL_UNALLOCATED:
      return "no instruction has this encoding";
    case TL_UNSUPPORTED:
      return "a memory instruction that is recognised but not described";
  }
  return "no status of this library";
}
