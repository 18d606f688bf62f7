#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/vmm/report/sample.h"
#include "vmm/report/csv_writer.h"
#include "vmm/report/folded_writer.h"
#include "vmm/report/nested.h"
#include "vmm/report/page_writer.h"
#include "vmm/report/summary.h"
#include "vmm/report/text_writer.h"

namespace trapline {
namespace {

TEST(Summary, FormatsLikeAPerson) {
  const struct {
    double ns;
    const char* text;
  } kRows[] = {{0, "0 ns"},        {61.4, "61 ns"},     {999.4, "999 ns"},
               {999.6, "1.00 us"}, {12'340, "12.3 us"}, {310e6, "310 ms"},
               {1.62e9, "1.62 s"}, {7200e9, "7200 s"},  {-1500, "-1.50 us"}};
  for (const auto& row : kRows) EXPECT_EQ(format_ns(row.ns), row.text);
  EXPECT_EQ(format_count(7), "7");
  EXPECT_EQ(format_count(123), "123");
  EXPECT_EQ(format_count(30812), "30,812");
  EXPECT_EQ(format_count(1234567), "1,234,567");
}

TEST(Summary, GroupsAddUp) {
  for (GroupBy by :
       {GroupBy::kClass, GroupBy::kDevice, GroupBy::kRegister, GroupBy::kInstruction}) {
    uint64_t sum = 0;
    for (const Group& group : group_rows(sample_profile(), by)) sum += group.row.count;
    EXPECT_EQ(sum, 115u);
  }
  const auto instructions = group_rows(sample_profile(), GroupBy::kInstruction);
  ASSERT_EQ(instructions.size(), 3u);  // two vCPUs at one instruction are one
  EXPECT_EQ(instructions[0].label, "pl011_console_putchar+0x48");
  EXPECT_EQ(instructions[0].row.count, 100u);
  EXPECT_EQ(instructions[0].row.text, "ldr w0, [x0, #0x18]");
  EXPECT_DOUBLE_EQ(instructions[0].cost_ns, 10'000);
}

// The largest change of cost first, whatever its direction; addresses do not matter where names do.
TEST(Summary, Compare) {
  Profile a = sample_profile(), b = sample_profile();
  for (ProfileRow& row : b.rows) row.pc += 0x200000;
  b.rows[0].count = 10;
  b.rows[2].count = 11;
  const auto changes = compare(a, b, GroupBy::kInstruction);
  ASSERT_GE(changes.size(), 2u);
  EXPECT_EQ(changes[0].label, "pl011_console_putchar+0x48");
  EXPECT_EQ(changes[0].count[0], 100u);
  EXPECT_EQ(changes[0].count[1], 40u);
  EXPECT_DOUBLE_EQ(changes[0].cost_change(), -6000);
}

TEST(Text, HasThePerfNamesAndEverything) {
  const std::string text = write_text(sample_profile());
  for (const char* part :
       {"VM-EXIT    Samples Samples%    Time%  Min Time  Max Time  Avg time", "115 exits in 1.00 s",
        "one exit in 10 timed", "note: 5 exits found no row", "pl011_console_putchar+0x48",
        "ldr w0, [x0, #0x18]", "DABT_LOW pl011 UARTFR ISV=0", "asleep, in all 5.00 ms",
        "vCPU 1: guest 500 ms", "latency irq_to_iar: 3 times", "icache: 60 hits, 10 misses"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

// What a guest names must not reach a terminal, a line format or a script as more than a name.
TEST(Writers, HostileNames) {
  Profile p = sample_profile();
  p.rows[0].symbol = p.rows[1].symbol = "a\x1b[2J;b\n</script><!-- \xff\",c";
  p.stacks[0].frames[1] = "x;y\nz";
  const std::string text = write_text(p);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  const std::string folded = write_folded(p);
  EXPECT_NE(folded.find("start;x:y?z;pl011"), std::string::npos) << folded;
  const std::string page = write_page({p});
  EXPECT_EQ(page.find("b\\n</script>"), std::string::npos);
  EXPECT_NE(page.find("\\u003c/script>\\u003c!--"), std::string::npos);
  const std::string csv = write_csv({p});
  EXPECT_NE(csv.find("\"a\x1b[2J;b\n</script><!-- \xff\"\",c\"\r\n"), std::string::npos);
}

TEST(Folded, StacksOrRows) {
  EXPECT_EQ(write_folded(sample_profile()),
            "0x1000;[WFx] WFx WFI 1\n"
            "start;printk;pl011_console_putchar+0x48;[DABT_LOW] pl011 UARTFR 7\n");
  Profile without = sample_profile();
  without.stacks.clear();
  EXPECT_EQ(write_folded(without),
            "DABT_LOW;(other) 5\n"
            "DABT_LOW;pl011;UARTFR;pl011_console_putchar+0x48 100\n"
            "WFx;WFI;0x1000 10\n");
  EXPECT_EQ(write_folded(without, without),
            "DABT_LOW;(other) 5 5\n"
            "DABT_LOW;pl011;UARTFR;pl011_console_putchar+0x48 100 100\n"
            "WFx;WFI;0x1000 10 10\n");
}

TEST(Csv, ALineARow) {
  const std::string csv = write_csv({sample_profile(), sample_profile()});
  size_t lines = 0;
  for (size_t at = 0; (at = csv.find("\r\n", at)) != std::string::npos; at += 2) ++lines;
  EXPECT_EQ(lines, 9u);
  EXPECT_NE(csv.find("sample.json,0,0xffff800008743a48,DABT_LOW,pl011,UARTFR,0,0,70,7,7000.0,60.0,"
                     "100.0,61.0,"),
            std::string::npos)
      << csv;
}

TEST(Nested, TextAndCsv) {
  const Profile p = sample_profile();
  const std::string text = write_text(p);
  EXPECT_NE(text.find("  hypercall             10      1     19.0      2.0     1.0     1.0"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("  SPSR_EL2 read                    180          10\n"), std::string::npos);
  EXPECT_EQ(
      nested_csv({p}),
      "file,exit,name,access,nv,nv2,exits,moved,stays_at_el2,traps_nv,traps_nv2,erets,tlbis,ats,"
      "instructions\r\n"
      "sample.json,foreign,,,7,3,0,0,0,7,3,0,0,0,0\r\n"
      "sample.json,foreign,ERET,,3,3,,,,,,,,,\r\n"
      "sample.json,hypercall,,,190,20,10,1,10,190,20,10,0,0,4000\r\n"
      "sample.json,hypercall,ERET,,10,10,,,,,,,,,\r\n"
      "sample.json,hypercall,SPSR_EL2,read,180,10,,,,,,,,,\r\n");
}

TEST(Page, HoldsItsDataOnly) {
  const std::string page = write_page({sample_profile(), sample_profile()});
  for (const char* outside :
       {"src=\"http", "href=\"http", "@import", "url(http", "@DATA@", "@D3@"}) {
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  }
  const nlohmann::json data = page_data({sample_profile(), sample_profile()});
  EXPECT_EQ(data["profiles"].size(), 2u);
  EXPECT_EQ(data["profiles"][0]["exits"], 115);
  EXPECT_EQ(data["differences"]["registers"].size(), 3u);
}

// However large the profile, the page stays one that can be sent.
TEST(Page, IsBounded) {
  Profile p = sample_profile();
  const ProfileRow row = p.rows[0];
  for (uint64_t i = 0; i < 20'000; ++i) {
    p.rows.push_back(row);
    p.rows.back().pc = i;
    p.rows.back().symbol = "f" + std::to_string(i);
    p.rows.back().key.reg = "+" + std::to_string(i);
    p.series.push_back({p.rows.back().key, std::vector<uint64_t>(10, 1)});
    p.stacks.push_back({{"f" + std::to_string(i)}, row.key, 1, 1});
  }
  const nlohmann::json data = page_data({p});
  EXPECT_LT(data.dump().size(), 4u << 20);
  uint64_t total = 0;
  for (const auto& series : data["profiles"][0]["timeline"]["series"]) {
    for (uint64_t count : series["counts"]) total += count;
  }
  EXPECT_EQ(total, 200'110u);  // what is not shown by name is among all others
}

}  // namespace
}  // namespace trapline
