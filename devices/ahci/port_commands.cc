// What a port's commands do: ATA's, and by PACKET SCSI's.
#include <algorithm>
#include <cstring>

#include "devices/ahci/port.h"

namespace trapline::ahci {

using virtio::BlkOp;

// True: the disk is to perform the slot's request. Else the command has ended, well or not.
bool Port::execute(Slot& slot, const CommandTable& table) {
  slot.durable = slot.may_unmap = false;
  switch (slot.command.action) {
    case Action::kIdentify: {
      const auto page = identify({.type = type_,
                                  .sectors = disk_.image().bytes() / kSector,
                                  .serial = disk_.name(),
                                  .write_cache = write_cache_});
      reply(slot, page.data(), page.size());
      return false;
    }
    case Action::kReadLog: {
      // The log's address and page (ACS-3, 7.24): of each log there is one.
      std::array<uint8_t, kSector> page;
      const bool first = (slot.task.lba >> 8 & 0xff) == 0 && slot.task.count == 1;
      if (!first || !read_log(static_cast<uint8_t>(slot.task.lba), queued_error_, page)) {
        fail(slot, kAbort);
      } else {
        reply(slot, page.data(), page.size());
      }
      return false;
    }
    case Action::kRead:
    case Action::kWrite:
      return transfer(slot, slot.command.action == Action::kWrite);
    case Action::kVerify: {
      uint64_t sector = 0, count = 0;
      const uint64_t sectors = disk_.image().bytes() / kSector;
      if (!extent_of(slot.command, slot.task, sector, count)) {
        fail(slot, kAbort);
      } else if (sector > sectors || count > sectors - sector) {
        fail(slot, kIdNotFound);
      } else {
        done(slot, 0);
      }
      return false;
    }
    case Action::kFlush:
      slot.op = BlkOp::kFlush;
      slot.offset = slot.bytes = 0;
      return true;
    case Action::kTrim:
      return trim(slot);
    case Action::kPacket:
      return execute_packet(slot, table);
    case Action::kSetFeatures:
      set_features(slot);
      return false;
    case Action::kSignature:
      begun_ &= ~(uint32_t{1} << slot.number);
      ci_ &= ~(uint32_t{1} << slot.number);
      post_signature();
      raise(kDhrs);
      return false;
    case Action::kCheckPower:
    case Action::kNothing:
      done(slot, 0);
      return false;
    case Action::kUnknown:
      break;
  }
  // ACS-3, 7.13.6: a packet device that is asked who it is as a disk says so by its signature.
  if (slot.task.command == 0xec) slot.task.lba = 0xeb1401;
  fail(slot, kAbort);
  return false;
}

bool Port::transfer(Slot& slot, bool write) {
  uint64_t sector = 0, count = 0;
  const bool queued = slot.command.has(kQueued);
  const uint64_t sectors = disk_.image().bytes() / kSector;
  // Serial ATA 3.1, 13.6.4.1: a queued command's tag is its slot.
  if (!extent_of(slot.command, slot.task, sector, count) ||
      (queued && (slot.task.count >> 3 & 31u) != slot.number)) {
    fail(slot, kAbort);
    return false;
  }
  if (sector > sectors || count > sectors - sector) {
    fail(slot, kIdNotFound);
    return false;
  }
  if (write && disk_.image().read_only()) {
    hba_.report().add("write to a read-only disk");
    fail(slot, kAbort);
    return false;
  }
  if (slot.short_list) {
    fatal(kOfs, "PRDs with less room than the command's data");
    return false;
  }
  constexpr uint8_t kQueuedFua = 0x80;
  slot.op = write ? BlkOp::kWrite : BlkOp::kRead;
  slot.durable = write && (!write_cache_ || slot.command.has(kFua) ||
                           (queued && (slot.task.device & kQueuedFua) != 0));
  slot.offset = sector * kSector;
  slot.bytes = count * kSector;
  virtio::append_iov(write ? slot.data.readable : slot.data.writable, 0, slot.bytes, slot.iov);
  if (write && !keeps_format(disk_.image(), slot, hba_.report())) {
    fail(slot, kAbort);
    return false;
  }
  return true;
}

// DATA SET MANAGEMENT, ACS-3, 7.6: a sector of ranges, 48 bits of address and 16 of length.
bool Port::trim(Slot& slot) {
  constexpr uint16_t kTrim = 1;
  const uint64_t sectors = disk_.image().bytes() / kSector;
  uint64_t entries[kTrimRanges];
  if ((slot.task.features & 0xff) != kTrim || slot.task.count != 1 || disk_.image().read_only()) {
    fail(slot, kAbort);
    return false;
  }
  if (slot.data.read(0, entries, sizeof entries) != sizeof entries) {
    fatal(kOfs, "PRDs with less room than the command's data");
    return false;
  }
  for (const uint64_t entry : entries) {
    const uint64_t sector = entry & 0xffff'ffff'ffff, count = entry >> 48;
    if (count == 0) continue;
    if (sector > sectors || count > sectors - sector) {
      fail(slot, kIdNotFound);
      return false;
    }
    // Drivers cut what is long into neighbours.
    auto* last = slot.range_count > 0 ? &slot.ranges[slot.range_count - 1] : nullptr;
    if (last != nullptr && last->first + last->second == sector * kSector) {
      last->second += count * kSector;
    } else {
      slot.ranges[slot.range_count++] = {sector * kSector, count * kSector};
    }
  }
  if (slot.range_count == 0) {
    done(slot, 0);
    return false;
  }
  next_range(slot);
  return true;
}

void Port::next_range(Slot& slot) {
  slot.op = BlkOp::kDiscard;
  slot.offset = slot.ranges[slot.range].first;
  slot.bytes = slot.ranges[slot.range].second;
}

// ACS-3, 7.45.
void Port::set_features(Slot& slot) {
  constexpr uint8_t kWriteCache = 0x02, kTransferMode = 0x03, kNoLookAhead = 0x55,
                    kNoWriteCache = 0x82, kLookAhead = 0xaa;
  switch (static_cast<uint8_t>(slot.task.features)) {
    case kWriteCache:
      write_cache_ = true;
      break;
    case kNoWriteCache:
      write_cache_ = false;
      break;
    case kTransferMode:
    case kNoLookAhead:
    case kLookAhead:
      break;
    default:
      return fail(slot, kAbort);
  }
  done(slot, 0);
}

// ACS-3, 7.18: the sense data stay with the unit, their key goes into the error register.
bool Port::execute_packet(Slot& slot, const CommandTable& table) {
  scsi::Cdb cdb;
  std::copy_n(table.packet, cdb.size(), cdb.begin());
  scsi::Outcome outcome;
  unit_.execute(cdb, {}, outcome);
  switch (outcome.kind) {
    case scsi::Outcome::Kind::kRefused:
      unit_.hold(outcome.sense);
      fail(slot, static_cast<uint8_t>(outcome.sense.key << 4 | kAbort));
      return false;
    case scsi::Outcome::Kind::kReply:
      reply(slot, outcome.data.data(), outcome.size);
      return false;
    case scsi::Outcome::Kind::kIo:
      break;
  }
  slot.op = outcome.op;
  slot.offset = outcome.offset;
  slot.bytes = outcome.bytes;
  if (slot.bytes > slot.data.writable_bytes) {
    fatal(kOfs, "PRDs with less room than the command's data");
    return false;
  }
  virtio::append_iov(slot.data.writable, 0, slot.bytes, slot.iov);
  return true;
}

}  // namespace trapline::ahci
