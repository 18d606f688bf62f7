// Fuzz target: a trace of any bytes, or a whole file around events of any bytes or around good ones
// with some changed, is replayed and reported on, or refused in one line.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "vmm/trace/replay.h"
#include "vmm/trace/trace_profile.h"

namespace trapline::trace {
namespace {

constexpr const char* kConfiguration =
    R"({"version": 2, "cpus": 2, "icount": true, "icache": "recheck", "decoder": "native",
        "isv": "auto", "backend": "soft", "ns_per_cycle": 0.5, "regions": [
        {"base": 134217728, "size": 65536, "device_offset": 0, "device": "gicd"},
        {"base": 150994944, "size": 4096, "device_offset": 0, "device": "pl011"}]})";

template <typename Put>
void append(std::vector<uint8_t>& bytes, Put&& put) {
  std::vector<uint8_t> room(2 * kLongestExit + kPageSize);
  Encoder out(room.data());
  put(out);
  bytes.insert(bytes.end(), room.data(), out.at());
}

ExitEvent data_abort(uint32_t iss, uint64_t pc, uint64_t ipa) {
  ExitEvent event;
  event.exit.kind = ExitKind::kDataAbort;
  event.exit.valid_mask = Exit::kEsr | Exit::kFar | Exit::kIpa;
  event.exit.esr = 0x9200'0000 | iss;
  event.exit.pc = pc;
  event.exit.far = event.exit.ipa = ipa;
  event.flags = ExitEvent::kAccesses;
  return event;
}

