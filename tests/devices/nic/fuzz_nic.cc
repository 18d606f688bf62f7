// Fuzzes a network card: its registers at any width, its rings and buffers in memory, frames that
// arrive, time, snapshots. TRAPLINE_FUZZ_E1000 or TRAPLINE_FUZZ_NE2000.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "devices/nic/e1000.h"
#include "devices/nic/ne2000.h"
#include "tests/devices/fake_clock.h"
#include "tests/devices/nic/harness.h"
#include "tests/devices/virtio/fuzz/input.h"
#include "tests/devices/virtio/harness.h"

namespace trapline::test {
namespace {

constexpr uint64_t kRam = 64 * 1024;

// What is sent must be readable to its last byte; what arrives is the input's.
class FuzzWire final : public virtio::NetBackend {
 public:
  ~FuzzWire() override { close(event_); }
  uint64_t offloads() const override { return virtio::net::kUserOffloads; }
  void send(const virtio::NetHeader&, uint8_t* frame, size_t size) override {
    uint8_t sum = 0;
    for (size_t i = 0; i < size; ++i) sum ^= frame[i];
    [[maybe_unused]] volatile uint8_t read = sum;
  }
  void fill(std::vector<pollfd>& fds, int&) override {
    fds.push_back({.fd = event_, .events = POLLIN, .revents = 0});
  }
  void dispatch(const std::vector<pollfd>& fds, size_t first) override {
    if (first < fds.size() && fds[first].revents != 0) {
      uint64_t count;
      [[maybe_unused]] const ssize_t n = ::read(event_, &count, sizeof count);
    }
    ready();
  }
  void ready() override {
    std::lock_guard lock(mutex_);
    while (!frames_.empty() && receive_({}, frames_.front().data(), frames_.front().size())) {
      frames_.pop_front();
    }
  }
  void put(Frame frame) {
    {
      std::lock_guard lock(mutex_);
      frames_.push_back(std::move(frame));
    }
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(event_, &one, sizeof one);
  }

