#include "vmm/gdb_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <vector>

namespace trapline {
namespace {

// Register numbers of the target description below.
constexpr unsigned kRegCpsr = 33, kRegV0 = 34, kRegFpsr = 66, kRegFpcr = 67;
constexpr size_t kMaxPacket = 16 * 1024;
constexpr char kInterrupt = 0x03;
constexpr int kSigInt = 2, kSigTrap = 5;

const std::string& target_description() {
  static const std::string kText = [] {
    std::string x =
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
        "<architecture>aarch64</architecture><feature name=\"org.gnu.gdb.aarch64.core\">";
    for (int i = 0; i < 31; ++i) x += fmt::format("<reg name=\"x{}\" bitsize=\"64\"/>", i);
    x += "<reg name=\"sp\" bitsize=\"64\" type=\"data_ptr\"/>"
         "<reg name=\"pc\" bitsize=\"64\" type=\"code_ptr\"/>"
         "<reg name=\"cpsr\" bitsize=\"32\"/></feature>"
         "<feature name=\"org.gnu.gdb.aarch64.fpu\">"
         "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
         "<vector id=\"v2u\" type=\"uint64\" count=\"2\"/>"
         "<vector id=\"v16u\" type=\"uint8\" count=\"16\"/>"
         "<union id=\"aarch64v\"><field name=\"d\" type=\"v2d\"/><field name=\"u\" type=\"v2u\"/>"
         "<field name=\"b\" type=\"v16u\"/></union>";
    for (int i = 0; i < 32; ++i) {
      x += fmt::format("<reg name=\"v{}\" bitsize=\"128\" type=\"aarch64v\"/>", i);
    }
    x +=
        "<reg name=\"fpsr\" bitsize=\"32\"/><reg name=\"fpcr\" bitsize=\"32\"/></feature></target>";
    return x;
  }();
  return kText;
}

std::string to_hex(const void* data, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto* p = static_cast<const uint8_t*>(data);
  std::string out;
  out.reserve(2 * size);
  for (size_t i = 0; i < size; ++i) {
    out.push_back(kDigits[p[i] >> 4]);
    out.push_back(kDigits[p[i] & 15]);
  }
  return out;
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool from_hex(const std::string& hex, void* out, size_t size) {
  if (hex.size() < 2 * size) return false;
  auto* p = static_cast<uint8_t*>(out);
  for (size_t i = 0; i < size; ++i) {
    int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    p[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

// Reads a hex number from `at` on and moves `at` behind it.
bool parse_hex(const std::string& text, size_t& at, uint64_t& value) {
  auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value, 16);
  if (error != std::errc()) return false;
  at = static_cast<size_t>(end - text.data());
  return true;
}

}  // namespace

std::string GdbServer::listen(unsigned port, int& result) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd, 1) != 0) {
    std::string error = fmt::format("--gdb {}: {}", port, std::strerror(errno));
    if (fd >= 0) close(fd);
    return error;
  }
  result = fd;
  return {};
}

GdbServer::GdbServer(int socket, Debuggee& debuggee) : listener_(socket), debuggee_(debuggee) {
  if (pipe(wake_) != 0) std::perror("trapline: pipe");
  thread_ = std::thread([this] { serve(); });
}

GdbServer::~GdbServer() {
  stop_ = true;
  stopped(0, 0);
  thread_.join();
  close(listener_);
  close(wake_[0]);
  close(wake_[1]);
}

void GdbServer::stopped(unsigned cpu, int signal) {
  {
    std::lock_guard lock(mutex_);
    if (event_signal_ == 0) {
      event_cpu_ = cpu;
      event_signal_ = signal;
    }
  }
  char byte = 0;
  if (write(wake_[1], &byte, 1) < 0) return;
}

void GdbServer::serve() {
  while (!stop_) {
    pollfd fds[2] = {{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
    poll(fds, 2, -1);
    if ((fds[0].revents & POLLIN) != 0) {
      char bytes[64];
      if (read(wake_[0], bytes, sizeof bytes) < 0) return;
    }
    if ((fds[1].revents & POLLIN) == 0) continue;
    client_ = accept(listener_, nullptr, nullptr);
    if (client_ < 0) continue;
    int one = 1;
    setsockopt(client_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    debuggee_.halt();
    running_ = no_ack_ = detached_ = false;
    signal_ = kSigTrap;
    input_.clear();
    session();
    close(client_);
    // A debugger that goes away leaves the guest running, without its breakpoints.
    if (running_) debuggee_.halt();
    breakpoints_.clear();
    go();
  }
}

void GdbServer::session() {
  while (!stop_ && !detached_) {
    pollfd fds[2] = {{wake_[0], POLLIN, 0}, {client_, POLLIN, 0}};
    if (input_.empty()) poll(fds, 2, -1);
    if ((fds[0].revents & POLLIN) != 0) {
      char bytes[64];
      if (read(wake_[0], bytes, sizeof bytes) < 0) return;
      std::lock_guard lock(mutex_);
      if (event_signal_ != 0 && running_) {
        current_ = event_cpu_;
        signal_ = event_signal_;
        debuggee_.halt();
        running_ = false;
        if (!send_packet(stop_reply())) return;
      }
      event_signal_ = 0;
      continue;
    }
    std::string packet;
    if (!receive_packet(packet)) return;
    if (packet.empty()) continue;  // an acknowledgement
    if (packet.size() == 1 && packet[0] == kInterrupt) {
      if (running_) {
        debuggee_.halt();
        running_ = false;
        signal_ = kSigInt;
        if (!send_packet(stop_reply())) return;
      }
      continue;
    }
    std::string reply = handle(packet);
    if (!running_ && !detached_ && !send_packet(reply)) return;
    if (detached_) send_packet("OK");
  }
}

// One packet's body, or the interrupt byte. False when the connection ends.
bool GdbServer::receive_packet(std::string& packet) {
  for (;;) {
    while (!input_.empty() && input_[0] != '$' && input_[0] != kInterrupt) input_.erase(0, 1);
    if (!input_.empty() && input_[0] == kInterrupt) {
      packet.assign(1, kInterrupt);
      input_.erase(0, 1);
      return true;
    }
    size_t hash = input_.find('#');
    if (!input_.empty() && hash != std::string::npos && hash + 2 < input_.size()) {
      packet = input_.substr(1, hash - 1);
      uint8_t sum = 0, sent = 0;
      for (char c : packet) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(c));
      bool good = from_hex(input_.substr(hash + 1, 2), &sent, 1) && (sent == sum || no_ack_);
      input_.erase(0, hash + 3);
      if (!no_ack_ && send(client_, good ? "+" : "-", 1, MSG_NOSIGNAL) != 1) return false;
      if (good) return true;
      continue;
    }
    if (input_.size() > 4 * kMaxPacket) return false;
    char bytes[4096];
    ssize_t n = recv(client_, bytes, sizeof bytes, 0);
    if (n <= 0) return false;
    input_.append(bytes, static_cast<size_t>(n));
    if (input_[0] == '+' || input_[0] == '-') {
      input_.erase(0, 1);
      if (input_.empty()) {
        packet.clear();
        return true;
      }
    }
  }
}

bool GdbServer::send_packet(const std::string& body) {
  uint8_t sum = 0;
  for (char c : body) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(c));
  std::string packet = fmt::format("${}#{:02x}", body, sum);
  return send(client_, packet.data(), packet.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(packet.size());
}

std::string GdbServer::stop_reply() const {
  return fmt::format("T{:02x}thread:{:x};", signal_, current_ + 1);
}

void GdbServer::set_breakpoints() {
  std::vector<uint64_t> pcs(breakpoints_.begin(), breakpoints_.end());
  for (unsigned i = 0; i < debuggee_.cpus(); ++i) {
    debuggee_.cpu(i).set_breakpoints(pcs.data(), static_cast<unsigned>(pcs.size()));
  }
}

void GdbServer::go() {
  set_breakpoints();
  {
    std::lock_guard lock(mutex_);
    event_signal_ = 0;
  }
  running_ = true;
  debuggee_.resume();
}

std::string GdbServer::handle(const std::string& packet) {
  if (packet.empty()) return {};
  size_t at = 1;
  uint64_t a = 0, b = 0;
  switch (packet[0]) {
    case '?':
      return stop_reply();
    case 'g':
      return read_registers();
    case 'G':
      return write_registers(packet.substr(1)) ? "OK" : "E01";
    case 'p':
      return parse_hex(packet, at, a) ? read_register(static_cast<unsigned>(a)) : "E01";
    case 'P':
      if (!parse_hex(packet, at, a) || at >= packet.size() || packet[at] != '=') return "E01";
      return write_register(static_cast<unsigned>(a), packet.substr(at + 1)) ? "OK" : "E01";
    case 'm':
      if (!parse_hex(packet, at, a) || packet[at++] != ',' || !parse_hex(packet, at, b)) {
        return "E01";
      }
      return read_memory(a, b);
    case 'M':
      if (!parse_hex(packet, at, a) || packet[at++] != ',' || !parse_hex(packet, at, b) ||
          packet[at++] != ':' || packet.size() - at != 2 * b) {
        return "E01";
      }
      return write_memory(a, packet.substr(at)) ? "OK" : "E14";
    case 'c':
      go();
      return {};
    case 's':
      debuggee_.step_halted(current_);
      signal_ = kSigTrap;
      return stop_reply();
    case 'v':
      if (packet == "vCont?") return "vCont;c;C;s;S";
      if (packet.starts_with("vCont;")) {
        size_t step = packet.find(";s");
        if (step == std::string::npos) step = packet.find(";S");
        if (step == std::string::npos) {
          go();
          return {};
        }
        size_t colon = packet.find(':', step);
        if (colon != std::string::npos && ++colon < packet.size() && parse_hex(packet, colon, a) &&
            a >= 1 && a <= debuggee_.cpus()) {
          current_ = static_cast<unsigned>(a) - 1;
        }
        debuggee_.step_halted(current_);
        signal_ = kSigTrap;
        return stop_reply();
      }
      return {};
    case 'H':
      at = 2;
      if (packet.size() > 2 && packet[1] == 'g' && parse_hex(packet, at, a) && a >= 1 &&
          a <= debuggee_.cpus()) {
        current_ = static_cast<unsigned>(a) - 1;
      }
      return "OK";
    case 'T':
      return parse_hex(packet, at, a) && a >= 1 && a <= debuggee_.cpus() ? "OK" : "E01";
    case 'Z':
    case 'z': {
      if (packet.size() < 4 || (packet[1] != '0' && packet[1] != '1')) return {};
      at = 3;
      if (!parse_hex(packet, at, a)) return "E01";
      constexpr size_t kMost = 1024;
      if (packet[0] == 'z') {
        breakpoints_.erase(a);
      } else if (breakpoints_.size() < kMost) {
        breakpoints_.insert(a);
      } else {
        return "E28";
      }
      return "OK";
    }
    case 'D':
      detached_ = true;
      return {};
    case 'k':
      detached_ = true;
      debuggee_.kill();
      return {};
    case 'q':
    case 'Q':
      return handle_query(packet);
    default:
      return {};
  }
}

std::string GdbServer::handle_query(const std::string& packet) {
  if (packet.starts_with("qSupported")) {
    return fmt::format("PacketSize={:x};qXfer:features:read+;QStartNoAckMode+;vContSupported+",
                       kMaxPacket);
  }
  if (packet == "QStartNoAckMode") {
    no_ack_ = true;
    return "OK";
  }
  if (packet == "qC") return fmt::format("QC{:x}", current_ + 1);
  if (packet == "qAttached") return "1";
  if (packet == "qfThreadInfo") {
    std::string out = "m";
    for (unsigned i = 0; i < debuggee_.cpus(); ++i)
      out += fmt::format("{}{:x}", i ? "," : "", i + 1);
    return out;
  }
  if (packet == "qsThreadInfo") return "l";
  if (packet.starts_with("qThreadExtraInfo,")) {
    size_t at = std::strlen("qThreadExtraInfo,");
    uint64_t n = 0;
    parse_hex(packet, at, n);
    std::string name = fmt::format("vcpu {}", n - 1);
    return to_hex(name.data(), name.size());
  }
  constexpr std::string_view kFeatures = "qXfer:features:read:target.xml:";
  if (packet.starts_with(kFeatures)) {
    size_t at = kFeatures.size();
    uint64_t offset = 0, size = 0;
    if (!parse_hex(packet, at, offset) || packet[at++] != ',' || !parse_hex(packet, at, size)) {
      return "E01";
    }
    const std::string& xml = target_description();
    if (offset >= xml.size()) return "l";
    size = std::min<uint64_t>(size, kMaxPacket - 4);
    bool last = xml.size() - offset <= size;
    return (last ? "l" : "m") + xml.substr(offset, size);
  }
  return {};
}

std::string GdbServer::read_register(unsigned number) {
  Vcpu& cpu = debuggee_.cpu(current_);
  if (number < kRegCpsr) {
    uint64_t value = cpu.get_register(number);
    return to_hex(&value, 8);
  }
  if (number == kRegCpsr) {
    auto value = static_cast<uint32_t>(cpu.get_register(kRegPstate));
    return to_hex(&value, 4);
  }
  if (number < kRegFpsr) {
    Vreg value = cpu.get_vector(number - kRegV0);
    return to_hex(&value, 16);
  }
  if (number > kRegFpcr) return "E01";
  auto value =
      static_cast<uint32_t>(cpu.get_sysreg(sysreg_id(3, 3, 4, 4, number == kRegFpsr ? 1 : 0)));
  return to_hex(&value, 4);
}

bool GdbServer::write_register(unsigned number, const std::string& hex) {
  Vcpu& cpu = debuggee_.cpu(current_);
  if (number <= kRegCpsr) {
    uint64_t value = 0;
    if (!from_hex(hex, &value, number == kRegCpsr ? 4 : 8)) return false;
    cpu.set_register(number, value);
    return true;
  }
  if (number >= kRegFpsr) return false;
  Vreg value{};
  if (!from_hex(hex, &value, 16)) return false;
  cpu.set_vector(number - kRegV0, value);
  return true;
}

std::string GdbServer::read_registers() {
  std::string out;
  for (unsigned i = 0; i <= kRegFpcr; ++i) out += read_register(i);
  return out;
}

bool GdbServer::write_registers(const std::string& hex) {
  size_t at = 0;
  for (unsigned i = 0; i < kRegFpsr && at < hex.size(); ++i) {
    if (!write_register(i, hex.substr(at))) return false;
    at += i == kRegCpsr ? 8 : i < kRegV0 ? 16 : 32;
  }
  return true;
}

uint8_t* GdbServer::memory_at(uint64_t va, uint64_t& ipa) {
  Vcpu& cpu = debuggee_.cpu(current_);
  Exit exit;
  exit.vcpu = static_cast<uint8_t>(current_);
  exit.pc = cpu.get_register(kRegPc);
  Translation t = cpu.view(exit, Access{}).translate(va, 1, Direction::kRead, false);
  if (t.status != Translation::Status::kOk) return nullptr;
  ipa = t.ipa;
  return debuggee_.guest_memory().host(ipa, 1);
}

std::string GdbServer::read_memory(uint64_t va, uint64_t size) {
  std::string out;
  size = std::min<uint64_t>(size, kMaxPacket / 2 - 8);
  while (size != 0) {
    uint64_t ipa = 0, n = std::min(size, kPageSize - (va & kPageMask));
    const uint8_t* host = memory_at(va, ipa);
    if (host == nullptr) break;
    out += to_hex(host, n);
    va += n;
    size -= n;
  }
  return out.empty() ? "E14" : out;
}

bool GdbServer::write_memory(uint64_t va, const std::string& hex) {
  std::vector<uint8_t> bytes(hex.size() / 2);
  if (!from_hex(hex, bytes.data(), bytes.size())) return false;
  for (size_t done = 0; done < bytes.size();) {
    uint64_t ipa = 0, n = std::min(bytes.size() - done, kPageSize - ((va + done) & kPageMask));
    if (memory_at(va + done, ipa) == nullptr) return false;
    debuggee_.guest_memory().write(ipa, bytes.data() + done, n);
    done += n;
  }
  return true;
}

}  // namespace trapline
