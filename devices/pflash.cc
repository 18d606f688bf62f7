#include "devices/pflash.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace trapline {
namespace {

// Commands, JEDEC CFI command set 0001 as Intel's J3 and P30 datasheets give it.
enum Command : uint8_t {
  kProgramAlternate = 0x10,
  kEraseSetup = 0x20,
  kProgramSetup = 0x40,
  kClearStatus = 0x50,
  kLockSetup = 0x60,
  kReadStatus = 0x70,
  kReadId = 0x90,
  kReadQuery = 0x98,
  kSuspend = 0xb0,
  kConfirm = 0xd0,
  kBufferSetup = 0xe8,
  kAmdReset = 0xf0,  // probes send it before they know the command set
  kReadArray = 0xff,
};
enum LockCode : uint8_t { kLock = 0x01, kLockDown = 0x2f, kUnlock = 0xd0 };

enum StatusBit : uint8_t {
  kProtected = 0x02,
  kProgramError = 0x10,
  kEraseError = 0x20,
  kReady = 0x80,
};

// Identifier codes: manufacturer Intel, and the device code that QEMU's flash shows.
constexpr uint8_t kManufacturer = 0x89;
constexpr uint8_t kDeviceCode = 0x18;

constexpr unsigned kBusBytes = 4;  // two devices of 16 bits
constexpr unsigned kDevices = 2;
constexpr uint32_t kStateVersion = 2;
constexpr uint64_t kLoadChunk = 1 << 20;

// A device's answer, on both halves of the bus.
constexpr uint32_t both(uint8_t value) { return value | uint32_t{value} << 16; }

}  // namespace

// --- the file ------------------------------------------------------------------------------------

std::string FlashFile::open(const std::string& path, uint64_t bank_bytes) {
  HostFile file;
  if (std::string error = file.open(path, {.read_only = false, .create = true}); !error.empty()) {
    return error;
  }
  if (file.size() > bank_bytes) {
    return path + ": too big for the flash: " + std::to_string(file.size()) + " bytes, at most " +
           std::to_string(bank_bytes);
  }
  file_ = std::move(file);
  bank_bytes_ = bank_bytes;
  end_ = file_.size();
  return {};
}

std::string FlashFile::load(uint8_t* array) {
  if (const int error = file_.read(0, array, end_)) {
    return file_.path() + ": cannot read: " + std::strerror(-error);
  }
  return {};
}

int FlashFile::store(uint64_t offset, const uint8_t* data, uint64_t size) {
  // Bytes that the file did not have yet are erased flash, not a hole of zeroes.
  const std::vector<uint8_t> erased(std::min(kLoadChunk, offset > end_ ? offset - end_ : 0), 0xff);
  while (end_ < offset) {
    const uint64_t n = std::min<uint64_t>(erased.size(), offset - end_);
    if (const int error = file_.write(end_, erased.data(), n)) return error;
    end_ += n;
  }
  if (const int error = file_.write(offset, data, size)) return error;
  end_ = std::max(end_, offset + size);
  return 0;
}

int FlashFile::sync() { return file_.sync(); }

// --- the device ----------------------------------------------------------------------------------

Pflash::Pflash(Options options)
    : options_(std::move(options)),
      report_(options_.name),
      buffer_(kBufferBytes),
      locked_(options_.size / kSectorBytes) {}

std::string_view Pflash::register_name(uint64_t) const { return "flash"; }

MmioResult Pflash::read(uint64_t offset, unsigned size, unsigned) {
  MmioResult result;
  if (offset >= options_.size || size > options_.size - offset) return result;
  std::lock_guard lock(mutex_);
  if (mode_ == Mode::kArray) {
    std::memcpy(&result.value, options_.array + offset, size);
    return result;
  }
  for (unsigned i = 0; i < size; ++i) {
    const uint64_t at = offset + i;
    const uint64_t byte = shown(at / kBusBytes) >> (8 * (at % kBusBytes)) & 0xff;
    result.value |= byte << (8 * i);
  }
  return result;
}

