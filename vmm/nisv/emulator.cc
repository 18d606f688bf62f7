#include "vmm/nisv/emulator.h"

#include <cstring>
#include <ctime>
#include <utility>

#include "decode/mops.h"
#include "vmm/embed/cpu.h"
#include "vmm/kvm/uapi/registers.h"
#include "vmm/nisv/abi.h"
#include "vmm/nisv/helper.h"
#include "vmm/nisv/vcpu.h"

namespace trapline::nisv {
namespace {

uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

bool is_alone(const Access& access) {
  return (access.op >= Op::kLoadExclusive && access.op <= Op::kAtomicSetPair);
}

}  // namespace

// --- libtrapline's callbacks ---------------------------------------------------------------------

struct Emulator::Callbacks {
  static Emulator& of(void* arg) { return *static_cast<Emulator*>(arg); }
  static int read_gpr(void* arg, unsigned reg, uint64_t* value) {
    Emulator& e = of(arg);
    if ((e.general_known_ >> reg & 1) == 0) {
      if (!e.get(e.general_id(reg), &e.general_[reg])) return -1;
      e.general_known_ |= 1u << reg;
    }
    *value = e.general_[reg];
    return 0;
  }
  static int write_gpr(void* arg, unsigned reg, uint64_t value) {
    Emulator& e = of(arg);
    if ((e.general_known_ >> reg & 1) != 0 && e.general_[reg] == value) return 0;
    e.general_[reg] = value;
    e.general_known_ |= 1u << reg;
    e.general_new_ |= 1u << reg;
    return 0;
  }
  static int read_vreg(void* arg, unsigned reg, uint64_t value[2]) {
    Emulator& e = of(arg);
    if ((e.vectors_known_ >> reg & 1) == 0) {
      if (!e.vector(false, reg, e.vectors_[reg])) return -1;
      e.vectors_known_ |= 1u << reg;
    }
    std::memcpy(value, e.vectors_[reg], sizeof e.vectors_[reg]);
    return 0;
  }
  static int write_vreg(void* arg, unsigned reg, const uint64_t value[2]) {
    Emulator& e = of(arg);
    std::memcpy(e.vectors_[reg], value, sizeof e.vectors_[reg]);
    e.vectors_known_ |= 1u << reg;
    e.vectors_new_ |= 1u << reg;
    return 0;
  }
  static int mmio_read(void* arg, uint64_t ipa, unsigned size, uint64_t* value) {
    Element element{ipa, 0, size, false};
    if (!of(arg).device(element)) return -1;
    *value = cut(element.value, size);
    return 0;
  }
  static int mmio_write(void* arg, uint64_t ipa, unsigned size, uint64_t value) {
    Element element{ipa, cut(value, size), size, true};
    return of(arg).device(element) ? 0 : -1;
  }
  static int accepts(void* arg, uint64_t ipa, unsigned size, int write) {
    return of(arg).accepts(ipa, size, write != 0) ? 1 : 0;
  }
  // No VMM takes 64 bytes at once: it gets them in words.
  static int mmio_read64(void* arg, uint64_t ipa, uint64_t data[8]) {
    for (unsigned i = 0; i < 8; ++i) {
      if (mmio_read(arg, ipa + 8 * i, 8, &data[i]) != 0) return -1;
    }
    return 0;
  }
  static int mmio_write64(void* arg, uint64_t ipa, const uint64_t data[8]) {
    for (unsigned i = 0; i < 8; ++i) {
      if (mmio_write(arg, ipa + 8 * i, 8, data[i]) != 0) return -1;
    }
    return 0;
  }
  static void* ram(void* arg, uint64_t ipa, tl_direction direction) {
    return of(arg).memory(ipa, direction);
  }
  static void ram_written(void* arg, uint64_t ipa, unsigned size) {
    of(arg).vm_.slots.wrote(ipa, size);
  }
  // What the VMM has unmapped, and perhaps mapped anew.
  static int read_memory(void* arg, uint64_t ipa, void* to, unsigned size) {
    Emulator& e = of(arg);
    const Slots::Found found = e.vm_.slots.find(ipa);
    return found.is_memory && e.vm_.system.read_memory(found.host, to, size) ? 0 : -1;
  }
};

// --- life ----------------------------------------------------------------------------------------

Emulator::Emulator(Vm& vm, Counts& counts) : vm_(vm), counts_(counts) {}

Emulator::~Emulator() {
  stop_thread();
  if (tl_ != nullptr) tl_vcpu_free(tl_);
  tl_cache_free(cache_);
}

bool Emulator::start_thread() {
  constexpr unsigned kEntriesLog2 = 10;
  if (tl_ == nullptr) {
    tl_ops ops{};
    ops.size = sizeof ops;
    ops.read_gpr = Callbacks::read_gpr;
    ops.write_gpr = Callbacks::write_gpr;
    ops.read_vreg = Callbacks::read_vreg;
    ops.write_vreg = Callbacks::write_vreg;
    ops.mmio_read = Callbacks::mmio_read;
    ops.mmio_write = Callbacks::mmio_write;
    ops.accepts = Callbacks::accepts;
    ops.mmio_read64 = Callbacks::mmio_read64;
    ops.mmio_write64 = Callbacks::mmio_write64;
    ops.ram = Callbacks::ram;
    ops.ram_written = Callbacks::ram_written;
    ops.read_memory = Callbacks::read_memory;
    tl_ = tl_vcpu_new(&ops, this);
    cache_ = tl_cache_new(TL_CACHE_RECHECK, kEntriesLog2);
    if (tl_ == nullptr || cache_ == nullptr) return false;
    tl_vcpu_set_cache(tl_, cache_);
  }
  if (running_) return true;
  turn_.set(kIdle);
  const auto main = [](void* self) -> void* {
    static_cast<Emulator*>(self)->loop();
    return nullptr;
  };
  return running_ = make_thread(thread_, main, this);
}

void Emulator::stop_thread() {
  if (!running_) return;
  if (turn_.get() == kElement) drop();
  turn_.set(kEnd);
  pthread_join(thread_, nullptr);
  running_ = false;
}

void Emulator::loop() {
  for (;;) {
    const uint32_t now = turn_.get();
    if (now == kEnd) return;
    if (now == kBegin) {
      work();
      turn_.set(kDone);
      continue;
    }
    turn_.wait_while(now);
  }
}

// --- the vCPU's thread ---------------------------------------------------------------------------

Emulator::Answer Emulator::wait(uint32_t value, bool& interrupted) {
  turn_.set(value);
  return turn_.wait_while(value, &interrupted) == kElement ? Answer::kElement : Answer::kDone;
}

Emulator::Answer Emulator::begin(int fd, uint64_t esr_iss, uint64_t ipa, bool& interrupted) {
  constexpr uint64_t kWnr = 1 << 6, kDfsc = 0x3f;
  if (!running_) return Answer::kDone;
  fd_ = fd;
  abort_ = {esr_iss & (kWnr | kDfsc), 0, ipa, TL_ABORT_IPA, 0};
  return wait(kBegin, interrupted);
}

Emulator::Answer Emulator::resume(uint64_t value, bool& interrupted) {
  if (turn_.get() != kElement) return Answer::kDone;
  if (!element_.write) element_.value = cut(value, element_.size);
  return wait(kResume, interrupted);
}

void Emulator::drop() {
  if (turn_.get() != kElement) return;
  bool ignored = false;
  drop_ = true;
  while (wait(kResume, ignored) == Answer::kElement) {
  }
  drop_ = false;
}

// --- one access ----------------------------------------------------------------------------------

void Emulator::work() {
  const uint64_t ioctls_before = ioctls_;
  general_known_ = general_new_ = vectors_known_ = vectors_new_ = 0;
  given_up_ = stepping_ = performing_ = false;
  device_bytes_ = 0;
  tl_vcpu_clear_monitor(tl_);
  vm_.memory.lock_shared();
  map_changes_ = vm_.map_changes.load(std::memory_order_relaxed);
  tl_cache_counters before, after;
  tl_cache_count(cache_, &before);
  read_cpu();
  tl_fault fault{};
  tl_result result = tl_handle_abort(tl_, &cpu_, &abort_, &fault);
  if (result == TL_DONE_EXCLUSIVE && !given_up_) {
    ++counts_.stepped;
    stepping_ = true;
    result = tl_step(tl_, &cpu_, 0, nullptr, &fault);
  }
  tl_cache_count(cache_, &after);
  vm_.memory.unlock_shared();
  finish(result, fault);
  if (hold_ != Hold::kNone) vm_.end_store(hold_ == Hold::kAlone);
  hold_ = Hold::kNone;
  counts_.cache_hits += after.hits - before.hits;
  counts_.cache_misses += after.misses - before.misses;
  counts_.cache_invalidations += after.invalidations - before.invalidations;
  const unsigned walked = after.hits == before.hits ? 1 : 0;
  ++counts_.nisv[walked];
  counts_.nisv_ioctls[walked] += ioctls_ - ioctls_before;
}

void Emulator::finish(tl_result result, const tl_fault& fault) {
  if (given_up_) return;
  const uint64_t retried_at = stuck_pc_;
  stuck_pc_ = ~uint64_t{0};
  switch (result) {
    case TL_DONE:
    case TL_DONE_EXCLUSIVE:
    case TL_PROGRESS:
      if (write_back()) {
        ++counts_.performed;
      } else {
        abort();
      }
      return;
    case TL_FAULT:
      // Of tl_step() the registers are those of the faulting instruction.
      if (!write_back()) return abort();
      return write_exception(fault);
    case TL_BEYOND:
      ++counts_.beyond;
      write_back();
      return abort();
    case TL_RETRY:
      ++counts_.retries;
      stuck_pc_ = retried_at;
      if (!is_stuck()) return;
      stuck_pc_ = ~uint64_t{0};
      ++counts_.stuck;
      return abort();
    default:
      ++counts_.unsupported;
      return abort();
  }
}

// Legal guests retry for a while: a table that is being changed, an instruction that was.
bool Emulator::is_stuck() {
  constexpr uint64_t kPatienceNs = 1'000'000'000;
  const uint64_t now = now_ns();
  if (stuck_pc_ != cpu_.pc) {
    stuck_pc_ = cpu_.pc;
    stuck_since_ = now;
  }
  return now - stuck_since_ > kPatienceNs;
}

// --- registers -----------------------------------------------------------------------------------

bool Emulator::get(uint64_t id, void* value) {
  kvm_one_reg reg{id, reinterpret_cast<uint64_t>(value)};
  ++ioctls_;
  return vm_.system.ioctl(fd_, KVM_GET_ONE_REG, &reg) == 0;
}

bool Emulator::set(uint64_t id, const void* value) {
  kvm_one_reg reg{id, reinterpret_cast<uint64_t>(value)};
  ++ioctls_;
  return vm_.system.ioctl(fd_, KVM_SET_ONE_REG, &reg) == 0;
}

uint64_t Emulator::get_word(uint64_t id) {
  uint64_t value = 0;
  get(id, &value);
  return value;
}

void Emulator::read_cpu() {
  constexpr uint64_t kSctlrM = 1;
  cpu_ = {};
  pc_ = cpu_.pc = get_word(kvm::kPc);
  pstate_ = cpu_.pstate = get_word(kvm::kPstate);
  cpu_.sctlr = get_word(kvm::kSctlrEl1);
  if ((cpu_.sctlr & kSctlrM) != 0) {
    cpu_.tcr = get_word(kvm::kTcrEl1);
    cpu_.mair = get_word(kvm::kMairEl1);
    cpu_.ttbr0 = get_word(kvm::kTtbr0El1);
    cpu_.ttbr1 = get_word(kvm::kTtbr1El1);
  }
  if (!lse2_known_) {
    lse2_ = (get_word(kvm::kIdAa64mmfr2) >> 32 & 15) != 0;  // AT
    lse2_known_ = true;
  }
  cpu_.flags = lse2_ ? static_cast<uint32_t>(TL_CPU_LSE2) : 0;
  cpu_.zero_block_log2 = static_cast<uint8_t>(vm_.system.zero_block_log2());
}

uint64_t Emulator::general_id(unsigned reg) const {
  if (reg != TL_REG_SP) return kvm::x_register(reg);
  return (pstate_ & kvm::pstate::kSpSel) != 0 ? kvm::kSpEl1 : kvm::kSpEl0;
}

// With SVE a V register has no name of its own. A load of it zeroes the rest of Z.
bool Emulator::vector(bool write, unsigned reg, uint64_t value[2]) {
  constexpr size_t kVectorBytes = 16;
  if (!has_sve_) {
    const uint64_t id = kvm::v_register(reg);
    if (write ? set(id, value) : get(id, value)) return true;
  }
  alignas(16) uint8_t z[kvm::kZRegisterBytes] = {};
  if (write) std::memcpy(z, value, kVectorBytes);
  const uint64_t id = kvm::z_register(reg);
  if (!(write ? set(id, z) : get(id, z))) return false;
  if (!write) std::memcpy(value, z, kVectorBytes);
  has_sve_ = true;
  return true;
}

// As the hardware steps over an instruction. The PC comes last: before it the access has not been.
bool Emulator::write_back() {
  bool ok = true;
  for (unsigned reg = 0; reg < 32; ++reg) {
    if ((general_new_ >> reg & 1) != 0) ok &= set(general_id(reg), &general_[reg]);
    if ((vectors_new_ >> reg & 1) != 0) ok &= vector(true, reg, vectors_[reg]);
  }
  if (cpu_.pc != pc_) cpu_.pstate &= ~kvm::pstate::kOfOneInstruction;
  if (cpu_.pstate != pstate_) ok &= set(kvm::kPstate, &cpu_.pstate);
  if (cpu_.pc != pc_) ok &= set(kvm::kPc, &cpu_.pc);
  return ok;
}

void Emulator::write_exception(const tl_fault& fault) {
  constexpr uint64_t kEcShift = 26, kPrefetch = 0x20, kPcAlignment = 0x22, kData = 0x24;
  constexpr uint64_t kExternal = 0x10;
  const uint64_t ec = fault.esr >> kEcShift & 0x3e;
  if (ec == kData && (fault.esr & 0x3f) == kExternal) return abort();
  ++counts_.exceptions;
  enter_exception(fault, ec == kPrefetch || ec == kPcAlignment || ec == kData);
}

// KVM's own external abort, at the address of the exit.
void Emulator::abort() {
  VcpuEvents events{};
  ioctls_ += 2;
  ++counts_.aborts;
  if (vm_.can_abort && vm_.system.ioctl(fd_, kGetVcpuEvents, &events) == 0) {
    events.ext_dabt_pending = 1;
    if (vm_.system.ioctl(fd_, kSetVcpuEvents, &events) == 0) return;
  }
  tl_fault fault{};
  tl_external_abort(&cpu_, &abort_, &fault);
  enter_exception(fault, true);
}

void Emulator::enter_exception(const tl_fault& fault, bool has_far) {
  if (has_far) set(kvm::kFarEl1, &fault.far);
  const kvm::ExceptionEntry entry =
      kvm::exception_entry(cpu_.pc, cpu_.pstate, cpu_.sctlr, get_word(kvm::kVbarEl1));
  set(kvm::kEsrEl1, &fault.esr);
  set(kvm::kElrEl1, &entry.elr);
  set(kvm::kSpsrEl1, &entry.spsr);
  set(kvm::kPstate, &entry.pstate);
  set(kvm::kPc, &entry.pc);
}

// --- memory and devices --------------------------------------------------------------------------

void* Emulator::memory(uint64_t ipa, tl_direction direction) {
  const Slots::Found found = vm_.slots.find(ipa);
  const bool writes = direction == TL_WRITE || direction == TL_READ_WRITE;
  if (!found.is_memory || !found.mapped || (writes && !found.writable)) return nullptr;
  return reinterpret_cast<void*>(found.host);
}

// Asked for each element before the first one is performed.
bool Emulator::accepts(uint64_t ipa, unsigned size, bool write) {
  if (std::exchange(performing_, false)) device_bytes_ = 0;  // the stepper's next access
  device_bytes_ += size;
  const bool alone = stepping_ || is_alone(tl_->access);
  if (hold_ == Hold::kNone && (write || alone)) {
    if (!vm_.begin_store(alone)) {
      ++counts_.busy;
      given_up_ = true;
      return false;
    }
    hold_ = alone ? Hold::kAlone : Hold::kShared;
  }
  const Vgic::Place place = vm_.vgic.find(ipa);
  return place.where == Vgic::Where::kElsewhere || kvm::VgicFrames::accepts(place.offset, size);
}

bool Emulator::device(Element& element) {
  if (given_up_) return false;
  performing_ = true;
  const Vgic::Place place = vm_.vgic.find(element.ipa);
  if (place.where != Vgic::Where::kElsewhere) {
    vm_.with_all_outside([&] {
      if (element.write) {
        vm_.vgic.write(place, element.size, element.value);
      } else {
        element.value = vm_.vgic.read(place, element.size);
      }
    });
    const bool distributor = place.where == Vgic::Where::kDistributor;
    ++(distributor ? counts_.gicd : counts_.gicr)[element.write ? 1 : 0];
    return true;
  }
  if (element.write) {
    const std::shared_lock lock(vm_.events_mutex);
    const int event = vm_.events.match(element.ipa, element.size, element.value);
    if (event >= 0) {
      vm_.system.signal_event(event);
      ++counts_.events;
      return true;
    }
  }
  return ask_vmm(element);
}

// The guest's memory may change under the VMM's hands meanwhile.
bool Emulator::ask_vmm(Element& element) {
  ++(element.write ? counts_.writes : counts_.reads);
  element_ = element;
  vm_.memory.unlock_shared();
  turn_.set(kElement);
  while (turn_.wait_while(kElement) != kResume && turn_.get() != kEnd) {
  }
  vm_.memory.lock_shared();
  element.value = element_.value;
  if (!drop_ && may_go_on()) return true;
  if (!given_up_) ++counts_.dropped;
  given_up_ = true;
  return false;
}

// What was lent to the access may be gone; an access of devices alone has been lent nothing.
bool Emulator::may_go_on() {
  if (vm_.map_changes.load(std::memory_order_relaxed) == map_changes_) return true;
  const Access& access = stepping_ ? tl_->stepper.access : tl_->access;
  return !is_mops(access.op) && device_bytes_ >= access.bytes();
}

}  // namespace trapline::nisv
