#include "vmm/nisv/interposer.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "vmm/nisv/abi.h"

namespace trapline::nisv {

struct Interposer::Device final : Object {
  Device(Vm& vm_given) : Object(Kind::kVgic), vm(vm_given) {}
  Vm& vm;

 protected:
  void retire() override { vm.unref(); }
};

namespace {

// What passes unchanged: another process's vCPU; a VM without the capability, and its vCPUs.
class Foreign final : public Object {
 public:
  Foreign() : Object(Kind::kForeign) {}
};

}  // namespace

int kick_signal() { return SIGRTMAX - 1; }

Interposer::Interposer(System& system, uint64_t page_bytes)
    : system_(system),
      page_bytes_(page_bytes),
      helper_([](void* self) { static_cast<Interposer*>(self)->write_statistics(); }, this) {}

Interposer::~Interposer() {
  closing_range(0, ~0u);
  helper_.stop();
}

void Interposer::load(const char* statistics) {
  if (statistics != nullptr && *statistics != 0 && !statistics_.open(statistics)) {
    system_.message("TRAPLINE_NISV_STATS=" + std::string(statistics) +
                    ": cannot be written: " + std::strerror(errno));
  }
  helper_.start();
}

// --- ioctl ---------------------------------------------------------------------------------------

long Interposer::ioctl(int fd, unsigned long request, void* argument) {
  // The kernel takes 32 bits; QEMU keeps requests in an int, whose sign is extended.
  request = static_cast<uint32_t>(request);
  if (request == KVM_CREATE_VM) return create_vm(fd, argument);
  Ref<Object> found = descriptors_.find(fd);
  if (!found) found = adopt(fd, request);
  if (!found) return system_.ioctl(fd, request, argument);
  switch (found->kind) {
    case Kind::kVm:
      return vm_ioctl(static_cast<Vm&>(*found.get()), fd, request, argument);
    case Kind::kVcpu:
      return vcpu_ioctl(static_cast<Vcpu&>(*found.get()), fd, request, argument);
    case Kind::kVgic:
      return device_ioctl(static_cast<Device&>(*found.get()), fd, request, argument);
    case Kind::kForeign:
      break;
  }
  const long result = system_.ioctl(fd, request, argument);
  if (request == KVM_CREATE_VCPU && result >= 0) {
    descriptors_.set(static_cast<int>(result), new Foreign);
  }
  return result;
}

long Interposer::create_vm(int fd, void* argument) {
  const long made = system_.ioctl(fd, KVM_CREATE_VM, argument);
  if (made < 0) return made;
  const int vm_fd = static_cast<int>(made);
  if (!helper_.start()) system_.message("no thread: what KVM asks is asked by the VMM's own");
  helper_.call([&] {
    kvm_enable_cap nisv{};
    nisv.cap = KVM_CAP_ARM_NISV_TO_USER;
    if (system_.ioctl(vm_fd, KVM_ENABLE_CAP, &nisv) != 0) {
      descriptors_.set(vm_fd, new Foreign);
      system_.message(
          "this host's KVM has no KVM_CAP_ARM_NISV_TO_USER: accesses that the hardware does not "
          "describe (ISV=0) are the VMM's own affair");
      return;
    }
    const long run_bytes = system_.ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, nullptr);
    auto* vm = new Vm(system_, run_bytes > 0 ? static_cast<size_t>(run_bytes) : 0, page_bytes_);
    void* const abort = reinterpret_cast<void*>(uintptr_t{KVM_CAP_ARM_INJECT_EXT_DABT});
    vm->can_abort = system_.ioctl(vm_fd, KVM_CHECK_EXTENSION, abort) > 0;
    const std::lock_guard lock(vms_mutex_);
    if (vms_made_.load() == 0) statistics_.begin();
    vms_.push_back(vm);
    vms_made_.fetch_add(1, std::memory_order_release);
    descriptors_.set(vm_fd, vm);
  });
  return made;
}

