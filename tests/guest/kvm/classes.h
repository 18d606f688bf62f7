// The instruction classes of classes.c, a row each: its name, the bytes of an element, what it
// needs, and its text. In it x0 is the address; x2 and x3 are what lies there, and x1, x4 to x9 are
// not; v0 to v3 hold x1 to x8 in a row of VECTORS, and are seen in x10 to x17 behind it.
#ifndef TRAPLINE_TESTS_GUEST_KVM_CLASSES_H_
#define TRAPLINE_TESTS_GUEST_KVM_CLASSES_H_

// The store-exclusive four times at most.
#define EXCLUSIVE(load, middle, store)           \
  "mov w9, #4\n 1: " load "\n" middle "\n" store \
  "\n cbz w8, 2f\n sub w9, w9, #1\n cbnz w9, 1b\n 2: mov x9, #0"

// From so far behind the place so many bytes.
#define COPY(from, bytes, name)                                                        \
  "add x9, x0, #(" from ")\n mov x8, #" bytes "\n " name "p [x0]!, [x9]!, x8!\n " name \
  "m [x0]!, [x9]!, x8!\n " name "e [x0]!, [x9]!, x8!\n sub x9, x9, x0"

// clang-format off
#define CLASSES(ROW, VECTORS)                                                                       \
  /* With a syndrome: KVM says what they are. */                                                    \
  ROW("ldr w", 4, ALWAYS, "ldr w10, [x0, #4]")                                                      \
  ROW("ldrsb w", 1, ALWAYS, "ldrsb w10, [x0, #7]")                                                  \
  ROW("ldrsh x", 2, ALWAYS, "ldrsh x10, [x0, #6]")                                                  \
  ROW("ldrsw", 4, ALWAYS, "ldrsw x10, [x0, #4]")                                                    \
  ROW("str x", 8, ALWAYS, "str x1, [x0, #8]")                                                       \
  ROW("strb", 1, ALWAYS, "strb w1, [x0, #5]")                                                       \
  ROW("ldtr w", 4, ALWAYS, "ldtr w10, [x0, #4]")                                                    \
  ROW("sttr w", 4, ALWAYS, "sttr w1, [x0, #4]")                                                     \
  ROW("ldar x", 8, ALWAYS, "ldar x10, [x0]")                                                        \
  ROW("stlrh", 2, ALWAYS, "stlrh w1, [x0]")                                                         \
  ROW("ldlar w", 4, LOR, "ldlar w10, [x0]")                                                         \
  ROW("stllr w", 4, LOR, "stllr w1, [x0]")                                                          \
  ROW("ldapr w", 4, RCPC, "ldapr w10, [x0]")                                                        \
  ROW("ldaprb", 1, RCPC, "ldaprb w10, [x0]")                                                        \
  ROW("ldapur x", 8, RCPC2, "ldapur x10, [x0, #8]")                                                 \
  ROW("ldapursw", 4, RCPC2, "ldapursw x10, [x0, #4]")                                               \
  ROW("stlur w", 4, RCPC2, "stlur w1, [x0, #4]")                                                    \
  /* Write-back. */                                                                                 \
  ROW("strb post", 1, ALWAYS, "strb w1, [x0], #1")                                                  \
  ROW("strh post", 2, ALWAYS, "strh w1, [x0], #2")                                                  \
  ROW("str w post", 4, ALWAYS, "str w1, [x0], #4")                                                  \
  ROW("str x post", 8, ALWAYS, "str x1, [x0], #8")                                                  \
  ROW("str xzr post", 8, ALWAYS, "str xzr, [x0], #-8")                                              \
  ROW("strb pre", 1, ALWAYS, "strb w1, [x0, #3]!")                                                  \
  ROW("str w pre", 4, ALWAYS, "str w1, [x0, #12]!")                                                 \
  ROW("str x pre", 8, ALWAYS, "str x1, [x0, #16]!")                                                 \
  ROW("ldrb post", 1, ALWAYS, "ldrb w10, [x0], #1")                                                 \
  ROW("ldrh post", 2, ALWAYS, "ldrh w10, [x0], #2")                                                 \
  ROW("ldr w post", 4, ALWAYS, "ldr w10, [x0], #4")                                                 \
  ROW("ldr x post", 8, ALWAYS, "ldr x10, [x0], #-16")                                               \
  ROW("ldr xzr post", 8, ALWAYS, "ldr xzr, [x0], #8")                                               \
  ROW("ldr x pre", 8, ALWAYS, "ldr x10, [x0, #24]!")                                                \
  ROW("ldrsb w post", 1, ALWAYS, "ldrsb w10, [x0], #1")                                             \
  ROW("ldrsb x pre", 1, ALWAYS, "ldrsb x10, [x0, #7]!")                                             \
  ROW("ldrsh w pre", 2, ALWAYS, "ldrsh w10, [x0, #2]!")                                             \
  ROW("ldrsh x post", 2, ALWAYS, "ldrsh x10, [x0], #2")                                             \
  ROW("ldrsw post", 4, ALWAYS, "ldrsw x10, [x0], #4")                                               \
  ROW("ldrsw pre", 4, ALWAYS, "ldrsw x10, [x0, #4]!")                                               \
  ROW("ldr sp post", 8, ALWAYS, "mov sp, x0\n ldr x10, [sp], #16\n mov x0, sp")                     \
  ROW("str sp pre", 8, ALWAYS, "mov sp, x0\n str x1, [sp, #16]!\n mov x0, sp")                      \
  ROW("stp sp_el0 post", 8, AT_EL1T, "mov sp, x0\n stp x1, x4, [sp], #16\n mov x0, sp")             \
  ROW("ldr sp_el0 pre", 8, AT_EL1T, "mov sp, x0\n ldr x10, [sp, #16]!\n mov x0, sp")                \
  ROW("stp el0 post", 8, AT_EL0, "mov sp, x0\n stp x1, x4, [sp], #16\n mov x0, sp")                 \
  ROW("ldraa pre", 8, PAUTH, "ldraa x10, [x0, #8]!")                                                \
  /* Pairs. */                                                                                      \
  ROW("ldp w", 4, ALWAYS, "ldp w10, w11, [x0, #8]")                                                 \
  ROW("ldp x", 8, ALWAYS, "ldp x10, x11, [x0]")                                                     \
  ROW("ldp w post", 4, ALWAYS, "ldp w10, w11, [x0], #8")                                            \
  ROW("ldp x pre", 8, ALWAYS, "ldp x10, x11, [x0, #16]!")                                           \
  ROW("ldpsw post", 4, ALWAYS, "ldpsw x10, x11, [x0], #8")                                          \
  ROW("stp w", 4, ALWAYS, "stp w1, w4, [x0, #4]")                                                   \
  ROW("stp x post", 8, ALWAYS, "stp x1, x4, [x0], #16")                                             \
  ROW("stp w pre", 4, ALWAYS, "stp w1, wzr, [x0, #8]!")                                             \
  ROW("ldnp x", 8, ALWAYS, "ldnp x10, x11, [x0]")                                                   \
  ROW("stnp w", 4, ALWAYS, "stnp w1, w4, [x0]")                                                     \
  /* SIMD&FP registers. */                                                                          \
  VECTORS("ldr b", 1, ALWAYS, "ldr b0, [x0, #1]")                                                   \
  VECTORS("ldr h", 2, ALWAYS, "ldr h0, [x0, #2]")                                                   \
  VECTORS("ldr s", 4, ALWAYS, "ldr s0, [x0, #4]")                                                   \
  VECTORS("ldr d post", 8, ALWAYS, "ldr d0, [x0], #8")                                              \
  VECTORS("ldr q pre", 8, ALWAYS, "ldr q0, [x0, #16]!")                                             \
  VECTORS("ldur q", 8, ALWAYS, "ldur q0, [x0, #16]")                                                \
  VECTORS("ldr q register", 8, ALWAYS, "mov x9, #2\n ldr q1, [x0, w9, uxtw #4]")                    \
  VECTORS("ldp s", 4, ALWAYS, "ldp s0, s1, [x0, #4]")                                               \
  VECTORS("ldp d pre", 8, ALWAYS, "ldp d0, d1, [x0, #8]!")                                          \
  VECTORS("ldp q post", 8, ALWAYS, "ldp q0, q1, [x0], #32")                                         \
  VECTORS("ldnp q", 8, ALWAYS, "ldnp q0, q1, [x0]")                                                 \
  VECTORS("str b", 1, ALWAYS, "str b0, [x0, #1]")                                                   \
  VECTORS("str h", 2, ALWAYS, "str h0, [x0, #2]")                                                   \
  VECTORS("str s post", 4, ALWAYS, "str s0, [x0], #4")                                              \
  VECTORS("str d", 8, ALWAYS, "str d0, [x0, #8]")                                                   \
  VECTORS("str q", 8, ALWAYS, "str q0, [x0, #16]")                                                  \
  VECTORS("stp s pre", 4, ALWAYS, "stp s0, s1, [x0, #8]!")                                          \
  VECTORS("stp d", 8, ALWAYS, "stp d0, d1, [x0]")                                                   \
  VECTORS("stp q post", 8, ALWAYS, "stp q0, q1, [x0], #32")                                         \
  VECTORS("stnp q", 8, ALWAYS, "stnp q0, q1, [x0, #32]")                                            \
  /* Structures: whole registers, one lane, all lanes. */                                           \
  VECTORS("ld1 8b", 1, ALWAYS, "ld1 {v0.8b}, [x0]")                                                 \
  VECTORS("ld1 4h 2", 2, ALWAYS, "ld1 {v0.4h, v1.4h}, [x0], #16")                                   \
  VECTORS("ld1 4s 3", 4, ALWAYS, "ld1 {v0.4s - v2.4s}, [x0]")                                       \
  VECTORS("ld1 2d 4", 8, ALWAYS, "ld1 {v0.2d - v3.2d}, [x0], #64")                                  \
  VECTORS("ld2 16b", 1, ALWAYS, "ld2 {v0.16b, v1.16b}, [x0]")                                       \
  VECTORS("ld2 4s", 4, ALWAYS, "mov x9, #4\n ld2 {v0.4s, v1.4s}, [x0], x9")                         \
  VECTORS("ld3 8h", 2, ALWAYS, "ld3 {v0.8h - v2.8h}, [x0]")                                         \
  VECTORS("ld3 2s", 4, ALWAYS, "ld3 {v0.2s - v2.2s}, [x0], #24")                                    \
  VECTORS("ld4 8b", 1, ALWAYS, "ld4 {v0.8b - v3.8b}, [x0]")                                         \
  VECTORS("ld4 2d", 8, ALWAYS, "ld4 {v0.2d - v3.2d}, [x0], #64")                                    \
  VECTORS("st1 16b", 1, ALWAYS, "st1 {v0.16b}, [x0], #16")                                          \
  VECTORS("st1 4s 2", 4, ALWAYS, "st1 {v0.4s, v1.4s}, [x0]")                                        \
  VECTORS("st1 1d 3", 8, ALWAYS, "st1 {v0.1d - v2.1d}, [x0]")                                       \
  VECTORS("st1 2d 4", 8, ALWAYS, "st1 {v0.2d - v3.2d}, [x0]")                                       \
  VECTORS("st2 4h", 2, ALWAYS, "st2 {v0.4h, v1.4h}, [x0]")                                          \
  VECTORS("st2 2d", 8, ALWAYS, "st2 {v0.2d, v1.2d}, [x0], #32")                                     \
  VECTORS("st3 8b", 1, ALWAYS, "st3 {v0.8b - v2.8b}, [x0]")                                         \
  VECTORS("st3 4s", 4, ALWAYS, "st3 {v0.4s - v2.4s}, [x0], #48")                                    \
  VECTORS("st4 2s", 4, ALWAYS, "st4 {v0.2s - v3.2s}, [x0]")                                         \
  VECTORS("st4 2d", 8, ALWAYS, "st4 {v0.2d - v3.2d}, [x0]")                                         \
  VECTORS("ld1 b[]", 1, ALWAYS, "ld1 {v0.b}[5], [x0], #1")                                          \
  VECTORS("ld1 d[]", 8, ALWAYS, "ld1 {v0.d}[0], [x0]")                                              \
  VECTORS("ld2 h[]", 2, ALWAYS, "ld2 {v0.h, v1.h}[3], [x0]")                                        \
  VECTORS("ld3 s[]", 4, ALWAYS, "ld3 {v0.s - v2.s}[2], [x0], #12")                                  \
  VECTORS("ld4 d[]", 8, ALWAYS, "ld4 {v0.d - v3.d}[0], [x0]")                                       \
  VECTORS("st1 b[]", 1, ALWAYS, "st1 {v0.b}[9], [x0]")                                              \
  VECTORS("st2 s[]", 4, ALWAYS, "st2 {v0.s, v1.s}[1], [x0], #8")                                    \
  VECTORS("st3 h[]", 2, ALWAYS, "st3 {v0.h - v2.h}[7], [x0]")                                       \
  VECTORS("st4 d[]", 8, ALWAYS, "st4 {v0.d - v3.d}[1], [x0], #32")                                  \
  VECTORS("ld1r 8h", 2, ALWAYS, "ld1r {v0.8h}, [x0]")                                               \
  VECTORS("ld2r 16b", 1, ALWAYS, "ld2r {v0.16b, v1.16b}, [x0], #2")                                 \
  VECTORS("ld3r 2s", 4, ALWAYS, "ld3r {v0.2s - v2.2s}, [x0]")                                       \
  VECTORS("ld4r 2d", 8, ALWAYS, "ld4r {v0.2d - v3.2d}, [x0], #32")                                  \
  /* Exclusives: the load, something, and the store. */                                             \
  ROW("ldxrb", 1, ALWAYS, EXCLUSIVE("ldxrb w10, [x0]", "add w4, w10, #8", "stxrb w8, w4, [x0]"))    \
  ROW("ldxrh", 2, ALWAYS, EXCLUSIVE("ldxrh w10, [x0]", "add w4, w10, #8", "stxrh w8, w4, [x0]"))    \
  ROW("ldxr w", 4, ALWAYS, EXCLUSIVE("ldxr w10, [x0]", "add w4, w10, #8", "stxr w8, w4, [x0]"))     \
  ROW("ldxr x", 8, ALWAYS, EXCLUSIVE("ldxr x10, [x0]", "add x4, x10, #8", "stxr w8, x4, [x0]"))     \
  ROW("ldaxrb", 1, ALWAYS, EXCLUSIVE("ldaxrb w10, [x0]", "add w4, w10, #8", "stlxrb w8, w4, [x0]")) \
  ROW("ldaxr x", 8, ALWAYS, EXCLUSIVE("ldaxr x10, [x0]", "add x4, x10, #8", "stlxr w8, x4, [x0]"))  \
  ROW("ldxp w", 4, ALWAYS, EXCLUSIVE("ldxp w10, w11, [x0]", "nop", "stxp w8, w11, w10, [x0]"))      \
  ROW("ldxp x", 8, ALWAYS, EXCLUSIVE("ldxp x10, x11, [x0]", "nop", "stxp w8, x11, x10, [x0]"))      \
  ROW("ldaxp x", 8, ALWAYS, EXCLUSIVE("ldaxp x10, x11, [x0]", "nop", "stlxp w8, x11, x10, [x0]"))   \
  ROW("ldxr, clrex", 4, ALWAYS, "ldxr w10, [x0]\n clrex\n stxr w8, w1, [x0]")                       \
  ROW("ldxr, beyond reach", 4, ALWAYS, "ldxr w10, [x0]\n mrs xzr, tpidr_el0\n stxr w8, w1, [x0]")   \
  ROW("stxr alone", 4, ALWAYS, "clrex\n stxr w8, w1, [x0]")                                         \
  /* Compare and swap: equal, and not. */                                                           \
  ROW("casb", 1, LSE, "casb w2, w4, [x0]")                                                          \
  ROW("cash", 2, LSE, "cash w2, w4, [x0]")                                                          \
  ROW("cas w", 4, LSE, "cas w2, w4, [x0]")                                                          \
  ROW("cas x", 8, LSE, "cas x2, x4, [x0]")                                                          \
  ROW("casb, not equal", 1, LSE, "mvn w4, w2\n casb w4, w5, [x0]")                                  \
  ROW("casal x, not equal", 8, LSE, "casal x4, x5, [x0]")                                           \
  ROW("casp w", 4, LSE, "lsr x3, x2, #32\n casp w2, w3, w4, w5, [x0]")                              \
  ROW("casp x", 8, LSE, "casp x2, x3, x4, x5, [x0]")                                                \
  ROW("caspal x, not equal", 8, LSE, "mvn x3, x3\n caspal x2, x3, x4, x5, [x0]")                    \
  /* Atomics. */                                                                                    \
  ROW("swpb", 1, LSE, "swpb w1, w10, [x0]")                                                         \
  ROW("swph", 2, LSE, "swph w1, w10, [x0]")                                                         \
  ROW("swp w", 4, LSE, "swp w1, w10, [x0]")                                                         \
  ROW("swpal x", 8, LSE, "swpal x1, x10, [x0]")                                                     \
  ROW("ldaddb", 1, LSE, "ldaddb w1, w10, [x0]")                                                     \
  ROW("ldaddh", 2, LSE, "ldaddh w1, w10, [x0]")                                                     \
  ROW("ldadd w", 4, LSE, "ldadd w1, w10, [x0]")                                                     \
  ROW("ldaddal x", 8, LSE, "ldaddal x1, x10, [x0]")                                                 \
  ROW("ldclrb", 1, LSE, "ldclrb w1, w10, [x0]")                                                     \
  ROW("ldclr x", 8, LSE, "ldclr x1, x10, [x0]")                                                     \
  ROW("ldeorh", 2, LSE, "ldeorh w1, w10, [x0]")                                                     \
  ROW("ldeor w", 4, LSE, "ldeor w1, w10, [x0]")                                                     \
  ROW("ldset w", 4, LSE, "ldset w1, w10, [x0]")                                                     \
  ROW("ldseta x", 8, LSE, "ldseta x1, x10, [x0]")                                                   \
  ROW("ldsmaxb", 1, LSE, "ldsmaxb w1, w10, [x0]")                                                   \
  ROW("ldsmax w", 4, LSE, "ldsmax w1, w10, [x0]")                                                   \
  ROW("ldsmin x", 8, LSE, "ldsmin x1, x10, [x0]")                                                   \
  ROW("ldumaxh", 2, LSE, "ldumaxh w1, w10, [x0]")                                                   \
  ROW("ldumax x", 8, LSE, "ldumax x1, x10, [x0]")                                                   \
  ROW("lduminb", 1, LSE, "lduminb w1, w10, [x0]")                                                   \
  ROW("lduminl w", 4, LSE, "lduminl w1, w10, [x0]")                                                 \
  ROW("stadd w", 4, LSE, "stadd w1, [x0]")                                                          \
  ROW("stset x", 8, LSE, "stset x1, [x0]")                                                          \
  ROW("stsmaxb", 1, LSE, "stsmaxb w1, [x0]")                                                        \
  /* Blocks and caches. */                                                                          \
  ROW("dc zva", 8, NORMAL_ONLY, "dc zva, x0")                                                       \
  ROW("dc civac", 8, NORMAL_ONLY, "dc civac, x0")                                                   \
  ROW("prfm", 8, ALWAYS, "prfm pldl1keep, [x0]")                                                    \
  /* Sets and copies of memory, in three parts. */                                                  \
  ROW("set", 1, MOPS, "mov x9, #64\n setp [x0]!, x9!, x1\n setm [x0]!, x9!, x1\n sete [x0]!, x9!, x1")\
  ROW("set 12", 1, MOPS, "mov x9, #12\n setp [x0]!, x9!, x1\n setm [x0]!, x9!, x1\n sete [x0]!, x9!, x1")\
  ROW("cpyf", 1, MOPS, COPY("32", "32", "cpyf"))                                                    \
  ROW("cpy, upwards", 1, MOPS, COPY("16", "40", "cpy"))                                             \
  ROW("cpy, downwards", 1, MOPS, "add x0, x0, #16\n" COPY("-16", "40", "cpy"))
// clang-format on

#endif  // TRAPLINE_TESTS_GUEST_KVM_CLASSES_H_
