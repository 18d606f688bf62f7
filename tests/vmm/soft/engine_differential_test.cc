// Random instructions, one at a time, from random states: this engine against qemu-aarch64. Both
// run the very same image: for each case, load the registers, execute, store the registers.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>

#include "decode/a64_decoder.h"
#include "tests/vmm/soft/engine_fixture.h"

namespace trapline::soft {
namespace {

constexpr unsigned kCases = 6000;
constexpr unsigned kStateBytes = 31 * 8 + 8 + 8 * 16;  // X0-X30, NZCV, V0-V7
constexpr unsigned kScratchBytes = 8192;

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(engine_() % n); }
  uint32_t masked(uint32_t mask) { return static_cast<uint32_t>(engine_()) & mask; }
  // Values with many edges.
  uint64_t value() {
    switch (below(6)) {
      case 0:
        return below(4);
      case 1:
        return ~uint64_t{0} - below(3);
      case 2:
        return uint64_t{1} << below(64);
      case 3:
        return (uint64_t{1} << below(64)) - 1;
      case 4:
        return static_cast<uint32_t>(engine_());
      default:
        return engine_();
    }
  }

 private:
  std::mt19937_64 engine_;
};

uint32_t field(uint32_t word, unsigned high, unsigned low) {
  return word >> low & ((2u << (high - low)) - 1);
}

bool valid_bitmask(uint32_t word) {
  const unsigned n = field(word, 22, 22), imms = field(word, 15, 10);
  if (n == 1) return (word >> 31) != 0 && imms != 63;
  for (int p = 5; p >= 1; --p) {
    if ((imms >> p & 1) == 0) return (imms & ((1u << p) - 1)) != (1u << p) - 1;
  }
  return false;
}

struct Class {
  const char* name;
  uint32_t fixed, random;  // bits
  std::function<bool(uint32_t)> valid;
  bool memory = false;  // base X1, index X2, data registers 3 to 27
};

bool narrow(uint32_t word) { return (word >> 31) == 0; }
bool writes_sp(uint32_t word) { return field(word, 4, 0) == 31; }

// A load or store that both sides define.
bool plain_memory(uint32_t word) {
  Access a;
  if (decode(word, a) != DecodeStatus::kAccess) return false;
  if (a.acquire_pc) return false;
  if (a.op > trapline::Op::kAtomicUmin &&
      (a.op < trapline::Op::kLoadMultiple || a.op > trapline::Op::kLoadReplicate)) {
    return false;
  }
  const bool pair = a.count == 2 && (a.op == trapline::Op::kLoad || a.op == trapline::Op::kStore);
  if (a.op == trapline::Op::kLoad && pair && a.rt == a.rt2) return false;
  if (a.vector && (a.rt > 7 || (pair && a.rt2 > 7))) return false;
  switch (a.op) {
    case trapline::Op::kLoadMultiple:
    case trapline::Op::kStoreMultiple:
    case trapline::Op::kLoadLane:
    case trapline::Op::kStoreLane:
    case trapline::Op::kLoadReplicate:
      return a.rt + a.regs() <= 8;
    default:
      break;
  }
  auto data = [](unsigned r) { return r >= 3; };
  if (!a.vector && (!data(a.rt) || (pair && !data(a.rt2)))) return false;
  if (a.op == trapline::Op::kStoreExclusive && (a.rs == a.rt || a.rs < 3 || a.rs == a.rt2)) {
    return false;
  }
  if (a.op == trapline::Op::kLoadExclusive && a.count == 2 && a.rt == a.rt2) return false;
  if (a.op == trapline::Op::kCompareAndSwap &&
      (a.rs < 3 || (a.count == 2 && (a.rs >= 29 || a.rt >= 29)))) {
    return false;
  }
  if (a.op >= trapline::Op::kSwap && a.op <= trapline::Op::kAtomicUmin && a.rs < 3) return false;
  return true;
}

