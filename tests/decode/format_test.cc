// The lines of `trapline decode`, and what it says to bad input.
#include "decode/format.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace trapline {
namespace {

TEST(Format, Lines) {
  struct Row {
    uint32_t word;
    const char* line;
  };
  constexpr Row kRows[] = {
      {0xb80047e3,
       "b80047e3 LDST op=store size=4 count=1 rt=w3 base=sp mode=post-index imm=4  ; "
       "str w3, [sp], #4"},
      {0xf8e10062,
       "f8e10062 LSE op=add size=8 count=1 rt=x2 rs=x1 base=x3 mode=base order=acquire,release"
       "  ; ldaddal x1, x2, [x3]"},
      {0x58ffffc3,
       "58ffffc3 LITERAL op=load size=8 count=1 rt=x3 mode=literal imm=-8  ; ldr x3, #-8"},
      {0x00000000, "00000000 not-memory"},
      {0x8b020020, "8b020020 not-memory  ; add x0, x1, x2"},
      {0xdc000001, "dc000001 unallocated"},
      {0xa5e04000, "a5e04000 unsupported SVE"},
      {0xe1000000, "e1000000 unsupported SME"},
      {0x19210822, "19210822 unsupported RCW"},
      {0xd91f0c41, "d91f0c41 unsupported GCS"},
  };
  for (const Row& row : kRows) EXPECT_EQ(format_decode_line(row.word), row.line);
}

struct Outcome {
  int status;
  std::string out, err;
};

Outcome run(const std::vector<std::string>& args, const std::string& input = "") {
  std::istringstream in(input);
  std::ostringstream out, err;
  const int status = decode_main(args, in, out, err);
  return {status, out.str(), err.str()};
}

TEST(DecodeMain, Words) {
  const Outcome plain = run({"f9400841", "0xDC000001", "0"});
  EXPECT_EQ(plain.status, 0);
  EXPECT_EQ(plain.err, "");
  EXPECT_EQ(plain.out, format_decode_line(0xf9400841) + "\n" + format_decode_line(0xdc000001) +
                           "\n" + format_decode_line(0) + "\n");
  const Outcome piped = run({"-"}, "f9400841\r\n\n  0xDC000001\t\n0");
  EXPECT_EQ(piped.status, 0);
  EXPECT_EQ(piped.out, plain.out);
}

TEST(DecodeMain, SeveralWordsALineAndComments) {
  const Outcome plain = run({"f9400841", "0xDC000001", "0", "ffffffff"});
  const Outcome piped =
      run({"-"}, "# words\n\n f9400841 0xDC000001\t0# the rest is not read: xyz\n  # \nffffffff");
  EXPECT_EQ(piped.status, 0);
  EXPECT_EQ(piped.err, "");
  EXPECT_EQ(piped.out, plain.out);
  const Outcome bad = run({"-"}, "f9400841\n0 xyz 1\n");
  EXPECT_EQ(bad.status, 1);
  EXPECT_EQ(bad.err, "trapline decode: line 2: 'xyz' is not hexadecimal\n");
  const Outcome endless = run({"-"}, "1 2\n\n" + std::string(1'000'000, 'f'));
  EXPECT_EQ(endless.status, 1);
  EXPECT_LT(endless.err.size(), 150u);
  EXPECT_EQ(endless.err.find("trapline decode: line 3: 'fff"), 0u) << endless.err;
  const Outcome none = run({"-"}, "# nothing\n");
  EXPECT_EQ(none.status, 1);
  EXPECT_EQ(none.err, "trapline decode: no word on standard input\n");
}

TEST(DecodeMain, BadInput) {
  struct Row {
    std::vector<std::string> args;
    const char* input;
    const char* err;
  };
  const Row rows[] = {
      {{"xyz"}, "", "trapline decode: 'xyz' is not hexadecimal\n"},
      {{"-5"}, "", "trapline decode: '-5' is not hexadecimal\n"},
      {{"f94 0841"}, "", "trapline decode: 'f94 0841' is not hexadecimal\n"},
      {{"123456789"},
       "",
       "trapline decode: '123456789' is longer than the 8 hex digits of a word\n"},
      {{"0x00000000f"},
       "",
       "trapline decode: '0x00000000f' is longer than the 8 hex digits of a word\n"},
      {{""}, "", "trapline decode: '' is empty: a word is 1 to 8 hex digits\n"},
      {{"0x"}, "", "trapline decode: '0x' is empty: a word is 1 to 8 hex digits\n"},
      {{}, "", "trapline decode: no word given (usage: trapline decode WORD... | -)\n"},
      {{"-"}, "", "trapline decode: no word on standard input\n"},
      {{"-"}, "\n \n", "trapline decode: no word on standard input\n"},
      {{"-"}, "f9400841\nnope\n", "trapline decode: line 2: 'nope' is not hexadecimal\n"},
      {{"-"}, "\x01\xff\n", "trapline decode: line 1: '?\?' is not hexadecimal\n"},
  };
  for (const Row& row : rows) {
    const Outcome r = run(row.args, row.input);
    EXPECT_EQ(r.status, 1) << row.err;
    EXPECT_EQ(r.err, row.err);
  }
  const Outcome huge = run({std::string(100'000, 'f')});
  EXPECT_EQ(huge.status, 1);
  EXPECT_LT(huge.err.size(), 120u);
}

}  // namespace
}  // namespace trapline
