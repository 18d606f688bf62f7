// The ITS's tables in the guest's memory: where an entry lies, and what it holds. Whatever the
// guest writes there itself is as good as any other entry: its fields are checked when used.
//
// An entry is one 64-bit word, read and written whole:
//   device table        V 63, ITT_addr[51:8] 51:8, Size 4:0 (EventID bits, less one)
//   collection table    V 63, processor number 15:0
//   translation table   V 63, ICID 47:32, INTID 31:0
//   first level         V 63, address of a page of entries (IHI 0069, 12.19.1)
#ifndef TRAPLINE_DEVICES_GICV3_ITS_TABLES_H_
#define TRAPLINE_DEVICES_GICV3_ITS_TABLES_H_

#include <cstdint>

#include "devices/virtio/dma.h"

namespace trapline::gicv3 {

inline constexpr unsigned kItsEntryBytes = 8;
inline constexpr unsigned kItsDeviceBits = 16;      // a PCI requester ID
inline constexpr unsigned kItsEventBits = 16;       // at most
inline constexpr unsigned kItsCollectionBits = 16;  // of an ICID
inline constexpr uint64_t kEntryValid = uint64_t{1} << 63;

struct DeviceEntry {
  bool valid;
  uint8_t size;  // EventID bits, less one: at most 31
  uint64_t itt;  // IPA of its interrupt translation table, 256-byte aligned
  static DeviceEntry unpack(uint64_t word);
  uint64_t pack() const;
};

struct CollectionEntry {
  bool valid;
  uint16_t cpu;  // any: who uses it checks
  static CollectionEntry unpack(uint64_t word);
  uint64_t pack() const;
};

struct TranslationEntry {
  bool valid;
  uint32_t intid;  // any: who uses it checks
  uint16_t collection;
  static TranslationEntry unpack(uint64_t word);
  uint64_t pack() const;
};

// One word of the guest's memory, 8-byte aligned; false if it is not RAM.
bool load_word(Dma& dma, uint64_t ipa, uint64_t& word);
bool store_word(Dma& dma, uint64_t ipa, uint64_t word);

// A table that a GITS_BASER<n> describes (12.19.1).
class ItsTable {
 public:
  enum Type : uint8_t { kDevices = 1, kCollections = 4 };
  enum class Place : uint8_t {
    kFound,
    kBeyond,   // the table does not reach so far
    kMissing,  // there is no second-level page
    kNoMemory,
  };

  explicit ItsTable(Type type) : type_(type) {}
  uint64_t baser() const { return baser_; }
  void set_baser(uint64_t value);
  // Whether the table, or its first level, is large enough for this one.
  bool reaches(uint32_t id) const;
  Place find(Dma& dma, uint32_t id, uint64_t& ipa) const;

 private:
  const Type type_;
  uint64_t baser_ = read_only();
  uint64_t read_only() const;
};

}  // namespace trapline::gicv3

#endif  // TRAPLINE_DEVICES_GICV3_ITS_TABLES_H_
