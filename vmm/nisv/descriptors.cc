#include "vmm/nisv/descriptors.h"

namespace trapline::nisv {

Object* Descriptors::peek(int fd) const {
  const auto number = static_cast<unsigned>(fd);
  if (number >= kChunk * kChunks) return nullptr;
  Chunk* chunk = chunks_[number / kChunk].load(std::memory_order_acquire);
  return chunk == nullptr ? nullptr : (*chunk)[number % kChunk].load(std::memory_order_acquire);
}

Ref<Object> Descriptors::find(int fd) const {
  Object* object = peek(fd);
  if (object == nullptr || !object->try_ref()) return {};
  Ref<Object> found(object);
  return peek(fd) == object ? std::move(found) : Ref<Object>();
}

std::atomic<Object*>* Descriptors::place(int fd) {
  const auto number = static_cast<unsigned>(fd);
  if (number >= kChunk * kChunks) return nullptr;
  std::atomic<Chunk*>& chunk = chunks_[number / kChunk];
  if (chunk.load(std::memory_order_acquire) == nullptr) {
    const std::lock_guard lock(growing_);
    if (chunk.load(std::memory_order_relaxed) == nullptr) {
      chunk.store(reinterpret_cast<Chunk*>(new std::atomic<Object*>[kChunk]()),
                  std::memory_order_release);
    }
  }
  return &(*chunk.load(std::memory_order_relaxed))[number % kChunk];
}

void Descriptors::set(int fd, Object* object) {
  std::atomic<Object*>* at = nullptr;
  if (object != nullptr || known(fd)) at = place(fd);
  Object* before = at == nullptr ? object : at->exchange(object, std::memory_order_acq_rel);
  if (before != nullptr) before->unref();
}

void Descriptors::copy(int from, int to) {
  if (from == to) return;
  Object* object = peek(from);
  if (object != nullptr && !object->try_ref()) object = nullptr;
  set(to, object);
}

void Descriptors::clear() {
  for (std::atomic<Chunk*>& each : chunks_) {
    Chunk* chunk = each.load(std::memory_order_relaxed);
    if (chunk == nullptr) continue;
    for (std::atomic<Object*>& object : *chunk) object.store(nullptr, std::memory_order_relaxed);
  }
}

}  // namespace trapline::nisv
