// LD1-LD4, ST1-ST4, blocks, tags and MOPS.
#include <cstring>
#include <vector>

#include "tests/mmio/table.h"

namespace trapline::test {
namespace {

TEST(Structure, Multiple) {
  check_all({
      {0x4c407020, "ld1 {v0.16b}, [x1]", "x1=9000010",
       "A.r1@10=10 A.r1@11=11 A.r1@12=12 A.r1@13=13 A.r1@14=14 A.r1@15=15 A.r1@16=16 A.r1@17=17 "
       "A.r1@18=18 A.r1@19=19 A.r1@1a=1a A.r1@1b=1b A.r1@1c=1c A.r1@1d=1d A.r1@1e=1e A.r1@1f=1f",
       "v0=1f1e1d1c1b1a1918_1716151413121110"},
      {0x0cdfa820, "ld1 {v0.2s, v1.2s}, [x1], #16", "x1=9000010 v0=9_9",
       "A.r4@10=13121110 A.r4@14=17161514 A.r4@18=1b1a1918 A.r4@1c=1f1e1d1c",
       "x1=9000020 v0=0_1716151413121110 v1=0_1f1e1d1c1b1a1918"},
      {0x0cc2883f, "ld2 {v31.2s, v0.2s}, [x1], x2", "x1=9000010 x2=1000 v31=9_9",
       "A.r4@10=13121110 A.r4@14=17161514 A.r4@18=1b1a1918 A.r4@1c=1f1e1d1c",
       "x1=9001010 v0=0_1f1e1d1c17161514 v31=0_1b1a191813121110"},
      {0x0c404420, "ld3 {v0.4h, v1.4h, v2.4h}, [x1]", "x1=9000010",
       "A.r2@10=1110 A.r2@12=1312 A.r2@14=1514 A.r2@16=1716 A.r2@18=1918 A.r2@1a=1b1a "
       "A.r2@1c=1d1c A.r2@1e=1f1e A.r2@20=2120 A.r2@22=2322 A.r2@24=2524 A.r2@26=2726",
       "v0=0_23221d1c17161110 v1=0_25241f1e19181312 v2=0_272621201b1a1514"},
      {0x4c400c20, "ld4 {v0.2d, v1.2d, v2.2d, v3.2d}, [x1]", "x1=9000000",
       "A.r8@0=706050403020100 A.r8@8=f0e0d0c0b0a0908 A.r8@10=1716151413121110 "
       "A.r8@18=1f1e1d1c1b1a1918 A.r8@20=2726252423222120 A.r8@28=2f2e2d2c2b2a2928 "
       "A.r8@30=3736353433323130 A.r8@38=3f3e3d3c3b3a3938",
       "v0=2726252423222120_706050403020100 v1=2f2e2d2c2b2a2928_f0e0d0c0b0a0908 "
       "v2=3736353433323130_1716151413121110 v3=3f3e3d3c3b3a3938_1f1e1d1c1b1a1918"},
      {0x4c9f8c20, "st2 {v0.2d, v1.2d}, [x1], #32", "x1=9000010 v0=2_1 v1=4_3",
       "A.w8@10=1 A.w8@18=3 A.w8@20=2 A.w8@28=4", "x1=9000030"},
      {0x0c000820, "st4 {v0.2s, v1.2s, v2.2s, v3.2s}, [x1]",
       "x1=9000010 v0=9_200000001 v1=9_400000003 v2=9_600000005 v3=9_800000007",
       "A.w4@10=1 A.w4@14=3 A.w4@18=5 A.w4@1c=7 A.w4@20=2 A.w4@24=4 A.w4@28=6 A.w4@2c=8", ""},
      {0x0c9f6fe0, "st1 {v0.1d, v1.1d, v2.1d}, [sp], #24", "sp=9000010 v0=9_1 v1=9_2 v2=9_3",
       "A.w8@10=1 A.w8@18=2 A.w8@20=3", "sp=9000028"},
      {0x0c407420, "ld1 {v0.4h}, [x1]", "be=1 x1=9000010",
       "A.r2@10=1110 A.r2@12=1312 A.r2@14=1514 "
       "A.r2@16=1716",
       "v0=0_1617141512131011"},
  });
}

TEST(Structure, LanesAndReplicate) {
  check_all({
      {0x4d401c20, "ld1 {v0.b}[15], [x1]", "x1=9000010 v0=1122334455667788_99", "A.r1@10=10",
       "v0=1022334455667788_99"},
      {0x0ddf5820, "ld1 {v0.h}[3], [x1], #2", "x1=9000010 v0=9_1122334455667788", "A.r2@10=1110",
       "x1=9000012 v0=9_1110334455667788"},
      {0x4d608020, "ld2 {v0.s, v1.s}[2], [x1]", "x1=9000010 v0=1122334455667788_9 v1=7_8",
       "A.r4@10=13121110 A.r4@14=17161514", "v0=1122334413121110_9 v1=17161514_8"},
      {0x4de2a43e, "ld4 {v30.d, v31.d, v0.d, v1.d}[1], [x1], x2", "x1=9000000 x2=3 v30=9_8",
       "A.r8@0=706050403020100 A.r8@8=f0e0d0c0b0a0908 A.r8@10=1716151413121110 "
       "A.r8@18=1f1e1d1c1b1a1918",
       "x1=9000003 v0=1716151413121110_0 v1=1f1e1d1c1b1a1918_0 v30=706050403020100_8 "
       "v31=f0e0d0c0b0a0908_0"},
      {0x4d9f9020, "st1 {v0.s}[3], [x1], #4", "x1=9000010 v0=1122334455667788_9",
       "A.w4@10=11223344", "x1=9000014"},
      {0x0d002020, "st3 {v0.b, v1.b, v2.b}[0], [x1]", "x1=9000010 v0=9_101 v1=9_202 v2=9_303",
       "A.w1@10=1 A.w1@11=2 A.w1@12=3", ""},
      {0x0d40c020, "ld1r {v0.8b}, [x1]", "x1=9000010 v0=9_9", "A.r1@10=10",
       "v0=0_1010101010101010"},
      {0x4dffc820, "ld2r {v0.4s, v1.4s}, [x1], #8", "x1=9000010",
       "A.r4@10=13121110 A.r4@14=17161514",
       "x1=9000018 v0=1312111013121110_1312111013121110 v1=1716151417161514_1716151417161514"},
      {0x4d40cc20, "ld1r {v0.2d}, [x1]", "be=1 x1=9000010", "A.r8@10=1716151413121110",
       "v0=1011121314151617_1011121314151617"},
  });
}

// LD64B and ST64B: one transaction of 64 bytes, or none (C6.2, MemLoad64B).
TEST(Block, SixtyFourBytes) {
  check_all({
      {0xf83fd140, "ld64b x0, [x10]", "x10=9001040", "B.r64@40",
       "x0=4746454443424140 x1=4f4e4d4c4b4a4948 x2=5756555453525150 x3=5f5e5d5c5b5a5958 "
       "x4=6766656463626160 x5=6f6e6d6c6b6a6968 x6=7776757473727170 x7=7f7e7d7c7b7a7978"},
      {0xf83f9140, "st64b x0, [x10]", "x10=9001040", "B.w64@40", ""},
      {0xf834b140, "st64bv x20, x0, [x10]", "x10=9001040 x20=5", "B.w64@40", "x20=0"},
      {0xf834b140, "st64bv x20, x0, [x10]", "x10=9000040 x20=5", "", "x20=ffffffffffffffff"},
      {0xf83fd140, "ld64b x0, [x10]", "x10=9000040", "", "", "unsupported"},
      {0xf83f9140, "st64b x0, [x10]", "x10=9000040", "", "", "unsupported"},
      {0xf83fd140, "ld64b x0, [x10]", "x10=9001048", "", "", "fault 21 9001048 r"},
      {0xf83f9140, "st64b x0, [x10]", "x10=9002040", "", "", "fault 35 9002040 w"},
      {0xf83f9140, "st64b x0, [x10]", "x10=9005040", "", "", "fault 10 9005040 w"},
      {0xf83fd140, "ld64b x0, [x10]", "x10=9003040", "", "", "fault 7 9003040 r"},
  });
  Machine machine;
  machine.view.accdata = 0xaabbccdd;
  machine.set("x0=1122334455667788 x10=9001040");
  EXPECT_EQ(machine.run(0xf834a140), "done");  // st64bv0 x20, x0, [x10]
  uint64_t first;
  std::memcpy(&first, machine.devices[1]->bytes + 0x40, 8);
  EXPECT_EQ(first, 0x11223344aabbccddu);
}

TEST(Block, ZeroBlock) {
  check_all({
      {0xd50b7421, "dc zva, x1", "zva=4 x1=900001f", "A.w8@10=0 A.w8@18=0", ""},
      {0xd50b7421, "dc zva, x1", "zva=5 x1=9000020", "A.w8@20=0 A.w8@28=0 A.w8@30=0 A.w8@38=0", ""},
      {0xd50b7481, "dc gzva, x1", "zva=4 x1=9000010", "A.w8@10=0 A.w8@18=0", ""},
      {0xd50b7461, "dc gva, x1", "zva=4 x1=9000010", "", ""},
      {0xd50b7421, "dc zva, x1", "x1=9002047", "", "", "done", "9002040+64"},
      // FAR is what the register held.
      {0xd50b7421, "dc zva, x1", "x1=9003047", "", "", "fault 7 9003047 w"},
      {0xd50b7421, "dc zva, x1", "x1=9005047", "", "", "fault 10 9005047 w"},
      {0xd50b7421, "dc zva, x1", "x1=9006040", "", "", "fault 21 9006040 w"},
      {0xd50b7421, "dc zva, x1", "x1=900a3c0",
       "F.w8@1c0=0 F.w8@1c8=0 F.w8@1d0=0 F.w8@1d8=0 F.w8@1e0=0 "
       "F.w8@1e8=0 F.w8@1f0=0 F.w8@1f8=0",
       ""},
      {0xd50b7421, "dc zva, x1", "zva=b x1=900a300", "", "", "fault 10 900a300 w"},
      {0xd50b7421, "dc zva, x1", "zva=6 x1=90097c0", "D.w8@7c0=0", "", "fault 10 90097c0 w"},
      {0xd50b7421, "dc zva, x1", "zva=7 x1=90097ff", "D.w8@780=0", "", "fault 10 90097ff w"},
  });
  Machine machine;
  machine.set("x1=900203f zva=4");
  EXPECT_EQ(machine.run(0xd50b7421), "done");
  EXPECT_EQ(machine.memory(kBase + 0x2028, 8), 0x2f2e2d2c2b2a2928u);
  EXPECT_EQ(machine.memory(kBase + 0x2030, 8), 0u);
  EXPECT_EQ(machine.memory(kBase + 0x2038, 8), 0u);
  EXPECT_EQ(machine.memory(kBase + 0x2040, 8), 0x4746454443424140u);
}

// FEAT_MTE without tag storage: tags read as zero and writes to them are ignored; data is data.
TEST(Block, Tags) {
  check_all({
      {0xd9201420, "stg x0, [x1], #16", "x1=9000010", "", "x1=9000020"},
      {0xd9a01c3f, "st2g sp, [x1, #16]!", "x1=9000010", "", "x1=9000020"},
      {0xd9601420, "stzg x0, [x1], #16", "x1=9000010", "A.w8@10=0 A.w8@18=0", "x1=9000020"},
      {0xd9ffe820, "stz2g x0, [x1, #-32]", "x1=9000030", "A.w8@10=0 A.w8@18=0 A.w8@20=0 A.w8@28=0",
       ""},
      {0x69808820, "stgp x0, x2, [x1, #16]!", "x0=1 x1=9000000 x2=2", "A.w8@10=1 A.w8@18=2",
       "x1=9000010"},
      {0x69000820, "stgp x0, x2, [x1]", "be=1 x0=1 x1=9002010 x2=2", "", "", "done", "9002010+16"},
      {0xd9601020, "ldg x0, [x1, #16]", "x0=ab00000000001234 x1=9000001", "",
       "x0=a000000000001234"},
      {0xd9e00020, "ldgm x0, [x1]", "x0=5 x1=9000000", "", "x0=0"},
      {0xd9a00020, "stgm x0, [x1]", "x0=5 x1=9000000", "", ""},
      {0xd9200020, "stzgm x0, [x1]", "zva=4 x1=900001f", "A.w8@10=0 A.w8@18=0", ""},
      {0xd9200820, "stg x0, [x1]", "x1=9000018", "", "", "fault 21 9000018 w"},
      {0xd9600820, "stzg x0, [x1]", "x1=9003010", "", "", "fault 7 9003010 w"},
      {0xd9a02420, "st2g x0, [x1], #32", "x1=9002ff0", "", "", "fault 7 9003000 w"},
      {0xd9600020, "ldg x0, [x1]", "x1=9003018", "", "", "fault 7 9003010 r"},
      {0xd9a00020, "stgm x0, [x1]", "x1=9005000", "", "", "fault 10 9005000 w"},
      {0xd9200be0, "stg x0, [sp]", "sa=1 sp=9000018", "", "", "fault ec 26"},
  });
}

// MOPS: the formats of options A and B, from the descriptions of CPYF*, CPY*, SET* (C6.2).
TEST(Mops, Prologs) {
  check_all({
      // Option A: ends of the ranges and a negative size.
      {0x19010440, "cpyfp [x0]!, [x1]!, x2!", "nzcv=f0000000 x0=9000010 x1=9002020 x2=30", "",
       "x0=9000040 x1=9002050 x2=ffffffffffffffd0 nzcv=0"},
      {0x19010440, "cpyfp [x0]!, [x1]!, x2!", "optb=1 nzcv=f0000000 x0=9000010 x1=9002020 x2=30",
       "", "nzcv=20000000"},
      {0x19010440, "cpyfp [x0]!, [x1]!, x2!", "optb=1 x2=ffffffffffffffff", "",
       "x2=7fffffffffffffff nzcv=20000000"},
      {0x1d010440, "cpyp [x0]!, [x1]!, x2!", "x0=9000010 x1=9000018 x2=30", "",
       "x0=9000040 x1=9000048 x2=ffffffffffffffd0"},
      // Overlap with the source below: backward.
      {0x1d010440, "cpyp [x0]!, [x1]!, x2!", "nzcv=f0000000 x0=9000018 x1=9000010 x2=30", "",
       "nzcv=0"},
      {0x1d010440, "cpyp [x0]!, [x1]!, x2!", "optb=1 x0=9000018 x1=9000010 x2=30", "",
       "x0=9000048 x1=9000040 nzcv=a0000000"},
      {0x1d010440, "cpyp [x0]!, [x1]!, x2!", "x0=9000040 x1=9000010 x2=30", "",
       "x0=9000070 x1=9000040 x2=ffffffffffffffd0"},
      {0x1d010440, "cpyp [x0]!, [x1]!, x2!", "optb=1 x2=100000000000000", "",
       "x2=7fffffffffffff nzcv=20000000"},
      {0x19c10440, "setp [x0]!, x2!, x1", "nzcv=f0000000 x0=9000010 x1=5 x2=30", "",
       "x0=9000040 x2=ffffffffffffffd0 nzcv=0"},
      {0x19c10440, "setp [x0]!, x2!, x1", "optb=1 x0=9000010 x1=5 x2=30", "", "nzcv=20000000"},
      {0x1dc10440, "setgp [x0]!, x2!, x1", "optb=1 x0=9000010 x2=ffffffffffffffff", "",
       "x2=7ffffffffffffff0 nzcv=20000000"},
      {0x1dc10440, "setgp [x0]!, x2!, x1", "optb=1 x0=9000010 x2=fffffffffffffff0", "",
       "x2=7ffffffffffffff0 nzcv=20000000"},
      {0x1dc10440, "setgp [x0]!, x2!, x1", "x0=9000018 x2=20", "", "", "fault 21 9000018 w"},
  });
}

TEST(Mops, MainAndEpilog) {
  check_all({
      // Option A forward: 10 bytes from RAM to the device, aligned parts on each side.
      {0x19410440, "cpyfm [x0]!, [x1]!, x2!", "x0=900001c x1=900202b x2=fffffffffffffff6",
       "A.w2@12=2221 A.w4@14=26252423 A.w4@18=2a292827", "x2=0"},
      // Option B forward.
      {0x19410440, "cpyfm [x0]!, [x1]!, x2!", "nzcv=20000000 x0=9000010 x1=9002021 x2=8",
       "A.w8@10=2827262524232221", "x0=9000018 x1=9002029 x2=0"},
      {0x19410440, "cpyfm [x0]!, [x1]!, x2!", "nzcv=20000000 x0=9002010 x1=9000021 x2=7",
       "A.r1@21=21 A.r2@22=2322 A.r4@24=27262524", "x0=9002017 x1=9000028 x2=0", "done",
       "9002010+7"},
      // Nothing left.
      {0x1d810440, "cpye [x0]!, [x1]!, x2!", "x0=9003000 x1=9003000", "", ""},
      {0x19410440, "cpyfm [x0]!, [x1]!, x2!", "x0=9003000 x1=9003000 x2=10", "", ""},
      // A chunk ends with a page of either side.
      {0x19410440, "cpyfm [x0]!, [x1]!, x2!", "nzcv=20000000 x0=9000ff8 x1=9002020 x2=10",
       "A.w8@ff8=2726252423222120", "x0=9001000 x1=9002028 x2=8", "progress"},
      {0x19810440, "cpyfe [x0]!, [x1]!, x2!", "nzcv=20000000 x0=9000000 x1=9002ff8 x2=10",
       "A.w8@0=fffefdfcfbfaf9f8", "x0=9000008 x1=9003000 x2=8", "progress"},
      {0x19810440, "cpyfe [x0]!, [x1]!, x2!", "nzcv=20000000 x0=9000008 x1=9003000 x2=8", "", "",
       "fault 7 9003000 r"},
      {0x19810440, "cpyfe [x0]!, [x1]!, x2!", "nzcv=20000000 x0=9003000 x1=9000000 x2=8", "", "",
       "fault 7 9003000 w"},
      // Backward: from the end.
      {0x1d410440, "cpym [x0]!, [x1]!, x2!", "nzcv=a0000000 x0=9001004 x1=9002028 x2=8",
       "B.w4@0=27262524", "x0=9001000 x1=9002024 x2=4", "progress"},
      {0x1d410440, "cpym [x0]!, [x1]!, x2!", "x0=9000ffc x1=9002020 x2=8", "B.w4@0=27262524",
       "x2=4", "progress"},
      {0x1d410440, "cpym [x0]!, [x1]!, x2!", "x0=9000ffc x1=9002020 x2=4", "A.w4@ffc=23222120",
       "x2=0"},
      // Set.
      {0x19c14440, "setm [x0]!, x2!, x1", "x0=9000020 x1=105 x2=fffffffffffffff0",
       "A.w8@10=505050505050505 A.w8@18=505050505050505", "x2=0"},
      {0x19df8440, "sete [x0]!, x2!, xzr", "nzcv=20000000 x0=9000011 x2=3", "A.w1@11=0 A.w2@12=0",
       "x0=9000014 x2=0"},
      {0x1dc14440, "setgm [x0]!, x2!, x1", "nzcv=20000000 x0=9000010 x1=1 x2=10",
       "A.w8@10=101010101010101 A.w8@18=101010101010101", "x0=9000020 x2=0"},
      {0x1dc14440, "setgm [x0]!, x2!, x1", "nzcv=20000000 x0=9000018 x2=10", "", "",
       "fault 21 9000018 w"},
      // Unprivileged sides: bit 13 reads, bit 12 writes.
      {0x19411440, "cpyfmwt [x0]!, [x1]!, x2!", "nzcv=20000000 x0=900b000 x1=9002020 x2=8", "", "",
       "fault f 900b000 w"},
      {0x19412440, "cpyfmrt [x0]!, [x1]!, x2!", "nzcv=20000000 x0=900b000 x1=9002020 x2=8",
       "G.w8@0=2726252423222120", "x0=900b008 x1=9002028 x2=0"},
      {0x19412440, "cpyfmrt [x0]!, [x1]!, x2!", "nzcv=20000000 x0=9002020 x1=900b000 x2=8", "", "",
       "fault f 900b000 r"},
      {0x19c15440, "setmt [x0]!, x2!, x1", "nzcv=20000000 x0=900b000 x2=8", "", "",
       "fault f 900b000 w"},
      // The hardware's translation was for one side only.
      {0x19410440, "cpyfm [x0]!, [x1]!, x2!",
       "nzcv=20000000 known=9004000 x0=9004000 x1=9004100 x2=8", "", "", "fault f 9004000 w"},
      // A source that aborts: nothing is written.
      {0x19410440, "cpyfm [x0]!, [x1]!, x2!", "nzcv=20000000 x0=9000000 x1=9009800 x2=8", "", "",
       "fault 10 9009800 r"},
  });
}

// Whole copies, chunk by chunk, in both formats, with overlap, against memmove.
TEST(Mops, WholeCopies) {
  constexpr uint32_t kProlog = 0x1d010440, kMain = 0x1d410440, kEpilog = 0x1d810440;
  for (const bool option_b : {false, true}) {
    for (const uint64_t source : {0xc123, 0xc800, 0xcff0, 0xd001}) {
      for (const uint64_t size : {0, 1, 63, 64, 65, 1000, 2900}) {
        for (const uint64_t destination : {0xc124, 0xc122, 0xc900, 0xd003}) {
          if (source + size > 0xe000 || destination + size > 0xe000) continue;
          SCOPED_TRACE(hex(source) + " to " + hex(destination) + " " + hex(size));
          Machine machine;
          machine.view.mops_option_a = !option_b;
          std::vector<uint8_t> expected(0x2000);
          for (unsigned i = 0; i < 0x2000; ++i) {
            *machine.view.host(kBase + 0xc000 + i) = expected[i] = static_cast<uint8_t>(i * 7 >> 3);
          }
          std::memmove(&expected[destination - 0xc000], &expected[source - 0xc000], size);
          machine.view.general.x[0] = kBase + destination;
          machine.view.general.x[1] = kBase + source;
          machine.view.general.x[2] = size;
          unsigned calls = 0;
          for (const uint32_t word : {kProlog, kMain, kEpilog}) {
            std::string outcome;
            do {
              outcome = machine.run(word);
            } while (outcome == "progress" && ++calls < 200);
            ASSERT_EQ(outcome, "done");
          }
          EXPECT_EQ(machine.view.general.x[2], 0u);
          bool same = true;
          for (unsigned i = 0; i < 0x2000; ++i) {
            same &= *machine.view.host(kBase + 0xc000 + i) == expected[i];
          }
          EXPECT_TRUE(same);
        }
      }
    }
  }
}

}  // namespace
}  // namespace trapline::test
