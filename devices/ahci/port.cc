#include "devices/ahci/port.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace trapline::ahci {
namespace {

constexpr uint32_t kStateVersion = 1;
constexpr uint64_t kListAlign = 1024, kReceiveAlign = 256, kTableAlign = 128;
constexpr uint32_t kDetMask = 0xf, kDetReset = 1;

uint32_t bit(unsigned n) { return uint32_t{1} << n; }

void set_half(uint64_t& address, bool high, uint32_t value, uint64_t align) {
  const unsigned shift = high ? 32 : 0;
  address = (address & ~(uint64_t{0xffffffff} << shift)) | uint64_t{value} << shift;
  address &= ~(align - 1);
}

}  // namespace

Port::Port(unsigned number, Hba& hba, std::unique_ptr<virtio::Image> image, scsi::Type type,
           const std::string& name)
    : number_(number),
      hba_(hba),
      disk_(std::move(image), name),
      unit_(disk_.image(), type, name),
      type_(type) {
  for (unsigned i = 0; i < kSlots; ++i) slots_[i].number = i;
  power_on();
}

// --- registers -----------------------------------------------------------------------------------

uint32_t Port::read(uint64_t reg) {
  std::lock_guard lock(mutex_);
  switch (reg) {
    case kPxClb:
      return static_cast<uint32_t>(clb_);
    case kPxClbu:
      return static_cast<uint32_t>(clb_ >> 32);
    case kPxFb:
      return static_cast<uint32_t>(fb_);
    case kPxFbu:
      return static_cast<uint32_t>(fb_ >> 32);
    case kPxIs:
      return is_;
    case kPxIe:
      return ie_;
    case kPxCmd:  // what was asked for is so when the write returns
      return cmd_ | kSpinUp | kPowerOn | (started() ? kListRunning | current_ << 8 : 0u) |
             ((cmd_ & kFisReceive) != 0 ? uint32_t{kFisRunning} : 0);
    case kPxTfd:
      return tfd_;
    case kPxSig:
      return sig_;
    case kPxSsts:
      return (sctl_ & kDetMask) == 0 ? kLinkUp : 0;
    case kPxSctl:
      return sctl_;
    case kPxSerr:
      return serr_;
    case kPxSact:
      return sact_;
    case kPxCi:
      return ci_;
    default:
      return 0;
  }
}

void Port::write(uint64_t reg, uint32_t value) {
  std::lock_guard lock(mutex_);
  switch (reg) {
    case kPxClb:
    case kPxClbu:
      return set_half(clb_, reg == kPxClbu, value, kListAlign);
    case kPxFb:
    case kPxFbu:
      return set_half(fb_, reg == kPxFbu, value, kReceiveAlign);
    case kPxIs:
      is_ &= ~value;
      return show_interrupt();
    case kPxIe:
      ie_ = value & kIsKnown;
      return show_interrupt();
    case kPxSerr:
      serr_ &= ~value;
      return;
    case kPxSact:
      if (started()) sact_ |= value;
      return;
    case kPxCi:
      if (!started()) return;
      ci_ |= value;
      return run_locked();
    default:
      return;  // read-only, or not there
  }
}

void Port::write_control(uint64_t reg, uint32_t value) {
  std::unique_lock lock(mutex_);
  if (reg == kPxSctl) {
    const bool reset = (sctl_ & kDetMask) == kDetReset && (value & kDetMask) == 0;
    sctl_ = value & 0xfff;
    if ((value & kDetMask) != kDetReset && !reset) return;
    // 10.4.2: the driver has stopped the port; if not, it stops now.
    cmd_ &= ~static_cast<uint32_t>(kStart);
    lock.unlock();
    disk_.drain();
    lock.lock();
    forget_commands();
    if (reset) device_reset();
    return;
  }
  constexpr uint32_t kKept = kStart | kFisReceive | kAtapi | kDriveLed;
  const uint32_t before = cmd_;
  cmd_ = value & kKept;
  if ((value & kOverride) != 0) tfd_ &= ~uint32_t{kBusy | kDataRequest};
  if (((before & ~cmd_) & kStart) != 0) {
    // 10.3.2: CI and SACT are cleared when the list no longer runs.
    lock.unlock();
    disk_.drain();
    lock.lock();
    forget_commands();
  }
  if ((cmd_ & kFisReceive) != 0 && signature_waits_) post_signature();
}

