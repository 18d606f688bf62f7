#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "devices/gicv3/gicv3.h"
#include "vmm/stats/report.h"

namespace trapline {
namespace {

TEST(Histogram, QuantilesAreWithinThreePercent) {
  Histogram h;
  for (uint64_t v = 1; v <= 100'000; ++v) h.record(v);
  EXPECT_EQ(h.count(), 100'000u);
  EXPECT_EQ(h.min(), 1u);
  EXPECT_EQ(h.max(), 100'000u);
  for (double q : {0.01, 0.5, 0.9, 0.99}) {
    double exact = q * 100'000;
    EXPECT_NEAR(static_cast<double>(h.quantile(q)), exact, exact / 32 + 1) << q;
  }
}

// As Distribution::quantile_ns: the 99th percentile of two is the larger.
TEST(Histogram, QuantilesAreOfTheNearestRank) {
  Histogram h;
  h.record(10);
  h.record(20);
  for (const auto& [q, value] :
       {std::pair{0.0, 10u}, {0.5, 10u}, {0.51, 20u}, {0.99, 20u}, {1.0, 20u}}) {
    EXPECT_EQ(h.quantile(q), value) << q;
  }
}

TEST(Histogram, Extremes) {
  Histogram h;
  EXPECT_EQ(h.quantile(0.5), 0u);
  h.record(0);
  EXPECT_EQ(h.quantile(0.5), 0u);
  h.record(~uint64_t{0});
  EXPECT_EQ(h.max(), ~uint64_t{0});
  EXPECT_EQ(h.buckets().size(), 2u);
}

TEST(Histogram, BucketsHoldWhatWasRecordedAndAreNarrow) {
  for (uint64_t v = 1; v < uint64_t{1} << 38; v = v * 17 / 8 + 1) {
    Histogram h;
    h.record(v);
    const auto buckets = h.buckets();
    ASSERT_EQ(buckets.size(), 1u);
    EXPECT_LE(buckets[0].low, v);
    EXPECT_GT(buckets[0].high, v);
    EXPECT_LE((buckets[0].high - buckets[0].low) * 32, std::max<uint64_t>(v, 32)) << v;
    EXPECT_EQ(h.sum(), v);
  }
}

TEST(Histogram, MergeEqualsRecordingAll) {
  Histogram a, b, all;
  for (uint64_t v = 0; v < 5000; ++v) {
    (v % 3 == 0 ? a : b).record(v * v);
    all.record(v * v);
  }
  a.merge(b);
  for (double q : {0.0, 0.1, 0.5, 0.99, 1.0}) EXPECT_EQ(a.quantile(q), all.quantile(q));
  EXPECT_EQ(a.count(), all.count());
}

class NamedDevice : public Device {
 public:
  MmioResult read(uint64_t, unsigned, unsigned) override { return {}; }
  MmioResult write(uint64_t, unsigned, uint64_t, unsigned) override { return {}; }
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return "thing"; }
  std::string_view register_name(uint64_t offset) const override {
    return offset == 4 ? "CTRL" : "";
  }
};

TEST(VcpuCounters, CountsByRegisterAndSurvivesASprayingGuest) {
  NamedDevice device;
  Bus bus;
  ASSERT_EQ(bus.add(0x09000000, 0x200000, &device), "");
  const Bus::Region& region = bus.regions()[0];
  VcpuCounters one, two;
  one.device_access(region, 4, 4, false, 0, false);
  one.device_access(region, 5, 1, true, 0, false);
  two.device_access(region, 4, 4, false, 0, false);
  two.sysreg_access(sysreg_id(3, 0, 12, 12, 0), false);
  for (uint64_t offset = 0; offset < 0x200000; offset += 4) {
    two.device_access(region, offset, 4, true, 0, false);
  }
  RunReport report;
  report.bus = &bus;
  Gicv3 gic(1);
  report.sysreg_devices = {&gic.cpu_interface()};
  report.total.merge(one);
  report.total.merge(two);
  nlohmann::json json = report_json(report);
  EXPECT_EQ(json["devices"]["thing"]["registers"]["CTRL"]["reads"], 2);
  EXPECT_EQ(json["devices"]["thing"]["writes"], (0x200000 >> 2) + 1);
  EXPECT_EQ(json["devices"]["gicc"]["registers"]["ICC_IAR1_EL1"]["reads"], 1);
  EXPECT_FALSE(report_table(report).empty());
}

// A guest chooses its kernel's names.
TEST(Report, ANameThatIsNoUtf8IsWrittenAllTheSame) {
  RunReport report;
  report.profile.emplace().rows.emplace_back().symbol = "a\xff\xfe";
  const nlohmann::json json = nlohmann::json::parse(report_json_text(report));
  EXPECT_EQ(json["profile"]["rows"][0]["symbol"], "a\ufffd\ufffd");
}

TEST(Report, HasTheFieldsOfTheContract) {
  RunReport report;
  report.latency = std::make_unique<ExitLatency>();
  nlohmann::json json = report_json(report);
  for (const char* path :
       {"/exits/total", "/exits/data_abort/isv1", "/exits/data_abort/isv0", "/icache/hits",
        "/icache/misses", "/icache/invalidations", "/icache/mismatches", "/decode/ok",
        "/decode/unsupported", "/devices", "/insns", "/latency_ns/data_abort.isv0/p99",
        "/latency_ns/data_abort.isv0/stages/lookup/p50",
        "/latency_ns/data_abort.isv1/stages/emulate/count"}) {
    EXPECT_TRUE(json.contains(nlohmann::json::json_pointer(path))) << path;
  }
}

}  // namespace
}  // namespace trapline
