#include "vmm/trace/recorder.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <utility>

#include "decode/a64_decoder.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::trace {
namespace {

bool same_regs(const TranslationRegs& a, const TranslationRegs& b) {
  return a.sctlr == b.sctlr && a.tcr == b.tcr && a.ttbr0 == b.ttbr0 && a.ttbr1 == b.ttbr1 &&
         a.mair == b.mair && a.vttbr == b.vttbr && a.vtcr == b.vtcr && a.vmid == b.vmid &&
         a.el == b.el && a.pan == b.pan && a.regime == b.regime && a.guest_stage2 == b.guest_stage2;
}

bool is_isv0(const Exit& exit) {
  return exit.kind == ExitKind::kDataAbort && !DataAbort{exit.esr}.valid();
}

// But for Access::spare. Two words, as they were stored: nothing to wait for.
bool same_instruction(const Access& a, const Access& b) {
  uint64_t words[2][2];
  std::memcpy(words[0], &a, sizeof a);
  std::memcpy(words[1], &b, sizeof b);
  static_assert(offsetof(Access, spare) == 15 && std::endian::native == std::endian::little);
  return ((words[0][0] ^ words[1][0]) | (words[0][1] ^ words[1][1]) << 8) == 0;
}

}  // namespace

ExitRecorder::ExitRecorder(Recording& recording, unsigned index)
    : recording_(recording), index_(index) {
  recent_places_.fill(kNone);
  recent_targets_.fill(kNone);
}

void ExitRecorder::attend(Vcpu& vcpu, const ExitCounters& counters, PowerControl& power) {
  vcpu_ = &vcpu;
  counters_ = &counters;
  power_ = &power;
  vcpu.log_maintenance(&maintenance_);
}

// Room for one more event in the block, which begins with the first one.
template <typename Put>
void ExitRecorder::emit(size_t longest, Put&& put) {
  const auto used = static_cast<size_t>(out_.at() - block_.data.data());
  if (block_.data.empty() || used + longest > block_.data.size()) {
    flush();
    block_.header = BlockHeader{};
    block_.header.vcpu = index_;
    block_.header.first_exit = exits_;
    block_.header.first_start = coding_.start;
    block_.data = recording_.writer_->buffer(std::max(kBlockBytes, longest));
    out_ = Encoder(block_.data.data());
  }
  put(out_);
}

void ExitRecorder::flush() {
  if (block_.data.empty()) return;
  block_.header.raw = static_cast<uint32_t>(out_.at() - block_.data.data());
  block_.header.exits = static_cast<uint32_t>(exits_ - block_.header.first_exit);
  recording_.write(std::exchange(block_, {}));
}

bool ExitRecorder::Known::unchanged() const {
  uint64_t changes = __atomic_load_n(fetched.word_host, __ATOMIC_RELAXED) ^ fetched.word;
  for (unsigned i = 0; i < fetched.loads; ++i) {
    changes |= __atomic_load_n(fetched.desc_host[i], __ATOMIC_RELAXED) ^ fetched.desc[i];
  }
  return changes == 0;
}

void ExitRecorder::note_context(const TranslationRegs& regs) {
  for (auto at = contexts_.rbegin(); at != contexts_.rend(); ++at) {
    if (same_regs(at->first, regs)) {
      context_ = at->second;
      return;
    }
  }
  constexpr size_t kRemembered = 256;
  if (contexts_.size() >= kRemembered) contexts_.erase(contexts_.begin());
  context_ = contexts_.empty() ? 1 : contexts_.back().second + 1;
  contexts_.emplace_back(regs, context_);
  emit(128, [&](Encoder& out) {
    out.byte(static_cast<uint8_t>(Tag::kContext));
    out.varint(context_);
    write_regs(out, regs);
  });
}

