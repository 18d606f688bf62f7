// A bare-metal guest, unchanged under Trapline and QEMU: how long a disk's request takes from its
// doorbell, one request at a time. `_irq`: the CPU waits in WFI for the interrupt, until it has
// acknowledged it at the GIC. `_poll`: interrupts are off and the CPU looks at the used index.
// `read`: 4 KiB at random places of the disk; `id` (GET_ID, IDENTIFY DEVICE) needs no host I/O.
// `notify`: the doorbell alone, with nothing new.
//
// The disk is the machine's only one: on virtio-mmio, virtio-pci or AHCI.
//
// Prints `BENCH name MEDIAN P90 LEAST`, nanoseconds, and `END`. The MMU is off: nothing here needs
// it.
#include "disk.h"

enum { kRequests = 3000, kWarm = 300, kStores = 64 };

u8 data[kBlock] __attribute__((aligned(kBlock)));
static u64 times[kRequests];
static struct Disk disk;

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
static void report(const char* name, u64 operations) {
  u64 frequency;
  __asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
  for (unsigned i = 0; i < kRequests; ++i) {
    times[i] = times[i] * 1000000000 / frequency / operations;
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

// Ticks of one request.
static u64 request(enum Operation operation, u64 block, int poll) {
  disk.prepare(operation, block, poll);
  barrier();
  const u64 begin = now();
  disk.start();
  u64 end = 0;
  for (int finished = 0; !finished;) {
    if (!poll) take_interrupt();
    end = now();
    finished = disk.done();  // a disk of AHCI may make two interrupts of a request
    if (!poll) {
      disk.acknowledge();
      end_interrupt();
    }
  }
  if (!disk.good()) fail("the request failed");
  return end - begin;
}

static void measure(const char* name, enum Operation operation, int poll) {
  static u64 random = 88172645463325252;
  for (unsigned i = 0; i < kWarm + kRequests; ++i) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    const u64 took = request(operation, random % disk.blocks, poll);
    if (i >= kWarm) times[i - kWarm] = took;
  }
  report(name, 1);
}

static void measure_notify(void) {
  for (unsigned i = 0; i < kWarm + kRequests; ++i) {
    const u64 begin = now();
    for (unsigned n = 0; n < kStores; ++n) disk.start();
    if (i >= kWarm) times[i - kWarm] = now() - begin;
  }
  report("notify", kStores);
}

__attribute__((used)) void guest_main(void) {
  start_gic();
  const int ahci = ahci_disk(&disk);
  if (!ahci && !virtio_pci_disk(&disk) && !virtio_mmio_disk(&disk)) fail("no disk");
  measure("read_irq", kRead, 0);
  if (!ahci) measure("read_poll", kRead, 1);
  if (ahci) measure("read_queued_irq", kQueuedRead, 0);
  measure("write_irq", kWrite, 0);
  if (!ahci) measure("write_poll", kWrite, 1);
  if (ahci) measure("write_queued_irq", kQueuedWrite, 0);
  measure("id_irq", kIdentify, 0);
  if (!ahci) measure("id_poll", kIdentify, 1);
  if (!ahci) measure_notify();
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
