// The cache's stress guest: device accesses without a syndrome (ISV = 0), made by instructions that
// change under the VMM's feet in every way that a guest can change them:
//
//   rewritten in place, with IC IVAU and without; their page remapped; the page-table page above it
//   swapped; the address space switched by ASID and TTBR0, and by TTBR1; pages freed and reused, so
//   that what was a table becomes code and the reverse; code written by a device (virtio-blk); and
//   rewritten and remapped by one CPU while others execute it.
//
// Each access goes to priority registers of the GIC distributor, 16 bytes a CPU, which read back
// what was written. What an instruction must have done to them and to its registers is computed
// beside it: a stale or torn instruction shows as a difference, without any help from the VMM.
//
// Everything runs at EL1. RAM and devices are mapped at their addresses by blocks; the code under
// test at CODE_VA (TTBR0, per address space), UPPER_VA (TTBR1, per root) and SHARED_VA (TTBR1, one
// for all CPUs). "stress=N" on the command line gives the rounds a CPU makes.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define PL011 0x09000000ul
#define GICD_PRIORITY 0x08000420ul  // of SPI 0 and up: implemented bits 7:3
#define VIRTIO 0x0a003e00ul         // the slot of the first device
#define RAM 0x40000000ul

#define CODE_VA 0x0000008000000000ul    // L0 index 1 of TTBR0
#define UPPER_VA 0xffff000000000000ul   // L0 index 0 of TTBR1
#define SHARED_VA 0xffff008000000000ul  // L0 index 1 of TTBR1; start.S knows it

enum { kMaxCpus = 8, kSpaces = 5, kLower = 3, kSlots = 8, kPool = 24, kVariants = 15 };
#define SLOT_BYTES 512
#define PAGE 4096

extern const u32 variants[], variants_end[], return_word[];
extern void start_secondary(void);

// What the compiler may call for a struct.
void* memcpy(void* to, const void* from, u64 n) {
  for (u64 i = 0; i < n; ++i) ((volatile u8*)to)[i] = ((const u8*)from)[i];
  return to;
}
void* memset(void* to, int value, u64 n) {
  for (u64 i = 0; i < n; ++i) ((volatile u8*)to)[i] = (u8)value;
  return to;
}

// --- the machine -----------------------------------------------------------------------------

#define MSR(reg, v) asm volatile("msr " reg ", %0" ::"r"((u64)(v)) : "memory")
#define DSB() asm volatile("dsb ish" ::: "memory")
#define ISB() asm volatile("isb" ::: "memory")

static u32 in32(u64 a) {
  u32 v;
  asm volatile("ldr %w0, [%1]" : "=r"(v) : "r"(a) : "memory");
  return v;
}
static void out32(u64 a, u32 v) { asm volatile("str %w0, [%1]" ::"r"(v), "r"(a) : "memory"); }

static u64 hvc(u64 f, u64 a, u64 b, u64 c) {
  register u64 x0 asm("x0") = f;
  register u64 x1 asm("x1") = a;
  register u64 x2 asm("x2") = b;
  register u64 x3 asm("x3") = c;
  asm volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"memory");
  return x0;
}
static void power_off(void) {
  hvc(0x84000008, 0, 0, 0);
  for (;;) {
  }
}

typedef struct {
  u32 taken;
} Lock;
static void lock(Lock* l) {
  while (__atomic_exchange_n(&l->taken, 1, __ATOMIC_ACQUIRE) != 0) {
    while (__atomic_load_n(&l->taken, __ATOMIC_RELAXED) != 0) asm volatile("yield");
  }
}
static void unlock(Lock* l) { __atomic_store_n(&l->taken, 0, __ATOMIC_RELEASE); }

static Lock console;
static void put(const char* s) {
  for (; *s != 0; ++s) out32(PL011, (u8)*s);
}
static void put_hex(u64 v) {
  put(" 0x");
  for (int i = 60; i >= 0; i -= 4) out32(PL011, (u8) "0123456789abcdef"[v >> i & 15]);
}
static void put_decimal(u64 v) {
  char text[24];
  int at = 23;
  text[at] = 0;
  do {
    text[--at] = (char)('0' + v % 10);
    v /= 10;
  } while (v != 0);
  put(text + at);
}

