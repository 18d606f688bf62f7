// One exit as a trace holds it: what the backend reported, what the exit path asked of the CPU and
// of devices, and what became of it. The recorder fills one, write_event() and read_event() turn it
// into bytes and back, the replayer plays it.
#ifndef TRAPLINE_VMM_TRACE_EVENT_H_
#define TRAPLINE_VMM_TRACE_EVENT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "mmio/cpu_view.h"
#include "vmm/trace/bytes.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline::trace {

// What a question about RAM is answered by, and what sources and writes are watched by.
inline constexpr uint64_t kPageSize = 4096;

enum class Tag : uint8_t {
  kExit = 1,
  kContext,    // TranslationRegs, numbered from 1
  kSource,     // of an instruction with ISV=0: the word and the descriptors that lead to it, from 1
  kViewState,  // what the view says beside registers, until the next of these
  kWritten,    // memory that a source was read from: by the guest, a device or the VMM
  kMapChanged,       // stage 2
  kSlept,            // the vCPU was asleep for so many cycles
  kPlace,            // the word at a PC, for those who read
  kMaintenance,      // TLBI and IC of this vCPU: the SYS encoding, the operand
  kMaintenanceLost,  // so many more: as if of everything
  kLike = 0x80,      // and above: an exit like the last one in its slot (LikeBit)
};

struct DeviceAccess {
  uint16_t region = 0;
  uint8_t size = 0;
  bool write = false, abort = false;
  uint64_t offset = 0, value = 0;
  friend bool operator==(const DeviceAccess&, const DeviceAccess&) = default;
};

// The part of a CpuView that seldom changes.
struct ViewState {
  bool big_endian = false, sp_alignment_check = false, tbi_lower = false, tbi_upper = false;
  bool alignment_check = false, lse2 = false, mops_option_a = true;
  uint8_t va_bits_lower = 48, va_bits_upper = 48;
  uint8_t zero_block_log2 = 6;
  uint32_t accdata = 0;
  friend bool operator==(const ViewState&, const ViewState&) = default;

  static ViewState of(const CpuView& view);
  void lend_to(CpuView& view) const;
};

// The instruction of an ISV=0 exit, and where it was read from.
struct SourceData {
  uint32_t word = 0;
  uint8_t loads = 0;
  uint64_t ipa = 0;
  std::array<uint64_t, Fetched::kMaxLoads> desc_ipa{}, desc{};
  friend bool operator==(const SourceData&, const SourceData&) = default;
};

// A question to the CPU beyond its registers, and the answer, in order. Rare: accesses that cross
// into RAM, and PSCI.
struct Question {
  enum class Kind : uint8_t { kTranslate, kRam, kWritten, kPower, kCpuOn, kIsMemory, kCount };
  Kind kind = Kind::kTranslate;
  uint64_t a = 0, b = 0, c = 0;    // what was asked
  uint64_t answer = 0, extra = 0;  // translate: status, then device; else the answer
  uint64_t ipa = 0;
  GuestFault fault{};
  std::vector<uint8_t> data;  // kRam: the page before; kWritten: the bytes after
};

struct ExitEvent {
  static constexpr unsigned kRegisters = 34;  // GeneralRegisters
  enum Flag : uint8_t {
    kAccesses = 1,
    kQuestions = 2,
    kUndefined = 4,  // a system register that nobody answers for
    kVectors = 16,
    kState = 32,      // NZCV and the exclusive monitor
    kOvertaken = 64,  // once more, since another CPU invalidated translations meanwhile
    kStuck = 8,       // the answer is that of a second without progress
    kReached = 128,   // `reached`, which is read as the two questions that it stands for
  };

  uint64_t start = 0, total = 0;  // host cycles
  Exit exit;
  uint64_t source = 0, context = 0;  // of ISV=0; source 0: the PC led nowhere
  Answer answer{};
  GuestFault fault{};
  uint8_t flags = 0;
  // Masks of `before` and `after` that hold something: what differs from the last known value.
  uint64_t before_mask = 0, after_mask = 0;
  std::array<uint64_t, kRegisters> before{}, after{};
  uint64_t value = 0;  // of a system register
  std::vector<DeviceAccess> accesses;

  // Where stage 2 does not say what was accessed (flash that traps), each exit asks the same: where
  // FAR leads to, and whether memory is there.
  struct Reached {
    uint64_t ipa = 0;
    uint8_t size = 0;
    uint8_t how = 0;  // as Question::c of kTranslate; 16: stage 1 says Device
  } reached;

  // kVectors: of the registers that the instruction names.
  uint32_t v_before_mask = 0, v_after_mask = 0;
  std::array<Vreg, 32> v_before{}, v_after{};

  struct Rare {
    uint32_t nzcv_before = 0, nzcv_after = 0;
    ExclusiveMonitor monitor_before{}, monitor_after{};
    std::vector<Question> questions;
  };
  std::unique_ptr<Rare> rare;  // kQuestions, kState: filled in; kept for the next event
};

// The last exit in a slot, one of kSlots by PC: an instruction's exits differ in addresses and
// values, and mostly in nothing else.
struct Shape {
  Exit exit;
  Answer answer{Resume::kWhole};  // which no exit of a trace has: an empty slot
  uint8_t flags = 0;
  uint64_t source = 0, context = 0, before_mask = 0, after_mask = 0;
  DeviceAccess access;
  ExitEvent::Reached reached;
};

// What write_event() and read_event() know of the events before, so that differences are small.
struct Coding {
  static constexpr size_t kSlots = 256;
  static size_t slot_of(uint64_t pc) { return pc >> 2 & (kSlots - 1); }

  uint64_t start = 0, pc = 0, far = 0, ipa = 0, esr = 0;
  std::array<uint64_t, ExitEvent::kRegisters> registers{};  // last known
  std::array<Vreg, 32> vectors{};                           // the recorder's own
  std::array<Shape, kSlots> shapes{};
};

// At most so many bytes, the accesses and questions not counted.
inline constexpr size_t kLongestExit = 2048;
size_t longest(const ExitEvent& event);

constexpr bool is_exit(uint8_t tag) {
  return tag == static_cast<uint8_t>(Tag::kExit) || tag >= static_cast<uint8_t>(Tag::kLike);
}
void write_event(Encoder& out, Coding& coding, const ExitEvent& event);
// Behind a tag that is_exit(). False: no such event. `event` is overwritten.
bool read_event(Decoder& in, Coding& coding, uint8_t tag, ExitEvent& event);

void write_regs(Encoder& out, const TranslationRegs& regs);
TranslationRegs read_regs(Decoder& in);
void write_source(Encoder& out, const SourceData& source);
bool read_source(Decoder& in, SourceData& source);
void write_view_state(Encoder& out, const ViewState& state);
ViewState read_view_state(Decoder& in);

}  // namespace trapline::trace

#endif  // TRAPLINE_VMM_TRACE_EVENT_H_
