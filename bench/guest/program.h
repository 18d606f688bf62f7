// A program of more than a megabyte that behaves like a kernel's code more than a loop does: some
// 5,600 small functions on three levels, basic blocks of a few instructions, branches that depend
// on data, calls and returns, loads and stores to 256 KiB. Freestanding: the guest makes it.
//
// Each basic block adds its length to x27, so that what ran is known exactly.
//   x19 data, x27 instructions executed, x0-x15 values, x16 scratch, sp stack
#ifndef TRAPLINE_BENCH_GUEST_PROGRAM_H_
#define TRAPLINE_BENCH_GUEST_PROGRAM_H_

#include <stdint.h>

enum {
  kProgramTops = 1024,  // called from outside; each calls 3 of the middle, and those 2 leaves
  kProgramMiddles = 1536,
  kProgramLeaves = 3072,
  kProgramFunctions = kProgramTops + kProgramMiddles + kProgramLeaves,
  kProgramMaxWords = kProgramFunctions * 128,
  kProgramGroup = 32,   // tops called one after the other,
  kProgramRepeats = 8,  // and again: 70 KiB of text are in use at a time
  kProgramDrivers = kProgramTops / kProgramGroup,
  kProgramDataBytes = 256 * 1024,
};

struct Program {
  uint32_t* words;  // where it is written
  uint32_t used;    // words so far
  uint64_t seed;
  uint32_t entry[kProgramFunctions];  // word index; leaves first, tops last
  uint32_t driver[kProgramDrivers];   // word index; see program_build()
  uint32_t sweep;                     // the same
};

static inline uint32_t program_random(struct Program* p, uint32_t below) {
  p->seed = p->seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(p->seed >> 33) % below;
}

static inline void program_put(struct Program* p, uint32_t word) { p->words[p->used++] = word; }

// One to two instructions of straight code.
static inline void program_body(struct Program* p) {
  const uint32_t d = program_random(p, 16), n = program_random(p, 16), m = program_random(p, 16);
  const uint32_t slot = program_random(p, 4096);
  switch (program_random(p, 24)) {
    case 0:
    case 1:
    case 2:
      return program_put(p, 0x8b000000 | m << 16 | n << 5 | d);  // add x, x, x
    case 3:
    case 4:
      return program_put(
          p, 0xca000000 | m << 16 | program_random(p, 32) << 10 | n << 5 | d);  // eor lsl
    case 5:
      return program_put(p, 0x4b000000 | m << 16 | n << 5 | d);  // sub w, w, w
    case 6:
    case 7:
      return program_put(p, 0x91000000 | slot << 10 | n << 5 | d);  // add x, x, #imm
    case 8:
      return program_put(p, 0x93c00000 | m << 16 | 13 << 10 | n << 5 | d);  // extr
    case 9:
      return program_put(p, 0xd3400000 | 8 << 16 | 31 << 10 | n << 5 | d);  // ubfx
    case 10:
      return program_put(p, 0x9b000000 | m << 16 | d << 10 | n << 5 | d);  // madd
    case 11:
      program_put(p, 0xeb00001f | m << 16 | n << 5);                       // cmp x, x
      return program_put(p, 0x9a800000 | m << 16 | 8 << 12 | n << 5 | d);  // csel hi
    case 12:
      return program_put(p, 0xd2800000 | slot << 5 | d);  // movz
    case 13:
      return program_put(p, 0xaa2003e0 | m << 16 | d);  // mvn
    case 14:
    case 15:
    case 16:
    case 17:
      return program_put(p, 0xf9400260 | slot << 10 | d);  // ldr x, [x19, #imm]
    case 18:
      return program_put(p, 0xb9400260 | slot << 10 | d);  // ldr w, [x19, #imm]
    case 19:
      return program_put(p, 0x39400260 | slot << 10 | d);  // ldrb w, [x19, #imm]
    case 20:
    case 21:
      return program_put(p, 0xf9000260 | slot << 10 | d);  // str x, [x19, #imm]
    default:
      program_put(p, 0x927d3800 | n << 5 | 16);  // and x16, xn, #0x3fff8
      return program_put(p, 0xf8706a60 | d);     // ldr x, [x19, x16]
  }
}

// Ends a block: `extra` more instructions follow that belong to it.
static inline void program_count(struct Program* p, uint32_t start, uint32_t extra) {
  const uint32_t length = p->used - start + 1 + extra;
  program_put(p, 0x9100037b | length << 10);  // add x27, x27, #length
}