void guest_exception(u64 esr, u64 elr, u64 far) {
  lock(&console);
  put("UNEXPECTED EXCEPTION (ESR, ELR, FAR)");
  put_hex(esr);
  put_hex(elr);
  put_hex(far);
  put("\nGUEST FAILED\n");
  power_off();
}

// --- what the instructions must do -----------------------------------------------------------

typedef struct {
  u32 m[4];        // the CPU's priority registers
  u64 x0, x1, x2;  // x0 is an offset into m, in bytes
} State;

static void store_byte(State* s, u64 at, u8 v) { ((u8*)s->m)[at] = v; }

// From a state with x0 == 4. In the order of start.S.
static void model(unsigned variant, State* s) {
  const u32 w1 = (u32)s->x1, w2 = (u32)s->x2;
  switch (variant) {
    case 0:
      s->m[1] = w1, s->x0 += 4;
      break;
    case 1:
      s->m[1] = w2, s->x0 -= 4;
      break;
    case 2:
      s->m[2] = w1, s->x0 += 4;
      break;
    case 3:
      s->m[0] = w2, s->x0 -= 4;
      break;
    case 4:
      s->x1 = s->m[1], s->x0 += 8;
      break;
    case 5:
      s->x2 = s->m[2], s->x0 += 4;
      break;
    case 6:
      s->m[1] = w1, s->m[2] = w2;
      break;
    case 7:
      s->m[2] = w2, s->m[3] = w1, s->x0 += 4;
      break;
    case 8:
      s->x1 = s->m[1], s->x2 = s->m[2], s->x0 -= 4;
      break;
    case 9:
      s->x2 = s->m[0], s->x1 = s->m[1];
      break;
    case 10:
      store_byte(s, 4, (u8)w1), s->x0 += 1;
      break;
    case 11:
      s->x2 = ((u8*)s->m)[5], s->x0 += 1;
      break;
    case 12:
      s->x2 = s->m[1], s->m[1] = w1;
      break;
    case 13:
      s->x2 = s->m[1], s->m[1] |= w1;
      break;
    case 14:
      s->x1 = (u64)(long)(int)s->m[1], s->x2 = (u64)(long)(int)s->m[2];
      break;
  }
}

// --- a CPU's world ---------------------------------------------------------------------------

typedef struct {
  u64 e[512];
} __attribute__((aligned(PAGE))) Table;

typedef struct {
  Table* root;  // L0
  Table* l2;    // its entry 0 names l3
  Table* l3;    // a pool page
  u8* code;     // a pool page, mapped by l3
  u8 variant[kSlots];
  u8 maybe[kSlots];  // the one before it, if no IC IVAU followed; else the same
} Space;

typedef struct {
  u64 index, random, rounds_left, calls, failures;
  u64 device;
  State state;
  Space space[kSpaces];  // 0..kLower-1 under TTBR0, the rest under TTBR1
  unsigned lower, upper;
  u8 used[kPool];
} Cpu;

static Cpu cpus[kMaxCpus];
static Table roots[kMaxCpus][kSpaces], l1s[kMaxCpus][kSpaces], l2s[kMaxCpus][kSpaces];
static Table pool[kMaxCpus][kPool];
static Table identity_l1, shared_l1, shared_l2, shared_l3;
static u8 shared_code[2][PAGE] __attribute__((aligned(PAGE)));
static unsigned shared_page;
static Lock shared_lock;
static u64 rounds = 20000;
static u32 finished;
static u32 disk_present;

static u64 next_random(Cpu* c) {
  u64 x = c->random;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return c->random = x;
}

enum { kTable = 3, kPageDescriptor = 3, kBlock = 1 };
#define AF (1ul << 10)
#define NG (1ul << 11)
#define INNER (3ul << 8)
#define NORMAL (1ul << 2)  // MAIR attribute 1

static u64 page_entry(const void* page) {
  return (u64)page | kPageDescriptor | AF | NG | INNER | NORMAL;
}

static void* take_page(Cpu* c) {
  unsigned i = (unsigned)(next_random(c) % kPool);
  while (c->used[i] != 0) i = (i + 1) % kPool;
  c->used[i] = 1;
  return &pool[c->index][i];
}
// The page keeps what it held for its next user to overwrite: stale entries would show.
static void give_page(Cpu* c, void* page) { c->used[(Table*)page - pool[c->index]] = 0; }

