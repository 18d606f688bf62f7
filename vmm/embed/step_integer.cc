// Integer arithmetic and branches, C4.1: the plain meaning, for sequences of a few instructions.
#include "decode/bitmask.h"
#include "vmm/embed/stepper.h"

namespace trapline::embed {
namespace {

constexpr uint32_t kN = uint32_t{1} << 31, kZ = 1 << 30, kC = 1 << 29, kV = 1 << 28;

constexpr uint32_t field(uint32_t word, unsigned high, unsigned low) {
  return word >> low & ((uint32_t{2} << (high - low)) - 1);
}
constexpr uint64_t offset(uint32_t word, unsigned high, unsigned low) {
  const auto top = static_cast<int32_t>(word << (31 - high));
  return static_cast<uint64_t>(int64_t{top >> (31 - high + low)});
}

// An instruction and the registers that it works on: of 32 bits or of 64.
struct Step {
  uint32_t word;
  CpuView& view;
  bool wide;

  unsigned width() const { return wide ? 64 : 32; }
  uint64_t cut(uint64_t value) const { return wide ? value : static_cast<uint32_t>(value); }
  bool top(uint64_t value) const { return (value >> (width() - 1) & 1) != 0; }
  int64_t as_signed(uint64_t value) const {
    return wide ? static_cast<int64_t>(value) : static_cast<int32_t>(value);
  }

  uint64_t x(unsigned reg) const { return cut(view.regs->x[reg]); }
  uint64_t x_or_sp(unsigned reg) const { return cut(view.regs->x[reg == 31 ? kSlotSp : reg]); }
  unsigned rd() const { return field(word, 4, 0); }
  unsigned rn() const { return field(word, 9, 5); }
  unsigned rm() const { return field(word, 20, 16); }

  bool set(uint64_t value) const {
    view.regs->x[rd() == 31 ? kSlotDiscard : rd()] = cut(value);
    return true;
  }
  bool set_or_sp(uint64_t value) const {
    view.regs->x[rd() == 31 ? kSlotSp : rd()] = cut(value);
    return true;
  }
  void set_nz(uint64_t result) const {
    view.nzcv = (top(result) ? kN : 0) | (cut(result) == 0 ? kZ : 0);
  }

