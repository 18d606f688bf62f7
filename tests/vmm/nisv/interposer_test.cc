// The drop-in over a KVM that is none: what the VMM sees of an access that has no syndrome.
#include "vmm/nisv/interposer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "tests/vmm/nisv/fake_kvm.h"
#include "vmm/kvm/uapi/exits.h"

namespace trapline::nisv {
namespace {

constexpr uint64_t kWnr = 1 << 6, kDfsc = 0x5;
constexpr uint32_t kStrPost = 0xb8004401;        // str w1, [x0], #4
constexpr uint32_t kStpPost = 0xa8810801;        // stp x1, x2, [x0], #16
constexpr uint32_t kLdp = 0xa9400801;            // ldp x1, x2, [x0]
constexpr uint32_t kStrQ = 0x3d800000;           // str q0, [x0]
constexpr uint32_t kLdrQ = 0x3dc00000;           // ldr q0, [x0]
constexpr uint32_t kLdxr = 0x885f7c01;           // ldxr w1, [x0]
constexpr uint32_t kAdd = 0x11000821;            // add w1, w1, #2
constexpr uint32_t kStxr = 0x88027c01;           // stxr w2, w1, [x0]
constexpr uint32_t kCbnz = 0x35ffffa2;           // cbnz w2, .-12
constexpr uint32_t kLdadd = 0xb8220001;          // ldadd w2, w1, [x0]
constexpr uint32_t kLdurUnaligned = 0xb8401003;  // ldur w3, [x0, #1]
constexpr uint32_t kLd64b = 0xf83fd002;          // ld64b x2, [x0]
constexpr uint32_t kSt64b = 0xf83f9002;          // st64b x2, [x0]
constexpr uint32_t kFmov = 0x1e270020;           // fmov s0, w1
constexpr uint32_t kLdnf1 = 0xa410a000;          // SVE

class Drop : public ::testing::Test {
 protected:
  Drop() : drop(kvm, 4096) { drop.load(nullptr); }

  void make(unsigned cpus = 1) {
    ASSERT_EQ(drop.ioctl(kKvmFd, KVM_CREATE_VM, nullptr), kVmFd);
    slot(0, kRam, kRamBytes, kvm.ram, 0);
    for (unsigned i = 0; i < cpus; ++i) {
      ASSERT_EQ(drop.ioctl(kVmFd, KVM_CREATE_VCPU, reinterpret_cast<void*>(uintptr_t{i})),
                kVcpuFd + static_cast<int>(i));
      kvm.set(i, kvm::kPc, kCode);
      kvm.set(i, kvm::kPstate, 0x3c5);
      kvm.set(i, kvm::x_register(0), kDevice + 0x20);
      kvm.set(i, kvm::x_register(1), 0x1111111111111111);
      kvm.set(i, kvm::x_register(2), 0x2222222222222222);
    }
  }
  void slot(uint32_t number, uint64_t ipa, uint64_t size, void* host, uint32_t flags) {
    kvm_userspace_memory_region region{number, flags, ipa, size, reinterpret_cast<uint64_t>(host)};
    ASSERT_EQ(drop.ioctl(kVmFd, KVM_SET_USER_MEMORY_REGION, &region), 0);
  }
  void trap(uint32_t word, uint64_t ipa, bool write, unsigned cpu = 0) {
    kvm.put(kCode, word);
    kvm.vcpus[cpu].exits.push_back({KVM_EXIT_ARM_NISV, kDfsc | (write ? kWnr : 0), ipa});
  }
  long run(unsigned cpu = 0) {
    return drop.ioctl(kVcpuFd + static_cast<int>(cpu), KVM_RUN, nullptr);
  }
  kvm_run& page(unsigned cpu = 0) { return *kvm.vcpus[cpu].run; }
  // KVM_RUN gives this element.
  void expect_element(uint64_t ipa, uint32_t size, bool write, uint64_t value = 0) {
    ASSERT_EQ(run(), 0);
    ASSERT_EQ(page().exit_reason, uint32_t{KVM_EXIT_MMIO});
    EXPECT_EQ(page().mmio.phys_addr, ipa);
    EXPECT_EQ(page().mmio.len, size);
    EXPECT_EQ(page().mmio.is_write, write ? 1 : 0);
    if (write) {
      EXPECT_EQ(data(), value);
    }
  }
  uint64_t data() {
    uint64_t value;
    std::memcpy(&value, page().mmio.data, sizeof value);
    return value;
  }
  void answer(uint64_t value) { std::memcpy(page().mmio.data, &value, sizeof value); }
  // KVM_RUN goes on to the kernel, whose guest has nothing more.
  void expect_end() {
    ASSERT_EQ(run(), 0);
    EXPECT_EQ(page().exit_reason, uint32_t{KVM_EXIT_SYSTEM_EVENT});
  }
  uint64_t x(unsigned n) { return kvm.get(0, kvm::x_register(n)); }
  uint64_t pc() { return kvm.get(0, kvm::kPc); }
  std::string stats() {
    static char text[Statistics::kBytes];
    return {text, statistics_text(drop.counts().data(), 1, 1.0, text, sizeof text)};
  }
  uint64_t count(const char* name) {
    const std::string text = stats();
    const size_t at = text.find("\"" + std::string(name) + "\": ");
    return at == std::string::npos ? ~0ull : std::stoull(text.substr(at + std::strlen(name) + 4));
  }

