// Handlers of two instructions: comparisons with the branch that they decide, and the pairs that a
// booting Linux executes most (measured; each saves a dispatch).
#include <iterator>

#include "vmm/soft/ops/ops_bodies.h"

namespace trapline::soft {
namespace {

template <typename Compare, int kCond>
TL_OP(op_compare_branch) {
  constexpr bool kLocal = true;
  typename Compare::Type a, b;
  Compare::operands(cpu, op, a, b);
  sub_flags(e, a, b);
  ++op;
  if (holds_between<kCond>(a, b)) TL_FOLLOW(taken, leave_taken);
  TL_FOLLOW(next, leave_next);
}
// TST and the other flag-setting AND: C and V are clear.
template <typename T, int kCond>
TL_OP(op_test_branch) {
  constexpr bool kLocal = true;
  T result = static_cast<T>(cpu->r.x[op->n] & static_cast<uint64_t>(static_cast<int64_t>(op->imm)));
  logic_flags<T>(e, result);
  ++op;
  if ((result == 0) == (kCond == 0)) TL_FOLLOW(taken, leave_taken);
  TL_FOLLOW(next, leave_next);
}

struct Pair {
  Handler first, second, both;
};
template <typename First, typename Second>
constexpr Pair pair() {
  return {op_one<First>, op_one<Second>, op_two<First, Second>};
}

using X = uint64_t;
using W = uint32_t;
using LoadX = Load<X, X, kImm, false>;
using LoadXSp = Load<X, X, kImm, true>;
using LoadW = Load<W, W, kImm, false>;
using StoreX = Store<X, kImm, false>;
using StoreXSp = Store<X, kImm, true>;
using LoadPairSp = LoadPair<X, kImm, true>;
using LoadPairPop = LoadPair<X, kPost, true>;
using StorePairSp = StorePair<X, kImm, true>;
using StorePairPush = StorePair<X, kPre, true>;
using MoveX = MoveRegister<X>;
using MoveW = MoveRegister<W>;

const Pair kPairs[] = {
    // Where a function begins that the kernel may be told to trace.
    {op_nop, op_nop, op_two<Nothing, Nothing>},
    pair<LoadPairSp, LoadPairSp>(),
    pair<LoadPairSp, LoadPairPop>(),
    pair<LoadPairSp, LoadXSp>(),
    pair<LoadXSp, LoadPairPop>(),
    pair<LoadXSp, LoadX>(),
    pair<StorePairSp, StorePairSp>(),
    pair<StorePairSp, MoveX>(),
    pair<StorePairPush, MoveSp<X>>(),
    pair<MoveSp<X>, StorePairSp>(),
    pair<MoveX, MoveX>(),
    pair<MoveX, MoveImmediate>(),
    pair<MoveX, StorePairSp>(),
    pair<MoveX, AddImmediate<X>>(),
    pair<MoveX, LoadX>(),
    pair<MoveW, MoveX>(),
    pair<MoveX, MoveW>(),
    pair<MoveImmediate, MoveImmediate>(),
    pair<MoveImmediate, MoveX>(),
    pair<LoadX, LoadX>(),
    pair<LoadW, LoadW>(),
    pair<LoadX, AddImmediate<X>>(),
    pair<LoadX, StoreXSp>(),
    pair<LoadX, MoveX>(),
    pair<LoadX, CompareRegister<X>>(),
    pair<StoreXSp, MoveImmediate>(),
    pair<StoreX, StoreX>(),
    pair<Adrp, LoadX>(),
    pair<Adrp, AddImmediate<X>>(),
    pair<AddImmediate<X>, AddImmediate<X>>(),
    pair<AddImmediate<X>, StorePairSp>(),
    pair<AddImmediate<X>, CompareRegister<X>>(),
    pair<AddImmediate<X>, MoveX>(),
    pair<AddImmediate<X>, LoadX>(),
    pair<AddRegister<X>, LoadX>(),
    pair<AddRegister<W>, AddRegister<W>>(),
};

// Asked for each instruction of each block that is built: found by hash, open addressing.
class PairTable {
 public:
  PairTable() {
    static_assert(std::size(kPairs) * 4 <= kSize);
    for (const Pair& pair : kPairs) {
      unsigned at = index(pair.first, pair.second);
      while (slots_[at] != nullptr) at = (at + 1) % kSize;
      slots_[at] = &pair;
    }
  }
  Handler find(Handler first, Handler second) const {
    for (unsigned at = index(first, second); slots_[at] != nullptr; at = (at + 1) % kSize) {
      if (slots_[at]->first == first && slots_[at]->second == second) return slots_[at]->both;
    }
    return nullptr;
  }

 private:
  static constexpr unsigned kLog2 = 8, kSize = 1u << kLog2;
  static unsigned index(Handler first, Handler second) {
    const auto a = reinterpret_cast<uintptr_t>(first), b = reinterpret_cast<uintptr_t>(second);
    const uint64_t key = a ^ (uint64_t{b} << 20 | b >> 44);
    return static_cast<unsigned>(key * 0x9e3779b97f4a7c15u >> (64 - kLog2));
  }
  const Pair* slots_[kSize] = {};
};
const PairTable kPairTable;

template <typename Compare>
Handler compare_handler(unsigned cond) {
  return choose<14>(cond, []<int kCond>() -> Handler { return op_compare_branch<Compare, kCond>; });
}

// A handler for two adjacent ops at once, or null. `last`: what the second returned.
Handler fuse(const Op& first, const Op& second, Predecoded last) {
  if (last == Predecoded::kLinks) {
    const int cond = local_condition(second);
    if (cond < 0) return nullptr;
    const auto c = static_cast<unsigned>(cond);
    if (first.fn == op_one<CompareRegister<X>>) return compare_handler<CompareRegister<X>>(c);
    if (first.fn == op_one<CompareRegister<W>>) return compare_handler<CompareRegister<W>>(c);
    if (first.fn == op_one<CompareImmediate<X>>) return compare_handler<CompareImmediate<X>>(c);
    if (first.fn == op_one<CompareImmediate<W>>) return compare_handler<CompareImmediate<W>>(c);
    if (c > 1) return nullptr;
    if (first.fn == op_one<TestImmediate<X>>) {
      return c == 0 ? op_test_branch<X, 0> : op_test_branch<X, 1>;
    }
    if (first.fn == op_one<TestImmediate<W>>) {
      return c == 0 ? op_test_branch<W, 0> : op_test_branch<W, 1>;
    }
    return nullptr;
  }
  if (last != Predecoded::kNext) return nullptr;
  return kPairTable.find(first.fn, second.fn);
}

}  // namespace

void fuse_pairs(Op* ops, unsigned length, Predecoded last) {
  // From the end, so that a branch gets its comparison first; no op takes part in two pairs.
  for (unsigned i = length; i >= 2; --i) {
    if (Handler both = fuse(ops[i - 2], ops[i - 1], i == length ? last : Predecoded::kNext)) {
      ops[i - 2].fn = both;
      --i;
    }
  }
}

}  // namespace trapline::soft
