#include "vmm/config/size.h"

#include <gtest/gtest.h>

namespace trapline {
namespace {

constexpr uint64_t kK = 1024, kM = kK * kK, kG = kM * kK, kT = kG * kK;

TEST(Size, Taken) {
  const struct {
    const char* text;
    uint64_t bytes;
  } kRows[] = {
      {"0", 0},
      {"65536", 65536},
      {"010", 10},
      {"1b", 1},
      {"64K", 64 * kK},
      {"64k", 64 * kK},
      {"512M", 512 * kM},
      {"512MiB", 512 * kM},
      {"512MB", 512 * kM},
      {"512mib", 512 * kM},
      {"2G", 2 * kG},
      {"2gb", 2 * kG},
      {"1T", kT},
      {"0x20000000", 512 * kM},
      {"0X20000000", 512 * kM},
      {"0x200M", 512 * kM},
      {"0x20B", 0x20B},  // B is a digit there
      {"1.5G", 3 * kG / 2},
      {"1.5GiB", 3 * kG / 2},
      {"0.25K", 256},
      {"1.0", 1},
      {"0.000976562500000000K", 1},
      {"18446744073709551615", ~uint64_t{0}},
      {"0xffffffffffffffff", ~uint64_t{0}},
      {"16777215T", 16777215 * kT},
      {"16777215.5T", 16777215 * kT + kT / 2},
  };
  for (const auto& row : kRows) {
    uint64_t bytes = 12345;
    EXPECT_EQ(parse_size(row.text, bytes), "") << row.text;
    EXPECT_EQ(bytes, row.bytes) << row.text;
  }
}

TEST(Size, Refused) {
  const struct {
    const char *text, *why;
  } kRows[] = {
      {"", "not a size"},
      {"M", "not a size"},
      {"lots", "not a size"},
      {"-1", "not a size"},
      {"+1", "not a size"},
      {" 1", "not a size"},
      {"1 ", "not a size"},
      {"1 M", "not a size"},
      {"512Mi", "not a size"},
      {"512MM", "not a size"},
      {"512X", "not a size"},
      {"0x", "not a size"},
      {"0xg", "not a size"},
      {"0x1.8G", "not a size"},
      {"1.G", "not a size"},
      {".5G", "not a size"},
      {"1.5.5G", "not a size"},
      {"1e9", "not a size"},
      {"1.5", "whole number of bytes"},
      {"0.1G", "whole number of bytes"},
      {"0.0000000000000000001G", "decimals"},
      {"18446744073709551616", "too large"},
      {"99999999999999999999999999", "too large"},
      {"0x10000000000000000", "too large"},
      {"16777216T", "too large"},
  };
  for (const auto& row : kRows) {
    uint64_t bytes = 12345;
    EXPECT_NE(parse_size(row.text, bytes).find(row.why), std::string::npos) << row.text;
    EXPECT_EQ(bytes, 12345u) << row.text;
  }
}

TEST(Number, InItsRange) {
  uint64_t n = 0;
  EXPECT_EQ(parse_number("8", 1, 8, n), "");
  EXPECT_EQ(n, 8u);
  EXPECT_EQ(parse_number("010", 1, 64, n), "");
  EXPECT_EQ(n, 10u);
  EXPECT_EQ(parse_number("0x10", 1, 64, n), "");
  EXPECT_EQ(n, 16u);
  EXPECT_EQ(parse_number("18446744073709551615", 0, ~uint64_t{0}, n), "");
  EXPECT_EQ(n, ~uint64_t{0});
  for (const char* text : {"", "0", "9", "-1", "-18446744073709551615", "+1", "1x", "1 ", " 1",
                           "1.0", "two", "0x", "4294967297", "18446744073709551617"}) {
    EXPECT_EQ(parse_number(text, 1, 8, n), "give a number from 1 to 8") << text;
  }
  EXPECT_NE(parse_number("18446744073709551616", 0, ~uint64_t{0}, n), "");
}

TEST(Size, MessagesKeepToOneUnit) {
  EXPECT_EQ(needs_but_has(kM, kM / 2), "1024 KiB of memory, but the guest has 512 KiB");
  EXPECT_EQ(needs_but_has(70 * kM, 64 * kM), "70 MiB of memory, but the guest has 64 MiB");
  EXPECT_EQ(needs_but_has(64 * kM + 1, 64 * kM),
            "65537 KiB of memory, but the guest has 65536 KiB");
  EXPECT_EQ(needs_but_has(~uint64_t{0}, kM),
            "18014398509481984 KiB of memory, but the guest has 1024 KiB");
}

}  // namespace
}  // namespace trapline
