// The decoder as a table: the word, the assembly it comes from (assembled by llvm-mc 19), and what
// it does.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "decode/a64_decoder.h"
#include "decode/access_text.h"
#include "decode/format.h"
#include "tests/decode/oracle_compare.h"
#include "tests/decode/word_check.h"

namespace trapline {
namespace {

struct Row {
  uint32_t word;
  const char* assembly;
  const char* meaning;  // class and fields
};

constexpr Row kRows[] = {
    {0xf9400841, "ldr x1, [x2, #16]",
     "LDST op=load size=8 count=1 rt=x1 base=x2 mode=offset imm=16"},
    {0xb94003e1, "ldr w1, [sp]", "LDST op=load size=4 count=1 rt=w1 base=sp mode=offset imm=0"},
    {0x39400483, "ldrb w3, [x4, #1]",
     "LDST op=load size=1 count=1 rt=w3 base=x4 mode=offset imm=1"},
    {0x38dff083, "ldrsb w3, [x4, #-1]",
     "LDST op=load size=1 count=1 rt=w3 base=x4 mode=offset imm=-1 sign=32"},
    {0x79800483, "ldrsh x3, [x4, #2]",
     "LDST op=load size=2 count=1 rt=x3 base=x4 mode=offset imm=2 sign=64"},
    {0xb89fc483, "ldrsw x3, [x4], #-4",
     "LDST op=load size=4 count=1 rt=x3 base=x4 mode=post-index imm=-4 sign=64"},
    {0x78006c83, "strh w3, [x4, #6]!",
     "LDST op=store size=2 count=1 rt=w3 base=x4 mode=pre-index imm=6"},
    {0xf821781f, "str xzr, [x0, x1, lsl #3]",
     "LDST op=store size=8 count=1 rt=xzr base=x0 index=x1 extend=lsl shift=3 mode=register"},
    {0xb8625820, "ldr w0, [x1, w2, uxtw #2]",
     "LDST op=load size=4 count=1 rt=w0 base=x1 index=w2 extend=uxtw shift=2 mode=register"},
    {0x3862e820, "ldrb w0, [x1, x2, sxtx]",
     "LDST op=load size=1 count=1 rt=w0 base=x1 index=x2 extend=sxtx shift=0 mode=register"},
    {0xf85f8841, "ldtr x1, [x2, #-8]",
     "LDST op=load size=8 count=1 rt=x1 base=x2 mode=offset imm=-8 unprivileged=1"},
    {0x78000841, "sttrh w1, [x2]",
     "LDST op=store size=2 count=1 rt=w1 base=x2 mode=offset imm=0 unprivileged=1"},
    {0x3cdfd083, "ldur q3, [x4, #-3]",
     "LDST op=load size=16 count=1 rt=q3 base=x4 mode=offset imm=-3"},
    {0x3c001483, "str b3, [x4], #1",
     "LDST op=store size=1 count=1 rt=b3 base=x4 mode=post-index imm=1"},
    {0x7c402fe3, "ldr h3, [sp, #2]!",
     "LDST op=load size=2 count=1 rt=h3 base=sp mode=pre-index imm=2"},
    {0x58ffffc3, "ldr x3, #-8", "LITERAL op=load size=8 count=1 rt=x3 mode=literal imm=-8"},
    {0x98000043, "ldrsw x3, #8", "LITERAL op=load size=4 count=1 rt=x3 mode=literal imm=8 sign=64"},
    {0x9c7fffe3, "ldr q3, #1048572",
     "LITERAL op=load size=16 count=1 rt=q3 mode=literal imm=1048572"},
    {0x28c10be1, "ldp w1, w2, [sp], #8",
     "PAIR op=load size=4 count=2 rt=w1 rt2=w2 base=sp mode=post-index imm=8"},
    {0xa9a00be1, "stp x1, x2, [sp, #-512]!",
     "PAIR op=store size=8 count=2 rt=x1 rt2=x2 base=sp mode=pre-index imm=-512"},
    {0xac5f8861, "ldnp q1, q2, [x3, #1008]",
     "PAIR op=load size=16 count=2 rt=q1 rt2=q2 base=x3 mode=offset imm=1008 order=nontemporal"},
    {0x69600861, "ldpsw x1, x2, [x3, #-256]",
     "PAIR op=load size=4 count=2 rt=x1 rt2=x2 base=x3 mode=offset imm=-256 sign=64"},
    {0x6d002468, "stp d8, d9, [x3]",
     "PAIR op=store size=8 count=2 rt=d8 rt2=d9 base=x3 mode=offset imm=0"},
    {0x085f7c41, "ldxrb w1, [x2]",
     "EXCLUSIVE op=load-exclusive size=1 count=1 rt=w1 base=x2 mode=base"},
    {0xc801ffe2, "stlxr w1, x2, [sp]",
     "EXCLUSIVE op=store-exclusive size=8 count=1 rt=x2 rs=w1 base=sp mode=base order=release"},
    {0xc87f8861, "ldaxp x1, x2, [x3]",
     "EXCLUSIVE op=load-exclusive size=8 count=2 rt=x1 rt2=x2 base=x3 mode=base order=acquire"},
    {0x88210c82, "stxp w1, w2, w3, [x4]",
     "EXCLUSIVE op=store-exclusive size=4 count=2 rt=w2 rt2=w3 rs=w1 base=x4 mode=base"},
    {0x88dffc41, "ldar w1, [x2]",
     "ORDERED op=load size=4 count=1 rt=w1 base=x2 mode=base order=acquire"},
    {0x089ffc41, "stlrb w1, [x2]",
     "ORDERED op=store size=1 count=1 rt=w1 base=x2 mode=base order=release"},
    {0x48df7c41, "ldlarh w1, [x2]",
     "ORDERED op=load size=2 count=1 rt=w1 base=x2 mode=base order=acquire"},
    {0xc89f7c41, "stllr x1, [x2]",
     "ORDERED op=store size=8 count=1 rt=x1 base=x2 mode=base order=release"},
    {0x78bfc041, "ldaprh w1, [x2]",
     "RCPC op=load size=2 count=1 rt=w1 base=x2 mode=base order=acquire-pc"},
    {0x19900041, "ldapursb x1, [x2, #-256]",
     "RCPC op=load size=1 count=1 rt=x1 base=x2 mode=offset imm=-256 sign=64 order=acquire-pc"},
    {0x990ff041, "stlur w1, [x2, #255]",
     "RCPC op=store size=4 count=1 rt=w1 base=x2 mode=offset imm=255 order=release"},
    {0x08e1fc62, "casalb w1, w2, [x3]",
     "LSE op=compare-and-swap size=1 count=1 rt=w2 rs=w1 base=x3 mode=base order=acquire,release"},
    {0x0820fc82, "caspl w0, w1, w2, w3, [x4]",
     "LSE op=compare-and-swap size=4 count=2 rt=w2 rs=w0 base=x4 mode=base order=release"},
    {0xf8a18062, "swpa x1, x2, [x3]",
     "LSE op=swap size=8 count=1 rt=x2 rs=x1 base=x3 mode=base order=acquire"},
    {0xf8e10062, "ldaddal x1, x2, [x3]",
     "LSE op=add size=8 count=1 rt=x2 rs=x1 base=x3 mode=base order=acquire,release"},
    {0x7861705f, "stuminlh w1, [x2]",
     "LSE op=umin size=2 count=1 rt=wzr rs=w1 base=x2 mode=base order=release"},
    {0xb8a1405f, "ldsmaxa w1, wzr, [x2]",
     "LSE op=smax size=4 count=1 rt=wzr rs=w1 base=x2 mode=base"},
    {0x19e21061, "ldclrpal x1, x2, [x3]",
     "LSE128 op=clear-pair size=16 count=1 rt=x1 rt2=x2 base=x3 mode=base order=acquire,release"},
    {0x196283e1, "swppl x1, x2, [sp]",
     "LSE128 op=swap-pair size=16 count=1 rt=x1 rt2=x2 base=sp mode=base order=release"},
    {0x99420861, "ldiapp w1, w2, [x3], #8",
     "RCPC3 op=load size=4 count=2 rt=w1 rt2=w2 base=x3 mode=post-index imm=8 order=acquire-pc"},
    {0xd9021861, "stilp x1, x2, [x3]",
     "RCPC3 op=store size=8 count=2 rt=x1 rt2=x2 base=x3 mode=base order=release"},
    {0x99c00841, "ldapr w1, [x2], #4",
     "RCPC3 op=load size=4 count=1 rt=w1 base=x2 mode=post-index imm=4 order=acquire-pc"},
    {0xd9800841, "stlr x1, [x2, #-8]!",
     "RCPC3 op=store size=8 count=1 rt=x1 base=x2 mode=pre-index imm=-8 order=release"},
    {0x4d418441, "ldap1 {v1.d}[1], [x2]",
     "RCPC3 op=load-lane size=8 count=1 rt=v1 base=x2 mode=base regs=1 lane=1 interleaved=0 "
     "order=acquire-pc"},
    {0x0d018441, "stl1 {v1.d}[0], [x2]",
     "RCPC3 op=store-lane size=8 count=1 rt=v1 base=x2 mode=base regs=1 lane=0 interleaved=0 "
     "order=release"},
    {0xdd5fc841, "ldapur d1, [x2, #-4]",
     "RCPC3 op=load size=8 count=1 rt=d1 base=x2 mode=offset imm=-4 order=acquire-pc"},
    {0xf8600c41, "ldraa x1, [x2, #-4096]!",
     "PAUTH op=load-authenticated size=8 count=1 rt=x1 base=x2 mode=pre-index imm=-4096 key=a"},
    {0xf8bff441, "ldrab x1, [x2, #4088]",
     "PAUTH op=load-authenticated size=8 count=1 rt=x1 base=x2 mode=offset imm=4088 key=b"},
    {0x4cdf205e, "ld1 {v30.16b, v31.16b, v0.16b, v1.16b}, [x2], #64",
     "STRUCTURE op=load-multiple size=1 count=64 rt=v30 base=x2 mode=post-index imm=64 regs=4 q=1 "
     "interleaved=0"},
    {0x0c4007e0, "ld4 {v0.4h, v1.4h, v2.4h, v3.4h}, [sp]",
     "STRUCTURE op=load-multiple size=2 count=16 rt=v0 base=sp mode=base regs=4 q=0 interleaved=1"},
    {0x4c854c81, "st3 {v1.2d, v2.2d, v3.2d}, [x4], x5",
     "STRUCTURE op=store-multiple size=8 count=6 rt=v1 base=x4 index=x5 mode=post-register regs=3 "
     "q=1 interleaved=1"},
    {0x0c007c41, "st1 {v1.1d}, [x2]",
     "STRUCTURE op=store-multiple size=8 count=1 rt=v1 base=x2 mode=base regs=1 q=0 interleaved=0"},
    {0x4ddf1c41, "ld1 {v1.b}[15], [x2], #1",
     "STRUCTURE op=load-lane size=1 count=1 rt=v1 base=x2 mode=post-index imm=1 regs=1 lane=15 "
     "interleaved=0"},
    {0x0d205841, "st2 {v1.h, v2.h}[3], [x2]",
     "STRUCTURE op=store-lane size=2 count=2 rt=v1 base=x2 mode=base regs=2 lane=3 interleaved=1"},
    {0x4de3a441, "ld4 {v1.d, v2.d, v3.d, v4.d}[1], [x2], x3",
     "STRUCTURE op=load-lane size=8 count=4 rt=v1 base=x2 index=x3 mode=post-register regs=4 "
     "lane=1 interleaved=1"},
    {0x4dffc441, "ld2r {v1.8h, v2.8h}, [x2], #4",
     "STRUCTURE op=load-replicate size=2 count=2 rt=v1 base=x2 mode=post-index imm=4 regs=2 q=1 "
     "interleaved=1"},
    {0xf83fd034, "ld64b x20, [x1]", "LS64 op=load-64b size=8 count=8 rt=x20 base=x1 mode=base"},
    {0xf83f9036, "st64b x22, [x1]", "LS64 op=store-64b size=8 count=8 rt=x22 base=x1 mode=base"},
    {0xf823b020, "st64bv x3, x0, [x1]",
     "LS64 op=store-64bv size=8 count=8 rt=x0 rs=x3 base=x1 mode=base"},
    {0xf823a3e0, "st64bv0 x3, x0, [sp]",
     "LS64 op=store-64bv0 size=8 count=8 rt=x0 rs=x3 base=sp mode=base"},
    {0xd930043f, "stg sp, [x1], #-4096",
     "MTE op=store-tag size=16 count=1 rt=sp base=x1 mode=post-index imm=-4096"},
    {0xd9eff822, "stz2g x2, [x1, #4080]",
     "MTE op=store-tag-zero size=16 count=2 rt=x2 base=x1 mode=offset imm=4080"},
    {0x69a00861, "stgp x1, x2, [x3, #-1024]!",
     "MTE op=store-tag-pair size=16 count=1 rt=x1 rt2=x2 base=x3 mode=pre-index imm=-1024"},
    {0xd9601041, "ldg x1, [x2, #16]",
     "MTE op=load-tag size=16 count=1 rt=x1 base=x2 mode=offset imm=16"},
    {0xd9e00041, "ldgm x1, [x2]",
     "MTE op=load-tag-multiple size=16 count=1 rt=x1 base=x2 mode=base"},
    {0xd9200041, "stzgm x1, [x2]",
     "MTE op=store-tag-zero-multiple size=16 count=1 rt=x1 base=x2 mode=base"},
    {0x1901d440, "cpyfpwtn [x0]!, [x1]!, x2!",
     "MOPS op=copy-forward-prolog dest=x0 source=x1 size-reg=x2 options=13"},
    {0x1d8404a3, "cpye [x3]!, [x4]!, x5!",
     "MOPS op=copy-epilog dest=x3 source=x4 size-reg=x5 options=0"},
    {0x19df5420, "setmt [x0]!, x1!, xzr",
     "MOPS op=set-main dest=x0 value=xzr size-reg=x1 options=1"},
    {0x1dc2a420, "setgen [x0]!, x1!, x2",
     "MOPS op=set-tag-epilog dest=x0 value=x2 size-reg=x1 options=2"},
    {0xf9800420, "prfm pldl1keep, [x1, #8]",
     "PREFETCH op=prefetch prfop=0 base=x1 mode=offset imm=8"},
    {0xf89ff03f, "prfum #31, [x1, #-1]",
     "PREFETCH op=prefetch prfop=31 base=x1 mode=offset imm=-1"},
    {0xd8000095, "prfm pstl3strm, #16", "PREFETCH op=prefetch prfop=21 mode=literal imm=16"},
    {0xf8a27820, "prfm pldl1keep, [x1, x2, lsl #3]",
     "PREFETCH op=prefetch prfop=0 base=x1 index=x2 extend=lsl shift=3 mode=register"},
    {0xf8a2483c, "rprfm pldstrm, x2, [x1]",
     "PREFETCH op=prefetch prfop=28 base=x1 range=x2 mode=base"},
    {0xd50b7423, "dc zva, x3", "ZERO op=zero-block address=x3"},
    {0xd50b7463, "dc gva, x3", "ZERO op=zero-block-tags address=x3"},
    {0xd50b7483, "dc gzva, x3", "ZERO op=zero-block-both address=x3"},
    {0xd50b7e23, "dc civac, x3", "CACHE op=cache-maintenance address=x3 op1=3 crm=14 op2=1"},
    {0xd50b7d3f, "dc cvadp, xzr", "CACHE op=cache-maintenance address=xzr op1=3 crm=13 op2=1"},
    {0xd50b7523, "ic ivau, x3", "CACHE op=cache-maintenance address=x3 op1=3 crm=5 op2=1"},
};

TEST(Decode, Table) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.assembly);
    Access access;
    ASSERT_EQ(decode(row.word, access), DecodeStatus::kAccess);
    EXPECT_EQ(fmt::format("{} {}", decode_class(row.word), format_access(access)), row.meaning);
    EXPECT_EQ(test::canonical(access_text(access)), test::canonical(row.assembly));
  }
}

