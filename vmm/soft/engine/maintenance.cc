// TLB and instruction-cache maintenance across CPUs. A request goes into the queue of every other
// CPU; the issuer's DSB waits until each has either served it or is outside engine_run(), where it
// uses nothing that is cached and which it re-enters only through its queue. A CPU that waits
// serves its own queue meanwhile, so two that wait for each other both get on.
//
// A CPU that deals with an exit inside engine_run() (Presence::kDevice) comes back millions of
// times a second and is waited for seldom. So the one that waits pays for the fence between "I am
// back" and the look at the attention word: membarrier(2) makes every running thread of the process
// pass one. If the CPU was still away afterwards, it will see the request.
//
// Order. Two threads, the issuer and the target ("sc": seq_cst; S: the one order of all sc
// operations and fences, [atomics.order]):
//
//   issuer, enqueue(), served()        target, entering
//   A1 attention.fetch_or(kMaint), sc  P1 presence.store(kGuest)
//   A2 presence.load(), sc             P2 fence, sc
//                                      P3 attention.load(), relaxed
//
// At least one sees the other. Were A2 to miss P1 and P3 to miss A1: A2 is coherence-ordered before
// P1, which comes before P2, so A2 < P2 in S; P3 is coherence-ordered before A1 and after P2, so
// P2 < A1 in S; and A1 < A2 by program order: a circle. The fence is what makes it so: with an sc
// store at P1 and no fence, P3 is in no order with P1 (an arm64 host may do LDR before STLR; x86
// does the store by XCHG, and hides it).
//
//   - enter_guest() is P1 and P2; whoever calls it reads the attention word next. If the issuer saw
//     the CPU away, then P3 sees the request: the acquire in maintenance_drain() (a mutex) makes
//     all that the issuer did before it, its page-table stores first, visible to every later walk.
//   - come_back() has a compiler barrier for P2, once registered for membarrier(2), which has every
//     running thread of the process pass a full barrier B between the call's begin and its end (one
//     that does not run passed one when it was switched out). If B falls before P3 in the target,
//     P3 sees A1, which came before the call. If after it, P1 is visible to the issuer's load after
//     the call, which then waits. A failed call orders nothing: served() says "not yet".
//   - Leaving is a release, A2 an acquire, as is its load of `done`: what the CPU did with an old
//     translation happens before what the issuer does after its DSB.
//   - The relaxed look at the attention word when a block is entered may come late, never too
//     late: until `done` says otherwise, the issuer waits.
//   - An emulation outside blocks walks the tables itself and is not waited for, since device code
//     may take its time; so it brackets each touch of RAM: SoftView::begin_ram().
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "vmm/soft/engine/engine_state.h"
#include "vmm/soft/machine.h"

