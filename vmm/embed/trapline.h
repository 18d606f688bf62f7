/*
 * libtrapline: what a guest's A64 load or store does, done, for hypervisors in C and C++. For the
 * data aborts that ESR_EL2 does not describe (ISV=0), and for those that it does.
 *
 *   decode    tl_decode(): one word to what it does to memory (trapline-decode.h)
 *   cache     tl_cache_*: decoded instructions by PC, in memory that the caller gives
 *   emulate   tl_emulate(): a decoded access, done through callbacks
 *   all three tl_handle_abort(): from a syndrome to registers, memory and devices as they shall be
 *   stepper   tl_step(): on to the store-exclusive after an emulated load-exclusive
 *
 * The core is freestanding: it needs memcpy, memmove, memset and memcmp, keeps no state of its own,
 * allocates nothing, throws nothing, uses no floating-point or vector register and at most 512
 * bytes of stack (callbacks apart). trapline-hosted.h adds what needs a C library.
 *
 * What a guest does always has a defined outcome: a fault for it, a result for the caller. No loop
 * and no memory depends on it.
 *
 * Threads: a struct tl_vcpu and its cache belong to one thread at a time; which calls may come from
 * any thread is said at each. Within one SONAME structures keep their size, enumerations their
 * values; reserved members are zero and become new ones.
 *
 * Citations are of the Arm ARM, DDI 0487.
 */
#ifndef TRAPLINE_EMBED_TRAPLINE_H_
#define TRAPLINE_EMBED_TRAPLINE_H_

#include "trapline-decode.h"

