// A guest that makes the accesses that the hardware does not describe (ISV=0), to the devices of
// plain_vmm.c and busy_vmm.c, with stage 1 off and on. It prints what is wrong, and at the end
// GUEST PASSED or GUEST FAILED, and powers off.
#include <stdint.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

#define UART 0x09000000ul    // a byte written is printed
#define DEVICE 0x0a000000ul  // 4 KiB that remember what is written
#define COUNTS \
  0x0a000800ul  // words: how often the doorbell's ioeventfds were signalled, CPUs wanted, rounds
#define COUNTER 0x0a000c00ul  // for all CPUs
#define DOORBELL 0x0b000000ul
#define FLASH 0x00000000ul  // a read-only slot; a store toggles what COUNTS + 16 says
#define GICD 0x08000000ul
#define GICR 0x080a0000ul

volatile int aborts_expected, aborts_seen;
static volatile u32 failed, done_cpus;

#define at(type, address) (*(volatile type*)(address))

static void put(char c) { at(u8, UART) = (u8)c; }
static void print(const char* s) {
  while (*s != 0) put(*s++);
}
static void hex(u64 v) {
  for (int i = 60; i >= 0; i -= 4) put("0123456789abcdef"[v >> i & 15]);
}

void guest_exception(u64 esr, u64 elr, u64 far) {
  print("exception esr ");
  hex(esr);
  print(" elr ");
  hex(elr);
  print(" far ");
  hex(far);
  print("\nGUEST FAILED\n");
  register u64 x0 asm("x0") = 0x84000008;
  asm volatile("hvc #0" : "+r"(x0));
}

static void same(const char* what, u64 is, u64 wanted) {
  if (is == wanted) return;
  failed = 1;
  print(what);
  print(": ");
  hex(is);
  print(" not ");
  hex(wanted);
  put('\n');
}

static u64 hvc(u64 function, u64 a, u64 b, u64 c) {
  register u64 x0 asm("x0") = function;
  register u64 x1 asm("x1") = a;
  register u64 x2 asm("x2") = b;
  register u64 x3 asm("x3") = c;
  asm volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"memory");
  return x0;
}

// --- one CPU -------------------------------------------------------------------------------------

static void scalar(void) {
  u64 p = DEVICE, v = 0x1122334455667788;
  asm volatile("str %w1, [%0], #4" : "+&r"(p) : "r"(v) : "memory");
  same("str post: base", p, DEVICE + 4);
  same("str post: device", at(u32, DEVICE), 0x55667788);
  asm volatile("str %1, [%0, #12]!" : "+&r"(p) : "r"(v) : "memory");
  same("str pre: base", p, DEVICE + 16);
  same("str pre: device", at(u64, DEVICE + 16), v);
  asm volatile("ldr %1, [%0], #8" : "+&r"(p), "=r"(v)::"memory");
  same("ldr post", v, 0x1122334455667788);
  same("ldr post: base", p, DEVICE + 24);
  asm volatile("ldrsb %1, [%0, #-8]!" : "+&r"(p), "=r"(v)::"memory");
  same("ldrsb pre", v, 0xffffffffffffff88);
  asm volatile("strb wzr, [%0], #1\n strh wzr, [%0], #1" : "+&r"(p)::"memory");
  same("strb, strh", at(u64, DEVICE + 16), 0x1122334455000000);
}

static void pairs(void) {
  u64 p = DEVICE + 64, a = 0x0102030405060708, b = 0xf1f2f3f4f5f6f7f8, c, d;
  asm volatile("stp %1, %2, [%0], #16" : "+&r"(p) : "r"(a), "r"(b) : "memory");
  same("stp post: base", p, DEVICE + 80);
  asm volatile("ldp %1, %2, [%0, #-16]!" : "+&r"(p), "=&r"(c), "=&r"(d)::"memory");
  same("ldp pre: first", c, a);
  same("ldp pre: second", d, b);
  same("ldp pre: base", p, DEVICE + 64);
  asm volatile("ldpsw %0, %1, [%2, #8]" : "=&r"(c), "=&r"(d) : "r"(p) : "memory");
  same("ldpsw: first", c, 0xfffffffff5f6f7f8);
  asm volatile("stnp %w1, %w2, [%0]" ::"r"(p), "r"(a), "r"(b) : "memory");
  same("stnp", at(u64, p), 0xf5f6f7f805060708);
  asm volatile("ldnp %w0, %w1, [%2]" : "=&r"(c), "=&r"(d) : "r"(p) : "memory");
  same("ldnp", c | d << 32, 0xf5f6f7f805060708);
}

