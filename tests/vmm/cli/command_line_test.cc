#include "vmm/cli/command_line.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace trapline {
namespace {

Result<CommandLine> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "trapline");
  words.push_back(nullptr);
  return parse_command_line(static_cast<int>(words.size()) - 1, words.data());
}

TEST(CommandLine, Numbers) {
  auto line =
      parse({"run", "--kernel", "k", "--memory", "0x20000000", "--cpus", "8", "--translate-after",
             "0", "--max-insns", "18446744073709551615", "--gdb", "65535"});
  ASSERT_TRUE(line) << line.error();
  EXPECT_EQ(line->options.memory, uint64_t{512} << 20);
  EXPECT_EQ(line->options.cpus, 8u);
  EXPECT_EQ(line->options.translate_after, 0);
  EXPECT_EQ(line->options.max_insns, ~uint64_t{0});
  EXPECT_EQ(line->options.gdb_port, 65535u);
  line = parse({"run", "--kernel", "k", "--memory", "1.5GiB"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->options.memory, uint64_t{1536} << 20);
  EXPECT_FALSE(line->options.translate_after);
}

// Every option that takes a number: what does not fit is refused by one line that names both.
TEST(CommandLine, NumbersRefused) {
  for (const char* option : {"--cpus", "--translate-after", "--max-insns", "--gdb", "--memory"}) {
    for (const char* text :
         {"-1", "99999999999999999999", "18446744073709551617", "1x", "one", "", "0x"}) {
      auto line = parse({"run", "--kernel", "k", option, text});
      ASSERT_FALSE(line) << option << " " << text;
      EXPECT_EQ(line.error().find(std::string(option) + " " + text), 0u) << line.error();
      EXPECT_EQ(line.error().find('\n'), std::string::npos) << line.error();
    }
  }
  const struct {
    const char *option, *text, *expected;
  } kRows[] = {
      {"--cpus", "9", "from 1 to 8"},          {"--cpus", "0", "from 1 to 8"},
      {"--cpus", "4294967297", "from 1 to 8"}, {"--translate-after", "65536", "from 0 to 65535"},
      {"--gdb", "65536", "from 0 to 65535"},   {"--gdb", "4294967297", "from 0 to 65535"},
      {"--memory", "16777217T", "too large"},  {"--memory", "1M1", "not a size"},
      {"--memory", "512K", "from 1M to 255G"}, {"--memory", "0x100001", "multiple of 4K"},
  };
  for (const auto& row : kRows) {
    auto line = parse({"run", "--kernel", "k", row.option, row.text});
    ASSERT_FALSE(line) << row.text;
    EXPECT_NE(line.error().find(row.expected), std::string::npos) << line.error();
  }
}

TEST(CommandLine, El2) {
  const struct {
    const char* option;
    bool on, vhe;
    unsigned list_registers;
  } kRows[] = {{"--rng", false, true, 4},
               {"--el2", true, true, 4},
               {"--el2=novhe", true, false, 4},
               {"--el2=lrs=1", true, true, 1},
               {"--el2=lrs=16,novhe", true, false, 16},
               {"--el2=novhe,lrs=8", true, false, 8}};
  for (const auto& row : kRows) {
    auto line = parse({"run", "--kernel", "k", row.option});
    ASSERT_TRUE(line) << line.error();
    EXPECT_EQ(line->options.el2.on, row.on) << row.option;
    EXPECT_EQ(line->options.el2.vhe, row.vhe) << row.option;
    EXPECT_EQ(line->options.el2.list_registers, row.list_registers) << row.option;
  }
  for (const char* option :
       {"--el2=novhe,", "--el2=lrs=2", "--el2=lrs=", "--el2=vhe", "--el2=novhe,,x"}) {
    auto line = parse({"run", "--kernel", "k", option});
    ASSERT_FALSE(line) << option;
    EXPECT_EQ(line.error().find("--el2="), 0u) << line.error();
    EXPECT_EQ(line.error().find('\n'), std::string::npos) << line.error();
  }
}

TEST(CommandLine, Modules) {
  const struct {
    const char *text, *path, *append;
  } kRows[] = {{"Image", "Image", ""},
               {"Image,append=", "Image", ""},
               {"Image,append=a=1,2 append=b, c", "Image", "a=1,2 append=b, c"},
               {"a,,b,append=,", "a,b", ","},
               {"a,,", "a,", ""},
               {",,,append=x", ",", "x"}};
  for (const auto& row : kRows) {
    auto line = parse({"run", "--el2", "--kernel", "xen", "--module", row.text, "--module", "rd"});
    ASSERT_TRUE(line) << row.text << ": " << line.error();
    ASSERT_EQ(line->options.modules.size(), 2u);
    EXPECT_EQ(line->options.modules[0].path, row.path);
    EXPECT_EQ(line->options.modules[0].append, row.append) << row.text;
    EXPECT_EQ(line->options.modules[1].path, "rd");
  }
  for (const char* text : {"", ",append=x", "F,", "F,rw", "F,append", "F, append=x", "F,,,"}) {
    auto line = parse({"run", "--el2", "--kernel", "xen", "--module", text});
    ASSERT_FALSE(line) << text;
    EXPECT_EQ(line.error().find("--module"), 0u) << line.error();
  }
  // The device tree has room for 16 nodes and 16 KiB of their text.
  const std::string text = "m,append=" + std::string(8192, 'x');
  const char* half = text.c_str();
  EXPECT_TRUE(parse({"run", "--el2", "--kernel", "k", "--module", half, "--module", half}));
  EXPECT_FALSE(parse(
      {"run", "--el2", "--kernel", "k", "--module", half, "--module", half, "--append", "y"}));
  std::vector<const char*> many = {"run", "--el2", "--kernel", "k"};
  for (int i = 0; i < 17; ++i) many.insert(many.end(), {"--module", "m"});
  EXPECT_FALSE(parse(many));
}

TEST(CommandLine, HelpShowsTheDefaults) {
  auto line = parse({"run", "--help"});
  ASSERT_TRUE(line) << line.error();
  EXPECT_EQ(line->command, CommandLine::Command::kHelp);
  for (const char* shown :
       {"--translate-after N=16", "--memory SIZE=512M", "--cpus N=1", "=host", "=mapped", "=modern",
        "=auto", "=native", "=recheck", "soft,kvm}=auto", "--max-insns N=0", "--gdb N=0"}) {
    EXPECT_NE(line->help.find(shown), std::string::npos) << shown << "\n" << line->help;
  }
}

TEST(CommandLine, Commands) {
  auto line = parse({"decode", "f9400000", "-"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->command, CommandLine::Command::kDecode);
  EXPECT_EQ(line->words, (std::vector<std::string>{"f9400000", "-"}));
  EXPECT_FALSE(parse({"dance"}));
  EXPECT_FALSE(parse({}));
  EXPECT_FALSE(parse({"run", "--kernel", "k", "stray"}));
}

TEST(CommandLine, Report) {
  auto line =
      parse({"report", "a.json", "b.json", "-o", "x.html", "--vcpu", "1", "--from", "20ms", "--to",
             "1.5", "--min-ns", "3us", "--filter", "pl011", "--symbols", "vmlinux"});
  ASSERT_TRUE(line) << line.error();
  ASSERT_EQ(line->command, CommandLine::Command::kReport);
  const ReportOptions& o = line->report;
  EXPECT_EQ(o.files, (std::vector<std::string>{"a.json", "b.json"}));
  EXPECT_EQ(o.format, ReportFormat::kHtml);  // by the output's name
  EXPECT_EQ(o.selection.vcpu, 1);
  EXPECT_DOUBLE_EQ(o.selection.from_ns, 20e6);
  EXPECT_DOUBLE_EQ(o.selection.to_ns, 1.5e9);
  EXPECT_DOUBLE_EQ(o.selection.min_ns, 3000);
  EXPECT_EQ(o.selection.filter, "pl011");
  EXPECT_EQ(o.host.symbols, "vmlinux");
  line = parse({"report", "a.json", "-o", "x.html", "--format", "csv"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->report.format, ReportFormat::kCsv);
  line = parse({"report", "a.json"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->report.format, ReportFormat::kText);
}

// What --backend kvm refuses, and auto leaves to the software CPU.
TEST(CommandLine, OptionsOfTheSoftwareCpu) {
  const struct {
    std::vector<const char*> options;
    const char* only;
  } rows[] = {{{}, ""},
              {{"--backend", "kvm", "--cpus", "4", "--icache", "recheck", "--gdb", "1234"}, ""},
              {{"--el2=novhe"}, ""},
              {{"--max-insns", "0"}, ""},
              {{"--clock", "icount"}, "--clock icount"},
              {{"--isv", "never"}, "--isv never"},
              {{"--max-insns", "5"}, "--max-insns"},
              {{"--icache", "protect"}, "--icache protect"},
              {{"--el2", "--nested-ledger", "nv"}, "--nested-ledger"},
              {{"--translate-after", "0"}, "--translate-after"},
              {{"--el2=lrs=4"}, "--el2=lrs"}};
  for (const auto& row : rows) {
    std::vector<const char*> argv{"trapline", "run", "--raw", "x"};
    argv.insert(argv.end(), row.options.begin(), row.options.end());
    auto line = parse_command_line(static_cast<int>(argv.size()), argv.data());
    ASSERT_TRUE(line) << line.error();
    EXPECT_EQ(option_of_software_cpu(line->options), row.only);
  }
}

TEST(CommandLine, ReportRefused) {
  const struct {
    std::vector<const char*> words;
    const char* expected;
  } kRows[] = {
      {{"report"}, "files is required"},
      {{"report", "a", "--format", "html"}, "--format html needs -o FILE.html"},
      {{"report", "a", "--format", "xml"}, "--format"},
      {{"report", "a", "b", "--format", "pprof"}, "--format pprof takes one input"},
      {{"report", "a", "b", "-o", "c.json"}, "--format json takes one input"},
      {{"report", "a", "--vcpu", "-1"}, "--vcpu -1: not a number of a vCPU"},
      {{"report", "a", "--vcpu", "65536"}, "--vcpu 65536: not a number of a vCPU"},
      {{"report", "a", "--from", "-1s"}, "--from -1s: not a time"},
      {{"report", "a", "--to", "5 parsecs"}, "--to 5 parsecs: not a time"},
      {{"report", "a", "--min-ns", "nan"}, "--min-ns nan: not a time"},
      {{"report", "a", "--from", "2", "--to", "2"}, "--to is not after --from"},
  };
  for (const auto& row : kRows) {
    auto line = parse(row.words);
    ASSERT_FALSE(line) << row.expected;
    EXPECT_NE(line.error().find(row.expected), std::string::npos) << line.error();
    EXPECT_EQ(line.error().find('\n'), std::string::npos) << line.error();
  }
}

}  // namespace
}  // namespace trapline
