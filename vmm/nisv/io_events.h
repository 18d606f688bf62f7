// A VM's ioeventfds (KVM_IOEVENTFD): stores that KVM answers with an event. It never sees those
// that we perform.
#ifndef TRAPLINE_VMM_NISV_IO_EVENTS_H_
#define TRAPLINE_VMM_NISV_IO_EVENTS_H_

#include <linux/kvm.h>

#include <cstdint>
#include <vector>

namespace trapline::nisv {

// The low `size` bytes.
inline uint64_t cut(uint64_t value, unsigned size) {
  return size >= 8 ? value : value & ((uint64_t{1} << 8 * size) - 1);
}

// Guarded by its owner.
class IoEvents {
 public:
  struct Event {
    uint64_t address;
    uint64_t match;
    uint32_t size;  // 0: any
    bool any_value;
    int fd;  // of our own
  };

  // Of a store to memory-mapped I/O; others are no concern of ours.
  static bool is_ours(const kvm_ioeventfd& event) {
    return (event.flags & (KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY)) == 0;
  }
  // After KVM has accepted it; `fd` is a duplicate of the caller's.
  void add(const kvm_ioeventfd& event, int fd);
  // The descriptor to close, or -1.
  int remove(const kvm_ioeventfd& event);
  // The descriptor to be signalled by a store, or -1.
  int match(uint64_t address, unsigned size, uint64_t value) const;
  std::vector<Event>& all() { return events_; }

 private:
  std::vector<Event> events_;
};

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_IO_EVENTS_H_