long Interposer::vm_ioctl(Vm& vm, int fd, unsigned long request, void* argument) {
  switch (request) {
    case KVM_CREATE_VCPU:
      return create_vcpu(vm, fd, argument);
    case KVM_CREATE_DEVICE:
      return create_device(vm, fd, argument);
    case KVM_SET_USER_MEMORY_REGION:
    case kSetUserMemoryRegion2:
      return set_memory(vm, fd, request, argument);
    case KVM_GET_DIRTY_LOG:
      return dirty_log(vm, fd, argument);
    case KVM_IOEVENTFD:
      return io_event(vm, fd, argument);
    default:
      return system_.ioctl(fd, request, argument);
  }
}

long Interposer::create_vcpu(Vm& vm, int fd, void* argument) {
  const long made = system_.ioctl(fd, KVM_CREATE_VCPU, argument);
  if (made < 0) return made;
  vm.vgic.add_cpu(static_cast<uint32_t>(reinterpret_cast<uintptr_t>(argument)));
  if (!vm.try_ref()) return made;
  auto* vcpu = new Vcpu(vm);
  bool started = false;
  helper_.call([&] { started = vcpu->start(static_cast<int>(made)); });
  if (!started) {
    system_.message("no memory for a vCPU: its accesses that the hardware does not describe fail");
    vcpu->unref();
    return made;
  }
  {
    const std::lock_guard lock(vms_mutex_);
    vcpus_.push_back(vcpu);
  }
  descriptors_.set(static_cast<int>(made), vcpu);
  return made;
}

long Interposer::create_device(Vm& vm, int fd, void* argument) {
  const long result = system_.ioctl(fd, KVM_CREATE_DEVICE, argument);
  if (result < 0) return result;
  kvm_create_device device;
  std::memcpy(&device, argument, sizeof device);
  constexpr uint32_t kTest = KVM_CREATE_DEVICE_TEST;
  if (device.type != KVM_DEV_TYPE_ARM_VGIC_V3 || (device.flags & kTest) != 0) return result;
  if (!vm.try_ref()) return result;
  vm.vgic.made(static_cast<int>(device.fd));
  descriptors_.set(static_cast<int>(device.fd), new Device(vm));
  return result;
}

long Interposer::device_ioctl(Device& device, int fd, unsigned long request, void* argument) {
  const long result = system_.ioctl(fd, request, argument);
  if (result == 0 && request == KVM_SET_DEVICE_ATTR) {
    kvm_device_attr attribute;
    std::memcpy(&attribute, argument, sizeof attribute);
    device.vm.vgic.placed(attribute);
  }
  return result;
}

// Emulators have nothing in hand of what KVM is about to let go.
long Interposer::set_memory(Vm& vm, int fd, unsigned long request, void* argument) {
  const std::lock_guard lock(vm.memory);
  const long result = system_.ioctl(fd, request, argument);
  if (result < 0) return result;
  kvm_userspace_memory_region region;
  std::memcpy(&region, argument, sizeof region);
  if (vm.slots.set(region)) memory_changed(vm);
  return result;
}

void Interposer::memory_changed(Vm& vm) {
  vm.map_changes.fetch_add(1, std::memory_order_relaxed);
  const std::lock_guard lock(vm.vcpus_mutex);
  for (Vcpu* vcpu : vm.vcpus) vcpu->forget_memory();
}

long Interposer::dirty_log(Vm& vm, int fd, void* argument) {
  const std::lock_guard lock(vm.memory);
  const long result = system_.ioctl(fd, KVM_GET_DIRTY_LOG, argument);
  if (result < 0) return result;
  kvm_dirty_log log;
  std::memcpy(&log, argument, sizeof log);
  vm.slots.add_to_log(log.slot, static_cast<uint64_t*>(log.dirty_bitmap));
  return result;
}

