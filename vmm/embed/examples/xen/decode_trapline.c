/*
 * decode_instruction() of Xen's xen/arch/arm/decode.c for A64, by libtrapline's decoder. Xen calls
 * it for a data abort whose syndrome is not valid (dabt.valid == 0), lets a handler do the access
 * that mmio_info_t describes, and adds dabt_instr.imm9 to register dabt_instr.rn afterwards.
 *
 * So it can take what mmio_info_t can carry: one general register, with write-back of a signed
 * 9-bit immediate or none. That is every LDR* and STR* with post- or pre-index, and those that do
 * not write back, LDTR, LDUR and the acquire and release forms among them; Xen's own takes
 * post-index LDR and STR without sign, of two different registers. Pairs, SIMD registers,
 * exclusives and atomics need more than one register: tl_emulate() does them, given a callback for
 * each (trapline.h).
 */
#include <asm/mmio.h>

#include "trapline-decode.h"

int decode_instruction(const struct cpu_user_regs *regs, mmio_info_t *info);

static int is_one_register(const struct tl_access *a) {
  return (a->op == TL_OP_LOAD || a->op == TL_OP_STORE) && a->count == 1 && a->size_log2 <= 3 &&
         (a->flags & TL_VECTOR) == 0;
}

int decode_instruction(const struct cpu_user_regs *regs, mmio_info_t *info) {
  struct hsr_dabt *dabt = &info->dabt;
  struct tl_access a;
  uint32_t word;
  int writes_back;

  if ((regs->cpsr & 0x10) != 0) return 1; /* AArch32: Xen's own decoder */
  if (raw_copy_from_guest(&word, (const void *)(uintptr_t)regs->pc, sizeof(word)) != 0) return 1;
  if (tl_decode(word, &a) != TL_OK || !is_one_register(&a)) return 1;
  /* What trapped was a load or a store, and must still be the same. */
  if (dabt->write != (a.op == TL_OP_STORE)) return 1;
  writes_back = a.mode == TL_MODE_PRE_INDEX || a.mode == TL_MODE_POST_INDEX;
  if (writes_back && (a.imm < -256 || a.imm > 255)) return 1;
  /* Xen would add to the base what the load has put there (CONSTRAINED UNPREDICTABLE, K1.2.3). */
  if (writes_back && a.op == TL_OP_LOAD && a.rn == a.rt && a.rn != 31) return 1;

  dabt->reg = a.rt;
  dabt->size = a.size_log2;
  dabt->sign = a.sign != TL_SIGN_NONE;
  dabt->sf = a.sign == TL_SIGN_TO_64 || (a.sign == TL_SIGN_NONE && a.size_log2 == 3);
  dabt->ar = (a.flags & (TL_ACQUIRE | TL_RELEASE)) != 0;
  dabt->valid = 1;
  info->dabt_instr.rn = a.rn;
  info->dabt_instr.imm9 = writes_back ? a.imm : 0;
  return 0;
}
