// The CPU's speed by kind of instruction, under Trapline and QEMU alike: the loops are micro.S's.
// A line for each: `BENCH name ns`, of a round of the loop, and `RESULT name value`, which is the
// same everywhere.
#include "measure.h"

#define MICRO(name) uint64_t micro_##name(uint64_t times);
#include "micro_names.h"
#undef MICRO

struct Micro {
  const char* name;
  uint64_t (*loop)(uint64_t times);
};
static const struct Micro micros[] = {
#define MICRO(name) {#name, micro_##name},
#include "micro_names.h"
#undef MICRO
};

static uint64_t (*chosen)(uint64_t times);
static void run_chosen(uint64_t times) { chosen(times); }

const struct Benchmark benchmarks[1];
const uint64_t benchmark_count = 0;

void secondary_main(void) {
  for (;;) asm volatile("wfi");
}

void guest_main(void) {
  write32(UART + 0x30, 0x301);  // UARTCR: on
  put_text("MICRO GUEST\n");
  for (unsigned i = 0; i < sizeof micros / sizeof *micros; ++i) {
    put_text("RESULT ");
    put_text(micros[i].name);
    put_char(' ');
    put_number(micros[i].loop(1000));
    put_char('\n');
    chosen = micros[i].loop;
    bench(micros[i].name, run_chosen, 1);
  }
  put_text("END\n");
  psci(PSCI_SYSTEM_OFF, 0, 0, 0);
}
