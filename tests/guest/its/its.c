// All commands of the ITS, its registers and tables, and the LPIs that come of them on two CPUs. It
// prints what it finds; compare_test.py compares that with QEMU's.
#include "guest.h"

#define GICD 0x08000000ul
#define GICR(cpu) (0x080a0000ul + 0x20000 * (cpu))
#define ITS 0x08080000ul
#define PSCI_CPU_ON 0xc4000003ul

enum {
  GICR_CTLR = 0,
  GICR_TYPER = 8,
  GICR_WAKER = 0x14,
  GICR_PROPBASER = 0x70,
  GICR_PENDBASER = 0x78,
  GITS_CTLR = 0,
  GITS_TYPER = 8,
  GITS_CBASER = 0x80,
  GITS_CWRITER = 0x88,
  GITS_CREADR = 0x90,
  GITS_BASER = 0x100,
  GITS_TRANSLATER = 0x10040,
};
#define VALID (1ul << 63)
#define INDIRECT (1ul << 62)
#define PTZ (1ul << 62)

// What is not RES0, nor the implementation's own.
#define PROPBASER_BITS 0x070fffffffffff9ful
#define PENDBASER_BITS 0x070fffffffff0f80ul
#define CBASER_BITS 0xb8effffffffffcfful
#define ENTRY_SIZE (31ul << 48)

#define CONFIG 0x41000000ul
#define PENDING(cpu) (0x41010000ul + 0x10000 * (cpu))
#define QUEUE 0x41040000ul
#define DEVICES 0x41050000ul  // 64 KiB: 8,192 entries of 8 bytes
#define COLLECTIONS 0x41060000ul
#define LEVEL2 0x41070000ul
#define ITT(n) (0x41080000ul + 0x10000 * (n))
#define NOWHERE 0x0b000000ul
enum { LPI = 8192, ENTRIES = 128 };

extern char secondary_start[];

// --- output --------------------------------------------------------------------------------------

static void section(const char* name) {
  print("== ");
  print(name);
  print("\n");
}
static void line(const char* name, u64 value) {
  print(name);
  print(":");
  print_hex(value);
  print("\n");
}

// --- the other CPU does what it is asked for -----------------------------------------------------

enum { NOTHING, HPPIR, TAKE, PRIORITY };
static volatile u64 asked, argument, answer, present;

static u64 do_it(u64 what, u64 value) {
  switch (what) {
    case HPPIR:
      return mrs(s3_0_c12_c12_2);
    case TAKE: {
      const u64 intid = mrs(s3_0_c12_c12_0);
      if (intid != 1023) msr(s3_0_c12_c12_1, intid);
      return intid;
    }
    case PRIORITY:
      msr(s3_0_c4_c6_0, value);
      return 0;
    default:
      return 0;
  }
}
static void start_interface(void) {
  msr(s3_0_c12_c12_5, 7);   // ICC_SRE_EL1
  msr(s3_0_c4_c6_0, 0xf8);  // ICC_PMR_EL1
  msr(s3_0_c12_c12_7, 1);   // ICC_IGRPEN1_EL1
}
void secondary(u64 cpu) {
  (void)cpu;
  start_interface();
  present = 1;
  for (;;) {
    while (asked == NOTHING) {
    }
    barrier();
    answer = do_it(asked, argument);
    barrier();
    asked = NOTHING;
  }
}
static u64 on(u64 cpu, u64 what, u64 value) {
  if (cpu == 0) return do_it(what, value);
  argument = value;
  barrier();
  asked = what;
  while (asked != NOTHING) {
  }
  barrier();
  return answer;
}

// All that is signalled, of both CPUs.
static void taken(const char* name) {
  print(name);
  print(": taken");
  for (u64 cpu = 0; cpu < 2; ++cpu) {
    for (int n = 0; n < 40; ++n) {
      const u64 intid = on(cpu, TAKE, 0);
      if (intid == 1023) break;
      put(' ');
      put((char)('0' + cpu));
      put('/');
      print_hex(intid);
    }
  }
  print("\n");
}

// --- commands ------------------------------------------------------------------------------------

