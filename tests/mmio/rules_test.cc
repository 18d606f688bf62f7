// All or nothing, faults, alignment, page crossing: what must hold for every kind of access.
#include "tests/mmio/table.h"

namespace trapline::test {
namespace {

TEST(Rules, PageCrossing) {
  check_all({
      // Device A, then device B: each gets aligned parts of its bytes.
      {0xb9400020, "ldr w0, [x1]", "x1=9000ffe", "A.r2@ffe=fffe B.r2@0=100", "x0=100fffe"},
      {0xf9400020, "ldr x0, [x1]", "x1=9000ffb",
       "A.r1@ffb=fb A.r4@ffc=fffefdfc B.r2@0=100 B.r1@2=2", "x0=20100fffefdfcfb"},
      {0xb9000020, "str w0, [x1]", "x0=44332211 x1=9000fff", "A.w1@fff=11 B.w2@0=3322 B.w1@2=44",
       ""},
      {0xa9400820, "ldp x0, x2, [x1]", "x1=9000ff8",
       "A.r8@ff8=fffefdfcfbfaf9f8 B.r8@0=706050403020100",
       "x0=fffefdfcfbfaf9f8 x2=706050403020100"},
      // Device B, then RAM; RAM, then device G.
      {0xa8810820, "stp x0, x2, [x1], #16", "x0=1 x1=9001ff8 x2=2", "B.w8@ff8=1", "x1=9002008",
       "done", "9002000+8"},
      {0xb9000020, "str w0, [x1]", "x0=44332211 x1=9001ffe", "B.w2@ffe=2211", "", "done",
       "9002000+2"},
      {0x3dc00020, "ldr q0, [x1]", "x1=9001ff8", "B.r8@ff8=fffefdfcfbfaf9f8",
       "v0=706050403020100_fffefdfcfbfaf9f8"},
      // RAM, then RAM: one announcement a page.
      {0xf9000020, "str x0, [x1]", "x0=8877665544332211 x1=900cffd", "", "", "done",
       "900cffd+3 900d000+5"},
      {0x3d800020, "str q0, [x1]", "x1=900cff8 v0=2_1", "", "", "done", "900cff8+8 900d000+8"},
      // Big-endian across the boundary.
      {0xb9000020, "str w0, [x1]", "be=1 x0=11223344 x1=9000ffe", "A.w2@ffe=2211 B.w2@0=4433", ""},
  });
  Machine machine;
  machine.set("x0=8877665544332211 x1=900cffd");
  EXPECT_EQ(machine.run(0xf9000020), "done");
  EXPECT_EQ(machine.memory(kBase + 0xcff8, 8), 0x332211fcfbfaf9f8u);
  EXPECT_EQ(machine.memory(kBase + 0xd000, 8), 0x0706058877665544u);
}

// Every byte is translated and every device asked before the first one is touched.
TEST(Rules, AllOrNothing) {
  check_all({
      {0xa8c10820, "ldp x0, x2, [x1], #16", "x1=9002ff8", "", "", "fault 7 9003000 r"},
      {0xa8810820, "stp x0, x2, [x1], #16", "x1=9002ff8", "", "", "fault 7 9003000 w"},
      {0xf9000020, "str x0, [x1]", "x1=9002ffd", "", "", "fault 7 9003000 w"},
      {0xf9400020, "ldr x0, [x1]", "x1=aa00000009002ffd", "", "", "fault 7 aa00000009003000 r"},
      {0xf8008c20, "str x0, [x1, #8]!", "x1=9004010", "", "", "fault f 9004018 w"},
      {0xf8408c20, "ldr x0, [x1, #8]!", "x1=9005010", "", "", "fault 10 9005018 r"},
      {0x4c9f2020, "st1 {v0.16b-v3.16b}, [x1], #64", "x1=9002fd8", "", "", "fault 7 9003000 w"},
      {0xf9400020, "ldr x0, [x1]", "x1=9007000", "", "", "retry"},
      {0xa9400820, "ldp x0, x2, [x1]", "x1=9006ff8", "", "", "retry"},
      {0xa9000820, "stp x0, x2, [x1]", "x1=9006ff8", "", "", "retry"},
      // Device D refuses from 800 before anything happens, and aborts from 400 when touched.
      {0xa8c10820, "ldp x0, x2, [x1], #16", "x1=90097f8", "", "", "fault 10 9009800 r"},
      {0xa8810820, "stp x0, x2, [x1], #16", "x1=90097f8", "", "", "fault 10 9009800 w"},
      {0xf8408420, "ldr x0, [x1], #8", "x1=9009400", "D.r8@400=706050403020100", "",
       "fault 10 9009400 r"},
      {0xa8c10820, "ldp x0, x2, [x1], #16", "x1=90093f8",
       "D.r8@3f8=fffefdfcfbfaf9f8 D.r8@400=706050403020100", "", "fault 10 9009400 r"},
      {0xf8408420, "ldr x0, [x1], #8", "known=9009000 x1=9009400", "D.r8@400=706050403020100", "",
       "fault 10 9009400 r"},
      {0xf8008420, "str x0, [x1], #8", "known=9009000 x1=9009800", "", "", "fault 10 9009800 w"},
      // RAM that stage 2 has read-only and no device behind it.
      {0xf9000020, "str x0, [x1]", "x1=9008000", "", "", "fault 10 9008000 w"},
      {0xf9400020, "ldr x0, [x1]", "x1=9008000", "", "x0=706050403020100"},
  });
}

// Every touch of RAM lies in a bracket of its own, and no device does.
TEST(Rules, RamIsTouchedInBrackets) {
  check_all({
      {0xb9400020, "ldr w0, [x1]", "brackets=1 x1=9002010", "[]", "x0=13121110"},
      {0xb9400020, "ldr w0, [x1]", "brackets=1 x1=9000010", "A.r4@10=13121110", "x0=13121110"},
      {0xa8810820, "stp x0, x2, [x1], #16", "brackets=1 x0=1 x1=9001ff8 x2=2", "[] B.w8@ff8=1 []",
       "x1=9002008", "done", "9002000+8"},
      {0xa8810820, "stp x0, x2, [x1], #16", "brackets=1 x0=1 x1=900cff8 x2=2", "[] []",
       "x1=900d008", "done", "900cff8+8 900d000+8"},
      {0x885f7c20, "ldxr w0, [x1]", "brackets=1 x1=9002010", "[]", "x0=13121110"},
      {0xb8200022, "ldadd w0, w2, [x1]", "brackets=1 x0=1 x1=9002010", "[]", "x2=13121110", "done",
       "9002010+4"},
      {0xd50b7421, "dc zva, x1", "brackets=1 x1=9002050", "[]", "", "done", "9002040+64"},
  });
}

// Translations that another CPU has invalidated since are not used, whatever the access: nothing
// changes, no device is asked, and the instruction runs again.
TEST(Rules, StaleTranslationsAreNotUsed) {
  check_all({
      {0xf9400020, "ldr x0, [x1]", "stale=1 x1=9002010", "[stale", "", "retry"},
      {0xf9000020, "str x0, [x1]", "stale=1 x1=9002010", "[stale", "", "retry"},
      {0xf8008420, "str x0, [x1], #8", "stale=1 x1=9002ff4", "[stale", "", "retry"},
      {0xc8dffc20, "ldar x0, [x1]", "stale=1 x1=9002010", "[stale", "", "retry"},
      {0x885f7c20, "ldxr w0, [x1]", "stale=1 x1=9002010", "[stale", "", "retry"},
      {0xb8200022, "ldadd w0, w2, [x1]", "stale=1 x0=1 x1=9002010", "[stale", "", "retry"},
      {0x88a07c22, "cas w0, w2, [x1]", "stale=1 x0=13121110 x1=9002010 x2=7", "[stale", "",
       "retry"},
      {0x48247c26, "casp x4, x5, x6, x7, [x1]", "stale=1 x1=9002010", "[stale", "", "retry"},
      {0xd50b7421, "dc zva, x1", "stale=1 x1=9002050", "[stale", "", "retry"},
      {0x4c9f2020, "st1 {v0.16b-v3.16b}, [x1], #64", "stale=1 x1=9002010", "[stale", "", "retry"},
      // A device before RAM and after it.
      {0xa8810820, "stp x0, x2, [x1], #16", "stale=1 x1=9001ff8", "[stale", "", "retry"},
      {0xa8c10820, "ldp x0, x2, [x1], #16", "stale=1 x1=9001ff8", "[stale", "", "retry"},
  });
  Machine machine;
  machine.set("stale=1 x0=8877665544332211 x1=9002010");
  EXPECT_EQ(machine.run(0xf9000020), "retry");
  EXPECT_EQ(machine.memory(kBase + 0x2010, 8), 0x1716151413121110u);
  // A store-exclusive that has to run again fails then.
  Machine exclusive;
  exclusive.set("stale=2 x1=9002010");
  EXPECT_EQ(exclusive.run(0x885f7c20), "done");   // ldxr w0, [x1]
  EXPECT_EQ(exclusive.run(0x88037c22), "retry");  // stxr w3, w2, [x1]
  EXPECT_EQ(exclusive.run(0x88037c22), "done");
  EXPECT_EQ(exclusive.view.general.x[3], 1u);
  EXPECT_EQ(exclusive.memory(kBase + 0x2010, 4), 0x13121110u);
}

TEST(Rules, WindowsInsideAPage) {
  check_all({
      {0xa9400820, "ldp x0, x2, [x1]", "x1=900a1f8",
       "E.r8@1f8=fffefdfcfbfaf9f8 F.r8@0=706050403020100",
       "x0=fffefdfcfbfaf9f8 x2=706050403020100"},
      {0xb9400020, "ldr w0, [x1]", "x1=900a1fe", "E.r2@1fe=fffe F.r2@0=100", "x0=100fffe"},
      {0xb9400020, "ldr w0, [x1]", "x1=900a3fe", "", "", "fault 10 900a400 r"},
      {0xf9000020, "str x0, [x1]", "x1=900a400", "", "", "fault 10 900a400 w"},
  });
}

TEST(Rules, Alignment) {
  check_all({
      // A device that stage 1 maps as Normal takes unaligned accesses as they come.
      {0xb9400020, "ldr w0, [x1]", "x1=9000011", "A.r4@11=14131211", "x0=14131211"},
      {0xb9400020, "ldr w0, [x1]", "known=9000000 x1=9000011", "A.r4@11=14131211", "x0=14131211"},
      // Stage-1 Device memory does not; each element by its own size.
      {0xb9400020, "ldr w0, [x1]", "x1=9006010", "C.r4@10=13121110", "x0=13121110"},
      {0xb9400020, "ldr w0, [x1]", "x1=9006012", "", "", "fault 21 9006012 r"},
      {0x29000820, "stp w0, w2, [x1]", "x1=9006014", "C.w4@14=0 C.w4@18=0", ""},
      {0x29000820, "stp w0, w2, [x1]", "x1=9006016", "", "", "fault 21 9006016 w"},
      {0x3dc00020, "ldr q0, [x1]", "x1=9006018", "", "", "fault 21 9006018 r"},
      {0xf9400020, "ldr x0, [x1]", "x1=9005ffc", "", "", "fault 21 9006000 r"},
      {0x0c407820, "ld1 {v0.2s}, [x1]", "x1=9006014", "C.r4@14=17161514 C.r4@18=1b1a1918",
       "v0=0_1b1a191817161514"},
      {0x0c407c20, "ld1 {v0.1d}, [x1]", "x1=9006014", "", "", "fault 21 9006014 r"},
      // SCTLR.A
      {0xb9400020, "ldr w0, [x1]", "a=1 x1=9000011", "", "", "fault 21 9000011 r"},
      {0x7d000020, "str h0, [x1]", "a=1 x1=9000011", "", "", "fault 21 9000011 w"},
      {0xb9400020, "ldr w0, [x1]", "a=1 known=9000000 x1=9000011", "", "", "fault 21 9000011 r"},
      {0x29400820, "ldp w0, w2, [x1]", "a=1 x1=9000014", "A.r4@14=17161514 A.r4@18=1b1a1918",
       "x0=17161514 x2=1b1a1918"},
      // Alignment that every memory type demands comes before translation.
      {0x885f7c20, "ldxr w0, [x1]", "x1=9003002", "", "", "fault 21 9003002 r"},
      {0x88dffc20, "ldar w0, [x1]", "x1=9003002", "", "", "fault 21 9003002 r"},
      {0xb8208022, "swp w0, w2, [x1]", "x1=9003002", "", "", "fault 21 9003002 r"},
  });
}

// WnR of a read-modify-write that faults: 0 where a read would fault as well.
TEST(Rules, DirectionOfAnAtomicFault) {
  check_all({
      {0xb8208022, "swp w0, w2, [x1]", "x1=9003000", "", "", "fault 7 9003000 r"},
      {0xb8208022, "swp w0, w2, [x1]", "x1=9004000", "", "", "fault f 9004000 w"},
      {0x88a07c22, "cas w0, w2, [x1]", "x1=9004000", "", "", "fault f 9004000 w"},
      // The hardware's translation is not trusted: the trap may have been a load's.
      {0xb8208022, "swp w0, w2, [x1]", "known=9004000 x1=9004000", "", "", "fault f 9004000 w"},
      {0x885f7c20, "ldxr w0, [x1]", "x1=9003000", "", "", "fault 7 9003000 r"},
      {0x88037c20, "stxr w3, w0, [x1]", "x1=9004000", "", "", "fault f 9004000 w"},
  });
}

TEST(Rules, WithoutABus) {
  struct {
    uint32_t word;
    const char *text, *before, *outcome;
  } const kCases[] = {
      {0xf9400020, "ldr x0, [x1]", "x1=9002010", "done"},
      {0xf9400020, "ldr x0, [x1]", "x1=9000010", "exit 9000010 r"},
      {0xf9000020, "str x0, [x1]", "x1=5500000009000010", "exit 5500000009000010 w"},
      {0xa9400820, "ldp x0, x2, [x1]", "x1=9001ff8", "exit 9001ff8 r"},
      {0xa9000820, "stp x0, x2, [x1]", "x1=900aff8", "exit 900aff8 w"},
      {0xf8208022, "swp x0, x2, [x1]", "x1=9000010", "exit 9000010 r"},
      {0xf8208022, "swp x0, x2, [x1]", "x1=9008010", "exit 9008010 w"},
      {0xf9000020, "str x0, [x1]", "x1=9008010", "exit 9008010 w"},
      {0xd50b7421, "dc zva, x1", "x1=9000010", "exit 9000010 w"},
      {0xc85f7c20, "ldxr x0, [x1]", "x1=9000010", "exit 9000010 r"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.text);
    Machine machine;
    machine.set(c.before);
    EXPECT_EQ(machine.run(c.word, false), c.outcome);
    EXPECT_EQ(machine.log, "");
  }
  // The second page is the device's: named by its first byte.
  Machine machine;
  machine.view.page(kBase + 0xe000, kHole);
  machine.set("x1=900dffc");
  EXPECT_EQ(machine.run(0xf9000020, false), "exit 900e000 w");
  EXPECT_EQ(machine.view.written, "");
}

class Observer final : public AccessObserver {
 public:
  void device_access(const Bus::Region& region, uint64_t offset, unsigned size, bool write,
                     uint64_t value, bool abort) override {
    text += std::string(Bus::device_of(region).name()) + (write ? ".w" : ".r") +
            std::to_string(size) + "@" + hex(offset) + "=" + hex(value) + (abort ? "! " : " ");
  }
  void unmapped_access(uint64_t ipa, unsigned size, bool write) override {
    text +=
        std::string("nobody") + (write ? ".w" : ".r") + std::to_string(size) + "@" + hex(ipa) + " ";
  }
  std::string text;
};

TEST(Rules, TheObserverSeesEachDeviceAccess) {
  const struct {
    uint32_t word;
    const char *text, *before, *seen;
  } kCases[] = {
      {0xb9400020, "ldr w0, [x1]", "known=9000000 x1=9000010", "A.r4@10=13121110 "},
      {0x29000820, "stp w0, w2, [x1]", "x0=1 x2=2 x1=9001ffc", "B.w4@ffc=1 "},
      {0xb8200022, "ldadd w0, w2, [x1]", "x0=1 x1=9000010", "A.r4@10=13121110 A.w4@10=13121111 "},
      {0xb9400020, "ldr w0, [x1]", "x1=9005010", "nobody.r4@9005010 "},
      {0xb9000020, "str w0, [x1]", "x1=9009800", "D.w4@800=0! "},
      {0xb9000020, "str w0, [x1]", "known=9009000 x1=9009400", "D.w4@400=0! "},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.text);
    Machine machine;
    Observer observer;
    machine.context.observer = &observer;
    machine.set(c.before);
    machine.run(c.word);
    EXPECT_EQ(observer.text, c.seen);
  }
}

}  // namespace
}  // namespace trapline::test
