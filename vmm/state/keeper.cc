#include "vmm/state/keeper.h"

#include <fmt/format.h>

#include <exception>
#include <utility>

#include "vmm/host/messages.h"
#include "vmm/state/migrate.h"
#include "vmm/state/save.h"

namespace trapline::state {

Keeper::Keeper(Machine& machine, EventSink& events, std::string version, const Id& from)
    : machine_(machine), events_(events), version_(std::move(version)), log_(machine), last_(from) {
  // What is written from its first instruction on is what differs from that file.
  if (from != Id{}) log_.start();
}

Keeper::~Keeper() {
  {
    std::lock_guard lock(mutex_);
    if (job_ != nullptr) job_->cancel(kAtItsEnd);
  }
  if (thread_.joinable()) thread_.join();
}

StateKeeper::Begun Keeper::begin(const char* kind, std::function<Outcome(Job&)> work) {
  std::lock_guard lock(mutex_);
  if (stranded_) {
    return {0, "a migration's end is not known: `resume` or `stop` the machine first"};
  }
  if (job_ != nullptr) return {0, "another save or migration is under way (`cancel` ends it)"};
  if (std::string why = machine_.why_no_state(); !why.empty()) return {0, why};
  if (thread_.joinable()) thread_.join();  // it has ended
  const uint64_t number = ++count_;
  job_ = std::make_unique<Job>();
  job_->progress = [this, kind, number](const std::string& line) {
    events_.happened({kind, line, {}, number, "running"});
  };
  thread_ = std::thread([this, kind, number, work = std::move(work), job = job_.get()] {
    Outcome outcome{false, {}};
    try {
      outcome = work(*job);
    } catch (const std::exception& error) {  // no memory
      outcome.text = error.what();
    }
    {
      std::lock_guard done(mutex_);
      job_.reset();
    }
    events_.happened({kind, outcome.text, {}, number, outcome.good ? "done" : "failed"});
  });
  return {number, {}};
}

StateKeeper::Begun Keeper::save(SaveRequest asked) {
  auto kept = std::make_shared<SaveRequest>(std::move(asked));
  return begin("save", [this, kept = std::move(kept)](Job& job) -> Outcome {
    const SaveRequest& request = *kept;
    const SaveResult result = state::save(machine_, log_, last_, request, version_, job);
    if (!result.error.empty()) return {false, result.error};
    last_ = result.id;
    return {true, fmt::format("{}: {} pages, the guest stood still for {:.1f} ms", request.path,
                              result.pages, result.pause_ms)};
  });
}

StateKeeper::Begun Keeper::migrate(MigrateRequest asked) {
  auto kept = std::make_shared<MigrateRequest>(std::move(asked));
  return begin("migrate", [this, kept = std::move(kept)](Job& job) -> Outcome {
    MigrateRequest& request = *kept;
    const MigrateResult result = state::migrate(machine_, log_, request, version_, job);
    switch (result.end) {
      case MigrateResult::End::kStayed:
        return {false, result.text + ": the machine runs on here"};
      case MigrateResult::End::kLeft:
        break;
      case MigrateResult::End::kStranded: {
        {
          std::lock_guard lock(mutex_);
          stranded_ = true;
        }
        machine_.strand();
        message("trapline: " + result.text + "\n");
        return {false, result.text};
      }
    }
    const std::string text =
        fmt::format("{}: {} rounds, {} MiB, the guest stood still for {:.1f} ms", request.to,
                    result.rounds, result.bytes >> 20, result.downtime_ms);
    machine_.leave(kMigratedAway, "migrated to " + request.to);
    return {true, text};
  });
}

std::string Keeper::cancel() {
  std::lock_guard lock(mutex_);
  if (job_ == nullptr) return "neither a save nor a migration is under way";
  job_->cancel("cancelled");
  return {};
}

bool Keeper::stranded() {
  std::lock_guard lock(mutex_);
  return stranded_;
}

std::string Keeper::take_over() {
  std::lock_guard lock(mutex_);
  if (!stranded_) return "the machine is not held by a migration";
  if (std::string error = machine_.take_files_back(); !error.empty()) return error;
  stranded_ = false;
  machine_.release();
  return {};
}

}  // namespace trapline::state
