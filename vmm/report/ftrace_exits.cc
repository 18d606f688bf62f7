// Where an exit's time goes. Of a trap: from kvm_exit to kvm_userspace_exit is the kernel's
// handling, from there to kvm_entry the VMM's, without a userspace exit all is the kernel's. Of a
// WFI (and PSCI's CPU_SUSPEND, CPU_OFF, which wait as well) the vCPU's thread is blocked in
// between. kvm_vcpu_wakeup, where it was recorded, says for how long, halt polling included, and
// that is the sleep: the rest, before and after it, is handling. Without it nothing says when the
// thread went to sleep and awoke, so that all from kvm_wfx_arm64 to kvm_entry is taken as sleep:
// then handling is too small by the way into the sleep and out of it, and a WFI that found an
// interrupt pending counts as a short sleep. WFE only yields.
#include "vmm/report/ftrace_exits.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace trapline {
namespace {

constexpr size_t kMostThreads = 1024;
constexpr size_t kMostRows = 32'768;  // besides a row `other` of each vCPU
constexpr unsigned kSys64 = 0x18, kDataAbort = 0x24, kInstructionAbort = 0x20, kWfx = 0x01,
                   kHvc64 = 0x16, kHvc32 = 0x12;

// The vCPU's number in the name of its thread: "CPU 0/KVM" (QEMU), "vcpu0", "fc_vcpu 0",
// "kvm-vcpu-0".
bool number_in_name(std::string_view name, unsigned& number) {
  size_t at = name.find("cpu");
  if (at == std::string_view::npos) at = name.find("CPU");
  if (at == std::string_view::npos) return false;
  at += 3;
  while (at < name.size() && (name[at] == ' ' || name[at] == '-' || name[at] == '_')) ++at;
  const auto [end, error] = std::from_chars(name.data() + at, name.data() + name.size(), number);
  return error == std::errc() && number < kMostThreads;
}

std::string_view until(std::string_view text, char c) { return text.substr(0, text.find(c)); }

// The raw fields' ret, where a tool prints those.
std::string_view return_name(uint64_t code) {
  constexpr std::string_view kNames[] = {"IRQ", "SERROR", "TRAP", "IL"};
  return code < 4 ? kNames[code] : "HYP_GONE";
}

}  // namespace

TraceExits::Thread* TraceExits::thread_of(const TraceLine& line, bool vcpu) {
  if (line.pid == last_pid_ && last_thread_ < threads_.size()) return &threads_[last_thread_];
  auto at = by_pid_.find(line.pid);
  if (at == by_pid_.end()) {
    if (!vcpu) return nullptr;
    if (threads_.size() >= kMostThreads) {
      ++too_many_threads_;
      return nullptr;
    }
    Thread thread{.pid = line.pid, .name = std::string(line.thread)};
    const auto taken = [&](unsigned n) {
      return std::any_of(threads_.begin(), threads_.end(),
                         [&](const Thread& t) { return t.vcpu == n; });
    };
    if (!number_in_name(line.thread, thread.vcpu) || taken(thread.vcpu)) {
      thread.vcpu = 0;
      while (taken(thread.vcpu)) ++thread.vcpu;
    }
    at = by_pid_.emplace(line.pid, static_cast<uint32_t>(threads_.size())).first;
    threads_.push_back(std::move(thread));
  }
  last_pid_ = line.pid;
  last_thread_ = at->second;
  return &threads_[last_thread_];
}

TraceExits::Took TraceExits::take(const TraceLine& line) {
  if (line.kind == TraceLine::Kind::kLost) {
    on_lost(line);
    return Took::kYes;
  }
  if (!started_) first_ = line.time_ns;
  started_ = true;
  last_ = std::max(last_, line.time_ns);
  if (line.event == "kvm_exit") return on_exit(line);
  if (line.event == "kvm_entry") {
    on_entry(line);
    return Took::kYes;
  }
  if (!line.event.starts_with("kvm_")) return Took::kYes;
  if (line.event == "kvm_userspace_exit") ++to_user_;
  Thread* thread = thread_of(line, false);
  if (thread == nullptr || !thread->in_exit) return Took::kYes;
  return on_detail(line, *thread) ? Took::kYes : Took::kNotUnderstood;
}

