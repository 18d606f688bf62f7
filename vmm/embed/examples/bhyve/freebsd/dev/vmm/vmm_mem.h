/* Stand-in: sys/dev/vmm/vmm_mem.h of freebsd/freebsd-src (commit 09fa9c6f2126). */
#ifndef _DEV_VMM_MEM_H_
#define _DEV_VMM_MEM_H_

#ifdef _KERNEL
void *vm_gpa_hold(struct vcpu *vcpu, vm_paddr_t gpa, size_t len, int prot, void **cookie);
void vm_gpa_release(void *cookie);
#endif

#define VM_PROT_READ 1 /* sys/vm/vm.h */

#endif /* _DEV_VMM_MEM_H_ */
