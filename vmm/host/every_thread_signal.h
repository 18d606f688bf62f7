#ifndef TRAPLINE_VMM_HOST_EVERY_THREAD_SIGNAL_H_
#define TRAPLINE_VMM_HOST_EVERY_THREAD_SIGNAL_H_

#include <csignal>

namespace trapline {

// What vmm/jail reaches each thread with: no thread blocks it. (SIGRTMIN is KVM's kick.)
inline int every_thread_signal() { return SIGRTMIN + 1; }

}  // namespace trapline

#endif  // TRAPLINE_VMM_HOST_EVERY_THREAD_SIGNAL_H_
