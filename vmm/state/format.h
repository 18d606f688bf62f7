// What a saved machine, and one on its way to another process, looks like in bytes: a header that
// any version can read, the configuration, and records. docs/save-restore.md describes it.
#ifndef TRAPLINE_VMM_STATE_FORMAT_H_
#define TRAPLINE_VMM_STATE_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace trapline::state {

inline constexpr char kMagic[8] = {'T', 'L', 'S', 'T', 'A', 'T', 'E', '\n'};
inline constexpr uint32_t kFormat = 1;
inline constexpr char kArch[] = "aarch64";

enum class Kind : uint32_t {
  kWhole = 1,       // RAM lies in the file as it is, from ram_offset on, with holes for zero pages
  kCompressed = 2,  // RAM is in records
  kSince = 3,       // the same, but only what differs from another file
  kStream = 4,      // a migration
};

// What tells one save from another.
using Id = std::array<uint8_t, 16>;

// The first bytes, little-endian, and in this layout for ever: so that every version can at least
// say what it was given.
struct FileHeader {
  char magic[8] = {};
  uint32_t format = 0;
  uint32_t header_bytes = 0;
  char arch[16] = {};
  char writer[32] = {};  // its version
  Id id = {};
  Kind kind = Kind::kWhole;
  uint32_t reserved = 0;
  uint64_t config_bytes = 0;  // JSON, behind the header
  uint64_t config_hash = 0;   // all hashes are XXH3, 64 bits
  uint64_t ram_offset = 0;    // kWhole
  uint64_t records_offset = 0;
  uint64_t hash = 0;  // of all before it
};
static_assert(sizeof(FileHeader) == 128);

struct RecordHeader {
  enum Flag : uint32_t { kOptional = 1 };  // who does not know the name passes over it

  char name[32] = {};
  uint32_t version = 1;
  uint32_t flags = 0;
  uint64_t length = 0;
  uint64_t hash = 0;      // of what follows
  uint64_t own_hash = 0;  // of this header, before
};
static_assert(sizeof(RecordHeader) == 64);

// Names of records that are no component of the machine.
inline constexpr std::string_view kPages = "pages", kFlash = "flash", kFiles = "files",
                                  kBase = "base", kSums = "ram-sums", kEnd = "end";

// Of a kPages record, in front of its data.
struct PagesHeader {
  enum class Coding : uint32_t { kPlain, kZstd, kZero };
  uint64_t ipa = 0;
  uint32_t pages = 0;
  Coding coding = Coding::kPlain;
};
static_assert(sizeof(PagesHeader) == 16);

inline constexpr uint32_t kMostPages = 64;                    // of one such record
inline constexpr uint64_t kMostConfig = uint64_t{1} << 20;    // bytes
inline constexpr uint64_t kMostRecord = uint64_t{256} << 20;  // bytes, but for kSums
inline constexpr uint64_t kFileAlign = 4096;

uint64_t hash_of(const void* data, size_t size);

FileHeader make_header(Kind kind, const Id& id, std::string_view writer, std::string_view config);
// Once its offsets are set.
void seal(FileHeader& header);
// Empty, or what is wrong with it: the end of a line that begins with the file's name.
std::string check_header(const FileHeader& header, std::string_view reader);
std::string check_record(const RecordHeader& header);
std::string_view name_of(const RecordHeader& header);
RecordHeader make_record(std::string_view name, uint32_t flags);
void seal(RecordHeader& header);

// As a message may repeat what comes from elsewhere.
std::string shown(std::string_view text);

Id new_id();
std::string text_of(const Id& id);  // 32 hexadecimal digits

}  // namespace trapline::state

#endif  // TRAPLINE_VMM_STATE_FORMAT_H_