  FakeKvm kvm;
  Interposer drop;
};

TEST_F(Drop, StoresAndLoads) {
  make();
  trap(kStrPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 4, true, 0x11111111);
  EXPECT_EQ(pc(), kCode);
  expect_end();
  EXPECT_EQ(pc(), kCode + 4);
  EXPECT_EQ(x(0), kDevice + 0x24);

  kvm.set(0, kvm::kPc, kCode);
  kvm.set(0, kvm::x_register(0), kDevice);
  trap(kLdp, kDevice, false);
  expect_element(kDevice, 8, false);
  answer(0x0123456789abcdef);
  expect_element(kDevice + 8, 8, false);
  answer(0xfedcba9876543210);
  EXPECT_EQ(x(1), 0x1111111111111111u);
  expect_end();
  EXPECT_EQ(x(1), 0x0123456789abcdefu);
  EXPECT_EQ(x(2), 0xfedcba9876543210u);
  EXPECT_EQ(count("nisv_misses"), 2u);
  EXPECT_EQ(count("elements"), 3u);
}

TEST_F(Drop, VectorsWithAndWithoutSve) {
  for (const bool sve : {false, true}) {
    FakeKvm& k = kvm;
    if (!sve) make();
    k.has_sve = sve;
    kvm.set(0, kvm::kPc, kCode);
    kvm.set(0, kvm::x_register(0), kDevice);
    const uint64_t id = sve ? kvm::z_register(0) : kvm::v_register(0);
    kvm.set(0, id, 0x5555666677778888);
    trap(kStrQ, kDevice, true);
    expect_element(kDevice, 8, true, 0x5555666677778888);
    expect_element(kDevice + 8, 8, true, 0);
    expect_end();
    kvm.set(0, kvm::kPc, kCode);
    trap(kLdrQ, kDevice, false);
    expect_element(kDevice, 8, false);
    answer(7);
    expect_element(kDevice + 8, 8, false);
    answer(8);
    expect_end();
    EXPECT_EQ(kvm.get(0, id), 7u);
  }
}

// KVM says so by an exit of its own; a VMM that knows it not gets words.
TEST_F(Drop, SixtyFourBytes) {
  make();
  kvm.set(0, kvm::x_register(0), kDevice);
  for (const bool store : {false, true}) {
    kvm.set(0, kvm::kPc, kCode);
    kvm.put(kCode, store ? kSt64b : kLd64b);
    kvm.vcpus[0].exits.push_back({kvm::kExitArmLdst64b, kDfsc | (store ? kWnr : 0), kDevice});
    for (uint64_t i = 0; i < 8; ++i) {
      expect_element(kDevice + 8 * i, 8, store, 0x100 + i);
      if (!store) answer(0x100 + i);
    }
    expect_end();
    EXPECT_EQ(pc(), kCode + 4);
    for (unsigned i = 0; i < 8; ++i) EXPECT_EQ(x(2 + i), 0x100u + i);
  }
  EXPECT_EQ(count("performed"), 2u);
}

TEST_F(Drop, HitsAndMissesAndTheirCalls) {
  make();
  for (int i = 0; i < 100; ++i) {
    kvm.set(0, kvm::kPc, kCode);
    kvm.set(0, kvm::x_register(0), kDevice);
    trap(kStrPost, kDevice, true);
    expect_element(kDevice, 4, true, 0x11111111);
    expect_end();
  }
  EXPECT_EQ(count("nisv_misses"), 1u);
  EXPECT_EQ(count("nisv_hits"), 99u);
  // PC, PSTATE, SCTLR, x0, x1; x0, PC. Once: ID_AA64MMFR2.
  EXPECT_EQ(count("nisv_hit_ioctls"), 99u * 7);
  EXPECT_EQ(count("nisv_miss_ioctls"), 8u);
  // Another word at the PC is seen.
  kvm.set(0, kvm::kPc, kCode);
  kvm.set(0, kvm::x_register(0), kDevice);
  trap(kStpPost, kDevice, true);
  expect_element(kDevice, 8, true, 0x1111111111111111);
}

TEST_F(Drop, TheStatisticsAreThoseOfARun) {
  make();
  trap(kStrPost, kDevice + 0x9000, true);
  expect_end();  // not what trapped
  const nlohmann::json all = nlohmann::json::parse(stats());
  EXPECT_EQ(all["schema"], 2);
  EXPECT_EQ(all["backend"], "kvm");
  EXPECT_EQ(all["exits"]["data_abort"]["isv0"], 1);
  EXPECT_EQ(all["exits"]["other"], 1);
  EXPECT_EQ(all["exits"]["total"], 2);
  EXPECT_EQ(all["kvm"]["runs"], 2);
  EXPECT_EQ(all["icache"]["policy"], "recheck");
  EXPECT_EQ(all["devices"]["vmm"]["writes"], 0);
}

// Whoever writes them at that moment, what is left in the file are the last ones, whole.
TEST_F(Drop, TheLastStatisticsAreInTheFile) {
  const std::string path = testing::TempDir() + "last_statistics";
  drop.load(path.c_str());
  make();
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop.load()) drop.write_statistics();
  });
  trap(kStrPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 4, true, 0x11111111);
  expect_end();
  drop.write_last_statistics();
  trap(kStrPost, kDevice + 0x9000, true);
  expect_end();  // too late
  stop.store(true);
  other.join();
  std::ifstream file(path);
  const nlohmann::json all = nlohmann::json::parse(file);
  EXPECT_EQ(all["kvm"]["runs"], 2);
  EXPECT_EQ(all["nisv"]["elements"], 1);
  std::remove(path.c_str());
}

