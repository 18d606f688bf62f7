// Fuzzes an HBA with a disk and a CD: registers, command lists, tables and PRDs anywhere,
// snapshots.
#include <memory>
#include <vector>

#include "tests/devices/ahci/harness.h"
#include "tests/devices/virtio/fuzz/input.h"
#include "tests/devices/virtio/memory_image.h"

namespace trapline::ahci::test {
namespace {

using fuzz::Input;
using virtio::test::MemoryImage;

constexpr uint64_t kRam = 0x20000;

// Mostly a place in RAM, sometimes its end or anything.
uint64_t take_address(Input& in) {
  const auto raw = in.take<uint16_t>();
  switch (in.take<uint8_t>() & 15) {
    case 0:
      return in.take<uint64_t>();
    case 1:
      return kRamBase + kRam - (raw & 63);
    default:
      return kRamBase + 2u * raw;
  }
}

Frame take_frame(Input& in) {
  static constexpr uint8_t kCodes[] = {0x06, 0x20, 0x25, 0x35, 0x2f, 0x60, 0x61, 0xa0,
                                       0xa1, 0xc8, 0xca, 0xea, 0xec, 0xef, 0x3d, 0x42};
  Frame f;
  const auto kind = in.take<uint8_t>();
  f.command = (kind & 0x80) != 0 ? in.take<uint8_t>() : kCodes[kind & 15];
  f.is_command = (kind & 0x60) != 0x60;
  f.lba = (kind & 16) != 0 ? in.take<uint64_t>() & 0xffff'ffff'ffff : in.take<uint8_t>();
  f.count = in.take<uint8_t>();
  f.features = in.take<uint8_t>() & 31;
  f.control = in.take<uint8_t>();
  return f;
}

void run(Input in) {
  std::vector<scsi::Drive> drives =
      one(std::make_unique<MemoryImage>((in.take<uint8_t>() & 1) != 0));
  drives.push_back({1, std::make_unique<MemoryImage>(true), scsi::Type::kCd});
  AhciBench b(std::move(drives), false, kRam);
  b.dma.record = false;
  while (!in.empty()) {
    const auto op = in.take<uint8_t>();
    const unsigned port = op >> 6 & 1, slot = in.take<uint8_t>() & 31;
    switch (op & 7) {
      case 0: {  // any register, any size
        const uint64_t offset = in.take<uint16_t>() & 0x3ff;
        const unsigned size = 1u << (op >> 4 & 3);
        if ((op & 8) != 0) {
          b.device.read(offset, size, 0);
          b.device.register_name(offset);
        } else {
          b.device.write(offset, size, in.take<uint64_t>(), 0);
        }
        break;
      }
      case 1:
        b.start(port);
        break;
      case 2: {  // a well-formed command
        std::vector<Piece> pieces(in.take<uint8_t>() & 3);
        for (Piece& piece : pieces) piece = {take_address(in), (in.take<uint16_t>() & 0x3fffu) + 1};
        std::array<uint8_t, 16> packet{};
        for (unsigned i = 0; i < 12 && (op & 16) != 0; ++i) packet[i] = in.take<uint8_t>();
        Frame frame = take_frame(in);
        if ((op & 32) != 0) frame.count = static_cast<uint16_t>(slot << 3);
        b.put(slot, frame, pieces, packet);
        if ((op & 8) != 0) b.set(kPxSact, 1u << slot, port);
        b.set(kPxCi, 1u << slot, port);
        break;
      }
      case 3: {  // a header of any kind
        b.dma.put(kList + 32 * slot,
                  CommandHeader{in.take<uint16_t>(), in.take<uint16_t>(), 0, take_address(in), {}});
        break;
      }
      case 4: {  // memory
        const uint64_t at = in.take<uint16_t>();
        size_t size = in.take<uint8_t>();
        const uint8_t* data = in.take_bytes(size);
        std::memcpy(&b.dma.ram[at], data, size);
        break;
      }
      case 5:
        b.clock.advance(in.take<uint8_t>());
        if ((op & 8) != 0) b.restart(port);
        break;
      case 6:
        b.set(kPxCi, in.take<uint32_t>(), port);
        break;
      default: {  // a snapshot, whole or damaged; resets; bus mastering
        StateWriter out;
        b.device.save(out);
        std::vector<uint8_t> state = out.buffer();
        if ((op & 16) != 0) state[in.take<uint16_t>() % state.size()] ^= in.take<uint8_t>();
        StateReader reader(state.data(), state.size());
        if ((op & 32) != 0) b.device.reset();
        b.device.load(reader);
        b.bus.write(1, pci::kCommand, (op & 8) != 0 ? 2 : 6, 2);
        b.device.quiesce();
        b.device.resume();
        b.bus.inbox.take();
        break;
      }
    }
  }
  b.clock.advance(4 * kDelay);
}

}  // namespace
}  // namespace trapline::ahci::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = [] {
    trapline::Report::set_sink([](std::string_view) {});
    return true;
  }();
  if (quiet) trapline::ahci::test::run({data, size});
  return 0;
}
