#include "tests/vmm/report/sample.h"

#include "vmm/report/select.h"

namespace trapline {

Profile sample_profile() {
  const ExitKey uart{"DABT_LOW", "pl011", "UARTFR"}, wfi{"WFx", "", "WFI"};
  Profile p;
  p.file = "sample.json";
  p.source = "trapline, soft backend";
  p.duration_ns = 1e9;
  p.timed_every = 10;
  ProfileRow row;
  row.pc = 0xffff800008743a48;
  row.key = uart;
  row.isv = ProfileRow::Isv::kInvalid;
  row.count = 70;
  row.time = {.count = 7,
              .sum_ns = 700,
              .min_ns = 60,
              .max_ns = 190,
              .buckets = {{60, 62, 4}, {90, 92, 2}, {188, 192, 1}}};
  row.stages_ns = {{"decode", 100}, {"emulate", 400}};
  row.to_user = 2;
  row.word = 0xb9401800;
  row.text = "ldr w0, [x0, #0x18]";
  row.symbol = "pl011_console_putchar+0x48";
  p.rows.push_back(row);
  row.vcpu = 1;
  row.count = 30;
  p.rows.push_back(row);
  ProfileRow idle;
  idle.pc = 0x1000;
  idle.key = wfi;
  idle.count = 10;
  idle.time = {.count = 1, .sum_ns = 240, .min_ns = 240, .max_ns = 240, .buckets = {{240, 248, 1}}};
  idle.sleep_ns = 5e6;
  p.rows.push_back(idle);
  ProfileRow other;
  other.other = true;
  other.key.exit_class = "DABT_LOW";
  other.count = 5;
  p.rows.push_back(other);
  p.vcpus = {{0, 9e8, 1e7, 9e7}, {1, 5e8, 1e7, 4.9e8}};
  p.slice_ns = 2.5e8;
  p.series = {{uart, {10, 20, 30, 40}}, {wfi, {0, 0, 5, 5}}};
  p.stacks = {{{"start+0x4", "printk+0x10", "pl011_console_putchar+0x48"}, uart, 5, 500},
              {{"start+0x8", "printk+0x20", "pl011_console_putchar+0x48"}, uart, 2, 200},
              {{"0x1000"}, wfi, 1, 240}};
  p.latencies["irq_to_iar"] = {
      .count = 3, .sum_ns = 3000, .min_ns = 900, .max_ns = 1100, .buckets = {{896, 1120, 3}}};
  p.icache = {{"hits", 60}, {"misses", 10}};
  p.counters = {{"lost_events", 0}};
  p.notes = {"5 exits found no row"};
  p.nested = {{.exit = "foreign", .traps_nv = 7, .traps_nv2 = 3, .traps = {{"ERET", "", 3, 3}}},
              {.exit = "hypercall",
               .exits = 10,
               .moved = 1,
               .stays = 10,
               .traps_nv = 190,
               .traps_nv2 = 20,
               .erets = 10,
               .instructions = 4000,
               .traps = {{"ERET", "", 10, 10}, {"SPSR_EL2", "read", 180, 10}}}};
  return p;
}

Profile sample_with_events() {
  Profile p = sample_profile();
  p.series.clear();
  p.rows.resize(2);
  p.timed_every = 1;
  for (uint32_t i = 0; i < 100; ++i) {
    ExitEvent event;
    event.start_ns = i * 1e7;
    event.total_ns = 100.0 * i;
    event.row = i % 2;
    event.value = i;
    event.write = i % 3 == 0;
    p.events.push_back(event);
  }
  p.rows[0].count = p.rows[1].count = 50;
  return p;
}

}  // namespace trapline
