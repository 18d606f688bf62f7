// What a descriptor of KVM's stands for.
#ifndef TRAPLINE_VMM_NISV_OBJECT_H_
#define TRAPLINE_VMM_NISV_OBJECT_H_

#include <atomic>
#include <cstdint>
#include <utility>

namespace trapline::nisv {

enum class Kind : uint8_t {
  kVm,
  kVcpu,
  kVgic,
  kForeign,  // known, and no concern of ours
};

// Counted by the descriptors that lead to it and the calls that use it. With the last one it gives
// up what it holds; its memory stays, since another thread may just be looking at it.
class Object {
 public:
  explicit Object(Kind kind_given) : kind(kind_given) {}
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  // False: it is gone.
  bool try_ref() {
    uint32_t count = refs_.load(std::memory_order_relaxed);
    while (count != 0) {
      if (refs_.compare_exchange_weak(count, count + 1, std::memory_order_acq_rel)) return true;
    }
    return false;
  }
  void unref() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) retire();
  }

  const Kind kind;

 protected:
  virtual ~Object() = default;
  virtual void retire() {}

 private:
  std::atomic<uint32_t> refs_{1};
};

// A reference for a while.
template <typename T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* counted) : object_(counted) {}
  Ref(Ref&& other) noexcept : object_(other.object_) { other.object_ = nullptr; }
  Ref& operator=(Ref&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr) object_->unref();
  }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_OBJECT_H_
