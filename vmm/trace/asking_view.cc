#include "vmm/trace/asking_view.h"

#include "vmm/trace/event_like.h"

namespace trapline::trace {

// What was kept back, as questions like any.
void AskingView::list_reached() {
  const Asked asked = std::exchange(asked_, Asked::kMore);
  if (asked == Asked::kMore) return;
  if (event_.rare == nullptr) event_.rare = std::make_unique<ExitEvent::Rare>();
  auto& questions = event_.rare->questions;
  questions.clear();
  if (asked == Asked::kNothing) return;
  reached_questions(event_.reached, reached_va_, questions);
  if (asked == Asked::kWhere) questions.pop_back();
}

Question& AskingView::question(Question::Kind kind) {
  list_reached();
  event_.flags |= ExitEvent::kQuestions;
  auto& questions = event_.rare->questions;
  questions.emplace_back();
  questions.back().kind = kind;
  return questions.back();
}

void AskingView::list() {
  list_reached();
  event_.flags |= ExitEvent::kQuestions;
  for (const auto& [question, host] : writes_) {
    Question& q = event_.rare->questions[question];
    q.data.assign(host, host + q.b);
  }
  writes_.clear();
  pages_.clear();
}

Translation AskingView::translate(uint64_t va, unsigned size, Direction dir, bool unprivileged) {
  const Translation t = inner_->translate(va, size, dir, unprivileged);
  const auto how = static_cast<uint8_t>(static_cast<unsigned>(dir) | (unprivileged ? 8 : 0));
  if (asked_ == Asked::kNothing && t.status == Translation::Status::kOk) [[likely]] {
    asked_ = Asked::kWhere;
    reached_va_ = va;
    event_.reached = {t.ipa, static_cast<uint8_t>(size),
                      static_cast<uint8_t>(how | (t.device ? 16 : 0))};
    return t;
  }
  Question& q = question(Question::Kind::kTranslate);
  q.a = va;
  q.b = size;
  q.c = how;
  q.answer = static_cast<uint64_t>(t.status);
  q.extra = t.device;
  q.ipa = t.ipa;
  q.fault = t.fault;
  return t;
}

uint8_t* AskingView::ram(uint64_t ipa, Direction dir) {
  uint8_t* host = inner_->ram(ipa, dir);
  if (host == nullptr && asked_ == Asked::kWhere && ipa == event_.reached.ipa &&
      static_cast<unsigned>(dir) == (event_.reached.how & 7u)) [[likely]] {
    asked_ = Asked::kReached;
    return nullptr;
  }
  Question& q = question(Question::Kind::kRam);
  q.a = ipa;
  q.b = static_cast<uint64_t>(dir);
  q.answer = host != nullptr;
  if (host == nullptr) return nullptr;
  const uint8_t* page = host - ipa % kPageSize;
  q.data.assign(page, page + kPageSize);
  pages_.emplace_back(ipa / kPageSize, page);
  return host;
}

void AskingView::ram_written(uint64_t ipa, unsigned size) {
  inner_->ram_written(ipa, size);
  for (auto at = pages_.rbegin(); at != pages_.rend(); ++at) {
    if (at->first != ipa / kPageSize || ipa % kPageSize + size > kPageSize) continue;
    Question& q = question(Question::Kind::kWritten);
    q.a = ipa;
    q.b = size;
    writes_.emplace_back(event_.rare->questions.size() - 1, at->second + ipa % kPageSize);
    return;
  }
}

}  // namespace trapline::trace
