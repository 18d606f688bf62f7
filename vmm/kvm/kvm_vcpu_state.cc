// Registers, whole and one by one; the walk from a PC to its word; reset.
#include <bit>
#include <cerrno>
#include <vector>

#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/memory/hypervisor.h"
#include "vmm/memory/nested_walk_inl.h"
#include "vmm/memory/table_reader.h"

namespace trapline::kvm {
namespace {

constexpr SysregId kSpEl0Name = sysreg_id(3, 0, 4, 1, 0), kSpEl1Name = sysreg_id(3, 4, 4, 1, 0);
constexpr SysregId kElrEl1Name = sysreg_id(3, 0, 4, 0, 1), kSpsrEl1Name = sysreg_id(3, 0, 4, 0, 0);
constexpr SysregId kFpcrName = sysreg_id(3, 3, 4, 4, 0), kFpsrName = sysreg_id(3, 3, 4, 4, 1);
constexpr SysregId kCurrentEl = sysreg_id(3, 0, 4, 2, 2);

// By the name that an instruction gives it: some are among KVM's core registers.
uint64_t id_of(SysregId id) {
  switch (id) {
    case kSpEl0Name:
      return kSpEl0;
    case kSpEl1Name:
      return kSpEl1;
    case kElrEl1Name:
      return kElrEl1;
    case kSpsrEl1Name:
      return kSpsrEl1;
    case kFpcrName:
      return kFpcr;
    case kFpsrName:
      return kFpsr;
    default:
      return system_register(id);
  }
}

size_t bytes_of(uint64_t id) {
  return size_t{1} << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

constexpr uint16_t kStateVersion = 1;

}  // namespace

bool KvmVcpu::initialise() {
  kvm_vcpu_init init = shared_.init;
  if (index_ != 0) init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
  if (fd_.call(KVM_ARM_VCPU_INIT, &init) != 0) return false;
  // ID_AA64MMFR2_EL1.AT: FEAT_LSE2.
  view_.lse2 = (get(kIdAa64mmfr2) >> 32 & 15) != 0;
  return true;
}

// Off, but for the first: PSCI CPU_ON turns it on, and sets PC and X0 then.
void KvmVcpu::reset(uint64_t entry, uint64_t x0) {
  initialise();
  forget();
  monitor_.valid = false;
  set(kPc, entry);
  set(x_register(0), x0);
  forget();
}

// --- translation ---------------------------------------------------------------------------------

void KvmVcpu::load_mmu() {
  if (mmu_known_) return;
  const uint64_t bits = pstate();
  mmu_ = TranslationRegs{};
  mmu_.el = static_cast<uint8_t>(pstate::el(bits));
  mmu_.pan = (bits & pstate::kPan) != 0;
  mmu_.regime = regime_at(mmu_.el, hcr());
  if (mmu_.regime == Regime::kEl10) {
    mmu_.sctlr = get(kSctlrEl1);
    mmu_.tcr = get(kTcrEl1);
    mmu_.mair = get(kMairEl1);
    if (shared_.el2) {
      put_below_hypervisor(mmu_, hcr(), get(kSctlrEl2), get(kVttbrEl2), get(kVtcrEl2));
    }
  } else {
    mmu_.sctlr = get(kSctlrEl2);
    mmu_.tcr = get(kTcrEl2);
    if (mmu_.regime == Regime::kEl2) mmu_.tcr = tcr_of_el2(mmu_.tcr);
    mmu_.mair = get(kMairEl2);
  }
  mmu_known_ = true;
}

uint64_t KvmVcpu::table_base(bool upper) {
  if (!base_known_[upper]) {
    load_mmu();
    if (mmu_.regime == Regime::kEl10) {
      base_[upper] = get(upper ? kTtbr1El1 : kTtbr0El1);
    } else {
      const bool one = mmu_.regime == Regime::kEl2;  // it has no upper half
      base_[upper] = one && upper ? 0 : get(upper ? kTtbr1El2 : kTtbr0El2);
    }
  }
  base_known_[upper] = true;
  return base_[upper];
}

// During an exit without a syndrome: for the PC, whose half alone is looked at. The other half's
// base is then 0, always, so that a cache's context does not change with it.
const TranslationRegs& KvmVcpu::translation_regs() {
  load_mmu();
  const bool one = half_only_ && pc_known_, upper = one && upper_region(pc_);
  mmu_.ttbr0 = one && upper ? 0 : table_base(false);
  mmu_.ttbr1 = one && !upper ? 0 : table_base(true);
  return mmu_;
}

bool KvmVcpu::translate_pc(uint64_t pc, Fetched& out) {
  walked_ = true;
  out.ok = false;
  out.loads = 0;
  if ((pc & 3) != 0) return false;
  TableReader reader(shared_.stage2, &out);
  const TranslationRegs& regs = translation_regs();
  const NestedWalk walk =
      walk_nested<HostWalkFeatures>(regs, pc, WalkFor::kFetch, regs.el == 0, reader);
  if (walk.status != NestedWalk::Status::kOk) return false;
  const Stage2Walk stage2 = shared_.stage2.walk(walk.ipa);
  if (!stage2.ok || !stage2.executable) return false;
  out.ok = true;
  out.ipa = walk.ipa;
  out.word_host = reinterpret_cast<const uint32_t*>(stage2.host);
  return true;
}

Fetched KvmVcpu::fetch(uint64_t pc) {
  const bool walked = walked_;
  Fetched out;
  if (translate_pc(pc, out)) out.word = __atomic_load_n(out.word_host, __ATOMIC_RELAXED);
  walked_ = walked;
  return out;
}

Stage1Walk KvmVcpu::look_up(uint64_t va, WalkFor purpose, bool el0) {
  TranslationRegs regs = translation_regs();
  regs.pan = false;
  return outcome(
      walk_nested<HostWalkFeatures>(regs, va, purpose, el0, TableReader(shared_.stage2)));
}

// --- one by one ----------------------------------------------------------------------------------

uint64_t KvmVcpu::get_register(unsigned index) {
  switch (index) {
    case kRegSp:
      return get(sp_id());
    case kRegPc:
      return get(kPc);
    case kRegPstate:
      return get(kPstate);
    default:
      return get(x_register(index));
  }
}

void KvmVcpu::get_registers(uint64_t mask, uint64_t* out) {
  for (; mask != 0; mask &= mask - 1) {
    *out++ = get_register(static_cast<unsigned>(std::countr_zero(mask)));
  }
}

void KvmVcpu::set_register(unsigned index, uint64_t value) {
  switch (index) {
    case kRegSp:
      set(sp_id(), value);
      break;
    case kRegPc:
      set(kPc, value);
      break;
    case kRegPstate:
      set(kPstate, value);
      break;
    default:
      set(x_register(index), value);
      break;
  }
  forget();
}

Vreg KvmVcpu::get_vector(unsigned index) {
  Vreg value{};
  kvm_one_reg reg{v_register(index), reinterpret_cast<uint64_t>(&value)};
  ++ioctls_;
  fd_.call(KVM_GET_ONE_REG, &reg);
  return value;
}

void KvmVcpu::set_vector(unsigned index, Vreg value) {
  kvm_one_reg reg{v_register(index), reinterpret_cast<uint64_t>(&value)};
  ++ioctls_;
  fd_.call(KVM_SET_ONE_REG, &reg);
}

uint64_t KvmVcpu::get_sysreg(SysregId id) {
  if (id == kCurrentEl) return uint64_t{pstate::el(pstate())} << 2;
  return get(id_of(id));
}

bool KvmVcpu::set_sysreg(SysregId id, uint64_t value) {
  kvm_one_reg reg{id_of(id), reinterpret_cast<uint64_t>(&value)};
  const bool done = fd_.call(KVM_SET_ONE_REG, &reg) == 0;
  forget();
  return done;
}

// --- whole ---------------------------------------------------------------------------------------

// Whatever this kernel says that a vCPU is made of.
void KvmVcpu::save(StateWriter& out) {
  kvm_reg_list count{};
  fd_.call(KVM_GET_REG_LIST, &count);  // E2BIG, and n
  std::vector<uint64_t> list(count.n + 1);
  list[0] = count.n;
  if (fd_.call(KVM_GET_REG_LIST, list.data()) != 0) list.assign(1, 0);
  out.put(kStateVersion);
  out.put(static_cast<uint32_t>(list[0]));
  for (uint64_t i = 1; i <= list[0]; ++i) {
    std::vector<uint8_t> value(bytes_of(list[i]));
    kvm_one_reg reg{list[i], reinterpret_cast<uint64_t>(value.data())};
    fd_.call(KVM_GET_ONE_REG, &reg);
    out.put(list[i]);
    out.bytes(value.data(), value.size());
  }
  kvm_mp_state power{};
  fd_.call(KVM_GET_MP_STATE, &power);
  out.put(power.mp_state);
}

// False, too, if this kernel refuses a register.
bool KvmVcpu::load(StateReader& in) {
  if (in.get<uint16_t>() != kStateVersion) return false;
  bool accepted = true;
  for (uint32_t left = in.get<uint32_t>(); left != 0 && in.ok(); --left) {
    const auto id = in.get<uint64_t>();
    std::vector<uint8_t> value(bytes_of(id));
    in.bytes(value.data(), value.size());
    kvm_one_reg reg{id, reinterpret_cast<uint64_t>(value.data())};
    if (in.ok()) accepted = fd_.call(KVM_SET_ONE_REG, &reg) == 0 && accepted;
  }
  kvm_mp_state power{in.get<uint32_t>()};
  forget();
  return in.ok() && accepted && fd_.call(KVM_SET_MP_STATE, &power) == 0;
}

}  // namespace trapline::kvm
