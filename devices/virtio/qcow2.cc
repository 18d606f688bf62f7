#include "devices/virtio/qcow2.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <mutex>
#include <vector>

namespace trapline::virtio {
namespace {

constexpr uint32_t kMagic = 0x514649fb;  // "QFI\xfb"

uint32_t big32(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}
uint64_t big64(const uint8_t* p) { return uint64_t{big32(p)} << 32 | big32(p + 4); }

// The header's fields by their byte offsets; version 2 ends at 72.
struct Header {
  uint32_t version;
  uint64_t backing_file_offset;
  uint32_t cluster_bits;
  uint64_t size;
  uint32_t crypt_method;
  uint32_t l1_size;
  uint64_t l1_table_offset;
  uint64_t incompatible_features = 0;
  uint8_t compression_type = 0;

  static Header from_bytes(const uint8_t (&b)[112]) {
    Header h = {
        .version = big32(b + 4),
        .backing_file_offset = big64(b + 8),
        .cluster_bits = big32(b + 20),
        .size = big64(b + 24),
        .crypt_method = big32(b + 32),
        .l1_size = big32(b + 36),
        .l1_table_offset = big64(b + 40),
    };
    if (h.version >= 3) {
      h.incompatible_features = big64(b + 72);
      if (big32(b + 100) > 104) h.compression_type = b[104];
    }
    return h;
  }
};

enum Incompatible : uint64_t {
  kDirty = 1,  // reference counts may be stale: no matter for reading
  kCorrupt = 2,
  kExternalData = 4,
  kCompressionType = 8,
  kExtendedL2 = 16,
};

constexpr uint64_t kOffsetMask = 0x00fffffffffffe00;  // of L1 and standard L2 entries
constexpr uint64_t kCompressed = uint64_t{1} << 62;
constexpr uint64_t kZero = 1;
constexpr uint64_t kMaxL1Entries = (32u << 20) / 8;

// The few last used tables or clusters, most recent first.
template <typename T>
class RecentlyUsed {
 public:
  explicit RecentlyUsed(size_t limit) : limit_(limit) {}
  const std::vector<T>* find(uint64_t key) {
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->key == key) {
        entries_.splice(entries_.begin(), entries_, it);
        return &entries_.front().data;
      }
    }
    return nullptr;
  }
  const std::vector<T>* insert(uint64_t key, std::vector<T> data) {
    if (entries_.size() >= limit_) entries_.pop_back();
    entries_.push_front({key, std::move(data)});
    return &entries_.front().data;
  }

 private:
  struct Entry {
    uint64_t key;
    std::vector<T> data;
  };
  const size_t limit_;
  std::list<Entry> entries_;
};

class Qcow2Image final : public Image {
 public:
  Qcow2Image(HostFile file, const Header& header, std::vector<uint64_t> l1)
      : file_(std::move(file)),
        cluster_bits_(header.cluster_bits),
        version_(header.version),
        l1_(std::move(l1)) {
    bytes_ = header.size / 512 * 512;
    path_ = file_.path();
  }

  int readv(const iovec* iov, unsigned count, uint64_t offset) override {
    for (unsigned i = 0; i < count; ++i) {
      auto* p = static_cast<uint8_t*>(iov[i].iov_base);
      size_t left = iov[i].iov_len;
      while (left > 0) {
        const uint64_t within = offset & (cluster_bytes() - 1);
        const size_t n = std::min<uint64_t>(left, cluster_bytes() - within);
        if (const int error = read_cluster(offset, within, p, n)) return error;
        p += n;
        offset += n;
        left -= n;
      }
    }
    return 0;
  }

  int writev(const iovec*, unsigned, uint64_t, bool) override { return -EROFS; }
  int flush() override { return 0; }
  int discard(uint64_t, uint64_t) override { return -EROFS; }
  int write_zeroes(uint64_t, uint64_t, bool) override { return -EROFS; }

 private:
  uint64_t cluster_bytes() const { return uint64_t{1} << cluster_bits_; }

  int read_cluster(uint64_t offset, uint64_t within, uint8_t* out, size_t size) {
    uint64_t entry = 0;
    if (const int error = l2_entry(offset, entry)) return error;
    if ((entry & kCompressed) != 0) return read_compressed(entry, within, out, size);
    const uint64_t host = entry & kOffsetMask;
    if (host == 0 || (version_ >= 3 && (entry & kZero) != 0)) {
      std::memset(out, 0, size);
      return 0;
    }
    if ((host & (cluster_bytes() - 1)) != 0) return -EIO;
    return file_.read(host + within, out, size);
  }

  int l2_entry(uint64_t offset, uint64_t& entry) {
    const unsigned l2_bits = cluster_bits_ - 3;
    const uint64_t l1_index = offset >> (cluster_bits_ + l2_bits);
    if (l1_index >= l1_.size()) return -EIO;
    const uint64_t table = l1_[l1_index] & kOffsetMask;
    entry = 0;
    if (table == 0) return 0;
    if ((table & (cluster_bytes() - 1)) != 0) return -EIO;
    std::lock_guard lock(mutex_);
    const std::vector<uint64_t>* l2 = tables_.find(table);
    if (l2 == nullptr) {
      std::vector<uint8_t> raw(cluster_bytes());
      if (const int error = file_.read(table, raw.data(), raw.size())) return error;
      std::vector<uint64_t> entries(raw.size() / 8);
      for (size_t i = 0; i < entries.size(); ++i) entries[i] = big64(&raw[8 * i]);
      l2 = tables_.insert(table, std::move(entries));
    }
    entry = (*l2)[(offset >> cluster_bits_) & ((uint64_t{1} << l2_bits) - 1)];
    return 0;
  }