static inline void program_function(struct Program* p, uint32_t index, uint32_t calls,
                                    uint32_t callee_first, uint32_t callee_count) {
  const uint32_t blocks = 5 + program_random(p, 4);
  uint32_t start, skip = 0, skip_start = 0, block, i;
  p->entry[index] = p->used;
  start = p->used;
  program_put(p, 0xa9be7bfd);  // stp x29, x30, [sp, #-32]!
  program_put(p, 0x910003fd);  // mov x29, sp
  program_put(p, 0xa90153f3);  // stp x19, x20, [sp, #16]
  for (block = 0; block < blocks; ++block) {
    const uint32_t length = 3 + program_random(p, 5);
    for (i = 0; i < length; ++i) program_body(p);
    if (block > 0 && calls > 0) {
      const uint32_t callee = callee_first + program_random(p, callee_count);
      program_count(p, start, 1);
      program_put(p, 0x94000000 | ((p->entry[callee] - p->used) & 0x3ffffff));  // bl
      start = p->used;
      --calls;
    }
    // A branch set two blocks ago lands here.
    if (skip != 0) {
      program_count(p, start, 0);
      p->words[skip_start] |= ((p->used - skip_start) & (skip == 3 ? 0x3fff : 0x7ffff)) << 5;
      start = p->used;
      skip = 0;
    } else if (block + 1 < blocks) {
      const uint32_t n = program_random(p, 16);
      skip = 1 + program_random(p, 3);
      if (skip == 1) {
        program_put(p, 0xf1000c1f | n << 5);  // cmp xn, #3
        program_count(p, start, 1);
        program_put(p, 0x54000000 | program_random(p, 14));  // b.cond
      } else {
        program_count(p, start, 1);
        program_put(p, skip == 2 ? 0xb4000000 | n                                  // cbz
                                 : 0x36000000 | program_random(p, 32) << 19 | n);  // tbz
      }
      skip_start = p->used - 1;
      start = p->used;
    }
  }
  if (skip != 0) {
    program_count(p, start, 0);
    p->words[skip_start] |= ((p->used - skip_start) & (skip == 3 ? 0x3fff : 0x7ffff)) << 5;
    start = p->used;
  }
  program_count(p, start, 3);
  program_put(p, 0xa94153f3);  // ldp x19, x20, [sp, #16]
  program_put(p, 0xa8c27bfd);  // ldp x29, x30, [sp], #32
  program_put(p, 0xd65f03c0);  // ret
}

// Calls each of `order[0..count)` functions from `first` on, all of it `repeats` times. Its word
// index.
static inline uint32_t program_driver(struct Program* p, uint32_t first, const uint32_t* order,
                                      uint32_t count, uint32_t repeats) {
  const uint32_t start = p->used;
  uint32_t again, j;
  program_put(p, 0xa9bb7bfd);  // stp x29, x30, [sp, #-80]!
  program_put(p, 0xa90153f3);  // stp x19, x20, [sp, #16]
  program_put(p, 0xf90013fb);  // str x27, [sp, #32]
  program_put(p, 0xaa0003f3);  // mov x19, x0
  program_put(p, 0xd280001b);  // mov x27, #0
  for (j = 0; j < 16; ++j) program_put(p, 0xd2800000 | (j * 37 + 11) << 5 | j);  // mov xj, #...
  program_put(p, 0xd2800014 | repeats << 5);  // mov x20, #repeats
  again = p->used;
  for (j = 0; j < count; ++j) {
    const uint32_t target = p->entry[first + (order != 0 ? order[j] : j)];
    program_put(p, 0x94000000 | ((target - p->used) & 0x3ffffff));  // bl
  }
  program_put(p, 0x9100037b | (count + 2) << 10);                   // add x27, x27, #executed
  program_put(p, 0xd1000694);                                       // sub x20, x20, #1
  program_put(p, 0xb5000014 | ((again - p->used) & 0x7ffff) << 5);  // cbnz x20, again
  program_put(p, 0xaa1b03e0);                                       // mov x0, x27
  program_put(p, 0xf94013fb);                                       // ldr x27, [sp, #32]
  program_put(p, 0xa94153f3);                                       // ldp x19, x20, [sp, #16]
  program_put(p, 0xa8c57bfd);                                       // ldp x29, x30, [sp], #80
  program_put(p, 0xd65f03c0);                                       // ret
  return start;
}

// Writes the program, to run at any address. A driver is called with data in x0 and returns the
// number of instructions executed in x0; together they call every top, in a fixed shuffled order.
// `sweep` is called like a driver and calls every leaf, once.
static inline void program_build(struct Program* p, uint32_t* words) {
  uint32_t i, order[kProgramTops];
  p->words = words;
  p->used = 0;
  p->seed = 0x7261706c696e65;
  for (i = 0; i < kProgramLeaves; ++i) program_function(p, i, 0, 0, 1);
  for (i = 0; i < kProgramMiddles; ++i) {
    program_function(p, kProgramLeaves + i, 2, 0, kProgramLeaves);
  }
  for (i = 0; i < kProgramTops; ++i) {
    program_function(p, kProgramLeaves + kProgramMiddles + i, 3, kProgramLeaves, kProgramMiddles);
    order[i] = i;
  }
  for (i = kProgramTops - 1; i > 0; --i) {
    const uint32_t other = program_random(p, i + 1), t = order[i];
    order[i] = order[other];
    order[other] = t;
  }
  for (i = 0; i < kProgramDrivers; ++i) {
    p->driver[i] = program_driver(p, kProgramLeaves + kProgramMiddles, order + i * kProgramGroup,
                                  kProgramGroup, kProgramRepeats);
  }
  p->sweep = program_driver(p, 0, 0, kProgramLeaves, 1);
}

#endif  // TRAPLINE_BENCH_GUEST_PROGRAM_H_
