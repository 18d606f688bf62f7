#include "vmm_trapline.h"

#include <dev/vmm/vmm_mem.h>
#ifdef _KERNEL
#include "arm64.h"
#else
#include <vmmapi.h>
#endif

/* Errors as errno has them on FreeBSD (sys/sys/errno.h). */
enum { VMM_EINVAL = 22, VMM_ENOMEM = 12, VMM_EFAULT = 14 };

/* ESR_EL2 of a data abort, D17.2.37. */
#define ESR_EC_DABT (UINT64_C(0x24) << 26)
#define ISS_ISV (UINT64_C(1) << 24)
#define ISS_SAS(size_log2) ((uint64_t)(size_log2) << 22)
#define ISS_SSE (UINT64_C(1) << 21)
#define ISS_SRT(reg) ((uint64_t)(reg) << 16)
#define ISS_SF (UINT64_C(1) << 15)
#define ISS_FNV (UINT64_C(1) << 10)
#define ISS_CM (UINT64_C(1) << 8)
#define ISS_S1PTW (UINT64_C(1) << 7)
#define ISS_WNR (UINT64_C(1) << 6)

#define PSTATE_EL1H 5u
#define GUEST_PAGE_MASK UINT64_C(0xfff)

/* --- callbacks ------------------------------------------------------------------------------- */

/*
 * SP is the one that PSTATE.SPSel and the EL select. tf_sp is SP_EL1; SP_EL0 has no name in enum
 * vm_reg_name, so that bhyve(8) cannot reach it.
 */
static int is_sp_el1(const struct vmm_trapline *t) { return (t->cpu.pstate & 0xf) == PSTATE_EL1H; }

static int read_gpr(void *arg, unsigned reg, uint64_t *value) {
  struct vmm_trapline *t = (struct vmm_trapline *)arg;

  if (reg == TL_REG_SP && !is_sp_el1(t)) {
#ifdef _KERNEL
    *value = ((const struct hypctx *)vcpu_get_cookie(t->vcpu))->sp_el0;
    return 0;
#else
    return VMM_EINVAL;
#endif
  }
  return vm_get_register(t->vcpu, (int)reg, value);
}

static int write_gpr(void *arg, unsigned reg, uint64_t value) {
  struct vmm_trapline *t = (struct vmm_trapline *)arg;

  if (reg == TL_REG_SP && !is_sp_el1(t)) {
#ifdef _KERNEL
    ((struct hypctx *)vcpu_get_cookie(t->vcpu))->sp_el0 = value;
    return 0;
#else
    return VMM_EINVAL;
#endif
  }
  return vm_set_register(t->vcpu, (int)reg, value);
}

static int mmio_read(void *arg, uint64_t ipa, unsigned size, uint64_t *value) {
  struct vmm_trapline *t = (struct vmm_trapline *)arg;
  return t->memread(t->vcpu, ipa, value, (int)size, t->memarg);
}

static int mmio_write(void *arg, uint64_t ipa, unsigned size, uint64_t value) {
  struct vmm_trapline *t = (struct vmm_trapline *)arg;
  return t->memwrite(t->vcpu, ipa, value, (int)size, t->memarg);
}

static int read_memory(void *arg, uint64_t ipa, void *to, unsigned size) {
  struct vmm_trapline *t = (struct vmm_trapline *)arg;
  const void *from;
#ifdef _KERNEL
  void *cookie;

  from = vm_gpa_hold(t->vcpu, ipa, size, VM_PROT_READ, &cookie);
#else
  from = vm_map_gpa(t->ctx, ipa, size);
#endif
  if (from == NULL) return VMM_EFAULT;
  if (size == 8) {
    *(uint64_t *)to = *(const volatile uint64_t *)from;
  } else {
    *(uint32_t *)to = *(const volatile uint32_t *)from;
  }
#ifdef _KERNEL
  vm_gpa_release(cookie);
#endif
  return 0;
}

