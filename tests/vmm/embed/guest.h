/* A guest for the tests of the C library: registers, 64 KiB of memory, one device of 64 KiB. C. */
#ifndef TRAPLINE_TESTS_EMBED_GUEST_H_
#define TRAPLINE_TESTS_EMBED_GUEST_H_

#include <stdio.h>
#include <string.h>

#include "trapline-hosted.h"

#define RAM_BASE 0x40000000ull
#define RAM_SIZE 0x10000ull
#define DEVICE_BASE 0x09000000ull
#define DEVICE_SIZE 0x10000ull

struct guest {
  uint64_t x[32]; /* 31 is SP */
  uint64_t v[32][2];
  uint64_t ram[RAM_SIZE / 8];
  uint8_t device[DEVICE_SIZE];
  struct tl_cpu cpu;
  char log[1024]; /* device accesses, "r4@10=1;" */
  unsigned gpr_reads, gpr_writes, vreg_reads, vreg_writes, ram_writes;
  int refuse; /* the device aborts */
  int fail;   /* registers cannot be read */
};

static int guest_read_gpr(void *arg, unsigned reg, uint64_t *value) {
  struct guest *g = (struct guest *)arg;
  g->gpr_reads++;
  *value = g->x[reg];
  return g->fail;
}

static int guest_write_gpr(void *arg, unsigned reg, uint64_t value) {
  struct guest *g = (struct guest *)arg;
  g->gpr_writes++;
  g->x[reg] = value;
  return 0;
}

static int guest_read_vreg(void *arg, unsigned reg, uint64_t value[2]) {
  struct guest *g = (struct guest *)arg;
  g->vreg_reads++;
  memcpy(value, g->v[reg], 16);
  return 0;
}

static int guest_write_vreg(void *arg, unsigned reg, const uint64_t value[2]) {
  struct guest *g = (struct guest *)arg;
  g->vreg_writes++;
  memcpy(g->v[reg], value, 16);
  return 0;
}

static void guest_note(struct guest *g, char kind, unsigned size, uint64_t ipa, uint64_t value) {
  const size_t at = strlen(g->log);
  snprintf(g->log + at, sizeof(g->log) - at, "%c%u@%llx=%llx;", kind, size,
           (unsigned long long)(ipa - DEVICE_BASE), (unsigned long long)value);
}

static int guest_in_device(uint64_t ipa, unsigned size) {
  return ipa >= DEVICE_BASE && ipa - DEVICE_BASE <= DEVICE_SIZE - size;
}

static int guest_mmio_read(void *arg, uint64_t ipa, unsigned size, uint64_t *value) {
  struct guest *g = (struct guest *)arg;
  if (!guest_in_device(ipa, size) || g->refuse) return -1;
  memcpy(value, g->device + (ipa - DEVICE_BASE), size);
  guest_note(g, 'r', size, ipa, *value);
  return 0;
}

static int guest_mmio_write(void *arg, uint64_t ipa, unsigned size, uint64_t value) {
  struct guest *g = (struct guest *)arg;
  if (!guest_in_device(ipa, size) || g->refuse) return -1;
  memcpy(g->device + (ipa - DEVICE_BASE), &value, size);
  guest_note(g, 'w', size, ipa, value);
  return 0;
}

static void *guest_ram(void *arg, uint64_t ipa, enum tl_direction direction) {
  struct guest *g = (struct guest *)arg;
  (void)direction;
  return ipa - RAM_BASE < RAM_SIZE ? (char *)g->ram + (ipa - RAM_BASE) : NULL;
}

static void guest_ram_written(void *arg, uint64_t ipa, unsigned size) {
  struct guest *g = (struct guest *)arg;
  (void)ipa;
  (void)size;
  g->ram_writes++;
}

static const struct tl_ops guest_ops = {
    .size = sizeof(struct tl_ops),
    .read_gpr = guest_read_gpr,
    .write_gpr = guest_write_gpr,
    .read_vreg = guest_read_vreg,
    .write_vreg = guest_write_vreg,
    .mmio_read = guest_mmio_read,
    .mmio_write = guest_mmio_write,
    .accepts = NULL,
    .mmio_read64 = NULL,
    .mmio_write64 = NULL,
    .ram = guest_ram,
    .ram_written = guest_ram_written,
    .read_memory = NULL,
    .translate = NULL,
    .watch = NULL,
};

/* At EL1h with stage 1 off, the PC at the start of memory. */
static void guest_reset(struct guest *g) {
  memset(g, 0, sizeof(*g));
  g->cpu.pc = RAM_BASE;
  g->cpu.pstate = 0x3c5;
}

static void guest_put_word(struct guest *g, uint64_t ipa, uint32_t word) {
  memcpy((char *)g->ram + (ipa - RAM_BASE), &word, 4);
}

/* What ESR_EL2 says of an access without a syndrome: a translation fault at level 3. */
static struct tl_abort guest_abort(uint64_t va, uint64_t ipa, int write) {
  struct tl_abort abort;
  memset(&abort, 0, sizeof(abort));
  abort.esr = 0x92000007u | (write ? 0x40u : 0u);
  abort.far = va;
  abort.ipa = ipa;
  abort.valid = TL_ABORT_FAR | TL_ABORT_IPA;
  return abort;
}

#endif /* TRAPLINE_TESTS_EMBED_GUEST_H_ */