static void simd(void) {
  u64 p = DEVICE + 128, a = 0x0011223344556677, b = 0x8899aabbccddeeff, c, d;
  asm volatile(
      "mov v0.d[0], %1\n mov v0.d[1], %2\n str q0, [%0], #16\n"
      "movi v1.16b, #0x5a\n stp q0, q1, [%0], #32\n"
      : "+&r"(p)
      : "r"(a), "r"(b)
      : "v0", "v1", "memory");
  same("str q: base", p, DEVICE + 176);
  same("str q: low", at(u64, DEVICE + 128), a);
  same("str q: high", at(u64, DEVICE + 136), b);
  same("stp q: second", at(u64, DEVICE + 168), 0x5a5a5a5a5a5a5a5a);
  asm volatile("ldr q2, [%2, #-48]!\n mov %0, v2.d[0]\n mov %1, v2.d[1]"
               : "=&r"(c), "=&r"(d), "+&r"(p)::"v2", "memory");
  same("ldr q: low", c, a);
  same("ldr q: high", d, b);
  asm volatile("ldr s3, [%2]\n mov %0, v3.d[0]\n mov %1, v3.d[1]"
               : "=&r"(c), "=&r"(d)
               : "r"(p)
               : "v3", "memory");
  same("ldr s", c, a & 0xffffffff);
  same("ldr s: the rest", d, 0);
  asm volatile("ld1 {v4.2d, v5.2d}, [%2], #32\n mov %0, v4.d[1]\n mov %1, v5.d[0]"
               : "=&r"(c), "=&r"(d), "+&r"(p)::"v4", "v5", "memory");
  same("ld1: first", c, b);
  same("ld1: second", d, a);
  p = DEVICE + 192;
  asm volatile(
      "movi v6.8b, #1\n movi v7.8b, #2\n movi v8.8b, #3\n movi v9.8b, #4\n st4 {v6.8b - v9.8b}, "
      "[%0]" ::"r"(p)
      : "v6", "v7", "v8", "v9", "memory");
  same("st4", at(u64, p + 24), 0x0403020104030201);
  asm volatile("ld1 {v6.s}[1], [%1]\n mov %0, v6.d[0]" : "=&r"(c) : "r"(p) : "v6", "memory");
  same("ld1 lane", c, 0x0403020101010101);
}

static u64 add_exclusive(u64 address, u64 n) {
  u64 old, new;
  u32 status;
  asm volatile("1: ldaxr %0, [%3]\n add %1, %0, %4\n stlxr %w2, %1, [%3]\n cbnz %w2, 1b"
               : "=&r"(old), "=&r"(new), "=&r"(status)
               : "r"(address), "r"(n)
               : "memory");
  return old;
}

static void exclusives(void) {
  const u64 p = DEVICE + 256;
  u64 old, a, b;
  at(u64, p) = 40;
  same("ldaxr, stlxr", add_exclusive(p, 2), 40);
  same("ldaxr, stlxr: device", at(u64, p), 42);
  // Between the two what compilers put there: a stack, a branch.
  u32 status;
  asm volatile(
      "1: ldxr %0, [%3]\n str %0, [sp, #-16]!\n cmp %0, #42\n b.ne 2f\n ldr %1, [sp], #16\n add "
      "%1, %1, #1\n"
      "stxr %w2, %1, [%3]\n cbnz %w2, 1b\n b 3f\n 2: add sp, sp, #16\n clrex\n 3:"
      : "=&r"(old), "=&r"(a), "=&r"(status)
      : "r"(p)
      : "memory", "cc");
  same("ldxr, stxr with a stack", at(u64, p), 43);
  at(u64, p + 8) = 7;
  asm volatile("1: ldxp %0, %1, [%3]\n stxp %w2, %1, %0, [%3]\n cbnz %w2, 1b"
               : "=&r"(a), "=&r"(b), "=&r"(status)
               : "r"(p)
               : "memory");
  same("ldxp, stxp", at(u64, p), 7);
  same("ldxp, stxp: second", at(u64, p + 8), 43);
  asm volatile(".arch armv8.1-a\n ldadd %1, %0, [%2]" : "=&r"(old) : "r"(5ul), "r"(p) : "memory");
  same("ldadd", old, 7);
  same("ldadd: device", at(u64, p), 12);
  asm volatile(".arch armv8.1-a\n swpal %1, %0, [%2]" : "=&r"(old) : "r"(99ul), "r"(p) : "memory");
  same("swpal", old, 12);
  a = 99;
  asm volatile(".arch armv8.1-a\n cas %0, %1, [%2]" : "+r"(a) : "r"(100ul), "r"(p) : "memory");
  same("cas", at(u64, p), 100);
}

