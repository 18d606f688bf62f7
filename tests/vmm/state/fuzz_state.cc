// Saved machines that are damaged: as bytes, and, with their hashes put right again, as the content
// of any section. Whatever comes is refused or loaded, and a machine that was loaded can be saved.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/vmm/state/rig.h"
#include "vmm/state/arrival.h"
#include "vmm/state/machine_config.h"
#include "vmm/state/page_records.h"

namespace trapline::state {
namespace {

constexpr char kVersion[] = "fuzz";

struct Seed {
  Rig rig;
  Rig into;
  FileHeader header;
  std::string config;
  std::vector<Record> records;

  static Options options() {
    Options options;
    options.cpus = 2;
    options.icount = true;
    options.rng = options.virtio_console = true;
    options.el2.on = true;
    return options;
  }
  Seed() : rig(options()), into(options()) {
    config = machine_config(rig.machine().options());
    header = make_header(Kind::kCompressed, {}, kVersion, config);
    seal(header);
    const MemoryFile file;
    {
      Channel out(dup(file.fd()));
      PageSet few(ram_of(rig.machine()).pages());
      few.words()[0] = 0xff;
      const std::atomic<bool> cancelled{false};
      PageRecords pages(out, true, cancelled);
      std::memset(ram_of(rig.machine()).host, 0x5a, 4 * kPageSize);
      if (!copy_pages(rig.machine(), few, false, pages) || !Sections::put(out, rig.machine()) ||
          !put_record(out, kEnd, {}) || !out.flush()) {
        std::abort();
      }
    }
    lseek(file.fd(), 0, SEEK_SET);
    Channel in(dup(file.fd()));
    do {
      if (!read_record(in, "seed", records.emplace_back()).empty()) std::abort();
    } while (records.back().name() != kEnd);
  }
};

void load(const std::string& path, Seed& seed) {
  auto saved = open_saved(path, kVersion);
  if (!saved) {
    if (saved.error().find('\n') != std::string::npos) std::abort();
    return;
  }
  if (!(*saved)->load(seed.into.machine(), true).empty()) return;
  const MemoryFile again;
  Channel out(dup(again.fd()));
  if (!Sections::put(out, seed.into.machine())) std::abort();
}

}  // namespace
}  // namespace trapline::state

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trapline;
  using namespace trapline::state;
  static auto* const seed = new Seed;
  if (size == 0) return 0;
  MemoryFile file;
  std::vector<uint8_t> bytes;
  const auto append = [&bytes](const void* from, size_t n) {
    const auto* p = static_cast<const uint8_t*>(from);
    bytes.insert(bytes.end(), p, p + n);
  };
  const uint8_t mode = data[0];
  ++data, --size;
  if ((mode & 1) != 0) {
    // Pieces of four bytes: which record, where (of 16 bits, two pieces), what.
    std::vector<Record> records = seed->records;
    for (; size >= 4; data += 4, size -= 4) {
      Record& record = records[data[0] % records.size()];
      if (record.payload.empty()) continue;
      const size_t at = (data[1] | size_t{data[2]} << 8) % record.payload.size();
      record.payload[at] = data[3];
      if (data[3] == 0x77) record.payload.resize(at);
    }
    append(&seed->header, sizeof seed->header);
    append(seed->config.data(), seed->config.size());
    const MemoryFile sealed;
    Channel out(dup(sealed.fd()));
    for (const Record& record : records) {
      const state::Bytes all = record.payload;
      const size_t head = record.name() == kPages && all.size() > 16 ? 16 : all.size();
      put_record(out, record.name(), all.first(head), all.subspan(head));
    }
    out.flush();
    const std::vector<uint8_t> tail = sealed.bytes();
    append(tail.data(), tail.size());
  } else if ((mode & 2) != 0) {
    // The header, and then anything.
    append(&seed->header, sizeof seed->header);
    append(seed->config.data(), seed->config.size());
    append(data, size);
  } else {
    append(data, size);
  }
  file.put(bytes);
  load(file.path(), *seed);
  return 0;
}
