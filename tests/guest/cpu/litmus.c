// Four CPUs at once: ordering, atomicity, TLB and instruction-cache maintenance that is broadcast.
#include "guest.h"

#define PSCI_CPU_ON 0xc4000003ul
#define CPUS 4

extern char secondary_start[];
typedef void Work(u64 cpu);
static Work* volatile work;
static volatile u64 generation, finished[CPUS * 16], started[CPUS * 16];

static u64 shared[64 * 16] __attribute__((aligned(128)));
#define LINE(i) (&shared[(i)*16])
static volatile u64 results[CPUS * 16];
static volatile u64 bad;

static u64 load(volatile u64* p) { return *p; }
static void store(volatile u64* p, u64 v) { *p = v; }
static u64 load_acquire(volatile u64* p) {
  u64 v;
  asm volatile("ldar %0, [%1]" : "=r"(v) : "r"(p) : "memory");
  return v;
}
static void store_release(volatile u64* p, u64 v) {
  asm volatile("stlr %0, [%1]" ::"r"(v), "r"(p) : "memory");
}
static u64 ldadd(volatile u64* p, u64 v) {
  u64 old;
  asm volatile("ldaddal %1, %0, [%2]" : "=r"(old) : "r"(v), "r"(p) : "memory");
  return old;
}
#define DMB() asm volatile("dmb sy" ::: "memory")

static void mmu_here(void) {
  msr(mair_el1, 0x0c44ff00);
  msr(tcr_el1, tcr_default());
  msr(ttbr0_el1, (u64)level1);
  tlbi_all();
  sctlr_set(SCTLR_M | SCTLR_C | SCTLR_I);
}

void secondary(u64 cpu) {
  mmu_here();
  for (u64 seen = 0;;) {
    store_release(&started[cpu * 16], 1);
    while (load_acquire(&generation) == seen) asm volatile("wfe");
    ++seen;
    work(cpu);
    store_release(&finished[cpu * 16], seen);
    asm volatile("dsb ish\n sev");
  }
}

static void on_all(Work* what) {
  work = what;
  ldadd(&generation, 1);
  asm volatile("dsb ish\n sev");
  what(0);
  for (u64 cpu = 1; cpu < CPUS; ++cpu) {
    while (load_acquire(&finished[cpu * 16]) != generation) asm volatile("wfe");
  }
}

// All CPUs of `n` meet here.
static volatile u64 arrived[16], phase[16];
static void meet(u64 n) {
  const u64 now = load_acquire(phase);
  if (ldadd(arrived, 1) == n - 1) {
    store(arrived, 0);
    store_release(phase, now + 1);
    asm volatile("dsb ish\n sev");
  } else {
    // By spinning, so that they go on together, unless the others' threads do not run just now.
    for (u64 spins = 0; load_acquire(phase) == now; ++spins) {
      if (spins > 4000) asm volatile("wfe");
    }
  }
}

// --- store buffering: both loads may not miss both stores ----------------------------------------

// Tests come in batches: meeting costs more than testing.
enum { BATCH = 4096, STRIDE = 8 };
#define x ((volatile u64*)(FRAMES + 0x400000))
#define y ((volatile u64*)(FRAMES + 0x600000))
#define r0 ((volatile u64*)(FRAMES + 0x800000))
#define r1 ((volatile u64*)(FRAMES + 0x900000))
static u64 rounds;

static void batch_reset(u64 cpu) {
  meet(2);
  if (cpu == 0) {
    for (u64 i = 0; i < BATCH; ++i) x[i * STRIDE] = y[i * STRIDE] = 0;
  }
  meet(2);
}
static void store_buffering_dmb(u64 cpu) {
  if (cpu > 1) return;
  for (u64 n = 0; n < rounds; ++n) {
    batch_reset(cpu);
    for (u64 i = 0; i < BATCH; ++i) {
      volatile u64 *mine = cpu ? &y[i * STRIDE] : &x[i * STRIDE],
                   *other = cpu ? &x[i * STRIDE] : &y[i * STRIDE];
      store(mine, 1);
      DMB();
      (cpu ? r1 : r0)[i] = load(other);
    }
    meet(2);
    if (cpu == 0) {
      for (u64 i = 0; i < BATCH; ++i) bad += r0[i] == 0 && r1[i] == 0;
    }
  }
}
static void store_buffering_acquire(u64 cpu) {
  if (cpu > 1) return;
  for (u64 n = 0; n < rounds; ++n) {
    batch_reset(cpu);
    for (u64 i = 0; i < BATCH; ++i) {
      volatile u64 *mine = cpu ? &y[i * STRIDE] : &x[i * STRIDE],
                   *other = cpu ? &x[i * STRIDE] : &y[i * STRIDE];
      store_release(mine, 1);
      (cpu ? r1 : r0)[i] = load_acquire(other);
    }
    meet(2);
    if (cpu == 0) {
      for (u64 i = 0; i < BATCH; ++i) bad += r0[i] == 0 && r1[i] == 0;
    }
  }
}

