// Loads and stores of general and SIMD&FP registers that hit the software TLB: C4.1.94 without the
// ordered and atomic forms (ops_ordered.cc) and the structures (slow path).
#include "decode/a64_decoder.h"
#include "vmm/soft/ops/ops_bodies.h"

namespace trapline::soft {
namespace {

// --- SIMD&FP -------------------------------------------------------------------------------------

struct Quad {
  uint64_t lo, hi;
};
template <typename M>
[[gnu::always_inline]] inline Vreg get_vector(uint64_t host) {
  if constexpr (std::is_same_v<M, Quad>) {
    return {get<uint64_t>(host), get<uint64_t>(host + 8)};
  } else {
    return {get<M>(host), 0};
  }
}
template <typename M>
[[gnu::always_inline]] inline void put_vector(uint64_t host, const Vreg& value) {
  if constexpr (std::is_same_v<M, Quad>) {
    put<uint64_t>(host, value.lo);
    put<uint64_t>(host + 8, value.hi);
  } else {
    put<M>(host, static_cast<M>(value.lo));
  }
}

template <typename M, int kMode, bool kSp>
TL_OP(op_load_vector) {
  uint64_t va = address<kMode>(cpu, op, e);
  TlbEntry* t = entry<kMode>(e, va);
  if (misses<kSp>(cpu, t->read_tag, va, sizeof(M))) TL_GOTO(slow_access);
  cpu->v[op->d] = get_vector<M>(va + t->addend);
  write_back<kMode>(cpu, op, va);
  TL_NEXT;
}
template <typename M, int kMode, bool kSp>
TL_OP(op_store_vector) {
  uint64_t va = address<kMode>(cpu, op, e);
  TlbEntry* t = entry<kMode>(e, va);
  if (misses<kSp>(cpu, t->write_tag, va, sizeof(M))) TL_GOTO(slow_access);
  put_vector<M>(va + t->addend, cpu->v[op->d]);
  write_back<kMode>(cpu, op, va);
  TL_NEXT;
}
template <typename M, int kMode, bool kSp>
TL_OP(op_load_vector_pair) {
  uint64_t va = address<kMode>(cpu, op, e);
  TlbEntry* t = entry<kMode>(e, va);
  if (misses<kSp>(cpu, t->read_tag, va, 2 * sizeof(M))) TL_GOTO(slow_access);
  uint64_t host = va + t->addend;
  cpu->v[op->d] = get_vector<M>(host);
  cpu->v[op->m] = get_vector<M>(host + sizeof(M));
  write_back<kMode>(cpu, op, va);
  TL_NEXT;
}
template <typename M, int kMode, bool kSp>
TL_OP(op_store_vector_pair) {
  uint64_t va = address<kMode>(cpu, op, e);
  TlbEntry* t = entry<kMode>(e, va);
  if (misses<kSp>(cpu, t->write_tag, va, 2 * sizeof(M))) TL_GOTO(slow_access);
  uint64_t host = va + t->addend;
  put_vector<M>(host, cpu->v[op->d]);
  put_vector<M>(host + sizeof(M), cpu->v[op->m]);
  write_back<kMode>(cpu, op, va);
  TL_NEXT;
}

// DC ZVA, 64 bytes: n is the address register.
TL_OP(op_zero_block) {
  uint64_t va = cpu->r.x[op->n] & ~uint64_t{63};
  TlbEntry* t = tlb_slot(e->tlb, va);
  if (TL_UNLIKELY(t->write_tag != (va & ~kPageMask))) TL_GOTO(slow_access);
  auto* host = reinterpret_cast<uint64_t*>(va + t->addend);
  for (int i = 0; i < 8; ++i) __atomic_store_n(host + i, 0, kRamStore);
  TL_NEXT;
}
TL_OP(op_zero_block_checked) {
  // SCTLR_ELx.DZE at EL0; HCR_EL2.TDZ.
  if (TL_UNLIKELY(cpu->ps.el == 0 && (cpu->sys.mmu.sctlr >> 14 & 1) == 0)) TL_GOTO(op_system);
  if (TL_UNLIKELY(under_hypervisor(*cpu) && has(*cpu, kHcrTdz))) TL_GOTO(op_system);
  TL_GOTO(op_zero_block);
}

// --- predecoding ---------------------------------------------------------------------------------

template <int kMode, bool kSp>
Handler single_handler(unsigned size, unsigned opc) {
  switch (size << 2 | opc) {
    case 0 << 2 | 0:
      return op_one<Store<uint8_t, kMode, kSp>>;
    case 0 << 2 | 1:
      return op_one<Load<uint8_t, uint32_t, kMode, kSp>>;
    case 0 << 2 | 2:
      return op_one<Load<int8_t, uint64_t, kMode, kSp>>;
    case 0 << 2 | 3:
      return op_one<Load<int8_t, uint32_t, kMode, kSp>>;
    case 1 << 2 | 0:
      return op_one<Store<uint16_t, kMode, kSp>>;
    case 1 << 2 | 1:
      return op_one<Load<uint16_t, uint32_t, kMode, kSp>>;
    case 1 << 2 | 2:
      return op_one<Load<int16_t, uint64_t, kMode, kSp>>;
    case 1 << 2 | 3:
      return op_one<Load<int16_t, uint32_t, kMode, kSp>>;
    case 2 << 2 | 0:
      return op_one<Store<uint32_t, kMode, kSp>>;
    case 2 << 2 | 1:
      return op_one<Load<uint32_t, uint32_t, kMode, kSp>>;
    case 2 << 2 | 2:
      return op_one<Load<int32_t, uint64_t, kMode, kSp>>;
    case 3 << 2 | 0:
      return op_one<Store<uint64_t, kMode, kSp>>;
    case 3 << 2 | 1:
      return op_one<Load<uint64_t, uint64_t, kMode, kSp>>;
  }
  return nullptr;  // prefetch, unallocated
}
template <int kMode, bool kSp>
Handler vector_handler(unsigned size, unsigned opc) {
  switch (size << 2 | opc) {
    case 0 << 2 | 0:
      return op_store_vector<uint8_t, kMode, kSp>;
    case 0 << 2 | 1:
      return op_load_vector<uint8_t, kMode, kSp>;
    case 0 << 2 | 2:
      return op_store_vector<Quad, kMode, kSp>;
    case 0 << 2 | 3:
      return op_load_vector<Quad, kMode, kSp>;
    case 1 << 2 | 0:
      return op_store_vector<uint16_t, kMode, kSp>;
    case 1 << 2 | 1:
      return op_load_vector<uint16_t, kMode, kSp>;
    case 2 << 2 | 0:
      return op_store_vector<uint32_t, kMode, kSp>;
    case 2 << 2 | 1:
      return op_load_vector<uint32_t, kMode, kSp>;
    case 3 << 2 | 0:
      return op_store_vector<uint64_t, kMode, kSp>;
    case 3 << 2 | 1:
      return op_load_vector<uint64_t, kMode, kSp>;
  }
  return nullptr;
}
Handler single(bool vector, int mode, bool sp, unsigned size, unsigned opc) {
  if (vector && mode == kUnpriv) return nullptr;
  return choose<kMemoryModes>(static_cast<unsigned>(mode), [&]<int kMode>() -> Handler {
    if (vector) {
      return sp ? vector_handler<kMode, true>(size, opc) : vector_handler<kMode, false>(size, opc);
    }
    return sp ? single_handler<kMode, true>(size, opc) : single_handler<kMode, false>(size, opc);
  });
}

template <int kMode, bool kSp>
Handler pair_handler(unsigned opc, bool vector, bool load) {
  switch (opc << 2 | (vector ? 2 : 0) | (load ? 1 : 0)) {
    case 0 << 2 | 0:
      return op_one<StorePair<uint32_t, kMode, kSp>>;
    case 0 << 2 | 1:
      return op_one<LoadPair<uint32_t, kMode, kSp>>;
    case 1 << 2 | 1:
      return op_one<LoadPair<int32_t, kMode, kSp>>;  // LDPSW
    case 2 << 2 | 0:
      return op_one<StorePair<uint64_t, kMode, kSp>>;
    case 2 << 2 | 1:
      return op_one<LoadPair<uint64_t, kMode, kSp>>;
    case 0 << 2 | 2:
      return op_store_vector_pair<uint32_t, kMode, kSp>;
    case 0 << 2 | 3:
      return op_load_vector_pair<uint32_t, kMode, kSp>;
    case 1 << 2 | 2:
      return op_store_vector_pair<uint64_t, kMode, kSp>;
    case 1 << 2 | 3:
      return op_load_vector_pair<uint64_t, kMode, kSp>;
    case 2 << 2 | 2:
      return op_store_vector_pair<Quad, kMode, kSp>;
    case 2 << 2 | 3:
      return op_load_vector_pair<Quad, kMode, kSp>;
  }
  return nullptr;
}

bool writes_back(int mode) { return mode == kPre || mode == kPost; }

// LDR, STR and their kin; null handler: the slow path knows, or nobody.
void predecode_single(uint32_t word, PredecodeContext& context, Op& op) {
  unsigned size = bits(word, 31, 30), opc = bits(word, 23, 22);
  bool vector = word >> 26 & 1, load = vector ? (opc & 1) != 0 : opc != 0;
  unsigned rt = bits(word, 4, 0), rn = bits(word, 9, 5);
  unsigned scale = vector && (opc & 2) != 0 ? 4 : size;
  op.d = vector ? static_cast<uint8_t>(rt) : load ? slot_zr_dest(rt) : slot_zr(rt);
  op.n = slot_sp(rn);
  const int mode = single_mode(word);
  if (mode < 0) return;
  if (mode == kRegLsl || mode == kRegUxtw || mode == kRegSxtw) {
    op.m = slot_zr(bits(word, 20, 16));
    op.s = static_cast<uint8_t>((word >> 12 & 1) != 0 ? scale : 0);
  } else if ((word >> 24 & 1) != 0) {
    op.imm = static_cast<int32_t>(bits(word, 21, 10) << scale);
  } else {
    op.imm = static_cast<int32_t>(sbits(word, 20, 12));
  }
  // Rn == Rt with write-back is CONSTRAINED UNPREDICTABLE: left to the one who defines it.
  if (!vector && writes_back(mode) && rn == rt && rn != 31) return;
  if (vector && (context.mode & kModeFp) == 0) return;
  op.fn = single(vector, mode, rn == 31, size, opc);
}

void predecode_literal(uint32_t word, PredecodeContext& context, Op& op) {
  unsigned opc = bits(word, 31, 30), rt = bits(word, 4, 0);
  op.imm = static_cast<int32_t>(sbits(word, 23, 5) * 4 + 4 * static_cast<int64_t>(context.index));
  if ((word >> 26 & 1) != 0) {
    if ((context.mode & kModeFp) == 0) return;
    op.d = static_cast<uint8_t>(rt);
    constexpr Handler kHandlers[] = {op_load_vector<uint32_t, kLit, false>,
                                     op_load_vector<uint64_t, kLit, false>,
                                     op_load_vector<Quad, kLit, false>, nullptr};
    op.fn = kHandlers[opc];
  } else {
    op.d = slot_zr_dest(rt);
    constexpr Handler kHandlers[] = {op_one<Load<uint32_t, uint32_t, kLit, false>>,
                                     op_one<Load<uint64_t, uint64_t, kLit, false>>,
                                     op_one<Load<int32_t, uint64_t, kLit, false>>, nullptr};
    op.fn = kHandlers[opc];
  }
}

void predecode_pair(uint32_t word, PredecodeContext& context, Op& op) {
  unsigned opc = bits(word, 31, 30), index = bits(word, 24, 23);
  bool vector = word >> 26 & 1, load = word >> 22 & 1;
  unsigned rt = bits(word, 4, 0), rt2 = bits(word, 14, 10), rn = bits(word, 9, 5);
  if (vector && (context.mode & kModeFp) == 0) return;
  if (opc == 3 || (opc == 1 && !vector && (!load || index == 0))) return;
  if (load && rt == rt2) return;  // CONSTRAINED UNPREDICTABLE
  const int mode = pair_mode(word);
  if (!vector && writes_back(mode) && rn != 31 && (rn == rt || rn == rt2)) return;
  unsigned scale = vector ? 2 + opc : 2 + (opc >> 1);
  op.imm = static_cast<int32_t>(sbits(word, 21, 15) * (int64_t{1} << scale));
  op.n = slot_sp(rn);
  op.d = vector ? static_cast<uint8_t>(rt) : load ? slot_zr_dest(rt) : slot_zr(rt);
  op.m = vector ? static_cast<uint8_t>(rt2) : load ? slot_zr_dest(rt2) : slot_zr(rt2);
  bool sp = rn == 31;
  op.fn = choose<3>(static_cast<unsigned>(mode), [&]<int kMode>() -> Handler {
    return sp ? pair_handler<kMode, true>(opc, vector, load)
              : pair_handler<kMode, false>(opc, vector, load);
  });
}

// LDAPR, LDAPUR, STLUR: FEAT_LRCPC and 2.
bool is_rcpc(uint32_t word) {
  return (word & 0x3fe0fc00) == 0x38a0c000 || (word & 0x3f200c00) == 0x19000000;
}

// What this CPU shows in its ID registers: Armv8.0 and FEAT_LSE, and what its model has more.
bool implemented(uint32_t word, const Access& access, CpuModel model) {
  if (is_rcpc(word) && model >= CpuModel::kMax) return true;
  if (access.acquire_pc) return false;  // FEAT_LRCPC3
  switch (access.op) {
    case trapline::Op::kLoad:
    case trapline::Op::kStore:
      // Of the ordered ones LDAR and STLR; LDLAR and STLLR are FEAT_LOR, STILP is FEAT_LRCPC3.
      return !(access.acquire || access.release) || (word & 0x3fa08000) == 0x08808000;
    case trapline::Op::kStoreLane:
      return !access.release;  // STL1: FEAT_LRCPC3
    case trapline::Op::kLoadExclusive:
    case trapline::Op::kStoreExclusive:
    case trapline::Op::kCompareAndSwap:
    case trapline::Op::kSwap:
    case trapline::Op::kAtomicAdd:
    case trapline::Op::kAtomicClear:
    case trapline::Op::kAtomicEor:
    case trapline::Op::kAtomicSet:
    case trapline::Op::kAtomicSmax:
    case trapline::Op::kAtomicSmin:
    case trapline::Op::kAtomicUmax:
    case trapline::Op::kAtomicUmin:
    case trapline::Op::kLoadMultiple:
    case trapline::Op::kStoreMultiple:
    case trapline::Op::kLoadLane:
    case trapline::Op::kLoadReplicate:
    case trapline::Op::kPrefetch:
    case trapline::Op::kZeroBlock:
      return true;
    default:
      return false;
  }
}
bool is_vector(const Access& access) {
  switch (access.op) {
    case trapline::Op::kLoadMultiple:
    case trapline::Op::kStoreMultiple:
    case trapline::Op::kLoadLane:
    case trapline::Op::kStoreLane:
    case trapline::Op::kLoadReplicate:
      return true;
    default:
      return access.vector;
  }
}

}  // namespace

Predecoded predecode_memory(uint32_t word, PredecodeContext& context, Op& op) {
  op.fn = nullptr;
  if ((word & 0xfff00000) == 0xd5000000) {  // DC ZVA
    op.n = slot_zr(bits(word, 4, 0));
    op.word = word;  // of the trap
    op.fn = (context.mode & (kModePrivileged | kModeUnderEl2)) == kModePrivileged
                ? op_zero_block
                : op_zero_block_checked;
    return Predecoded::kNext;
  }
  if ((context.mode & kModeSlowData) == 0) {
    if ((word & 0x3f000000) == 0x08000000 || (word & 0x3f200c00) == 0x38200000) {
      if (!predecode_ordered(word, context, op)) op.fn = nullptr;
    } else if ((word & 0x3f200c00) == 0x19000000) {
      if (!predecode_unscaled_ordered(word, context, op)) op.fn = nullptr;
    } else if ((word & 0x3a000000) == 0x38000000) {
      predecode_single(word, context, op);
    } else if ((word & 0x3b000000) == 0x18000000) {
      predecode_literal(word, context, op);
    } else if ((word & 0x3a000000) == 0x28000000) {
      predecode_pair(word, context, op);
    }
    if (op.fn != nullptr) return Predecoded::kNext;
  }
  Access access;
  if (decode(word, access) != DecodeStatus::kAccess || !implemented(word, access, context.model)) {
    return predecode_undefined(word, op);
  }
  if (is_vector(access) && (context.mode & kModeFp) == 0) {
    op.fn = op_fp_disabled;
  } else if (access.op == trapline::Op::kPrefetch) {
    op.fn = op_nop;
  } else {
    op.fn = slow_access;
  }
  return Predecoded::kNext;
}

}  // namespace trapline::soft
