// The Cryptographic Extension by the host's AES, PCLMULQDQ and SHA instructions. What a host lacks
// is the handlers' (fp/fp_crypto.cc). None of these touches MXCSR nor, but for SHA-512, which no
// host of ours has, the host's flags, and none can leave the code, so that one may go on with what
// the one before it left in xmm registers.
#include "vmm/soft/jit/x64/translate_x64.h"
#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft {
namespace {

constexpr unsigned rd(uint32_t word) { return bits(word, 4, 0); }
constexpr unsigned rn(uint32_t word) { return bits(word, 9, 5); }
constexpr unsigned rm(uint32_t word) { return bits(word, 20, 16); }
constexpr unsigned ra(uint32_t word) { return bits(word, 14, 10); }

// Opcodes; the prefix is 0x66 but for SHUFPS and those of SHA.
enum : unsigned {
  kMovdqa = 0x0f6f,
  kPshufd = 0x0f70,
  kShiftD = 0x0f72,  // by an immediate
  kShiftQ = 0x0f73,  // the same, and of all bytes
  kShufps = 0x0fc6,  // no prefix
  kShufpd = 0x0fc6,
  kPandn = 0x0fdf,
  kPor = 0x0feb,
  kPxor = 0x0fef,
  kPsubd = 0x0ffa,
  kPaddq = 0x0fd4,
  kPaddd = 0x0ffe,
  kPunpcklqdq = 0x0f6c,
  kAesimc = 0x0f38db,
  kAesenc = 0x0f38dc,
  kAesenclast = 0x0f38dd,
  kAesdec = 0x0f38de,
  kAesdeclast = 0x0f38df,
  kPalignr = 0x0f3a0f,
  kPclmulqdq = 0x0f3a44,
  kSha1rnds4 = 0x0f3acc,  // no prefix, as the rest
  kSha256rnds2 = 0x0f38cb,
  kSha256msg1 = 0x0f38cc,
  kSha256msg2 = 0x0f38cd,
};
// The extension of a shift's opcode.
enum : unsigned { kRight = 2, kBytesRight = 3, kLeft = 6, kBytesLeft = 7 };

constexpr uint8_t kReversed = 0x1b;  // PSHUFD: the lanes in the other order

}  // namespace

// AESE is the host's last round, whose key Arm adds before it. The middle rounds of the host mix
// the columns as well: an AESMC of the result, mostly the next instruction, makes one of the two.
bool X64Translator::aes(uint32_t word) {
  const unsigned d = rd(word), n = rn(word);
  const bool decrypt = (word & 1 << 12) != 0, mix = (word & 1 << 13) != 0;
  if (!mix) {
    load_vector(xmm0, d);
    sse(0x66, kPxor, xmm0, v(n));
    sse(0x66, kPxor, xmm1, xmm1);
    redone_from_ = here();
    sse(0x66, decrypt ? kAesdeclast : kAesenclast, xmm0, xmm1);
    keep_vector(d);
    return true;
  }
  const uint32_t round = 0x4e284800 | (decrypt ? 1 << 12 : 0) | d;  // of any Vn
  if (is_kept(n) && !entered_ && d == n && (source_->words[index_ - 1] & ~(31u << 5)) == round) {
    move_to(redone_from_);
    sse(0x66, decrypt ? kAesdec : kAesenc, xmm0, xmm1);
  } else if (decrypt) {
    load_vector(xmm1, n);
    sse(0x66, kAesimc, xmm0, xmm1);
  } else {  // a last round the other way, then a middle one
    load_vector(xmm0, n);
    sse(0x66, kPxor, xmm1, xmm1);
    sse(0x66, kAesdeclast, xmm0, xmm1);
    sse(0x66, kAesenc, xmm0, xmm1);
  }
  keep_vector(d);
  return true;
}

