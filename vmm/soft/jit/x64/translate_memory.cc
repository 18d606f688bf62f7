// Loads and stores that hit the TLB, C4.1.94: the same check as the handlers', and slow_access()
// for the rest. Unprivileged ones are left to their handlers.
#include "vmm/soft/jit/x64/translate_x64.h"
#include "vmm/soft/ops/ops_bodies.h"

namespace trapline::soft {

X64Translator::Emitted X64Translator::memory(uint32_t word) {
  if (op_->fn == slow_access) {  // also what host code does, but no handler
    if ((block_->mode & kModeSlowData) != 0) return Emitted::kNot;
    if ((word & 0xbf200000) == 0x0c000000) return structures(word);
    if ((word & 0xbf000000) == 0x0d000000) return one_structure(word);
    return Emitted::kNot;
  }
  if ((word & 0x3f000000) == 0x08000000 || (word & 0x3f200c00) == 0x38200000) return ordered(word);
  if ((word & 0x3f200c00) == 0x19000000) return unscaled_ordered(word);
  if ((word & 0x3a000000) == 0x38000000) return single(word);
  if ((word & 0x3b000000) == 0x18000000) return literal(word);
  if ((word & 0x3a000000) == 0x28000000) return pair(word);
  return Emitted::kNot;
}

// The address, to rax.
void X64Translator::address(int mode) {
  switch (mode) {
    case kLit:
      return mov(rax, block_->pc + static_cast<uint64_t>(int64_t{op_->imm}));
    case kRegLsl:
      mov(rax, x(op_->m));
      break;
    case kRegUxtw:
      mov(eax, x(op_->m));
      break;
    case kRegSxtw:
      movsxd(rax, dword[rdi + register_at(op_->m)]);
      break;
    default:
      mov(rax, x(op_->n));
      if (mode != kPost && op_->imm != 0) add(rax, op_->imm);
      return;
  }
  if (op_->s != 0) shl(rax, op_->s);
  add(rax, x(op_->n));
}

// Subroutine: of the address in rax, by the TLB, what is to be added to it, to r10; the entry is at
// r8. On a miss it does not return: esi says where the instruction is.
void X64Translator::emit_look_up(Access access, bool sp, unsigned size_log2) {
  const bool write = access == kWrite || access == kWriteWhole || access == kUpdate;
  const bool whole = access >= kReadWhole;
  constexpr int kEntryLog2 = 5;
  static_assert(sizeof(TlbEntry) == 1 << kEntryLog2);
  mov(r8, rax);
  shr(r8, kPageLog2 - kEntryLog2);
  and_(r8d, (kTlbEntries - 1) << kEntryLog2);
  add(r8, ptr[rcx + tlb_at_]);
  lea(r9, ptr[rax + ((1 << size_log2) - 1)]);
  and_(r9, static_cast<int>(~kPageMask));
  const size_t tag = write ? offsetof(TlbEntry, write_tag) : offsetof(TlbEntry, read_tag);
  cmp(r9, ptr[r8 + tag]);
  const uint32_t misses = jump(kNe);
  const uint32_t check_sp = here();
  uint32_t misaligned = 0;
  if (sp) {
    test(byte[rdi + register_at(kSlotSp)], 15);
    misaligned = jump(kNe);
  }
  const uint32_t hit = here();
  mov(r10, ptr[r8 + offsetof(TlbEntry, addend)]);
  uint32_t no_right = 0, unaligned = 0;
  if (access == kUpdate) {
    cmp(r9, ptr[r8 + offsetof(TlbEntry, read_tag)]);
    no_right = jump(kNe);
  }
  if (whole && size_log2 != 0) {
    test(al, static_cast<uint8_t>((1 << size_log2) - 1));
    unaligned = jump(kNe);
  }
  ret();
  bind(misses);
  if (whole) {
    if (access == kUpdate) bind(no_right);
    if (size_log2 != 0) bind(unaligned);
    if (sp) bind(misaligned);
    add(rsp, 8);
    bind(jump(), ways_[kSlowAccess]);
    return;
  }
  // Pairs are held to the alignment of both elements together: the slow path knows better.
  or_(r9, kTlbAligned);
  cmp(r9, ptr[r8 + tag]);
  const uint32_t unknown = jump(kNe);
  test(al, (1 << size_log2) - 1);
  bind(jump(kE), sp ? check_sp : hit);
  bind(unknown);
  if (sp) bind(misaligned);
  add(rsp, 8);
  bind(jump(), ways_[kSlowAccess]);
}

// `base`: a slot.
void X64Translator::call_look_up(Access access, unsigned size_log2, unsigned base) {
  mov(esi, place_of(*block_, index_));
  call_routine(look_up_[access][base == kSlotSp][size_log2]);
}
void X64Translator::look_up(bool write, unsigned size_log2, int mode) {
  address(mode);
  call_look_up(write ? kWrite : kRead, size_log2, mode == kLit ? unsigned{kSlotXzr} : op_->n);
}

void X64Translator::write_back(int mode) {
  if (mode == kPre) store(op_->n, rax);
  if (mode == kPost) {
    add(rax, op_->imm);
    store(op_->n, rax);
  }
}

// opc: 0 zero-extended, 2 sign-extended to 64 bits, 3 to 32.
void X64Translator::load_element(Gp to, unsigned size_log2, unsigned opc, int offset) {
  const Place at = rax + r10 + offset;
  switch (size_log2) {
    case 0:
      return opc < 2 ? movzx(to.cut(32), byte[at]) : movsx(sized(to, opc == 2), byte[at]);
    case 1:
      return opc < 2 ? movzx(to.cut(32), word[at]) : movsx(sized(to, opc == 2), word[at]);
    case 2:
      return opc < 2 ? mov(to.cut(32), dword[at]) : movsxd(to, dword[at]);
    default:
      return mov(to, qword[at]);
  }
}
void X64Translator::store_element(Gp from, unsigned size_log2, int offset) {
  const Place at = rax + r10 + offset;
  switch (size_log2) {
    case 0:
      return mov(byte[at], from.cut(8));
    case 1:
      return mov(word[at], from.cut(16));
    case 2:
      return mov(dword[at], from.cut(32));
    default:
      return mov(qword[at], from);
  }
}

X64Translator::Emitted X64Translator::single(uint32_t word) {
  const unsigned size = bits(word, 31, 30), opc = bits(word, 23, 22);
  const int mode = single_mode(word);
  if (mode == kUnpriv) return Emitted::kNot;
  if ((word >> 26 & 1) != 0) {
    return vector(mode, (opc & 1) != 0, (opc & 2) != 0 ? 4 : size, false);
  }
  look_up(opc == 0, size, mode);
  if (opc == 0) {
    load(r11, op_->d, true);
    store_element(r11, size, 0);
    write_back(mode);
  } else {
    load_element(r11, size, opc, 0);
    write_back(mode);
    store(op_->d, r11);
  }
  return Emitted::kCanLeave;
}

X64Translator::Emitted X64Translator::literal(uint32_t word) {
  const unsigned opc = bits(word, 31, 30);
  if ((word >> 26 & 1) != 0) return vector(kLit, true, 2 + opc, false);
  const unsigned size = opc == 1 ? 3 : 2;
  look_up(false, size, kLit);
  load_element(r11, size, opc == 2 ? 2 : 1, 0);
  store(op_->d, r11);
  return Emitted::kCanLeave;
}

X64Translator::Emitted X64Translator::pair(uint32_t word) {
  const unsigned opc = bits(word, 31, 30);
  const bool is_load = word >> 22 & 1;
  const int mode = pair_mode(word);
  if ((word >> 26 & 1) != 0) return vector(mode, is_load, 2 + opc, true);
  const unsigned size = 2 + (opc >> 1);
  const int second = 1 << size;
  look_up(!is_load, size + 1, mode);
  if (is_load) {
    const unsigned extend = opc == 1 ? 2 : 1;  // LDPSW
    load_element(r11, size, extend, 0);
    load_element(r9, size, extend, second);
    write_back(mode);
    store(op_->d, r11);
    store(op_->m, r9);
  } else {
    load(r11, op_->d, true);
    load(r9, op_->m, true);
    store_element(r11, size, 0);
    store_element(r9, size, second);
    write_back(mode);
  }
  return Emitted::kCanLeave;
}

// scale: log2 of the element's bytes, up to 4.
X64Translator::Emitted X64Translator::vector(int mode, bool is_load, unsigned scale, bool is_pair) {
  look_up(!is_load, scale + (is_pair ? 1 : 0), mode);
  if (scale < 2) {
    if (is_load) {
      load_element(r11, scale, 1, 0);
      movd(xmm0, r11d);
      movups(v(op_->d), xmm0);
    } else {
      mov(r11, v(op_->d));
      store_element(r11, scale, 0);
    }
    write_back(mode);
    return Emitted::kCanLeave;
  }
  for (int i = 0; i < (is_pair ? 2 : 1); ++i) {
    const unsigned reg = i == 0 ? op_->d : op_->m;
    const Mem at = ptr[rax + r10 + (i << scale)];
    // MOVSS and MOVSD clear the rest of the register.
    if (is_load) {
      scale == 2 ? movss(xmm0, at) : scale == 3 ? movsd(xmm0, at) : movups(xmm0, at);
      keep_vector(reg, 1u << scale);
    } else if (scale == 4) {
      load_vector(xmm0, reg);
      movups(at, xmm0);
    } else {
      scale == 2 ? mov(r11d, v(reg)) : mov(r11, v(reg));
      scale == 2 ? mov(at, r11d) : mov(at, r11);
    }
  }
  write_back(mode);
  return Emitted::kCanLeave;
}

}  // namespace trapline::soft
