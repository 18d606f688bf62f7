#include "vmm/memory/guest_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace trapline {

GuestMemory::~GuestMemory() {
  for (const Slot& slot : slots_) munmap(slot.host, slot.size);
}

std::string GuestMemory::add(uint64_t base, uint64_t size, bool writable) {
  if (size == 0 || ((base | size) & kPageMask) != 0) return "memory slot is empty or unaligned";
  for (const Slot& other : slots_) {
    if (base < other.base + other.size && other.base < base + size) return "memory slots overlap";
  }
  // 2 MiB alignment lets stage 2 use blocks and the host use huge pages.
  constexpr uint64_t kHuge = uint64_t{2} << 20;
  void* raw = mmap(nullptr, size + kHuge, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) {
    return "cannot reserve " + std::to_string(size >> 20) + " MiB: " + std::strerror(errno);
  }
  auto start = reinterpret_cast<uintptr_t>(raw);
  uintptr_t aligned = (start + kHuge - 1) & ~(kHuge - 1);
  if (aligned != start) munmap(raw, aligned - start);
  if (uintptr_t tail = start + kHuge - aligned) {
    munmap(reinterpret_cast<void*>(aligned + size), tail);
  }
  auto* host = reinterpret_cast<uint8_t*>(aligned);
  madvise(host, size, MADV_HUGEPAGE);

  Slot slot{base, size, host, writable, nullptr};
  slot.page_flags = std::make_unique<std::atomic<uint8_t>[]>(size >> kPageLog2);
  slots_.push_back(std::move(slot));
  return {};
}

const GuestMemory::Slot* GuestMemory::slot(uint64_t ipa) const {
  for (const Slot& slot : slots_) {
    if (ipa - slot.base < slot.size) return &slot;
  }
  return nullptr;
}

uint8_t* GuestMemory::host(uint64_t ipa, uint64_t size) const {
  const Slot* s = slot(ipa);
  if (s == nullptr || size > s->size - (ipa - s->base)) return nullptr;
  return s->host + (ipa - s->base);
}

std::atomic<uint8_t>* GuestMemory::page_flags(uint64_t ipa) const {
  const Slot* s = slot(ipa);
  return s == nullptr ? nullptr : &s->page_flags[(ipa - s->base) >> kPageLog2];
}

bool GuestMemory::read(uint64_t ipa, void* out, uint64_t size) const {
  const uint8_t* p = host(ipa, size);
  if (p == nullptr) return false;
  std::memcpy(out, p, size);
  return true;
}

bool GuestMemory::write(uint64_t ipa, const void* data, uint64_t size) {
  uint8_t* p = host(ipa, size);
  if (p == nullptr) return false;
  std::memcpy(p, data, size);
  dma_done(ipa, size);
  return true;
}

void GuestMemory::dma_done(uint64_t ipa, uint64_t size) {
  if (size == 0) return;
  // The bytes before, the flags after: whoever flags a page and then reads it either shows us the
  // flag or sees the bytes (mark_code_page() in vmm/soft/engine/block.cc has the argument). Without
  // it even an x86 host reads the flags while the bytes are still in its store buffer.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (Observer* observer : observers_) observer->memory_written(ipa, size);
}

void GuestMemory::map_changed() {
  for (Observer* observer : observers_) observer->memory_map_changed();
}

}  // namespace trapline
