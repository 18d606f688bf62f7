#include <gtest/gtest.h>

#include <string>

#include "tests/vmm/control/fake_machine.h"
#include "vmm/control/openmetrics.h"
#include "vmm/stats/run_clock.h"

namespace trapline {
namespace {

TEST(OpenMetrics, LabelsAreEscaped) {
  EXPECT_EQ(metric_label("a"), "\"a\"");
  EXPECT_EQ(metric_label("a\"b\\c\nd"), "\"a\\\"b\\\\c\\nd\"");
}

TEST(OpenMetrics, BucketsAddUp) {
  FakeMachine machine;
  Exit exit;
  ExitRecord record;
  record.exit = &exit;
  record.exit_class = ExitClass::kHvc;
  for (const uint64_t cycles : {50, 200, 2000, 5'000'000}) {
    record.total = cycles;
    machine.live_report.report.latency->exited(record);
  }
  OpenMetrics metrics("vm");
  const std::string text = metrics.text(machine.status(), machine.live());
  const std::string series = "trapline_exit_seconds_bucket{class=\"HVC64\",isv=\"\",le=";
  for (const char* line :
       {"\"1e-07\"} 1\n", "\"2.5e-07\"} 2\n", "\"1e-06\"} 2\n", "\"2.5e-06\"} 3\n",
        "\"0.001\"} 3\n", "\"0.01\"} 4\n", "\"+Inf\"} 4\n"}) {
    EXPECT_NE(text.find(series + line), std::string::npos) << line << text;
  }
  EXPECT_TRUE(text.ends_with("\n# EOF\n"));
}

TEST(OpenMetrics, CountersDoNotFall) {
  FakeMachine machine;
  machine.live_report.vcpus[0].run_ns = 2e9;
  OpenMetrics metrics("vm");
  metrics.text(machine.status(), machine.live());
  machine.live_report.vcpus[0].run_ns = 1e9;
  EXPECT_NE(metrics.text(machine.status(), machine.live())
                .find("trapline_vcpu_seconds_total{vcpu=\"0\",mode=\"run\"} 2\n"),
            std::string::npos);
}

TEST(RunClock, ReadAtAnyTime) {
  RunClock clock;
  EXPECT_EQ(clock.read(5).cycles, 0u);
  clock.begins(100);
  EXPECT_EQ(clock.read(150).cycles, 50u);
  EXPECT_TRUE(clock.read(150).runs);
  EXPECT_EQ(clock.read(99).cycles, 0u) << "the reader looked at its clock first";
  clock.ends(200);
  EXPECT_EQ(clock.read(1000).cycles, 100u);
  EXPECT_FALSE(clock.read(1000).runs);
  clock.begins(1000);
  EXPECT_EQ(clock.read(1010).cycles, 110u);
}

}  // namespace
}  // namespace trapline