// Nothing is under way.
void Port::forget_commands() {
  ci_ = sact_ = begun_ = queued_ = 0;
  current_ = 0;
  halted_ = false;
}

// --- interrupts and frames -----------------------------------------------------------------------

void Port::raise(uint32_t bits) {
  is_ |= bits;
  show_interrupt();
}

void Port::post(uint64_t at, const uint8_t* frame, size_t bytes, uint32_t interrupt) {
  if ((cmd_ & kFisReceive) != 0) {
    uint8_t* area = hba_.dma().host(fb_, kReceiveBytes);
    if (area == nullptr) return fatal(kHbfs, "the area for received frames is not in RAM");
    std::memcpy(area + at, frame, bytes);
    hba_.dma().done(fb_ + at, bytes);
  }
  if (interrupt != 0) raise(interrupt);
}

void Port::post_d2h(const TaskFile& task, uint8_t status, uint8_t error, bool interrupt) {
  uint8_t frame[20] = {kFisD2h, static_cast<uint8_t>(interrupt ? 0x40 : 0), status, error};
  for (unsigned i = 0; i < 3; ++i) {
    frame[4 + i] = static_cast<uint8_t>(task.lba >> 8 * i);
    frame[8 + i] = static_cast<uint8_t>(task.lba >> (24 + 8 * i));
  }
  frame[7] = task.device;
  frame[12] = static_cast<uint8_t>(task.count);
  frame[13] = static_cast<uint8_t>(task.count >> 8);
  tfd_ = status | uint32_t{error} << 8;
  post(kD2hAt, frame, sizeof frame, interrupt ? uint32_t{kDhrs} : 0);
}

void Port::post_pio(const Slot& slot, size_t bytes) {
  const bool to_host = !slot.data.writable.empty();
  // What ends a read by PIO is this frame; a packet or a write has one of its own behind it.
  const bool last = to_host && !slot.packet;
  uint8_t frame[20] = {kFisPioSetup, static_cast<uint8_t>((to_host ? 0x20 : 0) | (last ? 0x40 : 0)),
                       kGoodStatus | kDataRequest, 0};
  frame[7] = slot.task.device;
  frame[12] = static_cast<uint8_t>(slot.task.count);
  frame[15] = kGoodStatus;
  frame[16] = static_cast<uint8_t>(bytes);
  frame[17] = static_cast<uint8_t>(bytes >> 8);
  tfd_ = kGoodStatus;
  post(kPioSetupAt, frame, sizeof frame, last ? uint32_t{kPss} : 0);
}

// ACS-3, 9.1: what a device says after a reset.
void Port::post_signature() {
  const bool cd = type_ == scsi::Type::kCd;
  TaskFile task;
  task.lba = cd ? 0xeb1401 : 0x000001;
  task.count = 1;
  sig_ = static_cast<uint32_t>(task.lba << 8 | task.count);
  signature_waits_ = (cmd_ & kFisReceive) == 0;
  post_d2h(task, cd ? 0 : kGoodStatus, 1, false);
}

// The HBA stops the port until the driver clears ST, 6.2.2.
void Port::fatal(uint32_t interrupt, const char* why) {
  halted_ = true;
  hba_.report().add(why);
  raise(interrupt);
}

// --- command list --------------------------------------------------------------------------------

void Port::run() {
  std::lock_guard lock(mutex_);
  issue(false);
}

void Port::run_locked() {
  if (!hba_.defers(number_)) issue(true);
}