static u64 writer;
static void push(u64 d0, u64 d1, u64 d2, u64 d3) {
  at(u64, QUEUE + writer) = d0;
  at(u64, QUEUE + writer + 8) = d1;
  at(u64, QUEUE + writer + 16) = d2;
  at(u64, QUEUE + writer + 24) = d3;
  writer = (writer + 32) % (ENTRIES * 32);
}
// CREADR once it stands still: equal to CWRITER, or stalled.
static u64 settle(void) {
  u64 read = 0;
  for (int n = 0; n < 1000; ++n) {
    read = at(u64, ITS + GITS_CREADR);
    if ((read & 1) != 0 || read == at(u64, ITS + GITS_CWRITER)) break;
  }
  return read;
}
static void ring(const char* name) {
  barrier();
  at(u64, ITS + GITS_CWRITER) = writer;
  const u64 read = settle();
  print(name);
  print(read == writer ? ": done\n" : (read & 1) != 0 ? ": stalled\n" : ": not done\n");
}
#define COMMAND(name, d0, d1, d2, d3) (push(d0, d1, d2, d3), ring(name))

static void movi(const char* n, u64 device, u64 event, u64 collection) {
  COMMAND(n, device << 32 | 0x01, event, collection, 0);
}
static void make_int(const char* n, u64 device, u64 event) {
  COMMAND(n, device << 32 | 0x03, event, 0, 0);
}
static void clear(const char* n, u64 device, u64 event) {
  COMMAND(n, device << 32 | 0x04, event, 0, 0);
}
static void sync(const char* n, u64 cpu) { COMMAND(n, 0x05, 0, cpu << 16, 0); }
static void mapd(const char* n, u64 device, u64 bits, u64 itt, u64 valid) {
  COMMAND(n, device << 32 | 0x08, bits - 1, itt | valid, 0);
}
static void mapc(const char* n, u64 collection, u64 cpu, u64 valid) {
  COMMAND(n, 0x09, 0, collection | cpu << 16 | valid, 0);
}
static void mapti(const char* n, u64 device, u64 event, u64 intid, u64 collection) {
  COMMAND(n, device << 32 | 0x0a, event | intid << 32, collection, 0);
}
static void mapi(const char* n, u64 device, u64 event, u64 collection) {
  COMMAND(n, device << 32 | 0x0b, event, collection, 0);
}
static void inv(const char* n, u64 device, u64 event) {
  COMMAND(n, device << 32 | 0x0c, event, 0, 0);
}
static void invall(const char* n, u64 collection) { COMMAND(n, 0x0d, 0, collection, 0); }
static void movall(const char* n, u64 from, u64 to) { COMMAND(n, 0x0e, 0, from << 16, to << 16); }
static void discard(const char* n, u64 device, u64 event) {
  COMMAND(n, device << 32 | 0x0f, event, 0, 0);
}
static void configure(u64 intid, u8 value) {
  at(u8, CONFIG + intid - LPI) = value;
  barrier();
}

// --- set up --------------------------------------------------------------------------------------

static void start_gic(void) {
  at(u32, GICD) = 0x12;  // ARE, group 1
  for (u64 cpu = 0; cpu < 2; ++cpu) {
    at(u32, GICR(cpu) + GICR_WAKER) = 0;
    while ((at(u32, GICR(cpu) + GICR_WAKER) & 4) != 0) {
    }
    at(u32, GICR(cpu) + 0x10080) = ~0u;
    at(u32, GICR(cpu) + 0x10100) = ~0u;
    for (u64 n = 0; n < 8; ++n) at(u32, GICR(cpu) + 0x10400 + n * 4) = 0x80808080;
  }
  start_interface();
}
static void lpis_on(u64 cpu, u64 bits, u64 flags) {
  at(u64, GICR(cpu) + GICR_PROPBASER) = CONFIG | (bits - 1);
  at(u64, GICR(cpu) + GICR_PENDBASER) = PENDING(cpu) | flags;
  at(u32, GICR(cpu) + GICR_CTLR) = 1;
}
static void lpis_off(u64 cpu) { at(u32, GICR(cpu) + GICR_CTLR) = 0; }