struct Other {
  uint32_t word;
  DecodeStatus status;
  const char* cls;
  const char* why;
};

constexpr DecodeStatus kNo = DecodeStatus::kUnallocated;
constexpr DecodeStatus kOther = DecodeStatus::kNotMemory;
constexpr DecodeStatus kKnown = DecodeStatus::kUnsupported;

constexpr Other kNotDecoded[] = {
    {0xb9c00041, kNo, "unallocated", "size 10 opc 11: no sign extension of a word to 32 bits"},
    {0xf9c00041, kNo, "unallocated", "size 11 opc 11"},
    {0xbd800041, kNo, "unallocated", "V 1, size 10 opc 10: Q has size 00 only"},
    {0xdc000001, kNo, "unallocated", "literal V 1 opc 11"},
    {0xe8000001, kNo, "unallocated", "pair opc 11"},
    {0x68000001, kNo, "unallocated", "STGP has no non-temporal form"},
    {0xf8800401, kNo, "unallocated", "PRFM has no post-index form"},
    {0x3c000801, kNo, "unallocated", "STTR of a SIMD&FP register"},
    {0xf8620820, kNo, "unallocated", "register offset with option<1> 0"},
    {0x08207c61, kNo, "unallocated", "CASP with an odd Rt"},
    {0x08217c60, kNo, "unallocated", "CASP with an odd Rs"},
    {0x88a00000, kNo, "unallocated", "CAS whose Rt2 is not 11111"},
    {0x0c000c00, kNo, "unallocated", "LD4 of .1D"},
    {0x0c001000, kNo, "unallocated", "structure opcode 0001"},
    {0x0c010000, kNo, "unallocated", "no post-index, yet Rm not 0"},
    {0x0d00c000, kNo, "unallocated", "a replicating store"},
    {0x0d004400, kNo, "unallocated", "ST1 of H with size<0> 1"},
    {0x0d009400, kNo, "unallocated", "ST1 of D with S 1"},
    {0x8c000000, kNo, "unallocated", "structure with bit 31 set"},
    {0x09000000, kNo, "unallocated", "29:24 001001"},
    {0xf83fd001, kNo, "unallocated", "LD64B to an odd register"},
    {0xf83fd018, kNo, "unallocated", "LD64B beyond X22"},
    {0x19200001, kNo, "unallocated", "LSE128 with opc 0000"},
    {0x1921103f, kNo, "unallocated", "LDCLRP with Rt 31"},
    {0x19000400, kNo, "unallocated", "CPYFP with equal registers"},
    {0x1901041f, kNo, "unallocated", "CPYFP to XZR"},
    {0x19c1c440, kNo, "unallocated", "SET with op2 11xx"},
    {0xd9201041, kNo, "unallocated", "STZGM with imm9 not 0"},
    {0xd91f0c41, kKnown, "GCS", "GCSSTR"},
    {0xd91f1c41, kKnown, "GCS", "GCSSTTR"},
    {0xd50b7741, kKnown, "GCS", "GCSSS1"},
    {0x19210822, kKnown, "RCW", "RCWCAS"},
    {0x19220c40, kKnown, "RCW", "RCWCASP"},
    {0x38219041, kKnown, "RCW", "RCWCLR"},
    {0x59219041, kKnown, "RCW", "RCWSCLRP"},
    {0xa5e04000, kKnown, "SVE", "LD1D"},
    {0xe5804000, kKnown, "SVE", "STR of a Z register"},
    {0xe1000000, kKnown, "SME", "LDR ZA"},
    {0x8b020020, kOther, "not-memory", "ADD"},
    {0xd65f03c0, kOther, "not-memory", "RET"},
    {0xd503201f, kOther, "not-memory", "NOP"},
    {0xd5087641, kOther, "not-memory", "DC ISW: by set and way"},
    {0xd508751f, kOther, "not-memory", "IC IALLU: no address"},
    {0xd50b7820, kOther, "not-memory", "outside DC and IC"},
    {0x04e5a2bf, kOther, "not-memory", "SVE ADR"},
    {0x00000000, kOther, "not-memory", "UDF"},
};

