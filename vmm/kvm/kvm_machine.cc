// The VM: memory slots, vCPUs, and the kernel's interrupt controller.
#include <fmt/format.h>
#include <linux/kvm.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>

#include "vmm/config/platform.h"
#include "vmm/host/messages.h"
#include "vmm/kvm/file.h"
#include "vmm/kvm/kvm_backend.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/kvm/vgic.h"

// Newer than the headers that this is compiled with.
#ifndef KVM_CAP_ARM_EL2
#define KVM_CAP_ARM_EL2 240
#endif
#ifndef KVM_CAP_ARM_EL2_E2H0
#define KVM_CAP_ARM_EL2_E2H0 241
#endif
#ifndef KVM_ARM_VCPU_HAS_EL2
#define KVM_ARM_VCPU_HAS_EL2 7
#define KVM_ARM_VCPU_HAS_EL2_E2H0 8
#endif

namespace trapline::kvm {
namespace {

class KvmMachine final : public Backend {
 public:
  KvmMachine(GuestMemory& memory, Stage2& stage2)
      : shared_{memory, stage2, {}, 0, false, 0, 0, false, {}} {}

  // One line if the kernel refuses.
  std::string create(const Options& options);

  const char* name() const override { return "kvm"; }
  std::string why_no_state() const override {
    return "--backend kvm: the state of a vGIC and of its vCPUs cannot be saved, loaded or moved; "
           "use "
           "--backend soft";
  }
  Vcpu& vcpu(unsigned index) override { return *vcpus_[index]; }
  void map(uint64_t ipa, uint64_t size, uint8_t* host, uint8_t perms) override;
  void unmap(uint64_t ipa, uint64_t size) override;
  bool watch(uint64_t /*ipa_page*/) override { return false; }
  bool in_kernel() const override { return true; }
  bool signal_on_store(uint64_t ipa, int fd) override;
  std::unique_ptr<Irqchip> make_irqchip() override {
    return make_vgic_irqchip(vm_, *vgic_, [this](const std::function<void()>& work) {
      const Gate::Hold hold(shared_.gate, vcpus_);
      work();
    });
  }
  void counters(CounterVisitor visit, void* context) const override;

 private:
  std::string create_vcpus(const Options& options);
  bool set_slot(uint64_t ipa, uint64_t size, uint8_t* host, bool read_only);

