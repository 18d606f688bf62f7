#include "vmm/trace/recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "vmm/host/messages.h"
#include "vmm/vcpu/host_clock.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::trace {
namespace {

// Within some percent: a trace that is cut off has nothing better.
double ns_per_cycle() {
  constexpr uint64_t kLookNs = 2'000'000;
  const uint64_t ns = steady_ns(), cycles = host_cycles();
  while (steady_ns() - ns < kLookNs) {
  }
  return static_cast<double>(steady_ns() - ns) / static_cast<double>(host_cycles() - cycles);
}

size_t filter_slot(uint64_t ipa) { return (ipa / kPageSize * 0x9e3779b97f4a7c15) >> 48; }

bool same_regs(const TranslationRegs& a, const TranslationRegs& b) {
  return a.sctlr == b.sctlr && a.tcr == b.tcr && a.ttbr0 == b.ttbr0 && a.ttbr1 == b.ttbr1 &&
         a.mair == b.mair && a.vmid == b.vmid && a.el == b.el && a.pan == b.pan;
}

bool is_isv0(const Exit& exit) {
  return exit.kind == ExitKind::kDataAbort && !DataAbort{exit.esr}.valid();
}

constexpr uint64_t bit(unsigned slot) { return uint64_t{1} << slot; }
constexpr uint64_t general(unsigned r) { return r < 31 ? bit(r) : 0; }

// The registers that an instruction names.
uint64_t registers_of(const Access& access) {
  uint64_t mask = access.rn == kRegZr ? bit(kSlotSp) : general(access.rn);
  mask |= general(access.rm) | general(access.rs);
  if (access.vector) return mask;
  mask |= general(access.rt) | general(access.rt2);
  if (access.op == Op::kCompareAndSwap && access.count == 2) {
    mask |= general(access.rs + 1u) | general(access.rt + 1u);
  }
  if (access.op >= Op::kLoad64B && access.op <= Op::kStore64BV0) {
    for (unsigned i = 0; i < 8; ++i) mask |= general(access.rt + i);
  }
  return mask;
}

// Those that the handling of an exit reads or writes.
uint64_t registers_of(const Exit& exit, const Access* access) {
  switch (exit.kind) {
    case ExitKind::kDataAbort: {
      const DataAbort abort{exit.esr};
      if (abort.valid()) return general(abort.rt());
      return access != nullptr ? registers_of(*access) : 0;
    }
    case ExitKind::kSysreg:
      return general(exit.sysreg_rt);
    case ExitKind::kHvc:
      return 0xff;
    default:
      return 0;
  }
}

// Flags and monitor take part.
bool uses_state(const Access& access) {
  return access.op == Op::kLoadExclusive || access.op == Op::kStoreExclusive ||
         access.op >= Op::kCopyForwardProlog;
}

}  // namespace

// --- the view that notes what it is asked --------------------------------------------------------

class ExitRecorder::View final : public CpuView {
 public:
  explicit View(ExitRecorder& recorder) : recorder_(recorder) {}

  CpuView& through(CpuView& inner) {
    inner_ = &inner;
    static_cast<CpuView&>(*this) = inner;
    return *this;
  }
  // What an emulation changes beside registers.
  void give_back() { inner_->nzcv = nzcv; }
  // The bytes that were written, after the exit.
  void note_written() {
    for (const auto& [question, host] : writes_) {
      Question& q = recorder_.event_.rare->questions[question];
      q.data.assign(host, host + q.b);
    }
    writes_.clear();
    pages_.clear();
  }