TEST(Decode, WhatIsNoAccess) {
  for (const Other& row : kNotDecoded) {
    SCOPED_TRACE(row.why);
    Access access;
    EXPECT_EQ(decode(row.word, access), row.status);
    EXPECT_EQ(access, Access{});
    EXPECT_STREQ(decode_class(row.word), row.cls);
  }
}

// The CONSTRAINED UNPREDICTABLE choices of decode/README.md: all of these are accesses.
constexpr Row kChoices[] = {
    {0xf8408421, "ldr x1, [x1], #8",
     "LDST op=load size=8 count=1 rt=x1 base=x1 mode=post-index imm=8"},
    {0xf8008c21, "str x1, [x1, #8]!",
     "LDST op=store size=8 count=1 rt=x1 base=x1 mode=pre-index imm=8"},
    {0x38401c21, "ldrb w1, [x1, #1]!",
     "LDST op=load size=1 count=1 rt=w1 base=x1 mode=pre-index imm=1"},
    {0xa9400441, "ldp x1, x1, [x2]",
     "PAIR op=load size=8 count=2 rt=x1 rt2=x1 base=x2 mode=offset imm=0"},
    {0xa8c10821, "ldp x1, x2, [x1], #16",
     "PAIR op=load size=8 count=2 rt=x1 rt2=x2 base=x1 mode=post-index imm=16"},
    {0xa8810822, "stp x2, x2, [x1], #16",
     "PAIR op=store size=8 count=2 rt=x2 rt2=x2 base=x1 mode=post-index imm=16"},
    {0xa8810821, "stp x1, x2, [x1], #16",
     "PAIR op=store size=8 count=2 rt=x1 rt2=x2 base=x1 mode=post-index imm=16"},
    {0xc87f0441, "ldxp x1, x1, [x2]",
     "EXCLUSIVE op=load-exclusive size=8 count=2 rt=x1 rt2=x1 base=x2 mode=base"},
    {0xc8017c41, "stxr w1, x1, [x2]",
     "EXCLUSIVE op=store-exclusive size=8 count=1 rt=x1 rs=w1 base=x2 mode=base"},
    {0xc8027c41, "stxr w2, x1, [x2]",
     "EXCLUSIVE op=store-exclusive size=8 count=1 rt=x1 rs=w2 base=x2 mode=base"},
    {0xc8210c41, "stxp w1, x1, x3, [x2]",
     "EXCLUSIVE op=store-exclusive size=8 count=2 rt=x1 rt2=x3 rs=w1 base=x2 mode=base"},
    {0xc8400041, "ldxr x1, [x2], with the should-be-one fields zero",
     "EXCLUSIVE op=load-exclusive size=8 count=1 rt=x1 base=x2 mode=base"},
    {0x88800041, "stlr w1, [x2], likewise",
     "ORDERED op=store size=4 count=1 rt=w1 base=x2 mode=base order=release"},
    {0xf8a0c041, "ldapr x1, [x2], with Rs zero",
     "RCPC op=load size=8 count=1 rt=x1 base=x2 mode=base order=acquire-pc"},
    {0x19218061, "swpp x1, x1, [x3]",
     "LSE128 op=swap-pair size=16 count=1 rt=x1 rt2=x1 base=x3 mode=base"},
    {0x190107e0, "cpyfp [x0]!, [x1]!, xzr!",
     "MOPS op=copy-forward-prolog dest=x0 source=x1 size-reg=xzr options=0"},
    {0x19c207e0, "setp [x0]!, xzr!, x2",
     "MOPS op=set-prolog dest=x0 value=x2 size-reg=xzr options=0"},
    {0xf8400c21, "ldr x1, [x1, #0]!",
     "LDST op=load size=8 count=1 rt=x1 base=x1 mode=pre-index imm=0"},
};