// Begins what can begin. A command that is not queued has the port for itself.
void Port::issue(bool at_once) {
  for (unsigned looked = 0; looked < kSlots;) {
    if (!started() || halted_ || !hba_.allowed() || (begun_ & ~queued_) != 0) return;
    const uint32_t waiting = ci_ & ~begun_;
    if (waiting == 0) return;
    const uint32_t next = std::rotr(waiting, static_cast<int>(current_));
    const unsigned number = (current_ + static_cast<unsigned>(std::countr_zero(next))) % kSlots;
    try {
      if (!begin(number, at_once)) return;
    } catch (const std::bad_alloc&) {
      fatal(kHbfs, "the host is out of memory");
      return;
    }
    ++looked;
  }
}

// False: it has to wait for what is under way.
bool Port::begin(unsigned number, bool at_once) {
  Slot& slot = slots_[number];
  slot.header = clb_ + sizeof(CommandHeader) * number;
  const uint8_t* at = hba_.dma().host(slot.header, sizeof(CommandHeader));
  CommandHeader header;
  CommandTable table;
  if (at == nullptr) {
    fatal(kHbfs, "the command list is not in RAM");
    return true;
  }
  copy_from_guest(&header, at, sizeof header);
  header.table &= ~(kTableAlign - 1);
  at = hba_.dma().host(header.table, sizeof table);
  if (at == nullptr) {
    fatal(kHbfs, "a command table is not in RAM");
    return true;
  }
  copy_from_guest(&table, at, sizeof table);
  if (table.frame[0] != kFisH2d) {
    fatal(kIfs, "a command that is no register frame");
    return true;
  }
  const bool command = (table.frame[1] & 0x80) != 0;
  slot.task = task_file(table.frame);
  slot.command = command ? find_command(slot.task.command, type_) : AtaCommand{};
  const bool queued = slot.command.has(kQueued);
  if (!queued && begun_ != 0) return false;
  current_ = number;
  begun_ |= bit(number);
  if (command && !queued) tfd_ |= kBusy;
  if (queued) {
    queued_ |= bit(number);
    // Serial ATA 3.1, 13.6.4: the device has it, and the slot is free for another.
    ci_ &= ~bit(number);
  }
  slot.packet = slot.command.action == Action::kPacket;
  slot.data.readable.clear();
  slot.data.writable.clear();
  slot.data.readable_bytes = slot.data.writable_bytes = 0;
  slot.range = slot.range_count = 0;
  slot.iov.clear();
  if (!command) {
    ci_ &= ~bit(number);
    begun_ &= ~bit(number);
    control(table.frame);
    return true;
  }
  // What the command moves at most; IDENTIFY and logs, TRIM's ranges and packets are found inside.
  uint64_t wanted = uint64_t{kSector} * 65536;
  uint64_t sector = 0, count = 0;
  const Action action = slot.command.action;
  const bool moves = action == Action::kRead || action == Action::kWrite;
  if (moves && extent_of(slot.command, slot.task, sector, count)) wanted = count * kSector;
  if (action == Action::kIdentify || action == Action::kReadLog || action == Action::kTrim) {
    wanted = kSector;
  }
  const bool has_data = moves || wanted == kSector || slot.packet;
  const bool write = action == Action::kWrite || action == Action::kTrim;
  if (has_data && !map(slot, header, header.table + sizeof table, wanted, write)) return true;
  if (execute(slot, table)) submit(slot, at_once);
  return true;
}

