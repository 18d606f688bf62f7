#include "vmm/state/records.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

namespace trapline::state {
namespace {

constexpr uint8_t kErased = 0xff;  // of flash

std::string broken(const std::string& what, const Channel& in) {
  if (in.error() == Channel::kEnded) return what + ": is cut off";
  return what + ": " + in.why();
}

// The pages of flash banks that are not erased: number of the page, bytes.
void save_flash(GuestMemory& memory, StateWriter& out) {
  std::vector<uint8_t> erased(kPageSize, kErased);
  for (const GuestMemory::Slot& slot : memory.slots()) {
    if (slot.writable) continue;
    for (uint64_t page = 0; page < slot.size; page += kPageSize) {
      if (std::memcmp(slot.host + page, erased.data(), kPageSize) == 0) continue;
      out.put(slot.base + page);
      out.bytes(slot.host + page, kPageSize);
    }
  }
}

bool load_flash(GuestMemory& memory, StateReader& in) {
  for (const GuestMemory::Slot& slot : memory.slots()) {
    if (!slot.writable) std::memset(slot.host, kErased, slot.size);
  }
  while (in.left() != 0) {
    const auto ipa = in.get<uint64_t>();
    const GuestMemory::Slot* slot = memory.slot(ipa);
    if (!in.ok() || (ipa & kPageMask) != 0 || slot == nullptr || slot->writable) return false;
    in.bytes(memory.host(ipa, kPageSize), kPageSize);
  }
  return in.ok();
}

// --- files ---

struct FileState {
  uint64_t bytes = 0, mtime_ns = 0;
  bool device = false;  // its time says nothing
};

bool look_at(const StateFile& file, FileState& out) {
  if (file.fd < 0) {
    out = {.bytes = file.bytes, .mtime_ns = 0, .device = true};
    return true;
  }
  struct stat info {};
  if (fstat(file.fd, &info) != 0) return false;
  out.bytes = static_cast<uint64_t>(info.st_size);
  out.device = !S_ISREG(info.st_mode);
  out.mtime_ns = static_cast<uint64_t>(info.st_mtim.tv_sec) * 1'000'000'000 +
                 static_cast<uint64_t>(info.st_mtim.tv_nsec);
  return true;
}

std::string files_json(const Machine& machine) {
  nlohmann::json files = nlohmann::json::array();
  for (const StateFile& file : machine.state_files()) {
    FileState now;
    look_at(file, now);
    files.push_back({{"option", file.option},
                     {"path", file.path},
                     {"read_only", file.read_only},
                     {"bytes", now.bytes},
                     {"mtime_ns", now.mtime_ns}});
  }
  return files.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string check_files(const std::string& what, const std::string& json, const Machine& machine,
                        bool times_too) {
  const nlohmann::json saved = nlohmann::json::parse(json, nullptr, false);
  const std::vector<StateFile> files = machine.state_files();
  if (!saved.is_array() || saved.size() != files.size()) {
    return fmt::format("{}: has {} disks, and this machine {}", what,
                       saved.is_array() ? saved.size() : 0, files.size());
  }
  for (size_t i = 0; i < files.size(); ++i) {
    const nlohmann::json& then = saved[i];
    const StateFile& file = files[i];
    if (!then.is_object() || then.value("option", std::string()) != file.option) {
      return fmt::format("{}: is damaged: section '{}'", what, kFiles);
    }
    FileState now;
    if (!look_at(file, now)) return file.path + ": " + std::strerror(errno);
    const char* differs = nullptr;
    if (then.value("bytes", uint64_t{0}) != now.bytes) {
      differs = "has another size";
    } else if (times_too && !now.device && then.value("mtime_ns", uint64_t{0}) != now.mtime_ns) {
      differs = "was changed";
    }
    if (differs != nullptr) {
      return fmt::format(
          "{}: {} since {} was saved: the guest would find another disk than it knows "
          "(--accept-changed-disks takes it as it is)",
          file.path, differs, what);
    }
  }
  return {};
}

// Of a record's payload, whose second piece is hashed on its own, and the first with that hash.
uint64_t hash_of_pieces(Bytes head, Bytes body) {
  if (body.empty()) return hash_of(head.data(), head.size());
  std::vector<uint8_t> first(head.begin(), head.end());
  const uint64_t rest = hash_of(body.data(), body.size());
  const auto* const p = reinterpret_cast<const uint8_t*>(&rest);
  first.insert(first.end(), p, p + sizeof rest);
  return hash_of(first.data(), first.size());
}

}  // namespace

// --- records ---

bool put_record(Channel& out, std::string_view name, Bytes head, Bytes body, uint32_t flags) {
  RecordHeader header = make_record(name, flags);
  header.length = head.size() + body.size();
  header.hash = hash_of_pieces(head, body);
  seal(header);
  return out.write(&header, sizeof header) && out.write(head.data(), head.size()) &&
         out.write(body.data(), body.size());
}

bool put_header(Channel& out, const FileHeader& header, std::string_view config) {
  return out.write(&header, sizeof header) && out.write(config.data(), config.size());
}

std::string read_header(Channel& in, const std::string& what, std::string_view reader,
                        FileHeader& header, std::string& config) {
  header = {};
  // First what every format has, so that a short foreign file is one, too.
  if (!in.read(&header, sizeof header)) {
    if (in.error() != Channel::kEnded) return broken(what, in);
    return std::memcmp(header.magic, kMagic, sizeof kMagic) == 0 ? what + ": is cut off"
                                                                 : what + ": is no saved machine";
  }
  if (std::string error = check_header(header, reader); !error.empty()) return what + ": " + error;
  config.resize(header.config_bytes);
  if (!in.read(config.data(), config.size())) return broken(what, in);
  if (hash_of(config.data(), config.size()) != header.config_hash) {
    return what + ": is damaged: its configuration";
  }
  return {};
}

std::string read_record(Channel& in, const std::string& what, Record& record, int timeout_ms) {
  if (!in.read(&record.header, sizeof record.header, timeout_ms)) return broken(what, in);
  if (std::string error = check_record(record.header); !error.empty()) return what + ": " + error;
  // In pieces: what a damaged length promises is made room for only as it comes.
  constexpr uint64_t kPiece = uint64_t{4} << 20;
  record.payload.clear();
  for (uint64_t left = record.header.length; left != 0;) {
    const uint64_t n = std::min(left, kPiece);
    const size_t at = record.payload.size();
    record.payload.resize(at + n);
    if (!in.read(record.payload.data() + at, n, timeout_ms)) return broken(what, in);
    left -= n;
  }
  const Bytes all = record.payload;
  const size_t head =
      record.name() == kPages ? std::min(all.size(), sizeof(PagesHeader)) : all.size();
  if (hash_of_pieces(all.first(head), all.subspan(head)) != record.header.hash) {
    return fmt::format("{}: is damaged: section '{}'", what, record.name());
  }
  return {};
}

// --- sections ---

bool Sections::put(Channel& out, Machine& machine) {
  for (const StateUnit& unit : machine.state_units()) {
    StateWriter writer;
    unit.save(writer);
    if (!put_record(out, unit.name, writer.buffer())) return false;
  }
  StateWriter flash;
  save_flash(machine.memory(), flash);
  if (!put_record(out, kFlash, flash.buffer())) return false;
  const std::string files = files_json(machine);
  return put_record(out, kFiles, bytes_of(files));
}

std::string Sections::take(const std::string& what, Record record) {
  std::string name(record.name());
  if (!by_name.emplace(name, std::move(record)).second) {
    return fmt::format("{}: is damaged: section '{}' comes twice", what, name);
  }
  return {};
}

std::string Sections::check(const std::string& what, Machine& machine, bool times_too,
                            bool changed_files_do) const {
  if (std::string why = machine.why_no_state(); !why.empty()) return why;
  std::vector<std::string> known = {std::string(kFlash), std::string(kFiles)};
  for (const StateUnit& unit : machine.state_units()) known.push_back(unit.name);
  for (const auto& [name, record] : by_name) {
    const bool optional = (record.header.flags & RecordHeader::kOptional) != 0;
    if (!optional && std::find(known.begin(), known.end(), name) == known.end()) {
      return fmt::format(
          "{}: has a section '{}', which this machine, or this version, does not have", what, name);
    }
  }
  for (const std::string& name : known) {
    if (!by_name.contains(name)) return fmt::format("{}: lacks the section '{}'", what, name);
  }
  if (changed_files_do) return {};
  return check_files(what, by_name.find(kFiles)->second.text(), machine, times_too);
}

std::string Sections::load(const std::string& what, Machine& machine, bool changed_files_do,
                           bool copied) const {
  const auto with = [&](std::string_view name, const auto& load) -> std::string {
    const Record& record = by_name.find(name)->second;
    StateReader in(record.payload.data(), record.payload.size());
    if (record.header.version == 1 && load(in) && in.ok() && in.left() == 0) return {};
    return fmt::format("{}: section '{}' is not what this machine, or this version, can load", what,
                       name);
  };
  machine.begin_load();
  std::string error =
      with(kFlash, [&](StateReader& in) { return load_flash(machine.memory(), in); });
  for (const StateUnit& unit : machine.state_units()) {
    if (error.empty()) error = with(unit.name, unit.load);
  }
  return error.empty() ? machine.end_load(changed_files_do, copied) : error;
}

}  // namespace trapline::state
