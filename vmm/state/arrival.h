// A machine that is to go on here: read from a file, or received from another process.
#ifndef TRAPLINE_VMM_STATE_ARRIVAL_H_
#define TRAPLINE_VMM_STATE_ARRIVAL_H_

#include <memory>
#include <string>

#include "vmm/config/result.h"
#include "vmm/machine/machine.h"
#include "vmm/state/format.h"

namespace trapline::state {

class Arrival {
 public:
  virtual ~Arrival() = default;

  // The options of the machine, as machine_config() has them.
  virtual const std::string& config() const = 0;
  // Into a machine that was created from them, before it runs. One line, empty on success: then
  // nothing stands in its way any more.
  virtual std::string load(Machine& machine, bool changed_files_do) = 0;
  // It runs, or will do so at once.
  virtual void begins(Machine& /*machine*/) {}
  // Its run is over: nothing of it is touched any more when this returns.
  virtual void ends() {}
  // It will not run, and why: if need be somebody is told.
  virtual void fails(const std::string& /*why*/) {}
  // What it is called, for what comes later.
  virtual Id id() const = 0;
};

// Reads all but RAM, which is mapped when it is needed.
Result<std::unique_ptr<Arrival>> open_saved(const std::string& path, const std::string& version);

// Waits for a machine at "unix:PATH" or from "exec:COMMAND", and receives it. When this returns the
// sender has given it up, and its disks: it is ours to run.
Result<std::unique_ptr<Arrival>> receive(const std::string& from, const std::string& version);

}  // namespace trapline::state

#endif  // TRAPLINE_VMM_STATE_ARRIVAL_H_
