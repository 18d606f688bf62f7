/* A stranger's program: C11 and C++, nothing but the installed headers and library. */
#include <stdio.h>
#include <trapline-hosted.h>

static uint64_t x[32];

static int read_gpr(void *arg, unsigned reg, uint64_t *value) {
  (void)arg;
  *value = x[reg];
  return 0;
}

static int write_gpr(void *arg, unsigned reg, uint64_t value) {
  (void)arg;
  x[reg] = value;
  return 0;
}

static int mmio_read(void *arg, uint64_t ipa, unsigned size, uint64_t *value) {
  (void)arg;
  printf("read of %u at %#llx\n", size, (unsigned long long)ipa);
  *value = 7;
  return 0;
}

static int mmio_write(void *arg, uint64_t ipa, unsigned size, uint64_t value) {
  (void)arg;
  return ipa != 0 || size != 0 || value != 0;
}

int main(void) {
  static struct tl_ops ops;
  static struct tl_cpu cpu;
  struct tl_access access;
  struct tl_fault fault;
  struct tl_vcpu *vcpu;
  enum tl_result result;

  ops.size = sizeof(ops);
  ops.read_gpr = read_gpr;
  ops.write_gpr = write_gpr;
  ops.mmio_read = mmio_read;
  ops.mmio_write = mmio_write;
  vcpu = tl_vcpu_new(&ops, NULL);
  cpu.pstate = 5;
  x[2] = 0x9000000;
  if (vcpu == NULL || tl_decode(0xb8404440, &access) != TL_OK) return 1; /* ldr w0, [x2], #4 */
  result = tl_emulate(vcpu, &cpu, &access, &fault);
  printf("%s: x0 %llu, x2 %#llx\n", tl_result_text(result), (unsigned long long)x[0],
         (unsigned long long)x[2]);
  tl_vcpu_free(vcpu);
  return result != TL_DONE;
}
