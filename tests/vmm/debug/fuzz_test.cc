// Random clients: pieces of real packets, cut, joined and mutated, while vCPUs stop at random. No
// answer may be without bound, and the fake machine sees to it that no running vCPU is touched.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/vmm/debug/fake_debuggee.h"
#include "vmm/debug/gdb_session.h"

namespace trapline {
namespace {

constexpr const char* kWords[] = {"?",
                                  "g",
                                  "G",
                                  "p",
                                  "P",
                                  "m",
                                  "M",
                                  "X",
                                  "c",
                                  "C",
                                  "s",
                                  "S",
                                  "H",
                                  "Hg",
                                  "Hc",
                                  "T",
                                  "Z0",
                                  "Z1",
                                  "Z2",
                                  "Z3",
                                  "Z4",
                                  "z0",
                                  "z2",
                                  "D",
                                  "k",
                                  "v",
                                  "vCont",
                                  "vCont?",
                                  ";c",
                                  ";s",
                                  ";C05",
                                  ";S0",
                                  ":1",
                                  ":-1",
                                  ":0",
                                  ":4",
                                  ":5",
                                  "vKill;",
                                  "vAttach;",
                                  "q",
                                  "qC",
                                  "qSupported:swbreak+",
                                  "qRcmd,",
                                  "qfThreadInfo",
                                  "qThreadExtraInfo,",
                                  "qXfer:features:read:target.xml:",
                                  "QStartNoAckMode",
                                  "40080000",
                                  "40300000",
                                  "ffffffffffffffff",
                                  "0",
                                  "1",
                                  "8",
                                  "1000",
                                  ",",
                                  "=",
                                  ":",
                                  ";",
                                  "0011223344556677",
                                  "7472616e736c6174652034303038303030",
                                  "}",
                                  "#",
                                  "$",
                                  "\x03",
                                  "+",
                                  "-"};

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  unsigned below(unsigned n) { return static_cast<unsigned>(engine_() % n); }

  std::string body() {
    std::string out;
    for (unsigned i = below(6); i-- > 0;) out += kWords[below(std::size(kWords))];
    if (!out.empty() && below(8) == 0) out[below(out.size())] = static_cast<char>(below(256));
    return out;
  }

 private:
  std::mt19937 engine_;
};

TEST(GdbFuzz, ManyClients) {
  constexpr unsigned kClients = 3000, kSteps = 40;
  constexpr size_t kMostPackets = 16, kLongest = kGdbMaxPacket + 16;
  Random random(18);
  FakeDebuggee machine(4);
  GdbSession session(machine);
  unsigned answered = 0, refused = 0;
  for (unsigned client = 0; client < kClients; ++client) {
    GdbFraming framing;
    for (unsigned step = 0; step < kSteps; ++step) {
      if (!machine.halted && random.below(3) == 0) {
        DebugStop stop{.signal = random.below(4) == 0 ? 11 : 5};
        stop.watched = random.below(4) == 0;
        stop.address = 0x4030'0000 + random.below(16);
        stop.is_write = random.below(2) == 0;
        for (unsigned n = random.below(4); n-- > 0;) session.note(random.below(4), stop);
        EXPECT_LE(session.stopped().size(), 1u);
      }
      const std::string body = random.body();
      framing.feed(random.below(16) == 0 ? body : gdb_frame(body));
      GdbFraming::Item item = framing.next();
      for (; item.kind != GdbFraming::Kind::kMore && item.kind != GdbFraming::Kind::kRefused;
           item = framing.next()) {
        GdbSession::Packets packets;
        if (item.kind == GdbFraming::Kind::kPacket) packets = session.handle(item.body);
        if (item.kind == GdbFraming::Kind::kInterrupt) packets = session.interrupt();
        EXPECT_LE(packets.size(), kMostPackets);
        for (const std::string& packet : packets) EXPECT_LE(packet.size(), kLongest);
        answered += packets.size();
        if (session.closing()) break;
        EXPECT_EQ(session.running(), !machine.halted && session.open());
      }
      refused += item.kind == GdbFraming::Kind::kRefused;
      if (session.closing() || item.kind == GdbFraming::Kind::kRefused) break;
    }
    session.end();
    machine.halted = true;
    if (HasFailure()) return;
  }
  // It got somewhere.
  EXPECT_GT(answered, kClients);
  EXPECT_GT(refused, kClients / 20);
}

}  // namespace
}  // namespace trapline
