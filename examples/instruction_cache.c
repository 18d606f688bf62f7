/*
 * A decoded-instruction cache for a hypervisor in C: at an exit with ISV=0 it answers what the
 * instruction at the guest's PC does to memory, decoding each once. The program runs a small guest
 * page through it and checks what comes out.
 *
 *   cc -std=c11 instruction_cache.c $(pkg-config --cflags --libs trapline-decode) -o
 * instruction_cache
 *
 * What makes it right, as in Trapline's own (icache/README.md):
 *   - the key is what the address means, not the address alone: a PC of another address space is
 *     another instruction. `context` stands for what selects the tables: VMID, ASID, TTBR, EL;
 *   - somebody must say when the word behind a PC changes. Here the page's writer does
 *     (cache_invalidate_page), as under Trapline's policy `protect`. Who cannot see the guest's
 *     stores (KVM) must read the word again at each hit and compare it: cache_lookup() does so if
 *     it is given the word ("recheck"; walking the tables again is then the caller's);
 *   - a miss fetches, decodes and inserts. Only what decoded is kept.
 * One CPU's cache has no lock. Caches of several CPUs, or one that they share, need each
 * invalidation to reach all of them before the writer goes on.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <trapline-decode.h>

/* --- the cache ------------------------------------------------------------------------------- */

#define CACHE_SLOTS 256u /* a power of two */
#define PAGE_SHIFT 12

struct cache_entry {
  uint64_t pc;
  uint64_t context;
  uint64_t page; /* guest-physical, of the word: what is written, not where it is executed */
  uint32_t word;
  bool valid;
  struct tl_access access;
};

struct cache {
  struct cache_entry slots[CACHE_SLOTS]; /* direct-mapped: a collision replaces */
  uint64_t hits, misses, dropped;
};

static struct cache_entry *cache_slot(struct cache *cache, uint64_t pc, uint64_t context) {
  /* Instructions are four bytes apart. Fibonacci hashing: the high bits are the good ones. */
  const uint64_t key = (pc >> 2) ^ (context << 20);
  return &cache->slots[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 56];
}
_Static_assert(CACHE_SLOTS == 1u << 8, "the hash is shifted for 256 slots");

/* NULL on a miss. `now`: the word in memory, to be compared, or NULL where writers invalidate. */
static const struct tl_access *cache_lookup(struct cache *cache, uint64_t pc, uint64_t context,
                                            const uint32_t *now) {
  const struct cache_entry *entry = cache_slot(cache, pc, context);

  if (entry->valid && entry->pc == pc && entry->context == context &&
      (now == NULL || entry->word == *now)) {
    cache->hits++;
    return &entry->access;
  }
  cache->misses++;
  return NULL;
}

/* Decodes `word` and keeps it. NULL, and nothing kept, if it describes no access. */
static const struct tl_access *cache_insert(struct cache *cache, uint64_t pc, uint64_t context,
                                            uint64_t ipa, uint32_t word) {
  struct cache_entry *entry = cache_slot(cache, pc, context);
  struct tl_access access;

  if (tl_decode(word, &access) != TL_OK) return NULL;
  *entry = (struct cache_entry){.pc = pc,
                                .context = context,
                                .page = ipa >> PAGE_SHIFT,
                                .word = word,
                                .valid = true,
                                .access = access};
  return &entry->access;
}

/* The guest-physical page was written, or means something else now. */
static void cache_invalidate_page(struct cache *cache, uint64_t ipa) {
  for (unsigned i = 0; i < CACHE_SLOTS; i++) {
    if (cache->slots[i].valid && cache->slots[i].page == ipa >> PAGE_SHIFT) {
      cache->slots[i].valid = false;
      cache->dropped++;
    }
  }
}

/* The guest's tables changed (TLBI): any PC may lead elsewhere. */
static void cache_invalidate_all(struct cache *cache) {
  for (unsigned i = 0; i < CACHE_SLOTS; i++) {
    cache->dropped += cache->slots[i].valid;
    cache->slots[i].valid = false;
  }
}

/* --- a guest, as far as this example needs one ------------------------------------------------ */

#define CODE_IPA UINT64_C(0x40080000)
#define CODE_VA UINT64_C(0xffff800008080000)
#define KERNEL_CONTEXT 1u
#define OTHER_CONTEXT 2u

static uint32_t page[1u << (PAGE_SHIFT - 2)];
static struct cache cache;

/* An exit with ISV=0 at `pc`. A hypervisor walks the guest's tables here. */
static const struct tl_access *handle(uint64_t pc, uint64_t context) {
  const uint64_t offset = pc - CODE_VA;
  const struct tl_access *access = cache_lookup(&cache, pc, context, NULL);

  if (access != NULL) return access;
  return cache_insert(&cache, pc, context, CODE_IPA + offset, page[offset / 4]);
}

static int failures;

static void expect(bool good, const char *what) {
  if (good) return;
  printf("failed: %s\n", what);
  failures++;
}

int main(void) {
  const struct tl_access *a;
  uint32_t changed;

  page[0] = 0xa8c10440; /* ldp x0, x1, [x2], #16 */
  page[1] = 0xb8004c20; /* str w0, [x1, #4]! */
  page[2] = 0xd503201f; /* nop: no access */

  for (int i = 0; i < 1000; i++) {
    a = handle(CODE_VA, KERNEL_CONTEXT);
    expect(a != NULL && a->op == TL_OP_LOAD && a->count == 2 && a->imm == 16, "ldp");
    a = handle(CODE_VA + 4, KERNEL_CONTEXT);
    expect(a != NULL && a->op == TL_OP_STORE && a->mode == TL_MODE_PRE_INDEX, "str");
  }
  expect(cache.hits == 1998 && cache.misses == 2, "each was decoded once");
  expect(handle(CODE_VA + 8, KERNEL_CONTEXT) == NULL, "nop describes no access");

  a = handle(CODE_VA, OTHER_CONTEXT);
  expect(a != NULL && cache.misses == 4, "another context is another key");

  page[0] = 0xf8408440; /* ldr x0, [x2], #8: the guest rewrites its code... */
  cache_invalidate_page(&cache, CODE_IPA);
  expect(cache.dropped == 3, "all entries of the page are gone");
  a = handle(CODE_VA, KERNEL_CONTEXT);
  expect(a != NULL && a->count == 1 && a->imm == 8, "the new instruction");

  changed = 0xb9400040; /* ldr w0, [x2]: ...and once unseen, where a hit compares the word */
  expect(cache_lookup(&cache, CODE_VA, KERNEL_CONTEXT, &changed) == NULL, "a changed word misses");

  cache_invalidate_all(&cache);
  expect(cache_lookup(&cache, CODE_VA, KERNEL_CONTEXT, NULL) == NULL, "nothing is left");

  printf("%llu hits, %llu misses, %llu dropped\n", (unsigned long long)cache.hits,
         (unsigned long long)cache.misses, (unsigned long long)cache.dropped);
  return failures != 0;
}
