// What mmio::emulate() may see of a CPU. A backend (or a test) lends its registers and answers
// questions about addresses; nothing here says which backend it is.
#ifndef TRAPLINE_MMIO_CPU_VIEW_H_
#define TRAPLINE_MMIO_CPU_VIEW_H_

#include <cstdint>

namespace trapline {

struct alignas(16) Vreg {
  uint64_t lo;
  uint64_t hi;
  friend constexpr bool operator==(const Vreg&, const Vreg&) = default;
};

// The general registers as the backends keep them: x[0..30], then three slots that make operand
// fetch and write-back free of special cases.
inline constexpr unsigned kSlotXzr = 31;      // reads as zero; never written
inline constexpr unsigned kSlotSp = 32;       // the current stack pointer
inline constexpr unsigned kSlotDiscard = 33;  // results nobody wants
struct GeneralRegisters {
  uint64_t x[34];
};

enum class Direction : uint8_t { kRead, kWrite, kReadWrite };

// A stage-1 (or external) abort found during emulation, to be delivered to the guest's EL1 exactly
// as hardware would: the backend builds EC and the target vector, this is the rest.
struct GuestFault {
  uint64_t far;  // FAR_EL1: the VA of the first byte that failed, tag included
  uint8_t fsc;   // DFSC, D17.2.37: 0b0001LL translation, 0b0010LL access flag, 0b0011LL permission,
                 // 0x10 external, 0x21 alignment, 0x35 unsupported exclusive or atomic
  bool write;    // WnR
  uint8_t ec = 0x24;  // data abort; 0x20 prefetch abort, 0x26 SP alignment, 0x27 MOPS, 0 UNDEFINED.
                      // The backend picks the lower or same EL
  uint32_t iss = 0;   // of an abort what is to be set besides fsc and WnR; else all of it
  // To whom, where the guest has an EL2: as the architecture routes it, or to EL2 an abort by EL2's
  // own stage 2, with HPFAR_EL2 from `ipa`.
  enum class Route : uint8_t { kRouted, kStage2 };
  Route route = Route::kRouted;
  bool s1ptw = false;
  bool ipa_valid = false;
  uint64_t ipa = 0;
};

struct Translation {
  enum class Status : uint8_t {
    kOk,
    kFault,  // stage 1 refuses: `fault` goes to the guest
    kRetry,  // the CPU's view changed under us (break-before-make in flight): resume, try again
  };
  Status status;
  bool device;  // stage-1 (combined) memory type is Device: unaligned accesses fault
  uint64_t ipa;
  GuestFault fault;
};

// A CPU's exclusive monitor; the backend holds the one instance, so that CLREX and exception
// returns clear it. On RAM a store-exclusive is a compare-and-swap against `value` (ABA weakness as
// QEMU's); on a device it succeeds if the device's gate (DeviceGate) still has `version`.
struct ExclusiveMonitor {
  bool valid = false;
  bool device = false;
  uint8_t bytes = 0;  // of the whole access: 16 for LDXP of X registers
  uint64_t ipa = 0;
  uint64_t value[2] = {};  // the bytes loaded, lowest address in the lowest byte
  uint64_t version = 0;
};

class CpuView {
 public:
  virtual ~CpuView() = default;

  GeneralRegisters* regs = nullptr;
  Vreg* v = nullptr;                // 32
  uint64_t pc = 0;                  // of the trapped instruction: literals are relative to it
  bool big_endian = false;          // data endianness at the current EL (SCTLR_ELx.EE/E0E)
  bool sp_alignment_check = false;  // SCTLR_ELx.SA/SA0 applies at the current EL
  bool tbi_lower = false, tbi_upper = false;       // top-byte-ignore for the two VA halves
  bool alignment_check = false;                    // SCTLR_ELx.A: every unaligned access faults
  uint8_t va_bits_lower = 48, va_bits_upper = 48;  // 64 - TnSZ: where a PAC begins
  unsigned zero_block_log2 = 6;                    // DC ZVA block, bytes, log2
  // FEAT_LSE2: ordered and atomic accesses need not be aligned within 16 bytes of Normal memory.
  bool lse2 = false;
  bool mops_option_a = true;  // the algorithm the CPU implements: MOPS' prologs leave its format
  uint32_t accdata = 0;       // ACCDATA_EL1<31:0>, the low word that ST64BV0 stores
  unsigned vcpu = 0;
  uint32_t nzcv = 0;  // bits 31:28; MOPS reads and sets it
  ExclusiveMonitor* monitor = nullptr;

  // The translation that the hardware itself made for this exit: the 4 KiB page of FAR. Bytes of an
  // access inside it need no walk. known_va_page is ~0 when nothing is known.
  uint64_t known_va_page = ~uint64_t{0};
  uint64_t known_ipa_page = 0;

  // Stage-1 translation of `size` bytes at `va` that do not cross a 4 KiB page, with permission and
  // access-flag checks for the direction. An unprivileged access is checked as EL0. Alignment is
  // the caller's: emulate() knows the whole access.
  virtual Translation translate(uint64_t va, unsigned size, Direction dir, bool unprivileged) = 0;

  // The host address of `ipa` if stage 2 maps it as memory that this direction may touch, else
  // null (a device, a hole, or a write to read-only memory). Good to the end of the 4 KiB page.
  // The caller writes by atomics of the element's size and calls ram_written() afterwards.
  virtual uint8_t* ram(uint64_t ipa, Direction dir) = 0;
  virtual void ram_written(uint64_t ipa, unsigned size) = 0;

  // Every touch of what ram() returned lies between these two, and nothing else does: no device, no
  // lock. begin_ram() false: another CPU has invalidated translations since this one's were made
  // (TLBI and DSB, or a change of stage 2). Nothing may be touched then, end_ram() is not called,
  // and the outcome is kRetry.
  bool begin_ram() { return !brackets_ram || begin_ram_access(); }
  void end_ram() {
    if (brackets_ram) end_ram_access();
  }

 protected:
  bool brackets_ram = false;  // the next two do something
  virtual bool begin_ram_access() { return true; }
  virtual void end_ram_access() {}
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_CPU_VIEW_H_