// What the bus shows at its 32-bit word `word`, outside array mode.
uint32_t Pflash::shown(uint64_t word) const {
  switch (mode_) {
    case Mode::kId:
      switch (word & 0xff) {
        case 0:
          return both(kManufacturer);
        case 1:
          return both(kDeviceCode);
        case 2:
          return both(locked_[word * kBusBytes / kSectorBytes]);
        default:
          return 0;
      }
    case Mode::kQuery:
      return both(query(word));
    default:
      return both(status_);
  }
}

// The CFI query table of one device (JESD68.01; the extended table is Intel's "PRI" 1.0).
uint8_t Pflash::query(uint64_t index) const {
  const uint64_t device_bytes = options_.size / kDevices;
  const uint32_t blocks = static_cast<uint32_t>(options_.size / kSectorBytes) - 1;
  constexpr uint32_t kBlockUnits = kSectorBytes / kDevices / 256;
  constexpr auto kBufferLog2 = std::countr_zero(kBufferBytes / kDevices);
  switch (index) {
    case 0x10:
      return 'Q';
    case 0x11:
      return 'R';
    case 0x12:
      return 'Y';
    case 0x13:  // primary command set: Intel/Sharp extended
      return 0x01;
    case 0x15:  // where its table is
      return 0x31;
    case 0x1b:  // Vcc 4.5 V to 5.5 V
      return 0x45;
    case 0x1c:
      return 0x55;
    case 0x1f:  // typical times, log2: a word 128 us, a buffer 128 us, a block 1 s
    case 0x20:
      return 0x07;
    case 0x21:
      return 0x0a;
    case 0x23:  // at most 16 times as long
    case 0x24:
    case 0x25:
      return 0x04;
    case 0x27:
      return static_cast<uint8_t>(std::bit_width(device_bytes) - 1);
    case 0x28:  // x8/x16
      return 0x02;
    case 0x2a:
      return kBufferLog2;
    case 0x2c:  // one region of equal erase blocks
      return 0x01;
    case 0x2d:
      return blocks & 0xff;
    case 0x2e:
      return blocks >> 8 & 0xff;
    case 0x2f:
      return kBlockUnits & 0xff;
    case 0x30:
      return kBlockUnits >> 8 & 0xff;
    case 0x31:
      return 'P';
    case 0x32:
      return 'R';
    case 0x33:
      return 'I';
    case 0x34:
      return '1';
    case 0x35:
      return '0';
    case 0x3f:  // protection register fields: drivers subtract 1
      return 0x01;
    default:
      return 0;
  }
}

MmioResult Pflash::write(uint64_t offset, unsigned size, uint64_t value, unsigned) {
  if (offset >= options_.size || size > options_.size - offset) return {};
  {
    std::lock_guard lock(mutex_);
    write_locked(offset, size, value);
  }
  announce();
  return {};
}

void Pflash::write_locked(uint64_t offset, unsigned size, uint64_t value) {
  // A driver sends the same code to both devices; the low byte is the first one's.
  const auto code = static_cast<uint8_t>(value);
  switch (cycle_) {
    case Cycle::kProgram: {
      uint8_t data[8];
      std::memcpy(data, &value, sizeof data);
      cycle_ = Cycle::kCommand;
      program(offset, data, size);
      return;
    }
    case Cycle::kBufferData:
      return buffer_data(offset, size, value);
    default:
      break;
  }
  // The bus is 32 bits wide: an 8-byte store is no command. EDK2 makes one to bank 0 at each boot.
  if (size > kBusBytes) return;
  switch (cycle_) {
    case Cycle::kEraseConfirm:
      return confirm_erase(offset, code);
    case Cycle::kLockConfirm:
      return confirm_lock(offset, code);
    case Cycle::kBufferCount:
      return start_buffer(value);
    case Cycle::kBufferConfirm:
      return confirm_buffer(code);
    default:
      return command(code);
  }
}

