// The Cryptographic Extension as programs use it, by the examples of FIPS 197 (AES) and FIPS 180-4
// (SHA-1, SHA-256, SHA-512): interpreted, as host code with the host's instructions, and as host
// code without them.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "tests/vmm/soft/engine_fixture.h"
#include "vmm/soft/jit/translate.h"

namespace trapline::soft {
namespace {

using Words = std::vector<uint32_t>;

uint32_t two(uint32_t fixed, unsigned d, unsigned n) { return fixed | n << 5 | d; }
uint32_t three(uint32_t fixed, unsigned d, unsigned n, unsigned m) {
  return fixed | m << 16 | n << 5 | d;
}
constexpr uint32_t kAese = 0x4e284800, kAesd = 0x4e285800, kAesmc = 0x4e286800,
                   kAesimc = 0x4e287800, kEor = 0x6e201c00, kOrr = 0x4ea01c00, kAdd4s = 0x4ea08400,
                   kAdd2d = 0x4ee08400, kSha1c = 0x5e000000, kSha1su0 = 0x5e003000,
                   kSha1h = 0x5e280800, kSha1su1 = 0x5e281800, kSha256h = 0x5e004000,
                   kSha256h2 = 0x5e005000, kSha256su0 = 0x5e282800, kSha256su1 = 0x5e006000,
                   kSha512h = 0xce608000, kSha512h2 = 0xce608400, kSha512su0 = 0xcec08000,
                   kSha512su1 = 0xce608800, kExt8 = 0x6e004000,  // EXT #8
    kPmull = 0x0ee0e000, kPmull2 = 0x4ee0e000;
uint32_t move(unsigned d, unsigned n) { return three(kOrr, d, n, n); }
constexpr uint32_t kLoadConstants = 0x3cc10420;  // ldr q0, [x1], #16

struct Way {
  const char* name;
  uint16_t translate_after;
  bool baseline;
};
constexpr Way kWays[] = {
    {"Interpreted", 0, false}, {"HostInstructions", 1, false}, {"BaselineHost", 1, true}};

class Crypto : public ::testing::TestWithParam<Way> {
 protected:
  Crypto() {
    use_baseline_host(GetParam().baseline);
    bench = std::make_unique<Bench>(1, false, GetParam().translate_after);
    use_baseline_host(false);
  }
  // Runs the program on the registers, which begin with V0: once interpreted, then as host code.
  void run(const Words& program, std::vector<Vreg>& v) {
    for (size_t i = 0; i < program.size(); ++i) {
      bench->poke<uint32_t>(kCode + 4 * i, program[i]);
    }
    bench->poke<uint32_t>(kCode + 4 * program.size(), kHvc0);
    std::vector<Vreg> first;
    for (int times = 0; times < 3; ++times) {
      for (size_t i = 0; i < v.size(); ++i) bench->cpu().v[i] = v[i];
      bench->cpu().r.x[1] = kData;
      ASSERT_EQ(bench->run().kind, ExitKind::kHvc);
      const std::vector<Vreg> after(bench->cpu().v, bench->cpu().v + v.size());
      if (times == 0) first = after;
      ASSERT_TRUE(first == after) << times;
    }
    v = first;
  }
  std::unique_ptr<Bench> bench;
};
INSTANTIATE_TEST_SUITE_P(Way, Crypto, ::testing::ValuesIn(kWays),
                         [](const auto& info) { return std::string(info.param.name); });

// --- AES -----------------------------------------------------------------------------------------

using Bytes = std::vector<uint8_t>;
Bytes bytes_of(const std::string& hex) {
  Bytes r;
  for (size_t i = 0; i < hex.size(); i += 2) {
    r.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return r;
}
Vreg register_of(const Bytes& bytes, size_t at = 0) {
  Vreg v;
  memcpy(&v, &bytes[at], 16);
  return v;
}
uint8_t product(uint8_t a, uint8_t b) {  // FIPS 197, 4.2
  uint8_t r = 0;
  for (; b != 0; b >>= 1, a = static_cast<uint8_t>(a << 1 ^ ((a & 0x80) != 0 ? 0x1b : 0))) {
    if ((b & 1) != 0) r ^= a;
  }
  return r;
}
uint8_t substitute(uint8_t a) {  // 5.1.1
  uint8_t inverse = 0;
  for (unsigned b = 1; b < 256; ++b) {
    if (product(a, static_cast<uint8_t>(b)) == 1) inverse = static_cast<uint8_t>(b);
  }
  uint8_t r = 0x63;
  for (int by = 0; by < 5; ++by) r ^= std::rotl(inverse, by);
  return r;
}
std::vector<Vreg> expand(const Bytes& key) {  // 5.2
  const size_t nk = key.size() / 4, rounds = nk + 6;
  Bytes w = key;
  uint8_t constant = 1;
  for (size_t i = nk; i < 4 * (rounds + 1); ++i) {
    uint8_t t[4];
    memcpy(t, &w[4 * (i - 1)], 4);
    if (i % nk == 0) {
      const uint8_t top = t[0];
      t[0] = substitute(t[1]) ^ constant;
      t[1] = substitute(t[2]), t[2] = substitute(t[3]), t[3] = substitute(top);
      constant = product(constant, 2);
    } else if (nk > 6 && i % nk == 4) {
      for (uint8_t& byte : t) byte = substitute(byte);
    }
    for (unsigned j = 0; j < 4; ++j) w.push_back(w[4 * (i - nk) + j] ^ t[j]);
  }
  std::vector<Vreg> r;
  for (size_t i = 0; i < w.size(); i += 16) r.push_back(register_of(w, i));
  return r;
}

// FIPS 197, appendix C: AES-128, AES-192, AES-256; and appendix B.
TEST_P(Crypto, AesAsInFips197) {
  const struct {
    const char *key, *plain, *cipher;
  } rows[] = {
      {"000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
       "69c4e0d86a7b0430d8cdb78070b4c55a"},
      {"000102030405060708090a0b0c0d0e0f1011121314151617", "00112233445566778899aabbccddeeff",
       "dda97ca4864cdfe06eaf70a0ec0d7191"},
      {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
       "00112233445566778899aabbccddeeff", "8ea2b7ca516745bfeafc49904b496089"},
      {"2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734",
       "3925841d02dc09fbdc118597196a0b32"},
  };
  for (const auto& row : rows) {
    const std::vector<Vreg> keys = expand(bytes_of(row.key));
    const auto rounds = static_cast<unsigned>(keys.size() - 1);
    const Vreg plain = register_of(bytes_of(row.plain));
    const Vreg cipher = register_of(bytes_of(row.cipher));
    std::vector<Vreg> v{plain};  // V1 on: the round keys
    v.insert(v.end(), keys.begin(), keys.end());
    Words encrypt, decrypt;
    for (unsigned i = 1; i < rounds; ++i) {
      encrypt.insert(encrypt.end(), {two(kAese, 0, i), two(kAesmc, 0, 0)});
    }
    encrypt.insert(encrypt.end(), {two(kAese, 0, rounds), three(kEor, 0, 0, rounds + 1)});
    run(encrypt, v);
    EXPECT_TRUE(v[0] == cipher) << row.key;
    // The equivalent inverse cipher, 5.3.5.
    for (unsigned i = 2; i <= rounds; ++i) decrypt.push_back(two(kAesimc, i, i));
    for (unsigned i = rounds + 1; i > 2; --i) {
      decrypt.insert(decrypt.end(), {two(kAesd, 0, i), two(kAesimc, 0, 0)});
    }
    decrypt.insert(decrypt.end(), {two(kAesd, 0, 2), three(kEor, 0, 0, 1)});
    run(decrypt, v);
    EXPECT_TRUE(v[0] == plain) << row.key;
  }
}

// --- SHA -----------------------------------------------------------------------------------------

// The first 64 bits of the fractions of the cube roots of the first 80 primes, and of the square
// roots of the first 8: FIPS 180-4, 4.2.3 and 5.3.5. Those of SHA-256 are their upper halves.
constexpr uint64_t kRoots3[80] = {
    0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc,
    0x3956c25bf348b538, 0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118,
    0xd807aa98a3030242, 0x12835b0145706fbe, 0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2,
    0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235, 0xc19bf174cf692694,
    0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
    0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5,
    0x983e5152ee66dfab, 0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4,
    0xc6e00bf33da88fc2, 0xd5a79147930aa725, 0x06ca6351e003826f, 0x142929670a0e6e70,
    0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed, 0x53380d139d95b3df,
    0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
    0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30,
    0xd192e819d6ef5218, 0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8,
    0x19a4c116b8d2d0c8, 0x1e376c085141ab53, 0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8,
    0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373, 0x682e6ff3d6b2b8a3,
    0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
    0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b,
    0xca273eceea26619c, 0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178,
    0x06f067aa72176fba, 0x0a637dc5a2c898a6, 0x113f9804bef90dae, 0x1b710b35131c471b,
    0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc, 0x431d67c49c100d4c,
    0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817,
};
constexpr uint64_t kRoots2[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

// The padded message (5.1) as words, the first byte uppermost.
template <typename T>
std::vector<T> padded(const std::string& message) {
  constexpr size_t kBlock = 16 * sizeof(T), kLength = 2 * sizeof(T);
  std::string text = message + '\x80';
  while (text.size() % kBlock != kBlock - kLength) text += '\0';
  text.append(kLength - 8, '\0');
  for (int at = 56; at >= 0; at -= 8) {
    text += static_cast<char>(uint64_t{8} * message.size() >> at);
  }
  std::vector<T> words(text.size() / sizeof(T));
  for (size_t i = 0; i < text.size(); ++i) {
    T& word = words[i / sizeof(T)];
    word = static_cast<T>(word << 8 | static_cast<uint8_t>(text[i]));
  }
  return words;
}
Vreg quad(const uint32_t* words) {
  Vreg v;
  memcpy(&v, words, 16);
  return v;
}

constexpr const char* kShort = "abc";
constexpr const char* kTwoBlocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
constexpr const char* kTwoLongBlocks =
    "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopq"
    "rs"
    "mnopqrstnopqrstu";

// V0: a to d, V1: e; V16 to V19: the schedule; V3, V20, V21: scratch.
TEST_P(Crypto, Sha1AsInFips180) {
  constexpr uint32_t kConstants[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};  // 4.2.1
  for (unsigned i = 0; i < 80; ++i) bench->poke<uint32_t>(kData + 4 * i, kConstants[i / 20]);
  Words rounds;
  for (unsigned i = 0; i < 20; ++i) {
    constexpr unsigned kFunctions[] = {0, 1, 2, 1};
    const auto w = [i](unsigned ahead) { return 16 + (i + ahead) % 4; };
    rounds.push_back(kLoadConstants | 21);
    rounds.push_back(three(kAdd4s, 20, w(0), 21));
    rounds.push_back(two(kSha1h, 3, 0));
    rounds.push_back(three(kSha1c | kFunctions[i / 5] << 12, 0, 1, 20));
    rounds.push_back(move(1, 3));
    rounds.push_back(three(kSha1su0, w(0), w(1), w(2)));
    rounds.push_back(two(kSha1su1, w(0), w(3)));
  }
  const struct {
    const char* message;
    std::array<uint32_t, 5> digest;
  } rows[] = {
      {kShort, {0xa9993e36, 0x4706816a, 0xba3e2571, 0x7850c26c, 0x9cd0d89d}},
      {kTwoBlocks, {0x84983e44, 0x1c3bd26e, 0xbaae4aa1, 0xf95129e5, 0xe54670f1}},
  };
  for (const auto& row : rows) {
    std::array<uint32_t, 5> h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    const auto words = padded<uint32_t>(row.message);
    for (size_t at = 0; at < words.size(); at += 16) {
      std::vector<Vreg> v(32);
      v[0] = quad(h.data());
      v[1] = {h[4], 0};
      for (unsigned i = 0; i < 4; ++i) v[16 + i] = quad(&words[at + 4 * i]);
      run(rounds, v);
      uint32_t out[4];
      memcpy(out, v.data(), 16);
      for (unsigned i = 0; i < 4; ++i) h[i] += out[i];
      h[4] += static_cast<uint32_t>(v[1].lo);
    }
    EXPECT_EQ(h, row.digest) << row.message;
  }
}

TEST_P(Crypto, Sha256AsInFips180) {
  for (unsigned i = 0; i < 64; ++i) {
    bench->poke<uint32_t>(kData + 4 * i, static_cast<uint32_t>(kRoots3[i] >> 32));
  }
  Words rounds;
  for (unsigned i = 0; i < 16; ++i) {
    const auto w = [i](unsigned ahead) { return 16 + (i + ahead) % 4; };
    rounds.push_back(kLoadConstants | 21);
    rounds.push_back(three(kAdd4s, 20, w(0), 21));
    rounds.push_back(two(kSha256su0, w(0), w(1)));
    rounds.push_back(move(2, 0));
    rounds.push_back(three(kSha256h, 0, 1, 20));
    rounds.push_back(three(kSha256h2, 1, 2, 20));
    rounds.push_back(three(kSha256su1, w(0), w(2), w(3)));
  }
  const struct {
    const char* message;
    std::array<uint32_t, 8> digest;
  } rows[] = {
      {kShort,
       {0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223, 0xb00361a3, 0x96177a9c, 0xb410ff61,
        0xf20015ad}},
      {kTwoBlocks,
       {0x248d6a61, 0xd20638b8, 0xe5c02693, 0x0c3e6039, 0xa33ce459, 0x64ff2167, 0xf6ecedd4,
        0x19db06c1}},
  };
  for (const auto& row : rows) {
    std::array<uint32_t, 8> h;
    for (unsigned i = 0; i < 8; ++i) h[i] = static_cast<uint32_t>(kRoots2[i] >> 32);
    const auto words = padded<uint32_t>(row.message);
    for (size_t at = 0; at < words.size(); at += 16) {
      std::vector<Vreg> v(32);
      v[0] = quad(h.data());
      v[1] = quad(h.data() + 4);
      for (unsigned i = 0; i < 4; ++i) v[16 + i] = quad(&words[at + 4 * i]);
      run(rounds, v);
      uint32_t out[8];
      memcpy(out, v.data(), 32);
      for (unsigned i = 0; i < 8; ++i) h[i] += out[i];
    }
    EXPECT_EQ(h, row.digest) << row.message;
  }
}

// V0 to V3: a, b to g, h; V4: spare; V16 to V23: the schedule.
TEST_P(Crypto, Sha512AsInFips180) {
  for (unsigned i = 0; i < 80; ++i) bench->poke<uint64_t>(kData + 8 * i, kRoots3[i]);
  Words rounds;
  unsigned ab = 0, cd = 1, ef = 2, gh = 3, spare = 4;
  for (unsigned i = 0; i < 40; ++i) {
    const auto w = [i](unsigned ahead) { return 16 + (i + ahead) % 8; };
    rounds.push_back(kLoadConstants | 24);
    rounds.push_back(three(kAdd2d, 25, w(0), 24));
    rounds.push_back(three(kExt8, 25, 25, 25));  // the later word first
    rounds.push_back(three(kExt8, 26, ef, gh));  // f, g
    rounds.push_back(three(kExt8, 27, cd, ef));  // d, e
    rounds.push_back(three(kAdd2d, gh, gh, 25));
    rounds.push_back(three(kSha512h, gh, 26, 27));
    rounds.push_back(three(kAdd2d, spare, cd, gh));
    rounds.push_back(three(kSha512h2, gh, cd, ab));
    rounds.push_back(two(kSha512su0, w(0), w(1)));
    rounds.push_back(three(kExt8, 29, w(4), w(5)));
    rounds.push_back(three(kSha512su1, w(0), w(7), 29));
    const unsigned freed = cd;
    cd = ab, ab = gh, gh = ef, ef = spare, spare = freed;
  }
  const struct {
    const char* message;
    std::array<uint64_t, 8> digest;
  } rows[] = {
      {kShort,
       {0xddaf35a193617aba, 0xcc417349ae204131, 0x12e6fa4e89a97ea2, 0x0a9eeee64b55d39a,
        0x2192992a274fc1a8, 0x36ba3c23a3feebbd, 0x454d4423643ce80e, 0x2a9ac94fa54ca49f}},
      {kTwoLongBlocks,
       {0x8e959b75dae313da, 0x8cf4f72814fc143f, 0x8f7779c6eb9f7fa1, 0x7299aeadb6889018,
        0x501d289e4900f7e4, 0x331b99dec4b5433a, 0xc7d329eeb6dd2654, 0x5e96e55b874be909}},
  };
  for (const auto& row : rows) {
    std::array<uint64_t, 8> h;
    for (unsigned i = 0; i < 8; ++i) h[i] = kRoots2[i];
    const auto words = padded<uint64_t>(row.message);
    for (size_t at = 0; at < words.size(); at += 16) {
      std::vector<Vreg> v(32);
      for (unsigned i = 0; i < 4; ++i) v[i] = {h[2 * i], h[2 * i + 1]};
      for (unsigned i = 0; i < 8; ++i) v[16 + i] = {words[at + 2 * i], words[at + 2 * i + 1]};
      run(rounds, v);
      const unsigned at_end[] = {ab, cd, ef, gh};
      for (unsigned i = 0; i < 4; ++i) {
        h[2 * i] += v[at_end[i]].lo;
        h[2 * i + 1] += v[at_end[i]].hi;
      }
    }
    EXPECT_EQ(h, row.digest) << row.message;
  }
}

// --- polynomials ---------------------------------------------------------------------------------

// GHASH of the second test case of the GCM specification: H times the cipher text, plus the length,
// times H; modulo x^128 + x^7 + x^2 + x + 1, in GCM's order of the bits.
TEST_P(Crypto, PmullMakesGhash) {
  const auto reverse = [](uint64_t v) {
    uint64_t r = 0;
    for (int i = 0; i < 64; ++i) r |= (v >> i & 1) << (63 - i);
    return r;
  };
  const auto load = [&](const std::string& hex) {  // as polynomials: bit i is the factor of x^i
    return Vreg{reverse(std::stoull(hex.substr(0, 16), nullptr, 16)),
                reverse(std::stoull(hex.substr(16), nullptr, 16))};
  };
  const Words multiply = {
      three(kPmull, 2, 0, 1),  three(kPmull2, 3, 0, 1),  // low, high; both middle ones
      three(kExt8, 4, 1, 1),   three(kPmull, 5, 0, 4),
      three(kPmull2, 6, 0, 4), three(kEor, 5, 5, 6),
  };
  const auto times = [&](Vreg a, Vreg b) {
    std::vector<Vreg> v(8);
    v[0] = a;
    v[1] = b;
    run(multiply, v);
    uint64_t r[4] = {v[2].lo, v[2].hi ^ v[5].lo, v[3].lo ^ v[5].hi, v[3].hi};
    for (int i = 3; i >= 2; --i) {  // x^128 is x^7 + x^2 + x + 1
      for (const int shift : {0, 1, 2, 7}) {
        r[i - 2] ^= r[i] << shift;
        if (shift != 0) r[i - 1] ^= r[i] >> (64 - shift);
      }
    }
    return Vreg{r[0], r[1]};
  };
  const Vreg h = load("66e94bd4ef8a2c3b884cfa59ca342b2e");
  Vreg x = times(load("0388dace60b6a392f328c2b971b2fe78"), h);
  x.hi ^= reverse(0x80);
  EXPECT_TRUE(times(x, h) == load("f38cbb1ad69223dcc3457ae5b6b0f885"));
}

}  // namespace
}  // namespace trapline::soft
