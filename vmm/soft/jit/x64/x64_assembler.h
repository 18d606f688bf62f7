// Writes x86-64 machine code: the instructions and addressing forms that the translator uses, in
// Intel's notation and order (Intel SDM, volume 2). A library was tried first (Xbyak): it took
// about 400 ns for a guest instruction, eight times as long as this.
// tests/vmm/soft/x64_assembler_test.cc has Capstone read each form back.
#ifndef TRAPLINE_VMM_SOFT_JIT_X64_X64_ASSEMBLER_H_
#define TRAPLINE_VMM_SOFT_JIT_X64_X64_ASSEMBLER_H_

#include <cstdint>
#include <cstring>

namespace trapline::x64 {

// A general register: its number, and how much of it.
struct Gp {
  uint8_t code, bits;
  constexpr Gp cut(uint8_t to) const { return {code, to}; }
};
struct Xmm {
  uint8_t code;
};

// An address: base + index << scale + disp, or `target`, relative to RIP. Or a register, where an
// instruction takes either.
struct Place {
  uint8_t base = 0, index = kNone, scale = 0;
  int32_t disp = 0;
  const void* target = nullptr;
  bool direct = false;  // the register `base` itself
  static constexpr uint8_t kNone = 0xff;
};
struct Mem {
  Place at;
  uint8_t bits;
};
struct Scaled {
  uint8_t code, scale;
};
struct Rip {};

constexpr Mem in_register(Gp r) { return {{.base = r.code, .direct = true}, 0}; }

constexpr Place operator+(Gp base, int disp) { return {base.code, Place::kNone, 0, disp}; }
constexpr Place operator+(Gp base, Gp index) { return {base.code, index.code}; }
constexpr Place operator+(Gp base, Scaled index) { return {base.code, index.code, index.scale}; }
constexpr Place operator+(Place at, int disp) {
  at.disp += disp;
  return at;
}
constexpr Place operator+(Rip, const void* target) { return {0, Place::kNone, 0, 0, target}; }
constexpr Scaled operator*(Gp index, int by) {
  return {index.code, static_cast<uint8_t>(__builtin_ctz(static_cast<unsigned>(by)))};
}

// How wide an operand in memory is; 0: as wide as the other operand.
struct Width {
  uint8_t bits;
  constexpr Mem operator[](const Place& at) const { return {at, bits}; }
  constexpr Mem operator[](Gp base) const { return {base + 0, bits}; }
};
inline constexpr Width ptr{0}, byte{8}, word{16}, dword{32}, qword{64};

inline constexpr Rip rip;
inline constexpr Gp rax{0, 64}, rcx{1, 64}, rdx{2, 64}, rbx{3, 64}, rsp{4, 64}, rsi{6, 64},
    rdi{7, 64}, r8{8, 64}, r9{9, 64}, r10{10, 64}, r11{11, 64};
inline constexpr Gp al{0, 8}, eax{0, 32}, ecx{1, 32}, edx{2, 32}, esi{6, 32}, r8d{8, 32},
    r9d{9, 32}, r10d{10, 32}, r11d{11, 32};
inline constexpr Xmm xmm0{0}, xmm1{1}, xmm2{2}, xmm3{3}, xmm4{4}, xmm5{5}, xmm6{6}, xmm7{7},
    xmm8{8}, xmm9{9}, xmm10{10}, xmm11{11}, xmm12{12};

// Condition codes, as in the opcodes.
enum Cc : uint8_t { kO, kNo, kB, kAe, kE, kNe, kBe, kA, kS, kNs, kP, kNp, kL, kGe, kLe, kG };

class Assembler {
 public:
  // Writes from `written` on what will run from `begin` on: the same memory, which may have two
  // addresses. Whoever calls sees to it that there is room.
  Assembler(uint8_t* written, const uint8_t* begin)
      : begin_(begin), written_(written), at_(written) {}
  explicit Assembler(uint8_t* begin) : Assembler(begin, begin) {}

  uint32_t here() const { return static_cast<uint32_t>(at_ - written_); }
  void move_to(uint32_t offset) { at_ = written_ + offset; }
  void align(uint32_t to) {
    while (here() % to != 0) put8(0xcc);  // int3
  }
  void put64(uint64_t value) { put(value); }
  const uint8_t* at(uint32_t offset) const { return begin_ + offset; }

