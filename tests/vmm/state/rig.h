// A machine on the software CPU with a program of a few words, which need not run.
#ifndef TRAPLINE_TESTS_VMM_STATE_RIG_H_
#define TRAPLINE_TESTS_VMM_STATE_RIG_H_

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "vmm/machine/machine.h"
#include "vmm/soft/soft_vcpu.h"
#include "vmm/state/records.h"

namespace trapline::state {

// A file of those bytes, by name.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("state", MFD_CLOEXEC)) {}
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  int fd() const { return fd_; }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }
  void put(Bytes bytes) {
    if (ftruncate(fd_, 0) != 0 ||
        pwrite(fd_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      std::abort();
    }
  }
  std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> all(static_cast<size_t>(lseek(fd_, 0, SEEK_END)));
    if (pread(fd_, all.data(), all.size(), 0) != static_cast<ssize_t>(all.size())) std::abort();
    return all;
  }

 private:
  int fd_;
};

class Rig {
 public:
  explicit Rig(Options options = {}) {
    program_.put(bytes_of(std::string("\x00\x00\x00\x14", 4)));  // b .
    options.raw = program_.path();
    options.backend = BackendChoice::kSoft;
    options.memory = uint64_t{2} << 20;
    in_ = open("/dev/null", O_RDWR | O_CLOEXEC);
    console_ = std::make_unique<Console>(in_, in_);
    auto made = Machine::create(options, *console_, [](const BackendParts& parts) {
      const Options& o = parts.options;
      return Result<std::unique_ptr<Backend>>(
          soft::make_soft_machine(parts.memory, parts.stage2, parts.clock, o.cpus, false,
                                  soft::kTranslateAfter, {o.el2.on, o.el2.vhe, false}));
    });
    if (!made) std::abort();
    machine_ = std::move(*made);
  }
  ~Rig() {
    machine_.reset();
    console_.reset();
    close(in_);
  }
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;
  Machine& machine() { return *machine_; }

 private:
  MemoryFile program_;
  int in_;
  std::unique_ptr<Console> console_;
  std::unique_ptr<Machine> machine_;
};

}  // namespace trapline::state

#endif  // TRAPLINE_TESTS_VMM_STATE_RIG_H_
