#include "vmm/report/ftrace_line.h"

#include <charconv>

namespace trapline {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view left_trimmed(std::string_view s) {
  size_t n = 0;
  while (n < s.size() && (s[n] == ' ' || s[n] == '\t')) ++n;
  return s.substr(n);
}

std::string_view right_trimmed(std::string_view s) {
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r'))
    s.remove_suffix(1);
  return s;
}

std::string_view take_word(std::string_view& s) {
  size_t n = 0;
  while (n < s.size() && s[n] != ' ' && s[n] != '\t') ++n;
  const std::string_view word = s.substr(0, n);
  s = left_trimmed(s.substr(n));
  return word;
}

template <typename T>
bool all_number(std::string_view s, T& value) {
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  return error == std::errc() && end == s.data() + s.size();
}

// "[001]" with a blank or a parenthesis before it and a blank behind.
bool find_cpu(std::string_view line, size_t& begin, size_t& end, uint32_t& cpu) {
  for (size_t at = line.find('['); at != std::string_view::npos; at = line.find('[', at + 1)) {
    size_t digits = at + 1;
    while (digits < line.size() && is_digit(line[digits])) ++digits;
    const bool before =
        at > 0 && (line[at - 1] == ' ' || line[at - 1] == '\t' || line[at - 1] == ')');
    const bool behind = digits + 1 < line.size() && line[digits] == ']' &&
                        (line[digits + 1] == ' ' || line[digits + 1] == '\t');
    if (before && behind && all_number(line.substr(at + 1, digits - at - 1), cpu)) {
      begin = at;
      end = digits + 1;
      return true;
    }
  }
  return false;
}

// "13.768172:" or "13.768172123:".
bool parse_time(std::string_view word, uint64_t& ns) {
  if (word.size() < 4 || word.back() != ':') return false;
  uint64_t seconds = 0;
  const auto [dot, error] = std::from_chars(word.data(), word.data() + word.size(), seconds);
  if (error != std::errc() || *dot != '.' || seconds > 9'000'000'000) return false;
  uint64_t fraction = 0;
  unsigned digits = 0;
  const char* at = dot + 1;
  for (; is_digit(*at); ++at, ++digits) {
    if (digits < 9) fraction = fraction * 10 + static_cast<uint64_t>(*at - '0');
  }
  if (digits == 0 || at != word.data() + word.size() - 1) return false;
  for (; digits < 9; ++digits) fraction *= 10;
  ns = seconds * 1'000'000'000 + fraction;
  return true;
}

// The name and number of a thread, which stand before the CPU.
bool parse_thread(std::string_view s, TraceLine& out) {
  s = right_trimmed(s);
  if (!s.empty() && s.back() == ')') {  // the option record-tgid
    const size_t open = s.rfind('(');
    if (open == std::string_view::npos) return false;
    s = right_trimmed(s.substr(0, open));
  }
  size_t digits = s.size();
  while (digits > 0 && is_digit(s[digits - 1])) --digits;
  if (digits == s.size() || digits == 0 || !all_number(s.substr(digits), out.pid)) return false;
  char before = s[digits - 1];
  size_t name_end = digits - 1;
  if (before == '/') {  // perf's PID/TID
    while (name_end > 0 && is_digit(s[name_end - 1])) --name_end;
    if (name_end == 0) return false;
    before = s[--name_end];
  }
  if (before != '-' && before != ' ' && before != '\t') return false;
  out.perf = before != '-';
  out.thread = left_trimmed(right_trimmed(s.substr(0, name_end)));
  return true;
}

// "CPU:0 [LOST 123 EVENTS]" of the kernel, "CPU:0 [123 EVENTS DROPPED]" of trace-cmd, either
// without the number where it is not known.
bool parse_lost(std::string_view line, TraceLine& out) {
  if (!line.starts_with("CPU:") || line.find("EVENTS") == std::string_view::npos) return false;
  line.remove_prefix(4);
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), out.cpu);
  if (error != std::errc()) return false;
  std::string_view rest(end, static_cast<size_t>(line.data() + line.size() - end));
  while (!rest.empty() && !is_digit(rest.front())) rest.remove_prefix(1);
  out.lost = 1;
  if (!rest.empty()) std::from_chars(rest.data(), rest.data() + rest.size(), out.lost);
  out.kind = TraceLine::Kind::kLost;
  return true;
}

// "# entries-in-buffer/entries-written: 1000/5000   #P:2": what was overwritten before the first.
bool parse_entries(std::string_view line, TraceLine& out) {
  constexpr std::string_view kBegin = "# entries-in-buffer/entries-written: ";
  if (!line.starts_with(kBegin)) return false;
  line.remove_prefix(kBegin.size());
  const size_t slash = line.find('/');
  uint64_t kept = 0, written = 0;
  if (slash == std::string_view::npos || !all_number(line.substr(0, slash), kept)) return false;
  std::string_view rest = line.substr(slash + 1);
  if (!all_number(take_word(rest), written) || written <= kept) return false;
  out.kind = TraceLine::Kind::kLost;
  out.cpu = ~uint32_t{0};
  out.lost = written - kept;
  return true;
}

}  // namespace

TraceLine parse_trace_line(std::string_view line) {
  TraceLine out;
  line = right_trimmed(line);
  // Comments; trace-cmd's head; perf's call chains, which begin with a tab, and ftrace's, with
  // "=>".
  if (line.empty() || line.front() == '#' || line.front() == '\t' || line.starts_with("cpus=") ||
      line.starts_with("version = ") || line.starts_with(" => ") || line.starts_with("=> ")) {
    if (!parse_entries(line, out)) out.kind = TraceLine::Kind::kNothing;
    return out;
  }
  if (parse_lost(line, out)) return out;
  size_t cpu_begin = 0, cpu_end = 0;
  if (!find_cpu(line, cpu_begin, cpu_end, out.cpu)) return out;
  if (!parse_thread(line.substr(0, cpu_begin), out)) return out;
  std::string_view rest = left_trimmed(line.substr(cpu_end));
  std::string_view word = take_word(rest);
  for (int flags = 0; flags < 2 && !parse_time(word, out.time_ns); ++flags) word = take_word(rest);
  if (!parse_time(word, out.time_ns)) return out;
  word = take_word(rest);
  if (!word.empty() && is_digit(word.front()) && word.back() != ':') word = take_word(rest);
  if (word.starts_with("PERF_RECORD_LOST")) {
    out.kind = TraceLine::Kind::kLost;
    out.lost = number_after(rest, "lost ", 10).value_or(1);
    return out;
  }
  out.kind = TraceLine::Kind::kEvent;
  if (!word.empty() && word.back() == ':') word.remove_suffix(1);
  if (const size_t colon = word.rfind(':'); colon != std::string_view::npos) {
    word.remove_prefix(colon + 1);
  }
  out.event = word;
  out.text = rest;
  return out;
}

std::optional<uint64_t> number_after(std::string_view text, std::string_view key, int base) {
  const size_t at = text.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + key.size());
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    base = 16;
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc()) return std::nullopt;
  return value;
}

}  // namespace trapline