static void its_on(u64 devices) {
  at(u64, ITS + GITS_BASER) = devices;
  at(u64, ITS + GITS_BASER + 8) = COLLECTIONS | VALID;  // 4 KiB: 512 entries
  at(u64, ITS + GITS_CBASER) = QUEUE | VALID;
  at(u64, ITS + GITS_CWRITER) = 0;
  writer = 0;
  at(u32, ITS + GITS_CTLR) = 1;
}
static void its_off(void) {
  at(u32, ITS + GITS_CTLR) = 0;
  for (int n = 0; n < 1000 && (at(u32, ITS + GITS_CTLR) & VALID >> 32) == 0; ++n) {
  }
}

// --- registers -----------------------------------------------------------------------------------

static void registers(void) {
  section("registers");
  line("GICD_TYPER.LPIS", at(u32, GICD + 4) >> 17 & 1);
  line("GICD_TYPER.IDbits", at(u32, GICD + 4) >> 19 & 31);
  for (u64 cpu = 0; cpu < 2; ++cpu) {
    line("GICR_TYPER, PLPIS to DirectLPI", at(u64, GICR(cpu) + GICR_TYPER) & 0xf);
    line("GICR_CTLR, EnableLPIs and CES", at(u32, GICR(cpu) + GICR_CTLR) & 3);
  }
  at(u64, GICR(1) + GICR_PROPBASER) = ~0ul;
  line("GICR_PROPBASER of ones", at(u64, GICR(1) + GICR_PROPBASER) & PROPBASER_BITS);
  at(u64, GICR(1) + GICR_PENDBASER) = ~0ul;
  line("GICR_PENDBASER of ones", at(u64, GICR(1) + GICR_PENDBASER) & PENDBASER_BITS);
  at(u32, GICR(1) + GICR_PROPBASER) = 0x1234500f;
  line("GICR_PROPBASER, low half written", at(u64, GICR(1) + GICR_PROPBASER) & PROPBASER_BITS);
  at(u32, GICR(1) + GICR_PROPBASER + 4) = 0;
  line("GICR_PROPBASER, high half written", at(u64, GICR(1) + GICR_PROPBASER) & PROPBASER_BITS);
  line("GICR_PROPBASER + 4", at(u32, GICR(1) + GICR_PROPBASER + 4));
  at(u64, GICR(1) + 0xa0) = LPI;
  line("GICR_INVLPIR", at(u64, GICR(1) + 0xa0));
  line("GICR_SYNCR", at(u32, GICR(1) + 0xc0));

  const u64 typer = at(u64, ITS + GITS_TYPER);
  line("GITS_TYPER.Physical, Virtual", typer & 3);
  line("GITS_TYPER.ID_bits", typer >> 8 & 31);
  line("GITS_TYPER.Devbits", typer >> 13 & 31);
  line("GITS_TYPER.PTA", typer >> 19 & 1);
  line("GITS_TYPER.HCC", typer >> 24 & 255);
  line("GITS_TYPER.CIL, CIDbits", typer >> 32 & 31);
  line("GITS_TYPER, high half", at(u32, ITS + GITS_TYPER + 4));
  line("GITS_CTLR", at(u32, ITS + GITS_CTLR));
  line("GITS_PIDR2.ArchRev", at(u32, ITS + 0xffe8) >> 4);
  for (u64 n = 0; n < 3; ++n) {
    at(u64, ITS + GITS_BASER + n * 8) = ~0ul;
    line("GITS_BASER of ones", at(u64, ITS + GITS_BASER + n * 8) & ~ENTRY_SIZE);
    at(u64, ITS + GITS_BASER + n * 8) = 0;
    line("GITS_BASER of zeroes", at(u64, ITS + GITS_BASER + n * 8) & ~ENTRY_SIZE);
  }
  at(u32, ITS + GITS_BASER) = 0x41050000;
  at(u32, ITS + GITS_BASER + 4) = 0x80000000;
  line("GITS_BASER0 by halves", at(u64, ITS + GITS_BASER) & ~ENTRY_SIZE);
  at(u64, ITS + GITS_CBASER) = ~0ul;
  line("GITS_CBASER of ones", at(u64, ITS + GITS_CBASER) & CBASER_BITS);
  at(u32, ITS + GITS_CBASER) = 0;
  line("GITS_CBASER, low half of zeroes", at(u64, ITS + GITS_CBASER) & CBASER_BITS);
  at(u64, ITS + GITS_CBASER) = 0;
  at(u64, ITS + GITS_CWRITER) = ~0ul;
  line("GITS_CWRITER.Offset of ones", at(u64, ITS + GITS_CWRITER) & 0xfffe0);
  line("GITS_CREADR", at(u64, ITS + GITS_CREADR));
  at(u64, ITS + GITS_CREADR) = 0x40;
  line("GITS_CREADR is read-only", at(u64, ITS + GITS_CREADR));
  at(u64, ITS + GITS_CWRITER) = 0;
  line("GITS_TRANSLATER", at(u32, ITS + GITS_TRANSLATER));

  section("what is enabled is fixed");
  lpis_on(0, 16, PTZ);
  lpis_on(1, 16, PTZ);
  line("GICR_CTLR, EnableLPIs and CES", at(u32, GICR(1) + GICR_CTLR) & 3);
  at(u64, GICR(1) + GICR_PROPBASER) = 0;
  at(u64, GICR(1) + GICR_PENDBASER) = 0;
  line("GICR_PROPBASER", at(u64, GICR(1) + GICR_PROPBASER) & PROPBASER_BITS);
  line("GICR_PENDBASER", at(u64, GICR(1) + GICR_PENDBASER) & PENDBASER_BITS);
  lpis_off(1);
  lpis_on(1, 16, PTZ);
  its_on(DEVICES | VALID | 2 << 8);
  line("GITS_CTLR", at(u32, ITS + GITS_CTLR));
  at(u64, ITS + GITS_BASER) = 0;
  line("GITS_BASER0", at(u64, ITS + GITS_BASER) & ~ENTRY_SIZE);
  at(u64, ITS + GITS_CBASER) = 0;
  line("GITS_CBASER", at(u64, ITS + GITS_CBASER));
}

