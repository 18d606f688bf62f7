#include "vmm/kvm/kvm_vcpu.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "mmio/named_registers.h"
#include "vmm/host/messages.h"
#include "vmm/kvm/uapi/exits.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::kvm {
namespace {

int kick_signal() { return SIGRTMIN; }

void on_kick(int /*signal*/) {}

// ESR_EL2 of a data abort that KVM has described by its address, size and direction.
constexpr uint64_t kDataAbortLower = uint64_t{0x24} << 26 | 1 << 25;  // EC, IL
uint64_t described_abort(unsigned size_log2, bool write) {
  return kDataAbortLower | iss::kIsv | uint64_t{size_log2} << 22 | (size_log2 == 3 ? iss::kSf : 0) |
         (write ? iss::kWnr : 0) | (kFscTranslation | 3);
}

constexpr uint64_t kAllGeneral = ((uint64_t{1} << 31) - 1) | uint64_t{1} << kSlotSp;

}  // namespace

void install_kick_signal() {
  struct sigaction action {};
  action.sa_handler = on_kick;  // no SA_RESTART: KVM_RUN ends with EINTR
  sigaction(kick_signal(), &action, nullptr);
}

KvmVcpu::KvmVcpu(Shared& shared, unsigned index, File fd, kvm_run* run)
    : shared_(shared),
      index_(index),
      fd_(std::move(fd)),
      kernel_exits_(fd_),
      run_(run),
      view_(shared.memory, shared.stage2, *this) {
  view_.regs = &general_;
  view_.v = vectors_;
  view_.vcpu = index;
  view_.monitor = &monitor_;
  uint64_t dczid;
  asm("mrs %0, dczid_el0" : "=r"(dczid));
  view_.zero_block_log2 = static_cast<unsigned>(dczid & 15) + 2;
}

KvmVcpu::~KvmVcpu() { munmap(run_, shared_.run_bytes); }

// --- running -------------------------------------------------------------------------------------

void KvmVcpu::kick() {
  kicked_.store(true, std::memory_order_seq_cst);
  leave_kvm();
}

// Whoever is about to enter sees immediate_exit; whoever is inside gets the signal.
void KvmVcpu::leave_kvm() {
  std::atomic_ref<uint8_t>(run_->immediate_exit).store(1, std::memory_order_seq_cst);
  if (inside()) syscall(SYS_tgkill, getpid(), thread_.load(), kick_signal());
}

bool KvmVcpu::enter() {
  forget();
  if (!shared_.gate.enter(inside_)) {
    shared_.gate.wait();
    errno = EINTR;
    return false;
  }
  const int result = ioctl(fd_.fd(), KVM_RUN, 0);
  const int reason = errno;
  shared_.gate.leave(inside_);
  ++counts_.runs;
  unfinished_ = false;
  errno = reason;
  return result == 0;
}

void KvmVcpu::complete() {
  if (!unfinished_) return;
  std::atomic_ref<uint8_t>(run_->immediate_exit).store(1, std::memory_order_seq_cst);
  ioctl(fd_.fd(), KVM_RUN, 0);
  unfinished_ = false;
  forget();
}

void KvmVcpu::run(uint64_t /*budget*/, ExitSink& sink) {
  thread_ = static_cast<pid_t>(syscall(SYS_gettid));
  if (stopped_at_ != kNowhere) begin_past();
  Next next = Next::kRun;
  while (next == Next::kRun) {
    std::atomic_ref<uint8_t>(run_->immediate_exit).store(0, std::memory_order_seq_cst);
    if (kicked_.exchange(false, std::memory_order_seq_cst)) {
      next = event(sink, ExitKind::kKicked);
    } else if (enter()) {
      next = handle(sink);
    } else if (errno == EINTR || errno == EAGAIN) {
      ++counts_.interrupted;
    } else if (errno == ENOSYS) {
      refuse_undescribed();
    } else {
      next = fail(sink, "KVM_RUN", static_cast<uint64_t>(errno));
    }
  }
  complete();
}

