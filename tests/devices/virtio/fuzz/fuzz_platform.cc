// Fuzzes the platform's other devices, wired as the machine wires them: the GICv3 (frames and
// ICC_*), the generic timers (system registers and frames), PL011 and PL031. Any register, any
// size, any alignment, interrupts and time in between, snapshots whole and damaged.
#include <cstdlib>
#include <span>

#include "devices/gicv3/gicv3.h"
#include "devices/gicv3/registers.h"
#include "devices/pl011.h"
#include "devices/pl031.h"
#include "devices/timer.h"
#include "tests/devices/fake_clock.h"
#include "tests/devices/fake_sink.h"
#include "tests/devices/virtio/fuzz/input.h"

namespace trapline {
namespace {

constexpr unsigned kCpus = 3;
constexpr unsigned kSpis = 96;

// The CNT*_EL0 that exit and the ICC_*_EL1, and neighbours that are neither.
constexpr SysregId kSysregs[] = {
    gicv3::kIccPmr,
    gicv3::kIccIar0,
    gicv3::kIccEoir0,
    gicv3::kIccHppir0,
    gicv3::kIccBpr0,
    gicv3::kIccAp0r0,
    gicv3::kIccAp1r0,
    gicv3::kIccDir,
    gicv3::kIccRpr,
    gicv3::kIccSgi1r,
    gicv3::kIccAsgi1r,
    gicv3::kIccSgi0r,
    gicv3::kIccIar1,
    gicv3::kIccEoir1,
    gicv3::kIccHppir1,
    gicv3::kIccBpr1,
    gicv3::kIccCtlr,
    gicv3::kIccSre,
    gicv3::kIccIgrpen0,
    gicv3::kIccIgrpen1,
    sysreg_id(3, 0, 12, 8, 5),   // ICC_AP0R1_EL1
    sysreg_id(3, 3, 14, 0, 0),   // CNTFRQ
    sysreg_id(3, 3, 14, 0, 1),   // CNTPCT
    sysreg_id(3, 3, 14, 0, 2),   // CNTVCT
    sysreg_id(3, 3, 14, 2, 0),   // CNTP_TVAL
    sysreg_id(3, 3, 14, 2, 1),   // CNTP_CTL
    sysreg_id(3, 3, 14, 2, 2),   // CNTP_CVAL
    sysreg_id(3, 3, 14, 3, 0),   // CNTV_TVAL
    sysreg_id(3, 3, 14, 3, 1),   // CNTV_CTL
    sysreg_id(3, 3, 14, 3, 2),   // CNTV_CVAL
    sysreg_id(3, 4, 14, 0, 3),   // CNTVOFF_EL2
    sysreg_id(3, 0, 12, 11, 4),  // reserved
};

struct Platform {
  Platform() : gic(kCpus, kSpis), timer(clock, kCpus), memory_timer(clock) {
    for (unsigned cpu = 0; cpu < kCpus; ++cpu) {
      gic.connect_cpu(cpu, &irq[cpu], &fiq[cpu]);
      timer.connect(cpu, &gic.ppi(cpu, Gicv3::kVirtualTimerIntid),
                    &gic.ppi(cpu, Gicv3::kPhysicalTimerIntid));
    }
    memory_timer.connect(&gic.spi(64));
    uart.on_rx_space([this] { ++spaces; });
  }

