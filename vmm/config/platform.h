// The guest-physical memory map and interrupt numbers: those of QEMU's `virt` machine, so that
// firmware and kernels made for it run unchanged.
#ifndef TRAPLINE_VMM_CONFIG_PLATFORM_H_
#define TRAPLINE_VMM_CONFIG_PLATFORM_H_

#include <cstdint>

namespace trapline::platform {

struct Window {
  uint64_t base, size;
};

inline constexpr Window kFlash[2] = {{0x0000'0000, 0x0400'0000}, {0x0400'0000, 0x0400'0000}};
inline constexpr Window kGicd = {0x0800'0000, 0x1'0000};
inline constexpr Window kGicr = {0x080a'0000, 0x2'0000};  // size: of one CPU's two frames
inline constexpr Window kUart = {0x0900'0000, 0x1000};
inline constexpr Window kRtc = {0x0901'0000, 0x1000};
inline constexpr Window kFwCfg = {0x0902'0000, 0x18};
inline constexpr Window kVirtio = {0x0a00'0000, 0x200};  // one slot
inline constexpr unsigned kVirtioSlots = 32;
// Slot 0 is the lowest; QEMU, and small kernels with it, fill them from the highest down.
constexpr Window virtio_slot(unsigned n) { return {kVirtio.base + n * kVirtio.size, kVirtio.size}; }
inline constexpr Window kTimerCtl = {0x0a10'0000, 0x1000};
inline constexpr Window kTimerFrame0 = {0x0a11'0000, 0x1000};
inline constexpr Window kVmGenId = {0x0a12'0000, 0x1000};
// PCIe, if there is anything on it.
inline constexpr Window kIts = {0x0808'0000, 0x2'0000};
inline constexpr Window kPcieMemory32 = {0x1000'0000, 0x2eff'0000};
inline constexpr Window kPcieIo = {0x3eff'0000, 0x1'0000};
inline constexpr Window kPcieEcam = {0x40'1000'0000, 0x1000'0000};
inline constexpr Window kPcieMemory64 = {0x80'0000'0000, 0x80'0000'0000};
// With --highmem off there is nothing above 4 GiB: no 64-bit window, and another place for the
// first.
inline constexpr Window kPcieEcamLow = {0x3f00'0000, 0x100'0000};
constexpr Window pcie_ecam(bool highmem) { return highmem ? kPcieEcam : kPcieEcamLow; }
inline constexpr unsigned kPcieDevices = 32;  // 0 is the bridge's own
inline constexpr unsigned kPcieLines = 4;
inline constexpr uint64_t kRamBase = 0x4000'0000;
inline constexpr uint64_t kRawOffset = 0x8'0000;  // --raw images, from the start of RAM

// SPI numbers (INTID - 32).
inline constexpr unsigned kUartSpi = 1;
inline constexpr unsigned kRtcSpi = 2;
inline constexpr unsigned kPcieSpi = 3;     // INTA; the next three are INTB to INTD
inline constexpr unsigned kVirtioSpi = 16;  // of slot 0
inline constexpr unsigned kTimerFrameSpi = 64;
inline constexpr unsigned kVmGenIdSpi = 65;
inline constexpr unsigned kSpis = 256;
// PPI numbers (INTID - 16).
inline constexpr unsigned kTimerSecurePpi = 13, kTimerNonSecurePpi = 14, kTimerVirtualPpi = 11,
                          kTimerHypPpi = 10, kTimerHypVirtualPpi = 12;
inline constexpr unsigned kGicMaintenancePpi = 9, kPmuPpi = 7;

inline constexpr unsigned kMaxCpus = 8;

}  // namespace trapline::platform

#endif  // TRAPLINE_VMM_CONFIG_PLATFORM_H_
