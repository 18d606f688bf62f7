#include "devices/ahci/ata.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace trapline::ahci {
namespace {

using Page = std::array<uint8_t, kSector>;

void put_word(Page& page, unsigned word, uint16_t value) {
  page[2 * word] = static_cast<uint8_t>(value);
  page[2 * word + 1] = static_cast<uint8_t>(value >> 8);
}

void put_number(Page& page, unsigned word, unsigned words, uint64_t value) {
  for (unsigned i = 0; i < words; ++i) {
    put_word(page, word + i, static_cast<uint16_t>(value >> 16 * i));
  }
}

// ACS-3, 3.3.10: two characters in a word, the first one above.
void put_text(Page& page, unsigned word, unsigned words, std::string_view text) {
  for (unsigned i = 0; i < 2 * words; ++i) {
    page[2 * word + (i ^ 1)] = i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{' '};
  }
}

// The bytes of a page add up to zero.
uint8_t checksum(const Page& page) {
  uint8_t sum = 0;
  for (unsigned i = 0; i + 1 < kSector; ++i) sum = static_cast<uint8_t>(sum + page[i]);
  return static_cast<uint8_t>(-sum);
}

}  // namespace

AtaCommand find_command(uint8_t code, scsi::Type type) {
  using A = Action;
  constexpr uint8_t kBoth = kOnDisk | kOnCd;
  static constexpr AtaCommand kCommands[] = {
      {0x06, A::kTrim, kOnDisk | kExt},
      {0x08, A::kSignature, kOnCd},
      {0x20, A::kRead, kOnDisk | kPio},
      {0x24, A::kRead, kOnDisk | kPio | kExt},
      {0x25, A::kRead, kOnDisk | kExt},
      {0x29, A::kRead, kOnDisk | kPio | kExt},
      {0x2f, A::kReadLog, kOnDisk | kPio},
      {0x30, A::kWrite, kOnDisk | kPio},
      {0x34, A::kWrite, kOnDisk | kPio | kExt},
      {0x35, A::kWrite, kOnDisk | kExt},
      {0x39, A::kWrite, kOnDisk | kPio | kExt},
      {0x3d, A::kWrite, kOnDisk | kExt | kFua},
      {0x40, A::kVerify, kOnDisk},
      {0x42, A::kVerify, kOnDisk | kExt},
      {0x47, A::kReadLog, kOnDisk},
      {0x60, A::kRead, kOnDisk | kQueued},
      {0x61, A::kWrite, kOnDisk | kQueued},
      {0x90, A::kSignature, kBoth},
      {0x91, A::kNothing, kOnDisk},  // INITIALIZE DEVICE PARAMETERS
      {0xa0, A::kPacket, kOnCd},
      {0xa1, A::kIdentify, kOnCd | kPio},
      {0xc4, A::kRead, kOnDisk | kPio},
      {0xc5, A::kWrite, kOnDisk | kPio},
      {0xc6, A::kNothing, kOnDisk},  // SET MULTIPLE MODE
      {0xc8, A::kRead, kOnDisk},
      {0xca, A::kWrite, kOnDisk},
      {0xce, A::kWrite, kOnDisk | kPio | kExt | kFua},
      {0xe0, A::kNothing, kBoth},    // STANDBY IMMEDIATE
      {0xe1, A::kNothing, kBoth},    // IDLE IMMEDIATE
      {0xe2, A::kNothing, kOnDisk},  // STANDBY
      {0xe3, A::kNothing, kOnDisk},  // IDLE
      {0xe5, A::kCheckPower, kBoth},
      {0xe7, A::kFlush, kOnDisk},
      {0xea, A::kFlush, kOnDisk},
      {0xec, A::kIdentify, kOnDisk | kPio},
      {0xef, A::kSetFeatures, kBoth},
  };
  const auto* found = std::find_if(std::begin(kCommands), std::end(kCommands),
                                   [code](const AtaCommand& c) { return c.code == code; });
  const uint8_t on = type == scsi::Type::kCd ? kOnCd : kOnDisk;
  return found != std::end(kCommands) && found->has(on) ? *found : AtaCommand{code};
}

TaskFile task_file(const uint8_t* frame) {
  TaskFile t;
  t.command = frame[2];
  t.features = static_cast<uint16_t>(frame[3] | frame[11] << 8);
  t.device = frame[7];
  t.count = static_cast<uint16_t>(frame[12] | frame[13] << 8);
  for (unsigned i = 0; i < 3; ++i) {
    t.lba |= uint64_t{frame[4 + i]} << 8 * i | uint64_t{frame[8 + i]} << (24 + 8 * i);
  }
  return t;
}

