// A guest that sees a condition has taken its interrupt: with interrupts unmasked, no instruction
// runs between the read that shows the condition and the handler; nor between the handler and what
// makes an interrupt pending or lets it through.
#include "guest.h"

#define GICD 0x08000000ul
#define GICR 0x080a0000ul
#define SGI_BASE (GICR + 0x10000)
#define PL011 0x09000000ul
#define PL031 0x09010000ul
#define VIRTIO 0x0a003e00ul  // the first device: --rng
#define TIMER_CTL 0x0a100000ul
#define FRAME0 0x0a110000ul

enum {
  V_TIMER = 27,
  P_TIMER = 30,
  SGI = 5,
  UART = 33,
  RTC = 34,
  RNG = 79,
  FRAME_SPI = 96,
  FREE = 132
};
enum { ROUNDS = 200, SECOND = 62500000 };
enum { UNMASKED = EL1H | (MASKED & ~0x80) };

// x0: the register's address; x1: what was read; x2: the bits that tell, or the least value that
// does. Ends in SVC when the interrupt did not come within 64 instructions.
#define POLL(name, read, tell)                                              \
  extern const u32 name##_seen[];                                           \
  SNIPPET(name, "1: " read "\n.globl " #name "_seen\n" #name "_seen: " tell \
                " 1b\n.rept 64\n nop\n.endr")
#define BITS "tst x1, x2\n b.eq"
#define LEAST "cmp x1, x2\n b.lo"
#define POLL_MEMORY(name, tell) POLL(name, "ldr w1, [x0]", tell)
// The same for an instruction that makes it pending: x3 is written.
#define CAUSE(name, write)        \
  extern const u32 name##_seen[]; \
  SNIPPET(name,                   \
          "mov x1, #-1\n" write "\n.globl " #name "_seen\n" #name "_seen:\n.rept 64\n nop\n.endr")

POLL(cntv_ctl, "mrs x1, cntv_ctl_el0", BITS);
POLL(cntv_tval, "mrs x1, cntv_tval_el0", BITS);
POLL(cntvct, "mrs x1, cntvct_el0", LEAST);
POLL(cntvct_isb, "isb\n mrs x1, cntvct_el0", LEAST);
POLL(cntp_ctl, "mrs x1, cntp_ctl_el0", BITS);
POLL(cntp_tval, "mrs x1, cntp_tval_el0", BITS);
POLL(cntpct, "mrs x1, cntpct_el0", LEAST);
POLL_MEMORY(memory_bits, BITS);
POLL_MEMORY(memory_least, LEAST);
POLL(memory_post, "ldr w1, [x0], #0", BITS);  // ISV=0
POLL(memory_pair, "ldp w1, w4, [x0]", BITS);
POLL(memory_64, "ldr x1, [x0]", LEAST);
POLL(isr, "mrs x1, isr_el1", BITS);
CAUSE(store, "str w3, [x0]");
CAUSE(store_post, "str w3, [x0], #0");
CAUSE(sgi, "msr s3_0_c12_c11_5, x3");
CAUSE(cntv_tval_write, "msr cntv_tval_el0, x3");
CAUSE(pmr_write, "msr s3_0_c4_c6_0, x3");
CAUSE(unmask, "msr daifclr, #2");
CAUSE(wait, "wfi");
extern const u32 eret_seen[];
SNIPPET(eret, ".globl eret_seen\neret_seen:\n.rept 64\n nop\n.endr");

static void quiet(void) {
  msr(cntv_ctl_el0, 0);
  msr(cntp_ctl_el0, 0);
  at(u32, FRAME0 + 0x2c) = 0;
  at(u32, FRAME0 + 0x3c) = 0;
  at(u32, PL031 + 0x10) = 0;
  at(u32, PL031 + 0x1c) = 1;
  at(u32, PL011 + 0x38) = 0;
  at(u32, PL011 + 0x44) = 0x7ff;
  at(u32, VIRTIO + 0x64) = at(u32, VIRTIO + 0x60);
  at(u32, GICD + 0x280 + FREE / 32 * 4) = ~0u;
}

static void start_gic(void) {
  at(u32, GICD) = 0x12;  // ARE, group 1
  at(u32, GICR + 0x14) = 0;
  while ((at(u32, GICR + 0x14) & 4) != 0) {
  }
  for (u32 word = 1; word < 5; ++word) {
    at(u32, GICD + 0x80 + word * 4) = ~0u;
    for (u32 i = 0; i < 8; ++i) at(u32, GICD + 0x400 + word * 32 + i * 4) = 0x80808080;
  }
  at(u32, SGI_BASE + 0x80) = ~0u;
  for (u32 i = 0; i < 8; ++i) at(u32, SGI_BASE + 0x400 + i * 4) = 0x80808080;
  at(u32, SGI_BASE + 0x100) = ~0u;
  for (u32 id = UART; id <= FREE; ++id) {
    const int ours = id == UART || id == RTC || id == RNG || id == FRAME_SPI || id == FREE;
    if (ours) at(u32, GICD + 0x100 + id / 32 * 4) = 1u << id % 32;
  }
  msr(s3_0_c12_c12_5, 7);
  msr(s3_0_c4_c6_0, 0xf8);
  msr(s3_0_c12_c12_7, 1);
}

static u64 random_state = 88172645463325252;
static u64 below(u64 n) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state % n;
}