long Interposer::io_event(Vm& vm, int fd, void* argument) {
  const long result = system_.ioctl(fd, KVM_IOEVENTFD, argument);
  if (result < 0) return result;
  kvm_ioeventfd event;
  std::memcpy(&event, argument, sizeof event);
  if (!IoEvents::is_ours(event)) return result;
  helper_.call([&] {
    const std::lock_guard lock(vm.events_mutex);
    if ((event.flags & KVM_IOEVENTFD_FLAG_DEASSIGN) != 0) {
      const int gone = vm.events.remove(event);
      if (gone < 0) return;
      keep(gone, false);
      system_.close(gone);
      return;
    }
    const int own = system_.duplicate(event.fd);
    if (own < 0) {
      system_.message("no descriptor for an ioeventfd: stores without a syndrome go to the VMM");
      return;
    }
    keep(own, true);
    vm.events.add(event, own);
  });
  return result;
}

long Interposer::vcpu_ioctl(Vcpu& vcpu, int fd, unsigned long request, void* argument) {
  switch (request) {
    case KVM_RUN:
      return vcpu.run(fd, argument);
    case kArmVcpuInit:
      vcpu.reset();
      break;
    case KVM_GET_ONE_REG:
      vcpu.registers_read();
      break;
    case KVM_SET_ONE_REG: {
      const long result = system_.ioctl(fd, request, argument);
      if (result == 0) vcpu.register_written(*static_cast<const kvm_one_reg*>(argument));
      return result;
    }
    case KVM_SET_SIGNAL_MASK:
      if (argument != nullptr) return set_signal_mask(fd, argument);
      break;
    default:
      break;
  }
  return system_.ioctl(fd, request, argument);
}

// The mask that holds inside KVM_RUN must let our signal through.
long Interposer::set_signal_mask(int fd, void* argument) {
  struct {
    uint32_t length;
    uint8_t set[8];
  } mask;
  static_assert(sizeof mask == 12);
  std::memcpy(&mask, argument, sizeof mask.length);
  if (mask.length != sizeof mask.set) return system_.ioctl(fd, KVM_SET_SIGNAL_MASK, argument);
  std::memcpy(mask.set, static_cast<const char*>(argument) + sizeof mask.length, sizeof mask.set);
  const auto bit = static_cast<unsigned>(kick_signal()) - 1;
  mask.set[bit / 8] &= static_cast<uint8_t>(~(1u << bit % 8));
  return system_.ioctl(fd, KVM_SET_SIGNAL_MASK, &mask);
}

// A descriptor that we have not seen come: a duplicate that was made behind our back, or another
// process's.
Ref<Object> Interposer::adopt(int fd, unsigned long request) {
  switch (request) {
    case KVM_RUN:
    case KVM_CREATE_VCPU:
    case KVM_CREATE_DEVICE:
    case KVM_SET_USER_MEMORY_REGION:
    case kSetUserMemoryRegion2:
    case KVM_IOEVENTFD:
      break;
    default:
      return {};
  }
  helper_.call([&] {
    int same = -1;
    descriptors_.each([&](int known, Object& object) {
      if (same < 0 && object.kind != Kind::kForeign && system_.same_file(fd, known)) same = known;
    });
    if (same >= 0) return descriptors_.copy(same, fd);
    if (request != KVM_RUN) return;
    const std::string name = system_.name_of(fd);
    if (name.find("kvm-vcpu") == std::string::npos) return;
    system_.message(name +
                    ": a vCPU of another process's passes unchanged: its memory is not known");
    descriptors_.set(fd, new Foreign);
  });
  return descriptors_.find(fd);
}

// --- descriptors and memory ----------------------------------------------------------------------

template <typename Visit>
void Interposer::each_vm(Visit&& visit) {
  const std::lock_guard lock(vms_mutex_);
  for (Vm* vm : vms_) {
    if (!vm->try_ref()) continue;
    visit(*vm);
    vm->unref();
  }
}

void Interposer::closing(int fd) {
  Ref<Object> found = descriptors_.find(fd);
  if (!found) return;
  if (found->kind == Kind::kVgic) static_cast<Device*>(found.get())->vm.vgic.closed(fd);
  // The last one: threads end, and what keeps the VM alive goes.
  helper_.call([&] {
    descriptors_.forget(fd);
    const Ref<Object> last(std::move(found));
  });
}