  // AddWithCarry() of J1.1.3, and its flags where they are asked for.
  uint64_t add(uint64_t a, uint64_t b, unsigned carry, bool flags) const {
    a = cut(a);
    b = cut(b);
    const uint64_t result = cut(a + b + carry);
    if (flags) {
      set_nz(result);
      const bool carried = carry != 0 ? result <= a : result < a;
      if (carried) view.nzcv |= kC;
      if (top((a ^ result) & (b ^ result))) view.nzcv |= kV;
    }
    return result;
  }
};

// C1.2.4.
bool holds(unsigned condition, uint32_t nzcv) {
  const bool n = (nzcv & kN) != 0, z = (nzcv & kZ) != 0, c = (nzcv & kC) != 0, v = (nzcv & kV) != 0;
  bool result = true;
  switch (condition >> 1) {
    case 0:
      result = z;
      break;
    case 1:
      result = c;
      break;
    case 2:
      result = n;
      break;
    case 3:
      result = v;
      break;
    case 4:
      result = c && !z;
      break;
    case 5:
      result = n == v;
      break;
    case 6:
      result = n == v && !z;
      break;
    default:
      return true;
  }
  return result != ((condition & 1) != 0);
}

uint64_t rotate_right(const Step& s, uint64_t value, unsigned by) {
  value = s.cut(value);
  return by == 0 ? value : s.cut(value >> by | value << (s.width() - by));
}

uint64_t shifted(const Step& s, unsigned kind, uint64_t value, unsigned by) {
  value = s.cut(value);
  switch (kind) {
    case 0:
      return s.cut(value << by);
    case 1:
      return value >> by;
    case 2:
      return s.cut(static_cast<uint64_t>(s.as_signed(value) >> by));
    default:
      return rotate_right(s, value, by);
  }
}

// ExtendReg() of J1.1.3.
uint64_t extended(const Step& s, unsigned kind, uint64_t value, unsigned by) {
  const unsigned unused = 64 - (8u << (kind & 3));
  value <<= unused;
  value = (kind & 4) != 0 ? static_cast<uint64_t>(static_cast<int64_t>(value) >> unused)
                          : value >> unused;
  return s.cut(value << by);
}

bool logic(const Step& s, uint64_t b, bool immediate) {
  const unsigned opc = field(s.word, 30, 29);
  const uint64_t a = s.x(s.rn());
  const uint64_t result = s.cut(opc == 1 ? a | b : opc == 2 ? a ^ b : a & b);
  if (opc == 3) s.set_nz(result);
  return immediate && opc != 3 ? s.set_or_sp(result) : s.set(result);
}

// ADD, SUB and their flag-setting forms, of an operand that is made.
bool add_or_subtract(const Step& s, uint64_t a, uint64_t b, bool to_sp) {
  const bool subtract = (s.word >> 30 & 1) != 0, flags = (s.word >> 29 & 1) != 0;
  const uint64_t result = s.add(a, subtract ? ~b : b, subtract ? 1 : 0, flags);
  return to_sp && !flags ? s.set_or_sp(result) : s.set(result);
}

// SBFM, BFM, UBFM.
bool bitfield(const Step& s) {
  const unsigned opc = field(s.word, 30, 29), immr = field(s.word, 21, 16);
  const unsigned imms = field(s.word, 15, 10), width = s.width();
  if (opc == 3 || (s.word >> 22 & 1) != (s.wide ? 1u : 0u) || immr >= width || imms >= width) {
    return false;
  }
  // The bits [low, low + length) of the source go to [to, to + length) of the result.
  const bool extracts = imms >= immr;
  const unsigned length = extracts ? imms - immr + 1 : imms + 1;
  const unsigned to = extracts ? 0 : width - immr;
  const uint64_t ones = length == 64 ? ~uint64_t{0} : (uint64_t{1} << length) - 1;
  const uint64_t source = extracts ? s.x(s.rn()) >> immr : s.x(s.rn());
  const uint64_t moved = (source & ones) << to;
  if (opc == 1) return s.set((s.x(s.rd()) & ~(ones << to)) | moved);
  if (opc == 2) return s.set(moved);
  const unsigned unused = 64 - to - length;
  return s.set(static_cast<uint64_t>(static_cast<int64_t>(moved << unused) >> unused));
}

bool move_wide(const Step& s) {
  const unsigned opc = field(s.word, 30, 29), shift = field(s.word, 22, 21) * 16;
  if (opc == 1 || shift >= s.width()) return false;
  const uint64_t imm = uint64_t{field(s.word, 20, 5)} << shift;
  if (opc == 0) return s.set(~imm);
  if (opc == 2) return s.set(imm);
  return s.set((s.x(s.rd()) & ~(uint64_t{0xffff} << shift)) | imm);
}

bool immediate(const Step& s) {
  const uint32_t word = s.word;
  switch (field(word, 25, 23)) {
    case 0:
    case 1: {  // ADR, ADRP: of 64 bits, whatever bit 31
      const uint64_t imm = offset(word, 23, 5) << 2 | field(word, 30, 29);
      const uint64_t value =
          s.wide ? (s.view.pc & ~uint64_t{0xfff}) + (imm << 12) : s.view.pc + imm;
      s.view.regs->x[s.rd() == 31 ? kSlotDiscard : s.rd()] = value;
      return true;
    }
    case 2: {
      const uint64_t imm = uint64_t{field(word, 21, 10)} << ((word >> 22 & 1) != 0 ? 12 : 0);
      return add_or_subtract(s, s.x_or_sp(s.rn()), imm, true);
    }
    case 4: {
      const uint64_t mask = decode_bitmask(field(word, 22, 10));
      if (mask == 0 || (!s.wide && (word >> 22 & 1) != 0)) return false;
      return logic(s, mask, true);
    }
    case 5:
      return move_wide(s);
    case 6:
      return bitfield(s);
    case 7: {  // EXTR
      const unsigned lsb = field(word, 15, 10);
      if (field(word, 30, 29) != 0 || (word >> 21 & 1) != 0 ||
          (word >> 22 & 1) != (s.wide ? 1u : 0u) || lsb >= s.width()) {
        return false;
      }
      const uint64_t low = s.x(s.rm()), high = s.x(s.rn());
      return s.set(lsb == 0 ? low : low >> lsb | high << (s.width() - lsb));
    }
    default:
      return false;  // ADDG, SUBG
  }
}

bool one_source(const Step& s) {
  if (field(s.word, 20, 16) != 0 || (s.word >> 29 & 1) != 0) return false;
  const uint64_t a = s.x(s.rn());
  const unsigned opcode = field(s.word, 15, 10);
  uint64_t result = 0;
  switch (opcode) {
    case 0:  // RBIT
      for (unsigned i = 0; i < s.width(); ++i) result |= (a >> i & 1) << (s.width() - 1 - i);
      return s.set(result);
    case 1:  // REV16
      return s.set((a >> 8 & 0x00ff00ff00ff00ff) | (a & 0x00ff00ff00ff00ff) << 8);
    case 2:  // REV of 32 bits; REV32
      result = __builtin_bswap64(a);
      return s.set(s.wide ? result >> 32 | result << 32 : result >> 32);
    case 3:  // REV of 64 bits
      return s.wide && s.set(__builtin_bswap64(a));
    case 4:
    case 5: {  // CLZ, CLS: of the bits that differ from their left neighbours
      const uint64_t bits = opcode == 4 ? a : (a ^ static_cast<uint64_t>(s.as_signed(a) >> 1));
      unsigned zeros = s.width();
      for (uint64_t left = s.cut(bits); left != 0; left >>= 1) --zeros;
      return s.set(opcode == 4 ? zeros : zeros - 1);
    }
    default:
      return false;
  }
}

bool two_sources(const Step& s) {
  if ((s.word >> 29 & 1) != 0) return false;
  const uint64_t a = s.x(s.rn()), b = s.x(s.rm());
  const unsigned opcode = field(s.word, 15, 10);
  if (opcode >= 8 && opcode <= 11) {
    return s.set(shifted(s, opcode & 3, a, static_cast<unsigned>(b & (s.width() - 1))));
  }
  if (opcode == 2) return s.set(b == 0 ? 0 : a / b);
  if (opcode != 3) return false;
  // SDIV; the smallest number by -1 is itself.
  const int64_t dividend = s.as_signed(a), divisor = s.as_signed(b);
  if (divisor == 0) return s.set(0);
  return s.set(divisor == -1 ? 0 - a : static_cast<uint64_t>(dividend / divisor));
}

// The high half of a product, without a type of 128 bits.
uint64_t high_half(uint64_t a, uint64_t b) {
  const uint64_t al = a & 0xffffffff, ah = a >> 32, bl = b & 0xffffffff, bh = b >> 32;
  const uint64_t middle = ah * bl + (al * bl >> 32);
  const uint64_t other = al * bh + (middle & 0xffffffff);
  return ah * bh + (middle >> 32) + (other >> 32);
}

bool three_sources(const Step& s) {
  if (field(s.word, 30, 29) != 0) return false;
  const bool subtract = (s.word >> 15 & 1) != 0;
  const unsigned op31 = field(s.word, 23, 21);
  const uint64_t n = s.view.regs->x[s.rn()], m = s.view.regs->x[s.rm()];
  const uint64_t a = s.x(field(s.word, 14, 10));
  if (op31 != 0 && !s.wide) return false;
  uint64_t product;
  switch (op31) {
    case 0:  // MADD, MSUB
      product = n * m;
      break;
    case 1:  // SMADDL, SMSUBL
      product = static_cast<uint64_t>(int64_t{static_cast<int32_t>(n)} * static_cast<int32_t>(m));
      break;
    case 5:  // UMADDL, UMSUBL
      product = uint64_t{static_cast<uint32_t>(n)} * static_cast<uint32_t>(m);
      break;
    case 2:  // SMULH: the unsigned one, less what the signs added
      return !subtract &&
             s.set(high_half(n, m) - ((n >> 63) != 0 ? m : 0) - ((m >> 63) != 0 ? n : 0));
    case 6:  // UMULH
      return !subtract && s.set(high_half(n, m));
    default:
      return false;
  }
  return s.set(subtract ? a - product : a + product);
}

bool conditional_compare(const Step& s) {
  if ((s.word >> 29 & 1) == 0 || (s.word & 0x410) != 0) return false;
  if (!holds(field(s.word, 15, 12), s.view.nzcv)) {
    s.view.nzcv = field(s.word, 3, 0) << 28;
    return true;
  }
  const uint64_t b = (s.word >> 11 & 1) != 0 ? s.rm() : s.x(s.rm());
  const bool subtract = (s.word >> 30 & 1) != 0;
  s.add(s.x(s.rn()), subtract ? ~b : b, subtract ? 1 : 0, true);
  return true;
}

bool conditional_select(const Step& s) {
  if ((s.word >> 29 & 1) != 0 || (s.word >> 11 & 1) != 0) return false;
  if (holds(field(s.word, 15, 12), s.view.nzcv)) return s.set(s.x(s.rn()));
  const uint64_t m = s.x(s.rm());
  const bool invert = (s.word >> 30 & 1) != 0, increment = (s.word >> 10 & 1) != 0;
  return s.set((invert ? ~m : m) + (increment ? 1 : 0));
}

bool two_registers(const Step& s) {
  const uint32_t word = s.word;
  const unsigned shift = field(word, 15, 10);
  if ((word >> 24 & 1) == 0) {
    if (shift >= s.width()) return false;
    const uint64_t b = shifted(s, field(word, 23, 22), s.x(s.rm()), shift);
    return logic(s, (word >> 21 & 1) != 0 ? ~b : b, false);
  }
  if ((word >> 21 & 1) == 0) {
    if (shift >= s.width() || field(word, 23, 22) == 3) return false;
    const uint64_t b = shifted(s, field(word, 23, 22), s.x(s.rm()), shift);
    return add_or_subtract(s, s.x(s.rn()), b, false);
  }
  const unsigned by = field(word, 12, 10);
  if (by > 4 || field(word, 23, 22) != 0) return false;
  const uint64_t b = extended(s, field(word, 15, 13), s.view.regs->x[s.rm()], by);
  return add_or_subtract(s, s.x_or_sp(s.rn()), b, true);
}

bool registers(const Step& s) {
  const uint32_t word = s.word;
  if ((word >> 28 & 1) == 0) return two_registers(s);
  switch (field(word, 24, 21)) {
    case 0: {  // ADC, SBC
      if (field(word, 15, 10) != 0) return false;
      const bool subtract = (word >> 30 & 1) != 0;
      const uint64_t b = s.x(s.rm());
      return s.set(s.add(s.x(s.rn()), subtract ? ~b : b, (s.view.nzcv & kC) != 0 ? 1 : 0,
                         (word >> 29 & 1) != 0));
    }
    case 2:
      return conditional_compare(s);
    case 4:
      return conditional_select(s);
    case 6:
      return (word >> 30 & 1) != 0 ? one_source(s) : two_sources(s);
    default:
      return (word >> 24 & 1) != 0 && three_sources(s);
  }
}

// NOP, YIELD, WFE, SEV, SEVL, CSDB, BTI; DSB, DMB, ISB, SB: what an emulation does is in order.
bool without_effect(uint32_t word) {
  const unsigned op2 = field(word, 7, 5), crm = field(word, 11, 8);
  if ((word & 0xfffff01f) == 0xd503201f) {
    const unsigned hint = crm << 3 | op2;
    constexpr uint64_t kNone = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 20;
    return hint < 32 ? (kNone >> hint & 1) != 0 : (hint & ~6u) == 32;
  }
  return (word & 0xfffff01f) == 0xd503301f && op2 >= 4;
}

// The PC behind the instruction, if it is a branch.
bool branch(const Step& s, uint64_t& next) {
  const uint32_t word = s.word;
  const uint64_t pc = s.view.pc;
  uint64_t* const x = s.view.regs->x;
  if ((word & 0x7c000000) == 0x14000000) {  // B, BL
    if ((word >> 31) != 0) x[30] = pc + 4;
    next = pc + (offset(word, 25, 0) << 2);
    return true;
  }
  if ((word & 0xff000010) == 0x54000000) {  // B.cond
    if (holds(field(word, 3, 0), s.view.nzcv)) next = pc + (offset(word, 23, 5) << 2);
    return true;
  }
  if ((word & 0x7e000000) == 0x34000000) {  // CBZ, CBNZ
    const bool when_not = (word >> 24 & 1) != 0;
    if ((s.x(s.rd()) != 0) == when_not) next = pc + (offset(word, 23, 5) << 2);
    return true;
  }
  if ((word & 0x7e000000) == 0x36000000) {  // TBZ, TBNZ
    const unsigned bit = field(word, 31, 31) << 5 | field(word, 23, 19);
    if ((x[s.rd()] >> bit & 1) == field(word, 24, 24)) next = pc + (offset(word, 18, 5) << 2);
    return true;
  }
  if ((word & 0xff9ffc1f) == 0xd61f0000 && field(word, 22, 21) != 3) {  // BR, BLR, RET
    next = x[s.rn()];
    if (field(word, 22, 21) == 1) x[30] = pc + 4;
    return true;
  }
  return without_effect(word);
}

}  // namespace

bool step_integer(uint32_t word, CpuView& view) {
  const Step step{word, view, word >> 31 != 0};
  uint64_t next = view.pc + 4;
  bool done = false;
  switch (field(word, 28, 25)) {  // C4.1, table C4-1
    case 8:
    case 9:
      done = immediate(step);
      break;
    case 5:
    case 13:
      done = registers(step);
      break;
    case 10:
    case 11:
      done = branch(step, next);
      break;
    default:
      break;
  }
  if (done) view.pc = next;
  return done;
}

}  // namespace trapline::embed
