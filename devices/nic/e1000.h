// Intel 82540EM, the "e1000" (Intel 317453): a gigabit Ethernet card on PCI, with one queue each
// way, checksums, TCP segmentation, VLANs and filters in the card. Interrupts by INTA.
#ifndef TRAPLINE_DEVICES_NIC_E1000_H_
#define TRAPLINE_DEVICES_NIC_E1000_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "devices/alarm.h"
#include "devices/nic/e1000_eeprom.h"
#include "devices/nic/e1000_registers.h"
#include "devices/nic/nic_thread.h"
#include "devices/pci/endpoint.h"
#include "devices/virtio/dma.h"
#include "devices/virtio/net_backend.h"
#include "devices/virtio/report.h"
#include "mmio/device.h"

namespace trapline {

// BAR 0.
class E1000 final : public Device, public pci::Endpoint::Client, private NicThread::Card {
 public:
  struct Options {
    std::string name;  // "e1000-0"
    Dma* dma = nullptr;
    Clock* clock = nullptr;
    virtio::MacAddress mac{};
  };

  E1000(Options options, std::unique_ptr<virtio::NetBackend> backend);
  ~E1000() override;

  pci::Endpoint& endpoint() { return *endpoint_; }

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;
  void quiesce() override { thread_->park(); }
  void resume() override { thread_->unpark(); }
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return options_.name; }
  std::string_view register_name(uint64_t offset) const override;
  void counters(CounterVisitor visit, void* context) const override {
    visit(context, "errors", report_.count());
    backend_.counters(visit, context);
  }

 private:
  class IoBar;
  // What a context descriptor says, 3.3.6.
  struct Context {
    uint8_t ip_start = 0, ip_field = 0, tcp_start = 0, tcp_field = 0, header_bytes = 0;
    uint8_t command = 0;  // TUCMD
    uint16_t ip_end = 0, tcp_end = 0, mss = 0;
    uint32_t payload = 0;
  };
  static_assert(sizeof(Context) == 16, "as it is saved");
  struct Descriptor;

  // NicThread::Card
  bool transmit() override;
  bool receive(const uint8_t* frame, size_t size) override;
  // pci::Endpoint::Client
  void bus_master(bool on) override;

  // mutex_ is held by who calls these.
  uint32_t& reg(uint32_t offset) { return registers_[offset / 4]; }
  uint32_t reg(uint32_t offset) const { return registers_[offset / 4]; }
  uint32_t read_register(uint32_t offset);
  void write_register(uint32_t offset, uint32_t value);
  void write_mdic(uint32_t value);
  void power_on();
  void forget();
  void raise(uint32_t causes);
  void update_line();
  void count(uint32_t which, uint64_t amount = 1);
  void count_bytes(uint32_t which, uint64_t bytes);
  uint32_t ring_size(uint32_t length) const {
    return (reg(length) & 0xfff80) / e1000::kDescriptorBytes;
  }
  uint8_t* descriptor(uint32_t base, uint32_t index, uint64_t& ipa);
  // transmit: true: a whole frame is in tx_frame_.
  bool take_descriptor(uint32_t& causes);
  void take_context(const Descriptor& d);
  void gather(uint64_t address, uint32_t bytes);
  void finish_frame(const Descriptor& d);
  void segment(const Context& c);
  // receive
  bool wanted(const uint8_t* frame, size_t size) const;
  bool multicast_wanted(const uint8_t* frame) const;

  const Options options_;
  const std::unique_ptr<IoBar> io_;
  const std::unique_ptr<pci::Endpoint> endpoint_;
  Report report_;

  mutable std::mutex mutex_;
  std::array<uint32_t, e1000::kRegisterBytes / 4> registers_{};
  e1000::Eeprom eeprom_;
  e1000::Phy phy_;
  uint32_t io_address_ = 0;
  bool allowed_ = false;  // bus master
  bool line_ = false;
  uint64_t next_interrupt_ = 0;  // ticks; ITR
  Alarm alarm_;
  bool wants_room_ = false;  // a frame waits for descriptors

  Context contexts_[2];  // the second: of segmentation
  std::vector<uint8_t> tx_frame_;
  bool tx_begun_ = false, tx_broken_ = false;
  uint8_t tx_options_ = 0;  // POPTS of the frame's first data descriptor
  bool tx_extended_ = false, tx_segments_ = false;
  virtio::NetHeader tx_header_;

  virtio::NetBackend& backend_;  // the thread's
  std::unique_ptr<NicThread> thread_;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_NIC_E1000_H_
