/* Stand-in: lib/libvmmapi/vmmapi.h of freebsd/freebsd-src (commit 51dd214c84ef). */
#ifndef _VMMAPI_H_
#define _VMMAPI_H_

#include <machine/vmm.h>

void *vm_map_gpa(struct vmctx *ctx, vm_paddr_t gaddr, size_t len);

#endif /* _VMMAPI_H_ */
