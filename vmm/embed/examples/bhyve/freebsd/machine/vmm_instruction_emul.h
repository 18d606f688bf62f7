/*
 * Stand-in: sys/arm64/include/vmm_instruction_emul.h of freebsd/freebsd-src (commit a36bbcf6cc7e),
 * what the adapter touches of it.
 */
#ifndef _VMM_INSTRUCTION_EMUL_H_
#define _VMM_INSTRUCTION_EMUL_H_

typedef int (*mem_region_read_t)(struct vcpu *vcpu, uint64_t gpa, uint64_t *rval, int rsize,
                                 void *arg);
typedef int (*mem_region_write_t)(struct vcpu *vcpu, uint64_t gpa, uint64_t wval, int wsize,
                                  void *arg);

int vmm_emulate_instruction(struct vcpu *vcpu, uint64_t gpa, struct vie *vie,
                            struct vm_guest_paging *paging, mem_region_read_t mrr,
                            mem_region_write_t mrw, void *mrarg);

#endif /* _VMM_INSTRUCTION_EMUL_H_ */
