// Ordered accesses, exclusives and atomics, C4.1.94, in the order that ops_ordered.cc keeps: on
// this host a load is an LDAR, XCHG an STLR, and an instruction with LOCK a full barrier, a failed
// CMPXCHG too.
#include "vmm/soft/jit/x64/translate_x64.h"
#include "vmm/soft/ops/ops_bodies.h"

namespace trapline::soft {
namespace {

constexpr int kMonitorIpa = offsetof(ExclusiveMonitor, ipa),
              kMonitorValue = offsetof(ExclusiveMonitor, value);
static_assert(offsetof(ExclusiveMonitor, valid) == 0 && offsetof(ExclusiveMonitor, device) == 1 &&
                  offsetof(ExclusiveMonitor, bytes) == 2 && offsetof(ExclusiveMonitor, ipa) == 8,
              "written and compared as one word");
constexpr uint32_t marked(unsigned size) { return 1 | 1u << size << 16; }  // valid, no device

}  // namespace

void X64Translator::look_up_whole(Access access, unsigned size, int offset) {
  mov(rax, x(op_->n));
  if (offset != 0) add(rax, offset);
  call_look_up(access, size, op_->n);
}

// opc: as load_element() has it.
X64Translator::Emitted X64Translator::load_acquire(unsigned size, unsigned opc, int offset) {
  look_up_whole(kReadWhole, size, offset);
  load_element(r11, size, opc, 0);
  store(op_->d, r11);
  return Emitted::kCanLeave;
}

X64Translator::Emitted X64Translator::store_release(unsigned size, int offset) {
  look_up_whole(kWriteWhole, size, offset);
  load(r11, op_->d, true);
  xchg(ptr[rax + r10], r11.cut(static_cast<uint8_t>(8u << size)));
  return Emitted::kCanLeave;
}

// Of the address in rax and the TLB entry at r8, to r8.
void X64Translator::marked_ipa() {
  mov(r8, ptr[r8 + offsetof(TlbEntry, meta)]);
  mov(r9, kTlbIpaMask);
  and_(r8, r9);
  mov(r9d, eax);
  and_(r9d, static_cast<int>(kPageMask));
  or_(r8, r9);
}

void X64Translator::set_monitor(unsigned size) {
  marked_ipa();
  mov(dword[rdi + monitor_at_], marked(size));
  mov(ptr[rdi + (monitor_at_ + kMonitorIpa)], r8);
  mov(ptr[rdi + (monitor_at_ + kMonitorValue)], r11);
}

X64Translator::Emitted X64Translator::load_exclusive(unsigned size) {
  look_up_whole(kReadWhole, size);
  load_element(r11, size, 1, 0);
  set_monitor(size);
  store(op_->d, r11);
  return Emitted::kCanLeave;
}

// LDXP, of two words, which are loaded as one, or two doublewords.
X64Translator::Emitted X64Translator::load_exclusive_pair(bool wide) {
  look_up_whole(kReadWhole, wide ? 4 : 3);
  load_element(r11, 3, 1, 0);
  if (wide) {
    load_element(r10, 3, 1, 8);
    mov(ptr[rdi + (monitor_at_ + kMonitorValue + 8)], r10);
  }
  set_monitor(wide ? 4 : 3);
  if (!wide) {
    mov(r10, r11);
    shr(r10, 32);
    mov(r11d, r11d);
  }
  store(op_->d, r11);
  store(op_->m, r10);
  return Emitted::kCanLeave;
}

// STXR and, of both registers together, STXP.
X64Translator::Emitted X64Translator::store_exclusive(unsigned size, bool pair) {
  const unsigned all = size + (pair ? 1 : 0);
  look_up_whole(kWriteWhole, all);
  marked_ipa();
  mov(r9d, ptr[rdi + monitor_at_]);
  and_(r9d, 0xff'ffff);
  cmp(r9d, static_cast<int32_t>(marked(all)));
  mov(r9d, 1);
  const uint32_t not_marked = jump(kNe);
  cmp(r8, ptr[rdi + (monitor_at_ + kMonitorIpa)]);
  const uint32_t elsewhere = jump(kNe);
  lea(r8, ptr[rax + r10]);
  mov(rax, ptr[rdi + (monitor_at_ + kMonitorValue)]);
  if (all == 4) {
    put_aside();
    mov(rdx, ptr[rdi + (monitor_at_ + kMonitorValue + 8)]);
    load(rbx, op_->d, true);
    load(rcx, op_->m, true);
    lock_cmpxchg16b(ptr[r8]);
    take_back();
  } else {
    if (pair) {
      load_words(r11, op_->d, op_->m);
    } else {
      load(r11, op_->d, true);
    }
    lock_cmpxchg(ptr[r8], r11.cut(static_cast<uint8_t>(8u << all)));
  }
  mov(r9d, 0);
  set(kNe, r9d);
  bind(not_marked);
  bind(elsewhere);
  mov(byte[rdi + monitor_at_], 0);
  store(op_->s, r9);
  return Emitted::kCanLeave;
}

// CMPXCHG16B has its registers: e, icount and the caller's RBX step aside, to r9, r10 and r11. The
// host's flags are kept.
void X64Translator::put_aside() {
  mov(r9, rcx);
  mov(r10, rdx);
  mov(r11, rbx);
}
void X64Translator::take_back() {
  mov(rbx, r11);
  mov(rcx, r9);
  mov(r11, rdx);
  mov(rdx, r10);
}

// Two words as they lie in memory; r9 is scratch.
void X64Translator::load_words(Gp to, unsigned low, unsigned high) {
  load(to, low, false);
  load(r9, high, true);
  shl(r9, 32);
  or_(to, r9);
}

X64Translator::Emitted X64Translator::compare_and_swap(unsigned size) {
  look_up_whole(kUpdate, size);
  lea(r8, ptr[rax + r10]);
  constexpr Width kWidths[] = {byte, word, dword, qword};
  const Mem expected = kWidths[size][rdi + register_at(op_->s)];
  if (size < 2) {
    movzx(eax, expected);
  } else {
    load(rax, op_->s, size == 3);
  }
  load(r11, op_->d, true);
  lock_cmpxchg(ptr[r8], r11.cut(static_cast<uint8_t>(8u << size)));
  store(static_cast<unsigned>(op_->imm), rax);
  return Emitted::kCanLeave;
}

// CASP, of two words or two doublewords: s and s + 1 are compared and get what was there.
X64Translator::Emitted X64Translator::compare_and_swap_pair(bool wide) {
  look_up_whole(kUpdate, wide ? 4 : 3);
  lea(r8, ptr[rax + r10]);
  const unsigned second = op_->s + 1u;
  if (!wide) {
    load_words(rax, op_->s, second);
    load_words(r11, op_->d, op_->d + 1u);
    lock_cmpxchg(ptr[r8], r11);
    mov(r11d, eax);
    shr(rax, 32);
    store(op_->s, r11);
    store(second, rax);
    return Emitted::kCanLeave;
  }
  put_aside();
  load(rax, op_->s, true);
  load(rdx, second, true);
  load(rbx, op_->d, true);
  load(rcx, op_->d + 1u, true);
  lock_cmpxchg16b(ptr[r8]);
  take_back();
  store(op_->s, rax);
  store(second, r11);
  return Emitted::kCanLeave;
}

// By opc, bits 14:12, and 8: SWP.
X64Translator::Emitted X64Translator::atomic(unsigned size, unsigned operation) {
  constexpr unsigned kLdadd = 0, kLdclr = 1, kLdeor = 2, kSwp = 8;
  const bool extremum = operation >= 4 && operation < 8;
  if (extremum && size < 2) return Emitted::kNot;
  const Gp operand = r11.cut(static_cast<uint8_t>(8u << size));
  look_up_whole(kUpdate, size);
  lea(r8, ptr[rax + r10]);
  load(r11, op_->s, true);
  if (operation == kLdadd || operation == kSwp) {
    operation == kLdadd ? lock_xadd(ptr[r8], operand) : xchg(ptr[r8], operand);
    if (op_->d == kSlotDiscard) return Emitted::kCanLeave;
    if (size == 0) movzx(r11d, r11.cut(8));
    if (size == 1) movzx(r11d, r11.cut(16));
    if (size == 2) mov(r11d, r11d);
    store(op_->d, r11);
    return Emitted::kCanLeave;
  }
  const bool wide = size == 3;
  if (operation == kLdclr) not_(r11);
  rax_from(size);
  const uint32_t again = here();
  if (extremum) {
    // LDSMAX, LDSMIN, LDUMAX, LDUMIN: the old value stays if it is on the right side.
    constexpr Cc kKeeps[] = {kGe, kLe, kAe, kBe};
    mov(r9, r11);
    cmp(sized(rax, wide), sized(r11, wide));
    cmov(kKeeps[operation - 4], sized(r9, wide), sized(rax, wide));
  } else {
    mov(r9, rax);
    operation == kLdclr ? and_(r9, r11) : operation == kLdeor ? xor_(r9, r11) : or_(r9, r11);
  }
  lock_cmpxchg(ptr[r8], r9.cut(static_cast<uint8_t>(8u << size)));
  bind(jump(kNe), again);
  store(op_->d, rax);
  return Emitted::kCanLeave;
}

// The element at r8, zero-extended.
void X64Translator::rax_from(unsigned size) {
  switch (size) {
    case 0:
      return movzx(eax, byte[r8]);
    case 1:
      return movzx(eax, word[r8]);
    case 2:
      return mov(eax, ptr[r8]);
    default:
      return mov(rax, ptr[r8]);
  }
}

// What predecode_ordered() has a handler for.
X64Translator::Emitted X64Translator::ordered(uint32_t word) {
  const unsigned size = bits(word, 31, 30);
  if ((word & 0x3f200c00) == 0x38200000) {
    const unsigned opc = bits(word, 14, 12);
    if ((word >> 15 & 1) == 0) return atomic(size, opc);
    return opc == 0 ? atomic(size, 8) : load_acquire(size, 1, 0);  // SWP, LDAPR
  }
  const bool o2 = (word >> 23 & 1) != 0, is_load = (word >> 22 & 1) != 0,
             o1 = (word >> 21 & 1) != 0;
  if (o2 && o1) return compare_and_swap(size);
  if (o1 && size < 2) return compare_and_swap_pair(size == 1);
  if (o1 && is_load) return load_exclusive_pair(size == 3);
  if (!o2) return is_load ? load_exclusive(size) : store_exclusive(size, o1);
  if ((word >> 15 & 1) == 0) return Emitted::kNot;  // LDLAR, STLLR
  return is_load ? load_acquire(size, 1, 0) : store_release(size, 0);
}

// LDAPUR, STLUR.
X64Translator::Emitted X64Translator::unscaled_ordered(uint32_t word) {
  const unsigned size = bits(word, 31, 30), opc = bits(word, 23, 22);
  return opc == 0 ? store_release(size, op_->imm) : load_acquire(size, opc, op_->imm);
}

}  // namespace trapline::soft