// --- message passing: who sees the flag sees the data --------------------------------------------

static void message_passing_dmb(u64 cpu) {
  volatile u64 *data = LINE(1), *flag = LINE(2);
  const u64 count = rounds * BATCH;
  if (cpu == 0) {
    for (u64 n = 1; n <= count; ++n) {
      store(data, n);
      DMB();
      store(flag, n);
    }
  } else {
    for (u64 seen = 0; seen != count;) {
      seen = load(flag);
      DMB();
      if (load(data) < seen) ldadd(&bad, 1);
    }
  }
}
static void message_passing_acquire(u64 cpu) {
  volatile u64 *data = LINE(3), *flag = LINE(4);
  const u64 count = rounds * BATCH;
  if (cpu == 0) {
    for (u64 n = 1; n <= count; ++n) {
      store(data, n);
      store_release(flag, n);
    }
  } else {
    for (u64 seen = 0; seen != count;) {
      seen = load_acquire(flag);
      if (load(data) < seen) ldadd(&bad, 1);
    }
  }
}

// --- counters ------------------------------------------------------------------------------------

static u64 counts, changes;
static void counters(u64 cpu) {
  for (u64 n = 0; n < counts; ++n) {
    u64 old, value;
    u32 failed;
    asm volatile("stadd %0, [%1]" ::"r"(1ul), "r"(LINE(8)) : "memory");
    asm volatile("1: ldaxr %0, [%2]\n add %0, %0, #1\n stlxr %w1, %0, [%2]\n cbnz %w1, 1b"
                 : "=&r"(value), "=&r"(failed)
                 : "r"(LINE(9))
                 : "memory");
    do {
      old = value = load(LINE(10));
      asm volatile("casal %0, %1, [%2]" : "+r"(value) : "r"(old + 1), "r"(LINE(10)) : "memory");
    } while (value != old);
    // CASP: two halves that always agree.
    register u64 a asm("x4") = load(LINE(11));
    register u64 b asm("x5") = 0;
    u64 was;
    do {
      was = a;
      b = a;
      register u64 c asm("x6") = a + 1;
      register u64 d asm("x7") = a + 1;
      asm volatile("caspal x4, x5, x6, x7, [%4]"
                   : "+r"(a), "+r"(b)
                   : "r"(c), "r"(d), "r"(LINE(11))
                   : "memory");
      if (a != b) ldadd(&bad, 1);
    } while (a != was);
    // LDXP/STXP of two words that agree.
    u64 low, high;
    asm volatile(
        "1: ldaxp %0, %1, [%3]\n add %0, %0, #1\n add %1, %1, #1\n stlxp %w2, %0, %1, [%3]\n cbnz "
        "%w2, 1b"
        : "=&r"(low), "=&r"(high), "=&r"(failed)
        : "r"(LINE(12))
        : "memory");
    if (low != high) ldadd(&bad, 1);
    // Bytes side by side, each CPU its own.
    asm volatile("1: ldxrb %w0, [%2]\n add %w0, %w0, #1\n stxrb %w1, %w0, [%2]\n cbnz %w1, 1b"
                 : "=&r"(value), "=&r"(failed)
                 : "r"((u8*)LINE(13) + cpu)
                 : "memory");
    // A token: SWP passes it round, it is never two.
    asm volatile("swpal %1, %0, [%2]" : "=r"(value) : "r"(0ul), "r"(LINE(14)) : "memory");
    if (value)
      asm volatile("swpal %1, %0, [%2]" : "=r"(old) : "r"(value), "r"(LINE(14)) : "memory");
    if (value && old) ldadd(&bad, 1);
  }
}

// --- a spin lock by exclusives, guarding plain memory
// ----------------------------------------------

static void spin_lock(u64 cpu) {
  (void)cpu;
  for (u64 n = 0; n < counts; ++n) {
    u32 value, failed;
    asm volatile("1: ldaxr %w0, [%2]\n cbnz %w0, 1b\n stxr %w1, %w3, [%2]\n cbnz %w1, 1b"
                 : "=&r"(value), "=&r"(failed)
                 : "r"(LINE(16)), "r"(1)
                 : "memory");
    const u64 a = load(LINE(17)), b = load(LINE(18));
    if (a != b) ++bad;
    store(LINE(17), a + 1);
    store(LINE(18), b + 1);
    asm volatile("stlr wzr, [%0]" ::"r"(LINE(16)) : "memory");
  }
}

