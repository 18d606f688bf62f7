#include "vmm/state/save.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "vmm/state/machine_config.h"
#include "vmm/state/page_records.h"
#include "vmm/state/records.h"

namespace trapline::state {
namespace {

using Clock = std::chrono::steady_clock;

// While the guest runs, until so little is left, or so often.
constexpr uint64_t kFewPages = 2048;
constexpr unsigned kRounds = 4;

// RAM as it is, at its place in the file, with the hash of each page.
class WholeFile final : public PageSink {
 public:
  WholeFile(int fd, uint64_t offset, uint64_t pages, const std::atomic<bool>& cancelled)
      : fd_(fd), offset_(offset), sums_(pages), cancelled_(cancelled) {}
  bool pages(uint64_t first, uint32_t count, const uint8_t* bytes) override {
    for (uint32_t i = 0; i < count; ++i) {
      sums_[first + i] = hash_of(bytes + i * kPageSize, kPageSize);
    }
    written_ += count;
    return put(first, count * kPageSize, bytes);
  }
  // Only of what was something else before.
  bool zeroes(uint64_t first, uint32_t count) override {
    static constexpr uint8_t kZeroes[kPageSize] = {};
    for (uint64_t page = first; page < first + count; ++page) {
      if (std::exchange(sums_[page], 0) != 0 && !put(page, kPageSize, kZeroes)) return false;
    }
    return true;
  }
  const std::vector<uint64_t>& sums() const { return sums_; }
  uint64_t written() const { return written_; }
  int error() const { return error_; }

 private:
  bool put(uint64_t page, size_t size, const uint8_t* bytes) {
    if (cancelled_) return false;
    uint64_t at = offset_ + page * kPageSize;
    while (size != 0) {
      const ssize_t n = pwrite(fd_, bytes, size, static_cast<off_t>(at));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        error_ = errno;
        return false;
      }
      at += static_cast<uint64_t>(n);
      bytes += n;
      size -= static_cast<size_t>(n);
    }
    return true;
  }
  const int fd_;
  const uint64_t offset_;
  std::vector<uint64_t> sums_;  // 0: a page of zeroes
  const std::atomic<bool>& cancelled_;
  uint64_t written_ = 0;
  int error_ = 0;
};

// What --since names: the save whose later pages are known.
std::string check_base(const SaveRequest& request, const Id& last, const std::string& version) {
  const int fd = dup(request.base.get());
  if (fd < 0) return fmt::format("--since {}: {}", request.since, std::strerror(errno));
  Channel in(fd);
  FileHeader header;
  std::string config;
  std::string error = read_header(in, "--since " + request.since, version, header, config);
  if (!error.empty()) return error;
  if (header.id == last) return {};
  return fmt::format(
      "--since {}: is not this machine's last save: only of that is it known what was written "
      "since",
      request.since);
}

std::string base_json(const SaveRequest& request, const Id& last) {
  std::error_code ignored;
  const nlohmann::json base{{"path", std::filesystem::absolute(request.since, ignored).string()},
                            {"id", text_of(last)}};
  return base.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

class Save {
 public:
  Save(Machine& machine, DirtyLog& log, const SaveRequest& request, const std::string& version,
       Job& job)
      : machine_(machine), log_(log), request_(request), version_(version), job_(job) {}

  SaveResult run(const Id& last) {
    SaveResult result;
    result.error = write(last, result);
    return result;
  }

 private:
  std::string write(const Id& last, SaveResult& result) {
    const bool since = !request_.since.empty();
    if (since) {
      if (std::string error = check_base(request_, last, version_); !error.empty()) return error;
    }
    const int file = request_.file.get();
    struct stat info {};
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
      return request_.path + ": what was passed is no regular file";
    }
    const std::string config = machine_config(machine_.options());
    const GuestMemory::Slot& ram = ram_of(machine_);
    const Kind kind = since ? Kind::kSince : request_.compress ? Kind::kCompressed : Kind::kWhole;
    result.id = new_id();
    FileHeader header = make_header(kind, result.id, version_, config);
    if (kind == Kind::kWhole) {
      header.ram_offset = (header.records_offset + kFileAlign - 1) & ~(kFileAlign - 1);
      header.records_offset = header.ram_offset + ram.size;
    }
    seal(header);
    const int fd = dup(file);
    if (fd < 0) return failed(errno);
    Channel out(fd);
    if (!put_header(out, header, config) || !out.flush()) return failed(out.error());

    PageSet todo(ram.pages());
    log_.start();
    if (since) {
      todo = log_.since();
      if (!put_record(out, kBase, bytes_of(base_json(request_, last)))) return failed(out.error());
    } else {
      todo.add_all();
    }
    bool good;
    int error = 0;
    if (kind == Kind::kWhole) {
      WholeFile sink(file, header.ram_offset, ram.pages(), job_.cancelled);
      if (ftruncate(file, static_cast<off_t>(header.records_offset)) != 0 ||
          lseek(file, static_cast<off_t>(header.records_offset), SEEK_SET) < 0) {
        return failed(errno);
      }
      good = copy(todo, !since, sink, out, result);
      error = sink.error();
      result.pages = sink.written();
      if (good) {
        const auto* sums = reinterpret_cast<const uint8_t*>(sink.sums().data());
        good = put_record(out, kSums, {sums, sink.sums().size() * sizeof(uint64_t)});
      }
    } else {
      PageRecords sink(out, request_.compress, job_.cancelled);
      good = copy(todo, !since, sink, out, result);
      result.pages = sink.written();
    }
    good = good && put_record(out, kEnd, {}) && out.flush();
    if (!good) return failed(error != 0 ? error : out.error());
    return fsync(file) == 0 ? std::string() : failed(errno);
  }

  // RAM and, at one instant, all else.
  bool copy(PageSet& todo, bool fresh, PageSink& sink, Channel& out, SaveResult& result) {
    for (unsigned round = 0; round < kRounds; ++round) {
      if (!copy_pages(machine_, todo, fresh && round == 0, sink)) return false;
      todo = log_.take();
      if (todo.count() <= kFewPages) break;
    }
    why_ = machine_.hold();
    if (!why_.empty()) return false;
    const Clock::time_point start = Clock::now();
    todo.add(log_.take());
    before_ = log_.since();
    log_.forget();
    const bool good = copy_pages(machine_, todo, false, sink) && Sections::put(out, machine_);
    machine_.release();
    result.pause_ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    return good;
  }

  std::string failed(int error) {
    if (before_) log_.remember(*before_);
    if (!why_.empty()) return why_;
    if (job_.cancelled) return fmt::format("{}: {}", request_.path, job_.reason.load());
    return fmt::format("{}: cannot write: {}", request_.path, std::strerror(error));
  }

  Machine& machine_;
  DirtyLog& log_;
  const SaveRequest& request_;
  const std::string& version_;
  Job& job_;
  std::string why_;
  std::optional<PageSet> before_;
};

}  // namespace

SaveResult save(Machine& machine, DirtyLog& log, const Id& last, const SaveRequest& request,
                const std::string& version, Job& job) {
  return Save(machine, log, request, version, job).run(last);
}

}  // namespace trapline::state