  Shared shared_;
  File kvm_, vm_;
  std::unique_ptr<Vgic> vgic_;
  std::vector<std::unique_ptr<KvmVcpu>> vcpus_;
  std::mutex slots_mutex_;
  std::map<uint64_t, uint32_t> slots_;  // by IPA
  bool ioeventfd_ = false;
};

std::string KvmMachine::create(const Options& options) {
  std::string why;
  kvm_ = open_kvm(why);
  if (!kvm_) return why;
  ioeventfd_ = options.ioeventfd;
  // The size of IPAs: 40 bits where the host has them.
  const int ipa_bits = kvm_.has(KVM_CAP_ARM_VM_IPA_SIZE);
  const unsigned bits = std::min<unsigned>(ipa_bits > 0 ? static_cast<unsigned>(ipa_bits) : 40, 40);
  vm_ = File(kvm_.call(KVM_CREATE_VM, uint64_t{KVM_VM_TYPE_ARM_IPA_SIZE(bits)}));
  if (!vm_) return failed("KVM_CREATE_VM");
  const int run_bytes = kvm_.call(KVM_GET_VCPU_MMAP_SIZE);
  if (run_bytes < static_cast<int>(sizeof(kvm_run))) return failed("KVM_GET_VCPU_MMAP_SIZE");
  shared_.run_bytes = static_cast<size_t>(run_bytes);
  shared_.can_abort = vm_.has(KVM_CAP_ARM_INJECT_EXT_DABT) > 0;
  shared_.breakpoints = static_cast<unsigned>(vm_.has(KVM_CAP_GUEST_DEBUG_HW_BPS));
  shared_.watchpoints = static_cast<unsigned>(vm_.has(KVM_CAP_GUEST_DEBUG_HW_WPS));

  kvm_enable_cap nisv{};
  nisv.cap = KVM_CAP_ARM_NISV_TO_USER;
  if (vm_.call(KVM_ENABLE_CAP, &nisv) != 0) {
    message(
        "trapline: this host's KVM has no KVM_CAP_ARM_NISV_TO_USER: an access that the hardware "
        "does not describe (ISV=0) is an external abort for the guest\n");
  }
  for (const GuestMemory::Slot& slot : shared_.memory.slots()) {
    if (slot.writable && !set_slot(slot.base, slot.size, slot.host, false)) {
      return failed("--memory: KVM_SET_USER_MEMORY_REGION");
    }
  }
  install_kick_signal();
  if (std::string error = create_vcpus(options); !error.empty()) return error;
  return Vgic::create(vm_, options.cpus, platform::kSpis, vgic_);
}

std::string KvmMachine::create_vcpus(const Options& options) {
  kvm_vcpu_init& init = shared_.init;
  if (vm_.call(KVM_ARM_PREFERRED_TARGET, &init) != 0) return failed("KVM_ARM_PREFERRED_TARGET");
  const auto with = [&init](unsigned feature) { init.features[0] |= 1u << feature; };
  with(KVM_ARM_VCPU_PSCI_0_2);
  if (vm_.has(KVM_CAP_ARM_PTRAUTH_ADDRESS) > 0 && vm_.has(KVM_CAP_ARM_PTRAUTH_GENERIC) > 0) {
    with(KVM_ARM_VCPU_PTRAUTH_ADDRESS);
    with(KVM_ARM_VCPU_PTRAUTH_GENERIC);
  }
  // The maintenance interrupt is PPI 9 unless KVM is told otherwise, as our device tree says.
  shared_.el2 = options.el2.on;
  if (options.el2.on) with(KVM_ARM_VCPU_HAS_EL2);
  if (options.el2.on && !options.el2.vhe) with(KVM_ARM_VCPU_HAS_EL2_E2H0);
  for (unsigned i = 0; i < options.cpus; ++i) {
    File fd(vm_.call(KVM_CREATE_VCPU, uint64_t{i}));
    if (!fd) return failed("KVM_CREATE_VCPU");
    void* run = mmap(nullptr, shared_.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.fd(), 0);
    if (run == MAP_FAILED) return failed("kvm_run");
    vcpus_.push_back(
        std::make_unique<KvmVcpu>(shared_, i, std::move(fd), static_cast<kvm_run*>(run)));
    if (!vcpus_.back()->initialise()) return failed("KVM_ARM_VCPU_INIT");
  }
  return {};
}

// --- memory --------------------------------------------------------------------------------------

bool KvmMachine::set_slot(uint64_t ipa, uint64_t size, uint8_t* host, bool read_only) {
  const auto next = static_cast<uint32_t>(slots_.size());
  kvm_userspace_memory_region region{};
  region.slot = slots_.try_emplace(ipa, next).first->second;
  region.flags = read_only ? KVM_MEM_READONLY : 0;
  region.guest_phys_addr = ipa;
  region.memory_size = size;
  region.userspace_addr = reinterpret_cast<uint64_t>(host);
  return vm_.call(KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

// The slot of an address keeps its number: a read-only slot cannot become another, so that it goes
// first. A guest that runs meanwhile finds nothing there, and its access is a device's.
void KvmMachine::map(uint64_t ipa, uint64_t size, uint8_t* host, uint8_t perms) {
  const std::lock_guard lock(slots_mutex_);
  shared_.stage2.map(ipa, size, host, perms);
  set_slot(ipa, 0, host, (perms & kS2Write) == 0);
  if (!set_slot(ipa, size, host, (perms & kS2Write) == 0)) {
    message(fmt::format("trapline: KVM: memory at {:#x}: {}\n", ipa, failed("not mapped")));
  }
  shared_.memory.map_changed();
}

void KvmMachine::unmap(uint64_t ipa, uint64_t size) {
  const std::lock_guard lock(slots_mutex_);
  shared_.stage2.unmap(ipa, size);
  set_slot(ipa, 0, nullptr, false);
  shared_.memory.map_changed();
}

bool KvmMachine::signal_on_store(uint64_t ipa, int fd) {
  if (!ioeventfd_) return false;
  kvm_ioeventfd event{};
  event.addr = ipa;
  event.len = 4;
  event.fd = fd;
  return vm_.call(KVM_IOEVENTFD, &event) == 0;
}

// --- figures -------------------------------------------------------------------------------------

void KvmMachine::counters(CounterVisitor visit, void* context) const {
  VcpuCounts sum;
  for (const auto& vcpu : vcpus_) {
    const VcpuCounts& c = vcpu->counts();
    sum.runs += c.runs;
    sum.interrupted += c.interrupted;
    sum.mmio += c.mmio;
    for (unsigned i = 0; i < 2; ++i) {
      sum.nisv[i] += c.nisv[i];
      sum.nisv_ioctls[i] += c.nisv_ioctls[i];
    }
    sum.aborts += c.aborts;
    sum.exceptions += c.exceptions;
  }
  visit(context, "runs", sum.runs);
  visit(context, "interrupted", sum.interrupted);
  visit(context, "mmio", sum.mmio);
  visit(context, "nisv_hits", sum.nisv[0]);
  visit(context, "nisv_hit_ioctls", sum.nisv_ioctls[0]);
  visit(context, "nisv_misses", sum.nisv[1]);
  visit(context, "nisv_miss_ioctls", sum.nisv_ioctls[1]);
  visit(context, "aborts_injected", sum.aborts);
  visit(context, "exceptions_written", sum.exceptions);

  if (!vcpus_[0]->kernel_exits().known()) return;
  std::array<uint64_t, KernelExits::kCount> kernel{};
  for (const auto& vcpu : vcpus_) vcpu->kernel_exits().add(kernel);
  uint64_t other = kernel[KernelExits::kTotal];
  for (size_t i = 0; i < kernel.size(); ++i) {
    visit(context, KernelExits::kNames[i], kernel[i]);
    if (i != KernelExits::kTotal) other -= std::min(other, kernel[i]);
  }
  // Stage 2, system registers, interrupts: only kvm:* events tell them apart (record --kvm).
  visit(context, "kernel_other", other);
}

}  // namespace

std::string why_not() {
  std::string why;
  const File kvm = open_kvm(why);
  return why;
}

std::string why_no_el2(const Options::El2& el2) {
  if (!el2.on) return {};
  std::string why;
  const File kvm = open_kvm(why);
  if (!kvm) return why;
  if (kvm.has(el2.vhe ? KVM_CAP_ARM_EL2 : KVM_CAP_ARM_EL2_E2H0) > 0) return {};
  return el2.vhe ? "this host's KVM gives guests no EL2 (KVM_CAP_ARM_EL2)"
                 : "this host's KVM gives guests no EL2 without VHE (KVM_CAP_ARM_EL2_E2H0)";
}

Result<std::unique_ptr<Backend>> make_kvm_machine(GuestMemory& memory, Stage2& stage2,
                                                  const Options& options) {
  auto machine = std::make_unique<KvmMachine>(memory, stage2);
  if (std::string error = machine->create(options); !error.empty()) return Error{error};
  return std::unique_ptr<Backend>(std::move(machine));
}

}  // namespace trapline::kvm
