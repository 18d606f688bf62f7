#include "vmm/trace/replay_cpu.h"

#include <fmt/format.h>

#include <cstring>

namespace trapline::trace {
namespace {

bool same_access(const DeviceAccess& a, uint16_t region, uint64_t offset, unsigned size,
                 bool write) {
  return a.region == region && a.offset == offset && a.size == size && a.write == write;
}

}  // namespace

// --- the script ----------------------------------------------------------------------------------

void Script::begin(const ExitEvent& event) {
  event_ = &event;
  accesses_ = questions_ = 0;
  refused_ = false;
  complaint_.clear();
}

void Script::complain(const std::string& what) {
  if (complaint_.empty()) complaint_ = what;
}

const DeviceAccess* Script::access(uint16_t region, uint64_t offset, unsigned size, bool write,
                                   uint64_t value) {
  const auto& all = event_->accesses;
  const auto text = [&] {
    return fmt::format("{} of {} bytes at region {} +{:#x}", write ? "write" : "read", size, region,
                       offset);
  };
  if (accesses_ == all.size()) {
    complain("an access that was not recorded: " + text());
    return nullptr;
  }
  const DeviceAccess& expected = all[accesses_++];
  if (!same_access(expected, region, offset, size, write)) {
    complain(fmt::format("recorded a {} of {} bytes at region {} +{:#x}, replayed a {}",
                         expected.write ? "write" : "read", expected.size, expected.region,
                         expected.offset, text()));
    return nullptr;
  }
  if (write && value != expected.value) {
    complain(fmt::format("{}: recorded {:#x}, replayed {:#x}", text(), expected.value, value));
  }
  return &expected;
}

bool Script::accepts(uint16_t region, uint64_t offset, unsigned size) {
  for (size_t i = accesses_; i < event_->accesses.size(); ++i) {
    const DeviceAccess& access = event_->accesses[i];
    if (access.abort && access.region == region && access.offset == offset && access.size == size) {
      refused_ = true;
      return false;
    }
  }
  return true;
}

const Question* Script::question(Question::Kind kind, uint64_t a) {
  if ((event_->flags & ExitEvent::kQuestions) != 0 && questions_ < event_->rare->questions.size()) {
    const Question& next = event_->rare->questions[questions_++];
    if (next.kind == kind && next.a == a) return &next;
  }
  complain(fmt::format("asks the CPU what was not recorded (question {}, of {:#x})",
                       static_cast<int>(kind), a));
  return nullptr;
}

std::string Script::end() {
  if (refused_ && accesses_ < event_->accesses.size() && event_->accesses[accesses_].abort) {
    ++accesses_;
  }
  if (accesses_ != event_->accesses.size()) {
    complain(fmt::format("{} of {} recorded accesses of devices were replayed", accesses_,
                         event_->accesses.size()));
  }
  if ((event_->flags & ExitEvent::kQuestions) != 0 &&
      questions_ != event_->rare->questions.size()) {
    complain("asks the CPU less than was recorded");
  }
  return complaint_;
}

// --- devices and machine -------------------------------------------------------------------------

MmioResult ReplayDevice::read(uint64_t offset, unsigned size, unsigned /*vcpu*/) {
  const DeviceAccess* access = script_->access(region_, offset, size, false, 0);
  return access == nullptr ? MmioResult{} : MmioResult{access->value, access->abort};
}

MmioResult ReplayDevice::write(uint64_t offset, unsigned size, uint64_t value, unsigned /*vcpu*/) {
  const DeviceAccess* access = script_->access(region_, offset, size, true, value);
  return {0, access != nullptr && access->abort};
}

bool ReplaySysregs::sysreg_read(SysregId /*id*/, unsigned /*vcpu*/, uint64_t& value) {
  value = script_->event().value;
  return (script_->event().flags & ExitEvent::kUndefined) == 0;
}

bool ReplaySysregs::sysreg_write(SysregId /*id*/, unsigned /*vcpu*/, uint64_t value) {
  if (value != script_->event().value) {
    script_->complain(fmt::format("writes {:#x}, recorded {:#x}", value, script_->event().value));
  }
  return (script_->event().flags & ExitEvent::kUndefined) == 0;
}

PowerControl::Power ReplayPower::power(unsigned cpu) {
  const Question* q = script_->question(Question::Kind::kPower, cpu);
  return q == nullptr ? Power::kOff : static_cast<Power>(q->answer & 3);
}

bool ReplayPower::cpu_on(unsigned cpu, uint64_t entry, uint64_t context) {
  const Question* q = script_->question(Question::Kind::kCpuOn, cpu);
  if (q == nullptr) return false;
  if (q->b != entry || q->c != context) script_->complain("CPU_ON of another entry or context");
  return q->answer != 0;
}

bool ReplayPower::is_guest_memory(uint64_t ipa) const {
  const Question* q = script_->question(Question::Kind::kIsMemory, ipa);
  return q != nullptr && q->answer != 0;
}

// --- memory --------------------------------------------------------------------------------------

uint8_t* SourceMemory::at(uint64_t ipa) {
  auto& page = pages_[ipa / kPageSize];
  if (page == nullptr) page = std::make_unique<std::array<uint8_t, kPageSize>>();
  return page->data() + ipa % kPageSize;
}

void SourceMemory::apply(const SourceData& source, uint32_t word) {
  *reinterpret_cast<uint32_t*>(at(source.ipa & ~uint64_t{3})) = word;
  for (unsigned i = 0; i < source.loads; ++i) {
    *reinterpret_cast<uint64_t*>(at(source.desc_ipa[i] & ~uint64_t{7})) = source.desc[i];
  }
}

void ReplayView::begin() {
  pages_.clear();
  pc = script_->event().exit.pc;
  known_va_page = ~uint64_t{0};
}

Translation ReplayView::translate(uint64_t va, unsigned size, Direction dir, bool unprivileged) {
  const Question* q = script_->question(Question::Kind::kTranslate, va);
  if (q == nullptr) return {Translation::Status::kRetry, false, 0, {}};
  if (q->b != size || q->c != (static_cast<uint64_t>(dir) | (unprivileged ? 8 : 0))) {
    script_->complain(fmt::format("translates {:#x} for another access", va));
  }
  const auto status = static_cast<Translation::Status>(q->answer % 3);
  return {status, q->extra != 0, q->ipa, q->fault};
}

uint8_t* ReplayView::ram(uint64_t ipa, Direction dir) {
  const Question* q = script_->question(Question::Kind::kRam, ipa);
  if (q == nullptr || q->answer == 0 || q->data.size() != kPageSize) return nullptr;
  if (q->b != static_cast<uint64_t>(dir)) script_->complain("RAM in another direction");
  pages_.push_back(std::make_unique<Page>(Page{ipa / kPageSize, q->data}));
  return pages_.back()->bytes.data() + ipa % kPageSize;
}

void ReplayView::ram_written(uint64_t ipa, unsigned size) {
  const Question* q = script_->question(Question::Kind::kWritten, ipa);
  if (q == nullptr) return;
  for (auto at = pages_.rbegin(); at != pages_.rend(); ++at) {
    if ((*at)->ipa != ipa / kPageSize) continue;
    if (q->data.size() != size || ipa % kPageSize + size > kPageSize ||
        std::memcmp((*at)->bytes.data() + ipa % kPageSize, q->data.data(), size) != 0) {
      script_->complain(fmt::format("writes other bytes to memory at {:#x}", ipa));
    }
    return;
  }
}

void ReplayVcpu::lead(const TranslationRegs& regs, uint64_t context, const SourceData* source,
                      const ExitEvent& event) {
  regs_ = regs;
  regs_.serial = context;
  source_ = source;
  event_ = &event;
}

Fetched ReplayVcpu::fetch(uint64_t pc) {
  Fetched fetched;
  if (source_ == nullptr || pc != event_->exit.pc) return fetched;
  fetched.ok = true;
  fetched.loads = source_->loads;
  fetched.ipa = source_->ipa;
  fetched.word_host = reinterpret_cast<const uint32_t*>(memory_.at(source_->ipa & ~uint64_t{3}));
  fetched.word = *fetched.word_host;
  for (unsigned i = 0; i < source_->loads; ++i) {
    fetched.desc_ipa[i] = source_->desc_ipa[i];
    fetched.desc[i] = source_->desc[i];
    fetched.desc_host[i] =
        reinterpret_cast<const uint64_t*>(memory_.at(source_->desc_ipa[i] & ~uint64_t{7}));
  }
  return fetched;
}

}  // namespace trapline::trace