namespace trapline::soft {
namespace {

constexpr size_t kQueueLimit = 512;  // beyond it: everything at once

void perform(EngineState& e, const Maintenance& work) {
  switch (work.kind) {
    case Maintenance::kTlbAll:
      tlb_flush_all(e);
      return;
    case Maintenance::kTlbWorld:
      tlb_flush_world(e, work.target);
      return;
    case Maintenance::kTlbAsid:
      tlb_flush_asid(e, work.target, static_cast<uint16_t>(work.a));
      return;
    case Maintenance::kTlbVa:
      tlb_flush_va(e, work.target, work.a);
      return;
    case Maintenance::kTlbIpa:
      tlb_flush_ipa(e, work.a, work.b);
      return;
    case Maintenance::kDemote:
      tlb_demote(e, reinterpret_cast<const uint8_t*>(work.a));
      return;
    case Maintenance::kDemoteTracked:
      tlb_demote_tracked(e, *reinterpret_cast<const GuestMemory*>(work.a));
      return;
    case Maintenance::kCodePage:
      blocks_drop_page(e, reinterpret_cast<const uint8_t*>(work.a));
      return;
    case Maintenance::kCodeLine:
      blocks_drop_line(e, reinterpret_cast<const uint8_t*>(work.a));
      return;
    case Maintenance::kCodeAll:
      blocks_flush(e);
      e.context_dirty = true;  // nor may the block that runs go on: its memory is free
      return;
  }
}

// The number that the target's `done` reaches when the request was served.
uint64_t enqueue(Cpu& target, const Maintenance& request) {
  EngineState& e = *target.engine;
  uint64_t ticket;
  {
    std::lock_guard lock(e.queue_mutex);
    if (e.queue.size() >= kQueueLimit) {
      e.queue.clear();
      e.queue.push_back({Maintenance::kTlbAll});  // and with them the write tags
      e.queue.push_back({Maintenance::kCodeAll});
    } else {
      e.queue.push_back(request);
    }
    ticket = e.queued.fetch_add(1, std::memory_order_relaxed) + 1;
  }
  target.attention.fetch_or(Cpu::kMaintenance, std::memory_order_seq_cst);
  return ticket;
}

// False on a kernel without it.
bool register_process_barrier() {
  return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

// False: it was not passed. Once registered the expedited call fails only for want of memory, and
// then the slow one serves: it needs none, and waits for every CPU of the host to be switched.
bool process_barrier() {
  return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0 ||
         syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0;
}

}  // namespace

const bool has_process_barrier = register_process_barrier();

namespace {

// `fenced`: whether the barrier has been passed since the request was queued.
bool served(const EngineState& e, uint64_t ticket, bool& fenced) {
  if (e.done.load(std::memory_order_seq_cst) >= ticket) return true;
  Presence presence = e.presence.load(std::memory_order_seq_cst);
  if (presence == Presence::kDevice && has_process_barrier && !fenced) {
    fenced = process_barrier();
    if (!fenced) return false;  // the caller asks again; meanwhile the CPU may come back by itself
    presence = e.presence.load(std::memory_order_seq_cst);
  }
  return presence != Presence::kGuest;
}

void wait_for(SharedState& shared, Cpu* issuer, const std::vector<uint64_t>& tickets) {
  bool fenced = false;
  for (size_t i = 0; i < tickets.size() && i < shared.cpus.size(); ++i) {
    Cpu* other = shared.cpus[i];
    if (other == issuer) continue;
    for (unsigned spins = 0; !served(*other->engine, tickets[i], fenced); ++spins) {
      // Nobody waits for an issuer that is at a device, or between two engine_run(): then the
      // queue stays as it is, for what is being emulated was translated before it.
      if (issuer != nullptr &&
          issuer->engine->presence.load(std::memory_order_relaxed) == Presence::kGuest &&
          (issuer->attention.load(std::memory_order_relaxed) & Cpu::kMaintenance) != 0) {
        maintenance_drain(*issuer, *issuer->engine);
      }
      if (spins > 64) std::this_thread::yield();
    }
  }
}

// Also on the issuer; complete on return.
void everywhere(SharedState& shared, Cpu* issuer, const Maintenance& request) {
  std::vector<uint64_t> tickets(shared.cpus.size(), 0);
  for (size_t i = 0; i < shared.cpus.size(); ++i) {
    if (shared.cpus[i] == issuer) {
      perform(*issuer->engine, request);
    } else {
      tickets[i] = enqueue(*shared.cpus[i], request);
    }
  }
  wait_for(shared, issuer, tickets);
}

}  // namespace

void maintenance_drain(Cpu& cpu, EngineState& e) {
  cpu.attention.fetch_and(~uint32_t{Cpu::kMaintenance}, std::memory_order_seq_cst);
  uint64_t upto;
  {
    std::lock_guard lock(e.queue_mutex);
    e.draining.swap(e.queue);
    upto = e.queued.load(std::memory_order_relaxed);
  }
  e.stats.maintenance_requests += e.draining.size();
  for (const Maintenance& work : e.draining) perform(e, work);
  e.draining.clear();
  e.done.store(upto, std::memory_order_seq_cst);
}

void maintenance_broadcast(SharedState& shared, Cpu* issuer, const Maintenance& request) {
  for (size_t i = 0; i < shared.cpus.size(); ++i) {
    Cpu* other = shared.cpus[i];
    if (other == issuer) continue;
    const uint64_t ticket = enqueue(*other, request);
    if (issuer == nullptr) continue;
    EngineState& e = *issuer->engine;
    e.tickets.resize(shared.cpus.size(), 0);
    e.tickets[i] = ticket;
    e.broadcast_pending = true;
  }
}

void maintenance_wait(Cpu& cpu, EngineState& e) {
  wait_for(*cpu.shared, &cpu, e.tickets);
  e.broadcast_pending = false;
}

// --- the seams of cpu.h --------------------------------------------------------------------------

void tlb_invalidate(Cpu& cpu, TlbiTarget target, TlbiScope scope, uint64_t va, uint16_t asid,
                    bool broadcast) {
  Maintenance request{Maintenance::kTlbWorld};
  switch (scope) {
    case TlbiScope::kAll:
      break;
    case TlbiScope::kAsid:
      request = {Maintenance::kTlbAsid, asid};
      break;
    case TlbiScope::kVa:
    case TlbiScope::kVaAllAsid:  // entries of one page are dropped whatever their ASID
      request = {Maintenance::kTlbVa, va};
      break;
  }
  request.target = target;
  perform(*cpu.engine, request);
  if (broadcast) maintenance_broadcast(*cpu.shared, &cpu, request);
}

void icache_invalidate_line(Cpu& cpu, const uint8_t* host_line, bool broadcast) {
  // No CPU holds instructions of a page without the flag, or else each has been told to drop them
  // before its next block. The issuer's stores come first: see mark_code_page().
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::atomic<uint8_t>* flags = flags_of_host(*cpu.memory, host_line);
  if (flags != nullptr && (flags->load(std::memory_order_seq_cst) & GuestMemory::kHasCode) == 0 &&
      cpu.shared->code_pages_leaving.load(std::memory_order_seq_cst) == 0) {
    return;
  }
  const Maintenance request{Maintenance::kCodeLine, reinterpret_cast<uint64_t>(host_line)};
  perform(*cpu.engine, request);
  if (broadcast) maintenance_broadcast(*cpu.shared, &cpu, request);
}

void icache_invalidate_all(Cpu& cpu, bool broadcast) {
  perform(*cpu.engine, {Maintenance::kCodeAll});
  if (broadcast) maintenance_broadcast(*cpu.shared, &cpu, {Maintenance::kCodeAll});
}

void tlb_invalidate_ipa(SharedState& shared, Cpu* issuer, uint64_t ipa, uint64_t size) {
  everywhere(shared, issuer, {Maintenance::kTlbIpa, ipa, size});
}

void tlb_demote_writes(SharedState& shared, Cpu* issuer, uint64_t ipa_page) {
  const uint8_t* host = shared.memory.host(ipa_page & ~kPageMask, kPageSize);
  if (host == nullptr) return;
  everywhere(shared, issuer, {Maintenance::kDemote, reinterpret_cast<uint64_t>(host)});
}

void tlb_demote_tracked_writes(SharedState& shared) {
  everywhere(shared, nullptr,
             {Maintenance::kDemoteTracked, reinterpret_cast<uint64_t>(&shared.memory)});
}

void engine_context_changed(Cpu& cpu) { cpu.engine->context_dirty = true; }

void SharedState::memory_written(uint64_t ipa, uint64_t size) {
  const uint64_t end = ipa + size;
  for (uint64_t page = ipa & ~kPageMask; page < end; page += kPageSize) {
    std::atomic<uint8_t>* flags = memory.page_flags(page);
    if (flags == nullptr || (flags->load(std::memory_order_seq_cst) & GuestMemory::kHasCode) == 0) {
      continue;
    }
    // The flag goes first, since a CPU that has dropped the page may build of it again at once. An
    // IC IVAU that misses the flag sees the count, or comes after the requests: in the one order of
    // these operations the count rises before the flag goes, and falls after the last request. A
    // CPU that then hears of the IC's completion finds the request at its next block.
    code_pages_leaving.fetch_add(1, std::memory_order_seq_cst);
    flags->fetch_and(static_cast<uint8_t>(~GuestMemory::kHasCode), std::memory_order_seq_cst);
    const auto host = reinterpret_cast<uint64_t>(memory.host(page, kPageSize));
    for (Cpu* cpu : cpus) enqueue(*cpu, {Maintenance::kCodePage, host});
    code_pages_leaving.fetch_sub(1, std::memory_order_seq_cst);
  }
}

}  // namespace trapline::soft