KvmVcpu::Next KvmVcpu::handle(ExitSink& sink) {
  switch (run_->exit_reason) {
    case KVM_EXIT_MMIO:
      return mmio(sink);
    case KVM_EXIT_ARM_NISV:
    case kExitArmLdst64b:
      return nisv(sink);
    case KVM_EXIT_DEBUG:
      return debug(sink);
    case KVM_EXIT_INTR:
      return Next::kRun;
    case KVM_EXIT_SYSTEM_EVENT:
      switch (run_->system_event.type) {
        case KVM_SYSTEM_EVENT_SHUTDOWN:
          return event(sink, ExitKind::kShutdown);
        case KVM_SYSTEM_EVENT_RESET:
          return event(sink, ExitKind::kReset);
        default:
          return fail(sink, "system event", run_->system_event.type);
      }
    case KVM_EXIT_FAIL_ENTRY:
      return fail(sink, "KVM_EXIT_FAIL_ENTRY", run_->fail_entry.hardware_entry_failure_reason);
    case KVM_EXIT_INTERNAL_ERROR:
      return fail(sink, "KVM_EXIT_INTERNAL_ERROR", run_->internal.suberror);
    default:
      return fail(sink, "exit reason", run_->exit_reason);
  }
}

KvmVcpu::Next KvmVcpu::event(ExitSink& sink, ExitKind kind) {
  Exit exit;
  exit.kind = kind;
  exit.vcpu = static_cast<uint8_t>(index_);
  if (kind != ExitKind::kKicked) exit.pc = pc();
  sink.handle(exit, view_);
  return Next::kLeave;
}

KvmVcpu::Next KvmVcpu::fail(ExitSink& sink, const char* what, uint64_t detail) {
  message(
      fmt::format("trapline: vcpu {}: KVM: {} {:#x} at pc {:#x}\n", index_, what, detail, pc()));
  return event(sink, ExitKind::kFailed);
}

// An access of one general register: KVM has the syndrome, does what the register needs, and steps
// over the instruction, all at the next KVM_RUN. The register that we show is X0, whichever it is.
KvmVcpu::Next KvmVcpu::mmio(ExitSink& sink) {
  ++counts_.mmio;
  auto& access = run_->mmio;
  const bool write = access.is_write != 0;
  unfinished_ = true;
  uint64_t& value = general_.x[0];
  value = 0;
  if (write) std::memcpy(&value, access.data, sizeof access.data);
  view_.describe_mmio();

  Exit exit;
  exit.kind = ExitKind::kDataAbort;
  exit.vcpu = static_cast<uint8_t>(index_);
  exit.esr = described_abort(static_cast<unsigned>(std::countr_zero(access.len)), write);
  exit.ipa = access.phys_addr;
  Answer answer{Resume::kWhole};
  if (sink.wants == ExitSink::Wants::kNothing && (access.phys_addr & (access.len - 1)) == 0) {
    exit.brief = true;
    answer = sink.handle(exit, view_);
  }
  if (answer.how == Resume::kWhole) {
    exit.brief = false;
    exit.valid_mask = Exit::kEsr | Exit::kIpa;
    exit.pc = pc();
    answer = sink.handle(exit, view_);
  }
  if (answer.how == Resume::kFault) {
    deliver(sink.fault, true);
  } else if (!write) {
    std::memcpy(access.data, &value, sizeof access.data);
  }
  return after(answer, sink);
}

KvmVcpu::Next KvmVcpu::after(Answer answer, ExitSink& sink) {
  if (answer.how == Resume::kLeave || answer.then_leave) return Next::kLeave;
  const bool executed = answer.how == Resume::kGoOn || answer.how == Resume::kFault;
  return armed_ && executed ? stepped(sink) : Next::kRun;
}

// An access that the hardware does not describe: KVM gives IPA, WnR and DFSC, and what the
// instruction is we find out.
KvmVcpu::Next KvmVcpu::nisv(ExitSink& sink) {
  const uint64_t before = ioctls_;
  Exit exit;
  exit.kind = ExitKind::kDataAbort;
  exit.vcpu = static_cast<uint8_t>(index_);
  exit.valid_mask = Exit::kEsr | Exit::kIpa;
  exit.esr = kDataAbortLower | (run_->arm_nisv.esr_iss & (iss::kWnr | 0x3f));
  exit.ipa = run_->arm_nisv.fault_ipa;
  exit.pc = pc();
  half_only_ = sink.wants != ExitSink::Wants::kAll;
  view_.describe(translation_regs(), pstate(), exit.pc);
  if (!half_only_) {
    bring_general(kAllGeneral);
    bring_vectors(~0u);
  }
  monitor_.valid = false;
  Answer answer = sink.handle(exit, view_);
  uint64_t next = answer.how == Resume::kGoOn ? exit.pc + 4 : exit.pc;
  if (answer.how == Resume::kGoOn && monitor_.valid) {
    bring_general(kAllGeneral);
    view_.pc = next;
    answer = sink.finish_exclusive(exit, view_);
    next = view_.pc;
  }
  half_only_ = false;
  if (answer.how == Resume::kFault && next == exit.pc) {
    deliver(sink.fault, false);
  } else if (answer.how != Resume::kLeave) {
    write_back();
    if (next != exit.pc) go_to(next);
    if (answer.how == Resume::kFault) write_exception(sink.fault, next);
  }
  ++counts_.nisv[walked_];
  counts_.nisv_ioctls[walked_] += ioctls_ - before;
  return after(answer, sink);
}

