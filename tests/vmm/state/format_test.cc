#include "vmm/state/format.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/vmm/state/rig.h"
#include "vmm/state/arrival.h"
#include "vmm/state/dirty_log.h"
#include "vmm/state/machine_config.h"

namespace trapline::state {
namespace {

constexpr char kVersion[] = "1.2.3";

std::string check(const FileHeader& header) { return check_header(header, kVersion); }

FileHeader good_header() {
  FileHeader header = make_header(Kind::kWhole, new_id(), "9.9", "{}");
  seal(header);
  return header;
}

TEST(StateFormat, AHeaderSaysWhatItIs) {
  EXPECT_EQ(check(good_header()), "");
  FileHeader header = good_header();
  header.magic[0] = 'x';
  EXPECT_EQ(check(header), "is no saved machine");
  header = good_header();
  header.kind = static_cast<Kind>(77);
  EXPECT_EQ(check(header), "is damaged: its header");
  seal(header);
  EXPECT_EQ(check(header), "is damaged: its header");
  header = good_header();
  std::strcpy(header.arch, "riscv64");
  seal(header);
  EXPECT_EQ(check(header), "is a machine of another architecture: riscv64");
}

// Whatever a later format makes of the rest, hash included.
TEST(StateFormat, AnotherFormatIsNamedByItsWriter) {
  FileHeader header = good_header();
  header.format = 2;
  header.hash = 0;
  EXPECT_EQ(check(header),
            "was saved by trapline 9.9 in format 2; this is trapline 1.2.3, which reads format 1");
}

std::vector<uint8_t> whole(Machine& machine, const std::string& extra = {}, uint32_t flags = 0) {
  const std::string config = machine_config(machine.options());
  FileHeader header = make_header(Kind::kCompressed, new_id(), kVersion, config);
  seal(header);
  const MemoryFile file;
  Channel out(dup(file.fd()));
  EXPECT_TRUE(put_header(out, header, config) && Sections::put(out, machine));
  if (!extra.empty()) {
    EXPECT_TRUE(put_record(out, extra, bytes_of("what"), {}, flags));
  }
  EXPECT_TRUE(put_record(out, kEnd, {}) && out.flush());
  return file.bytes();
}

std::string load(Bytes bytes, Machine& machine) {
  MemoryFile file;
  file.put(bytes);
  auto saved = open_saved(file.path(), kVersion);
  return saved ? (*saved)->load(machine, false) : saved.error();
}

TEST(StateFile, IsLoadedByTheSameMachineOnly) {
  Rig from, into;
  EXPECT_EQ(load(whole(from.machine()), into.machine()), "");
  Options two;
  two.cpus = 2;
  Rig other(two);
  EXPECT_NE(load(whole(other.machine()), into.machine()).find("has a section 'cpu1'"),
            std::string::npos);
  EXPECT_NE(load(whole(from.machine()), other.machine()).find("lacks the section 'cpu1'"),
            std::string::npos);
}

TEST(StateFile, AnUnknownSectionIsRefusedByNameUnlessItIsOptional) {
  Rig from, into;
  EXPECT_NE(load(whole(from.machine(), "flux"), into.machine()).find("has a section 'flux'"),
            std::string::npos);
  EXPECT_EQ(load(whole(from.machine(), "flux", RecordHeader::kOptional), into.machine()), "");
}

TEST(StateFile, CutOffAnywhereIsOneLine) {
  Rig from, into;
  const std::vector<uint8_t> bytes = whole(from.machine());
  for (size_t n = 0; n < bytes.size(); n += n < 2000 ? 1 : 97) {
    const std::string error = load({bytes.data(), n}, into.machine());
    const bool named = error.find("is cut off") != std::string::npos ||
                       (n < 8 && error.find("is no saved machine") != std::string::npos);
    EXPECT_TRUE(named && error.find('\n') == std::string::npos) << n << ": " << error;
  }
}

TEST(StateFile, EveryByteCounts) {
  Rig from, into;
  const std::vector<uint8_t> bytes = whole(from.machine());
  for (size_t n = 0; n < bytes.size(); n += n < 2000 ? 1 : 53) {
    std::vector<uint8_t> damaged = bytes;
    damaged[n] ^= 0x10;
    EXPECT_NE(load(damaged, into.machine()), "") << n;
  }
}

// --- pages written ---

TEST(DirtyLog, KnowsWhatDevicesWrite) {
  Rig rig;
  Machine& machine = rig.machine();
  DirtyLog log(machine);
  log.start();
  EXPECT_EQ(log.take().count(), 0u);
  const uint64_t base = ram_of(machine).base;
  const uint32_t word = 1;
  machine.memory().write(base + 5 * kPageSize - 2, &word, sizeof word);
  PageSet set = log.take();
  EXPECT_EQ(set.count(), 2u);
  EXPECT_TRUE(set.has(4) && set.has(5));
  EXPECT_EQ(log.take().count(), 0u);
  machine.memory().write(base + 5 * kPageSize, &word, sizeof word);  // noted again
  EXPECT_EQ(log.take().count(), 1u);
  EXPECT_EQ(log.since().count(), 2u);
}

struct Copied final : PageSink {
  bool pages(uint64_t first, uint32_t count, const uint8_t*) override {
    text += "p" + std::to_string(first) + "+" + std::to_string(count) + " ";
    return true;
  }
  bool zeroes(uint64_t first, uint32_t count) override {
    text += "z" + std::to_string(first) + "+" + std::to_string(count) + " ";
    return true;
  }
  std::string text;
};

TEST(CopyPages, RunsAndZeroes) {
  Rig rig;
  const auto& slot = ram_of(rig.machine());
  uint8_t* const ram = slot.host;
  std::memset(ram, 0, slot.size);  // without what the guest boots by
  for (const unsigned page : {3, 4, 62, 63, 64, 70}) ram[page * kPageSize + 4095] = 1;
  PageSet set(ram_of(rig.machine()).pages());
  set.add_all();
  Copied fresh, all, some;
  EXPECT_TRUE(copy_pages(rig.machine(), set, true, fresh));
  EXPECT_EQ(fresh.text, "p3+2 p62+2 p64+1 p70+1 ");
  set.clear();
  set.words()[0] = 0x1c;  // 2, 3, 4
  EXPECT_TRUE(copy_pages(rig.machine(), set, false, some));
  EXPECT_EQ(some.text, "z2+1 p3+2 ");
}

}  // namespace
}  // namespace trapline::state
