// Fuzzes a virtio device: its registers, and its virtqueues' memory, while it works. The device is
// chosen when compiling: TRAPLINE_FUZZ_BLK, _SCSI, _NET, _CONSOLE, _INPUT, _BALLOON or _RNG.
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "devices/virtio/balloon.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/console.h"
#include "devices/virtio/input.h"
#include "devices/virtio/net.h"
#include "devices/virtio/net_features.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/scsi.h"
#include "tests/devices/virtio/fuzz/input.h"
#include "tests/devices/virtio/harness.h"
#include "tests/devices/virtio/memory_image.h"

namespace trapline::virtio::test {
namespace {

using fuzz::Input;

constexpr uint64_t kRam = 64 * 1024;

#if defined(TRAPLINE_FUZZ_BLK) || defined(TRAPLINE_FUZZ_SCSI)

#if defined(TRAPLINE_FUZZ_SCSI)
std::unique_ptr<Function> make_function(uint8_t variant) {
  std::vector<scsi::Drive> targets;
  targets.push_back({0, std::make_unique<MemoryImage>((variant & 2) != 0), scsi::Type::kDisk});
  targets.push_back({2, std::make_unique<MemoryImage>(true), scsi::Type::kCd});
  return make_scsi(std::move(targets), "fuzz", (variant & 4) != 0 ? 4 : 1);
}
constexpr uint64_t kFeatures = 0;
#else
std::unique_ptr<Function> make_function(uint8_t variant) {
  return make_blk(std::make_unique<MemoryImage>((variant & 2) != 0),
                  {.serial = "fuzz", .queues = (variant & 4) != 0 ? 4u : 1u});
}
constexpr uint64_t kFeatures = 0x7e60;
#endif
void poke(Function&, Input&) {}

#elif defined(TRAPLINE_FUZZ_NET)

// Sends every frame back, in pieces of other sizes too.
class EchoBackend final : public NetBackend {
 public:
  uint64_t offloads() const override {
    return net::kCsum | net::kGuestCsum | net::kHostTso4 | net::kGuestTso4;
  }
  void send(const NetHeader& header, uint8_t* frame, size_t size) override {
    receive_(header, frame, size);
    if (size > 100) receive_({}, frame, size / 2);
  }
  void fill(std::vector<pollfd>&, int&) override {}
  void dispatch(const std::vector<pollfd>&, size_t) override {}
  bool inject(size_t size) {
    const std::vector<uint8_t> frame(size, 0x55);
    return receive_({}, frame.data(), frame.size());
  }
};

EchoBackend* backend;
std::unique_ptr<Function> make_function(uint8_t) {
  auto made = std::make_unique<EchoBackend>();
  backend = made.get();
  return make_net(std::move(made), {2, 0, 0, 0, 0, 1});
}
constexpr uint64_t kFeatures = 0x86b8a3;
void poke(Function&, Input& in) {
  const size_t size = in.take<uint16_t>() & 0xfff;
  // Now and then more than may wait.
  const auto times = in.take<uint8_t>();
  for (unsigned n = times == 255 ? 300 : times & 7; n > 0; --n) backend->inject(size);
}

#elif defined(TRAPLINE_FUZZ_CONSOLE)

// Reads all it takes, and takes less now and then if it may.
class Sum final : public OutputSink {
 public:
  size_t put(const uint8_t* data, size_t size) override {
    if (short_ && size > 3) size /= 2;
    force(data, size);
    return size;
  }
  void force(const uint8_t* data, size_t size) override {
    for (size_t i = 0; i < size; ++i) sum_ += data[i];
  }
  bool short_ = false;

