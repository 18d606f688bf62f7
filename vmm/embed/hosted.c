#include <stdlib.h>

#include "vmm/embed/trapline-hosted.h"

#define ALIGN 64u

static void *room(size_t size) {
  return size == 0 ? NULL : aligned_alloc(ALIGN, (size + ALIGN - 1) & ~(size_t)(ALIGN - 1));
}

struct tl_vcpu *tl_vcpu_new(const struct tl_ops *ops, void *arg) {
  void *memory = room(tl_vcpu_size());
  struct tl_vcpu *vcpu = tl_vcpu_init(memory, tl_vcpu_size(), ops, arg);

  if (vcpu == NULL) free(memory);
  return vcpu;
}

void tl_vcpu_free(struct tl_vcpu *vcpu) {
  tl_vcpu_clear_monitor(vcpu);
  free(vcpu);
}

struct tl_cache *tl_cache_new(enum tl_cache_policy policy, unsigned entries_log2) {
  const size_t size = tl_cache_size(policy, entries_log2);
  void *memory = room(size);
  struct tl_cache *cache = tl_cache_init(memory, size, policy, entries_log2);

  if (cache == NULL) free(memory);
  return cache;
}

void tl_cache_free(struct tl_cache *cache) { free(cache); }

struct tl_gate *tl_gate_new(void) {
  void *memory = room(tl_gate_size());
  struct tl_gate *gate = tl_gate_init(memory, tl_gate_size());

  if (gate == NULL) free(memory);
  return gate;
}

void tl_gate_free(struct tl_gate *gate) { free(gate); }
