// Each class of load and store, on memory, on a device's registers, on the distributor's and where
// nothing is; with stage 1 off, and on with each granule in both halves. A line is what came out of
// one class at one place under one or more translations:
//
//   class | place | translations | registers and memory that changed, or the exception
//
// so that the lines of several VMMs can be compared (classes_test.py). Addresses are relative: the
// base to the place, the PC to the class's first instruction.
#include "classes.h"

#include "guest.h"

// What a class needs of the CPU, and how it is run.
enum Need {
  ALWAYS,
  AT_EL1T,      // SP_EL0 at EL1
  AT_EL0,       // with stage 1 off
  NORMAL_ONLY,  // Normal memory at stage 1: of Device memory it is an alignment fault
  LSE,
  LOR,
  RCPC,
  RCPC2,
  PAUTH,
  MOPS,  // as NORMAL_ONLY
};

#define TO_VECTORS                                                                \
  "fmov d0, x1\n mov v0.d[1], x2\n fmov d1, x3\n mov v1.d[1], x4\n fmov d2, x5\n" \
  "mov v2.d[1], x6\n fmov d3, x7\n mov v3.d[1], x8\n"
#define FROM_VECTORS                                                               \
  "\n mov x10, v0.d[0]\n mov x11, v0.d[1]\n mov x12, v1.d[0]\n mov x13, v1.d[1]\n" \
  "mov x14, v2.d[0]\n mov x15, v2.d[1]\n mov x16, v3.d[0]\n mov x17, v3.d[1]"

// The rows' code, and a table of it beside.
#define CODE(name, size, need, text)                                         \
  ".quad 10f\n .pushsection .text.snippets, \"ax\"\n .balign 64\n 10: " text \
  "\n svc #0x7ff\n .popsection\n"
#define VECTOR_CODE(name, size, need, text) CODE(name, size, need, TO_VECTORS text FROM_VECTORS)
asm(".pushsection .rodata.codes, \"a\"\n .arch armv8.8-a+fp+simd+lse+rcpc+pauth\n .balign 8\n "
    "codes:\n" CLASSES(CODE, VECTOR_CODE) ".popsection\n");
extern const u32* const codes[];

struct Row {
  const char* name;
  u32 size;
  enum Need need;
};
#define DESCRIBE(name, size, need, text) {name, size, need},
static const struct Row rows[] = {CLASSES(DESCRIBE, DESCRIBE)};
#define ROWS (sizeof(rows) / sizeof(*rows))

static int has(enum Need need) {
  const u64 isar0 = mrs(id_aa64isar0_el1), isar1 = mrs(id_aa64isar1_el1);
  switch (need) {
    case LSE:
      return (isar0 >> 20 & 15) >= 2;
    case LOR:
      return (mrs(id_aa64mmfr1_el1) >> 16 & 15) != 0;
    case RCPC:
      return (isar1 >> 20 & 15) >= 1;
    case RCPC2:
      return (isar1 >> 20 & 15) >= 2;
    case PAUTH:
      return (isar1 & 0xff0) != 0;
    case MOPS:
      return (mrs(s3_0_c0_c6_2) >> 16 & 15) != 0;
    default:
      return 1;
  }
}

// --- places --------------------------------------------------------------------------------------

#define GICD_IPRIORITYR 0x08000440ul  // of SPIs, words and bytes
#define GICD_PIDR2 0x0800ffe8ul
#define GICD_IROUTER 0x08006200ul  // doublewords
#define NOTHING 0x0b800000ul
#define REGION 64ul  // bytes that a class may touch

enum Place { MEMORY, DEVICE_REGISTERS, DISTRIBUTOR, ROUTERS, UNMAPPED, PLACES };
static const char* const place_names[PLACES] = {"memory", "device", "gicd", "gicd", "unmapped"};
static u64 ipas[PLACES];
static u64 memory[REGION / 8] __attribute__((aligned(64)));

