#include "vmm/kvm/uapi/vgic_frames.h"

namespace trapline::kvm {
namespace {

constexpr unsigned kWord = 4;
constexpr uint64_t kWordMask = 0xffff'ffff;

bool is_pending(uint64_t offset) { return offset >= gic::kIspendr && offset < gic::kEndOfPending; }

}  // namespace

VgicFrames::Place VgicFrames::place(uint64_t offset) const {
  if (group_ == VgicGroup::kDistributor) return {0, offset, offset};
  const uint64_t in_frames = offset % gic::kRedistributorBytes;
  return {static_cast<unsigned>(offset / gic::kRedistributorBytes), in_frames,
          in_frames >= gic::kSgiFrame ? in_frames - gic::kSgiFrame : uint64_t{gic::kCtlr}};
}

uint64_t VgicFrames::read(uint64_t offset, unsigned size) const {
  uint64_t value = 0;
  const uint64_t first = offset & ~uint64_t{kWord - 1};
  for (uint64_t at = first; at < offset + size; at += kWord) {
    value |= read_word(at) << 8 * (at - first);
  }
  value >>= 8 * (offset - first);
  return size < 8 ? value & ((uint64_t{1} << 8 * size) - 1) : value;
}

void VgicFrames::write(uint64_t offset, unsigned size, uint64_t value) const {
  if (size >= kWord) {
    for (unsigned at = 0; at < size; at += kWord) {
      write_word(offset + at, static_cast<uint32_t>(value >> 8 * at));
    }
    return;
  }
  // Part of a word: a priority, or a target.
  const uint64_t word = offset & ~uint64_t{kWord - 1};
  const unsigned shift = 8 * static_cast<unsigned>(offset - word);
  const uint64_t mask = ((uint64_t{1} << 8 * size) - 1) << shift;
  write_word(word, static_cast<uint32_t>((read_word(word) & ~mask) | (value << shift & mask)));
}

uint64_t VgicFrames::read_word(uint64_t offset) const {
  const Place p = place(offset);
  if (!is_pending(p.in_gicd)) return attributes_.get(group_, p.cpu, p.offset) & kWordMask;
  // The attribute has what was latched, and not the lines of level-sensitive inputs.
  const uint64_t bank = p.in_gicd & 0x7f;
  const uint64_t latched =
      attributes_.get(group_, p.cpu, p.offset - p.in_gicd + gic::kIspendr + bank) & kWordMask;
  const uint64_t intid = bank * 8;
  const uint64_t lines =
      attributes_.get(VgicGroup::kLevel, p.cpu, intid) & level_sensitive(p, intid);
  return latched | lines;
}

// A mask of the 32 interrupts from `intid` on: ICFGR's upper bit of two is 0.
uint64_t VgicFrames::level_sensitive(const Place& p, uint64_t intid) const {
  uint64_t mask = 0;
  for (unsigned half = 0; half < 2; ++half) {
    const uint64_t config = attributes_.get(
        group_, p.cpu, p.offset - p.in_gicd + gic::kIcfgr + intid / 4 + uint64_t{kWord} * half);
    for (unsigned i = 0; i < 16; ++i) {
      if ((config >> (2 * i + 1) & 1) == 0) mask |= uint64_t{1} << (16 * half + i);
    }
  }
  return mask;
}

void VgicFrames::write_word(uint64_t offset, uint32_t value) const {
  const Place p = place(offset);
  if (is_pending(p.in_gicd)) {
    // Writing the attribute of ISPENDR sets and clears; that of ICPENDR does nothing.
    const uint64_t base = p.offset - p.in_gicd + gic::kIspendr + (p.in_gicd & 0x7f);
    const uint64_t latched = attributes_.get(group_, p.cpu, base) & kWordMask;
    const bool clear = p.in_gicd >= gic::kIcpendr;
    attributes_.set(group_, p.cpu, base, clear ? latched & ~uint64_t{value} : latched | value);
    return;
  }
  if (p.offset == gic::kStatusr) {  // a guest's ones clear
    value = static_cast<uint32_t>(attributes_.get(group_, p.cpu, p.offset)) & ~value;
  }
  attributes_.set(group_, p.cpu, p.offset, value);
}

}  // namespace trapline::kvm
