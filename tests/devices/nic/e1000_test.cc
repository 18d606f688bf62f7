#include "devices/nic/e1000.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <memory>
#include <thread>

#include "devices/nic/checksum.h"
#include "tests/devices/fake_clock.h"
#include "tests/devices/nic/harness.h"
#include "tests/devices/virtio/harness.h"

namespace trapline::test {
namespace {

using namespace e1000;
using virtio::test::TestDma;

constexpr uint64_t kBase = virtio::test::kRamBase, kTxRing = kBase, kRxRing = kBase + 0x1000,
                   kTxData = kBase + 0x10000, kRxData = kBase + 0x40000;
constexpr uint32_t kRingBytes = 128, kRing = 8, kBuffer = 2048;
// Words of a descriptor: CMD in the third.
constexpr uint32_t kEop = 1u << 24, kIc = 1u << 26, kTse = 1u << 26, kRs = 1u << 27,
                   kDext = 1u << 29, kVle = 1u << 30, kData = 1u << 20;

struct Card {
  Card() : wire(new FakeWire) {
    card = std::make_unique<E1000>(
        E1000::Options{.name = "e1000-0", .dma = &dma, .clock = &clock, .mac = kMac},
        std::unique_ptr<virtio::NetBackend>(wire));
    slot.plug(card->endpoint());
    card->resume();
  }
  ~Card() { card->quiesce(); }

  uint32_t get(uint32_t reg) { return static_cast<uint32_t>(card->read(reg, 4, 0).value); }
  void set(uint32_t reg, uint32_t value) { card->write(reg, 4, value, 0); }
  void start() {
    set(kTdbal, static_cast<uint32_t>(kTxRing));
    set(kTdlen, kRingBytes);
    set(kTctl, kTctlEnable);
    set(kRdbal, static_cast<uint32_t>(kRxRing));
    set(kRdlen, kRingBytes);
    for (uint32_t i = 0; i < kRing; ++i) dma.put(kRxRing + 16 * i, kRxData + i * kBuffer);
    set(kRdt, kRing - 1);
    set(kRctl, kRctlEnable | kRctlBroadcast);
    set(kIms, kTxdw | kRxt0);
  }
  void describe(uint32_t w0, uint32_t w1, uint32_t w2, uint32_t w3) {
    const uint32_t at = tail;
    const uint32_t words[4] = {w0, w1, w2, w3};
    for (uint32_t i = 0; i < 4; ++i) dma.put(kTxRing + 16 * at + 4 * i, words[i]);
    tail = (tail + 1) % kRing;
  }
  void place(const Frame& frame) {
    for (size_t i = 0; i < frame.size(); ++i) dma.put(kTxData + i, frame[i]);
  }
  FakeWire::Sent send() {
    set(kTdt, tail);
    return wire->next();
  }
  Frame received(uint32_t index) {
    Frame out(dma.get<uint16_t>(kRxRing + 16 * index + 8));
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = dma.get<uint8_t>(kRxData + index * kBuffer + i);
    }
    return out;
  }
  uint8_t status(uint32_t index) { return dma.get<uint8_t>(kRxRing + 16 * index + 12); }
  void arrive(const Frame& frame) {
    wire->put(frame);
    wire->settle();
  }

