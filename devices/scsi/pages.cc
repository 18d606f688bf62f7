// What a logical unit says of itself: INQUIRY and its vital product data, MODE SENSE.
#include <algorithm>
#include <cstring>
#include <string_view>

#include "devices/scsi/bytes.h"
#include "devices/scsi/logical_unit.h"

namespace trapline::scsi {
namespace {

constexpr char kVendor[] = "TRAPLINE";
constexpr unsigned kVendorBytes = 8, kProductBytes = 16, kRevisionBytes = 4;

// ASCII fields are filled up with spaces.
void put_text(uint8_t* to, size_t bytes, std::string_view text) {
  std::fill_n(to, bytes, uint8_t{' '});
  std::copy_n(text.begin(), std::min(bytes, text.size()), to);
}

}  // namespace

// --- INQUIRY, SPC-4, 6.6 -------------------------------------------------------------------------

void LogicalUnit::inquiry(const Cdb& cdb, Parameters, Outcome& out) {
  const uint64_t allocation = get_big(&cdb[3], 2);
  const bool vital = (cdb[1] & 1) != 0;
  if ((cdb[1] & 2) != 0 || (!vital && cdb[2] != 0)) return out.refuse(kInvalidFieldInCdb);
  uint8_t* data = out.reply(vital ? 96 : 36, allocation);
  if (!vital) return standard_inquiry(data);
  const unsigned length = vital_page(cdb[2], data + 4);
  if (length == 0) return out.refuse(kInvalidFieldInCdb);
  data[0] = static_cast<uint8_t>(type_);
  data[1] = cdb[2];
  put_big(data + 2, 2, length);
  out.size = static_cast<unsigned>(std::min<uint64_t>(4 + length, allocation));
}

void LogicalUnit::standard_inquiry(uint8_t* data) const {
  const bool cd = type_ == Type::kCd;
  data[0] = static_cast<uint8_t>(type_);
  data[1] = cd ? 0x80 : 0;  // RMB
  data[2] = 0x05;           // SPC-3
  data[3] = 0x12;           // HISUP, response data format
  data[4] = 36 - 5;
  data[7] = cd ? 0 : 0x02;  // CMDQUE
  put_text(data + 8, kVendorBytes, kVendor);
  put_text(data + 16, kProductBytes, cd ? "CD-ROM" : "disk");
  put_text(data + 32, kRevisionBytes, "1");
}

unsigned LogicalUnit::vital_page(uint8_t page, uint8_t* data) const {
  constexpr uint8_t kDiskPages[] = {0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};
  const std::span<const uint8_t> pages(kDiskPages, type_ == Type::kDisk ? 6 : 3);
  if (std::find(pages.begin(), pages.end(), page) == pages.end()) return 0;
  const auto serial = static_cast<unsigned>(serial_.size());
  switch (page) {
    case 0x00:
      std::copy(pages.begin(), pages.end(), data);
      return static_cast<unsigned>(pages.size());
    case 0x80:  // unit serial number
      std::memcpy(data, serial_.data(), serial);
      return serial;
    case 0x83:  // one designator: ASCII, by the vendor's name
      data[0] = 2;
      data[1] = 1;
      data[3] = static_cast<uint8_t>(kVendorBytes + serial);
      put_text(data + 4, kVendorBytes, kVendor);
      std::memcpy(data + 4 + kVendorBytes, serial_.data(), serial);
      return 4 + kVendorBytes + serial;
    case 0xb0:      // block limits, SBC-3, 6.6.4; offsets are the page's, 4 less here
      data[0] = 1;  // WSNZ
      put_big(data + 20 - 4, 4, kMaxUnmapBlocks);
      put_big(data + 24 - 4, 4, 1);  // descriptors
      put_big(data + 28 - 4, 4, 8);  // optimal granularity
      put_big(data + 36 - 4, 8, kMaxWriteSameBlocks);
      return 0x3c;
    case 0xb1:      // block device characteristics
      data[1] = 1;  // it does not rotate
      return 0x3c;
    default:  // logical block provisioning
      if (!image_.read_only()) {
        data[1] = 0xe0;  // LBPU, LBPWS, LBPWS10
        data[2] = 0x02;  // thin
      }
      return 4;
  }
}

// --- MODE SENSE, SPC-4, 6.11 and 6.12 ------------------------------------------------------------

void LogicalUnit::mode_sense(const Cdb& cdb, Parameters, Outcome& out) {
  constexpr uint8_t kNoDescriptors = 8, kAll = 0x3f;
  constexpr uint8_t kChangeable = 1, kSaved = 3;
  const bool ten = cdb[0] == 0x5a;
  const uint8_t control = cdb[2] >> 6, page = cdb[2] & 0x3f, subpage = cdb[3];
  const uint64_t allocation = ten ? get_big(&cdb[7], 2) : cdb[4];
  if (control == kSaved) return out.refuse(kSavingUnsupported);
  if (subpage != 0 && (page != kAll || subpage != 0xff)) return out.refuse(kInvalidFieldInCdb);

  uint8_t* data = out.reply(192, allocation);
  const unsigned header = ten ? 8 : 4;
  unsigned length = header;
  if (type_ == Type::kDisk && (cdb[1] & kNoDescriptors) == 0) {
    put_big(data + length, 4, std::min<uint64_t>(blocks_, 0xffffffff));
    put_big(data + length + 5, 3, kDiskBlock);
    data[ten ? 7 : 3] = 8;
    length += 8;
  }
  const unsigned before = length;
  for (const uint8_t code : {0x01, 0x08, 0x0a, 0x2a}) {
    if (page == kAll || page == code) {
      length += mode_page(code, control == kChangeable, data + length);
    }
  }
  if (length == before) return out.refuse(kInvalidFieldInCdb);
  // SBC-3, 6.4.1: WP and DPOFUA.
  if (type_ == Type::kDisk) data[ten ? 3 : 2] = image_.read_only() ? 0x90 : 0x10;
  if (ten) {
    put_big(data, 2, length - 2);
  } else {
    data[0] = static_cast<uint8_t>(length - 1);
  }
  out.size = static_cast<unsigned>(std::min<uint64_t>(length, allocation));
}

// Nothing is changeable.
unsigned LogicalUnit::mode_page(uint8_t page, bool changeable, uint8_t* data) const {
  unsigned bytes = 0;
  switch (page) {
    case 0x01:  // read-write error recovery
      bytes = type_ == Type::kCd ? 8 : 12;
      break;
    case 0x08:  // caching
      if (type_ == Type::kCd) return 0;
      bytes = 20;
      if (!changeable && !image_.read_only()) data[2] = 0x04;  // WCE
      break;
    case 0x0a:  // control
      if (type_ == Type::kCd) return 0;
      bytes = 12;
      break;
    default:  // CD capabilities, MMC-3, 6.3.11
      if (type_ == Type::kDisk) return 0;
      bytes = 20;
      if (!changeable) {
        data[2] = 0x3b;              // reads CD-R, CD-RW, DVD-ROM, DVD-R, DVD-RAM
        data[4] = 0x70;              // multi-session, mode 2 forms 1 and 2
        data[6] = 0x23;              // a tray; locked, as it stays
        put_big(data + 8, 2, 7056);  // 40x, kB/s
        put_big(data + 12, 2, 512);  // KiB of buffer
        put_big(data + 14, 2, 7056);
      }
      break;
  }
  data[0] = page;
  data[1] = static_cast<uint8_t>(bytes - 2);
  return bytes;
}

}  // namespace trapline::scsi
