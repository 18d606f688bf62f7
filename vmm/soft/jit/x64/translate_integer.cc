// Data processing of general registers: "Immediate", C4.1.92, and "Register", C4.1.95. Operands
// come from the predecoded op, so that XZR, SP and immediates are resolved there alone.
#include "vmm/soft/jit/x64/translate_x64.h"
#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {

// --- flags ---------------------------------------------------------------------------------------

// The host's flags are those of the result in rax, which is in its register already. `for_all`:
// they are stored even if nobody seems to want them.
void X64Translator::keep_flags(HostFlags kind, bool logical, bool sf, bool for_all) {
  host_flags_ = kind;
  flags_kept_ = true;
  if (!for_all && flags_are_dead(kind)) return;
  if (!sf) movsxd(rax, eax);
  mov(ptr[rcx + flag_n_], rax);
  mov(ptr[rcx + flag_z_], rax);
  if (logical) {
    mov(byte[rcx + flag_c_], 0);
    mov(byte[rcx + flag_v_], 0);
  } else {
    set(kind == HostFlags::kSubtract ? kAe : kB, byte[rcx + flag_c_]);
    set(kO, byte[rcx + flag_v_]);
  }
}

// Whether the integer instructions that follow set all four anew before anybody asks for them
// elsewhere than where the host has them. None of these instructions leaves the block.
bool X64Translator::flags_are_dead(HostFlags kind) const {
  const bool subtract = kind == HostFlags::kSubtract;
  bool in_host = true;
  for (unsigned i = index_ + 1; i < source_->length; ++i) {
    const uint32_t word = source_->words[i];
    const Handler fn = block_->ops[i].fn;
    if (!is_integer(word) || fn == op_undefined || fn == op_system) return false;
    const bool sets = (word >> 29 & 1) != 0;
    const unsigned group = bits(word, 28, 24), op2 = bits(word, 24, 21);
    if (group >= 0b10000 && group <= 0b10011) {  // immediate: C4.1.92
      const unsigned kind_of_immediate = bits(word, 25, 23);
      const bool logical = kind_of_immediate == 4 && bits(word, 30, 29) == 3;
      if ((kind_of_immediate == 2 && sets) || logical) return true;
    } else if (group == 0b01011) {  // ADD, SUB
      if (sets) return true;
    } else if (group == 0b01010) {  // ANDS, BICS
      if (bits(word, 30, 29) == 3) return true;
    } else if (op2 == 0) {  // ADC, SBC
      if (!in_host || bits(word, 15, 10) != 0 || (word >> 30 & 1) != subtract) return false;
      if (sets) return true;
    } else if (op2 == 2 || op2 == 4) {  // CCMP, CSEL
      const unsigned cond = bits(word, 15, 12);
      if (cond < 14 && (!in_host || (cond >> 1 == 4 && !subtract))) return false;
      if (op2 == 2) return true;
      continue;  // the host's flags stay
    } else if (op2 < 6 || (op2 == 6 && sets)) {
      return false;
    }
    in_host = false;  // or so it seems
  }
  return false;
}

// Constant ones.
void X64Translator::store_flags(uint32_t nzcv) {
  Flags flags;
  flags.unpack(nzcv);
  mov(qword[rcx + flag_n_], static_cast<uint64_t>(flags.n));
  mov(qword[rcx + flag_z_], flags.z);
  mov(byte[rcx + flag_c_], flags.c);
  mov(byte[rcx + flag_v_], flags.v);
}

