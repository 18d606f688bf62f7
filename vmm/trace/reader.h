// A trace, event after event: for who replays it, and for who reports on it.
#ifndef TRAPLINE_VMM_TRACE_READER_H_
#define TRAPLINE_VMM_TRACE_READER_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vmm/config/result.h"
#include "vmm/trace/block_file.h"
#include "vmm/trace/event.h"

namespace trapline::trace {

struct Region {
  uint64_t base = 0, size = 0, device_offset = 0;
  std::string device;
};

struct Configuration {
  unsigned cpus = 1;
  bool icount = false;
  std::string icache, decoder, isv, backend;
  double ns_per_cycle = 1;  // as measured in a moment at the start
  std::vector<Region> regions;
};

// Hears what a vCPU's stream says, in its order. An answer of false ends the reading.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual bool context(unsigned /*vcpu*/, uint64_t /*number*/, const TranslationRegs& /*regs*/) {
    return true;
  }
  virtual bool source(unsigned /*vcpu*/, uint64_t /*number*/, const SourceData& /*source*/) {
    return true;
  }
  virtual bool view_state(unsigned /*vcpu*/, const ViewState& /*state*/) { return true; }
  virtual bool written(unsigned /*vcpu*/, uint64_t /*ipa*/, uint64_t /*size*/) { return true; }
  virtual bool map_changed(unsigned /*vcpu*/) { return true; }
  virtual bool maintained(unsigned /*vcpu*/, SysregId /*op*/, uint64_t /*operand*/) { return true; }
  virtual bool maintenance_lost(unsigned /*vcpu*/, uint64_t /*count*/) { return true; }
  virtual bool slept(unsigned /*vcpu*/, uint64_t /*cycles*/) { return true; }
  virtual bool place(unsigned /*vcpu*/, uint64_t /*pc*/, uint32_t /*word*/) { return true; }
  // `number`: of the vCPU's exits, from 0.
  virtual bool exit(unsigned vcpu, uint64_t number, const ExitEvent& event) = 0;
};

class Reader {
 public:
  // Reads the configuration.
  static Result<Reader> open(const std::string& path);

  const Configuration& configuration() const { return configuration_; }
  // Everything to the end, or to where the trace is broken off: that is no error, why() says it. An
  // error is what cannot be a trace. Again: from the beginning.
  Result<bool> read(Listener& listener);
  const std::string& why() const { return why_; }
  // Once all was read: names for what was seen; in a trace that was cut off the registers' alone.
  const nlohmann::json& names() const { return names_; }

 private:
  struct Stream {
    Coding coding;
    uint64_t exits = 0, sources = 0;
  };
  Result<bool> read_events(const Block& block, Listener& listener);
  Error bad(const Block& block, const char* what) const;

  std::unique_ptr<BlockReader> file_;
  Configuration configuration_;
  std::vector<Stream> streams_;
  ExitEvent event_;
  std::string why_;
  nlohmann::json names_;
};

// Whether a file's first bytes are a trace's.
bool looks_like_trace(std::string_view first_bytes);

}  // namespace trapline::trace

#endif  // TRAPLINE_VMM_TRACE_READER_H_