// --- TLB shootdown
// ---------------------------------------------------------------------------------

#define SHOT (WINDOW + 0x40000ul)
static void shootdown(u64 cpu) {
  // Frames 0x50.. hold their number; the page always maps one; `floor` is the lowest that may still
  // be seen: it rises after the DSB.
  volatile u64* floor = LINE(20);
  volatile u64* stop = LINE(21);
  if (cpu == 0) {
    for (u64 n = 1; n < changes; ++n) {
      *(volatile u64*)FRAME(0x50 + n % 64) = n;
      asm volatile("dsb ishst" ::: "memory");
      *(volatile u64*)&window[0x40] = FRAME(0x50 + n % 64) | RW_KERNEL | PAGE;
      const u64 arg = SHOT >> 12;
      if (n % 16 == 0) {
        asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
      } else if (n & 1) {
        asm volatile("dsb ishst\n tlbi vaae1is, %0\n dsb ish\n isb" ::"r"(arg) : "memory");
      } else {
        asm volatile("dsb ishst\n tlbi vale1is, %0\n dsb ish\n isb" ::"r"(arg) : "memory");
      }
      store_release(floor, n);
      // What the others hold of frame n - 1 now is stale: make it visible if they still read there.
      *(volatile u64*)FRAME(0x50 + (n + 63) % 64) = 0;
    }
    store_release(stop, 1);
  } else {
    while (load_acquire(stop) == 0) {
      const u64 low = load_acquire(floor);
      const u64 got = *(volatile u64*)SHOT;
      // Zeroed only after the DSB that made the page another: 0 must not be seen, nor less than
      // low.
      if (got < low) {
        if (ldadd(&bad, 1) < 4) results[cpu * 16] = low << 32 | got;
      }
    }
  }
}

// --- cross-modifying code
// --------------------------------------------------------------------------

#define MOV_X0(n) (0xd2800000u | (u32)((n)&0xffff) << 5)
#define RET 0xd65f03c0u
#define CODE (WINDOW + 0x41000ul)
static u64 call(u64 address) {
  register u64 result asm("x0");
  asm volatile("blr %1" : "=r"(result) : "r"(address) : "x30", "memory");
  return result;
}
static void cross_modify(u64 cpu) {
  volatile u64* flag = LINE(24);
  volatile u64* seen = LINE(25);
  const u64 count = changes;
  if (cpu == 0) {
    for (u64 n = 1; n < count; ++n) {
      const u64 where = CODE + 64 * (n % 3);
      *(volatile u32*)FRAME(0x41) = 0;  // another line of the page
      *(volatile u32*)(FRAME(0x42) + (where - CODE)) = MOV_X0(n);
      asm volatile("dc cvau, %0\n dsb ish\n ic ivau, %0\n dsb ish\n isb" ::"r"(where) : "memory");
      store_release(flag, n);
      asm volatile("dsb ish\n sev");
      if (call(where) != n) ++bad;
      for (u64 other = 1; other < CPUS; ++other) {
        while (load_acquire(seen + other * 16) != n) asm volatile("wfe");
      }
    }
  } else {
    for (u64 n = 1; n < count; ++n) {
      while (load_acquire(flag) != n) asm volatile("wfe");
      asm volatile("isb");
      if (call(CODE + 64 * (n % 3)) != n) ldadd(&bad, 1);
      store_release(seen + cpu * 16, n);
      asm volatile("dsb ish\n sev");
    }
  }
}

// Two writers of one page, each with a reader of its own: what one writer's store does to the page
// may not hide the other's IC IVAU.
static void modify_shared_page(u64 cpu) {
  const u64 pair = cpu & 1, where = CODE + 64 * (8 + pair);
  volatile u64 *flag = LINE(28 + pair), *seen = LINE(30 + pair);
  for (u64 n = 1; n < changes; ++n) {
    if (cpu < 2) {
      *(volatile u32*)(FRAME(0x42) + (where - CODE)) = MOV_X0(n);
      asm volatile("dc cvau, %0\n dsb ish\n ic ivau, %0\n dsb ish\n isb" ::"r"(where) : "memory");
      store_release(flag, n);
      asm volatile("dsb ish\n sev");
      while (load_acquire(seen) != n) asm volatile("wfe");
    } else {
      while (load_acquire(flag) != n) asm volatile("wfe");
      asm volatile("isb");
      if (call(where) != n) ldadd(&bad, 1);
      store_release(seen, n);
      asm volatile("dsb ish\n sev");
    }
  }
}

// --- WFE: woken by a store to the marked memory, without SEV -------------------------------------

