// Registers of the distributor and of a redistributor by accesses without a syndrome, while another
// CPU runs and takes exits of its own: under KVM they go through the vGIC's attributes, of which
// some are not what a guest's access would be.
#include "guest.h"

#define GICD 0x08000000ul
#define GICR_SGI 0x080b0000ul  // the first CPU's
#define PSCI_CPU_ON 0xc4000003ul
#define ISPENDR 0x200ul
#define ICPENDR 0x280ul
#define BANK1 4ul  // INTIDs 32 to 63
#define ROUNDS 100ul

SNIPPET(put_post, "str w1, [x0], #4");
SNIPPET(get_post, "ldr w1, [x0], #4");
SNIPPET(put_byte, "strb w1, [x0], #1");
SNIPPET(put_double, "str x1, [x0], #8\n ldr x2, [x0, #-8]!");
SNIPPET(get_pair, "ldp w1, w2, [x0], #8");

extern char secondary_start[];
static volatile u64 started, rounds;

void secondary(u64 cpu) {
  (void)cpu;
  started = 1;
  for (;;) {
    ++rounds;
    (void)at(u32, PL011 + 0x18);  // an exit to user space
    (void)at(u32, GICD + 4);      // one that the kernel deals with
    asm volatile("str wzr, [%0], #0" ::"r"(PL011 + 0x28) : "memory");
  }
}

static void store(const void* code, u64 address, u64 value) {
  ctx.x[0] = address;
  ctx.x[1] = value;
  run_at(EL1H, code);
  check_in("store", "ESR at", address, ctx.esr, DONE);
}
static u64 load(u64 address) {
  ctx.x[0] = address;
  run_at(EL1H, get_post);
  check_in("load", "ESR at", address, ctx.esr, DONE);
  return (u32)ctx.x[1];
}

// Pending bits: a one sets or clears, a zero does nothing.
static void pending(const char* name, u64 base, u64 a, u64 b) {
  at(u32, base + ISPENDR) = (u32)a;  // with a syndrome
  store(put_post, base + ISPENDR, b);
  check_in(name, "both are pending", rounds, at(u32, base + ISPENDR) & (a | b), a | b);
  check_in(name, "both are read", rounds, load(base + ISPENDR) & (a | b), a | b);
  store(put_post, base + ICPENDR, a);
  check_in(name, "one is cleared", rounds, at(u32, base + ISPENDR) & (a | b), b);
  check_in(name, "of ICPENDR", rounds, load(base + ICPENDR) & (a | b), b);
  at(u32, base + ICPENDR) = (u32)b;
  check_in(name, "none", rounds, load(base + ISPENDR) & (a | b), 0);
}

// Ones clear what is there; where nothing can be, nothing happens.
static void status(const char* name, u64 address) {
  check_in(name, "is read", 0, load(address), at(u32, address));
  store(put_post, address, 0xf);
  check_in(name, "is read after ones", 0, load(address), at(u32, address));
  const u64 cleared = load(address);
  store(put_post, address, 0);
  check_in(name, "zeros change nothing", 0, at(u32, address), cleared);
}

void test(void) {
  check("CPU_ON", hvc(PSCI_CPU_ON, 1, (u64)secondary_start, 1), 0);
  while (started == 0) {
  }
  // PL011's interrupt, SPI 1: the transmit FIFO is empty. Its line is high; nothing is latched.
  at(u32, PL011 + 0x38) = 0x20;
  print("x");
  status("GICD_STATUSR", GICD + 0x10);
  status("GICR_STATUSR", GICR_SGI - 0x10000 + 0x10);
  for (u64 i = 0; i < ROUNDS; ++i) {
    pending("distributor", GICD + BANK1, 1ul << 16, 1ul << 17);
    pending("redistributor", GICR_SGI, 1ul << 3, 1ul << 5);
    check_in("level", "by LDR", i, at(u32, GICD + ISPENDR + BANK1) >> 1 & 1, 1);
    check_in("level", "without a syndrome", i, load(GICD + ISPENDR + BANK1) >> 1 & 1, 1);
    at(u32, GICD + 0x420) = 0x40404040;
    store(put_byte, GICD + 0x421, 0xa0);
    check_in("priority", "round", i, at(u32, GICD + 0x420), 0x4040a040);
    store(put_double, GICD + 0x6100 + 8 * 8, 1);
    check_in("route", "round", i, ctx.x[2], 1);
    ctx.x[0] = GICR_SGI - 0x10000 + 8;  // GICR_TYPER
    run_at(EL1H, get_pair);
    check_in("GICR_TYPER", "round", i, ctx.x[2] << 32 | ctx.x[1], at(u64, GICR_SGI - 0x10000 + 8));
  }
  const u64 before = rounds;
  while (rounds == before) {
  }
  print("ok pending, level, priority, route, status\n");
}
