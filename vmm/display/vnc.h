// The viewers' process: libvncserver between their sockets and the VM's messages.
#ifndef TRAPLINE_VMM_DISPLAY_VNC_H_
#define TRAPLINE_VMM_DISPLAY_VNC_H_

#include <cstdint>
#include <string>

namespace trapline {

inline constexpr int kVncSocket = 3, kVncListener = 4;  // descriptors of that process

class VncServer {
 public:
  // Loads the library. `pixels`: as Viewers::pixels(). One line if there is none.
  std::string open(uint32_t* pixels);
  // Until the VM is gone.
  void serve();
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_DISPLAY_VNC_H_