/* --- a vCPU ---------------------------------------------------------------------------------- */

size_t vmm_trapline_size(unsigned cache_log2) {
  return ((tl_vcpu_size() + 63) & ~(size_t)63) + tl_cache_size(TL_CACHE_REWALK, cache_log2);
}

int vmm_trapline_init(struct vmm_trapline *t, struct vcpu *vcpu, void *memory,
                      unsigned cache_log2) {
  const size_t first = (tl_vcpu_size() + 63) & ~(size_t)63;
  struct tl_ops ops = {.size = sizeof(ops),
                       .read_gpr = read_gpr,
                       .write_gpr = write_gpr,
                       .mmio_read = mmio_read,
                       .mmio_write = mmio_write,
                       .read_memory = read_memory};
  struct tl_cache *cache;

  t->vcpu = vcpu;
  t->tl = tl_vcpu_init(memory, first, &ops, t);
  cache = tl_cache_init((char *)memory + first, tl_cache_size(TL_CACHE_REWALK, cache_log2),
                        TL_CACHE_REWALK, cache_log2);
  if (t->tl == NULL || cache == NULL) return VMM_ENOMEM;
  tl_vcpu_set_cache(t->tl, cache);
  return 0;
}

/* t->cpu, from the registers that bhyve names. */
static int fetch_cpu(struct vmm_trapline *t) {
  const struct tl_cpu none = {0};

  t->cpu = none;
  if (vm_get_register(t->vcpu, VM_REG_GUEST_PC, &t->cpu.pc) != 0 ||
      vm_get_register(t->vcpu, VM_REG_GUEST_CPSR, &t->cpu.pstate) != 0 ||
      vm_get_register(t->vcpu, VM_REG_GUEST_SCTLR_EL1, &t->cpu.sctlr) != 0 ||
      vm_get_register(t->vcpu, VM_REG_GUEST_TCR_EL1, &t->cpu.tcr) != 0 ||
      vm_get_register(t->vcpu, VM_REG_GUEST_TTBR0_EL1, &t->cpu.ttbr0) != 0 ||
      vm_get_register(t->vcpu, VM_REG_GUEST_TTBR1_EL1, &t->cpu.ttbr1) != 0) {
    return VMM_EINVAL;
  }
#ifdef _KERNEL
  t->cpu.mair = ((const struct hypctx *)vcpu_get_cookie(t->vcpu))->mair_el1;
#endif
  return 0;
}

/* --- the exit, in the kernel ----------------------------------------------------------------- */

#ifdef _KERNEL
/* HPFAR_EL2 is UNKNOWN after a permission fault that is not on a stage-1 walk (D17.2.55). */
static int hpfar_is_known(uint64_t esr) { return (esr & 0x3c) != 0x0c || (esr & ISS_S1PTW) != 0; }