  // --- moves ---
  void mov(Gp to, const Mem& from) { modrm(0, wide(to), 0x8b, to.code, from); }
  void mov(Gp to, Gp from) { modrm(0, wide(to), 0x8b, to.code, from); }
  void mov(const Mem& to, Gp from) {
    modrm(from.bits == 16 ? 0x66 : 0, wide(from), from.bits == 8 ? 0x88 : 0x89, from.code, to);
  }
  void mov(Gp to, uint64_t value) {
    if (value <= UINT32_MAX) {
      rex(false, 0, 0, to.code);
      put8(0xb8 | (to.code & 7));
      put(static_cast<uint32_t>(value));
    } else if (is_short(value)) {
      modrm(0, true, 0xc7, 0, to);
      put(static_cast<uint32_t>(value));
    } else {
      rex(true, 0, 0, to.code);
      put8(0xb8 | (to.code & 7));
      put(value);
    }
  }
  // Of 64 bits: `value` is a sign-extended 32-bit number.
  void mov(const Mem& to, uint64_t value) {
    if (to.bits == 8) {
      modrm(0, false, 0xc6, 0, to, 1);
      put8(static_cast<uint8_t>(value));
    } else {
      modrm(0, to.bits == 64, 0xc7, 0, to, 4);
      put(static_cast<uint32_t>(value));
    }
  }
  static constexpr bool is_short(uint64_t value) {
    return static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)}) == value;
  }
  void movzx(Gp to, const Mem& from) {
    modrm(0, wide(to), from.bits == 8 ? 0x0fb6 : 0x0fb7, to.code, from);
  }
  void movzx(Gp to, Gp from) {  // r8 and up
    modrm(0, wide(to), from.bits == 8 ? 0x0fb6 : 0x0fb7, to.code, from);
  }
  void movsx(Gp to, const Mem& from) {
    modrm(0, wide(to), from.bits == 8 ? 0x0fbe : 0x0fbf, to.code, from);
  }
  void movsxd(Gp to, const Mem& from) { modrm(0, true, 0x63, to.code, from); }
  void movsxd(Gp to, Gp from) { modrm(0, true, 0x63, to.code, from); }
  void lea(Gp to, const Mem& from) { modrm(0, wide(to), 0x8d, to.code, from); }
  void cmov(Cc cc, Gp to, Gp from) { modrm(0, wide(to), 0x0f40u | cc, to.code, from); }
  void set(Cc cc, Gp to) { modrm(0, false, 0x0f90u | cc, 0, to); }  // r8 and up
  void set(Cc cc, const Mem& to) { modrm(0, false, 0x0f90u | cc, 0, to); }
  void movss(Xmm to, const Mem& from) { modrm(0xf3, false, 0x0f10, to.code, from); }
  void movsd(Xmm to, const Mem& from) { modrm(0xf2, false, 0x0f10, to.code, from); }
  void movsd(const Mem& to, Xmm from) { modrm(0xf2, false, 0x0f11, from.code, to); }
  void movups(Xmm to, const Mem& from) { modrm(0, false, 0x0f10, to.code, from); }
  void movups(const Mem& to, Xmm from) { modrm(0, false, 0x0f11, from.code, to); }

  // --- arithmetic: the eight of them that share their encodings ---
  enum Alu : uint8_t { kAdd, kOr, kAdc, kSbb, kAnd, kSub, kXor, kCmp };
  void alu(Alu op, Gp to, const Mem& from) {
    modrm(0, wide(to), alu_opcode(op, to), to.code, from);
  }
  void alu(Alu op, Gp to, Gp from) { modrm(0, wide(to), alu_opcode(op, to), to.code, from); }
  void alu(Alu op, const Mem& to, Gp from) { modrm(0, wide(from), op << 3 | 1u, from.code, to); }
  void alu(Alu op, Gp to, int32_t imm) { alu_immediate(op, to, imm); }
  void alu(Alu op, const Mem& to, int32_t imm) { alu_immediate(op, to, imm); }
  void add(auto to, auto from) { alu(kAdd, to, from); }
  void or_(auto to, auto from) { alu(kOr, to, from); }
  void adc(auto to, auto from) { alu(kAdc, to, from); }
  void sbb(auto to, auto from) { alu(kSbb, to, from); }
  void and_(auto to, auto from) { alu(kAnd, to, from); }
  void sub(auto to, auto from) { alu(kSub, to, from); }
  void xor_(auto to, auto from) { alu(kXor, to, from); }
  void cmp(auto to, auto from) { alu(kCmp, to, from); }
  void test(const Mem& a, Gp b) { modrm(0, wide(b), 0x85, b.code, a); }
  void test(const Mem& a, uint8_t imm) {  // of a byte
    modrm(0, false, 0xf6, 0, a, 1);
    put8(imm);
  }
  void test32(const Mem& a, uint32_t imm) {
    modrm(0, false, 0xf7, 0, a, 4);
    put(imm);
  }
  void test(Gp a, uint8_t imm) {  // of a byte
    modrm(0, false, 0xf6, 0, a);
    put8(imm);
  }
  void imul(Gp to, auto from) { modrm(0, wide(to), 0x0faf, to.code, from); }
  // DIV, IDIV of rdx:rax or edx:eax.
  void div(Gp by, bool is_signed) { modrm(0, wide(by), 0xf7, is_signed ? 7 : 6, by); }
  void cdq() { put8(0x99); }
  void cqo() {
    put8(0x48);
    put8(0x99);
  }
  void neg(Gp r) { modrm(0, wide(r), 0xf7, 3, r); }
  void mul_rax(const Mem& by, bool is_signed) { modrm(0, true, 0xf7, is_signed ? 5 : 4, by); }
  void not_(Gp r) { modrm(0, wide(r), 0xf7, 2, r); }
  void bswap(Gp r) {
    rex(wide(r), 0, 0, r.code);
    put8(0x0f);
    put8(0xc8 | (r.code & 7));
  }
  void tzcnt(Gp to, const Mem& from) { modrm(0xf3, wide(to), 0x0fbc, to.code, from); }
  void lzcnt(Gp to, const Mem& from) { modrm(0xf3, wide(to), 0x0fbd, to.code, from); }

  // --- vectors; `op` is the opcode with its escape bytes, the prefix is 0, 0x66, 0xf2 or 0xf3 ---
  void sse(uint8_t prefix, unsigned op, Xmm to, Xmm from) {
    modrm(prefix, false, op, to.code, Gp{from.code, 128});
  }
  void sse(uint8_t prefix, unsigned op, Xmm to, const Mem& from) {
    modrm(prefix, false, op, to.code, from);
  }
  void sse(uint8_t prefix, unsigned op, Xmm to, auto from, uint8_t imm) {
    if constexpr (requires { from.at; }) {
      modrm(prefix, false, op, to.code, from, 1);
    } else {
      modrm(prefix, false, op, to.code, Gp{from.code, 128});
    }
    put8(imm);
  }
  void movaps(Xmm to, Xmm from) { sse(0, 0x0f28, to, from); }
  void insert(unsigned op, Xmm to, Gp from, uint8_t lane) {  // PINSRB and its kin
    modrm(0x66, wide(from), op, to.code, from);
    put8(lane);
  }
  // PSLLW and so on by an immediate: 0x0f71 to 0x0f73, `digit` says which.
  void shift_lanes(unsigned op, unsigned digit, Xmm r, unsigned by) {
    modrm(0x66, false, op, digit, Gp{r.code, 128});
    put8(static_cast<uint8_t>(by));
  }
  void movd(Xmm to, Gp from) { modrm(0x66, wide(from), 0x0f6e, to.code, from); }
  void movd(Gp to, Xmm from) { modrm(0x66, wide(to), 0x0f7e, from.code, to); }
  void cvt_to_integer(bool is_double, Gp to, Xmm from) {  // CVTTSS2SI, CVTTSD2SI
    modrm(is_double ? 0xf2 : 0xf3, wide(to), 0x0f2c, to.code, Gp{from.code, 128});
  }
  void cvt_from_integer(bool is_double, Xmm to, Gp from) {  // CVTSI2SS, CVTSI2SD
    modrm(is_double ? 0xf2 : 0xf3, wide(from), 0x0f2a, to.code, from);
  }
  // FMA, of the registers 0 to 7: VEX.128.66.0F38.
  void fma(uint8_t op, bool is_double, Xmm to, Xmm by, const Mem& from) {
    vex(kMap0f38, op, is_double, by, from.at.base < 8);
    operand(to.code, from, 0);
  }
  void fma(uint8_t op, bool is_double, Xmm to, Xmm by, Xmm from) {
    vex(kMap0f38, op, is_double, by, true);
    put8(static_cast<uint8_t>(0xc0 | to.code << 3 | from.code));
  }
  // F16C, of the same registers: four halves to singles (VCVTPH2PS), and back, to nearest
  // (VCVTPS2PH).
  void half_to_single(Xmm to, auto from) { fma(0x13, false, to, kNoXmm, from); }
  void single_to_half(Xmm to, Xmm from) {
    vex(kMap0f3a, 0x1d, false, kNoXmm, true);
    put8(static_cast<uint8_t>(0xc0 | from.code << 3 | to.code));
    put8(0);
  }

  // AVX2's shifts of each element by its own amount: VPSRLVD 0x45, VPSRAVD 0x46, VPSLLVD 0x47; of
  // doublewords or quadwords.
  void shift_each(uint8_t op, bool is_quad, Xmm to, Xmm value, Xmm by) {
    fma(op, is_quad, to, value, by);
  }

  void crc32c(Gp to, const Mem& from) {  // of `from`'s width
    if (from.bits == 16) put8(0x66);
    modrm(0xf2, from.bits == 64, from.bits == 8 ? 0x0f38f0 : 0x0f38f1, to.code, from);
  }

  // --- with LOCK, of `from`'s width: 8 bits of r8 and up only ---
  void lock_cmpxchg(const Mem& to, Gp from) { locked(0x0fb0, to, from); }
  void lock_xadd(const Mem& to, Gp from) { locked(0x0fc0, to, from); }
  void lock_cmpxchg16b(const Mem& to) { modrm(0xf0, true, 0x0fc7, 1, to); }
  void xchg(const Mem& with, Gp r) { sized_modrm(0x86, with, r); }

  // --- shifts ---
  enum Shift : uint8_t { kRor = 1, kShl = 4, kShr = 5, kSar = 7 };
  void shift(Shift op, Gp r, unsigned by) {
    modrm(0, wide(r), 0xc1, op, r);
    put8(static_cast<uint8_t>(by));
  }
  void shift_cl(Shift op, Gp r) { modrm(0, wide(r), 0xd3, op, r); }
  void shl(Gp r, unsigned by) { shift(kShl, r, by); }
  void shr(Gp r, unsigned by) { shift(kShr, r, by); }
  void shrd(Gp low, Gp high, unsigned by) {
    modrm(0, wide(low), 0x0fac, high.code, low);
    put8(static_cast<uint8_t>(by));
  }
  // SHLX, SHRX, SARX (BMI2).
  void shift_by(Shift op, Gp to, const Mem& from, Gp by) {
    const unsigned pp = op == kShl ? 1 : op == kSar ? 2 : 3;
    put8(0xc4);
    put8(static_cast<uint8_t>((to.code < 8 ? 0x80 : 0) | 0x40 | (from.at.base < 8 ? 0x20 : 0) | 2));
    put8(static_cast<uint8_t>((wide(to) ? 0x80 : 0) | (~by.code & 15) << 3 | pp));
    put8(0xf7);
    operand(to.code, from, 0);
  }

  // --- jumps; the 32-bit displacement is returned, to be bound ---
  uint32_t jump(Cc cc) {
    put8(0x0f);
    put8(0x80 | cc);
    return displacement();
  }
  uint32_t jump() {
    put8(0xe9);
    return displacement();
  }
  uint32_t call() {
    put8(0xe8);
    return displacement();
  }
  void jmp(Gp to) { modrm(0, false, 0xff, 4, to); }
  void jmp(const Mem& to) { modrm(0, false, 0xff, 4, to); }
  void ret() { put8(0xc3); }
  void bind(uint32_t displacement, uint32_t target) {
    const uint32_t relative = target - (displacement + 4);
    std::memcpy(written_ + displacement, &relative, sizeof relative);
  }
  void bind(uint32_t displacement) { bind(displacement, here()); }

 protected:
  const uint8_t* const begin_;
  uint8_t* const written_;

 private:
  static constexpr bool wide(Gp r) { return r.bits == 64; }
  // `op` of bytes, the next of the other widths.
  void sized_modrm(unsigned op, const Mem& m, Gp r) {
    modrm(r.bits == 16 ? 0x66 : 0, wide(r), op + (r.bits == 8 ? 0 : 1), r.code, m);
  }
  void locked(unsigned op, const Mem& m, Gp r) {
    put8(0xf0);
    sized_modrm(op, m, r);
  }
  enum VexMap : uint8_t { kMap0f38 = 2, kMap0f3a = 3 };
  static constexpr Xmm kNoXmm{0};  // of the operand that an instruction has not
  void vex(VexMap map, uint8_t op, bool w, Xmm by, bool low_base) {
    put8(0xc4);
    put8(static_cast<uint8_t>(0xc0 | (low_base ? 0x20 : 0) | map));
    put8(static_cast<uint8_t>((w ? 0x80 : 0) | (~by.code & 15) << 3 | 1));
    put8(op);
  }
  void put8(uint8_t value) { *at_++ = value; }
  template <typename T>
  void put(T value) {
    std::memcpy(at_, &value, sizeof value);
    at_ += sizeof value;
  }
  uint32_t displacement() {
    put(uint32_t{0});
    return here() - 4;
  }
  void rex(bool w, unsigned reg, unsigned index, unsigned base) {
    const unsigned rex = (w ? 8u : 0) | reg >> 3 << 2 | index >> 3 << 1 | base >> 3;
    if (rex != 0) put8(static_cast<uint8_t>(0x40 | rex));
  }
  static constexpr unsigned alu_opcode(Alu op, Gp to) { return op << 3 | (to.bits == 8 ? 2u : 3u); }
  template <typename To>
  void alu_immediate(Alu op, const To& to, int32_t imm) {
    const bool one_byte = to.bits == 8 || imm == static_cast<int8_t>(imm);
    modrm(0, to.bits == 64, to.bits == 8 ? 0x80 : one_byte ? 0x83 : 0x81, op, to, one_byte ? 1 : 4);
    one_byte ? put8(static_cast<uint8_t>(imm)) : put(imm);
  }
  void opcode(unsigned op) {
    if (op > 0xffff) put8(static_cast<uint8_t>(op >> 16));
    if (op > 0xff) put8(static_cast<uint8_t>(op >> 8));
    put8(static_cast<uint8_t>(op));
  }
  // `imm_bytes` follow the operand.
  void modrm(uint8_t prefix, bool w, unsigned op, unsigned reg, const Mem& m, int imm_bytes = 0) {
    if (prefix != 0) put8(prefix);
    rex(w, reg, m.at.index == Place::kNone ? 0 : m.at.index, m.at.base);
    opcode(op);
    operand(reg, m, imm_bytes);
  }
  void modrm(uint8_t prefix, bool w, unsigned op, unsigned reg, Gp r, int = 0) {
    if (prefix != 0) put8(prefix);
    rex(w, reg, 0, r.code);
    opcode(op);
    put8(static_cast<uint8_t>(0xc0 | (reg & 7) << 3 | (r.code & 7)));
  }
  void operand(unsigned reg, const Mem& m, int imm_bytes) {
    const Place& at = m.at;
    const unsigned middle = (reg & 7) << 3, low = at.base & 7u;
    if (at.direct) {
      put8(static_cast<uint8_t>(0xc0 | middle | low));
      return;
    }
    if (at.target != nullptr) {
      put8(static_cast<uint8_t>(middle | 5));
      const uint8_t* const next = begin_ + here() + 4 + imm_bytes;
      put(static_cast<int32_t>(static_cast<const uint8_t*>(at.target) - next));
      return;
    }
    const bool none = at.disp == 0 && low != 5, small = at.disp == static_cast<int8_t>(at.disp);
    const unsigned mod = none ? 0 : small ? 0x40 : 0x80;
    if (at.index != Place::kNone || low == 4) {
      const unsigned index = at.index == Place::kNone ? 4 : at.index & 7u;
      put8(static_cast<uint8_t>(mod | middle | 4));
      put8(static_cast<uint8_t>(unsigned{at.scale} << 6 | index << 3 | low));
    } else {
      put8(static_cast<uint8_t>(mod | middle | low));
    }
    if (none) return;
    small ? put8(static_cast<uint8_t>(at.disp)) : put(at.disp);
  }

  uint8_t* at_;
};

}  // namespace trapline::x64

#endif  // TRAPLINE_VMM_SOFT_JIT_X64_X64_ASSEMBLER_H_
