#include "devices/virtio/nbd.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "devices/virtio/blk_engine.h"
#include "devices/virtio/disk.h"
#include "devices/virtio/nbd_journal.h"
#include "tests/devices/virtio/nbd_server.h"

namespace trapline::virtio::test {
namespace {

constexpr size_t kBytes = 8 << 20;

std::vector<uint8_t> pattern(size_t bytes, uint8_t seed) {
  std::vector<uint8_t> v(bytes);
  for (size_t i = 0; i < bytes; ++i) v[i] = static_cast<uint8_t>(seed + i * 7 + i / 251);
  return v;
}

// A disk and its engine, used as a device's I/O thread does.
struct Disk {
  explicit Disk(const NbdServer& server, ImageOptions options = {}) {
    ImageResult result = open_image(server.uri(), options);
    EXPECT_NE(result.image, nullptr) << result.error;
    image = std::move(result.image);
    if (image != nullptr) engine = image->make_engine();
  }

  BlkRequest& begin(BlkOp op, uint64_t offset, std::vector<uint8_t>& data, bool durable = false) {
    requests.push_back(std::make_unique<BlkRequest>());
    BlkRequest& r = *requests.back();
    r.op = op;
    r.offset = offset;
    r.bytes = data.size();
    r.durable = durable;
    r.iov = {{data.data(), data.size()}};
    r.result = 1;
    engine->submit(&r);
    return r;
  }
  void finish(size_t count) {
    std::vector<BlkRequest*> done;
    while (done.size() < count) engine->wait(-1, true, done);
  }
  int run(BlkOp op, uint64_t offset, std::vector<uint8_t>& data, bool durable = false) {
    const BlkRequest& r = begin(op, offset, data, durable);
    finish(1);
    return r.result;
  }
  int write(uint64_t offset, std::vector<uint8_t> data, bool durable = false) {
    return run(BlkOp::kWrite, offset, data, durable);
  }
  std::vector<uint8_t> read(uint64_t offset, size_t bytes) {
    std::vector<uint8_t> data(bytes);
    EXPECT_EQ(run(BlkOp::kRead, offset, data), 0);
    return data;
  }
  int flush() {
    std::vector<uint8_t> none;
    return run(BlkOp::kFlush, 0, none);
  }
  // So that a loss is seen.
  void look() {
    std::vector<BlkRequest*> done;
    engine->wait(-1, false, done);
  }

