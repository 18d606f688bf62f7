#include "vmm/host/host_writer.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "tests/vmm/host/pipe.h"

namespace trapline {
namespace {

using std::chrono::milliseconds;
constexpr size_t kCapacity = 10'000;

TEST(HostWriter, WritesWhatItIsGiven) {
  Pipe p;
  HostWriter w(p.end[1], kCapacity, milliseconds{1});
  EXPECT_EQ(w.put("before the start, "), 18u);
  w.start(nullptr);
  EXPECT_EQ(w.put("after it"), 8u);
  w.finish();
  EXPECT_EQ(w.dropped(), 0u);
  p.close_end(1);
  EXPECT_EQ(p.read_bytes(100), "before the start, after it");
}

TEST(HostWriter, HoldsABoundedBufferAndTellsWhenThereIsRoom) {
  Pipe p;
  const size_t before = p.fill('.');
  HostWriter w(p.end[1], kCapacity, milliseconds{0});
  std::atomic<unsigned> rooms{0};
  w.start([&] { ++rooms; });
  const std::string all = pattern(400'000);
  size_t sent = 0;
  // The pipe is full: no more than the buffer and the piece that the thread has in hand.
  for (int quiet = 0; quiet < 20; ++quiet) {
    const size_t n = w.put(std::string_view(all).substr(sent));
    if (n != 0) quiet = 0;
    sent += n;
    std::this_thread::sleep_for(milliseconds{1});
  }
  EXPECT_LE(sent, kCapacity + 4096);
  EXPECT_GE(sent, kCapacity);
  EXPECT_LE(rooms, 1u);
  std::string got;
  std::thread reader([&] { got = p.read_bytes(before + all.size()).substr(before); });
  while (sent < all.size()) {
    const unsigned seen = rooms;
    sent += w.put(std::string_view(all).substr(sent));
    // What was refused is announced: waiting for that alone must do.
    while (sent < all.size() && rooms == seen) std::this_thread::yield();
  }
  w.finish();
  reader.join();
  EXPECT_TRUE(got == all);
  EXPECT_GT(rooms, 10u);
  EXPECT_EQ(w.dropped(), 0u);
}

TEST(HostWriter, ForceGoesBeyondTheBoundAndHolds) {
  Pipe p;
  const size_t before = p.fill('.');
  HostWriter w(p.end[1], kCapacity, milliseconds{0});
  w.start(nullptr);
  const std::string all = pattern(100'000);
  w.force(std::string_view(all).substr(0, 5'000));
  EXPECT_FALSE(w.over());
  w.force(std::string_view(all).substr(5'000));
  EXPECT_TRUE(w.over());
  w.wait_until_below(milliseconds{10});
  EXPECT_TRUE(w.over());
  std::string got;
  std::thread reader([&] { got = p.read_bytes(before + all.size()).substr(before); });
  while (w.over()) w.wait_until_below(milliseconds{1000});
  w.finish();
  reader.join();
  EXPECT_TRUE(got == all);
}

// A stop: what nobody takes is dropped and counted, and nothing waits.
TEST(HostWriter, AbandonEndsIt) {
  for (bool first : {false, true}) {
    Pipe p;
    const size_t before = p.fill('.');
    HostWriter w(p.end[1], kCapacity, milliseconds{5});
    if (first) w.abandon();
    std::atomic<unsigned> rooms{0};
    w.start([&] { ++rooms; });
    w.force(std::string(2 * kCapacity, 'x'));
    EXPECT_EQ(w.over(), !first);
    w.abandon();
    w.wait_until_below(milliseconds{1'000'000});
    EXPECT_EQ(w.put(std::string(3 * kCapacity, 'y')), 3 * kCapacity);
    w.finish();
    EXPECT_EQ(w.dropped(), 5 * kCapacity);
    p.close_end(1);
    EXPECT_EQ(p.read_bytes(1'000'000).size(), before);
    w.abandon();
  }
}

TEST(HostWriter, AbandonedItStillWritesWhatIsTaken) {
  Pipe p;
  HostWriter w(p.end[1], kCapacity, milliseconds{5});
  w.start(nullptr);
  w.abandon();
  EXPECT_EQ(w.put("the exit profile"), 16u);
  w.finish();
  EXPECT_EQ(w.dropped(), 0u);
  EXPECT_EQ(p.read_bytes(16), "the exit profile");
}

// Without anybody's abandon() the end waits for the reader, however slow.
TEST(HostWriter, FinishWaitsForASlowReader) {
  Pipe p;
  p.fill('.');
  HostWriter w(p.end[1], kCapacity, milliseconds{0});
  w.start(nullptr);
  w.put("the last line");
  w.close();
  EXPECT_FALSE(w.ended(milliseconds{50}));
  std::string got;
  std::thread reader([&] {
    std::this_thread::sleep_for(milliseconds{100});
    got = p.read_bytes(1'000'000);
  });
  while (!w.ended(milliseconds{1000})) {
  }
  p.close_end(1);
  reader.join();
  EXPECT_TRUE(got.ends_with("the last line"));
  EXPECT_EQ(w.dropped(), 0u);
}

// A device with a FIFO of its own gives its last bytes when it is told of room.
TEST(HostWriter, RoomIsToldBeforeTheEnd) {
  Pipe p;
  const size_t before = p.fill('.');
  HostWriter w(p.end[1], kCapacity, milliseconds{0});
  std::atomic<bool> given{false};
  w.start([&] {
    if (!given.exchange(true)) w.put("fifo");
  });
  const std::string all = pattern(50'000);
  size_t n = w.put(all);
  EXPECT_LT(n, all.size());
  w.close();
  std::string got;
  std::thread reader([&] { got = p.read_bytes(before + n + 4); });
  w.finish();
  reader.join();
  EXPECT_TRUE(got.ends_with("fifo"));
}

TEST(HostWriter, WhenNobodyListensItDiscardsAndCounts) {
  Pipe p;
  p.close_end(0);
  HostWriter w(p.end[1], kCapacity, milliseconds{0});
  w.start(nullptr);
  for (int n = 0; n < 100;) {
    if (w.put("0123456789") == 10) {
      ++n;
    } else {
      std::this_thread::yield();
    }
  }
  w.finish();
  EXPECT_EQ(w.dropped(), 1000u);
  EXPECT_EQ(w.error(), EPIPE);
}

// poll() promises nothing for a socket that others fill: write() itself waits, and is left behind.
TEST(HostWriter, AWriteThatDoesNotReturnIsLeftBehind) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  {
    HostWriter w(pair[0], 10'000'000, milliseconds{0});
    w.start([] { ADD_FAILURE(); });
    w.put(std::string(5'000'000, 'x'));
    std::this_thread::sleep_for(milliseconds{50});
    w.abandon();
    w.finish();
    EXPECT_GT(w.dropped(), 1'000'000u);
  }
  close(pair[1]);
  std::this_thread::sleep_for(milliseconds{50});  // the thread is gone now: EPIPE
  close(pair[0]);
}

}  // namespace
}  // namespace trapline
