// Fuzzes the HD Audio controller: its registers at any width, its rings and lists in memory, time,
// snapshots.
#include "tests/devices/hda/harness.h"
#include "tests/devices/virtio/fuzz/input.h"

namespace trapline::hda::test {
namespace {

constexpr uint64_t kRam = 64 * 1024;

void run(fuzz::Input in) {
  HdaBench b(kRam);
  b.dma.record = false;
  b.write(0x08, 1);
  while (!in.empty()) {
    const auto op = in.take<uint8_t>();
    const unsigned size = 1u << (op >> 6);
    switch (op & 7) {
      case 0: {
        const uint64_t offset = in.take<uint16_t>() % (Controller::kBarBytes - size);
        b.hda.read(offset, size, 0);
        b.hda.register_name(offset);
        break;
      }
      case 1:
        b.hda.write(in.take<uint8_t>() % 0xa0, size, in.take<uint64_t>(), 0);
        break;
      case 2: {  // an address in RAM, mostly
        static constexpr uint8_t kAt[] = {0x40, 0x50, 0x70, 0x98};
        const uint64_t at = kAt[in.take<uint8_t>() & 3];
        b.write(at, static_cast<uint32_t>(kRamBase + (in.take<uint16_t>() & 0xff81)));
        b.write(at + 4, (op & 8) != 0 ? in.take<uint8_t>() : 0);
        break;
      }
      case 3: {  // memory
        const uint64_t at = in.take<uint16_t>();
        size_t bytes = in.take<uint8_t>() & 63;
        const uint8_t* data = in.take_bytes(bytes);
        if (at + bytes <= kRam) std::memcpy(&b.dma.ram[at], data, bytes);
        break;
      }
      case 4: {  // an entry of a list
        const uint64_t at = kRamBase + (in.take<uint16_t>() & 0xff70);
        b.dma.put(at, kRamBase + in.take<uint16_t>());
        b.dma.put(at + 8, uint32_t{in.take<uint16_t>()});
        b.dma.put(at + 12, uint32_t{op >> 5 & 1u});
        break;
      }
      case 5:  // the stream runs
        b.write(0x88, in.take<uint16_t>());
        b.write(0x80, 0x100006u | (op & 8));
        b.clock.advance(in.take<uint16_t>() * 64);
        break;
      case 6: {
        StateWriter out;
        b.hda.save(out);
        std::vector<uint8_t> state = out.buffer();
        if ((op & 8) != 0) state[in.take<uint16_t>() % state.size()] ^= in.take<uint8_t>();
        StateReader reader(state.data(), state.size());
        b.hda.load(reader);
        break;
      }
      default:
        if ((op & 8) != 0) {
          b.hda.reset();
        } else {
          b.bus.write(1, pci::kCommand, in.take<uint8_t>(), 2);
        }
        break;
    }
  }
}

}  // namespace
}  // namespace trapline::hda::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = [] {
    trapline::Report::set_sink([](std::string_view) {});
    return true;
  }();
  if (quiet) trapline::hda::test::run({data, size});
  return 0;
}