bool extent_of(const AtaCommand& command, const TaskFile& task, uint64_t& sector, uint64_t& count) {
  constexpr uint8_t kLba = 0x40;
  if ((task.device & kLba) == 0) return false;
  if (command.has(kQueued)) {
    sector = task.lba;
    count = task.features == 0 ? 65536 : task.features;
  } else if (command.has(kExt)) {
    sector = task.lba;
    count = task.count == 0 ? 65536 : task.count;
  } else {
    sector = (task.lba & 0xffffff) | uint64_t{task.device & 0xfu} << 24;
    count = (task.count & 0xff) == 0 ? 256 : task.count & 0xff;
  }
  return true;
}

// ACS-3, tables 45 and 50.
std::array<uint8_t, kSector> identify(const Identity& id) {
  Page page{};
  const bool cd = id.type == scsi::Type::kCd;
  put_word(page, 0, cd ? 0x85c0 : 0x0040);  // ATAPI, CD-ROM, removable, packets of 12 bytes
  put_text(page, 10, 10, id.serial);
  put_text(page, 23, 4, "1");
  put_text(page, 27, 20, cd ? "TRAPLINE CD-ROM" : "TRAPLINE DISK");
  put_word(page, 49, 0x0f00);  // IORDY, LBA, DMA
  put_word(page, 53, 0x0006);  // words 64 to 70 and 88 mean something
  put_word(page, 63, 0x0007);  // multiword DMA 0 to 2
  put_word(page, 64, 0x0003);  // PIO 3 and 4
  for (unsigned word = 65; word <= 68; ++word) put_word(page, word, 120);  // ns
  put_word(page, 76, cd ? 0x000e : 0x010e);  // SATA generations 1 to 3; NCQ
  put_word(page, 80, 0x01f0);                // ATA-4 to ATA8-ACS
  // Commands: 82 to 84 known, 85 to 87 in use.
  const uint16_t write_cache = id.write_cache ? 0x0020 : 0;
  put_word(page, 82, cd ? 0x0210 : 0x0060);  // packet, device reset; look-ahead, write cache
  put_word(page, 83, cd ? 0x4000 : 0x7400);  // LBA48, flushes
  put_word(page, 84, cd ? 0x4000 : 0x4060);  // FUA, logs
  put_word(page, 85, cd ? 0x0210 : 0x0040 | write_cache);
  put_word(page, 86, cd ? 0 : 0x3400);
  put_word(page, 87, cd ? 0x4000 : 0x4060);
  put_word(page, 88, 0x203f);  // Ultra DMA 0 to 5
  if (!cd) {
    put_word(page, 1, 16383);  // cylinders, heads and sectors that nobody uses
    put_word(page, 3, 16);
    put_word(page, 6, 63);
    put_word(page, 47, 0x8010);
    put_word(page, 59, 0x0110);
    put_number(page, 60, 2, std::min<uint64_t>(id.sectors, 0x0fffffff));
    put_word(page, 75, kQueueDepth - 1);
    put_number(page, 100, 4, id.sectors);
    put_word(page, 105, 1);       // sectors of TRIM's ranges
    put_word(page, 106, 0x6003);  // 4 KiB: what host file systems like
    put_word(page, 169, 0x0001);  // TRIM
    put_word(page, 217, 0x0001);  // it does not rotate
  }
  page[510] = 0xa5;
  page[511] = checksum(page);
  return page;
}

bool read_log(uint8_t log, const QueuedError& error, std::array<uint8_t, kSector>& page) {
  page = {};
  switch (log) {
    case kLogDirectory:
      put_word(page, 0, 1);
      put_word(page, kLogQueuedError, 1);
      return true;
    case kLogQueuedError:  // ACS-3, 9.13
      page[0] = error.tag;
      page[2] = error.status;
      page[3] = error.error;
      for (unsigned i = 0; i < 3; ++i) {
        page[4 + i] = static_cast<uint8_t>(error.lba >> 8 * i);
        page[8 + i] = static_cast<uint8_t>(error.lba >> (24 + 8 * i));
      }
      page[7] = 0x40;
      page[12] = static_cast<uint8_t>(error.count);
      page[13] = static_cast<uint8_t>(error.count >> 8);
      page[511] = checksum(page);
      return true;
    default:
      return false;
  }
}

}  // namespace trapline::ahci
