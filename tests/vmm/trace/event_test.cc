#include "vmm/trace/event.h"

#include <gtest/gtest.h>

#include <random>

namespace trapline::trace {
namespace {

ExitEvent sample(std::mt19937_64& random, uint64_t start) {
  ExitEvent event;
  event.start = start;
  event.total = random() % 10'000;
  event.exit.pc = 0xffff'8000'0801'0000 + random() % 4096 * 4;
  event.before_mask = random() & random() & 0x1'7fff'ffff;
  event.after_mask = random() & random() & 0x1'7fff'ffff;
  for (unsigned i = 0; i < ExitEvent::kRegisters; ++i) {
    event.before[i] = random();
    event.after[i] = random();
  }
  switch (random() % 4) {
    case 0:
      event.exit.kind = ExitKind::kDataAbort;
      event.exit.valid_mask = Exit::kEsr | Exit::kFar | Exit::kIpa;
      event.exit.esr = 0x9200'0046 | (random() % 2) << 24;
      event.exit.far = random();
      event.exit.ipa = random() % (uint64_t{1} << 40);
      if ((event.exit.esr >> 24 & 1) == 0) {
        event.source = random() % 100;
        event.context = random() % 100;
      }
      event.flags |= ExitEvent::kAccesses;
      event.accesses.push_back({3, 4, random() % 2 == 0, false, 0x18, random()});
      break;
    case 1:
      event.exit.kind = ExitKind::kSysreg;
      event.exit.sysreg = static_cast<SysregId>(random());
      event.exit.sysreg_rt = random() % 32;
      event.exit.sysreg_write = true;
      event.value = event.exit.sysreg_value = random();
      break;
    case 2:
      event.exit.kind = ExitKind::kHvc;
      event.exit.esr = 0x5a00'0000;
      event.flags |= ExitEvent::kQuestions;
      event.rare = std::make_unique<ExitEvent::Rare>();
      event.flags |= ExitEvent::kVectors;
      event.v_before_mask = 1u << (random() % 32);
      event.rare->questions.resize(2);
      event.rare->questions[1].kind = Question::Kind::kRam;
      event.rare->questions[1].data.assign(4096, 7);
      break;
    default:
      event.exit.kind = ExitKind::kWfi;
      event.answer = {Resume::kFault, true};
      event.fault = {.far = random(), .fsc = 0x10, .write = true};
  }
  return event;
}

std::vector<uint8_t> coded(unsigned seed, unsigned count) {
  std::mt19937_64 random(seed);
  std::vector<uint8_t> bytes;
  Coding coding;
  for (unsigned i = 0; i < count; ++i) {
    const ExitEvent event = sample(random, 1000 * i);
    std::vector<uint8_t> room(longest(event));
    Encoder out(room.data());
    write_event(out, coding, event);
    bytes.insert(bytes.end(), room.data(), out.at());
  }
  return bytes;
}

TEST(TraceEvent, ReadsBackWhatWasWritten) {
  constexpr unsigned kCount = 2000;
  const std::vector<uint8_t> bytes = coded(1, kCount);
  std::mt19937_64 random(1);
  Decoder in(bytes);
  Coding coding;
  ExitEvent event;
  for (unsigned i = 0; i < kCount; ++i) {
    const ExitEvent expected = sample(random, 1000 * i);
    const uint8_t tag = in.byte();
    ASSERT_TRUE(is_exit(tag));
    ASSERT_TRUE(read_event(in, coding, tag, event)) << i;
    EXPECT_EQ(event.start, expected.start);
    EXPECT_EQ(event.total, expected.total);
    EXPECT_EQ(event.exit.kind, expected.exit.kind);
    EXPECT_EQ(event.exit.pc, expected.exit.pc);
    EXPECT_EQ(event.exit.esr, expected.exit.esr);
    EXPECT_EQ(event.exit.far, expected.exit.far);
    EXPECT_EQ(event.exit.ipa, expected.exit.ipa);
    EXPECT_EQ(event.exit.sysreg, expected.exit.sysreg);
    EXPECT_EQ(event.exit.sysreg_value, expected.exit.sysreg_value);
    EXPECT_EQ(event.answer, expected.answer);
    EXPECT_EQ(event.source, expected.source);
    EXPECT_EQ(event.context, expected.context);
    EXPECT_EQ(event.accesses, expected.accesses);
    ASSERT_EQ(event.before_mask, expected.before_mask);
    ASSERT_EQ(event.after_mask, expected.after_mask);
    for (unsigned r = 0; r < ExitEvent::kRegisters; ++r) {
      const bool before = (event.before_mask >> r & 1) != 0,
                 after = (event.after_mask >> r & 1) != 0;
      EXPECT_TRUE(!before || event.before[r] == expected.before[r]);
      EXPECT_TRUE(!after || event.after[r] == expected.after[r]);
    }
    if ((expected.flags & ExitEvent::kQuestions) != 0) {
      EXPECT_EQ(event.v_before_mask, expected.v_before_mask);
      ASSERT_EQ(event.rare->questions.size(), 2u);
      EXPECT_EQ(event.rare->questions[1].data, expected.rare->questions[1].data);
    }
  }
  EXPECT_TRUE(in.at_end());
}

// Whatever the bytes are: an event or none, within bounds (the sanitizers watch).
TEST(TraceEvent, DamagedBytesGiveADefinedOutcome) {
  std::mt19937_64 random(2);
  for (unsigned round = 0; round < 2000; ++round) {
    std::vector<uint8_t> bytes = coded(round, 4);
    for (unsigned i = 0; i < 1 + round % 8; ++i)
      bytes[random() % bytes.size()] ^= 1 << random() % 8;
    bytes.resize(random() % (bytes.size() + 1));
    Decoder in(bytes);
    Coding coding;
    ExitEvent event;
    while (!in.at_end()) {
      const uint8_t tag = in.byte();
      if (!read_event(in, coding, tag, event)) break;
    }
  }
}

// A loop over flash that traps: byte after byte, by a post-indexed load.
ExitEvent of_loop(unsigned round) {
  ExitEvent event;
  event.start = 1000 * round;
  event.total = 300 + round % 7;
  event.exit.kind = ExitKind::kDataAbort;
  event.exit.valid_mask = Exit::kEsr | Exit::kFar;
  event.exit.esr = 0x9200'000f;
  event.exit.pc = 0x47ff'18d4;
  event.exit.far = 0x10'0000 + round;
  event.source = event.context = 1;
  event.flags = ExitEvent::kAccesses | ExitEvent::kReached;
  event.reached = {0x10'0000 + round, 1, 0};
  event.accesses.push_back({2, 1, false, false, 0x10'0000 + round, round * 37 & 0xff});
  event.after_mask = 1 << 21 | 1 << 2;
  event.after[21] = round * 37 & 0xff;
  event.after[2] = 0x10'0001 + round;
  return event;
}

TEST(TraceEvent, AnExitLikeTheLastOfItsInstructionIsShort) {
  constexpr unsigned kRounds = 1000;
  std::vector<uint8_t> bytes;
  Coding coding;
  std::vector<ExitEvent> expected;
  for (unsigned i = 0; i < kRounds; ++i) {
    ExitEvent event = of_loop(i);
    if (i % 100 == 50) event.accesses[0].offset += 0x4000;  // does not move with FAR
    if (i % 100 == 60) event.before_mask = 1 << 2, event.before[2] = 0x1234;
    if (i % 100 == 70) event.exit.pc += 4 * Coding::kSlots;  // another instruction of the slot
    if (i % 100 == 80) event.answer = {Resume::kAgain};
    if (i % 100 == 90) event.exit.esr ^= 0x40;
    std::vector<uint8_t> room(longest(event));
    Encoder out(room.data());
    write_event(out, coding, event);
    bytes.insert(bytes.end(), room.data(), out.at());
    expected.push_back(std::move(event));
  }
  EXPECT_LT(bytes.size(), kRounds * 14);
  Decoder in(bytes);
  Coding decoding;
  ExitEvent event;
  for (const ExitEvent& e : expected) {
    ASSERT_TRUE(read_event(in, decoding, in.byte(), event));
    EXPECT_EQ(event.start, e.start);
    EXPECT_EQ(event.total, e.total);
    EXPECT_EQ(event.exit.pc, e.exit.pc);
    EXPECT_EQ(event.exit.esr, e.exit.esr);
    EXPECT_EQ(event.exit.far, e.exit.far);
    EXPECT_EQ(event.exit.ipa, e.exit.ipa);
    EXPECT_EQ(event.answer, e.answer);
    EXPECT_EQ(event.accesses, e.accesses);
    EXPECT_EQ(event.before_mask, e.before_mask);
    EXPECT_EQ(event.before[2], e.before_mask != 0 ? e.before[2] : event.before[2]);
    EXPECT_EQ(event.after[21], e.after[21]);
    EXPECT_EQ(event.after[2], e.after[2]);
    // Read as the questions that it stands for.
    ASSERT_EQ(event.rare->questions.size(), 2u);
    EXPECT_EQ(event.rare->questions[0].a, e.exit.far);
    EXPECT_EQ(event.rare->questions[0].ipa, e.reached.ipa);
    EXPECT_EQ(event.rare->questions[1].a, e.reached.ipa);
    EXPECT_EQ(event.rare->questions[1].answer, 0u);
  }
  EXPECT_TRUE(in.at_end());
}

TEST(TraceEvent, NothingIsLikeAnEmptySlot) {
  const uint8_t bytes[] = {3, 1, 1, 0, 0, 0};
  Decoder in(bytes);
  Coding coding;
  ExitEvent event;
  EXPECT_FALSE(read_event(in, coding, 0x80, event));
}

TEST(TraceEvent, TheSmallPartsReadBack) {
  std::vector<uint8_t> room(1024);
  Encoder out(room.data());
  SourceData source{.word = 0xb8408423, .loads = 4, .ipa = 0x4021'0120};
  source.desc_ipa = {1, 2, 3, 4, 0};
  source.desc = {5, 6, 7, ~uint64_t{0}, 0};
  ViewState view;
  view.va_bits_upper = 39;
  view.sp_alignment_check = true;
  TranslationRegs regs;
  regs.ttbr1 = ~uint64_t{0};
  regs.el = 0;
  write_source(out, source);
  write_view_state(out, view);
  write_regs(out, regs);
  Decoder in({room.data(), out.at()});
  SourceData source_back;
  ASSERT_TRUE(read_source(in, source_back));
  EXPECT_EQ(source_back, source);
  EXPECT_EQ(read_view_state(in), view);
  const TranslationRegs regs_back = read_regs(in);
  EXPECT_EQ(regs_back.ttbr1, regs.ttbr1);
  EXPECT_EQ(regs_back.el, 0);
  EXPECT_TRUE(in.ok() && in.at_end());
}

TEST(TraceBytes, VarintsOfAllLengths) {
  uint8_t room[Encoder::kLongestVarint];
  for (unsigned shift = 0; shift < 64; ++shift) {
    for (const uint64_t value : {uint64_t{1} << shift, (uint64_t{1} << shift) - 1}) {
      Encoder out(room);
      out.varint(value);
      Decoder in({room, out.at()});
      EXPECT_EQ(in.varint(), value);
      EXPECT_EQ(unzigzag(zigzag(value)), value);
    }
  }
  const std::vector<uint8_t> ones(20, 0xff);
  Decoder endless(ones);
  endless.varint();
  EXPECT_FALSE(endless.ok());
}

}  // namespace
}  // namespace trapline::trace
