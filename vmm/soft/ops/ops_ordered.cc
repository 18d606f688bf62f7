// Load-acquire, store-release, exclusives (C3.2.6 to C3.2.8) and the atomics of FEAT_LSE on memory
// that hits the TLB. All of them must be aligned (no FEAT_LSE2): the slow path raises the fault.
//
// The host's order for the guest's: plain accesses are relaxed, and an arm64 host keeps what the
// guest's dependencies order, since a value's way through Cpu::r is one of dependencies, too; LDAR
// and STLR are seq_cst (LDAR and STLR again; on x86 a load, and XCHG for what a later LDAR may not
// pass); exclusives and atomics are read-modify-writes with full barriers, compare-and-swaps by
// the __sync builtins, which have the barrier in them (a failed one's load, too), the others with
// barrier_after_rmw(); DMB and DSB are seq_cst fences, DMB LD an acquire fence.
#include "mmio/host_barrier.h"
#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {
namespace {

// n: base; s: SP_EL0/SP alignment is checked by the slow path, which any misaligned SP reaches.
template <typename M>
[[gnu::always_inline]] inline bool misses(uint64_t tag, uint64_t va, unsigned size, const Op* op) {
  return tag != (va & ~kPageMask) || (va & (size - 1)) != 0 || (op->n == kSlotSp && (va & 15) != 0);
}

template <typename M>
TL_OP(op_load_acquire) {
  uint64_t va = cpu->r.x[op->n];
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(misses<M>(t->read_tag, va, sizeof(M), op))) TL_GOTO(slow_access);
  // Sequentially consistent: a store-release before it is not passed (RCsc).
  cpu->r.x[op->d] = __atomic_load_n(reinterpret_cast<M*>(va + t->addend), __ATOMIC_SEQ_CST);
  TL_NEXT;
}
template <typename M>
TL_OP(op_store_release) {
  uint64_t va = cpu->r.x[op->n];
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(misses<M>(t->write_tag, va, sizeof(M), op))) TL_GOTO(slow_access);
  __atomic_store_n(reinterpret_cast<M*>(va + t->addend), static_cast<M>(cpu->r.x[op->d]),
                   __ATOMIC_SEQ_CST);
  TL_NEXT;
}

// LDAPR, LDAPUR, STLUR. M: signed if the load is sign-extended, to R. The order of LDAPR is weaker
// than that of LDAR: C++'s acquire. STLUR is an STLR.
template <typename M, typename R>
TL_OP(op_load_acquire_pc) {
  uint64_t va = cpu->r.x[op->n] + static_cast<int64_t>(op->imm);
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(misses<M>(t->read_tag, va, sizeof(M), op))) TL_GOTO(slow_access);
  cpu->r.x[op->d] =
      static_cast<R>(__atomic_load_n(reinterpret_cast<M*>(va + t->addend), __ATOMIC_ACQUIRE));
  TL_NEXT;
}
template <typename M>
TL_OP(op_store_release_offset) {
  uint64_t va = cpu->r.x[op->n] + static_cast<int64_t>(op->imm);
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(misses<M>(t->write_tag, va, sizeof(M), op))) TL_GOTO(slow_access);
  __atomic_store_n(reinterpret_cast<M*>(va + t->addend), static_cast<M>(cpu->r.x[op->d]),
                   __ATOMIC_SEQ_CST);
  TL_NEXT;
}

template <typename M>
TL_OP(op_load_exclusive) {
  uint64_t va = cpu->r.x[op->n];
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(misses<M>(t->read_tag, va, sizeof(M), op))) TL_GOTO(slow_access);
  M value = __atomic_load_n(reinterpret_cast<M*>(va + t->addend), __ATOMIC_SEQ_CST);
  ExclusiveMonitor& monitor = cpu->monitor;
  monitor.valid = true;
  monitor.device = false;
  monitor.bytes = sizeof(M);
  monitor.ipa = (t->meta & kTlbIpaMask) | (va & kPageMask);
  monitor.value[0] = value;
  cpu->r.x[op->d] = value;
  TL_NEXT;
}
template <typename M>
TL_OP(op_store_exclusive) {
  uint64_t va = cpu->r.x[op->n];
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(misses<M>(t->write_tag, va, sizeof(M), op))) TL_GOTO(slow_access);
  ExclusiveMonitor& monitor = cpu->monitor;
  bool stored = false;
  if (monitor.valid && !monitor.device && monitor.bytes == sizeof(M) &&
      monitor.ipa == ((t->meta & kTlbIpaMask) | (va & kPageMask))) {
    auto expected = static_cast<M>(monitor.value[0]);
    auto* host = reinterpret_cast<M*>(va + t->addend);
    stored = __sync_bool_compare_and_swap(host, expected, static_cast<M>(cpu->r.x[op->d]));
  }
  monitor.valid = false;
  cpu->r.x[op->s] = stored ? 0 : 1;
  TL_NEXT;
}