  std::unique_ptr<Image> image;
  std::unique_ptr<BlkEngine> engine;
  std::vector<std::unique_ptr<BlkRequest>> requests;
};

std::vector<uint8_t> part(const std::vector<uint8_t>& all, size_t offset, size_t bytes) {
  return {all.begin() + static_cast<ptrdiff_t>(offset),
          all.begin() + static_cast<ptrdiff_t>(offset + bytes)};
}

TEST(Nbd, TellsUrisFromFiles) {
  for (const char* uri :
       {"nbd://host/e", "nbds://h", "nbd+unix:///?socket=/s", "nbds+unix:///e", "nbd+vsock://1/"}) {
    EXPECT_TRUE(is_nbd_uri(uri)) << uri;
  }
  for (const char* file : {"nbd", "nbd:x", "/a/nbd://b", "http://h/", "nbdx://h", "disk.img", ""}) {
    EXPECT_FALSE(is_nbd_uri(file)) << file;
  }
}

TEST(Nbd, ReadsAndWrites) {
  NbdServer server(kBytes);
  Disk disk(server);
  ASSERT_NE(disk.image, nullptr);
  EXPECT_EQ(disk.image->bytes(), kBytes);
  EXPECT_FALSE(disk.image->read_only());
  EXPECT_EQ(disk.write(4096, pattern(8192, 3)), 0);
  EXPECT_EQ(disk.read(4096, 8192), pattern(8192, 3));
  EXPECT_EQ(part(server.cache(), 4096, 8192), pattern(8192, 3));
  EXPECT_EQ(part(server.durable(), 4096, 8192), std::vector<uint8_t>(8192));
  EXPECT_EQ(disk.flush(), 0);
  EXPECT_EQ(part(server.durable(), 4096, 8192), pattern(8192, 3));
}

TEST(Nbd, CutsWhatIsLargeAndGathersWhatIsScattered) {
  NbdServer server(kBytes);
  Disk disk(server);
  const auto data = pattern(5 << 20, 9);
  EXPECT_EQ(disk.write(512, data), 0);
  EXPECT_EQ(server.most_bytes(), 1u << 20);
  std::vector<uint8_t> a(1000), b(3 << 20), c(data.size() - 1000 - (3 << 20));
  BlkRequest r;
  r.op = BlkOp::kRead;
  r.offset = 512;
  r.bytes = data.size();
  r.iov = {{a.data(), a.size()}, {b.data(), b.size()}, {c.data(), c.size()}};
  disk.engine->submit(&r);
  disk.finish(1);
  ASSERT_EQ(r.result, 0);
  a.insert(a.end(), b.begin(), b.end());
  a.insert(a.end(), c.begin(), c.end());
  EXPECT_EQ(a, data);
}

TEST(Nbd, DurableWritesAreByFuaOrByAFlushAfterThem) {
  for (const uint16_t flags :
       {NbdServer::kUsual, static_cast<uint16_t>(NbdServer::kHasFlags | NbdServer::kFlush)}) {
    NbdServer server(kBytes, flags);
    Disk disk(server);
    EXPECT_EQ(disk.write(0, pattern(512, 1), true), 0);
    EXPECT_EQ(part(server.durable(), 0, 512), pattern(512, 1));
    EXPECT_EQ(server.count(NbdServer::kFlushNow), (flags & NbdServer::kFua) != 0 ? 0u : 1u);
  }
}

TEST(Nbd, ZeroesAndDiscardsAsTheServerCan) {
  for (const uint16_t flags :
       {NbdServer::kUsual, static_cast<uint16_t>(NbdServer::kHasFlags | NbdServer::kFlush)}) {
    NbdServer server(kBytes, flags);
    Disk disk(server);
    EXPECT_EQ(disk.write(0, pattern(65536, 1)), 0);
    EXPECT_EQ(disk.image->write_zeroes(4096, 8192, false), 0);
    EXPECT_EQ(disk.read(4096, 8192), std::vector<uint8_t>(8192));
    EXPECT_EQ(disk.image->discard(16384, 4096), 0);
    EXPECT_EQ(server.count(NbdServer::kTrimNow), (flags & NbdServer::kTrim) != 0 ? 1u : 0u);
    EXPECT_EQ(server.count(NbdServer::kZero), (flags & NbdServer::kZeroes) != 0 ? 1u : 0u);
    EXPECT_EQ(disk.read(32768, 512), part(pattern(65536, 1), 32768, 512));
  }
}

// The server's cache is gone; what it had acknowledged is sent again, in order, and is there after
// the flush.
TEST(Nbd, AcknowledgedWritesOutliveTheServer) {
  NbdServer server(kBytes);
  Disk disk(server);
  EXPECT_EQ(disk.write(0, pattern(4096, 1)), 0);
  EXPECT_EQ(disk.flush(), 0);
  EXPECT_EQ(disk.write(0, pattern(4096, 2)), 0);
  EXPECT_EQ(disk.write(2048, pattern(4096, 3)), 0);
  for (unsigned i = 0; i < 100; ++i) {
    EXPECT_EQ(disk.write((1 << 20) + i * 512, pattern(512, static_cast<uint8_t>(i))), 0);
  }
  EXPECT_EQ(disk.image->write_zeroes(2560, 512, false), 0);
  const auto before = server.cache();
  server.crash();
  EXPECT_NE(server.cache(), before);
  server.start();
  EXPECT_EQ(disk.read(0, 2048), pattern(2048, 2));
  EXPECT_EQ(server.cache(), before);
  EXPECT_EQ(disk.flush(), 0);
  EXPECT_EQ(server.durable(), before);
}

TEST(Nbd, WhatWasFlushedIsNotSentAgain) {
  NbdServer server(kBytes);
  Disk disk(server);
  EXPECT_EQ(disk.write(0, pattern(4096, 2)), 0);
  EXPECT_EQ(disk.flush(), 0);
  const unsigned writes = server.count(NbdServer::kWrite);
  server.crash();
  server.start();
  disk.read(0, 512);
  EXPECT_EQ(server.count(NbdServer::kWrite), writes);
}

TEST(Nbd, RequestsUnderWayWaitForTheServer) {
  NbdServer server(kBytes);
  Disk disk(server);
  std::atomic<int> left{5};
  server.judge = [&](const NbdServer::Request&) { return left-- > 0 ? 0 : -1; };
  std::vector<std::vector<uint8_t>> data;
  for (unsigned i = 0; i < 20; ++i) data.push_back(pattern(4096, static_cast<uint8_t>(i)));
  for (unsigned i = 0; i < 20; ++i) disk.begin(BlkOp::kWrite, i * 8192, data[i]);
  std::vector<BlkRequest*> done;
  // Of what it has answered some may be lost with the connection.
  while (left >= 0) disk.engine->wait(-1, true, done);
  server.crash();
  EXPECT_LE(done.size(), 5u);
  server.judge = nullptr;
  server.start();
  while (done.size() < 20) disk.engine->wait(-1, true, done);
  for (const BlkRequest* r : done) EXPECT_EQ(r->result, 0);
  EXPECT_EQ(disk.flush(), 0);
  for (unsigned i = 0; i < 20; ++i) {
    EXPECT_EQ(part(server.durable(), i * 8192, 4096), data[i]) << i;
  }
}

TEST(Nbd, WhoNotifiesSendsWhileTheIoThreadSleeps) {
  NbdServer server(kBytes);
  Disk disk(server);
  const int kick = eventfd(0, 0);
  const auto wake = [kick] {
    const uint64_t one = 1;
    EXPECT_EQ(write(kick, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  };
  std::atomic<unsigned> ended{0};
  std::atomic<bool> stop{false};
  std::thread sleeper([&] {
    while (!stop) {
      std::vector<BlkRequest*> done;
      disk.engine->wait(kick, true, done);
      ended += static_cast<unsigned>(done.size());
    }
  });
  for (unsigned i = 0; i < 200; ++i) {
    if (i == 100) {
      server.crash();
      server.start();
    }
    const std::vector<uint8_t> expected = pattern(4096, static_cast<uint8_t>(i / 2));
    std::vector<uint8_t> data = i % 2 == 0 ? expected : std::vector<uint8_t>(4096);
    BlkRequest r;
    r.op = i % 2 == 0 ? BlkOp::kWrite : BlkOp::kRead;
    r.offset = uint64_t{i / 2} * 4096;
    r.bytes = data.size();
    r.iov = {{data.data(), data.size()}};
    bool again = false;
    while (!disk.engine->submit_at_notify(&r, again)) std::this_thread::yield();
    if (again) wake();
    while (ended <= i) std::this_thread::yield();
    EXPECT_EQ(r.result, 0);
    EXPECT_EQ(data, expected);
  }
  stop = true;
  wake();
  sleeper.join();
  close(kick);
}

TEST(Nbd, AServerThatShutsDownIsOneThatIsAway) {
  NbdServer server(kBytes);
  Disk disk(server);
  std::atomic<int> refuse{1};
  server.judge = [&](const NbdServer::Request&) { return refuse-- > 0 ? 108 : 0; };
  EXPECT_EQ(disk.write(0, pattern(512, 1)), 0);
}

TEST(Nbd, RequestsFailMeanwhileIfThatIsWished) {
  NbdServer server(kBytes);
  Disk disk(server, {.fail_on_loss = true});
  EXPECT_EQ(disk.write(0, pattern(4096, 5)), 0);
  server.crash();
  disk.look();
  EXPECT_EQ(disk.write(8192, pattern(512, 1)), -EIO);
  server.start();
  std::vector<uint8_t> data(512);
  while (disk.run(BlkOp::kRead, 0, data) != 0) poll(nullptr, 0, 20);
  // The write that was acknowledged is there all the same.
  EXPECT_EQ(part(server.cache(), 0, 4096), pattern(4096, 5));
  EXPECT_EQ(disk.flush(), 0);
}

TEST(Nbd, WhoeverParksDoesNotWaitForEver) {
  NbdServer server(kBytes);
  Disk disk(server);
  server.crash();
  std::vector<uint8_t> data(512);
  const BlkRequest& r = disk.begin(BlkOp::kRead, 0, data);
  std::vector<BlkRequest*> done;
  while (done.empty()) {
    disk.engine->parking();
    disk.engine->wait(-1, true, done);
  }
  EXPECT_EQ(r.result, -EIO);
}

TEST(Nbd, AnotherDiskIsNotTakenForThisOne) {
  NbdServer server(kBytes);
  Disk disk(server, {.fail_on_loss = true});
  server.crash();
  server.resize(kBytes / 2);
  server.start();
  disk.look();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(disk.write(0, pattern(512, 1)), -EIO);
    poll(nullptr, 0, 20);
  }
  EXPECT_EQ(server.count(NbdServer::kWrite), 0u);
}

TEST(Nbd, AFailedFlushFails) {
  NbdServer server(kBytes);
  Disk disk(server);
  EXPECT_EQ(disk.write(0, pattern(512, 1)), 0);
  server.judge = [](const NbdServer::Request& r) {
    return r.command == NbdServer::kFlushNow ? 5 : 0;
  };
  EXPECT_EQ(disk.flush(), -EIO);
}

// A write that cannot be sent again is not kept quiet about.
TEST(Nbd, AWriteThatIsRefusedTheSecondTimeFailsTheFlush) {
  NbdServer server(kBytes);
  Disk disk(server);
  EXPECT_EQ(disk.write(0, pattern(512, 1)), 0);
  server.crash();
  server.judge = [](const NbdServer::Request& r) {
    return r.command == NbdServer::kWrite ? 28 : 0;
  };
  server.start();
  disk.read(0, 512);
  EXPECT_LT(disk.flush(), 0);
}

TEST(Nbd, KeepsNoMoreThanItMayByFlushingItself) {
  NbdServer server(kBytes);
  Disk disk(server);
  for (unsigned i = 0; i < 100; ++i) EXPECT_EQ(disk.write(0, pattern(1 << 20, 1)), 0);
  EXPECT_GE(server.count(NbdServer::kFlushNow), 2u);
  EXPECT_LE(server.count(NbdServer::kFlushNow), 4u);
  EXPECT_EQ(disk.flush(), 0);
}

TEST(Nbd, SeveralConnectionsWhereTheServerSaysSo) {
  NbdServer many(kBytes, NbdServer::kUsual | NbdServer::kMultiConn);
  Disk a(many);
  EXPECT_EQ(many.connections(), 4u);
  std::vector<std::vector<uint8_t>> data;
  for (unsigned i = 0; i < 64; ++i) data.push_back(pattern(4096, static_cast<uint8_t>(i)));
  for (unsigned i = 0; i < 64; ++i) a.begin(BlkOp::kWrite, i * 4096, data[i]);
  a.finish(64);
  const auto before = many.cache();
  many.crash();
  many.start();
  EXPECT_EQ(a.read(63 * 4096, 4096), data[63]);
  EXPECT_EQ(many.cache(), before);
  EXPECT_EQ(a.flush(), 0);
  EXPECT_EQ(many.durable(), before);
  NbdServer one(kBytes);
  Disk b(one);
  EXPECT_EQ(one.connections(), 1u);
}

TEST(Nbd, AControllerCountsForAllItsDisks) {
  NbdServer one(kBytes), two(kBytes);
  const virtio::Disk a(open_image(one.uri(), {}).image, "a"),
      b(open_image(two.uri(), {}).image, "b");
  std::vector<std::pair<std::string, uint64_t>> seen;
  virtio::Disk::sum_counters(
      {&a, &b},
      [](void* to, std::string_view name, uint64_t value) {
        static_cast<decltype(seen)*>(to)->emplace_back(name, value);
      },
      &seen);
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0], std::pair(std::string("nbd_connections"), uint64_t{2}));
}

TEST(Nbd, ReadOnlyExports) {
  NbdServer server(kBytes, NbdServer::kHasFlags | NbdServer::kReadOnly | NbdServer::kFlush);
  const ImageResult refused = open_image(server.uri(), {});
  EXPECT_EQ(refused.image, nullptr);
  EXPECT_NE(refused.error.find("add `,ro`"), std::string::npos) << refused.error;
  Disk disk(server, {.read_only = true});
  EXPECT_EQ(disk.read(0, 512), std::vector<uint8_t>(512));
  EXPECT_EQ(disk.write(0, pattern(512, 1)), -EROFS);
  EXPECT_EQ(disk.flush(), 0);
}

// The machine moves: the server is let go, and taken again where the move fails.
TEST(Nbd, ChangesHands) {
  NbdServer server(kBytes);
  Disk disk(server);
  EXPECT_EQ(disk.write(0, pattern(512, 1)), 0);
  EXPECT_EQ(disk.image->flush(), 0);
  EXPECT_EQ(disk.image->unlock(), "");
  while (server.connections() != 0) poll(nullptr, 0, 10);
  EXPECT_EQ(disk.image->lock(), "");
  EXPECT_EQ(disk.read(0, 512), pattern(512, 1));
}

TEST(Nbd, SaysWhoDoesNotAnswer) {
  const ImageResult none = open_image("nbd+unix:///?socket=/nonexistent/socket", {});
  EXPECT_EQ(none.image, nullptr);
  EXPECT_NE(none.error.find("/nonexistent/socket"), std::string::npos) << none.error;
  const ImageResult bad = open_image("nbd+what:///", {});
  EXPECT_EQ(bad.image, nullptr);
  EXPECT_FALSE(bad.error.empty());
}

// --- the journal ---------------------------------------------------------------------------------

NbdWrite write_of(uint64_t offset, uint64_t bytes) {
  return {BlkOp::kWrite, false, offset, bytes, std::make_unique<uint8_t[]>(bytes)};
}

TEST(NbdJournal, AFlushCoversWhatWasThereWhenItWasSent) {
  NbdJournal journal(1 << 20);
  journal.add(write_of(0, 512));
  const uint64_t mark = journal.mark();
  journal.add(write_of(512, 512));
  journal.flushed(mark);
  ASSERT_EQ(journal.writes().size(), 1u);
  EXPECT_EQ(journal.writes()[0].offset, 512u);
  journal.flushed(mark);
  EXPECT_EQ(journal.writes().size(), 1u);
  journal.flushed(journal.mark());
  EXPECT_TRUE(journal.writes().empty());
}

TEST(NbdJournal, BeyondItsLimitItIsNotWholeUntilTheNextFlush) {
  NbdJournal journal(4096);
  EXPECT_FALSE(journal.has_room(NbdJournal::cost(4096)));
  journal.add(write_of(0, 2048));
  EXPECT_TRUE(journal.wants_flush());
  EXPECT_TRUE(journal.whole());
  const uint64_t before = journal.mark();
  journal.add(write_of(0, 2048));
  EXPECT_FALSE(journal.whole());
  journal.flushed(before);
  EXPECT_FALSE(journal.whole());
  journal.flushed(journal.mark());
  EXPECT_TRUE(journal.whole());
  journal.add(write_of(0, 512));
  EXPECT_EQ(journal.writes().size(), 1u);
}

TEST(NbdJournal, WhatOverlapsIsSentInOrder) {
  NbdJournal journal(1 << 20);
  for (const uint64_t offset : {0, 512, 1024, 600, 0}) journal.add(write_of(offset, 512));
  EXPECT_EQ(journal.apart(0, 16), 3u);
  EXPECT_EQ(journal.apart(0, 2), 2u);
  EXPECT_EQ(journal.apart(3, 16), 2u);
  EXPECT_EQ(journal.apart(4, 16), 1u);
}

}  // namespace
}  // namespace trapline::virtio::test
