/* The decoder from C: only the C header and the C runtime. Prints what is wrong, exits 1. */
#include <stdio.h>
#include <string.h>

#include "decode/trapline-decode.h"

static int failures;

static void expect(int ok, const char *what) {
  if (ok) return;
  printf("failed: %s\n", what);
  failures++;
}

int main(void) {
  struct tl_access a;

  /* ldp q1, q2, [sp], #32 */
  expect(tl_decode(0xacc10be1, &a) == TL_OK, "ldp: access");
  expect(a.op == TL_OP_LOAD && a.size_log2 == 4 && a.count == 2, "ldp: two 16-byte loads");
  expect(a.rt == 1 && a.rt2 == 2 && a.rn == 31 && a.imm == 32, "ldp: registers and offset");
  expect(a.mode == TL_MODE_POST_INDEX, "ldp: post-index");
  expect((a.flags & TL_VECTOR) != 0, "ldp: vector registers");

  /* ldrsb x3, [x4, w5, sxtw] */
  expect(tl_decode(0x38a5c883, &a) == TL_OK, "ldrsb: access");
  expect(a.mode == TL_MODE_REGISTER && a.rm == 5, "ldrsb: register offset");
  expect(a.extend == TL_EXTEND_SXTW && a.shift == 0, "ldrsb: sxtw");
  expect(a.sign == TL_SIGN_TO_64, "ldrsb: to 64 bits");

  /* str x0, [x1, x2, lsl #3] */
  expect(tl_decode(0xf8227820, &a) == TL_OK, "str: access");
  expect(a.extend == TL_EXTEND_LSL && a.shift == 3, "str: lsl #3");

  /* ld2 { v1.h, v2.h }[5], [x3] and ld4 { v0.4s - v3.4s }, [x1] */
  expect(tl_decode(0x4d605861, &a) == TL_OK, "ld2: access");
  expect(a.op == TL_OP_LOAD_LANE && a.lane == 7, "ld2: lane");
  expect(a.regs == 2 && (a.flags & TL_INTERLEAVED), "ld2: registers");
  expect(tl_decode(0x4c400820, &a) == TL_OK, "ld4: access");
  expect((a.flags & TL_Q) && a.regs == 4 && a.count == 16, "ld4: layout");

  /* ldaddal x1, x2, [x3] and ldapr w1, [x2] */
  expect(tl_decode(0xf8e10062, &a) == TL_OK, "ldaddal: access");
  expect(a.op == TL_OP_ATOMIC_ADD && (a.flags & TL_ACQUIRE) && (a.flags & TL_RELEASE) &&
             !(a.flags & TL_ACQUIRE_PC),
         "ldaddal: order");
  expect(tl_decode(0xb8bfc041, &a) == TL_OK, "ldapr: access");
  expect((a.flags & TL_ACQUIRE_PC) != 0, "ldapr: order");

  memset(&a, 0xff, sizeof(a));
  expect(tl_decode(0x8b020020, &a) == TL_NOT_MEMORY, "add: not memory");
  expect(a.op == TL_OP_NONE && a.imm == 0 && a.mode == 0, "add: zeroed");
  expect(tl_decode(0xdc000001, &a) == TL_UNALLOCATED, "unallocated");
  expect(tl_decode(0xa5e04000, &a) == TL_UNSUPPORTED, "SVE: unsupported");
  expect(strcmp(tl_decode_class(0xa5e04000), "SVE") == 0, "SVE: class");
  expect(strcmp(tl_status_text(TL_UNALLOCATED), "no instruction has this encoding") == 0, "text");
  expect(strlen(tl_status_text((enum tl_status)99)) > 0, "text of a number that is no status");
  return failures != 0;
}
