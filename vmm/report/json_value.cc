#include "vmm/report/json_value.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace trapline {

using nlohmann::json;

JsonValue JsonValue::field(const char* key, bool needed) const {
  JsonValue absent = *this;
  absent.json_ = nullptr;
  if (!is(json::value_t::object, "object")) return absent;
  const auto it = json_->find(key);
  if (it != json_->end()) return JsonValue(*this, *it, key);
  if (needed) fail(fmt::format("no field '{}'", key));
  return absent;
}

bool JsonValue::is(json::value_t type, const char* called) const {
  if (json_ == nullptr || failed()) return false;
  if (json_->type() == type) return true;
  fail(fmt::format("is no {}", called));
  return false;
}

uint64_t JsonValue::whole() const {
  return is(json::value_t::number_unsigned, "whole number") ? json_->get<uint64_t>() : 0;
}

uint64_t JsonValue::whole_to(uint64_t most) const {
  const uint64_t number = whole();
  if (number <= most) return number;
  fail(fmt::format("{} is more than {}", number, most));
  return 0;
}

double JsonValue::nanoseconds() const {
  if (json_ == nullptr || failed()) return 0;
  if (!json_->is_number()) {
    fail("is no number");
    return 0;
  }
  const double number = json_->get<double>();
  if (std::isfinite(number) && number >= 0) return number;
  fail("is no time: it is negative");
  return 0;
}

std::string JsonValue::text() const {
  if (!is(json::value_t::string, "text")) return {};
  return json_->get_ref<const std::string&>().substr(0, kMaxText);
}

uint64_t JsonValue::address() const {
  const std::string digits = text();
  if (json_ == nullptr || failed()) return 0;
  uint64_t number = 0;
  const char* const end = digits.data() + digits.size();
  if (digits.starts_with("0x") && digits.size() > 2) {
    const auto [stop, code] = std::from_chars(digits.data() + 2, end, number, 16);
    if (stop == end && code == std::errc()) return number;
  }
  fail("is no address (\"0x...\")");
  return 0;
}

bool JsonValue::boolean() const {
  return is(json::value_t::boolean, "truth value") && json_->get<bool>();
}

void JsonValue::fail(const std::string& what) const {
  if (failed()) return;
  const std::string where = place();
  *error_ = where.empty() ? what : where + ": " + what;
}

std::string JsonValue::place() const {
  if (parent_ == nullptr) return {};
  if (key_ == nullptr) return fmt::format("{}[{}]", parent_->place(), index_);
  const std::string before = parent_->place();
  // A key is the file's: an error line shows no more of it than a line holds.
  const std::string key = std::string(key_).substr(0, 80);
  return before.empty() ? key : before + "." + key;
}

}  // namespace trapline