bool X64Translator::sha1(uint32_t word) {
  const unsigned d = rd(word), n = rn(word), m = rm(word);
  if ((word & 0xfffffc00) == 0x5e280800) {  // SHA1H
    mov(eax, v(n));
    movd(xmm0, eax);
    sse(0x66, kMovdqa, xmm1, xmm0);
    shift_lanes(kShiftD, kLeft, xmm0, 30);
    shift_lanes(kShiftD, kRight, xmm1, 2);
    sse(0x66, kPor, xmm0, xmm1);
    keep_vector(d);
    return true;
  }
  if ((word & 0xfffffc00) == 0x5e281800) {  // SHA1SU1
    load_vector(xmm0, n);
    shift_lanes(kShiftQ, kBytesRight, xmm0, 4);
    sse(0x66, kPxor, xmm0, v(d));
    const auto rotate_by_one = [this](Xmm r) {
      sse(0x66, kMovdqa, xmm2, r);
      sse(0x66, kPaddd, r, r);
      shift_lanes(kShiftD, kRight, xmm2, 31);
      sse(0x66, kPor, r, xmm2);
    };
    rotate_by_one(xmm0);
    sse(0x66, kMovdqa, xmm1, xmm0);
    shift_lanes(kShiftQ, kBytesLeft, xmm1, 12);
    rotate_by_one(xmm1);
    sse(0x66, kPxor, xmm0, xmm1);
    keep_vector(d);
    return true;
  }
  const unsigned opcode = bits(word, 14, 12);
  if (opcode == 3) {  // SHA1SU0
    load_vector(xmm0, d);
    sse(0x66, kShufpd, xmm0, v(n), 1);
    sse(0x66, kPxor, xmm0, v(d));
    sse(0x66, kPxor, xmm0, v(m));
    keep_vector(d);
    return true;
  }
  if (!host_.sha) return false;
  // SHA1C, SHA1P, SHA1M: the host has the lanes in the other order, its schedule has e in it, and
  // it adds the round's constant itself.
  constexpr uint32_t kConstants[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc};  // FIPS 180-4, 4.2.1
  sse(0x66, kPshufd, xmm1, v(m), kReversed);
  mov(eax, uint64_t{kConstants[opcode]});
  movd(xmm2, eax);
  sse(0x66, kPshufd, xmm2, xmm2, 0);
  sse(0x66, kPsubd, xmm1, xmm2);
  movss(xmm2, v(n));
  shift_lanes(kShiftQ, kBytesLeft, xmm2, 12);
  sse(0x66, kPaddd, xmm1, xmm2);
  sse(0x66, kPshufd, xmm0, v(d), kReversed);
  sse(0, kSha1rnds4, xmm0, xmm1, static_cast<uint8_t>(opcode));
  sse(0x66, kPshufd, xmm0, xmm0, kReversed);
  keep_vector(d);
  return true;
}

// SHA256H, SHA256H2. The host keeps a, b, e, f in one register, from the top down, and c, d, g, h
// in the other; it does two rounds at a time.
void X64Translator::sha256_rounds(uint32_t word) {
  const bool second = (word & 1 << 12) != 0;
  const unsigned d = rd(word), n = rn(word), m = rm(word);
  const unsigned abcd = second ? n : d, efgh = second ? d : n;
  // Behind the SHA256H of the same rounds both halves are there, if a copy of its a to d is n:
  // `mov vN, vD` was the instruction before it.
  const auto both_there = [&] {
    if (!second || entered_ || index_ < 2) return false;
    const uint32_t before = source_->words[index_ - 1], copy = source_->words[index_ - 2];
    const unsigned old = rd(before);
    return is_kept(old) && before == (0x5e004000 | m << 16 | d << 5 | old) && old != n &&
           old != m && old != d && copy == (0x4ea01c00 | old << 16 | old << 5 | n) && n != d &&
           n != m;
  };
  if (!both_there()) {
    movups(xmm1, v(efgh));
    movups(xmm2, v(efgh));
    sse(0, kShufps, xmm1, v(abcd), 0x11);  // f, e, b, a
    sse(0, kShufps, xmm2, v(abcd), 0xbb);  // h, g, d, c
    movups(xmm0, v(m));
    sse(0, kSha256rnds2, xmm2, xmm1);
    sse(0x66, kPshufd, xmm0, xmm0, 0x0e);
    sse(0, kSha256rnds2, xmm1, xmm2);
  }
  sse(0x66, kMovdqa, xmm0, xmm1);
  sse(0, kShufps, xmm0, xmm2, second ? 0x11 : 0xbb);
  keep_vector(d);
}

