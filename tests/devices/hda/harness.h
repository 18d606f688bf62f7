// A controller on a bus, its memory and clock, and who hears it.
#ifndef TRAPLINE_TESTS_DEVICES_HDA_HARNESS_H_
#define TRAPLINE_TESTS_DEVICES_HDA_HARNESS_H_

#include <vector>

#include "devices/hda/controller.h"
#include "tests/devices/pci/harness.h"
#include "tests/devices/virtio/harness.h"

namespace trapline::hda::test {

using virtio::test::kRamBase;

class Ear final : public AudioSink {
 public:
  void put(const uint8_t* frames, size_t bytes) override {
    total += bytes;
    if (heard.size() < 1 << 20) heard.insert(heard.end(), frames, frames + bytes);
  }
  std::vector<uint8_t> heard;
  uint64_t total = 0;
};

struct HdaBench {
  explicit HdaBench(uint64_t ram = 1 << 20) : dma(ram), hda("hda0", &dma, clock, ear) {
    bus.bridge.attach(1, hda.endpoint());
    bus.bridge.name_parts([](uint64_t, Device&) { return uint16_t{1}; });
    bus.write(1, pci::kCommand, pci::kMemorySpace | pci::kBusMaster, 2);
  }
  uint32_t read(uint64_t offset, unsigned size = 4) {
    return static_cast<uint32_t>(hda.read(offset, size, 0).value);
  }
  void write(uint64_t offset, uint32_t value, unsigned size = 4) {
    hda.write(offset, size, value, 0);
  }
  virtio::test::TestDma dma;
  virtio::test::TestClock clock;
  Ear ear;
  pci::test::BridgeBench bus;
  Controller hda;
};

}  // namespace trapline::hda::test

#endif  // TRAPLINE_TESTS_DEVICES_HDA_HARNESS_H_
