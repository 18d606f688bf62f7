#include "vmm/symbols/symbols.h"

#include <gtest/gtest.h>

namespace trapline {
namespace {

SymbolTable sample() {
  SymbolTable table;
  table.add({.address = 0x2000, .size = 0x10, .name = "poll", .module = "virtio_net"});
  table.add({.address = 0x1000, .name = "$x"});
  table.add({.address = 0x1000, .name = "start_kernel"});
  table.add({.address = 0x1100, .name = "idle"});
  table.seal();
  return table;
}

TEST(Symbols, ANameReachesToTheNextOneOrToItsSize) {
  const SymbolTable table = sample();
  EXPECT_EQ(table.describe(0xfff), "");
  EXPECT_EQ(table.describe(0x1010), "start_kernel+0x10");
  EXPECT_EQ(table.describe(0x1fff), "idle+0xeff");
  EXPECT_EQ(table.describe(0x200f), "virtio_net:poll+0xf");
  EXPECT_EQ(table.describe(0x2010), "");
}

TEST(Symbols, RelocationMovesTheKernelAndNotItsModules) {
  SymbolTable table = sample();
  table.relocate(0x10000);
  EXPECT_EQ(table.address_of("start_kernel"), 0x11000u);
  EXPECT_EQ(table.address_of("poll"), 0x2000u);
  EXPECT_EQ(table.describe(0x11010), "start_kernel+0x10");
}

}  // namespace
}  // namespace trapline
