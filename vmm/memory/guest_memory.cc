#include "vmm/memory/guest_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
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
  madvise(host, size, MADV_DONTFORK);  // no process of ours has a guest's memory but this one

  Slot slot{base, size, host, writable, nullptr, nullptr};
  slot.page_flags = zero_array<std::atomic<uint8_t>>(size >> kPageLog2);
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
  if (tracks_dirty()) note_dirty(ipa, size);
  for (Observer* observer : observers_) observer->memory_written(ipa, size);
}

// --- dirty pages ---

// The flag goes before the bit comes: who takes the bit flags the page again afterwards, and that
// flag must not be lost to this one. Who finds the flag gone already wrote its bytes before the bit
// is taken, or comes by the slow path again.
void GuestMemory::note_dirty(uint64_t ipa, uint64_t size) {
  for (uint64_t page = ipa & ~kPageMask; page < ipa + size; page += kPageSize) {
    for (Slot& slot : slots_) {
      if (page - slot.base >= slot.size || slot.dirty == nullptr) continue;
      const uint64_t n = (page - slot.base) >> kPageLog2;
      if ((slot.page_flags[n].load(std::memory_order_seq_cst) & kTrackDirty) == 0) continue;
      slot.page_flags[n].fetch_and(static_cast<uint8_t>(~kTrackDirty), std::memory_order_seq_cst);
      slot.dirty[n / 64].fetch_or(uint64_t{1} << n % 64, std::memory_order_seq_cst);
    }
  }
}

void GuestMemory::track_dirty() {
  for (Slot& slot : slots_) {
    if (!slot.writable) continue;
    const uint64_t words = (slot.pages() + 63) / 64;
    if (slot.dirty == nullptr) slot.dirty = zero_array<std::atomic<uint64_t>>(words);
    for (uint64_t n = 0; n < slot.pages(); ++n) {
      slot.page_flags[n].fetch_or(kTrackDirty, std::memory_order_relaxed);
    }
    for (uint64_t n = 0; n < words; ++n) slot.dirty[n].store(0, std::memory_order_relaxed);
  }
  tracking_.store(true, std::memory_order_seq_cst);
}

uint64_t GuestMemory::take_dirty(Slot& slot, uint64_t word) {
  if (slot.dirty[word].load(std::memory_order_relaxed) == 0) return 0;
  const uint64_t taken = slot.dirty[word].exchange(0, std::memory_order_seq_cst);
  for (uint64_t bits = taken; bits != 0; bits &= bits - 1) {
    const uint64_t n = word * 64 + static_cast<unsigned>(__builtin_ctzll(bits));
    slot.page_flags[n].fetch_or(kTrackDirty, std::memory_order_seq_cst);
  }
  return taken;
}

// --- other memory in its place ---

int GuestMemory::map_file(uint64_t ipa, uint64_t size, int fd, uint64_t offset) {
  uint8_t* at = host(ipa, size);
  void* made = mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd,
                    static_cast<off_t>(offset));
  return made == MAP_FAILED ? errno : 0;
}

void GuestMemory::fill(uint64_t ipa, uint64_t size, uint8_t byte) {
  constexpr uint64_t kPiece = uint64_t{2} << 20;
  const std::vector<uint8_t> piece(std::min(size, kPiece), byte);
  const int fd = memfd_create("trapline-fill", MFD_CLOEXEC);
  bool shared =
      fd >= 0 && write(fd, piece.data(), piece.size()) == static_cast<ssize_t>(piece.size());
  for (uint64_t done = 0; done < size && shared; done += kPiece) {
    shared = map_file(ipa + done, std::min(kPiece, size - done), fd, 0) == 0;
  }
  if (fd >= 0) close(fd);
  if (!shared) std::memset(host(ipa, size), byte, size);
}

void GuestMemory::give_back(uint64_t ipa, uint64_t size) {
  madvise(host(ipa, size), size, MADV_DONTNEED);
  dma_done(ipa, size);
}

int GuestMemory::move_in(uint64_t ipa, uint64_t size, uint8_t* from) {
  uint8_t* at = host(ipa, size);
  return mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED ? errno : 0;
}

void GuestMemory::map_changed() {
  for (Observer* observer : observers_) observer->memory_map_changed();
}

}  // namespace trapline
