/*
 * libtrapline at the seam of FreeBSD bhyve's arm64 instruction emulation: docs/bhyve.md says where
 * each function goes. Compiled twice, as vmm_instruction_emul.c is: into vmm.ko (_KERNEL) and into
 * bhyve(8).
 */
#ifndef VMM_TRAPLINE_H_
#define VMM_TRAPLINE_H_

#include <machine/vmm.h>
#include <machine/vmm_instruction_emul.h>

#include "trapline.h"

/*
 * struct vie carries one register and no word of ISS. So that it carries what is needed without a
 * change of struct vm_exit, access_size 0 (which no access has) says that the syndrome describes
 * nothing (ISV = 0), and its unused bits:
 */
#define VMM_TRAPLINE_SF 1   /* the register is one of 64 bits */
#define VMM_TRAPLINE_PAGE 2 /* only the page of gpa is known (FnV) */

/* How often an instruction that is not what trapped is tried again: about a second. */
#define VMM_TRAPLINE_PATIENCE 100000

/* One a vCPU, in memory that the integrator allocates with it. */
struct vmm_trapline {
  struct vcpu *vcpu;
#ifndef _KERNEL
  struct vmctx *ctx;
#endif
  struct tl_vcpu *tl;
  /* The emulation in progress. */
  mem_region_read_t memread;
  mem_region_write_t memwrite;
  void *memarg;
  struct tl_cpu cpu;
  /* Rule 1's patience: how often the instruction at `retried` has been given back to the guest. */
  uint64_t retried;
  unsigned retries;
  /* For statistics: load-exclusives whose store tl_step() did not reach, instructions given up. */
  uint64_t beyond, stuck;
  /* The three words of the exit, before inst_emul overwrites them (vmm_trapline_describe()). */
  uint64_t esr, far, hpfar;
};

/* The integrator's: where a vCPU's struct is. */
struct vmm_trapline *vmm_trapline_of(struct vcpu *vcpu);

/*
 * Bytes for the tl_vcpu and its cache, aligned to 64; then, once a vCPU. The cache is keyed by word
 * (TL_CACHE_REWALK), which is right without hearing of any TLB maintenance.
 */
size_t vmm_trapline_size(unsigned cache_log2);
int vmm_trapline_init(struct vmm_trapline *t, struct vcpu *vcpu, void *memory, unsigned cache_log2);

#ifdef _KERNEL
struct hypctx;

enum vmm_trapline_kind {
  VMM_TRAPLINE_EMULATE, /* u.inst_emul is filled, exitcode is VM_EXITCODE_INST_EMUL */
  VMM_TRAPLINE_RESUME,  /* nothing to do: the guest goes on inst_length behind the PC */
  VMM_TRAPLINE_ABORT    /* raise_data_insn_abort() by the caller: a table lies in no memory */
};

/* Instead of arm64_gen_inst_emul_data(); `vme->u.hyp` still holds the three words. */
enum vmm_trapline_kind vmm_trapline_describe(struct vmm_trapline *t, const struct hypctx *hypctx,
                                             struct vm_exit *vme);

/*
 * The IPA of the last data abort where HPFAR_EL2 does not say it (a permission fault that is not on
 * a walk): by a walk of FAR_EL2. Sleeps (vm_gpa_hold()): outside of the critical section. 0, or an
 * errno.
 */
int vmm_trapline_fault_gpa(struct vmm_trapline *t, uint64_t *gpa);

/* A trap of WFE: nothing to emulate, and no reason to end the VM. */
void vmm_trapline_wfe(struct vm_exit *vme);
#endif /* _KERNEL */

/* Instead of vmm_emulate_instruction(), of the same prototype. */
int vmm_trapline_emulate(struct vcpu *vcpu, uint64_t gpa, struct vie *vie,
                         struct vm_guest_paging *paging, mem_region_read_t memread,
                         mem_region_write_t memwrite, void *memarg);

/* A system register without a handler: UNDEFINED for the guest, instead of the VM's end. */
int vmm_trapline_unknown_register(struct vcpu *vcpu);

/* Instead of vmm_emulate_register()'s use of VM_REG_GUEST_SP for XZR: reads of it go nowhere. */
int vmm_trapline_get_xzr(struct vcpu *vcpu, int reg, uint64_t *value);
int vmm_trapline_set_xzr(struct vcpu *vcpu, int reg, uint64_t value);

/*
 * In front of a device whose registers are words (PL011, PL031): narrower accesses reach the bytes
 * that they name. `read` and `write` see words at multiples of four.
 */
int vmm_trapline_word_read(struct vcpu *vcpu, uint64_t gpa, uint64_t *value, int size,
                           mem_region_read_t read, void *arg);
int vmm_trapline_word_write(struct vcpu *vcpu, uint64_t gpa, uint64_t value, int size,
                            mem_region_write_t write, void *arg);

#endif /* VMM_TRAPLINE_H_ */
