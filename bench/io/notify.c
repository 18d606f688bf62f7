// A bare-metal guest, unchanged under Trapline and QEMU: how long a virtio-blk request takes from
// its QueueNotify store, one request at a time. `_irq`: the CPU waits in WFI for the interrupt,
// until it has acknowledged it at the GIC. `_poll`: interrupts are off and the CPU looks at the
// used index. `read`: 4 KiB at random places of the disk; `id`: GET_ID, which needs no host I/O.
//
// Prints `BENCH name MEDIAN P90 LEAST`, nanoseconds, and `END`. The MMU is off: nothing here needs
// it.
typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

enum {
  kGicd = 0x08000000,
  kGicr = 0x080a0000,
  kUart = 0x09000000,
  kVirtio = 0x0a000000,
  kSlotBytes = 0x200,
  kSlots = 32,
  kFirstIntid = 32 + 16,
};
enum { kRequests = 3000, kWarm = 300, kBlock = 4096, kQueueSize = 8 };
enum { kTypeIn = 0, kTypeOut = 1, kTypeGetId = 8 };

// The virtqueue (virtio 1.2, 2.7) and one request.
struct Descriptor {
  u64 address;
  u32 length;
  u16 flags, next;
};
static struct Descriptor table[kQueueSize] __attribute__((aligned(16)));
static struct { u16 flags, index, ring[kQueueSize], event; } available __attribute__((aligned(2)));
static struct {
  u16 flags, index;
  struct {
    u32 id, length;
  } ring[kQueueSize];
  u16 event;
} used __attribute__((aligned(4)));
static struct {
  u32 type, reserved;
  u64 sector;
} header;
static u8 data[kBlock] __attribute__((aligned(kBlock)));
static u8 status;
static u64 times[kRequests];

static u64 device, blocks;
static u32 intid;

static u32 get(u64 address) {
  u32 v;
  __asm__ volatile("ldr %w0, [%1]" : "=r"(v) : "r"(address) : "memory");
  return v;
}
static void set(u64 address, u32 value) {
  __asm__ volatile("str %w0, [%1]" ::"r"(value), "r"(address) : "memory");
}
static u64 now(void) {
  u64 v;
  __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(v)::"memory");
  return v;
}
static u64 acknowledge(void) {
  u64 v;
  __asm__ volatile("mrs %0, S3_0_C12_C12_0; dsb sy" : "=r"(v)::"memory");  // ICC_IAR1_EL1
  return v;
}

static void put(const char* text) {
  for (; *text != 0; ++text) set(kUart, (u8)*text);
}
static void put_number(u64 n) {
  char digits[24];
  unsigned at = sizeof digits;
  digits[--at] = 0;
  do digits[--at] = (char)('0' + n % 10);
  while (n /= 10);
  put(digits + at);
}
static void power_off(void) {
  register u64 x0 __asm__("x0") = 0x84000008;  // PSCI SYSTEM_OFF
  __asm__ volatile("hvc #0" : "+r"(x0)::"x1", "x2", "x3", "memory");
}
static void fail(const char* why) {
  put(why);
  put("\nFAILED\n");
  power_off();
}

static void sort(u64* v, long n) {
  for (long gap = n / 2; gap > 0; gap /= 2) {
    for (long i = gap; i < n; ++i) {
      const u64 x = v[i];
      long j = i;
      for (; j >= gap && v[j - gap] > x; j -= gap) v[j] = v[j - gap];
      v[j] = x;
    }
  }
}

static void start_device(void) {
  for (u64 slot = 0; slot < kSlots && device == 0; ++slot) {
    const u64 base = kVirtio + slot * kSlotBytes;
    if (get(base) == 0x74726976 && get(base + 0x08) == 2) {
      device = base;
      intid = kFirstIntid + (u32)slot;
    }
  }
  if (device == 0) fail("no virtio-blk");
  if (get(device + 0x04) != 2) fail("not virtio-mmio version 2");
  set(device + 0x70, 0);  // Status
  set(device + 0x70, 1 | 2);
  set(device + 0x24, 1);  // DriverFeaturesSel
  set(device + 0x20, 1);  // VERSION_1
  set(device + 0x24, 0);
  set(device + 0x20, 1 << 9);  // FLUSH, without which writes go through to the disk
  set(device + 0x70, 1 | 2 | 8);
  if ((get(device + 0x70) & 8) == 0) fail("features refused");
  set(device + 0x30, 0);           // QueueSel
  set(device + 0x38, kQueueSize);  // QueueNum
  set(device + 0x80, (u32)(u64)table);
  set(device + 0x84, 0);
  set(device + 0x90, (u32)(u64)&available);
  set(device + 0x94, 0);
  set(device + 0xa0, (u32)(u64)&used);
  set(device + 0xa4, 0);
  set(device + 0x44, 1);  // QueueReady
  set(device + 0x70, 1 | 2 | 4 | 8);
  blocks = (get(device + 0x100) | (u64)get(device + 0x104) << 32) / (kBlock / 512);
  if (blocks == 0) fail("the disk is too small");
}