static u64 worst, seen, late;
static void begin(void) { worst = seen = late = 0; }

// Runs a snippet until its interrupt, which must be `intid`. `told`: x1 is what showed it.
static void poll(const char* name, u64 id, const u32* code, const u32* after,
                 int (*told)(u64 x1, u64 x2), u64 mode) {
  ctx.pc = (u64)code;
  ctx.spsr = mode;
  if (ctx.sp == 0) ctx.sp = FRAME(0);
  run(&ctx);
  const u64 taken = mrs(s3_0_c12_c12_0);  // ICC_IAR1_EL1
  if ((ctx.vector & 0x180) != 0x080) {
    ++late;  // the SVC: it never came
  } else {
    check_in(name, "INTID", 0, taken, id);
    if (told(ctx.x[1], ctx.x[2]) && ctx.pc >= (u64)after) {
      ++seen;
      const u64 ran = (ctx.pc - (u64)after) / 4;
      if (ran > worst) worst = ran;
    }
  }
  quiet();
  if (taken < 1020) msr(s3_0_c12_c12_1, taken);
}
static int any_bit(u64 x1, u64 x2) { return (x1 & x2) != 0; }
static int at_least(u64 x1, u64 x2) { return x1 >= x2; }
static int always(u64 x1, u64 x2) { return x1 + x2 != 1; }
// It always came, and at once.
static void done(const char* name) {
  check_in(name, "rounds without the interrupt", 0, late, 0);
  check(name, worst, 0);
  // Which is right, too, and usual with --clock icount.
  if (seen == 0) print("  (the interrupt always came before it was seen)\n");
}

