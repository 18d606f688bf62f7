/* libtrapline from C, from a word to a register: decode, cache, emulate. Exits 1 on a failure. */
#include "guest.h"

static int failures;

static void expect(int ok, const char *what) {
  if (ok) return;
  printf("failed: %s\n", what);
  failures++;
}

static struct guest g;

int main(void) {
  struct tl_vcpu *vcpu = tl_vcpu_new(&guest_ops, &g);
  struct tl_cache *cache = tl_cache_new(TL_CACHE_RECHECK, 10);
  struct tl_cache_counters counters;
  struct tl_fault fault;
  struct tl_abort abort;
  enum tl_result result;

  expect(vcpu != NULL && cache != NULL, "made");
  if (vcpu == NULL || cache == NULL) return 1;
  tl_vcpu_set_cache(vcpu, cache);

  /* ldr w1, [x0], #4, twice: the second time from the cache */
  guest_reset(&g);
  guest_put_word(&g, RAM_BASE, 0xb8404401);
  g.x[0] = DEVICE_BASE + 0x10;
  g.x[1] = ~0ull;
  g.device[0x10] = 0x55;
  g.device[0x14] = 0xaa;
  abort = guest_abort(DEVICE_BASE + 0x10, DEVICE_BASE + 0x10, 0);
  result = tl_handle_abort(vcpu, &g.cpu, &abort, &fault);
  expect(result == TL_DONE, "post-index: done");
  expect(g.x[1] == 0x55 && g.x[0] == DEVICE_BASE + 0x14, "post-index: registers");
  expect(g.cpu.pc == RAM_BASE + 4, "post-index: the next instruction");
  expect(strcmp(g.log, "r4@10=55;") == 0, "post-index: one access of four bytes");
  expect(g.gpr_reads == 1 && g.gpr_writes == 2, "post-index: no register more than named");

  g.cpu.pc = RAM_BASE;
  abort = guest_abort(DEVICE_BASE + 0x14, DEVICE_BASE + 0x14, 0);
  expect(tl_handle_abort(vcpu, &g.cpu, &abort, &fault) == TL_DONE && g.x[1] == 0xaa, "from cache");
  tl_cache_count(cache, &counters);
  expect(counters.hits == 1 && counters.misses == 1 && counters.inserts == 1, "one hit, one miss");

  /* The guest rewrites the instruction: str w1, [x0], #4. The old one is not done. */
  guest_put_word(&g, RAM_BASE, 0xb8004401);
  g.cpu.pc = RAM_BASE;
  abort = guest_abort(DEVICE_BASE + 0x18, DEVICE_BASE + 0x18, 1);
  g.log[0] = 0;
  expect(tl_handle_abort(vcpu, &g.cpu, &abort, &fault) == TL_DONE, "rewritten: done");
  expect(strcmp(g.log, "w4@18=aa;") == 0, "rewritten: a store");
  abort = guest_abort(DEVICE_BASE + 0x1c, DEVICE_BASE + 0x1c, 0);
  g.cpu.pc = RAM_BASE;
  expect(tl_handle_abort(vcpu, &g.cpu, &abort, &fault) == TL_RETRY, "a load did not trap there");
  expect(g.cpu.pc == RAM_BASE && g.x[0] == DEVICE_BASE + 0x1c, "retry: nothing was done");

  expect(strcmp(tl_version(), "0.1.0") == 0, "version");
  expect(strcmp(tl_result_text(TL_RETRY), "not what trapped: the guest tries again") == 0, "text");
  tl_cache_free(cache);
  tl_vcpu_free(vcpu);
  if (failures == 0) printf("all good\n");
  return failures != 0;
}
