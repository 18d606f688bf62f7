/*
 * Stand-in: what xen/arch/arm/decode.c of xen-project/xen (commit 07aebcd55fd2) gets of
 * xen/arch/arm/include/asm/mmio.h (the same commit), xen/include/asm-arm/hsr.h (commit
 * 553de072d275), regs.h and guest_access.h: names, fields and prototypes, as far as the adapter
 * touches them. In a Xen tree the real headers are found instead.
 */
#ifndef __ASM_ARM_MMIO_H__
#define __ASM_ARM_MMIO_H__

#include <stdint.h>

typedef uint64_t paddr_t;
typedef unsigned long register_t;

struct hsr_dabt {
  unsigned long dfsc : 6;
  unsigned long write : 1;
  unsigned long s1ptw : 1;
  unsigned long cache : 1;
  unsigned long eat : 1;
  unsigned long sbzp0 : 4;
  unsigned long ar : 1;
  unsigned long sf : 1;
  unsigned long reg : 5;
  unsigned long sign : 1;
  unsigned long size : 2;
  unsigned long valid : 1;
  unsigned long len : 1;
  unsigned long ec : 6;
};

typedef struct {
  struct hsr_dabt dabt;
  struct instr_details {
    unsigned long rn : 5;
    signed int imm9 : 9;
  } dabt_instr;
  paddr_t gpa;
} mmio_info_t;

struct cpu_user_regs {
  register_t pc;
  uint32_t cpsr;
};

unsigned long raw_copy_from_guest(void *to, const void *from, unsigned int len);

#endif /* __ASM_ARM_MMIO_H__ */
