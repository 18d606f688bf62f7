// virtio-blk as it is on the wire (virtio 1.2, 5.2).
#ifndef TRAPLINE_DEVICES_VIRTIO_BLK_WIRE_H_
#define TRAPLINE_DEVICES_VIRTIO_BLK_WIRE_H_

#include <cstddef>
#include <cstdint>

namespace trapline::virtio::blk {

// Feature bits, 5.2.3.
constexpr uint64_t bit(unsigned n) { return uint64_t{1} << n; }
inline constexpr uint64_t kSegMax = bit(2);
inline constexpr uint64_t kReadOnly = bit(5);
inline constexpr uint64_t kBlkSize = bit(6);
inline constexpr uint64_t kFlush = bit(9);
inline constexpr uint64_t kTopology = bit(10);
inline constexpr uint64_t kConfigWce = bit(11);
inline constexpr uint64_t kMultiQueue = bit(12);
inline constexpr uint64_t kDiscard = bit(13);
inline constexpr uint64_t kWriteZeroes = bit(14);

// Request types, 5.2.6.
enum Type : uint32_t {
  kTypeIn = 0,
  kTypeOut = 1,
  kTypeFlush = 4,
  kTypeGetId = 8,
  kTypeDiscard = 11,
  kTypeWriteZeroes = 13,
};

enum Status : uint8_t { kOk = 0, kIoError = 1, kUnsupported = 2 };

struct RequestHeader {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};
static_assert(sizeof(RequestHeader) == 16, "struct virtio_blk_req up to its data");

struct RangeSegment {  // struct virtio_blk_discard_write_zeroes
  uint64_t sector;
  uint32_t sectors;
  uint32_t flags;
};
static_assert(sizeof(RangeSegment) == 16, "as on the wire");
inline constexpr uint32_t kUnmap = 1;

// struct virtio_blk_config, 5.2.4, as far as our features give it meaning.
struct Config {
  uint64_t capacity;  // 512-byte sectors, whatever blk_size says
  uint32_t size_max;
  uint32_t seg_max;
  uint8_t geometry[4];
  uint32_t blk_size;
  uint8_t physical_block_exp;
  uint8_t alignment_offset;
  uint16_t min_io_size;
  uint32_t opt_io_size;
  uint8_t writeback;
  uint8_t unused0;
  uint16_t num_queues;
  uint32_t max_discard_sectors;
  uint32_t max_discard_seg;
  uint32_t discard_sector_alignment;
  uint32_t max_write_zeroes_sectors;
  uint32_t max_write_zeroes_seg;
  uint8_t write_zeroes_may_unmap;
  uint8_t unused1[3];
};
static_assert(sizeof(Config) == 64 && offsetof(Config, writeback) == 32 &&
                  offsetof(Config, write_zeroes_may_unmap) == 56,
              "as on the wire");

}  // namespace trapline::virtio::blk

#endif  // TRAPLINE_DEVICES_VIRTIO_BLK_WIRE_H_
