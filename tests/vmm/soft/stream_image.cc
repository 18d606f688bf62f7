#include "tests/vmm/soft/stream_image.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "vmm/soft/exception.h"
#include "vmm/soft/jit/translate.h"

namespace trapline::soft::stream {
namespace {

// Words that the driver keeps: the record, where in the sequence, the block.
constexpr uint64_t kControl = kImageBase + 0x1000;
constexpr uint32_t kNzcv = 0xd51b4200, kFpcr = 0xd51b4400, kFpsr = 0xd51b4420,
                   kTpidr = 0xd51bd040;  // MSR; with bit 21 MRS
constexpr uint32_t kMrs = 1u << 21;
constexpr unsigned kX30 = offsetof(Record, x30), kSp = offsetof(Record, sp);

class Assembler {
 public:
  explicit Assembler(uint64_t base) : base_(base) {}
  uint64_t here() const { return base_ + 4 * words.size(); }
  void emit(uint32_t word) { words.push_back(word); }
  void constant(unsigned d, uint64_t value) {  // 32 bits
    emit(0xd2800000 | static_cast<uint32_t>(value & 0xffff) << 5 | d);
    emit(0xf2a00000 | static_cast<uint32_t>(value >> 16 & 0xffff) << 5 | d);
  }
  void ldr_literal(unsigned t, uint64_t at) {
    emit(0x58000000 | (static_cast<uint32_t>((at - here()) / 4) << 5 & 0x00ffffe0) | t);
  }
  void load(unsigned t, unsigned n, unsigned offset) {
    emit(0xf9400000 | offset / 8 << 10 | n << 5 | t);
  }
  void store(unsigned t, unsigned n, unsigned offset) {
    emit(0xf9000000 | offset / 8 << 10 | n << 5 | t);
  }
  // LDP/STP of all of X0-X29 or V0-V31 at [X30].
  void general(bool load) {
    for (unsigned r = 0; r < 30; r += 2) {
      emit((load ? 0xa94003c0 : 0xa90003c0) | r << 15 | (r + 1) << 10 | r);
    }
  }
  void vectors(bool load) {
    for (unsigned v = 0; v < 32; v += 2) {
      const unsigned imm7 = (offsetof(fp::Record, v) + 16 * v) / 16;
      emit((load ? 0xad4003c0 : 0xad0003c0) | imm7 << 15 | (v + 1) << 10 | v);
    }
  }
  void branch(uint64_t target) {
    emit(0x14000000 | (static_cast<uint32_t>((target - here()) / 4) & 0x03ffffff));
  }
  std::vector<uint32_t> words;

