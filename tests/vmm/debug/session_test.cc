#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/vmm/debug/fake_debuggee.h"
#include "vmm/debug/gdb_session.h"

namespace trapline {
namespace {

using soft::kCode;
using soft::kData;
using soft::kDevice;

constexpr DebugStop kBreakpoint{.signal = 5}, kStepped{.signal = 5, .stepped = true},
    kCrashed{.signal = 11};
DebugStop watched(uint64_t address, bool is_write) {
  return {.signal = 5, .watched = true, .address = address, .is_write = is_write};
}

class GdbSessionTest : public ::testing::Test {
 protected:
  GdbSessionTest() : machine(4), session(machine) {
    for (unsigned i = 0; i < 4; ++i) machine.bench.cpu(i).pc = kCode;
    session.begin();
  }
  // The only packet of the answer; "-" if there is none.
  std::string ask(std::string_view packet) { return only(session.handle(packet)); }
  static std::string only(const GdbSession::Packets& packets) {
    EXPECT_LE(packets.size(), 1u);
    return packets.empty() ? "-" : packets[0];
  }
  std::string monitor(const std::string& line) {
    std::string text;
    for (const std::string& packet : session.handle("qRcmd," + to_hex(line.data(), line.size()))) {
      if (packet == "OK") return text;
      EXPECT_EQ(packet[0], 'O');
      std::string piece(packet.size() / 2, '\0');
      EXPECT_TRUE(from_hex(std::string_view(packet).substr(1), piece.data(), piece.size()));
      text += piece;
    }
    return "no end";
  }
  void stop(unsigned cpu, uint64_t pc, const DebugStop& why) {
    machine.bench.cpu(cpu).pc = pc;
    session.note(cpu, why);
  }

