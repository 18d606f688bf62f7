// The commands of a CD-ROM (MMC-6): one session, one track of data, a medium that is always there.
#include <algorithm>

#include "devices/scsi/bytes.h"
#include "devices/scsi/logical_unit.h"

namespace trapline::scsi {
namespace {

constexpr uint8_t kDataTrack = 0x14;  // ADR 1, CONTROL: data, copying prohibited
constexpr uint8_t kLeadOut = 0xaa;

// 4.2.6: minutes, seconds and frames; two seconds stand before block 0.
void put_address(uint8_t* to, uint64_t block, bool msf) {
  if (!msf) return put_big(to, 4, block);
  constexpr unsigned kFrames = 75;
  const uint64_t frame = block + 2 * kFrames;
  to[0] = 0;
  to[1] = static_cast<uint8_t>(std::min<uint64_t>(frame / (60 * kFrames), 255));
  to[2] = static_cast<uint8_t>(frame / kFrames % 60);
  to[3] = static_cast<uint8_t>(frame % kFrames);
}

}  // namespace

// 6.25.
void LogicalUnit::read_toc(const Cdb& cdb, Parameters, Outcome& out) {
  const bool msf = (cdb[1] & 2) != 0;
  // ATAPI of old has the format in the last byte.
  const unsigned format = (cdb[2] & 0xf) != 0 ? cdb[2] & 0xf : cdb[9] >> 6;
  const uint8_t first = cdb[6];
  const uint64_t allocation = get_big(&cdb[7], 2);
  constexpr unsigned kHeader = 4, kDescriptor = 8;
  const auto track = [msf](uint8_t* to, uint8_t number, uint64_t block) {
    to[1] = kDataTrack;
    to[2] = number;
    put_address(to + 4, block, msf);
  };
  uint8_t* data = nullptr;
  unsigned tracks = 0;
  if (format == 0 && (first <= 1 || first == kLeadOut)) {
    tracks = first == kLeadOut ? 1 : 2;
    data = out.reply(kHeader + kDescriptor * tracks, allocation);
    if (tracks == 2) track(data + kHeader, 1, 0);
    track(data + kHeader + kDescriptor * (tracks - 1), kLeadOut, blocks_);
  } else if (format == 1) {  // the first track of the last session
    tracks = 1;
    data = out.reply(kHeader + kDescriptor, allocation);
    track(data + kHeader, 1, 0);
  } else {
    return out.refuse(kInvalidFieldInCdb);
  }
  put_big(data, 2, kHeader - 2 + kDescriptor * tracks);
  data[2] = data[3] = 1;  // first and last track, or session
}

// 6.5 and 5.3: each feature from the one asked for on, or it alone.
void LogicalUnit::get_configuration(const Cdb& cdb, Parameters, Outcome& out) {
  constexpr uint16_t kCdProfile = 0x0008, kDvdProfile = 0x0010;
  constexpr uint64_t kCdBlocks = 80 * 60 * 75;  // more is a DVD
  constexpr uint8_t kPersistent = 3;            // and current
  constexpr unsigned kOne = 2;                  // RT
  const uint16_t profile = blocks_ > kCdBlocks ? kDvdProfile : kCdProfile;
  struct Feature {
    uint16_t code;
    uint8_t version, bytes;
    uint8_t data[8];
  };
  const Feature features[] = {
      {0x0000, 0, 4, {0, static_cast<uint8_t>(profile), 1, 0}},  // profile list
      {0x0001, 2, 8, {0, 0, 0, 1, 1, 0, 0, 0}},                  // core: SCSI; device busy events
      {0x0003, 2, 4, {0x21, 0, 0, 0}},                           // removable: a tray, which locks
      {0x0010, 0, 8, {0, 0, kCdBlock >> 8, 0, 0, 1, 0, 0}},      // random readable
      {static_cast<uint16_t>(profile == kCdProfile ? 0x001e : 0x001f), 2, 4, {}},  // CD, DVD read
  };
  const unsigned selection = cdb[1] & 3;
  if (selection > kOne) return out.refuse(kInvalidFieldInCdb);
  const uint64_t first = get_big(&cdb[2], 2), allocation = get_big(&cdb[7], 2);
  uint8_t* data = out.reply(8 + 12 * std::size(features), allocation);
  unsigned length = 8;
  for (const Feature& f : features) {
    if (selection == kOne ? f.code != first : f.code < first) continue;
    put_big(data + length, 2, f.code);
    data[length + 2] = static_cast<uint8_t>(f.version << 2 | kPersistent);
    data[length + 3] = f.bytes;
    std::copy_n(f.data, f.bytes, data + length + 4);
    length += 4u + f.bytes;
  }
  put_big(data, 4, length - 4);
  put_big(data + 6, 2, profile);
  out.size = static_cast<unsigned>(std::min<uint64_t>(length, allocation));
}

// 6.6: polled; of the classes asked for, the medium's is there, and nothing ever happens to it.
void LogicalUnit::get_event_status(const Cdb& cdb, Parameters, Outcome& out) {
  constexpr uint8_t kPolled = 1, kMedia = 4, kNoClass = 0x80, kPresent = 2;
  if ((cdb[1] & kPolled) == 0) return out.refuse(kInvalidFieldInCdb);
  const bool media = (cdb[4] & 1 << kMedia) != 0;
  uint8_t* data = out.reply(media ? 8 : 4, get_big(&cdb[7], 2));
  put_big(data, 2, media ? 6 : 2);
  data[2] = media ? kMedia : kNoClass;
  data[3] = 1 << kMedia;
  if (media) data[5] = kPresent;
}

// 6.21: finalized, one session of one track.
void LogicalUnit::read_disc_information(const Cdb& cdb, Parameters, Outcome& out) {
  if ((cdb[1] & 7) != 0) return out.refuse(kInvalidFieldInCdb);
  uint8_t* data = out.reply(34, get_big(&cdb[7], 2));
  put_big(data, 2, 32);
  data[2] = 0x0e;
  std::fill_n(data + 3, 4, uint8_t{1});
  data[7] = 0x20;  // unrestricted use
}

// 6.16: no changer.
void LogicalUnit::mechanism_status(const Cdb& cdb, Parameters, Outcome& out) {
  out.reply(8, get_big(&cdb[8], 2));
}

}  // namespace trapline::scsi