enum vmm_trapline_kind vmm_trapline_describe(struct vmm_trapline *t, const struct hypctx *hypctx,
                                             struct vm_exit *vme) {
  const uint64_t esr = vme->u.hyp.esr_el2, far = vme->u.hyp.far_el2;
  const uint64_t hpfar = vme->u.hyp.hpfar_el2;
  const struct vie none = {0};
  struct vm_guest_paging *paging;
  struct vie *vie;

  t->esr = esr;
  t->far = far;
  t->hpfar = hpfar;
  if ((esr & ISS_S1PTW) != 0) return VMM_TRAPLINE_ABORT;
  if ((esr & ISS_CM) != 0) return VMM_TRAPLINE_RESUME;

  /* From here on u.hyp is gone. FIPA is IPA[47:12], from bit 4 on. */
  vme->exitcode = VM_EXITCODE_INST_EMUL;
  vme->u.inst_emul.gpa = (hpfar & UINT64_C(0xfffffffff0)) << 8;
  vie = &vme->u.inst_emul.vie;
  *vie = none;
  vie->dir = (esr & ISS_WNR) != 0 ? VM_DIR_WRITE : VM_DIR_READ;
  if ((esr & ISS_FNV) != 0) {
    vie->unused |= VMM_TRAPLINE_PAGE;
  } else {
    vme->u.inst_emul.gpa |= far & GUEST_PAGE_MASK;
  }
  if ((esr & ISS_ISV) != 0) {
    vie->access_size = (uint8_t)(1u << (esr >> 22 & 3)) & 15;
    vie->sign_extend = (esr & ISS_SSE) != 0;
    vie->reg = (enum vm_reg_name)(esr >> 16 & 31);
    if ((esr & ISS_SF) != 0) vie->unused |= VMM_TRAPLINE_SF;
  }
  /* TTBR without ASID (63:48) and CnP (0). */
  paging = &vme->u.inst_emul.paging;
  paging->ttbr0_addr = hypctx->ttbr0_el1 & UINT64_C(0x0000fffffffffffe);
  paging->ttbr1_addr = hypctx->ttbr1_el1 & UINT64_C(0x0000fffffffffffe);
  paging->tcr_el1 = hypctx->tcr_el1;
  paging->tcr2_el1 = hypctx->tcr2_el1;
  paging->flags = (int)(hypctx->tf.tf_spsr & VM_GP_M_MASK);
  if ((hypctx->sctlr_el1 & 1) != 0) paging->flags |= VM_GP_MMU_ENABLED;
  return VMM_TRAPLINE_EMULATE;
}

int vmm_trapline_fault_gpa(struct vmm_trapline *t, uint64_t *gpa) {
  struct tl_translation to;

  if (hpfar_is_known(t->esr)) {
    *gpa = (t->hpfar & UINT64_C(0xfffffffff0)) << 8;
    if ((t->esr & ISS_FNV) == 0) *gpa |= t->far & GUEST_PAGE_MASK;
    return 0;
  }
  if ((t->esr & ISS_FNV) != 0 || fetch_cpu(t) != 0) return VMM_EFAULT;
  if (tl_walk(t->tl, &t->cpu, t->far, (t->esr & ISS_WNR) != 0 ? TL_WRITE : TL_READ, 0, &to) !=
      TL_DONE) {
    return VMM_EFAULT;
  }
  *gpa = to.ipa;
  return 0;
}

void vmm_trapline_wfe(struct vm_exit *vme) {
  vme->exitcode = VM_EXITCODE_BOGUS; /* resumed, inst_length behind the PC */
}
#endif /* _KERNEL */

/* --- the emulation --------------------------------------------------------------------------- */

static unsigned size_log2(unsigned size) {
  return size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0;
}

/* What struct vie says, as a syndrome again. */
static struct tl_abort abort_of(uint64_t gpa, const struct vie *vie) {
  struct tl_abort abort = {.esr = ESR_EC_DABT | 7, .ipa = gpa, .valid = TL_ABORT_IPA};

  if (vie->dir == VM_DIR_WRITE) abort.esr |= ISS_WNR;
  if (vie->access_size != 0) {
    abort.esr |= ISS_ISV | ISS_SAS(size_log2(vie->access_size)) | ISS_SRT(vie->reg & 31);
    if (vie->sign_extend) abort.esr |= ISS_SSE;
    if ((vie->unused & VMM_TRAPLINE_SF) != 0) abort.esr |= ISS_SF;
  }
  return abort;
}

/* The instruction at the PC once more, or the exception that the guest gets at it. */
static int resume_at(struct vmm_trapline *t) {
  return vm_set_register(t->vcpu, VM_REG_GUEST_PC, t->cpu.pc);
}

static int inject(struct vmm_trapline *t, const struct tl_fault *fault) {
  const int error = resume_at(t);
  return error != 0 ? error : vm_inject_exception(t->vcpu, fault->esr, fault->far);
}