 private:
  uint64_t base_;
};

// Enters at the first word. Returns the address that blocks branch to when they are done.
uint64_t make_driver(Assembler& a, Program& p) {
  constexpr unsigned kNzcvAt = offsetof(fp::Record, nzcv), kFpcrAt = offsetof(fp::Record, fpcr),
                     kFpsrAt = offsetof(fp::Record, fpsr);
  a.emit(0);  // b next
  const uint64_t done = a.here();
  const size_t first = a.words.size();
  a.ldr_literal(30, kControl);
  a.general(false);
  a.emit(0x910003e0);         // mov x0, sp
  a.emit(kTpidr | kMrs | 1);  // what the block left in X30
  a.store(0, 30, kSp);
  a.store(1, 30, kX30);
  for (const auto& [reg, at] : {std::pair{kNzcv, kNzcvAt}, {kFpcr, kFpcrAt}, {kFpsr, kFpsrAt}}) {
    a.emit(reg | kMrs | 0);
    a.store(0, 30, at);
  }
  a.vectors(false);
  a.constant(0, kControl);
  a.emit(0x91000000 | sizeof(Record) << 10 | 30 << 5 | 30);  // add x30, x30, #sizeof(Record)
  a.store(30, 0, 0);
  a.words[0] = 0x14000000 | static_cast<uint32_t>(a.words.size());  // b next
  // next:
  a.constant(0, kControl);
  a.ldr_literal(30, kControl);
  a.load(1, 0, 8);
  a.emit(0xf8408422);  // ldr x2, [x1], #8
  a.store(1, 0, 8);
  a.store(2, 0, 16);
  const size_t to_end = a.words.size();
  a.emit(0);                                                          // cbz x2, end
  a.emit(0x91000000 | offsetof(Record, memory) << 10 | 30 << 5 | 3);  // add x3, x30, #memory
  a.emit(kTpidr | 3);
  for (const auto& [reg, at] : {std::pair{kNzcv, kNzcvAt}, {kFpcr, kFpcrAt}, {kFpsr, kFpsrAt}}) {
    a.load(0, 30, at);
    a.emit(reg | 0);
  }
  a.load(0, 30, kSp);
  a.emit(0x9100001f);  // mov sp, x0
  a.vectors(true);
  a.general(true);
  a.ldr_literal(30, kControl + 16);
  a.emit(0xd61f03c0);  // br x30
  p.driver_instructions = static_cast<unsigned>(a.words.size() - first) + kBlockTail;
  // end: write(1, records, bytes); exit(0)
  a.words[to_end] = 0xb4000002 | static_cast<uint32_t>(a.words.size() - to_end) << 5;
  a.constant(0, 1);
  a.constant(1, p.records_at);
  a.constant(2, p.records * sizeof(Record));
  a.constant(8, 64);
  a.emit(0xd4000001);
  a.constant(0, 0);
  a.constant(8, 93);
  a.emit(0xd4000001);
  return done;
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

}  // namespace

Record random_stream_record(Random& random) {
  Record record{};
  record.r = fp::random_record(random);
  record.sp = random.next() & (random.below(8) != 0 ? ~uint64_t{15} : ~uint64_t{0});
  for (unsigned i = 0; i < kMemoryBytes; i += 8) {
    const uint64_t value = random.next();
    memcpy(&record.memory[i], &value, 8);
  }
  return record;
}

std::string difference(const Record& expected, const Record& actual) {
  std::string r = fp::difference(expected.r, actual.r);
  if (expected.x30 != actual.x30) {
    r += fmt::format(" x30 {:016x} not {:016x}", actual.x30, expected.x30);
  }
  if (expected.sp != actual.sp) {
    r += fmt::format(" sp {:016x} not {:016x}", actual.sp, expected.sp);
  }
  for (unsigned i = 0; i < kMemoryBytes; i += 8) {
    uint64_t want, got;
    memcpy(&want, &expected.memory[i], 8);
    memcpy(&got, &actual.memory[i], 8);
    if (want != got) r += fmt::format(" [{:#x}] {:016x} not {:016x}", i, got, want);
  }
  return r;
}

Program make_program(const std::vector<Block>& blocks, const std::vector<uint32_t>& sequence,
                     const std::vector<Record>& records) {
  Program p;
  p.records = records.size();
  const Block& last = blocks.back();
  const uint64_t blocks_end = last.address + 4 * (last.words.size() + kBlockTail);
  const uint64_t sequence_at = (blocks_end + 0xfff) & ~uint64_t{0xfff};
  p.records_at = (sequence_at + 8 * (records.size() + 1) + 0xfff) & ~uint64_t{0xfff};
  p.bytes.resize(p.records_at + records.size() * sizeof(Record) - kImageBase);
  auto put = [&](uint64_t at, const void* data, size_t size) {
    memcpy(&p.bytes[at - kImageBase], data, size);
  };
  Assembler driver(kImageBase);
  const uint64_t done = make_driver(driver, p);
  put(kImageBase, driver.words.data(), 4 * driver.words.size());
  const uint64_t control[] = {p.records_at, sequence_at, 0};
  put(kControl, control, sizeof control);
  for (const Block& block : blocks) {
    put(block.address, block.words.data(), 4 * block.words.size());
    Assembler tail(block.address + 4 * block.words.size());
    tail.emit(kTpidr | 30);
    tail.branch(done);
    put(block.address + 4 * block.words.size(), tail.words.data(), 4 * kBlockTail);
  }
  for (size_t i = 0; i < sequence.size(); ++i) {
    put(sequence_at + 8 * i, &blocks[sequence[i]].address, 8);
  }
  put(p.records_at, records.data(), records.size() * sizeof(Record));
  return p;
}

Reference::Reference(const Program& program, CpuModel model) : count_(program.records) {
  path_ = (std::filesystem::temp_directory_path() / "trapline-XXXXXX").string();
  const int fd = mkstemp(path_.data());
  if (fd < 0) return;
  const std::vector<uint8_t> elf = make_elf(program);
  const bool written = write(fd, elf.data(), elf.size()) == static_cast<ssize_t>(elf.size());
  fchmod(fd, 0700);
  close(fd);
  // neoverse-n1: all of CpuModel::kBase, 64-byte DC ZVA, and neither FPCR.AH nor FEAT_LSE2. Of max
  // the hints of FEAT_PAuth would act.
  const char* const cpu = model == CpuModel::kBase ? "neoverse-n1 " : "max,pauth=off ";
  if (written) pipe_ = popen((std::string("qemu-aarch64 -cpu ") + cpu + path_).c_str(), "r");
}

Reference::~Reference() {
  if (pipe_ != nullptr) pclose(pipe_);
  unlink(path_.c_str());
}

std::vector<Record> Reference::records() {
  std::vector<Record> out(count_);
  if (pipe_ == nullptr || fread(out.data(), sizeof(Record), count_, pipe_) != count_) return {};
  return out;
}

Result run_here(const Program& program, const Way& way, CpuModel model) {
  Result result;
  use_baseline_host(way.baseline_host);
  Bench bench(1, false, way.translate_after, model);
  use_baseline_host(false);
  bench.poke<uint64_t>(kTables + 8, kRam | kBlock | kAf | kUser);
  bench.enable_mmu();
  bench.map_page(kVectors, kVectors, kAf);  // what EL0 may write EL1 may not execute
  Cpu& cpu = bench.cpu();
  // DZE, UCT, UCI: as Linux sets them. No SA0: user-mode QEMU checks no stack pointer.
  cpu.sys.el1.sctlr = (cpu.sys.el1.sctlr | 1 << 14 | 1 << 15 | 1 << 26) & ~uint64_t{1 << 4};
  if (way.slow_data) {
    cpu.sys.mdscr_el1 = kMdscrMde;
    cpu.sys.oslar_locked = 0;
    cpu.sys.dbgwvr[0] = kRam;
    cpu.sys.dbgwcr[0] = 26 << 24 | 0xff << 5 | 3 << 3 | 1 << 1 | 1;  // 64 MiB; EL1's accesses only
    debug_context_changed(cpu);
  }
  set_el_and_spsel(cpu, 0, 0);
  update_regime(cpu);
  bench.memory.write(kImageBase, program.bytes.data(), program.bytes.size());
  cpu.pc = kImageBase;
  Exit exit;
  do {
    exit = go(bench.vcpu(), way.budget);
  } while (exit.kind == ExitKind::kBudget);
  if (vector_of(exit) != 0x400 || cpu.sys.esr_el1 >> 26 != static_cast<uint8_t>(Ec::kSvc64)) {
    result.error = fmt::format("vector {:x} ELR {:x} ESR {:x} FAR {:x} word {:08x}",
                               vector_of(exit), cpu.sys.elr_el1, cpu.sys.esr_el1, cpu.sys.far_el1,
                               bench.peek<uint32_t>(cpu.sys.elr_el1));
    return result;
  }
  result.instructions = cpu.retired - program.records * program.driver_instructions;
  result.records.resize(program.records);
  bench.memory.read(program.records_at, result.records.data(), program.records * sizeof(Record));
  return result;
}

}  // namespace trapline::soft::stream