static void start_gic(void) {
  set(kGicd, 0x10);  // ARE
  set(kGicd, 0x12);  // and group 1
  set(kGicr + 0x14, 0);
  while ((get(kGicr + 0x14) & 4) != 0) {
  }
  set(kGicd + 0x80 + intid / 32 * 4, ~0u);         // IGROUPR
  set(kGicd + 0x400 + intid / 4 * 4, 0x80808080);  // IPRIORITYR
  set(kGicd + 0x6000 + intid * 8ul, 0);            // IROUTER: this CPU
  set(kGicd + 0x6004 + intid * 8ul, 0);
  set(kGicd + 0x100 + intid / 32 * 4, 1u << intid % 32);  // ISENABLER
  __asm__ volatile(
      "msr S3_0_C12_C12_5, %0; isb\n"  // ICC_SRE_EL1
      "msr S3_0_C4_C6_0, %1\n"         // ICC_PMR_EL1
      "msr S3_0_C12_C12_7, %2; isb\n"  // ICC_IGRPEN1_EL1
      ::"r"(7ul),
      "r"(0xf0ul), "r"(1ul));
}

static void take_interrupt(void) {
  // PSTATE.I stays set: WFI wakes for an interrupt that is pending but masked.
  u64 id;
  while ((id = acknowledge()) >= 1020) __asm__ volatile("wfi" ::: "memory");
  if (id != intid) fail("another interrupt");
}
static void end_interrupt(void) {
  set(device + 0x64, get(device + 0x60));  // InterruptACK, InterruptStatus
  __asm__ volatile("msr S3_0_C12_C12_1, %0; isb" ::"r"((u64)intid) : "memory");  // ICC_EOIR1_EL1
}

// Ticks of one request.
static u64 request(u32 type, u64 sector, int poll) {
  header.type = type;
  header.sector = sector;
  status = 0xff;
  table[0] = (struct Descriptor){(u64)&header, sizeof header, 1, 1};
  table[1] = (struct Descriptor){(u64)data, type == kTypeGetId ? 20 : kBlock,
                                 type == kTypeOut ? 1 : 1 | 2, 2};
  table[2] = (struct Descriptor){(u64)&status, 1, 2, 0};
  available.flags = poll ? 1 : 0;  // VIRTQ_AVAIL_F_NO_INTERRUPT
  available.ring[available.index % kQueueSize] = 0;
  const u16 next = (u16)(available.index + 1);
  __asm__ volatile("dmb ish" ::: "memory");
  *(volatile u16*)&available.index = next;
  __asm__ volatile("dsb sy" ::: "memory");
  const u64 begin = now();
  set(device + 0x50, 0);  // QueueNotify
  if (poll) {
    while (*(volatile u16*)&used.index != next) __asm__ volatile("yield");
  } else {
    take_interrupt();
  }
  const u64 end = now();
  if (!poll) end_interrupt();
  if (*(volatile u16*)&used.index != next || *(volatile u8*)&status != 0)
    fail("the request failed");
  return end - begin;
}

static void measure(const char* name, u32 type, int poll) {
  static u64 random = 88172645463325252;
  u64 frequency;
  __asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
  for (unsigned i = 0; i < kWarm + kRequests; ++i) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    const u64 took = request(type, random % blocks * (kBlock / 512), poll);
    if (i >= kWarm) times[i - kWarm] = took * 1000000000 / frequency;
  }
  sort(times, kRequests);
  put("BENCH ");
  put(name);
  put(" ");
  put_number(times[kRequests / 2]);
  put(" ");
  put_number(times[kRequests / 10 * 9]);
  put(" ");
  put_number(times[0]);
  put("\n");
}

__attribute__((used)) void guest_main(void) {
  set(kUart + 0x30, 0x301);  // UARTCR: on
  start_device();
  start_gic();
  measure("read_irq", kTypeIn, 0);
  measure("read_poll", kTypeIn, 1);
  measure("write_irq", kTypeOut, 0);
  measure("write_poll", kTypeOut, 1);
  measure("id_irq", kTypeGetId, 0);
  measure("id_poll", kTypeGetId, 1);
  put("END\n");
  power_off();
}

// Entered at RAM + 0x80000; guest.ld has the stack. An exception is a mistake of this program: it
// would loop at vector 0.
__asm__(
    ".section .text.start, \"ax\"\n"
    ".globl start\n"
    "start: adrp x0, stack0_top\n"
    "add sp, x0, :lo12:stack0_top\n"
    "b guest_main\n");
