// What the kernel does for the calling thread only, done by all threads of the process.
#ifndef TRAPLINE_VMM_JAIL_EVERY_THREAD_H_
#define TRAPLINE_VMM_JAIL_EVERY_THREAD_H_

namespace trapline::jail {

// `work(argument)` on each thread, in a signal's handler on all but the caller's; its first result
// that is not 0. While it runs nobody begins a thread. No thread blocks the signal, every_thread's
// below.
int on_every_thread(int (*work)(int), int argument);

}  // namespace trapline::jail

#endif  // TRAPLINE_VMM_JAIL_EVERY_THREAD_H_
