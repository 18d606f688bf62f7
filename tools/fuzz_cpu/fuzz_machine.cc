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

// mrs x30, elr_el1; add x30, x30, #4; msr elr_el1, x30; eret. The same of EL2.
constexpr uint32_t kSkip[] = {0xd538403e, 0x910013de, 0xd518403e, 0xd69f03e0};
constexpr uint32_t kSkipEl2[] = {0xd53c403e, 0x910013de, 0xd51c403e, 0xd69f03e0};

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

// The vCPU's four interrupt inputs.
struct FuzzMachine::Lines {
  struct Line final : IrqLine {
    Line(Vcpu& of, void (Vcpu::*what)(bool)) : vcpu(of), input(what) {}
    void set(bool level) override { (vcpu.*input)(level); }
    Vcpu& vcpu;
    void (Vcpu::*input)(bool);
  };
  explicit Lines(Vcpu& vcpu)
      : irq(vcpu, &Vcpu::set_irq),
        fiq(vcpu, &Vcpu::set_fiq),
        virq(vcpu, &Vcpu::set_virq),
        vfiq(vcpu, &Vcpu::set_vfiq) {}
  Line irq, fiq, virq, vfiq;
};

FuzzMachine::~FuzzMachine() = default;

FuzzMachine::FuzzMachine(bool isv_never, soft::El2Choice el2) : el2_(el2) {
  memory_.add(kRam, kRamSize, true);
  memory_.add(kRom, kRomSize, false);
  stage2_.map(kRam, kRamSize, memory_.host(kRam, kRamSize), kS2All);
  stage2_.map(kRom, kRomSize, memory_.host(kRom, kRomSize), kS2Read | kS2Exec);
  bus_.add(kDevice, 0x1000, &device_);
  machine_ = soft::make_soft_machine(memory_, stage2_, clock_, 1, isv_never, 1, el2);
  if (!el2.on) return;
  lines_ = std::make_unique<Lines>(machine_->vcpu(0));
  gic_ = std::make_unique<Gicv3>(1u, 32u, 4u);
  gic_->connect_cpu(0, &lines_->irq, &lines_->fiq);
  gic_->connect_virtual(0, &lines_->virq, &lines_->vfiq);
}