// LDXP, STXP: d and m, of M each. As mmio/emulate_exclusive.cc has them: the two loads are a pair
// only if the store-exclusive succeeds (B2.2.1).
template <typename M>
TL_OP(op_load_exclusive_pair) {
  uint64_t va = cpu->r.x[op->n];
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(misses<M>(t->read_tag, va, 2 * sizeof(M), op))) TL_GOTO(slow_access);
  const auto* host = reinterpret_cast<const uint64_t*>(va + t->addend);
  ExclusiveMonitor& monitor = cpu->monitor;
  monitor.valid = true;
  monitor.device = false;
  monitor.bytes = 2 * sizeof(M);
  monitor.ipa = (t->meta & kTlbIpaMask) | (va & kPageMask);
  monitor.value[0] = __atomic_load_n(host, __ATOMIC_SEQ_CST);
  if constexpr (sizeof(M) == 8) {
    monitor.value[1] = __atomic_load_n(host + 1, __ATOMIC_SEQ_CST);
    cpu->r.x[op->d] = monitor.value[0];
    cpu->r.x[op->m] = monitor.value[1];
  } else {
    cpu->r.x[op->d] = static_cast<uint32_t>(monitor.value[0]);
    cpu->r.x[op->m] = monitor.value[0] >> 32;
  }
  TL_NEXT;
}
template <typename Pair>
TL_OP(op_store_exclusive_pair) {
  constexpr unsigned kHalf = 4 * sizeof(Pair);  // bits
  uint64_t va = cpu->r.x[op->n];
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(misses<Pair>(t->write_tag, va, sizeof(Pair), op))) TL_GOTO(slow_access);
  ExclusiveMonitor& monitor = cpu->monitor;
  bool stored = false;
  if (monitor.valid && !monitor.device && monitor.bytes == sizeof(Pair) &&
      monitor.ipa == ((t->meta & kTlbIpaMask) | (va & kPageMask))) {
    const auto pair = [](uint64_t low, uint64_t high) {
      return static_cast<Pair>(low) | static_cast<Pair>(high) << kHalf;
    };
    Pair expected = static_cast<Pair>(monitor.value[0]);
    Pair desired = pair(cpu->r.x[op->d], cpu->r.x[op->m]);
    if constexpr (sizeof(Pair) == 16) {
      expected = pair(monitor.value[0], monitor.value[1]);
    } else {
      desired = pair(static_cast<uint32_t>(cpu->r.x[op->d]), cpu->r.x[op->m]);
    }
    auto* host = reinterpret_cast<Pair*>(va + t->addend);
    stored = __sync_bool_compare_and_swap(host, expected, desired);
  }
  monitor.valid = false;
  cpu->r.x[op->s] = stored ? 0 : 1;
  TL_NEXT;
}

// Both rights in one entry.
template <typename M>
[[gnu::always_inline]] inline bool rmw_misses(const TlbEntry* t, uint64_t va, unsigned size,
                                              const Op* op) {
  return t->read_tag != t->write_tag || misses<M>(t->write_tag, va, size, op);
}

// s: operand, d: result.
enum Atomic { kAdd, kClr, kEor, kSet, kSmax, kSmin, kUmax, kUmin, kSwp };
template <typename M, int kOp>
TL_OP(op_atomic) {
  using S = std::make_signed_t<M>;
  uint64_t va = cpu->r.x[op->n];
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(rmw_misses<M>(t, va, sizeof(M), op))) TL_GOTO(slow_access);
  auto* host = reinterpret_cast<M*>(va + t->addend);
  M operand = static_cast<M>(cpu->r.x[op->s]);
  M old;
  if constexpr (kOp == kAdd) {
    old = __atomic_fetch_add(host, operand, __ATOMIC_SEQ_CST);
  } else if constexpr (kOp == kSwp) {
    old = __atomic_exchange_n(host, operand, __ATOMIC_SEQ_CST);
  } else if constexpr (kOp == kClr) {
    old = __atomic_fetch_and(host, static_cast<M>(~operand), __ATOMIC_SEQ_CST);
  } else if constexpr (kOp == kEor) {
    old = __atomic_fetch_xor(host, operand, __ATOMIC_SEQ_CST);
  } else if constexpr (kOp == kSet) {
    old = __atomic_fetch_or(host, operand, __ATOMIC_SEQ_CST);
  } else {
    old = __atomic_load_n(host, __ATOMIC_RELAXED);
    for (;;) {
      S a = static_cast<S>(old), b = static_cast<S>(operand);
      M desired = kOp == kSmax   ? static_cast<M>(a > b ? a : b)
                  : kOp == kSmin ? static_cast<M>(a < b ? a : b)
                  : kOp == kUmax ? (old > operand ? old : operand)
                                 : (old < operand ? old : operand);
      M seen = __sync_val_compare_and_swap(host, old, desired);
      if (seen == old) break;
      old = seen;
    }
  }
  barrier_after_rmw();
  cpu->r.x[op->d] = old;
  TL_NEXT;
}

