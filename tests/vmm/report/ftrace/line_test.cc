#include <gtest/gtest.h>

#include "vmm/report/ftrace_line.h"

namespace trapline {
namespace {

using Kind = TraceLine::Kind;

TEST(TraceLine, Forms) {
  const struct {
    const char* text;
    const char* thread;
    uint32_t pid, cpu;
    uint64_t time_ns;
    const char* event;
    bool perf;
  } kLines[] = {
      // ftrace: with and without flags' fifth character, TGID, nanoseconds.
      {"       CPU 0/KVM-111     [000] d..1.     9.728672: kvm_entry: PC: 0x1", "CPU 0/KVM", 111, 0,
       9'728'672'000, "kvm_entry", false},
      {" qemu-system-aar-108     [013] ....     9.606961: kvm_entry: PC: 0x1", "qemu-system-aar",
       108, 13, 9'606'961'000, "kvm_entry", false},
      {"   vcpu-0 a-b c-4242  (   4240) [001] d..1. 100.000000001: kvm_entry: PC: 0x1",
       "vcpu-0 a-b c", 4242, 1, 100'000'000'001, "kvm_entry", false},
      {"           <...>-5 [000] 1.5: kvm_entry: PC: 0x1", "<...>", 5, 0, 1'500'000'000,
       "kvm_entry", false},
      // trace-cmd report, older and newer.
      {"       CPU 0/KVM-111   [000]    13.768172: kvm_entry:            PC: 0x1", "CPU 0/KVM", 111,
       0, 13'768'172'000, "kvm_entry", false},
      {"       CPU 0/KVM-111   [000] d..1.    13.768172: kvm_entry:            PC: 0x1",
       "CPU 0/KVM", 111, 0, 13'768'172'000, "kvm_entry", false},
      // perf script; --ns; -F +pid; with a period.
      {"       CPU 0/KVM   111 [000]    13.768172:            kvm:kvm_entry: PC: 0x1", "CPU 0/KVM",
       111, 0, 13'768'172'000, "kvm_entry", true},
      {"       CPU 0/KVM   111 [000]    13.768172123:         kvm:kvm_entry: PC: 0x1", "CPU 0/KVM",
       111, 0, 13'768'172'123, "kvm_entry", true},
      {"fc_vcpu 0 104/111 [000]    13.768172:          1 kvm:kvm_entry: PC: 0x1", "fc_vcpu 0", 111,
       0, 13'768'172'000, "kvm_entry", true},
      {"a[1] b-2 111 [000] 13.768172: kvm:kvm_entry: PC: 0x1\r", "a[1] b-2", 111, 0, 13'768'172'000,
       "kvm_entry", true},
  };
  for (const auto& expected : kLines) {
    const TraceLine line = parse_trace_line(expected.text);
    SCOPED_TRACE(expected.text);
    EXPECT_EQ(line.kind, Kind::kEvent);
    EXPECT_EQ(line.thread, expected.thread);
    EXPECT_EQ(line.pid, expected.pid);
    EXPECT_EQ(line.cpu, expected.cpu);
    EXPECT_EQ(line.time_ns, expected.time_ns);
    EXPECT_EQ(line.event, expected.event);
    EXPECT_EQ(line.text, "PC: 0x1");
    EXPECT_EQ(line.perf, expected.perf);
  }
}

TEST(TraceLine, Lost) {
  const struct {
    const char* text;
    uint64_t lost;
    uint32_t cpu;
  } kLines[] = {
      {"CPU:1 [LOST 123 EVENTS]", 123, 1},
      {"CPU:1 [LOST EVENTS]", 1, 1},
      {"CPU:3 [45 EVENTS DROPPED]", 45, 3},
      {"CPU:3 [EVENTS DROPPED]", 1, 3},
      {"# entries-in-buffer/entries-written: 1000/5000   #P:2", 4000, ~0u},
      {"  perf 12 [002] 13.768172: PERF_RECORD_LOST lost 7", 7, 2},
  };
  for (const auto& expected : kLines) {
    const TraceLine line = parse_trace_line(expected.text);
    SCOPED_TRACE(expected.text);
    EXPECT_EQ(line.kind, Kind::kLost);
    EXPECT_EQ(line.lost, expected.lost);
    EXPECT_EQ(line.cpu, expected.cpu);
  }
}

TEST(TraceLine, NothingAndUnknown) {
  for (const char* text :
       {"", "# tracer: nop", "#", "cpus=2",
        "\t    ffff8000080c handle_exit+0x1 ([kernel.kallsyms])", " => el1h_64_sync",
        "# entries-in-buffer/entries-written: 256663/256663   #P:2"}) {
    EXPECT_EQ(parse_trace_line(text).kind, Kind::kNothing) << text;
  }
  for (const char* text :
       {"hello", "a-1 [000]", "a-1 [000] 1.5", "a-1 [x] 1.5: b:", "a [000] 1.5: b: c",
        "-1 [000] 99999999999999.5: b: c", "[000] 1.5: b: c", "a- [000] 1.5: b: c",
        "a-1 [000] 1.: b: c", "CPU:x EVENTS"}) {
    EXPECT_EQ(parse_trace_line(text).kind, Kind::kUnknown) << text;
  }
}

}  // namespace
}  // namespace trapline
