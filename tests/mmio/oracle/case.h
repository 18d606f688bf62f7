/* The file that the test writes for the guest program, and the one it reads back. Shared by C (the
 * AArch64 guest, freestanding) and C++ (the test).
 *
 *   input:  OracleHeader, `count` OracleCode, `count` OracleState
 *   output: OracleHeader (dczid filled in), `count` OracleState
 */
#ifndef TRAPLINE_TESTS_MMIO_ORACLE_CASE_H_
#define TRAPLINE_TESTS_MMIO_ORACLE_CASE_H_

#include <stdint.h>

/* A window of memory across a page boundary, and the stubs within a literal load's reach. */
#define ORACLE_WINDOW 0x10000e00u
#define ORACLE_WINDOW_BYTES 1024u
#define ORACLE_CODE 0x10010000u
#define ORACLE_MAX_CASES 40000u

struct OracleHeader {
  uint64_t count;
  uint64_t dczid;
};

/* Up to three instructions; the guest appends the branch back. */
struct OracleCode {
  uint32_t word[4];
};

/* x30 is the guest program's own: it holds the stub's address. The offsets are known to guest.S. */
struct OracleState {
  uint64_t x[31];
  uint64_t sp;
  uint64_t v[64];
  uint8_t memory[ORACLE_WINDOW_BYTES];
  uint64_t signal; /* output: what the case raised, 0 for nothing */
  uint64_t padding;
};

#endif /* TRAPLINE_TESTS_MMIO_ORACLE_CASE_H_ */
