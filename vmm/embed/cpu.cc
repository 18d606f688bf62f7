#include "vmm/embed/cpu.h"

#include "vmm/memory/walk_inl.h"

namespace trapline::embed {

MmioResult Devices::read(uint64_t ipa, unsigned size, unsigned /*vcpu*/) {
  uint64_t value = 0;
  const bool abort = vcpu_.ops.mmio_read(vcpu_.arg, ipa, size, &value) != 0;
  const unsigned unused = 64 - 8 * size;
  return {abort ? 0 : value << unused >> unused, abort};
}

MmioResult Devices::write(uint64_t ipa, unsigned size, uint64_t value, unsigned /*vcpu*/) {
  return {0, vcpu_.ops.mmio_write(vcpu_.arg, ipa, size, value) != 0};
}

bool Devices::accepts(uint64_t ipa, unsigned size, bool write) const {
  return vcpu_.ops.accepts == nullptr ||
         vcpu_.ops.accepts(vcpu_.arg, ipa, size, write ? 1 : 0) != 0;
}

bool Devices::read64b(uint64_t ipa, uint64_t data[8], unsigned /*vcpu*/) {
  return vcpu_.ops.mmio_read64 != nullptr && vcpu_.ops.mmio_read64(vcpu_.arg, ipa, data) == 0;
}

bool Devices::write64b(uint64_t ipa, const uint64_t data[8], unsigned /*vcpu*/) {
  return vcpu_.ops.mmio_write64 != nullptr && vcpu_.ops.mmio_write64(vcpu_.arg, ipa, data) == 0;
}

Translation View::translate(uint64_t va, unsigned /*size*/, Direction dir, bool unprivileged) {
  constexpr uint64_t kPageOffset = 0xfff;
  Translations& known = vcpu_.translations;
  Translation out{};
  out.status = Translation::Status::kRetry;
  const uint64_t page = va & ~kPageOffset;
  for (unsigned i = 0; i < known.count; ++i) {
    const Translations::Entry& e = known.entry[i];
    if (e.page != page || e.dir != dir || e.unprivileged != unprivileged) continue;
    if (e.result == TL_DONE) {
      out.status = Translation::Status::kOk;
      out.device = e.device;
      out.ipa = e.ipa_page | (va & kPageOffset);
    } else if (e.result == TL_FAULT) {
      out.status = Translation::Status::kFault;
      out.fault.far = va;
      out.fault.fsc = e.fsc;
      out.fault.write = dir == Direction::kWrite;
    }
    return out;
  }
  if (known.count == Translations::kMost) return out;
  Translations::Entry& wanted = known.entry[known.count];
  wanted.page = page;
  wanted.dir = dir;
  wanted.unprivileged = unprivileged;
  known.wanted = true;
  return out;
}

uint8_t* View::ram(uint64_t ipa, Direction dir) {
  if (vcpu_.ops.ram == nullptr) return nullptr;
  return static_cast<uint8_t*>(vcpu_.ops.ram(vcpu_.arg, ipa, static_cast<tl_direction>(dir)));
}

void View::ram_written(uint64_t ipa, unsigned size) {
  if (vcpu_.ops.ram_written != nullptr) vcpu_.ops.ram_written(vcpu_.arg, ipa, size);
}

namespace {

constexpr uint64_t kAarch32 = 1 << 4, kPan = 1 << 22, kNzcv = 0xf0000000;  // SPSR_EL2, C5.2.19

void half_of(const TranslationRegs& regs, bool upper, bool& tbi, uint8_t& va_bits) {
  const TranslationRegion region = translation_region<HostWalkFeatures>(regs, upper);
  tbi = region.top_byte_ignore;
  va_bits = region.input_bits;
}

}  // namespace

bool begin(tl_vcpu& vcpu, const tl_cpu& cpu) {
  const unsigned el = cpu.pstate >> 2 & 3;
  const bool of_el2 = (cpu.flags & TL_CPU_EL2) != 0;
  if ((cpu.pstate & kAarch32) != 0 || el > (of_el2 ? 2u : 1u)) return false;
  vcpu.cpu = &cpu;
  TranslationRegs& regs = vcpu.translation;
  regs.sctlr = cpu.sctlr;
  regs.tcr = cpu.tcr;
  regs.ttbr0 = cpu.ttbr0;
  regs.ttbr1 = cpu.ttbr1;
  regs.mair = cpu.mair;
  regs.vmid = cpu.vmid;
  regs.el = static_cast<uint8_t>(el);
  regs.pan = (cpu.pstate & kPan) != 0;
  regs.regime = of_el2 ? Regime::kEl20 : Regime::kEl10;

  View& view = vcpu.view;
  const bool el0 = el == 0;
  view.pc = cpu.pc;
  view.big_endian = (cpu.sctlr & (el0 ? kSctlrE0e : kSctlrEe)) != 0;
  view.sp_alignment_check = (cpu.sctlr & (el0 ? kSctlrSa0 : kSctlrSa)) != 0;
  view.alignment_check = (cpu.sctlr & kSctlrA) != 0;
  half_of(regs, false, view.tbi_lower, view.va_bits_lower);
  half_of(regs, true, view.tbi_upper, view.va_bits_upper);
  view.zero_block_log2 = cpu.zero_block_log2 == 0 ? 6 : cpu.zero_block_log2;
  view.lse2 = (cpu.flags & TL_CPU_LSE2) != 0;
  view.mops_option_a = (cpu.flags & TL_CPU_MOPS_OPTION_B) == 0;
  view.accdata = cpu.accdata;
  view.nzcv = static_cast<uint32_t>(cpu.pstate & kNzcv);
  view.known_va_page = ~uint64_t{0};
  vcpu.translations.count = 0;
  vcpu.translations.wanted = false;
  return true;
}

tl_result translate_now(tl_vcpu& vcpu, uint64_t page, Direction dir, bool unprivileged) {
  if (vcpu.ops.translate == nullptr) {
    walk(vcpu, page, dir, false, unprivileged || as_el0(*vcpu.cpu));
    return vcpu.walked.result;
  }
  vcpu.walked = {};
  vcpu.walked.result = vcpu.ops.translate(vcpu.arg, vcpu.cpu, page, static_cast<tl_direction>(dir),
                                          unprivileged ? 1 : 0, &vcpu.walked.to);
  return vcpu.walked.result;
}

bool resolve(tl_vcpu& vcpu) {
  Translations& known = vcpu.translations;
  if (!known.wanted) return false;
  known.wanted = false;
  Translations::Entry& e = known.entry[known.count++];
  e.result = translate_now(vcpu, e.page, e.dir, e.unprivileged);
  e.device = vcpu.walked.to.device != 0;
  e.fsc = vcpu.walked.to.fsc & 63;
  e.ipa_page = vcpu.walked.to.ipa & ~uint64_t{0xfff};
  return true;
}

bool read_registers(tl_vcpu& vcpu, const NamedRegisters& named) {
  const tl_ops& ops = vcpu.ops;
  for (uint64_t left = named.general & ~named.general_results; left != 0; left &= left - 1) {
    const auto slot = static_cast<unsigned>(__builtin_ctzll(left));
    const unsigned reg = slot == kSlotSp ? TL_REG_SP : slot;
    if (ops.read_gpr(vcpu.arg, reg, &vcpu.regs.x[slot]) != 0) return false;
    vcpu.regs_before.x[slot] = vcpu.regs.x[slot];
  }
  for (uint32_t left = named.vectors & ~named.vector_results; left != 0; left &= left - 1) {
    const auto reg = static_cast<unsigned>(__builtin_ctz(left));
    uint64_t value[2] = {};
    if (ops.read_vreg(vcpu.arg, reg, value) != 0) return false;
    vcpu.v[reg] = {value[0], value[1]};
    vcpu.v_before[reg] = vcpu.v[reg];
  }
  return true;
}

bool write_registers(tl_vcpu& vcpu, const NamedRegisters& named) {
  const tl_ops& ops = vcpu.ops;
  for (uint64_t left = named.general; left != 0; left &= left - 1) {
    const auto slot = static_cast<unsigned>(__builtin_ctzll(left));
    const bool result = (named.general_results >> slot & 1) != 0;
    if (!result && vcpu.regs.x[slot] == vcpu.regs_before.x[slot]) continue;
    const unsigned reg = slot == kSlotSp ? TL_REG_SP : slot;
    if (ops.write_gpr(vcpu.arg, reg, vcpu.regs.x[slot]) != 0) return false;
  }
  for (uint32_t left = named.vectors; left != 0; left &= left - 1) {
    const auto reg = static_cast<unsigned>(__builtin_ctz(left));
    const bool result = (named.vector_results >> reg & 1) != 0;
    if (!result && vcpu.v[reg] == vcpu.v_before[reg]) continue;
    const uint64_t value[2] = {vcpu.v[reg].lo, vcpu.v[reg].hi};
    if (ops.write_vreg(vcpu.arg, reg, value) != 0) return false;
  }
  return true;
}

void fill_fault(const tl_cpu& cpu, const GuestFault& from, tl_fault& to) {
  constexpr uint32_t kIl = 1 << 25;
  unsigned ec = from.ec;
  uint32_t iss = from.iss;
  if (ec == 0x20 || ec == 0x24) {
    iss |= from.fsc | (from.write ? uint32_t{iss::kWnr} : 0);
    if (!as_el0(cpu)) ++ec;  // of the same EL
  }
  to.esr = uint64_t{ec} << 26 | kIl | iss;
  to.far = from.far;
}

tl_result finish(tl_vcpu& vcpu, tl_cpu& cpu, const Access& access, tl_fault* fault) {
  const Outcome& outcome = vcpu.outcome;
  switch (outcome.status) {
    case Outcome::Status::kDone:
      cpu.pc += 4;
      break;
    case Outcome::Status::kProgress:
      break;
    case Outcome::Status::kFault:
      if (fault != nullptr) fill_fault(cpu, outcome.fault, *fault);
      return TL_FAULT;
    case Outcome::Status::kUnsupported:
      return TL_NOT_EMULATED;
    default:
      return TL_RETRY;
  }
  cpu.pstate = (cpu.pstate & ~kNzcv) | vcpu.view.nzcv;
  if (outcome.status == Outcome::Status::kProgress) return TL_PROGRESS;
  return access.op == Op::kLoadExclusive ? TL_DONE_EXCLUSIVE : TL_DONE;
}

}  // namespace trapline::embed

tl_vcpu::tl_vcpu(const tl_ops& ops_given, void* arg_given)
    : ops(ops_given),
      arg(arg_given),
      view(*this),
      devices(*this),
      everywhere{0, ~uint64_t{0}, &devices, 0, 0},
      stepper(view, context) {
  view.regs = &regs;
  view.v = v;
  view.monitor = &monitor;
  context.hint.region = &everywhere;
}
