// The inner guest (L2) of the nested experiment: so many exits of each class, and how long they
// took by the virtual counter. Its device and its numbers are kvm_vmm's; with TRAPLINE_VMM it is a
// guest of Trapline's, whose UART and clock it takes instead.
typedef unsigned long u64;
typedef unsigned int u32;

enum { kGicd = 0x08000000, kGicr = 0x080a0000 };
#ifdef TRAPLINE_VMM
enum { kText = 0x09000000, kCounter = 0x09010000 };  // UARTDR, RTCDR
#else
enum { kDevice = 0x0a000000, kText = kDevice, kCounter = kDevice + 8 };
enum {
  kMark = kDevice + 0x10,
  kTicks = kDevice + 0x18,
  kCount = kDevice + 0x20,
  kCpus = kDevice + 0x28
};
#endif
enum { kHypercall, kMmio, kMmioIsv0, kSgiSelf, kIpi, kTimer, kWfi, kStage2Fault, kNothing };

#define MRS(name)                                           \
  ({                                                        \
    u64 v_;                                                 \
    __asm__ volatile("mrs %0, " name : "=r"(v_)::"memory"); \
    v_;                                                     \
  })
#define MSR(name, value) __asm__ volatile("msr " name ", %0" ::"r"((u64)(value)) : "memory")
#define ISB() __asm__ volatile("isb" ::: "memory")

static volatile u32 handled[2];
static volatile u32 second_is_up;

static u32 read32(u64 address) {
  u32 value;
  __asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
  return value;
}
static void write32(u64 address, u32 value) {
  __asm__ volatile("str %w0, [%1]" ::"r"(value), "r"(address) : "memory");
}
static void print(const char* text) {
  while (*text) write32(kText, (u32)*text++);
}
static u64 ticks(void) {
  ISB();
  return MRS("cntvct_el0");
}
static u64 psci(u64 function, u64 a, u64 b, u64 c) {
  register u64 x0 __asm__("x0") = function;
  register u64 x1 __asm__("x1") = a;
  register u64 x2 __asm__("x2") = b;
  register u64 x3 __asm__("x3") = c;
  __asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"memory");
  return x0;
}

void inner_unexpected(u64 esr, u64 elr, u64 far) {
  print("inner: unexpected exception ");
  const u64 values[3] = {esr, elr, far};
  for (int i = 0; i < 3; ++i) {
    for (int shift = 60; shift >= 0; shift -= 4)
      write32(kText, (u32) "0123456789abcdef"[values[i] >> shift & 15]);
    print(" ");
  }
  print("\n");
  psci(0x84000009, 0, 0, 0);
}

void inner_irq(void) {
  const u64 intid = MRS("S3_0_C12_C12_0");  // ICC_IAR1_EL1
  if (intid == 27) MSR("cntv_ctl_el0", 0);
  MSR("S3_0_C12_C12_1", intid);  // ICC_EOIR1_EL1
  if (intid < 1020) handled[MRS("mpidr_el1") & 1] += 1;
}

static void gic_init(u64 cpu) {
  if (cpu == 0) write32(kGicd, 0x12);  // ARE_NS, EnableGrp1
  const u64 redistributor = kGicr + cpu * 0x20000;
  write32(redistributor + 0x14, 0);  // awake
  while (read32(redistributor + 0x14) & 4) {
  }
  write32(redistributor + 0x10080, 0xffffffff);        // group 1
  write32(redistributor + 0x10100, 1 << 1 | 1 << 27);  // SGI 1, virtual timer
  for (int i = 0; i < 8; ++i) write32(redistributor + 0x10400 + 4 * (u64)i, 0x80808080);
  MSR("S3_0_C4_C6_0", 0xf0);  // ICC_PMR_EL1
  MSR("S3_0_C12_C12_7", 1);   // ICC_IGRPEN1_EL1
  ISB();
}

static void send_sgi(u64 cpu) {
  MSR("S3_0_C12_C11_5", 1ul << 24 | 1ul << cpu);  // ICC_SGI1R_EL1: SGI 1
  ISB();
}
static void wait_for_irq(void) { __asm__ volatile("wfi" ::: "memory"); }

#ifdef TRAPLINE_VMM
// Whoever counts, outside, knows each exit's class by itself.
static void begin(u32 mark) { (void)mark; }
static void end(u64 start) { (void)start; }
// The bench writes the number behind the word.
static volatile struct {
  char word[8];
  u64 value;
} exits = {"EXITS = ", 100};
static u64 count(void) { return exits.value; }
static u32 cpus(void) { return 2; }
#else
static void begin(u32 mark) { write32(kMark, mark); }
static void end(u64 start) {
  const u64 now = ticks();
  write32(kTicks, (u32)(now - start));
}
static u64 count(void) { return read32(kCount); }
static u32 cpus(void) { return read32(kCpus); }
#endif

