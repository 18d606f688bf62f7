#include "vmm/machine/gic.h"

#include <gtest/gtest.h>

#include "tests/vmm/stats/fake_exit.h"
#include "vmm/config/platform.h"

namespace trapline {
namespace {

// When a line has risen: not that its device confirms it, and not that it was there once.
TEST(Gic, AProbeNotesWhenALineRises) {
  constexpr unsigned kPpi = 11, kPpiIntid = 16 + kPpi, kSpi = 5, kSpiIntid = 32 + kSpi;
  test::FetchingVcpu vcpu;
  IrqProbe probe(1, platform::kSpis);
  probe.watch(true);
  const auto irqchip = make_gicv3({&vcpu}, &probe);
  for (const auto& [line, intid] :
       {std::pair{&irqchip->ppi(0, kPpi), kPpiIntid}, std::pair{&irqchip->spi(kSpi), kSpiIntid}}) {
    EXPECT_EQ(probe.taken(0, intid), 0u);
    line->set(true);
    EXPECT_NE(probe.taken(0, intid), 0u);
    line->set(true);  // the device says it again
    EXPECT_EQ(probe.taken(0, intid), 0u);
    line->set(false);
    line->set(true);
    line->set(false);  // nobody took it
    EXPECT_EQ(probe.taken(0, intid), 0u);
    line->set(true);
    EXPECT_NE(probe.taken(0, intid), 0u);
  }
}

}  // namespace
}  // namespace trapline
