// A GIC with an ITS over RAM of its own, and a driver of it: tables, and commands by their names.
#ifndef TRAPLINE_TESTS_DEVICES_GICV3_ITS_BENCH_H_
#define TRAPLINE_TESTS_DEVICES_GICV3_ITS_BENCH_H_

#include <atomic>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "devices/gicv3/its.h"
#include "devices/gicv3/lpi.h"
#include "tests/devices/gicv3/gic_fixture.h"

namespace trapline::gicv3 {

class ItsRam final : public Dma {
 public:
  static constexpr uint64_t kBase = 0x4000'0000;
  explicit ItsRam(uint64_t size) : words_(size / 8), size_(size) {}

  uint8_t* host(uint64_t ipa, uint64_t size) override {
    if (ipa < kBase || ipa - kBase > size_ || size > size_ - (ipa - kBase)) return nullptr;
    return bytes() + (ipa - kBase);
  }
  void done(uint64_t ipa, uint64_t size) override {
    if (host(ipa, size) == nullptr) std::abort();  // told of what nobody lent
  }
  // As another CPU would.
  void put8(uint64_t ipa, uint8_t value) {
    std::atomic_ref(*host(ipa, 1)).store(value, std::memory_order_relaxed);
  }
  void put64(uint64_t ipa, uint64_t value) {
    std::atomic_ref(word(ipa)).store(value, std::memory_order_relaxed);
  }
  uint64_t get64(uint64_t ipa) {
    return std::atomic_ref(word(ipa)).load(std::memory_order_relaxed);
  }
  uint64_t size() const { return size_; }
  uint8_t* bytes() { return reinterpret_cast<uint8_t*>(words_.data()); }

 private:
  uint64_t& word(uint64_t ipa) { return words_[(ipa - kBase) / 8]; }
  std::vector<uint64_t> words_;
  uint64_t size_;
};

// Commands (5.3), four doublewords each.
struct ItsCommand {
  uint64_t word[4] = {};
};
inline ItsCommand movi(uint64_t device, uint32_t event, uint16_t collection) {
  return {{device << 32 | 0x01, event, collection}};
}
inline ItsCommand make_int(uint64_t device, uint32_t event) {
  return {{device << 32 | 0x03, event}};
}
inline ItsCommand clear(uint64_t device, uint32_t event) { return {{device << 32 | 0x04, event}}; }
inline ItsCommand sync(uint64_t cpu) { return {{0x05, 0, cpu << 16}}; }
// `bits` of EventID; 0: unmaps.
inline ItsCommand mapd(uint64_t device, unsigned bits, uint64_t itt) {
  return {{device << 32 | 0x08, (bits - 1u) & 0x1f, bits != 0 ? itt | 1ull << 63 : 0}};
}
inline ItsCommand mapc(uint16_t collection, uint64_t cpu, bool valid = true) {
  return {{0x09, 0, collection | cpu << 16 | uint64_t{valid} << 63}};
}
inline ItsCommand mapti(uint64_t device, uint32_t event, uint64_t intid, uint16_t collection) {
  return {{device << 32 | 0x0a, intid << 32 | event, collection}};
}
inline ItsCommand mapi(uint64_t device, uint32_t event, uint16_t collection) {
  return {{device << 32 | 0x0b, event, collection}};
}
inline ItsCommand inv(uint64_t device, uint32_t event) { return {{device << 32 | 0x0c, event}}; }
inline ItsCommand invall(uint16_t collection) { return {{0x0d, 0, collection}}; }
inline ItsCommand movall(uint64_t from, uint64_t to) { return {{0x0e, 0, from << 16, to << 16}}; }
inline ItsCommand discard(uint64_t device, uint32_t event) {
  return {{device << 32 | 0x0f, event}};
}

struct ItsBench : GicBench {
  static constexpr uint64_t kIts = 0x0808'0000;
  static constexpr uint64_t kProperties = ItsRam::kBase + 0x10'0000;
  static constexpr uint64_t kPending = ItsRam::kBase + 0x20'0000;  // 64 KiB a CPU
  static constexpr uint64_t kQueue = ItsRam::kBase + 0x30'0000;
  static constexpr uint64_t kQueueBytes = 0x10'0000;
  static constexpr uint64_t kDevices = ItsRam::kBase + 0x40'0000;
  static constexpr uint64_t kCollections = ItsRam::kBase + 0x50'0000;
  static constexpr uint64_t kItts = ItsRam::kBase + 0x60'0000;
  static constexpr uint64_t kIttBytes = 0x8'0000;  // 65,536 events
  static constexpr uint64_t kNowhere = 0x1000'0000;
  static constexpr uint64_t kValid = 1ull << 63, kIndirect = 1ull << 62, kPages64 = 2 << 8;