static void flush_va(u64 va) {
  const u64 operand = va >> 12 & 0xfffffffffff;
  DSB();
  asm volatile("tlbi vaae1is, %0" ::"r"(operand) : "memory");
  DSB();
  ISB();
}
static void sync_code(const void* at) {
  asm volatile("dc cvau, %0\n dsb ish\n ic ivau, %0\n dsb ish\n isb" ::"r"(at) : "memory");
}

static u64 va_of(unsigned space) { return space < kLower ? CODE_VA : UPPER_VA; }

static void write_slot(u8* page, unsigned slot, unsigned variant) {
  volatile u32* at = (volatile u32*)(page + slot * SLOT_BYTES);
  at[0] = variants[variant];
  at[1] = return_word[0];
}

static void fill_code(Cpu* c, Space* s, u8* page) {
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    s->variant[slot] = s->maybe[slot] = (u8)(next_random(c) % kVariants);
    write_slot(page, slot, s->variant[slot]);
  }
  for (unsigned i = 0; i < PAGE; i += 64) sync_code(page + i);
}

// Break-before-make: D8.14.1.
static void replace(u64* entry, u64 value, u64 va) {
  *(volatile u64*)entry = 0;
  flush_va(va);
  *(volatile u64*)entry = value;
  DSB();
  ISB();
}

static void fill_table(Table* t, u64 first) {
  for (unsigned i = 0; i < 512; ++i) ((volatile u64*)t->e)[i] = 0;
  ((volatile u64*)t->e)[0] = first;
  DSB();
}

static void select(Cpu* c, unsigned lower, unsigned upper) {
  c->lower = lower;
  MSR("ttbr0_el1", (u64)c->space[lower].root | (u64)(lower + 1) << 48);
  ISB();
  if (upper != c->upper) {
    c->upper = upper;
    MSR("ttbr1_el1", (u64)c->space[upper].root);
    ISB();
    asm volatile("tlbi vmalle1" ::: "memory");
    asm volatile("dsb nsh" ::: "memory");
    ISB();
  }
}

static void make_space(Cpu* c, unsigned n) {
  Space* s = &c->space[n];
  s->root = &roots[c->index][n];
  s->l2 = &l2s[c->index][n];
  Table* l1 = &l1s[c->index][n];
  s->l3 = take_page(c);
  s->code = take_page(c);
  fill_code(c, s, s->code);
  fill_table(s->l3, page_entry(s->code));
  fill_table(s->l2, (u64)s->l3 | kTable);
  fill_table(l1, (u64)s->l2 | kTable);
  if (n < kLower) {
    fill_table(s->root, (u64)&identity_l1 | kTable);
    s->root->e[1] = (u64)l1 | kTable;
  } else {
    fill_table(s->root, (u64)l1 | kTable);
    s->root->e[1] = (u64)&shared_l1 | kTable;
  }
  DSB();
}

// --- a disk with code on it: virtio-mmio, one queue, polled -------------------------------------

typedef struct {
  u64 address;
  u32 length;
  u16 flags, next;
} Descriptor;
static struct {
  Descriptor d[8];
  struct {
    u16 flags, index, ring[8];
  } available __attribute__((aligned(64)));
  struct {
    u16 flags, index;
    struct {
      u32 id, length;
    } ring[8];
  } used __attribute__((aligned(64)));
  struct {
    u32 type, reserved;
    u64 sector;
  } header;
  u8 status;
} __attribute__((aligned(PAGE))) disk;
static Lock disk_lock;

