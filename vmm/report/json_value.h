// Values of a JSON document that may be wrong: the first thing that is, is kept, with its place.
#ifndef TRAPLINE_VMM_REPORT_JSON_VALUE_H_
#define TRAPLINE_VMM_REPORT_JSON_VALUE_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace trapline {

// A value and where it stands. One whose `json` is null is absent; it reads as 0, empty, no
// elements.
class JsonValue {
 public:
  JsonValue(const nlohmann::json& root, std::string& error) : json_(&root), error_(&error) {}

  bool present() const { return json_ != nullptr; }
  bool is_text() const { return present() && json_->is_string(); }
  bool failed() const { return !error_->empty(); }

  JsonValue optional(const char* key) const { return field(key, false); }
  JsonValue required(const char* key) const { return field(key, true); }

  uint64_t whole() const;                  // a whole number, not negative
  uint64_t whole_to(uint64_t most) const;  // and no larger
  double nanoseconds() const;              // any number, not negative
  std::string text() const;                // at most kMaxText bytes of it
  uint64_t address() const;                // "0x..."
  bool boolean() const;

  // Calls each(JsonValue) for every element, and for every field each(name, JsonValue), until
  // something is wrong.
  template <typename Each>
  void elements(Each each) const {
    if (!is(nlohmann::json::value_t::array, "list")) return;
    for (size_t i = 0; i < json_->size() && !failed(); ++i) each(JsonValue(*this, (*json_)[i], i));
  }
  template <typename Each>
  void fields(Each each) const {
    if (!is(nlohmann::json::value_t::object, "object")) return;
    for (auto it = json_->begin(); it != json_->end() && !failed(); ++it) {
      each(it.key(), JsonValue(*this, it.value(), it.key().c_str()));
    }
  }

  // Keeps "PLACE: `what`", unless something was wrong before.
  void fail(const std::string& what) const;

 private:
  static constexpr size_t kMaxText = 4096;

  JsonValue(const JsonValue& parent, const nlohmann::json& json, const char* key)
      : json_(&json), parent_(&parent), key_(key), error_(parent.error_) {}
  JsonValue(const JsonValue& parent, const nlohmann::json& json, size_t index)
      : json_(&json), parent_(&parent), index_(index), error_(parent.error_) {}

  JsonValue field(const char* key, bool needed) const;
  bool is(nlohmann::json::value_t type, const char* called) const;
  std::string place() const;

  const nlohmann::json* json_;
  // The places form a chain on the stack: a path is only put together for an error.
  const JsonValue* parent_ = nullptr;
  const char* key_ = nullptr;  // null: an element of a list
  size_t index_ = 0;
  std::string* error_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_JSON_VALUE_H_
