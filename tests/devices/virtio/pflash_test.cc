#include "devices/pflash.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "tests/devices/virtio/temp_file.h"

namespace trapline {
namespace {

using virtio::test::TempFile;

constexpr uint64_t kSize = 2 << 20;
constexpr uint32_t kSector = Pflash::kSectorBytes;

constexpr uint32_t dual(uint32_t code) { return code << 16 | code; }

struct Bank {
  explicit Bank(bool read_only = false, FlashFile* file = nullptr)
      : array(kSize, 0xff),
        flash({.name = "pflash1",
               .array = array.data(),
               .size = kSize,
               .read_only = read_only,
               .file = file,
               .on_mode = [this](bool mode) { modes.push_back(mode); },
               .on_write = [this](uint64_t at, uint64_t n) { writes.emplace_back(at, n); }}) {}
  uint32_t read(uint64_t at) { return static_cast<uint32_t>(flash.read(at, 4, 0).value); }
  void write(uint64_t at, uint32_t value) { flash.write(at, 4, value, 0); }
  void command(uint64_t at, uint32_t code) { write(at, dual(code)); }
  uint8_t status() {
    command(0, 0x70);
    const uint32_t value = read(0);
    EXPECT_EQ(value >> 16, value & 0xff);
    return static_cast<uint8_t>(value);
  }
  // As EDK2's NOR driver does it.
  uint8_t program_word(uint64_t at, uint32_t value) {
    command(at, 0x40);
    write(at, value);
    const uint8_t s = status();
    command(at, 0x50);
    command(at, 0xff);
    return s;
  }
  uint8_t program_buffer(uint64_t at, const std::vector<uint32_t>& words) {
    command(at, 0xe8);
    EXPECT_EQ(read(at) & 0x80, 0x80u);
    command(at, static_cast<uint32_t>(words.size() - 1));
    for (size_t i = 0; i < words.size(); ++i) write(at + 4 * i, words[i]);
    command(0, 0xd0);
    const uint8_t s = status();
    command(0, 0x50);
    command(0, 0xff);
    return s;
  }
  uint8_t erase(uint64_t at) {
    command(at, 0x20);
    command(at, 0xd0);
    const uint8_t s = status();
    command(at, 0x50);
    command(at, 0xff);
    return s;
  }
  uint32_t word(uint64_t at) const {
    uint32_t value;
    std::memcpy(&value, &array[at], 4);
    return value;
  }