// --- what commands do ----------------------------------------------------------------------------

static void commands(void) {
  section("mapping");
  mapc("MAPC 0 to CPU 0", 0, 0, VALID);
  mapc("MAPC 1 to CPU 1", 1, 1, VALID);
  mapd("MAPD 1, 5 bits", 1, 5, ITT(1), VALID);
  for (u64 n = 0; n < 8; ++n) mapti("MAPTI 1", 1, n, LPI + n, 0);
  make_int("INT 1/0", 1, 0);
  line("HPPIR1 of CPU 0", on(0, HPPIR, 0));
  line("HPPIR1 of CPU 1", on(1, HPPIR, 0));
  taken("INT 1/0");
  make_int("INT 1/7", 1, 7);
  make_int("INT 1/7 again", 1, 7);
  taken("INT 1/7 twice");
  mapti("MAPTI 1/9 to the last LPI", 1, 9, 65535, 1);
  make_int("INT 1/9", 1, 9);
  taken("INT 1/9");
  mapd("MAPD 2, 14 bits", 2, 14, ITT(2), VALID);
  mapi("MAPI 2/8200", 2, 8200, 1);
  make_int("INT 2/8200", 2, 8200);
  taken("INT 2/8200");
  mapd("MAPD 0, 4 bits", 0, 4, ITT(0), VALID);
  mapti("MAPTI 0/3", 0, 3, LPI + 50, 0);
  at(u32, ITS + GITS_TRANSLATER) = 3;
  taken("a CPU's write to GITS_TRANSLATER");
  sync("SYNC 0", 0);

  section("CLEAR, DISCARD");
  make_int("INT 1/0", 1, 0);
  make_int("INT 1/1", 1, 1);
  make_int("INT 1/2", 1, 2);
  clear("CLEAR 1/0", 1, 0);
  discard("DISCARD 1/1", 1, 1);
  taken("what is left");
  make_int("INT of what was discarded", 1, 1);
  taken("INT of what was discarded");
  mapti("MAPTI 1/1 anew", 1, 1, LPI + 1, 0);
  make_int("INT 1/1", 1, 1);
  taken("INT 1/1");

  section("MOVI, MOVALL, MAPC elsewhere");
  make_int("INT 1/0", 1, 0);
  make_int("INT 1/1", 1, 1);
  movi("MOVI 1/0 to 1", 1, 0, 1);
  taken("the pending one moved");
  make_int("INT 1/0", 1, 0);
  taken("the next one too");
  movi("MOVI 1/0 to where it is", 1, 0, 1);
  for (u64 n = 0; n < 8; ++n) make_int("INT 1", 1, n);
  movall("MOVALL 0 to 1", 0, 1);
  taken("MOVALL 0 to 1");
  make_int("INT 1/4", 1, 4);
  movall("MOVALL 0 to 0", 0, 0);
  taken("MOVALL 0 to 0");
  mapc("MAPC 0 to CPU 1", 0, 1, VALID);
  make_int("INT 1/4", 1, 4);
  taken("MAPC 0 to CPU 1");
  mapc("MAPC 0 unmapped", 0, 0, 0);
  make_int("INT of an unmapped collection", 1, 4);
  taken("an unmapped collection");
  mapc("MAPC 0 to CPU 0", 0, 0, VALID);
  movi("MOVI 1/0 back", 1, 0, 0);

  section("INV, INVALL");
  for (u64 n = 0; n < 4; ++n) configure(LPI + n, 0xa0);
  invall("INVALL 0", 0);
  for (u64 n = 0; n < 4; ++n) make_int("INT 1", 1, n);
  taken("disabled ones");
  configure(LPI + 2, 0xa1);
  inv("INV 1/2", 1, 2);
  taken("after INV 1/2");
  for (u64 n = 0; n < 4; ++n) configure(LPI + n, 0xa1);
  invall("INVALL 1", 1);
  invall("INVALL 0", 0);
  taken("after INVALL 0");
}