// Exits of each kind, with what they refer to.
std::vector<uint8_t> good_events() {
  std::vector<uint8_t> bytes;
  append(bytes, [](Encoder& out) {
    out.byte(static_cast<uint8_t>(Tag::kContext));
    out.varint(1);
    write_regs(out, {});
  });
  append(bytes, [](Encoder& out) {
    out.byte(static_cast<uint8_t>(Tag::kViewState));
    write_view_state(out, {});
  });
  constexpr uint32_t kWords[] = {0xb8404420,   // ldr w0, [x1], #4
                                 0xa9007c1f,   // stp xzr, xzr, [x0]
                                 0x3dc00020,   // ldr q0, [x1]
                                 0x885f7c20};  // ldxr w0, [x1]
  uint64_t number = 0;
  for (const uint32_t word : kWords) {
    append(bytes, [&](Encoder& out) {
      SourceData source;
      source.word = word;
      source.ipa = 0x4000'0000 + 4 * number;
      source.loads = 2;
      source.desc_ipa = {0x4100'0000, 0x4100'1000};
      out.byte(static_cast<uint8_t>(Tag::kSource));
      write_source(out, source);
    });
    ++number;
  }
  Coding coding;
  const auto put = [&](const ExitEvent& event) {
    append(bytes, [&](Encoder& out) { write_event(out, coding, event); });
  };
  ExitEvent load = data_abort(0x0182'0006 | 1 << 24, 0x4000'0000, 0x900'0018);
  load.accesses.push_back({1, 4, false, false, 0x18, 0x90});
  put(load);
  for (uint64_t source = 1; source <= number; ++source) {
    ExitEvent event = data_abort(source == 2 ? 0x46 : 6, 0x4000'0000 + 4 * source, 0x800'0010);
    event.source = source;
    event.context = 1;
    event.before_mask = event.after_mask = 3;
    event.before = {0x800'0010, 0x800'0010};
    event.after = {0, 0x800'0014};
    event.accesses.push_back({0, 4, source == 2, false, 0x10, 0});
    event.flags |= ExitEvent::kVectors | ExitEvent::kState | ExitEvent::kQuestions;
    event.v_before_mask = event.v_after_mask = 1;
    event.rare = std::make_unique<ExitEvent::Rare>();
    event.rare->questions.resize(2);
    event.rare->questions[0].a = 0x800'1000;
    event.rare->questions[1].kind = Question::Kind::kRam;
    event.rare->questions[1].answer = 1;
    event.rare->questions[1].data.assign(kPageSize, 7);
    put(event);
  }
  ExitEvent sysreg;
  sysreg.exit.kind = ExitKind::kSysreg;
  sysreg.exit.sysreg = sysreg_id(3, 0, 12, 12, 1);
  put(sysreg);
  ExitEvent hvc;
  hvc.exit.kind = ExitKind::kHvc;
  hvc.before_mask = 1;
  hvc.before[0] = 0xc400'0003;
  put(hvc);
  ExitEvent wfi;
  wfi.exit.kind = ExitKind::kWfi;
  wfi.answer = {Resume::kLeave};
  put(wfi);
  append(bytes, [&](Encoder& out) {
    out.byte(static_cast<uint8_t>(Tag::kSlept));
    out.varint(1000);
    out.byte(static_cast<uint8_t>(Tag::kWritten));
    out.varint(0x4000'0000);
    out.varint(64);
    out.byte(static_cast<uint8_t>(Tag::kMapChanged));
    out.byte(static_cast<uint8_t>(Tag::kPlace));
    out.varint(0x4000'0004);
    out.varint(kWords[0]);
  });
  put(load);
  return bytes;
}

// A place, how many bytes go, and the one that comes, four bytes an edit.
std::vector<uint8_t> edited(const uint8_t* data, size_t size) {
  static const std::vector<uint8_t> kGood = good_events();
  std::vector<uint8_t> bytes = kGood;
  for (; size >= 4; data += 4, size -= 4) {
    const auto at = static_cast<ptrdiff_t>((data[0] | size_t{data[1]} << 8) % bytes.size());
    const auto left = static_cast<ptrdiff_t>(bytes.size()) - at - 1;
    bytes[static_cast<size_t>(at)] = data[3];
    const auto cut = bytes.begin() + at;
    bytes.erase(cut, cut + std::min<ptrdiff_t>(left, data[2] % 8));
  }
  return bytes;
}

void write_trace(const std::string& path, std::vector<uint8_t> events, unsigned vcpu) {
  auto writer = BlockWriter::create(path);
  if (!writer) std::abort();
  (*writer)->write(BlockType::kConfiguration, kConfiguration);
  Block block;
  block.header.vcpu = vcpu;
  block.header.raw = static_cast<uint32_t>(events.size());
  block.data = std::move(events);
  (*writer)->write(std::move(block));
  (*writer)->write(BlockType::kNames, R"({"symbols": {"0x40000000": "start"}})");
  (*writer)->finish();
}

void one_line(const std::string& error) {
  if (error.empty() || error.find('\n') != std::string::npos) std::abort();
}

void read(const std::string& path, unsigned policy, unsigned decoder) {
  auto reader = Reader::open(path);
  if (!reader) return one_line(reader.error());
  ReplayOptions options;
  options.icache = static_cast<CachePolicy>(policy);
  options.decoder = static_cast<DecoderChoice>(decoder);
  options.timed = true;
  auto result = replay(*reader, options);
  if (!result) {
    one_line(result.error());
  } else if (result->differing + result->not_compared > result->exits) {
    std::abort();
  }
  auto profile = read_trace_profile(path);
  if (!profile) return one_line(profile.error());
  if (result && profile->exits() > result->exits) std::abort();
}

}  // namespace
}  // namespace trapline::trace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trapline::trace;
  if (size == 0) return 0;
  static const int file = memfd_create("trace", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  const unsigned how = data[0];
  ++data;
  --size;
  if ((how & 3) == 0) {
    if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) {
      std::abort();
    }
  } else {
    write_trace(path, (how & 1) != 0 ? edited(data, size) : std::vector<uint8_t>(data, data + size),
                how >> 5 & 1);
  }
  read(path, how >> 2 & 3, how >> 4 & 1);
  return 0;
}
