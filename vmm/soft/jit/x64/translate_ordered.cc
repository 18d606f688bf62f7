// Ordered accesses, exclusives and atomics, C4.1.94, in the order that ops_ordered.cc keeps: on
// this host a load is an LDAR, XCHG an STLR, and an instruction with LOCK a full barrier, a failed
// CMPXCHG too.
#include "vmm/soft/jit/x64/translate_x64.h"
#include "vmm/soft/ops/ops_bodies.h"

namespace trapline::soft {
namespace {

static_assert(offsetof(ExclusiveMonitor, valid) == 0 && offsetof(ExclusiveMonitor, device) == 1 &&
                  offsetof(ExclusiveMonitor, bytes) == 2 && offsetof(ExclusiveMonitor, ipa) == 8,
              "written and compared as one word");
constexpr uint32_t marked(unsigned size) { return 1 | 1u << size << 16; }  // valid, no device

}  // namespace

void X64Translator::look_up_whole(Access access, unsigned size) {
  mov(rax, x(op_->n));
  call_look_up(access, size, op_->n);
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

X64Translator::Emitted X64Translator::load_exclusive(unsigned size) {
  look_up_whole(kReadWhole, size);
  load_element(r11, size, 1, 0);
  marked_ipa();
  mov(dword[rdi + monitor_at_], marked(size));
  mov(ptr[rdi + (monitor_at_ + static_cast<int>(offsetof(ExclusiveMonitor, ipa)))], r8);
  mov(ptr[rdi + (monitor_at_ + static_cast<int>(offsetof(ExclusiveMonitor, value)))], r11);
  store(op_->d, r11);
  return Emitted::kCanLeave;
}

X64Translator::Emitted X64Translator::store_exclusive(unsigned size) {
  look_up_whole(kWriteWhole, size);
  marked_ipa();
  mov(r9d, ptr[rdi + monitor_at_]);
  and_(r9d, 0xff'ffff);
  cmp(r9d, static_cast<int32_t>(marked(size)));
  mov(r9d, 1);
  const uint32_t not_marked = jump(kNe);
  cmp(r8, ptr[rdi + (monitor_at_ + static_cast<int>(offsetof(ExclusiveMonitor, ipa)))]);
  const uint32_t elsewhere = jump(kNe);
  lea(r8, ptr[rax + r10]);
  mov(rax, ptr[rdi + (monitor_at_ + static_cast<int>(offsetof(ExclusiveMonitor, value)))]);
  load(r11, op_->d, true);
  mov(r9d, 0);
  lock_cmpxchg(ptr[r8], r11.cut(static_cast<uint8_t>(8u << size)));
  set(kNe, r9d);
  bind(not_marked);
  bind(elsewhere);
  mov(byte[rdi + monitor_at_], 0);
  store(op_->s, r9);
  return Emitted::kCanLeave;
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
    const auto both = [&](Gp to, unsigned slot) {
      load(to, slot, false);
      load(r9, slot + 1, true);
      shl(r9, 32);
      or_(to, r9);
    };
    both(rax, op_->s);
    both(r11, op_->d);
    lock_cmpxchg(ptr[r8], r11);
    mov(r11d, eax);
    shr(rax, 32);
    store(op_->s, r11);
    store(second, rax);
    return Emitted::kCanLeave;
  }
  // CMPXCHG16B has its registers: e, icount and the caller's RBX step aside.
  mov(r9, rcx);
  mov(r10, rdx);
  mov(r11, rbx);
  load(rax, op_->s, true);
  load(rdx, second, true);
  load(rbx, op_->d, true);
  load(rcx, op_->d + 1u, true);
  lock_cmpxchg16b(ptr[r8]);
  mov(rbx, r11);
  mov(rcx, r9);
  mov(r11, rdx);
  mov(rdx, r10);
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
    return opc == 0 ? atomic(size, 8) : Emitted::kNot;
  }
  const bool o2 = (word >> 23 & 1) != 0, is_load = (word >> 22 & 1) != 0,
             o1 = (word >> 21 & 1) != 0;
  if (o2 && o1) return compare_and_swap(size);
  if (o1) return compare_and_swap_pair(size == 1);
  if (!o2) return is_load ? load_exclusive(size) : store_exclusive(size);
  if ((word >> 15 & 1) == 0) return Emitted::kNot;  // LDLAR, STLLR
  if (is_load) {
    look_up_whole(kReadWhole, size);
    load_element(r11, size, 1, 0);
    store(op_->d, r11);
  } else {
    look_up_whole(kWriteWhole, size);
    load(r11, op_->d, true);
    xchg(ptr[rax + r10], r11.cut(static_cast<uint8_t>(8u << size)));
  }
  return Emitted::kCanLeave;
}

}  // namespace trapline::soft