  FakeDebuggee machine;
  GdbSession session;
};

TEST_F(GdbSessionTest, AnswersAsTheProtocolSays) {
  const struct {
    std::string_view packet, answer;
  } kCases[] = {
      {"", ""},
      {"?", "T05thread:1;"},
      {"vMustReplyEmpty", ""},
      {"!", ""},
      {"R00", ""},
      {"vAttach;1", "T05thread:1;"},
      {"qC", "QC1"},
      {"qAttached", "1"},
      {"qfThreadInfo", "m1,2,3,4"},
      {"qsThreadInfo", "l"},
      {"qThreadExtraInfo,2", "7663707520313a2072756e73"},
      {"qThreadExtraInfo,5", "E16"},
      {"T4", "OK"},
      {"T5", "E16"},
      {"T0", "E16"},
      {"vCont?", "vCont;c;C;s;S"},
      {"Hg4", "OK"},
      {"qC", "QC4"},
      {"Hg0", "OK"},
      {"qC", "QC4"},
      {"Hg5", "E16"},
      {"Hc-1", "OK"},
      {"Hc-2", "E16"},
      {"Hx1", "E16"},
      {"H", "E16"},
      {"p", "E16"},
      {"p20", "0000084000000000"},
      {"p1000", "E16"},
      {"pffffffffffffffff", "E16"},
      {"P0", "E16"},
      {"P0=12", "E16"},
      {"P0=7856341200000000", "OK"},
      {"p0", "7856341200000000"},
      {"P42=1f000000", "OK"},  // FPSR
      {"p42", "1f000000"},
      {"P43=00000001", "OK"},  // FPCR
      {"p43", "00000001"},
      {"m", "E16"},
      {"m40300000", "E16"},
      {"m40300000,4,", "E16"},
      {"M40300000,4:01020304", "OK"},
      {"m40300000,4", "01020304"},
      {"M40300000,4:010203", "E16"},
      {"M40300000,4:0102030g", "E16"},
      {"Mffffffffffffffff,1:00", "E0e"},
      {"X40300000,0:", "OK"},
      {"X40300000,2:a}]", "OK"},
      {"X40300000,2:a", "E16"},
      {"m40300000,4", "617d0304"},
      {"m9000000,4", "E0e"},    // a device
      {"m43fffffe,4", "0000"},  // up to the end of RAM
      {"mffffffffffffffff,ffffffffffffffff", "E0e"},
      {"Z0,40080000,4", "OK"},
      {"z0,40080000,4", "OK"},
      {"z0,40080000,4", "OK"},
      {"Z2,40300000,0", "E16"},
      {"Z2,ffffffffffffffff,2", "E16"},
      {"Z5,0,4", ""},
      {"Z", "E16"},
      {"Z0", "E16"},
      {"qXfer:features:read:other.xml:0,10", "E16"},
      {"qXfer:features:read:target.xml:ffffff,10", "l"},
      {"qXfer:features:read:target.xml:0,5", "m<?xml"},
      {"qXfer:features:read:target.xml:0", "E16"},
      {"qRcmd,6", "E16"},
      {"qRcmd,zz", "E16"},
      {"Cgg", "E16"},
      {"c1g", "E16"},
      {"vCont", "E16"},
      {"vCont;", "E16"},
      {"vCont;x", "E16"},
      {"vCont;c:9", "E16"},
      {"vCont;c:1:2", "E16"},
      {"QStartNoAckMode", "OK"},
  };
  for (const auto& c : kCases) EXPECT_EQ(ask(c.packet), c.answer) << c.packet;
  EXPECT_FALSE(session.acknowledges());
  EXPECT_EQ(machine.resumes, 0u);
}

TEST_F(GdbSessionTest, AllRegistersAtOnce) {
  const std::string all = ask("g");
  ASSERT_EQ(all.size(), 2u * (33 * 8 + 4 + 32 * 16 + 8));
  std::string changed = all;
  changed.replace(0, 16, "ef00000000000000");                    // x0
  changed.replace(2 * (33 * 8 + 4), 4, "0102");                  // v0
  changed.replace(changed.size() - 16, 16, "1f00000000000001");  // fpsr, fpcr
  EXPECT_EQ(ask("G" + changed), "OK");
  EXPECT_EQ(ask("g"), changed);
  EXPECT_EQ(machine.bench.cpu(0).fpsr, 0x1fu);
  EXPECT_EQ(machine.bench.cpu(0).fpcr, 0x0100'0000u);
  EXPECT_EQ(ask("G" + all.substr(0, 20)), "E16");  // a register and a half
}

TEST_F(GdbSessionTest, DescribesWhatItAnswers) {
  std::string xml;
  for (;;) {
    const std::string part =
        ask("qXfer:features:read:target.xml:" + fmt::format("{:x}", xml.size()) + ",400");
    xml += part.substr(1);
    if (part[0] == 'l') break;
    ASSERT_EQ(part[0], 'm');
  }
  size_t registers = 0;
  for (size_t at = 0; (at = xml.find("<reg ", at)) != std::string::npos; ++at) ++registers;
  for (size_t i = 0; i < registers; ++i) {
    EXPECT_NE(ask(fmt::format("p{:x}", i)), "E16") << i;
  }
  EXPECT_EQ(ask(fmt::format("p{:x}", registers)), "E16");
  for (const char* text : {"id=\"vnh\"><field name=\"bf\"", "name=\"ELR_EL1\"", "group=\"system\"",
                           "type=\"cpsr_flags\"", "name=\"fpsr\""}) {
    EXPECT_NE(xml.find(text), std::string::npos) << text;
  }
}

TEST_F(GdbSessionTest, SystemRegistersAreWrittenWithEffect) {
  EXPECT_EQ(ask("P48=0008094000000000"), "OK");  // VBAR_EL1, the fifth from 0x44 on
  EXPECT_EQ(machine.bench.cpu(0).sys.vbar_el1, 0x4009'0800u);
  EXPECT_EQ(ask("P4b=0000000000000000"), "E16");  // CurrentEL
  EXPECT_EQ(ask("P4a=1234000000000000"), "OK");   // SP_EL1 is the current one
  EXPECT_EQ(ask("p1f"), "1234000000000000");
}

TEST_F(GdbSessionTest, NothingButAnInterruptReachesARunningMachine) {
  EXPECT_EQ(ask("c"), "-");
  EXPECT_TRUE(session.running());
  // The fake machine fails the test if one of these touches a vCPU.
  for (const char* packet : {"?",
                             "g",
                             "G00",
                             "p0",
                             "P0=0000000000000000",
                             "m40080000,4",
                             "M40080000,1:00",
                             "X40080000,1:a",
                             "c",
                             "s",
                             "C05",
                             "S05",
                             "vCont;s",
                             "vCont;s:1;c",
                             "vCont;c",
                             "Z0,0,4",
                             "z0,0,4",
                             "Z2,0,4",
                             "Hg1",
                             "Hc1",
                             "T1",
                             "qRcmd,6578697473",
                             "qfThreadInfo",
                             "qThreadExtraInfo,1",
                             "qC",
                             "vCont?",
                             "vAttach;1",
                             "zzz"}) {
    EXPECT_EQ(ask(packet), "E10") << packet;
  }
  EXPECT_EQ(machine.resumes, 1u);
  EXPECT_EQ(only(session.interrupt()), "T02thread:1;");
  EXPECT_EQ(only(session.interrupt()), "-");
  EXPECT_EQ(ask("p0"), "0000000000000000");
}

TEST_F(GdbSessionTest, WhoGoesOn) {
  const struct {
    std::string_view select, packet, went;
  } kCases[] = {
      {"Hc0", "c", "rrrr"},
      {"Hc-1", "c", "rrrr"},
      {"Hc2", "c", "xrxx"},
      {"Hc0", "s", "srrr"},
      {"Hc3", "s", "xxsx"},
      {"Hc0", "C05", "rrrr"},
      {"Hc0", "S05", "srrr"},
      {"Hc0", "vCont;c", "rrrr"},
      {"Hc0", "vCont;C05", "rrrr"},
      {"Hc2", "vCont;c", "rrrr"},
      {"Hc0", "vCont;s:1;c", "srrr"},
      {"Hc0", "vCont;s:2;c:-1", "rsrr"},
      {"Hc0", "vCont;s:2", "xsxx"},
      {"Hc0", "vCont;c:2;s:3", "xrsx"},
      {"Hc0", "vCont;c;s:3", "rrrr"},  // the leftmost that names it
      {"Hc0", "vCont;s:4;s:3;c:1", "rxss"},
      {"Hc0", "vCont;S05:1", "sxxx"},
      {"Hc0", "vCont;s:0", "sxxx"},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(ask("Hg1"), "OK");
    EXPECT_EQ(ask(c.select), "OK");
    EXPECT_EQ(ask(c.packet), "-") << c.packet;
    EXPECT_EQ(machine.went(), c.went) << c.select << " " << c.packet;
    EXPECT_EQ(only(session.interrupt()).substr(0, 3), "T02");
  }
}

TEST_F(GdbSessionTest, GoesOnAtAnAddress) {
  EXPECT_EQ(ask("c40080010"), "-");
  EXPECT_EQ(machine.bench.cpu(0).pc, kCode + 0x10);
  EXPECT_EQ(only(session.interrupt()), "T02thread:1;");
  EXPECT_EQ(ask("S05;40080020"), "-");
  EXPECT_EQ(machine.bench.cpu(0).pc, kCode + 0x20);
}

TEST_F(GdbSessionTest, EachOfManyStopsIsTold) {
  EXPECT_EQ(ask("Z0,40080010,4"), "OK");
  EXPECT_EQ(ask("c"), "-");
  for (unsigned i : {2u, 0u, 3u}) stop(i, kCode + 0x10, kBreakpoint);
  EXPECT_EQ(only(session.stopped()), "T05thread:3;");
  EXPECT_EQ(only(session.stopped()), "-");
  EXPECT_EQ(ask("?"), "T05thread:3;");
  // The machine does not run for what is known already.
  EXPECT_EQ(ask("c"), "T05thread:1;");
  EXPECT_EQ(ask("c"), "T05thread:4;");
  EXPECT_EQ(machine.resumes, 1u);
  EXPECT_EQ(ask("c"), "-");
  EXPECT_EQ(machine.resumes, 2u);
}

TEST_F(GdbSessionTest, AStopWhoseCauseIsGoneIsNotTold) {
  EXPECT_EQ(ask("Z0,40080010,4"), "OK");
  EXPECT_EQ(ask("c"), "-");
  for (unsigned i : {0u, 1u, 2u}) stop(i, kCode + 0x10, kBreakpoint);
  EXPECT_EQ(only(session.stopped()), "T05thread:1;");
  // GDB steps one over the breakpoint, which it takes away meanwhile.
  EXPECT_EQ(ask("z0,40080010,4"), "OK");
  EXPECT_EQ(ask("vCont;s:1"), "-");
  EXPECT_EQ(machine.went(), "sxxx");
  stop(0, kCode + 0x14, kStepped);
  EXPECT_EQ(only(session.stopped()), "T05thread:1;");
  EXPECT_EQ(ask("Z0,40080010,4"), "OK");
  machine.bench.cpu(2).pc = kCode + 0x40;  // moved by the user
  EXPECT_EQ(ask("vCont;c"), "-");
}

TEST_F(GdbSessionTest, AStopOfOneThatStaysWaits) {
  EXPECT_EQ(ask("Z0,40080010,4"), "OK");
  EXPECT_EQ(ask("c"), "-");
  for (unsigned i : {0u, 1u}) stop(i, kCode + 0x10, kBreakpoint);
  EXPECT_EQ(only(session.stopped()), "T05thread:1;");
  EXPECT_EQ(ask("vCont;s:1"), "-");
  stop(0, kCode + 0x14, kStepped);
  EXPECT_EQ(only(session.stopped()), "T05thread:1;");
  EXPECT_EQ(ask("vCont;c"), "T05thread:2;");
}

TEST_F(GdbSessionTest, AStopOfOneThatStaysIsNotToldForAnothers) {
  EXPECT_EQ(ask("Z0,40080010,4"), "OK");
  EXPECT_EQ(ask("c"), "-");
  for (unsigned i : {2u, 0u}) stop(i, kCode + 0x10, kBreakpoint);
  EXPECT_EQ(only(session.stopped()), "T05thread:3;");
  EXPECT_EQ(ask("vCont;c:2"), "-");
  stop(1, kCode + 0x10, kBreakpoint);
  EXPECT_EQ(only(session.stopped()), "T05thread:2;");
  EXPECT_EQ(ask("c"), "T05thread:1;");
}

TEST_F(GdbSessionTest, AStepIsToldFirst) {
  EXPECT_EQ(ask("Z0,40080010,4"), "OK");
  EXPECT_EQ(ask("vCont;s:2;c"), "-");
  stop(0, kCode + 0x10, kBreakpoint);
  stop(1, kCode + 4, kStepped);
  EXPECT_EQ(only(session.stopped()), "T05thread:2;");
  EXPECT_EQ(ask("c"), "T05thread:1;");
}

TEST_F(GdbSessionTest, CrashesOfAll) {
  EXPECT_EQ(ask("c"), "-");
  for (unsigned i = 0; i < 4; ++i) stop(i, kCode, kCrashed);
  EXPECT_EQ(only(session.stopped()), "T0bthread:1;");
  for (const char* next : {"T0bthread:2;", "T0bthread:3;", "T0bthread:4;", "-"}) {
    EXPECT_EQ(ask("c"), next);
  }
}

TEST_F(GdbSessionTest, WatchpointsByTheirKind) {
  EXPECT_EQ(ask("Z2,40300000,8"), "OK");
  EXPECT_EQ(ask("Z3,40300100,8"), "OK");
  EXPECT_EQ(ask("Z4,40300200,100"), "OK");
  const struct {
    uint64_t address;
    bool is_write;
    std::string_view told;
  } kCases[] = {
      {kData, true, "T05watch:40300000;thread:1;"},
      {kData + 7, true, "T05watch:40300007;thread:1;"},
      {kData + 0x100, false, "T05rwatch:40300100;thread:1;"},
      {kData + 0x2ff, false, "T05awatch:403002ff;thread:1;"},
      {kData + 0x200, true, "T05awatch:40300200;thread:1;"},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(ask("c"), "-");
    stop(0, kCode, watched(c.address, c.is_write));
    EXPECT_EQ(only(session.stopped()), c.told);
  }
}

TEST_F(GdbSessionTest, PointsReachEveryCpu) {
  machine.bench.put(kCode, {0xf9000020, soft::kNop, soft::kNop, soft::kHvc0});  // str x0, [x1]
  EXPECT_EQ(ask("Z1,40080008,4"), "OK");
  EXPECT_EQ(ask("Z0,40080008,4"), "OK");
  EXPECT_EQ(ask("z0,40080008,4"), "OK");  // the other is still there
  EXPECT_EQ(ask("Z2,40300004,4"), "OK");
  EXPECT_EQ(ask("c"), "-");
  for (unsigned i = 0; i < 4; ++i) {
    machine.bench.cpu(i).r.x[1] = kData;
    Exit exit = soft::go(machine.bench.vcpu(i), 100);
    EXPECT_EQ(exit.kind, ExitKind::kDebug);
    EXPECT_EQ(exit.far, kData + 4);
    exit = soft::go(machine.bench.vcpu(i), 100);
    EXPECT_EQ(exit.kind, ExitKind::kDebug);
    EXPECT_EQ(exit.pc, kCode + 8);
  }
  EXPECT_EQ(only(session.interrupt()).substr(0, 3), "T02");
  session.end();
  for (unsigned i = 0; i < 4; ++i) {
    machine.bench.cpu(i).pc = kCode;
    EXPECT_EQ(soft::go(machine.bench.vcpu(i), 100).kind, ExitKind::kHvc);
  }
}

TEST_F(GdbSessionTest, TheNumberOfPointsIsBounded) {
  std::string last;
  unsigned n = 0;
  while (n < 100'000 && (last = ask(fmt::format("Z0,{:x},4", 4 * n))) == "OK") ++n;
  EXPECT_EQ(last, "E1c");
  for (n = 0; n < 100'000 && (last = ask(fmt::format("Z2,{:x},8", 8 * n))) == "OK";) ++n;
  EXPECT_EQ(last, "E1c");
}

TEST_F(GdbSessionTest, TheExitIsToldToWhoWaits) {
  EXPECT_EQ(only(session.ended(0)), "-");  // halted: nothing was asked
  EXPECT_EQ(ask("c"), "-");
  EXPECT_EQ(only(session.ended(0)), "W00");
  EXPECT_EQ(only(session.ended(2)), "W02");
  EXPECT_EQ(only(session.ended(124)), "W7c");
  EXPECT_EQ(only(session.ended(143)), "X0f");
}

TEST_F(GdbSessionTest, AMachineAtItsEndIsNotTouched) {
  EXPECT_EQ(ask("c"), "-");
  stop(1, kCode, kBreakpoint);
  machine.at_end = true;
  EXPECT_EQ(only(session.stopped()), "-");
  EXPECT_EQ(only(session.interrupt()), "-");
  EXPECT_EQ(only(session.ended(0)), "W00");
  session.end();
  EXPECT_EQ(machine.resumes, 1u);
}

TEST_F(GdbSessionTest, DetachAndKillAtAnyTime) {
  for (const bool running : {false, true}) {
    for (const char* packet : {"D", "D;1", "k", "vKill;1"}) {
      FakeDebuggee other(2);
      GdbSession s(other);
      EXPECT_EQ(only(s.handle("?")), "T05thread:1;");
      EXPECT_EQ(only(s.handle("Z0,40080000,4")), "OK");
      if (running) {
        EXPECT_EQ(only(s.handle("c")), "-");
      }
      const bool kill = packet[0] == 'k' || packet[0] == 'v';
      EXPECT_EQ(only(s.handle(packet)), packet[0] == 'k' ? "-" : "OK");
      EXPECT_TRUE(s.closing());
      EXPECT_EQ(only(s.ended(0)), "-");
      s.end();
      EXPECT_EQ(other.killed, kill) << packet;
      if (!kill) {
        EXPECT_EQ(other.went(), "rr") << packet;
        EXPECT_FALSE(other.halted);
      }
    }
  }
}

TEST_F(GdbSessionTest, WhatStopsForALeavingDebuggerGoesOn) {
  EXPECT_EQ(ask("c"), "-");
  session.end();
  const unsigned before = machine.resumes;
  stop(1, kCode, kCrashed);
  EXPECT_EQ(only(session.stopped()), "-");
  EXPECT_EQ(machine.resumes, before + 1);
  EXPECT_FALSE(machine.halted);
}

TEST_F(GdbSessionTest, AStopThatWaitedIsTheFirstAnswer) {
  session.end();
  session.note(2, kCrashed);
  EXPECT_EQ(ask("?"), "T0bthread:3;");
}

TEST_F(GdbSessionTest, BeginsWithACpuThatIsOn) {
  session.end();
  machine.off = {true, true, false, false};
  EXPECT_EQ(ask("?"), "T05thread:3;");
}

TEST_F(GdbSessionTest, MemoryIsReadAsEl1WouldWhateverTheRights) {
  machine.bench.enable_mmu();
  machine.bench.map_page(0x5000'0000, kData, soft::kAf | soft::kUser | soft::kReadOnly);
  machine.bench.map_page(0x5000'1000, kData + 0x5000, soft::kAf);
  machine.bench.poke<uint32_t>(kData + 0xffe, 0x1111);
  machine.bench.poke<uint32_t>(kData + 0x5000, 0x2222);
  machine.bench.cpu().ps.pan = machine.bench.cpu().sys.mmu.pan = true;
  machine.bench.cpu().sys.mmu.el = machine.bench.cpu().ps.el = 0;
  EXPECT_EQ(ask("m50000ffe,4"), "11112222");
  EXPECT_EQ(ask("M50000ffe,4:01020304"), "OK");
  EXPECT_EQ(machine.bench.peek<uint16_t>(kData + 0xffe), 0x0201);
  EXPECT_EQ(machine.bench.peek<uint16_t>(kData + 0x5000), 0x0403);
  EXPECT_EQ(ask("mffff800000000000,4"), "E0e");
}

TEST_F(GdbSessionTest, Monitor) {
  EXPECT_NE(monitor("help").find("monitor translate VA"), std::string::npos);
  EXPECT_EQ(monitor("exits"), "exit profile\n");
  EXPECT_NE(monitor("insns").find("vcpu 3: 0 (runs)"), std::string::npos);
  EXPECT_NE(monitor("frobnicate").find("monitor help"), std::string::npos);
  EXPECT_NE(monitor("translate").find("usage"), std::string::npos);
  EXPECT_NE(monitor("translate 40080000 5").find("usage"), std::string::npos);
  EXPECT_EQ(monitor("translate 0x40080000"),
            "vcpu 0, at EL1: VA 0x40080000\n"
            "stage 1: off, IPA 0x40080000\n"
            "stage 2: level 2 (2 MiB), rwx: RAM\n");
  EXPECT_NE(monitor("translate 9000000 2").find("device pl011"), std::string::npos);
  EXPECT_NE(monitor("translate b000000").find("nothing is there"), std::string::npos);
  machine.bench.enable_mmu();
  machine.bench.map_page(0x5000'0000, kData, soft::kAf | soft::kUser | soft::kReadOnly);
  const std::string text = monitor("translate 50000123");
  EXPECT_NE(text.find("level 3 (4 KiB), IPA 0x40300123"), std::string::npos) << text;
  EXPECT_NE(text.find("EL1 r-x, EL0 r-x"), std::string::npos) << text;
  EXPECT_NE(monitor("translate ffff800000000000").find("translation fault"), std::string::npos);
}

}  // namespace
}  // namespace trapline