uint64_t ExitRecorder::number_of(const Fetched& fetched) {
  SourceData data;
  data.word = fetched.word;
  data.loads = fetched.loads;
  data.ipa = fetched.ipa;
  for (unsigned i = 0; i < fetched.loads; ++i) {
    data.desc_ipa[i] = fetched.desc_ipa[i];
    data.desc[i] = fetched.desc[i];
  }
  constexpr size_t kRemembered = 1 << 18;
  if (numbers_.size() >= kRemembered) numbers_.clear();
  auto& same_place = numbers_[fetched.ipa];
  if (same_place.size() >= 64) same_place.clear();
  for (const auto& [known, number] : same_place) {
    if (known == data) return number;
  }
  same_place.emplace_back(data, ++sources_);
  emit(256, [&](Encoder& out) {
    out.byte(static_cast<uint8_t>(Tag::kSource));
    write_source(out, data);
  });
  return sources_;
}

// The instruction of an ISV=0 exit, as the exit path will read it or has remembered it.
void ExitRecorder::note_source(const Exit& exit) {
  if (context_ == 0) note_context(vcpu_->translation_regs());
  event_.context = context_;
  const uint64_t key = (exit.pc ^ context_ << 32) * 0x9e3779b97f4a7c15;
  const Known*& recent = recent_known_[key >> 54];
  if (recent == nullptr || recent->pc != exit.pc || recent->context != context_) {
    const auto found = known_.find(key);
    recent =
        found != known_.end() && found->second.pc == exit.pc && found->second.context == context_
            ? &found->second
            : nullptr;
  }
  if (recent == nullptr || !recent->unchanged()) [[unlikely]] {
    recent = nullptr;  // which may go
    recent = note_new_source(exit, key);
  }
  source_ = recent;
  event_.source = recent != nullptr ? recent->number : 0;
  needs_ = recent != nullptr ? recent->needs : kEverything;
}

// Null: the PC leads nowhere.
const ExitRecorder::Known* ExitRecorder::note_new_source(const Exit& exit, uint64_t key) {
  Fetched fetched = vcpu_->fetch(exit.pc);
  if (fetched.ok) {
    // Read again once it is watched: what was written in between was not heard of.
    recording_.watch(fetched.ipa);
    for (unsigned i = 0; i < fetched.loads; ++i) recording_.watch(fetched.desc_ipa[i]);
    fetched = vcpu_->fetch(exit.pc);
  }
  if (!fetched.ok) return nullptr;
  const uint64_t number = number_of(fetched);
  constexpr size_t kRemembered = 1 << 16;
  if (known_.size() >= kRemembered) forget_sources();
  Known known{exit.pc, context_, fetched, number, {}, kEverything};
  if (decode(fetched.word, known.access) == DecodeStatus::kAccess) {
    known.needs = needs_of(known.access);
  }
  return &(known_[key] = known);
}

void ExitRecorder::forget_sources() {
  known_.clear();
  recent_known_.fill(nullptr);
}

void ExitRecorder::note_place(const Exit& exit) {
  uint64_t& recent = recent_places_[exit.pc >> 2 & (kFilter - 1)];
  if (recent == exit.pc) return;
  recent = exit.pc;
  constexpr size_t kMost = 1 << 20;
  if (places_.size() >= kMost || !places_.insert(exit.pc).second) return;
  const Fetched fetched = vcpu_->fetch(exit.pc);
  if (!fetched.ok) return;
  emit(64, [&](Encoder& out) {
    out.byte(static_cast<uint8_t>(Tag::kPlace));
    out.varint(exit.pc);
    out.varint(fetched.word);
  });
}

void ExitRecorder::note_view(const CpuView& view) {
  const ViewState state = ViewState::of(view);
  if (view_known_ && state == view_state_) return;
  view_known_ = true;
  view_state_ = state;
  emit(64, [&](Encoder& out) {
    out.byte(static_cast<uint8_t>(Tag::kViewState));
    write_view_state(out, state);
  });
}

void ExitRecorder::note_written() {
  std::vector<Written> written;
  {
    std::lock_guard lock(written_mutex_);
    written.swap(written_);
    has_written_.store(false, std::memory_order_relaxed);
  }
  for (const Written& w : written) {
    emit(32, [&](Encoder& out) {
      out.byte(static_cast<uint8_t>(w.size == 0 ? Tag::kMapChanged : Tag::kWritten));
      if (w.size == 0) return;
      out.varint(w.ipa);
      out.varint(w.size);
    });
    if (w.size == 0) forget_sources();
  }
}

