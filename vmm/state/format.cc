#include "vmm/state/format.h"

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <sys/random.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace trapline::state {
namespace {

template <size_t kSize>
std::string_view text_in(const char (&field)[kSize]) {
  return {field, strnlen(field, kSize)};
}

template <size_t kSize>
void put_text(char (&field)[kSize], std::string_view text) {
  std::memcpy(field, text.data(), std::min(text.size(), kSize - 1));
}

}  // namespace

std::string shown(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return out;
}

uint64_t hash_of(const void* data, size_t size) { return XXH3_64bits(data, size); }

FileHeader make_header(Kind kind, const Id& id, std::string_view writer, std::string_view config) {
  FileHeader header;
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.format = kFormat;
  header.header_bytes = sizeof header;
  put_text(header.arch, kArch);
  put_text(header.writer, writer);
  header.id = id;
  header.kind = kind;
  header.config_bytes = config.size();
  header.config_hash = hash_of(config.data(), config.size());
  header.records_offset = sizeof header + config.size();
  return header;
}

void seal(FileHeader& header) { header.hash = hash_of(&header, offsetof(FileHeader, hash)); }

std::string check_header(const FileHeader& header, std::string_view reader) {
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) return "is no saved machine";
  if (header.format != kFormat) {
    return fmt::format(
        "was saved by trapline {} in format {}; this is trapline {}, which reads format {}",
        shown(text_in(header.writer)), header.format, reader, kFormat);
  }
  if (header.hash != hash_of(&header, offsetof(FileHeader, hash))) return "is damaged: its header";
  if (text_in(header.arch) != kArch) {
    return fmt::format("is a machine of another architecture: {}", shown(text_in(header.arch)));
  }
  if (header.header_bytes != sizeof header || header.config_bytes > kMostConfig ||
      header.kind < Kind::kWhole || header.kind > Kind::kStream ||
      header.records_offset < sizeof header + header.config_bytes) {
    return "is damaged: its header";
  }
  return {};
}

std::string check_record(const RecordHeader& header) {
  const bool good = header.own_hash == hash_of(&header, offsetof(RecordHeader, own_hash)) &&
                    header.name[sizeof header.name - 1] == 0 &&
                    (header.length <= kMostRecord || name_of(header) == kSums);
  return good ? std::string() : "is damaged: what should be the beginning of a section";
}

std::string_view name_of(const RecordHeader& header) { return text_in(header.name); }

RecordHeader make_record(std::string_view name, uint32_t flags) {
  RecordHeader header;
  put_text(header.name, name);
  header.flags = flags;
  return header;
}

void seal(RecordHeader& header) {
  header.own_hash = hash_of(&header, offsetof(RecordHeader, own_hash));
}

Id new_id() {
  Id id{};
  if (getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) id.fill(0);
  return id;
}

std::string text_of(const Id& id) {
  std::string out;
  for (const uint8_t byte : id) out += fmt::format("{:02x}", byte);
  return out;
}

}  // namespace trapline::state