  struct Window {
    Device* device;
    uint64_t bytes;
  };
  FakeClock clock;
  Gicv3 gic;
  FakeLine irq[kCpus], fiq[kCpus];
  GenericTimer timer;
  MemoryMappedTimer memory_timer;
  uint64_t spaces = 0;
  FakeSink sink;
  Pl011 uart{sink, &gic.spi(1)};
  Pl031 rtc{clock, 1'700'000'000, &gic.spi(2)};
  const Window windows[6] = {
      {&gic.distributor(), Gicv3::kDistributorSize},
      {&gic.redistributors(), kCpus* Gicv3::kRedistributorSize},
      {&uart, Pl011::kSize},
      {&rtc, Pl031::kSize},
      {&memory_timer.control(), 0x10000},  // as the machine maps them
      {&memory_timer.frame(), 0x10000},
  };
};

// Half of the offsets lie where registers are dense: the start of a frame, or its ID registers.
uint64_t take_offset(fuzz::Input& in, uint64_t window) {
  const auto raw = in.take<uint32_t>();
  switch (raw >> 30) {
    case 0:
      return (raw & 0xfff) % window;
    case 1:  // aligned words anywhere
      return (raw & 0xffffffc) % window;
    case 2:
      return (window - 0x1000 + (raw & 0xffc)) % window;
    default:
      return raw % window;
  }
}

// A snapshot of `from`, perhaps with a byte changed, into `to`.
template <typename From, typename To>
void restore(const From& from, To& to, bool damage, fuzz::Input& in) {
  StateWriter out;
  from.save(out);
  std::vector<uint8_t> state = out.buffer();
  if (damage && !state.empty()) state[in.take<uint16_t>() % state.size()] ^= in.take<uint8_t>();
  StateReader reader(state.data(), state.size());
  if (!to.load(reader) && !damage) std::abort();
}

void run(fuzz::Input in) {
  Platform p;
  while (!in.empty()) {
    const auto op = in.take<uint8_t>();
    const unsigned cpu = (op >> 4) % kCpus;
    switch (op & 15) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4: {
        const auto pick = in.take<uint8_t>();
        const Platform::Window& w = p.windows[(pick & 15) % std::size(p.windows)];
        const unsigned size = 1u << (pick >> 4 & 3);
        const uint64_t offset = take_offset(in, w.bytes);
        if (offset + size > w.bytes) break;
        if ((pick & 64) != 0) {
          const uint64_t value = w.device->read(offset, size, cpu).value;
          if (size < 8 && value >> (8 * size) != 0) std::abort();  // zero-extended
          w.device->register_name(offset);
        } else {
          w.device->write(offset, size, in.take<uint64_t>(), cpu);
        }
        break;
      }
      case 5:
      case 6:
      case 7:
      case 8: {
        const auto pick = in.take<uint8_t>();
        const SysregId id = pick == 255 ? in.take<uint16_t>() : kSysregs[pick & 31];
        uint64_t value = 0;
        if ((pick & 32) != 0) {
          value = (pick & 64) != 0 ? in.take<uint64_t>() : in.take<uint8_t>();
          p.gic.cpu_interface().sysreg_write(id, cpu, value);
          p.timer.sysreg_write(id, cpu, value);
        } else {
          p.gic.cpu_interface().sysreg_read(id, cpu, value);
          p.timer.sysreg_read(id, cpu, value);
        }
        p.gic.cpu_interface().register_name(id);
        p.timer.register_name(id);
        break;
      }
      case 9:
        p.gic.spi(in.take<uint8_t>() % kSpis).set((op & 64) != 0);
        break;
      case 10:
        p.gic.ppi(cpu, 16 + in.take<uint8_t>() % 16).set((op & 64) != 0);
        break;
      case 11:
        p.clock.advance((op & 64) != 0 ? in.take<uint64_t>() >> 8 : in.take<uint16_t>());
        break;
      case 12: {
        size_t size = in.take<uint8_t>() % 40;
        const uint8_t* bytes = in.take_bytes(size);
        p.uart.receive({bytes, size});
        p.sink.set_room(size % 20);
        p.uart.tx_room();
        if ((op & 64) != 0) p.uart.receive_break();
        if (p.uart.rx_space() > Pl011::kFifoDepth) std::abort();
        break;
      }
      case 13: {
        const auto pick = in.take<uint8_t>();
        const bool damage = (op & 64) != 0;
        if ((pick & 7) == 7) {
          restore(p.timer, p.timer, damage, in);
        } else {
          Device& device = *p.windows[(pick & 7) % std::size(p.windows)].device;
          restore(device, device, damage, in);
        }
        break;
      }
      case 14:
        p.gic.reset_cpu_interface(cpu);
        if ((op & 64) != 0) p.timer.reset_cpu(cpu);
        break;
      default: {
        const auto pick = in.take<uint8_t>();
        if ((pick & 7) == 7) {
          p.timer.reset();
        } else {
          p.windows[(pick & 7) % std::size(p.windows)].device->reset();
        }
        break;
      }
    }
  }
  if (!p.gic.consistent()) std::abort();
}

}  // namespace
}  // namespace trapline

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  trapline::run({data, size});
  return 0;
}
