#include "vmm/nisv/vgic.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace trapline::nisv {
namespace {

// Attributes of KVM_DEV_ARM_VGIC_GRP_ADDR and LEVEL_INFO, arm64's <asm/kvm.h>.
constexpr uint32_t kGroupAddress = 0;
constexpr uint64_t kDistributorAddress = 2, kRedistributorAddress = 3, kRedistributorRegion = 5;
constexpr unsigned kLevelInfoShift = 10;
constexpr uint64_t kLineLevel = 0;

// KVM's affinity of a vCPU (reset_mpidr), as the attributes take it: Aff3.Aff2.Aff1.Aff0.
uint64_t affinity(uint32_t id) {
  return (id & 0xf) | uint64_t{id >> 4 & 0xff} << 8 | uint64_t{id >> 12 & 0xff} << 16;
}

}  // namespace

void Vgic::closed(int fd) { fd_.compare_exchange_strong(fd, -1); }

void Vgic::add_cpu(uint32_t id) {
  const std::lock_guard lock(mutex_);
  cpus_.push_back(id);
}

void Vgic::placed(const kvm_device_attr& attribute) {
  if (attribute.group != kGroupAddress || attribute.addr == 0) return;
  uint64_t value;
  std::memcpy(&value, reinterpret_cast<const void*>(attribute.addr), sizeof value);
  const std::lock_guard lock(mutex_);
  switch (attribute.attr) {
    case kDistributorAddress:
      distributor_ = value;
      has_distributor_ = true;
      break;
    case kRedistributorAddress:
      regions_.assign(1, {value, 0, ~uint32_t{0}});
      break;
    case kRedistributorRegion: {
      // count:12, base:40 (bits 51:16), flags, index:12
      constexpr uint64_t kBase = 0x000f'ffff'ffff'0000;
      const Region region{value & kBase, value & 0xfff, static_cast<uint32_t>(value >> 52)};
      const auto after = std::find_if(regions_.begin(), regions_.end(),
                                      [&](const Region& r) { return r.index > region.index; });
      regions_.insert(after, region);
      break;
    }
    default:
      break;
  }
}

Vgic::Place Vgic::find(uint64_t ipa) const {
  if (!there()) return {};
  const std::lock_guard lock(mutex_);
  if (has_distributor_ && ipa - distributor_ < kvm::gic::kDistributorBytes) {
    return {Where::kDistributor, ipa - distributor_};
  }
  uint64_t before = 0;  // frames
  for (const Region& region : regions_) {
    const uint64_t left = cpus_.size() - before;
    const uint64_t frames = std::min<uint64_t>(region.frames, left);
    if (ipa - region.base < frames * kvm::gic::kRedistributorBytes) {
      return {Where::kRedistributors, before * kvm::gic::kRedistributorBytes + (ipa - region.base)};
    }
    before += frames;
  }
  return {};
}

uint64_t Vgic::read(const Place& place, unsigned size) const {
  return frames(place).read(place.offset, size);
}

void Vgic::write(const Place& place, unsigned size, uint64_t value) const {
  frames(place).write(place.offset, size, value);
}

// EBUSY: another thread is in an ioctl of a vCPU's, which ends soon.
void Vgic::access(unsigned long request, kvm::VgicGroup group, unsigned cpu, uint64_t offset,
                  uint64_t& value) const {
  constexpr unsigned kPatience = 100'000;
  uint32_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (cpu < cpus_.size()) id = cpus_[cpu];
  }
  kvm_device_attr attribute{};
  attribute.group = static_cast<uint32_t>(group);
  attribute.attr = affinity(id) << 32 | offset;
  attribute.addr = reinterpret_cast<uint64_t>(&value);
  if (group == kvm::VgicGroup::kLevel) attribute.attr |= kLineLevel << kLevelInfoShift;
  for (unsigned tries = 0; tries < kPatience; ++tries) {
    if (system_.ioctl(fd_.load(), request, &attribute) != -EBUSY) return;
    sched_yield();
  }
}

uint64_t Vgic::get(kvm::VgicGroup group, unsigned cpu, uint64_t offset) const {
  uint64_t value = 0;
  access(KVM_GET_DEVICE_ATTR, group, cpu, offset, value);
  return value;
}

void Vgic::set(kvm::VgicGroup group, unsigned cpu, uint64_t offset, uint64_t value) const {
  access(KVM_SET_DEVICE_ATTR, group, cpu, offset, value);
}

}  // namespace trapline::nisv
