// Saved machines: one file, or a chain of which each holds what changed since the one before.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "vmm/config/platform.h"
#include "vmm/host/messages.h"
#include "vmm/state/arrival.h"
#include "vmm/state/dirty_log.h"
#include "vmm/state/page_records.h"
#include "vmm/state/records.h"

namespace trapline::state {
namespace {

constexpr unsigned kMostFiles = 64;  // of a chain

struct SavedFile {
  std::string path;
  FileHeader header;
  std::string config;
  uint64_t bytes = 0;
  std::string base_path, base_id;  // kSince
  uint64_t sums_at = 0;  // kWhole: a hash of each page, which is read when they are looked at
  RecordHeader sums;
};

class Saved final : public Arrival {
 public:
  explicit Saved(std::string version) : version_(std::move(version)) {}
  ~Saved() override {
    ends();
    if (mapped_fd_ >= 0) close(mapped_fd_);
  }

  std::string open(const std::string& path);

  const std::string& config() const override { return chain_.front().config; }
  Id id() const override { return chain_.front().header.id; }
  std::string load(Machine& machine, bool changed_files_do) override;
  void begins(Machine& machine) override;
  void ends() override {
    ending_ = true;
    if (checker_.joinable()) checker_.join();
  }

 private:
  std::string open_one(const std::string& path);
  std::string load_ram(const SavedFile& file, Machine& machine);
  std::string check_ram();

