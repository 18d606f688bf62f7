// The jail around a VM: closed once, between the machine's assembly and its guest's first
// instruction. Then the process can ask its kernel for what the table of calls has, and for nothing
// else: no file, no socket, no program, no process.
#ifndef TRAPLINE_VMM_JAIL_JAIL_H_
#define TRAPLINE_VMM_JAIL_JAIL_H_

#include <string>

#include "devices/virtio/qemu_nbd.h"

namespace trapline::jail {

// What the VM has that needs more calls than others.
struct Needs {
  bool kvm = false;
  bool tap = false;  // --net tap
  bool nbd = false;  // a disk of a server that may have to be connected to again
};

// One line where this kernel has no such filters; else empty.
std::string why_not();

// Around all threads, those to come included. One line if that cannot be; then nobody runs a guest.
// `note`: one line where the kernel can do less than it should.
std::string close(const Needs& needs, std::string& note);

// Likewise around the process of `--net user`, which has one thread: it keeps its sockets, makes
// others, and reads the host's resolv.conf.
std::string close_network();

// Likewise around a process that becomes qemu-nbd: programs and libraries, the files that it is to
// open, no network, no rights. Its calls are not filtered: it is another's program, and which it
// makes changes with its version.
std::string close_disk(const virtio::ChildFiles& files);
// Likewise around the process of `--display vnc:`, which keeps its sockets and takes connections
// from one of them.
std::string close_viewers();
// Likewise around the process of `--audio alsa`, whose device is open: no file more, no rights. Its
// calls are not filtered: a plugin of ALSA's is another's program.
std::string close_sound();

}  // namespace trapline::jail

#endif  // TRAPLINE_VMM_JAIL_JAIL_H_
