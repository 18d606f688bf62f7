// An HBA on a bus in small, and its driver.
#ifndef TRAPLINE_TESTS_DEVICES_AHCI_HARNESS_H_
#define TRAPLINE_TESTS_DEVICES_AHCI_HARNESS_H_

#include <array>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "devices/ahci/ahci.h"
#include "tests/devices/pci/harness.h"
#include "tests/devices/virtio/harness.h"

namespace trapline::ahci::test {

using virtio::test::kRamBase;

inline constexpr uint64_t kList = kRamBase + 0x1000, kReceived = kRamBase + 0x1400,
                          kTables = kRamBase + 0x2000, kData = kRamBase + 0x10000;
inline constexpr uint64_t kDelay = 100;

struct Piece {
  uint64_t address;
  uint32_t bytes;
};

// A register frame of the host's.
struct Frame {
  uint8_t command = 0;
  uint64_t lba = 0;
  uint16_t count = 0, features = 0;
  uint8_t device = 0x40;
  uint8_t control = 0;
  bool is_command = true;
};

class AhciBench {
 public:
  explicit AhciBench(std::vector<scsi::Drive> drives, bool threaded = false, uint64_t ram = 1 << 20)
      : dma(ram),
        device({.name = "ahci",
                .dma = &dma,
                .io = threaded ? IoMode::threaded() : IoMode::deterministic(clock, kDelay)},
               std::move(drives)),
        threaded_(threaded) {
    bus.bridge.attach(1, device.endpoint());
    bus.bridge.name_parts([](uint64_t, Device&) { return uint16_t{1}; });
    bus.write(1, pci::kCommand, pci::kMemorySpace | pci::kBusMaster, 2);
  }

  uint32_t read(uint64_t reg) { return static_cast<uint32_t>(device.read(reg, 4, 0).value); }
  void write(uint64_t reg, uint32_t value) { device.write(reg, 4, value, 0); }
  static uint64_t of(unsigned port, uint64_t reg) { return kPortsAt + kPortBytes * port + reg; }
  uint32_t get(uint64_t reg, unsigned port = 0) { return read(of(port, reg)); }
  void set(uint64_t reg, uint32_t value, unsigned port = 0) { write(of(port, reg), value); }

  // As a driver starts a port.
  void start(unsigned port = 0) {
    write(kGhc, kAhciEnable | kInterruptEnable);
    set(kPxClb, static_cast<uint32_t>(kList), port);
    set(kPxFb, static_cast<uint32_t>(kReceived), port);
    set(kPxCmd, kFisReceive, port);
    set(kPxIe, ~0u, port);
    set(kPxCmd, kFisReceive | kStart, port);
  }
  void restart(unsigned port = 0) {
    set(kPxCmd, kFisReceive, port);
    set(kPxIs, ~0u, port);
    write(kIs, ~0u);
    set(kPxCmd, kFisReceive | kStart, port);
  }
  static uint64_t table(unsigned slot) { return kTables + 0x200 * slot; }
  void put(unsigned slot, const Frame& f, const std::vector<Piece>& pieces,
           const std::array<uint8_t, 16>& packet = {}) {
    CommandTable t = {};
    uint8_t* c = t.frame;
    c[0] = kFisH2d;
    c[1] = f.is_command ? 0x80 : 0;
    c[2] = f.command;
    c[3] = static_cast<uint8_t>(f.features);
    c[11] = static_cast<uint8_t>(f.features >> 8);
    for (unsigned i = 0; i < 3; ++i) {
      c[4 + i] = static_cast<uint8_t>(f.lba >> 8 * i);
      c[8 + i] = static_cast<uint8_t>(f.lba >> (24 + 8 * i));
    }
    c[7] = f.device;
    c[12] = static_cast<uint8_t>(f.count);
    c[13] = static_cast<uint8_t>(f.count >> 8);
    c[15] = f.control;
    std::copy(packet.begin(), packet.end(), t.packet);
    dma.put(table(slot), t);
    for (size_t i = 0; i < pieces.size(); ++i) {
      dma.put(table(slot) + sizeof t + sizeof(Prd) * i,
              Prd{pieces[i].address, 0, pieces[i].bytes - 1});
    }
    dma.put(kList + sizeof(CommandHeader) * slot,
            CommandHeader{5, static_cast<uint16_t>(pieces.size()), 0, table(slot), {}});
  }
  // Until CI, SACT or the error say that these slots have ended.
  void settle(uint32_t slots, unsigned port = 0) {
    const auto ended = [&] {
      return ((get(kPxCi, port) | get(kPxSact, port)) & slots) == 0 ||
             (get(kPxIs, port) & (kTfes | kHbfs | kIfs | kOfs)) != 0;
    };
    if (threaded_) {
      virtio::test::came_true(ended);
      return;
    }
    for (unsigned n = 0; n < 10'000; ++n) {
      clock.advance(kDelay);
      if (ended()) return;
    }
  }
  // One command in slot 0; returns PxTFD.
  uint32_t run(const Frame& frame, const std::vector<Piece>& pieces = {}, unsigned port = 0,
               const std::array<uint8_t, 16>& packet = {}) {
    put(0, frame, pieces, packet);
    set(kPxCi, 1, port);
    settle(1, port);
    return get(kPxTfd, port);
  }
  uint32_t moved(unsigned slot = 0) {
    return dma.get<CommandHeader>(kList + sizeof(CommandHeader) * slot).moved;
  }

  virtio::test::TestDma dma;
  virtio::test::TestClock clock;
  pci::test::BridgeBench bus;
  Ahci device;

 private:
  const bool threaded_;
};

inline std::vector<scsi::Drive> one(std::unique_ptr<virtio::Image> image,
                                    scsi::Type type = scsi::Type::kDisk, unsigned port = 0) {
  std::vector<scsi::Drive> drives;
  drives.push_back({port, std::move(image), type});
  return drives;
}

}  // namespace trapline::ahci::test

#endif  // TRAPLINE_TESTS_DEVICES_AHCI_HARNESS_H_