// Looks at the PRDs until they hold `wanted` bytes, or to their end.
bool Port::map(Slot& slot, const CommandHeader& header, uint64_t prds, uint64_t wanted,
               bool write) {
  virtio::Chain& chain = slot.data;
  std::vector<virtio::Segment>& list = write ? chain.readable : chain.writable;
  uint64_t& bytes = write ? chain.readable_bytes : chain.writable_bytes;
  const uint8_t* at = hba_.dma().host(prds, uint64_t{header.prds} * sizeof(Prd));
  if (at == nullptr && header.prds != 0) {
    fatal(kHbfs, "PRDs that are not in RAM");
    return false;
  }
  for (unsigned i = 0; i < header.prds && bytes < wanted; ++i) {
    Prd prd;
    copy_from_guest(&prd, at + sizeof prd * i, sizeof prd);
    const auto size =
        static_cast<uint32_t>(std::min<uint64_t>((prd.count & 0x3fffff) + 1, wanted - bytes));
    uint8_t* host = hba_.dma().host(prd.address, size);
    if (host == nullptr) {
      fatal(kHbfs, "a PRD's data are not in RAM");
      return false;
    }
    if (!list.empty() && list.back().host + list.back().size == host &&
        list.back().ipa + list.back().size == prd.address) {
      list.back().size += size;
    } else if (list.size() < kMaxPieces) {
      list.push_back({host, prd.address, size});
    } else {
      fatal(kOfs, "more pieces of memory than a command may have");
      return false;
    }
    bytes += size;
  }
  slot.short_list = bytes < wanted;
  return true;
}

// Of a frame that is no command: the device control register, of which software reset is all.
void Port::control(const uint8_t* frame) {
  constexpr uint8_t kSoftwareReset = 4;
  const bool reset = (frame[15] & kSoftwareReset) != 0;
  if (resetting_ && !reset) device_reset();
  resetting_ = reset;
}

void Port::device_reset() {
  resetting_ = false;
  write_cache_ = true;
  unit_.reset(scsi::kPowerOn);
  post_signature();
}

// --- completion ----------------------------------------------------------------------------------

void Port::submit(Slot& slot, bool at_once) {
  while (disk_.submit(slot, at_once && begun_ == bit(slot.number))) {
    const bool more = slot.range + 1 < slot.range_count && slot.result == 0;
    complete(slot);
    if (!more) return;
  }
}

// On the disk's thread.
void Port::finished(const std::vector<virtio::BlkRequest*>& requests) {
  std::lock_guard lock(mutex_);
  for (virtio::BlkRequest* request : requests) {
    auto& slot = static_cast<Slot&>(*request);
    const bool more = slot.range + 1 < slot.range_count && slot.result == 0;
    complete(slot);
    if (more) submit(slot, false);
  }
  issue(false);
}

// The disk has done its part: of TRIM, of one range.
void Port::complete(Slot& slot) {
  if (disk_.result(slot, hba_.report()) != 0) {
    if (!slot.packet) return fail(slot, slot.op == virtio::BlkOp::kRead ? kUncorrectable : kAbort);
    const scsi::Sense sense = scsi::LogicalUnit::failure(slot.op);
    unit_.hold(sense);
    return fail(slot, static_cast<uint8_t>(sense.key << 4));
  }
  if (slot.range_count != 0 && ++slot.range < slot.range_count) return next_range(slot);
  const bool read = slot.op == virtio::BlkOp::kRead;
  if (read) slot.data.done(hba_.dma(), slot.bytes);
  done(slot, read || slot.op == virtio::BlkOp::kWrite ? slot.bytes : 0);
}

void Port::reply(Slot& slot, const uint8_t* data, size_t bytes) {
  done(slot, slot.data.write(hba_.dma(), 0, data, bytes));
}