#ifdef __cplusplus
#include <cstddef>
#include <cstdint>
extern "C" {
#else
#include <stddef.h>
#include <stdint.h>
#endif

/* The version of the library that runs, "0.1.0". */
TL_API const char *tl_version(void);

/* How an access ended. */
enum tl_result {
  /* Registers and memory are as the instruction leaves them, tl_cpu.pc is the next instruction. */
  TL_DONE = 0,
  /*
   * The same, of a load-exclusive. The hardware's monitor does not know of it: the guest's
   * store-exclusive would fail for ever. Call tl_step() before the guest runs again.
   */
  TL_DONE_EXCLUSIVE = 1,
  /* FEAT_MOPS: a part is done and the registers say which; the same instruction goes on. */
  TL_PROGRESS = 2,
  /* The guest gets the exception in tl_fault. Nothing else has changed. */
  TL_FAULT = 3,
  /*
   * What is in memory now is not what trapped: another CPU has rewritten it, or its tables. Nothing
   * was touched. Let the guest run the instruction again; if it comes back for a second or so, give
   * it an external abort (tl_external_abort()).
   */
  TL_RETRY = 4,
  /* A memory instruction that is not emulated: SVE, SME, 64-byte atomics of a device without them,
   * SIMD registers without callbacks. Nothing was touched. An external abort is the polite answer.
   */
  TL_NOT_EMULATED = 5,
  /* tl_step(): the guest's loop is beyond the stepper. tl_cpu and the registers are exact. */
  TL_BEYOND = 6,
  /* A register callback failed. Registers that had been written before stay written. */
  TL_FAILED = 7,
  /* A parameter that no caller should give: no memory, too little of it, a field out of range. */
  TL_BAD_ARGUMENT = 8
};

/* The result as an English phrase. Never null, whatever the number. Any thread. */
TL_API const char *tl_result_text(enum tl_result result);

/* What an address is wanted for. */
enum tl_direction { TL_READ = 0, TL_WRITE = 1, TL_READ_WRITE = 2, TL_FETCH = 3 };

/* General registers in callbacks: 0 to 30, and this, the stack pointer of the current EL. */
#define TL_REG_SP 31u

/* tl_cpu.flags */
enum tl_cpu_flag {
  TL_CPU_LSE2 = 1 << 0,          /* FEAT_LSE2 */
  TL_CPU_MOPS_OPTION_B = 1 << 1, /* the CPU's MOPS are of option B */
  TL_CPU_EL2 = 1 << 2 /* sctlr, tcr... are those of EL2&0 (a guest hypervisor with E2H) */
};

/* The guest's CPU at the exit. The caller fills it; the library changes pc and NZCV of pstate. */
struct tl_cpu {
  uint64_t pc;      /* of the instruction that trapped: ELR_EL2 */
  uint64_t pstate;  /* SPSR_EL2: EL, PAN, NZCV */
  uint64_t sctlr;   /* SCTLR_EL1 */
  uint64_t tcr;     /* TCR_EL1 */
  uint64_t ttbr0;   /* TTBR0_EL1 */
  uint64_t ttbr1;   /* TTBR1_EL1 */
  uint64_t mair;    /* MAIR_EL1: of what stage 1 calls Device; 0: all of it, no unaligned access */
  uint32_t flags;   /* of enum tl_cpu_flag */
  uint32_t accdata; /* ACCDATA_EL1<31:0>, for ST64BV0 */
  uint16_t vmid;    /* distinguishes guests in one cache */
  uint8_t zero_block_log2; /* of DC ZVA's block in bytes; 0: 6, 64 bytes */
  uint8_t reserved[13];
};

/* tl_abort.valid */
enum tl_abort_valid {
  TL_ABORT_FAR = 1, /* far is known (KVM's NISV exit does not tell it) */
  TL_ABORT_IPA = 2  /* ipa is known: not after a permission fault, unless S1PTW (D17.2.55) */
};

/* A data abort at EL2. */
struct tl_abort {
  uint64_t esr;   /* ESR_EL2; of EC and ISS what is known. KVM's esr_iss may stand here */
  uint64_t far;   /* FAR_EL2. ESR's FnV is looked at, too */
  uint64_t ipa;   /* HPFAR_EL2's page, with the low bits of FAR if they are known */
  uint32_t valid; /* of enum tl_abort_valid */
  uint32_t reserved;
};

/* An exception for the guest, to be taken to EL1 with tl_cpu.pc as preferred return address. */
struct tl_fault {
  uint64_t esr; /* ESR_EL1: EC by the EL that the guest was in, IL, ISS */
  uint64_t far; /* FAR_EL1 */
};

/* What translate() says of an address. */
struct tl_translation {
  uint64_t ipa;
  uint8_t device; /* stage 1 says Device memory: what is unaligned faults */
  uint8_t fsc;    /* with TL_FAULT: the fault status code, D17.2.37 */
  uint8_t reserved[6];
};

/*
 * What the library asks of its caller. `arg` is tl_vcpu_init()'s. Those marked * may be null.
 * Callbacks are called on the thread that called the library and may not call it back with the same
 * struct tl_vcpu.
 */
struct tl_ops {
  size_t size; /* sizeof(struct tl_ops), as the caller was compiled */

  /* Registers. Not 0: TL_FAILED. Only what the instruction names is asked for; only what it changed
   * is written. * Without vector registers instructions with them are TL_NOT_EMULATED; the lower
   * half is value[0]. */
  int (*read_gpr)(void *arg, unsigned reg, uint64_t *value);
  int (*write_gpr)(void *arg, unsigned reg, uint64_t value);
  int (*read_vreg)(void *arg, unsigned reg, uint64_t value[2]);        /* * */
  int (*write_vreg)(void *arg, unsigned reg, const uint64_t value[2]); /* * */

  /*
   * Devices. `size` is 1, 2, 4 or 8 bytes, and may be unaligned if the guest's access is; a value
   * is zero-extended, in the order of bytes that a little-endian bus shows. Not 0: an external
   * abort. accepts (*) is asked for each element before the first one is performed; 0 aborts the
   * whole access, with nothing touched. The 64-byte forms (*) are for LD64B and ST64B.
   */
  int (*mmio_read)(void *arg, uint64_t ipa, unsigned size, uint64_t *value);
  int (*mmio_write)(void *arg, uint64_t ipa, unsigned size, uint64_t value);
  int (*accepts)(void *arg, uint64_t ipa, unsigned size, int write);    /* * */
  int (*mmio_read64)(void *arg, uint64_t ipa, uint64_t data[8]);        /* * */
  int (*mmio_write64)(void *arg, uint64_t ipa, const uint64_t data[8]); /* * */

  /*
   * The host's address of guest memory at `ipa`, if stage 2 lets it be touched so, else null: a
   * device. Good to the end of its 4 KiB page, until the call of the library returns; with a cache
   * of policy TL_CACHE_RECHECK until tl_cache_invalidate_all(). * Without it there is no memory to
   * reach, and what is no register is a device.
   */
  void *(*ram)(void *arg, uint64_t ipa, enum tl_direction direction); /* * */
  /* Memory at [ipa, ipa + size) was written: for dirty logs. */
  void (*ram_written)(void *arg, uint64_t ipa, unsigned size); /* * */
  /*
   * Reads guest memory that ram() cannot lend: descriptors of tables and instruction words, 8 or 4
   * bytes, aligned. Not 0: not memory. * Without it ram() is asked.
   */
  int (*read_memory)(void *arg, uint64_t ipa, void *to, unsigned size); /* * */

  /*
   * Stage 1: where the 4 KiB page at `va` leads, with permissions for the direction, as EL0 if
   * `unprivileged`. TL_DONE, TL_FAULT with fsc, or TL_RETRY. * Without it the library walks the
   * tables itself (tl_walk()).
   */
  enum tl_result (*translate)(void *arg, const struct tl_cpu *cpu, uint64_t va,
                              enum tl_direction direction, int unprivileged,
                              struct tl_translation *to); /* * */

  /*
   * Policy TL_CACHE_PROTECT: from when it returns 0 on, every write to the guest's 4 KiB page is
   * told by tl_cache_invalidate() before the writer goes on. Not 0: it cannot, nothing is cached. *
   */
  int (*watch)(void *arg, uint64_t ipa_page); /* * */
};

/* --- the cache ------------------------------------------------------------------------------- */

/* How a cached instruction stays true. */
enum tl_cache_policy {
  TL_CACHE_REWALK = 1,  /* by word: walk and fetch each time, the decode is saved. Always right */
  TL_CACHE_RECHECK = 2, /* by PC: a hit reads the descriptors and the word again. Always right;
                         * needs ram(), whose addresses stay readable */
  TL_CACHE_PROTECT = 3  /* by PC: whoever writes code or tables says so. Needs watch() */
};

struct tl_cache; /* one a vCPU */

struct tl_cache_counters {
  uint64_t hits, misses, stale, inserts, evictions, refused, invalidations;
  uint64_t reserved[5];
};

/* Bytes for a cache of 2^entries_log2 entries (1 to 20, else clamped), to be aligned to 64. */
TL_API size_t tl_cache_size(enum tl_cache_policy policy, unsigned entries_log2);
/* A cache in `memory`, which stays the caller's and outlives it. Null: too small, misaligned. */
TL_API struct tl_cache *tl_cache_init(void *memory, size_t size, enum tl_cache_policy policy,
                                      unsigned entries_log2);
/* Any thread. Memory at [ipa, ipa + size) was or is about to be written: when it returns no entry
 * made from it will be found. Returns how many were dropped. */
TL_API unsigned tl_cache_invalidate(struct tl_cache *cache, uint64_t ipa, uint64_t size);
/* Any thread, but TL_CACHE_RECHECK's with the vCPU out of the library: the map of guest memory has
 * changed, ram()'s addresses go away. */
TL_API void tl_cache_invalidate_all(struct tl_cache *cache);
/* Any thread. */
TL_API void tl_cache_count(const struct tl_cache *cache, struct tl_cache_counters *out);

/* --- the gate -------------------------------------------------------------------------------- */

/*
 * Makes a read-modify-write or an exclusive pair on a device one step against the stores that other
 * vCPUs emulate. One a VM, shared by its vCPUs; in the freestanding build its waits are spins, so
 * that devices' callbacks may not sleep behind it. A VM of one vCPU needs none.
 */
struct tl_gate;
TL_API size_t tl_gate_size(void);
TL_API struct tl_gate *tl_gate_init(void *memory, size_t size); /* aligned to 64; null: bad */

/* --- a vCPU ---------------------------------------------------------------------------------- */

struct tl_vcpu;
TL_API size_t tl_vcpu_size(void);
/* `memory` aligned to 64. `ops` is copied. Null: too small, or a callback without * is missing. */
TL_API struct tl_vcpu *tl_vcpu_init(void *memory, size_t size, const struct tl_ops *ops, void *arg);
/* Null: none. A cache serves one vCPU. */
TL_API void tl_vcpu_set_cache(struct tl_vcpu *vcpu, struct tl_cache *cache);
/* `index` tells the VM's vCPUs apart. */
TL_API void tl_vcpu_set_gate(struct tl_vcpu *vcpu, struct tl_gate *gate, unsigned index);
/* The guest's CPU was reset, or ran: what an emulated load-exclusive had marked is forgotten. */
TL_API void tl_vcpu_clear_monitor(struct tl_vcpu *vcpu);

/*
 * One data abort, from the syndrome to its end. With ISV=1 the syndrome is the access; else the
 * instruction at pc is found (cache; else walk, fetch, decode) and held against WnR, FAR and the
 * page: never is done what did not trap.
 */
TL_API enum tl_result tl_handle_abort(struct tl_vcpu *vcpu, struct tl_cpu *cpu,
                                      const struct tl_abort *abort, struct tl_fault *fault);

/* The access alone, whoever found it. All or nothing: every byte is translated and checked before
 * one device is touched. */
TL_API enum tl_result tl_emulate(struct tl_vcpu *vcpu, struct tl_cpu *cpu,
                                 const struct tl_access *access, struct tl_fault *fault);

/*
 * After TL_DONE_EXCLUSIVE: executes the guest from cpu->pc until the exclusive's end: its
 * store-exclusive has been performed (TL_DONE, be it successful or not), CLREX, or `most`
 * instructions (1 to 64; else 64) are used up, which is TL_BEYOND as is an instruction that is
 * neither integer arithmetic, branch, barrier, load nor store. TL_FAULT: as for an access, of the
 * instruction at cpu->pc. *steps (may be null): instructions executed.
 */
TL_API enum tl_result tl_step(struct tl_vcpu *vcpu, struct tl_cpu *cpu, unsigned most,
                              unsigned *steps, struct tl_fault *fault);

/* Stage 1 as the CPU's registers say: all granules, both halves, 52-bit addresses, HAFDBS, HPDS,
 * TTST. TL_DONE, TL_FAULT with to->fsc, TL_RETRY if a table is not memory, to->ipa its address. */
TL_API enum tl_result tl_walk(struct tl_vcpu *vcpu, const struct tl_cpu *cpu, uint64_t va,
                              enum tl_direction direction, int unprivileged,
                              struct tl_translation *to);

/* The instruction word at `pc`, as the CPU would fetch it. TL_DONE or TL_RETRY. */
TL_API enum tl_result tl_fetch(struct tl_vcpu *vcpu, const struct tl_cpu *cpu, uint64_t pc,
                               uint32_t *word);

/* An external abort for what trapped: the polite end of TL_NOT_EMULATED and of patience. */
TL_API void tl_external_abort(const struct tl_cpu *cpu, const struct tl_abort *abort,
                              struct tl_fault *fault);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* TRAPLINE_EMBED_TRAPLINE_H_ */
