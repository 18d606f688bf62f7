// What hangs on the 82540EM by few wires: its EEPROM (93C46, Microwire) and its PHY (M88E1011, by
// MDIO).
#ifndef TRAPLINE_DEVICES_NIC_E1000_EEPROM_H_
#define TRAPLINE_DEVICES_NIC_E1000_EEPROM_H_

#include <array>
#include <cstdint>

#include "devices/virtio/net_options.h"

namespace trapline::e1000 {

// 64 words, which cannot be written. `in` and `clock` are what the driver drives.
class Eeprom {
 public:
  explicit Eeprom(const virtio::MacAddress& mac);

  uint16_t word(unsigned index) const { return words_[index % words_.size()]; }
  void drive(bool select, bool clock, bool in);
  bool out() const { return out_ != 0; }

  // Of the wires, as it is saved.
  struct State {
    uint8_t select, clock, out, reading;
    uint16_t bits;    // of the command so far, or of the word that goes out
    uint8_t count;    // how many
    uint8_t address;  // of that word
  };
  State state() const { return {select_, clock_, out_, reading_, bits_, count_, address_}; }
  void set_state(const State& s);

 private:
  std::array<uint16_t, 64> words_{};
  uint8_t select_ = 0, clock_ = 0, out_ = 1, reading_ = 0;
  uint16_t bits_ = 0;
  uint8_t count_ = 0, address_ = 0;
};

// Link is up, at 1000 Mb/s, whatever is negotiated.
class Phy {
 public:
  static constexpr unsigned kAddress = 1, kRegisters = 32;

  Phy() { reset(); }
  void reset();
  uint16_t read(unsigned reg) const { return registers_[reg % kRegisters]; }
  // True: the link goes down and up.
  bool write(unsigned reg, uint16_t value);
  const std::array<uint16_t, kRegisters>& registers() const { return registers_; }
  void set_registers(const std::array<uint16_t, kRegisters>& r) { registers_ = r; }

 private:
  std::array<uint16_t, kRegisters> registers_{};
};

}  // namespace trapline::e1000

#endif  // TRAPLINE_DEVICES_NIC_E1000_EEPROM_H_
