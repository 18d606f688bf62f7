// Fuzzes the flash: any stores and loads in any order, with snapshots in between. What the array
// holds must follow from the stores that the device reported.
#include <cstdlib>
#include <vector>

#include "devices/pflash.h"
#include "tests/devices/virtio/fuzz/input.h"

namespace trapline {
namespace {

constexpr uint64_t kSize = 2 * Pflash::kSectorBytes;

void run(fuzz::Input in) {
  static std::vector<uint8_t> array(kSize, 0xff), shadow(kSize, 0xff);
  const bool read_only = (in.take<uint8_t>() & 1) != 0;
  bool mode = true;
  Pflash flash(
      {.name = "pflash",
       .array = array.data(),
       .size = kSize,
       .read_only = read_only,
       .file = nullptr,
       .on_mode = [&](bool now) { mode = now; },
       .on_write = [&](uint64_t at, uint64_t n) { std::memcpy(&shadow[at], &array[at], n); }});
  static constexpr uint8_t kCodes[] = {0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0x90,
                                       0x98, 0xd0, 0xe8, 0xf0, 0xff, 0x01, 0x2f};
  while (!in.empty()) {
    const auto op = in.take<uint8_t>();
    uint64_t offset = in.take<uint32_t>() % (kSize + 16);
    if ((op & 16) != 0) offset &= 0x40ffc;
    switch (op & 7) {
      case 0:
      case 1:
      case 2: {
        const uint32_t code = kCodes[in.take<uint8_t>() % sizeof kCodes];
        flash.write(offset, 4, code << 16 | code, 0);
        break;
      }
      case 3:
        flash.write(offset, 1u << (op >> 6), in.take<uint64_t>(), 0);
        break;
      case 4:
        flash.write(offset, 4, in.take<uint8_t>(), 0);
        break;
      case 5: {
        const uint64_t value = flash.read(offset, 1u << (op >> 6), 0).value;
        if (mode && offset + 8 <= kSize && (op >> 6) == 0 && value != array[offset]) std::abort();
        break;
      }
      case 6: {
        StateWriter out;
        flash.save(out);
        std::vector<uint8_t> state = out.buffer();
        if ((op & 32) != 0) state[in.take<uint16_t>() % state.size()] ^= in.take<uint8_t>();
        StateReader reader(state.data(), state.size());
        flash.load(reader);
        break;
      }
      default:
        if ((op & 32) != 0) flash.reset();
        break;
    }
    if (mode != flash.array_mode()) std::abort();
  }
  if (read_only && array != shadow) std::abort();
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