bool X64Translator::sha256(uint32_t word) {
  if (!host_.sha) return false;
  const unsigned d = rd(word), n = rn(word), m = rm(word);
  if ((word & 0xfffffc00) == 0x5e282800) {  // SHA256SU0
    load_vector(xmm0, d);
    movups(xmm1, v(n));
    sse(0, kSha256msg1, xmm0, xmm1);
    keep_vector(d);
  } else if (bits(word, 14, 12) == 6) {  // SHA256SU1
    movups(xmm2, v(m));
    sse(0x66, kMovdqa, xmm1, xmm2);
    sse(0x66, kPalignr, xmm1, v(n), 4);
    load_vector(xmm0, d);
    sse(0x66, kPaddd, xmm0, xmm1);
    sse(0, kSha256msg2, xmm0, xmm2);
    keep_vector(d);
  } else {
    sha256_rounds(word);
  }
  return true;
}

bool X64Translator::sha3(uint32_t word) {
  const unsigned d = rd(word), n = rn(word), m = rm(word);
  const auto rotate_right = [this](unsigned by) {
    if (by == 0) return;
    sse(0x66, kMovdqa, xmm1, xmm0);
    shift_lanes(kShiftQ, kRight, xmm0, by);
    shift_lanes(kShiftQ, kLeft, xmm1, 64 - by);
    sse(0x66, kPor, xmm0, xmm1);
  };
  if ((word & 0xffe08000) == 0xce000000) {  // EOR3
    load_vector(xmm0, n);
    sse(0x66, kPxor, xmm0, v(m));
    sse(0x66, kPxor, xmm0, v(ra(word)));
  } else if ((word & 0xffe08000) == 0xce200000) {  // BCAX
    load_vector(xmm0, ra(word));
    sse(0x66, kPandn, xmm0, v(m));
    sse(0x66, kPxor, xmm0, v(n));
  } else if ((word & 0xffe00000) == 0xce800000) {  // XAR
    load_vector(xmm0, n);
    sse(0x66, kPxor, xmm0, v(m));
    rotate_right(bits(word, 15, 10));
  } else if ((word & 0xffe0fc00) == 0xce608c00) {  // RAX1
    load_vector(xmm0, m);
    rotate_right(63);
    sse(0x66, kPxor, xmm0, v(n));
  } else {
    return false;
  }
  keep_vector(d);
  return true;
}

