// A small VMM on /dev/kvm, for hosts that are guests of Trapline: the L1 of a nested run. Static,
// so that an initramfs needs nothing but it.
//
//   kvm_vmm exits INNER.bin [--cpus 1|2] [--count N] [--cached] [--step]
//       the guest of inner.c: N exits a class; --step: before and after each class one line, and
//       wait for one on the standard input, so that who counts from outside has the edges
//   kvm_vmm linux IMAGE DTB [INITRD] [--cpus N]
//       a kernel, on a PL011 that only prints
//
// Accesses without a valid syndrome (KVM_EXIT_ARM_NISV) are fetched, decoded by our decoder and
// emulated. Ends with the guest's power-off; status 0 unless something failed.
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/guest/el2/kvm/instruction.h"

namespace {

constexpr uint64_t kRam = 0x4000'0000;
constexpr uint64_t kGicd = 0x0800'0000, kGicr = 0x080a'0000;
constexpr uint64_t kUart = 0x0900'0000;
constexpr uint64_t kDevice = 0x0a00'0000;  // of inner.c
constexpr unsigned kMaxCpus = 8;

[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...) {
  va_list list;
  va_start(list, format);
  std::fputs("kvm_vmm: ", stdout);
  std::vprintf(format, list);
  std::puts("");
  std::fflush(stdout);
  _exit(1);
}

int check(int result, const char* what) {
  if (result < 0) fail("%s: %s", what, std::strerror(errno));
  return result;
}

struct Vm {
  int kvm = -1, vm = -1, gic = -1;
  uint8_t* ram = nullptr;
  uint64_t ram_size = 256u << 20;
  unsigned cpus = 1;
  uint64_t count = 10'000;
  int fd[kMaxCpus];
  kvm_run* run[kMaxCpus];
  uint64_t device_reads = 0, nisv = 0;
  bool cached = false, step = false;
  InstructionSource* instructions[kMaxCpus];
};
Vm g;

constexpr uint64_t kCoreReg = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE;
// Core registers are named by their offset in struct kvm_regs, in words of 32 bits.
uint64_t core_reg(unsigned index) {
  return kCoreReg | ((offsetof(kvm_regs, regs) + offsetof(user_pt_regs, regs)) / 4 + 2 * index);
}
constexpr uint64_t kPc = kCoreReg | (offsetof(kvm_regs, regs) + offsetof(user_pt_regs, pc)) / 4;

uint64_t get_reg(unsigned cpu, uint64_t id) {
  uint64_t value = 0;
  kvm_one_reg reg{id, reinterpret_cast<uint64_t>(&value)};
  check(ioctl(g.fd[cpu], KVM_GET_ONE_REG, &reg), "KVM_GET_ONE_REG");
  return value;
}
void set_reg(unsigned cpu, uint64_t id, uint64_t value) {
  kvm_one_reg reg{id, reinterpret_cast<uint64_t>(&value)};
  check(ioctl(g.fd[cpu], KVM_SET_ONE_REG, &reg), "KVM_SET_ONE_REG");
}

}  // namespace

uint64_t guest_sysreg(unsigned cpu, unsigned op1, unsigned crn, unsigned crm, unsigned op2) {
  return get_reg(cpu, ARM64_SYS_REG(3, op1, crn, crm, op2));
}
const uint8_t* guest_memory(uint64_t ipa) {
  return ipa - kRam < g.ram_size ? g.ram + (ipa - kRam) : nullptr;
}