static void priorities(void) {
  section("priorities");
  static const u8 values[8] = {0xa0, 0x40, 0xa0, 0x80, 0x40, 0xf0, 0x08, 0x00};
  for (u64 n = 0; n < 8; ++n) configure(LPI + n, values[n] | 1);
  invall("INVALL 0", 0);
  on(0, PRIORITY, 0);
  for (u64 n = 0; n < 8; ++n) make_int("INT 1", 1, n);
  taken("masked");
  line("HPPIR1", on(0, HPPIR, 0));
  msr(s3_0_c12_c11_5, 1 | 5ul << 24);  // SGI 5: 0x80
  on(0, PRIORITY, 0x80);
  taken("PMR 0x80");
  on(0, PRIORITY, 0xf8);
  taken("PMR 0xf8");

  make_int("INT 1/0", 1, 0);
  line("IAR1", mrs(s3_0_c12_c12_0));
  line("RPR", mrs(s3_0_c12_c11_3));
  make_int("INT 1/2, of the same priority", 1, 2);
  line("IAR1", mrs(s3_0_c12_c12_0));
  make_int("INT 1/1, of a higher one", 1, 1);
  line("IAR1", mrs(s3_0_c12_c12_0));
  line("RPR", mrs(s3_0_c12_c11_3));
  make_int("INT 1/1: it has no active state", 1, 1);
  line("HPPIR1", mrs(s3_0_c12_c12_2));
  msr(s3_0_c12_c12_1, LPI + 1);
  line("RPR after EOIR", mrs(s3_0_c12_c11_3));
  line("IAR1", mrs(s3_0_c12_c12_0));
  msr(s3_0_c12_c12_1, LPI + 1);
  msr(s3_0_c12_c12_1, LPI);
  line("RPR after EOIR", mrs(s3_0_c12_c11_3));
  taken("the rest");

  msr(s3_0_c12_c12_4, 2);  // EOImode
  make_int("EOImode 1: INT 1/0", 1, 0);
  line("IAR1", mrs(s3_0_c12_c12_0));
  msr(s3_0_c12_c12_1, LPI);
  line("RPR after EOIR", mrs(s3_0_c12_c11_3));
  msr(s3_0_c12_c11_1, LPI);  // ICC_DIR_EL1
  make_int("INT 1/0", 1, 0);
  taken("after DIR");
  msr(s3_0_c12_c12_4, 0);

  line("IAR0", mrs(s3_0_c12_c8_0));
  make_int("INT 1/0", 1, 0);
  line("HPPIR0", mrs(s3_0_c12_c8_2));
  msr(s3_0_c12_c12_7, 0);
  line("HPPIR1 with group 1 disabled", mrs(s3_0_c12_c12_2));
  taken("group 1 disabled");
  msr(s3_0_c12_c12_7, 1);
  taken("group 1 enabled");
  for (u64 n = 0; n < 8; ++n) configure(LPI + n, 0xa1);
  invall("INVALL 0", 0);
}