  TestDma dma{1 << 20};
  FakeClock clock;
  FakeSlot slot;
  FakeWire* const wire;  // the card's
  std::unique_ptr<E1000> card;
  uint32_t tail = 0;
};

Frame with_crc(Frame frame) {
  frame.resize(std::max<size_t>(frame.size(), 60));
  const auto crc = static_cast<uint32_t>(crc32(0, frame.data(), static_cast<uInt>(frame.size())));
  frame.insert(frame.end(), reinterpret_cast<const uint8_t*>(&crc),
               reinterpret_cast<const uint8_t*>(&crc) + 4);
  return frame;
}

TEST(E1000, TheEepromByItsWiresAndByItsRegister) {
  Card c;
  uint16_t sum = 0;
  for (unsigned word = 0; word < 64; ++word) {
    c.set(kEerd, word << 8 | kEerdStart);
    ASSERT_NE(c.get(kEerd) & kEerdDone, 0u);
    const auto by_register = static_cast<uint16_t>(c.get(kEerd) >> 16);
    sum = static_cast<uint16_t>(sum + by_register);
    const auto clock = [&](bool in) {
      c.set(kEecd, kEecdSelect | (in ? kEecdIn : 0));
      c.set(kEecd, kEecdSelect | kEecdClock | (in ? kEecdIn : 0));
      return (c.get(kEecd) & kEecdOut) != 0;
    };
    c.set(kEecd, kEecdRequest);
    EXPECT_NE(c.get(kEecd) & kEecdGrant, 0u);
    c.set(kEecd, 0);
    for (int bit = 8; bit >= 0; --bit) clock(((6u << 6 | word) >> bit & 1) != 0);
    uint16_t by_wires = 0;
    for (int bit = 0; bit < 16; ++bit)
      by_wires = static_cast<uint16_t>(by_wires << 1 | clock(false));
    EXPECT_EQ(by_wires, by_register) << word;
    c.set(kEecd, 0);
  }
  EXPECT_EQ(sum, 0xbaba);
  EXPECT_EQ(c.get(kRa), 0x12005452u);
  EXPECT_EQ(c.get(kRa + 4), 0x80005634u);
}

TEST(E1000, ThePhyByMdic) {
  Card c;
  const auto read = [&](unsigned reg) {
    c.set(kMdic, kMdicRead | 1 << 21 | reg << 16);
    return c.get(kMdic);
  };
  EXPECT_EQ(read(2) & (kMdicReady | kMdicError | 0xffff), kMdicReady | 0x0141);
  EXPECT_EQ(read(1) & 0x24, 0x24u);  // link, negotiated
  c.set(kMdic, kMdicWrite | 1 << 21 | 4 << 16 | 0x0101);
  EXPECT_EQ(read(4) & 0xffff, 0x0101u);
  c.set(kIms, kLsc);
  c.set(kMdic, kMdicWrite | 1 << 21 | 0 << 16 | 0x1340);  // negotiate again
  EXPECT_TRUE(c.slot.line);
  EXPECT_EQ(read(0) & 0xffff, 0x1140u);
  c.set(kMdic, kMdicRead | 2 << 21 | 2 << 16);
  EXPECT_NE(c.get(kMdic) & kMdicError, 0u);
}

TEST(E1000, SendsWhatLegacyDescriptorsName) {
  Card c;
  c.start();
  const Frame frame = frame_to(kMac, 100);
  c.place(frame);
  c.describe(static_cast<uint32_t>(kTxData), 0, 60, 0);
  c.describe(static_cast<uint32_t>(kTxData + 60), 0, 40 | kEop | kRs, 0);
  EXPECT_EQ(c.send().frame, frame);
  c.card->quiesce();
  EXPECT_EQ(c.dma.get<uint8_t>(kTxRing + 12), 0);
  EXPECT_EQ(c.dma.get<uint8_t>(kTxRing + 28), 1);
  EXPECT_EQ(c.get(kTdh), 2u);
  EXPECT_TRUE(c.slot.line);
  EXPECT_EQ(c.get(kIcr) & kTxdw, kTxdw);
  EXPECT_FALSE(c.slot.line);
  EXPECT_EQ(c.get(kGptc), 1u);
  EXPECT_EQ(c.get(kGptc), 0u);
}

TEST(E1000, InsertsChecksumsAndTags) {
  Card c;
  c.start();
  c.set(kCtrl, kCtrlVme);
  const Frame frame = frame_to(kMac, 101);
  c.place(frame);
  c.describe(static_cast<uint32_t>(kTxData), 0, 101 | kEop | kIc | 50 << 16, 34 << 8);
  const Frame legacy = c.send().frame;
  Frame expected = frame;
  insert_checksum(expected.data(), expected.size(), 34, 50, expected.size());
  EXPECT_EQ(legacy, expected);
  // A context, and data that use both its checksums and a tag.
  c.describe(14 | 24 << 8 | 33 << 16, 34 | 50 << 8, kDext, 0);
  c.describe(static_cast<uint32_t>(kTxData), 0, 101 | kData | kDext | kEop | kVle,
             3 << 8 | 0x2064u << 16);
  expected = frame;
  insert_checksum(expected.data(), expected.size(), 34, 50, expected.size());
  insert_checksum(expected.data(), expected.size(), 14, 24, 34);
  const uint8_t tag[] = {0x81, 0x00, 0x20, 0x64};
  expected.insert(expected.begin() + 12, tag, tag + 4);
  EXPECT_EQ(c.send().frame, expected);
}

TEST(E1000, SegmentationGoesOnAsOnePacket) {
  Card c;
  c.start();
  Frame frame = frame_to(kMac, 54 + 4000);
  frame[14] = 0x45;
  frame[23] = 6;
  std::memset(&frame[16], 0, 2);  // the length is the card's to know
  std::memset(&frame[24], 0, 2);
  put_big16(&frame[50], 0x1234);  // the pseudo header's sum, without the length
  c.place(frame);
  c.describe(14 | 24 << 8 | 33 << 16, 34 | 50 << 8, 4000 | kDext | kTse | 3u << 24,
             54 << 8 | 1460u << 16);
  c.describe(static_cast<uint32_t>(kTxData), 0, 54 | kData | kDext | kTse, 3 << 8);
  c.describe(static_cast<uint32_t>(kTxData + 54), 0, 4000 | kData | kDext | kTse | kEop, 3 << 8);
  const FakeWire::Sent sent = c.send();
  EXPECT_EQ(sent.header.gso_type, virtio::net::kGsoTcp4);
  EXPECT_EQ(sent.header.gso_size, 1460);
  EXPECT_EQ(sent.header.csum_start, 34);
  EXPECT_EQ(sent.header.csum_offset, 16);
  EXPECT_EQ(big16(&sent.frame[16]), 4040);
  EXPECT_EQ(big16(&sent.frame[50]), ones_sum(&frame[50], 2, 4020));
  EXPECT_EQ(ones_sum(&sent.frame[14], 20), 0xffff);
}

TEST(E1000, ReceivesAndTellsOfIt) {
  Card c;
  c.start();
  const Frame frame = frame_to(kMac, 42);
  c.arrive(frame);
  EXPECT_EQ(c.received(0), with_crc(frame));
  EXPECT_EQ(c.status(0) & 3, 3);
  EXPECT_EQ(c.get(kRdh), 1u);
  EXPECT_TRUE(c.slot.line);
  EXPECT_NE(c.get(kIcr) & kRxt0, 0u);
  // Longer than a buffer of 256 bytes.
  c.set(kRctl, kRctlEnable | 3 << 16 | kRctlStripCrc);
  c.arrive(frame_to(kMac, 600));
  EXPECT_EQ(c.received(1).size(), 256u);
  EXPECT_EQ(c.status(1) & 3, 1);
  EXPECT_EQ(c.received(3).size(), 600u - 512);
  EXPECT_EQ(c.status(3) & 3, 3);
  EXPECT_EQ(c.get(kGprc), 2u);
}

TEST(E1000, Filters) {
  struct Row {
    uint32_t rctl;
    virtio::MacAddress to;
    bool taken;
  };
  const virtio::MacAddress other = {0x52, 0x54, 0, 1, 1, 1}, group = {1, 0, 0x5e, 1, 2, 3},
                           all = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  for (const Row& row : {Row{0, kMac, true},
                         {0, other, false},
                         {kRctlUnicast, other, true},
                         {0, all, false},
                         {kRctlBroadcast, all, true},
                         {0, group, false},
                         {kRctlMulticast, group, true},
                         {3 << 12, group, true}}) {
    Card c;
    c.start();
    // MO 3: the lower 12 bits of bytes 4 and 5, 0x0302.
    if (row.rctl == 3 << 12) c.set(kMta + 0x302 / 32 * 4, 1u << 0x302 % 32);
    c.set(kRctl, kRctlEnable | row.rctl);
    c.arrive(frame_to(row.to, 60));
    EXPECT_EQ(c.get(kRdh), row.taken ? 1u : 0u) << row.rctl;
  }
}

TEST(E1000, VlansAreFilteredAndTheirTagsTaken) {
  Card c;
  c.start();
  c.set(kCtrl, kCtrlVme);
  c.set(kRctl, kRctlEnable | kRctlVlanFilter | kRctlStripCrc);
  Frame frame = frame_to(kMac, 80);
  const uint8_t tag[] = {0x81, 0x00, 0x20, 0x64};
  std::copy(tag, tag + 4, &frame[12]);
  c.arrive(frame);
  EXPECT_EQ(c.get(kRdh), 0u);
  c.set(kVfta + 0x64 / 32 * 4, 1u << 0x64 % 32);
  c.arrive(frame);
  EXPECT_EQ(c.get(kRdh), 1u);
  EXPECT_EQ(c.received(0).size(), 76u);
  EXPECT_NE(c.status(0) & 8, 0);
  EXPECT_EQ(c.dma.get<uint16_t>(kRxRing + 14), 0x2064);
}

TEST(E1000, AFrameWaitsForRoom) {
  Card c;
  c.start();
  for (uint32_t i = 0; i < kRing; ++i) c.arrive(frame_to(kMac, 60, static_cast<uint8_t>(i)));
  EXPECT_TRUE(c.wire->waits());
  EXPECT_EQ(c.get(kRdh), kRing - 1);
  c.set(kRdt, 2);
  while (c.wire->waits()) std::this_thread::yield();
  c.card->quiesce();
  EXPECT_EQ(c.received(kRing - 1), with_crc(frame_to(kMac, 60, kRing - 1)));
}

TEST(E1000, ItrSpacesInterrupts) {
  Card c;
  c.start();
  c.set(kItr, 1000);  // 256 us
  c.set(kIcs, kRxt0);
  EXPECT_TRUE(c.slot.line);
  c.get(kIcr);
  c.set(kIcs, kRxt0);
  EXPECT_FALSE(c.slot.line);
  c.clock.advance(1000 * 16);
  EXPECT_TRUE(c.slot.line);
}

// Whatever a driver writes: nothing is sent, nothing hangs, nothing is touched.
TEST(E1000, RingsThatAreNone) {
  Card c;
  c.start();
  c.set(kTdt, 0xffff);
  c.set(kTdlen, 0);
  c.set(kTdt, 3);
  c.set(kTdlen, kRingBytes);
  c.set(kTdh, 0xfff0);
  c.set(kRdh, 0xffff);
  c.wire->put(frame_to(kMac, 60));
  c.card->quiesce();
  c.card->resume();
  c.set(kRdh, 0);
  c.set(kRdbal, 0);  // no memory there
  c.arrive(frame_to(kMac, 60));
  c.set(kTdh, 0);
  c.set(kTdbal, 0);
  c.set(kTdt, 1);
  c.card->quiesce();
  c.set(kCtrl, kCtrlReset);
  EXPECT_EQ(c.get(kTdt), 0u);
}

TEST(E1000, StateSurvives) {
  Card a, b;
  a.start();
  a.arrive(frame_to(kMac, 60));
  a.place(frame_to(kMac, 100));
  a.describe(static_cast<uint32_t>(kTxData), 0, 60, 0);  // half a frame
  a.set(kTdt, a.tail);
  while (a.get(kTdh) != a.tail) std::this_thread::yield();
  a.card->quiesce();
  b.card->quiesce();
  StateWriter out;
  a.card->save(out);
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.card->load(in));
  EXPECT_EQ(in.left(), 0u);
  EXPECT_TRUE(b.slot.line);
  b.dma.ram = a.dma.ram;
  b.tail = a.tail;
  b.card->resume();
  b.describe(static_cast<uint32_t>(kTxData + 60), 0, 40 | kEop, 0);
  EXPECT_EQ(b.send().frame, frame_to(kMac, 100));
}

}  // namespace
}  // namespace trapline::test
