#include "vmm/trace/block_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace trapline::trace {
namespace {

struct Footer {
  uint64_t index_offset;
  char magic[8];
};

uint64_t hash_of(BlockHeader header, std::span<const uint8_t> stored) {
  header.hash = 0;
  return XXH3_64bits_withSeed(stored.data(), stored.size(), XXH3_64bits(&header, sizeof header));
}

}  // namespace

// --- writing -------------------------------------------------------------------------------------

Result<std::unique_ptr<BlockWriter>> BlockWriter::create(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return Error{fmt::format("{}: {}", path, std::strerror(errno))};
  std::unique_ptr<BlockWriter> writer(new BlockWriter(path, fd));
  writer->put(kMagic, sizeof kMagic);
  if (writer->failed()) return Error{writer->error()};
  writer->thread_ = std::thread([w = writer.get()] { w->run(); });
  return writer;
}

BlockWriter::~BlockWriter() {
  finish();
  close(fd_);
}

void BlockWriter::put(const void* data, size_t size) {
  const auto* at = static_cast<const uint8_t*>(data);
  while (size != 0 && !failed()) {
    const ssize_t n = ::write(fd_, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      std::lock_guard lock(mutex_);
      error_ = fmt::format("{}: {}; what was recorded before can be read", path_,
                           std::strerror(n < 0 ? errno : ENOSPC));
      failed_ = true;
      return;
    }
    at += n;
    size -= static_cast<size_t>(n);
    offset_ += static_cast<uint64_t>(n);
  }
}

void BlockWriter::store(Block& block) {
  if (failed()) return;
  compressed_.resize(ZSTD_compressBound(block.header.raw));
  const size_t size =
      ZSTD_compress(compressed_.data(), compressed_.size(), block.data.data(), block.header.raw, 1);
  block.header.stored = static_cast<uint32_t>(size);
  block.header.hash = hash_of(block.header, {compressed_.data(), size});
  offsets_.push_back(offset_);
  put(&block.header, sizeof block.header);
  put(compressed_.data(), size);
}

void BlockWriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return finishing_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    Block block = std::move(waiting_.front());
    waiting_.pop_front();
    changed_.notify_all();
    lock.unlock();
    store(block);
    lock.lock();
    if (free_.size() < kMostWaiting) free_.push_back(std::move(block.data));
  }
}

void BlockWriter::write(Block block) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_.size() < kMostWaiting || finishing_; });
  if (finishing_ || failed()) return;
  waiting_.push_back(std::move(block));
  changed_.notify_all();
}

void BlockWriter::write(BlockType type, const std::string& text) {
  Block block;
  block.header.type = type;
  block.header.raw = static_cast<uint32_t>(text.size());
  block.data.assign(text.begin(), text.end());
  write(std::move(block));
}

std::vector<uint8_t> BlockWriter::buffer(size_t size) {
  std::vector<uint8_t> data;
  {
    std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      data = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (data.size() < size) data.resize(size);
  return data;
}

std::string BlockWriter::finish() {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(finishing_, true)) return error_;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  Block index;
  index.header.type = BlockType::kIndex;
  index.data.resize(offsets_.size() * sizeof(uint64_t));
  index.header.raw = static_cast<uint32_t>(index.data.size());
  std::memcpy(index.data.data(), offsets_.data(), index.data.size());
  Footer footer{offset_, {}};
  std::memcpy(footer.magic, kMagic, sizeof kMagic);
  store(index);
  put(&footer, sizeof footer);
  return error();
}

std::string BlockWriter::error() {
  std::lock_guard lock(mutex_);
  return error_;
}

// --- reading -------------------------------------------------------------------------------------

Result<std::unique_ptr<BlockReader>> BlockReader::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Error{fmt::format("{}: {}", path, std::strerror(errno))};
  struct stat info {};
  std::unique_ptr<BlockReader> reader;
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
    reader.reset(new BlockReader(path, fd, static_cast<uint64_t>(info.st_size)));
  } else {
    close(fd);
    return Error{path + ": a trace is read from a regular file"};
  }
  char magic[sizeof kMagic];
  if (!reader->get(magic, sizeof magic) || std::memcmp(magic, kMagic, sizeof magic) != 0) {
    return Error{path + ": no trace of Trapline's (`trapline run --record F` makes one)"};
  }
  return reader;
}

BlockReader::~BlockReader() { close(fd_); }

void BlockReader::rewind() {
  offset_ = sizeof kMagic;
  blocks_ = 0;
}

bool BlockReader::get(void* data, size_t size) {
  auto* at = static_cast<uint8_t*>(data);
  while (size != 0) {
    const ssize_t n = pread(fd_, at, size, static_cast<off_t>(offset_));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
    offset_ += static_cast<uint64_t>(n);
  }
  return true;
}

BlockReader::Status BlockReader::fail(Status status, const std::string& what) {
  why_ = fmt::format("{}: block {}: {}; the {} blocks before it are whole", path_, blocks_, what,
                     blocks_);
  return status;
}

BlockReader::Status BlockReader::next(Block& block) {
  BlockHeader& header = block.header;
  if (size_ - offset_ < sizeof header) {
    return fail(Status::kCutOff, "the trace was cut off (a killed VMM, or a full disk)");
  }
  if (!get(&header, sizeof header)) return fail(Status::kDamaged, "cannot be read");
  if (std::memcmp(header.magic, BlockHeader{}.magic, sizeof header.magic) != 0) {
    return fail(Status::kDamaged, "no block begins here");
  }
  if (header.raw > kMostRaw || header.stored > ZSTD_compressBound(kMostRaw)) {
    return fail(Status::kDamaged, "its size is impossible");
  }
  if (size_ - offset_ < header.stored) {
    return fail(Status::kCutOff, "the trace was cut off (a killed VMM, or a full disk)");
  }
  stored_.resize(header.stored);
  if (!get(stored_.data(), stored_.size())) return fail(Status::kDamaged, "cannot be read");
  if (hash_of(header, stored_) != header.hash) return fail(Status::kDamaged, "checksum");
  block.data.resize(header.raw);
  if (ZSTD_decompress(block.data.data(), block.data.size(), stored_.data(), stored_.size()) !=
      header.raw) {
    return fail(Status::kDamaged, "cannot be decompressed");
  }
  if (header.type == BlockType::kIndex) return Status::kEnd;
  ++blocks_;
  return Status::kBlock;
}

}  // namespace trapline::trace
