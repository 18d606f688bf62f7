// The bodies of the commonest instructions, apart from their dispatch, so that one handler can hold
// one of them or two that often follow each other. run() returns false, with nothing changed, if
// the slow path has to do it.
#ifndef TRAPLINE_VMM_SOFT_OPS_OPS_BODIES_H_
#define TRAPLINE_VMM_SOFT_OPS_OPS_BODIES_H_

#include "mmio/host_barrier.h"
#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {

#define TL_BODY \
  [[gnu::always_inline]] static inline bool run(Cpu* cpu, const Op* op, EngineState* e)

struct Nothing {
  TL_BODY {
    (void)cpu, (void)op, (void)e;
    return true;
  }
};

// --- data processing -----------------------------------------------------------------------------

template <typename T>
struct MoveRegister {  // ORR Rd, XZR, Rm
  TL_BODY {
    (void)e;
    cpu->r.x[op->d] = static_cast<T>(cpu->r.x[op->m]);
    return true;
  }
};
template <typename T>
struct MoveSp {  // ADD Rd, Rn, #0
  TL_BODY {
    (void)e;
    cpu->r.x[op->d] = static_cast<T>(cpu->r.x[op->n]);
    return true;
  }
};
struct MoveImmediate {
  TL_BODY {
    (void)e;
    cpu->r.x[op->d] = op->word;
    return true;
  }
};
template <typename T>
struct AddImmediate {
  TL_BODY {
    (void)e;
    cpu->r.x[op->d] = static_cast<T>(cpu->r.x[op->n] + static_cast<int64_t>(op->imm));
    return true;
  }
};
template <typename T>
struct AddRegister {
  TL_BODY {
    (void)e;
    cpu->r.x[op->d] = static_cast<T>(cpu->r.x[op->n] + cpu->r.x[op->m]);
    return true;
  }
};
struct Adrp {  // imm counts pages
  TL_BODY {
    cpu->r.x[op->d] = (e->block->pc & ~uint64_t{0xfff}) + (static_cast<int64_t>(op->imm) << 12);
    return true;
  }
};
template <typename T>
struct CompareRegister {
  using Type = T;
  [[gnu::always_inline]] static inline void operands(const Cpu* cpu, const Op* op, T& a, T& b) {
    a = static_cast<T>(cpu->r.x[op->n]);
    b = static_cast<T>(cpu->r.x[op->m]);
  }
  TL_BODY {
    T a, b;
    operands(cpu, op, a, b);
    sub_flags<T>(e, a, b);
    return true;
  }
};
template <typename T>
struct CompareImmediate {
  using Type = T;
  [[gnu::always_inline]] static inline void operands(const Cpu* cpu, const Op* op, T& a, T& b) {
    a = static_cast<T>(cpu->r.x[op->n]);
    b = static_cast<T>(op->imm);
  }
  TL_BODY {
    T a, b;
    operands(cpu, op, a, b);
    sub_flags<T>(e, a, b);
    return true;
  }
};

template <typename T>
struct TestImmediate {  // ANDS XZR, Rn, #imm; of the values that 32 signed bits hold
  TL_BODY {
    logic_flags<T>(
        e, static_cast<T>(cpu->r.x[op->n] & static_cast<uint64_t>(static_cast<int64_t>(op->imm))));
    return true;
  }
};

// --- loads and stores ----------------------------------------------------------------------------

enum MemoryMode { kImm, kPre, kPost, kRegLsl, kRegUxtw, kRegSxtw, kLit, kUnpriv, kMemoryModes };

// Of LDR, STR and their kin; -1: no such instruction.
inline int single_mode(uint32_t word) {
  if ((word >> 24 & 1) != 0) return kImm;
  if ((word >> 21 & 1) == 0) {
    constexpr int kByBits[] = {kImm, kPost, kUnpriv, kPre};
    return kByBits[bits(word, 11, 10)];
  }
  if (bits(word, 11, 10) != 2) return -1;
  switch (bits(word, 15, 13)) {
    case 2:
      return kRegUxtw;
    case 3:
    case 7:
      return kRegLsl;
    case 6:
      return kRegSxtw;
    default:
      return -1;
  }
}
// Of LDP, STP, LDNP, STNP.
inline int pair_mode(uint32_t word) {
  constexpr int kByBits[] = {kImm, kPost, kImm, kPre};
  return kByBits[bits(word, 24, 23)];
}