// The host condition that holds if `cond` (0 to 13, C1.2.4) does. May use rax.
Cc X64Translator::condition(unsigned cond) {
  const Cc negated = static_cast<Cc>(cond & 1);  // odd conditions negate the even ones; so do Cc's
  if (host_flags_ != HostFlags::kUnknown) {
    if (host_flags_ == HostFlags::kFloat) {  // N is "less", V "unordered": never
      constexpr Cc kByPair[] = {kE, kAe, kB, kO, kA, kAe, kA};
      return static_cast<Cc>(kByPair[cond >> 1] ^ negated);
    }
    const bool subtract = host_flags_ == HostFlags::kSubtract;
    constexpr Cc kByPair[] = {kE, kAe, kS, kO, kA, kGe, kG};
    const Cc even = kByPair[cond >> 1];
    if (even == kAe && !subtract) return static_cast<Cc>(kB ^ negated);
    if (even != kA || subtract) return static_cast<Cc>(even ^ negated);
  }
  host_flags_ = HostFlags::kUnknown;
  flags_kept_ = false;
  switch (cond >> 1) {
    case 0:  // Z
      cmp(qword[rcx + flag_z_], 0);
      return static_cast<Cc>(kE ^ negated);
    case 1:  // C
      cmp(byte[rcx + flag_c_], 0);
      return static_cast<Cc>(kNe ^ negated);
    case 2:  // N
      cmp(qword[rcx + flag_n_], 0);
      return static_cast<Cc>(kS ^ negated);
    case 3:  // V
      cmp(byte[rcx + flag_v_], 0);
      return static_cast<Cc>(kNe ^ negated);
    case 4:  // C and not Z: neither is missing
      xor_(eax, eax);
      cmp(byte[rcx + flag_c_], 1);
      adc(eax, 0);
      cmp(qword[rcx + flag_z_], 1);
      adc(eax, 0);
      return static_cast<Cc>(kE ^ negated);
    case 5:  // N == V
      mov(rax, ptr[rcx + flag_n_]);
      shr(rax, 63);
      cmp(al, byte[rcx + flag_v_]);
      return static_cast<Cc>(kE ^ negated);
    default:  // N == V and not Z
      mov(rax, ptr[rcx + flag_n_]);
      shr(rax, 63);
      xor_(al, byte[rcx + flag_v_]);
      cmp(qword[rcx + flag_z_], 1);
      adc(eax, 0);
      return static_cast<Cc>(kE ^ negated);
  }
}

// --- immediate -----------------------------------------------------------------------------------

X64Translator::Emitted X64Translator::immediate(uint32_t word) {
  switch (bits(word, 25, 23)) {
    case 0:
    case 1: {  // ADR; ADRP, whose imm counts pages
      const uint64_t pages =
          (block_->pc & ~kPageMask) + (static_cast<uint64_t>(int64_t{op_->imm}) << 12);
      const uint64_t bytes = block_->pc + static_cast<uint64_t>(int64_t{op_->imm});
      store_constant(op_->d, (word >> 31) != 0 ? pages : bytes);
      flags_kept_ = true;
      return Emitted::kDone;
    }
    case 2:
      return add_sub_immediate(word);
    case 4:
      return logical_immediate(word);
    case 5:
      return move_wide(word);
    case 6:
      return bitfield(word);
    case 7:
      return extract(word);
    default:
      return Emitted::kNot;
  }
}