// An e1000's table of VLANs is 128 words that keep what is written: Trapline's machine and QEMU's.
#define ECAM 0x4010000000ul
#define BARS 0x10000000ul
#define VFTA 0x5600ul
static u64 e1000(void) {
  for (u64 slot = 1; slot < 32; ++slot) {
    const u64 function = ECAM + (slot << 15);
    if ((at(u32, function) & 0xffff) != 0x8086) continue;
    at(u32, function + 0x10) = BARS;
    at(u32, function + 4) = 2;  // memory space
    return BARS + VFTA;
  }
  return 0;
}
static int keeps(u64 address) {
  at(u32, address) = 0x5a17;
  return at(u32, address) == 0x5a17;
}
// The small VMMs of ../nisv and the C library's example have memory behind these.
static u64 find_device(void) {
  return keeps(0x0a000100) ? 0x0a000100 : keeps(0x09000100) ? 0x09000100 : e1000();
}

// --- translations --------------------------------------------------------------------------------

struct Translation {
  const char* name;
  u32 granule;  // log2; 0: stage 1 is off
  u32 upper;    // code and data both
  u32 same;     // VA is IPA
};
static const struct Translation translations[] = {
    {"off", 0, 0, 0},        {"4k.same", 12, 0, 1},   {"4k.lower", 12, 0, 0},
    {"4k.upper", 12, 1, 0},  {"16k.lower", 14, 0, 0}, {"16k.upper", 14, 1, 0},
    {"64k.lower", 16, 0, 0}, {"64k.upper", 16, 1, 0},
};
#define TRANSLATIONS (sizeof(translations) / sizeof(*translations))

#define RAM 0x40000000ul
#define SEEN_AT 0x80000000ul                                       // the places, in the lower half
static u64 tables[2][3][1 << 13] __attribute__((aligned(65536)));  // those in use, and the next

// Both halves by the same tables: memory and devices where they are, the places at SEEN_AT, once as
// Device memory and once as Normal.
static void translate(u64 granule) {
  const u64 stride = granule - 3, page = 1ul << granule;
  const u64 bits = granule == 12 ? 39 : granule + 2 * stride;
  const u64 block = granule + (granule == 12 ? 2 : 1) * stride;  // of the root
  static u64 set;
  u64(*const levels)[1 << 13] = tables[++set % 2];
  u64 *const root = levels[0], *leaves = levels[1];
  memset(levels, 0, sizeof(tables[0]));
  root[PL011 >> block] = (PL011 >> block << block) | DEVICE | AF | XN | USER | BLOCK;
  root[RAM >> block] = (RAM >> block << block) | NORMAL | AF | BLOCK;
  root[SEEN_AT >> block] = (u64)leaves | TABLE;
  if (granule == 12) {
    leaves = levels[2];
    levels[1][0] = (u64)leaves | TABLE;
  }
  for (u64 i = 0; i < PLACES; ++i) {
    const u64 frame = ipas[i] & ~(page - 1);
    leaves[2 * i] = frame | (i == MEMORY ? NORMAL : DEVICE) | AF | XN | USER | PAGE;
    leaves[2 * i + 1] = frame | (i == MEMORY ? NORMAL : NONCACHEABLE) | AF | XN | USER | PAGE;
  }
  const u64 size = 64 - bits, tg0 = granule == 12 ? 0 : granule == 14 ? 2 : 1;
  const u64 tg1 = granule == 12 ? 2 : granule == 14 ? 1 : 3;
  const u64 tcr =
      size | size << 16 | tg0 << 14 | tg1 << 30 | 2ul << 32 | 1ul << 36 | 0x3500 | 0x35000000;
  const u64 off = mrs(sctlr_el1) & ~(u64)SCTLR_M, on = off | SCTLR_M | SCTLR_C | SCTLR_I;
  // Stage 1 is off for these instructions alone, none of which touches memory.
  asm volatile(
      "dsb sy\n msr sctlr_el1, %0\n isb\n msr mair_el1, %1\n msr tcr_el1, %2\n msr ttbr0_el1, %3\n"
      "msr ttbr1_el1, %3\n isb\n tlbi vmalle1\n dsb sy\n isb\n msr sctlr_el1, %4\n isb" ::"r"(off),
      "r"(0x0c44ff00ul), "r"(tcr), "r"(root), "r"(on)
      : "memory");
}

