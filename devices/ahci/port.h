// A port of the HBA and the disk or CD-ROM behind it: registers, the command list, frames received.
#ifndef TRAPLINE_DEVICES_AHCI_PORT_H_
#define TRAPLINE_DEVICES_AHCI_PORT_H_

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "devices/ahci/ata.h"
#include "devices/ahci/registers.h"
#include "devices/scsi/logical_unit.h"
#include "devices/virtio/disk.h"
#include "devices/virtio/dma.h"
#include "devices/virtio/queue.h"
#include "devices/virtio/report.h"
#include "mmio/state.h"

namespace trapline::ahci {

// The HBA as a port sees it. With the port's lock held.
class Hba {
 public:
  virtual ~Hba() = default;
  virtual Dma& dma() = 0;
  virtual Report& report() = 0;
  // Commands may be carried out: the function may touch memory, and nobody waits for it to be
  // still.
  virtual bool allowed() const = 0;
  // True: Port::run() will be called later, by the clock.
  virtual bool defers(unsigned port) = 0;
  // Whether PxIS has something that PxIE enables.
  virtual void port_interrupt(unsigned port, bool pending) = 0;
};

class Port final : private virtio::Disk::Controller {
 public:
  Port(unsigned number, Hba& hba, std::unique_ptr<virtio::Image> image, scsi::Type type,
       const std::string& name);

  // At assembly, unless the machine is deterministic: the disk has a thread.
  void start() { disk_.start(*this); }

  // --- any thread ---
  const virtio::Disk& disk() const { return disk_; }
  uint32_t read(uint64_t reg);
  void write(uint64_t reg, uint32_t value);
  // Carries out what was asked for, or begins to.
  void run();

  // --- one thread at a time, which holds none of our locks; these wait for the host ---
  static bool is_control(uint64_t reg) { return reg == kPxCmd || reg == kPxSctl; }
  void write_control(uint64_t reg, uint32_t value);
  // Nothing is under way: what has not begun stays to be done.
  void drain() { disk_.drain(); }
  void reset();

  void save(StateWriter& out) const;
  bool load(StateReader& in);

 private:
  // Bounds a guest's scatter lists; drivers have a few hundred.
  static constexpr size_t kMaxPieces = 2048;
  static constexpr unsigned kTrimRanges = kSector / 8;

  struct Slot : virtio::BlkRequest {
    unsigned number = 0;
    AtaCommand command;
    TaskFile task;
    bool packet = false;
    uint64_t header = 0;      // address
    virtio::Chain data;       // the PRDs: readable if the device reads them, else writable
    bool short_list = false;  // the PRDs have less room than the command asked for
    std::array<std::pair<uint64_t, uint64_t>, kTrimRanges> ranges;  // bytes
    unsigned range = 0, range_count = 0;
  };

  bool started() const { return (cmd_ & kStart) != 0; }
  void run_locked();
  void issue(bool at_once);
  bool begin(unsigned number, bool at_once);
  bool execute(Slot& slot, const CommandTable& table);
  bool execute_packet(Slot& slot, const CommandTable& table);
  bool transfer(Slot& slot, bool write);
  bool trim(Slot& slot);
  static void next_range(Slot& slot);
  void submit(Slot& slot, bool at_once);
  void finished(const std::vector<virtio::BlkRequest*>& requests) override;
  void complete(Slot& slot);
  void reply(Slot& slot, const uint8_t* data, size_t bytes);
  void done(Slot& slot, uint64_t moved);
  void fail(Slot& slot, uint8_t error);
  void fatal(uint32_t interrupt, const char* why);
  bool map(Slot& slot, const CommandHeader& header, uint64_t table, uint64_t wanted, bool write);
  void control(const uint8_t* frame);
  void set_features(Slot& slot);
  void device_reset();
  void post(uint64_t at, const uint8_t* frame, size_t bytes, uint32_t interrupt);
  void post_d2h(const TaskFile& task, uint8_t status, uint8_t error, bool interrupt);
  void post_pio(const Slot& slot, size_t bytes);
  void post_signature();
  void raise(uint32_t bits);
  void show_interrupt() { hba_.port_interrupt(number_, (is_ & ie_) != 0); }
  void forget_commands();
  void power_on();

  const unsigned number_;
  Hba& hba_;
  virtio::Disk disk_;
  scsi::LogicalUnit unit_;
  const scsi::Type type_;

  mutable std::mutex mutex_;
  uint64_t clb_ = 0, fb_ = 0;
  uint32_t is_ = 0, ie_ = 0, cmd_ = 0, tfd_ = 0, sig_ = 0, sctl_ = 0, serr_ = 0, sact_ = 0, ci_ = 0;
  uint32_t begun_ = 0;            // slots whose command is under way
  uint32_t queued_ = 0;           // those of them that are NCQ's
  unsigned current_ = 0;          // CCS
  bool halted_ = false;           // by an error, until the driver stops the port
  bool resetting_ = false;        // between the two frames of a software reset
  bool signature_waits_ = false;  // for FRE
  bool write_cache_ = true;
  QueuedError queued_error_;
  std::array<Slot, kSlots> slots_;
};

}  // namespace trapline::ahci

#endif  // TRAPLINE_DEVICES_AHCI_PORT_H_
