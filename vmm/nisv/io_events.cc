#include "vmm/nisv/io_events.h"

namespace trapline::nisv {
namespace {

bool any_value(const kvm_ioeventfd& event) {
  return event.len == 0 || (event.flags & KVM_IOEVENTFD_FLAG_DATAMATCH) == 0;
}

}  // namespace

void IoEvents::add(const kvm_ioeventfd& event, int fd) {
  events_.push_back({event.addr, cut(event.datamatch, event.len), event.len, any_value(event), fd});
}

// KVM has no two of the same address, size and value.
int IoEvents::remove(const kvm_ioeventfd& event) {
  for (auto it = events_.begin(); it != events_.end(); ++it) {
    if (it->address != event.addr || it->size != event.len || it->any_value != any_value(event) ||
        (!it->any_value && it->match != cut(event.datamatch, event.len))) {
      continue;
    }
    const int fd = it->fd;
    events_.erase(it);
    return fd;
  }
  return -1;
}

int IoEvents::match(uint64_t address, unsigned size, uint64_t value) const {
  for (const Event& event : events_) {
    if (event.address != address || (event.size != 0 && event.size != size)) continue;
    if (event.any_value || event.match == cut(value, size)) return event.fd;
  }
  return -1;
}

}  // namespace trapline::nisv
