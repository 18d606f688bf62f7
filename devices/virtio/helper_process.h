// What processes beside a VM have in common: those that run a library which is fed by strangers
// (libslirp, libvncserver), and other people's programs.
#ifndef TRAPLINE_DEVICES_VIRTIO_HELPER_PROCESS_H_
#define TRAPLINE_DEVICES_VIRTIO_HELPER_PROCESS_H_

#include <string>

namespace trapline::virtio {

// In a new process of ours: its name; signals that a terminal or a user has for the VM are not for
// it, and the handlers of the VM's own faults are gone.
void be_helper(const char* name);
// To who started it, once: why it cannot go on; empty: it can.
void answer_starter(int socket, const std::string& error);
// What it answered; `ended` if it ended before.
std::string answer_of_helper(int socket, const char* ended);

// The last line of what a program has written to `file`, as printable text.
std::string last_line(int file);

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_HELPER_PROCESS_H_