 private:
  size_t sum_ = 0;
} sink;
std::unique_ptr<Function> make_function(uint8_t variant) {
  sink.short_ = (variant & 2) != 0;
  return std::make_unique<Console>(sink);
}
constexpr uint64_t kFeatures = 4;
void poke(Function& function, Input& in) {
  size_t size = in.take<uint8_t>();
  const uint8_t* data = in.take_bytes(size);
  static_cast<Console&>(function).receive(data, size);
  static_cast<Console&>(function).output_room();
}

#elif defined(TRAPLINE_FUZZ_INPUT)

std::unique_ptr<Function> make_function(uint8_t variant) {
  using Device = virtio::Input;
  return std::make_unique<Device>((variant & 2) != 0 ? Device::Kind::kKeyboard
                                                     : Device::Kind::kTablet);
}
constexpr uint64_t kFeatures = 0;
void poke(Function& function, Input& in) {
  std::vector<InputEvent> events(in.take<uint8_t>() & 7);
  for (InputEvent& event : events) event = in.take<InputEvent>();
  static_cast<virtio::Input&>(function).send(events);
}

#elif defined(TRAPLINE_FUZZ_BALLOON)

std::unique_ptr<Function> make_function(uint8_t) {
  return std::make_unique<Balloon>([](uint64_t ipa, uint64_t size) {
    if (ipa < kRamBase || size > kRam || ipa - kRamBase > kRam - size) std::abort();
    if (((ipa | size) & 4095) != 0 || size == 0) std::abort();
  });
}
constexpr uint64_t kFeatures = 0x26;
void poke(Function& function, Input& in) {
  static_cast<Balloon&>(function).set_target(in.take<uint64_t>());
  static_cast<Balloon&>(function).shown();
}

#else

std::unique_ptr<Function> make_function(uint8_t variant) {
  return std::make_unique<Rng>((variant & 2) != 0 ? std::optional<uint64_t>{}
                                                  : std::optional<uint64_t>{7});
}
constexpr uint64_t kFeatures = 0;
void poke(Function&, Input&) {}

#endif

// Mostly a place in RAM, sometimes its end, the device's registers, or anything.
uint64_t take_address(Input& in) {
  const auto raw = in.take<uint16_t>();
  switch (in.take<uint8_t>() & 15) {
    case 0:
      return in.take<uint64_t>();
    case 1:
      return 0x0a000000 + (raw & 0x3ff);
    case 2:
      return kRamBase + kRam - (raw & 63);
    default:
      return kRamBase + raw;
  }
}

uint32_t take_length(Input& in) {
  const auto raw = in.take<uint16_t>();
  switch (in.take<uint8_t>() & 15) {
    case 0:
      return in.take<uint32_t>();
    case 1:
      return 16u * (raw & 63);
    case 2:
      return 512u * (raw & 15);
    default:
      return raw & 0x7ff;
  }
}

void run(Input in) {
  const auto variant = in.take<uint8_t>();
  const bool legacy = (variant & 1) != 0;
  Bench b(make_function(variant), false, legacy, kRam);
  b.dma.record = false;
  unsigned queues = b.device.function().queue_count();
  for (unsigned i = 0; i < queues; ++i) b.queue.emplace_back(&b.dma, kRamBase + 0x400 * i, 8);
  while (!in.empty()) {
    const auto op = in.take<uint8_t>();
    switch (op & 15) {
      case 0: {  // any register, any size
        const uint64_t offset = in.take<uint16_t>() & 0x1ff;
        const unsigned size = 1u << (in.take<uint8_t>() & 3);
        if (offset + size > MmioTransport::kWindowBytes) break;
        if ((op & 16) != 0) {
          b.device.read(offset, size, 0);
          b.device.register_name(offset);
        } else {
          b.device.write(offset, size, in.take<uint64_t>(), 0);
        }
        break;
      }
      case 1:  // a control register, a word
        b.write(4 * (in.take<uint8_t>() & 63), in.take<uint32_t>());
        break;
      case 2: {  // a queue's address
        const uint64_t address = take_address(in);
        b.write(0x30, in.take<uint8_t>() & 7);
        b.write64(0x80 + 16 * (in.take<uint8_t>() & 3), address);
        break;
      }
      case 3: {  // memory
        const uint64_t at = in.take<uint16_t>();
        size_t size = in.take<uint8_t>() & 63;
        const uint8_t* data = in.take_bytes(size);
        if (at + size <= kRam) std::memcpy(&b.dma.ram[at], data, size);
        break;
      }
      case 4:
      case 5:
      case 6: {  // a descriptor, in a queue's table or elsewhere
        const unsigned index = in.take<uint8_t>() % queues;
        const uint64_t table = (op & 16) != 0 ? b.queue[index].desc : kRamBase + 0x4000;
        const auto slot = static_cast<uint16_t>(in.take<uint8_t>() & 15);
        const uint64_t address = take_address(in);
        const uint32_t length = take_length(in);
        const auto flags = in.take<uint8_t>();
        const auto next = static_cast<uint16_t>(in.take<uint8_t>() % 10);
        b.queue[index].set_descriptor(table, slot, address, length, flags & 7, next);
        break;
      }
      case 7:
      case 8: {  // make a chain available, and perhaps tell
        const unsigned index = in.take<uint8_t>() % queues;
        b.queue[index].make_available(in.take<uint8_t>() % 9);
        if ((op & 16) != 0) b.notify(index);
        break;
      }
      case 9: {
        const unsigned index = in.take<uint8_t>() % (queues + 1);
        // As a threaded transport does on the vCPU's thread.
        const bool live = (b.status() & (kDriverOk | kFailed)) == kDriverOk;
        if ((op & 32) != 0 && live && index < queues) {
          b.device.function().process_at_notify(index);
        }
        b.notify(index);
        b.clock.advance(Bench::kDelay);
        break;
      }
      case 10: {  // a proper initialisation
        uint64_t features = kFeatures & in.take<uint32_t>();
        if ((op & 32) != 0) features &= b.offered();
        const bool event_index = (op & 16) != 0;
        std::fill(b.dma.ram.begin(), b.dma.ram.begin() + 0x1000, 0);
        b.negotiate(features | kIndirectDesc | (event_index ? kEventIdx : 0) | kVersion1);
        for (unsigned i = 0; i < queues; ++i) {
          b.queue[i] = DriverQueue(&b.dma, kRamBase + 0x400 * i, 8);
          if (legacy) {
            b.write(0x28, 0x400);
            b.write(0x30, i);
            b.write(0x38, 8);
            b.write(0x3c, 4);
            b.write(0x40, static_cast<uint32_t>((kRamBase >> 10) + i));
          } else {
            b.set_queue(i, b.queue[i], 8);
          }
        }
        b.driver_ok();
        break;
      }
      case 11:
        poke(b.device.function(), in);
        break;
      case 12: {  // a well-formed chain: header, data, status
        const unsigned index = in.take<uint8_t>() % queues;
#if defined(TRAPLINE_FUZZ_SCSI)
        // A command to a target, or a control request; data to or from it.
        const uint64_t request = kRamBase + 0x8000, payload = kRamBase + 0x9000;
        const bool control = index == 0;
        uint8_t bytes[51] = {};
        bytes[control ? 8 : 0] = 1;
        bytes[control ? 9 : 1] = in.take<uint8_t>() & 3;
        if (control) bytes[4] = in.take<uint8_t>() & 15;
        for (unsigned i = 0; i < 16 && !control; ++i) bytes[19 + i] = in.take<uint8_t>();
        std::memcpy(b.dma.host(request, sizeof bytes), bytes, sizeof bytes);
        const uint32_t size = take_length(in);
        std::vector<Buffer> chain = {{request, control ? 24u : 51u, false}};
        if (!control && (op & 16) == 0) chain.push_back({payload, size, false});
        chain.push_back({request + 64, 108, true});
        if (!control && (op & 16) != 0) chain.push_back({payload, size, true});
        b.queue[index].add(static_cast<uint16_t>(in.take<uint8_t>() & 7), chain);
        b.notify(index);
        break;
#else
        const uint64_t header = kRamBase + 0x8000, data = kRamBase + 0x9000;
        // Block request types, their sectors, and a range to discard or clear as the data.
        static constexpr uint8_t kTypes[] = {0, 1, 4, 8, 11, 13, 13, 77};
        const auto type = in.take<uint8_t>();
        b.dma.put(header, uint32_t{kTypes[type & 7]});
        b.dma.put(header + 8, uint64_t{in.take<uint8_t>()});
        b.dma.put(data, uint64_t{in.take<uint8_t>()});
        b.dma.put(data + 8, uint32_t{in.take<uint8_t>()});
        b.dma.put(data + 12, uint32_t{in.take<uint8_t>() & 3u});
        const uint32_t length = (type & 8) != 0 ? 16 : take_length(in);
        const bool writable = (op & 16) != 0;
        b.queue[index].add(static_cast<uint16_t>(in.take<uint8_t>() & 7),
                           {{header, 16, false}, {data, length, writable}, {header + 32, 1, true}});
        b.notify(index);
        break;
#endif
      }
      case 13: {  // a snapshot, whole or damaged
        StateWriter out;
        b.device.save(out);
        std::vector<uint8_t> state = out.buffer();
        if ((op & 16) != 0) state[in.take<uint16_t>() % state.size()] ^= in.take<uint8_t>();
        StateReader reader(state.data(), state.size());
        b.device.load(reader);
        break;
      }
      case 14:
        b.clock.advance(in.take<uint8_t>() * 4);
        break;
      default:
        if ((op & 16) != 0) {
          b.device.reset();
        } else {
          b.device.quiesce();
          b.device.resume();
        }
        break;
    }
  }
  b.clock.advance(4 * Bench::kDelay);
}

}  // namespace
}  // namespace trapline::virtio::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = [] {
    trapline::Report::set_sink([](std::string_view) {});
    return true;
  }();
  if (quiet) trapline::virtio::test::run({data, size});
  return 0;
}