  // "Compressed Clusters Descriptor": host offset in the low bits, 512-byte sectors above.
  int read_compressed(uint64_t entry, uint64_t within, uint8_t* out, size_t size) {
    const unsigned offset_bits = 62 - (cluster_bits_ - 8);
    const uint64_t host = entry & ((uint64_t{1} << offset_bits) - 1);
    const uint64_t sectors = ((entry & (kCompressed - 1)) >> offset_bits) + 1;
    std::lock_guard lock(mutex_);
    const std::vector<uint8_t>* cluster = clusters_.find(host);
    if (cluster == nullptr) {
      std::vector<uint8_t> packed(sectors * 512 - (host & 511));
      if (const int error = file_.read(host, packed.data(), packed.size())) return error;
      std::vector<uint8_t> plain(cluster_bytes());
      if (!inflate_cluster(packed, plain)) return -EIO;
      cluster = clusters_.insert(host, std::move(plain));
    }
    std::memcpy(out, cluster->data() + within, size);
    return 0;
  }

  // A raw deflate stream that may be followed by the next cluster's bytes.
  static bool inflate_cluster(std::vector<uint8_t>& packed, std::vector<uint8_t>& plain) {
    z_stream stream = {};
    if (inflateInit2(&stream, -15) != Z_OK) return false;
    stream.next_in = packed.data();
    stream.avail_in = static_cast<uInt>(packed.size());
    stream.next_out = plain.data();
    stream.avail_out = static_cast<uInt>(plain.size());
    const int result = inflate(&stream, Z_FINISH);
    const bool full = stream.avail_out == 0;
    inflateEnd(&stream);
    return full && (result == Z_STREAM_END || result == Z_BUF_ERROR || result == Z_OK);
  }

  const HostFile file_;
  const unsigned cluster_bits_;
  const uint32_t version_;
  const std::vector<uint64_t> l1_;
  std::mutex mutex_;
  RecentlyUsed<uint64_t> tables_{32};
  RecentlyUsed<uint8_t> clusters_{16};
};

std::string refusal(const Header& h) {
  if (h.version != 2 && h.version != 3) return "qcow2 version is neither 2 nor 3";
  if (h.backing_file_offset != 0) return "qcow2 images with a backing file are not supported";
  if (h.crypt_method != 0) return "encrypted qcow2 images are not supported";
  if ((h.incompatible_features & kCorrupt) != 0) return "qcow2 image is marked corrupt";
  if ((h.incompatible_features & kExternalData) != 0) {
    return "qcow2 images with an external data file are not supported";
  }
  if ((h.incompatible_features & kExtendedL2) != 0) {
    return "qcow2 images with extended L2 entries are not supported";
  }
  if ((h.incompatible_features & ~uint64_t{kDirty | kCompressionType}) != 0) {
    return "qcow2 image has unknown incompatible features";
  }
  if (h.compression_type != 0)
    return "qcow2 images compressed by other than zlib are not supported";
  if (h.cluster_bits < 9 || h.cluster_bits > 21) return "qcow2 cluster size is out of range";
  if (h.size < 512) return "too small for a disk: less than a sector";
  const uint64_t per_l1 = uint64_t{1} << (2 * h.cluster_bits - 3);  // bytes of disk an L1 entry
  if (h.l1_size > kMaxL1Entries || (h.size - 1) / per_l1 >= h.l1_size) {
    return "qcow2 L1 table does not fit the disk's size";
  }
  if (h.l1_table_offset % (uint64_t{1} << h.cluster_bits) != 0) {
    return "qcow2 L1 table is misaligned";
  }
  return {};
}

}  // namespace

bool is_qcow2(const HostFile& file) {
  uint8_t magic[4] = {};
  return file.read(0, magic, sizeof magic) == 0 && big32(magic) == kMagic;
}

ImageResult open_qcow2(HostFile file) {
  ImageResult result;
  uint8_t bytes[112] = {};
  if (const int error = file.read(0, bytes, sizeof bytes)) {
    result.error = file.path() + ": cannot read: " + std::strerror(-error);
    return result;
  }
  const Header header = Header::from_bytes(bytes);
  if (const std::string why = refusal(header); !why.empty()) {
    result.error = file.path() + ": " + why;
    return result;
  }
  std::vector<uint8_t> raw(uint64_t{header.l1_size} * 8);
  if (const int error = file.read(header.l1_table_offset, raw.data(), raw.size())) {
    result.error = file.path() + ": cannot read the qcow2 L1 table: " + std::strerror(-error);
    return result;
  }
  std::vector<uint64_t> l1(header.l1_size);
  for (size_t i = 0; i < l1.size(); ++i) l1[i] = big64(&raw[8 * i]);
  result.image = std::make_unique<Qcow2Image>(std::move(file), header, std::move(l1));
  return result;
}

}  // namespace trapline::virtio
