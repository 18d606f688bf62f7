// ESR_EL2 for data aborts, D17.2.37 "ISS encoding for an exception from a Data Abort".
#ifndef TRAPLINE_VMM_SYNDROME_H_
#define TRAPLINE_VMM_SYNDROME_H_

#include <cstdint>

#include "decode/access.h"

namespace trapline {

struct DataAbort {
  bool valid;              // ISV: the fields down to `acquire_release` describe the access
  uint8_t size_log2;       // SAS
  bool sign_extend;        // SSE
  uint8_t rt;              // SRT
  bool sixty_four;         // SF
  bool acquire_release;    // AR
  bool far_not_valid;      // FnV
  bool external;           // EA
  bool cache_maintenance;  // CM
  bool s1ptw;              // the fault is on a stage-1 table walk
  bool write;              // WnR
  uint8_t dfsc;

  static constexpr DataAbort from_esr(uint64_t esr) {
    return {
        .valid = (esr >> 24 & 1) != 0,
        .size_log2 = static_cast<uint8_t>(esr >> 22 & 3),
        .sign_extend = (esr >> 21 & 1) != 0,
        .rt = static_cast<uint8_t>(esr >> 16 & 31),
        .sixty_four = (esr >> 15 & 1) != 0,
        .acquire_release = (esr >> 14 & 1) != 0,
        .far_not_valid = (esr >> 10 & 1) != 0,
        .external = (esr >> 9 & 1) != 0,
        .cache_maintenance = (esr >> 8 & 1) != 0,
        .s1ptw = (esr >> 7 & 1) != 0,
        .write = (esr >> 6 & 1) != 0,
        .dfsc = static_cast<uint8_t>(esr & 63),
    };
  }
  constexpr bool permission_fault() const { return (dfsc & 0x3c) == 0x0c; }
};

// The access that an ISV=1 syndrome describes. It has no base: emulate() gets its address from FAR.
constexpr Access access_from_syndrome(const DataAbort& abort) {
  Access access{};
  access.op = abort.write ? Op::kStore : Op::kLoad;
  access.size_log2 = abort.size_log2;
  access.count = 1;
  access.rt = abort.rt;
  access.rt2 = kRegZr;
  access.rs = kRegZr;
  access.rm = kRegZr;
  access.mode = AddressMode::kBase;
  access.extend = Extend::kLsl;
  if (!abort.write && abort.sign_extend) {
    access.sign = abort.sixty_four ? SignExtend::kTo64 : SignExtend::kTo32;
  }
  access.acquire = abort.acquire_release && !abort.write;
  access.release = abort.acquire_release && abort.write;
  return access;
}

}  // namespace trapline

#endif  // TRAPLINE_VMM_SYNDROME_H_
