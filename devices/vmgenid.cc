#include "devices/vmgenid.h"

#include <algorithm>
#include <cstring>

namespace trapline {
namespace {

constexpr uint32_t kStateVersion = 1;

}  // namespace

void VmGenId::change(const Id& id) {
  {
    std::lock_guard lock(mutex_);
    id_ = id;
  }
  if (irq_ == nullptr) return;
  irq_->set(true);
  irq_->set(false);
}

// Memory, as far as a driver can tell: any size and alignment.
MmioResult VmGenId::read(uint64_t offset, unsigned size, unsigned) {
  MmioResult result;
  std::lock_guard lock(mutex_);
  if (offset < id_.size()) {
    std::memcpy(&result.value, id_.data() + offset, std::min<uint64_t>(size, id_.size() - offset));
  }
  return result;
}

void VmGenId::save(StateWriter& out) const {
  std::lock_guard lock(mutex_);
  out.put(kStateVersion);
  out.put(id_);
}

bool VmGenId::load(StateReader& in) {
  std::lock_guard lock(mutex_);
  if (in.get<uint32_t>() != kStateVersion) return false;
  id_ = in.get<Id>();
  return in.ok();
}

std::string_view VmGenId::register_name(uint64_t offset) const {
  return offset < id_.size() ? "GENID" : std::string_view();
}

}  // namespace trapline
