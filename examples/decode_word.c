/*
 * decode_word WORD...: what A64 instruction words (hexadecimal) do to memory, by
 * libtrapline-decode.
 *
 *   cc -std=c11 decode_word.c $(pkg-config --cflags --libs trapline-decode) -o decode_word
 *   ./decode_word a8c10440       # ldp x0, x1, [x2], #16
 */
#include <stdio.h>
#include <stdlib.h>
#include <trapline-decode.h>

static void print_access(const struct tl_access *a) {
  const char *what = a->op == TL_OP_LOAD    ? "load"
                     : a->op == TL_OP_STORE ? "store"
                                            : "another operation"; /* enum tl_op names 50 */
  const char bank = (a->flags & TL_VECTOR) ? 'v' : 'x';

  printf("%s: %u element(s) of %u byte(s), register %c%u", what, (unsigned)a->count,
         1u << a->size_log2, bank, (unsigned)a->rt);
  if (a->count == 2) printf(" and %c%u", bank, (unsigned)a->rt2);
  if (a->mode == TL_MODE_LITERAL) {
    printf(", address PC%+d", (int)a->imm);
  } else {
    if (a->rn == 31) {
      printf(", base sp");
    } else {
      printf(", base x%u", (unsigned)a->rn);
    }
    if (a->mode == TL_MODE_REGISTER) {
      printf(", offset in x%u", (unsigned)a->rm);
    } else {
      printf(", offset %d", (int)a->imm);
    }
  }
  if (a->mode == TL_MODE_PRE_INDEX || a->mode == TL_MODE_POST_INDEX) printf(", written back");
  if (a->sign != TL_SIGN_NONE) printf(", sign-extended");
  putchar('\n');
}

int main(int argc, char **argv) {
  int status = 0;

  if (argc < 2) {
    fprintf(stderr, "usage: decode_word WORD...\n");
    return 1;
  }
  for (int i = 1; i < argc; i++) {
    char *end;
    const unsigned long word = strtoul(argv[i], &end, 16);
    if (end == argv[i] || *end != '\0' || word > 0xffffffff) {
      fprintf(stderr, "decode_word: %s: not a 32-bit hexadecimal word\n", argv[i]);
      return 1;
    }
    struct tl_access access;
    const enum tl_status decoded = tl_decode((uint32_t)word, &access);
    printf("%08lx %s: ", word, tl_decode_class((uint32_t)word));
    if (decoded == TL_OK) {
      print_access(&access);
    } else {
      printf("%s\n", tl_status_text(decoded));
      status = 2;
    }
  }
  return status;
}
