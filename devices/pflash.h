// CFI flash with the Intel command set (JEDEC CFI command set 0001), as two 16-bit devices side by
// side on a 32-bit bus: what QEMU's virt machine has, for EDK2, U-Boot and Linux.
#ifndef TRAPLINE_DEVICES_PFLASH_H_
#define TRAPLINE_DEVICES_PFLASH_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "devices/virtio/host_file.h"
#include "devices/virtio/report.h"
#include "mmio/device.h"

namespace trapline {

// The file behind a flash bank (`--vars`). Every program and erase is written to the file before
// the store that commands it completes, so the file is whole after a SIGKILL; sync() takes it to
// the disk.
class FlashFile {
 public:
  // Opens and locks, creating the file if there is none; refuses one larger than the bank. The
  // file may be shorter than the bank: the rest reads as erased, and the file grows as it is
  // written. Returns an error text; empty on success.
  std::string open(const std::string& path, uint64_t bank_bytes);
  // Into the bank's array, which holds erased flash.
  std::string load(uint8_t* array);
  // 0 or a negative errno.
  int store(uint64_t offset, const uint8_t* data, uint64_t size);
  int sync();
  std::string unlock() { return file_.unlock(); }
  std::string lock() { return file_.lock(); }
  const std::string& path() const { return file_.path(); }
  int fd() const { return file_.fd(); }

 private:
  HostFile file_;
  uint64_t bank_bytes_ = 0;
  uint64_t end_ = 0;  // of the file; erased from here on
};

class Pflash final : public Device {
 public:
  static constexpr uint64_t kBankBytes = uint64_t{64} << 20;
  static constexpr uint32_t kSectorBytes = 256 * 1024;
  static constexpr uint64_t kNoBase = ~uint64_t{0};
  static constexpr uint32_t kBufferBytes = 4096;  // of the write buffers: 2 KiB in each device

  struct Options {
    std::string name;            // "pflash0"
    uint8_t* array = nullptr;    // host memory of the bank, alive as long as the device
    uint64_t size = kBankBytes;  // bytes; a multiple of kSectorBytes
    bool read_only = false;      // programs and erases fail with an error status
    FlashFile* file = nullptr;   // persistence; null: none
    // The bank went into array mode (true: reads may be mapped) or left it (false: reads must
    // trap). Called without locks of the device, on the vCPU thread that stored the command, before
    // the store completes; also by reset() and load().
    std::function<void(bool array_mode)> on_mode;
    // [offset, offset + size) of the array changed: caches of its code and data are stale.
    std::function<void(uint64_t offset, uint64_t size)> on_write;
  };

  explicit Pflash(Options options);

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;
  void quiesce() override;
  // The array's bytes are guest memory, saved by the machine. After load() and after that memory is
  // back, the machine calls store_all().
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return options_.name; }
  std::string_view register_name(uint64_t offset) const override;

  // Writes the whole array to the file, if there is one. 0 or a negative errno.
  int store_all();
  bool array_mode() const { return array_mode_.load(std::memory_order_acquire); }
  uint64_t errors() const { return report_.count(); }

 private:
  // What a read shows.
  enum class Mode : uint8_t { kArray, kStatus, kId, kQuery };
  // What the next store means.
  enum class Cycle : uint8_t {
    kCommand,
    kProgram,        // data of a single program
    kEraseConfirm,   // 0xd0
    kLockConfirm,    // 0x01, 0x2f, 0xd0
    kBufferCount,    // words - 1
    kBufferData,     // words into the write buffer
    kBufferConfirm,  // 0xd0
  };

  uint32_t shown(uint64_t word) const;
  uint8_t query(uint64_t index) const;
  void write_locked(uint64_t offset, unsigned size, uint64_t value);
  void command(uint8_t code);
  void confirm_lock(uint64_t offset, uint8_t code);
  void confirm_erase(uint64_t offset, uint8_t code);
  void start_buffer(uint64_t value);
  void buffer_data(uint64_t offset, unsigned size, uint64_t value);
  void confirm_buffer(uint8_t code);
  // Clears the bits of the array that are 0 in `data`; status on failure.
  void program(uint64_t offset, const uint8_t* data, uint64_t size);
  bool protected_sector(uint64_t offset, uint8_t error);
  void commit(uint64_t offset, const uint8_t* data, uint64_t size, uint8_t error);
  void sequence_error(const char* what);
  void enter(Mode mode);
  void announce();

  Options options_;
  Report report_;
  mutable std::mutex mutex_;
  Mode mode_ = Mode::kArray;
  Cycle cycle_ = Cycle::kCommand;
  uint8_t status_ = 0x80;
  uint64_t buffer_base_ = 0;  // of the buffer's bytes in the array; kNoBase before the first
  uint32_t buffer_left_ = 0;  // bus cycles to come
  std::vector<uint8_t> buffer_;
  std::vector<uint8_t> locked_;  // a byte a sector
  std::atomic<bool> array_mode_{true};
  std::atomic<bool> announcing_{false};
  bool announced_ = true;  // what on_mode last said; owned by whoever set announcing_
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_PFLASH_H_