TEST_F(Drop, ImmediateExitFinishesTheAccess) {
  make();
  trap(kStpPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 8, true, 0x1111111111111111);
  page().immediate_exit = 1;
  expect_element(kDevice + 0x28, 8, true, 0x2222222222222222);
  EXPECT_EQ(pc(), kCode);
  EXPECT_EQ(run(), -EINTR);
  EXPECT_EQ(pc(), kCode + 4);
  EXPECT_EQ(x(0), kDevice + 0x30);
  page().immediate_exit = 0;
  expect_end();
  EXPECT_EQ(count("finished_by_immediate_exit"), 1u);
}

TEST_F(Drop, ResetDropsTheAccess) {
  make();
  trap(kStpPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 8, true, 0x1111111111111111);
  VcpuInit init{};
  EXPECT_EQ(drop.ioctl(kVcpuFd, kArmVcpuInit, &init), 0);
  EXPECT_EQ(page().exit_reason, uint32_t{KVM_EXIT_ARM_NISV});
  expect_end();
  EXPECT_EQ(pc(), kCode);
  EXPECT_EQ(x(0), kDevice + 0x20);
  EXPECT_EQ(count("dropped"), 1u);
}

TEST_F(Drop, ReadsBetweenElementsAreCountedAndAnotherPcDrops) {
  make();
  trap(kStpPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 8, true, 0x1111111111111111);
  uint64_t value = 0;
  kvm_one_reg reg{kvm::kPc, reinterpret_cast<uint64_t>(&value)};
  EXPECT_EQ(drop.ioctl(kVcpuFd, KVM_GET_ONE_REG, &reg), 0);
  EXPECT_EQ(drop.ioctl(kVcpuFd, KVM_GET_ONE_REG, &reg), 0);
  EXPECT_EQ(value, kCode);
  EXPECT_EQ(count("registers_read_between"), 1u);
  // The same PC changes nothing: QEMU writes back what it has read.
  EXPECT_EQ(drop.ioctl(kVcpuFd, KVM_SET_ONE_REG, &reg), 0);
  expect_element(kDevice + 0x28, 8, true, 0x2222222222222222);
  value = kCode + 0x100;
  EXPECT_EQ(drop.ioctl(kVcpuFd, KVM_SET_ONE_REG, &reg), 0);
  expect_end();
  EXPECT_EQ(pc(), kCode + 0x100);
  EXPECT_EQ(x(0), kDevice + 0x20);
}