// Four levels of nothing, blocks of every kind, and pages: 39 bits, each address to itself.
void FuzzMachine::write_stage2(Random& random) {
  auto* tables = reinterpret_cast<uint64_t*>(memory_.host(kStage2Tables, 0x3000));
  const auto bits = [&random](uint64_t leaf) {
    constexpr uint64_t kNormalRw = 0x7fc;  // MemAttr 15, S2AP, SH, AF
    const uint64_t r = random.next();
    switch (r & 15) {
      case 0:
        return uint64_t{0};
      case 1:
        return leaf | (r & 0x0040'0000'0000'07fc);
      case 2:
        return r;
      default:
        return leaf | kNormalRw;
    }
  };
  for (uint64_t i = 0; i < 512; ++i) {
    tables[i] = i << 30 | bits(kBlock);
    tables[512 + i] = kRam + (i << 21) + bits(kBlock);
    tables[1024 + i] = kRam + (i << 12) + bits(kPage);
  }
  tables[1] = (kStage2Tables + 0x1000) | kTable;
  if (random.one_in(2)) tables[512 + random.below(2)] = (kStage2Tables + 0x2000) | kTable;
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

// Random code too, or straight back.
void FuzzMachine::write_vectors(Random& random, uint64_t at, bool of_el2) {
  uint32_t vectors[0x800 / 4];
  for (unsigned i = 0; i < std::size(vectors); ++i) {
    vectors[i] = i % 32 == (random.next() & 3) ? 0xd69f03e0 : random_word(random, el2_.on);
  }
  // Or on behind the instruction that faulted, so that the rest of the program is reached, too.
  if (!random.one_in(3)) {
    for (const unsigned offset : {0x200u, 0x400u}) {
      std::copy_n(of_el2 ? kSkipEl2 : kSkip, std::size(kSkip), vectors + offset / 4);
    }
  }
  memory_.write(at, vectors, sizeof vectors);
}

void FuzzMachine::prepare_el2(Random& random) {
  soft::Cpu& cpu = machine_->vcpu(0).cpu();
  auto& el2 = cpu.sys.el2;
  write_stage2(random);
  write_vectors(random, kVectorsEl2, true);
  gic_->reset_cpu_interface(0);
  if (!random.one_in(8)) {
    el2.vbar = kVectorsEl2;
    el2.mair = 0x00ff;
    el2.ttbr0 = el2.ttbr1 = kTables;
    const bool e2h = el2_.vhe && random.one_in(2);
    el2.tcr = e2h ? uint64_t{2} << 32 | 25 | 25 << 16 | uint64_t{2} << 30 : 25 | 2 << 16;
    el2.cptr = e2h ? 3 << 20 : 0x33ff;
    el2.sctlr = (el2.sctlr & ~uint64_t{1 << 19 | 1 << 24 | 1 << 25 | 1}) | random.below(2);
    el2.vttbr = kStage2Tables | random.below(4) << 48;
    el2.vtcr = uint64_t{1} << 31 | 2 << 16 | 1 << 6 | 25;
    // Each bit alone, or any.
    constexpr uint64_t kRw = uint64_t{1} << 31, kE2h = uint64_t{1} << 34;
    el2.hcr = kRw | (e2h ? kE2h : 0);
    if (random.one_in(2)) el2.hcr |= 1 | 0x38;  // VM, IMO, FMO, AMO
    if (random.one_in(3)) el2.hcr |= uint64_t{1} << random.below(34);
    if (random.one_in(16)) el2.hcr |= random.next() & ((uint64_t{1} << 34) - 1);
  }
  if (!el2_.vhe) el2.hcr &= ~(uint64_t{1} << 34);
}

void FuzzMachine::prepare(Random& random) {
  soft::SoftVcpu& vcpu = machine_->vcpu(0);
  soft::Cpu& cpu = vcpu.cpu();
  stage2_.map(kRam, kRamSize, memory_.host(kRam, kRamSize), kS2All);
  write_tables(random);
  uint64_t code = kCode + random.below(0x1000) * 4;
  if (random.one_in(2))
    code = (code | 0xfff) - 4 * random.below(kWords) - 3;  // across a page's end
  uint32_t words[kWords];
  for (uint32_t& word : words) word = random_word(random, el2_.on);
  memory_.write(code, words, sizeof words);
  write_vectors(random, kVectors, false);
  vcpu.reset(code, 0);
  for (unsigned i = 0; i < 31; ++i) cpu.r.x[i] = random_value(random);
  cpu.r.x[kSlotSp] = random_value(random) & (random.one_in(4) ? ~uint64_t{0} : ~uint64_t{15});
  for (Vreg& v : cpu.v) v = {random_value(random), random_value(random)};
  cpu.nzcv = static_cast<uint32_t>(random.next()) & 0xf0000000;
  for (const soft::SysregRow& row : soft::sysreg_rows()) {
    const unsigned writable = soft::kEl1Write | (el2_.on ? soft::kEl2Write : 0);
    if (random.one_in(6) && (row.access & writable) != 0) {
      soft::set_sysreg_value(cpu, row, random.one_in(2) ? random.next() : random_value(random));
    }
  }
  auto& mmu = cpu.sys.el1;
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
  if (el2_.on) prepare_el2(random);
  const unsigned el = static_cast<unsigned>(random.below(el2_.on ? 3 : 2));
  soft::set_el_and_spsel(cpu, el, el == 0 ? 0 : static_cast<unsigned>(random.below(2)));
  cpu.ps.pan = random.one_in(8);
  cpu.ps.ss = random.one_in(4);
  cpu.isv_never = random.one_in(2);
  soft::update_regime(cpu);
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
      machine_->watch(kRam + (random.below(kRamSize) & ~kPageMask));
      break;
    case 4:
      machine_->unmap(kRam + (random.below(kRamSize) & ~kPageMask), kPageSize);
      break;
    case 5: {
      const uint64_t page = kRam + (random.below(kRamSize) & ~kPageMask);
      machine_->map(page, kPageSize, memory_.host(page, kPageSize),
                    static_cast<uint8_t>(random.below(16)));
      break;
    }
    case 6: {
      const uint64_t pc = vcpu.cpu().pc + 4 * random.below(4);
      vcpu.set_breakpoints(&pc, static_cast<unsigned>(random.below(2)));
      break;
    }
    case 8:
      vcpu.set_virq(random.one_in(2));
      break;
    case 9:
      vcpu.set_vfiq(random.one_in(2));
      break;
    case 7: {
      const uint64_t value = random.next();
      memory_.write(kRam + random.below(kRamSize - 8), &value, sizeof value);
      break;
    }
    default:
      break;
  }
}

Answer FuzzMachine::fault(const Exit& exit, uint8_t ec) {
  sink_.fault = {.far = exit.far, .fsc = kFscExternal, .write = false};
  sink_.fault.ec = ec;
  return {Resume::kFault};
}

Answer FuzzMachine::data_abort(const Exit& exit, CpuView& view) {
  constexpr uint8_t kDataAbort = 0x24;
  const DataAbort abort{exit.esr};
  if (abort.s1ptw()) return fault(exit, kDataAbort);
  if (abort.cache_maintenance()) return {Resume::kGoOn};
  Access access{};
  if (abort.valid()) {
    access = access_from_syndrome(abort);
  } else {
    const Fetched fetched = machine_->vcpu(0).fetch(exit.pc);
    if (!fetched.ok || decode(fetched.word, access) != DecodeStatus::kAccess) {
      return fault(exit, kDataAbort);
    }
  }
  uint64_t va = abort.valid() ? exit.far : effective_address(access, view);
  if (access.op == Op::kZeroBlock) va &= ~uint64_t{63};
  const Outcome outcome = emulate(access, va, view, &bus_, emulate_);
  switch (outcome.status) {
    case Outcome::Status::kDone:
      return {Resume::kGoOn};
    case Outcome::Status::kProgress:
    case Outcome::Status::kRetry:
      return {Resume::kAgain};
    case Outcome::Status::kFault:
      sink_.fault = outcome.fault;
      return {Resume::kFault};
    default:
      return fault(exit, kDataAbort);
  }
}

// Deals with an exit, and leaves: what happens between exits happens outside run().
// The GIC's registers, where there is one; those of others read as anything.
bool FuzzMachine::system_register(const Exit& exit, CpuView& view) {
  uint64_t value = exit.sysreg_value;
  bool known = true;
  if (gic_ != nullptr && (exit.sysreg >> 7 & 15) != 14) {
    SysregDevice& device = gic_->cpu_interface();
    known = exit.sysreg_write ? device.sysreg_write(exit.sysreg, 0, value)
                              : device.sysreg_read(exit.sysreg, 0, value);
  } else {
    value = random_->next();
  }
  if (known && !exit.sysreg_write && exit.sysreg_rt < 31) view.regs->x[exit.sysreg_rt] = value;
  return known;
}

Answer FuzzMachine::serve(const Exit& exit, CpuView& view) {
  soft::SoftVcpu& vcpu = machine_->vcpu(0);
  Random& random = *random_;
  constexpr uint8_t kUndefined = 0x00, kPrefetchAbort = 0x20;
  if (exit.brief) return {Resume::kWhole};
  last_ = exit.kind;
  ++totals_->exits[static_cast<unsigned>(exit.kind)];
  Answer answer{Resume::kGoOn};
  switch (exit.kind) {
    case ExitKind::kDataAbort:
      answer = data_abort(exit, view);
      break;
    case ExitKind::kPrefetchAbort:
      answer = fault(exit, kPrefetchAbort);
      break;
    case ExitKind::kSysreg:
      if (random.one_in(8) || !system_register(exit, view)) answer = fault(exit, kUndefined);
      break;
    case ExitKind::kHvc:
      vcpu.set_register(0, random_value(random));
      break;
    case ExitKind::kWfi:
    case ExitKind::kWfe:
      vcpu.wait_for_event(0, exit.kind == ExitKind::kWfe);
      break;
    default:
      break;
  }
  // What makes no progress leaves, so that the budget and the number of exits bound it.
  answer.then_leave = answer.how == Resume::kAgain || random.one_in(2);
  return answer;
}

void FuzzMachine::run(uint64_t seed, uint64_t budget, Totals& totals) {
  Random random(seed);
  soft::SoftVcpu& vcpu = machine_->vcpu(0);
  random_ = &random;
  totals_ = &totals;
  prepare(random);
  const uint64_t start = vcpu.retired();
  for (unsigned i = 0; i < kExitsPerProgram; ++i) {
    const uint64_t used = vcpu.retired() - start;
    if (used >= budget) break;
    const uint64_t slice = 1 + random.below(budget - used);
    vcpu.run(slice, sink_);
    if (last_ == ExitKind::kCrashed) {
      ++totals.crashed;
      break;
    }
    if (last_ == ExitKind::kDebug) vcpu.step(sink_);
    disturb(random);
  }
  vcpu.set_breakpoints(nullptr, 0);
  vcpu.set_irq(false);
  vcpu.set_fiq(false);
  vcpu.set_virq(false);
  vcpu.set_vfiq(false);
  ++totals.programs;
  totals.instructions += vcpu.retired() - start;
}

}  // namespace trapline::fuzz
