#include "vmm/machine/lifecycle.h"

namespace trapline {
namespace {

constexpr unsigned bit(LifeState state) { return 1u << static_cast<unsigned>(state); }

// What may follow each state. Who asks: `run` is the thread in Machine::run().
constexpr unsigned kFollows[] = {
    // kCreated: run, when memory is loaded; a stop from any thread.
    bit(LifeState::kRunning) | bit(LifeState::kStopping),
    // kRunning: a reset from a vCPU's thread (PSCI); a stop from any thread.
    bit(LifeState::kResetting) | bit(LifeState::kStopping),
    // kResetting: run, when memory is loaded anew; a stop from any thread.
    bit(LifeState::kRunning) | bit(LifeState::kStopping),
    // kStopping: run, when all other threads are gone.
    bit(LifeState::kEnded),
    // kEnded
    0,
};
static_assert(sizeof kFollows / sizeof kFollows[0] == static_cast<size_t>(LifeState::kCount));

}  // namespace

bool Lifecycle::allows(LifeState from, LifeState to) {
  return (kFollows[static_cast<size_t>(from)] & bit(to)) != 0;
}

bool Lifecycle::change(LifeState to, int status) {
  uint32_t word = word_.load(std::memory_order_acquire);
  uint32_t next;
  do {
    if (!allows(unpack(word), to)) return false;
    const uint32_t kept =
        to == LifeState::kStopping ? static_cast<uint32_t>(status) << 8 : word & ~0xffu;
    next = kept | static_cast<uint32_t>(to);
  } while (!word_.compare_exchange_weak(word, next, std::memory_order_acq_rel,
                                        std::memory_order_acquire));
  return true;
}

}  // namespace trapline
