#include "devices/scsi/logical_unit.h"

#include <algorithm>
#include <utility>

#include "devices/scsi/bytes.h"

namespace trapline::scsi {
namespace {

using virtio::BlkOp;

constexpr uint8_t kOnDisk = 1, kOnCd = 2;

constexpr uint8_t bit_of(Type type) { return type == Type::kCd ? kOnCd : kOnDisk; }

// A CDB that names blocks, by its group code (SPC-4, 4.2.5.1).
struct Extent {
  uint64_t block = 0;
  uint64_t count = 0;
};

Extent extent_of(const Cdb& cdb) {
  switch (cdb[0] >> 5) {
    case 0:  // 6 bytes: no blocks are 256
      return {get_big(&cdb[1], 3) & 0x1fffff, cdb[4] == 0 ? 256u : cdb[4]};
    case 4:  // 16 bytes
      return {get_big(&cdb[2], 8), get_big(&cdb[10], 4)};
    case 5:  // 12 bytes
      return {get_big(&cdb[2], 4), get_big(&cdb[6], 4)};
    default:  // 10 bytes
      return {get_big(&cdb[2], 4), get_big(&cdb[7], 2)};
  }
}

}  // namespace

uint8_t* Outcome::reply(unsigned bytes, uint64_t allocation) {
  std::fill_n(data.begin(), bytes, uint8_t{0});
  size = static_cast<unsigned>(std::min<uint64_t>(bytes, allocation));
  return data.data();
}

LogicalUnit::LogicalUnit(const virtio::Image& image, Type type, const std::string& serial)
    : image_(image),
      type_(type),
      serial_(serial.substr(0, 20)),
      blocks_(image.bytes() / (type == Type::kCd ? kCdBlock : kDiskBlock)) {}

const LogicalUnit::Command* LogicalUnit::find(uint8_t opcode, Type type) {
  using L = LogicalUnit;
  constexpr uint8_t kBoth = kOnDisk | kOnCd;
  static constexpr Command kCommands[] = {
      {0x00, kBoth, false, 0, &L::test_unit_ready},
      {0x03, kBoth, true, 0, &L::request_sense},
      {0x08, kOnDisk, false, 0, &L::read},
      {0x0a, kOnDisk, false, 0, &L::write},
      {0x12, kBoth, true, 0, &L::inquiry},
      {0x1a, kBoth, false, 0, &L::mode_sense},
      {0x1b, kBoth, false, 0, &L::start_stop},
      {0x1e, kOnCd, false, 0, &L::test_unit_ready},  // PREVENT ALLOW MEDIUM REMOVAL
      {0x25, kBoth, false, 0, &L::read_capacity_10},
      {0x28, kBoth, false, 0, &L::read},
      {0x2a, kOnDisk, false, 0, &L::write},
      {0x35, kBoth, false, 0, &L::synchronize_cache},
      {0x41, kOnDisk, false, 512, &L::write_same},
      {0x42, kOnDisk, false, 24, &L::unmap},
      {0x43, kOnCd, false, 0, &L::read_toc},
      {0x46, kOnCd, true, 0, &L::get_configuration},
      {0x4a, kOnCd, true, 0, &L::get_event_status},
      {0x51, kOnCd, false, 0, &L::read_disc_information},
      {0x5a, kBoth, false, 0, &L::mode_sense},
      {0x88, kOnDisk, false, 0, &L::read},
      {0x8a, kOnDisk, false, 0, &L::write},
      {0x91, kOnDisk, false, 0, &L::synchronize_cache},
      {0x93, kOnDisk, false, 512, &L::write_same},
      {0x9e, kOnDisk, false, 0, &L::service_action_in},
      {0xa0, kBoth, true, 0, &L::report_luns},
      {0xa8, kBoth, false, 0, &L::read},
      {0xaa, kOnDisk, false, 0, &L::write},
      {0xbd, kOnCd, false, 0, &L::mechanism_status},
  };
  const auto* found = std::find_if(std::begin(kCommands), std::end(kCommands),
                                   [opcode](const Command& c) { return c.opcode == opcode; });
  return found != std::end(kCommands) && (found->types & bit_of(type)) != 0 ? found : nullptr;
}

unsigned LogicalUnit::parameter_bytes(const Cdb& cdb) const {
  const Command* command = find(cdb[0], type_);
  return command == nullptr ? 0 : command->parameters;
}

void LogicalUnit::execute(const Cdb& cdb, std::span<const uint8_t> parameters, Outcome& out) {
  const Command* command = find(cdb[0], type_);
  out.kind = Outcome::Kind::kReply;
  out.size = 0;
  out.durable = out.may_unmap = out.repeated = false;
  if (command == nullptr) return out.refuse(kInvalidOpcode);
  if (attention_.key != 0 && !command->before_attention) {
    return out.refuse(std::exchange(attention_, {}));
  }
  (this->*command->run)(cdb, parameters, out);
}

Sense LogicalUnit::failure(BlkOp op) { return op == BlkOp::kRead ? kUnrecoveredRead : kWriteError; }

void execute_absent(const Cdb& cdb, Outcome& out) {
  out.kind = Outcome::Kind::kReply;
  switch (cdb[0]) {
    case 0x03: {  // REQUEST SENSE
      const auto sense = fixed_format(kNoSuchUnit);
      std::copy(sense.begin(), sense.end(), out.reply(kSenseBytes, cdb[4]));
      return;
    }
    case 0x12: {  // INQUIRY, 6.6.2: no device can be there
      uint8_t* data = out.reply(36, get_big(&cdb[3], 2));
      data[0] = 0x7f;
      data[4] = 31;
      return;
    }
    default:
      return out.refuse(kNoSuchUnit);
  }
}

// --- SPC-4 ---------------------------------------------------------------------------------------

// 6.39; what is told is forgotten.
void LogicalUnit::request_sense(const Cdb& cdb, Parameters, Outcome& out) {
  const Sense sense = held_.key != 0 ? std::exchange(held_, {}) : std::exchange(attention_, {});
  if ((cdb[1] & 1) != 0) {  // DESC
    uint8_t* data = out.reply(8, cdb[4]);
    data[0] = 0x72;
    data[1] = sense.key;
    data[2] = sense.asc;
    data[3] = sense.ascq;
    return;
  }
  const auto fixed = fixed_format(sense);
  std::copy(fixed.begin(), fixed.end(), out.reply(kSenseBytes, cdb[4]));
}

// 6.42: the only one.
void LogicalUnit::report_luns(const Cdb& cdb, Parameters, Outcome& out) {
  const uint64_t allocation = get_big(&cdb[6], 4);
  if (allocation < 16 || cdb[2] > 2) return out.refuse(kInvalidFieldInCdb);
  const unsigned luns = cdb[2] == 1 ? 0 : 1;  // 1: well-known units only
  put_big(out.reply(8 + 8 * luns, allocation), 4, 8 * luns);
}

// SBC-3, 5.25; MMC-6, 6.42. The image is the medium for as long as the machine runs.
void LogicalUnit::start_stop(const Cdb& cdb, Parameters, Outcome& out) {
  constexpr uint8_t kStart = 1, kLoadEject = 2;
  if (type_ == Type::kCd && (cdb[4] & (kLoadEject | kStart)) == kLoadEject) {
    out.refuse(kRemovalPrevented);
  }
}

// --- SBC-3 ---------------------------------------------------------------------------------------

bool LogicalUnit::in_range(uint64_t block, uint64_t count, Outcome& out) const {
  const bool good = block <= blocks_ && count <= blocks_ - block;
  if (!good) out.refuse(kOutOfRange);
  return good;
}

void LogicalUnit::read_capacity_10(const Cdb& cdb, Parameters, Outcome& out) {
  // 5.12.1: no address without PMI, which nobody can set.
  if (get_big(&cdb[2], 4) != 0 || (cdb[8] & 1) != 0) return out.refuse(kInvalidFieldInCdb);
  uint8_t* data = out.reply(8, 8);
  put_big(data, 4, std::min<uint64_t>(blocks_ - 1, 0xffffffff));
  put_big(data + 4, 4, block_bytes());
}

// READ CAPACITY (16), 5.13.
void LogicalUnit::service_action_in(const Cdb& cdb, Parameters, Outcome& out) {
  constexpr uint8_t kReadCapacity16 = 0x10;
  if ((cdb[1] & 0x1f) != kReadCapacity16) return out.refuse(kInvalidFieldInCdb);
  uint8_t* data = out.reply(32, get_big(&cdb[10], 4));
  put_big(data, 8, blocks_ - 1);
  put_big(data + 8, 4, block_bytes());
  data[13] = 3;                                 // 4 KiB: what host file systems like
  data[14] = image_.read_only() ? 0x00 : 0x80;  // LBPME
}

void LogicalUnit::read(const Cdb& cdb, Parameters, Outcome& out) {
  transfer(cdb, BlkOp::kRead, out);
}

void LogicalUnit::write(const Cdb& cdb, Parameters, Outcome& out) {
  if (image_.read_only()) return out.refuse(kWriteProtected);
  transfer(cdb, BlkOp::kWrite, out);
}

void LogicalUnit::transfer(const Cdb& cdb, BlkOp op, Outcome& out) {
  const bool six = cdb[0] >> 5 == 0;
  // No protection information.
  if (!six && type_ == Type::kDisk && cdb[1] >> 5 != 0) return out.refuse(kInvalidFieldInCdb);
  const Extent extent = extent_of(cdb);
  if (!in_range(extent.block, extent.count, out) || extent.count == 0) return;
  out.kind = Outcome::Kind::kIo;
  out.op = op;
  out.durable = !six && (cdb[1] & 8) != 0 && op == BlkOp::kWrite;  // FUA
  out.offset = extent.block * block_bytes();
  out.bytes = extent.count * block_bytes();
}

void LogicalUnit::synchronize_cache(const Cdb& cdb, Parameters, Outcome& out) {
  const Extent extent = extent_of(cdb);
  if (!in_range(extent.block, extent.count, out) || image_.read_only()) return;
  out.kind = Outcome::Kind::kIo;
  out.op = BlkOp::kFlush;
  out.offset = out.bytes = 0;
}

// 5.28; one descriptor, as the block limits page says.
void LogicalUnit::unmap(const Cdb& cdb, Parameters parameters, Outcome& out) {
  constexpr unsigned kHeader = 8, kDescriptor = 16;
  const uint64_t length = get_big(&cdb[7], 2);
  if ((cdb[1] & 1) != 0) return out.refuse(kInvalidFieldInCdb);  // ANCHOR
  if (image_.read_only()) return out.refuse(kWriteProtected);
  if (length == 0) return;
  if (length < kHeader || parameters.size() < kHeader) return out.refuse(kParameterListLength);
  const uint64_t descriptors = get_big(&parameters[2], 2) / kDescriptor;
  if (descriptors == 0) return;
  if (descriptors > 1) return out.refuse(kInvalidParameter);
  if (length < kHeader + kDescriptor || parameters.size() < kHeader + kDescriptor) {
    return out.refuse(kParameterListLength);
  }
  const uint64_t block = get_big(&parameters[kHeader], 8);
  const uint64_t count = get_big(&parameters[kHeader + 8], 4);
  if (count > kMaxUnmapBlocks) return out.refuse(kInvalidParameter);
  if (!in_range(block, count, out) || count == 0) return;
  out.kind = Outcome::Kind::kIo;
  out.op = BlkOp::kDiscard;
  out.offset = block * kDiskBlock;
  out.bytes = count * kDiskBlock;
}

// 5.45 and 5.46.
void LogicalUnit::write_same(const Cdb& cdb, Parameters parameters, Outcome& out) {
  constexpr uint8_t kNoData = 1, kUnmap = 8, kAnchor = 0x10, kProtect = 0xe0;
  const bool sixteen = cdb[0] == 0x93;
  const bool no_data = sixteen && (cdb[1] & kNoData) != 0;
  const Extent extent = extent_of(cdb);
  if (image_.read_only()) return out.refuse(kWriteProtected);
  if ((cdb[1] & (kAnchor | kProtect)) != 0 || extent.count == 0 ||
      extent.count > kMaxWriteSameBlocks) {
    return out.refuse(kInvalidFieldInCdb);
  }
  if (!no_data && parameters.size() < kDiskBlock) return out.refuse(kParameterListLength);
  if (!in_range(extent.block, extent.count, out)) return;
  const bool zeroes = no_data || std::all_of(parameters.begin(), parameters.end(),
                                             [](uint8_t byte) { return byte == 0; });
  out.kind = Outcome::Kind::kIo;
  out.op = zeroes ? BlkOp::kWriteZeroes : BlkOp::kWrite;
  out.repeated = !zeroes;
  out.may_unmap = (cdb[1] & kUnmap) != 0;
  out.offset = extent.block * kDiskBlock;
  out.bytes = extent.count * kDiskBlock;
}

// --- life ----------------------------------------------------------------------------------------

void LogicalUnit::save(StateWriter& out) const {
  out.put(attention_);
  out.put(held_);
}

bool LogicalUnit::load(StateReader& in) {
  attention_ = in.get<Sense>();
  held_ = in.get<Sense>();
  return in.ok();
}

}  // namespace trapline::scsi
