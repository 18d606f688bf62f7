// A VM's memory slots, as the VMM has set them: IPA -> address in this process.
#ifndef TRAPLINE_VMM_NISV_SLOTS_H_
#define TRAPLINE_VMM_NISV_SLOTS_H_

#include <linux/kvm.h>

#include <cstdint>
#include <mutex>
#include <vector>

namespace trapline::nisv {

// Guarded by its owner: what changes it excludes lookups; wrote() is one of these.
class Slots {
 public:
  struct Found {
    uint64_t host = 0;  // address of the byte in this process
    bool is_memory = false;
    bool writable = false;
    bool mapped = false;  // false: the VMM has unmapped it, and may have mapped it anew
  };

  // After KVM has accepted it. True if memory that was there is gone or has another address.
  bool set(const kvm_userspace_memory_region& region);
  // [host, host + size) is unmapped: what was lent of it may not be touched any more. True if there
  // is something of it in a slot.
  bool unmapped(uint64_t host, uint64_t size);

  Found find(uint64_t ipa) const;

  // The guest's memory at [ipa, ipa + size) was written by us, which KVM's log does not know.
  void wrote(uint64_t ipa, uint64_t size);
  // Adds to a log that KVM has filled for the slot what wrote() has told, once.
  void add_to_log(uint32_t slot, uint64_t* bitmap);

  explicit Slots(uint64_t page_bytes) : page_(page_bytes) {}

 private:
  struct Slot {
    kvm_userspace_memory_region region;
    bool unmapped = false;
    std::vector<uint64_t> written;  // a bit a page, once there is one
  };
  const Slot* at(uint64_t ipa) const;

  std::vector<Slot> slots_;  // by IPA
  std::mutex log_;           // of all `written`
  uint64_t page_;
};

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_SLOTS_H_
