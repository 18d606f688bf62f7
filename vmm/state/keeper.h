// Saves and migrations of a running machine, as its control socket asks for them.
#ifndef TRAPLINE_VMM_STATE_KEEPER_H_
#define TRAPLINE_VMM_STATE_KEEPER_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "vmm/control/controlled.h"
#include "vmm/machine/machine.h"
#include "vmm/state/dirty_log.h"
#include "vmm/state/format.h"
#include "vmm/state/job.h"

namespace trapline::state {

class Keeper final : public StateKeeper {
 public:
  // `from`: what the machine was restored from; zero: nothing that a save could go on from.
  Keeper(Machine& machine, EventSink& events, std::string version, const Id& from);
  ~Keeper() override;
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  Begun save(SaveRequest request) override;
  Begun migrate(MigrateRequest request) override;
  std::string cancel() override;
  bool stranded() override;
  std::string take_over() override;

 private:
  // What a job has to say at its end.
  struct Outcome {
    bool good;
    std::string text;
  };
  Begun begin(const char* kind, std::function<Outcome(Job&)> work);

  Machine& machine_;
  EventSink& events_;
  const std::string version_;
  DirtyLog log_;
  Id last_;  // the job's thread's, or while there is none
  std::mutex mutex_;
  std::unique_ptr<Job> job_;  // null: none runs
  bool stranded_ = false;
  uint64_t count_ = 0;
  std::thread thread_;
};

}  // namespace trapline::state

#endif  // TRAPLINE_VMM_STATE_KEEPER_H_