TEST(Decode, ConstrainedUnpredictable) {
  for (const Row& row : kChoices) {
    SCOPED_TRACE(row.assembly);
    Access access;
    ASSERT_EQ(decode(row.word, access), DecodeStatus::kAccess);
    EXPECT_EQ(fmt::format("{} {}", decode_class(row.word), format_access(access)), row.meaning);
  }
}

// Each immediate field at its ends and at zero: one wrong bit of a shift or mask shows here.
struct Immediate {
  uint32_t word;
  int32_t imm;
};

constexpr Immediate kImmediates[] = {
    {0x39400000, 0},         {0x397ffc00, 4095},      // LDRB, imm12
    {0x79400400, 2},         {0x797ffc00, 8190},      // LDRH
    {0xb97ffc00, 16380},     {0xf97ffc00, 32760},     // LDR W, X
    {0x3dfffc00, 65520},     {0x3dc00400, 16},        // LDR Q
    {0xf8400000, 0},         {0xf84ff000, 255},       // LDUR, imm9
    {0xf8500000, -256},      {0xf85ff000, -1},        //
    {0x29400000, 0},         {0x295f8000, 252},       // LDP W, imm7
    {0x29600000, -256},      {0x297f8000, -4},        //
    {0xa9600000, -512},      {0xad5f8000, 1008},      // LDP X, Q
    {0x69208000, -1008},     {0x691f8000, 1008},      // STGP
    {0x58000000, 0},         {0x587fffe0, 1048572},   // LDR literal, imm19
    {0x58800000, -1048576},  {0x58ffffe0, -4},        //
    {0xf8200400, 0},         {0xf83ff400, 511 * 8},   // LDRAA, S:imm9
    {0xf8600400, -512 * 8},  {0xf87ff400, -8},        //
    {0xd9300800, -256 * 16}, {0xd92ff800, 255 * 16},  // STG
    {0x99400800, 8},         {0xd9400800, 16},        // LDIAPP
    {0x99000800, -8},        {0xd9000800, -16},       // STILP
    {0xd9c00800, 8},         {0xd9800800, -8},        // LDAPR, STLR with write-back
};

TEST(Decode, Immediates) {
  for (const Immediate& row : kImmediates) {
    Access access;
    ASSERT_EQ(decode(row.word, access), DecodeStatus::kAccess) << std::hex << row.word;
    EXPECT_EQ(access.imm, row.imm) << std::hex << row.word;
  }
}

// A stratum of all 2^32 words; the whole space is bench_decode_coverage --all-words.
TEST(Decode, InvariantsOfEveryWord) {
  const test::AllWords r = test::check_words(17, uint64_t{1} << 32, 1021);
  EXPECT_EQ(r.broken, 0u);
  for (const std::string& example : r.examples) ADD_FAILURE() << example;
  EXPECT_GT(r.access, 0u);
  EXPECT_GT(r.unsupported, 0u);
  EXPECT_GT(r.unallocated, 0u);
  EXPECT_GT(r.not_memory, 0u);
}

}  // namespace
}  // namespace trapline
