/*
 * Stand-in: sys/arm64/vmm/arm64.h of freebsd/freebsd-src (commit 09ea88fde992), and of its struct
 * trapframe (sys/arm64/include/frame.h, commit a1653ead10d7) what the adapter touches.
 */
#ifndef _VMM_ARM64_H_
#define _VMM_ARM64_H_

struct trapframe {
  uint64_t tf_sp;
  uint64_t tf_lr;
  uint64_t tf_elr;
  uint64_t tf_spsr;
  uint64_t tf_esr;
  uint64_t tf_far;
  uint64_t tf_x[30];
};

struct hypctx {
  struct trapframe tf;
  uint64_t sp_el0;
  uint64_t mair_el1;
  uint64_t sctlr_el1;
  uint64_t tcr_el1;
  uint64_t tcr2_el1;
  uint64_t ttbr0_el1;
  uint64_t ttbr1_el1;
  struct {
    uint64_t far_el2;
    uint64_t hpfar_el2;
  } exit_info;
};

#endif /* _VMM_ARM64_H_ */