X64Translator::Emitted X64Translator::add_sub_immediate(uint32_t word) {
  const bool sf = word >> 31;
  load(rax, op_->n, sf);
  if ((word >> 29 & 1) == 0) {  // of SUB, imm is negative already
    if (op_->imm != 0) lea(sized(rax, sf), ptr[rax + op_->imm]);
    store(op_->d, rax);
    flags_kept_ = true;
    return Emitted::kDone;
  }
  const bool subtract = (word >> 30 & 1) != 0;
  const Gp result = sized(rax, sf);
  subtract ? sub(result, op_->imm) : add(result, op_->imm);
  if (op_->d != kSlotDiscard) store(op_->d, rax);
  keep_flags(subtract ? HostFlags::kSubtract : HostFlags::kAdd, false, sf);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::logical_immediate(uint32_t word) {
  const bool sf = word >> 31;
  const unsigned opc = bits(word, 30, 29);
  const uint64_t mask = bitmask_immediate(bits(word, 22, 10));
  const bool short_mask = !sf || is_short(mask);
  if (opc == 1 && op_->n == kSlotXzr) {  // MOV
    store_constant(op_->d, sf ? mask : static_cast<uint32_t>(mask));
    flags_kept_ = true;
    return Emitted::kDone;
  }
  const Gp result = sized(rax, sf);
  if (short_mask) {
    load(rax, op_->n, sf);
    const auto imm = static_cast<uint32_t>(mask);
    opc == 1 ? or_(result, imm) : opc == 2 ? xor_(result, imm) : and_(result, imm);
  } else {
    mov(rax, mask);
    opc == 1 ? or_(rax, x(op_->n)) : opc == 2 ? xor_(rax, x(op_->n)) : and_(rax, x(op_->n));
  }
  if (op_->d != kSlotDiscard) store(op_->d, rax);
  if (opc == 3) keep_flags(HostFlags::kAdd, true, sf);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::move_wide(uint32_t word) {
  const bool sf = word >> 31;
  const unsigned opc = bits(word, 30, 29), at = 16 * bits(word, 22, 21);
  const uint64_t imm = uint64_t{bits(word, 20, 5)} << at;
  if (opc == 3) {  // MOVK
    const uint64_t field = uint64_t{0xffff} << at;
    load(rax, op_->d, sf);
    if (at == 0) {
      and_(sized(rax, sf), static_cast<uint32_t>(~field));
      or_(sized(rax, sf), static_cast<uint32_t>(imm));
    } else {
      mov(r8, ~field);
      and_(sized(rax, sf), sized(r8, sf));
      mov(r8, imm);
      or_(sized(rax, sf), sized(r8, sf));
    }
    store(op_->d, rax);
    return Emitted::kDone;
  }
  const uint64_t value = opc == 2 ? imm : ~imm;
  store_constant(op_->d, sf ? value : static_cast<uint32_t>(value));
  flags_kept_ = true;
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::bitfield(uint32_t word) {
  const bool sf = word >> 31;
  const unsigned opc = bits(word, 30, 29), immr = bits(word, 21, 16), imms = bits(word, 15, 10);
  const Gp result = sized(rax, sf);
  if (opc == 1) {  // BFM: of Rn rotated right by word, the field of s bits at bit m
    const uint64_t field = (~uint64_t{0} >> (64 - op_->s)) << op_->m;
    load(rax, op_->n, sf);
    if (op_->word != 0) shift(kRor, result, op_->word);
    mov(r8, field);
    and_(result, sized(r8, sf));
    not_(sized(r8, sf));
    and_(sized(r8, sf), x(op_->d));
    or_(result, sized(r8, sf));
    store(op_->d, rax);
    return Emitted::kDone;
  }
  // A left shift by m, then a right shift by s.
  const bool is_signed = opc == 0;
  if (immr == 0 && (imms == 7 || imms == 15 || imms == 31)) {  // SXTB to SXTW, UXTB, UXTH
    const Mem from = imms == 7    ? byte[rdi + register_at(op_->n)]
                     : imms == 15 ? x64::word[rdi + register_at(op_->n)]
                                  : dword[rdi + register_at(op_->n)];
    if (imms == 31) {
      (is_signed && sf) ? movsxd(rax, from) : mov(eax, from);
    } else {
      is_signed ? movsx(result, from) : movzx(eax, from);
    }
    store(op_->d, rax);
    flags_kept_ = true;
    return Emitted::kDone;
  }
  load(rax, op_->n, sf);
  if (op_->m != 0) shl(result, op_->m);
  if (op_->s != 0) shift(is_signed ? kSar : kShr, result, op_->s);
  store(op_->d, rax);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::extract(uint32_t word) {
  const bool sf = word >> 31;
  load(rax, op_->m, sf);
  if (op_->s != 0) {
    load(r8, op_->n, sf);
    shrd(sized(rax, sf), sized(r8, sf), op_->s);
  }
  store(op_->d, rax);
  return Emitted::kDone;
}

// --- register ------------------------------------------------------------------------------------

X64Translator::Emitted X64Translator::register_(uint32_t word) {
  const unsigned op2 = bits(word, 24, 21);
  if ((word >> 28 & 1) == 0)
    return (op2 & 8) == 0 ? logical_register(word) : add_sub_register(word);
  switch (op2) {
    case 0:
      return bits(word, 15, 10) == 0 ? add_sub_carry(word) : Emitted::kNot;
    case 2:
      return conditional_compare(word);
    case 4:
      return conditional_select(word);
    case 6:
      return (word >> 30 & 1) != 0 ? one_source(word) : two_source(word);
    default:
      return op2 >= 8 ? three_source(word) : Emitted::kNot;
  }
}

// kind: LSL, LSR, ASR, ROR.
void X64Translator::shift_constant(Gp reg, unsigned kind, unsigned amount) {
  constexpr Shift kByKind[] = {kShl, kShr, kSar, kRor};
  if (amount != 0) shift(kByKind[kind], reg, amount);
}

// Rm, extended by `option`, to r8.
void X64Translator::extend(unsigned option) {
  const Place from = rdi + register_at(op_->m);
  switch (option) {
    case 0:
      return movzx(r8d, byte[from]);
    case 1:
      return movzx(r8d, x64::word[from]);
    case 2:
      return mov(r8d, ptr[from]);
    case 4:
      return movsx(r8, byte[from]);
    case 5:
      return movsx(r8, x64::word[from]);
    case 6:
      return movsxd(r8, dword[from]);
    default:
      return mov(r8, ptr[from]);
  }
}

X64Translator::Emitted X64Translator::add_sub_register(uint32_t word) {
  const bool sf = word >> 31, subtract = word >> 30 & 1, flags = word >> 29 & 1;
  const bool extended = word >> 21 & 1;
  const Gp result = sized(rax, sf);
  if (!extended && op_->s == 0) {
    load(rax, op_->n, sf);
    subtract ? sub(result, x(op_->m)) : add(result, x(op_->m));
  } else {
    if (extended) {
      extend(bits(word, 15, 13));
      shift_constant(r8, 0, op_->s);
    } else {
      load(r8, op_->m, sf);
      shift_constant(sized(r8, sf), bits(word, 23, 22), op_->s);
    }
    load(rax, op_->n, sf);
    subtract ? sub(result, sized(r8, sf)) : add(result, sized(r8, sf));
  }
  if (op_->d != kSlotDiscard) store(op_->d, rax);
  if (flags) keep_flags(subtract ? HostFlags::kSubtract : HostFlags::kAdd, false, sf);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::logical_register(uint32_t word) {
  const bool sf = word >> 31, invert = word >> 21 & 1;
  const unsigned opc = bits(word, 30, 29);
  const Gp result = sized(rax, sf);
  load(rax, op_->m, sf);
  shift_constant(result, bits(word, 23, 22), op_->s);
  const bool move = opc == 1 && op_->n == kSlotXzr;
  flags_kept_ = move && op_->s == 0;
  if (invert) not_(result);
  if (!move) {
    opc == 1   ? or_(result, x(op_->n))
    : opc == 2 ? xor_(result, x(op_->n))
               : and_(result, x(op_->n));
  }
  if (op_->d != kSlotDiscard) store(op_->d, rax);
  if (opc == 3) keep_flags(HostFlags::kAdd, true, sf);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::add_sub_carry(uint32_t word) {
  const bool sf = word >> 31, subtract = word >> 30 & 1, flags = word >> 29 & 1;
  const Gp result = sized(rax, sf);
  load(rax, op_->n, sf);
  // CF: C for an addition, its inverse, the borrow, for a subtraction.
  const bool known = subtract
                         ? host_flags_ == HostFlags::kSubtract || host_flags_ == HostFlags::kFloat
                         : host_flags_ == HostFlags::kAdd;
  if (!known && subtract) {
    cmp(byte[rcx + flag_c_], 1);
  } else if (!known) {
    movzx(r8d, byte[rcx + flag_c_]);
    neg(r8d);
  }
  subtract ? sbb(result, x(op_->m)) : adc(result, x(op_->m));
  if (op_->d != kSlotDiscard) store(op_->d, rax);
  if (flags) keep_flags(subtract ? HostFlags::kSubtract : HostFlags::kAdd, false, sf);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::conditional_compare(uint32_t word) {
  const bool sf = word >> 31, subtract = word >> 30 & 1, has_immediate = word >> 11 & 1;
  const unsigned cond = bits(word, 15, 12);
  uint32_t fails = 0;
  if (cond < 14) fails = jump(static_cast<Cc>(condition(cond) ^ 1));
  const Gp result = sized(rax, sf);
  load(rax, op_->n, sf);
  if (has_immediate) {
    subtract ? sub(result, op_->m) : add(result, op_->m);
  } else {
    subtract ? sub(result, x(op_->m)) : add(result, x(op_->m));
  }
  keep_flags(subtract ? HostFlags::kSubtract : HostFlags::kAdd, false, sf, cond < 14);
  if (cond < 14) {
    const uint32_t over = jump();
    bind(fails);
    store_flags(op_->word << 28);
    bind(over);
    flags_kept_ = false;
  }
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::conditional_select(uint32_t word) {
  const bool sf = word >> 31, second = word >> 30 & 1, increment = word >> 10 & 1;
  const unsigned cond = bits(word, 15, 12);
  const bool known = host_flags_ != HostFlags::kUnknown;
  if (cond >= 14) {
    load(r8, op_->n, sf);
    store(op_->d, r8);
    flags_kept_ = true;
    return Emitted::kDone;
  }
  // None of these touches the host's flags.
  load(r9, op_->m, sf);
  if (second) not_(sized(r9, sf));                 // CSINV, CSNEG
  if (increment) lea(sized(r9, sf), ptr[r9 + 1]);  // CSINC, CSNEG
  load(r8, op_->n, sf);
  flags_kept_ = known;
  cmov(condition(cond), sized(r9, sf), sized(r8, sf));
  store(op_->d, r9);
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::three_source(uint32_t word) {
  const bool sf = word >> 31, subtract = word >> 15 & 1;
  const unsigned kind = bits(word, 23, 21);
  if ((kind & 3) == 2) {  // SMULH, UMULH: rdx is the count
    mov(r8, rdx);
    mov(rax, x(op_->n));
    mul_rax(x(op_->m), kind == 2);
    store(op_->d, rdx);
    mov(rdx, r8);
    return Emitted::kDone;
  }
  if (kind == 0) {
    load(rax, op_->n, sf);
    imul(sized(rax, sf), x(op_->m));
  } else {  // SMADDL, UMADDL and their kin
    const bool is_signed = kind == 1;
    is_signed ? movsxd(rax, dword[rdi + register_at(op_->n)]) : load(rax, op_->n, false);
    is_signed ? movsxd(r8, dword[rdi + register_at(op_->m)]) : load(r8, op_->m, false);
    imul(rax, r8);
  }
  if (subtract) {
    load(r8, op_->s, sf);
    sub(sized(r8, sf), sized(rax, sf));
    store(op_->d, r8);
  } else {
    if (op_->s != kSlotXzr) add(sized(rax, sf), x(op_->s));
    store(op_->d, rax);
  }
  return Emitted::kDone;
}

X64Translator::Emitted X64Translator::two_source(uint32_t word) {
  const bool sf = word >> 31;
  const unsigned opcode = bits(word, 15, 10);
  if (opcode == 2 || opcode == 3) return division(opcode == 3, sf);
  if ((opcode & 0x3c) == 0x14 && host_.sse42) {  // CRC32C
    constexpr Width kWidths[] = {byte, x64::word, dword, qword};
    load(rax, op_->n, false);
    crc32c(eax, kWidths[opcode & 3][rdi + register_at(op_->m)]);
    store(op_->d, rax);
    flags_kept_ = true;
    return Emitted::kDone;
  }
  if (opcode < 8 || opcode > 11) return Emitted::kNot;
  // By Rm modulo the width, as the host's.
  constexpr Shift kByOpcode[] = {kShl, kShr, kSar, kRor};
  const Shift kind = kByOpcode[opcode - 8];
  if (host_.bmi2 && kind != kRor) {
    load(r8, op_->m, sf);
    shift_by(kind, sized(rax, sf), x(op_->n), r8);
    flags_kept_ = true;
  } else {
    load(rax, op_->n, sf);
    mov(r8, rcx);
    load(rcx, op_->m, false);
    shift_cl(kind, sized(rax, sf));
    mov(rcx, r8);
  }
  store(op_->d, rax);
  return Emitted::kDone;
}

// By zero it is 0; the host traps that, and the one quotient that overflows. rdx is the count.
X64Translator::Emitted X64Translator::division(bool is_signed, bool sf) {
  const Gp dividend = sized(rax, sf), divisor = sized(r9, sf);
  load(r9, op_->m, sf);
  load(rax, op_->n, sf);
  mov(r8, rdx);
  cmp(divisor, 0);
  const uint32_t by_zero = jump(kE);
  uint32_t negated = 0;
  if (is_signed) {
    cmp(divisor, -1);
    const uint32_t plain = jump(kNe);
    neg(dividend);
    negated = jump();
    bind(plain);
    sf ? cqo() : cdq();
  } else {
    xor_(edx, edx);
  }
  div(divisor, is_signed);
  const uint32_t over = jump();
  bind(by_zero);
  xor_(eax, eax);
  bind(over);
  if (is_signed) bind(negated);
  mov(rdx, r8);
  store(op_->d, rax);
  return Emitted::kDone;
}

// RBIT and then CLZ of the same register: trailing zeros. Nobody enters between the two.
bool X64Translator::next_counts(bool sf) const {
  if (!host_.bmi || host_flags_ != HostFlags::kUnknown || index_ + 1 >= source_->length)
    return false;
  const Op& next = block_->ops[index_ + 1];
  return (source_->words[index_ + 1] & 0xffff'fc00) == (sf ? 0xdac0'1000 : 0x5ac0'1000) &&
         next.n == op_->d && next.d == op_->d;
}

X64Translator::Emitted X64Translator::one_source(uint32_t word) {
  const bool sf = word >> 31;
  const unsigned opcode = bits(word, 15, 10);
  if (opcode == 0 && next_counts(sf)) {
    tzcnt(sized(rax, sf), x(op_->n));
    counted_ = index_ + 1;
  } else if (opcode == 0) {  // RBIT: the bytes, then what is in them
    load(rax, op_->n, sf);
    bswap(sized(rax, sf));
    constexpr uint64_t kMasks[] = {0x0f0f0f0f0f0f0f0f, 0x3333333333333333, 0x5555555555555555};
    for (unsigned i = 0; i < 3; ++i) {
      const unsigned by = 4u >> i;
      mov(r9, sf ? kMasks[i] : static_cast<uint32_t>(kMasks[i]));
      mov(r8, rax);
      shr(r8, by);
      and_(r8, r9);
      and_(rax, r9);
      if (by == 4) {
        shl(rax, by);
        or_(rax, r8);
      } else {
        lea(rax, ptr[r8 + rax * (1 << by)]);
      }
    }
  } else if (opcode == 1) {  // REV16
    constexpr uint64_t kMask = 0x00ff00ff00ff00ff;
    load(rax, op_->n, sf);
    mov(r9, sf ? kMask : static_cast<uint32_t>(kMask));
    mov(r8, rax);
    shr(r8, 8);
    and_(r8, r9);
    and_(rax, r9);
    shl(rax, 8);
    or_(rax, r8);
  } else if (opcode == 2 && sf) {  // REV32
    load(rax, op_->n, sf);
    bswap(rax);
    shift(kRor, rax, 32);
  } else if (opcode == 4 && counted_ == index_) {
    flags_kept_ = true;
    return Emitted::kDone;
  } else if (opcode == 4 && host_.lzcnt) {  // CLZ
    lzcnt(sized(rax, sf), x(op_->n));
  } else if (opcode == 3 || (opcode == 2 && !sf)) {  // REV
    load(rax, op_->n, sf);
    bswap(sized(rax, sf));
  } else {
    return Emitted::kNot;
  }
  store(op_->d, rax);
  return Emitted::kDone;
}

}  // namespace trapline::soft
