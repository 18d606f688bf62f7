// `ctl NAME migrate DEST`: the machine goes on in another process, and never in both.
//
//   sender                                   receiver
//   header, configuration              ->
//                                      <-    hello
//   pages, again and again             ->
//   (the guest stands still)
//   last pages, sections, end          ->
//                                      <-    ready: all of it is there and fits
//   (gives up the disks' locks)
//   go                                 ->
//                                            (takes the disks, loads)
//                                      <-    running, or failed
//
// The receiver runs the machine only once it has all of "go". So the sender goes on by itself where
// it could not write all of that, or hears "failed"; where it wrote it and hears nothing it cannot
// know, and stands still.
#ifndef TRAPLINE_VMM_STATE_MIGRATE_H_
#define TRAPLINE_VMM_STATE_MIGRATE_H_

#include <cstdint>
#include <string>

#include "vmm/control/controlled.h"
#include "vmm/machine/machine.h"
#include "vmm/state/dirty_log.h"
#include "vmm/state/job.h"

namespace trapline::state {

inline constexpr std::string_view kHello = "hello", kReady = "ready", kGo = "go",
                                  kRunning = "running", kFailed = "failed";

using MigrateRequest = StateKeeper::MigrateRequest;

struct MigrateResult {
  enum class End : uint8_t {
    kStayed,    // the machine runs on here; `text` says why
    kLeft,      // it runs there
    kStranded,  // nobody knows: it is held here, its disks without a lock; `text`
  };
  End end = End::kStayed;
  std::string text;
  unsigned rounds = 0;
  uint64_t bytes = 0;
  double downtime_ms = 0;  // from the last instruction here to "running"
};

// Takes the request's link.
MigrateResult migrate(Machine& machine, DirtyLog& log, MigrateRequest& request,
                      const std::string& version, Job& job);

}  // namespace trapline::state

#endif  // TRAPLINE_VMM_STATE_MIGRATE_H_
