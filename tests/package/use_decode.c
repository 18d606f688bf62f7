/* A stranger's program: C11 and C++, nothing but the installed header and library. */
#include <stdio.h>
#include <trapline-decode.h>

int main(void) {
  struct tl_access a;
  enum tl_status status = tl_decode(0xa8c10440, &a); /* ldp x0, x1, [x2], #16 */
  if (status != TL_OK || a.op != TL_OP_LOAD || a.mode != TL_MODE_POST_INDEX || a.count != 2 ||
      a.size_log2 != 3 || a.rt != 0 || a.rt2 != 1 || a.rn != 2 || a.imm != 16) {
    printf("ldp is decoded wrongly: %s\n", tl_status_text(status));
    return 1;
  }
  status = tl_decode(0x8b020020, &a); /* add x0, x1, x2 */
  printf("add: %s, class %s\n", tl_status_text(status), tl_decode_class(0x8b020020));
  return status != TL_NOT_MEMORY;
}