void ExitRecorder::note_maintenance() {
  for (const MaintenanceLog::Entry& entry : maintenance_.entries) {
    emit(32, [&](Encoder& out) {
      out.byte(static_cast<uint8_t>(Tag::kMaintenance));
      out.varint(entry.op);
      out.varint(entry.operand);
    });
  }
  if (maintenance_.lost != 0) {
    emit(16, [&](Encoder& out) {
      out.byte(static_cast<uint8_t>(Tag::kMaintenanceLost));
      out.varint(maintenance_.lost);
    });
  }
  maintenance_.entries.clear();
  maintenance_.lost = 0;
}

// View and context are what the translation registers make them, but for ACCDATA_EL1.
void ExitRecorder::note_regime(const CpuView& view) {
  const uint64_t serial = vcpu_->translation_regs().serial;
  if (serial != 0 && serial == regime_ && view.accdata == view_state_.accdata) [[likely]] {
    return;
  }
  regime_ = serial;
  context_ = 0;  // looked for when it is needed
  note_view(view);
}

CpuView& ExitRecorder::begins(const Exit& exit, CpuView& view) {
  if (has_written_.load(std::memory_order_acquire)) [[unlikely]] {
    note_written();
  }
  if (!maintenance_.entries.empty()) [[unlikely]] {
    note_maintenance();
  }
  event_.flags = 0;
  event_.accesses.clear();
  event_.source = event_.context = 0;
  stuck_before_ = counters_->stuck_aborts;
  view_.begin();
  source_ = nullptr;
  const bool abort = exit.kind == ExitKind::kDataAbort;
  if (abort) note_regime(view);
  if (is_isv0(exit)) {
    note_source(exit);
  } else {
    needs_ = needs_of(exit);
  }
  save(view);
  return abort ? view_.through(view) : view;
}

inline void ExitRecorder::save(const CpuView& view) {
  for_each_bit(needs_.registers, [&](unsigned i) { registers_[i] = view.regs->x[i]; });
  if (needs_.vectors) std::memcpy(vectors_.data(), view.v, sizeof vectors_);
  if (needs_.state) {
    rare().nzcv_before = view.nzcv;
    if (view.monitor != nullptr) rare().monitor_before = *view.monitor;
  }
}

// What the exit did have to do with. False: more than was saved, since another CPU has put another
// instruction there after begins().
bool ExitRecorder::settle_needs(const Access* access) {
  if (access == nullptr) {
    needs_ = {};
    return true;
  }
  const Needs saved = std::exchange(needs_, needs_of(*access));
  if ((needs_.registers & ~saved.registers) == 0 && needs_.vectors <= saved.vectors &&
      needs_.state <= saved.state) {
    return true;
  }
  needs_ = {};
  return false;
}

void ExitRecorder::accessed(const ExitRecord& record) {
  const Bus::Region& region = *record.region;
  const uint64_t offset = record.offset;
  event_.flags |= ExitEvent::kAccesses;
  event_.accesses.push_back(
      {region.index, record.size, record.write, record.abort, offset, record.value});
  const uint64_t target = uint64_t{region.index} << 48 | register_offset(region.size, offset);
  uint64_t& recent = recent_targets_[(offset >> 2 ^ uint64_t{region.index} * 67) & (kFilter - 1)];
  if (recent != target) {
    recent = target;
    constexpr size_t kMost = 1 << 16;
    if (targets_.size() < kMost) targets_.insert(target);
  }
}

ExitEvent::Rare& ExitRecorder::rare() {
  if (event_.rare == nullptr) event_.rare = std::make_unique<ExitEvent::Rare>();
  return *event_.rare;
}

// What an instruction only writes needs no value before, if it was written.
void ExitRecorder::note_registers(const ExitRecord& record) {
  const uint64_t* x = record.view->regs->x;
  const uint64_t results = record.answer.how == Resume::kGoOn ? needs_.results : 0;
  uint64_t before = 0, after = 0;
  for_each_bit(results, [&](unsigned i) {
    event_.after[i] = x[i];
    after |= uint64_t{x[i] != coding_.registers[i]} << i;
  });
  for_each_bit(needs_.registers & ~results, [&](unsigned i) {
    event_.before[i] = registers_[i];
    event_.after[i] = x[i];
    before |= uint64_t{registers_[i] != coding_.registers[i]} << i;
    after |= uint64_t{x[i] != registers_[i]} << i;
  });
  event_.before_mask = before;
  event_.after_mask = after;
}

