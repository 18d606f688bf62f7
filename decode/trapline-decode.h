/*
 * The A64 memory-instruction decoder for C and C++: what one instruction word does to memory. No
 * heap, no state, no library calls beyond memcpy and memset; safe from any thread and at any
 * interrupt level.
 *
 *   struct tl_access a;
 *   if (tl_decode(0xa8c10440, &a) == TL_OK)   // ldp x0, x1, [x2], #16
 *     ...a.op == TL_OP_LOAD, a.count == 2, a.size_log2 == 3, a.mode == TL_MODE_POST_INDEX
 *
 * Library libtrapline-decode, pkg-config trapline-decode. Within one SONAME the struct keeps its
 * size and the enumerations their values; new fields take reserved bytes, new operations new
 * numbers.
 */
#ifndef TRAPLINE_DECODE_TRAPLINE_DECODE_H_
#define TRAPLINE_DECODE_TRAPLINE_DECODE_H_

#ifdef __cplusplus
#include <cstdint>
extern "C" {
#else
#include <stdint.h>
#endif

#if defined(__GNUC__)
#define TL_API __attribute__((visibility("default")))
#else
#define TL_API
#endif

/*
 * What tl_decode() returns. The memory classes are the loads-and-stores group and the memory parts
 * of SVE and SME; outside them it is not looked at whether a word is allocated, so UDF and
 * 0xffffffff are both TL_NOT_MEMORY.
 */
enum tl_status {
  TL_OK = 0,          /* the access is described */
  TL_NOT_MEMORY = 1,  /* outside the memory classes: another instruction, or none */
  TL_UNALLOCATED = 2, /* in the memory classes, and no instruction has this encoding */
  TL_UNSUPPORTED = 3  /* a memory instruction that is recognised only: SVE, SME, RCW, GCS */
};

/* The operation. Names follow the instruction descriptions of Arm ARM DDI 0487, C6.2 and C7.2. */
enum tl_op {
  TL_OP_NONE = 0,
  TL_OP_LOAD,
  TL_OP_STORE,
  /* LDXR, LDXP, LDAXR...; STXR, STXP, STLXR...: the status goes to rs */
  TL_OP_LOAD_EXCLUSIVE,
  TL_OP_STORE_EXCLUSIVE,
  /* CAS: rs is compared and gets the result, rt is the new value. CASP: two of each. */
  TL_OP_COMPARE_AND_SWAP,
  /* LSE: rt gets the old value, rs is the operand. ST<op> is LD<op> with rt 31. */
  TL_OP_SWAP,
  TL_OP_ATOMIC_ADD,
  TL_OP_ATOMIC_CLEAR,
  TL_OP_ATOMIC_EOR,
  TL_OP_ATOMIC_SET,
  TL_OP_ATOMIC_SMAX,
  TL_OP_ATOMIC_SMIN,
  TL_OP_ATOMIC_UMAX,
  TL_OP_ATOMIC_UMIN,
  /* LSE128: one 16-byte element; rt is the low and rt2 the high half */
  TL_OP_SWAP_PAIR,
  TL_OP_ATOMIC_CLEAR_PAIR,
  TL_OP_ATOMIC_SET_PAIR,
  /* LDRAA, LDRAB: the base carries a PAC */
  TL_OP_LOAD_AUTHENTICATED,
  /* LD1-LD4, ST1-ST4; one lane of them; LD1R-LD4R */
  TL_OP_LOAD_MULTIPLE,
  TL_OP_STORE_MULTIPLE,
  TL_OP_LOAD_LANE,
  TL_OP_STORE_LANE,
  TL_OP_LOAD_REPLICATE,
  /* LD64B, ST64B: eight registers from rt; ST64BV, ST64BV0: status in rs */
  TL_OP_LOAD_64B,
  TL_OP_STORE_64B,
  TL_OP_STORE_64BV,
  TL_OP_STORE_64BV0,
  /* MTE: `count` granules of 16 bytes. For STG, STZG, ST2G, STZ2G rt 31 is SP. */
  TL_OP_STORE_TAG,
  TL_OP_STORE_TAG_ZERO,
  TL_OP_STORE_TAG_PAIR,
  TL_OP_LOAD_TAG,
  TL_OP_LOAD_TAG_MULTIPLE,
  TL_OP_STORE_TAG_MULTIPLE,
  TL_OP_STORE_TAG_ZERO_MULTIPLE,
  /* MOPS: destination in rt, source or value in rs, size in rn; options in imm */
  TL_OP_COPY_FORWARD_PROLOG,
  TL_OP_COPY_FORWARD_MAIN,
  TL_OP_COPY_FORWARD_EPILOG,
  TL_OP_COPY_PROLOG,
  TL_OP_COPY_MAIN,
  TL_OP_COPY_EPILOG,
  TL_OP_SET_PROLOG,
  TL_OP_SET_MAIN,
  TL_OP_SET_EPILOG,
  TL_OP_SET_TAG_PROLOG,
  TL_OP_SET_TAG_MAIN,
  TL_OP_SET_TAG_EPILOG,
  /* PRFM, RPRFM: operation in rt */
  TL_OP_PREFETCH,
  /* DC ZVA, GVA, GZVA: the block that holds the address in rt */
  TL_OP_ZERO_BLOCK,
  TL_OP_ZERO_BLOCK_TAGS,
  TL_OP_ZERO_BLOCK_BOTH,
  /* DC, IC by address in rt; imm is op1:CRm:op2 (bits 13:10, 7:4, 2:0) */
  TL_OP_CACHE_MAINTENANCE,
  TL_OP_COUNT /* no operation: their number in this version */
};

/* How the address is formed. */
enum tl_mode {
  TL_MODE_BASE = 0,      /* [Xn|SP] */
  TL_MODE_OFFSET,        /* [Xn|SP, #imm] */
  TL_MODE_PRE_INDEX,     /* [Xn|SP, #imm]!     the base is written back */
  TL_MODE_POST_INDEX,    /* [Xn|SP], #imm      likewise */
  TL_MODE_REGISTER,      /* [Xn|SP, Rm, <extend> #shift] */
  TL_MODE_POST_REGISTER, /* [Xn|SP], Xm        likewise (SIMD structures) */
  TL_MODE_LITERAL,       /* PC + imm */
  TL_MODE_REGISTER_VA    /* Xt itself (DC, IC); MOPS forms its own addresses */
};

/* Of the offset register, in TL_MODE_REGISTER. */
enum tl_extend { TL_EXTEND_UXTW = 0, TL_EXTEND_LSL, TL_EXTEND_SXTW, TL_EXTEND_SXTX };

/* What a load narrower than its register does above it. TL_SIGN_NONE: zeroes, up to bit 63. */
enum tl_sign { TL_SIGN_NONE = 0, TL_SIGN_TO_32, TL_SIGN_TO_64 };

/* tl_access.flags */
enum tl_flag {
  TL_VECTOR = 1 << 0,       /* rt, rt2 name SIMD&FP registers */
  TL_UNPRIVILEGED = 1 << 1, /* LDTR, STTR: checked as EL0 */
  TL_ACQUIRE = 1 << 2,      /* LDAR, LDAXR, CASA... */
  TL_ACQUIRE_PC = 1 << 3,   /* LDAPR, LDAPUR, LDIAPP, LDAP1 */
  TL_RELEASE = 1 << 4,      /* STLR, STLXR, CASL... */
  TL_NONTEMPORAL = 1 << 5,  /* LDNP, STNP: a hint */
  TL_Q = 1 << 6,            /* SIMD structures: 128-bit registers */
  TL_INTERLEAVED = 1 << 7   /* LD2-LD4, ST2-ST4: consecutive elements, consecutive registers */
};

/* `count` elements of `1 << size_log2` bytes, at ascending addresses. */
struct tl_access {
  enum tl_op op;
  enum tl_mode mode;
  enum tl_extend extend;
  enum tl_sign sign;
  int32_t imm;          /* bytes, already scaled; operation bits of MOPS, DC and IC */
  uint32_t flags;       /* of enum tl_flag */
  uint8_t size_log2;    /* of an element's bytes: 0 to 4 */
  uint8_t count;        /* elements: 1 to 64 */
  uint8_t rt;           /* first data register; 31 is XZR, as in rt2, rs and rm */
  uint8_t rt2;          /* second data register of a pair */
  uint8_t rs;           /* status, compare value or operand */
  uint8_t rn;           /* base; 31 is SP */
  uint8_t rm;           /* offset register */
  uint8_t shift;        /* of the offset register: 0 to 4 */
  uint8_t lane;         /* SIMD single structures; LDRAA, LDRAB: the key, 0 A, 1 B */
  uint8_t regs;         /* registers of a SIMD structure, from rt on: 1 to 4 (else 1) */
  uint8_t reserved[14]; /* zero */
};

/* Decodes one instruction word. Fills *out when it returns TL_OK, else zeroes it. */
TL_API enum tl_status tl_decode(uint32_t word, struct tl_access *out);

/* The class of the word: "LDST", "PAIR", "SVE", "unallocated", "not-memory"... Never null. */
TL_API const char *tl_decode_class(uint32_t word);

/* The status as an English phrase, "not a memory instruction". Never null, whatever the number. */
TL_API const char *tl_status_text(enum tl_status status);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* TRAPLINE_DECODE_TRAPLINE_DECODE_H_ */
