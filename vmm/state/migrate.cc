#include "vmm/state/migrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "vmm/state/machine_config.h"
#include "vmm/state/page_records.h"
#include "vmm/state/records.h"

namespace trapline::state {
namespace {

using Time = std::chrono::steady_clock;

constexpr int kAnswerMs = 30'000;
constexpr unsigned kMostRounds = 200;
// The guest dirties memory about as quickly as the link takes it: so many rounds are enough.
constexpr double kTooQuick = 0.8;
constexpr unsigned kPatience = 5;
// Of the downtime that is allowed: for what is no page.
constexpr double kFixedMs = 5;
constexpr double kLeastRate = 1e6;  // bytes/s, before anything was measured

double seconds_since(Time::time_point start) {
  return std::chrono::duration<double>(Time::now() - start).count();
}

class Migration {
 public:
  Migration(Machine& machine, DirtyLog& log, MigrateRequest& request, const std::string& version,
            Job& job)
      : machine_(machine), log_(log), request_(request), version_(version), job_(job) {}

  MigrateResult run() {
    MigrateResult result;
    result.text = send(result);
    return result;
  }

 private:
  std::string send(MigrateResult& result) {
    Channel link(request_.link.release(), job_.cancel_fd);
    const std::string config = machine_config(machine_.options());
    FileHeader header = make_header(Kind::kStream, new_id(), version_, config);
    seal(header);
    if (!put_header(link, header, config) || !link.flush()) return broken(link);
    if (std::string error = answer(link, kHello); !error.empty()) return error;
    PageRecords sink(link, false, job_.cancelled);
    PageSet todo(ram_of(machine_).pages());
    if (std::string error = rounds(link, sink, todo, result); !error.empty()) return error;
    return hand_over(link, sink, todo, result);
  }

  // Until what is left takes no longer than the guest may stand still.
  std::string rounds(Channel& link, PageRecords& sink, PageSet& todo, MigrateResult& result) {
    log_.start();
    todo.add_all();
    double rate = kLeastRate;
    unsigned too_quick = 0;
    for (unsigned round = 1;; ++round) {
      const Time::time_point start = Time::now();
      const uint64_t before = link.sent();
      if (!copy_pages(machine_, todo, round == 1, sink) || !link.flush()) return broken(link);
      const double seconds = std::max(seconds_since(start), 1e-6);
      const auto sent = static_cast<double>(link.sent() - before);
      result.rounds = round;
      result.bytes = link.sent();
      // A short round says little of the link.
      if (sent > 1e6 || round == 1) rate = std::max(sent / seconds, kLeastRate);
      todo = log_.take();
      const uint64_t left = todo.count();
      const double left_bytes = static_cast<double>(left) * kPageSize;
      if (job_.progress) {
        job_.progress(fmt::format("round {}: {} MiB sent, {:.0f} MiB/s, {} pages left", round,
                                  link.sent() >> 20, rate / (1 << 20), left));
      }
      const double allowed =
          std::max(static_cast<double>(request_.downtime_ms) - kFixedMs, 0.0) / 1000;
      if (left_bytes / rate <= allowed * kTooQuick || left == 0) return {};
      too_quick = left_bytes / seconds > kTooQuick * rate ? too_quick + 1 : 0;
      if (too_quick >= kPatience || round >= kMostRounds) {
        return fmt::format(
            "did not converge: the guest writes {:.0f} MiB/s of memory anew, and the link takes "
            "{:.0f} (--downtime MS allows for more at the end)",
            left_bytes / seconds / (1 << 20), rate / (1 << 20));
      }
    }
  }

  // The guest stands still from here on.
  std::string hand_over(Channel& link, PageRecords& sink, PageSet& todo, MigrateResult& result) {
    if (std::string error = machine_.hold(); !error.empty()) return error;
    const Time::time_point start = Time::now();
    todo.add(log_.take());
    std::string error;
    if (!copy_pages(machine_, todo, false, sink) || !Sections::put(link, machine_) ||
        !put_record(link, kEnd, {}) || !link.flush()) {
      error = broken(link);
    }
    if (error.empty()) error = answer(link, kReady);
    if (!error.empty()) {
      machine_.release();
      return error;
    }
    link.ignore_cancel();
    error = job_.cancelled ? job_.reason.load() : machine_.hand_over_files();
    bool told = false;
    if (error.empty()) {
      // All of it or, as far as the other side can tell, nothing.
      told = put_record(link, kGo, {}) && link.flush();
      error = told ? answer(link, kRunning) : broken(link);
    }
    result.downtime_ms = seconds_since(start) * 1000;
    result.bytes = link.sent();
    if (error.empty()) {
      result.end = MigrateResult::End::kLeft;
      return {};
    }
    if (told && !refused_) {
      result.end = MigrateResult::End::kStranded;
      return fmt::format(
          "{}: {} after it was told to go on: whether it runs there nobody here can tell, so it "
          "stands still here: `ctl NAME resume` if it does not run there, else `ctl NAME stop`",
          request_.to, error);
    }
    if (std::string lost = machine_.take_files_back(); !lost.empty()) {
      result.end = MigrateResult::End::kStranded;
      return fmt::format("{}; and {}: the machine stands still", error, lost);
    }
    machine_.release();
    return error;
  }

  // The record that is expected; or why not, in the other side's words if it has some.
  std::string answer(Channel& link, std::string_view wanted) {
    Record record;
    std::string error = read_record(link, request_.to, record, kAnswerMs);
    if (!error.empty()) return job_.cancelled ? job_.reason.load() : error;
    if (record.name() == wanted) return {};
    if (record.name() == kFailed) {
      refused_ = true;
      return "the receiver: " + shown(record.text());
    }
    return fmt::format("{}: says what is no answer", request_.to);
  }

  std::string broken(const Channel& link) const {
    return job_.cancelled ? job_.reason.load() : fmt::format("{}: {}", request_.to, link.why());
  }

  Machine& machine_;
  DirtyLog& log_;
  MigrateRequest& request_;
  const std::string& version_;
  Job& job_;
  bool refused_ = false;
};

}  // namespace

MigrateResult migrate(Machine& machine, DirtyLog& log, MigrateRequest& request,
                      const std::string& version, Job& job) {
  return Migration(machine, log, request, version, job).run();
}

}  // namespace trapline::state