static u64 half(const struct Translation* t) {
  return t->upper == 0 ? 0 : ~0ul << (t->granule == 12 ? 39 : 3 * t->granule - 6);
}
static u64 seen_at(const struct Translation* t, enum Place place, int normal) {
  if (t->granule == 0 || t->same) return ipas[place];
  const u64 page = 1ul << t->granule;
  return half(t) + SEEN_AT + (2 * place + (normal ? 1 : 0)) * page + (ipas[place] & (page - 1));
}

// --- a class at a place --------------------------------------------------------------------------

struct Outcome {
  u64 ran, esr, far, pc, x[30], memory[REGION / 8];
};
static u64 left[PLACES][REGION / 8];  // what lies there: of each access an exit
static struct Outcome all[ROWS][PLACES][TRANSLATIONS];

// Of the distributor's registers the bits that are kept.
static u64 kept(enum Place place) {
  return place == DISTRIBUTOR ? 0xf8f8f8f8f8f8f8f8 : place == ROUTERS ? 0xffffff : ~0ul;
}
static u64 pattern(u64 i) { return 0x8192a3b4c5d6e7f8 * (2 * i + 1) ^ i << 61; }
static u64 content(enum Place place, u64 i) { return pattern(16 + i) & kept(place); }

static u64 peek(enum Place place, u64 address) {
  if (place != DISTRIBUTOR) return at(u64, address);
  return at(u32, address) | (u64)at(u32, address + 4) << 32;
}
static void poke(enum Place place, u64 address, u64 value) {
  if (place != DISTRIBUTOR) {
    at(u64, address) = value;
  } else {
    at(u32, address) = (u32)value;
    at(u32, address + 4) = (u32)(value >> 32);
  }
}

static u64 before(enum Place place, u64 i) {  // of x register i
  if (i >= 10 && i < 18) i -= 9;  // as v0 to v3, so that only what a load changes is seen
  if (i == 2 || i == 3) return content(place, i - 2);
  return pattern(i) & kept(place);
}

static int is_run(const struct Row* row, enum Place place, const struct Translation* t) {
  const int normal = row->need == NORMAL_ONLY || row->need == MOPS;
  if (!has(row->need) || ipas[place] == 0) return 0;
  if (place == MEMORY && t->same) return 0;  // it is EL1's alone
  if (row->need == AT_EL0) return t->granule == 0 && (place != DISTRIBUTOR);
  if (normal && (t->granule == 0 || t->same)) return 0;
  if (place == DISTRIBUTOR) return row->size == 1 || row->size == 4;  // it has no halfwords
  return place != ROUTERS || row->size == 8;
}

static void run_class(u64 n, enum Place place, const struct Translation* t, struct Outcome* out) {
  const struct Row* row = &rows[n];
  const u64 address = seen_at(t, place, row->need == NORMAL_ONLY || row->need == MOPS);
  const u64 code = (u64)codes[n] + half(t);
  for (u64 i = 0; i < REGION / 8 && place != UNMAPPED; ++i) {
    if (left[place][i] != content(place, i)) poke(place, address + 8 * i, content(place, i));
  }
  for (u64 i = 1; i < 30; ++i) ctx.x[i] = before(place, i);
  ctx.x[0] = address;
  ctx.sp = 0;
  run_at(row->need == AT_EL1T ? EL1T : row->need == AT_EL0 ? EL0 : EL1H, (const void*)code);
  out->ran = 1;
  out->esr = ctx.esr;
  out->far = ctx.esr == DONE ? 0 : ctx.far - address;
  out->pc = ctx.esr == DONE ? 0 : ctx.pc - code;
  out->x[0] = ctx.x[0] - address;
  for (u64 i = 1; i < 30; ++i) out->x[i] = ctx.x[i];
  for (u64 i = 0; i < REGION / 8; ++i) {
    out->memory[i] = place == UNMAPPED ? 0 : peek(place, address + 8 * i);
    left[place][i] = out->memory[i];
  }
}

// --- lines ---------------------------------------------------------------------------------------

static int same(const struct Outcome* a, const struct Outcome* b) {
  const u64 *p = (const u64*)a, *q = (const u64*)b;
  for (u64 i = 0; i < sizeof(*a) / 8; ++i) {
    if (p[i] != q[i]) return 0;
  }
  return 1;
}