  const std::string version_;
  std::vector<SavedFile> chain_;  // the newest first
  Sections sections_;             // of the newest
  int mapped_fd_ = -1;            // of the oldest: its name may be another file's by now
  std::atomic<bool> ending_{false};
  std::thread checker_;
};

std::string Saved::open(const std::string& path) {
  std::string next = path;
  for (;;) {
    if (std::string error = open_one(next); !error.empty()) return error;
    const SavedFile& file = chain_.back();
    if (chain_.size() > 1) {
      const SavedFile& newer = chain_[chain_.size() - 2];
      if (text_of(file.header.id) != newer.base_id) {
        return fmt::format("{}: is not the save that {} goes on from: it was written anew since",
                           file.path, newer.path);
      }
      if (file.config != chain_.front().config) {
        return fmt::format("{}: is of another machine than {}", file.path, newer.path);
      }
    }
    if (file.header.kind != Kind::kSince) return {};
    if (chain_.size() >= kMostFiles) {
      return fmt::format("{}: goes on from more than {} others", path, kMostFiles);
    }
    next = file.base_path;
    // Moved together with its base.
    if (access(next.c_str(), F_OK) != 0) {
      next =
          (std::filesystem::path(file.path).parent_path() / std::filesystem::path(next).filename())
              .string();
    }
  }
}

std::string Saved::open_one(const std::string& path) {
  SavedFile file;
  file.path = path;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fmt::format("{}: {}", path, std::strerror(errno));
  Channel in(fd);
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return path + ": is no regular file";
  file.bytes = static_cast<uint64_t>(info.st_size);
  std::string error = read_header(in, path, version_, file.header, file.config);
  if (!error.empty()) return error;
  if (file.header.kind == Kind::kStream) return path + ": is a migration, no saved machine";
  if (file.header.records_offset > file.bytes) return path + ": is cut off";
  Record record;
  std::optional<Channel> records;
  for (uint64_t at = file.header.records_offset;;
       at += sizeof(RecordHeader) + record.header.length) {
    if (pread(fd, &record.header, sizeof record.header, static_cast<off_t>(at)) !=
        static_cast<ssize_t>(sizeof record.header)) {
      return path + ": is cut off";
    }
    if (record.name() == kSums && check_record(record.header).empty()) {
      if (record.header.length > file.bytes - at - sizeof record.header)
        return path + ": is cut off";
      file.sums = record.header;
      file.sums_at = at + sizeof record.header;
      records.reset();
      continue;
    }
    if (!records) {
      if (lseek(fd, static_cast<off_t>(at), SEEK_SET) < 0) {
        return fmt::format("{}: {}", path, std::strerror(errno));
      }
      records.emplace(dup(fd));
    }
    error = read_record(*records, path, record);
    if (!error.empty()) return error;
    if (record.name() == kEnd) break;
    if (record.name() == kPages) continue;  // load_ram()
    if (record.name() == kBase) {
      const nlohmann::json base = nlohmann::json::parse(record.text(), nullptr, false);
      if (!base.is_object() || !base.contains("path") || !base["path"].is_string() ||
          !base.contains("id") || !base["id"].is_string()) {
        return fmt::format("{}: is damaged: section '{}'", path, kBase);
      }
      file.base_path = base["path"].get<std::string>();
      file.base_id = base["id"].get<std::string>();
    } else if (chain_.empty()) {
      Record taken;
      taken.header = record.header;
      taken.payload.swap(record.payload);
      error = sections_.take(path, std::move(taken));
      if (!error.empty()) return error;
    }
  }
  if ((file.header.kind == Kind::kSince) != !file.base_path.empty()) {
    return fmt::format("{}: is damaged: section '{}'", path, kBase);
  }
  chain_.push_back(std::move(file));
  return {};
}

std::string Saved::load(Machine& machine, bool changed_files_do) {
  const std::string& path = chain_.front().path;
  std::string error = sections_.check(path, machine, true, changed_files_do);
  // The oldest first: what is newer goes over it.
  for (size_t i = chain_.size(); i-- != 0 && error.empty();) error = load_ram(chain_[i], machine);
  return error.empty() ? sections_.load(path, machine, changed_files_do, true) : error;
}

std::string Saved::load_ram(const SavedFile& file, Machine& machine) {
  const GuestMemory::Slot& ram = ram_of(machine);
  const int fd = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fmt::format("{}: {}", file.path, std::strerror(errno));
  Channel in(fd);
  struct stat info {};
  FileHeader header;
  std::string config;
  if (std::string error = read_header(in, file.path, version_, header, config); !error.empty()) {
    return error;
  }
  if (header.id != file.header.id || fstat(fd, &info) != 0 ||
      static_cast<uint64_t>(info.st_size) != file.bytes) {
    return file.path + ": was written anew meanwhile";
  }
  if (header.kind == Kind::kWhole) {
    if (header.ram_offset % kFileAlign != 0 || header.ram_offset > header.records_offset ||
        header.records_offset - header.ram_offset != ram.size ||
        file.sums.length != ram.pages() * sizeof(uint64_t)) {
      return file.path + ": is damaged: it has not as much RAM as it says";
    }
    mapped_fd_ = dup(fd);
    const int failed = machine.memory().map_file(ram.base, ram.size, fd, header.ram_offset);
    return failed == 0 ? std::string()
                       : fmt::format("{}: cannot be mapped: {}", file.path, std::strerror(failed));
  }
  if (lseek(fd, static_cast<off_t>(header.records_offset), SEEK_SET) < 0) {
    return fmt::format("{}: {}", file.path, std::strerror(errno));
  }
  Channel records(dup(fd));
  Record record;
  do {
    if (std::string error = read_record(records, file.path, record); !error.empty()) return error;
    if (record.name() != kPages) continue;
    std::string error = take_pages(file.path, record, ram.host, ram.size);
    if (!error.empty()) return error;
  } while (record.name() != kEnd);
  return {};
}

// What is mapped was not read: whether it is what was saved is found out behind the guest's back.
void Saved::begins(Machine& machine) {
  if (chain_.back().header.kind != Kind::kWhole) return;
  checker_ = std::thread([this, &machine] {
    const std::string error = check_ram();
    if (error.empty() || ending_) return;
    message("trapline: " + error + "\n");
    machine.stop(kBadInput, error);
  });
}

std::string Saved::check_ram() {
  const SavedFile& file = chain_.back();
  const int fd = mapped_fd_;
  std::vector<uint64_t> sums(file.sums.length / sizeof(uint64_t));
  if (pread(fd, sums.data(), file.sums.length, static_cast<off_t>(file.sums_at)) !=
          static_cast<ssize_t>(file.sums.length) ||
      hash_of(sums.data(), file.sums.length) != file.sums.hash) {
    return fmt::format("{}: is damaged: section '{}'", file.path, kSums);
  }
  std::vector<uint8_t> bytes(kMostPages * kPageSize);
  const auto offset = static_cast<off_t>(file.header.ram_offset);
  const auto end = static_cast<off_t>(file.header.records_offset);
  // Holes are zeroes: only what is there is read.
  off_t hole = offset;
  for (uint64_t page = 0; page < sums.size() && !ending_;) {
    const off_t at = offset + static_cast<off_t>(page * kPageSize);
    uint64_t n = std::min<uint64_t>(kMostPages, sums.size() - page);
    if (at >= hole) {
      off_t data = lseek(fd, at, SEEK_DATA);
      if (data < 0 || data > end) data = end;
      const uint64_t next = static_cast<uint64_t>(data - offset) / kPageSize;
      for (; page < next; ++page) {
        if (sums[page] != 0) return fmt::format("{}: is damaged: its RAM", file.path);
      }
      hole = lseek(fd, data, SEEK_HOLE);
      if (hole < 0) hole = end;
      continue;
    }
    n = std::min<uint64_t>(n, (static_cast<uint64_t>(hole - at) + kPageMask) / kPageSize);
    if (pread(fd, bytes.data(), n * kPageSize, at) != static_cast<ssize_t>(n * kPageSize)) {
      return fmt::format("{}: cannot be read any more: {}", file.path, std::strerror(errno));
    }
    for (uint64_t i = 0; i < n; ++i) {
      const uint8_t* const p = bytes.data() + i * kPageSize;
      static constexpr uint8_t kZeroes[kPageSize] = {};
      const uint64_t sum = sums[page + i];
      const bool good =
          sum == 0 ? std::memcmp(p, kZeroes, kPageSize) == 0 : hash_of(p, kPageSize) == sum;
      if (!good) {
        return fmt::format(
            "{}: is damaged: the page at {:#x}; the machine that goes on from it is "
            "stopped",
            file.path, platform::kRamBase + (page + i) * kPageSize);
      }
    }
    page += n;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Arrival>> open_saved(const std::string& path, const std::string& version) {
  auto saved = std::make_unique<Saved>(version);
  if (std::string error = saved->open(path); !error.empty()) return Error{"--restore " + error};
  return std::unique_ptr<Arrival>(std::move(saved));
}

}  // namespace trapline::state