// "TRAP: HSR_EC: 0x0024 (DABT_LOW), PC: 0xffff8000080030b8"; as raw fields
// "ret=2 esr_ec=0x24 vcpu_pc=0xffff8000080030b8".
TraceExits::Took TraceExits::on_exit(const TraceLine& line) {
  std::string_view ret = until(line.text, ':'), name;
  auto exception_class = number_after(line.text, "HSR_EC: ", 16);
  auto pc = number_after(line.text, "PC: ", 16);
  if (exception_class && pc) {
    if (const size_t open = line.text.find('('); open != std::string_view::npos) {
      name = until(line.text.substr(open + 1), ')');
    }
  } else {
    exception_class = number_after(line.text, "esr_ec=", 10);
    pc = number_after(line.text, "vcpu_pc=", 10);
    const auto code = number_after(line.text, "ret=", 10);
    if (!exception_class || !pc || !code) return Took::kForeign;
    ret = return_name(*code);
  }
  Thread* thread = thread_of(line, true);
  if (thread == nullptr) return Took::kYes;
  thread->cpu = line.cpu;
  if (thread->in_exit) end_exit(*thread, line.time_ns, false);
  if (thread->in_guest) {
    thread->guest_ns += line.time_ns - std::min(line.time_ns, thread->entered);
    thread->in_guest = false;
  }
  Pending& exit = thread->exit;
  exit = Pending{};
  exit.start = line.time_ns;
  exit.pc = *pc;
  const bool trap = ret == "TRAP";
  // An HVC was executed, and the PC is behind it; all else trapped before.
  if (trap && (*exception_class == kHvc64 || *exception_class == kHvc32)) exit.pc -= 4;
  exit.exit_class = trap ? keys_.exit_class(name, static_cast<unsigned>(*exception_class & 0x3f))
                         : keys_.exit_class(ret.substr(0, 16), 0);
  exit.key = keys_.plain(exit.exit_class);
  if (trap && *exception_class == kInstructionAbort) exit.key = keys_.memory(exit.exit_class);
  if (trap && *exception_class == kDataAbort) {
    exit.key = keys_.memory(exit.exit_class);
    ++data_aborts_;
  }
  if (trap && *exception_class == kSys64) ++register_exits_;
  // WFE if kvm_wfx_arm64 does not say otherwise.
  exit.sleeps = trap && *exception_class == kWfx;
  if (exit.sleeps) exit.blocks_at = exit.start;
  thread->in_exit = true;
  ++exits_;
  return Took::kYes;
}

void TraceExits::on_entry(const TraceLine& line) {
  Thread* thread = thread_of(line, true);
  if (thread == nullptr) return;
  thread->cpu = line.cpu;
  if (thread->in_exit) end_exit(*thread, line.time_ns, true);
  thread->in_guest = true;
  thread->entered = line.time_ns;
}

bool TraceExits::on_detail(const TraceLine& line, Thread& thread) {
  Pending& exit = thread.exit;
  const std::string_view text = line.text;
  if (line.event == "kvm_mmio") return on_mmio(line, exit);
  if (line.event == "kvm_sys_access") return on_register(line, exit);
  if (line.event == "kvm_guest_fault") {
    // "ipa 0x9000000, hsr 0x93400007, hxfar 0x..., pc 0x...": hsr is ESR_EL2.
    const auto ipa = number_after(text, "ipa ", 16), esr = number_after(text, "hsr ", 16);
    if (!ipa || !esr) return false;
    ++faults_;
    if ((*esr >> 26 & 0x3f) == kDataAbort) {
      exit.isv = (*esr >> 24 & 1) != 0 ? ProfileRow::Isv::kValid : ProfileRow::Isv::kInvalid;
      // The IPA is a page's; FAR has the rest.
      const uint64_t rest = number_after(text, "hxfar ", 16).value_or(0) & 0xfff;
      if (exit.address == 0 && keys_.is_device(*ipa)) {
        exit.key = keys_.device(exit.exit_class, *ipa | rest);
      }
    }
    return true;
  }
  if (line.event == "kvm_mmio_nisv") {
    const auto ipa = number_after(text, "ipa ", 16);
    if (!ipa) return false;
    exit.isv = ProfileRow::Isv::kInvalid;
    const uint64_t rest = number_after(text, "far ", 16).value_or(0) & 0xfff;
    exit.key = keys_.device(exit.exit_class, *ipa | rest);
    return true;
  }
  if (line.event == "kvm_wfx_arm64") {
    // "guest executed wfi at: 0x..."; "wfit" and "wfet" in some versions.
    const bool wfi = text.find("wfi") != std::string_view::npos;
    wfi_ += wfi ? 1 : 0;
    exit.sleeps = wfi;
    exit.blocks_at = wfi ? line.time_ns : 0;
    return true;
  }
  if (line.event == "kvm_vcpu_wakeup") {
    // "wait time 12345 ns, polling valid"
    const auto slept = number_after(text, "time ", 10);
    if (!slept) return false;
    ++wakeups_;
    exit.wakeup_at = line.time_ns;
    exit.slept += std::min(*slept, line.time_ns - std::min(line.time_ns, exit.start));
    return true;
  }
  if (line.event == "kvm_hvc_arm64" || line.event == "kvm_smc_arm64") {
    const auto function = number_after(text, "r0: ", 16);
    if (!function) return false;
    exit.key = keys_.call(exit.exit_class, *function);
    exit.value = *function;
    const uint64_t psci = *function & 0xffff'ffff & ~uint64_t{0x4000'0000};
    exit.sleeps = psci == 0x8400'0001 || psci == 0x8400'0002;
    exit.blocks_at = exit.sleeps ? line.time_ns : 0;
    return true;
  }
  if (line.event == "kvm_userspace_exit") exit.user_at = line.time_ns;
  return true;
}

