#include "vmm/cli/config_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

namespace trapline {
namespace {

constexpr size_t kMostConfig = size_t{1} << 20;  // bytes

// Of a machine that exists already: what it is made of, and where its parts lie.
constexpr std::string_view kFixed[] = {
    "memory", "cpus", "rng", "virtio-console", "backend", "clock",   "virtio", "isv",
    "flash",  "el2",  "cpu", "kaslr-seed",     "input",   "balloon", "highmem"};
constexpr std::string_view kElsewhere[] = {"kernel", "raw", "initrd", "firmware", "vars", "disk",
                                           "module", "net", "append", "display",  "audio"};

bool is_of_machine(std::string_view option) {
  const auto in = [option](const auto& list) {
    return std::find(std::begin(list), std::end(list), option) != std::end(list);
  };
  return in(kFixed) || in(kElsewhere);
}

bool is_given(const std::vector<std::string>& words, std::string_view option) {
  return std::any_of(words.begin(), words.end(), [option](std::string_view word) {
    if (!word.starts_with("--") || word.substr(2, option.size()) != option) return false;
    return word.size() == option.size() + 2 || word[option.size() + 2] == '=';
  });
}

// The value of the last `--option V` or `--option=V`; empty: none.
std::string value_of(const std::vector<std::string>& words, const std::string& option) {
  std::string value;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == option && i + 1 < words.size()) value = words[i + 1];
    if (words[i].starts_with(option + "=")) value = words[i].substr(option.size() + 1);
  }
  return value;
}

// One option's value as words. False: it is none.
bool add_words(const std::string& option, const nlohmann::json& value,
               std::vector<std::string>& out) {
  if (value.is_boolean()) {
    if (value.get<bool>()) out.push_back("--" + option);
  } else if (value.is_string()) {
    out.push_back("--" + option + "=" + value.get<std::string>());
  } else if (value.is_number_unsigned()) {
    out.push_back(fmt::format("--{}={}", option, value.get<uint64_t>()));
  } else if (value.is_array()) {
    for (const nlohmann::json& item : value) {
      if (item.is_array() || !add_words(option, item, out)) return false;
    }
  } else {
    return false;
  }
  return true;
}

// Of `json` what `given` does not have; `machine_too` false: only how a machine is run.
Result<std::vector<std::string>> words_of(const std::string& what, const std::string& json,
                                          const std::vector<std::string>& given, bool machine_too) {
  const nlohmann::json object = nlohmann::json::parse(json, nullptr, false, true);
  if (!object.is_object()) {
    return Error{what + ": is no JSON object, such as {\"kernel\": \"Image\", \"cpus\": 4}"};
  }
  std::vector<std::string> out;
  for (const auto& [option, value] : object.items()) {
    if (option.empty() || option.starts_with('-') || option == "config" || option == "help") {
      return Error{fmt::format("{}: has an option '{}': give those of `trapline run`, without --",
                               what, option)};
    }
    if (is_given(given, option) || (!machine_too && is_of_machine(option))) continue;
    if (!add_words(option, value, out)) {
      return Error{fmt::format("{}: {}: give text, a number, true, false or a list", what, option)};
    }
  }
  return out;
}

Result<std::string> read_config(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{fmt::format("--config {}: {}", path, std::strerror(errno))};
  std::string text(kMostConfig + 1, 0);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.fail() && !file.eof())) {
    return Error{fmt::format("--config {}: cannot be read", path)};
  }
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMostConfig) return Error{fmt::format("--config {}: is too long", path)};
  return text;
}

}  // namespace

Result<std::vector<std::string>> with_config(std::vector<std::string> words,
                                             const std::string& machine) {
  if (words.size() < 2 || words[1] != "run") return words;
  if (const std::string path = value_of(words, "--config"); !path.empty()) {
    auto text = read_config(path);
    if (!text) return Error{text.error()};
    const bool arrives = is_given(words, "restore") || is_given(words, "incoming");
    auto more = words_of("--config " + path, *text, words, !arrives);
    if (!more) return Error{more.error()};
    words.insert(words.end(), more->begin(), more->end());
  }
  if (machine.empty()) return words;
  for (const std::string_view option : kFixed) {
    if (!is_given(words, option)) continue;
    return Error{fmt::format("--{}: a machine that goes on is what it was", option)};
  }
  auto more = words_of("the machine", machine, words, true);
  if (!more) return Error{more.error()};
  for (const std::string& word : *more) {
    const std::string option = word.substr(2, word.find('=') - 2);
    if (!is_of_machine(option)) {
      return Error{
          fmt::format("the machine has an option '{}', which this version does not know", option)};
    }
  }
  words.insert(words.end(), more->begin(), more->end());
  // Of before there was a choice.
  if (!is_given(words, "cpu")) words.push_back("--cpu=base");
  return words;
}

}  // namespace trapline