static void disk_start(void) {
  if (in32(VIRTIO) != 0x74726976 || in32(VIRTIO + 4) != 2 || in32(VIRTIO + 8) != 2) return;
  out32(VIRTIO + 0x70, 0);
  out32(VIRTIO + 0x70, 3);  // ACKNOWLEDGE, DRIVER
  out32(VIRTIO + 0x24, 1);
  out32(VIRTIO + 0x20, 1);  // VIRTIO_F_VERSION_1
  out32(VIRTIO + 0x24, 0);
  out32(VIRTIO + 0x20, 0);
  out32(VIRTIO + 0x70, 11);  // FEATURES_OK
  out32(VIRTIO + 0x30, 0);
  out32(VIRTIO + 0x38, 8);
  out32(VIRTIO + 0x80, (u32)(u64)disk.d);
  out32(VIRTIO + 0x84, 0);
  out32(VIRTIO + 0x90, (u32)(u64)&disk.available);
  out32(VIRTIO + 0x94, 0);
  out32(VIRTIO + 0xa0, (u32)(u64)&disk.used);
  out32(VIRTIO + 0xa4, 0);
  out32(VIRTIO + 0x44, 1);
  out32(VIRTIO + 0x70, 15);  // DRIVER_OK
  disk.available.flags = 1;  // no interrupts
  disk_present = 1;
}

// Sector n begins with variant n, then RET.
static void disk_read(unsigned sector, void* to) {
  lock(&disk_lock);
  disk.header.type = 0;
  disk.header.sector = sector;
  disk.d[0] = (Descriptor){(u64)&disk.header, 16, 1, 1};
  disk.d[1] = (Descriptor){(u64)to, SLOT_BYTES, 3, 2};
  disk.d[2] = (Descriptor){(u64)&disk.status, 1, 2, 0};
  disk.status = 0xff;
  const u16 index = disk.available.index;
  disk.available.ring[index & 7] = 0;
  __atomic_store_n(&disk.available.index, (u16)(index + 1), __ATOMIC_RELEASE);
  DSB();
  out32(VIRTIO + 0x50, 0);
  while (__atomic_load_n(&disk.used.index, __ATOMIC_ACQUIRE) != (u16)(index + 1)) {
    asm volatile("yield");
  }
  if (disk.status != 0) guest_exception(0xd15c, disk.status, sector);
  unlock(&disk_lock);
}

// --- one call of the code under test -----------------------------------------------------------

static void fail(Cpu* c, const char* what, u64 where, const State* got, const State* wanted) {
  if (c->failures++ >= 3) return;
  lock(&console);
  put("FAILED on CPU");
  put_hex(c->index);
  put(" ");
  put(what);
  put_hex(where);
  put(": got");
  put_hex(got->x0);
  put_hex(got->x1);
  put_hex(got->x2);
  for (int i = 0; i < 4; ++i) put_hex(got->m[i]);
  put(", wanted");
  put_hex(wanted->x0);
  put_hex(wanted->x1);
  put_hex(wanted->x2);
  for (int i = 0; i < 4; ++i) put_hex(wanted->m[i]);
  put("\n");
  unlock(&console);
}

static int same(const State* a, const State* b, int with_device) {
  if (a->x0 != b->x0 || a->x1 != b->x1 || a->x2 != b->x2) return 0;
  if (!with_device) return 1;
  for (int i = 0; i < 4; ++i) {
    if (a->m[i] != b->m[i]) return 0;
  }
  return 1;
}

static void call(Cpu* c, State* s, u64 code) {
  register u64 x0 asm("x0") = c->device + s->x0;
  register u64 x1 asm("x1") = s->x1;
  register u64 x2 asm("x2") = s->x2;
  register u64 x9 asm("x9") = code;
  asm volatile("blr %3" : "+r"(x0), "+r"(x1), "+r"(x2) : "r"(x9) : "x30", "memory", "cc");
  s->x0 = x0 - c->device;
  s->x1 = x1;
  s->x2 = x2;
  ++c->calls;
}

static void read_device(Cpu* c, State* s) {
  for (unsigned i = 0; i < 4; ++i) s->m[i] = in32(c->device + 4 * i);
}

static State fresh_state(Cpu* c) {
  State s = c->state;
  const u64 values = next_random(c);
  s.x0 = 4;
  s.x1 = (u32)values & 0xf8f8f8f8;
  s.x2 = values >> 32 & 0xf8f8f8f8;
  return s;
}