// s: compare value and result, d: new value; imm: slot that the result goes to.
template <typename M>
TL_OP(op_cas) {
  uint64_t va = cpu->r.x[op->n];
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(rmw_misses<M>(t, va, sizeof(M), op))) TL_GOTO(slow_access);
  auto* host = reinterpret_cast<M*>(va + t->addend);
  cpu->r.x[op->imm] = __sync_val_compare_and_swap(host, static_cast<M>(cpu->r.x[op->s]),
                                                  static_cast<M>(cpu->r.x[op->d]));
  TL_NEXT;
}
TL_OP(op_casp_w) {
  uint64_t va = cpu->r.x[op->n];
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(rmw_misses<uint64_t>(t, va, 8, op))) TL_GOTO(slow_access);
  auto pair = [cpu](unsigned first) {
    return uint64_t{static_cast<uint32_t>(cpu->r.x[first])} | cpu->r.x[first + 1] << 32;
  };
  auto* host = reinterpret_cast<uint64_t*>(va + t->addend);
  uint64_t old = __sync_val_compare_and_swap(host, pair(op->s), pair(op->d));
  cpu->r.x[op->s] = static_cast<uint32_t>(old);
  cpu->r.x[op->s + 1] = old >> 32;
  TL_NEXT;
}
#if defined(__x86_64__) || defined(__aarch64__)  // a 16-byte compare-and-swap, inline
TL_OP(op_casp_x) {
  using Wide = unsigned __int128;
  uint64_t va = cpu->r.x[op->n];
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(rmw_misses<uint64_t>(t, va, 16, op))) TL_GOTO(slow_access);
  auto pair = [cpu](unsigned first) {
    return Wide{cpu->r.x[first]} | Wide{cpu->r.x[first + 1]} << 64;
  };
  auto* host = reinterpret_cast<Wide*>(va + t->addend);
  Wide old = __sync_val_compare_and_swap(host, pair(op->s), pair(op->d));
  cpu->r.x[op->s] = static_cast<uint64_t>(old);
  cpu->r.x[op->s + 1] = static_cast<uint64_t>(old >> 64);
  TL_NEXT;
}
constexpr Handler op_stxp_x = op_store_exclusive_pair<unsigned __int128>;
#else
constexpr Handler op_casp_x = slow_access, op_stxp_x = slow_access;
#endif

// --- predecoding ---------------------------------------------------------------------------------

// choose by access size
#define TL_BY_SIZE(handler)                 \
  (size == 0   ? Handler{handler<uint8_t>}  \
   : size == 1 ? Handler{handler<uint16_t>} \
   : size == 2 ? Handler{handler<uint32_t>} \
               : Handler{handler<uint64_t>})

Handler atomic_handler(unsigned size, unsigned which) {
  return choose<9>(which, [&]<int kOp>() -> Handler {
    switch (size) {
      case 0:
        return op_atomic<uint8_t, kOp>;
      case 1:
        return op_atomic<uint16_t, kOp>;
      case 2:
        return op_atomic<uint32_t, kOp>;
      default:
        return op_atomic<uint64_t, kOp>;
    }
  });
}

constexpr Handler kLoadAcquirePc[] = {
    op_load_acquire_pc<uint8_t, uint64_t>, op_load_acquire_pc<uint16_t, uint64_t>,
    op_load_acquire_pc<uint32_t, uint64_t>, op_load_acquire_pc<uint64_t, uint64_t>};

bool atomics(uint32_t word, CpuModel model, Op& op) {
  unsigned size = bits(word, 31, 30), opc = bits(word, 14, 12), o3 = word >> 15 & 1;
  if ((word & 0x3ffffc00) == 0x38bfc000 && model >= CpuModel::kMax) {  // LDAPR
    op.n = slot_sp(bits(word, 9, 5));
    op.d = slot_zr_dest(bits(word, 4, 0));
    op.imm = 0;
    op.fn = kLoadAcquirePc[size];
    return true;
  }
  if (o3 == 1 && opc != 0) return false;  // ST64B and unallocated
  op.n = slot_sp(bits(word, 9, 5));
  op.s = slot_zr(bits(word, 20, 16));
  op.d = slot_zr_dest(bits(word, 4, 0));
  op.fn = atomic_handler(size, o3 == 1 ? unsigned{kSwp} : opc);
  return true;
}

}  // namespace

