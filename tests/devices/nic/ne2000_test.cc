#include "devices/nic/ne2000.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "tests/devices/nic/harness.h"

namespace trapline::test {
namespace {

enum Port : uint32_t {
  kCr = 0,
  kPstart = 1,
  kPstop = 2,
  kBnry = 3,
  kTpsr = 4,
  kTbcr0 = 5,
  kIsr = 7,
  kCurr = 7,
  kRsar0 = 8,
  kRbcr0 = 10,
  kRcr = 12,
  kTcr = 13,
  kDcr = 14,
  kImr = 15,
  kData = 16,
  kReset = 31,
};
constexpr uint8_t kStopped = 0x21, kStarted = 0x22, kPage1 = 0x40, kRead = 0x0a, kWrite = 0x12;

struct Card {
  Card() : wire(new FakeWire) {
    card = std::make_unique<Ne2000>(Ne2000::Options{.name = "ne2000-0", .mac = kMac},
                                    std::unique_ptr<virtio::NetBackend>(wire));
    slot.plug(card->endpoint());
    card->resume();
  }
  ~Card() { card->quiesce(); }

  uint8_t get(uint32_t port) { return static_cast<uint8_t>(card->read(port, 1, 0).value); }
  void set(uint32_t port, uint8_t value) { card->write(port, 1, value, 0); }
  void set16(uint32_t port, uint16_t value) {
    set(port, static_cast<uint8_t>(value));
    set(port + 1, static_cast<uint8_t>(value >> 8));
  }
  // As Linux's driver does.
  void start() {
    set(kCr, kStopped);
    set(kDcr, 0x49);
    set(kTcr, 0);
    set(kPstart, 0x4c);
    set(kPstop, 0x80);
    set(kBnry, 0x4c);
    set(kIsr, 0xff);
    set(kImr, 0x3f);
    set(kCr, kStopped | kPage1);
    for (uint32_t i = 0; i < 6; ++i) set(1 + i, kMac[i]);
    set(kCurr, 0x4d);
    set(kCr, kStarted);
    set(kRcr, 0x04);
  }
  void remote(uint16_t at, uint16_t bytes, uint8_t command) {
    set16(kRbcr0, bytes);
    set16(kRsar0, at);
    set(kCr, command);
  }
  Frame take(uint16_t at, uint16_t bytes) {
    remote(at, bytes, kRead);
    Frame out;
    for (unsigned i = 0; i < bytes; i += 2) {
      const auto word = static_cast<uint16_t>(card->read(kData, 2, 0).value);
      out.push_back(static_cast<uint8_t>(word));
      out.push_back(static_cast<uint8_t>(word >> 8));
    }
    return out;
  }
  void send(const Frame& frame) {
    remote(0x4000, static_cast<uint16_t>(frame.size()), kWrite);
    for (size_t i = 0; i < frame.size(); i += 4) {
      uint32_t word = 0;
      for (size_t b = 0; b < 4; ++b) word |= uint32_t{frame[i + b]} << 8 * b;
      card->write(kData, 4, word, 0);
    }
    set(kTpsr, 0x40);
    set16(kTbcr0, static_cast<uint16_t>(frame.size()));
    set(kCr, 0x26);
  }
  uint8_t curr() {
    set(kCr, kStarted | kPage1);
    const uint8_t page = get(kCurr);
    set(kCr, kStarted);
    return page;
  }
  void arrive(const Frame& frame) {
    wire->put(frame);
    wire->settle();
  }

