#include "tools/fuzz_cpu/fuzz_machine.h"

#include <algorithm>

#include "decode/a64_decoder.h"
#include "tools/fuzz_cpu/program.h"
#include "vmm/soft/sysreg_table.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::fuzz {
namespace {

constexpr unsigned kWords = 48;
constexpr unsigned kExitsPerProgram = 400;
static_assert(kRamSize / 2 == uint64_t{1} << 21 && kVectors == kRam + kRamSize / 2);
constexpr uint64_t kS2All = kS2Read | kS2Write | kS2Exec;

// mrs x30, elr_el1; add x30, x30, #4; msr elr_el1, x30; eret
constexpr uint32_t kSkip[] = {0xd538403e, 0x910013de, 0xd518403e, 0xd69f03e0};

// Stage-1 descriptors. MAIR index 0 Normal, 1 Device.
constexpr uint64_t kBlock = 1, kTable = 3, kPage = 3, kAf = 1 << 10, kUser = 1 << 6;
constexpr uint64_t kIndexDevice = 1 << 2;

}  // namespace

MmioResult FuzzDevice::read(uint64_t offset, unsigned, unsigned) {
  return {value_ ^ offset, (offset & 0xff0) == 0xff0};
}
MmioResult FuzzDevice::write(uint64_t offset, unsigned, uint64_t value, unsigned) {
  value_ = value;
  return {0, (offset & 0xff0) == 0xff0};
}

FuzzMachine::FuzzMachine(bool isv_never) {
  memory_.add(kRam, kRamSize, true);
  memory_.add(kRom, kRomSize, false);
  stage2_.map(kRam, kRamSize, memory_.host(kRam, kRamSize), kS2All);
  stage2_.map(kRom, kRomSize, memory_.host(kRom, kRomSize), kS2Read | kS2Exec);
  bus_.add(kDevice, 0x1000, &device_);
  machine_ = soft::make_soft_machine(memory_, stage2_, clock_, 1, isv_never, 1);
}

// TTBR0: the first GiB Device, the second RAM, the third the window: 512 pages of every kind.
void FuzzMachine::write_tables(Random& random) {
  auto* tables = reinterpret_cast<uint64_t*>(memory_.host(kTables, 0x5000));
  std::fill(tables, tables + 0x5000 / 8, 0);
  const uint64_t user = random.one_in(2) ? kUser : 0;
  tables[0] = kBlock | kAf | kIndexDevice | user;
  // EL1 may not execute what EL0 may write: the vectors' half of RAM is its own.
  tables[1] = (kTables + 0x3000) | kTable;
  tables[1536] = kRam | kBlock | kAf | (random.one_in(3) ? kUser : 0);
  tables[1537] = (kRam + kRamSize / 2) | kBlock | kAf;
  tables[2] = (kTables + 0x1000) | kTable;
  tables[3] = random.one_in(2) ? random.next() : 0;
  tables[511] = (kTables + 0x1000) | kTable;
  tables[512] = (kTables + 0x2000) | kTable;
  tables[513] = random.next();
  for (unsigned i = 0; i < 512; ++i) {
    uint64_t frame = kRam + (random.below(kRamSize) & ~uint64_t{0xfff});
    uint64_t bits = kPage | kAf | kUser;
    const uint64_t r = random.next();
    switch (r & 15) {
      case 0:
        bits = 0;
        break;
      case 1:
        frame = kDevice;
        break;
      case 2:
        frame = kDevice;
        bits |= kIndexDevice;
        break;
      case 3:
        bits |= kIndexDevice;
        break;
      case 4:
        frame = kRom;
        break;
      case 5:
        frame = 0x0b000000;
        break;
      case 6:
        bits = r >> 8;
        break;
      case 7:
        bits |= r & (uint64_t{0x60} << 48 | 0xe0 | 0x800);
        break;
      default:
        break;
    }
    tables[1024 + i] = frame | bits;
  }
}