// What cannot be stepped through stands between the two.
static void beyond(void) {
  const u64 p = DEVICE + 0x180;
  u32 value, status;
  aborts_expected = 1;
  aborts_seen = 0;
  asm volatile("ldxr %w0, [%2]\n fmov s0, %w0\n stxr %w1, %w0, [%2]"
               : "=&r"(value), "=&r"(status)
               : "r"(p)
               : "v0", "memory");
  aborts_expected = 0;
  same("ldxr beyond reach: aborts", (u64)aborts_seen, 1);
}

static void doorbell(void) {
  const u32 any = at(u32, COUNTS), two = at(u32, COUNTS + 4), other = at(u32, COUNTS + 8);
  u64 p = DOORBELL;
  asm volatile("str %w1, [%0], #4" : "+&r"(p) : "r"(1ul) : "memory");
  same("doorbell: base", p, DOORBELL + 4);
  same("doorbell", at(u32, COUNTS), any + 1);
  p = DOORBELL + 16;
  asm volatile("str %w1, [%0], #4\n str %w2, [%0, #-4]!"
               : "+&r"(p)
               : "r"(2ul), "r"(3ul)
               : "memory");
  same("doorbell by value", at(u32, COUNTS + 4), two + 1);
  same("doorbell, another value", at(u32, COUNTS + 8), other + 1);
}

static void gic(void) {
  u64 p = GICD + 4, typer, a, b;
  asm volatile("ldr %w1, [%0], #4" : "+&r"(p), "=r"(typer)::"memory");
  same("GICD_TYPER", typer, at(u32, GICD + 4));
  p = GICD + 0x421;
  asm volatile("strb %w1, [%0], #1" : "+&r"(p) : "r"(0xa0ul) : "memory");
  same("GICD_IPRIORITYR", at(u8, GICD + 0x421), 0xa0);
  p = GICD + 0x6100;
  asm volatile("str %1, [%0], #8\n ldr %2, [%0, #-8]!" : "+&r"(p) : "r"(0ul), "r"(0ul) : "memory");
  p = GICR + 8;
  asm volatile("ldp %w0, %w1, [%2]" : "=&r"(a), "=&r"(b) : "r"(p) : "memory");
  same("GICR_TYPER", b << 32 | a, at(u64, GICR + 8));
}

static void flash(void) {
  u64 a, b, p = FLASH + 64;
  asm volatile("ldp %0, %1, [%2]" : "=&r"(a), "=&r"(b) : "r"(p) : "memory");
  same("flash", a, 0x1111111111111111);
  const u32 before = at(u32, COUNTS + 16);
  asm volatile("stp %w1, %w1, [%0], #8" : "+&r"(p) : "r"(0x40ul) : "memory");
  same("flash: stores", at(u32, COUNTS + 16), before + 2);
  same("flash: base", p, FLASH + 72);
  // The half in memory, the half in a device.
  a = at(u64, 0x40000000 + 0x1000000 - 8);
  p = 0x40000000 + 0x1000000 - 8;
  asm volatile("stp %1, %1, [%0]" ::"r"(p), "r"(a + 1) : "memory");
  same("across the end of memory", at(u64, p), a + 1);
  same("across the end of memory: device", at(u64, p + 8), a + 1);
}

