// PrimeCell UART PL011 (DDI 0183, r1p4's programmer's model with its 16-deep FIFOs).
//
// What differs from silicon, on purpose: a written byte is transmitted at once, whether or not the
// UART is enabled (early consoles write before anybody enables it), so the transmit FIFO is always
// empty; the receive timeout interrupt comes at once instead of after 32 bit periods.
#ifndef TRAPLINE_DEVICES_PL011_H_
#define TRAPLINE_DEVICES_PL011_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>

#include "mmio/device.h"
#include "mmio/irq_line.h"

namespace trapline {

class Pl011 final : public Device {
 public:
  static constexpr uint64_t kSize = 0x1000;
  static constexpr unsigned kFifoDepth = 16;

  // `transmit` gets each byte on the vCPU's thread, one at a time, with no lock that receive()
  // needs held. `irq` may be null.
  Pl011(std::function<void(uint8_t)> transmit, IrqLine* irq);

  // Called, without locks held and on a vCPU's thread, when rx_space() has become nonzero. At
  // assembly.
  void on_rx_space(std::function<void()> callback) { rx_space_callback_ = std::move(callback); }

  // Any thread. What exceeds rx_space() is lost as an overrun, as on a wire.
  void receive(std::span<const uint8_t> bytes);
  // The number of bytes that receive() can take now. 0 while the receiver is off: before the guest
  // enables it, and in loopback mode.
  size_t rx_space() const;
  // A break condition on the line.
  void receive_break();

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return "pl011"; }
  std::string_view register_name(uint64_t offset) const override;

 private:
  uint32_t read32(uint64_t offset, bool& space);
  void write32(uint64_t offset, uint32_t value, bool& space);
  MmioResult read_word(uint64_t offset);
  void write_word(uint64_t offset, uint32_t value);

  unsigned depth() const;       // of the receive FIFO: 16, or 1 when FIFOs are off
  unsigned rx_trigger() const;  // bytes at which RXRIS rises
  bool receiver_on() const;
  size_t space_locked() const;
  void push(uint16_t entry);
  uint32_t pop();
  void received();  // after push(): the interrupts that the new level raises
  void update();    // flags and interrupt line
  void set_modem_inputs();
  void transmit_byte(uint8_t byte);
  void clear_registers();

  const std::function<void(uint8_t)> transmit_;
  IrqLine* const irq_;
  std::function<void()> rx_space_callback_;

  std::mutex transmit_mutex_;  // the order of bytes; never taken with mutex_ held
  mutable std::mutex mutex_;
  std::atomic<uint32_t> flags_{0};  // FR, so that polling it takes no lock

  uint16_t fifo_[kFifoDepth] = {};  // DR's layout: data and error bits
  unsigned fifo_head_ = 0;
  unsigned fifo_count_ = 0;
  bool overrun_ = false;  // marks the next byte received
  bool touched_ = false;  // DR was used before any write to CR: see receiver_on()
  bool cr_written_ = false;
  bool irq_level_ = false;
  uint32_t rsr_ = 0;
  uint32_t ilpr_ = 0;
  uint32_t ibrd_ = 0;
  uint32_t fbrd_ = 0;
  uint32_t lcr_h_ = 0;
  uint32_t cr_ = 0;
  uint32_t ifls_ = 0;
  uint32_t imsc_ = 0;
  uint32_t ris_ = 0;
  uint32_t dmacr_ = 0;
  uint32_t modem_ = 0;  // FR's CTS, DSR, DCD, RI
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_PL011_H_