  Translation translate(uint64_t va, unsigned size, Direction dir, bool unprivileged) override {
    const Translation t = inner_->translate(va, size, dir, unprivileged);
    Question& q = recorder_.question(Question::Kind::kTranslate);
    q.a = va;
    q.b = size;
    q.c = static_cast<uint64_t>(dir) | (unprivileged ? 8 : 0);
    q.answer = static_cast<uint64_t>(t.status);
    q.extra = t.device;
    q.ipa = t.ipa;
    q.fault = t.fault;
    return t;
  }
  uint8_t* ram(uint64_t ipa, Direction dir) override {
    uint8_t* host = inner_->ram(ipa, dir);
    Question& q = recorder_.question(Question::Kind::kRam);
    q.a = ipa;
    q.b = static_cast<uint64_t>(dir);
    q.answer = host != nullptr;
    if (host == nullptr) return nullptr;
    const uint8_t* page = host - ipa % kPageSize;
    q.data.assign(page, page + kPageSize);
    pages_.emplace_back(ipa / kPageSize, page);
    return host;
  }
  void ram_written(uint64_t ipa, unsigned size) override {
    inner_->ram_written(ipa, size);
    for (auto at = pages_.rbegin(); at != pages_.rend(); ++at) {
      if (at->first != ipa / kPageSize || ipa % kPageSize + size > kPageSize) continue;
      Question& q = recorder_.question(Question::Kind::kWritten);
      q.a = ipa;
      q.b = size;
      writes_.emplace_back(recorder_.event_.rare->questions.size() - 1,
                           at->second + ipa % kPageSize);
      return;
    }
  }

 private:
  bool begin_ram_access() override { return inner_->begin_ram(); }
  void end_ram_access() override { inner_->end_ram(); }

  ExitRecorder& recorder_;
  CpuView* inner_ = nullptr;
  std::vector<std::pair<uint64_t, const uint8_t*>> pages_;
  std::vector<std::pair<size_t, const uint8_t*>> writes_;
};

// --- one vCPU ------------------------------------------------------------------------------------

ExitRecorder::ExitRecorder(Recording& recording, unsigned vcpu)
    : recording_(recording), vcpu_(vcpu), view_(std::make_unique<View>(*this)) {}

ExitRecorder::~ExitRecorder() = default;