void ExitRecorder::note_vectors(const ExitRecord& record) {
  const Access& access = *record.access;
  uint32_t named = 1u << access.rt;
  if (access.rt2 < 32) named |= 1u << access.rt2;
  for (unsigned i = 1; i < access.regs(); ++i) named |= 1u << (access.rt + i) % 32;
  event_.flags |= ExitEvent::kVectors;
  event_.v_before_mask = event_.v_after_mask = 0;
  for_each_bit(named, [&](unsigned i) {
    event_.v_before[i] = vectors_[i];
    event_.v_after[i] = record.view->v[i];
    if (vectors_[i] != coding_.vectors[i]) event_.v_before_mask |= 1u << i;
    if (record.view->v[i] != vectors_[i]) event_.v_after_mask |= 1u << i;
    coding_.vectors[i] = record.view->v[i];
  });
}

void ExitRecorder::note_abort(const ExitRecord& record) {
  view_.give_back();
  view_.end();
  if (needs_.vectors) note_vectors(record);
  if (needs_.state) {
    event_.flags |= ExitEvent::kState;
    rare().nzcv_after = record.view->nzcv;
    if (record.view->monitor != nullptr) rare().monitor_after = *record.view->monitor;
  }
}

void ExitRecorder::exited(const ExitRecord& record) {
  const Exit& exit = *record.exit;
  if (record.region != nullptr) accessed(record);
  const bool foreseen = source_ != nullptr && record.access != nullptr &&
                        same_instruction(*record.access, source_->access);
  if (!foreseen && is_isv0(exit) && !settle_needs(record.access)) [[unlikely]] {
    event_.flags |= ExitEvent::kOvertaken;
  }
  note_registers(record);
  event_.start = record.start;
  event_.total = record.total;
  event_.exit = exit;
  event_.answer = record.answer;
  if (record.answer.how == Resume::kFault) event_.fault = *record.fault;
  if (counters_->stuck_aborts != stuck_before_) event_.flags |= ExitEvent::kStuck;
  if (record.answer.how == Resume::kAgain && vcpu_->fetch_overtaken()) {
    event_.flags |= ExitEvent::kOvertaken;
  }
  if (exit.kind == ExitKind::kSysreg) {
    event_.value = record.value;
    if (record.answer.how == Resume::kFault) event_.flags |= ExitEvent::kUndefined;
  }
  if (exit.kind == ExitKind::kDataAbort) note_abort(record);
  note_place(exit);
  emit(longest(event_), [&](Encoder& out) { write_event(out, coding_, event_); });
  ++exits_;
}

void ExitRecorder::slept(uint64_t cycles) {
  emit(16, [&](Encoder& out) {
    out.byte(static_cast<uint8_t>(Tag::kSlept));
    out.varint(cycles);
  });
}

void ExitRecorder::memory_written(uint64_t ipa, uint64_t size) {
  std::lock_guard lock(written_mutex_);
  written_.push_back({ipa, size});
  has_written_.store(true, std::memory_order_release);
}

void ExitRecorder::map_changed() { memory_written(0, 0); }

PowerControl::Power ExitRecorder::power(unsigned cpu) {
  const Power answer = power_->power(cpu);
  Question& q = view_.question(Question::Kind::kPower);
  q.a = cpu;
  q.answer = static_cast<uint64_t>(answer);
  return answer;
}

bool ExitRecorder::cpu_on(unsigned cpu, uint64_t entry, uint64_t context) {
  const bool answer = power_->cpu_on(cpu, entry, context);
  Question& q = view_.question(Question::Kind::kCpuOn);
  q.a = cpu;
  q.b = entry;
  q.c = context;
  q.answer = answer;
  return answer;
}

bool ExitRecorder::is_guest_memory(uint64_t ipa) const {
  const bool answer = power_->is_guest_memory(ipa);
  Question& q = view_.question(Question::Kind::kIsMemory);
  q.a = ipa;
  q.answer = answer;
  return answer;
}

}  // namespace trapline::trace
