// Fuzzes a bridge with two virtio functions: configuration space at any width, BARs that move and
// overlap, their registers, messages, snapshots.
#include <memory>
#include <vector>

#include "devices/virtio/rng.h"
#include "devices/virtio/transport_pci.h"
#include "tests/devices/pci/harness.h"
#include "tests/devices/virtio/echo_function.h"
#include "tests/devices/virtio/fuzz/input.h"
#include "tests/devices/virtio/harness.h"

namespace trapline::pci::test {
namespace {

using fuzz::Input;
using virtio::PciTransport;
using virtio::test::kRamBase;

constexpr uint64_t kRam = 64 * 1024;

struct Machine {
  Machine() : dma(kRam) {
    dma.record = false;
    const auto io = IoMode::deterministic(clock, 100);
    functions.push_back(
        std::make_unique<PciTransport>(PciTransport::Options{.name = "echo", .dma = &dma, .io = io},
                                       std::make_unique<virtio::test::EchoFunction>()));
    functions.push_back(
        std::make_unique<PciTransport>(PciTransport::Options{.name = "rng", .dma = &dma, .io = io},
                                       std::make_unique<virtio::Rng>(7)));
    for (unsigned i = 0; i < functions.size(); ++i) {
      bench.bridge.attach(1 + i, functions[i]->endpoint());
    }
    bench.bridge.name_parts([](uint64_t, Device&) { return uint16_t{1}; });
  }
  virtio::test::TestDma dma;
  virtio::test::TestClock clock;
  BridgeBench bench;
  std::vector<std::unique_ptr<PciTransport>> functions;
};

// The window's device, and an offset in it: mostly where BARs are put by op 1.
Device& take_window(Machine& m, Input& in, uint64_t& offset) {
  offset = in.take<uint32_t>() & 0xffff;
  switch (in.take<uint8_t>() & 3) {
    case 0:
      return m.bench.bridge.window(Space::kMemory64);
    case 1:
      return m.bench.bridge.window(Space::kIo);
    default:
      return m.bench.bridge.window(Space::kMemory32);
  }
}

void run(Input in) {
  Machine m;
  while (!in.empty()) {
    const auto op = in.take<uint8_t>();
    const unsigned size = 1u << (op >> 6);
    PciTransport& function = *m.functions[op >> 5 & 1];
    switch (op & 7) {
      case 0: {  // configuration space, anywhere
        const uint64_t offset = in.take<uint32_t>() & 0xf'ffff;
        const auto value = in.take<uint64_t>();
        if ((op & 16) != 0) {
          m.bench.bridge.write(offset, size, value, 0);
        } else {
          m.bench.bridge.read(offset, size, 0);
        }
        break;
      }
      case 1: {  // BARs where take_window() looks, and decoded
        const unsigned number = 1 + (op >> 5 & 1);
        m.bench.write(number, kBar0 + 4, 0x1000'0000 + (in.take<uint8_t>() & 15) * 0x1000);
        m.bench.write(number, kBar0 + 16, (op & 16) != 0 ? 0 : 0x1000'0000);
        m.bench.write(number, kBar0 + 20, (op & 16) != 0 ? 0x80 : 0);
        m.bench.write(number, kCommand, in.take<uint8_t>() | kMemorySpace, 2);
        break;
      }
      case 2: {  // a capability of a function
        const unsigned number = 1 + (op >> 5 & 1);
        const unsigned offset = 0x40 + (in.take<uint8_t>() & 0x7f);
        m.bench.write(number, offset, in.take<uint32_t>(), 4 - offset % 4 < size ? 1 : size & 7);
        m.bench.read(number, offset, 1);
        break;
      }
      case 3:
      case 4: {  // what BARs hold
        uint64_t offset = 0;
        Device& window = take_window(m, in, offset);
        const auto value = in.take<uint64_t>();
        if ((op & 16) != 0) {
          window.write(offset, size, value, 0);
        } else {
          window.read(offset, size, 0);
          BusTarget::Part part;
          window.part_at(offset, part);
          function.register_name(part.offset % PciTransport::kBarBytes);
        }
        break;
      }
      case 5: {  // a register of the device, past the bus
        const uint64_t offset = in.take<uint16_t>() & 0x3fff;
        if ((op & 16) != 0) {
          function.write(offset & 0x303f, size, in.take<uint64_t>(), 0);
        } else {
          function.read(offset, size, 0);
        }
        break;
      }
      case 6:
        if ((op & 16) != 0) {
          size_t bytes = in.take<uint8_t>();
          const uint64_t at = in.take<uint16_t>();
          const uint8_t* data = in.take_bytes(bytes);
          if (at + bytes <= kRam) std::memcpy(&m.dma.ram[at], data, bytes);
        } else {
          m.clock.advance(in.take<uint8_t>());
          function.endpoint().message(in.take<uint8_t>() & 7);
        }
        break;
      default: {  // a snapshot, whole or damaged; a reset
        StateWriter out;
        function.save(out);
        std::vector<uint8_t> state = out.buffer();
        if ((op & 16) != 0) state[in.take<uint16_t>() % state.size()] ^= in.take<uint8_t>();
        StateReader reader(state.data(), state.size());
        if (size == 8) function.reset();
        function.load(reader);
        m.bench.inbox.take();
        break;
      }
    }
  }
  m.clock.advance(400);
}

}  // namespace
}  // namespace trapline::pci::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = [] {
    trapline::Report::set_sink([](std::string_view) {});
    return true;
  }();
  if (quiet) trapline::pci::test::run({data, size});
  return 0;
}