void FuzzMachine::prepare(Random& random) {
  soft::SoftVcpu& vcpu = machine_->vcpu(0);
  soft::Cpu& cpu = vcpu.cpu();
  stage2_.map(kRam, kRamSize, memory_.host(kRam, kRamSize), kS2All);
  write_tables(random);
  uint64_t code = kCode + random.below(0x1000) * 4;
  if (random.one_in(2))
    code = (code | 0xfff) - 4 * random.below(kWords) - 3;  // across a page's end
  uint32_t words[kWords], vectors[0x800 / 4];
  for (uint32_t& word : words) word = random_word(random);
  memory_.write(code, words, sizeof words);
  // Vectors: random code too, or straight back.
  for (unsigned i = 0; i < std::size(vectors); ++i) {
    vectors[i] = i % 32 == (random.next() & 3) ? 0xd69f03e0 : random_word(random);
  }
  // Or on behind the instruction that faulted, so that the rest of the program is reached, too.
  if (!random.one_in(3)) {
    for (const unsigned at : {0x200u, 0x400u}) {
      std::copy(std::begin(kSkip), std::end(kSkip), vectors + at / 4);
    }
  }
  memory_.write(kVectors, vectors, sizeof vectors);
  vcpu.reset(code, 0);
  for (unsigned i = 0; i < 31; ++i) cpu.r.x[i] = random_value(random);
  cpu.r.x[kSlotSp] = random_value(random) & (random.one_in(4) ? ~uint64_t{0} : ~uint64_t{15});
  for (Vreg& v : cpu.v) v = {random_value(random), random_value(random)};
  cpu.nzcv = static_cast<uint32_t>(random.next()) & 0xf0000000;
  for (const soft::SysregRow& row : soft::sysreg_rows()) {
    if (random.one_in(6) && (row.access & soft::kEl1Write) != 0) {
      soft::set_sysreg_value(cpu, row, random.one_in(2) ? random.next() : random_value(random));
    }
  }
  auto& mmu = cpu.sys.mmu;
  if (!random.one_in(8)) {
    cpu.sys.vbar_el1 = kVectors;
    cpu.sys.cpacr_el1 = 3 << 20;
    mmu.mair = 0x00ff;
    mmu.tcr = uint64_t{2} << 32 | 25 | 25 << 16 | uint64_t{2} << 30;
    if (random.one_in(3)) mmu.tcr |= uint64_t{3} << 37;
    mmu.ttbr0 = kTables;
    mmu.ttbr1 = kTables;
    mmu.sctlr &= ~uint64_t{1 << 19 | 1 << 24 | 1 << 25};  // WXN, E0E, EE
    mmu.sctlr = random.one_in(4) ? mmu.sctlr & ~uint64_t{1} : mmu.sctlr | 1;
    if (random.one_in(4)) mmu.sctlr |= random.next() & (1 << 24 | 1 << 25);
  }
  cpu.ps.daif = static_cast<uint8_t>(random.below(16));
  const unsigned el = random.one_in(2) ? 1 : 0;
  soft::set_el_and_spsel(cpu, el, el == 0 ? 0 : static_cast<unsigned>(random.below(2)));
  cpu.ps.pan = mmu.pan = random.one_in(8);
  cpu.ps.ss = random.one_in(4);
  cpu.isv_never = random.one_in(2);
  soft::translation_context_changed(cpu);
  soft::debug_context_changed(cpu);
}

