// ATA commands (ACS-3) as a disk and a CD-ROM take them: what a code means, and what IDENTIFY says.
#ifndef TRAPLINE_DEVICES_AHCI_ATA_H_
#define TRAPLINE_DEVICES_AHCI_ATA_H_

#include <array>
#include <cstdint>
#include <string_view>

#include "devices/scsi/logical_unit.h"

namespace trapline::ahci {

inline constexpr unsigned kSector = 512;
inline constexpr unsigned kQueueDepth = 32;

enum Status : uint8_t {
  kError = 0x01,
  kDataRequest = 0x08,
  kSeekDone = 0x10,
  kReady = 0x40,
  kBusy = 0x80
};
inline constexpr uint8_t kGoodStatus = kReady | kSeekDone;
enum Error : uint8_t { kAbort = 0x04, kIdNotFound = 0x10, kUncorrectable = 0x40 };

enum class Action : uint8_t {
  kUnknown,
  kIdentify,
  kPacket,
  kRead,
  kWrite,
  kVerify,
  kFlush,
  kTrim,
  kSetFeatures,
  kReadLog,
  kCheckPower,
  kSignature,  // answers as after a reset
  kNothing,    // done as it is
};

struct AtaCommand {
  uint8_t code = 0;
  Action action = Action::kUnknown;
  uint8_t flags = 0;
  bool has(uint8_t flag) const { return (flags & flag) != 0; }
};
enum AtaFlag : uint8_t {
  kExt = 1,     // addresses of 48 bits
  kPio = 2,     // data by PIO: a frame of its own says so
  kQueued = 4,  // NCQ
  kFua = 8,
  kOnDisk = 16,
  kOnCd = 32,
};

// kUnknown if a device of that type does not know it.
AtaCommand find_command(uint8_t code, scsi::Type type);

// What an H2D register frame asks for.
struct TaskFile {
  uint8_t command = 0, device = 0;
  uint16_t features = 0, count = 0;
  uint64_t lba = 0;  // 48 bits
};
TaskFile task_file(const uint8_t* frame);
// Of a command that names sectors: which; false: by cylinder and head, as no disk of ours has them.
bool extent_of(const AtaCommand& command, const TaskFile& task, uint64_t& sector, uint64_t& count);

struct Identity {
  scsi::Type type;
  uint64_t sectors;
  std::string_view serial;
  bool write_cache;
};
std::array<uint8_t, kSector> identify(const Identity& identity);

// The log pages that there are: the directory and, 10h, the queued command that failed.
struct QueuedError {
  uint8_t tag = 0, status = 0, error = 0;
  uint64_t lba = 0;
  uint16_t count = 0;
};
inline constexpr uint8_t kLogDirectory = 0x00, kLogQueuedError = 0x10;
bool read_log(uint8_t log, const QueuedError& error, std::array<uint8_t, kSector>& page);

}  // namespace trapline::ahci

#endif  // TRAPLINE_DEVICES_AHCI_ATA_H_