namespace {

void gic_attr(uint32_t group, uint64_t attr, uint64_t value) {
  kvm_device_attr a{0, group, attr, reinterpret_cast<uint64_t>(&value)};
  check(ioctl(g.gic, KVM_SET_DEVICE_ATTR, &a), "KVM_SET_DEVICE_ATTR");
}

void make_vm() {
  g.kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  g.vm = check(ioctl(g.kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  void* ram = mmap(nullptr, g.ram_size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (ram == MAP_FAILED) fail("no memory");
  madvise(ram, g.ram_size, MADV_NOHUGEPAGE);  // stage-2 faults are to be counted by pages
  g.ram = static_cast<uint8_t*>(ram);
  kvm_userspace_memory_region region{0, 0, kRam, g.ram_size, reinterpret_cast<uint64_t>(ram)};
  check(ioctl(g.vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
  kvm_enable_cap cap{};
  cap.cap = KVM_CAP_ARM_NISV_TO_USER;
  if (ioctl(g.vm, KVM_ENABLE_CAP, &cap) != 0) std::puts("kvm_vmm: no KVM_CAP_ARM_NISV_TO_USER");

  kvm_create_device device{KVM_DEV_TYPE_ARM_VGIC_V3, 0, 0};
  const bool has_gic = ioctl(g.vm, KVM_CREATE_DEVICE, &device) == 0;
  if (!has_gic) fail("no vGICv3: %s", std::strerror(errno));
  g.gic = static_cast<int>(device.fd);

  const int run_size = check(ioctl(g.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  kvm_vcpu_init init{};
  check(ioctl(g.vm, KVM_ARM_PREFERRED_TARGET, &init), "KVM_ARM_PREFERRED_TARGET");
  init.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2;
  for (unsigned i = 0; i < g.cpus; ++i) {
    g.fd[i] = check(ioctl(g.vm, KVM_CREATE_VCPU, i), "KVM_CREATE_VCPU");
    void* run = mmap(nullptr, static_cast<size_t>(run_size), PROT_READ | PROT_WRITE, MAP_SHARED,
                     g.fd[i], 0);
    if (run == MAP_FAILED) fail("no kvm_run");
    g.run[i] = static_cast<kvm_run*>(run);
    g.instructions[i] = new InstructionSource(g.cached);
    if (i == 1) init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
    check(ioctl(g.fd[i], KVM_ARM_VCPU_INIT, &init), "KVM_ARM_VCPU_INIT");
  }
  gic_attr(KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, kGicd);
  gic_attr(KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, kGicr);
  kvm_device_attr done{0, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0};
  check(ioctl(g.gic, KVM_SET_DEVICE_ATTR, &done), "KVM_DEV_ARM_VGIC_CTRL_INIT");
}

uint64_t load_file(const char* name, uint64_t offset) {
  const int file = check(open(name, O_RDONLY), name);
  uint64_t size = 0;
  for (;;) {
    const ssize_t n = read(file, g.ram + offset + size, g.ram_size - offset - size);
    if (n < 0) fail("%s: %s", name, std::strerror(errno));
    if (n == 0) break;
    size += static_cast<uint64_t>(n);
  }
  close(file);
  return size;
}

// --- devices -------------------------------------------------------------------------------------

enum DeviceRegister : uint64_t {
  kText = 0,
  kCounter = 8,
  kMark = 0x10,
  kTicks = 0x18,
  kCount = 0x20,
  kCpus = 0x28
};

const char* const kClasses[] = {"hypercall", "mmio", "mmio_isv0",    "sgi_self", "ipi",
                                "timer",     "wfi",  "stage2_fault", "nothing"};
const char* class_name(uint64_t mark) {
  return mark < sizeof kClasses / sizeof *kClasses ? kClasses[mark] : "?";
}

// What the inner guest does to the device of inner.c.
uint64_t device_read(uint64_t offset) {
  switch (offset) {
    case kCounter:
    case kCounter + 4:
      return ++g.device_reads;
    case kCount:
      return g.count;
    case kCpus:
      return g.cpus;
    default:
      return 0;
  }
}
void wait_for_step() {
  std::fflush(stdout);
  char c = 0;
  while (g.step && c != '\n' && read(0, &c, 1) == 1) {
  }
}
void device_write(uint64_t offset, uint64_t value) {
  static uint64_t mark = 0;
  switch (offset) {
    case kText:
      std::putchar(static_cast<int>(value & 0xff));
      break;
    case kMark:
      mark = value;
      if (g.step) std::printf("inner: %s begins\n", class_name(mark));
      wait_for_step();
      break;
    case kTicks:
      std::printf("inner: %s %llu exits, %llu ticks\n", class_name(mark),
                  static_cast<unsigned long long>(g.count), static_cast<unsigned long long>(value));
      wait_for_step();
      break;
  }
  std::fflush(stdout);
}

// PL011, as far as a driver needs that only prints: never full, never anything to read.
uint64_t uart_read(uint64_t offset) {
  static const uint8_t kIds[] = {0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
  if (offset == 0x18) return 0x90;  // FR: TXFE, RXFE
  if (offset >= 0xfe0) return kIds[(offset - 0xfe0) / 4 & 7];
  return 0;
}
void uart_write(uint64_t offset, uint64_t value) {
  if (offset == 0) {
    std::putchar(static_cast<int>(value & 0xff));
    if ((value & 0xff) == '\n') std::fflush(stdout);
  }
}

pthread_mutex_t g_devices = PTHREAD_MUTEX_INITIALIZER;

uint64_t mmio(uint64_t address, bool write, uint64_t value) {
  pthread_mutex_lock(&g_devices);
  uint64_t result = 0;
  if (address - kUart < 0x1000) {
    write ? uart_write(address - kUart, value) : void(result = uart_read(address - kUart));
  } else if (address - kDevice < 0x1000) {
    write ? device_write(address - kDevice, value) : void(result = device_read(address - kDevice));
  }
  pthread_mutex_unlock(&g_devices);
  return result;
}

void mmio_exit(kvm_run& run) {
  uint64_t value = 0;
  std::memcpy(&value, run.mmio.data, 8);
  value = mmio(run.mmio.phys_addr, run.mmio.is_write != 0, value);
  if (run.mmio.is_write == 0) std::memcpy(run.mmio.data, &value, 8);
}

// An access of general registers that the syndrome does not describe.
void nisv_exit(unsigned cpu, kvm_run& run) {
  using trapline::AddressMode, trapline::Op;
  ++g.nisv;
  const uint64_t pc = get_reg(cpu, kPc), ipa = run.arm_nisv.fault_ipa;
  const trapline::Access* a = g.instructions[cpu]->find(cpu, pc);
  if (a == nullptr || (a->op != Op::kLoad && a->op != Op::kStore) || a->vector) {
    fail("no access of general registers at %llx", static_cast<unsigned long long>(pc));
  }
  const unsigned bytes = a->element_bytes();
  const uint8_t targets[] = {a->rt, a->rt2};
  for (unsigned i = 0; i < a->count; ++i) {
    const unsigned target = targets[i];
    uint64_t value = a->op == Op::kStore && target != 31 ? get_reg(cpu, core_reg(target)) : 0;
    value = mmio(ipa + i * bytes, a->op == Op::kStore, value);
    if (bytes < 8) value &= (uint64_t{1} << 8 * bytes) - 1;
    if (a->op == Op::kLoad && target != 31) set_reg(cpu, core_reg(target), value);
  }
  if (a->mode == AddressMode::kPreIndex || a->mode == AddressMode::kPostIndex) {
    if (a->rn == 31) fail("the stack pointer as base");
    set_reg(cpu, core_reg(a->rn),
            get_reg(cpu, core_reg(a->rn)) + static_cast<uint64_t>(int64_t{a->imm}));
  }
  set_reg(cpu, kPc, pc + 4);
}

void* run_vcpu(void* argument) {
  const auto cpu = static_cast<unsigned>(reinterpret_cast<uintptr_t>(argument));
  kvm_run& run = *g.run[cpu];
  for (;;) {
    if (ioctl(g.fd[cpu], KVM_RUN, 0) != 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      fail("KVM_RUN: %s at pc %llx", std::strerror(errno),
           static_cast<unsigned long long>(get_reg(cpu, kPc)));
    }
    switch (run.exit_reason) {
      case KVM_EXIT_MMIO:
        mmio_exit(run);
        break;
      case KVM_EXIT_ARM_NISV:
        nisv_exit(cpu, run);
        break;
      case KVM_EXIT_SYSTEM_EVENT:
        std::printf("kvm_vmm: system event %u, %llu accesses without a syndrome\n",
                    run.system_event.type, static_cast<unsigned long long>(g.nisv));
        std::fflush(stdout);
        _exit(run.system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN ? 0 : 1);
      default:
        fail("exit %u at pc %llx", run.exit_reason,
             static_cast<unsigned long long>(get_reg(cpu, kPc)));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const char* names[4] = {};
  unsigned count = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--cpus") == 0 && i + 1 < argc) {
      g.cpus = static_cast<unsigned>(std::strtoul(argv[++i], nullptr, 0));
    } else if (std::strcmp(argv[i], "--count") == 0 && i + 1 < argc) {
      g.count = std::strtoull(argv[++i], nullptr, 0);
    } else if (std::strcmp(argv[i], "--cached") == 0) {
      g.cached = true;
    } else if (std::strcmp(argv[i], "--step") == 0) {
      g.step = true;
    } else if (count < 4) {
      names[count++] = argv[i];
    }
  }
  const bool exits = count == 2 && std::strcmp(names[0], "exits") == 0;
  const bool linux_guest = count >= 3 && std::strcmp(names[0], "linux") == 0;
  if ((!exits && !linux_guest) || g.cpus == 0 || g.cpus > kMaxCpus) {
    std::puts(
        "usage: kvm_vmm exits INNER [--cpus N] [--count N] [--cached] [--step] | linux IMAGE DTB "
        "[INITRD] "
        "[--cpus N]");
    return 1;
  }
  make_vm();
  // The initrd lies where `trapline run --dump-dtb` says it does.
  constexpr uint64_t kEntry = 0x8'0000, kInitrd = 0x800'0000, kDtb = 0xc00'0000;
  if (exits) {
    load_file(names[1], kEntry);
    set_reg(0, kPc, kRam + kEntry);
  } else {
    load_file(names[1], 0x20'0000);
    load_file(names[2], kDtb);
    if (names[3] != nullptr) load_file(names[3], kInitrd);
    set_reg(0, kPc, kRam + 0x20'0000);
    set_reg(0, core_reg(0), kRam + kDtb);
  }
  for (unsigned i = 1; i < g.cpus; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, run_vcpu, reinterpret_cast<void*>(uintptr_t{i})) != 0)
      fail("no thread");
  }
  run_vcpu(nullptr);
}
