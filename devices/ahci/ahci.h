// An AHCI host bus adapter (Serial ATA AHCI 1.3.1) on PCI, as QEMU's ich9-ahci: a port for each
// disk or CD-ROM, up to six; NCQ; MSI, or the line.
#ifndef TRAPLINE_DEVICES_AHCI_AHCI_H_
#define TRAPLINE_DEVICES_AHCI_AHCI_H_

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "devices/ahci/port.h"
#include "devices/ahci/registers.h"
#include "devices/pci/endpoint.h"
#include "devices/virtio/dma.h"
#include "devices/virtio/io_mode.h"
#include "mmio/device.h"

namespace trapline::ahci {

// The device is what BAR 5 holds: accesses of 32 bits, and of 64 as two of them; reads also of
// less.
class Ahci final : public Device, public pci::Endpoint::Client, private Hba {
 public:
  struct Options {
    std::string name;  // "ahci"; the disks' serial numbers begin with it
    Dma* dma = nullptr;
    IoMode io;
  };

  // std::system_error if the host has no thread or descriptor for a disk.
  // `drives`: numbers below kPorts.
  Ahci(const Options& options, std::vector<scsi::Drive> drives);
  ~Ahci() override;

  pci::Endpoint& endpoint() { return *endpoint_; }

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;
  void quiesce() override;
  void resume() override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return options_.name; }
  std::string_view register_name(uint64_t offset) const override {
    return ahci::register_name(offset);
  }
  void counters(CounterVisitor visit, void* context) const override {
    visit(context, "errors", report_.count());
    std::vector<const virtio::Disk*> disks;
    for (const auto& port : ports_) {
      if (port != nullptr) disks.push_back(&port->disk());
    }
    virtio::Disk::sum_counters(disks, visit, context);
  }
  // Violations by the guest, and host errors, so far.
  uint64_t errors() const { return report_.count(); }

 private:
  // pci::Endpoint::Client
  void bus_master(bool on) override;

  // Hba
  Dma& dma() override { return *options_.dma; }
  Report& report() override { return report_; }
  bool allowed() const override { return bus_master_ && !still_; }
  bool defers(unsigned port) override;
  void port_interrupt(unsigned port, bool pending) override;

  uint32_t read_register(uint64_t offset);
  void write_register(uint64_t offset, uint32_t value);
  Port* port_at(uint64_t offset) const;
  void reset_hba();
  void run_ports();
  void drain_ports();
  void schedule(uint64_t deadline);
  void run_scheduled();
  void cancel();
  void signal(uint32_t before);

  const Options options_;
  Report report_;
  std::unique_ptr<pci::Endpoint> endpoint_;

  // Held while a port is stopped, which waits for the host; never taken by a disk's thread.
  // Outermost but for the bridge's; inside it a port's, and inside that irq_mutex_.
  std::mutex control_mutex_;
  std::atomic<bool> bus_master_{false}, still_{false};

  std::mutex irq_mutex_;  // the next and the line together
  uint32_t ghc_ = kAhciEnable;
  uint32_t is_ = 0;       // a bit a port
  uint32_t pending_ = 0;  // those whose PxIS has something to tell

  // deterministic mode
  uint32_t deferred_ = 0;  // ports to run at `deadline_`
  bool scheduled_ = false;
  uint64_t deadline_ = 0;
  Clock::Handle timer_ = 0;

  std::array<std::unique_ptr<Port>, kPorts> ports_;
};

}  // namespace trapline::ahci

#endif  // TRAPLINE_DEVICES_AHCI_AHCI_H_
