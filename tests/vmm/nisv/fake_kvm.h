// A KVM for the drop-in's tests, on any host: its vCPUs' KVM_RUN ends as a test says.
#ifndef TRAPLINE_TESTS_VMM_NISV_FAKE_KVM_H_
#define TRAPLINE_TESTS_VMM_NISV_FAKE_KVM_H_

#include <linux/kvm.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "vmm/kvm/uapi/registers.h"
#include "vmm/nisv/abi.h"
#include "vmm/nisv/system.h"

namespace trapline::nisv {

inline constexpr int kKvmFd = 10, kVmFd = 11, kOtherVmFd = 13, kVcpuFd = 20, kVgicFd = 12;
inline constexpr uint64_t kRam = 0x4000'0000, kRamBytes = 0x1'0000, kDevice = 0x0900'0000;
inline constexpr uint64_t kCode = kRam + 0x1000;

class FakeKvm final : public System {
 public:
  struct Exit {
    uint32_t reason;
    uint64_t iss, ipa;
    long result = 0;
  };
  struct Vcpu {
    std::map<uint64_t, std::vector<uint8_t>> registers;
    std::deque<Exit> exits;
    kvm_run* run = nullptr;
    uint64_t runs = 0;
    bool blocks = false;  // once there are no exits: until it is kicked
    bool inside = false, kicked = false;
    int aborts = 0;
    std::vector<uint64_t> gone_through;  // PCs at KVM_RUN
  };

  FakeKvm() : ram(static_cast<uint8_t*>(std::aligned_alloc(4096, kRamBytes))) {
    std::memset(ram, 0, kRamBytes);
  }
  ~FakeKvm() override { std::free(ram); }
  FakeKvm(const FakeKvm&) = delete;
  FakeKvm& operator=(const FakeKvm&) = delete;

  void put(uint64_t ipa, uint32_t word) { std::memcpy(ram + (ipa - kRam), &word, sizeof word); }
  uint64_t get(unsigned cpu, uint64_t id) {
    const std::lock_guard lock(mutex);
    uint64_t value = 0;
    const auto& bytes = vcpus[cpu].registers[id];
    std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
    return value;
  }
  void set(unsigned cpu, uint64_t id, uint64_t value) {
    const std::lock_guard lock(mutex);
    auto& bytes = vcpus[cpu].registers[id];
    bytes.assign(size_of(id), 0);
    std::memcpy(bytes.data(), &value, sizeof value);
  }
  static size_t size_of(uint64_t id) {
    return size_t{1} << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
  }

  long ioctl(int fd, unsigned long request, void* argument) override {
    if (request == KVM_CREATE_VM) return vms_made++ == 0 ? kVmFd : kOtherVmFd;
    if (request == KVM_ENABLE_CAP) return has_nisv ? 0 : -EINVAL;
    if (request == KVM_CHECK_EXTENSION) return 1;
    if (request == KVM_GET_VCPU_MMAP_SIZE) return 4096;
    if (request == KVM_CREATE_VCPU) {
      const std::lock_guard lock(mutex);
      const auto n = static_cast<int>(made++);
      vcpus[static_cast<unsigned>(n)].run = static_cast<kvm_run*>(std::calloc(1, 4096));
      return kVcpuFd + n;
    }
    if (request == KVM_CREATE_DEVICE) {
      static_cast<kvm_create_device*>(argument)->fd = kVgicFd;
      return 0;
    }
    if (fd == kVgicFd) return vgic(request, *static_cast<kvm_device_attr*>(argument));
    if (fd >= kVcpuFd && fd < kVcpuFd + 4) {
      return vcpu(static_cast<unsigned>(fd - kVcpuFd), request, argument);
    }
    ++others;
    return 0;
  }

  void* map_run(int fd, size_t /*bytes*/) override {
    return vcpus[static_cast<unsigned>(fd - kVcpuFd)].run;
  }
  void unmap_run(void* run, size_t /*bytes*/) override { std::free(run); }
  int duplicate(int fd) override { return fd + 1000; }
  void close(int fd) override { closed.push_back(fd); }
  void signal_event(int fd) override { signalled.push_back(fd); }
  bool read_memory(uint64_t address, void* to, size_t bytes) override {
    std::memcpy(to, reinterpret_cast<const void*>(address), bytes);
    return readable;
  }
  void kick(pthread_t /*thread*/) override {
    const std::lock_guard lock(mutex);
    for (auto& [n, vcpu] : vcpus) vcpu.kicked = vcpu.inside;
    changed.notify_all();
  }
  bool same_file(int fd, int other) override { return fd == same_as[0] && other == same_as[1]; }
  std::string name_of(int /*fd*/) override { return "anon_inode:kvm-vcpu:0"; }
  void message(const std::string& text) override { messages.push_back(text); }
  unsigned zero_block_log2() override { return 6; }

