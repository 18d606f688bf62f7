// A value or one clear line for the user.
#ifndef TRAPLINE_VMM_CONFIG_RESULT_H_
#define TRAPLINE_VMM_CONFIG_RESULT_H_

#include <string>
#include <utility>
#include <variant>

namespace trapline {

struct Error {
  std::string text;
};

template <typename T>
class Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)
  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() { return std::get<0>(state_); }
  T* operator->() { return &std::get<0>(state_); }
  const std::string& error() const { return std::get<1>(state_).text; }

 private:
  std::variant<T, Error> state_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONFIG_RESULT_H_