// --- errors --------------------------------------------------------------------------------------

static void errors(void) {
  section("errors");
  mapd("MAPD beyond the table", 8192, 4, ITT(3), VALID);
  mapd("MAPD of 17 bits", 3, 17, ITT(3), VALID);
  make_int("INT of the device of 17 bits", 3, 0);
  mapc("MAPC to no CPU", 3, 2, VALID);
  mapc("MAPC beyond the table", 512, 0, VALID);
  mapti("MAPTI of no device", 4, 0, LPI + 20, 0);
  mapti("MAPTI of a device beyond the table", 8192, 0, LPI + 20, 0);
  mapti("MAPTI beyond the events", 1, 32, LPI + 20, 0);
  mapti("MAPTI of no LPI", 1, 20, LPI - 1, 0);
  make_int("INT of no LPI", 1, 20);
  mapti("MAPTI beyond the LPIs", 1, 20, 65536, 0);
  make_int("INT beyond the LPIs", 1, 20);
  mapti("MAPTI beyond the collections", 1, 20, LPI + 20, 512);
  make_int("INT beyond the collections", 1, 20);
  mapti("MAPTI to an unmapped collection", 1, 21, LPI + 21, 5);
  make_int("INT of an unmapped collection", 1, 21);
  taken("of an unmapped collection");
  mapc("MAPC 5 to CPU 1", 5, 1, VALID);
  make_int("INT of the collection, mapped now", 1, 21);
  taken("of the collection, mapped now");
  mapi("MAPI of no LPI", 1, 22, 0);
  movi("MOVI of no device", 4, 0, 1);
  movi("MOVI beyond the events", 1, 32, 1);
  movi("MOVI of an unmapped event", 1, 23, 1);
  movi("MOVI to an unmapped collection", 1, 0, 7);
  make_int("INT 1/0", 1, 0);
  taken("it did not move");
  movi("MOVI beyond the collections", 1, 0, 512);
  make_int("INT 1/0", 1, 0);
  taken("it did not move");
  make_int("INT of no device", 4, 0);
  make_int("INT of an unmapped event", 1, 23);
  make_int("INT beyond the events", 1, 32);
  clear("CLEAR of an unmapped event", 1, 23);
  discard("DISCARD of an unmapped event", 1, 23);
  inv("INV of an unmapped event", 1, 23);
  inv("INV of no device", 4, 0);
  invall("INVALL of an unmapped collection", 7);
  invall("INVALL beyond the collections", 512);
  movall("MOVALL from no CPU", 2, 0);
  movall("MOVALL to no CPU", 0, 2);
  COMMAND("an opcode of GICv4", 0x2a, 0, 0, 0);
  COMMAND("a reserved opcode", 0xff, 0, 0, 0);
  mapd("MAPD 2 unmapped", 2, 1, 0, 0);
  make_int("INT of an unmapped device", 2, 8200);
  taken("of all this");
}

