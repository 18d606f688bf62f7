/*
 * The A64 memory-instruction decoder for C programs and kernels. No heap, no state, no library
 * calls beyond memcpy and memset; safe at any interrupt level.
 *
 * The meaning of every field is that of decode/access.h, whose layout this struct mirrors.
 */
#ifndef TRAPLINE_DECODE_TRAPLINE_DECODE_H_
#define TRAPLINE_DECODE_TRAPLINE_DECODE_H_

#ifdef __cplusplus
#include <cstdint>
extern "C" {
#else
#include <stdint.h>
#endif

/*
 * What trapline_decode() returns. The memory classes are the loads-and-stores group and the memory
 * parts of SVE and SME; outside them it is not looked at whether a word is allocated, so UDF and
 * 0xffffffff are both TRAPLINE_NOT_MEMORY.
 */
enum trapline_status {
  TRAPLINE_ACCESS = 0,      /* the access is described */
  TRAPLINE_NOT_MEMORY = 1,  /* outside the memory classes: another instruction, or none */
  TRAPLINE_UNALLOCATED = 2, /* in the memory classes, and no instruction has this encoding */
  TRAPLINE_UNSUPPORTED = 3  /* a memory instruction that is recognised only: SVE, SME, RCW, GCS */
};

/* trapline_access.op */
enum trapline_op {
  TRAPLINE_OP_NONE = 0,
  TRAPLINE_OP_LOAD,
  TRAPLINE_OP_STORE,
  TRAPLINE_OP_LOAD_EXCLUSIVE,
  TRAPLINE_OP_STORE_EXCLUSIVE,
  TRAPLINE_OP_COMPARE_AND_SWAP,
  TRAPLINE_OP_SWAP,
  TRAPLINE_OP_ATOMIC_ADD,
  TRAPLINE_OP_ATOMIC_CLEAR,
  TRAPLINE_OP_ATOMIC_EOR,
  TRAPLINE_OP_ATOMIC_SET,
  TRAPLINE_OP_ATOMIC_SMAX,
  TRAPLINE_OP_ATOMIC_SMIN,
  TRAPLINE_OP_ATOMIC_UMAX,
  TRAPLINE_OP_ATOMIC_UMIN,
  TRAPLINE_OP_SWAP_PAIR,
  TRAPLINE_OP_ATOMIC_CLEAR_PAIR,
  TRAPLINE_OP_ATOMIC_SET_PAIR,
  TRAPLINE_OP_LOAD_AUTHENTICATED,
  TRAPLINE_OP_LOAD_MULTIPLE,
  TRAPLINE_OP_STORE_MULTIPLE,
  TRAPLINE_OP_LOAD_LANE,
  TRAPLINE_OP_STORE_LANE,
  TRAPLINE_OP_LOAD_REPLICATE,
  TRAPLINE_OP_LOAD_64B,
  TRAPLINE_OP_STORE_64B,
  TRAPLINE_OP_STORE_64BV,
  TRAPLINE_OP_STORE_64BV0,
  TRAPLINE_OP_STORE_TAG,
  TRAPLINE_OP_STORE_TAG_ZERO,
  TRAPLINE_OP_STORE_TAG_PAIR,
  TRAPLINE_OP_LOAD_TAG,
  TRAPLINE_OP_LOAD_TAG_MULTIPLE,
  TRAPLINE_OP_STORE_TAG_MULTIPLE,
  TRAPLINE_OP_STORE_TAG_ZERO_MULTIPLE,
  TRAPLINE_OP_COPY_FORWARD_PROLOG,
  TRAPLINE_OP_COPY_FORWARD_MAIN,
  TRAPLINE_OP_COPY_FORWARD_EPILOG,
  TRAPLINE_OP_COPY_PROLOG,
  TRAPLINE_OP_COPY_MAIN,
  TRAPLINE_OP_COPY_EPILOG,
  TRAPLINE_OP_SET_PROLOG,
  TRAPLINE_OP_SET_MAIN,
  TRAPLINE_OP_SET_EPILOG,
  TRAPLINE_OP_SET_TAG_PROLOG,
  TRAPLINE_OP_SET_TAG_MAIN,
  TRAPLINE_OP_SET_TAG_EPILOG,
  TRAPLINE_OP_PREFETCH,
  TRAPLINE_OP_ZERO_BLOCK,
  TRAPLINE_OP_ZERO_BLOCK_TAGS,
  TRAPLINE_OP_ZERO_BLOCK_BOTH,
  TRAPLINE_OP_CACHE_MAINTENANCE,
  TRAPLINE_OP_COUNT
};

/* trapline_mode() */
enum trapline_mode {
  TRAPLINE_MODE_BASE = 0,
  TRAPLINE_MODE_OFFSET,
  TRAPLINE_MODE_PRE_INDEX,
  TRAPLINE_MODE_POST_INDEX,
  TRAPLINE_MODE_REGISTER,
  TRAPLINE_MODE_POST_REGISTER,
  TRAPLINE_MODE_LITERAL,
  TRAPLINE_MODE_REGISTER_VA
};

/* trapline_extend() */
enum trapline_extend {
  TRAPLINE_EXTEND_UXTW = 0,
  TRAPLINE_EXTEND_LSL,
  TRAPLINE_EXTEND_SXTW,
  TRAPLINE_EXTEND_SXTX
};

/* trapline_sign() */
enum trapline_sign { TRAPLINE_SIGN_NONE = 0, TRAPLINE_SIGN_TO_32, TRAPLINE_SIGN_TO_64 };

/* Bits of trapline_access.flags above the sign extension in 1:0. */
enum trapline_flag {
  TRAPLINE_VECTOR = 1 << 2,
  TRAPLINE_UNPRIVILEGED = 1 << 3,
  TRAPLINE_ACQUIRE = 1 << 4,
  TRAPLINE_ACQUIRE_PC = 1 << 5,
  TRAPLINE_RELEASE = 1 << 6,
  TRAPLINE_NONTEMPORAL = 1 << 7
};

struct trapline_access {
  uint8_t op;        /* enum trapline_op */
  uint8_t size_log2; /* of an element, in bytes */
  uint8_t count;     /* elements */
  uint8_t rt;
  uint8_t rt2;
  uint8_t rs;
  uint8_t rn; /* base; 31 is SP */
  uint8_t rm;
  int32_t imm;     /* bytes */
  uint8_t address; /* mode in 2:0, extend in 4:3, shift in 7:5 */
  uint8_t flags;   /* sign extension in 1:0, enum trapline_flag above */
  uint8_t lanes;   /* lane in 3:0, structure registers - 1 in 5:4, Q in 6, interleaved in 7 */
  uint8_t spare;   /* zero */
};

static inline unsigned trapline_mode(const struct trapline_access *a) { return a->address & 7u; }
static inline unsigned trapline_extend(const struct trapline_access *a) {
  return a->address >> 3 & 3u;
}
static inline unsigned trapline_shift(const struct trapline_access *a) { return a->address >> 5; }
static inline unsigned trapline_sign(const struct trapline_access *a) { return a->flags & 3u; }
static inline unsigned trapline_lane(const struct trapline_access *a) { return a->lanes & 15u; }
static inline unsigned trapline_regs(const struct trapline_access *a) {
  return (a->lanes >> 4 & 3u) + 1u;
}
static inline int trapline_q(const struct trapline_access *a) { return a->lanes >> 6 & 1; }
static inline int trapline_interleaved(const struct trapline_access *a) { return a->lanes >> 7; }

/* Decodes one instruction word. Fills *out when it returns TRAPLINE_ACCESS, else zeroes it. */
int trapline_decode(uint32_t word, struct trapline_access *out);

/* The class of the word: "LDST", "PAIR", "SVE", "unallocated", "not-memory"... Never null. */
const char *trapline_decode_class(uint32_t word);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* TRAPLINE_DECODE_TRAPLINE_DECODE_H_ */
