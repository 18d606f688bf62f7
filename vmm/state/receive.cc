// The receiving side of a migration: migrate.h has both.
#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "vmm/state/arrival.h"
#include "vmm/state/dirty_log.h"
#include "vmm/state/endpoint.h"
#include "vmm/state/migrate.h"
#include "vmm/state/page_records.h"
#include "vmm/state/records.h"

namespace trapline::state {
namespace {

constexpr uint64_t kMostMemory = uint64_t{255} << 30;

// RAM until there is a machine to have it, which opens disks and may therefore be made only once
// the sender has given them up.
class Staged {
 public:
  ~Staged() {
    if (at_ != nullptr) munmap(at_, size_);
  }
  std::string make(uint64_t size) {
    void* made = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) {
      return fmt::format("cannot reserve {} MiB: {}", size >> 20, std::strerror(errno));
    }
    at_ = static_cast<uint8_t*>(made);
    size_ = size;
    madvise(at_, size_, MADV_HUGEPAGE);
    return {};
  }
  uint8_t* at() const { return at_; }
  uint64_t size() const { return size_; }
  std::string move_to(Machine& machine) {
    const GuestMemory::Slot& ram = ram_of(machine);
    if (ram.size != size_) return "its memory has another size";
    const int failed = machine.memory().move_in(ram.base, ram.size, at_);
    if (failed != 0) return fmt::format("memory cannot be moved: {}", std::strerror(failed));
    at_ = nullptr;
    return {};
  }

 private:
  uint8_t* at_ = nullptr;
  uint64_t size_ = 0;
};

class Received final : public Arrival {
 public:
  Received(std::string from, int fd) : from_(std::move(from)), link_(fd) {}

  std::string take(const std::string& version) {
    std::string error = take_all(version);
    if (!error.empty()) fails(error);
    return error;
  }

  const std::string& config() const override { return config_; }
  Id id() const override { return {}; }
  std::string load(Machine& machine, bool changed_files_do) override {
    std::string error = sections_.check(from_, machine, false, changed_files_do);
    if (error.empty()) error = ram_.move_to(machine);
    return error.empty() ? sections_.load(from_, machine, false, false) : error;
  }
  void begins(Machine&) override {
    put_record(link_, kRunning, {});
    link_.flush();
  }
  void fails(const std::string& why) override {
    put_record(link_, kFailed, bytes_of(why));
    link_.flush();
  }

 private:
  std::string take_all(const std::string& version) {
    std::string error = read_header(link_, from_, version, header_, config_);
    if (!error.empty()) return error;
    if (header_.kind != Kind::kStream) return from_ + ": is no migration";
    const nlohmann::json config = nlohmann::json::parse(config_, nullptr, false);
    uint64_t memory = 0;
    if (config.is_object() && config.contains("memory") && config["memory"].is_string()) {
      memory = std::strtoull(config["memory"].get<std::string>().c_str(), nullptr, 10);
    }
    if (memory == 0 || memory > kMostMemory || memory % kPageSize != 0) {
      return from_ + ": says of its memory what cannot be";
    }
    if (error = ram_.make(memory); !error.empty()) return error;
    if (!put_record(link_, kHello, {}) || !link_.flush()) return from_ + ": " + link_.why();
    Record record;
    for (;;) {
      if (error = read_record(link_, from_, record); !error.empty()) return error;
      if (record.name() == kEnd) break;
      if (record.name() == kPages) {
        error = take_pages(from_, record, ram_.at(), ram_.size());
      } else {
        error = sections_.take(from_, std::move(record));
        record = {};
      }
      if (!error.empty()) return error;
    }
    if (!put_record(link_, kReady, {}) || !link_.flush()) return from_ + ": " + link_.why();
    if (error = read_record(link_, from_, record); !error.empty()) return error;
    if (record.name() != kGo) return from_ + ": was not told to go on";
    return {};
  }

  const std::string from_;
  Channel link_;
  FileHeader header_;
  std::string config_;
  Staged ram_;
  Sections sections_;
};

}  // namespace

Result<std::unique_ptr<Arrival>> receive(const std::string& from, const std::string& version) {
  if (std::string error = check_endpoint(from); !error.empty()) {
    return Error{fmt::format("--incoming {}: {}", from, error)};
  }
  auto fd = wait_for(from);
  if (!fd) return Error{"--incoming " + fd.error()};
  auto received = std::make_unique<Received>(from, *fd);
  if (std::string error = received->take(version); !error.empty()) {
    return Error{"--incoming " + error};
  }
  return std::unique_ptr<Arrival>(std::move(received));
}

}  // namespace trapline::state