 private:
  const int event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::mutex mutex_;
  std::deque<Frame> frames_;
};

#ifdef TRAPLINE_FUZZ_E1000
using CardType = E1000;
constexpr uint64_t kRegisters = e1000::kRegisterBytes;
std::unique_ptr<CardType> make(virtio::test::TestDma& dma, FakeClock& clock,
                               std::unique_ptr<virtio::NetBackend> wire) {
  return std::make_unique<E1000>(
      E1000::Options{.name = "e1000-0", .dma = &dma, .clock = &clock, .mac = kMac},
      std::move(wire));
}
// Rings in RAM, both ways open.
void start(CardType& card) {
  const auto set = [&](uint32_t reg, uint64_t value) { card.write(reg, 4, value, 0); };
  set(e1000::kTdbal, virtio::test::kRamBase);
  set(e1000::kTdlen, 128);
  set(e1000::kRdbal, virtio::test::kRamBase + 0x400);
  set(e1000::kRdlen, 256);
  set(e1000::kTctl, e1000::kTctlEnable);
  set(e1000::kRctl, e1000::kRctlEnable | e1000::kRctlBroadcast);
  set(e1000::kIms, ~0u);
  set(e1000::kRdt, 15);
}
#else
using CardType = Ne2000;
constexpr uint64_t kRegisters = Ne2000::kIoBytes;
std::unique_ptr<CardType> make(virtio::test::TestDma&, FakeClock&,
                               std::unique_ptr<virtio::NetBackend> wire) {
  return std::make_unique<Ne2000>(Ne2000::Options{.name = "ne2000-0", .mac = kMac},
                                  std::move(wire));
}
void start(CardType& card) {
  static constexpr uint8_t kWrites[][2] = {{0, 0x21}, {14, 0x49}, {1, 0x4c}, {2, 0x80},
                                           {3, 0x4c}, {15, 0x3f}, {0, 0x61}, {7, 0x4d},
                                           {0, 0x22}, {12, 0x1c}};
  for (const auto& [port, value] : kWrites) card.write(port, 1, value, 0);
}
#endif

// An address of a register, most often one of those that there are.
uint64_t register_at(fuzz::Input& in, unsigned size) {
  static constexpr uint16_t kGroups[] = {0x0000, 0x00c0, 0x0100, 0x0400, 0x2800,
                                         0x3800, 0x4000, 0x5000, 0x5400, 0x5800};
  const auto which = in.take<uint16_t>();
  const uint64_t at = kGroups[which >> 8 & 7] + (which & 0xff);
  return (kRegisters > 0x100 ? at : which) % (kRegisters - size + 1);
}

void run(fuzz::Input in) {
  virtio::test::TestDma dma(kRam);
  dma.record = false;
  FakeClock clock;
  FakeSlot slot;
  auto owned = std::make_unique<FuzzWire>();
  FuzzWire& wire = *owned;
  const std::unique_ptr<CardType> card = make(dma, clock, std::move(owned));
  slot.plug(card->endpoint());
  card->resume();
  start(*card);
  while (!in.empty()) {
    const auto op = in.take<uint8_t>();
    const unsigned size = 1u << (op >> 6);
    switch (op & 7) {
      case 0: {
        const uint64_t at = register_at(in, size);
        card->read(at, size, 0);
        card->register_name(at);
        break;
      }
      case 1:
        card->write(register_at(in, size), size, in.take<uint64_t>(), 0);
        break;
      case 2: {  // the words that drivers write
        const auto value = in.take<uint32_t>();
        card->write(register_at(in, 4) & ~uint64_t{3}, 4, value & 0xffff'0fff, 0);
        break;
      }
      case 3: {  // memory; while the thread may look at it, as a guest's is
        card->quiesce();
        const uint64_t at = in.take<uint16_t>();
        size_t bytes = in.take<uint8_t>();
        const uint8_t* data = in.take_bytes(bytes);
        if (at + bytes <= kRam) std::memcpy(&dma.ram[at], data, bytes);
        card->resume();
        break;
      }
      case 4: {  // a descriptor whose buffer is in RAM
        card->quiesce();
        const uint64_t at = virtio::test::kRamBase + 16 * (in.take<uint8_t>() % 80u);
        dma.put(at, virtio::test::kRamBase + in.take<uint16_t>());
        dma.put(at + 8, in.take<uint64_t>());
        card->resume();
        break;
      }
      case 5: {  // a frame arrives
        size_t bytes = in.take<uint8_t>();
        const uint8_t* data = in.take_bytes(bytes);
        Frame frame(data, data + bytes);
        if ((op & 8) != 0) frame.resize(bytes * 37);
        if ((op & 16) != 0 && bytes >= 6) std::copy(kMac.begin(), kMac.end(), frame.begin());
        wire.put(std::move(frame));
        break;
      }
      case 6: {
        card->quiesce();
        StateWriter out;
        card->save(out);
        std::vector<uint8_t> state = out.buffer();
        if ((op & 8) != 0) state[in.take<uint16_t>() % state.size()] ^= in.take<uint8_t>();
        StateReader reader(state.data(), state.size());
        card->load(reader);
        card->resume();
        break;
      }
      default:
        card->quiesce();  // whatever was begun is done; the clock is one thread's
        if ((op & 24) == 8) card->reset();
        if ((op & 24) == 16) {
          std::lock_guard lock(slot.config_mutex());
          card->endpoint().config_write(pci::kCommand, 2, in.take<uint8_t>());
        }
        clock.advance(in.take<uint16_t>() * 64);
        card->resume();
        break;
    }
  }
  card->quiesce();
}

}  // namespace
}  // namespace trapline::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = [] {
    trapline::Report::set_sink([](std::string_view) {});
    return true;
  }();
  if (quiet) trapline::test::run({data, size});
  return 0;
}
