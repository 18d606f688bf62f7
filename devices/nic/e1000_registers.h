// The 82540EM's registers (Intel, PCI/PCI-X Family of Gigabit Ethernet Controllers Software
// Developer's Manual, 317453, chapter 13).
#ifndef TRAPLINE_DEVICES_NIC_E1000_REGISTERS_H_
#define TRAPLINE_DEVICES_NIC_E1000_REGISTERS_H_

#include <cstdint>

namespace trapline::e1000 {

enum Register : uint32_t {
  kCtrl = 0x0000,
  kStatus = 0x0008,
  kEecd = 0x0010,
  kEerd = 0x0014,
  kCtrlExt = 0x0018,
  kMdic = 0x0020,
  kFcal = 0x0028,
  kFcah = 0x002c,
  kFct = 0x0030,
  kVet = 0x0038,
  kIcr = 0x00c0,
  kItr = 0x00c4,
  kIcs = 0x00c8,
  kIms = 0x00d0,
  kImc = 0x00d8,
  kRctl = 0x0100,
  kFcttv = 0x0170,
  kTxcw = 0x0178,
  kRxcw = 0x0180,
  kTctl = 0x0400,
  kTipg = 0x0410,
  kAit = 0x0458,
  kLedctl = 0x0e00,
  kPba = 0x1000,
  kFcrtl = 0x2160,
  kFcrth = 0x2168,
  kRdbal = 0x2800,
  kRdbah = 0x2804,
  kRdlen = 0x2808,
  kRdh = 0x2810,
  kRdt = 0x2818,
  kRdtr = 0x2820,
  kRxdctl = 0x2828,
  kRadv = 0x282c,
  kRsrpd = 0x2c00,
  kTdbal = 0x3800,
  kTdbah = 0x3804,
  kTdlen = 0x3808,
  kTdh = 0x3810,
  kTdt = 0x3818,
  kTidv = 0x3820,
  kTxdctl = 0x3828,
  kTadv = 0x382c,
  kTspmt = 0x3830,
  kStatistics = 0x4000,  // to 0x4100: cleared as they are read
  kMpc = 0x4010,         // frames without room
  kGprc = 0x4074,
  kBprc = 0x4078,
  kMprc = 0x407c,
  kGptc = 0x4080,
  kGorcl = 0x4088,
  kGotcl = 0x4090,
  kRoc = 0x40ac,  // longer than allowed
  kTorl = 0x40c0,
  kTotl = 0x40c8,
  kTpr = 0x40d0,
  kTpt = 0x40d4,
  kTsctc = 0x40f8,  // segmentation contexts
  kStatisticsEnd = 0x4100,
  kRxcsum = 0x5000,
  kMta = 0x5200,   // 128 words
  kRa = 0x5400,    // 16 pairs
  kVfta = 0x5600,  // 128 words
  kWuc = 0x5800,
  kWufc = 0x5808,
  kWus = 0x5810,
  kManc = 0x5820,
};
inline constexpr uint32_t kRegisterBytes = 0x6000;  // of those that there are
inline constexpr uint32_t kBarBytes = 0x20000, kIoBytes = 0x40;
inline constexpr uint32_t kIoAddress = 0, kIoData = 4;  // I/O space: a register's offset, itself

// CTRL, STATUS.
inline constexpr uint32_t kCtrlReset = 1u << 26, kCtrlVme = 1u << 30, kCtrlPhyReset = 1u << 31;
inline constexpr uint32_t kStatusUp = 0x00000283;  // full duplex, link, 1000 Mb/s
// EECD.
inline constexpr uint32_t kEecdClock = 1, kEecdSelect = 2, kEecdIn = 4, kEecdOut = 8,
                          kEecdRequest = 1 << 6, kEecdGrant = 1 << 7, kEecdPresent = 1 << 8;
inline constexpr uint32_t kEecdWritable = 0x77;
// EERD: START, DONE, the word's address, its data.
inline constexpr uint32_t kEerdStart = 1, kEerdDone = 1 << 4;
// MDIC.
inline constexpr uint32_t kMdicWrite = 1u << 26, kMdicRead = 2u << 26, kMdicReady = 1u << 28,
                          kMdicInterrupt = 1u << 29, kMdicError = 1u << 30;
// Interrupt causes.
inline constexpr uint32_t kTxdw = 1 << 0, kTxqe = 1 << 1, kLsc = 1 << 2, kRxdmt0 = 1 << 4,
                          kRxo = 1 << 6, kRxt0 = 1 << 7, kMdac = 1 << 9;
inline constexpr uint32_t kCauses = 0x0001ffff;
// RCTL.
inline constexpr uint32_t kRctlEnable = 1 << 1, kRctlUnicast = 1 << 3, kRctlMulticast = 1 << 4,
                          kRctlLong = 1 << 5, kRctlLoopback = 3 << 6, kRctlBroadcast = 1 << 15,
                          kRctlVlanFilter = 1 << 18, kRctlBsex = 1 << 25, kRctlStripCrc = 1 << 26;
inline constexpr uint32_t kTctlEnable = 1 << 1;
inline constexpr uint32_t kRahValid = 1u << 31;

// Descriptors: 16 bytes, 3.2.3 and 3.3.3.
inline constexpr unsigned kDescriptorBytes = 16;
inline constexpr unsigned kRingUnit = 128;  // RDLEN, TDLEN

}  // namespace trapline::e1000

#endif  // TRAPLINE_DEVICES_NIC_E1000_REGISTERS_H_