void Interposer::closing_range(unsigned first, unsigned last) {
  descriptors_.each([&](int fd, Object& /*object*/) {
    const auto number = static_cast<unsigned>(fd);
    if (number >= first && number <= last) closing(fd);
  });
}

void Interposer::keep(int fd, bool ours) {
  if (fd < 0 || static_cast<unsigned>(fd) >= kOurs) return;
  const uint64_t bit = uint64_t{1} << (fd % 64);
  ours ? ours_[fd / 64].fetch_or(bit) : ours_[fd / 64].fetch_and(~bit);
}

bool Interposer::is_ours(int fd) const {
  return fd >= 0 && static_cast<unsigned>(fd) < kOurs &&
         (ours_[fd / 64].load(std::memory_order_relaxed) >> (fd % 64) & 1) != 0;
}

void Interposer::vacate(int fd) {
  each_vm([&](Vm& vm) {
    const std::lock_guard lock(vm.events_mutex);
    for (IoEvents::Event& event : vm.events.all()) {
      if (event.fd != fd) continue;
      event.fd = system_.duplicate(fd);
      keep(event.fd, true);
    }
  });
  keep(fd, false);
}

void Interposer::unmapping(uint64_t address, uint64_t size) {
  if (vms_made_.load(std::memory_order_acquire) == 0) return;
  each_vm([&](Vm& vm) {
    const std::lock_guard lock(vm.memory);
    if (vm.slots.unmapped(address, size)) memory_changed(vm);
  });
}

// --- processes and threads -----------------------------------------------------------------------

bool Interposer::threads_away() {
  bool away = true;
  each_vm([&](Vm& vm) {
    std::vector<Vcpu*> all;
    {
      const std::lock_guard lock(vm.vcpus_mutex);
      all = vm.vcpus;
    }
    for (Vcpu* vcpu : all) away = away && vcpu->stop_thread();
  });
  if (away) {
    helper_.stop();
  } else {
    threads_back();
  }
  return away;
}

void Interposer::threads_back() {
  helper_.start();
  helper_.call([&] {
    each_vm([&](Vm& vm) {
      const std::lock_guard lock(vm.vcpus_mutex);
      for (Vcpu* vcpu : vm.vcpus) vcpu->start_thread();
    });
  });
}

void Interposer::before_fork() {
  helper_.before_fork();
  writing_.lock();
  vms_mutex_.lock();
}

void Interposer::after_fork_in_parent() {
  vms_mutex_.unlock();
  writing_.unlock();
  helper_.after_fork_in_parent();
}

// The parent's VMs are not the child's: KVM refuses another process's calls.
void Interposer::forget_everything() {
  new (&vms_mutex_) std::mutex;
  new (&writing_) std::timed_mutex;
  helper_.forget();
  descriptors_.clear();
  vms_.clear();
  vcpus_.clear();
  if (vms_made_.exchange(0) != 0) statistics_.close();
  for (unsigned fd = 0; fd < kOurs; ++fd) {
    if (!is_ours(static_cast<int>(fd))) continue;
    keep(static_cast<int>(fd), false);
    system_.close(static_cast<int>(fd));
  }
}

std::vector<const Counts*> Interposer::counts() {
  std::vector<const Counts*> all;
  const std::lock_guard lock(vms_mutex_);
  for (const Vcpu* vcpu : vcpus_) all.push_back(&vcpu->counts());
  return all;
}

void Interposer::write_statistics() {
  if (vms_made_.load(std::memory_order_acquire) == 0) return;
  const std::unique_lock one(writing_, std::try_to_lock);
  if (one.owns_lock()) write_counts();
}

void Interposer::write_last_statistics() {
  if (vms_made_.load(std::memory_order_acquire) == 0) return;
  // Not for ever: a signal's handler may have ended the process within a fork.
  constexpr std::chrono::seconds kPatience{1};
  const std::unique_lock one(writing_, kPatience);
  if (!one.owns_lock()) return;
  write_counts();
  statistics_.close();
}

void Interposer::write_counts() {
  const std::vector<const Counts*> all = counts();
  statistics_.write(all.data(), static_cast<unsigned>(all.size()));
}

}  // namespace trapline::nisv
