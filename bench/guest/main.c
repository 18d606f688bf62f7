// What does an exit cost, and how fast is the CPU? One guest, unchanged under Trapline and QEMU:
// each line it prints is `BENCH name ns`, nanoseconds an operation (the median of short batches,
// so that a disturbed one does not count), or `BENCH name ns` an instruction for the cpu_* lines.
#include "driven.h"
#include "guest.h"
#include "measure.h"
#include "program.h"

static uint32_t gicr(unsigned cpu) { return GICR + cpu * 0x20000; }

// --- exits ---------------------------------------------------------------------------------------

static void loop_hvc(uint64_t times) {
  for (; times != 0; --times) psci(PSCI_VERSION, 0, 0, 0);
}

#define LOAD_LOOP(name, address, instruction)                                              \
  static void name(uint64_t times) {                                                       \
    uint64_t base = (address), a, b;                                                       \
    for (; times != 0; --times) {                                                          \
      asm volatile(instruction : [a] "=&r"(a), [b] "=&r"(b), [base] "+r"(base)::"memory"); \
    }                                                                                      \
  }

LOAD_LOOP(loop_user, VIRTIO, "ldr %w[a], [%[base]]")
LOAD_LOOP(loop_user_post, VIRTIO, "ldr %w[a], [%[base]], #0")
LOAD_LOOP(loop_user_pair, VIRTIO, "ldp %w[a], %w[b], [%[base]]")
LOAD_LOOP(loop_gicd, GICD + 8, "ldr %w[a], [%[base]]")
LOAD_LOOP(loop_gicd_post, GICD + 8, "ldr %w[a], [%[base]], #0")
LOAD_LOOP(loop_gicd_pair, GICD, "ldp %w[a], %w[b], [%[base]]")
LOAD_LOOP(loop_uart, UART + 0x18, "ldr %w[a], [%[base]]")

static void loop_uart_store(uint64_t times) {
  for (; times != 0; --times) write32(UART + 0x24, 1);  // IBRD: prints nothing
}

// As kvm-unit-tests' micro-bench `eoi`: the spurious INTID.
static void loop_eoi(uint64_t times) {
  for (; times != 0; --times) WRITE_SYSREG("S3_0_C12_C12_1", 1023);
}
static void loop_iar(uint64_t times) {
  for (; times != 0; --times) (void)READ_SYSREG("S3_0_C12_C12_0");
}
static void loop_pmr(uint64_t times) {
  for (; times != 0; --times) WRITE_SYSREG("S3_0_C4_C6_0", 0xf0);
}

// Send, take, acknowledge, end, return.
static void loop_sgi_self(uint64_t times) {
  for (; times != 0; --times) {
    const uint64_t before = cpus[0].interrupts;
    WRITE_SYSREG("S3_0_C12_C11_5", 1u << 24 | 1);  // ICC_SGI1R_EL1: SGI 1 to Aff0 = 0
    while (__atomic_load_n(&cpus[0].interrupts, __ATOMIC_ACQUIRE) == before) relax();
  }
}

static void send_ipi(void) {
  const uint64_t before = __atomic_load_n(&cpus[1].interrupts, __ATOMIC_ACQUIRE);
  asm volatile("dsb ishst" ::: "memory");
  WRITE_SYSREG("S3_0_C12_C11_5", 1u << 24 | 2);
  while (__atomic_load_n(&cpus[1].interrupts, __ATOMIC_ACQUIRE) == before) relax();
}
// As kvm-unit-tests' `ipi`: one after the other; the other CPU waits by WFI.
static void loop_ipi(uint64_t times) {
  for (; times != 0; --times) send_ipi();
}

// The other CPU sleeps for certain: 200 us between two IPIs.
static void bench_ipi_asleep(void) {
  uint64_t took[101];
  for (unsigned i = 0; i < 101; ++i) {
    const uint64_t idle = now();
    while (now() - idle < frequency() / 5000) relax();
    const uint64_t start = now();
    send_ipi();
    took[i] = ticks_to_ps(now() - start, 1);
  }
  sort(took, 101);
  report("ipi_asleep", took[50]);
}