  std::vector<uint8_t> array;
  std::vector<bool> modes;
  std::vector<std::pair<uint64_t, uint64_t>> writes;
  Pflash flash;
};

TEST(Pflash, ArrayModeReadsTheArrayInEverySize) {
  Bank b;
  for (int i = 0; i < 8; ++i) b.array[100 + i] = static_cast<uint8_t>(0x10 + i);
  EXPECT_EQ(b.flash.read(100, 1, 0).value, 0x10u);
  EXPECT_EQ(b.flash.read(100, 2, 0).value, 0x1110u);
  EXPECT_EQ(b.flash.read(101, 4, 0).value, 0x14131211u);
  EXPECT_EQ(b.flash.read(100, 8, 0).value, 0x1716151413121110u);
  EXPECT_EQ(b.flash.read(kSize - 4, 8, 0).value, 0u);
  EXPECT_TRUE(b.flash.array_mode());
}

TEST(Pflash, QueryTable) {
  struct Row {
    unsigned index;
    uint8_t value;
    const char* what;
  };
  const Row rows[] = {
      {0x10, 'Q', "Q"},         {0x11, 'R', "R"},
      {0x12, 'Y', "Y"},         {0x13, 1, "command set"},
      {0x14, 0, "command set"}, {0x15, 0x31, "extended table"},
      {0x27, 20, "1 MiB each"}, {0x28, 2, "x8/x16"},
      {0x2a, 11, "2 KiB each"}, {0x2c, 1, "regions"},
      {0x2d, 7, "8 blocks"},    {0x2e, 0, "8 blocks"},
      {0x2f, 0, "128 KiB"},     {0x30, 2, "128 KiB"},
      {0x31, 'P', "P"},         {0x32, 'R', "R"},
      {0x33, 'I', "I"},         {0x34, '1', "1.0"},
      {0x35, '0', "1.0"},       {0x3f, 1, "protection fields"},
      {0, 0, "nothing"},        {0x200, 0, "nothing"},
  };
  Bank b;
  b.command(4 * 0x55, 0x98);
  for (const Row& r : rows) EXPECT_EQ(b.read(4 * r.index), dual(r.value)) << r.what;
  EXPECT_EQ(b.flash.read(0x40, 1, 0).value, 'Q');
  EXPECT_EQ(b.flash.read(0x42, 2, 0).value, 'Q');
  EXPECT_EQ(b.flash.read(0x40, 8, 0).value, 0x0052005200510051u);
  b.command(0, 0xff);
  EXPECT_EQ(b.read(0x40), 0xffffffffu);
}

TEST(Pflash, BankOf64MiBLooksLikeQemus) {
  std::vector<uint8_t> array(Pflash::kBankBytes);
  Pflash flash({.name = "pflash0", .array = array.data(), .on_mode = {}, .on_write = {}});
  flash.write(0, 4, dual(0x98), 0);
  EXPECT_EQ(flash.read(4 * 0x27, 4, 0).value, dual(25));
  EXPECT_EQ(flash.read(4 * 0x2d, 4, 0).value, dual(255));
}

TEST(Pflash, Identifiers) {
  Bank b;
  b.command(0, 0x90);
  EXPECT_EQ(b.read(0), dual(0x89));
  EXPECT_EQ(b.read(4), dual(0x18));
  EXPECT_EQ(b.read(8), 0u);
  b.command(kSector, 0x60);
  b.command(kSector, 0x01);
  b.command(0, 0x90);
  EXPECT_EQ(b.read(8), 0u);
  EXPECT_EQ(b.read(kSector + 8), dual(1));
}

TEST(Pflash, ProgramsClearBitsAndErasesSetThem) {
  Bank b;
  EXPECT_EQ(b.program_word(0x100, 0xf0f0f0f0), 0x80);
  EXPECT_EQ(b.word(0x100), 0xf0f0f0f0u);
  EXPECT_EQ(b.program_word(0x100, 0xffff0000), 0x80);
  EXPECT_EQ(b.word(0x100), 0xf0f00000u);
  EXPECT_EQ(b.erase(0x100), 0x80);
  EXPECT_EQ(b.word(0x100), 0xffffffffu);
  EXPECT_EQ(b.writes,
            (std::vector<std::pair<uint64_t, uint64_t>>{{0x100, 4}, {0x100, 4}, {0, kSector}}));
}

TEST(Pflash, EraseTouchesOneSector) {
  Bank b;
  std::fill(b.array.begin(), b.array.end(), 0);
  EXPECT_EQ(b.erase(kSector + 1234), 0x80);
  EXPECT_EQ(b.array[kSector - 1], 0);
  EXPECT_EQ(b.array[kSector], 0xff);
  EXPECT_EQ(b.array[2 * kSector - 1], 0xff);
  EXPECT_EQ(b.array[2 * kSector], 0);
}

TEST(Pflash, WriteBuffer) {
  Bank b;
  std::vector<uint32_t> words(32);
  for (size_t i = 0; i < words.size(); ++i) words[i] = static_cast<uint32_t>(i * 0x01010101);
  EXPECT_EQ(b.program_buffer(0x80, words), 0x80);
  for (size_t i = 0; i < words.size(); ++i) EXPECT_EQ(b.word(0x80 + 4 * i), words[i]);
  EXPECT_EQ(b.word(0x100), 0xffffffffu);
  EXPECT_EQ(b.word(0x7c), 0xffffffffu);
  // All of the buffer at once.
  EXPECT_EQ(b.program_buffer(0x2000, std::vector<uint32_t>(1024, 0x12345678)), 0x80);
  EXPECT_EQ(b.word(0x2000), 0x12345678u);
  EXPECT_EQ(b.word(0x2ffc), 0x12345678u);
  EXPECT_EQ(b.word(0x3000), 0xffffffffu);
}

// U-Boot's driver finds "one 16-bit device": half as wide, so as many stores for half the bytes.
TEST(Pflash, WriteBufferByHalfwords) {
  Bank b;
  b.flash.write(0, 2, 0xe8, 0);
  EXPECT_EQ(b.flash.read(0, 2, 0).value, 0x80u);
  b.flash.write(0, 2, 1023, 0);
  for (uint32_t i = 0; i < 1024; ++i) b.flash.write(0x800 + 2 * i, 2, i, 0);
  b.flash.write(0, 2, 0xd0, 0);
  EXPECT_EQ(b.status(), 0x80);
  b.command(0, 0xff);
  EXPECT_EQ(b.word(0x7fc), 0xffffffffu);
  for (uint32_t i = 0; i < 1024; i += 2) EXPECT_EQ(b.word(0x800 + 2 * i), (i + 1) << 16 | i);
  EXPECT_EQ(b.word(0x1000), 0xffffffffu);
}

// 64-bit stores to the buffer are two cycles each.
TEST(Pflash, WriteBufferByDoublewords) {
  Bank b;
  b.command(0, 0xe8);
  b.command(0, 3);
  b.flash.write(0, 8, 0x2222222211111111, 0);
  b.flash.write(8, 8, 0x4444444433333333, 0);
  b.command(0, 0xd0);
  EXPECT_EQ(b.status(), 0x80);
  EXPECT_EQ(b.word(4), 0x22222222u);
  EXPECT_EQ(b.word(12), 0x44444444u);
}

TEST(Pflash, WriteBufferMistakes) {
  Bank b;
  b.command(0, 0xe8);
  b.command(0, 1024);  // one word too many
  EXPECT_EQ(b.status(), 0x80 | 0x30);
  b.command(0, 0x50);
  EXPECT_EQ(b.status(), 0x80);

  b.command(0, 0xe8);
  b.command(0, 1);
  b.write(0xffc, 0);
  b.write(0x1000, 0);  // leaves the buffer
  EXPECT_EQ(b.status(), 0x80 | 0x30);
  b.command(0, 0x50);

  b.command(0, 0xe8);
  b.command(0, 0);
  b.write(0, 0);
  b.command(0, 0xff);  // not confirmed
  EXPECT_EQ(b.status(), 0x80 | 0x30);
  EXPECT_EQ(b.word(0), 0xffffffffu);
  EXPECT_TRUE(b.writes.empty());
}

TEST(Pflash, LockedAndReadOnlySectorsStay) {
  Bank b;
  b.command(0, 0x60);
  b.command(0, 0x01);
  EXPECT_EQ(b.program_word(0, 0), 0x80 | 0x10 | 0x02);
  EXPECT_EQ(b.erase(0), 0x80 | 0x20 | 0x02);
  EXPECT_EQ(b.program_word(kSector, 0), 0x80);
  b.command(0, 0x60);
  b.command(0, 0xd0);
  EXPECT_EQ(b.program_word(0, 0), 0x80);

  Bank ro(true);
  EXPECT_EQ(ro.program_word(0, 0), 0x80 | 0x10 | 0x02);
  EXPECT_EQ(ro.program_buffer(0, {0}), 0x80 | 0x10 | 0x02);
  EXPECT_EQ(ro.erase(0), 0x80 | 0x20 | 0x02);
  EXPECT_EQ(ro.word(0), 0xffffffffu);
  EXPECT_TRUE(ro.writes.empty());
  ro.command(0, 0x98);  // but it can be probed
  EXPECT_EQ(ro.read(0x40), dual('Q'));
}

TEST(Pflash, StoresThatAreNoCommand) {
  for (bool read_only : {false, true}) {
    Bank b(read_only);
    b.flash.write(0, 8, 0x0070007000700070, 0);  // EDK2's store to bank 0
    EXPECT_TRUE(b.flash.array_mode());
    for (uint32_t code : {0u, 0x33u, 0xd0u, 0xb0u}) b.command(0, code);
    EXPECT_TRUE(b.flash.array_mode());
    EXPECT_TRUE(b.modes.empty());
    b.flash.write(kSize - 1, 4, 0x70, 0);
    b.flash.write(kSize, 4, 0x70, 0);
    EXPECT_TRUE(b.flash.array_mode());
  }
}

TEST(Pflash, AbandonedSequences) {
  Bank b;
  b.command(0, 0x20);
  b.command(0, 0xff);
  EXPECT_TRUE(b.flash.array_mode());
  b.command(0, 0x20);
  b.command(0, 0x40);
  EXPECT_EQ(b.status(), 0x80 | 0x30);
  b.command(0, 0x50);
  b.command(0, 0x60);
  b.command(0, 0x77);
  EXPECT_EQ(b.status(), 0x80 | 0x30);
  EXPECT_TRUE(b.writes.empty());
}

TEST(Pflash, TellsTheModeOnceAChange) {
  Bank b;
  b.command(0, 0x70);
  b.command(0, 0x90);
  b.command(0, 0xff);
  b.command(0, 0xff);
  b.command(0, 0xf0);
  b.command(0, 0x98);
  b.flash.reset();
  EXPECT_EQ(b.modes, (std::vector<bool>{false, true, false, true}));
}

TEST(Pflash, ModesFromTwoThreadsEndInAgreement) {
  Bank b;
  for (int round = 0; round < 200; ++round) {
    std::thread other([&] {
      for (int i = 0; i < 20; ++i) b.command(0, i % 2 == 0 ? 0x70 : 0xff);
    });
    for (int i = 0; i < 20; ++i) b.command(0, i % 2 == 0 ? 0x98 : 0xff);
    other.join();
    b.command(0, 0xff);
    ASSERT_TRUE(b.modes.empty() || b.modes.back());
    b.command(0, 0x70);
    ASSERT_FALSE(b.modes.back());
    b.command(0, 0xff);
    b.modes.clear();
  }
}

TEST(Pflash, SaveAndLoadInTheMiddle) {
  Bank a, b;
  a.command(0, 0x60);
  a.command(0, 0x01);
  a.command(0x1000, 0xe8);
  a.command(0x1000, 1);
  a.write(0x1000, 0xabcd1234);
  StateWriter out;
  a.flash.save(out);
  for (size_t size = 0; size < out.buffer().size(); size += 37) {
    StateReader cut(out.buffer().data(), size);
    EXPECT_FALSE(b.flash.load(cut));
  }
  StateReader in(out.buffer().data(), out.buffer().size());
  ASSERT_TRUE(b.flash.load(in));
  EXPECT_FALSE(b.flash.array_mode());
  EXPECT_FALSE(b.modes.back());
  b.write(0x1004, 0x5678);
  b.command(0, 0xd0);
  // Sector 0 is locked, and so it was when saved.
  EXPECT_EQ(b.status(), 0x80 | 0x10 | 0x02);
}

// --- persistence ---------------------------------------------------------------------------------

TEST(FlashFile, OpensCreatesAndRefuses) {
  TempFile temp;
  unlink(temp.path.c_str());
  FlashFile file;
  EXPECT_EQ(file.open(temp.path, kSize), "");
  FlashFile second;
  EXPECT_NE(second.open(temp.path, kSize).find("given twice"), std::string::npos);
  TempFile big(kSize + 1);
  EXPECT_NE(second.open(big.path, kSize).find("too big"), std::string::npos);
  EXPECT_NE(second.open("/nonexistent/vars", kSize).find("No such file"), std::string::npos);
  EXPECT_NE(second.open("/", kSize).find("directory"), std::string::npos);
}

TEST(FlashFile, KeepsWhatWasProgrammed) {
  TempFile temp;
  temp.write({1, 2, 3});
  {
    FlashFile file;
    ASSERT_EQ(file.open(temp.path, kSize), "");
    Bank b(false, &file);
    ASSERT_EQ(file.load(b.array.data()), "");
    EXPECT_EQ(b.word(0), 0xff030201u);
    EXPECT_EQ(b.program_word(kSector + 8, 0x11223344), 0x80);
    EXPECT_EQ(b.program_buffer(16, {5, 6}), 0x80);
  }
  FlashFile file;
  ASSERT_EQ(file.open(temp.path, kSize), "");
  Bank b(false, &file);
  ASSERT_EQ(file.load(b.array.data()), "");
  EXPECT_EQ(b.word(0), 0xff030201u);
  EXPECT_EQ(b.word(16), 5u);
  EXPECT_EQ(b.word(24), 0xffffffffu);  // between: erased, not zero
  EXPECT_EQ(b.word(kSector + 8), 0x11223344u);
  EXPECT_EQ(b.erase(0), 0x80);
  EXPECT_EQ(temp.read()[0], 0xff);
  EXPECT_EQ(temp.read()[kSector + 8], 0x44);
  b.array[7] = 0x77;  // a snapshot came back
  EXPECT_EQ(b.flash.store_all(), 0);
  EXPECT_EQ(temp.read(), b.array);
}

// The child programs words in order and reports each one that is finished; it is killed at a
// random moment, and the file must hold at least what was reported.
TEST(FlashFile, SurvivesSigkill) {
  for (int round = 0; round < 20; ++round) {
    TempFile temp;
    int report[2];
    ASSERT_EQ(pipe(report), 0);
    const pid_t child = fork();
    if (child == 0) {
      FlashFile file;
      if (!file.open(temp.path, kSize).empty()) _exit(1);
      Bank b(false, &file);
      file.load(b.array.data());
      for (uint32_t i = 0; i < kSize / 4; ++i) {
        b.command(4 * i, 0x40);
        b.write(4 * i, i);
        if (write(report[1], &i, sizeof i) != sizeof i) _exit(1);
      }
      _exit(0);
    }
    close(report[1]);
    uint32_t last = 0, value;
    const uint32_t stop = 1 + 97 * static_cast<uint32_t>(round);
    while (read(report[0], &value, sizeof value) == sizeof value && (last = value) < stop) {
    }
    kill(child, SIGKILL);
    while (read(report[0], &value, sizeof value) == sizeof value) last = value;
    close(report[0]);
    waitpid(child, nullptr, 0);
    const auto bytes = temp.read();
    ASSERT_GE(bytes.size(), 4 * (last + 1));
    for (uint32_t i = 0; i <= last; ++i) {
      ASSERT_EQ(std::memcmp(&bytes[4 * i], &i, 4), 0) << i;
    }
  }
}

// Until it is `value`: at once if the other runs, but not for its host CPU's whole time slice.
void wait_for(const std::atomic<unsigned>& word, unsigned value) {
  for (unsigned spins = 0; word.load(std::memory_order_acquire) != value; ++spins) {
    if (spins > 1000) std::this_thread::yield();
  }
}

// Whoever finds the other announcing leaves its own mode to it.
TEST(Pflash, TheLastOfTwoModesIsAnnounced) {
  constexpr unsigned kRounds = 20'000;
  std::vector<uint8_t> array(kSize, 0xff);
  std::atomic<bool> announced{true};
  Pflash flash({.name = "pflash1",
                .array = array.data(),
                .size = kSize,
                .on_mode = [&](bool mode) { announced = mode; },
                .on_write = {}});
  std::atomic<unsigned> round{0}, done{0};
  std::thread other([&] {
    for (unsigned i = 1; i <= kRounds; ++i) {
      wait_for(round, i);
      flash.write(0, 4, dual(0xff), 1);  // the array
      done.store(i, std::memory_order_release);
    }
  });
  unsigned lost = 0;
  for (unsigned i = 1; i <= kRounds; ++i) {
    flash.write(0, 4, dual(0xff), 0);
    round.store(i, std::memory_order_release);
    for (unsigned wait = i % 128; wait != 0; --wait) {
      std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    flash.write(0, 4, dual(0x70), 0);  // the status
    wait_for(done, i);
    lost += announced != flash.array_mode();
  }
  other.join();
  EXPECT_EQ(lost, 0u);
}

}  // namespace
}  // namespace trapline
