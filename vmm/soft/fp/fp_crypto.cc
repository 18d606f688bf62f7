// The Cryptographic Extension (C7, "Cryptographic AES", "three-register SHA" and so on) and the
// 64-bit polynomial multiply, in plain C++: what hosts without such instructions run, and what the
// translator's are compared with.
#include "vmm/soft/fp/fp_lanes.h"

namespace trapline::soft::fp {
namespace {

// --- AES (FIPS 197); byte i of the register is row i % 4 of column i / 4 -------------------------

constexpr u8 times_x(u8 a) { return static_cast<u8>(a << 1 ^ ((a & 0x80) != 0 ? 0x1b : 0)); }

struct SubstitutionTables {
  u8 forward[256] = {}, inverse[256] = {};
  constexpr SubstitutionTables() {
    // p walks the powers of 3, q those of its inverse.
    u8 p = 1, q = 1;
    do {
      p = static_cast<u8>(p ^ times_x(p));
      q = static_cast<u8>(q ^ q << 1);
      q = static_cast<u8>(q ^ q << 2);
      q = static_cast<u8>(q ^ q << 4);
      if ((q & 0x80) != 0) q ^= 0x09;
      set(p, static_cast<u8>(q ^ std::rotl(q, 1) ^ std::rotl(q, 2) ^ std::rotl(q, 3) ^
                             std::rotl(q, 4) ^ 0x63));
    } while (p != 1);
    set(0, 0x63);
  }
  constexpr void set(u8 from, u8 to) {
    forward[from] = to;
    inverse[to] = from;
  }
};
constexpr SubstitutionTables kSubstitution;

// ShiftRows and SubBytes, or their inverses, of Vd ^ Vn.
template <bool kInverse>
void aes_round(Cpu& cpu, uint32_t w) {
  const auto a = lanes<u8>(cpu, rd(w)), b = lanes<u8>(cpu, rn(w));
  Lanes<u8> r;
  for (unsigned i = 0; i < 16; ++i) {
    const unsigned row = i % 4, from = (kInverse ? i + 12 * row : i + 4 * row) % 16;
    const u8 x = a[from] ^ b[from];
    r[i] = kInverse ? kSubstitution.inverse[x] : kSubstitution.forward[x];
  }
  cpu.v[rd(w)] = std::bit_cast<Vreg>(r);
}

// Four bytes at once.
constexpr u32 times_x(u32 a) { return (a & 0x7f7f7f7f) << 1 ^ (a >> 7 & 0x01010101) * 0x1b; }

template <bool kInverse>
void aes_mix_columns(Cpu& cpu, uint32_t w) {
  auto columns = lanes<u32>(cpu, rn(w));
  for (u32& a : columns.e) {
    // The inverse is the same after a factor of {04}x^2 + {05}.
    if (kInverse) a ^= times_x(times_x(a ^ std::rotr(a, 16)));
    const u32 doubled = times_x(a);
    a = doubled ^ std::rotr(doubled ^ a, 8) ^ std::rotr(a, 16) ^ std::rotr(a, 24);
  }
  cpu.v[rd(w)] = std::bit_cast<Vreg>(columns);
}

// --- polynomials over {0, 1} ---------------------------------------------------------------------

u128 multiply_polynomials(u64 a, u64 b) {
  u128 multiples[16] = {};  // of a, by four bits
  for (unsigned i = 1; i < 16; ++i) {
    multiples[i] = (multiples[i / 2] << 1) ^ ((i & 1) != 0 ? u128{a} : u128{0});
  }
  u128 r = 0;
  for (unsigned at = 64; at != 0;) {
    at -= 4;
    r = r << 4 ^ multiples[b >> at & 15];
  }
  return r;
}

void pmull64(Cpu& cpu, uint32_t w) {
  const Vreg a = cpu.v[rn(w)], b = cpu.v[rm(w)];
  const u128 r = q_bit(w) ? multiply_polynomials(a.hi, b.hi) : multiply_polynomials(a.lo, b.lo);
  cpu.v[rd(w)] = Vreg{static_cast<u64>(r), static_cast<u64>(r >> 64)};
}

// --- SHA-1, SHA-256, SHA-512 (FIPS 180-4, 4.1) ---------------------------------------------------

template <class T>
constexpr T choose(T x, T y, T z) {
  return ((y ^ z) & x) ^ z;
}
template <class T>
constexpr T majority(T x, T y, T z) {
  return (x & y) | ((x | y) & z);
}
constexpr u32 parity(u32 x, u32 y, u32 z) { return x ^ y ^ z; }

// SHA1C, SHA1P, SHA1M: four rounds; a to d in Vd, e in Vn, the schedule with its constant in Vm.
template <auto kFunction>
void sha1_rounds(Cpu& cpu, uint32_t w) {
  auto [a, b, c, d] = lanes<u32>(cpu, rd(w)).e;
  const auto schedule = lanes<u32>(cpu, rm(w));
  u32 e = lanes<u32>(cpu, rn(w))[0];
  for (const u32 word : schedule.e) {
    const u32 next = e + std::rotl(a, 5) + kFunction(b, c, d) + word;
    e = d, d = c, c = std::rotl(b, 30), b = a, a = next;
  }
  cpu.v[rd(w)] = std::bit_cast<Vreg>(Lanes<u32>{{a, b, c, d}});
}
void sha1h(Cpu& cpu, uint32_t w) {
  cpu.v[rd(w)] = Vreg{std::rotl(lanes<u32>(cpu, rn(w))[0], 30), 0};
}
void sha1su0(Cpu& cpu, uint32_t w) {
  const Vreg d = cpu.v[rd(w)], n = cpu.v[rn(w)], m = cpu.v[rm(w)];
  cpu.v[rd(w)] = Vreg{d.hi ^ d.lo ^ m.lo, n.lo ^ d.hi ^ m.hi};
}
void sha1su1(Cpu& cpu, uint32_t w) {
  const auto d = lanes<u32>(cpu, rd(w)), n = lanes<u32>(cpu, rn(w));
  Lanes<u32> r;
  for (unsigned i = 0; i < 4; ++i) r[i] = std::rotl(d[i] ^ (i < 3 ? n[i + 1] : 0), 1);
  r[3] ^= std::rotl(r[0], 1);
  cpu.v[rd(w)] = std::bit_cast<Vreg>(r);
}

// Sums of rotations; kShift: the last is a shift.
template <unsigned kA, unsigned kB, unsigned kC, bool kShift, class T>
constexpr T sigma(T x) {
  return std::rotr(x, kA) ^ std::rotr(x, kB) ^ (kShift ? x >> kC : std::rotr(x, kC));
}
constexpr auto kSigma0of256 = sigma<7, 18, 3, true, u32>;
constexpr auto kSigma1of256 = sigma<17, 19, 10, true, u32>;
constexpr auto kSum0of256 = sigma<2, 13, 22, false, u32>;
constexpr auto kSum1of256 = sigma<6, 11, 25, false, u32>;
constexpr auto kSigma0of512 = sigma<1, 8, 7, true, u64>;
constexpr auto kSigma1of512 = sigma<19, 61, 6, true, u64>;
constexpr auto kSum0of512 = sigma<28, 34, 39, false, u64>;
constexpr auto kSum1of512 = sigma<14, 18, 41, false, u64>;

// SHA256H, SHA256H2: four rounds, of which one keeps a to d and the other e to h.
template <bool kSecond>
void sha256_rounds(Cpu& cpu, uint32_t w) {
  auto [a, b, c, d] = lanes<u32>(cpu, kSecond ? rn(w) : rd(w)).e;
  auto [e, f, g, h] = lanes<u32>(cpu, kSecond ? rd(w) : rn(w)).e;
  const auto schedule = lanes<u32>(cpu, rm(w));
  for (const u32 word : schedule.e) {
    const u32 t = h + kSum1of256(e) + choose(e, f, g) + word;
    const u32 next = t + kSum0of256(a) + majority(a, b, c);
    h = g, g = f, f = e, e = d + t, d = c, c = b, b = a, a = next;
  }
  const Lanes<u32> r = kSecond ? Lanes<u32>{{e, f, g, h}} : Lanes<u32>{{a, b, c, d}};
  cpu.v[rd(w)] = std::bit_cast<Vreg>(r);
}
void sha256su0(Cpu& cpu, uint32_t w) {
  auto d = lanes<u32>(cpu, rd(w));
  const auto n = lanes<u32>(cpu, rn(w));
  for (unsigned i = 0; i < 4; ++i) d[i] += kSigma0of256(i < 3 ? d[i + 1] : n[0]);
  cpu.v[rd(w)] = std::bit_cast<Vreg>(d);
}
void sha256su1(Cpu& cpu, uint32_t w) {
  auto d = lanes<u32>(cpu, rd(w));
  const auto n = lanes<u32>(cpu, rn(w)), m = lanes<u32>(cpu, rm(w));
  for (unsigned i = 0; i < 4; ++i) {
    d[i] += (i < 3 ? n[i + 1] : m[0]) + kSigma1of256(i < 2 ? m[i + 2] : d[i - 2]);
  }
  cpu.v[rd(w)] = std::bit_cast<Vreg>(d);
}

void sha512h(Cpu& cpu, uint32_t w) {
  const Vreg x = cpu.v[rn(w)], y = cpu.v[rm(w)], d = cpu.v[rd(w)];
  const u64 hi = choose(y.hi, x.lo, x.hi) + kSum1of512(y.hi) + d.hi, next = hi + y.lo;
  cpu.v[rd(w)] = Vreg{choose(next, y.hi, x.lo) + kSum1of512(next) + d.lo, hi};
}
void sha512h2(Cpu& cpu, uint32_t w) {
  const Vreg x = cpu.v[rn(w)], y = cpu.v[rm(w)], d = cpu.v[rd(w)];
  const u64 hi = majority(x.lo, y.hi, y.lo) + kSum0of512(y.lo) + d.hi;
  cpu.v[rd(w)] = Vreg{majority(hi, y.lo, y.hi) + kSum0of512(hi) + d.lo, hi};
}
void sha512su0(Cpu& cpu, uint32_t w) {
  const Vreg d = cpu.v[rd(w)];
  cpu.v[rd(w)] = Vreg{d.lo + kSigma0of512(d.hi), d.hi + kSigma0of512(cpu.v[rn(w)].lo)};
}
void sha512su1(Cpu& cpu, uint32_t w) {
  const Vreg x = cpu.v[rn(w)], y = cpu.v[rm(w)], d = cpu.v[rd(w)];
  cpu.v[rd(w)] = Vreg{d.lo + kSigma1of512(x.lo) + y.lo, d.hi + kSigma1of512(x.hi) + y.hi};
}

// --- SHA-3 (FIPS 202) ----------------------------------------------------------------------------

// Vd = F(Vn, Vm, Va), in both halves.
template <auto F>
void by_halves(Cpu& cpu, uint32_t w) {
  const Vreg n = cpu.v[rn(w)], m = cpu.v[rm(w)], a = cpu.v[ra(w)];
  cpu.v[rd(w)] = Vreg{F(w, n.lo, m.lo, a.lo), F(w, n.hi, m.hi, a.hi)};
}
constexpr auto kEor3 = [](uint32_t, u64 n, u64 m, u64 a) { return n ^ m ^ a; };
constexpr auto kBcax = [](uint32_t, u64 n, u64 m, u64 a) { return n ^ (m & ~a); };
constexpr auto kRax1 = [](uint32_t, u64 n, u64 m, u64) { return n ^ std::rotl(m, 1); };
constexpr auto kXar = [](uint32_t w, u64 n, u64 m, u64) {
  return std::rotr(n ^ m, static_cast<int>(bits(w, 10, 6)));
};

// clang-format off
constexpr Row kRows[] = {
    {"01001110 00 10100 00100 10 nnnnn ddddd", {aes_round<false>}},
    {"01001110 00 10100 00101 10 nnnnn ddddd", {aes_round<true>}},
    {"01001110 00 10100 00110 10 nnnnn ddddd", {aes_mix_columns<false>}},
    {"01001110 00 10100 00111 10 nnnnn ddddd", {aes_mix_columns<true>}},
    {"0q0 01110 11 1 mmmmm 1110 00 nnnnn ddddd", {pmull64}},
    // SHA-1 and SHA-256: three registers, two registers
    {"01011110 00 0 mmmmm 0 000 00 nnnnn ddddd", {sha1_rounds<choose<u32>>}},
    {"01011110 00 0 mmmmm 0 001 00 nnnnn ddddd", {sha1_rounds<parity>}},
    {"01011110 00 0 mmmmm 0 010 00 nnnnn ddddd", {sha1_rounds<majority<u32>>}},
    {"01011110 00 0 mmmmm 0 011 00 nnnnn ddddd", {sha1su0}},
    {"01011110 00 0 mmmmm 0 100 00 nnnnn ddddd", {sha256_rounds<false>}},
    {"01011110 00 0 mmmmm 0 101 00 nnnnn ddddd", {sha256_rounds<true>}},
    {"01011110 00 0 mmmmm 0 110 00 nnnnn ddddd", {sha256su1}},
    {"01011110 00 10100 00000 10 nnnnn ddddd", {sha1h}},
    {"01011110 00 10100 00001 10 nnnnn ddddd", {sha1su1}},
    {"01011110 00 10100 00010 10 nnnnn ddddd", {sha256su0}},
    // SHA-512 and SHA-3
    {"11001110 011 mmmmm 100000 nnnnn ddddd", {sha512h}},
    {"11001110 011 mmmmm 100001 nnnnn ddddd", {sha512h2}},
    {"11001110 011 mmmmm 100010 nnnnn ddddd", {sha512su1}},
    {"11001110 011 mmmmm 100011 nnnnn ddddd", {by_halves<kRax1>}},
    {"11001110 110 00000 100000 nnnnn ddddd", {sha512su0}},
    {"11001110 000 mmmmm 0aaaaa nnnnn ddddd", {by_halves<kEor3>}},
    {"11001110 001 mmmmm 0aaaaa nnnnn ddddd", {by_halves<kBcax>}},
    {"11001110 100 mmmmm iiiiii nnnnn ddddd", {by_halves<kXar>}},
};
// clang-format on

}  // namespace

std::span<const Row> crypto_rows() { return kRows; }

}  // namespace trapline::soft::fp
