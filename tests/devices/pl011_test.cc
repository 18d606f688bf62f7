#include "devices/pl011.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>

#include "tests/devices/fake_clock.h"
#include "tests/devices/fake_sink.h"

namespace trapline {
namespace {

enum : uint64_t {
  kDr = 0x00,
  kRsr = 0x04,
  kFr = 0x18,
  kIlpr = 0x20,
  kIbrd = 0x24,
  kFbrd = 0x28,
  kLcrH = 0x2c,
  kCr = 0x30,
  kIfls = 0x34,
  kImsc = 0x38,
  kRis = 0x3c,
  kMis = 0x40,
  kIcr = 0x44,
  kDmacr = 0x48,
};
constexpr uint32_t kRx = 0x10, kTx = 0x20, kRt = 0x40, kFe = 0x80, kBe = 0x200, kOe = 0x400;
constexpr uint32_t kEnabled = 0x301;  // UARTEN, TXE, RXE
constexpr uint32_t kLoopback = 0x381;
constexpr uint32_t kFifos = 0x70;  // 8 bits, FEN

struct Bench {
  Bench() : uart(sink, &line) {
    uart.on_rx_space([this] { ++space_calls; });
  }
  uint64_t get(uint64_t offset, unsigned size = 4) { return uart.read(offset, size, 0).value; }
  void set(uint64_t offset, uint64_t value, unsigned size = 4) {
    uart.write(offset, size, value, 0);
  }
  void receive(const std::string& text) {
    uart.receive({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  // As a driver opens it.
  void open(uint32_t cr = kEnabled) {
    set(kLcrH, kFifos);
    set(kCr, cr);
    set(kImsc, 0x50);
  }
  // As a guest without interrupts: FR, and nothing there.
  void poll(unsigned times) {
    while (times-- > 0) get(kFr);
  }
  // The output takes so many bytes more, and says so.
  void make_room(size_t bytes) {
    sink.set_room(bytes);
    uart.tx_room();
  }
  FakeLine line;
  FakeSink sink;
  unsigned space_calls = 0;
  Pl011 uart;
};

TEST(Pl011, ResetAndWritableBits) {
  struct {
    uint64_t offset, reset, written, expected;
  } rows[] = {
      {kRsr, 0, 0xffff'ffff, 0},
      {kFr, 0x90, 0, 0x90},
      {kIlpr, 0, 0xffff'ffff, 0xff},
      {kIbrd, 0, 0xffff'ffff, 0xffff},
      {kFbrd, 0, 0xffff'ffff, 0x3f},
      {kLcrH, 0, 0xffff'ffff, 0xff},
      {kCr, 0x300, 0xffff'ff7f, 0xff07},
      {kIfls, 0x12, 0xffff'ffff, 0x3f},
      {kImsc, 0, 0xffff'ffff, 0x7ff},
      {kRis, 0, 0xffff'ffff, 0},
      {kMis, 0, 0xffff'ffff, 0},
      {kIcr, 0, 0xffff'ffff, 0},
      {kDmacr, 0, 0xffff'ffff, 7},
      {0x08, 0, 0xffff'ffff, 0},
      {0x80, 0, 0xffff'ffff, 0},
      {0xfe0, 0x11, 0, 0x11},
      {0xfe4, 0x10, 0, 0x10},
      {0xfe8, 0x14, 0, 0x14},  // revision 1: 16-deep FIFOs
      {0xfec, 0, 0, 0},
      {0xff0, 0x0d, 0, 0x0d},
      {0xff4, 0xf0, 0, 0xf0},
      {0xff8, 0x05, 0, 0x05},
      {0xffc, 0xb1, 0, 0xb1},
  };
  for (const auto& row : rows) {
    Bench b;
    EXPECT_EQ(b.get(row.offset), row.reset) << std::hex << row.offset;
    b.set(row.offset, row.written);
    EXPECT_EQ(b.get(row.offset), row.expected) << std::hex << row.offset;
    b.uart.reset();
    EXPECT_EQ(b.get(row.offset), row.reset) << std::hex << row.offset;
  }
}

TEST(Pl011, TransmitsAtOnceEnabledOrNot) {
  Bench b;
  for (char c : std::string("early")) b.set(kDr, static_cast<uint8_t>(c));
  EXPECT_EQ(b.sink.text(), "early");
  EXPECT_EQ(b.get(kFr) & 0xa8, 0x80u);  // empty, not full, not busy
}

TEST(Pl011, TransmitInterruptAfterAByte) {
  Bench b;
  b.open();
  b.set(kImsc, kTx);
  EXPECT_FALSE(b.line.level);  // only a drain raises it, not an empty FIFO
  b.set(kDr, 'x');
  EXPECT_TRUE(b.line.level);
  EXPECT_EQ(b.get(kMis), kTx);
  b.set(kIcr, kTx);
  EXPECT_FALSE(b.line.level);
  b.set(kDr, 'y');
  EXPECT_TRUE(b.line.level);
  b.set(kImsc, 0);
  EXPECT_FALSE(b.line.level);
  EXPECT_EQ(b.get(kRis), kTx);
  EXPECT_EQ(b.get(kMis), 0u);
}

TEST(Pl011, ReceiveTriggerLevels) {
  constexpr unsigned kLevels[] = {2, 4, 8, 12, 14};
  for (unsigned select = 0; select < 5; ++select) {
    Bench b;
    b.open();
    b.set(kIfls, select << 3);
    for (unsigned n = 1; n <= 16; ++n) {
      b.receive("a");
      EXPECT_EQ(b.get(kRis) & kRx, n >= kLevels[select] ? kRx : 0u) << select << " " << n;
      EXPECT_EQ(b.get(kRis) & kRt, kRt);
    }
    EXPECT_EQ(b.get(kFr) & 0x50, 0x40u);  // full
    for (unsigned n = 15; n > 0; --n) {
      EXPECT_EQ(b.get(kDr), unsigned{'a'});
      EXPECT_EQ(b.get(kRis) & kRx, n >= kLevels[select] ? kRx : 0u) << select << " " << n;
      EXPECT_TRUE(b.line.level);
    }
    b.get(kDr);
    EXPECT_FALSE(b.line.level);
    EXPECT_EQ(b.get(kFr) & 0x50, 0x10u);  // empty
    EXPECT_EQ(b.get(kDr), 0u);
  }
}

TEST(Pl011, ABurstAtTheTriggerIsNotATimeout) {
  Bench b;
  b.open();
  b.receive("12345678");
  EXPECT_EQ(b.get(kRis), kRx);
  b.get(kDr);
  EXPECT_EQ(b.get(kRis), kRt);  // below the trigger: the rest would time out
  b.set(kIcr, kRt);
  EXPECT_FALSE(b.line.level);
  b.get(kDr);
  EXPECT_EQ(b.get(kRis), kRt);
}

TEST(Pl011, WithoutFifosItHoldsOneByte) {
  Bench b;
  b.set(kLcrH, 0x60);
  b.set(kCr, kEnabled);
  b.set(kImsc, kRx);
  EXPECT_EQ(b.uart.rx_space(), 1u);
  b.receive("a");
  EXPECT_EQ(b.get(kRis), kRx);
  EXPECT_EQ(b.get(kFr) & 0x50, 0x40u);
  EXPECT_EQ(b.uart.rx_space(), 0u);
  EXPECT_EQ(b.get(kDr), unsigned{'a'});
  EXPECT_EQ(b.get(kRis), 0u);
}

TEST(Pl011, OverrunMarksTheNextByte) {
  Bench b;
  b.open();
  b.set(kImsc, kOe);
  b.receive("0123456789abcdefXY");
  EXPECT_EQ(b.get(kRis) & kOe, kOe);
  EXPECT_TRUE(b.line.level);
  EXPECT_EQ(b.get(kRsr), 8u);
  b.set(kRsr, 0);
  EXPECT_EQ(b.get(kRsr), 0u);
  for (char c : std::string("0123456789abcdef")) EXPECT_EQ(b.get(kDr), static_cast<uint8_t>(c));
  b.receive("Z!");
  EXPECT_EQ(b.get(kDr), 0x800u | 'Z');
  EXPECT_EQ(b.get(kRsr), 8u);
  EXPECT_EQ(b.get(kDr), unsigned{'!'});
  EXPECT_EQ(b.get(kRsr), 0u);
}

TEST(Pl011, Break) {
  Bench b;
  b.open();
  b.uart.receive_break();
  EXPECT_EQ(b.get(kRis), kBe | kFe | kRt);
  EXPECT_EQ(b.get(kDr), 0x500u);
  EXPECT_EQ(b.get(kRsr), 5u);
}

TEST(Pl011, NothingIsReceivedBeforeItIsEnabled) {
  Bench b;
  EXPECT_EQ(b.uart.rx_space(), 0u);
  b.receive("lost");
  EXPECT_EQ(b.get(kFr) & 0x10, 0x10u);
  b.set(kCr, 0x101);  // as Linux' console: transmit only
  b.set(kDr, 'x');
  EXPECT_EQ(b.uart.rx_space(), 0u);
  EXPECT_EQ(b.space_calls, 0u);
  b.open();
  EXPECT_EQ(b.space_calls, 1u);
  EXPECT_EQ(b.uart.rx_space(), 16u);
}

TEST(Pl011, AGuestThatNeverEnablesItIsServedAllTheSame) {
  for (bool writes : {false, true}) {
    Bench b;
    if (writes) b.set(kDr, '>');
    EXPECT_EQ(b.uart.rx_space(), 0u);
    b.poll(3);
    EXPECT_EQ(b.space_calls, 1u);
    EXPECT_EQ(b.uart.rx_space(), 1u);
    b.receive("k");
    EXPECT_EQ(b.get(kDr), unsigned{'k'});
  }
}

// Linux from its first message on: the console turns the receiver on to print, the driver empties
// the FIFO when it starts, and unmasks a receive interrupt then.
TEST(Pl011, InputIsHeldWhileLinuxBoots) {
  Bench b;
  for (int n = 0; n < 100; ++n) {  // earlycon: TXFF, the byte, BUSY
    b.get(kFr);
    b.set(kDr, 'e');
    b.get(kFr);
  }
  b.set(kImsc, 0);
  b.set(kIcr, 0xffff);
  for (int message = 0; message < 100; ++message) {
    const uint64_t cr = b.get(kCr);
    EXPECT_EQ(cr, 0x300u);  // RXE is 1 after reset
    b.set(kCr, cr | 0x101);
    for (char c : std::string("[    0.000000] text\r\n")) {
      b.get(kFr);
      b.set(kDr, static_cast<uint8_t>(c));
    }
    b.get(kFr);
    EXPECT_EQ(b.uart.rx_space(), 0u);
    b.set(kCr, cr);
  }
  b.set(kIcr, 0x7f0);
  b.set(kImsc, kRx | kRt);  // pl011_hwinit() does, with the UART off
  EXPECT_EQ(b.uart.rx_space(), 0u);
  b.set(kImsc, 0);
  b.set(kIfls, 0x12);
  b.set(kCr, 0x301);
  b.get(kFr);  // modem status
  b.set(kIcr, kRx | kRt);
  EXPECT_EQ(b.get(kFr) & 0x10, 0x10u);  // nothing to throw away
  EXPECT_EQ(b.uart.rx_space(), 0u);
  EXPECT_EQ(b.space_calls, 0u);
  b.set(kImsc, kRx | kRt);
  EXPECT_EQ(b.space_calls, 1u);
  EXPECT_EQ(b.uart.rx_space(), 1u);
  b.receive("u");
  b.set(kLcrH, kFifos);  // set_termios: the byte stays
  EXPECT_EQ(b.get(kDr), unsigned{'u'});
  EXPECT_EQ(b.uart.rx_space(), 16u);
  // Reboot: the next kernel starts as this one did.
  b.uart.reset();
  EXPECT_EQ(b.uart.rx_space(), 0u);
  b.set(kCr, 0x301);
  EXPECT_EQ(b.uart.rx_space(), 0u);
}

TEST(Pl011, AGuestThatPollsIsServed) {
  struct {
    const char* name;
    void (*access)(Bench&);
    bool served;
  } rows[] = {
      {"one look", [](Bench& b) { b.poll(1); }, false},
      {"a loop", [](Bench& b) { b.poll(3); }, true},
      {"EDK2: CR between",
       [](Bench& b) {
         for (int n = 0; n < 3; ++n) b.get(kFr), b.get(kCr);
       },
       true},
      {"printing",
       [](Bench& b) {
         for (int n = 0; n < 9; ++n) b.poll(2), b.set(kDr, 'x');
       },
       false},
      {"DR without a look", [](Bench& b) { b.get(kDr); }, true},
      {"off again", [](Bench& b) { b.poll(3), b.set(kCr, 0x300), b.set(kCr, 0x301); }, false},
      {"a driver comes", [](Bench& b) { b.poll(3), b.set(kImsc, 0); }, false},
      {"on, then off", [](Bench& b) { b.set(kCr, 0x101), b.poll(9); }, false},
  };
  for (const auto& row : rows) {
    Bench b;
    b.set(kLcrH, kFifos);
    b.set(kCr, kEnabled);
    row.access(b);
    EXPECT_EQ(b.uart.rx_space(), row.served ? 16u : 0u) << row.name;
    EXPECT_EQ(b.space_calls != 0, row.served || std::string(row.name) == "off again" ||
                                      std::string(row.name) == "a driver comes")
        << row.name;
  }
}

// --- an output that is full ---

TEST(Pl011, FullOutputFillsTheFifo) {
  Bench b;
  b.open();
  b.sink.set_room(3);
  b.set(kImsc, kTx);
  for (unsigned n = 0; n < 3 + 16; ++n) {
    EXPECT_EQ(b.get(kFr) & 0x20, 0u) << n;  // TXFF
    b.set(kDr, 'a' + n);
    b.set(kIcr, n == 2 ? kTx : 0);
  }
  EXPECT_EQ(b.get(kFr) & 0xa8, 0x28u);  // full, busy, not empty
  EXPECT_EQ(b.get(kRis) & kTx, 0u);     // claims no room
  EXPECT_FALSE(b.line.level);
  b.make_room(7);
  EXPECT_EQ(b.get(kFr) & 0xa8, 0x08u);
  EXPECT_EQ(b.get(kRis) & kTx, 0u);  // 9 are left, the trigger is at 8
  b.make_room(1);
  EXPECT_EQ(b.get(kRis) & kTx, kTx);
  EXPECT_TRUE(b.line.level);
  b.make_room(100);
  EXPECT_EQ(b.get(kFr) & 0xa8, 0x80u);
  EXPECT_EQ(b.sink.text(), "abcdefghijklmnopqrs");
  EXPECT_EQ(b.uart.tx_overruns(), 0u);
}

TEST(Pl011, TransmitTriggerLevels) {
  constexpr unsigned kLevels[] = {2, 4, 8, 12, 14};
  for (unsigned select = 0; select < 5; ++select) {
    Bench b;
    b.open();
    b.set(kIfls, select);
    b.sink.set_room(0);
    for (unsigned n = 0; n < 16; ++n) b.set(kDr, 'x');
    for (unsigned left = 15; left > 0; --left) {
      b.make_room(1);
      EXPECT_EQ(b.get(kRis) & kTx, left <= kLevels[select] ? kTx : 0u) << select << " " << left;
    }
    for (unsigned n = 1; n <= 16; ++n) {
      b.set(kDr, 'y');  // to the one that is left
      EXPECT_EQ(b.get(kRis) & kTx, n + 1 <= kLevels[select] ? kTx : 0u) << select << " " << n;
      if (n == 15) break;
    }
  }
}

TEST(Pl011, WithoutFifosTheTransmitterHoldsOneByte) {
  Bench b;
  b.sink.set_room(0);
  b.set(kDr, '1');
  EXPECT_EQ(b.get(kFr) & 0xa8, 0x28u);
  EXPECT_EQ(b.get(kRis) & kTx, 0u);
  b.make_room(1);
  EXPECT_EQ(b.get(kFr) & 0xa8, 0x80u);
  EXPECT_EQ(b.get(kRis) & kTx, kTx);
}

TEST(Pl011, WhoDoesNotLookLosesNothing) {
  Bench b;
  b.open();
  b.sink.set_room(0);
  std::string all;
  for (unsigned n = 0; n < 40; ++n) {
    all.push_back(static_cast<char>('0' + n));
    b.set(kDr, '0' + n);
  }
  EXPECT_EQ(b.uart.tx_overruns(), 2u);  // every 17th finds it full
  EXPECT_EQ(b.sink.forced(), 34u);
  b.make_room(100);
  EXPECT_EQ(b.sink.text(), all);
}

TEST(Pl011, WhatWasWrittenSurvivesResetAndFen) {
  Bench b;
  b.open();
  b.sink.set_room(0);
  for (char c : std::string("last words")) b.set(kDr, static_cast<uint8_t>(c));
  b.set(kLcrH, 0x60);
  EXPECT_EQ(b.get(kFr) & 0xa8, 0x28u);  // more than it holds now
  StateWriter out;
  b.uart.save(out);
  b.uart.reset();
  EXPECT_EQ(b.get(kFr) & 0xa8, 0x28u);
  b.make_room(100);
  EXPECT_EQ(b.sink.text(), "last words");
  EXPECT_EQ(b.get(kFr), 0x90u);
  Bench c;
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(c.uart.load(in));
  EXPECT_EQ(c.sink.text(), "last words");
}

TEST(Pl011, TellsWhenThereIsSpaceAgain) {
  Bench b;
  b.open();
  b.space_calls = 0;
  b.receive(std::string(15, 'a'));
  b.get(kDr);
  EXPECT_EQ(b.space_calls, 0u);
  b.receive("aa");
  EXPECT_EQ(b.uart.rx_space(), 0u);
  b.get(kDr);
  EXPECT_EQ(b.space_calls, 1u);
  b.get(kDr);
  EXPECT_EQ(b.space_calls, 1u);
}

TEST(Pl011, Loopback) {
  Bench b;
  b.open(kLoopback);
  b.set(kDr, 'q');
  EXPECT_EQ(b.sink.text(), "");
  EXPECT_EQ(b.get(kDr), unsigned{'q'});
  EXPECT_EQ(b.uart.rx_space(), 0u);
  b.receive("not heard");
  EXPECT_EQ(b.get(kFr) & 0x10, 0x10u);
  // Modem outputs drive the inputs, whose changes are interrupts.
  b.set(kIcr, 0x7ff);
  b.set(kCr, kLoopback | 0x0c00);  // DTR, RTS
  EXPECT_EQ(b.get(kFr) & 0x107, 3u);
  EXPECT_EQ(b.get(kRis), 0xau);
  b.set(kIcr, 0x7ff);
  b.set(kCr, kLoopback | 0x3000);  // Out1, Out2
  EXPECT_EQ(b.get(kFr) & 0x107, 0x104u);
  EXPECT_EQ(b.get(kRis), 0xfu);
  b.set(kLcrH, kFifos | 1);  // a break
  EXPECT_EQ(b.get(kDr), 0x500u);
  b.set(kCr, kEnabled);
  EXPECT_EQ(b.get(kFr) & 0x107, 0u);
}

TEST(Pl011, AccessSizes) {
  Bench b;
  b.open();
  b.receive("abc");
  EXPECT_EQ(b.get(kDr, 1), unsigned{'a'});
  EXPECT_EQ(b.get(kDr, 2), unsigned{'b'});
  EXPECT_EQ(b.get(kDr + 1, 1), 0u);  // another byte lane: no pop
  EXPECT_EQ(b.get(kDr + 2, 4), 0u);
  EXPECT_EQ(b.get(kDr, 8), uint64_t{'c'});  // DR, then RSR
  b.set(kDr, 0x1234'5678'0000'0041, 8);
  b.set(kDr, 'B', 1);
  EXPECT_EQ(b.sink.text(), "AB");
  b.set(kIbrd, 0x0000'0015'0000'0010, 8);
  EXPECT_EQ(b.get(kIbrd, 8), 0x15'0000'0010u);
}

// What Linux' driver does: probe, open, type, close.
TEST(Pl011, LinuxDriverLife) {
  Bench b;
  EXPECT_EQ(b.get(0xfe0) | b.get(0xfe4) << 8 | b.get(0xfe8) << 16 | b.get(0xfec) << 24, 0x141011u);
  b.set(kImsc, 0);
  b.set(kIcr, 0x7ff);
  b.set(kIfls, 0x12);
  b.set(kLcrH, kFifos);
  b.set(kCr, kEnabled | 0xc00);
  b.set(kIcr, kRt | kRx);
  while ((b.get(kFr) & 0x10) == 0) b.get(kDr);
  b.set(kImsc, kRt | kRx);
  b.receive("l");
  EXPECT_TRUE(b.line.level);
  const uint64_t status = b.get(kRis) & b.get(kImsc);
  EXPECT_EQ(status, kRt);
  b.set(kIcr, status & ~(kTx | kRt | kRx));
  while ((b.get(kFr) & 0x10) == 0) EXPECT_EQ(b.get(kDr) & 0xf00, 0u);
  EXPECT_FALSE(b.line.level);
  b.set(kImsc, kRt | kRx | kTx);
  for (int n = 0; n < 16; ++n) b.set(kDr, 'o');
  EXPECT_TRUE(b.line.level);
  b.set(kImsc, kRt | kRx);
  EXPECT_FALSE(b.line.level);
  EXPECT_EQ(b.sink.text(), std::string(16, 'o'));
}

TEST(Pl011, SaveAndLoad) {
  Bench a;
  a.open();
  a.receive("0123456789");
  a.get(kDr);
  a.set(kIbrd, 13);
  StateWriter out;
  a.uart.save(out);
  Bench b;
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.uart.load(in));
  EXPECT_TRUE(b.line.level);
  EXPECT_EQ(b.get(kIbrd), 13u);
  for (char c : std::string("123456789")) EXPECT_EQ(b.get(kDr), static_cast<uint8_t>(c));
  EXPECT_EQ(b.uart.rx_space(), 16u);
  for (size_t size = 0; size < out.buffer().size(); ++size) {
    StateReader truncated(out.buffer().data(), size);
    EXPECT_FALSE(b.uart.load(truncated));
  }
  b.uart.reset();
  EXPECT_FALSE(b.line.level);
}

TEST(Pl011, Names) {
  Bench b;
  EXPECT_EQ(b.uart.register_name(kDr), "UARTDR");
  EXPECT_EQ(b.uart.register_name(kFr), "UARTFR");
  EXPECT_EQ(b.uart.register_name(0xfe4), "UARTPeriphID");
  EXPECT_EQ(b.uart.register_name(0x100), "");
}

TEST(Pl011, AnyAccessAndAnyStateAreDefined) {
  std::mt19937_64 random(2);
  for (unsigned round = 0; round < 20; ++round) {
    Bench b;
    std::vector<uint8_t> state(200);
    for (uint8_t& byte : state) byte = static_cast<uint8_t>(random());
    state[0] = 2;
    state[1] = state[2] = state[3] = 0;
    StateReader in(state.data(), state.size());
    b.uart.load(in);
    for (unsigned n = 0; n < 5'000; ++n) {
      const unsigned size = 1u << random() % 4;
      const uint64_t offset = random() % (n % 8 == 0 ? 0x1000 : 0x50);
      b.get(offset, size);
      b.set(offset, random(), size);
      if (n % 32 == 0) b.sink.set_room(random() % 64);
      if (n % 8 == 0) b.uart.tx_room();
      if (n % 16 == 0) b.receive(std::string(random() % 40, 'r'));
      b.uart.register_name(offset);
    }
  }
}

TEST(Pl011, GuestAndOutputOnTwoThreads) {
  Bench b;
  b.open();
  b.sink.set_room(0);
  std::atomic<bool> done{false};
  std::thread output([&] {
    while (!done) {
      b.make_room(5);
      std::this_thread::yield();
    }
    b.make_room(100);
  });
  std::string all;
  for (unsigned n = 0; n < 5'000; ++n) {
    while ((b.get(kFr) & 0x20) != 0) std::this_thread::yield();
    all.push_back(static_cast<char>('a' + n % 26));
    b.set(kDr, 'a' + n % 26);
  }
  done = true;
  output.join();
  EXPECT_EQ(b.sink.text(), all);
  EXPECT_EQ(b.sink.forced(), 0u);
}

TEST(Pl011, ReceiverAndGuestOnTwoThreads) {
  Bench b;
  b.open();
  std::string got;
  std::thread sender([&] {
    for (unsigned n = 0; n < 2'000;) {
      if (b.uart.rx_space() == 0) {
        std::this_thread::yield();
        continue;
      }
      b.receive(std::string(1, static_cast<char>('a' + n % 26)));
      ++n;
    }
  });
  while (got.size() < 2'000) {
    if ((b.get(kFr) & 0x10) != 0) {
      std::this_thread::yield();
      continue;
    }
    got.push_back(static_cast<char>(b.get(kDr)));
  }
  sender.join();
  for (unsigned n = 0; n < got.size(); ++n) ASSERT_EQ(got[n], static_cast<char>('a' + n % 26));
}

}  // namespace
}  // namespace trapline
