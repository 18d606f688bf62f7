// What this CPU says it is. Nothing is shown that is not implemented (design, "Identity"); every
// encoding of op0=3, op1=0, CRn=0, CRm=1..7 that is not listed reads as zero (D17.2: RES0).
#ifndef TRAPLINE_VMM_SOFT_ID_REGISTERS_H_
#define TRAPLINE_VMM_SOFT_ID_REGISTERS_H_

#include <cstdint>

#include "vmm/config/cpu_model.h"

namespace trapline::soft::id {

// What a model has more than CpuModel::kBase.
constexpr uint64_t with(CpuModel model, uint64_t base, uint64_t max) {
  return base | (model >= CpuModel::kMax ? max : 0);
}

// MIDR_EL1: implementer 0x00 (software), architecture 0xf (by the ID registers).
inline constexpr uint64_t kMidr = 0x000f'0540;

// ID_AA64PFR0_EL1: EL0 and EL1 AArch64 only, no EL2 and EL3, FP and AdvSIMD without half-precision
// arithmetic, GIC system registers, CSV2 and CSV3.
inline constexpr uint64_t kAa64Pfr0 = uint64_t{1} << 60 |  // CSV3
                                      uint64_t{1} << 56 |  // CSV2
                                      uint64_t{1} << 24 |  // GIC
                                      uint64_t{1} << 4 |   // EL1
                                      uint64_t{1} << 0;    // EL0

inline constexpr uint64_t kAa64Pfr0El2 = uint64_t{1} << 8;   // with --el2
inline constexpr uint64_t kAa64Pfr0Max = uint64_t{1} << 48;  // DIT

// ID_AA64ISAR0_EL1.
inline constexpr uint64_t kAa64Isar0 = uint64_t{1} << 28 |     // RDM
                                       uint64_t{2} << 20 |     // Atomic: LSE
                                       uint64_t{1} << 16;      // CRC32
inline constexpr uint64_t kAa64Isar0Max = uint64_t{2} << 52 |  // TS: FlagM2
                                          uint64_t{1} << 44 |  // DP
                                          uint64_t{1} << 32 |  // SHA3
                                          uint64_t{2} << 12 |  // SHA2: SHA512, too
                                          uint64_t{1} << 8 |   // SHA1
                                          uint64_t{2} << 4;    // AES: PMULL, too

// ID_AA64ISAR1_EL1.
inline constexpr uint64_t kAa64Isar1Max = uint64_t{1} << 36 |  // SB
                                          uint64_t{1} << 32 |  // FRINTTS
                                          uint64_t{2} << 20 |  // LRCPC2
                                          uint64_t{1} << 16 |  // FCMA
                                          uint64_t{1} << 12;   // JSCVT

// ID_AA64MMFR0_EL1: all granules, mixed endianness, 16-bit ASIDs, 40-bit physical addresses.
inline constexpr uint64_t kAa64Mmfr0 = uint64_t{0} << 28 |  // TGran4: yes
                                       uint64_t{0} << 24 |  // TGran64: yes
                                       uint64_t{1} << 20 |  // TGran16: yes
                                       uint64_t{1} << 8 |   // BigEnd
                                       uint64_t{2} << 4 |   // ASIDBits: 16
                                       uint64_t{2} << 0;    // PARange: 40 bits

// ID_AA64MMFR1_EL1: PAN with AT S1E1RP/S1E1WP; no hardware access flag, no HPD.
inline constexpr uint64_t kAa64Mmfr1 = uint64_t{2} << 20;
inline constexpr uint64_t kAa64Mmfr1El2 = uint64_t{2} << 4;  // VMIDBits: 16
inline constexpr uint64_t kAa64Mmfr1Vhe = uint64_t{1} << 8;

// ID_AA64DFR0_EL1: Armv8.0 debug, six breakpoints (one context-aware), four watchpoints.
inline constexpr unsigned kBreakpoints = 6;
inline constexpr unsigned kContextBreakpoints = 1;  // the last ones
inline constexpr unsigned kWatchpoints = 4;
inline constexpr uint64_t kAa64Dfr0 = uint64_t{kContextBreakpoints - 1} << 28 |
                                      uint64_t{kWatchpoints - 1} << 20 |
                                      uint64_t{kBreakpoints - 1} << 12 | uint64_t{6} << 0;
inline constexpr uint64_t kAa64Dfr0Max = uint64_t{1} << 8;  // PMUVer: PMUv3
inline constexpr uint64_t kAa64Dfr0Vhe = 1;                 // more: DebugVer 7

// CTR_EL0: 64-byte lines, PIPT, IDC (data is coherent to fetches without cleaning), not DIC.
inline constexpr uint64_t kCtr = uint64_t{1} << 31 |  // RES1
                                 uint64_t{1} << 28 |  // IDC
                                 uint64_t{4} << 24 |  // CWG
                                 uint64_t{4} << 20 |  // ERG
                                 uint64_t{4} << 16 |  // DminLine, log2 words
                                 uint64_t{3} << 14 |  // L1Ip: PIPT
                                 uint64_t{4} << 0;    // IminLine
// DCZID_EL0.BS: 64 bytes, log2 words.
inline constexpr uint64_t kDczid = 4;

// Caches exist for geometry only (set/way loops terminate soon): L1 32 KiB + 32 KiB, L2 512 KiB.
inline constexpr uint64_t kClidr = uint64_t{1} << 27 |  // LoUU
                                   uint64_t{2} << 24 |  // LoC
                                   uint64_t{1} << 21 |  // LoUIS
                                   uint64_t{4} << 3 |   // L2 unified
                                   uint64_t{3} << 0;    // L1 separate
constexpr uint64_t ccsidr(unsigned sets, unsigned ways) {
  return uint64_t{sets - 1} << 13 | uint64_t{ways - 1} << 3 | 2;  // 64-byte lines
}
inline constexpr uint64_t kCcsidrL1 = ccsidr(128, 4);
inline constexpr uint64_t kCcsidrL2 = ccsidr(1024, 8);

// SCTLR_EL1: RES1 where a feature is absent (EIS, EOS, TSCXT, LSMAOE, nTLSMD, ITD, SED).
inline constexpr uint64_t kSctlrRes1 = 0x3050'0980;
inline constexpr uint64_t kSctlrReset = kSctlrRes1 | 0x0080'0000;  // SPAN, as without PAN

inline constexpr uint64_t kSctlrEl2Res1 = 0x30c5'0830;  // without E2H

}  // namespace trapline::soft::id

#endif  // TRAPLINE_VMM_SOFT_ID_REGISTERS_H_
