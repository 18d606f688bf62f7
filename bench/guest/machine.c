// What start.S needs of any benchmark guest: what it does with an exception, and its tables.
#include "guest.h"

struct Cpu cpus[2] __attribute__((aligned(64)));

void unexpected_exception(uint64_t esr, uint64_t elr, uint64_t far) {
  put_text("UNEXPECTED EXCEPTION esr ");
  put_number(esr);
  put_text(" elr ");
  put_number(elr);
  put_text(" far ");
  put_number(far);
  put_char('\n');
  psci(PSCI_SYSTEM_OFF, 0, 0, 0);
}

// --- tables: identity, 4 KiB pages for RAM, Device-nGnRE below it
// ----------------------------------

uint64_t table0[512] __attribute__((aligned(4096)));
static uint64_t table1[512] __attribute__((aligned(4096)));
static uint64_t table2[512] __attribute__((aligned(4096)));
static uint64_t table3[RAM_MAPPED >> 21][512] __attribute__((aligned(4096)));

void build_tables(void) {
  const uint64_t table = 3, page = 3, block = 1, accessed = 1 << 10, inner_shareable = 3 << 8;
  const uint64_t device = 1 << 2, never_execute = (uint64_t)3 << 53;
  table0[0] = (uint64_t)table1 | table;
  table1[0] = block | accessed | device | never_execute;
  table1[ECAM >> 30] = block | accessed | device | never_execute | ECAM >> 30 << 30;
  table1[RAM >> 30] = (uint64_t)table2 | table;
  for (unsigned i = 0; i < RAM_MAPPED >> 21; ++i) {
    table2[i] = (uint64_t)table3[i] | table;
    for (unsigned j = 0; j < 512; ++j) {
      table3[i][j] =
          (RAM + ((uint64_t)i << 21) + ((uint64_t)j << 12)) | page | accessed | inner_shareable;
    }
  }
}
