// Fuzzes fw_cfg, its registers and its DMA descriptors, and ramfb, which is a file of it.
#include <cstdlib>

#include "devices/fw_cfg.h"
#include "devices/ramfb.h"
#include "tests/devices/virtio/fuzz/input.h"
#include "tests/devices/virtio/harness.h"

namespace trapline {
namespace {

using virtio::test::kRamBase;

constexpr uint64_t kRam = 16 * 1024;

void run(fuzz::Input in) {
  virtio::test::TestDma dma(kRam);
  dma.record = false;
  FwCfg fw("fw-cfg", &dma);
  const std::vector<uint8_t> fixed = {'f', 'i', 'x', 'e', 'd'};
  fw.add_file("etc/fixed", fixed);
  fw.add_file("etc/large", std::vector<uint8_t>(5000, 7));
  fw.add_writable_file("etc/writable", 300, {});
  Ramfb ramfb(&dma);
  if (!ramfb.connect(fw).empty()) std::abort();
  uint64_t framebuffer = 0;
  while (!in.empty()) {
    const auto op = in.take<uint8_t>();
    const unsigned size = 1u << (op >> 3 & 3);
    switch (op & 7) {
      case 0: {
        const uint64_t offset = in.take<uint8_t>() % (FwCfg::kWindowBytes - size + 1);
        fw.read(offset, size, 0);
        fw.register_name(offset);
        break;
      }
      case 1:
        fw.write(in.take<uint8_t>() % (FwCfg::kWindowBytes - size + 1), size, in.take<uint64_t>(),
                 0);
        break;
      case 2:
        fw.write(8, 2, __builtin_bswap16(in.take<uint8_t>() % 0x24), 0);
        break;
      case 3:
      case 4:
      case 5: {  // a descriptor and its start
        const uint64_t at = in.take<uint16_t>();
        const uint32_t control = uint32_t{in.take<uint8_t>()} << 16 | in.take<uint8_t>();
        const uint32_t length = (op & 32) != 0 ? in.take<uint32_t>() : in.take<uint16_t>() % 0x1800;
        const uint64_t address =
            (op & 64) != 0 ? in.take<uint64_t>() : kRamBase + in.take<uint16_t>() % 0x4100;
        if (at + 16 <= kRam) {
          dma.put(kRamBase + at, __builtin_bswap32(control));
          dma.put(kRamBase + at + 4, __builtin_bswap32(length));
          dma.put(kRamBase + at + 8, __builtin_bswap64(address));
        }
        fw.write(0x10, 8, __builtin_bswap64(kRamBase + at), 0);
        break;
      }
      case 6: {
        StateWriter out;
        fw.save(out);
        std::vector<uint8_t> state = out.buffer();
        if ((op & 32) != 0) state[in.take<uint16_t>() % state.size()] ^= in.take<uint8_t>();
        StateReader reader(state.data(), state.size());
        fw.load(reader);
        break;
      }
      default:
        if ((op & 8) == 0) {
          fw.reset();
          break;
        }
        // A framebuffer, nearly as ramfb takes it; where it lies, format, flags, size, stride.
        for (const uint32_t word : {0u, static_cast<uint32_t>(kRamBase) + in.take<uint16_t>(),
                                    0x34325258u, 0u, uint32_t{in.take<uint8_t>()},
                                    uint32_t{in.take<uint8_t>()}, uint32_t{in.take<uint16_t>()}}) {
          dma.put(kRamBase + 64 + framebuffer, __builtin_bswap32(word));
          framebuffer = (framebuffer + 4) % 28;
        }
        break;
    }
    // Those who show it read all of it.
    if (const auto surface = ramfb.surface()) {
      [[maybe_unused]] volatile uint8_t byte = surface->host[0];
      byte = surface->host[uint64_t{surface->stride} * surface->height - 1];
    }
  }
  if (*fw.file("etc/fixed") != fixed) std::abort();
}

}  // namespace
}  // namespace trapline

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = [] {
    trapline::Report::set_sink([](std::string_view) {});
    return true;
  }();
  if (quiet) trapline::run({data, size});
  return 0;
}
