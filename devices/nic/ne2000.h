// An NE2000 on PCI: Realtek's RTL8029, a DP8390 (National Semiconductor, "DP8390D/NS32490D NIC")
// with 16 KiB of memory for frames, reached byte by byte through a port.
#ifndef TRAPLINE_DEVICES_NIC_NE2000_H_
#define TRAPLINE_DEVICES_NIC_NE2000_H_

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "devices/nic/nic_thread.h"
#include "devices/pci/endpoint.h"
#include "devices/virtio/net_backend.h"
#include "mmio/device.h"

namespace trapline {

// BAR 0, in I/O space.
class Ne2000 final : public Device, public pci::Endpoint::Client, private NicThread::Card {
 public:
  static constexpr uint64_t kIoBytes = 0x20;

  struct Options {
    std::string name;  // "ne2000-0"
    virtio::MacAddress mac{};
  };

  Ne2000(Options options, std::unique_ptr<virtio::NetBackend> backend);
  ~Ne2000() override;

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
    backend_.counters(visit, context);
  }

 private:
  static constexpr unsigned kRamBase = 0x4000, kRamBytes = 0x4000, kPromBytes = 32;

  // The chip's registers, and whether a frame is to be sent.
  struct State {
    uint8_t command, isr, imr, dcr, tcr, rcr, tsr, rsr;
    uint8_t pstart, pstop, bnry, curr, tpsr, sending;
    uint16_t tbcr, rsar, rbcr;
    uint8_t par[6], mar[8];
  };

  // NicThread::Card
  bool transmit() override;
  bool receive(const uint8_t* frame, size_t size) override;

  // mutex_ is held by who calls these.
  uint8_t* address_byte(unsigned offset);
  uint8_t read_register(unsigned offset);
  void write_register(unsigned offset, uint8_t value);
  void write_command(uint8_t value);
  uint32_t read_port(unsigned size);
  void write_port(unsigned size, uint32_t value);
  void advance(unsigned bytes);
  uint8_t memory(unsigned address) const;
  void set_memory(unsigned address, uint8_t value);
  unsigned free_pages() const;
  bool has_unread() const;
  bool wanted(const uint8_t* frame) const;
  void power_on();
  void update_line();
  void made_room();

  const Options options_;
  const std::unique_ptr<pci::Endpoint> endpoint_;

  mutable std::mutex mutex_;
  State s_{};
  std::array<uint8_t, kRamBytes> ram_{};
  std::array<uint8_t, kPromBytes> prom_{};
  bool wants_room_ = false;  // a frame waits for pages

  virtio::NetBackend& backend_;  // the thread's
  std::unique_ptr<NicThread> thread_;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_NIC_NE2000_H_
