#include "vmm/trace/replay.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace trapline::trace {
namespace {

constexpr uint64_t kDevice = 0x900'0000;

class Trace : public ::testing::Test {
 protected:
  Trace() : path_(testing::TempDir() + "replay." + std::to_string(getpid())) {
    auto writer = BlockWriter::create(path_);
    EXPECT_TRUE(writer) << writer.error();
    writer_ = std::move(*writer);
    writer_->write(BlockType::kConfiguration,
                   R"({"version": 2, "cpus": 2, "icount": false, "icache": "recheck",
                       "decoder": "native", "isv": "never", "backend": "soft", "ns_per_cycle": 1,
                       "regions": [{"base": 150994944, "size": 4096, "device_offset": 0,
                                    "device": "pl011"}]})");
    put([](Encoder& out) {
      out.byte(static_cast<uint8_t>(Tag::kContext));
      out.varint(1);
      write_regs(out, {});
      out.byte(static_cast<uint8_t>(Tag::kViewState));
      write_view_state(out, {});
    });
  }
  ~Trace() override { unlink(path_.c_str()); }

  template <typename Put>
  void put(Put&& what) {
    std::vector<uint8_t> room(2 * kLongestExit);
    Encoder out(room.data());
    what(out);
    events_.insert(events_.end(), room.data(), out.at());
  }
  // The instruction at 0x40000000 + 4 * (number - 1).
  void source(uint32_t word) {
    SourceData data;
    data.word = word;
    data.ipa = 0x4000'0000 + 4 * sources_++;
    put([&](Encoder& out) {
      out.byte(static_cast<uint8_t>(Tag::kSource));
      write_source(out, data);
    });
  }
  // An ISV=0 exit at the device of that source.
  ExitEvent exit(uint64_t number, bool write) {
    ExitEvent event;
    event.exit.kind = ExitKind::kDataAbort;
    event.exit.valid_mask = Exit::kEsr | Exit::kFar | Exit::kIpa;
    event.exit.esr = 0x9200'0007 | (write ? 0x40 : 0);
    event.exit.pc = 0x4000'0000 + 4 * (number - 1);
    event.exit.far = event.exit.ipa = kDevice;
    event.source = number;
    event.context = 1;
    event.answer = {Resume::kGoOn};
    event.flags = ExitEvent::kState;
    event.rare = std::make_unique<ExitEvent::Rare>();
    return event;
  }
  void put_exit(const ExitEvent& event) {
    put([&](Encoder& out) { write_event(out, coding_, event); });
  }
  ReplayResult play() {
    Block block;
    block.header.raw = static_cast<uint32_t>(events_.size());
    block.data = events_;
    writer_->write(std::move(block));
    writer_->write(BlockType::kNames, "{}");
    EXPECT_EQ(writer_->finish(), "");
    auto reader = Reader::open(path_);
    EXPECT_TRUE(reader) << reader.error();
    auto result = replay(*reader, {});
    EXPECT_TRUE(result) << result.error();
    for (const Difference& d : result->differences) ADD_FAILURE() << d.exit << ": " << d.what;
    return std::move(*result);
  }

  std::string path_;
  std::unique_ptr<BlockWriter> writer_;
  std::vector<uint8_t> events_;
  Coding coding_;
  uint64_t sources_ = 0;
};

// ldxr w0, [x1]; stxr w2, w0, [x1]: once it stores, once another CPU has stored before it.
TEST_F(Trace, AStoreExclusiveThatAnotherCpuBrokeIsNoDifference) {
  source(0x885f7c20);
  source(0x88027c20);
  const ExclusiveMonitor set{true, true, 4, kDevice, {}, 0};
  for (const bool broken : {false, true, false}) {
    ExitEvent load = exit(1, false);
    load.flags |= ExitEvent::kAccesses;
    load.accesses.push_back({0, 4, false, false, 0, 7});
    load.before_mask = 1 << 1;
    load.before[1] = kDevice;
    load.after_mask = 1;
    load.after[0] = 7;
    load.rare->monitor_after = set;
    put_exit(load);
    ExitEvent store = exit(2, true);
    if (!broken) {
      store.flags |= ExitEvent::kAccesses;
      store.accesses.push_back({0, 4, true, false, 0, 7});
    }
    store.before_mask = 1 << 2;
    store.before[2] = 5;
    store.after_mask = 1 << 2;
    store.after[2] = broken ? 1 : 0;
    store.rare->monitor_before = set;
    put_exit(store);
  }
  const ReplayResult result = play();
  EXPECT_EQ(result.exits, 6u);
  EXPECT_EQ(result.differing, 0u);
}

TEST_F(Trace, MaintenanceIsCounted) {
  put([](Encoder& out) {
    out.byte(static_cast<uint8_t>(Tag::kMaintenance));
    out.varint(sysreg_id(1, 0, 8, 3, 1));  // TLBI VAE1IS
    out.varint(0x1234);
    out.byte(static_cast<uint8_t>(Tag::kMaintenanceLost));
    out.varint(41);
  });
  EXPECT_EQ(play().maintenance, 42u);
}

}  // namespace
}  // namespace trapline::trace