  explicit ItsBench(unsigned num_cpus = 4)
      : GicBench(num_cpus), ram(16 << 20), its(gic, ram, clock, kIts) {}

  uint64_t reg(uint64_t offset, unsigned size = 8) { return its.read(offset, size, 0).value; }
  void set_reg(uint64_t offset, uint64_t value, unsigned size = 8) {
    its.write(offset, size, value, 0);
  }

  void start_lpis(unsigned cpu, unsigned id_bits = 16) {
    set_redist(cpu, kGicrPropbaser, kProperties | (id_bits - 1), 8);
    set_redist(cpu, kGicrPendbaser, (kPending + cpu * 0x1'0000) | 1ull << 62, 8);
    set_redist(cpu, kGicrCtlr, kGicrCtlrEnableLpis);
  }
  // The GIC, LPIs on every CPU, flat tables, collection n to CPU n; every LPI enabled at 0xa0.
  void start_its() {
    start();
    std::memset(ram.host(kProperties, kLpis), 0xa0 | 1, kLpis);
    for (unsigned cpu = 0; cpu < cpus(); ++cpu) start_lpis(cpu);
    set_reg(kGitsBaser, kDevices | kValid | kPages64 | 7);
    set_reg(kGitsBaser + 8, kCollections | kValid | kPages64);
    set_reg(kGitsCbaser, kQueue | kValid | (kQueueBytes / 4096 - 1));
    set_reg(kGitsCwriter, 0);
    set_reg(kGitsCtlr, 1, 4);
    for (unsigned cpu = 0; cpu < cpus(); ++cpu) run(mapc(static_cast<uint16_t>(cpu), cpu));
  }
  static uint64_t itt(unsigned device) { return kItts + device * kIttBytes; }

  // Puts commands behind those that are queued, not yet told.
  void put(const ItsCommand& command) {
    for (unsigned i = 0; i < 4; ++i) ram.put64(kQueue + writer + i * 8, command.word[i]);
    writer = (writer + 32) % kQueueBytes;
  }
  void ring() { set_reg(kGitsCwriter, writer); }
  // True if it was no error.
  bool run(const ItsCommand& command) {
    const uint64_t before = counter("command_errors") + counter("stalls");
    put(command);
    ring();
    return counter("command_errors") + counter("stalls") == before;
  }
  uint64_t counter(const std::string& name) {
    std::map<std::string, uint64_t, std::less<>> all;
    its.counters(
        [](void* to, std::string_view key, uint64_t value) {
          (*static_cast<decltype(all)*>(to))[std::string(key)] = value;
        },
        &all);
    return all.at(name);
  }
  void configure(unsigned intid, uint8_t value) {
    ram.put8(kProperties + intid - kFirstLpi, value);
  }
  void send(uint32_t device, uint32_t event) { its.message(device, kIts + Its::kDoorbell, event); }
  // A device of 2^bits events that go to LPIs from `first` and collection 0.
  void device(unsigned id, unsigned bits, unsigned events, unsigned first) {
    EXPECT_TRUE(run(mapd(id, bits, itt(id))));
    for (unsigned event = 0; event < events; ++event) {
      EXPECT_TRUE(run(mapti(id, event, first + event, 0)));
    }
  }
  // Acknowledges and ends all that is signalled.
  std::vector<uint64_t> take_all(unsigned cpu) {
    std::vector<uint64_t> taken;
    while (irq[cpu].level) {
      taken.push_back(ack(cpu));
      eoi(cpu, taken.back());
    }
    return taken;
  }

  ItsRam ram;
  FakeClock clock;
  Its its;
  uint64_t writer = 0;
};

}  // namespace trapline::gicv3

#endif  // TRAPLINE_TESTS_DEVICES_GICV3_ITS_BENCH_H_
