// The guest's CPU as emulate() sees it, over the caller's callbacks: what a struct tl_vcpu is.
// Internal to vmm/embed. Freestanding.
#ifndef TRAPLINE_VMM_EMBED_CPU_H_
#define TRAPLINE_VMM_EMBED_CPU_H_

#include <cstddef>
#include <cstdint>
#include <new>

#include "decode/access.h"
#include "icache/icache.h"
#include "mmio/cpu_view.h"
#include "mmio/named_registers.h"
#include "mmio/transaction.h"
#include "vmm/embed/stepper.h"
#include "vmm/embed/trapline.h"
#include "vmm/memory/walk.h"
#include "vmm/vcpu/translation_regs.h"

namespace trapline::embed {

// All addresses are the caller's devices; what is memory, CpuView::ram() has said before.
class Devices final : public BusTarget {
 public:
  explicit Devices(tl_vcpu& vcpu) : vcpu_(vcpu) {}
  MmioResult read(uint64_t ipa, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t ipa, unsigned size, uint64_t value, unsigned vcpu) override;
  bool accepts(uint64_t ipa, unsigned size, bool write) const override;
  bool read64b(uint64_t ipa, uint64_t data[8], unsigned vcpu) override;
  bool write64b(uint64_t ipa, const uint64_t data[8], unsigned vcpu) override;

 private:
  tl_vcpu& vcpu_;
};

class View final : public CpuView {
 public:
  explicit View(tl_vcpu& vcpu) : vcpu_(vcpu) {}
  Translation translate(uint64_t va, unsigned size, Direction dir, bool unprivileged) override;
  uint8_t* ram(uint64_t ipa, Direction dir) override;
  void ram_written(uint64_t ipa, unsigned size) override;
  // Nobody deletes one; but the virtual destructor of its base would want the library's.
  static void operator delete(void*) {}

 private:
  tl_vcpu& vcpu_;
};

class NoMap final : public BusMap {};

// Where stage 1 leads.
struct Walked {
  tl_result result;
  tl_translation to;
};

// Translations that one access has asked for. An access is planned deep in the stack, where a walk
// has no room: what is not known yet is noted, the access is given up (nothing is touched while it
// is planned), and begins anew when resolve() has walked.
struct Translations {
  struct Entry {
    uint64_t page;
    Direction dir;
    bool unprivileged;
    bool device;
    uint8_t fsc;
    tl_result result;
    uint64_t ipa_page;
  };
  static constexpr unsigned kMost = 6;  // two pages of either side of a copy, and WnR of atomics
  Entry entry[kMost];
  unsigned count = 0;
  bool wanted = false;  // of entry[count] page, dir and unprivileged are asked for
};

}  // namespace trapline::embed

// Not on any stack: the pieces of an access, a walk's descriptors and the registers stand here.
struct alignas(64) tl_vcpu {
  tl_vcpu(const tl_ops& ops_given, void* arg_given);

  tl_ops ops;
  void* arg;
  const tl_cpu* cpu = nullptr;  // of the call in progress
  tl_cache* cache = nullptr;
  trapline::embed::View view;
  trapline::embed::Devices devices;
  trapline::embed::NoMap map;  // everything is found by the hint
  trapline::BusMap::Region everywhere;
  trapline::EmulateContext context;
  trapline::ExclusiveMonitor monitor;
  trapline::TranslationRegs translation{};
  trapline::Access access{};
  trapline::NamedRegisters named;  // of it
  uint64_t va = 0;
  bool is_access = false;
  bool cached = false;  // it may have come from the cache
  trapline::icache::Source source;
  static constexpr unsigned kPages = trapline::icache::Source::kMaxLoads + 1;
  uint64_t page[kPages], page_again[kPages];  // that it was read from
  unsigned pages = 0;
  bool keep_source = false;  // the walk notes its descriptors in `source`

  trapline::GeneralRegisters regs{}, regs_before{};
  trapline::Vreg v[32] = {}, v_before[32] = {};
  trapline::Outcome outcome;
  trapline::embed::Translations translations;
  trapline::embed::Stepper stepper;
  trapline::embed::Stepper::End step_end{};
  trapline::embed::Walked walked;
  trapline::Stage1Walk walk;
  trapline::emulation::Workspace work;
  alignas(trapline::emulation::Transaction) unsigned char transaction[sizeof(
      trapline::emulation::Transaction)];
};

namespace trapline::embed {

// Takes over what `cpu` says. False: a state that the library does not know (AArch32).
bool begin(tl_vcpu& vcpu, const tl_cpu& cpu);

// Registers by callbacks, those in the masks; a write of those that changed, and of the results.
bool read_registers(tl_vcpu& vcpu, const NamedRegisters& named);
bool write_registers(tl_vcpu& vcpu, const NamedRegisters& named);

// Walks for what the last access wanted. False: it wanted nothing.
bool resolve(tl_vcpu& vcpu);
// Performs the access, with the translations that it wants; the end is in vcpu.outcome.
[[gnu::always_inline]] inline void emulate_access(tl_vcpu& vcpu, const Access& access,
                                                  uint64_t va) {
  auto& t = *new (vcpu.transaction) emulation::Transaction{
      access, va, vcpu.view, &vcpu.map, vcpu.context, vcpu.outcome, vcpu.work};
  do {
    new (&vcpu.outcome) Outcome();
    emulation::general_access(t);
  } while (vcpu.outcome.status == Outcome::Status::kRetry && resolve(vcpu));
}
// Where a page leads, into vcpu.walked: by the caller's callback, or by a walk.
tl_result translate_now(tl_vcpu& vcpu, uint64_t page, Direction dir, bool unprivileged);

// The end of emulate() in the API's terms; pc and NZCV of `cpu` are set.
tl_result finish(tl_vcpu& vcpu, tl_cpu& cpu, const Access& access, tl_fault* fault);
void fill_fault(const tl_cpu& cpu, const GuestFault& from, tl_fault& to);

// The access at `pc`, from the cache or from memory, into vcpu.access.
tl_result find_access(tl_vcpu& vcpu, uint64_t pc);
void drop_cached(tl_vcpu& vcpu, uint64_t pc);
tl_result fetch(tl_vcpu& vcpu, uint64_t pc, uint32_t& word);
// Into vcpu.walked.
void walk(tl_vcpu& vcpu, uint64_t va, Direction dir, bool is_fetch, bool as_el0);

inline bool as_el0(const tl_cpu& cpu) { return (cpu.pstate >> 2 & 3) == 0; }

}  // namespace trapline::embed

#endif  // TRAPLINE_VMM_EMBED_CPU_H_
