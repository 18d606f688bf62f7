// The kernel's GICv3 of a VM, as the VMM has placed it: accesses of it that come without a
// syndrome.
#ifndef TRAPLINE_VMM_NISV_VGIC_H_
#define TRAPLINE_VMM_NISV_VGIC_H_

#include <linux/kvm.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "vmm/kvm/uapi/vgic_frames.h"
#include "vmm/nisv/system.h"

namespace trapline::nisv {

class Vgic final : public kvm::VgicAttributes {
 public:
  explicit Vgic(System& system) : system_(system) {}

  // The VMM has made it: KVM_CREATE_DEVICE.
  void made(int fd) { fd_.store(fd); }
  bool there() const { return fd_.load() >= 0; }
  // The descriptor is closed; another one may be left.
  void closed(int fd);
  // The VMM has set an attribute: perhaps a place.
  void placed(const kvm_device_attr& attribute);
  // In the order of their making, by KVM_CREATE_VCPU's argument, which says the affinity.
  void add_cpu(uint32_t id);

  enum class Where : uint8_t { kElsewhere, kDistributor, kRedistributors };
  struct Place {
    Where where = Where::kElsewhere;
    uint64_t offset = 0;  // in the distributor; in all redistributors, one after the other
  };
  Place find(uint64_t ipa) const;

  // Callers hold all vCPUs out of KVM_RUN.
  uint64_t read(const Place& place, unsigned size) const;
  void write(const Place& place, unsigned size, uint64_t value) const;

  uint64_t get(kvm::VgicGroup group, unsigned cpu, uint64_t offset) const override;
  void set(kvm::VgicGroup group, unsigned cpu, uint64_t offset, uint64_t value) const override;

 private:
  struct Region {
    uint64_t base, index;
    uint32_t frames;
  };
  kvm::VgicFrames frames(const Place& place) const {
    return {*this, place.where == Where::kDistributor ? kvm::VgicGroup::kDistributor
                                                      : kvm::VgicGroup::kRedistributor};
  }
  void access(unsigned long request, kvm::VgicGroup group, unsigned cpu, uint64_t offset,
              uint64_t& value) const;

  System& system_;
  std::atomic<int> fd_{-1};
  mutable std::mutex mutex_;  // of what follows
  bool has_distributor_ = false;
  uint64_t distributor_ = 0;
  std::vector<Region> regions_;  // by index
  std::vector<uint32_t> cpus_;
};

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_VGIC_H_
