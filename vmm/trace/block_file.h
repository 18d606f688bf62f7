// A trace on disk: blocks, each compressed and with a checksum, so that what was written before a
// crash or a full disk can be read.
//
//   file   magic, then blocks: configuration (JSON), events..., names (JSON), index; then the
//   footer block  header (BlockHeader), then `stored` bytes of zstd index  the offset of every
//   block, 8 bytes each; the footer has the index's own. A trace without
//          them was cut off, and is read from its beginning like any other.
#ifndef TRAPLINE_VMM_TRACE_BLOCK_FILE_H_
#define TRAPLINE_VMM_TRACE_BLOCK_FILE_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "vmm/config/result.h"

namespace trapline::trace {

inline constexpr char kMagic[8] = {'T', 'L', 'T', 'R', 'A', 'C', 'E', '\n'};
inline constexpr unsigned kVersion = 2;
inline constexpr size_t kBlockBytes = 256 << 10;  // raw, about
inline constexpr size_t kMostRaw = 64 << 20;      // that a reader takes

enum class BlockType : uint32_t { kConfiguration = 1, kEvents, kNames, kIndex };

struct BlockHeader {
  char magic[4] = {'T', 'L', 'B', '\n'};
  BlockType type = BlockType::kEvents;
  uint32_t vcpu = 0;
  uint32_t exits = 0;
  uint64_t first_exit = 0;   // of the vCPU
  uint64_t first_start = 0;  // host cycles
  uint32_t stored = 0, raw = 0;
  uint64_t hash = 0;  // XXH3 of the header with this 0, and of what is stored
};
static_assert(sizeof(BlockHeader) == 48);

struct Block {
  BlockHeader header;
  std::vector<uint8_t> data;  // raw; to be written: its first header.raw bytes
};

// Compresses and writes on a thread of its own.
class BlockWriter {
 public:
  // Creates the file. What fails later is told once through failed(), and the rest is dropped.
  static Result<std::unique_ptr<BlockWriter>> create(const std::string& path);
  ~BlockWriter();

  // A text as a block of its own.
  void write(BlockType type, const std::string& text);
  // For a block's data, at least so large: one that was written, since fresh memory is dear.
  std::vector<uint8_t> buffer(size_t size);
  // Any thread; waits while the disk is far behind.
  void write(Block block);
  // Index and footer; nothing is written after it. One line that names the file, empty on success.
  std::string finish();
  bool failed() const { return failed_.load(std::memory_order_relaxed); }
  // Why, once it has failed.
  std::string error();

 private:
  BlockWriter(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  void run();
  void store(Block& block);
  void put(const void* data, size_t size);

  static constexpr size_t kMostWaiting = 32;
  std::string path_;
  int fd_;
  uint64_t offset_ = 0;
  std::vector<uint64_t> offsets_;
  std::vector<uint8_t> compressed_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Block> waiting_;
  std::vector<std::vector<uint8_t>> free_;
  bool finishing_ = false;
  std::atomic<bool> failed_{false};
  std::string error_;  // under mutex_
  std::thread thread_;
};

// Block after block.
class BlockReader {
 public:
  static Result<std::unique_ptr<BlockReader>> open(const std::string& path);
  ~BlockReader();
  BlockReader(const BlockReader&) = delete;

  enum class Status : uint8_t { kBlock, kEnd, kCutOff, kDamaged };
  // kEnd: all was read, and the trace is whole. kCutOff, kDamaged: why() says where; what came
  // before is whole.
  Status next(Block& block);
  const std::string& why() const { return why_; }
  const std::string& path() const { return path_; }
  void rewind();

 private:
  BlockReader(std::string path, int fd, uint64_t size)
      : path_(std::move(path)), fd_(fd), size_(size) {}
  Status fail(Status status, const std::string& what);
  bool get(void* data, size_t size);

  std::string path_;
  int fd_;
  uint64_t size_, offset_ = 0, blocks_ = 0;
  std::vector<uint8_t> stored_;
  std::string why_;
};

}  // namespace trapline::trace

#endif  // TRAPLINE_VMM_TRACE_BLOCK_FILE_H_
