/*
 * Stand-in for FreeBSD's header of this name: the names, fields and prototypes that the adapter
 * touches, as sys/arm64/include/vmm.h of freebsd/freebsd-src has them (commit 044b8a2049e1). In a
 * FreeBSD tree the real header is found instead.
 */
#ifndef _VMM_H_
#define _VMM_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vcpu;
struct vm;
struct vmctx;
typedef uint64_t vm_paddr_t; /* sys/arm64/include/_types.h */

enum vm_reg_name {
  VM_REG_GUEST_X0 = 0, /* ... X29 = 29 */
  VM_REG_GUEST_LR = 30,
  VM_REG_GUEST_SP,
  VM_REG_GUEST_PC,
  VM_REG_GUEST_CPSR,
  VM_REG_GUEST_SCTLR_EL1,
  VM_REG_GUEST_TTBR0_EL1,
  VM_REG_GUEST_TTBR1_EL1,
  VM_REG_GUEST_TCR_EL1,
  VM_REG_GUEST_TCR2_EL1,
  VM_REG_GUEST_MPIDR_EL1,
  VM_REG_LAST
};

#define VM_DIR_READ 0
#define VM_DIR_WRITE 1

#define VM_GP_M_MASK 0x1f
#define VM_GP_MMU_ENABLED (1 << 5)

struct vm_guest_paging {
  uint64_t ttbr0_addr;
  uint64_t ttbr1_addr;
  uint64_t tcr_el1;
  uint64_t tcr2_el1;
  int flags;
  int padding;
};

struct vie {
  uint8_t access_size : 4, sign_extend : 1, dir : 1, unused : 2;
  enum vm_reg_name reg;
};

struct vre {
  uint32_t inst_syndrome;
  uint8_t dir : 1, unused : 7;
  enum vm_reg_name reg;
};

enum vm_exitcode {
  VM_EXITCODE_BOGUS,
  VM_EXITCODE_INST_EMUL,
  VM_EXITCODE_REG_EMUL,
  VM_EXITCODE_HVC,
  VM_EXITCODE_SUSPENDED,
  VM_EXITCODE_HYP,
  VM_EXITCODE_WFI,
  VM_EXITCODE_PAGING,
  VM_EXITCODE_SMCCC,
  VM_EXITCODE_DEBUG,
  VM_EXITCODE_BRK,
  VM_EXITCODE_SS,
  VM_EXITCODE_MAX
};

struct vm_exit {
  enum vm_exitcode exitcode;
  int inst_length;
  uint64_t pc;
  union {
    struct {
      uint32_t exception_nr;
      uint32_t pad;
      uint64_t esr_el2;
      uint64_t far_el2;
      uint64_t hpfar_el2;
    } hyp;
    struct {
      struct vre vre;
    } reg_emul;
    struct {
      uint64_t gpa;
      uint64_t esr;
    } paging;
    struct {
      uint64_t gpa;
      struct vm_guest_paging paging;
      struct vie vie;
    } inst_emul;
    struct {
      uint64_t func_id;
      uint64_t args[7];
    } smccc_call;
  } u;
};

int vm_get_register(struct vcpu *vcpu, int reg, uint64_t *retval);
int vm_set_register(struct vcpu *vcpu, int reg, uint64_t val);
int vm_inject_exception(struct vcpu *vcpu, uint64_t esr, uint64_t far);
#ifdef _KERNEL
void *vcpu_get_cookie(struct vcpu *vcpu);
#endif

#endif /* _VMM_H_ */