static void arm_timer(u64 in) {
  MSR("cntv_cval_el0", MRS("cntvct_el0") + in);
  MSR("cntv_ctl_el0", 1);
}

// The MMU on, as any guest has it: RAM and code by four levels of tables, devices by a block.
static u64 tables[4][512] __attribute__((aligned(4096)));
static void mmu_on(void) {
  enum { kTable = 3, kBlock = 1, kPage = 3, kAf = 1 << 10, kInner = 3 << 8, kNormal = 1 << 2 };
  tables[0][0] = (u64)tables[1] | kTable;
  tables[1][0] = 0 | kBlock | kAf;  // devices
  tables[1][1] = (u64)tables[2] | kTable;
  tables[2][0] = (u64)tables[3] | kTable;
  for (u64 i = 1; i < 512; ++i)
    tables[2][i] = (0x40000000 + (i << 21)) | kBlock | kAf | kInner | kNormal;
  for (u64 i = 0; i < 512; ++i)
    tables[3][i] = (0x40000000 + (i << 12)) | kPage | kAf | kInner | kNormal;
  MSR("mair_el1", 0xff00);
  MSR("tcr_el1",
      16 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2ul << 32);  // 48 bits, EPD1, 40 bits out
  MSR("ttbr0_el1", tables);
  ISB();
  __asm__ volatile("tlbi vmalle1\n dsb nsh\n isb" ::: "memory");
  MSR("sctlr_el1", MRS("sctlr_el1") | 1 | 1 << 2 | 1 << 12);
  ISB();
}

static void run(u64 exits_each) {
  u64 start;
  begin(kNothing);  // what the edges of a class cost themselves
  start = ticks();
  end(start);

  begin(kHypercall);
  start = ticks();
  for (u64 i = 0; i < exits_each; ++i) psci(0x84000000, 0, 0, 0);
  end(start);

  begin(kMmio);
  start = ticks();
  for (u64 i = 0; i < exits_each; ++i) read32(kCounter);
  end(start);

  begin(kMmioIsv0);
  start = ticks();
  for (u64 i = 0; i < exits_each; ++i) {
    u64 address = kCounter;
    u32 value;
    __asm__ volatile("ldr %w0, [%1], #4" : "=r"(value), "+r"(address)::"memory");
  }
  end(start);

  __asm__ volatile("msr daifclr, #2");
  begin(kSgiSelf);
  start = ticks();
  for (u64 i = 0; i < exits_each; ++i) {
    const u32 before = handled[0];
    send_sgi(0);
    while (handled[0] == before) {
    }
  }
  end(start);

  begin(kTimer);
  start = ticks();
  for (u64 i = 0; i < exits_each; ++i) {
    const u32 before = handled[0];
    arm_timer(0);
    while (handled[0] == before) {
    }
  }
  end(start);

  begin(kWfi);
  start = ticks();
  for (u64 i = 0; i < exits_each; ++i) {
    const u32 before = handled[0];
    __asm__ volatile("msr daifset, #2");
    arm_timer(625);
    while (handled[0] == before) {
      wait_for_irq();
      __asm__ volatile("msr daifclr, #2");
      ISB();
      __asm__ volatile("msr daifset, #2");
    }
    __asm__ volatile("msr daifclr, #2");
  }
  end(start);

  begin(kStage2Fault);
  start = ticks();
  for (u64 i = 0; i < exits_each; ++i) write32(0x42000000 + i * 4096, 1);
  end(start);

  if (second_is_up) {
    begin(kIpi);
    start = ticks();
    for (u64 i = 0; i < exits_each; ++i) {
      const u32 before = handled[1];
      send_sgi(1);
      while (handled[1] == before) {
      }
    }
    end(start);
  }
}

void inner_main(u64 cpu) {
  if (cpu == 0) mmu_on();
  gic_init(cpu);
  if (cpu != 0) {
    second_is_up = 1;
    __asm__ volatile("msr daifclr, #2");
    for (;;) wait_for_irq();
  }
  extern char start[];
  if (cpus() > 1 && psci(0xc4000003, 1, (u64)start, 0) == 0) {
    while (!second_is_up) {
    }
  }
  run(count());
  print("inner: done\n");
  psci(0x84000008, 0, 0, 0);
}
