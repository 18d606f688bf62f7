// PrimeCell UART PL011 (DDI 0183, r1p4's programmer's model with its 16-deep FIFOs).
//
// What differs from silicon, on purpose: a written byte is transmitted at once, whether or not the
// UART is enabled (early consoles write before anybody enables it), so the transmit FIFO is empty
// unless the host does not take our output; no byte that the guest wrote is lost, neither by a
// write to a full FIFO (the guest is held, see OutputSink) nor by a reset or a change of FEN; the
// receive timeout interrupt comes at once instead of after 32 bit periods.
#ifndef TRAPLINE_DEVICES_PL011_H_
#define TRAPLINE_DEVICES_PL011_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>

#include "devices/output_sink.h"
#include "mmio/device.h"
#include "mmio/irq_line.h"

namespace trapline {

class Pl011 final : public Device {
 public:
  static constexpr uint64_t kSize = 0x1000;
  static constexpr unsigned kFifoDepth = 16;

  // `irq` may be null.
  Pl011(OutputSink& output, IrqLine* irq);

  // Called, without locks held and on a vCPU's thread, when rx_space() has become nonzero. At
  // assembly.
  void on_rx_space(std::function<void()> callback) { rx_space_callback_ = std::move(callback); }

  // Any thread. What exceeds rx_space() is lost as an overrun, as on a wire.
  void receive(std::span<const uint8_t> bytes);
  // The number of bytes that receive() can take now. 0 while the guest does not listen: before it
  // enables the receiver and has shown that it reads it (see listening()), and in loopback mode.
  size_t rx_space() const;
  // The output takes bytes again: any thread.
  void tx_room();
  // Bytes that were written to a full transmit FIFO.
  uint64_t tx_overruns() const { return tx_overruns_.load(std::memory_order_relaxed); }
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
  bool listening() const;
  void note_poll();
  size_t space_locked() const;
  void push(uint16_t entry);
  uint32_t pop();
  void received();  // after push(): the interrupts that the new level raises
  void update();    // flags and interrupt line
  void set_modem_inputs();
  unsigned tx_trigger() const;  // bytes at which TXRIS rises
  void send(uint8_t byte);
  void drain();
  void clear_registers();

  OutputSink& output_;
  IrqLine* const irq_;
  std::function<void()> rx_space_callback_;

  mutable std::mutex mutex_;
  std::atomic<uint32_t> flags_{0};  // FR, so that polling it takes no lock
  std::atomic<bool> listening_{false};
  std::atomic<unsigned> polls_{0};  // reads of FR in a row that found nothing received
  std::atomic<uint64_t> tx_overruns_{0};

  uint8_t tx_fifo_[kFifoDepth] = {};  // what the output did not take yet
  unsigned tx_count_ = 0;

  uint16_t fifo_[kFifoDepth] = {};  // DR's layout: data and error bits
  unsigned fifo_head_ = 0;
  unsigned fifo_count_ = 0;
  bool overrun_ = false;  // marks the next byte received
  bool touched_ = false;  // used before any write to CR: see receiver_on()
  bool polling_ = false;  // the guest reads without interrupts: see listening()
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
