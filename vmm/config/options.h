// What a user asked for. Filled by the command line, checked once, immutable afterwards.
#ifndef TRAPLINE_VMM_CONFIG_OPTIONS_H_
#define TRAPLINE_VMM_CONFIG_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "icache/icache.h"
#include "vmm/config/cpu_model.h"

namespace trapline {

enum class DecoderChoice : uint8_t { kNative, kCapstone };
using CachePolicy = icache::Policy;

inline constexpr const char* kPolicyNames[] = {"off", "rewalk", "recheck", "protect"};
constexpr const char* name_of(CachePolicy policy) {
  return kPolicyNames[static_cast<unsigned>(policy)];
}
constexpr const char* name_of(DecoderChoice decoder) {
  return decoder == DecoderChoice::kNative ? "native" : "capstone";
}

// --backend: kAuto is KVM where the host has it and no option needs the software CPU.
enum class BackendChoice : uint8_t { kAuto, kSoft, kKvm };

// --nested-ledger: what of it is printed; both are always counted.
enum class NestedLedgerChoice : uint8_t { kOff, kNv, kNv2, kBoth };

struct Options {
  BackendChoice backend = BackendChoice::kAuto;
  std::string kernel, initrd, append, raw;
  std::string firmware, vars;
  uint64_t memory = uint64_t{512} << 20;
  unsigned cpus = 1;
  std::vector<std::string> disks;
  std::vector<std::string> nets;
  bool rng = false, rng_pci = false;
  bool virtio_legacy = false;
  bool virtio_console = false, virtio_console_pci = false;
  bool input = false, input_pci = false;
  bool balloon = false, balloon_pci = false;
  std::string display;  // "none", "vnc:unix:PATH", "vnc:PORT"; empty: there is no framebuffer
  std::string
      audio;  // "none", "wav:FILE", "pipewire", "alsa[:DEVICE]"; empty: there is no sound card
  bool icount = false;
  bool isv_never = false;
  CpuModel cpu = CpuModel::kMax;  // of the software CPU
  bool cpu_given = false;
  struct El2 {
    bool on = false;
    bool vhe = true;
    unsigned list_registers = 4;
    bool list_registers_given = false;
  } el2;
  // What a hypervisor that is booted (Xen) finds beside itself: its first guest's kernel, then that
  // one's initrd.
  struct BootModule {
    std::string path, append;
  };
  std::vector<BootModule> modules;
  NestedLedgerChoice nested_ledger = NestedLedgerChoice::kOff;
  std::optional<uint16_t> translate_after;  // runs of a block; 0: never
  DecoderChoice decoder = DecoderChoice::kNative;
  CachePolicy icache = CachePolicy::kRewalk;
  bool icache_check = false;
  bool highmem = true;    // PCIe's configuration space and a window lie above 4 GiB
  bool ioeventfd = true;  // KVM: notifications of virtio devices are no exits
  bool flash_trapped = false;
  std::string stats;
  unsigned stats_every = 16;  // one exit in so many is timed
  bool profile = false;
  unsigned profile_stacks = 0;  // a call stack of one exit in so many; 0: none
  std::string record;           // a trace of every exit
  uint64_t kaslr_offset = 0;    // the kernel runs so far above a file's symbols; 0: found, if Linux
  std::string symbols = "auto";  // a file; "auto": the kernel's own tables in guest memory
  uint64_t max_insns = 0;        // 0: no limit
  std::string name;              // of the control socket; empty: none
  std::string restore;           // a saved machine, which goes on instead of a boot; empty: none
  std::string incoming;          // "unix:PATH", "exec:COMMAND": a machine that comes from there
  bool accept_changed_disks = false;
  std::string serial = "stdio";  // "stdio", "unix:PATH", "tcp:PORT", "file:PATH", "none"
  std::string metrics;           // "unix:PATH", "tcp:PORT"; empty: none
  std::string dump_dtb;
  bool no_reboot = false;
  bool kaslr_seed = false;
  unsigned gdb_port = 0;  // 0: no gdb
};

// The device of ALSA's configuration that --audio means; empty: none.
std::string alsa_device(const std::string& audio);
// The first of the options that only the software CPU has; empty if there is none.
std::string option_of_software_cpu(const Options& options);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONFIG_OPTIONS_H_