static void print_number(u64 n) {
  if (n >= 10) print_number(n / 10);
  put((char)('0' + n % 10));
}
static void print_offset(const char* name, u64 offset) {
  print(name);
  put((s64)offset < 0 ? '-' : '+');
  print_number((s64)offset < 0 ? -offset : offset);
}
static void print_indexed(const char* name, u64 i, u64 value) {
  put(' ');
  print(name);
  print_number(i);
  put('=');
  for (u64 shift = 64; shift > 0;) {
    shift -= 4;
    if (shift == 0 || value >> shift != 0) put("0123456789abcdef"[value >> shift & 15]);
  }
}

static void print_outcome(enum Place place, const struct Outcome* o) {
  if (o->esr != DONE) {
    print(" esr");
    print_hex(o->esr);
    print_offset(" far", o->far);
    print_offset(" pc", o->pc);
  }
  if (o->x[0] != 0) print_offset(" base", o->x[0]);
  for (u64 i = 1; i < 30; ++i) {
    if (o->x[i] != before(place, i)) print_indexed("x", i, o->x[i]);
  }
  for (u64 i = 0; i < REGION / 8 && place != UNMAPPED; ++i) {
    if (o->memory[i] != content(place, i)) print_indexed("m", i, o->memory[i]);
  }
  put('\n');
}

// Translations with one outcome share a line; "all": each under which the class was run. "=": as on
// memory. A letter is an exit, on an emulated host a slow one.
static void print_class(u64 n, enum Place place) {
  struct Outcome* const of = all[n][place];
  int printed[TRANSLATIONS] = {0};
  for (u64 i = 0; i < TRANSLATIONS; ++i) {
    if (!of[i].ran || printed[i]) continue;
    int every = 1;
    for (u64 k = 0; k < TRANSLATIONS; ++k) {
      if (!of[k].ran) continue;
      printed[k] |= same(&of[k], &of[i]);
      every &= same(&of[k], &of[i]);
    }
    print(rows[n].name);
    print(" | ");
    print(place_names[place]);
    print(" | ");
    if (every) print("all ");
    for (u64 k = i; k < TRANSLATIONS && !every; ++k) {
      if (!of[k].ran || !same(&of[k], &of[i])) continue;
      print(translations[k].name);
      put(' ');
    }
    put('|');
    if (every && place == DEVICE_REGISTERS && same(&of[i], &all[n][MEMORY][i])) {
      print(" =\n");
    } else {
      print_outcome(place, &of[i]);
    }
  }
}

void test(void) {
  ipas[MEMORY] = (u64)memory;
  ipas[DEVICE_REGISTERS] = find_device();
  ipas[UNMAPPED] = NOTHING;
  if (at(u32, GICD_PIDR2) != 0) {  // the C library's example has none
    ipas[DISTRIBUTOR] = GICD_IPRIORITYR;
    ipas[ROUTERS] = GICD_IROUTER;
  }
  for (u64 t = 0; t < TRANSLATIONS; ++t) {
    const u64 granule = translations[t].granule;
    if (granule != 0 && granule != translations[t - 1].granule) translate(granule);
    for (u64 n = 0; n < ROWS; ++n) {
      for (enum Place place = 0; place < PLACES; ++place) {
        if (is_run(&rows[n], place, &translations[t])) {
          run_class(n, place, &translations[t], &all[n][place][t]);
        }
      }
    }
  }
  for (u64 n = 0; n < ROWS; ++n) {
    if (!has(rows[n].need)) {
      print(rows[n].name);
      print(" | absent\n");
      continue;
    }
    for (enum Place place = 0; place < PLACES; ++place) print_class(n, place);
  }
  check("a device", ipas[DEVICE_REGISTERS] != 0, 1);
  u64 compared = 0;
  for (u64 n = 0; n < ROWS; ++n) {
    for (u64 t = 0; t < TRANSLATIONS; ++t) {
      const struct Outcome *device = &all[n][DEVICE_REGISTERS][t], *ram = &all[n][MEMORY][t];
      if (rows[n].size < 4 || !device->ran || !ram->ran) continue;  // not each device keeps bytes
      ++compared;
      check_in(rows[n].name, "as memory, translation", t, (u64)same(device, ram), 1);
    }
  }
  check("a device is as memory", compared > 500, 1);
}