TEST_F(Drop, Exclusives) {
  make();
  kvm.put(kCode + 4, kAdd);
  kvm.put(kCode + 8, kStxr);
  kvm.put(kCode + 12, kCbnz);
  trap(kLdxr, kDevice + 0x20, false);
  expect_element(kDevice + 0x20, 4, false);
  answer(40);
  // The store-exclusive reads again what it compares.
  ASSERT_EQ(run(), 0);
  while (page().mmio.is_write == 0) {
    answer(40);
    ASSERT_EQ(run(), 0);
  }
  EXPECT_EQ(data(), 42u);
  EXPECT_EQ(pc(), kCode);
  EXPECT_EQ(x(1), 0x1111111111111111u);
  expect_end();
  EXPECT_EQ(pc(), kCode + 12);
  EXPECT_EQ(x(1), 42u);
  EXPECT_EQ(x(2), 0u);
  EXPECT_EQ(count("exclusives_stepped"), 1u);
}

TEST_F(Drop, ExclusivesBeyondReachAreAborted) {
  make();
  kvm.put(kCode + 4, kFmov);
  trap(kLdxr, kDevice + 0x20, false);
  expect_element(kDevice + 0x20, 4, false);
  answer(40);
  expect_end();
  EXPECT_EQ(pc(), kCode + 4);
  EXPECT_EQ(x(1), 40u);
  EXPECT_EQ(kvm.vcpus[0].aborts, 1);
  EXPECT_EQ(count("exclusives_beyond_reach"), 1u);
}

TEST_F(Drop, AnAtomicKeepsOthersOut) {
  make(2);
  trap(kLdadd, kDevice + 0x20, false);
  expect_element(kDevice + 0x20, 4, false);
  answer(5);
  // The other CPU's guest tries again and again, and its VMM gets no element.
  kvm.vcpus[1].exits.push_back({KVM_EXIT_ARM_NISV, kDfsc, kDevice + 0x20});
  ASSERT_EQ(run(1), 0);
  EXPECT_EQ(page(1).exit_reason, uint32_t{KVM_EXIT_SYSTEM_EVENT});
  EXPECT_EQ(kvm.get(1, kvm::kPc), kCode);
  expect_element(kDevice + 0x20, 4, true, 0x22222227);
  expect_end();
  kvm.vcpus[1].exits.push_back({KVM_EXIT_ARM_NISV, kDfsc, kDevice + 0x20});
  ASSERT_EQ(run(1), 0);
  EXPECT_EQ(page(1).exit_reason, uint32_t{KVM_EXIT_MMIO});
}

TEST_F(Drop, WhatIsNotEmulatedIsAborted) {
  make();
  trap(kLdnf1, kDevice + 0x20, false);
  expect_end();
  EXPECT_EQ(kvm.vcpus[0].aborts, 1);
  EXPECT_EQ(pc(), kCode);
  EXPECT_EQ(count("unsupported_accesses"), 1u);
}

