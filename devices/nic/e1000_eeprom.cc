#include "devices/nic/e1000_eeprom.h"

namespace trapline::e1000 {
namespace {

// 5.6, "EEPROM map".
enum Word : unsigned {
  kInitControl1 = 0x0a,
  kSubsystem = 0x0b,
  kSubsystemVendor = 0x0c,
  kDevice = 0x0d,
  kVendor = 0x0e,
  kInitControl2 = 0x0f,
  kChecksum = 0x3f,
};
constexpr uint16_t kSum = 0xbaba;       // of all words
constexpr unsigned kCommandBits = 9;    // a start bit, two of operation, six of address
constexpr unsigned kReadOperation = 6;  // with its start bit

// IEEE 802.3 clause 22, and the M88's own.
enum PhyRegister : unsigned { kControl = 0, kStatus = 1, kId1 = 2, kId2 = 3, kPartner = 5 };
constexpr uint16_t kPhyReset = 1 << 15, kRestart = 1 << 9, kActs = kPhyReset | kRestart;
constexpr struct {
  unsigned reg;
  uint16_t value, writable;
} kPhy[] = {
    {kControl, 0x1140, 0x7dc0},  // autonegotiation, full duplex, 1000 Mb/s
    {kStatus, 0x796d, 0},        // link, autonegotiation done
    {kId1, 0x0141, 0},
    {kId2, 0x0c20, 0},
    {4, 0x0de1, 0xffff},  // what we advertise
    {kPartner, 0x45e1, 0},
    {6, 0x0001, 0},
    {9, 0x0e00, 0xffff},  // 1000BASE-T control
    {10, 0x3c00, 0},      // and status
    {15, 0x3000, 0},
    {16, 0x0360, 0xffff},  // M88 PHY-specific control
    {17, 0xac08, 0},       // and status: 1000 Mb/s, full duplex, resolved, link
    {18, 0x0000, 0xffff},
    {20, 0x0d60, 0xffff},  // extended control
    {24, 0x4100, 0xffff},
    {29, 0x0000, 0xffff},
    {30, 0x0000, 0xffff},
};

}  // namespace

Eeprom::Eeprom(const virtio::MacAddress& mac) {
  for (unsigned i = 0; i < 3; ++i) {
    words_[i] = static_cast<uint16_t>(mac[2 * i] | mac[2 * i + 1] << 8);
  }
  words_[kInitControl1] = 0x1408;
  words_[kSubsystem] = 0x1100;
  words_[kSubsystemVendor] = 0x1af4;
  words_[kDevice] = 0x100e;
  words_[kVendor] = 0x8086;
  words_[kInitControl2] = 0xb580;
  uint16_t sum = 0;
  for (const uint16_t word : words_) sum = static_cast<uint16_t>(sum + word);
  words_[kChecksum] = static_cast<uint16_t>(kSum - sum);
}

// A bit goes in, or out, as the clock rises; what begins with the select ends with it.
void Eeprom::drive(bool select, bool clock, bool in) {
  if (!select || select_ == 0) {
    bits_ = 0;
    count_ = 0;
    reading_ = 0;
    out_ = 1;
  }
  const bool rises = select && clock && clock_ == 0;
  select_ = select ? 1 : 0;
  clock_ = clock ? 1 : 0;
  if (!rises) return;
  if (reading_ == 0) {
    // What comes before the start bit counts for nothing.
    if (count_ == 0 && !in) return;
    bits_ = static_cast<uint16_t>(bits_ << 1 | (in ? 1 : 0));
    if (++count_ < kCommandBits) return;
    const unsigned operation = bits_ >> 6;
    address_ = bits_ & 0x3f;
    count_ = bits_ = 0;
    if (operation != kReadOperation) return;
    reading_ = 1;
    bits_ = word(address_);
    out_ = 0;  // before the first bit
    return;
  }
  out_ = static_cast<uint8_t>(bits_ >> (15 - count_) & 1);
  if (++count_ < 16) return;
  count_ = 0;
  address_ = (address_ + 1) & 0x3f;
  bits_ = word(address_);
}

void Eeprom::set_state(const State& s) {
  select_ = s.select;
  clock_ = s.clock;
  out_ = s.out;
  reading_ = s.reading;
  bits_ = s.bits;
  count_ = s.count & 15;
  address_ = s.address & 0x3f;
}

void Phy::reset() {
  registers_ = {};
  for (const auto& row : kPhy) registers_[row.reg] = row.value;
}

bool Phy::write(unsigned reg, uint16_t value) {
  if (reg == kControl && (value & kPhyReset) != 0) {
    reset();
    return true;
  }
  for (const auto& row : kPhy) {
    if (row.reg != reg) continue;
    const uint16_t kept = static_cast<uint16_t>(row.writable & ~(reg == kControl ? kActs : 0));
    registers_[reg] = static_cast<uint16_t>((row.value & ~row.writable) | (value & kept));
  }
  return reg == kControl && (value & kRestart) != 0;
}

}  // namespace trapline::e1000
