#include "vmm/nisv/vcpu.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <utility>

#include "vmm/kvm/uapi/exits.h"
#include "vmm/kvm/uapi/registers.h"
#include "vmm/nisv/abi.h"

namespace trapline::nisv {
namespace {

constexpr long kKicked = LONG_MIN;

}  // namespace

Vcpu::Vcpu(Vm& vm_given) : Object(Kind::kVcpu), vm_(vm_given) {}

bool Vcpu::start(int fd) {
  run_ = static_cast<kvm_run*>(vm_.system.map_run(fd, vm_.run_bytes));
  if (run_ == nullptr) return false;
  emulator_ = std::make_unique<Emulator>(vm_, counts_);
  if (!emulator_->start_thread()) return false;
  const std::lock_guard lock(vm_.vcpus_mutex);
  vm_.vcpus.push_back(this);
  return true;
}

bool Vcpu::stop_thread() {
  const std::unique_lock lock(one_runner_, std::try_to_lock);
  if (!lock.owns_lock()) return false;
  drop_pending();
  if (emulator_ != nullptr) emulator_->stop_thread();
  return true;
}

void Vcpu::retire() {
  {
    const std::lock_guard lock(vm_.vcpus_mutex);
    std::erase(vm_.vcpus, this);
  }
  emulator_.reset();
  if (run_ != nullptr) vm_.system.unmap_run(run_, vm_.run_bytes);
  run_ = nullptr;
  vm_.unref();
}

// --- KVM_RUN -------------------------------------------------------------------------------------

long Vcpu::run(int fd, void* argument) {
  const std::lock_guard lock(one_runner_);
  using Answer = Emulator::Answer;
  if (pending_) {
    // First the operation is finished, then signals count (KVM's own rule for immediate_exit).
    uint64_t value = 0;
    std::memcpy(&value, run_->mmio.data, sizeof value);
    const bool immediate = run_->immediate_exit != 0;
    if (emulator_->resume(value, interrupted_) == Answer::kElement) {
      return show(emulator_->element());
    }
    pending_ = false;
    if (immediate) ++counts_.finished_early;
    run_->exit_reason = exit_reason_;
  }
  for (;;) {
    if (interrupted_) {
      interrupted_ = false;
      run_->exit_reason = KVM_EXIT_INTR;
      return -EINTR;
    }
    const long result = enter(fd, argument);
    if (result == kKicked) continue;
    if (result < 0) return result;
    exit_reason_ = run_->exit_reason;
    if (exit_reason_ == KVM_EXIT_MMIO) {
      ++counts_.mmio;
      return result;
    }
    if (exit_reason_ != KVM_EXIT_ARM_NISV && exit_reason_ != kvm::kExitArmLdst64b) {
      ++counts_.other;
      return result;
    }
    const uint64_t iss = run_->arm_nisv.esr_iss, ipa = run_->arm_nisv.fault_ipa;
    if (emulator_->begin(fd, iss, ipa, interrupted_) == Answer::kElement) {
      seen_ = false;
      pending_ = true;
      return show(emulator_->element());
    }
  }
}

// As KVM does for an access that it can describe.
long Vcpu::show(const Element& element) {
  ++counts_.elements;
  run_->exit_reason = KVM_EXIT_MMIO;
  run_->mmio.phys_addr = element.ipa;
  run_->mmio.len = element.size;
  run_->mmio.is_write = element.write ? 1 : 0;
  std::memset(run_->mmio.data, 0, sizeof run_->mmio.data);
  if (element.write) std::memcpy(run_->mmio.data, &element.value, sizeof element.value);
  return 0;
}

// The kernel's KVM_RUN; kKicked if it ended for our own sake.
long Vcpu::enter(int fd, void* argument) {
  thread_ = pthread_self();
  if (!vm_.gate.enter(inside_)) {
    vm_.gate.wait();
    return kKicked;
  }
  const long result = vm_.system.ioctl(fd, KVM_RUN, argument);
  ++counts_.runs;
  vm_.gate.leave(inside_);
  bool kicked;
  {
    const std::lock_guard lock(kick_mutex_);
    kicked = std::exchange(kicked_, false);
  }
  if (result != -EINTR) return result;
  ++counts_.interrupted;
  return kicked ? kKicked : result;
}

// The signal may come before KVM_RUN has begun, so that it is sent until the vCPU is out.
void Vcpu::leave_kvm() {
  constexpr long kFirstNs = 20'000, kLongestNs = 1'000'000;
  for (long pause = kFirstNs; inside(); pause = std::min(2 * pause, kLongestNs)) {
    {
      const std::lock_guard lock(kick_mutex_);
      if (!inside()) return;
      kicked_ = true;
      vm_.system.kick(thread_);
    }
    const timespec wait{0, pause};
    nanosleep(&wait, nullptr);
  }
}

// --- what others do to it ------------------------------------------------------------------------

void Vcpu::reset() {
  if (!pending_) return;
  const std::lock_guard lock(one_runner_);
  drop_pending();
}

void Vcpu::drop_pending() {
  if (!pending_) return;
  emulator_->drop();
  pending_ = false;
  run_->exit_reason = exit_reason_;
}

void Vcpu::registers_read() {
  if (!pending_ || seen_) return;
  const std::lock_guard lock(one_runner_);
  if (!pending_ || seen_) return;
  seen_ = true;
  ++counts_.seen_between;
}

// Another PC: whoever set it does not want the access to be finished.
void Vcpu::register_written(const kvm_one_reg& reg) {
  if (!pending_ || reg.id != kvm::kPc) return;
  const std::lock_guard lock(one_runner_);
  uint64_t pc = 0;
  std::memcpy(&pc, reinterpret_cast<const void*>(reg.addr), sizeof pc);
  if (pending_ && pc != emulator_->pc()) drop_pending();
}

void Vm::retire() {
  const std::unique_lock lock(events_mutex);
  for (const IoEvents::Event& event : events.all()) system.close(event.fd);
  events.all().clear();
}

}  // namespace trapline::nisv
