// ESR_EL2 for data aborts, D17.2.37 "ISS encoding for an exception from a Data Abort".
#ifndef TRAPLINE_VMM_VCPU_SYNDROME_H_
#define TRAPLINE_VMM_VCPU_SYNDROME_H_

#include <cstdint>

#include "decode/access.h"

namespace trapline {

// Fault status codes of data and instruction aborts, D17.2.37: the low two bits are the level, but
// for level -1 (fsc_at()).
enum Fsc : uint8_t {
  kFscAddressSize = 0x00,
  kFscTranslation = 0x04,
  kFscAccessFlag = 0x08,
  kFscPermission = 0x0c,
  kFscExternal = 0x10,
  kFscExternalOnWalk = 0x14,
  kFscAlignment = 0x21,
  kFscDebug = 0x22,
  kFscTlbConflict = 0x30,
  kFscUnsupportedExclusive = 0x35,
};

// A fault of a translation table walk at its level. Where LPA2 is, that may be -1, with codes of
// its own for what can happen there.
constexpr uint8_t fsc_at(Fsc fsc, int level) {
  if (level >= 0) return static_cast<uint8_t>(fsc | level);
  return fsc == kFscAddressSize ? 0x29 : fsc == kFscTranslation ? 0x2b : 0x13;
}

struct DataAbort {
  uint64_t esr;

  constexpr uint64_t field(unsigned high, unsigned low) const {
    return esr >> low & ((uint64_t{2} << (high - low)) - 1);
  }
  constexpr bool bit(unsigned n) const { return (esr >> n & 1) != 0; }

  // ISV: the fields down to `acquire_release` describe the access.
  constexpr bool valid() const { return bit(24); }
  constexpr uint8_t size_log2() const { return static_cast<uint8_t>(field(23, 22)); }  // SAS
  constexpr bool sign_extend() const { return bit(21); }                               // SSE
  constexpr uint8_t rt() const { return static_cast<uint8_t>(field(20, 16)); }         // SRT
  constexpr bool sixty_four() const { return bit(15); }                                // SF
  constexpr bool acquire_release() const { return bit(14); }                           // AR
  constexpr bool far_not_valid() const { return bit(10); }                             // FnV
  constexpr bool external() const { return bit(9); }                                   // EA
  constexpr bool cache_maintenance() const { return bit(8); }                          // CM
  constexpr bool s1ptw() const { return bit(7); }  // the fault is on a stage-1 table walk
  constexpr bool write() const { return bit(6); }  // WnR
  constexpr uint8_t dfsc() const { return static_cast<uint8_t>(field(5, 0)); }
  constexpr bool permission_fault() const { return (dfsc() & 0x3c) == 0x0c; }
};

// The access that an ISV=1 syndrome describes. It has no base: emulate() gets its address from FAR.
constexpr Access access_from_syndrome(DataAbort abort) {
  Access access{};
  access.op = abort.write() ? Op::kStore : Op::kLoad;
  access.size_log2 = abort.size_log2();
  access.count = 1;
  access.rt = abort.rt();
  access.rt2 = kRegZr;
  access.rs = kRegZr;
  access.rm = kRegZr;
  access.mode = AddressMode::kBase;
  access.extend = Extend::kLsl;
  if (!abort.write() && abort.sign_extend()) {
    access.sign = abort.sixty_four() ? SignExtend::kTo64 : SignExtend::kTo32;
  }
  access.acquire = abort.acquire_release() && !abort.write();
  access.release = abort.acquire_release() && abort.write();
  return access;
}

// The fields of a data abort's ISS (D17.2.37) by which it is built.
namespace iss {
inline constexpr uint32_t kIsv = 1 << 24;
inline constexpr uint32_t kSse = 1 << 21;
inline constexpr uint32_t kSf = 1 << 15;
inline constexpr uint32_t kAr = 1 << 14;
inline constexpr uint32_t kFnv = 1 << 10;
inline constexpr uint32_t kCm = 1 << 8;
inline constexpr uint32_t kS1ptw = 1 << 7;
inline constexpr uint32_t kWnr = 1 << 6;
}  // namespace iss

// A load or store of one element of one general register.
constexpr bool is_of_one_register(const Access& access) {
  return (access.op == Op::kLoad || access.op == Op::kStore) && access.count == 1 &&
         !access.vector && access.size_log2 <= 3;
}

// ISS[24:14] of a stage-2 data abort by this access: what hardware reports of loads and stores of
// one general register without write-back, acquire and release included; else 0, that is ISV=0.
// access_from_syndrome() is its inverse.
constexpr uint32_t iss_of(const Access& access) {
  const bool writes_back = access.mode == AddressMode::kPreIndex ||
                           access.mode == AddressMode::kPostIndex ||
                           access.mode == AddressMode::kPostRegister;
  if (!is_of_one_register(access) || writes_back) return 0;
  // In A64 the register is an X register where it is filled by 8 bytes or by a sign to 64 bits.
  const bool sixty_four = access.sign == SignExtend::kTo64 ||
                          (access.sign == SignExtend::kNone && access.size_log2 == 3);
  return iss::kIsv | uint32_t{access.size_log2} << 22 | uint32_t{access.rt} << 16 |
         (access.sign != SignExtend::kNone ? iss::kSse : 0) | (sixty_four ? iss::kSf : 0) |
         (access.acquire || access.acquire_pc || access.release ? iss::kAr : 0);
}

}  // namespace trapline

#endif  // TRAPLINE_VMM_VCPU_SYNDROME_H_