template <int kMode>
[[gnu::always_inline]] inline uint64_t address(const Cpu* cpu, const Op* op, const EngineState* e) {
  if constexpr (kMode == kLit) return e->block->pc + static_cast<int64_t>(op->imm);
  uint64_t base = cpu->r.x[op->n];
  if constexpr (kMode == kPost) return base;
  if constexpr (kMode == kRegLsl) return base + (cpu->r.x[op->m] << op->s);
  if constexpr (kMode == kRegUxtw) {
    return base + (uint64_t{static_cast<uint32_t>(cpu->r.x[op->m])} << op->s);
  }
  if constexpr (kMode == kRegSxtw) {
    int64_t offset = static_cast<int32_t>(static_cast<uint32_t>(cpu->r.x[op->m]));
    return base + (static_cast<uint64_t>(offset) << op->s);
  }
  return base + static_cast<int64_t>(op->imm);
}
template <int kMode>
[[gnu::always_inline]] inline void write_back(Cpu* cpu, const Op* op, uint64_t va) {
  if constexpr (kMode == kPre) cpu->r.x[op->n] = va;
  if constexpr (kMode == kPost) cpu->r.x[op->n] = va + static_cast<int64_t>(op->imm);
}

// The tag is compared with the page of the last byte, the entry chosen by the first: an access that
// crosses a page never hits. kSp: the base is SP, which must be aligned (if it need not be, the
// slow path knows).
template <bool kSp>
[[gnu::always_inline]] inline bool misses(const Cpu* cpu, uint64_t tag, uint64_t va,
                                          unsigned size) {
  return TL_UNLIKELY(tag != ((va + size - 1) & ~kPageMask) ||
                     (kSp && (cpu->r.x[kSlotSp] & 15) != 0));
}
template <int kMode>
[[gnu::always_inline]] inline TlbEntry* entry(EngineState* e, uint64_t va) {
  return tlb_slot(kMode == kUnpriv ? e->tlb_el0 : e->tlb, va);
}

template <typename M>
[[gnu::always_inline]] inline M get(uint64_t host) {
  return __atomic_load_n(reinterpret_cast<M*>(host), kRamLoad);
}
template <typename M>
[[gnu::always_inline]] inline void put(uint64_t host, M value) {
  __atomic_store_n(reinterpret_cast<M*>(host), value, kRamStore);
}

// M: what is in memory, signed if it is sign-extended; R: the register, uint32_t or uint64_t.
template <typename M, typename R, int kMode, bool kSp>
struct Load {
  TL_BODY {
    uint64_t va = address<kMode>(cpu, op, e);
    TlbEntry* t = entry<kMode>(e, va);
    if (misses<kSp>(cpu, t->read_tag, va, sizeof(M))) return false;
    R value = static_cast<R>(get<M>(va + t->addend));
    write_back<kMode>(cpu, op, va);
    cpu->r.x[op->d] = value;
    return true;
  }
};
template <typename M, int kMode, bool kSp>
struct Store {
  TL_BODY {
    uint64_t va = address<kMode>(cpu, op, e);
    TlbEntry* t = entry<kMode>(e, va);
    if (misses<kSp>(cpu, t->write_tag, va, sizeof(M))) return false;
    put<M>(va + t->addend, static_cast<M>(cpu->r.x[op->d]));
    write_back<kMode>(cpu, op, va);
    return true;
  }
};
template <typename M, int kMode, bool kSp>
struct LoadPair {  // a signed M is LDPSW
  TL_BODY {
    uint64_t va = address<kMode>(cpu, op, e);
    TlbEntry* t = entry<kMode>(e, va);
    if (misses<kSp>(cpu, t->read_tag, va, 2 * sizeof(M))) return false;
    uint64_t host = va + t->addend;
    auto first = static_cast<uint64_t>(get<M>(host));
    auto second = static_cast<uint64_t>(get<M>(host + sizeof(M)));
    write_back<kMode>(cpu, op, va);
    cpu->r.x[op->d] = first;
    cpu->r.x[op->m] = second;
    return true;
  }
};
template <typename M, int kMode, bool kSp>
struct StorePair {
  TL_BODY {
    uint64_t va = address<kMode>(cpu, op, e);
    TlbEntry* t = entry<kMode>(e, va);
    if (misses<kSp>(cpu, t->write_tag, va, 2 * sizeof(M))) return false;
    uint64_t host = va + t->addend;
    put<M>(host, static_cast<M>(cpu->r.x[op->d]));
    put<M>(host + sizeof(M), static_cast<M>(cpu->r.x[op->m]));
    write_back<kMode>(cpu, op, va);
    return true;
  }
};

// --- handlers of bodies --------------------------------------------------------------------------

template <typename Body>
TL_OP(op_one) {
  if (TL_UNLIKELY(!Body::run(cpu, op, e))) TL_GOTO(slow_access);
  TL_NEXT;
}
// Both instructions keep their ops: the second is entered by itself after a slow first.
template <typename First, typename Second>
TL_OP(op_two) {
  if (TL_UNLIKELY(!First::run(cpu, op, e))) TL_GOTO(slow_access);
  ++op;
  if (TL_UNLIKELY(!Second::run(cpu, op, e))) TL_GOTO(slow_access);
  TL_NEXT;
}

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_OPS_OPS_BODIES_H_
