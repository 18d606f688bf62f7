#include "vmm/display/vnc.h"

#ifdef TRAPLINE_VNC_SONAME

#include <poll.h>
#include <rfb/rfb.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "devices/loaded_library.h"
#include "vmm/display/viewers.h"

#define TRAPLINE_TEXT_OF(name) #name
#define TRAPLINE_NAME_OF(macro) TRAPLINE_TEXT_OF(macro)

namespace trapline {
namespace {

// Loaded where there are viewers: with TLS and codecs behind it, it would cost every start.
struct Libvncserver {
  Libvncserver() {
    const LoadedLibrary library(TRAPLINE_VNC_SONAME, missing);
    library.find("rfbGetScreen", get_screen);
    library.find(TRAPLINE_NAME_OF(rfbInitServer), init_server);
    library.find("rfbNewClientConnection", new_client);
    library.find("rfbProcessEvents", process_events);
    library.find("rfbNewFramebuffer", new_framebuffer);
    library.find("rfbMarkRectAsModified", mark_modified);
    library.find("rfbLogEnable", log_enable);
    library.find("rfbMaxClientWait", max_client_wait);
  }

  decltype(&rfbGetScreen) get_screen = nullptr;
  decltype(&rfbInitServer) init_server = nullptr;
  decltype(&rfbNewClientConnection) new_client = nullptr;
  decltype(&rfbProcessEvents) process_events = nullptr;
  decltype(&rfbNewFramebuffer) new_framebuffer = nullptr;
  decltype(&rfbMarkRectAsModified) mark_modified = nullptr;
  decltype(&rfbLogEnable) log_enable = nullptr;
  int* max_client_wait = nullptr;
  std::string missing;  // empty: all is there
};
const Libvncserver& library() {
  static const Libvncserver loaded;
  return loaded;
}

constexpr int kPatienceMs = 2000;  // with a client that does not read
rfbScreenInfoPtr screen;
uint32_t* picture;
std::vector<int> clients;  // their sockets

// What does not fit is lost: a flood of a client's own making.
void tell(const ViewerMessage& message) {
  [[maybe_unused]] const ssize_t n =
      send(kVncSocket, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// How many there are is not lost.
void tell_viewers() {
  const ViewerMessage message{ViewerMessage::kViewers, static_cast<uint32_t>(clients.size())};
  while (send(kVncSocket, &message, sizeof message, MSG_NOSIGNAL) < 0 && errno == EINTR) continue;
}

void client_gone(rfbClientPtr client) {
  std::erase(clients, static_cast<int>(reinterpret_cast<intptr_t>(client->clientData)));
  tell_viewers();
}

rfbNewClientAction client_came(rfbClientPtr client) {
  client->clientGoneHook = client_gone;
  client->clientData = reinterpret_cast<void*>(intptr_t{client->sock});  // gone from there by then
  return RFB_CLIENT_ACCEPT;
}

void key(rfbBool down, rfbKeySym keysym, rfbClientPtr) {
  tell({ViewerMessage::kKey, keysym, down ? 1u : 0u});
}

void pointer(int buttons, int x, int y, rfbClientPtr) {
  tell({ViewerMessage::kPointer, static_cast<uint32_t>(x), static_cast<uint32_t>(y),
        static_cast<uint32_t>(buttons)});
}

void accept_client() {
  const int fd = accept4(kVncListener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  clients.push_back(fd);
  library().new_client(screen, fd);
  tell_viewers();
}

// False: the VM is gone.
bool take_messages() {
  ViewerMessage message;
  ssize_t n;
  while ((n = recv(kVncSocket, &message, sizeof message, MSG_DONTWAIT)) ==
         static_cast<ssize_t>(sizeof message)) {
    const auto a = static_cast<int>(message.a), b = static_cast<int>(message.b);
    if (message.kind == ViewerMessage::kSize) {
      library().new_framebuffer(screen, reinterpret_cast<char*>(picture), a, b, 8, 3, 4);
      screen->serverFormat.redShift = 16;
      screen->serverFormat.blueShift = 0;
    } else if (message.kind == ViewerMessage::kChanged) {
      library().mark_modified(screen, a, b, a + static_cast<int>(message.c),
                              b + static_cast<int>(message.d));
    }
  }
  return n < 0 && (errno == EAGAIN || errno == EINTR);
}

}  // namespace

std::string VncServer::open(uint32_t* pixels) {
  if (!library().missing.empty()) return library().missing;
  picture = pixels;
  library().log_enable(0);
  *library().max_client_wait = kPatienceMs;
  screen =
      library().get_screen(nullptr, nullptr, Viewers::kFirstWidth, Viewers::kFirstHeight, 8, 3, 4);
  if (screen == nullptr) return "libvncserver makes no screen";
  screen->frameBuffer = reinterpret_cast<char*>(pixels);
  screen->serverFormat.redShift = 16;
  screen->serverFormat.blueShift = 0;
  screen->desktopName = "Trapline";
  screen->alwaysShared = TRUE;
  screen->port = screen->ipv6port = 0;  // sockets are ours
  screen->cursor = nullptr;             // the guest draws its own
  screen->deferUpdateTime = 0;          // the VM sends no more than there is to show
  screen->newClientHook = client_came;
  screen->kbdAddEvent = key;
  screen->ptrAddEvent = pointer;
  library().init_server(screen);
  return {};
}

void VncServer::serve() {
  std::vector<pollfd> fds;
  for (;;) {
    fds.clear();
    fds.push_back({kVncSocket, POLLIN, 0});
    fds.push_back({clients.size() < Viewers::kMost ? kVncListener : -1, POLLIN, 0});
    for (const int client : clients) fds.push_back({client, POLLIN, 0});
    if (poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[0].revents != 0 && !take_messages()) return;
    if (fds[1].revents != 0) accept_client();
    library().process_events(screen, 0);
  }
}

}  // namespace trapline

#else

namespace trapline {

std::string VncServer::open(uint32_t*) { return "this program was built without libvncserver"; }
void VncServer::serve() {}

}  // namespace trapline

#endif
