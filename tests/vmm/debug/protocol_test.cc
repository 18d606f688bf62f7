#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "vmm/debug/gdb_protocol.h"

namespace trapline {
namespace {

using Kind = GdbFraming::Kind;

// "P(body)", "^C", "nack", "corrupt", "refused": everything up to kMore or kRefused.
std::string items(GdbFraming& framing) {
  std::string out;
  for (;;) {
    const GdbFraming::Item item = framing.next();
    switch (item.kind) {
      case Kind::kMore:
        return out;
      case Kind::kPacket:
        out += "P(" + item.body + ")";
        break;
      case Kind::kInterrupt:
        out += "^C";
        break;
      case Kind::kNack:
        out += "nack";
        break;
      case Kind::kCorrupt:
        out += "corrupt";
        break;
      case Kind::kRefused:
        return out + "refused";
    }
  }
}

TEST(GdbFraming, TakesBytesApart) {
  const struct {
    std::string_view bytes, items;
  } kCases[] = {
      {"", ""},
      {"+", ""},
      {"+$?#3f", "P(?)"},
      {"$?#3f+$g#67", "P(?)P(g)"},
      {"$#00", "P()"},
      {"\x03", "^C"},
      {"$c#63\x03", "P(c)^C"},
      {"-", "nack"},
      {"$?#3F", "P(?)"},
      {"$?#40", "corrupt"},
      {"$?#40$?#3f", "corruptP(?)"},
      // Not finished yet.
      {"$", ""},
      {"$?", ""},
      {"$?#", ""},
      {"$?#3", ""},
      // Not the protocol.
      {"POST / HTTP/1.1\r\n\r\n$k#6b", "refused"},
      {"GET /?$k#6b", "refused"},
      {"\r\n", "refused"},
      {std::string_view("\0", 1), "refused"},
      {"$?#3fx", "P(?)refused"},
      {"$?#3f\n$k#6b", "P(?)refused"},
      {"$g$k#6b", "refused"},
      {"$?#zz", "refused"},
      {"+++ATH0", "refused"},
  };
  for (const auto& c : kCases) {
    GdbFraming whole;
    whole.feed(c.bytes);
    EXPECT_EQ(items(whole), c.items) << c.bytes;
    // The same byte by byte.
    GdbFraming pieces;
    std::string out;
    for (char byte : c.bytes) {
      pieces.feed({&byte, 1});
      out += items(pieces);
      if (out.ends_with("refused")) break;
    }
    EXPECT_EQ(out, c.items) << c.bytes;
  }
}

TEST(GdbFraming, OnceRefusedStaysRefused) {
  GdbFraming framing;
  framing.feed("x");
  EXPECT_EQ(items(framing), "refused");
  framing.feed("$?#3f");
  EXPECT_EQ(items(framing), "refused");
}

TEST(GdbFraming, WrongChecksumIsRefusedWithoutAcknowledgements) {
  GdbFraming framing;
  framing.no_acknowledgements();
  framing.feed("$?#3f$?#40");
  EXPECT_EQ(items(framing), "P(?)refused");
}

TEST(GdbFraming, PacketSizeIsBounded) {
  const std::string largest(kGdbMaxPacket, 'm');
  GdbFraming fits;
  fits.feed(gdb_frame(largest));
  EXPECT_EQ(items(fits), "P(" + largest + ")");
  GdbFraming exceeds;
  exceeds.feed("$" + largest);
  EXPECT_EQ(items(exceeds), "");
  exceeds.feed("m");
  EXPECT_EQ(items(exceeds), "refused");
}

TEST(GdbProtocol, Frame) {
  EXPECT_EQ(gdb_frame("OK"), "$OK#9a");
  EXPECT_EQ(gdb_frame(""), "$#00");
}

TEST(GdbProtocol, Hex) {
  const uint8_t bytes[] = {0x00, 0xa5, 0xff};
  EXPECT_EQ(to_hex(bytes, 3), "00a5ff");
  uint8_t out[3] = {};
  EXPECT_TRUE(from_hex("00A5ff", out, 3));
  EXPECT_EQ(std::vector<uint8_t>(out, out + 3), std::vector<uint8_t>(bytes, bytes + 3));
  for (const char* wrong : {"", "0", "00a5f", "00a5fg", "00a5 f"}) {
    EXPECT_FALSE(from_hex(wrong, out, 3)) << wrong;
  }
}

TEST(GdbProtocol, Unescape) {
  EXPECT_EQ(gdb_unescape("a}\x03z}]"), "a#z}");
  EXPECT_EQ(gdb_unescape("}"), "}");
}

TEST(GdbCursor, Numbers) {
  uint64_t value = 0;
  GdbCursor at("ffffffffffffffff,10");
  EXPECT_TRUE(at.number(value));
  EXPECT_EQ(value, ~uint64_t{0});
  EXPECT_FALSE(at.number(value));
  EXPECT_TRUE(at.eat(','));
  EXPECT_TRUE(at.number(value));
  EXPECT_EQ(value, 0x10);
  EXPECT_TRUE(at.done());
  for (const char* wrong : {"", "-1", "+1", " 1", "g", "10000000000000000"}) {
    GdbCursor cursor(wrong);
    EXPECT_FALSE(cursor.number(value)) << wrong;
  }
}

}  // namespace
}  // namespace trapline