// Room for one more event in the block, which begins with the first one.
template <typename Put>
void ExitRecorder::emit(size_t longest, Put&& put) {
  const auto used = static_cast<size_t>(out_.at() - block_.data.data());
  if (block_.data.empty() || used + longest > block_.data.size()) {
    flush();
    block_.header = BlockHeader{};
    block_.header.vcpu = vcpu_;
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
  if (context_ != 0 && regs.serial != 0 && regs.serial == context_serial_) return;
  context_serial_ = regs.serial;
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
  constexpr size_t kRemembered = 1 << 20;
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
void ExitRecorder::note_source(const Exit& exit, Vcpu& vcpu) {
  note_context(vcpu.translation_regs());
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
  if (recent != nullptr && recent->unchanged()) [[likely]] {
    event_.source = recent->number;
    return;
  }
  recent = nullptr;
  note_new_source(exit, vcpu, key);
}

void ExitRecorder::note_new_source(const Exit& exit, Vcpu& vcpu, uint64_t key) {
  Fetched fetched = vcpu.fetch(exit.pc);
  if (fetched.ok) {
    // Read again once it is watched: what was written in between was not heard of.
    recording_.watch(fetched.ipa);
    for (unsigned i = 0; i < fetched.loads; ++i) recording_.watch(fetched.desc_ipa[i]);
    fetched = vcpu.fetch(exit.pc);
  }
  event_.source = 0;
  if (!fetched.ok) return;
  event_.source = number_of(fetched);
  constexpr size_t kRemembered = 1 << 16;
  if (known_.size() >= kRemembered) forget_sources();
  known_[key] = {exit.pc, context_, fetched, event_.source};
}

void ExitRecorder::forget_sources() {
  known_.clear();
  recent_known_.fill(nullptr);
}

void ExitRecorder::note_place(const Exit& exit, Vcpu& vcpu) {
  uint64_t& recent = recent_places_[exit.pc >> 2 & (kFilter - 1)];
  if (recent == exit.pc) return;
  recent = exit.pc;
  constexpr size_t kMost = 1 << 20;
  if (places_.size() >= kMost || !places_.insert(exit.pc).second) return;
  const Fetched fetched = vcpu.fetch(exit.pc);
  if (!fetched.ok) return;
  emit(64, [&](Encoder& out) {
    out.byte(static_cast<uint8_t>(Tag::kPlace));
    out.varint(exit.pc);
    out.varint(fetched.word);
  });
}

void ExitRecorder::note_view(const CpuView& view) {
  const ViewState state = ViewState::of(view);
  if (view_known_ && state == view_state_) [[likely]] {
    return;
  }
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

CpuView& ExitRecorder::begins(const Exit& exit, CpuView& view) {
  if (has_written_.load(std::memory_order_acquire)) [[unlikely]] {
    note_written();
  }
  event_.flags = 0;
  event_.accesses.clear();
  event_.source = 0;
  std::copy_n(view.regs->x, registers_.size(), registers_.begin());
  if (counters_ != nullptr) stuck_before_ = counters_->stuck_aborts;
  if (event_.rare != nullptr) event_.rare->questions.clear();
  if (exit.kind != ExitKind::kDataAbort) return view;
  note_view(view);
  if (is_isv0(exit)) std::memcpy(vectors_.data(), view.v, sizeof vectors_);
  CpuView& seen = view_->through(view);
  if (seen.monitor != nullptr && is_isv0(exit)) {
    rare().monitor_before = *seen.monitor;
    rare().nzcv_before = view.nzcv;
  }
  return seen;
}

void ExitRecorder::accessed(const ExitRecord& record) {
  const Bus::Region& region = *record.region;
  const uint64_t offset = record.offset;
  event_.flags |= ExitEvent::kAccesses;
  const uint64_t target = uint64_t{region.index} << 48 | register_offset(region.size, offset);
  uint64_t& recent = recent_targets_[(offset >> 2 ^ uint64_t{region.index} * 67) & (kFilter - 1)];
  if (recent != target) {
    recent = target;
    constexpr size_t kMost = 1 << 16;
    if (targets_.size() < kMost) targets_.insert(target);
  }
  event_.accesses.push_back(
      {region.index, record.size, record.write, record.abort, offset, record.value});
}

ExitEvent::Rare& ExitRecorder::rare() {
  if (event_.rare == nullptr) event_.rare = std::make_unique<ExitEvent::Rare>();
  return *event_.rare;
}

Question& ExitRecorder::question(Question::Kind kind) {
  event_.flags |= ExitEvent::kQuestions;
  auto& questions = rare().questions;
  questions.emplace_back();
  questions.back().kind = kind;
  return questions.back();
}

void ExitRecorder::note_registers(const ExitRecord& record) {
  const uint64_t* x = record.view->regs->x;
  event_.before_mask = event_.after_mask = 0;
  for_each_bit(registers_of(*record.exit, record.access), [&](unsigned i) {
    event_.before[i] = registers_[i];
    event_.after[i] = x[i];
    if (registers_[i] != coding_.registers[i]) event_.before_mask |= bit(i);
    if (x[i] != registers_[i]) event_.after_mask |= bit(i);
  });
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

void ExitRecorder::exited(const ExitRecord& record) {
  const Exit& exit = *record.exit;
  note_registers(record);
  event_.start = record.start;
  event_.total = record.total;
  event_.exit = exit;
  event_.answer = record.answer;
  if (record.answer.how == Resume::kFault) event_.fault = *record.fault;
  if (counters_ != nullptr && counters_->stuck_aborts != stuck_before_) {
    event_.flags |= ExitEvent::kStuck;
  }
  if (record.answer.how == Resume::kAgain && record.vcpu->fetch_overtaken()) {
    event_.flags |= ExitEvent::kOvertaken;
  }
  if (exit.kind == ExitKind::kSysreg) {
    event_.value = record.value;
    if (record.answer.how == Resume::kFault) event_.flags |= ExitEvent::kUndefined;
  }
  if (exit.kind == ExitKind::kDataAbort) {
    view_->give_back();
    if (is_isv0(exit) && record.access != nullptr) {
      if (record.access->vector) note_vectors(record);
      if (uses_state(*record.access)) {
        event_.flags |= ExitEvent::kState;
        rare().nzcv_after = record.view->nzcv;
        if (record.view->monitor != nullptr) rare().monitor_after = *record.view->monitor;
      }
    }
    if ((event_.flags & ExitEvent::kQuestions) != 0) view_->note_written();
    if (is_isv0(exit)) note_source(exit, *record.vcpu);
  }
  note_place(exit, *record.vcpu);
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
  Question& q = question(Question::Kind::kPower);
  q.a = cpu;
  q.answer = static_cast<uint64_t>(answer);
  return answer;
}

bool ExitRecorder::cpu_on(unsigned cpu, uint64_t entry, uint64_t context) {
  const bool answer = power_->cpu_on(cpu, entry, context);
  Question& q = question(Question::Kind::kCpuOn);
  q.a = cpu;
  q.b = entry;
  q.c = context;
  q.answer = answer;
  return answer;
}

bool ExitRecorder::is_guest_memory(uint64_t ipa) const {
  const bool answer = power_->is_guest_memory(ipa);
  Question& q = const_cast<ExitRecorder*>(this)->question(Question::Kind::kIsMemory);
  q.a = ipa;
  q.answer = answer;
  return answer;
}

// --- the machine ---------------------------------------------------------------------------------

Result<std::unique_ptr<Recording>> Recording::create(const std::string& path, const Setup& setup) {
  auto writer = BlockWriter::create(path);
  if (!writer) return Error{writer.error()};
  std::unique_ptr<Recording> recording(new Recording);
  recording->backend_ = setup.backend;
  recording->writer_ = std::move(*writer);
  for (unsigned i = 0; i < setup.cpus; ++i) {
    recording->vcpus_.push_back(std::make_unique<ExitRecorder>(*recording, i));
  }
  nlohmann::json regions = nlohmann::json::array();
  for (const Bus::Region& region : setup.bus->regions()) {
    regions.push_back({{"base", region.base},
                       {"size", region.size},
                       {"device_offset", region.device_offset},
                       {"device", std::string(region.device->name())}});
  }
  const nlohmann::json configuration{{"version", kVersion},
                                     {"cpus", setup.cpus},
                                     {"icount", setup.icount},
                                     {"icache", setup.icache},
                                     {"decoder", setup.decoder},
                                     {"isv", setup.isv},
                                     {"backend", setup.backend->name()},
                                     {"ns_per_cycle", ns_per_cycle()},
                                     {"regions", regions}};
  recording->writer_->write(BlockType::kConfiguration, configuration.dump());
  return recording;
}

void Recording::write(Block block) {
  writer_->write(std::move(block));
  if (writer_->failed() && !told_.exchange(true)) {
    message(fmt::format("trapline: --record {}; the guest goes on\n", writer_->error()));
  }
}

void Recording::watch(uint64_t ipa) {
  std::atomic<uint8_t>& slot = filter_[filter_slot(ipa)];
  if (slot.load(std::memory_order_relaxed) == 0) slot.store(1, std::memory_order_relaxed);
  backend_->watch(ipa & ~(kPageSize - 1));
}

void Recording::memory_written(uint64_t ipa, uint64_t size) {
  bool watched = false;
  // A large piece at once: told without a look at each of its pages.
  constexpr uint64_t kFewPages = 64;
  if (size / kPageSize > kFewPages) watched = true;
  for (uint64_t page = ipa & ~(kPageSize - 1); !watched && page < ipa + size; page += kPageSize) {
    watched = filter_[filter_slot(page)].load(std::memory_order_relaxed) != 0;
  }
  if (!watched) return;
  for (const auto& vcpu : vcpus_) vcpu->memory_written(ipa, size);
}

void Recording::map_changed() {
  for (const auto& vcpu : vcpus_) vcpu->map_changed();
}

std::string Recording::finish(const std::string& names) {
  for (const auto& vcpu : vcpus_) vcpu->flush();
  writer_->write(BlockType::kNames, names);
  return writer_->finish();
}

}  // namespace trapline::trace