// The instruction is `a`, or, if it was changed without maintenance, maybe still `b`.
static void run_slot(Cpu* c, unsigned n, unsigned slot) {
  Space* s = &c->space[n];
  const u64 code = va_of(n) + slot * SLOT_BYTES;
  const unsigned a = s->variant[slot], b = s->maybe[slot];
  const State before = fresh_state(c);
  State got = before, want = before, other = before;
  model(a, &want);
  call(c, &got, code);
  const int look = a != b || (c->calls & 3) == 0;
  if (look) read_device(c, &got);
  if (same(&got, &want, look)) {
    c->state = want;
    return;
  }
  model(b, &other);
  if (a != b && same(&got, &other, look)) {
    c->state = other;
    return;
  }
  read_device(c, &got);
  fail(c, "variant", a << 8 | b, &got, &want);
  c->state = got;
}

// Any variant, but exactly one.
static void run_shared(Cpu* c, unsigned slot) {
  const State before = fresh_state(c);
  State got = before;
  call(c, &got, SHARED_VA + slot * SLOT_BYTES);
  read_device(c, &got);
  for (unsigned v = 0; v < kVariants; ++v) {
    State want = before;
    model(v, &want);
    if (same(&got, &want, 1)) {
      c->state = want;
      return;
    }
  }
  fail(c, "shared slot", slot, &got, &before);
  c->state = got;
}

// --- the ways of changing it -------------------------------------------------------------------

static void change(Cpu* c) {
  const u64 dice = next_random(c);
  const unsigned n = (dice & 1) != 0 ? c->lower : c->upper;
  Space* s = &c->space[n];
  const unsigned slot = dice >> 8 & (kSlots - 1);
  const unsigned variant = (unsigned)(dice >> 16 & 0xffff) % kVariants;
  u8* at = s->code + slot * SLOT_BYTES;
  switch (dice >> 32 & 15) {
    case 0:
    case 1:
    case 2:  // rewrite, properly; maintenance by either address
      write_slot(s->code, slot, variant);
      sync_code((dice >> 40 & 1) != 0 ? (void*)at : (void*)(va_of(n) + slot * SLOT_BYTES));
      s->variant[slot] = s->maybe[slot] = (u8)variant;
      break;
    case 3:
    case 4:  // rewrite without maintenance
      write_slot(s->code, slot, variant);
      s->maybe[slot] = s->variant[slot];
      s->variant[slot] = (u8)variant;
      run_slot(c, n, slot);
      sync_code(at);
      s->maybe[slot] = s->variant[slot];
      break;
    case 5:
    case 6: {  // remap the page; the old one is free
      u8* page = take_page(c);
      fill_code(c, s, page);
      replace(&s->l3->e[0], page_entry(page), va_of(n));
      give_page(c, s->code);
      s->code = page;
      break;
    }
    case 7:
    case 8: {  // swap the table above it, with another code page behind
      Table* table = take_page(c);
      u8* page = take_page(c);
      fill_code(c, s, page);
      fill_table(table, page_entry(page));
      replace(&s->l2->e[0], (u64)table | kTable, va_of(n));
      give_page(c, s->l3);
      give_page(c, s->code);
      s->l3 = table;
      s->code = page;
      break;
    }
    case 9: {  // code and table change roles
      Table* table = (Table*)s->code;
      u8* page = (u8*)s->l3;
      *(volatile u64*)&s->l2->e[0] = 0;
      flush_va(va_of(n));
      fill_code(c, s, page);
      fill_table(table, page_entry(page));
      *(volatile u64*)&s->l2->e[0] = (u64)table | kTable;
      DSB();
      ISB();
      s->l3 = table;
      s->code = page;
      break;
    }
    case 10:
    case 11:
    case 12:
      select(c, (unsigned)(dice >> 40 & 0xff) % kLower, c->upper);
      break;
    case 13:
      select(c, c->lower, kLower + (unsigned)(dice >> 40 & 0xff) % (kSpaces - kLower));
      break;
    case 14:  // the others may be executing this
      if ((dice >> 48 & 7) == 0) {
        lock(&shared_lock);
        shared_page ^= 1;
        replace(&shared_l3.e[0], page_entry(shared_code[shared_page]), SHARED_VA);
        unlock(&shared_lock);
      } else {
        u8* page = shared_code[dice >> 52 & 1];
        *(volatile u32*)(page + slot * SLOT_BYTES) = variants[variant];
        if ((dice >> 53 & 1) != 0) sync_code(page + slot * SLOT_BYTES);
      }
      break;
    case 15:
      if (!disk_present || (dice >> 48 & 15) != 0) break;
      disk_read(variant, at);
      sync_code(at);
      s->variant[slot] = s->maybe[slot] = (u8)variant;
      break;
  }
}