// How late the interrupt of a timer is that the CPU sleeps for, a millisecond each.
static void bench_timer_asleep(void) {
  uint64_t late[101];
  for (unsigned i = 0; i < 101; ++i) {
    const uint64_t before = cpus[0].interrupts, deadline = now() + frequency() / 1000;
    asm volatile("msr cntv_cval_el0, %0" ::"r"(deadline));
    asm volatile("msr cntv_ctl_el0, %0; isb" ::"r"((uint64_t)1));
    while (__atomic_load_n(&cpus[0].interrupts, __ATOMIC_ACQUIRE) == before) asm volatile("wfi");
    late[i] = ticks_to_ps(now() - deadline, 1);
  }
  sort(late, 101);
  report("timer_asleep", late[50]);
  report("timer_asleep_p90", late[90]);
}

static void loop_timer_program(uint64_t times) {
  for (; times != 0; --times) {
    asm volatile("msr cntv_tval_el0, %0" ::"r"((uint64_t)0x7000000));
    asm volatile("msr cntv_ctl_el0, %0" ::"r"((uint64_t)1));
  }
  asm volatile("msr cntv_ctl_el0, xzr");
}

// A deadline that is over when it is set, to the end of its interrupt.
static void loop_timer_interrupt(uint64_t times) {
  for (; times != 0; --times) {
    const uint64_t before = cpus[0].interrupts;
    asm volatile("msr cntv_cval_el0, xzr");
    asm volatile("msr cntv_ctl_el0, %0; isb" ::"r"((uint64_t)1));
    while (__atomic_load_n(&cpus[0].interrupts, __ATOMIC_ACQUIRE) == before) relax();
  }
}

// --- PCIe and messages ---------------------------------------------------------------------------

LOAD_LOOP(loop_config_1, PCI_FUNCTION + 8, "ldrb %w[a], [%[base]]")
LOAD_LOOP(loop_config_2, PCI_FUNCTION + 2, "ldrh %w[a], [%[base]]")
LOAD_LOOP(loop_config_4, PCI_FUNCTION, "ldr %w[a], [%[base]]")
LOAD_LOOP(loop_config_empty, ECAM + (9 << 15), "ldr %w[a], [%[base]]")

static void write_config(uint64_t times) {
  const uint32_t line = read32(PCI_FUNCTION + 0x3c);
  for (; times != 0; --times) write32(PCI_FUNCTION + 0x3c, line);
}

enum { kFirstLpi = 8192, kEvent = 3 };
#define VALID ((uint64_t)1 << 63)
#define LPI_CONFIGURATION ITS_TABLES
#define LPI_PENDING (ITS_TABLES + 0x10000)
#define ITS_COMMANDS (ITS_TABLES + 0x20000)
#define ITS_DEVICES (ITS_TABLES + 0x30000)
#define ITS_COLLECTIONS (ITS_TABLES + 0x40000)
#define ITS_TRANSLATIONS (ITS_TABLES + 0x50000)

static uint64_t its_writer;
static void its_send(uint64_t a, uint64_t b, uint64_t c) {
  volatile uint64_t* const words = (uint64_t*)(ITS_COMMANDS + its_writer);
  words[0] = a;
  words[1] = b;
  words[2] = c;
  words[3] = 0;
  its_writer = (its_writer + 32) % 4096;
  asm volatile("dsb ishst" ::: "memory");
  write64(ITS + 0x88, its_writer);  // GITS_CWRITER
}

// Event kEvent of device 0, as which a CPU's own write to the doorbell counts, is the first LPI, to
// CPU 0.
static int start_its(void) {
  if ((read32(GICD + 4) >> 17 & 1) == 0) return 0;       // GICD_TYPER.LPIS
  *(volatile uint8_t*)LPI_CONFIGURATION = 0x80 | 2 | 1;  // priority, enabled
  write64(gicr(0) + 0x70, LPI_CONFIGURATION | (16 - 1));
  write64(gicr(0) + 0x78, LPI_PENDING | (uint64_t)1 << 62);
  write32(gicr(0), 1);
  write64(ITS + 0x100, ITS_DEVICES | VALID);
  write64(ITS + 0x108, ITS_COLLECTIONS | VALID);
  write64(ITS + 0x80, ITS_COMMANDS | VALID);
  write64(ITS + 0x88, 0);
  write32(ITS, 1);
  its_send(0x08, 5 - 1, ITS_TRANSLATIONS | VALID);        // MAPD
  its_send(0x09, 0, 0 | VALID);                           // MAPC
  its_send(0x0a, (uint64_t)kFirstLpi << 32 | kEvent, 0);  // MAPTI
  its_send(0x0c, kEvent, 0);                              // INV
  while (read64(ITS + 0x90) != its_writer) relax();       // GITS_CREADR
  return 1;
}

