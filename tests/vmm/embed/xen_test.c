/* decode_instruction() of the Xen adapter: what the struct says of each form. */
#include <asm/mmio.h>
#include <stdio.h>
#include <string.h>

int decode_instruction(const struct cpu_user_regs *regs, mmio_info_t *info);

static uint32_t code;
static int readable = 1;

unsigned long raw_copy_from_guest(void *to, const void *from, unsigned int len) {
  (void)from;
  if (!readable) return len;
  memcpy(to, &code, len);
  return 0;
}

static const struct {
  const char *text;
  uint32_t word;
  int write, status, reg, size, sign, sf, rn, imm;
} kCases[] = {
    {"str w1, [x2], #4", 0xb8004441, 1, 0, 1, 2, 0, 0, 2, 4},
    {"ldr x1, [x2], #-8", 0xf85f8441, 0, 0, 1, 3, 0, 1, 2, -8},
    {"ldrsb x1, [x2], #1", 0x38801441, 0, 0, 1, 0, 1, 1, 2, 1},
    {"ldrsh w1, [x2, #2]!", 0x78c02c41, 0, 0, 1, 1, 1, 0, 2, 2},
    {"strb wzr, [sp], #1", 0x380017ff, 1, 0, 31, 0, 0, 0, 31, 1},
    {"str x2, [x2], #8", 0xf8008442, 1, 0, 2, 3, 0, 1, 2, 8},
    {"ldtr w1, [x2]", 0xb8400841, 0, 0, 1, 2, 0, 0, 2, 0},
    {"ldar w1, [x2]", 0x88dffc41, 0, 0, 1, 2, 0, 0, 2, 0},
    {"ldr x2, [x2], #8: the base would be lost", 0xf8408442, 0, 1, 0, 0, 0, 0, 0, 0},
    {"ldp x1, x2, [x3]", 0xa9400861, 0, 1, 0, 0, 0, 0, 0, 0},
    {"ldr q1, [x2], #16", 0x3cc10441, 0, 1, 0, 0, 0, 0, 0, 0},
    {"ldxr w1, [x2]", 0x885f7c41, 0, 1, 0, 0, 0, 0, 0, 0},
    {"nop", 0xd503201f, 0, 1, 0, 0, 0, 0, 0, 0},
    {"a store where a load trapped", 0xb8004441, 0, 1, 0, 0, 0, 0, 0, 0},
};

int main(void) {
  struct cpu_user_regs regs = {.pc = 0x1000, .cpsr = 0x3c5};
  int failures = 0;
  mmio_info_t info;

  for (unsigned i = 0; i < sizeof(kCases) / sizeof(kCases[0]); i++) {
    int status, same;
    memset(&info, 0, sizeof(info));
    info.dabt.write = kCases[i].write != 0;
    code = kCases[i].word;
    status = decode_instruction(&regs, &info);
    same = status == kCases[i].status;
    if (same && status == 0) {
      same = (int)info.dabt.reg == kCases[i].reg && (int)info.dabt.size == kCases[i].size &&
             (int)info.dabt.sign == kCases[i].sign && (int)info.dabt.sf == kCases[i].sf &&
             (int)info.dabt_instr.rn == kCases[i].rn && info.dabt_instr.imm9 == kCases[i].imm &&
             info.dabt.valid == 1;
    }
    if (!same) {
      printf("failed: %s\n", kCases[i].text);
      failures++;
    }
  }
  readable = 0;
  code = 0xb8004441;
  info.dabt.write = 1;
  if (decode_instruction(&regs, &info) == 0) failures++;
  readable = 1;
  regs.cpsr |= 0x10;
  if (decode_instruction(&regs, &info) == 0) failures++;
  return failures != 0;
}
