// What a CPU waits for: the attention word, WFI, WFE and the event register (D1.6).
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <thread>
#include <utility>

#include "mmio/side_work.h"
#include "vmm/soft/soft_vcpu.h"
#include "vmm/vcpu/host_clock.h"

namespace trapline::soft {
namespace {

// How long WFI looks for an interrupt before it sleeps: about what going to sleep and waking up
// cost. It does so only if the wait before was a short one; a CPU that idles sleeps at once, and
// keeps its place in the host's scheduler for when it wakes.
constexpr uint64_t kSpinNs = 10'000;
constexpr uint64_t kShortWaitNs = 30'000;

// A WFE whose monitor is set looks at the memory itself, since the stores of other CPUs do not look
// for monitors: a moment by spinning, another by giving way to whoever may hold the host's CPU that
// the store needs, then between naps.
constexpr uint64_t kMonitorSpinNs = 2'000;
constexpr uint64_t kMonitorYieldNs = 20'000;
constexpr uint64_t kNapNs = 50'000;

// A WFE may end without an event at any time (D1.6.1). With a monitor it does so at the rate of
// Linux's event stream, because a store of the value that was there before goes unnoticed.
constexpr uint64_t kLongestMonitorWaitNs = 100'000;
constexpr uint64_t kLongestEventWaitNs = 10'000'000;

void futex_wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}
// Sleeps while the word is `value`, at most this long; may end early.
void futex_wait(std::atomic<uint32_t>& word, uint32_t value, uint64_t ns) {
  timespec timeout{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, &timeout, nullptr, 0);
}

void pause_host() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

uint64_t load_monitored(const uint8_t* host, unsigned bytes) {
  switch (bytes) {
    case 1:
      return __atomic_load_n(host, __ATOMIC_SEQ_CST);
    case 2:
      return __atomic_load_n(reinterpret_cast<const uint16_t*>(host), __ATOMIC_SEQ_CST);
    case 4:
      return __atomic_load_n(reinterpret_cast<const uint32_t*>(host), __ATOMIC_SEQ_CST);
    default:
      return __atomic_load_n(reinterpret_cast<const uint64_t*>(host), __ATOMIC_SEQ_CST);
  }
}

// The monitor covers memory whose value can be watched. (A snapshot's may name anything.)
const uint8_t* monitored(const Cpu& cpu) {
  const ExclusiveMonitor& m = cpu.monitor;
  if (!m.valid || m.device || m.bytes == 0 || (m.bytes & (m.bytes - 1)) != 0 || m.bytes > 16 ||
      (m.ipa & (m.bytes - 1u)) != 0) {
    return nullptr;
  }
  return cpu.memory->host(m.ipa, m.bytes);
}

// Another observer wrote to the marked memory: the global monitor is open (B2.9.2).
bool monitor_lost(const Cpu& cpu) {
  const uint8_t* host = monitored(cpu);
  if (host == nullptr) return false;
  const ExclusiveMonitor& m = cpu.monitor;
  if (load_monitored(host, m.bytes) != m.value[0]) return true;
  return m.bytes == 16 && load_monitored(host + 8, 8) != m.value[1];
}

// CNTKCTL_EL1 (D17.11): the event stream, an event at each transition of a bit of the counter.
enum Cntkctl : uint64_t { kEvnten = 1 << 2, kEvntdir = 1 << 3 };
uint64_t ns_to_stream_event(const Cpu& cpu) {
  const uint64_t control = cpu.sys.cntkctl_el1;
  if ((control & kEvnten) == 0 || cpu.clock == nullptr) return ~uint64_t{0};
  const uint64_t half = uint64_t{1} << (control >> 4 & 15), period = 2 * half;
  // Of the bit's period: it becomes 1 at `half`, 0 at the end.
  const uint64_t trigger = (control & kEvntdir) != 0 ? 0 : half;
  return (((trigger - cpu.clock->now() - 1) & (period - 1)) + 1) * Clock::kNsPerTick;
}

}  // namespace