// From the doorbell to the end of the handler.
static void loop_msi(uint64_t times) {
  for (; times != 0; --times) {
    const uint64_t before = cpus[0].interrupts;
    write32(DOORBELL, kEvent);
    while (__atomic_load_n(&cpus[0].interrupts, __ATOMIC_ACQUIRE) == before) relax();
  }
}
// The same by the ITS's command INT.
static void loop_its_int(uint64_t times) {
  for (; times != 0; --times) {
    const uint64_t before = cpus[0].interrupts;
    its_send(0x03, kEvent, 0);
    while (__atomic_load_n(&cpus[0].interrupts, __ATOMIC_ACQUIRE) == before) relax();
  }
}

static void loop_counter(uint64_t times) {
  for (; times != 0; --times) (void)now();
}

// --- the CPU -------------------------------------------------------------------------------------

static uint64_t buffer[2][4096] __attribute__((aligned(4096)));

static void loop_integer(uint64_t times) {
  uint64_t a = 1, b = 2, c = 3;
  asm volatile(
      "1: add %[a], %[a], %[b]\n"
      "eor %[b], %[b], %[a], lsl #3\n"
      "sub %[c], %[c], %[a]\n"
      "ror %[a], %[a], #7\n"
      "and %w[b], %w[b], #0xffff\n"
      "orr %[c], %[c], %[b]\n"
      "subs %[n], %[n], #1\n"
      "b.ne 1b\n"
      : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [n] "+r"(times)::"cc");
}

// A CRC by bits: short, with a branch that depends on data.
static void loop_branchy(uint64_t times) {
  uint64_t crc = 0x12345678, poly = 0xedb88320;
  asm volatile(
      "1: tbz %w[crc], #0, 2f\n"
      "eor %[crc], %[poly], %[crc], lsr #1\n"
      "b 3f\n"
      "2: lsr %[crc], %[crc], #1\n"
      "nop\n"
      "3: subs %[n], %[n], #1\n"
      "b.ne 1b\n"
      : [crc] "+r"(crc), [n] "+r"(times)
      : [poly] "r"(poly)
      : "cc");
}