TEST_F(Drop, WhatDidNotTrapIsTriedAgain) {
  make();
  trap(kStrPost, kDevice + 0x9000, true);  // another page than x0's
  expect_end();
  EXPECT_EQ(kvm.vcpus[0].aborts, 0);
  EXPECT_EQ(pc(), kCode);
  EXPECT_EQ(count("disagreements"), 1u);
}

// With stage 1 off all memory is Device memory.
TEST_F(Drop, AnAlignmentFaultIsTheGuests) {
  make();
  kvm.set(0, kvm::kVbarEl1, 0x4000'2000);
  kvm.put(kCode + 4, kLdurUnaligned);
  trap(kLdxr, kDevice + 0x20, false);
  expect_element(kDevice + 0x20, 4, false);
  answer(40);
  expect_end();
  EXPECT_EQ(x(1), 40u);
  EXPECT_EQ(pc(), 0x4000'2200u);
  EXPECT_EQ(kvm.get(0, kvm::kElrEl1), kCode + 4);
  EXPECT_EQ(kvm.get(0, kvm::kSpsrEl1), 0x3c5u);
  EXPECT_EQ(kvm.get(0, kvm::kFarEl1), kDevice + 0x21);
  EXPECT_EQ(kvm.get(0, kvm::kEsrEl1), 0x96000021u);
}

// Two VMs with other memory at the same addresses: what one does is not the other's.
TEST_F(Drop, TwoVms) {
  make();
  ASSERT_EQ(drop.ioctl(kKvmFd, KVM_CREATE_VM, nullptr), kOtherVmFd);
  alignas(4096) static uint8_t ram[kRamBytes];
  kvm_userspace_memory_region region{0, 0, kRam, sizeof ram, reinterpret_cast<uint64_t>(ram)};
  ASSERT_EQ(drop.ioctl(kOtherVmFd, KVM_SET_USER_MEMORY_REGION, &region), 0);
  ASSERT_EQ(drop.ioctl(kOtherVmFd, KVM_CREATE_VCPU, nullptr), kVcpuFd + 1);
  kvm.set(1, kvm::kPc, kCode);
  kvm.set(1, kvm::kPstate, 0x3c5);
  kvm.set(1, kvm::x_register(0), kDevice + 0x20);
  kvm.set(1, kvm::x_register(1), 0x7777777777777777);
  std::memcpy(ram + (kCode - kRam), &kStrPost, sizeof kStrPost);
  kvm_ioeventfd event{};
  event.addr = kDevice + 0x20;
  event.len = 8;
  event.fd = 30;
  ASSERT_EQ(drop.ioctl(kOtherVmFd, KVM_IOEVENTFD, &event), 0);

  trap(kStpPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 8, true, 0x1111111111111111);
  kvm.vcpus[1].exits.push_back({KVM_EXIT_ARM_NISV, kDfsc | kWnr, kDevice + 0x20});
  ASSERT_EQ(run(1), 0);
  EXPECT_EQ(page(1).exit_reason, uint32_t{KVM_EXIT_MMIO});
  EXPECT_EQ(page(1).mmio.len, 4u);
  ASSERT_EQ(run(1), 0);
  EXPECT_EQ(kvm.get(1, kvm::kPc), kCode + 4);
  // The other's map changes, and it goes.
  region.memory_size = 0;
  ASSERT_EQ(drop.ioctl(kOtherVmFd, KVM_SET_USER_MEMORY_REGION, &region), 0);
  drop.closing(kVcpuFd + 1);
  drop.closing(kOtherVmFd);
  EXPECT_FALSE(drop.known(kOtherVmFd));
  expect_element(kDevice + 0x28, 8, true, 0x2222222222222222);
  expect_end();
  EXPECT_EQ(pc(), kCode + 4);
  EXPECT_TRUE(kvm.signalled.empty());
  EXPECT_EQ(kvm.closed, std::vector<int>{1030});
  EXPECT_EQ(count("dropped"), 0u);
}

// What is saved between two elements is the state before the access: who restores it repeats the
// access.
TEST_F(Drop, ASaveBetweenElementsRepeatsTheAccess) {
  make(2);
  trap(kStpPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 8, true, 0x1111111111111111);
  for (const uint64_t id :
       {kvm::kPc, kvm::kPstate, kvm::x_register(0), kvm::x_register(1), kvm::x_register(2)}) {
    uint64_t value = 0;
    kvm_one_reg reg{id, reinterpret_cast<uint64_t>(&value)};
    ASSERT_EQ(drop.ioctl(kVcpuFd, KVM_GET_ONE_REG, &reg), 0);
    ASSERT_EQ(drop.ioctl(kVcpuFd + 1, KVM_SET_ONE_REG, &reg), 0);
  }
  EXPECT_EQ(count("registers_read_between"), 1u);
  drop.closing(kVcpuFd);
  kvm.vcpus[1].exits.push_back({KVM_EXIT_ARM_NISV, kDfsc | kWnr, kDevice + 0x20});
  for (const uint64_t offset : {0x20, 0x28}) {
    ASSERT_EQ(run(1), 0);
    ASSERT_EQ(page(1).exit_reason, uint32_t{KVM_EXIT_MMIO});
    EXPECT_EQ(page(1).mmio.phys_addr, kDevice + offset);
  }
  ASSERT_EQ(run(1), 0);
  EXPECT_EQ(kvm.get(1, kvm::kPc), kCode + 4);
  EXPECT_EQ(kvm.get(1, kvm::x_register(0)), kDevice + 0x30);
}

TEST_F(Drop, IoEvents) {
  make();
  kvm_ioeventfd event{};
  event.addr = kDevice + 0x20;
  event.len = 4;
  event.fd = 30;
  event.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
  event.datamatch = 0x11111111;
  ASSERT_EQ(drop.ioctl(kVmFd, KVM_IOEVENTFD, &event), 0);
  trap(kStrPost, kDevice + 0x20, true);
  expect_end();
  EXPECT_EQ(kvm.signalled, std::vector<int>{1030});
  EXPECT_EQ(pc(), kCode + 4);
  EXPECT_TRUE(drop.is_ours(1030));
  event.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
  ASSERT_EQ(drop.ioctl(kVmFd, KVM_IOEVENTFD, &event), 0);
  EXPECT_EQ(kvm.closed, std::vector<int>{1030});
  EXPECT_FALSE(drop.is_ours(1030));
  kvm.set(0, kvm::kPc, kCode);
  kvm.set(0, kvm::x_register(0), kDevice + 0x20);
  trap(kStrPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 4, true, 0x11111111);
}

TEST_F(Drop, ReadOnlyMemoryIsADeviceForStores) {
  make();
  alignas(4096) static uint8_t flash[4096];
  std::memset(flash, 0xee, sizeof flash);
  slot(1, 0, sizeof flash, flash, KVM_MEM_READONLY);
  kvm.set(0, kvm::x_register(0), 0x40);
  trap(kStpPost, 0x40, true);
  expect_element(0x40, 8, true, 0x1111111111111111);
  expect_element(0x48, 8, true, 0x2222222222222222);
  expect_end();
  EXPECT_EQ(flash[0x40], 0xee);
}

TEST_F(Drop, HalfInMemoryAndTheDirtyLog) {
  make();
  slot(0, kRam, kRamBytes, kvm.ram, KVM_MEM_LOG_DIRTY_PAGES);
  const uint64_t end = kRam + kRamBytes;
  kvm.set(0, kvm::x_register(0), end - 8);
  trap(kStpPost, end, true);
  expect_element(end, 8, true, 0x2222222222222222);
  expect_end();
  EXPECT_EQ(kvm.ram[kRamBytes - 1], 0x11);
  uint64_t bitmap = 0;
  kvm_dirty_log log{};
  log.dirty_bitmap = &bitmap;
  ASSERT_EQ(drop.ioctl(kVmFd, KVM_GET_DIRTY_LOG, &log), 0);
  EXPECT_EQ(bitmap, uint64_t{1} << 15);
  bitmap = 0;
  ASSERT_EQ(drop.ioctl(kVmFd, KVM_GET_DIRTY_LOG, &log), 0);
  EXPECT_EQ(bitmap, 0u);
}

// A device's answer may take memory away: an access of devices alone goes on, one that was lent
// memory does not.
TEST_F(Drop, MemoryThatGoesAwayInTheMiddle) {
  make();
  alignas(4096) static uint8_t more[4096];
  slot(1, 0x5000'0000, sizeof more, more, 0);
  trap(kStpPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 8, true, 0x1111111111111111);
  slot(1, 0x5000'0000, 0, more, 0);
  expect_element(kDevice + 0x28, 8, true, 0x2222222222222222);
  expect_end();
  EXPECT_EQ(pc(), kCode + 4);
  EXPECT_EQ(count("dropped"), 0u);

  kvm.set(0, kvm::kPc, kCode);
  slot(1, 0x5000'0000, sizeof more, more, 0);
  kvm.set(0, kvm::x_register(0), 0x5000'0000 - 8);
  trap(kStpPost, 0x5000'0000 - 8, true);
  expect_element(0x5000'0000 - 8, 8, true, 0x1111111111111111);
  slot(1, 0x5000'0000, 0, more, 0);
  expect_end();
  EXPECT_EQ(pc(), kCode);
  EXPECT_EQ(count("dropped"), 1u);
  EXPECT_EQ(more[0], 0);
}

TEST_F(Drop, UnmappedMemoryIsReadWithCare) {
  make();
  drop.unmapping(reinterpret_cast<uint64_t>(kvm.ram), 4096);
  trap(kStrPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 4, true, 0x11111111);
  expect_end();
  kvm.readable = false;
  kvm.set(0, kvm::kPc, kCode);
  kvm.set(0, kvm::x_register(0), kDevice + 0x20);
  trap(kStrPost, kDevice + 0x20, true);
  expect_end();
  EXPECT_EQ(pc(), kCode);
  EXPECT_EQ(count("retries"), 1u);
}

TEST_F(Drop, TheVgicWithAllOutside) {
  make(2);
  kvm_create_device device{KVM_DEV_TYPE_ARM_VGIC_V3, 0, 0};
  // As QEMU does it: by an int.
  const auto request = static_cast<unsigned long>(static_cast<int>(KVM_CREATE_DEVICE));
  ASSERT_EQ(drop.ioctl(kVmFd, request, &device), 0);
  const auto place = [&](uint64_t attribute, uint64_t base) {
    kvm_device_attr attr{0, 0, attribute, reinterpret_cast<uint64_t>(&base)};
    ASSERT_EQ(drop.ioctl(kVgicFd, KVM_SET_DEVICE_ATTR, &attr), 0);
  };
  place(2, 0x0800'0000);
  place(3, 0x080a'0000);
  kvm.vcpus[1].blocks = true;
  std::thread other([&] {
    EXPECT_EQ(run(1), 0);
    EXPECT_EQ(page(1).exit_reason, uint32_t{KVM_EXIT_MMIO});
  });
  {
    std::unique_lock lock(kvm.mutex);
    kvm.changed.wait(lock, [&] { return kvm.vcpus[1].inside; });
  }
  kvm.busy = 3;
  kvm.set(0, kvm::x_register(0), 0x0800'0420);
  trap(kStrPost, 0x0800'0420, true);
  expect_end();
  EXPECT_EQ(pc(), kCode + 4);
  EXPECT_EQ(kvm.vgic_registers[uint64_t{1} << 56 | 0x420], 0x11111111u);
  // The second CPU's redistributor, by its affinity.
  kvm.set(0, kvm::kPc, kCode);
  kvm.set(0, kvm::x_register(0), 0x080a'0000 + 0x3'0420);
  trap(kStrPost, 0x080a'0000 + 0x3'0420, true);
  expect_end();
  EXPECT_EQ(kvm.vgic_registers[uint64_t{5} << 56 | uint64_t{1} << 32 | 0x1'0420], 0x11111111u);
  EXPECT_FALSE(kvm.ran_during_vgic);
  {
    const std::lock_guard lock(kvm.mutex);
    kvm.vcpus[1].exits.push_back({KVM_EXIT_MMIO, 0, 0});
    kvm.changed.notify_all();
  }
  other.join();
  EXPECT_EQ(count("interrupted"), 0u);
}

TEST_F(Drop, SignalMaskLetsOursThrough) {
  make();
  struct {
    uint32_t length = 8;
    uint8_t set[8];
  } mask;
  std::memset(mask.set, 0xff, sizeof mask.set);
  EXPECT_EQ(drop.ioctl(kVcpuFd, KVM_SET_SIGNAL_MASK, &mask), 0);
}

TEST_F(Drop, WithoutTheCapabilityNothingIsDone) {
  kvm.has_nisv = false;
  ASSERT_EQ(drop.ioctl(kKvmFd, KVM_CREATE_VM, nullptr), kVmFd);
  ASSERT_EQ(drop.ioctl(kVmFd, KVM_CREATE_VCPU, nullptr), kVcpuFd);
  trap(kStrPost, kDevice + 0x20, true);
  EXPECT_EQ(run(), 0);
  EXPECT_EQ(page().exit_reason, uint32_t{KVM_EXIT_ARM_NISV});
  EXPECT_EQ(kvm.messages.size(), 1u);
}

TEST_F(Drop, DescriptorsComeAndGo) {
  make();
  drop.duplicated(kVcpuFd, 40);
  drop.closing(kVcpuFd);
  EXPECT_FALSE(drop.known(kVcpuFd));
  EXPECT_TRUE(drop.known(40));
  drop.closing_range(30, 50);
  EXPECT_FALSE(drop.known(40));
  EXPECT_TRUE(drop.known(kVmFd));
}

TEST_F(Drop, AForeignVcpuPassesWithOneLine) {
  make();
  kvm.vcpus[3].exits.push_back({KVM_EXIT_ARM_NISV, kDfsc, kDevice});
  kvm.vcpus[3].run = static_cast<kvm_run*>(std::calloc(1, 4096));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(drop.ioctl(kVcpuFd + 3, KVM_RUN, nullptr), 0);
  EXPECT_EQ(kvm.messages.size(), 1u);
  std::free(kvm.vcpus[3].run);
}

TEST_F(Drop, ADuplicateMadeBehindOurBackIsFound) {
  make();
  kvm.same_as[0] = kVcpuFd + 1;
  kvm.same_as[1] = kVcpuFd;
  kvm.vcpus[1].run = kvm.vcpus[0].run;
  EXPECT_EQ(drop.ioctl(kVcpuFd + 1, KVM_RUN, nullptr), 0);
  EXPECT_TRUE(drop.known(kVcpuFd + 1));
  EXPECT_TRUE(kvm.messages.empty());
}

size_t threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

// A thread that was joined is in the kernel's list a moment longer.
bool become(size_t wanted) {
  while (threads() > wanted) std::this_thread::yield();
  return threads() == wanted;
}

TEST_F(Drop, ThreadsGoAwayAndComeBack) {
  make();
  trap(kStpPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 8, true, 0x1111111111111111);
  const size_t before = threads();
  ASSERT_TRUE(drop.threads_away());
  EXPECT_TRUE(become(before - 2));  // the helper, the emulator
  drop.threads_back();
  EXPECT_EQ(threads(), before);
  // The access was dropped: the guest repeats it.
  trap(kStpPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 8, true, 0x1111111111111111);
  expect_element(kDevice + 0x28, 8, true, 0x2222222222222222);
  expect_end();
  EXPECT_EQ(pc(), kCode + 4);
}

TEST_F(Drop, ThreadsStayWhileAVcpuRuns) {
  make(2);
  kvm.vcpus[1].blocks = true;
  std::thread other([&] { EXPECT_EQ(run(1), 0); });
  {
    std::unique_lock lock(kvm.mutex);
    kvm.changed.wait(lock, [&] { return kvm.vcpus[1].inside; });
  }
  const size_t before = threads();
  EXPECT_FALSE(drop.threads_away());
  EXPECT_TRUE(become(before));
  trap(kStrPost, kDevice + 0x20, true);
  expect_element(kDevice + 0x20, 4, true, 0x11111111);
  {
    const std::lock_guard lock(kvm.mutex);
    kvm.vcpus[1].exits.push_back({KVM_EXIT_MMIO, 0, 0});
    kvm.changed.notify_all();
  }
  other.join();
}

}  // namespace
}  // namespace trapline::nisv
