#include "vmm/debug/gdb_session.h"

#include <fmt/format.h>

#include <algorithm>

namespace trapline {
namespace {

constexpr int kSigInt = 2, kSigTrap = 5;
constexpr size_t kMaxBreakpoints = 1024, kMaxWatchpoints = 64;
// Error numbers mean nothing to GDB; these are errno's, as others use them.
constexpr char kBadRequest[] = "E16", kBadAddress[] = "E0e", kNoRoom[] = "E1c", kBusy[] = "E10";

const char* ok_or(const char* error, bool ok) { return ok ? "OK" : error; }

}  // namespace

GdbSession::GdbSession(Debuggee& debuggee)
    : debuggee_(debuggee), target_(debuggee), went_(debuggee.cpus(), DebugGo::kRun) {}

// --- halt and go ---------------------------------------------------------------------------------

void GdbSession::note(unsigned cpu, const DebugStop& stop) {
  std::lock_guard lock(mutex_);
  noted_.emplace_back(cpu, stop);
}

// True: nothing runs, and what stopped by itself is in pending_. No lock is held while vCPUs are
// waited for: each of them may have a stop to note first.
bool GdbSession::halt() {
  if (!debuggee_.halt()) return false;
  running_ = false;
  collect();
  return true;
}

void GdbSession::collect() {
  std::vector<std::pair<unsigned, DebugStop>> noted;
  {
    std::lock_guard lock(mutex_);
    noted.swap(noted_);
  }
  for (const auto& [cpu, stop] : noted) {
    std::erase_if(pending_, [cpu = cpu](const Pending& p) { return p.cpu == cpu; });
    pending_.push_back({cpu, stop, debuggee_.cpu(cpu).get_register(kRegPc)});
  }
}

void GdbSession::report(const Pending& pending) {
  last_ = pending.stop;
  last_cpu_ = current_ = pending.cpu;
}

bool GdbSession::is_breakpoint(uint64_t pc) const { return breakpoints_.contains(pc); }

const char* GdbSession::watch_name(const DebugStop& stop) const {
  for (const Watch& w : watches_) {
    if (stop.address - w.what.va >= w.what.size) continue;
    if (w.kind == kAccess) return "awatch";
    if (w.kind == kWrite && stop.is_write) return "watch";
    if (w.kind == kRead && !stop.is_write) return "rwatch";
  }
  return nullptr;
}

// A stop that was not told when it happened is told at the next resume, unless its cause was taken
// away meanwhile.
bool GdbSession::holds(const Pending& p) const {
  if (p.stop.stepped) return false;
  if (p.stop.signal != kSigTrap) return true;
  if (debuggee_.cpu(p.cpu).get_register(kRegPc) != p.pc) return false;
  return p.stop.watched ? watch_name(p.stop) != nullptr : is_breakpoint(p.pc);
}

void GdbSession::begin() {
  open_ = true;
  closing_ = false;
  acknowledges_ = true;
  continue_thread_ = kAny;
  pending_.clear();
  running_ = true;
  if (!halt()) return;  // the exit will be told
  unsigned first = 0;
  while (first + 1 < debuggee_.cpus() && debuggee_.cpu_state(first) == "off") ++first;
  if (first + 1 == debuggee_.cpus() && debuggee_.cpu_state(first) == "off") first = 0;
  Pending stop{first, {.signal = kSigTrap}, 0};
  if (!pending_.empty()) {
    stop = pending_.front();
    pending_.erase(pending_.begin());
  }
  report(stop);
}

void GdbSession::end() {
  if (!open_) return;
  open_ = false;
  breakpoints_.clear();
  watches_.clear();
  if (!halt()) return;
  pending_.clear();
  set_points();
  debuggee_.resume(std::vector<DebugGo>(debuggee_.cpus(), DebugGo::kRun).data());
}

void GdbSession::set_points() {
  std::vector<uint64_t> pcs;
  for (const auto& [pc, count] : breakpoints_) pcs.push_back(pc);
  std::vector<Watchpoint> watched;
  for (const Watch& w : watches_) watched.push_back(w.what);
  for (unsigned i = 0; i < debuggee_.cpus(); ++i) {
    debuggee_.cpu(i).set_breakpoints(pcs.data(), static_cast<unsigned>(pcs.size()));
    debuggee_.cpu(i).set_watchpoints(watched.data(), static_cast<unsigned>(watched.size()));
  }
}

GdbSession::Packets GdbSession::go(const std::vector<DebugGo>& actions) {
  set_points();
  std::erase_if(pending_, [this](const Pending& p) { return !holds(p); });
  auto due = std::find_if(pending_.begin(), pending_.end(), [&actions](const Pending& p) {
    return actions[p.cpu] != DebugGo::kStay;
  });
  if (due != pending_.end()) {
    report(*due);
    pending_.erase(due);
    return {stop_reply()};
  }
  running_ = true;
  went_ = actions;
  debuggee_.resume(actions.data());
  return {};
}

GdbSession::Packets GdbSession::interrupt() {
  if (!running_ || !halt()) return {};
  // Where the user looks already, if nothing better is known.
  last_ = {.signal = kSigInt};
  last_cpu_ = current_;
  return {stop_reply()};
}

GdbSession::Packets GdbSession::stopped() {
  {
    std::lock_guard lock(mutex_);
    if (noted_.empty()) return {};
  }
  if (!open_) {
    // It stopped for a debugger that was just leaving.
    if (!debuggee_.halt()) return {};
    {
      std::lock_guard lock(mutex_);
      noted_.clear();
    }
    debuggee_.resume(std::vector<DebugGo>(debuggee_.cpus(), DebugGo::kRun).data());
    return {};
  }
  if (!running_ || !halt()) return {};
  // A step's end before all else; a stop of one that was not let go waits for that.
  const auto first = [this](auto&& wanted) {
    return std::find_if(pending_.begin(), pending_.end(), [&](const Pending& p) {
      return went_[p.cpu] != DebugGo::kStay && wanted(p);
    });
  };
  auto told = first([](const Pending& p) { return p.stop.stepped; });
  if (told == pending_.end()) told = first([](const Pending&) { return true; });
  if (told == pending_.end()) told = pending_.begin();
  if (told == pending_.end()) return {};
  report(*told);
  pending_.erase(told);
  return {stop_reply()};
}

GdbSession::Packets GdbSession::ended(int status) const {
  constexpr int kBySignal = 128;
  if (!open_ || closing_ || !running_) return {};
  if (status > kBySignal) return {fmt::format("X{:02x}", status - kBySignal)};
  return {fmt::format("W{:02x}", status & 0xff)};
}

std::string GdbSession::stop_reply() const {
  std::string out = fmt::format("T{:02x}", last_.signal);
  if (last_.watched) {
    if (const char* name = watch_name(last_)) out += fmt::format("{}:{:x};", name, last_.address);
  }
  return out + fmt::format("thread:{:x};", last_cpu_ + 1);
}

// --- commands ------------------------------------------------------------------------------------

// A thread-id without the multiprocess extension: -1, 0, or a vCPU's number plus 1.
bool GdbSession::thread(GdbCursor& at, long& thread) const {
  uint64_t n = 0;
  if (at.eat('-')) {
    thread = kAll;
    return at.number(n) && n == 1;
  }
  if (!at.number(n) || n > debuggee_.cpus()) return false;
  thread = static_cast<long>(n);
  return true;
}

GdbSession::Packets GdbSession::handle(std::string_view packet) {
  if (!open_) begin();
  if (packet.empty()) return {""};
  GdbCursor at(packet.substr(1));
  const bool kills = packet == "k" || packet.starts_with("vKill;");
  if (kills) {
    closing_ = true;
    open_ = false;  // nothing is left to be put right
    debuggee_.kill();
    return packet == "k" ? Packets{} : Packets{"OK"};
  }
  if (packet == "D" || packet.starts_with("D;")) return detach();
  if (running_) return {kBusy};

  uint64_t number = 0;
  switch (packet[0]) {
    case '?':
      return {stop_reply()};
    case 'g':
      return {target_.registers(current_)};
    case 'G':
      return {ok_or(kBadRequest, target_.set_registers(current_, at.rest()))};
    case 'p': {
      const std::string hex =
          at.number(number) && at.done() ? target_.reg(current_, number) : std::string();
      return {hex.empty() ? kBadRequest : hex};
    }
    case 'P':
      return {set_register(at)};
    case 'm':
      return {read_memory(at)};
    case 'M':
    case 'X':
      return {write_memory(at, packet[0] == 'X')};
    case 'c':
    case 'C':
    case 's':
    case 'S':
      return resume_legacy(packet);
    case 'H':
      return {select_thread(at)};
    case 'T': {
      long id = 0;
      return {ok_or(kBadRequest, thread(at, id) && id > 0 && at.done())};
    }
    case 'Z':
    case 'z':
      return {set_point(packet[0], at)};
    case 'v':
      if (packet == "vCont?") return {"vCont;c;C;s;S"};
      if (at.eat("Cont")) return resume_threads(at);
      if (at.eat("Attach;")) return {stop_reply()};  // there is one process, and it is attached to
      return {""};
    case 'q':
      if (constexpr std::string_view kMonitor = "qRcmd,"; packet.starts_with(kMonitor)) {
        return monitor(packet.substr(kMonitor.size()));
      }
      return {query(packet)};
    case 'Q':
      if (packet != "QStartNoAckMode") return {""};
      acknowledges_ = false;
      return {"OK"};
    default:
      return {""};
  }
}

GdbSession::Packets GdbSession::detach() {
  closing_ = true;
  return {"OK"};
}

// c, s, and with a signal (which a machine has no use for) C, S: [address]. Of the thread that Hc
// named; of all, if it named none: then `s` is the current thread's, and the others run.
GdbSession::Packets GdbSession::resume_legacy(std::string_view packet) {
  GdbCursor at(packet.substr(1));
  const bool steps = packet[0] == 's' || packet[0] == 'S';
  uint64_t value = 0;
  bool address = !at.done();
  if (packet[0] == 'C' || packet[0] == 'S') {
    if (!at.number(value) || value > 0xff) return {kBadRequest};
    address = at.eat(';');
  }
  const unsigned own =
      continue_thread_ > 0 ? static_cast<unsigned>(continue_thread_) - 1 : current_;
  if (address) {
    if (!at.number(value) || !at.done()) return {kBadRequest};
    debuggee_.cpu(own).set_register(kRegPc, value);
  } else if (!at.done()) {
    return {kBadRequest};
  }
  std::vector<DebugGo> actions(debuggee_.cpus(),
                               continue_thread_ > 0 ? DebugGo::kStay : DebugGo::kRun);
  actions[own] = steps ? DebugGo::kStep : DebugGo::kRun;
  return go(actions);
}

// vCont;action[:thread]...: for each thread the leftmost action that names it; none: it stays.
GdbSession::Packets GdbSession::resume_threads(GdbCursor at) {
  std::vector<DebugGo> actions(debuggee_.cpus(), DebugGo::kStay);
  std::vector<bool> named(actions.size());
  bool any = false;
  do {
    if (!at.eat(';')) return {kBadRequest};
    uint64_t signal = 0;
    DebugGo go;
    if (at.eat('c')) {
      go = DebugGo::kRun;
    } else if (at.eat('s')) {
      go = DebugGo::kStep;
    } else if (at.eat('C') && at.number(signal)) {
      go = DebugGo::kRun;
    } else if (at.eat('S') && at.number(signal)) {
      go = DebugGo::kStep;
    } else {
      return {kBadRequest};
    }
    long id = kAll;
    if (at.eat(':') && !thread(at, id)) return {kBadRequest};
    if (id == kAny) id = static_cast<long>(current_) + 1;
    for (size_t i = 0; i < actions.size(); ++i) {
      if (named[i] || (id != kAll && static_cast<size_t>(id) != i + 1)) continue;
      actions[i] = go;
      named[i] = any = true;
    }
  } while (!at.done());
  return any ? go(actions) : Packets{kBadRequest};
}

std::string GdbSession::select_thread(GdbCursor at) {
  const bool for_go = at.eat('c');
  long id = 0;
  if ((!for_go && !at.eat('g')) || !thread(at, id) || !at.done()) return kBadRequest;
  if (for_go) {
    continue_thread_ = id;
  } else if (id > 0) {
    current_ = static_cast<unsigned>(id) - 1;
  }
  return "OK";
}

// Ztype,address,kind, and z to take it back. Twice the same is once.
std::string GdbSession::set_point(char what, GdbCursor at) {
  const bool insert = what == 'Z';
  uint64_t type = 0, va = 0, size = 0;
  if (!at.number(type)) return kBadRequest;
  if (type > 4) return "";
  if (!at.eat(',') || !at.number(va) || !at.eat(',') || !at.number(size)) return kBadRequest;
  if (type < 2) {
    const unsigned bit = 1u << type;
    if (insert && breakpoints_.size() >= kMaxBreakpoints && !is_breakpoint(va)) return kNoRoom;
    unsigned& kinds = breakpoints_[va];
    kinds = insert ? kinds | bit : kinds & ~bit;
    if (kinds == 0) breakpoints_.erase(va);
    return "OK";
  }
  if (size == 0 || size - 1 > ~va || size > uint64_t{1} << 32) return kBadRequest;
  const Watch watch{static_cast<char>('0' + type), {va, size, type != 2, type != 3}};
  std::erase_if(watches_,
                [&watch](const Watch& w) { return w.kind == watch.kind && w.what == watch.what; });
  if (insert) {
    if (watches_.size() >= kMaxWatchpoints) return kNoRoom;
    watches_.push_back(watch);
  }
  return "OK";
}

std::string GdbSession::set_register(GdbCursor at) {
  uint64_t number = 0;
  return ok_or(kBadRequest,
               at.number(number) && at.eat('=') && target_.set_reg(current_, number, at.rest()));
}

std::string GdbSession::read_memory(GdbCursor at) {
  uint64_t va = 0, size = 0;
  if (!at.number(va) || !at.eat(',') || !at.number(size) || !at.done()) return kBadRequest;
  const std::string hex = target_.memory(current_, va, size);
  return hex.empty() && size != 0 ? kBadAddress : hex;
}

// Maddress,size:hex and Xaddress,size:binary.
std::string GdbSession::write_memory(GdbCursor at, bool binary) {
  uint64_t va = 0, size = 0;
  if (!at.number(va) || !at.eat(',') || !at.number(size) || !at.eat(':') || size > kGdbMaxPacket) {
    return kBadRequest;
  }
  std::string bytes;
  if (binary) {
    bytes = gdb_unescape(at.rest());
    if (bytes.size() != size) return kBadRequest;
  } else {
    bytes.resize(size);
    if (at.rest().size() != 2 * size || !from_hex(at.rest(), bytes.data(), size)) {
      return kBadRequest;
    }
  }
  return ok_or(kBadAddress, target_.set_memory(current_, va, bytes));
}

std::string GdbSession::query(std::string_view packet) {
  GdbCursor at(packet);
  if (at.eat("qSupported")) {
    return fmt::format("PacketSize={:x};qXfer:features:read+;QStartNoAckMode+;vContSupported+",
                       kGdbMaxPacket);
  }
  if (packet == "qC") return fmt::format("QC{:x}", current_ + 1);
  if (at.eat("qAttached")) return "1";
  if (packet == "qsThreadInfo") return "l";
  if (packet == "qfThreadInfo") {
    std::string out = "m";
    for (unsigned i = 1; i <= debuggee_.cpus(); ++i)
      out += fmt::format("{}{:x}", i > 1 ? "," : "", i);
    return out;
  }
  if (at.eat("qThreadExtraInfo,")) {
    long id = 0;
    if (!thread(at, id) || id <= 0) return kBadRequest;
    const auto index = static_cast<unsigned>(id) - 1;
    const std::string name = fmt::format("vcpu {}: {}", index, debuggee_.cpu_state(index));
    return to_hex(name.data(), name.size());
  }
  if (at.eat("qXfer:features:read:")) {
    uint64_t offset = 0, size = 0;
    if (!at.eat("target.xml:") || !at.number(offset) || !at.eat(',') || !at.number(size)) {
      return kBadRequest;
    }
    const std::string& xml = gdb_target_xml();
    if (offset >= xml.size()) return "l";
    size = std::min<uint64_t>(size, kGdbMaxPacket - 4);
    return (xml.size() - offset <= size ? "l" : "m") + xml.substr(offset, size);
  }
  return "";
}

// qRcmd: GDB does not say for which thread. The text as console output, in packets that fit, then
// OK.
GdbSession::Packets GdbSession::monitor(std::string_view hex) {
  std::string line(hex.size() / 2, '\0');
  if (hex.size() % 2 != 0 || !from_hex(hex, line.data(), line.size())) return {kBadRequest};
  const std::string text = gdb_monitor(debuggee_, last_cpu_, line);
  Packets out;
  constexpr size_t kPiece = 2048;
  for (size_t at = 0; at < text.size(); at += kPiece) {
    const std::string_view piece = std::string_view(text).substr(at, kPiece);
    out.push_back("O" + to_hex(piece.data(), piece.size()));
  }
  out.push_back("OK");
  return out;
}

}  // namespace trapline
