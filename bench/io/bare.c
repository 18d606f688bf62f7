#include "bare.h"

enum {
  kGicd = 0x08000000,
  kGicr = 0x080a0000,
  kIts = 0x08080000,
  kUart = 0x09000000,
  // In RAM, behind the program.
  kConfiguration = 0x41000000,  // of LPIs
  kPending = 0x41010000,
  kCommands = 0x41040000,
  kDevices = 0x41050000,
  kCollections = 0x41060000,
  kTranslations = 0x41070000,
};
#define VALID (1ul << 63)

void put(const char* text) {
  for (; *text != 0; ++text) set(kUart, (u8)*text);
}
void put_number(u64 n) {
  char digits[24];
  unsigned at = sizeof digits;
  digits[--at] = 0;
  do digits[--at] = (char)('0' + n % 10);
  while (n /= 10);
  put(digits + at);
}
void power_off(void) {
  register u64 x0 __asm__("x0") = 0x84000008;  // PSCI SYSTEM_OFF
  __asm__ volatile("hvc #0" : "+r"(x0)::"x1", "x2", "x3", "memory");
}
void fail(const char* why) {
  put(why);
  put("\nFAILED\n");
  power_off();
}

// --- the GIC -------------------------------------------------------------------------------------

static u64 expected;

void start_gic(void) {
  set(kUart + 0x30, 0x301);  // UARTCR: on
  set(kGicd, 0x10);          // ARE
  set(kGicd, 0x12);          // and group 1
  set(kGicr + 0x14, 0);      // GICR_WAKER
  while ((get(kGicr + 0x14) & 4) != 0) {
  }
  __asm__ volatile(
      "msr S3_0_C12_C12_5, %0; isb\n"  // ICC_SRE_EL1
      "msr S3_0_C4_C6_0, %1\n"         // ICC_PMR_EL1
      "msr S3_0_C12_C12_7, %2; isb\n"  // ICC_IGRPEN1_EL1
      ::"r"(7ul),
      "r"(0xf0ul), "r"(1ul));
}

int has_messages(void) { return (get(kGicd + 4) >> 17 & 1) != 0; }  // GICD_TYPER.LPIS

void expect_spi(u32 intid) {
  expected = intid;
  set(kGicd + 0x80 + intid / 32 * 4, ~0u);         // IGROUPR
  set(kGicd + 0x400 + intid / 4 * 4, 0x80808080);  // IPRIORITYR
  set(kGicd + 0x6000 + intid * 8ul, 0);            // IROUTER: this CPU
  set(kGicd + 0x6004 + intid * 8ul, 0);
  set(kGicd + 0x100 + intid / 32 * 4, 1u << intid % 32);  // ISENABLER
}

static void command(u64 a, u64 b, u64 c) {
  static u64 at;
  const u64 words[] = {a, b, c, 0};
  for (int i = 0; i < 4; ++i) set_u64(kCommands + at + 8ul * i, words[i]);
  at += 32;
  barrier();
  set_u64(kIts + 0x88, at);             // GITS_CWRITER
  while (get_u64(kIts + 0x90) != at) {  // GITS_CREADR
    if (get_u64(kIts + 0x90) & 1) fail("the ITS refuses a command");
  }
}

void expect_message(u32 device) {
  expected = kFirstLpi;
  set_u8(kConfiguration, 0x80 | 2 | 1);              // priority, enabled
  set_u64(kGicr + 0x70, kConfiguration | (16 - 1));  // GICR_PROPBASER: INTIDs of 16 bits
  set_u64(kGicr + 0x78, kPending | 1ul << 62);       // GICR_PENDBASER: all zeroes
  set(kGicr, 1);                                     // EnableLPIs
  set_u64(kIts + 0x100, kDevices | VALID);           // GITS_BASER0
  set_u64(kIts + 0x108, kCollections | VALID);       // GITS_BASER1
  set_u64(kIts + 0x80, kCommands | VALID);           // GITS_CBASER
  set_u64(kIts + 0x88, 0);
  set(kIts, 1);                                                     // GITS_CTLR
  command((u64)device << 32 | 0x08, 5 - 1, kTranslations | VALID);  // MAPD, 5 bits of events
  command(0x09, 0, 0 | VALID);                                      // MAPC 0 to this CPU
  command((u64)device << 32 | 0x0a, (u64)kFirstLpi << 32 | 0, 0);   // MAPTI
  command((u64)device << 32 | 0x0c, 0, 0);                          // INV
}

void take_interrupt(void) {
  for (;;) {
    u64 id;
    __asm__ volatile("mrs %0, S3_0_C12_C12_0; dsb sy" : "=r"(id)::"memory");  // ICC_IAR1_EL1
    if (id == expected) return;
    if (id - 1020 >= 4) fail("another interrupt");
    __asm__ volatile("wfi" ::: "memory");
  }
}
void end_interrupt(void) {
  __asm__ volatile("msr S3_0_C12_C12_1, %0; isb" ::"r"(expected) : "memory");  // ICC_EOIR1_EL1
}
