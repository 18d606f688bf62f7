#include "devices/fw_cfg.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

namespace trapline {
namespace {

// Register offsets of the MMIO form. Selector and DMA address are big-endian.
enum Register : uint64_t { kData = 0x00, kSelector = 0x08, kDmaHigh = 0x10, kDmaLow = 0x14 };
constexpr uint64_t kDataBytes = 8;

constexpr uint32_t kIdTraditional = 1;
constexpr uint32_t kIdDma = 2;
// What a read of the DMA address register shows: "QEMU CFG".
constexpr uint64_t kDmaSignature = 0x51454d5520434647;

// FWCfgDmaAccess, big-endian in guest memory; control bits.
constexpr uint64_t kDmaBytes = 16;
enum DmaControl : uint32_t { kError = 1, kRead = 2, kSkip = 4, kSelect = 8, kWrite = 16 };

constexpr uint32_t kStateVersion = 1;

uint32_t load_big32(const uint8_t* p) {
  uint32_t value;
  std::memcpy(&value, p, sizeof value);
  return __builtin_bswap32(value);
}
uint64_t load_big64(const uint8_t* p) {
  uint64_t value;
  std::memcpy(&value, p, sizeof value);
  return __builtin_bswap64(value);
}
void append_big(std::vector<uint8_t>& out, uint32_t value, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

std::vector<uint8_t> little32(uint32_t value) {
  std::vector<uint8_t> bytes(4);
  std::memcpy(bytes.data(), &value, 4);
  return bytes;
}

}  // namespace

FwCfg::FwCfg(std::string name, Dma* dma) : name_(std::move(name)), dma_(dma), report_(name_) {
  add_item(FwCfgKey::kSignature, {'Q', 'E', 'M', 'U'});
  add_item32(FwCfgKey::kId, kIdTraditional | kIdDma);
  build_directory();
  select(0);
}

std::string FwCfg::add_named(const std::string& name, Item item) {
  if (name.empty() || name.size() > kMaxName) {
    return "fw_cfg: the file name \"" + name + "\" is empty or longer than 55 characters";
  }
  if (item.bytes.size() > UINT32_MAX) return "fw_cfg: " + name + " is larger than 4 GiB";
  if (files_.size() >= kMaxFiles) return "fw_cfg: too many files";
  const auto key =
      static_cast<uint16_t>(static_cast<uint16_t>(FwCfgKey::kFirstFile) + files_.size());
  if (!files_.emplace(name, key).second) return "fw_cfg: there is a file " + name + " already";
  items_[key] = std::move(item);
  build_directory();
  return {};
}

void FwCfg::add_item(FwCfgKey key, std::vector<uint8_t> bytes) {
  items_[static_cast<uint16_t>(key)] = {std::move(bytes), false, {}};
  select(selector_);
}

void FwCfg::add_item32(FwCfgKey key, uint32_t value) { add_item(key, little32(value)); }

const std::vector<uint8_t>* FwCfg::file(const std::string& name) const {
  const auto it = files_.find(name);
  return it == files_.end() ? nullptr : &items_.at(it->second).bytes;
}

// A count, then for each file its size, selector, and name in 56 bytes; sorted by name.
void FwCfg::build_directory() {
  std::vector<uint8_t> out;
  append_big(out, static_cast<uint32_t>(files_.size()), 4);
  for (const auto& [name, key] : files_) {
    append_big(out, static_cast<uint32_t>(items_.at(key).bytes.size()), 4);
    append_big(out, key, 2);
    append_big(out, 0, 2);
    out.insert(out.end(), name.begin(), name.end());
    out.resize(out.size() + kMaxName + 1 - name.size());
  }
  add_item(FwCfgKey::kFileDirectory, std::move(out));
}

std::string_view FwCfg::register_name(uint64_t offset) const {
  if (offset < kDataBytes) return "Data";
  if (offset < kDmaHigh) return "Selector";
  return "DMA";
}

void FwCfg::select(uint16_t key) {
  selector_ = key;
  offset_ = 0;
  const auto it = items_.find(key);
  item_ = it == items_.end() ? nullptr : &it->second;
}

uint8_t FwCfg::next_byte() {
  if (item_ == nullptr || offset_ >= item_->bytes.size()) return 0;
  return item_->bytes[offset_++];
}

MmioResult FwCfg::read(uint64_t offset, unsigned size, unsigned) {
  MmioResult result;
  std::lock_guard lock(mutex_);
  if (offset < kDataBytes) {
    // A string of bytes: the first one goes to the lowest address.
    for (unsigned i = 0; i < size; ++i) result.value |= uint64_t{next_byte()} << (8 * i);
  } else if (offset >= kDmaHigh) {
    for (unsigned i = 0; i < size && offset + i < kWindowBytes; ++i) {
      const uint64_t byte = kDmaSignature >> (8 * (7 - (offset - kDmaHigh + i))) & 0xff;
      result.value |= byte << (8 * i);
    }
  }
  return result;
}

MmioResult FwCfg::write(uint64_t offset, unsigned size, uint64_t value, unsigned) {
  std::lock_guard lock(mutex_);
  if (offset == kSelector && size == 2) {
    select(__builtin_bswap16(static_cast<uint16_t>(value)));
  } else if (offset == kDmaHigh && size == 4) {
    dma_address_ = uint64_t{__builtin_bswap32(static_cast<uint32_t>(value))} << 32;
  } else if (offset == kDmaLow && size == 4) {
    dma_address_ |= __builtin_bswap32(static_cast<uint32_t>(value));
    run_dma();
  } else if (offset == kDmaHigh && size == 8) {
    dma_address_ = __builtin_bswap64(value);
    run_dma();
  } else {
    // Writes to the data register ended with QEMU 2.4.
    report_.add("write that means nothing ignored");
  }
  return {};
}

void FwCfg::run_dma() {
  const uint64_t at = std::exchange(dma_address_, 0);
  uint8_t* access = dma_->host(at, kDmaBytes);
  if (access == nullptr) return report_.add("DMA descriptor is not in RAM");
  const uint32_t control = load_big32(access);
  const uint32_t length = load_big32(access + 4);
  const uint64_t address = load_big64(access + 8);
  // What is checked must be what is used: the guest may write there meanwhile (queue.cc, likewise).
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const bool good = transfer(control, length, address);
  if (!good) report_.add("DMA transfer outside RAM, or write to a read-only item");
  // The transfer may have overwritten the descriptor: the driver asked for that.
  const uint32_t result = good ? 0 : __builtin_bswap32(kError);
  std::memcpy(access, &result, sizeof result);
  dma_->done(at, sizeof result);
}

bool FwCfg::transfer(uint32_t control, uint32_t length, uint64_t address) {
  if ((control & kSelect) != 0) select(static_cast<uint16_t>(control >> 16));
  const uint64_t left = item_ == nullptr ? 0 : item_->bytes.size() - offset_;
  const uint64_t present = std::min<uint64_t>(length, left);
  if ((control & (kRead | kWrite)) != 0 && length > 0) {
    uint8_t* memory = dma_->host(address, length);
    if (memory == nullptr) return false;
    if ((control & kRead) != 0) {
      if (present > 0) std::memcpy(memory, item_->bytes.data() + offset_, present);
      std::memset(memory + present, 0, length - present);
      dma_->done(address, length);
    } else {
      if (item_ == nullptr || !item_->writable || present < length) return false;
      std::memcpy(item_->bytes.data() + offset_, memory, length);
      if (item_->changed) item_->changed(item_->bytes);
    }
  } else if ((control & kSkip) == 0) {
    return true;  // select alone, or nothing
  }
  offset_ += static_cast<uint32_t>(present);
  return true;
}

void FwCfg::reset() {
  std::lock_guard lock(mutex_);
  select(0);
  dma_address_ = 0;
  for (auto& [key, item] : items_) {
    if (!item.writable) continue;
    std::fill(item.bytes.begin(), item.bytes.end(), uint8_t{0});
    if (item.changed) item.changed(item.bytes);
  }
}

void FwCfg::save(StateWriter& out) const {
  std::lock_guard lock(mutex_);
  out.put(kStateVersion);
  out.put(selector_);
  out.put(offset_);
  out.put(dma_address_);
  for (const auto& [key, item] : items_) {
    if (item.writable) out.bytes(item.bytes.data(), item.bytes.size());
  }
}

bool FwCfg::load(StateReader& in) {
  std::lock_guard lock(mutex_);
  if (in.get<uint32_t>() != kStateVersion) return false;
  select(in.get<uint16_t>());
  const auto offset = in.get<uint32_t>();
  dma_address_ = in.get<uint64_t>();
  for (auto& [key, item] : items_) {
    if (!item.writable) continue;
    in.bytes(item.bytes.data(), item.bytes.size());
    if (item.changed) item.changed(item.bytes);
  }
  const uint64_t size = item_ == nullptr ? 0 : item_->bytes.size();
  offset_ = static_cast<uint32_t>(std::min<uint64_t>(offset, size));
  return in.ok();
}

}  // namespace trapline