const std::vector<Class>& classes() {
  static const std::vector<Class> list = {
      {"add/sub immediate", 0x11000000, 0xe07fffff,
       [](uint32_t w) { return field(w, 29, 29) != 0 || !writes_sp(w); }},
      {"logical immediate", 0x12000000, 0xe07fffff,
       [](uint32_t w) { return valid_bitmask(w) && (field(w, 30, 29) == 3 || !writes_sp(w)); }},
      {"move wide", 0x12800000, 0xe07fffff,
       [](uint32_t w) { return field(w, 30, 29) != 1 && (!narrow(w) || field(w, 22, 22) == 0); }},
      {"bitfield, 32 bits", 0x13000000, 0x601f7fff,
       [](uint32_t w) { return field(w, 30, 29) != 3; }},
      {"bitfield, 64 bits", 0x93400000, 0x603fffff,
       [](uint32_t w) { return field(w, 30, 29) != 3; }},
      {"extract, 32 bits", 0x13800000, 0x001f7fff, nullptr},
      {"extract, 64 bits", 0x93c00000, 0x001fffff, nullptr},
      {"adr", 0x10000000, 0xe0ffffff, nullptr},
      {"logical shifted", 0x0a000000, 0xe0ffffff,
       [](uint32_t w) { return !narrow(w) || field(w, 15, 15) == 0; }},
      {"add/sub shifted", 0x0b000000, 0xe0dfffff,
       [](uint32_t w) { return field(w, 23, 22) != 3 && (!narrow(w) || field(w, 15, 15) == 0); }},
      {"add/sub extended", 0x0b200000, 0xe01fffff,
       [](uint32_t w) {
         return field(w, 12, 10) <= 4 && (field(w, 29, 29) != 0 || !writes_sp(w));
       }},
      {"add/sub with carry", 0x1a000000, 0xe01f03ff, nullptr},
      {"conditional compare", 0x3a400000, 0xc01ffbef, nullptr},
      {"conditional select", 0x1a800000, 0xc01ff7ff, nullptr},
      {"multiply-add", 0x1b000000, 0x801fffff, nullptr},
      {"multiply-add long", 0x9b200000, 0x009fffff, nullptr},
      {"multiply high", 0x9b407c00, 0x009f03ff, nullptr},
      {"divide", 0x1ac00800, 0x801f07ff, nullptr},
      {"variable shift", 0x1ac02000, 0x801f0fff, nullptr},
      {"crc32", 0x1ac04000, 0x801f1fff,
       [](uint32_t w) { return narrow(w) == (field(w, 11, 10) != 3); }},
      {"one source", 0x5ac00000, 0x800017ff,
       [](uint32_t w) {
         const uint32_t opcode = field(w, 12, 10);
         return opcode <= 5 && (!narrow(w) || opcode != 3);
       }},
      // --- memory ---
      {"unsigned offset", 0x39000020, 0xc4c0fc1f, plain_memory, true},
      {"unscaled, pre and post", 0x38000020, 0xc4dffc1f, plain_memory, true},
      {"register offset", 0x38220820, 0xc4c0f01f, plain_memory, true},
      {"pair", 0x28000020, 0xc5fffc1f, plain_memory, true},
      {"acquire, release, exclusive", 0x08007c20, 0xc0ff801f, plain_memory, true},
      {"exclusive pair", 0x88200020, 0x407ffc1f, plain_memory, true},
      {"compare and swap", 0x08a07c20, 0xc05f801f, plain_memory, true},
      {"compare and swap pair", 0x08207c20, 0x405e801e, plain_memory, true},
      {"atomic", 0x38200020, 0xc0dff01f, plain_memory, true},
      {"structures", 0x0c000020, 0x4040fc07, plain_memory, true},
      {"structures, post-index", 0x0c820020, 0x4040fc07, plain_memory, true},
      {"structure lanes", 0x0d000020, 0x4060fc07, plain_memory, true},
      {"structure lanes, post-index", 0x0d9f0020, 0x4060fc07, plain_memory, true},
  };
  return list;
}

// --- the image -----------------------------------------------------------------------------------

class Image {
 public:
  explicit Image(uint64_t base) : base_(base) {}
  uint64_t here() const { return base_ + 4 * code_.size(); }
  void emit(uint32_t word) { code_.push_back(word); }
  void load_constant(unsigned reg, uint64_t value) {
    emit(0xd2800000 | (value & 0xffff) << 5 | reg);
    emit(0xf2a00000 | (value >> 16 & 0xffff) << 5 | reg);
  }
  const std::vector<uint32_t>& code() const { return code_; }

 private:
  uint64_t base_;
  std::vector<uint32_t> code_;
};