#define POLL_ROUNDS(label, id, snippet, told, count, arm)       \
  do {                                                          \
    begin();                                                    \
    for (int round = 0; round < (count); ++round) {             \
      arm;                                                      \
      poll(label, id, snippet, snippet##_seen, told, UNMASKED); \
    }                                                           \
    done(label);                                                \
  } while (0)

// --- timers --------------------------------------------------------------------------------------

static u64 arm_virtual(void) {
  const u64 when = mrs(cntvct_el0) + 100 + below(3000);
  msr(cntv_cval_el0, when);
  msr(cntv_ctl_el0, 1);
  return when;
}
static u64 arm_physical(void) {
  const u64 when = mrs(cntpct_el0) + 100 + below(3000);
  msr(cntp_cval_el0, when);
  msr(cntp_ctl_el0, 1);
  return when;
}
static u64 arm_frame(u64 compare, u64 control) {
  const u64 when = at(u64, FRAME0) + 100 + below(3000);
  at(u64, FRAME0 + compare) = when;
  at(u32, FRAME0 + control) = 1;
  return when;
}

static void timers(void) {
  POLL_ROUNDS("CNTV_CTL_EL0", V_TIMER, cntv_ctl, any_bit, ROUNDS, {
    arm_virtual();
    ctx.x[2] = 4;
  });
  POLL_ROUNDS("CNTV_TVAL_EL0", V_TIMER, cntv_tval, any_bit, ROUNDS, {
    arm_virtual();
    ctx.x[2] = 0x80000000;
  });
  POLL_ROUNDS("CNTVCT_EL0", V_TIMER, cntvct, at_least, ROUNDS, ctx.x[2] = arm_virtual());
  POLL_ROUNDS("ISB, CNTVCT_EL0", V_TIMER, cntvct_isb, at_least, ROUNDS, ctx.x[2] = arm_virtual());
  POLL_ROUNDS("CNTP_CTL_EL0", P_TIMER, cntp_ctl, any_bit, ROUNDS, {
    arm_physical();
    ctx.x[2] = 4;
  });
  POLL_ROUNDS("CNTP_TVAL_EL0", P_TIMER, cntp_tval, any_bit, ROUNDS, {
    arm_physical();
    ctx.x[2] = 0x80000000;
  });
  POLL_ROUNDS("CNTPCT_EL0", P_TIMER, cntpct, at_least, ROUNDS, ctx.x[2] = arm_physical());
  POLL_ROUNDS("ISR_EL1", V_TIMER, isr, any_bit, ROUNDS, {
    arm_virtual();
    ctx.x[2] = 0x80;
  });

  at(u32, TIMER_CTL + 0x40) = 0x3f;
  ctx.x[0] = FRAME0 + 0x2c;
  POLL_ROUNDS("the frame's CNTP_CTL", FRAME_SPI, memory_bits, any_bit, ROUNDS, {
    arm_frame(0x20, 0x2c);
    ctx.x[2] = 4;
  });
  ctx.x[0] = FRAME0 + 0x3c;
  POLL_ROUNDS("the frame's CNTV_CTL", FRAME_SPI, memory_bits, any_bit, ROUNDS, {
    arm_frame(0x30, 0x3c);
    ctx.x[2] = 4;
  });
  POLL_ROUNDS("the frame's CNTV_CTL by LDR (post-index)", FRAME_SPI, memory_post, any_bit, ROUNDS, {
    arm_frame(0x30, 0x3c);
    ctx.x[2] = 4;
  });
  POLL_ROUNDS("the frame's CNTV_CTL by LDP", FRAME_SPI, memory_pair, any_bit, ROUNDS, {
    arm_frame(0x30, 0x3c);
    ctx.x[2] = 4;
  });
  ctx.x[0] = FRAME0;
  POLL_ROUNDS("the frame's CNTPCT", FRAME_SPI, memory_64, at_least, ROUNDS,
              ctx.x[2] = arm_frame(0x20, 0x2c));
  ctx.x[0] = FRAME0 + 8;
  POLL_ROUNDS("the frame's CNTVCT", FRAME_SPI, memory_64, at_least, ROUNDS,
              ctx.x[2] = arm_frame(0x30, 0x3c));
}

// --- the clock -----------------------------------------------------------------------------------

// Waits, idle, until shortly before the next second; the alarm is set to it.
static u64 arm_clock(void) {
  quiet();
  u64 left;
  do left = SECOND - mrs(cntvct_el0) % SECOND;
  while (left < 40000);
  at(u32, PL031 + 0x10) = 1;
  const u32 when = at(u32, PL031) + 1;
  at(u32, PL031 + 4) = when;
  msr(cntv_tval_el0, left - 20000);
  msr(cntv_ctl_el0, 1);
  while ((mrs(cntv_ctl_el0) & 4) == 0) asm volatile("wfi" ::: "memory");
  msr(cntv_ctl_el0, 0);
  return when;
}

static void clock(void) {
  ctx.x[0] = PL031 + 0x14;
  POLL_ROUNDS("RTCRIS", RTC, memory_bits, any_bit, 2, {
    arm_clock();
    ctx.x[2] = 1;
  });
  ctx.x[0] = PL031;
  POLL_ROUNDS("RTCDR", RTC, memory_least, at_least, 1, ctx.x[2] = arm_clock());
}

// --- virtio --------------------------------------------------------------------------------------

static struct {
  struct {
    u64 address;
    u32 length;
    u16 flags, next;
  } d[8];
  struct {
    u16 flags, index, ring[8], event;
  } available;
  struct {
    u16 flags, index;
    struct {
      u32 id, length;
    } ring[8];
    u16 event;
  } used __attribute__((aligned(4)));
  u8 data[64];
} ring __attribute__((aligned(64)));

static void start_rng(void) {
  for (u32 i = 0; i < 3; ++i) at(u32, VIRTIO + 0x70) = (1u << i) - 1;
  at(u32, VIRTIO + 0x24) = 1;
  at(u32, VIRTIO + 0x20) = 1;
  at(u32, VIRTIO + 0x70) = 11;
  at(u32, VIRTIO + 0x38) = 8;
  at(u32, VIRTIO + 0x80) = (u32)(u64)ring.d;
  at(u32, VIRTIO + 0x90) = (u32)(u64)&ring.available;
  at(u32, VIRTIO + 0xa0) = (u32)(u64)&ring.used;
  at(u32, VIRTIO + 0x44) = 1;
  at(u32, VIRTIO + 0x70) = 15;
  check("the first virtio device is in slot 31", at(u32, VIRTIO + 8), 4);
}
static void ask_rng(void) {
  ring.d[0].address = (u64)ring.data;
  ring.d[0].length = sizeof ring.data;
  ring.d[0].flags = 2;
  barrier();
  ++ring.available.index;
  barrier();
  at(u32, VIRTIO + 0x50) = 0;
}

static void virtio(void) {
  start_rng();
  ctx.x[0] = VIRTIO + 0x60;
  POLL_ROUNDS("InterruptStatus", RNG, memory_bits, any_bit, ROUNDS, {
    ask_rng();
    ctx.x[2] = 1;
  });
}

// --- instructions that make it pending -----------------------------------------------------------

#define CAUSE_ROUNDS(label, id, snippet, mode, arm)              \
  do {                                                           \
    begin();                                                     \
    for (int round = 0; round < ROUNDS; ++round) {               \
      arm;                                                       \
      poll(label, id, snippet, snippet##_seen, always, mode);    \
    }                                                            \
    check_in(label, "rounds in which it came", 0, seen, ROUNDS); \
    done(label);                                                 \
  } while (0)

static void causes(void) {
  ctx.x[3] = 1 | SGI << 24;
  CAUSE_ROUNDS("ICC_SGI1R_EL1", SGI, sgi, UNMASKED, {});
  ctx.x[0] = GICD + 0x200 + FREE / 32 * 4;
  ctx.x[3] = 1u << FREE % 32;
  CAUSE_ROUNDS("GICD_ISPENDR", FREE, store, UNMASKED, {});
  CAUSE_ROUNDS("GICD_ISPENDR by STR (post-index)", FREE, store_post, UNMASKED, {});
  ctx.x[0] = SGI_BASE + 0x200;
  ctx.x[3] = 1u << SGI;
  CAUSE_ROUNDS("GICR_ISPENDR0", SGI, store, UNMASKED, {});
  ctx.x[3] = 0;
  CAUSE_ROUNDS("CNTV_TVAL_EL0", V_TIMER, cntv_tval_write, UNMASKED, {
    msr(cntv_cval_el0, ~0ul);
    msr(cntv_ctl_el0, 1);
  });
  ctx.x[3] = 0xf8;
  CAUSE_ROUNDS("ICC_PMR_EL1", SGI, pmr_write, UNMASKED, {
    msr(s3_0_c4_c6_0, 0);
    at(u32, SGI_BASE + 0x200) = 1u << SGI;
  });
  CAUSE_ROUNDS("DAIFClr", SGI, unmask, EL1H | MASKED, at(u32, SGI_BASE + 0x200) = 1u << SGI);
  CAUSE_ROUNDS("ERET", SGI, eret, UNMASKED, at(u32, SGI_BASE + 0x200) = 1u << SGI);
  // It may come before the WFI, on a busy host.
  POLL_ROUNDS("WFI", V_TIMER, wait, always, ROUNDS, {
    msr(cntv_tval_el0, 20000);
    msr(cntv_ctl_el0, 1);
  });
}

void test(void) {
  start_gic();
  quiet();
  timers();
  virtio();
  causes();
  clock();
}