int vmm_trapline_emulate(struct vcpu *vcpu, uint64_t gpa, struct vie *vie,
                         struct vm_guest_paging *paging, mem_region_read_t memread,
                         mem_region_write_t memwrite, void *memarg) {
  struct vmm_trapline *t = vmm_trapline_of(vcpu);
  const struct tl_abort abort = abort_of(gpa, vie);
  struct tl_fault fault;
  enum tl_result result;
  uint64_t pc, pstate;

  (void)paging; /* the registers themselves are asked, MAIR_EL1 among them */
  t->memread = memread;
  t->memwrite = memwrite;
  t->memarg = memarg;
  if (fetch_cpu(t) != 0) return VMM_EINVAL;
  pc = t->cpu.pc;
  pstate = t->cpu.pstate;
  result = tl_handle_abort(t->tl, &t->cpu, &abort, &fault);
  if (result == TL_DONE_EXCLUSIVE) result = tl_step(t->tl, &t->cpu, 0, NULL, &fault);
  if (t->cpu.pstate != pstate && vm_set_register(vcpu, VM_REG_GUEST_CPSR, t->cpu.pstate) != 0) {
    return VMM_EINVAL;
  }
  if (result != TL_RETRY || t->retried != pc) t->retries = 0;
  switch (result) {
    case TL_DONE:
    case TL_PROGRESS:
      return resume_at(t);
    case TL_FAULT:
      return inject(t, &fault);
    case TL_RETRY:
      t->retried = pc;
      if (++t->retries < VMM_TRAPLINE_PATIENCE) return resume_at(t);
      t->retries = 0;
      t->stuck++;
      tl_external_abort(&t->cpu, &abort, &fault);
      return inject(t, &fault);
    case TL_BEYOND: /* its store-exclusive would fail for ever */
      t->beyond++;
      t->cpu.pc = pc;
      tl_external_abort(&t->cpu, &abort, &fault);
      return inject(t, &fault);
    case TL_NOT_EMULATED:
    case TL_FAILED:
      tl_external_abort(&t->cpu, &abort, &fault);
      return inject(t, &fault);
    default:
      return VMM_EINVAL;
  }
}

int vmm_trapline_unknown_register(struct vcpu *vcpu) {
  struct vmm_trapline *t = vmm_trapline_of(vcpu);
  const struct tl_fault undefined = {.esr = UINT64_C(1) << 25, .far = 0}; /* EC 0, IL */

  if (fetch_cpu(t) != 0) return VMM_EINVAL;
  return inject(t, &undefined);
}

int vmm_trapline_get_xzr(struct vcpu *vcpu, int reg, uint64_t *value) {
  if (reg != VM_REG_GUEST_SP) return vm_get_register(vcpu, reg, value);
  *value = 0;
  return 0;
}

int vmm_trapline_set_xzr(struct vcpu *vcpu, int reg, uint64_t value) {
  return reg != VM_REG_GUEST_SP ? vm_set_register(vcpu, reg, value) : 0;
}

int vmm_trapline_word_read(struct vcpu *vcpu, uint64_t gpa, uint64_t *value, int size,
                           mem_region_read_t read, void *arg) {
  const unsigned at = (unsigned)(gpa & 3);
  uint64_t word = 0;
  int error;

  if (size >= 4) return read(vcpu, gpa, value, size, arg);
  error = read(vcpu, gpa - at, &word, 4, arg);
  *value = word >> 8 * at & ((UINT64_C(1) << 8 * size) - 1);
  return error;
}

int vmm_trapline_word_write(struct vcpu *vcpu, uint64_t gpa, uint64_t value, int size,
                            mem_region_write_t write, void *arg) {
  const unsigned at = (unsigned)(gpa & 3);

  if (size >= 4) return write(vcpu, gpa, value, size, arg);
  /* A bus writes the lanes that the access names; the registers' fields are in the lowest. */
  return write(vcpu, gpa - at, value << 8 * at, 4, arg);
}
