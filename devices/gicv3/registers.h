// Register offsets of the distributor and the redistributors (IHI 0069, chapter 12).
#ifndef TRAPLINE_DEVICES_GICV3_REGISTERS_H_
#define TRAPLINE_DEVICES_GICV3_REGISTERS_H_

#include <cstdint>

#include "mmio/sysreg.h"

namespace trapline::gicv3 {

// Distributor (12.8, 12.9). Arrays give the offset of element 0.
enum GicdOffset : uint32_t {
  kGicdCtlr = 0x0000,
  kGicdTyper = 0x0004,
  kGicdIidr = 0x0008,
  kGicdTyper2 = 0x000c,
  kGicdStatusr = 0x0010,
  kGicdSetspiNsr = 0x0040,
  kGicdClrspiNsr = 0x0048,
  kGicdSetspiSr = 0x0050,
  kGicdClrspiSr = 0x0058,
  kGicdIgroupr = 0x0080,
  kGicdIsenabler = 0x0100,
  kGicdIcenabler = 0x0180,
  kGicdIspendr = 0x0200,
  kGicdIcpendr = 0x0280,
  kGicdIsactiver = 0x0300,
  kGicdIcactiver = 0x0380,
  kGicdIpriorityr = 0x0400,
  kGicdItargetsr = 0x0800,
  kGicdIcfgr = 0x0c00,
  kGicdIgrpmodr = 0x0d00,
  kGicdNsacr = 0x0e00,
  kGicdSgir = 0x0f00,
  kGicdCpendsgir = 0x0f10,
  kGicdSpendsgir = 0x0f20,
  kGicdIrouter = 0x6000,  // 64-bit; INTIDs 32 to 1019
  kGicdIrouterEnd = 0x7fe0,
  kGicdIdRegisters = 0xffd0,  // PIDR4 ... CIDR3
};

// GICD_CTLR with DS == 1.
enum GicdCtlr : uint32_t {
  kCtlrEnableGrp0 = 1u << 0,
  kCtlrEnableGrp1 = 1u << 1,
  kCtlrAre = 1u << 4,  // RAO/WI
  kCtlrDs = 1u << 6,   // RAO/WI
  kCtlrE1nwf = 1u << 7,
};

// GICD_STATUSR, GICR_STATUSR: write 1 to clear.
enum Statusr : uint32_t {
  kStatusRrd = 1,   // read of a reserved location
  kStatusWrd = 2,   // write to one
  kStatusRwod = 4,  // read of a write-only location
  kStatusWrod = 8,  // write to a read-only one
  kStatusMask = 15,
};

// Redistributor, RD_base (12.10) and, from 0x10000, SGI_base (12.11).
enum GicrOffset : uint32_t {
  kGicrCtlr = 0x0000,
  kGicrIidr = 0x0004,
  kGicrTyper = 0x0008,  // 64-bit
  kGicrStatusr = 0x0010,
  kGicrWaker = 0x0014,
  kGicrMpamidr = 0x0018,
  kGicrPartidr = 0x001c,
  kGicrSetlpir = 0x0040,  // with no LPIs, this and the next six are RES0; but for PROPBASER and
                          // PENDBASER they are so with them too (GICR_TYPER.DirectLPI == 0)
  kGicrClrlpir = 0x0048,
  kGicrPropbaser = 0x0070,
  kGicrPendbaser = 0x0078,
  kGicrInvlpir = 0x00a0,
  kGicrInvallr = 0x00b0,
  kGicrSyncr = 0x00c0,
  kGicrIdRegisters = 0xffd0,
  kGicrSgiBase = 0x10000,
  kGicrIgroupr0 = 0x10080,
  kGicrIsenabler0 = 0x10100,
  kGicrIcenabler0 = 0x10180,
  kGicrIspendr0 = 0x10200,
  kGicrIcpendr0 = 0x10280,
  kGicrIsactiver0 = 0x10300,
  kGicrIcactiver0 = 0x10380,
  kGicrIpriorityr = 0x10400,
  kGicrIcfgr0 = 0x10c00,
  kGicrIcfgr1 = 0x10c04,
  kGicrIgrpmodr0 = 0x10d00,
  kGicrNsacr = 0x10e00,
};

enum GicrCtlr : uint32_t {
  kGicrCtlrEnableLpis = 1u << 0,
  kGicrCtlrCes = 1u << 1,      // read-only: EnableLPIs can be cleared
  kGicrCtlrDpg0 = 1u << 24,    // not for 1-of-N group 0
  kGicrCtlrDpg1ns = 1u << 25,  // nor group 1
};

// ITS (12.18, 12.19): the control frame, and from 0x10000 the translation frame. But for CTLR, IIDR
// and TRANSLATER 64-bit.
enum GitsOffset : uint32_t {
  kGitsCtlr = 0x0000,
  kGitsIidr = 0x0004,
  kGitsTyper = 0x0008,
  kGitsCbaser = 0x0080,
  kGitsCwriter = 0x0088,
  kGitsCreadr = 0x0090,
  kGitsBaser = 0x0100,  // 8 of them
  kGitsBaserEnd = 0x0140,
  kGitsIdRegisters = 0xffd0,
  kGitsTranslater = 0x10040,
};

enum GitsCtlr : uint32_t {
  kGitsCtlrEnabled = 1u << 0,
  kGitsCtlrQuiescent = 1u << 31,  // read-only
};

enum GicrWaker : uint32_t {
  kWakerProcessorSleep = 2,
  kWakerChildrenAsleep = 4,
};

// GICD_IIDR, GICR_IIDR: Arm's JEP106 code, as the PIDRs say; a product of our own, revision 0.
inline constexpr uint32_t kIidr = 0x5400'043b;

// CoreSight identification, from offset 0xffd0: PIDR4-7, PIDR0-3, CIDR0-3. ArchRev, PIDR2[7:4], is
// 3 for GICv3. `part` is PIDR0.
constexpr uint32_t id_register(uint64_t offset, uint8_t part) {
  constexpr uint8_t kIds[12] = {0x44, 0, 0, 0, 0, 0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1};
  const unsigned n = static_cast<unsigned>((offset - kGicdIdRegisters) / 4);
  return n == 4 ? part : kIds[n];
}

// CPU interface (12.2).
inline constexpr SysregId kIccPmr = sysreg_id(3, 0, 4, 6, 0);
inline constexpr SysregId kIccIar0 = sysreg_id(3, 0, 12, 8, 0);
inline constexpr SysregId kIccEoir0 = sysreg_id(3, 0, 12, 8, 1);
inline constexpr SysregId kIccHppir0 = sysreg_id(3, 0, 12, 8, 2);
inline constexpr SysregId kIccBpr0 = sysreg_id(3, 0, 12, 8, 3);
inline constexpr SysregId kIccAp0r0 = sysreg_id(3, 0, 12, 8, 4);
inline constexpr SysregId kIccAp1r0 = sysreg_id(3, 0, 12, 9, 0);
inline constexpr SysregId kIccDir = sysreg_id(3, 0, 12, 11, 1);
inline constexpr SysregId kIccRpr = sysreg_id(3, 0, 12, 11, 3);
inline constexpr SysregId kIccSgi1r = sysreg_id(3, 0, 12, 11, 5);
inline constexpr SysregId kIccAsgi1r = sysreg_id(3, 0, 12, 11, 6);
inline constexpr SysregId kIccSgi0r = sysreg_id(3, 0, 12, 11, 7);
inline constexpr SysregId kIccIar1 = sysreg_id(3, 0, 12, 12, 0);
inline constexpr SysregId kIccEoir1 = sysreg_id(3, 0, 12, 12, 1);
inline constexpr SysregId kIccHppir1 = sysreg_id(3, 0, 12, 12, 2);
inline constexpr SysregId kIccBpr1 = sysreg_id(3, 0, 12, 12, 3);
inline constexpr SysregId kIccCtlr = sysreg_id(3, 0, 12, 12, 4);
inline constexpr SysregId kIccSre = sysreg_id(3, 0, 12, 12, 5);
inline constexpr SysregId kIccIgrpen0 = sysreg_id(3, 0, 12, 12, 6);
inline constexpr SysregId kIccIgrpen1 = sysreg_id(3, 0, 12, 12, 7);

// The hypervisor's (12.4). LR0 to LR15 are consecutive.
inline constexpr SysregId kIchAp0r0 = sysreg_id(3, 4, 12, 8, 0);
inline constexpr SysregId kIchAp1r0 = sysreg_id(3, 4, 12, 9, 0);
inline constexpr SysregId kIchHcr = sysreg_id(3, 4, 12, 11, 0);
inline constexpr SysregId kIchVtr = sysreg_id(3, 4, 12, 11, 1);
inline constexpr SysregId kIchMisr = sysreg_id(3, 4, 12, 11, 2);
inline constexpr SysregId kIchEisr = sysreg_id(3, 4, 12, 11, 3);
inline constexpr SysregId kIchElrsr = sysreg_id(3, 4, 12, 11, 5);
inline constexpr SysregId kIchVmcr = sysreg_id(3, 4, 12, 11, 7);
inline constexpr SysregId kIchLr0 = sysreg_id(3, 4, 12, 12, 0);
// ICH_* or ICV_*: of a virtual CPU interface.
constexpr bool is_virtual(SysregId id) { return is_icv(id) || (id >> 11 & 7) == 4; }

// GICv3's convention for the maintenance interrupt: PPI 9.
inline constexpr unsigned kMaintenanceIntid = 25;

}  // namespace trapline::gicv3

#endif  // TRAPLINE_DEVICES_GICV3_REGISTERS_H_
