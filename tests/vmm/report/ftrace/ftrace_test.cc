#include "vmm/report/ftrace.h"

#include <fmt/format.h>

#include <map>

#include "tests/vmm/report/ftrace/trace_files.h"
#include "tests/vmm/symbols/kallsyms_image.h"

namespace trapline {
namespace {

class HostTrace : public TraceFiles {
 protected:
  Profile read(const std::string& path, const HostTraceOptions& options = {}) {
    auto profile = read_host_trace(path, options);
    EXPECT_TRUE(profile) << profile.error();
    return profile ? *profile : Profile{};
  }
  Profile read_text(std::string_view text, const HostTraceOptions& options = {}) {
    return read(file("trace", text), options);
  }
  std::string error(std::string_view text, const HostTraceOptions& options = {}) {
    auto profile = read_host_trace(file("trace", text), options);
    EXPECT_FALSE(profile);
    EXPECT_EQ(profile.error().find('\n'), std::string::npos);
    return profile.error();
  }
  static bool has_note(const Profile& profile, const std::string& text) {
    for (const std::string& note : profile.notes) {
      if (note.find(text) != std::string::npos) return true;
    }
    return false;
  }
  static std::map<std::string, uint64_t> classes(const Profile& profile) {
    std::map<std::string, uint64_t> counts;
    for (const ProfileRow& row : profile.rows) counts[row.key.exit_class] += row.count;
    return counts;
  }
  static uint64_t touched(const Profile& profile, const std::string& device,
                          const std::string& reg) {
    uint64_t count = 0;
    for (const ProfileRow& row : profile.rows) {
      if (row.key.device == device && row.key.reg == reg) count += row.count;
    }
    return count;
  }
};

std::string exit_line(double time, const char* what, uint64_t pc = 0x1000, unsigned pid = 7) {
  return fmt::format("CPU 0/KVM-{} [000] ...1. {:.6f}: kvm_exit: TRAP: HSR_EC: {}, PC: {:#018x}\n",
                     pid, time, what, pc);
}
std::string entry_line(double time, unsigned pid = 7) {
  return fmt::format("CPU 0/KVM-{} [000] d..1. {:.6f}: kvm_entry: PC: 0x1000\n", pid, time);
}
std::string event_line(double time, const char* event, unsigned pid = 7) {
  return fmt::format("CPU 0/KVM-{} [000] ..... {:.6f}: {}\n", pid, time, event);
}

// Pieces of a recording of a Debian boot under QEMU on an arm64 KVM host; the figures are those of
// another program.
TEST_F(HostTrace, RealRecording) {
  const Profile p = read(KVM_ARM64_TRACE);
  EXPECT_EQ(p.source, "ftrace");
  EXPECT_EQ(p.exits(), 102u);
  const std::map<std::string, uint64_t> expected = {
      {"IABT_LOW", 4}, {"DABT_LOW", 28}, {"SYS64", 41}, {"IRQ", 16}, {"HVC64", 6}, {"WFx", 7}};
  EXPECT_EQ(classes(p), expected);
  EXPECT_EQ(p.counters.at("kvm_userspace_exit"), 22u);
  EXPECT_EQ(p.counters.at("lost_events"), 0u);
  EXPECT_EQ(p.duration_ns, 16'566'886'000.0);
  ASSERT_EQ(p.vcpus.size(), 2u);
  EXPECT_EQ(p.vcpus[0].guest_ns, 40'006'000.0);
  EXPECT_EQ(p.vcpus[0].exit_ns, 4'594'824'000.0);
  EXPECT_EQ(p.vcpus[0].idle_ns, 938'347'000.0);
  EXPECT_EQ(p.vcpus[1].guest_ns, 4'113'000.0);
  EXPECT_EQ(p.vcpus[1].exit_ns, 939'459'000.0);
  EXPECT_EQ(p.vcpus[1].idle_ns, 5'179'039'000.0);
  EXPECT_EQ(touched(p, "pl011", "UARTFR"), 4u);
  EXPECT_EQ(touched(p, "pl011", "UARTCR"), 2u);
  EXPECT_EQ(touched(p, "gicd", "GICD_TYPER"), 1u);
  EXPECT_EQ(touched(p, "gicr", "GICR_PIDR2"), 1u);
  EXPECT_EQ(touched(p, "pcie-ecam", "+0x38000"), 1u);
  EXPECT_EQ(touched(p, "psci", "PSCI_VERSION"), 1u);
  uint64_t timed = 0, to_user = 0, isv1 = 0, isv0 = 0, in_series = 0;
  for (const ProfileRow& row : p.rows) {
    timed += row.time.count;
    to_user += row.to_user;
    if (row.isv == ProfileRow::Isv::kValid) isv1 += row.count;
    if (row.isv == ProfileRow::Isv::kInvalid) isv0 += row.count;
    EXPECT_TRUE(row.isv == ProfileRow::Isv::kNotApplicable || row.key.exit_class == "DABT_LOW");
    if (row.time.count != 0) {
      EXPECT_EQ(row.sleep_ns != 0, row.key.exit_class == "WFx");
    }
  }
  for (const Series& series : p.series) {
    for (const uint64_t count : series.counts) in_series += count;
  }
  EXPECT_EQ(timed, 97u);
  EXPECT_EQ(to_user, 20u);
  EXPECT_EQ(isv1, 27u);
  EXPECT_EQ(isv0, 1u);
  EXPECT_EQ(in_series, 102u);
  EXPECT_EQ(p.events.size(), 102u);
  EXPECT_TRUE(has_note(p, "5 exits without an entry behind"));
  EXPECT_TRUE(has_note(p, "vCPU 0 is 'CPU 0/KVM' (111), 1 is 'CPU 1/KVM' (112)"));
  EXPECT_FALSE(has_note(p, "not understood"));
}

// The same recording as other tools would print it comes to the same.
TEST_F(HostTrace, PerfScriptAndGzipAreTheSame) {
  const std::string text = content(KVM_ARM64_TRACE);
  std::string perf;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    if (const size_t bracket = line.find('['); bracket != std::string::npos && line[0] != '#') {
      line.replace(line.rfind('-', bracket), 1, " ");
      line.erase(line.find(']') + 1, 6);  // the flags
      line.insert(line.find("kvm_"), "kvm:");
    }
    perf += line + "\n";
  }
  const Profile whole = read(KVM_ARM64_TRACE);
  for (const Profile& other :
       {read_text(perf), read(gzip("trace.gz", text)), read(gzip("perf.gz", perf))}) {
    EXPECT_EQ(classes(other), classes(whole));
    EXPECT_EQ(other.rows.size(), whole.rows.size());
    EXPECT_EQ(other.vcpus[1].exit_ns, whole.vcpus[1].exit_ns);
    EXPECT_FALSE(has_note(other, "not understood"));
  }
  EXPECT_EQ(read_text(perf).source, "perf script");
  EXPECT_TRUE(looks_like_host_trace(text.substr(0, 1000)));
  EXPECT_TRUE(looks_like_host_trace(perf.substr(perf.find("CPU 0"), 1000)));
  EXPECT_TRUE(looks_like_host_trace(content(folder_ + "perf.gz").substr(0, 4096)));
}

TEST_F(HostTrace, HandlingUserSpaceAndDevices) {
  const Profile p = read_text(
      entry_line(1.000000) + exit_line(1.000100, "0x0024 (DABT_LOW)", 0x2000) +
      event_line(1.000101,
                 "kvm_guest_fault: ipa 0x9000000, hsr 0x93400007, hxfar 0xffff018, pc 0x2000") +
      event_line(1.000102, "kvm_mmio: mmio unsatisfied-read len 2 gpa 0x9000018 val 0x0") +
      event_line(1.000110, "kvm_userspace_exit: reason KVM_EXIT_MMIO (6)") +
      event_line(1.000130, "kvm_mmio: mmio read len 2 gpa 0x9000018 val 0x90") +
      entry_line(1.000140));
  ASSERT_EQ(p.rows.size(), 1u);
  const ProfileRow& row = p.rows[0];
  EXPECT_EQ(row.pc, 0x2000u);
  EXPECT_EQ(row.key, (ExitKey{"DABT_LOW", "pl011", "UARTFR"}));
  EXPECT_EQ(row.isv, ProfileRow::Isv::kValid);
  EXPECT_EQ(row.to_user, 1u);
  EXPECT_EQ(row.time.sum_ns, 40'000);
  EXPECT_EQ(row.stages_ns.at("kernel"), 10'000);
  EXPECT_EQ(row.stages_ns.at("user"), 30'000);
  EXPECT_EQ(p.events[0].value, 0x90u);
  EXPECT_FALSE(p.events[0].write);
  EXPECT_EQ(p.vcpus[0].guest_ns, 100'000);
  EXPECT_EQ(p.latencies.at("user_space").count, 1u);
}

TEST_F(HostTrace, IsvZero) {
  const Profile p = read_text(
      exit_line(1, "0x0024 (DABT_LOW)") +
      event_line(1.1, "kvm_mmio_nisv: ipa 0x9000018, esr 0x92000007, far 0xffff0000, pc 0x1000") +
      entry_line(1.2) + exit_line(2, "0x0024 (DABT_LOW)") +
      event_line(2.1,
                 "kvm_guest_fault: ipa 0x40001000, hsr 0x92000007, hxfar 0xffff123, pc 0x1000") +
      entry_line(2.2) + exit_line(3, "0x0024 (DABT_LOW)") +
      event_line(3.1,
                 "kvm_guest_fault: ipa 0x9000000, hsr 0x92000007, hxfar 0xffff018, pc 0x1000") +
      entry_line(3.2));
  EXPECT_EQ(touched(p, "pl011", "UARTFR"), 2u);
  EXPECT_EQ(touched(p, "memory", ""), 1u);
  for (const ProfileRow& row : p.rows) EXPECT_EQ(row.isv, ProfileRow::Isv::kInvalid);
}

TEST_F(HostTrace, SleepIsNotHandling) {
  const std::string wfi = exit_line(1.0, "0x0001 (WFx)") +
                          event_line(1.000010, "kvm_wfx_arm64: guest executed wfi at: 0x1000");
  Profile p = read_text(wfi + entry_line(2.0));
  EXPECT_EQ(p.rows[0].time.sum_ns, 10'000);
  EXPECT_EQ(p.rows[0].sleep_ns, 999'990'000);
  EXPECT_TRUE(has_note(p, "no kvm_vcpu_wakeup"));
  // With the event that tells, exactly.
  p = read_text(wfi + event_line(1.9, "kvm_vcpu_wakeup: wait time 899000000 ns, polling valid") +
                entry_line(2.0));
  EXPECT_EQ(p.rows[0].sleep_ns, 899'000'000);
  EXPECT_EQ(p.rows[0].time.sum_ns, 101'000'000);
  EXPECT_EQ(p.vcpus[0].idle_ns, 899'000'000);
  EXPECT_EQ(p.latencies.at("wakeup_to_entry").count, 1u);
  // WFE does not sleep, CPU_SUSPEND does.
  p = read_text(exit_line(1.0, "0x0001 (WFx)") +
                event_line(1.1, "kvm_wfx_arm64: guest executed wfe at: 0x1000") + entry_line(2.0));
  EXPECT_EQ(p.rows[0].sleep_ns, 0);
  p = read_text(exit_line(1.0, "0x0016 (HVC64)") +
                event_line(1.1, "kvm_hvc_arm64: HVC at 0x1000 (r0: 0x00000000c4000001, imm: 0x0)") +
                entry_line(2.0));
  EXPECT_EQ(p.rows[0].key, (ExitKey{"HVC64", "psci", "CPU_SUSPEND"}));
  EXPECT_EQ(p.rows[0].pc, 0xffcu) << "the HVC, not what follows it";
  EXPECT_NEAR(p.rows[0].sleep_ns, 900'000'000, 1);
}

TEST_F(HostTrace, SystemRegisters) {
  const Profile p = read_text(
      exit_line(1, "0x0018 (SYS64)") +
      event_line(1.1, "kvm_sys_access: PC: ffff8000 SYS_ICC_SGI1R_EL1 (3,0,12,11,5) write") +
      entry_line(1.2) + exit_line(2, "0x0018 (SYS64)") +
      event_line(2.1, "kvm_sys_access: PC: ffff8000 SYS_CNTP_CVAL_EL0 (3,3,14,2,2) read") +
      entry_line(2.2) + exit_line(3, "0x0018 (SYS64)") +
      event_line(3.1, "kvm_sys_access: PC: ffff8000 (null) (3,0,15,2,7) read") + entry_line(3.2));
  EXPECT_EQ(touched(p, "gicc", "ICC_SGI1R_EL1"), 1u);
  EXPECT_EQ(touched(p, "timer", "CNTP_CVAL_EL0"), 1u);
  EXPECT_EQ(touched(p, "sysreg", "S3_0_C15_C2_7"), 1u);
  EXPECT_TRUE(p.events[0].write);
}

TEST_F(HostTrace, LostEventsPartAnExitFromAnEntry) {
  const Profile p = read_text(exit_line(1, "0x0018 (SYS64)") + "CPU:0 [LOST 12 EVENTS]\n" +
                              entry_line(2) + exit_line(3, "0x0018 (SYS64)") + entry_line(3.5));
  EXPECT_EQ(p.exits(), 2u);
  ASSERT_EQ(p.rows.size(), 1u);
  EXPECT_EQ(p.rows[0].time.count, 1u);
  EXPECT_EQ(p.rows[0].time.sum_ns, 500'000'000);
  EXPECT_TRUE(has_note(p, "12 events lost at 1 place"));
  EXPECT_TRUE(has_note(p, "1 exit without an entry"));
}

TEST_F(HostTrace, UnknownLinesAreCountedAndSaid) {
  const Profile p =
      read_text("# tracer: nop\n" + exit_line(1, "0x0018 (SYS64)") + "what is this\n" +
                event_line(1.1, "kvm_sys_access: nonsense") + entry_line(2) +
                event_line(2.1, "sched_switch: prev_comm=a") + event_line(2.2, "kvm_new_event: x"));
  EXPECT_TRUE(has_note(p, "2 lines not understood (first: line 3)"));
}

TEST_F(HostTrace, Threads) {
  std::string text;
  // Two guests at once, and a VMM that names its threads otherwise.
  for (const auto& [name, pid] : {std::pair("CPU 0/KVM", 7),
                                  {"CPU 1/KVM", 8},
                                  {"CPU 0/KVM", 9},
                                  {"fc_vcpu 5", 10},
                                  {"worker", 11}}) {
    for (const char* event :
         {"kvm_exit: TRAP: HSR_EC: 0x0018 (SYS64), PC: 0x1000", "kvm_entry: PC: 0x1"}) {
      text += fmt::format("{}-{} [000] 1.5: {}\n", name, pid, event);
    }
  }
  const Profile p = read_text(text);
  EXPECT_TRUE(
      has_note(p,
               "vCPU 0 is 'CPU 0/KVM' (7), 1 is 'CPU 1/KVM' (8), 2 is 'CPU 0/KVM' (9), 3 is "
               "'worker' (11), 5 is 'fc_vcpu 5' (10)"));
}

TEST_F(HostTrace, RawFieldsWhereAToolPrintsThose) {
  const Profile p = read_text(
      "CPU 0/KVM-7 [000] 1.0: kvm_exit: ret=2 esr_ec=0x24 vcpu_pc=0xffff800008000000\n"
      "CPU 0/KVM-7 [000] 1.1: kvm_entry: vcpu_pc=0x1\n"
      "CPU 0/KVM-7 [000] 1.2: kvm_exit: ret=0 esr_ec=0x0 vcpu_pc=0x4000\n");
  const std::map<std::string, uint64_t> expected = {{"DABT_LOW", 1}, {"IRQ", 1}};
  EXPECT_EQ(classes(p), expected);
  EXPECT_TRUE(has_note(p, "devices are unknown"));
}

TEST_F(HostTrace, OneClearLine) {
  const std::string x86 = "qemu-7 [000] 1.5: kvm_exit: reason EPT_VIOLATION rip 0x7f info 181 0\n";
  EXPECT_NE(error(x86).find("another architecture"), std::string::npos);
  std::string many;
  for (int i = 0; i < 100; ++i) many += x86;
  EXPECT_NE(
      error(many).find("line 16: recorded on another architecture than arm64: 'kvm_exit: reason "
                       "EPT_VIOLATION"),
      std::string::npos);
  EXPECT_NE(error("").find("no kvm_exit"), std::string::npos);
  EXPECT_NE(error("a-1 [000] 1.5: sched_switch: x\n").find("no kvm_exit"), std::string::npos);
  EXPECT_NE(read_host_trace(folder_ + "missing", {}).error().find("No such file"),
            std::string::npos);
  EXPECT_NE(read_host_trace(folder_, {}).error().find("is a folder"), std::string::npos);
  const std::string good = exit_line(1, "0x0018 (SYS64)");
  EXPECT_NE(error(good, {.symbols = "/missing"}).find("/missing"), std::string::npos);
  EXPECT_NE(error(good, {.image = file("i", "x")}).find("no arm64 Image"), std::string::npos);

  std::string whole = content(gzip("whole.gz", content(KVM_ARM64_TRACE)));
  EXPECT_NE(error(std::string_view(whole).substr(0, whole.size() / 2)).find("gzip"),
            std::string::npos);
  whole[whole.size() / 2] ^= 0x55;
  EXPECT_NE(error(whole).find("gzip"), std::string::npos);
  for (const char* other : {"{\"exits\": {}}", "", "MZ", "hello world\n", "\x1f\x8b\x08junk"}) {
    EXPECT_FALSE(looks_like_host_trace(other)) << other;
  }
}

TEST_F(HostTrace, OverlongLinesAreOneLine) {
  const Profile p = read_text(exit_line(1, "0x0018 (SYS64)") + std::string(5'000'000, 'x') + "\n" +
                              entry_line(2) + "no end");
  EXPECT_TRUE(has_note(p, "2 lines not understood (first: line 2)"));
  EXPECT_EQ(p.rows[0].time.count, 1u);
}

TEST_F(HostTrace, BoundedRows) {
  std::string text;
  for (unsigned i = 0; i < 40'000; ++i) {
    text += exit_line(1 + i * 1e-6, "0x0018 (SYS64)", 0x1000 + i * 4);
  }
  const Profile p = read_text(text);
  EXPECT_EQ(p.exits(), 40'000u);
  EXPECT_EQ(p.rows.size(), 32'769u);
  EXPECT_TRUE(p.rows.back().other);
  EXPECT_EQ(p.rows.back().count, 40'000u - 32'768u);
  EXPECT_TRUE(has_note(p, "7232 exits found no row of their own"));
}

TEST_F(HostTrace, BoundedSeriesThatGrow) {
  std::string text;
  for (unsigned i = 0; i < 100; ++i) {
    text += exit_line(1 + i, "0x0024 (DABT_LOW)") +
            event_line(1.1 + i, fmt::format("kvm_mmio: mmio write len 4 gpa {:#x} val 0x1",
                                            0x9001000 + i * 0x1000)
                                    .c_str()) +
            entry_line(1.2 + i);
  }
  const Profile p = read_text(text);
  EXPECT_EQ(p.series.size(), 65u);
  EXPECT_EQ(p.series.back().key.exit_class, "other");
  uint64_t total = 0;
  for (const Series& series : p.series) {
    EXPECT_GE(series.counts.size(), 128u);
    EXPECT_LE(series.counts.size(), 256u);
    for (const uint64_t count : series.counts) total += count;
  }
  EXPECT_EQ(total, 100u);
}

// Symbols and instructions by an Image that the test makes: kvm_N_read and so on, 0x40 apart.
TEST_F(HostTrace, SymbolsAndKaslr) {
  KallsymsImage image;
  image.symbols = KallsymsImage::some(600);
  std::vector<uint8_t> bytes = image.bytes();
  constexpr uint32_t kMrs = 0xd53b'0020, kLdrh = 0x7940'0040;
  std::string here, moved, elsewhere;
  constexpr uint64_t kKaslr = 0x3a6c'0163'0000;
  for (unsigned i = 0; i < 40; ++i) {
    const uint64_t at = 0x1'0000 + (1 + i * i % 500) * 0x40 + 4 * (i % 8);
    const bool load = i % 2 == 0;
    std::memcpy(bytes.data() + at, load ? &kLdrh : &kMrs, 4);
    const char* what = load ? "0x0024 (DABT_LOW)" : "0x0018 (SYS64)";
    here += exit_line(1 + i, what, image.base + at) + entry_line(1.5 + i);
    moved += exit_line(1 + i, what, image.base + at + kKaslr) + entry_line(1.5 + i);
    elsewhere += exit_line(1 + i, what, image.base + at + 0x20) + entry_line(1.5 + i);
  }
  const std::string path =
      file("Image", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  for (const std::string& text : {here, moved}) {
    const Profile p = read_text(text, {.symbols = path});
    EXPECT_EQ(p.rows[0].symbol, "kvm_1_read+0x0");
    EXPECT_EQ(p.rows[0].word, kLdrh);
    EXPECT_EQ(has_note(p, "(KASLR)"), text == moved);
    for (const ProfileRow& row : p.rows) EXPECT_NE(row.text, "") << row.symbol;
  }
  const Profile given = read_text(moved, {.symbols = path, .kaslr_offset = kKaslr});
  EXPECT_EQ(given.rows[0].symbol, "kvm_1_read+0x0");
  EXPECT_EQ(read_text(moved, {.symbols = path, .kaslr_offset = 0}).rows[0].symbol, "") << "as told";
  const Profile other = read_text(elsewhere, {.symbols = path});
  EXPECT_TRUE(has_note(other, "another kernel's"));
  EXPECT_EQ(other.rows[0].symbol, "");
  EXPECT_EQ(other.rows[0].text, "");
  // The Image as what it is named: its names count where no others are given.
  const Profile image_only = read_text(here, {.image = path});
  EXPECT_EQ(image_only.rows[0].symbol, "kvm_1_read+0x0");
  EXPECT_EQ(image_only.rows[0].word, kLdrh);
  const std::string map = file("System.map",
                               "ffff800008000000 T _text\nffff800008010000 t cpu_do_idle\n"
                               "ffff800008010040 T next\n");
  const std::string idle =
      exit_line(1, "0x0001 (WFx)", 0xffff800008010008 + kKaslr) + entry_line(2);
  EXPECT_EQ(read_text(idle, {.symbols = map}).rows[0].symbol, "cpu_do_idle+0x8");
  const Profile wrong =
      read_text(exit_line(1, "0x0001 (WFx)", 0xffff800008010044) + entry_line(2), {.symbols = map});
  EXPECT_TRUE(has_note(wrong, "another kernel's symbols"));
}

}  // namespace
}  // namespace trapline