// 64 bytes a round by pairs, as Linux's memcpy: eight pairs of load and store, 11 instructions.
static void loop_copy(uint64_t times) {
  uint64_t from = (uint64_t)buffer[0], to = (uint64_t)buffer[1], index = 0, source, target;
  asm volatile(
      "1: add %[source], %[from], %[index]\n"
      "add %[target], %[to], %[index]\n"
      "ldp x9, x10, [%[source]]\n"
      "ldp x11, x12, [%[source], #16]\n"
      "ldp x13, x14, [%[source], #32]\n"
      "ldp x15, x16, [%[source], #48]\n"
      "stp x9, x10, [%[target]]\n"
      "stp x11, x12, [%[target], #16]\n"
      "stp x13, x14, [%[target], #32]\n"
      "stp x15, x16, [%[target], #48]\n"
      "add %[index], %[index], #64\n"
      "and %[index], %[index], #0x7fff\n"
      "subs %[n], %[n], #1\n"
      "b.ne 1b\n"
      : [index] "+r"(index), [n] "+r"(times), [source] "=&r"(source), [target] "=&r"(target)
      : [from] "r"(from), [to] "r"(to)
      : "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "cc", "memory");
}

// Byte by byte.
static void loop_bytes(uint64_t times) {
  uint64_t from = (uint64_t)buffer[0], to = (uint64_t)buffer[1], index = 0;
  asm volatile(
      "1: ldrb w9, [%[from], %[index]]\n"
      "strb w9, [%[to], %[index]]\n"
      "add %[index], %[index], #1\n"
      "and %[index], %[index], #0x7fff\n"
      "subs %[n], %[n], #1\n"
      "b.ne 1b\n"
      : [index] "+r"(index), [n] "+r"(times)
      : [from] "r"(from), [to] "r"(to)
      : "x9", "cc", "memory");
}

static void loop_calls(uint64_t times) {
  asm volatile(
      "b 2f\n"
      "1: stp x29, x30, [sp, #-16]!\n"
      "add x9, x9, #1\n"
      "ldp x29, x30, [sp], #16\n"
      "ret\n"
      "2: bl 1b\n"
      "subs %[n], %[n], #1\n"
      "b.ne 2b\n"
      : [n] "+r"(times)::"x9", "x30", "cc", "memory");
}

// A load from each of many pages in turn: more than a TLB of fixed size holds.
static void loop_tlb_miss(uint64_t times) {
  uint64_t index = 0;
  times *= kTlbPages;
  asm volatile(
      "1: ldr x9, [%[pages], %[index]]\n"
      "add %[index], %[index], %[stride]\n"
      "and %[index], %[index], #0xffffff\n"
      "subs %[n], %[n], #1\n"
      "b.ne 1b\n"
      : [index] "+r"(index), [n] "+r"(times)
      : [pages] "r"(PAGES), [stride] "r"((uint64_t)4096 + 64)
      : "x9", "cc", "memory");
}

static struct Program program;

static void make_program(uint64_t times) {
  (void)times;
  program_build(&program, (uint32_t*)PROGRAM);
  for (uint64_t line = PROGRAM; line < PROGRAM + 4 * (uint64_t)program.used; line += 64) {
    asm volatile("dc cvau, %0" ::"r"(line) : "memory");
  }
  asm volatile("dsb ish" ::: "memory");
  for (uint64_t line = PROGRAM; line < PROGRAM + 4 * (uint64_t)program.used; line += 64) {
    asm volatile("ic ivau, %0" ::"r"(line) : "memory");
  }
  asm volatile("dsb ish; isb" ::: "memory");
}

static uint64_t run_driver(unsigned driver) {
  return call_program(PROGRAM + 4 * (uint64_t)program.driver[driver % kProgramDrivers],
                      PROGRAM_DATA);
}
static void loop_program(uint64_t times) {
  static unsigned next;
  for (; times != 0; --times) run_driver(next++);
}
// Code that was never run before, each instruction once.
static void loop_block_build(uint64_t times) {
  for (; times != 0; --times) {
    asm volatile("ic iallu; dsb nsh; isb" ::: "memory");
    call_program(PROGRAM + 4 * (uint64_t)program.sweep, PROGRAM_DATA);
  }
}

#define PASSES 5

// A driver's call is a batch.
static void bench_program(void) {
  static uint64_t cold[PASSES * kProgramDrivers], warm[PASSES * kProgramDrivers];
  uint64_t executed = 0;
  for (unsigned i = 0; i < PASSES * kProgramDrivers; ++i) {
    if (i % kProgramDrivers == 0) make_program(1);
    const uint64_t start = now();
    const uint64_t ran = run_driver(i);
    cold[i] = ticks_to_ps(now() - start, ran);
    executed += ran;
  }
  // A translator may wait until code has run a few dozen times, seldom taken branches, too.
  for (unsigned i = 0; i < 2 * PASSES * kProgramDrivers; ++i) executed += run_driver(i);
  for (unsigned i = 0; i < PASSES * kProgramDrivers; ++i) {
    const uint64_t start = now();
    const uint64_t ran = run_driver(i);
    warm[i] = ticks_to_ps(now() - start, ran);
    executed += ran;
  }
  sort(cold, PASSES * kProgramDrivers);
  report("cpu_program_cold", cold[PASSES * kProgramDrivers / 2]);
  sort(warm, PASSES * kProgramDrivers);
  report("cpu_program", warm[PASSES * kProgramDrivers / 2]);
  uint64_t sum = 0;
  for (uint64_t i = 0; i < kProgramDataBytes; i += 8) {
    sum = (sum << 1 | sum >> 63) ^ *(volatile uint64_t*)(PROGRAM_DATA + i);
  }
  put_text("PROGRAM bytes ");
  put_number(4 * (uint64_t)program.used);
  put_text(" instructions ");
  put_number(executed);
  put_text(" check ");
  put_number(sum);
  put_char('\n');
}

// --- start ---------------------------------------------------------------------------------------

static void enable_interrupts(unsigned cpu) {
  write32(gicr(cpu) + 0x14, 0);  // GICR_WAKER
  while ((read32(gicr(cpu) + 0x14) & 4) != 0) relax();
  write32(gicr(cpu) + 0x10080, ~0u);  // GICR_IGROUPR0: all of group 1
  for (unsigned i = 0; i < 32; i += 4) write32(gicr(cpu) + 0x10400 + i, 0x80808080);
  write32(gicr(cpu) + 0x10100, 1u << 27 | 0xffff);  // GICR_ISENABLER0
  WRITE_SYSREG("S3_0_C12_C12_5", 7);                // ICC_SRE_EL1
  asm volatile("isb");
  WRITE_SYSREG("S3_0_C4_C6_0", 0xf0);  // ICC_PMR_EL1
  WRITE_SYSREG("S3_0_C12_C12_3", 0);   // ICC_BPR1_EL1
  WRITE_SYSREG("S3_0_C12_C12_7", 1);   // ICC_IGRPEN1_EL1
  asm volatile("isb; msr daifclr, #2" ::: "memory");
}

void secondary_main(void) {
  enable_interrupts(1);
  __atomic_store_n(&cpus[1].ready, 1, __ATOMIC_RELEASE);
  for (;;) asm volatile("wfi");
}

static void start_secondary(void) {
  extern char secondary_start[];
  if (psci(PSCI_CPU_ON, 1, (uint64_t)secondary_start, 0) != 0) return;
  while (__atomic_load_n(&cpus[1].ready, __ATOMIC_ACQUIRE) == 0) relax();
}

// In the order of the output.
const struct Benchmark benchmarks[] = {
    {"hvc", loop_hvc, 1, kAlways},
    {"mmio_user", loop_user, 1, kAlways},
    {"mmio_user_post_index", loop_user_post, 1, kAlways},
    {"mmio_user_pair", loop_user_pair, 1, kAlways},
    {"mmio_gicd", loop_gicd, 1, kAlways},
    {"mmio_gicd_post_index", loop_gicd_post, 1, kAlways},
    {"mmio_gicd_pair", loop_gicd_pair, 1, kAlways},
    {"mmio_pl011", loop_uart, 1, kAlways},
    {"mmio_pl011_store", loop_uart_store, 1, kAlways},
    {"eoi", loop_eoi, 1, kAlways},
    {"iar", loop_iar, 1, kAlways},
    {"pmr", loop_pmr, 1, kAlways},
    {"sgi_self", loop_sgi_self, 1, kAlways},
    {"timer_program", loop_timer_program, 1, kAlways},
    {"timer_interrupt", loop_timer_interrupt, 1, kAlways},
    {"counter_read", loop_counter, 1, kAlways},
    {"config_read_1", loop_config_1, 1, kPcie},
    {"config_read_2", loop_config_2, 1, kPcie},
    {"config_read_4", loop_config_4, 1, kPcie},
    {"config_read_empty", loop_config_empty, 1, kPcie},
    {"config_write_4", write_config, 1, kPcie},
    {"msi", loop_msi, 1, kPcie},
    {"its_int", loop_its_int, 1, kPcie},
    {"ipi", loop_ipi, 1, kSecondCpu},
    {"cpu_integer", loop_integer, 8, kAlways},
    {"cpu_branchy", loop_branchy, 6, kAlways},
    {"cpu_copy", loop_copy, 14, kAlways},
    {"cpu_bytes", loop_bytes, 6, kAlways},
    {"cpu_calls", loop_calls, 7, kAlways},
    {"tlb_miss", loop_tlb_miss, kTlbPages, kAlways},
    {"make_program", make_program, 1, kDrivenOnly},
    {"cpu_program", loop_program, 1, kDrivenOnly},
    {"block_build", loop_block_build, 1, kDrivenOnly},
};
const uint64_t benchmark_count = sizeof benchmarks / sizeof *benchmarks;

void guest_main(void) {
  write32(UART + 0x30, 0x301);  // UARTCR: on
  write32(GICD, 0x10);          // ARE
  write32(GICD, 0x12);          // and group 1
  enable_interrupts(0);
  start_secondary();
  const int pcie = start_its();
  put_text("BENCHMARK GUEST\n");
  for (const struct Benchmark* b = benchmarks; b < benchmarks + benchmark_count; ++b) {
    if (b->use == kAlways || (b->use == kSecondCpu && cpus[1].ready) || (b->use == kPcie && pcie))
      bench(b->name, b->loop, b->per);
  }
  if (cpus[1].ready) bench_ipi_asleep();
  bench_timer_asleep();
  bench_program();
  put_text("END\n");
  psci(PSCI_SYSTEM_OFF, 0, 0, 0);
}