struct Program {
  std::vector<uint8_t> bytes;
  std::vector<uint32_t> words;
  std::vector<const char*> names;
  uint64_t end = 0, output = 0;
  uint64_t output_bytes = 0;
  uint64_t input_offset = 0;
};

constexpr uint64_t kImageBase = kRam + 0x100'0000;
constexpr unsigned kWordsPerCase = 64;

Program make_program(uint64_t seed) {
  Random random(seed);
  Program p;
  const uint64_t code_bytes = (uint64_t{kCases} * kWordsPerCase + 64) * 4;
  const uint64_t input = kImageBase + code_bytes;
  p.output = input + uint64_t{kCases} * kStateBytes;
  const uint64_t scratch = p.output + uint64_t{kCases} * kStateBytes;
  p.output_bytes = uint64_t{kCases} * kStateBytes + kScratchBytes;
  p.input_offset = input - kImageBase;
  p.bytes.resize(scratch + kScratchBytes - kImageBase);

  Image image(kImageBase);
  for (unsigned i = 0; i < kCases; ++i) {
    const Class& c = classes()[i % classes().size()];
    uint32_t word;
    do {
      word = c.fixed | random.masked(c.random);
    } while (c.valid && !c.valid(word));
    p.words.push_back(word);
    p.names.push_back(c.name);

    uint64_t state[kStateBytes / 8];
    for (uint64_t& v : state) v = random.value();
    state[31] = uint64_t{random.below(16)} << 28;
    if (c.memory) {
      // Exclusives and atomics want alignment, the others shall not have it.
      const bool aligned = (word & 0x3f000000) == 0x08000000 || (word & 0x3f200c00) == 0x38200000;
      state[1] = scratch + 4096 + 16 * random.below(32) + (aligned ? 0 : random.below(16));
      state[2] = random.below(16);
    }
    memcpy(&p.bytes[p.input_offset + uint64_t{i} * kStateBytes], state, kStateBytes);

    const size_t start = image.code().size();
    image.emit(0xd5033f5f);  // clrex: a monitor left by another case is IMPLEMENTATION DEFINED
    image.load_constant(30, p.output + uint64_t{i} * kStateBytes);
    image.emit(0x910003df);  // mov sp, x30
    image.load_constant(30, input + uint64_t{i} * kStateBytes);
    image.emit(0xf9407fc0);                // ldr x0, [x30, #248]
    image.emit(0xd51b4200);                // msr nzcv, x0
    for (unsigned v = 0; v < 8; v += 2) {  // ldp qV, qV+1, [x30, #256 + 16 * v]
      image.emit(0xad4003c0 | (16 + v) << 15 | (v + 1) << 10 | v);
    }
    for (unsigned r = 0; r < 30; r += 2) {  // ldp xR, xR+1, [x30, #8 * r]
      image.emit(0xa94003c0 | r << 15 | (r + 1) << 10 | r);
    }
    image.emit(word);
    for (unsigned r = 0; r < 30; r += 2) {  // stp xR, xR+1, [sp, #8 * r]
      image.emit(0xa90003e0 | r << 15 | (r + 1) << 10 | r);
    }
    image.emit(0xf9007bfe);                // str x30, [sp, #240]
    image.emit(0xd53b4200);                // mrs x0, nzcv
    image.emit(0xf9007fe0);                // str x0, [sp, #248]
    for (unsigned v = 0; v < 8; v += 2) {  // stp
      image.emit(0xad0003e0 | (16 + v) << 15 | (v + 1) << 10 | v);
    }
    EXPECT_LE(image.code().size() - start, kWordsPerCase);
  }
  p.end = image.here();
  // write(1, output, bytes); exit(0)
  image.load_constant(0, 1);
  image.load_constant(1, p.output);
  image.load_constant(2, p.output_bytes);
  image.load_constant(8, 64);
  image.emit(0xd4000001);
  image.load_constant(0, 0);
  image.load_constant(8, 93);
  image.emit(0xd4000001);
  memcpy(p.bytes.data(), image.code().data(), 4 * image.code().size());
  for (unsigned i = 0; i < kScratchBytes; ++i) {
    p.bytes[scratch - kImageBase + i] = static_cast<uint8_t>(random.below(256));
  }
  return p;
}

