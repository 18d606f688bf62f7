#include "vmm/stats/stack_samples.h"

#include <utility>

namespace trapline {
namespace {

// 16 bytes of guest memory, as a load of the guest's would see them now.
bool read_pair(CpuView& view, uint64_t va, uint64_t out[2]) {
  if ((va & 15) != 0) return false;
  const Translation translation = view.translate(va, 16, Direction::kRead, false);
  if (translation.status != Translation::Status::kOk) return false;
  const uint8_t* host = view.ram(translation.ipa, Direction::kRead);
  if (host == nullptr || !view.begin_ram()) return false;
  for (unsigned i = 0; i < 2; ++i) {
    out[i] = __atomic_load_n(reinterpret_cast<const uint64_t*>(host) + i, __ATOMIC_RELAXED);
  }
  view.end_ram();
  return true;
}

// A return address without its pointer authentication code.
uint64_t strip(uint64_t address) {
  constexpr uint64_t kCode = 0xffff'0000'0000'0000;
  return (address >> 55 & 1) != 0 ? address | kCode : address & ~kCode;
}

}  // namespace

// 1 to 2 * every_ - 1, as likely each.
unsigned StackSamples::next() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 17;
  random_ ^= random_ << 5;
  return 1 + static_cast<unsigned>(random_ * (2 * uint64_t{every_} - 1) >> 32);
}

// A frame record is {the caller's x29, the return address} (AAPCS64); the caller's lies higher.
void StackSamples::take(const ExitRecord& record, ExitTarget target) {
  left_ = next();
  Key key{target, record.exit->pc, strip(record.view->regs->x[30]), {}};
  uint64_t frame = record.view->regs->x[29];
  while (key.returns.size() < kFrames) {
    uint64_t pair[2];
    if (frame == 0 || !read_pair(*record.view, frame, pair)) break;
    if (pair[1] == 0) break;
    key.returns.push_back(strip(pair[1]));
    if (pair[0] <= frame) break;
    frame = pair[0];
  }
  auto found = stacks_.find(key);
  if (found == stacks_.end()) {
    if (stacks_.size() >= kStacks) {
      ++dropped_;
      return;
    }
    found = stacks_.emplace(std::move(key), Sum{}).first;
  }
  ++found->second.count;
  found->second.cycles += record.total;
}

}  // namespace trapline