static void tables(void) {
  section("LPIs off and on");
  make_int("INT 1/0", 1, 0);
  make_int("INT 1/2", 1, 2);
  lpis_off(0);
  line("GICR_CTLR, EnableLPIs and CES", at(u32, GICR(0) + GICR_CTLR) & 3);
  line("pending table", at(u64, PENDING(0) + 1024));
  taken("LPIs are off");
  make_int("INT 1/3", 1, 3);
  lpis_on(0, 16, 0);
  taken("LPIs are on");
  lpis_off(0);
  at(u64, PENDING(0) + 1024) = 0x50;
  at(u64, PENDING(0) + 8184) = 0;
  barrier();
  lpis_on(0, 16, 0);
  taken("the pending table was written");
  lpis_off(0);
  lpis_on(0, 14, PTZ);
  mapti("MAPTI 1/10 to 16383", 1, 10, 16383, 0);
  mapti("MAPTI 1/11 to 16384", 1, 11, 16384, 0);
  make_int("INT 1/10", 1, 10);
  make_int("INT 1/11", 1, 11);
  taken("14 bits of INTID");
  lpis_off(0);
  lpis_on(0, 13, PTZ);
  make_int("INT 1/10", 1, 10);
  taken("13 bits of INTID");
  lpis_off(0);
  lpis_on(0, 16, PTZ);

  section("the queue");
  its_off();
  line("GITS_CTLR", at(u32, ITS + GITS_CTLR));
  push(1ul << 32 | 3, 5, 0, 0);
  at(u64, ITS + GITS_CWRITER) = writer;
  line("disabled: GITS_CREADR is behind", at(u64, ITS + GITS_CREADR) != writer);
  taken("disabled");
  at(u32, ITS + GITS_TRANSLATER) = 3;
  taken("disabled: GITS_TRANSLATER");
  at(u32, ITS + GITS_CTLR) = 1;
  line("enabled: GITS_CREADR", settle() != writer);
  taken("enabled");
  for (u64 n = 0; n < 3 * ENTRIES; ++n) {
    push(1ul << 32 | (n % 2 == 0 ? 3 : 4), 4, 0, 0);
    barrier();
    at(u64, ITS + GITS_CWRITER) = writer;
    if (settle() != writer) line("round and round: GITS_CREADR", settle());
  }
  taken("round and round");
  push(1ul << 32 | 3, 2, 0, 0);
  push(1ul << 32 | 3, 3, 0, 0);
  push(1ul << 32 | 4, 2, 0, 0);
  ring("three at once");
  taken("three at once");
  const u64 was = at(u64, ITS + GITS_CREADR);
  at(u64, ITS + GITS_CWRITER) = 4096;
  line("GITS_CWRITER beyond the queue", at(u64, ITS + GITS_CREADR) == was);
  at(u64, ITS + GITS_CWRITER) = writer;

  section("no memory");
  mapd("MAPD 5 of no memory", 5, 4, NOWHERE, VALID);
  mapti("MAPTI 5/0", 5, 0, LPI + 60, 0);
  at(u64, QUEUE + at(u64, ITS + GITS_CREADR) / 32 * 32) = 5;  // it becomes SYNC
  barrier();
  at(u64, ITS + GITS_CWRITER) = writer | 1;
  line("Retry: GITS_CREADR", settle() != writer);

  section("two levels");
  its_off();
  for (u64 n = 0; n < 0x10000; n += 8) at(u64, DEVICES + n) = at(u64, LEVEL2 + n) = 0;
  its_on(DEVICES | VALID | INDIRECT);  // 4 KiB
  mapd("MAPD without a second level", 512 * 3 + 7, 4, ITT(0), VALID);
  mapti("MAPTI of it", 512 * 3 + 7, 0, LPI + 30, 1);
  at(u64, DEVICES + 3 * 8) = LEVEL2 | VALID;
  barrier();
  mapd("MAPD with one", 512 * 3 + 7, 4, ITT(0), VALID);
  mapti("MAPTI of it", 512 * 3 + 7, 0, LPI + 30, 1);
  make_int("INT of it", 512 * 3 + 7, 0);
  taken("two levels");
  make_int("INT of its neighbour", 512 * 3 + 8, 0);
  mapd("MAPD of the last device", 65535, 4, ITT(0), VALID);
  at(u64, DEVICES + 127 * 8) = (LEVEL2 + 0x1000) | VALID;
  barrier();
  mapd("MAPD of the last device", 65535, 4, ITT(0), VALID);
  mapti("MAPTI of it", 65535, 1, LPI + 31, 0);
  make_int("INT of it", 65535, 1);
  taken("the last device");
  mapd("MAPD beyond 16 bits", 65536, 4, ITT(0), VALID);
  its_off();
  its_on(DEVICES);  // not valid
  mapd("MAPD with no table", 1, 4, ITT(0), VALID);
  its_off();
}

void test(void) {
  for (u64 n = 0; n < 0x10000 / 8; ++n) at(u64, CONFIG + n * 8) = 0xa1a1a1a1a1a1a1a1;
  for (u64 a = PENDING(0); a < ITT(6); a += 8) at(u64, a) = 0;
  barrier();
  start_gic();
  hvc(PSCI_CPU_ON, 1, (u64)secondary_start, 1);
  while (present == 0) {
  }
  registers();
  commands();
  priorities();
  errors();
  tables();
  print("GUEST ENDED\n");
  power_off();
}
