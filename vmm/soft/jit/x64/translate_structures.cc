// LD1 to LD4 and their stores, C4.1.94: structures of as many elements as there are registers. One
// permutation of bytes brings them from memory's order to the registers', and another back.
#include <cstring>

#include "vmm/soft/jit/x64/translate_x64.h"
#include "vmm/soft/ops/ops_bodies.h"

namespace trapline::soft {
namespace {

constexpr unsigned kPshufb = 0x0f3800, kPor = 0x0feb;
constexpr uint8_t kZero = 0x80;  // PSHUFB's

// Where byte `at` of n vectors of structures, one after the other in memory, lies in registers.
struct BytePlace {
  unsigned reg, byte;
};
constexpr BytePlace in_registers(unsigned at, unsigned n, unsigned size_log2) {
  const unsigned element = at >> size_log2, within = at & ((1u << size_log2) - 1);
  return {element % n, (element / n) << size_log2 | within};
}

// PSHUFB's masks: what of vector `from` goes to vector `to`.
struct Masks {
  uint8_t byte[4][4][16];  // [to][from]
};
constexpr Masks masks_of(bool is_load, unsigned n, unsigned size_log2) {
  Masks masks{};
  for (auto& to : masks.byte) {
    for (auto& from : to) {
      for (uint8_t& byte : from) byte = kZero;
    }
  }
  for (unsigned at = 0; at < 16 * n; ++at) {
    const auto [reg, byte] = in_registers(at, n, size_log2);
    if (is_load) {
      masks.byte[reg][at / 16][byte] = static_cast<uint8_t>(at % 16);
    } else {
      masks.byte[at / 16][reg][at % 16] = static_cast<uint8_t>(byte);
    }
  }
  return masks;
}

constexpr Xmm kFrom[] = {xmm0, xmm1, xmm2, xmm3}, kTo[] = {xmm4, xmm5, xmm6, xmm7};

// The base register after an access of `bytes`, by LD1 and its kin with post-index.
struct PostIndex {
  bool on;
  unsigned base, index;  // slots; index XZR: by the bytes
  explicit PostIndex(uint32_t word)
      : on((word >> 23 & 1) != 0),
        base(slot_sp(bits(word, 9, 5))),
        index(slot_zr(bits(word, 20, 16))) {}
};

// The look-up's size of an access of so many bytes, up to 64.
constexpr unsigned rounded_log2(unsigned bytes) {
  unsigned log2 = 0;
  while (1u << log2 < bytes) ++log2;
  return log2;
}

}  // namespace

// Subroutine: of n vectors in kFrom, those in kTo.
void X64Translator::emit_interleave(bool is_load, unsigned n, unsigned size_log2) {
  const Masks masks = masks_of(is_load, n, size_log2);
  align(16);
  const uint32_t pool = here();
  for (unsigned to = 0; to < n; ++to) {
    for (unsigned from = 0; from < n; ++from) {
      uint64_t halves[2];
      std::memcpy(halves, masks.byte[to][from], sizeof halves);
      for (const uint64_t half : halves) put64(half);
    }
  }
  interleave_[is_load][n - 2][size_log2] = here();
  for (unsigned to = 0; to < n; ++to) {
    for (unsigned from = 0; from < n; ++from) {
      const Xmm part = from == 0 ? kTo[to] : xmm8;
      movaps(part, kFrom[from]);
      p(kPshufb, part, ptr[rip + at(pool + 16 * (n * to + from))]);
      if (from != 0) p(kPor, kTo[to], part);
    }
  }
  ret();
}

void X64Translator::post_index(uint32_t word, unsigned bytes) {
  const PostIndex post(word);
  if (!post.on) return;
  if (post.index == kSlotXzr) {
    add(rax, static_cast<int32_t>(bytes));
  } else {
    add(rax, x(post.index));
  }
  store(post.base, rax);
}

// Of one to four registers: LD1 and ST1 have them one after the other in memory.
X64Translator::Emitted X64Translator::structures(uint32_t word) {
  struct Form {
    uint8_t registers, elements;  // of a structure
  };
  constexpr Form kForms[16] = {{4, 4}, {},     {4, 1}, {}, {3, 3}, {},
                               {3, 1}, {1, 1}, {2, 2}, {}, {2, 1}};
  const auto [n, elements] = kForms[bits(word, 15, 12)];
  const bool q = (word >> 30 & 1) != 0, is_load = (word >> 22 & 1) != 0;
  const bool interleaved = elements > 1;
  const unsigned size = bits(word, 11, 10), bytes = n * (q ? 16 : 8);
  if (n == 0 || (interleaved && (!host_.ssse3 || (size == 3 && !q)))) return Emitted::kNot;
  const unsigned base = slot_sp(bits(word, 9, 5));
  mov(rax, x(base));
  call_look_up(is_load ? kRead : kWrite, rounded_log2(bytes), base);

  // Vectors: those of memory are whole but the last, those of registers of 16 bytes or 8. LD1's are
  // each as a register.
  const auto reg = [&](unsigned i) { return v((bits(word, 4, 0) + i) % 32); };
  const unsigned piece = q || interleaved ? 16 : 8;
  const auto memory = [&](unsigned i) { return ptr[rax + r10 + static_cast<int>(piece * i)]; };
  const unsigned pieces = (bytes + piece - 1) / piece;
  const auto whole = [&](unsigned i) { return bytes - piece * i >= 16 && piece == 16; };
  if (is_load) {
    for (unsigned i = 0; i < pieces; ++i) {
      whole(i) ? movups(kFrom[i], memory(i)) : movsd(kFrom[i], memory(i));
    }
    if (interleaved) call_interleave(true, n, size, pieces);
    for (unsigned i = 0; i < n; ++i) movups(reg(i), interleaved ? kTo[i] : kFrom[i]);
  } else {
    for (unsigned i = 0; i < n; ++i) movups(kFrom[i], reg(i));
    if (interleaved) call_interleave(false, n, size, n);
    for (unsigned i = 0; i < pieces; ++i) {
      const Xmm from = interleaved ? kTo[i] : kFrom[i];
      whole(i) ? movups(memory(i), from) : movsd(memory(i), from);
    }
  }
  post_index(word, bytes);
  return Emitted::kCanLeave;
}

// `loaded`: of kFrom; the others are zero, as they are for a structure's half.
void X64Translator::call_interleave(bool is_load, unsigned n, unsigned size, unsigned loaded) {
  for (unsigned i = loaded; i < n; ++i) zero(kFrom[i]);
  call_routine(interleave_[is_load][n - 2][size]);
}

// One lane of one to four registers, or by a load all lanes.
X64Translator::Emitted X64Translator::one_structure(uint32_t word) {
  const unsigned opcode = bits(word, 15, 13), size = bits(word, 11, 10);
  const bool is_load = (word >> 22 & 1) != 0, q = (word >> 30 & 1) != 0;
  const unsigned base = slot_sp(bits(word, 9, 5)), rt = bits(word, 4, 0);
  const unsigned n = ((opcode & 1) << 1 | (word >> 21 & 1)) + 1;
  const bool all_lanes = opcode >= 6;
  const unsigned scale = all_lanes ? size : opcode >= 4 && (size & 1) != 0 ? 3 : opcode >> 1;
  const unsigned lane = ((q ? 8u : 0) | (word >> 12 & 1) << 2 | size) >> scale;
  mov(rax, x(base));
  call_look_up(is_load ? kRead : kWrite, rounded_log2(n << scale), base);
  for (unsigned i = 0; i < n; ++i) {
    const unsigned reg = (rt + i) % 32;
    const auto at = static_cast<int>(i << scale);
    if (!is_load) {
      load_lane(reg, lane, scale, false, true);
      store_element(r11, scale, at);
      continue;
    }
    load_element(r11, scale, 1, at);
    if (all_lanes) {
      movd(xmm0, scale == 3 ? r11 : r11d);
      replicate(scale, q);
      movups(v(reg), xmm0);
    } else {
      insert_lane(reg, lane, scale);
    }
  }
  post_index(word, n << scale);
  return Emitted::kCanLeave;
}

}  // namespace trapline::soft