  std::mutex mutex;
  std::condition_variable changed;
  bool has_nisv = true, readable = true, has_sve = false;
  uint8_t* ram;
  unsigned vms_made = 0, made = 0;
  std::map<unsigned, Vcpu> vcpus;
  std::map<uint64_t, uint32_t> vgic_registers;
  bool ran_during_vgic = false;
  int busy = 0;  // so often the attributes say EBUSY
  std::vector<int> closed, signalled;
  int same_as[2] = {-1, -1};
  std::vector<std::string> messages;
  std::atomic<unsigned> others{0};

 private:
  long vcpu(unsigned n, unsigned long request, void* argument) {
    std::unique_lock lock(mutex);
    Vcpu& vcpu = vcpus[n];
    switch (request) {
      case KVM_GET_ONE_REG:
      case KVM_SET_ONE_REG: {
        auto& reg = *static_cast<kvm_one_reg*>(argument);
        const bool core_v = (reg.id & KVM_REG_SIZE_MASK) == KVM_REG_SIZE_U128;
        if (has_sve && core_v) return -EINVAL;
        auto& bytes = vcpu.registers[reg.id];
        if (bytes.empty()) bytes.assign(size_of(reg.id), 0);
        auto* theirs = reinterpret_cast<uint8_t*>(reg.addr);
        if (request == KVM_GET_ONE_REG) {
          std::memcpy(theirs, bytes.data(), bytes.size());
        } else {
          std::memcpy(bytes.data(), theirs, bytes.size());
        }
        return 0;
      }
      case KVM_RUN:
        return run(lock, vcpu);
      case kGetVcpuEvents:
        return 0;
      case kSetVcpuEvents:
        vcpu.aborts += static_cast<VcpuEvents*>(argument)->ext_dabt_pending;
        return 0;
      default:
        ++others;
        return 0;
    }
  }

  long run(std::unique_lock<std::mutex>& lock, Vcpu& vcpu) {
    ++vcpu.runs;
    uint64_t pc = 0;
    const auto& bytes = vcpu.registers[kvm::kPc];
    if (!bytes.empty()) std::memcpy(&pc, bytes.data(), bytes.size());
    vcpu.gone_through.push_back(pc);
    if (vcpu.run->immediate_exit != 0) return -EINTR;
    vcpu.inside = true;
    if (vcpu.exits.empty() && vcpu.blocks) {
      changed.notify_all();
      changed.wait(lock, [&] { return vcpu.kicked || !vcpu.exits.empty(); });
      if (vcpu.kicked) {
        vcpu.kicked = vcpu.inside = false;
        return -EINTR;
      }
    }
    vcpu.inside = false;
    if (vcpu.exits.empty()) {
      vcpu.run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
      return 0;
    }
    const Exit exit = vcpu.exits.front();
    vcpu.exits.pop_front();
    vcpu.run->exit_reason = exit.reason;
    vcpu.run->arm_nisv.esr_iss = exit.iss;
    vcpu.run->arm_nisv.fault_ipa = exit.ipa;
    return exit.result;
  }

  long vgic(unsigned long request, const kvm_device_attr& attribute) {
    const std::lock_guard lock(mutex);
    if (attribute.group == 0) return 0;  // an address
    if (busy > 0) {
      --busy;
      return -EBUSY;
    }
    for (auto& [n, vcpu] : vcpus) ran_during_vgic = ran_during_vgic || vcpu.inside;
    uint32_t& word = vgic_registers[uint64_t{attribute.group} << 56 | attribute.attr];
    auto* value = reinterpret_cast<uint32_t*>(attribute.addr);
    if (request == KVM_GET_DEVICE_ATTR) {
      *value = word;
    } else {
      word = *value;
    }
    return 0;
  }
};

}  // namespace trapline::nisv

#endif  // TRAPLINE_TESTS_VMM_NISV_FAKE_KVM_H_