// LDAPUR, STLUR (FEAT_LRCPC2). False: the slow path decides.
bool predecode_unscaled_ordered(uint32_t word, PredecodeContext& context, Op& op) {
  const unsigned size = bits(word, 31, 30), opc = bits(word, 23, 22), rt = bits(word, 4, 0);
  if (context.model < CpuModel::kMax) return false;
  constexpr Handler kToX[] = {op_load_acquire_pc<int8_t, uint64_t>,
                              op_load_acquire_pc<int16_t, uint64_t>,
                              op_load_acquire_pc<int32_t, uint64_t>, nullptr};
  constexpr Handler kToW[] = {op_load_acquire_pc<int8_t, uint32_t>,
                              op_load_acquire_pc<int16_t, uint32_t>, nullptr, nullptr};
  op.n = slot_sp(bits(word, 9, 5));
  op.imm = static_cast<int32_t>(sbits(word, 20, 12));
  op.d = opc == 0 ? slot_zr(rt) : slot_zr_dest(rt);
  op.fn = opc == 0   ? TL_BY_SIZE(op_store_release_offset)
          : opc == 1 ? kLoadAcquirePc[size]
          : opc == 2 ? kToX[size]
                     : kToW[size];
  return op.fn != nullptr;
}

// False: the slow path decides.
bool predecode_ordered(uint32_t word, PredecodeContext& context, Op& op) {
  if ((word & 0x3f200c00) == 0x38200000) return atomics(word, context.model, op);
  unsigned size = bits(word, 31, 30), rs = bits(word, 20, 16), rt2 = bits(word, 14, 10);
  unsigned rn = bits(word, 9, 5), rt = bits(word, 4, 0);
  bool o2 = word >> 23 & 1, load = word >> 22 & 1, o1 = word >> 21 & 1, o0 = word >> 15 & 1;
  op.n = slot_sp(rn);
  op.s = slot_zr(rs);
  if (o2 && !o1) {  // LDAR, STLR; with o0 clear LDLAR, STLLR: FEAT_LOR, not shown
    if (!o0 || rs != 31 || rt2 != 31) return false;
    if (load) {
      op.d = slot_zr_dest(rt);
      op.fn = TL_BY_SIZE(op_load_acquire);
    } else {
      op.d = slot_zr(rt);
      op.fn = TL_BY_SIZE(op_store_release);
    }
    return true;
  }
  if (o2 && o1) {  // CAS
    if (rt2 != 31) return false;
    op.d = slot_zr(rt);
    op.imm = slot_zr_dest(rs);
    op.fn = TL_BY_SIZE(op_cas);
    return true;
  }
  if (!o2 && !o1) {
    if (rt2 != 31 || (load && rs != 31)) return false;
    if (load) {
      op.d = slot_zr_dest(rt);
      op.fn = TL_BY_SIZE(op_load_exclusive);
    } else {
      if (rs == rt || (rs == rn && rn != 31)) return false;  // CONSTRAINED UNPREDICTABLE
      op.s = slot_zr_dest(rs);
      op.d = slot_zr(rt);
      op.fn = TL_BY_SIZE(op_store_exclusive);
    }
    return true;
  }
  if (size > 1) {  // LDXP, STXP
    if (load ? rs != 31 || rt == rt2 : rs == rt || rs == rt2 || (rs == rn && rn != 31)) {
      return false;  // CONSTRAINED UNPREDICTABLE
    }
    op.s = slot_zr_dest(rs);
    op.d = load ? slot_zr_dest(rt) : slot_zr(rt);
    op.m = load ? slot_zr_dest(rt2) : slot_zr(rt2);
    op.fn = load ? (size == 2 ? Handler{op_load_exclusive_pair<uint32_t>}
                              : Handler{op_load_exclusive_pair<uint64_t>})
                 : (size == 2 ? Handler{op_store_exclusive_pair<uint64_t>} : op_stxp_x);
    return true;
  }
  if (rt2 != 31 || ((rs | rt) & 1) != 0 || rs == 30 || rt == 30) return false;
  op.d = slot_zr(rt);
  op.fn = size == 0 ? Handler{op_casp_w} : Handler{op_casp_x};
  return true;
}

}  // namespace trapline::soft