static void many(u64 rounds) {
  for (u64 i = 0; i < rounds; ++i) {
    u64 p = DEVICE + 512;
    asm volatile("str %w1, [%0], #4" : "+&r"(p) : "r"(i) : "memory");
  }
  if (rounds != 0) same("many", at(u32, DEVICE + 512), rounds - 1);
}

// --- stage 1 -------------------------------------------------------------------------------------

static u64 low[512] __attribute__((aligned(4096))), level2[512] __attribute__((aligned(4096)));

// VA = IPA, blocks of 1 GiB and of 2 MiB in the first; and the devices again 16 GiB higher.
static void map(void) {
  const u64 normal = 0x701, device = 0x705;  // AF, inner shareable, attribute index 0 and 1
  for (u64 i = 0; i < 512; ++i) level2[i] = (i << 21) | device | 1ul << 53 | 1ul << 54;
  low[0] = (u64)level2 | 3;
  low[1] = 0x40000000 | normal;
  low[16] = 0x00000000 | device;
  asm volatile(
      "msr mair_el1, %0\n msr tcr_el1, %1\n msr ttbr0_el1, %2\n isb\n mrs x9, sctlr_el1\n orr x9, "
      "x9, #1\n"
      "msr sctlr_el1, x9\n isb" ::"r"(0x04fful),
      "r"(25ul | 1ul << 8 | 1ul << 10 | 3ul << 12 | 1ul << 23 | 2ul << 32), "r"(low)
      : "x9", "memory");
}

static void elsewhere(void) {
  const u64 here = 16ul << 30;
  u64 p = here + DEVICE + 32, a;
  asm volatile("str %1, [%0], #8\n ldr %1, [%0, #-8]!" : "+&r"(p) : "r"(0x77ul) : "memory");
  same("VA is not IPA", at(u64, DEVICE + 32), 0x77);
  asm volatile("ldp %w0, %w1, [%2]" : "=&r"(a), "=&r"(p) : "r"(here + UART + 0x18) : "memory");
}

static void all(void) {
  scalar();
  pairs();
  simd();
  exclusives();
  beyond();
  doorbell();
  gic();
  flash();
}

// --- several CPUs --------------------------------------------------------------------------------

static void work(u64 cpu, u32 rounds) {
  for (u32 i = 0; i < rounds; ++i) {
    add_exclusive(COUNTER, 1);
    u64 p = DEVICE + 0x300 + 64 * cpu, a, b;
    asm volatile("stp %1, %2, [%0], #16" : "+&r"(p) : "r"((u64)i), "r"(cpu) : "memory");
    asm volatile("ldp %1, %2, [%0, #-16]!" : "+&r"(p), "=&r"(a), "=&r"(b)::"memory");
    same("a pair of each CPU", a << 8 | b, (u64)i << 8 | cpu);
    if ((i & 15) == cpu) {
      p = GICD + 0x480 + 4 * cpu;
      asm volatile("str %w1, [%0], #4" : "+&r"(p) : "r"((u64)(i & 0xf0) * 0x01010101) : "memory");
      same("a priority of each CPU", at(u32, p - 4), (i & 0xf0) * 0x01010101);
    }
  }
}

extern char secondary[];

void guest_main(u64 cpu) {
  const u32 cpus = at(u32, COUNTS + 20), rounds = at(u32, COUNTS + 24);
  if (cpu != 0) {
    work(cpu, rounds);
    asm volatile(
        "1: ldxr w9, [%0]\n add w9, w9, #1\n stxr w10, w9, [%0]\n cbnz w10, 1b" ::"r"(&done_cpus)
        : "x9", "x10", "memory");
    for (;;) asm volatile("wfi");
  }
  all();
  for (u64 i = 1; i < cpus; ++i) same("CPU_ON", hvc(0xc4000003, i, (u64)secondary, i), 0);
  if (cpus > 1) {
    work(0, rounds);
    while (done_cpus != cpus - 1) {
    }
    same("the counter of all", at(u64, COUNTER), (u64)cpus * rounds);
  }
  many(rounds);
  map();
  all();
  elsewhere();
  many(rounds);
  print(failed ? "GUEST FAILED\n" : "GUEST PASSED\n");
  hvc(0x84000008, 0, 0, 0);
  for (;;) {
  }
}