void Pflash::command(uint8_t code) {
  switch (code) {
    case kReadArray:
    case kAmdReset:
      return enter(Mode::kArray);
    case kReadStatus:
      return enter(Mode::kStatus);
    case kReadId:
      return enter(Mode::kId);
    case kReadQuery:
      return enter(Mode::kQuery);
    case kClearStatus:
      status_ = kReady;
      return;
    case kProgramSetup:
    case kProgramAlternate:
      cycle_ = Cycle::kProgram;
      break;
    case kEraseSetup:
      cycle_ = Cycle::kEraseConfirm;
      break;
    case kLockSetup:
      cycle_ = Cycle::kLockConfirm;
      break;
    case kBufferSetup:
      cycle_ = Cycle::kBufferCount;
      break;
    case kSuspend:  // everything is finished at once: nothing to suspend or resume
    case kConfirm:
      return;
    default:
      return report_.add("unknown flash command ignored");
  }
  enter(Mode::kStatus);
}

void Pflash::sequence_error(const char* what) {
  cycle_ = Cycle::kCommand;
  status_ |= kProgramError | kEraseError;  // both: a command sequence error
  report_.add(what);
}

void Pflash::confirm_erase(uint64_t offset, uint8_t code) {
  cycle_ = Cycle::kCommand;
  if (code == kReadArray) return enter(Mode::kArray);
  if (code != kConfirm) return sequence_error("block erase was not confirmed");
  const uint64_t sector = offset / kSectorBytes * kSectorBytes;
  if (protected_sector(sector, kEraseError)) return;
  const std::vector<uint8_t> erased(kSectorBytes, 0xff);
  commit(sector, erased.data(), erased.size(), kEraseError);
}

void Pflash::confirm_lock(uint64_t offset, uint8_t code) {
  cycle_ = Cycle::kCommand;
  switch (code) {
    case kLock:
    case kLockDown:
      locked_[offset / kSectorBytes] = 1;
      return;
    case kUnlock:
      locked_[offset / kSectorBytes] = 0;
      return;
    case kReadArray:
      return enter(Mode::kArray);
    default:
      return sequence_error("unknown lock command");
  }
}

void Pflash::start_buffer(uint64_t value) {
  // The count is in words of the bus, less one, the same for both devices.
  const uint32_t words = static_cast<uint16_t>(value) + 1u;
  if (words * kBusBytes > kBufferBytes) return sequence_error("write buffer count is too large");
  cycle_ = Cycle::kBufferData;
  buffer_left_ = words;
  buffer_base_ = kNoBase;
  std::fill(buffer_.begin(), buffer_.end(), 0xff);
}

void Pflash::buffer_data(uint64_t offset, unsigned size, uint64_t value) {
  // The first word's address says which part of the array the buffer covers.
  if (buffer_base_ == kNoBase) buffer_base_ = offset / kBufferBytes * kBufferBytes;
  if (offset < buffer_base_ || offset + size > buffer_base_ + kBufferBytes) {
    return sequence_error("write buffer data beyond the buffer");
  }
  std::memcpy(&buffer_[offset - buffer_base_], &value, size);
  // A store narrower than the bus is a bus cycle all the same: U-Boot takes the flash for one
  // 16-bit device and counts 16-bit stores.
  buffer_left_ -= std::min<uint32_t>(buffer_left_, (size + kBusBytes - 1) / kBusBytes);
  if (buffer_left_ == 0) cycle_ = Cycle::kBufferConfirm;
}

void Pflash::confirm_buffer(uint8_t code) {
  if (code != kConfirm) return sequence_error("write buffer was not confirmed");
  cycle_ = Cycle::kCommand;
  // Bytes that were not stored are 0xff and change nothing: trim them.
  const auto used = [](uint8_t byte) { return byte != 0xff; };
  const auto first = std::find_if(buffer_.begin(), buffer_.end(), used);
  if (first == buffer_.end()) return;
  const auto last = std::find_if(buffer_.rbegin(), buffer_.rend(), used).base();
  program(buffer_base_ + static_cast<uint64_t>(first - buffer_.begin()), &*first,
          static_cast<uint64_t>(last - first));
}

void Pflash::program(uint64_t offset, const uint8_t* data, uint64_t size) {
  if (protected_sector(offset, kProgramError)) return;
  // Programming only clears bits; setting them takes an erase.
  std::vector<uint8_t> result(data, data + size);
  for (uint64_t i = 0; i < size; ++i) result[i] &= options_.array[offset + i];
  commit(offset, result.data(), size, kProgramError);
}