// Subroutines of SHA-512. Of the doublewords in xmm1 sigma, to xmm1: two rotated and one shifted to
// the right (FIPS 180-4, 4.1.3). Of r8, r9 and r10 a round's function of all three and the sum of
// rotations of r8, to rax: Ch and Sigma 1, or Maj and Sigma 0. xmm2, xmm3, r11 are scratch.
void X64Translator::emit_sha512() {
  constexpr unsigned kSigma[2][3] = {{1, 8, 7}, {19, 61, 6}};
  for (unsigned which = 0; which < 2; ++which) {
    const auto [first, second, shift] = kSigma[which];
    align(16);
    sha512_sigma_[which] = here();
    sse(0x66, kMovdqa, xmm2, xmm1);
    shift_lanes(kShiftQ, kRight, xmm2, shift);
    for (const unsigned by : {first, second}) {
      sse(0x66, kMovdqa, xmm3, xmm1);
      shift_lanes(kShiftQ, kRight, xmm3, by);
      sse(0x66, kPxor, xmm2, xmm3);
      sse(0x66, kMovdqa, xmm3, xmm1);
      shift_lanes(kShiftQ, kLeft, xmm3, 64 - by);
      sse(0x66, kPxor, xmm2, xmm3);
    }
    sse(0x66, kMovdqa, xmm1, xmm2);
    ret();
  }
  for (const bool second : {false, true}) {
    align(16);
    sha512_round_[second] = here();
    mov(rax, r9);
    if (second) {
      or_(rax, r10);
      and_(rax, r8);
      mov(r11, r9);
      and_(r11, r10);
      or_(rax, r11);
    } else {
      xor_(rax, r10);
      and_(rax, r8);
      xor_(rax, r10);
    }
    // By 28, 34 and 39, or 14, 18 and 41, each after the one before it.
    mov(r11, r8);
    shift(kRor, r11, second ? 5 : 23);
    xor_(r11, r8);
    shift(kRor, r11, second ? 6 : 4);
    xor_(r11, r8);
    shift(kRor, r11, second ? 28 : 14);
    add(rax, r11);
    ret();
  }
}

bool X64Translator::sha512(uint32_t word) {
  const unsigned d = rd(word), n = rn(word), m = rm(word);
  if ((word & 0xfffffc00) == 0xcec08000) {  // SHA512SU0
    movups(xmm1, v(d));
    sse(0x66, kShufpd, xmm1, v(n), 1);
    call_routine(sha512_sigma_[0]);
    load_vector(xmm0, d);
    sse(0x66, kPaddq, xmm0, xmm1);
  } else if ((word & 0xffe0fc00) == 0xce608800) {  // SHA512SU1
    load_vector(xmm1, n);
    call_routine(sha512_sigma_[1]);
    load_vector(xmm0, d);
    sse(0x66, kPaddq, xmm0, xmm1);
    sse(0x66, kPaddq, xmm0, v(m));
  } else if ((word & 0xffe0f800) == 0xce608000) {  // SHA512H, SHA512H2: two rounds
    const bool second = (word & 1 << 10) != 0;
    mov(r8, v(m, second ? 0 : 8));
    mov(r9, second ? v(m, 8) : v(n));
    mov(r10, second ? v(n) : v(n, 8));
    call_routine(sha512_round_[second]);
    add(rax, v(d, 8));
    movd(xmm1, rax);
    mov(r10, r9);
    mov(r9, r8);
    mov(r8, rax);
    if (!second) add(r8, v(m));
    call_routine(sha512_round_[second]);
    add(rax, v(d));
    movd(xmm0, rax);
    sse(0x66, kPunpcklqdq, xmm0, xmm1);
  } else {
    return false;
  }
  keep_vector(d);
  return true;
}

X64Translator::Emitted X64Translator::crypto(uint32_t word) {
  bool done = false;
  if ((word & 0xffffcc00) == 0x4e284800) {
    done = host_.aes && aes(word);
  } else if ((word & 0xbfe0fc00) == 0x0ee0e000) {  // PMULL, PMULL2 of 64 bits
    if (host_.pclmul) {
      const bool upper = (word & 1 << 30) != 0;
      load_vector(xmm0, rn(word));
      sse(0x66, kPclmulqdq, xmm0, v(rm(word)), upper ? 0x11 : 0);
      keep_vector(rd(word));
      done = true;
    }
  } else if ((word & 0xffe08c00) == 0x5e000000) {  // three registers
    done = (word & 1 << 14) == 0 ? sha1(word) : sha256(word);
  } else if ((word & 0xffffcc00) == 0x5e280800) {  // two
    done = (word & 1 << 13) == 0 ? sha1(word) : sha256(word);
  } else if ((word & 0xff000000) == 0xce000000) {
    if (sha512(word)) return Emitted::kDone;
    done = sha3(word);
  }
  if (!done) return Emitted::kNot;
  flags_kept_ = true;
  return Emitted::kDone;
}

}  // namespace trapline::soft
