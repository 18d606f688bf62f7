#include "devices/pci/msix.h"

#include <array>
#include <utility>

namespace trapline::pci {

MsiX::MsiX(std::string name, unsigned vectors)
    : name_(std::move(name)), entries_(vectors), pending_((vectors + 31) / 32) {}

void MsiX::connect(MsiTarget* target, uint32_t device_id) {
  target_ = target;
  device_id_ = device_id;
}

void MsiX::send(unsigned vector) {
  const Entry& entry = entries_[vector];
  if (target_ == nullptr) return;
  target_->message(device_id_, uint64_t{entry.words[1]} << 32 | entry.words[0], entry.words[2]);
}

void MsiX::send_pending(unsigned vector) {
  uint32_t& word = pending_[vector / 32];
  const uint32_t bit = uint32_t{1} << vector % 32;
  if ((word & bit) == 0 || !control_.enable || masked(vector)) return;
  word &= ~bit;
  send(vector);
}

void MsiX::control(const MessageControl& control) {
  std::lock_guard lock(mutex_);
  control_ = control;
  enabled_.store(control.enable, std::memory_order_release);
  for (unsigned vector = 0; vector < vectors(); ++vector) send_pending(vector);
}

void MsiX::notify(unsigned vector) {
  std::lock_guard lock(mutex_);
  if (!control_.enable || vector >= vectors()) return;
  if (masked(vector)) {
    pending_[vector / 32] |= uint32_t{1} << vector % 32;
  } else {
    send(vector);
  }
}

// 6.8.2: whole words, or two at once; of anything else the bytes.
uint32_t MsiX::read_word(uint64_t offset) const {
  if (offset / kEntryBytes < vectors()) return entries_[offset / kEntryBytes].words[offset / 4 % 4];
  const uint64_t word = (offset - kPendingAt) / 4;
  return offset >= kPendingAt && word < pending_.size() ? pending_[word] : 0;
}

MmioResult MsiX::read(uint64_t offset, unsigned size, unsigned) {
  std::lock_guard lock(mutex_);
  uint64_t value = 0;
  for (unsigned done = 0; done < size;) {
    const auto in_word = static_cast<unsigned>((offset + done) % 4);
    value |= uint64_t{read_word(offset + done) >> 8 * in_word} << 8 * done;
    done += 4 - in_word;
  }
  if (size < 8) value &= (uint64_t{1} << 8 * size) - 1;
  return {.value = value};
}

MmioResult MsiX::write(uint64_t offset, unsigned size, uint64_t value, unsigned) {
  if (size < 4 || offset % size != 0) return {};  // undefined there; ignored here
  std::lock_guard lock(mutex_);
  for (unsigned done = 0; done < size; done += 4) {
    const auto vector = static_cast<unsigned>((offset + done) / kEntryBytes);
    if (vector >= vectors()) return {};  // pending bits are read-only
    const auto word = static_cast<unsigned>((offset + done) / 4 % 4);
    const auto bits = static_cast<uint32_t>(value >> 8 * done);
    // Vector Control's other bits are reserved; a message's address is that of a word.
    entries_[vector].words[word] = word == 3 ? bits & kMasked : word == 0 ? bits & ~3u : bits;
    if (word == 3) send_pending(vector);
  }
  return {};
}

void MsiX::forget() {
  control_ = {};
  enabled_.store(false, std::memory_order_release);
  for (Entry& entry : entries_) entry = {};
  for (uint32_t& word : pending_) word = 0;
}

void MsiX::reset() {
  std::lock_guard lock(mutex_);
  forget();
}

void MsiX::save(StateWriter& out) const {
  std::lock_guard lock(mutex_);
  for (const Entry& entry : entries_) out.put(entry);
  for (const uint32_t word : pending_) out.put(word);
}

// Disabled, until control() says otherwise.
bool MsiX::load(StateReader& in) {
  std::lock_guard lock(mutex_);
  forget();
  for (Entry& entry : entries_) {
    entry = in.get<Entry>();
    entry.words[0] &= ~3u;
    entry.words[3] &= kMasked;
  }
  for (uint32_t& word : pending_) word = in.get<uint32_t>();
  if (vectors() % 32 != 0) pending_.back() &= (uint32_t{1} << vectors() % 32) - 1;
  return in.ok();
}

std::string_view MsiX::register_name(uint64_t offset) const {
  static constexpr std::array<std::string_view, 4> kNames = {
      "MessageAddress", "MessageUpperAddress", "MessageData", "VectorControl"};
  if (offset / kEntryBytes < vectors()) return kNames[offset / 4 % 4];
  return offset >= kPendingAt && offset < kPendingAt + 4 * pending_.size() ? "PendingBits"
                                                                           : std::string_view{};
}

}  // namespace trapline::pci