// What other threads and devices do meanwhile.
void FuzzMachine::disturb(Random& random) {
  soft::SoftVcpu& vcpu = machine_->vcpu(0);
  switch (random.below(12)) {
    case 0:
      vcpu.set_irq(random.one_in(2));
      break;
    case 1:
      vcpu.set_fiq(random.one_in(2));
      break;
    case 2:
      vcpu.kick();
      break;
    case 3:
      machine_->backend().watch(kRam + (random.below(kRamSize) & ~kPageMask));
      break;
    case 4:
      machine_->backend().unmap(kRam + (random.below(kRamSize) & ~kPageMask), kPageSize);
      break;
    case 5: {
      const uint64_t page = kRam + (random.below(kRamSize) & ~kPageMask);
      machine_->backend().map(page, kPageSize, memory_.host(page, kPageSize),
                              static_cast<uint8_t>(random.below(16)));
      break;
    }
    case 6: {
      const uint64_t pc = vcpu.cpu().pc + 4 * random.below(4);
      vcpu.set_breakpoints(&pc, static_cast<unsigned>(random.below(2)));
      break;
    }
    case 7: {
      const uint64_t value = random.next();
      memory_.write(kRam + random.below(kRamSize - 8), &value, sizeof value);
      break;
    }
    default:
      break;
  }
}

void FuzzMachine::data_abort(const Exit& exit) {
  soft::SoftVcpu& vcpu = machine_->vcpu(0);
  const DataAbort abort{exit.esr};
  if (abort.s1ptw()) return vcpu.inject_external_abort(exit);
  Access access{};
  if (abort.cache_maintenance()) {
    access.op = Op::kCacheMaintenance;
    return vcpu.complete(exit, access, Outcome{});
  }
  if (abort.valid()) {
    access = access_from_syndrome(abort);
  } else {
    const Fetched fetched = vcpu.fetch(exit.pc);
    if (!fetched.ok || decode(fetched.word, access) != DecodeStatus::kAccess) {
      return vcpu.inject_external_abort(exit);
    }
  }
  CpuView& view = vcpu.view(exit, access);
  uint64_t va = abort.valid() ? exit.far : effective_address(access, view);
  if (access.op == Op::kZeroBlock) va &= ~uint64_t{63};
  Outcome outcome = emulate(access, va, view, &bus_, emulate_);
  vcpu.complete(exit, access, outcome);
}

bool FuzzMachine::serve(const Exit& exit, Random& random) {
  soft::SoftVcpu& vcpu = machine_->vcpu(0);
  switch (exit.kind) {
    case ExitKind::kDataAbort:
      data_abort(exit);
      return true;
    case ExitKind::kPrefetchAbort:
      vcpu.inject_external_abort(exit);
      return true;
    case ExitKind::kSysreg:
      if (random.one_in(8)) {
        vcpu.inject_undefined(exit);
      } else {
        vcpu.complete_sysreg(exit, random.next());
      }
      return true;
    case ExitKind::kHvc:
      vcpu.set_register(0, random_value(random));
      return true;
    case ExitKind::kWfi:
    case ExitKind::kWfe:
      vcpu.wait_for_event(0, exit.kind == ExitKind::kWfe);
      return true;
    case ExitKind::kDebug:
      vcpu.step();
      return true;
    case ExitKind::kKicked:
      return true;
    default:  // kBudget, kCrashed
      return false;
  }
}

void FuzzMachine::run(uint64_t seed, uint64_t budget, Totals& totals) {
  Random random(seed);
  soft::SoftVcpu& vcpu = machine_->vcpu(0);
  prepare(random);
  const uint64_t start = vcpu.retired();
  for (unsigned i = 0; i < kExitsPerProgram; ++i) {
    const uint64_t used = vcpu.retired() - start;
    if (used >= budget) break;
    const uint64_t slice = 1 + random.below(budget - used);
    const Exit exit = vcpu.run(slice);
    ++totals.exits[static_cast<unsigned>(exit.kind)];
    if (exit.kind == ExitKind::kCrashed) {
      ++totals.crashed;
      break;
    }
    if (exit.kind != ExitKind::kBudget) serve(exit, random);
    disturb(random);
  }
  vcpu.set_breakpoints(nullptr, 0);
  vcpu.set_irq(false);
  vcpu.set_fiq(false);
  ++totals.programs;
  totals.instructions += vcpu.retired() - start;
}

}  // namespace trapline::fuzz
