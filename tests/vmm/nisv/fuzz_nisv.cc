// A hostile guest under the drop-in: its words, registers, tables and syndromes are the input's,
// and so is what the VMM answers and does between two elements. Whatever comes, each KVM_RUN ends,
// an element is no memory of the guest's and of a size that KVM has, and nothing is touched but the
// slots (AddressSanitizer looks on).
#include <cstdlib>

#include "tests/vmm/nisv/fake_kvm.h"
#include "vmm/nisv/interposer.h"

namespace trapline::nisv {
namespace {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  uint64_t bits(unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes && left_ != 0; ++i, --left_) {
      value |= uint64_t{*data_++} << 8 * i;
    }
    return value;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

void must(bool ok) {
  if (!ok) std::abort();
}

// An address that leads somewhere, more often than not.
uint64_t address(Input& in) {
  switch (in.bits(1) & 7) {
    case 0:
      return in.bits(8);
    case 1:
    case 2:
    case 3:
      return kDevice + in.bits(1);
    case 4:
      return kRam + in.bits(2);
    case 5:
      return kRam + kRamBytes - (in.bits(1) & 63);
    case 6:
      return 0x0800'0000 + in.bits(2);
    default:
      return 0x080a'0000 + in.bits(2);
  }
}

struct World {
  FakeKvm kvm;
  Interposer drop{kvm, 4096};
  kvm_run* run;

  World() {
    drop.load(nullptr);
    must(drop.ioctl(kKvmFd, KVM_CREATE_VM, nullptr) == kVmFd);
    must(drop.ioctl(kVmFd, KVM_CREATE_VCPU, nullptr) == kVcpuFd);
    kvm_create_device device{KVM_DEV_TYPE_ARM_VGIC_V3, 0, 0};
    must(drop.ioctl(kVmFd, KVM_CREATE_DEVICE, &device) == 0);
    const uint64_t bases[] = {0x0800'0000, 0x080a'0000};
    for (unsigned i = 0; i < 2; ++i) {
      kvm_device_attr attr{0, 0, 2 + i, reinterpret_cast<uint64_t>(&bases[i])};
      must(drop.ioctl(kVgicFd, KVM_SET_DEVICE_ATTR, &attr) == 0);
    }
    kvm_ioeventfd event{};
    event.addr = kDevice + 16;
    event.len = 4;
    event.fd = 30;
    must(drop.ioctl(kVmFd, KVM_IOEVENTFD, &event) == 0);
    run = kvm.vcpus[0].run;
    slot(kRamBytes);
  }
  void slot(uint64_t size) {
    kvm_userspace_memory_region region{0, KVM_MEM_LOG_DIRTY_PAGES, kRam, size,
                                       reinterpret_cast<uint64_t>(kvm.ram)};
    must(drop.ioctl(kVmFd, KVM_SET_USER_MEMORY_REGION, &region) == 0);
  }
};

// What a VMM may do before it runs the vCPU again.
void between(World& world, Input& in, bool& unmapped) {
  switch (in.bits(1) & 15) {
    case 0: {
      VcpuInit init{};
      world.drop.ioctl(kVcpuFd, kArmVcpuInit, &init);
      break;
    }
    case 1:
      world.slot(0);
      world.slot(kRamBytes);
      break;
    case 2:
      world.run->immediate_exit = 1;
      break;
    case 3:
      unmapped = true;
      world.drop.unmapping(reinterpret_cast<uint64_t>(world.kvm.ram), 4096);
      break;
    case 4: {
      uint64_t pc = kCode + (in.bits(1) & 4);
      kvm_one_reg reg{kvm::kPc, reinterpret_cast<uint64_t>(&pc)};
      world.drop.ioctl(kVcpuFd, KVM_SET_ONE_REG, &reg);
      break;
    }
    default:
      break;
  }
}

void one(World& world, Input& in) {
  FakeKvm& kvm = world.kvm;
  kvm.set(0, kvm::kPc, kCode);
  kvm.set(0, kvm::kPstate, 0x3c0 | (in.bits(1) & 0x1f) | in.bits(1) << 22);
  kvm.set(0, kvm::kSctlrEl1, in.bits(1) & 1 ? in.bits(4) : 0);
  kvm.set(0, kvm::kTcrEl1, in.bits(5));
  kvm.set(0, kvm::kTtbr0El1, kRam + 0x4000);
  kvm.set(0, kvm::kTtbr1El1, kRam + (in.bits(1) << 12));
  for (unsigned i = 0; i < 4; ++i) {
    kvm.set(0, kvm::x_register(i), address(in));
    kvm.put(kCode + 4 * i, static_cast<uint32_t>(in.bits(4)));
    const uint64_t descriptor = in.bits(1) | address(in);
    std::memcpy(kvm.ram + 0x4000 + 8 * i, &descriptor, sizeof descriptor);
  }
  kvm.vcpus[0].exits = {{KVM_EXIT_ARM_NISV, in.bits(1), address(in)}};
  // 64 steps, each of a copy or of a structure at most.
  constexpr unsigned kMost = 64 * 4096;
  bool unmapped = false;  // what is not there any more is a device
  for (unsigned calls = 0;; ++calls) {
    must(calls < kMost);
    const long result = world.drop.ioctl(kVcpuFd, KVM_RUN, nullptr);
    if (result == -EINTR) {
      world.run->immediate_exit = 0;
      continue;
    }
    must(result == 0);
    if (world.run->exit_reason == KVM_EXIT_SYSTEM_EVENT) return;
    must(world.run->exit_reason == KVM_EXIT_MMIO);
    const auto& mmio = world.run->mmio;
    must(mmio.len == 1 || mmio.len == 2 || mmio.len == 4 || mmio.len == 8);
    must(mmio.phys_addr - kRam >= kRamBytes || unmapped);
    const uint64_t value = in.bits(8);
    if (mmio.is_write == 0) std::memcpy(world.run->mmio.data, &value, sizeof value);
    between(world, in, unmapped);
  }
}

}  // namespace
}  // namespace trapline::nisv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto& world = *new trapline::nisv::World;
  trapline::nisv::Input in(data, size);
  trapline::nisv::one(world, in);
  world.slot(0);
  world.slot(trapline::nisv::kRamBytes);
  return 0;
}
