// ESR_EL2 for data aborts, D17.2.37 "ISS encoding for an exception from a Data Abort".
#ifndef TRAPLINE_VMM_VCPU_SYNDROME_H_
#define TRAPLINE_VMM_VCPU_SYNDROME_H_

#include <cstdint>

#include "decode/access.h"

namespace trapline {

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

}  // namespace trapline

#endif  // TRAPLINE_VMM_VCPU_SYNDROME_H_