// --- registers of an exit ------------------------------------------------------------------------

uint64_t KvmVcpu::get(uint64_t id) {
  uint64_t value = 0;
  kvm_one_reg reg{id, reinterpret_cast<uint64_t>(&value)};
  ++ioctls_;
  fd_.call(KVM_GET_ONE_REG, &reg);
  return value;
}

void KvmVcpu::set(uint64_t id, uint64_t value) {
  kvm_one_reg reg{id, reinterpret_cast<uint64_t>(&value)};
  ++ioctls_;
  fd_.call(KVM_SET_ONE_REG, &reg);
}

void KvmVcpu::forget() {
  pc_known_ = pstate_known_ = mmu_known_ = hcr_known_ = base_known_[0] = base_known_[1] = false;
  brought_ = results_ = 0;
  v_brought_ = v_results_ = 0;
  walked_ = false;
}

uint64_t KvmVcpu::pc() {
  if (!pc_known_) pc_ = get(kPc);
  pc_known_ = true;
  return pc_;
}

uint64_t KvmVcpu::pstate() {
  if (!pstate_known_) pstate_ = get(kPstate);
  pstate_known_ = true;
  return pstate_;
}

uint64_t KvmVcpu::hcr() {
  if (shared_.el2 && !hcr_known_) hcr_ = get(kHcrEl2);
  hcr_known_ = true;
  return hcr_;
}

uint64_t KvmVcpu::sp_id() {
  if ((pstate() & pstate::kSpSel) == 0) return kSpEl0;
  return pstate::el(pstate()) == 2 ? kSpEl2 : kSpEl1;
}

void KvmVcpu::bring_general(uint64_t mask) {
  for (mask &= ~brought_; mask != 0; mask &= mask - 1) {
    const auto slot = static_cast<unsigned>(std::countr_zero(mask));
    general_.x[slot] = before_.x[slot] = get(slot_id(slot));
    brought_ |= uint64_t{1} << slot;
  }
}

void KvmVcpu::bring_vectors(uint32_t mask) {
  for (mask &= ~v_brought_; mask != 0; mask &= mask - 1) {
    const auto n = static_cast<unsigned>(std::countr_zero(mask));
    vectors_[n] = v_before_[n] = get_vector(n);
    v_brought_ |= 1u << n;
  }
}

// What an instruction only writes is not fetched.
void KvmVcpu::bring(const Access& access) {
  const NamedRegisters named = named_registers(access);
  bring_general(named.general & ~named.general_results);
  bring_vectors(named.vectors & ~named.vector_results);
  results_ = named.general_results;
  v_results_ = named.vector_results;
}

void KvmVcpu::write_back() {
  for (uint64_t mask = brought_ | results_; mask != 0; mask &= mask - 1) {
    const auto slot = static_cast<unsigned>(std::countr_zero(mask));
    if ((results_ >> slot & 1) != 0 || general_.x[slot] != before_.x[slot]) {
      set(slot_id(slot), general_.x[slot]);
    }
  }
  for (uint32_t mask = v_brought_ | v_results_; mask != 0; mask &= mask - 1) {
    const auto n = static_cast<unsigned>(std::countr_zero(mask));
    if ((v_results_ >> n & 1) != 0 || vectors_[n] != v_before_[n]) set_vector(n, vectors_[n]);
  }
  const uint64_t flags = (pstate() & ~pstate::kNzcv) | view_.nzcv;
  if (flags != pstate_) set(kPstate, pstate_ = flags);
}

// As the hardware steps over instructions.
void KvmVcpu::go_to(uint64_t next) {
  set(kPc, pc_ = next);
  if ((pstate() & pstate::kOfOneInstruction) != 0) {
    set(kPstate, pstate_ &= ~pstate::kOfOneInstruction);
  }
}

}  // namespace trapline::kvm
