#include "vmm/debug/gdb_protocol.h"

#include <fmt/format.h>

#include <charconv>

namespace trapline {
namespace {

constexpr char kInterrupt = 0x03;

uint8_t checksum(std::string_view body) {
  uint8_t sum = 0;
  for (char c : body) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(c));
  return sum;
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void GdbFraming::feed(std::string_view bytes) {
  if (!refused_.empty()) return;
  input_.erase(0, at_);
  scanned_ -= std::min(scanned_, at_);
  at_ = 0;
  input_ += bytes;
}

GdbFraming::Item GdbFraming::refuse(std::string why) {
  refused_ = std::move(why);
  input_.clear();
  at_ = scanned_ = 0;
  return {Kind::kRefused, refused_};
}

GdbFraming::Item GdbFraming::next() {
  if (!refused_.empty()) return {Kind::kRefused, refused_};
  while (at_ < input_.size() && input_[at_] == '+') ++at_;
  if (at_ == input_.size()) return {Kind::kMore, {}};
  if (input_[at_] == '-') {
    ++at_;
    return {Kind::kNack, {}};
  }
  if (input_[at_] == kInterrupt) {
    ++at_;
    return {Kind::kInterrupt, {}};
  }
  if (input_[at_] != '$') {
    return refuse(fmt::format("byte 0x{:02x} between packets", static_cast<uint8_t>(input_[at_])));
  }
  // A '$' in a body would be escaped.
  const size_t begin = at_ + 1;
  const size_t end = input_.find_first_of("#$", std::max(begin, scanned_));
  const size_t size = (end == std::string::npos ? input_.size() : end) - begin;
  if (size > kGdbMaxPacket) {
    return refuse(fmt::format("a packet of more than {} bytes", kGdbMaxPacket));
  }
  if (end == std::string::npos) {
    scanned_ = input_.size();
    return {Kind::kMore, {}};
  }
  scanned_ = end;
  if (input_[end] == '$') return refuse("a packet within a packet");
  if (input_.size() < end + 3) return {Kind::kMore, {}};
  uint8_t sent = 0;
  if (!from_hex(std::string_view(input_).substr(end + 1, 2), &sent, 1)) {
    return refuse("a checksum that is no number");
  }
  Item item{Kind::kPacket, input_.substr(begin, size)};
  at_ = scanned_ = end + 3;
  if (sent == checksum(item.body)) return item;
  if (no_ack_) return refuse("a wrong checksum");
  return {Kind::kCorrupt, {}};
}

std::string gdb_frame(std::string_view body) {
  return fmt::format("${}#{:02x}", body, checksum(body));
}

std::string to_hex(const void* data, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto* p = static_cast<const uint8_t*>(data);
  std::string out;
  out.reserve(2 * size);
  for (size_t i = 0; i < size; ++i) {
    out.push_back(kDigits[p[i] >> 4]);
    out.push_back(kDigits[p[i] & 15]);
  }
  return out;
}

bool from_hex(std::string_view hex, void* out, size_t size) {
  if (hex.size() / 2 < size) return false;
  auto* p = static_cast<uint8_t*>(out);
  for (size_t i = 0; i < size; ++i) {
    const int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    p[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

std::string gdb_unescape(std::string_view data) {
  std::string out;
  out.reserve(data.size());
  for (size_t i = 0; i < data.size(); ++i) {
    const bool escaped = data[i] == '}' && i + 1 < data.size();
    out.push_back(escaped ? static_cast<char>(data[++i] ^ 0x20) : data[i]);
  }
  return out;
}

bool GdbCursor::eat(char c) {
  if (text_.empty() || text_[0] != c) return false;
  text_.remove_prefix(1);
  return true;
}

bool GdbCursor::eat(std::string_view word) {
  if (!text_.starts_with(word)) return false;
  text_.remove_prefix(word.size());
  return true;
}

bool GdbCursor::number(uint64_t& value) {
  const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value, 16);
  if (error != std::errc()) return false;
  text_.remove_prefix(static_cast<size_t>(end - text_.data()));
  return true;
}

}  // namespace trapline