// A static ELF executable of one segment.
std::vector<uint8_t> make_elf(const Program& p) {
  constexpr uint64_t kOffset = 0x1000;
  std::vector<uint8_t> elf(kOffset);
  auto put16 = [&](size_t at, uint16_t v) { memcpy(&elf[at], &v, 2); };
  auto put32 = [&](size_t at, uint32_t v) { memcpy(&elf[at], &v, 4); };
  auto put64 = [&](size_t at, uint64_t v) { memcpy(&elf[at], &v, 8); };
  memcpy(&elf[0], "\177ELF\2\1\1", 7);
  put16(16, 2);    // ET_EXEC
  put16(18, 183);  // EM_AARCH64
  put32(20, 1);
  put64(24, kImageBase);
  put64(32, 64);  // program headers
  put16(52, 64);
  put16(54, 56);
  put16(56, 1);
  put32(64, 1);  // PT_LOAD
  put32(68, 7);  // RWX
  put64(72, kOffset);
  put64(80, kImageBase);
  put64(88, kImageBase);
  put64(96, p.bytes.size());
  put64(104, p.bytes.size());
  put64(112, 0x1000);
  elf.insert(elf.end(), p.bytes.begin(), p.bytes.end());
  return elf;
}

std::vector<uint8_t> run_qemu(const Program& p) {
  const char* temporary = getenv("TMPDIR");
  std::string path = std::string(temporary != nullptr ? temporary : "/tmp") + "/trapline-XXXXXX";
  const int fd = mkstemp(path.data());
  if (fd < 0) return {};
  const std::vector<uint8_t> elf = make_elf(p);
  const bool written = write(fd, elf.data(), elf.size()) == static_cast<ssize_t>(elf.size());
  fchmod(fd, 0700);
  close(fd);
  std::vector<uint8_t> out;
  if (FILE* pipe = written ? popen(("qemu-aarch64 -cpu max " + path).c_str(), "r") : nullptr) {
    out.resize(p.output_bytes);
    out.resize(fread(out.data(), 1, out.size(), pipe));
    pclose(pipe);
  }
  unlink(path.c_str());
  return out;
}

class Differential : public testing::TestWithParam<uint64_t> {};

TEST_P(Differential, IntegerAndMemoryInstructionsMatchQemu) {
  if (system("qemu-aarch64 --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no qemu-aarch64";
  const Program p = make_program(GetParam());
  const std::vector<uint8_t> expected = run_qemu(p);
  ASSERT_EQ(expected.size(), p.output_bytes) << "the reference did not run to the end";

  Bench bench;
  bench.poke<uint64_t>(kTables + 8, kRam | kBlock | kAf | kUser);
  bench.enable_mmu();
  set_el_and_spsel(bench.cpu(), 0, 0);
  bench.memory.write(kImageBase, p.bytes.data(), p.bytes.size());
  bench.cpu().pc = kImageBase;
  bench.vcpu().set_breakpoints(&p.end, 1);
  const Exit exit = bench.vcpu().run(~uint64_t{0});
  ASSERT_EQ(exit.kind, ExitKind::kDebug)
      << "vector " << std::hex << vector_of(exit) << " ELR " << bench.cpu().sys.elr_el1 << " ESR "
      << bench.cpu().sys.esr_el1;
  std::vector<uint8_t> actual(p.output_bytes);
  bench.memory.read(p.output, actual.data(), actual.size());
  unsigned failures = 0;
  for (unsigned i = 0; i < kCases && failures < 20; ++i) {
    const size_t at = size_t{i} * kStateBytes;
    if (memcmp(&expected[at], &actual[at], kStateBytes) == 0) continue;
    ++failures;
    for (unsigned r = 0; r < kStateBytes / 8; ++r) {
      uint64_t want, got, before;
      memcpy(&want, &expected[at + 8 * r], 8);
      memcpy(&got, &actual[at + 8 * r], 8);
      memcpy(&before, &p.bytes[p.input_offset + at + 8 * r], 8);
      EXPECT_EQ(got, want) << p.names[i] << " word " << std::hex << p.words[i] << std::dec
                           << " slot " << r << " was " << std::hex << before;
    }
  }
  const size_t scratch = size_t{kCases} * kStateBytes;
  EXPECT_EQ(memcmp(&expected[scratch], &actual[scratch], kScratchBytes), 0) << "memory differs";
}

INSTANTIATE_TEST_SUITE_P(Seeds, Differential, testing::Values(1, 2, 3));

}  // namespace
}  // namespace trapline::soft
