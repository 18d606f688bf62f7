// Holds all vCPUs of a machine out of KVM_RUN for a moment: what KVM answers with EBUSY while one
// runs.
#ifndef TRAPLINE_VMM_KVM_UAPI_GATE_H_
#define TRAPLINE_VMM_KVM_UAPI_GATE_H_

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace trapline::kvm {

class Gate {
 public:
  // A vCPU's thread, before KVM_RUN, once its `inside` says that it is about to; false: somebody
  // wants the vCPUs outside, and `inside` has been taken back.
  bool enter(std::atomic<bool>& inside) {
    inside.store(true, std::memory_order_seq_cst);
    if (holders_.load(std::memory_order_seq_cst) == 0) [[likely]] {
      return true;
    }
    leave(inside);
    return false;
  }
  void leave(std::atomic<bool>& inside) {
    inside.store(false, std::memory_order_seq_cst);
    if (holders_.load(std::memory_order_seq_cst) == 0) [[likely]] {
      return;
    }
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  // After enter() was false.
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return holders_.load(std::memory_order_relaxed) == 0; });
  }

  // While one lives no vCPU is inside. `kick(i)` gets vCPU i out; `inside(i)` is its flag.
  template <typename Vcpus>
  class Hold {
   public:
    Hold(Gate& gate, Vcpus& vcpus) : gate_(gate), only_one_(gate.holding_) {
      ++gate_.holders_;
      for (auto& vcpu : vcpus) vcpu->leave_kvm();
      std::unique_lock lock(gate_.mutex_);
      gate_.changed_.wait(lock, [&] {
        for (auto& vcpu : vcpus) {
          if (vcpu->inside()) return false;
        }
        return true;
      });
    }
    ~Hold() {
      const std::lock_guard lock(gate_.mutex_);
      --gate_.holders_;
      gate_.changed_.notify_all();
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Gate& gate_;
    std::lock_guard<std::mutex> only_one_;
  };

 private:
  std::mutex holding_;  // one holder after the other
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<unsigned> holders_{0};
};

}  // namespace trapline::kvm

#endif  // TRAPLINE_VMM_KVM_UAPI_GATE_H_
