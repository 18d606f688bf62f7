// Registers and structures of AHCI (Serial ATA AHCI 1.3.1, 3 and 4) and frames (Serial ATA 3.1,
// 10).
#ifndef TRAPLINE_DEVICES_AHCI_REGISTERS_H_
#define TRAPLINE_DEVICES_AHCI_REGISTERS_H_

#include <cstdint>
#include <string_view>

namespace trapline::ahci {

inline constexpr uint64_t kBarBytes = 0x1000;
inline constexpr unsigned kPorts = 6;
inline constexpr unsigned kSlots = 32;

// 3.1
enum HbaRegister : uint64_t {
  kCap = 0x00,
  kGhc = 0x04,
  kIs = 0x08,
  kPi = 0x0c,
  kVs = 0x10,
  kPortsAt = 0x100,
};
inline constexpr uint64_t kPortBytes = 0x80;

// S64A, SNCQ, SCLO, 6 Gbit/s, SAM, 32 slots, 6 ports.
inline constexpr uint32_t kCapValue =
    1u << 31 | 1u << 30 | 1u << 24 | 3u << 20 | 1u << 18 | (kSlots - 1) << 8 | (kPorts - 1);
inline constexpr uint32_t kVsValue = 0x00010301;
enum Ghc : uint32_t { kHbaReset = 1, kInterruptEnable = 2, kAhciEnable = 1u << 31 };

// 3.3
enum PortRegister : uint64_t {
  kPxClb = 0x00,
  kPxClbu = 0x04,
  kPxFb = 0x08,
  kPxFbu = 0x0c,
  kPxIs = 0x10,
  kPxIe = 0x14,
  kPxCmd = 0x18,
  kPxTfd = 0x20,
  kPxSig = 0x24,
  kPxSsts = 0x28,
  kPxSctl = 0x2c,
  kPxSerr = 0x30,
  kPxSact = 0x34,
  kPxCi = 0x38,
};

enum PortInterrupt : uint32_t {
  kDhrs = 1u << 0,   // D2H register frame
  kPss = 1u << 1,    // PIO setup frame
  kSdbs = 1u << 3,   // set device bits frame
  kDps = 1u << 5,    // a PRD asked for it
  kOfs = 1u << 24,   // the PRDs have too little room
  kIfs = 1u << 27,   // interface fatal
  kHbfs = 1u << 29,  // host bus fatal
  kTfes = 1u << 30,  // task file error
};
inline constexpr uint32_t kIsKnown = 0xfdc000ff;

enum PortCommand : uint32_t {
  kStart = 1u << 0,
  kSpinUp = 1u << 1,
  kPowerOn = 1u << 2,
  kOverride = 1u << 3,  // CLO
  kFisReceive = 1u << 4,
  kFisRunning = 1u << 14,
  kListRunning = 1u << 15,
  kAtapi = 1u << 24,
  kDriveLed = 1u << 25,
};

inline constexpr uint32_t kLinkUp = 0x133;  // SStatus: active, generation 3, device present

// 4.2.2: a command header; 4.2.3: a command table, up to its PRDs.
struct CommandHeader {
  uint16_t flags;  // CFL 4:0, ATAPI 5, write 6
  uint16_t prds;
  uint32_t moved;  // PRDBC
  uint64_t table;
  uint32_t reserved[4];
};
static_assert(sizeof(CommandHeader) == 32);
inline constexpr uint16_t kHeaderAtapi = 1 << 5;

struct CommandTable {
  uint8_t frame[64];  // CFIS
  uint8_t packet[16];
  uint8_t reserved[48];
};
static_assert(sizeof(CommandTable) == 0x80);

struct Prd {
  uint64_t address;
  uint32_t reserved;
  uint32_t count;  // bytes less one, 21:0; an interrupt, 31
};
static_assert(sizeof(Prd) == 16);

// 4.2.1: where received frames go.
inline constexpr uint64_t kReceiveBytes = 256, kPioSetupAt = 0x20, kD2hAt = 0x40, kSetBitsAt = 0x58;

enum FisType : uint8_t {
  kFisH2d = 0x27,
  kFisD2h = 0x34,
  kFisPioSetup = 0x5f,
  kFisSetBits = 0xa1,
};

// The manual's name of the register at `offset` in the BAR; empty for none.
std::string_view register_name(uint64_t offset);

}  // namespace trapline::ahci

#endif  // TRAPLINE_DEVICES_AHCI_REGISTERS_H_
