#include "vmm/machine/console.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <termios.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>

#include "tests/vmm/host/pipe.h"

namespace trapline {
namespace {

// A UART whose guest takes what the test lets it take.
struct Uart {
  Console::Hooks hooks() {
    Console::Hooks h;
    h.input_space = [this] { return space.load(); };
    h.input = [this](const uint8_t* p, size_t n) {
      std::lock_guard lock(mutex);
      EXPECT_LE(n, space);
      got.append(reinterpret_cast<const char*>(p), n);
      space -= n;
    };
    h.output_room = [this] { ++rooms; };
    h.hold = [this] { ++holds; };
    h.quit = [this] { quit = true; };
    return h;
  }
  size_t received() {
    std::lock_guard lock(mutex);
    return got.size();
  }
  std::atomic<size_t> space{0};
  std::atomic<unsigned> rooms{0}, holds{0};
  std::atomic<bool> quit{false};
  std::mutex mutex;
  std::string got;
};

size_t put(Console& console, std::string_view text) {
  return console.put(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

TEST(Console, InputIsHeldUntilTheGuestHasRoom) {
  for (bool polled : {false, true}) {
    Pipe in, out;
    Uart uart;
    Console console(in.end[0], out.end[1]);
    console.start(uart.hooks(), polled);
    const std::string all = pattern(1'000'000);
    std::thread writer([&] {
      in.write_all(all);
      in.close_end(1);
    });
    for (unsigned n = 0; n < 20; ++n) {
      if (polled) console.poll(0);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(uart.received(), 0u);
    for (size_t step = 1; uart.received() < all.size(); step = step % 500 + 1) {
      if (uart.space == 0) {
        uart.space = step;
        console.input_wanted();
      }
      polled ? console.poll(1) : std::this_thread::yield();
    }
    writer.join();
    console.stop();
    EXPECT_TRUE(uart.got == all);
  }
}

// A guest that takes bytes while they are being delivered does not find the device full, and so has
// nothing to announce.
TEST(Console, DeliversUntilTheDeviceIsFull) {
  Pipe in, out;
  Uart uart;
  uart.space = 10;
  Console console(in.end[0], out.end[1]);
  Console::Hooks hooks = uart.hooks();
  hooks.input = [&, input = hooks.input](const uint8_t* p, size_t n) {
    input(p, n);
    if (uart.received() < 1000) uart.space += n;
  };
  in.write_all(pattern(1000));
  console.start(std::move(hooks), false);
  while (uart.received() < 1000) std::this_thread::yield();
  console.stop();
  EXPECT_EQ(uart.got, pattern(1000));
}

TEST(Console, AFullOutputTakesLess) {
  Pipe in, out;
  const size_t before = out.fill('.');
  Uart uart;
  Console console(in.end[0], out.end[1]);
  console.start(uart.hooks(), false);
  const std::string all = pattern(200'000);
  size_t sent = put(console, all);
  EXPECT_GE(sent, Console::kOutputCapacity);
  EXPECT_LE(sent, Console::kOutputCapacity + 4096);
  EXPECT_FALSE(console.held());
  std::string got;
  std::thread reader([&] { got = out.read_bytes(before + all.size()).substr(before); });
  while (sent < all.size()) {
    sent += put(console, all.substr(sent));
    std::this_thread::yield();
  }
  console.stop();
  reader.join();
  EXPECT_TRUE(got == all);
  EXPECT_GT(uart.rooms, 0u);
  EXPECT_EQ(uart.holds, 0u);
}

TEST(Console, PolledItTakesAllAndHoldsTheGuest) {
  Pipe in, out;
  const size_t before = out.fill('.');
  Uart uart;
  Console console(in.end[0], out.end[1]);
  console.start(uart.hooks(), true);
  const std::string all = pattern(200'000);
  EXPECT_EQ(put(console, all), all.size());
  EXPECT_TRUE(console.held());
  EXPECT_GT(uart.holds, 0u);
  console.wait_while_held(10);
  EXPECT_TRUE(console.held());
  std::string got;
  std::thread reader([&] { got = out.read_bytes(before + all.size()).substr(before); });
  while (console.held()) console.wait_while_held(1000);
  console.stop();
  reader.join();
  EXPECT_TRUE(got == all);
}

// With output that nobody reads, keys that the guest does not take, and a reader of the terminal
// that has nothing else to wait for: Ctrl-A x is heard, also while the end waits for the output.
TEST(Console, CtrlAxIsHeardWhateverStalls) {
  for (bool polled : {false, true}) {
    for (bool ending : {false, true}) {
      Pipe out;
      out.fill('.');
      int master, slave;
      ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
      termios before, raw, after;
      tcgetattr(slave, &before);
      Uart uart;
      {
        Console console(slave, out.end[1]);
        Console::Hooks hooks = uart.hooks();
        hooks.quit = [&] {
          uart.quit = true;
          console.abandon();
        };
        console.start(std::move(hooks), polled);
        EXPECT_TRUE(console.interactive());
        tcgetattr(slave, &raw);
        EXPECT_EQ(raw.c_lflag & (ICANON | ECHO), 0u);
        console.force(reinterpret_cast<const uint8_t*>(pattern(100'000).data()), 100'000);
        EXPECT_TRUE(console.held());
        const std::string keys(3000, 'k');
        for (unsigned n = 0; n < 3; ++n) {
          ASSERT_EQ(write(master, keys.data(), keys.size()), 3000);
          if (polled) console.wait_while_held(20);
          std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        std::thread leaver([&] {
          if (ending) std::this_thread::sleep_for(std::chrono::milliseconds(50));
          ASSERT_EQ(write(master, "\x01x", 2), 2);
        });
        if (!ending) {
          while (!uart.quit) console.wait_while_held(1000);
        }
        console.stop();
        EXPECT_TRUE(uart.quit);
        EXPECT_GE(console.dropped(), 100'000u - 4096);
        leaver.join();
      }
      tcgetattr(slave, &after);
      EXPECT_EQ(after.c_lflag, before.c_lflag);
      close(master);
      close(slave);
    }
  }
}

TEST(Console, EscapesOnATerminal) {
  Pipe out;
  int master, slave;
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  Uart uart;
  uart.space = 100;
  Console console(slave, out.end[1]);
  console.start(uart.hooks(), false);
  ASSERT_EQ(write(master, "a\x01", 2), 2);
  ASSERT_EQ(write(master, "ab\x01hc\x01\x01\x01", 8), 8);
  while (uart.received() < 5) std::this_thread::yield();
  EXPECT_FALSE(uart.quit);
  ASSERT_EQ(write(master, "X", 1), 1);
  while (!uart.quit) std::this_thread::yield();
  console.stop();
  EXPECT_EQ(uart.got,
            "a\x01"
            "bc\x01");
  close(master);
  close(slave);
}

// Another process may take the bytes that poll() promised.
TEST(Console, AReaderThatIsStuckDoesNotHoldTheEnd) {
  for (unsigned n = 0; n < 20; ++n) {
    Pipe in, out;
    Uart uart;
    uart.space = 1'000'000;
    std::atomic<bool> done{false};
    Console console(in.end[0], out.end[1]);
    console.start(uart.hooks(), false);
    std::thread thief([&] {
      fcntl(in.end[0], F_SETFL, 0);
      while (!done) {
        pollfd p{in.end[0], POLLIN, 0};
        char byte;
        if (::poll(&p, 1, 1) > 0 && read(in.end[0], &byte, 1) < 0) return;
      }
    });
    for (unsigned i = 0; i < 200; ++i) in.write_all("x");
    console.stop();
    done = true;
    in.write_all("yy");  // lets whoever is stuck go
    in.close_end(1);
    thief.join();
  }
}

TEST(Console, StopWithoutStart) {
  Pipe in, out;
  Console console(in.end[0], out.end[1]);
  console.abandon();
  console.stop();
}

}  // namespace
}  // namespace trapline
