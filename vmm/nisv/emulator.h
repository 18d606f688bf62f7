// Performs a vCPU's accesses that the hardware does not describe, on a thread of its own: it was
// made by the helper, so that no filter of the VMM's holds for its register calls, and it may wait
// in the middle of an access until the VMM has answered an element.
#ifndef TRAPLINE_VMM_NISV_EMULATOR_H_
#define TRAPLINE_VMM_NISV_EMULATOR_H_

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "vmm/embed/trapline-hosted.h"
#include "vmm/nisv/statistics.h"
#include "vmm/nisv/turn.h"
#include "vmm/nisv/vm.h"

namespace trapline::nisv {

// What the VMM is asked for: KVM_EXIT_MMIO's members.
struct Element {
  uint64_t ipa;
  uint64_t value;  // as a little-endian bus shows it
  uint32_t size;
  bool write;
};

class Emulator {
 public:
  Emulator(Vm& vm, Counts& counts);
  ~Emulator();
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;

  // On the helper's thread. False: there is no memory, or no thread.
  bool start_thread();
  // An access under way is dropped.
  void stop_thread();

  // On the vCPU's thread, which waits meanwhile.
  enum class Answer : uint8_t {
    kElement,  // element() is to be performed; then resume()
    kDone,     // the vCPU may run: on, or into an exception, or the same instruction again
  };
  // `fd` is the vCPU's. `interrupted` becomes true if a signal was handled meanwhile.
  Answer begin(int fd, uint64_t esr_iss, uint64_t ipa, bool& interrupted);
  const Element& element() const { return element_; }
  Answer resume(uint64_t value, bool& interrupted);
  // Instead of resume(): no register changes, the guest runs the instruction again.
  void drop();
  // Of the access under way.
  uint64_t pc() const { return pc_; }

  // The map of memory has changed: what was read of it is forgotten. No emulator is at work.
  void forget_memory() { tl_cache_invalidate_all(cache_); }

 private:
  enum : uint32_t { kIdle, kBegin, kElement, kResume, kDone, kEnd };
  struct Callbacks;
  friend struct Callbacks;

  void loop();
  void work();
  Answer wait(uint32_t value, bool& interrupted);
  void finish(tl_result result, const tl_fault& fault);
  bool is_stuck();

  // Registers: read once, written when all is done.
  bool get(uint64_t id, void* value);
  bool set(uint64_t id, const void* value);
  uint64_t get_word(uint64_t id);
  void read_cpu();
  uint64_t general_id(unsigned reg) const;
  bool vector(bool write, unsigned reg, uint64_t value[2]);
  bool write_back();
  void write_exception(const tl_fault& fault);
  void abort();
  void enter_exception(const tl_fault& fault, bool has_far);

  // Devices.
  bool accepts(uint64_t ipa, unsigned size, bool write);
  bool device(Element& element);
  bool ask_vmm(Element& element);
  void* memory(uint64_t ipa, tl_direction direction);
  bool may_go_on();

  Vm& vm_;
  Counts& counts_;
  tl_vcpu* tl_ = nullptr;
  tl_cache* cache_ = nullptr;
  Turn turn_{kIdle};
  pthread_t thread_{};
  bool running_ = false;

  // The access.
  int fd_ = -1;
  tl_abort abort_{};
  tl_cpu cpu_{};
  uint64_t pc_ = 0, pstate_ = 0;  // as they were
  Element element_{};
  bool drop_ = false;      // by the vCPU's thread
  bool given_up_ = false;  // before or in the middle of it: nothing is written back
  enum class Hold : uint8_t { kNone, kShared, kAlone };
  Hold hold_ = Hold::kNone;
  uint64_t device_bytes_ = 0;  // of the access, or of the stepper's present one
  bool performing_ = false;    // its first element has been
  uint64_t map_changes_ = 0;
  bool stepping_ = false;
  uint64_t ioctls_ = 0;
  uint64_t general_[32]{}, vectors_[32][2]{};
  uint32_t general_known_ = 0, general_new_ = 0, vectors_known_ = 0, vectors_new_ = 0;

  // The vCPU.
  bool lse2_known_ = false, lse2_ = false;
  bool has_sve_ = false;
  uint64_t stuck_pc_ = ~uint64_t{0}, stuck_since_ = 0;
};

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_EMULATOR_H_
