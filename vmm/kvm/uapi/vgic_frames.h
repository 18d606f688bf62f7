// The registers of the kernel's GICv3 as a guest sees them, over its device attributes
// (Linux's Documentation/virt/kvm/devices/arm-vgic-v3.rst): for the accesses that the hardware does
// not describe; the others the kernel answers. The attributes are no guest accesses: they know
// words, and some registers mean something else there.
#ifndef TRAPLINE_VMM_KVM_UAPI_VGIC_FRAMES_H_
#define TRAPLINE_VMM_KVM_UAPI_VGIC_FRAMES_H_

#include <cstdint>

namespace trapline::kvm {

enum class VgicGroup : uint32_t { kDistributor = 1, kRedistributor = 5, kCpu = 6, kLevel = 7 };

// Offsets in the distributor and, of SGIs and PPIs, in a redistributor's SGI frame (GICv3
// specification, IHI 0069, 12.8 and 12.11).
namespace gic {
enum Offset : uint64_t {
  kCtlr = 0x0,
  kStatusr = 0x10,
  kIgroupr = 0x80,
  kIcenabler = 0x180,
  kIspendr = 0x200,
  kIcpendr = 0x280,
  kEndOfPending = 0x300,
  kIcactiver = 0x380,
  kIpriorityr = 0x400,
  kIcfgr = 0xc00,
  kIrouter = 0x6000,
};
inline constexpr uint64_t kDistributorBytes = 0x1'0000;
inline constexpr uint64_t kRedistributorBytes = 0x2'0000;  // a CPU's two frames
inline constexpr uint64_t kSgiFrame = 0x1'0000;            // of a redistributor
}  // namespace gic

// The attributes. `offset`: of a word, or a system register's encoding (kCpu), or an INTID
// (kLevel). Who calls holds all vCPUs outside KVM_RUN.
class VgicAttributes {
 public:
  virtual uint64_t get(VgicGroup group, unsigned cpu, uint64_t offset) const = 0;
  virtual void set(VgicGroup group, unsigned cpu, uint64_t offset, uint64_t value) const = 0;

 protected:
  ~VgicAttributes() = default;
};

// The distributor, or the redistributors of all CPUs one after the other.
class VgicFrames {
 public:
  VgicFrames(const VgicAttributes& attributes, VgicGroup group)
      : attributes_(attributes), group_(group) {}

  // `size` 1, 4 or 8, aligned.
  uint64_t read(uint64_t offset, unsigned size) const;
  void write(uint64_t offset, unsigned size, uint64_t value) const;
  // Parts of words only where registers are bytes.
  static bool accepts(uint64_t offset, unsigned size) {
    return (offset & (size - 1)) == 0 && size != 2;
  }

 private:
  struct Place {
    unsigned cpu;
    uint64_t offset;   // as the attributes take it
    uint64_t in_gicd;  // the offset of the distributor's register that is like it, or kCtlr
  };
  Place place(uint64_t offset) const;
  uint64_t read_word(uint64_t offset) const;
  void write_word(uint64_t offset, uint32_t value) const;
  uint64_t level_sensitive(const Place& p, uint64_t intid) const;

  const VgicAttributes& attributes_;
  VgicGroup group_;
};

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_UAPI_VGIC_FRAMES_H_
