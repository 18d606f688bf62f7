// A disk or a CD as SCSI commands see it (SPC-4, SBC-3, MMC-6): decodes them, answers those that
// need no data of the image, and says what to do of the others. Whoever carries commands (virtio,
// ATAPI) moves the bytes.
#ifndef TRAPLINE_DEVICES_SCSI_LOGICAL_UNIT_H_
#define TRAPLINE_DEVICES_SCSI_LOGICAL_UNIT_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "devices/scsi/sense.h"
#include "devices/virtio/blk_engine.h"
#include "devices/virtio/image.h"
#include "mmio/state.h"

namespace trapline::scsi {

inline constexpr unsigned kCdbBytes = 16;  // longer ones are of no command that is known here
using Cdb = std::array<uint8_t, kCdbBytes>;

// INQUIRY's peripheral device type.
enum class Type : uint8_t { kDisk = 0x00, kCd = 0x05 };

// What is attached to a controller: as which target or port, each number once.
struct Drive {
  unsigned number = 0;
  std::unique_ptr<virtio::Image> image;
  Type type = Type::kDisk;
};

// What a command comes to.
struct Outcome {
  enum class Kind : uint8_t {
    kReply,    // done: the first `size` bytes of `data` are for the initiator
    kRefused,  // CHECK CONDITION with `sense`
    kIo,       // done when the image has done this
  };
  Kind kind = Kind::kReply;
  Sense sense;
  // kIo, as in BlkRequest
  virtio::BlkOp op = virtio::BlkOp::kRead;
  bool durable = false;
  bool may_unmap = false;
  bool repeated = false;  // kWrite: the one block of data again and again
  uint64_t offset = 0, bytes = 0;
  // kReply
  unsigned size = 0;
  std::array<uint8_t, 256> data;

  void refuse(const Sense& why) {
    kind = Kind::kRefused;
    sense = why;
  }
  // `bytes` of data, zeroes, no more than `allocation` of which will be sent.
  uint8_t* reply(unsigned bytes, uint64_t allocation);
};

class LogicalUnit {
 public:
  static constexpr unsigned kMaxParameterBytes = 512;
  static constexpr unsigned kDiskBlock = 512, kCdBlock = 2048;
  static constexpr uint32_t kMaxUnmapBlocks = 1u << 22;      // 2 GiB
  static constexpr uint32_t kMaxWriteSameBlocks = 1u << 16;  // 32 MiB: some hosts must write them

  // `serial`: ASCII, 20 characters count.
  LogicalUnit(const virtio::Image& image, Type type, const std::string& serial);

  Type type() const { return type_; }
  unsigned block_bytes() const { return type_ == Type::kCd ? kCdBlock : kDiskBlock; }
  uint64_t blocks() const { return blocks_; }
  const std::string& serial() const { return serial_; }

  // How many bytes of its data the command itself wants to see; at most kMaxParameterBytes.
  unsigned parameter_bytes(const Cdb& cdb) const;
  // `parameters`: so many of the data, or all there are.
  void execute(const Cdb& cdb, std::span<const uint8_t> parameters, Outcome& out);
  // What to say of a host's error in what execute() asked for.
  static Sense failure(virtio::BlkOp op);
  // A transport that does not hand over sense data with the status keeps it for REQUEST SENSE.
  void hold(const Sense& sense) { held_ = sense; }
  // The next command is told, unless it asks for what is known without it.
  void reset(const Sense& attention) {
    attention_ = attention;
    held_ = {};
  }

  void save(StateWriter& out) const;
  bool load(StateReader& in);

 private:
  using Parameters = std::span<const uint8_t>;
  struct Command {
    uint8_t opcode;
    uint8_t types;          // a bit each: kOnDisk, kOnCd
    bool before_attention;  // is not told of a unit attention condition
    uint16_t parameters;    // parameter_bytes()
    void (LogicalUnit::*run)(const Cdb& cdb, Parameters parameters, Outcome& out);
  };
  static const Command* find(uint8_t opcode, Type type);

  void test_unit_ready(const Cdb&, Parameters, Outcome&) {}
  void request_sense(const Cdb& cdb, Parameters, Outcome& out);
  void inquiry(const Cdb& cdb, Parameters, Outcome& out);
  void mode_sense(const Cdb& cdb, Parameters, Outcome& out);
  void start_stop(const Cdb& cdb, Parameters, Outcome& out);
  void report_luns(const Cdb& cdb, Parameters, Outcome& out);
  // SBC-3
  void read_capacity_10(const Cdb& cdb, Parameters, Outcome& out);
  void service_action_in(const Cdb& cdb, Parameters, Outcome& out);
  void read(const Cdb& cdb, Parameters, Outcome& out);
  void write(const Cdb& cdb, Parameters, Outcome& out);
  void synchronize_cache(const Cdb& cdb, Parameters, Outcome& out);
  void unmap(const Cdb& cdb, Parameters parameters, Outcome& out);
  void write_same(const Cdb& cdb, Parameters parameters, Outcome& out);
  // MMC-6 (cd.cc)
  void read_toc(const Cdb& cdb, Parameters, Outcome& out);
  void get_configuration(const Cdb& cdb, Parameters, Outcome& out);
  void get_event_status(const Cdb& cdb, Parameters, Outcome& out);
  void read_disc_information(const Cdb& cdb, Parameters, Outcome& out);
  void mechanism_status(const Cdb& cdb, Parameters, Outcome& out);

  void standard_inquiry(uint8_t* data) const;
  // Returns the page's length, or 0 if it is none of these.
  unsigned vital_page(uint8_t page, uint8_t* data) const;
  unsigned mode_page(uint8_t page, bool changeable, uint8_t* data) const;
  void transfer(const Cdb& cdb, virtio::BlkOp op, Outcome& out);
  bool in_range(uint64_t block, uint64_t count, Outcome& out) const;

  const virtio::Image& image_;
  const Type type_;
  const std::string serial_;
  const uint64_t blocks_;
  Sense attention_ = kPowerOn;  // key 0: none
  Sense held_;
};

// A command to a logical unit that is not there, of a target that is.
void execute_absent(const Cdb& cdb, Outcome& out);

}  // namespace trapline::scsi

#endif  // TRAPLINE_DEVICES_SCSI_LOGICAL_UNIT_H_
