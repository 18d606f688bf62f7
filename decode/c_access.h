// An Access in its C form, and back. Freestanding.
#ifndef TRAPLINE_DECODE_C_ACCESS_H_
#define TRAPLINE_DECODE_C_ACCESS_H_

#include <cstddef>
#include <cstring>

#include "decode/access.h"
#include "decode/trapline-decode.h"

namespace trapline {

inline uint32_t access_flags(const Access& a) {
  uint32_t flags = 0;
  const auto set = [&flags](bool on, tl_flag flag) { flags |= on ? uint32_t{flag} : 0; };
  set(a.vector, TL_VECTOR);
  set(a.unprivileged, TL_UNPRIVILEGED);
  set(a.acquire, TL_ACQUIRE);
  set(a.acquire_pc, TL_ACQUIRE_PC);
  set(a.release, TL_RELEASE);
  set(a.nontemporal, TL_NONTEMPORAL);
  set(a.q, TL_Q);
  set(a.interleaved, TL_INTERLEAVED);
  return flags;
}

// The reserved bytes stay as they are.
inline void access_to_c(const Access& a, tl_access& out) {
  out.op = static_cast<tl_op>(a.op);
  out.mode = static_cast<tl_mode>(a.mode);
  out.extend = static_cast<tl_extend>(a.extend);
  out.sign = static_cast<tl_sign>(a.sign);
  out.imm = a.imm;
  out.flags = access_flags(a);
  out.size_log2 = a.size_log2;
  out.count = a.count;
  out.rt = a.rt;
  out.rt2 = a.rt2;
  out.rs = a.rs;
  out.rn = a.rn;
  out.rm = a.rm;
  out.shift = a.shift;
  out.lane = a.lane;
  out.regs = static_cast<uint8_t>(a.regs());
}

// False: a member holds what no access has, and `out` is not to be used. What the members mean
// together is not looked at: emulate() does.
inline bool access_from_c(const tl_access& in, Access& out) {
  // Read as numbers: a caller may have put anything there.
  uint32_t words[4];
  static_assert(offsetof(tl_access, sign) == 12 && sizeof(tl_sign) == 4);
  std::memcpy(words, &in, sizeof words);
  const uint32_t op = words[0], mode = words[1], extend = words[2], sign = words[3];
  if (op == 0 || op >= static_cast<unsigned>(Op::kCount) || mode > TL_MODE_REGISTER_VA ||
      extend > TL_EXTEND_SXTX || sign > TL_SIGN_TO_64 || in.size_log2 > 4 || in.count < 1 ||
      in.count > 64 || (in.rt | in.rt2 | in.rs | in.rn | in.rm) > 31 || in.shift > 4 ||
      in.lane > 15 || in.regs < 1 || in.regs > 4 || in.flags > 0xff) {
    return false;
  }
  out = {};
  out.op = static_cast<Op>(op);
  out.mode = static_cast<AddressMode>(mode);
  out.extend = static_cast<Extend>(extend);
  out.sign = static_cast<SignExtend>(sign);
  out.imm = in.imm;
  out.size_log2 = in.size_log2;
  out.count = in.count;
  out.rt = in.rt;
  out.rt2 = in.rt2;
  out.rs = in.rs;
  out.rn = in.rn;
  out.rm = in.rm;
  out.shift = in.shift & 7;
  out.lane = in.lane & 15;
  out.extra_regs = (in.regs - 1u) & 3;
  const auto has = [&in](tl_flag flag) { return (in.flags & flag) != 0; };
  out.vector = has(TL_VECTOR);
  out.unprivileged = has(TL_UNPRIVILEGED);
  out.acquire = has(TL_ACQUIRE);
  out.acquire_pc = has(TL_ACQUIRE_PC);
  out.release = has(TL_RELEASE);
  out.nontemporal = has(TL_NONTEMPORAL);
  out.q = has(TL_Q);
  out.interleaved = has(TL_INTERLEAVED);
  return true;
}

}  // namespace trapline

#endif  // TRAPLINE_DECODE_C_ACCESS_H_