// "mmio unsatisfied-read len 4 gpa 0x9000018 val 0x0", then "mmio read ..." with the value; "mmio
// write".
bool TraceExits::on_mmio(const TraceLine& line, Pending& exit) {
  const auto address = number_after(line.text, "gpa ", 16);
  if (!address) return false;
  ++mmio_;
  exit.write = line.text.starts_with("mmio write");
  exit.value = number_after(line.text, "val ", 16).value_or(0);
  // An access of several parts is known by its first.
  if (exit.address == 0) {
    exit.address = *address;
    exit.key = keys_.device(exit.exit_class, *address);
    if (exit.isv == ProfileRow::Isv::kNotApplicable) exit.isv = ProfileRow::Isv::kValid;
  }
  return true;
}

// "PC: ffff800008683960 SYS_ICC_SGI1R_EL1 (3,0,12,11,5) write"
bool TraceExits::on_register(const TraceLine& line, Pending& exit) {
  const std::string_view text = line.text;
  const size_t open = text.rfind('(');
  if (open == std::string_view::npos || open < 2) return false;
  uint32_t fields[5];
  const char* at = text.data() + open + 1;
  const char* const end = text.data() + text.size();
  for (uint32_t& field : fields) {
    const auto [next, error] = std::from_chars(at, end, field);
    if (error != std::errc() || field > 15 || next == end) return false;
    at = next + 1;
  }
  std::string_view name = text.substr(0, open - 1);
  name.remove_prefix(std::min(name.rfind(' ') + 1, name.size()));
  if (name.starts_with("SYS_")) name.remove_prefix(4);
  if (name == "UNKNOWN" || name == "(null)") name = {};
  ++registers_;
  exit.write = text.ends_with("write");
  exit.key = keys_.system_register(
      exit.exit_class, name,
      fields[0] << 16 | fields[1] << 12 | fields[2] << 8 | fields[3] << 4 | fields[4]);
  return true;
}

// What stood between two events of a CPU is missing: an exit before it does not belong to the entry
// behind it.
void TraceExits::on_lost(const TraceLine& line) {
  lost_ += line.lost;
  ++lost_places_;
  for (Thread& thread : threads_) {
    if (thread.cpu != line.cpu) continue;
    if (thread.in_exit) end_exit(thread, thread.exit.start, false);
    thread.in_guest = false;
  }
}

uint32_t TraceExits::row_of(const Thread& thread, uint16_t key) {
  RowKey wanted{thread.exit.pc, static_cast<uint16_t>(thread.vcpu), key,
                static_cast<int8_t>(thread.exit.isv)};
  auto at = row_ids_.find(wanted);
  if (at != row_ids_.end()) return at->second;
  const bool other = key == TraceKeys::kOther || rows_.size() >= kMostRows;
  if (other) {
    wanted = {0, static_cast<uint16_t>(thread.vcpu), TraceKeys::kOther, 0};
    ++in_other_rows_;
    at = row_ids_.find(wanted);
    if (at != row_ids_.end()) return at->second;
  }
  rows_.push_back({.key = wanted, .other = other});
  const auto id = static_cast<uint32_t>(rows_.size() - 1);
  row_ids_.emplace(wanted, id);
  return id;
}

void TraceExits::end_exit(Thread& thread, uint64_t now, bool timed) {
  thread.in_exit = false;
  const Pending& exit = thread.exit;
  const uint32_t id = row_of(thread, exit.key);
  Row& row = rows_[id];
  ++row.count;
  count_in_series(row.other ? TraceKeys::kOther : exit.key, exit.start);
  if (exit.user_at != 0) ++row.to_user;
  uint64_t total = 0, sleep = 0;
  if (!timed) {
    ++untimed_;
  } else {
    total = now - std::min(now, exit.start);
    if (exit.wakeup_at != 0) {
      sleep = exit.slept;
      wakeup_times_.record(now - std::min(now, exit.wakeup_at));
    } else if (exit.sleeps && exit.blocks_at != 0) {
      sleep = now - std::min(now, exit.blocks_at);
    }
    sleep = std::min(sleep, total);
    const uint64_t handling = total - sleep;
    row.times.record(handling);
    row.sleep_ns += sleep;
    thread.exit_ns += handling;
    thread.idle_ns += sleep;
    uint64_t user = 0;
    if (exit.user_at != 0) {
      user = std::min(now - std::min(now, exit.user_at), handling);
      user_times_.record(user);
    }
    row.user_ns += user;
    row.kernel_ns += handling - user;
  }
  if (events_.size() < most_events_) {
    events_.push_back({.start_ns = static_cast<double>(exit.start - std::min(exit.start, first_)),
                       .total_ns = static_cast<double>(total),
                       .sleep_ns = static_cast<double>(sleep),
                       .value = exit.value,
                       .row = id,
                       .write = exit.write,
                       .to_user = exit.user_at != 0});
  }
}

}  // namespace trapline