// The command has succeeded, and `moved` bytes of its data.
void Port::done(Slot& slot, uint64_t moved) {
  const uint32_t mine = bit(slot.number);
  begun_ &= ~mine;
  if (slot.command.has(kQueued)) {
    queued_ &= ~mine;
    // A device that has reported an error says nothing of the others, which the driver repeats.
    if (halted_) return;
    sact_ &= ~mine;
    uint8_t frame[8] = {kFisSetBits, 0x40, kGoodStatus & 0x77, 0};
    std::memcpy(frame + 4, &mine, sizeof mine);
    tfd_ = kGoodStatus;
    return post(kSetBitsAt, frame, sizeof frame, kSdbs);
  }
  const auto count = static_cast<uint32_t>(moved);
  if (uint8_t* at = hba_.dma().host(slot.header, sizeof(CommandHeader))) {
    std::memcpy(at + offsetof(CommandHeader, moved), &count, sizeof count);
    hba_.dma().done(slot.header + offsetof(CommandHeader, moved), sizeof count);
  }
  ci_ &= ~mine;
  const bool pio =
      slot.packet ? (slot.task.features & 1) == 0 && moved != 0 : slot.command.has(kPio);
  if (pio) post_pio(slot, moved);
  if (pio && !slot.packet && !slot.data.writable.empty()) return;
  TaskFile task = slot.task;
  if (slot.packet) task.count = 3;  // interrupt reason: I/O, command/data
  if (slot.command.action == Action::kCheckPower) task.count = 0xff;  // active
  post_d2h(task, kGoodStatus, 0, true);
}

// The command has failed: the port halts, 6.2.2.1, and CI or SACT says whose it was.
void Port::fail(Slot& slot, uint8_t error) {
  constexpr uint8_t kStatus = kReady | kError;
  const uint32_t mine = bit(slot.number);
  begun_ &= ~mine;
  if (slot.command.has(kQueued)) {
    queued_ &= ~mine;
    if (halted_) return;
    queued_error_ = {static_cast<uint8_t>(slot.number), kStatus, error, slot.task.lba,
                     slot.task.features};
    const uint8_t frame[8] = {kFisSetBits, 0x40, kStatus & 0x77, error};
    tfd_ = kStatus | uint32_t{error} << 8;
    post(kSetBitsAt, frame, sizeof frame, kSdbs);
  } else {
    TaskFile task = slot.task;
    if (slot.packet) task.count = 3;
    post_d2h(task, kStatus, error, true);
  }
  halted_ = true;
  raise(kTfes);
}

// --- life ----------------------------------------------------------------------------------------

void Port::power_on() {
  forget_commands();
  clb_ = fb_ = 0;
  is_ = ie_ = cmd_ = sctl_ = serr_ = 0;
  queued_error_ = {};
  device_reset();
  show_interrupt();
}

void Port::reset() {
  {
    std::lock_guard lock(mutex_);
    cmd_ &= ~static_cast<uint32_t>(kStart);
  }
  disk_.drain();
  std::lock_guard lock(mutex_);
  power_on();
}

void Port::save(StateWriter& out) const {
  std::lock_guard lock(mutex_);
  out.put(kStateVersion);
  for (const uint64_t address : {clb_, fb_}) out.put(address);
  for (const uint32_t value : {is_, ie_, cmd_, tfd_, sig_, sctl_, serr_, sact_, ci_, current_}) {
    out.put(value);
  }
  for (const bool flag : {halted_, resetting_, signature_waits_, write_cache_}) {
    out.put(uint8_t{flag});
  }
  out.put(queued_error_);
  unit_.save(out);
}

bool Port::load(StateReader& in) {
  std::lock_guard lock(mutex_);
  if (in.get<uint32_t>() != kStateVersion) return false;
  for (uint64_t* address : {&clb_, &fb_}) *address = in.get<uint64_t>();
  for (uint32_t* value :
       {&is_, &ie_, &cmd_, &tfd_, &sig_, &sctl_, &serr_, &sact_, &ci_, &current_}) {
    *value = in.get<uint32_t>();
  }
  for (bool* flag : {&halted_, &resetting_, &signature_waits_, &write_cache_}) {
    *flag = in.get<uint8_t>() != 0;
  }
  queued_error_ = in.get<QueuedError>();
  clb_ &= ~(kListAlign - 1);
  fb_ &= ~(kReceiveAlign - 1);
  current_ %= kSlots;
  if (!started()) ci_ = sact_ = 0;
  begun_ = queued_ = 0;
  if (!unit_.load(in) || !in.ok()) {
    power_on();
    return false;
  }
  show_interrupt();
  return true;
}

}  // namespace trapline::ahci