void raise_attention(Cpu& cpu, uint32_t bits) {
  cpu.attention.fetch_or(bits, std::memory_order_seq_cst);
  // Either the sleeper sees the bits before it sleeps, or we see that it sleeps: with `sleeping` in
  // the place of the presence, the argument of maintenance.cc ("Order").
  if (cpu.sleeping.load(std::memory_order_seq_cst) != 0 &&
      cpu.sleeping.exchange(0, std::memory_order_seq_cst) != 0) {
    const SideWork side(SideWork::Kind::kWake);
    futex_wake(cpu.sleeping);
  }
}

// An interrupt that PSTATE masks ends a WFI, but not a WFE (D1.6.1).
bool event_pending(const Cpu& cpu) {
  const uint32_t wanted = Cpu::kEvent | cpu.interrupt_bits[cpu.ps.daif & 7];
  return cpu.event || (cpu.attention.load(std::memory_order_seq_cst) & wanted) != 0 ||
         monitor_lost(cpu);
}

void clear_event(Cpu& cpu) {
  cpu.event = false;
  cpu.attention.fetch_and(~uint32_t{Cpu::kEvent}, std::memory_order_seq_cst);
  if (monitor_lost(cpu)) cpu.monitor.valid = false;
}

namespace {

void set_line(Cpu& cpu, uint32_t bit, bool level) {
  if (level) {
    raise_attention(cpu, bit);
  } else {
    cpu.attention.fetch_and(~bit, std::memory_order_seq_cst);
  }
}

}  // namespace

void SoftVcpu::set_irq(bool level) { set_line(cpu_, Cpu::kIrq, level); }
void SoftVcpu::set_fiq(bool level) { set_line(cpu_, Cpu::kFiq, level); }
void SoftVcpu::set_virq(bool level) { set_line(cpu_, Cpu::kVirq, level); }
void SoftVcpu::set_vfiq(bool level) { set_line(cpu_, Cpu::kVfiq, level); }

void SoftVcpu::kick() { raise_attention(cpu_, Cpu::kKick); }

// A look between `sleeping = 1` and the sleep, among others; see raise_attention().
bool SoftVcpu::wakeup_pending() {
  return (cpu_.attention.load(std::memory_order_seq_cst) & cpu_.wake_bits) != 0;
}

bool SoftVcpu::event_pending() { return soft::event_pending(cpu_); }

uint64_t SoftVcpu::longest_event_wait() {
  const uint64_t most = cpu_.monitor.valid ? kLongestMonitorWaitNs : kLongestEventWaitNs;
  return std::min(most, ns_to_stream_event(cpu_));
}

void SoftVcpu::wait_for_event(uint64_t timeout_ns, bool wfe) {
  const auto woken = [&] {
    if ((cpu_.attention.load(std::memory_order_seq_cst) & Cpu::kKick) != 0) return true;
    return wfe ? soft::event_pending(cpu_) : wakeup_pending();
  };
  const uint64_t start = steady_ns();
  const bool polls = wfe && monitored(cpu_) != nullptr;
  bool watched = false;
  const uint64_t spin_ns = last_wait_ns_ <= kShortWaitNs ? kSpinNs : polls ? kMonitorSpinNs : 0;
  while (!woken()) {
    for (unsigned i = 0; i < 16 && !woken(); ++i) pause_host();
    const uint64_t waited = steady_ns() - start;
    if (waited >= timeout_ns) break;
    if (waited < spin_ns) continue;
    if (polls && waited < kMonitorYieldNs) {
      std::this_thread::yield();
      continue;
    }
    if (!wfe && sleep_watch_ != nullptr && !std::exchange(watched, true)) {
      // Counted from after the answer: whoever wakes too early has no interrupt yet.
      const uint64_t most = sleep_watch_->falls_asleep(), asked = steady_ns() - start;
      if (asked < timeout_ns && most < timeout_ns - asked) timeout_ns = asked + most;
      continue;
    }
    const uint64_t left = timeout_ns - waited;
    cpu_.sleeping.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!woken()) futex_wait(cpu_.sleeping, 1, polls ? std::min(left, kNapNs) : left);
    cpu_.sleeping.store(0, std::memory_order_seq_cst);
  }
  if (watched) sleep_watch_->wakes();
  last_wait_ns_ = steady_ns() - start;
  if (wfe) clear_event(cpu_);
}

}  // namespace trapline::soft