static void stress(Cpu* c) {
  for (u64 i = 0; i < c->rounds_left && c->failures == 0; ++i) {
    change(c);
    for (unsigned j = 0; j < 6; ++j) {
      const u64 dice = next_random(c);
      run_slot(c, (dice & 1) != 0 ? c->lower : c->upper, dice >> 8 & (kSlots - 1));
    }
    run_shared(c, (unsigned)next_random(c) & (kSlots - 1));
  }
}

// --- start and end -----------------------------------------------------------------------------

// "stress=N" somewhere in the device tree, which holds the command line.
static void read_rounds(const u8* tree) {
  const u32 size = __builtin_bswap32(*(const u32*)(tree + 4));
  static const char kKey[] = "stress=";
  for (u32 i = 0; i + sizeof kKey < size; ++i) {
    u32 n = 0;
    while (n < sizeof kKey - 1 && tree[i + n] == (u8)kKey[n]) ++n;
    if (n != sizeof kKey - 1) continue;
    rounds = 0;
    for (const u8* p = tree + i + n; *p >= '0' && *p <= '9'; ++p) rounds = rounds * 10 + *p - '0';
    return;
  }
}

static void mmu_on(Cpu* c) {
  MSR("mair_el1", 0xff00);  // 0: Device-nGnRnE, 1: Normal write-back
  // 48-bit halves, 4 KiB granules, write-back inner shareable walks, 40-bit output, 16-bit ASIDs.
  MSR("tcr_el1", 16ul | 16ul << 16 | 0x3500ul | 0x3500ul << 16 | 2ul << 30 | 2ul << 32 | 1ul << 36);
  c->upper = 0;
  MSR("ttbr1_el1", 0);
  select(c, 0, kLower);
  u64 sctlr;
  asm volatile("mrs %0, sctlr_el1" : "=r"(sctlr));
  MSR("sctlr_el1", sctlr | 1 | 1 << 2 | 1 << 12);
  ISB();
}

void guest_main(u64 index, const u8* tree) {
  Cpu* c = &cpus[index];
  if (index == 0) {
    out32(PL011 + 0x30, 0x301);
    read_rounds(tree);
    identity_l1.e[0] = 0 | kBlock | AF;  // devices: attribute 0
    identity_l1.e[1] = RAM | kBlock | AF | INNER | NORMAL;
    fill_table(&shared_l3, page_entry(shared_code[0]));
    fill_table(&shared_l2, (u64)&shared_l3 | kTable);
    fill_table(&shared_l1, (u64)&shared_l2 | kTable);
    for (unsigned slot = 0; slot < kSlots; ++slot) {
      write_slot(shared_code[0], slot, slot);
      write_slot(shared_code[1], slot, slot + 5);
    }
  }
  c->index = index;
  c->random = 0x9e3779b97f4a7c15ul * (index + 1);
  c->rounds_left = rounds;
  c->device = GICD_PRIORITY + 16 * index;
  for (unsigned n = 0; n < kSpaces; ++n) make_space(c, n);
  mmu_on(c);
  for (unsigned i = 0; i < 4; ++i) out32(c->device + 4 * i, 0);

  unsigned started = 1;
  if (index == 0) {
    disk_start();
    while (started < kMaxCpus && hvc(0xc4000003, started, (u64)start_secondary, started) == 0) {
      ++started;
    }
  }
  stress(c);
  __atomic_fetch_add(&finished, 1, __ATOMIC_RELEASE);
  if (index != 0) {
    hvc(0x84000002, 0, 0, 0);  // CPU_OFF
  }
  while (__atomic_load_n(&finished, __ATOMIC_ACQUIRE) != started) asm volatile("yield");

  u64 calls = 0, failures = 0;
  for (unsigned i = 0; i < started; ++i) {
    calls += cpus[i].calls;
    failures += cpus[i].failures;
  }
  put("cpus ");
  put_decimal(started);
  put(disk_present ? ", disk, calls " : ", no disk, calls ");
  put_decimal(calls);
  put(failures == 0 ? "\nGUEST PASSED\n" : "\nGUEST FAILED\n");
  power_off();
}