bool Pflash::protected_sector(uint64_t offset, uint8_t error) {
  if (!options_.read_only && locked_[offset / kSectorBytes] == 0) return false;
  status_ |= kProtected | error;
  return true;
}

// The file first: what the guest can read back is what a restart will find.
void Pflash::commit(uint64_t offset, const uint8_t* data, uint64_t size, uint8_t error) {
  if (options_.file != nullptr) {
    if (const int failed = options_.file->store(offset, data, size)) {
      report_.add(options_.file->path() + ": cannot write: " + std::strerror(-failed));
      status_ |= error;
      return;
    }
  }
  std::memcpy(options_.array + offset, data, size);
  if (options_.on_write) options_.on_write(offset, size);
}

void Pflash::enter(Mode mode) {
  mode_ = mode;
  array_mode_.store(mode == Mode::kArray, std::memory_order_seq_cst);
}

// Tells the machine of a new mode without holding the lock: mapping waits for the other vCPUs, and
// one of them may wait for the lock. If two change the mode at once, one of them reports for both.
//
// Who leaves it to the other has stored its mode (enter(), A1) and then found `announcing_` set
// (A2, both seq_cst); who announces clears that (B1), passes a fence (B2) and looks at the mode
// again (B3). A2 read what B1 replaced, so A2 < B2 in the one order of seq_cst operations; were B3
// to miss A1, then B2 < A1; but A1 < A2. Without B2 an x86 host looks while the clearing is in its
// store buffer, and a mode is lost. (A fence rather than two seq_cst accesses: qemu-aarch64 7.2
// keeps no order between STLR and LDAR.)
void Pflash::announce() {
  for (;;) {
    if (announcing_.exchange(true, std::memory_order_seq_cst)) return;
    const bool mode = array_mode();
    if (mode != announced_) {
      announced_ = mode;
      if (options_.on_mode) options_.on_mode(mode);
    }
    announcing_.store(false, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (array_mode() == mode) return;
  }
}

void Pflash::reset() {
  {
    std::lock_guard lock(mutex_);
    cycle_ = Cycle::kCommand;
    status_ = kReady;
    std::fill(locked_.begin(), locked_.end(), 0);
    enter(Mode::kArray);
    if (options_.file != nullptr) options_.file->sync();
  }
  announce();
}

void Pflash::quiesce() {
  std::lock_guard lock(mutex_);
  if (options_.file != nullptr) options_.file->sync();
}

int Pflash::store_all() {
  std::lock_guard lock(mutex_);
  if (options_.file == nullptr) return 0;
  const int error = options_.file->store(0, options_.array, options_.size);
  return error != 0 ? error : options_.file->sync();
}

void Pflash::save(StateWriter& out) const {
  std::lock_guard lock(mutex_);
  out.put(kStateVersion);
  out.put(mode_);
  out.put(cycle_);
  out.put(status_);
  out.put(buffer_base_);
  out.put(buffer_left_);
  out.bytes(buffer_.data(), buffer_.size());
  out.put(static_cast<uint32_t>(locked_.size()));
  out.bytes(locked_.data(), locked_.size());
}

bool Pflash::load(StateReader& in) {
  bool good = false;
  {
    std::lock_guard lock(mutex_);
    good = in.get<uint32_t>() == kStateVersion;
    const auto mode = in.get<Mode>();
    const auto cycle = in.get<Cycle>();
    status_ = in.get<uint8_t>();
    buffer_base_ = in.get<uint64_t>();
    buffer_left_ = in.get<uint32_t>();
    in.bytes(buffer_.data(), buffer_.size());
    good = good && in.get<uint32_t>() == locked_.size();
    if (good) in.bytes(locked_.data(), locked_.size());
    good = good && in.ok() && mode <= Mode::kQuery && cycle <= Cycle::kBufferConfirm &&
           (cycle != Cycle::kBufferConfirm || buffer_base_ != kNoBase) &&
           (buffer_base_ == kNoBase ||
            (buffer_base_ % kBufferBytes == 0 && buffer_base_ < options_.size));
    cycle_ = good ? cycle : Cycle::kCommand;
    enter(good ? mode : Mode::kArray);
  }
  announce();
  return good;
}

}  // namespace trapline