static void wait_for_store(u64 cpu) {
  if (cpu > 1) return;
  for (u64 n = 1; n < changes; ++n) {
    volatile u64 *mine = LINE(32 + cpu), *other = LINE(33 - cpu);
    if (cpu == 0) store_release(mine, n);
    for (u64 got = 0; got != n;) {
      asm volatile("sevl\n wfe\n ldaxr %0, [%1]\n cmp %0, %2\n b.eq 1f\n wfe\n 1:\n clrex"
                   : "=&r"(got)
                   : "r"(other), "r"(n)
                   : "cc", "memory");
      if (got > n) ldadd(&bad, 1);
    }
    if (cpu == 1) store_release(mine, n);
  }
}
// A lock as Linux had it before the queued one: WFE at the lock, release by STLR alone.
static void lock_with_wfe(u64 cpu) {
  (void)cpu;
  for (u64 n = 0; n < changes; ++n) {
    u32 value, failed;
    asm volatile(
        "sevl\n"
        "1: wfe\n"
        "2: ldaxr %w0, [%2]\n cbnz %w0, 1b\n stxr %w1, %w3, [%2]\n cbnz %w1, 2b"
        : "=&r"(value), "=&r"(failed)
        : "r"(LINE(34)), "r"(1)
        : "memory");
    store(LINE(35), load(LINE(35)) + 1);
    asm volatile("stlr wzr, [%0]" ::"r"(LINE(34)) : "memory");
  }
}

static void none_bad(const char* name) {
  check(name, bad, 0);
  for (u64 cpu = 1; cpu < CPUS; ++cpu) {
    if (results[cpu * 16] != 0) check_in(name, "cpu", cpu, results[cpu * 16], 0);
    results[cpu * 16] = 0;
  }
  bad = 0;
}

void test(void) {
  mmu_on();
#ifdef LONG
  rounds = 2560;  // x 4,096: ten million
  counts = 1000000;
  changes = 100000;
#else
  rounds = on_qemu ? 16 : 256;
  counts = on_qemu ? 5000 : 100000;
  changes = on_qemu ? 200 : 1500;
#endif
  for (u64 cpu = 1; cpu < CPUS; ++cpu) {
    const u64 status = hvc(PSCI_CPU_ON, cpu, (u64)secondary_start, cpu);
    check("CPU_ON", status, 0);
    if (status != 0) return;
    while (load_acquire(&started[cpu * 16]) == 0) {
    }
  }
  on_all(store_buffering_dmb);
  none_bad("store buffering, DMB SY");
  on_all(store_buffering_acquire);
  none_bad("store buffering, STLR and LDAR");
  on_all(message_passing_dmb);
  none_bad("message passing, DMB SY");
  on_all(message_passing_acquire);
  none_bad("message passing, STLR and LDAR");
  *LINE(14) = 1;
  on_all(counters);
  none_bad("atomics: halves that agree, one token");
  check("counter: STADD", *LINE(8), CPUS * counts);
  check("counter: LDAXR, STLXR", *LINE(9), CPUS * counts);
  check("counter: CASAL", *LINE(10), CPUS * counts);
  check("counter: CASPAL", *LINE(11), CPUS * counts);
  check("counter: LDAXP, STLXP", *LINE(12), CPUS * counts);
  check("counter: bytes", (u32)*LINE(13), (counts & 0xff) * 0x01010101);
  check("the token", *LINE(14), 1);
  on_all(spin_lock);
  none_bad("spin lock");
  check("spin lock: count", *LINE(17), CPUS * counts);
  *(volatile u64*)FRAME(0x50) = 0;
  window[0x40] = FRAME(0x50) | RW_KERNEL | PAGE;
  tlbi_all();
  on_all(shootdown);
  none_bad("TLB shootdown");
  window[0x41] = FRAME(0x42) | NORMAL | AF | READ_ONLY | PAGE;
  tlbi_all();
  for (u64 i = 0; i < 3; ++i) *(volatile u32*)(FRAME(0x42) + 64 * i + 4) = RET;
  asm volatile("dsb ish\n ic ialluis\n dsb ish\n isb");
  on_all(cross_modify);
  none_bad("cross-modifying code");
  for (u64 i = 8; i < 10; ++i) *(volatile u32*)(FRAME(0x42) + 64 * i + 4) = RET;
  asm volatile("dsb ish\n ic ialluis\n dsb ish\n isb");
  on_all(modify_shared_page);
  none_bad("cross-modifying code: two writers of a page");
  on_all(wait_for_store);
  none_bad("WFE ends by a store to the marked memory");
  on_all(lock_with_wfe);
  check("lock with WFE: count", *LINE(35), CPUS * changes);
}
