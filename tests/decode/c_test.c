/* The decoder from C: only the C header and the C runtime. Prints what is wrong, exits 1. */
#include <stdio.h>
#include <string.h>

#include "decode/trapline_decode.h"

_Static_assert(sizeof(struct trapline_access) == 16, "as the C++ Access");

static int failures;

static void expect(int ok, const char *what) {
  if (ok) return;
  printf("failed: %s\n", what);
  failures++;
}

int main(void) {
  struct trapline_access a;

  /* ldp q1, q2, [sp], #32 */
  expect(trapline_decode(0xacc10be1, &a) == TRAPLINE_ACCESS, "ldp: access");
  expect(a.op == TRAPLINE_OP_LOAD && a.size_log2 == 4 && a.count == 2, "ldp: two 16-byte loads");
  expect(a.rt == 1 && a.rt2 == 2 && a.rn == 31 && a.imm == 32, "ldp: registers and offset");
  expect(trapline_mode(&a) == TRAPLINE_MODE_POST_INDEX, "ldp: post-index");
  expect((a.flags & TRAPLINE_VECTOR) != 0, "ldp: vector registers");

  /* ldrsb x3, [x4, w5, sxtw] */
  expect(trapline_decode(0x38a5c883, &a) == TRAPLINE_ACCESS, "ldrsb: access");
  expect(trapline_mode(&a) == TRAPLINE_MODE_REGISTER && a.rm == 5, "ldrsb: register offset");
  expect(trapline_extend(&a) == TRAPLINE_EXTEND_SXTW && trapline_shift(&a) == 0, "ldrsb: sxtw");
  expect(trapline_sign(&a) == TRAPLINE_SIGN_TO_64, "ldrsb: to 64 bits");

  /* str x0, [x1, x2, lsl #3] */
  expect(trapline_decode(0xf8227820, &a) == TRAPLINE_ACCESS, "str: access");
  expect(trapline_extend(&a) == TRAPLINE_EXTEND_LSL && trapline_shift(&a) == 3, "str: lsl #3");

  /* ld2 { v1.h, v2.h }[5], [x3] and ld4 { v0.4s - v3.4s }, [x1] */
  expect(trapline_decode(0x4d605861, &a) == TRAPLINE_ACCESS, "ld2: access");
  expect(a.op == TRAPLINE_OP_LOAD_LANE && trapline_lane(&a) == 7, "ld2: lane");
  expect(trapline_regs(&a) == 2 && trapline_interleaved(&a) == 1, "ld2: registers");
  expect(trapline_decode(0x4c400820, &a) == TRAPLINE_ACCESS, "ld4: access");
  expect(trapline_q(&a) == 1 && trapline_regs(&a) == 4 && a.count == 16, "ld4: layout");

  /* ldaddal x1, x2, [x3] and ldapr w1, [x2] */
  expect(trapline_decode(0xf8e10062, &a) == TRAPLINE_ACCESS, "ldaddal: access");
  expect(a.op == TRAPLINE_OP_ATOMIC_ADD && (a.flags & TRAPLINE_ACQUIRE) &&
             (a.flags & TRAPLINE_RELEASE) && !(a.flags & TRAPLINE_ACQUIRE_PC),
         "ldaddal: order");
  expect(trapline_decode(0xb8bfc041, &a) == TRAPLINE_ACCESS, "ldapr: access");
  expect((a.flags & TRAPLINE_ACQUIRE_PC) != 0, "ldapr: order");

  memset(&a, 0xff, sizeof(a));
  expect(trapline_decode(0x8b020020, &a) == TRAPLINE_NOT_MEMORY, "add: not memory");
  expect(a.op == TRAPLINE_OP_NONE && a.imm == 0 && a.address == 0, "add: zeroed");
  expect(trapline_decode(0xdc000001, &a) == TRAPLINE_UNALLOCATED, "unallocated");
  expect(trapline_decode(0xa5e04000, &a) == TRAPLINE_UNSUPPORTED, "SVE: unsupported");
  expect(strcmp(trapline_decode_class(0xa5e04000), "SVE") == 0, "SVE: class");
  return failures != 0;
}