  FakeSlot slot;
  FakeWire* const wire;  // the card's
  std::unique_ptr<Ne2000> card;
};

TEST(Ne2000, ResetAndProm) {
  Card c;
  c.set(kReset, c.get(kReset));
  EXPECT_NE(c.get(kIsr) & 0x80, 0);
  c.set(kDcr, 0x49);
  c.remote(0, 32, kRead);
  // A byte of each word.
  for (unsigned i = 0; i < 16; ++i) {
    const uint8_t byte = c.get(kData);
    EXPECT_EQ(byte, i < 6 ? kMac[i] : i < 14 ? 0 : 0x57) << i;
  }
  EXPECT_NE(c.get(kIsr) & 0x40, 0);
  EXPECT_EQ(c.get(10), 0x50);
  EXPECT_EQ(c.get(11), 0x43);
  EXPECT_EQ(c.get(13), 0);  // a counter, which Linux probes by
}

TEST(Ne2000, Sends) {
  Card c;
  c.start();
  const Frame frame = frame_to(kMac, 64);
  c.send(frame);
  EXPECT_EQ(c.wire->next().frame, frame);
  while ((c.get(kIsr) & 2) == 0) std::this_thread::yield();
  EXPECT_TRUE(c.slot.line);
  EXPECT_EQ(c.get(kTpsr), 1);  // TSR
  EXPECT_EQ(c.get(kCr) & 4, 0);
  c.set(kIsr, 0x42);
  EXPECT_FALSE(c.slot.line);
}

// A command that neither starts nor stops turns the page and no more.
TEST(Ne2000, GoesOnReceivingWhateverThePage) {
  Card c;
  c.start();
  for (const uint8_t command : {0x60, 0x20}) {
    c.set(kCr, command);
    c.arrive(frame_to(kMac, 64));
  }
  EXPECT_EQ(c.curr(), 0x4f);
  c.set(kCr, kStopped);
  c.set(kCr, 0x20);
  EXPECT_NE(c.get(kIsr) & 0x80, 0);
  c.arrive(frame_to(kMac, 64));
  c.set(kCr, 0x60);
  EXPECT_EQ(c.get(kCurr), 0x4f);
}

// The driver's own acknowledgement of one frame must not hide those that came meanwhile.
TEST(Ne2000, FramesThatWaitAreStillSaid) {
  Card c;
  c.start();
  c.arrive(frame_to(kMac, 64));
  c.arrive(frame_to(kMac, 64));
  const uint8_t page = c.curr();
  c.set(kBnry, static_cast<uint8_t>(page - 2));
  c.set(kIsr, 1);
  EXPECT_EQ(c.get(kIsr) & 1, 1);
  EXPECT_TRUE(c.slot.line);
  c.set(kBnry, static_cast<uint8_t>(page - 1));
  c.set(kIsr, 1);
  EXPECT_EQ(c.get(kIsr) & 1, 0);
  EXPECT_FALSE(c.slot.line);
}

TEST(Ne2000, ReceivesIntoItsRingAndRoundIt) {
  Card c;
  c.start();
  uint8_t page = 0x4d;
  for (unsigned i = 0; i < 200; ++i) {
    const Frame frame = frame_to(kMac, 100 + i * 7, static_cast<uint8_t>(i));
    c.arrive(frame);
    const Frame header = c.take(static_cast<uint16_t>(page * 256), 4);
    EXPECT_EQ(header[0], 1);
    EXPECT_EQ(header[2] | header[3] << 8, static_cast<int>(frame.size()) + 4);
    ASSERT_EQ(header[1], c.curr()) << i;
    // The end of the ring leads to its begin, in remote DMA, too.
    Frame body = c.take(static_cast<uint16_t>(page * 256),
                        static_cast<uint16_t>((frame.size() + 5) & ~size_t{1}));
    body.erase(body.begin(), body.begin() + 4);
    body.resize(frame.size());
    ASSERT_EQ(body, frame) << i;
    page = header[1];
    c.set(kBnry, static_cast<uint8_t>(page - 1));
  }
  EXPECT_TRUE(c.slot.line);
}

TEST(Ne2000, AFrameWaitsForPages) {
  Card c;
  c.start();
  for (unsigned i = 0; i < 9; ++i) c.arrive(frame_to(kMac, 1500));
  EXPECT_TRUE(c.wire->waits());
  c.set(kBnry, 0x5e);
  while (c.wire->waits()) std::this_thread::yield();
}

TEST(Ne2000, Filters) {
  struct Row {
    uint8_t rcr;
    virtio::MacAddress to;
    bool taken;
  };
  const virtio::MacAddress other = {0x52, 0x54, 0, 1, 1, 1}, group = {1, 0, 0x5e, 0, 0, 1},
                           all = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  for (const Row& row : {Row{0, kMac, true},
                         {0, other, false},
                         {0x10, other, true},
                         {0, all, false},
                         {4, all, true},
                         {0, group, false},
                         {8, group, true},
                         {0x20, kMac, false}}) {
    Card c;
    c.start();
    c.set(kCr, kStarted | kPage1);
    for (uint32_t i = 8; i < 16; ++i) c.set(i, 0xff);
    c.set(kCr, kStarted);
    c.set(kRcr, row.rcr);
    c.arrive(frame_to(row.to, 60));
    EXPECT_EQ(c.curr() != 0x4d, row.taken) << int{row.rcr};
  }
}

// Rings, addresses and lengths that are none.
TEST(Ne2000, WhateverADriverWrites) {
  Card c;
  c.start();
  for (const uint8_t page : {0x00, 0x3f, 0x80, 0xff}) {
    c.set(kPstart, page);
    c.set(kPstop, static_cast<uint8_t>(page ^ 0xc0));
    c.arrive(frame_to(kMac, 1500));
    c.set(kTpsr, page);
    c.set16(kTbcr0, 0xffff);
    c.set(kCr, 0x26);
    EXPECT_LE(c.wire->next().frame.size(), 1518u);
    c.remote(static_cast<uint16_t>(page << 8 | 0xff), 0xffff, kWrite);
    for (unsigned i = 0; i < 40000; ++i) c.card->write(kData, 4, ~0u, 0);
  }
}

TEST(Ne2000, StateSurvives) {
  Card a, b;
  a.start();
  a.arrive(frame_to(kMac, 100));
  a.card->quiesce();
  b.card->quiesce();
  StateWriter out;
  a.card->save(out);
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.card->load(in));
  EXPECT_EQ(in.left(), 0u);
  EXPECT_TRUE(b.slot.line);
  EXPECT_EQ(b.take(0x4d00, 104), a.take(0x4d00, 104));
}

}  // namespace
}  // namespace trapline::test
