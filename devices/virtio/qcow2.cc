#include "devices/virtio/qcow2.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <mutex>
#include <vector>

#include "devices/virtio/qcow2_codec.h"
#include "devices/virtio/qcow2_header.h"

namespace trapline::virtio {
namespace {

constexpr uint64_t kOffsetMask = 0x00fffffffffffe00;  // of L1 and standard L2 entries
constexpr uint64_t kCompressed = uint64_t{1} << 62;
constexpr uint64_t kZero = 1;  // version 3, without extended entries
constexpr unsigned kSubclusterBits = 5;
constexpr uint64_t kMaxCacheBytes = 8 << 20;  // of tables, and of unpacked clusters, an image

// An L2 entry; the bitmap, of extended ones: allocated below, zero above, a bit a subcluster.
struct L2Entry {
  uint64_t descriptor = 0;
  uint64_t bitmap = 0;
};

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

size_t cache_entries(unsigned cluster_bits, size_t most) {
  return std::clamp<size_t>(kMaxCacheBytes >> cluster_bits, 2, most);
}

class Qcow2Image final : public Image {
 public:
  Qcow2Image(HostFile file, Qcow2Header header, std::vector<uint64_t> l1,
             std::unique_ptr<Image> backing)
      : file_(std::move(file)),
        header_(std::move(header)),
        // What one entry or one bit of a bitmap decides.
        piece_bits_(header_.cluster_bits - (header_.extended_l2 ? kSubclusterBits : 0)),
        l1_(std::move(l1)),
        backing_(std::move(backing)),
        tables_(cache_entries(header_.cluster_bits, 32)),
        clusters_(cache_entries(header_.cluster_bits, 16)) {
    bytes_ = header_.bytes;
    path_ = file_.path();
  }

  int fd() const override { return file_.fd(); }
  int readv(const iovec* iov, unsigned count, uint64_t offset) override {
    const uint64_t piece = uint64_t{1} << piece_bits_;
    for (unsigned i = 0; i < count; ++i) {
      auto* p = static_cast<uint8_t*>(iov[i].iov_base);
      size_t left = iov[i].iov_len;
      while (left > 0) {
        const size_t n = std::min<uint64_t>(left, piece - (offset & (piece - 1)));
        if (const int error = read_piece(offset, p, n)) return error;
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
  enum class Kind : uint8_t { kHere, kZeroes, kBelow, kDamaged };

  uint64_t cluster_bytes() const { return uint64_t{1} << header_.cluster_bits; }

  // A range within one cluster, and one subcluster if there are such.
  int read_piece(uint64_t offset, uint8_t* out, size_t size) {
    L2Entry entry;
    if (const int error = l2_entry(offset, entry)) return error;
    const uint64_t within = offset & (cluster_bytes() - 1);
    if ((entry.descriptor & kCompressed) != 0) {
      return read_compressed(entry.descriptor, within, out, size);
    }
    switch (kind(entry, within)) {
      case Kind::kHere:
        return file_.read((entry.descriptor & kOffsetMask) + within, out, size);
      case Kind::kZeroes:
        std::memset(out, 0, size);
        return 0;
      case Kind::kBelow:
        return read_backing(offset, out, size);
      default:
        return -EIO;
    }
  }

  Kind kind(const L2Entry& entry, uint64_t within) const {
    const uint64_t host = entry.descriptor & kOffsetMask;
    if ((host & (cluster_bytes() - 1)) != 0) return Kind::kDamaged;
    if (header_.extended_l2) {
      const auto bit = static_cast<unsigned>(within >> piece_bits_);
      const bool allocated = (entry.bitmap >> bit & 1) != 0;
      const bool zero = (entry.bitmap >> (32 + bit) & 1) != 0;
      if (allocated && (zero || host == 0)) return Kind::kDamaged;
      if (zero) return Kind::kZeroes;
      return allocated ? Kind::kHere : Kind::kBelow;
    }
    if (header_.version >= 3 && (entry.descriptor & kZero) != 0) return Kind::kZeroes;
    return host != 0 ? Kind::kHere : Kind::kBelow;
  }

  // What the image does not hold: zeroes past the backing file's end.
  int read_backing(uint64_t offset, uint8_t* out, size_t size) {
    size_t below = 0;
    if (backing_ != nullptr && offset < backing_->bytes()) {
      below = std::min<uint64_t>(size, backing_->bytes() - offset);
    }
    std::memset(out + below, 0, size - below);
    if (below == 0) return 0;
    const iovec iov = {out, below};
    return backing_->readv(&iov, 1, offset);
  }

  int l2_entry(uint64_t offset, L2Entry& entry) {
    const unsigned l2_bits = header_.l2_bits();
    const uint64_t l1_index = offset >> (header_.cluster_bits + l2_bits);
    if (l1_index >= l1_.size()) return -EIO;
    const uint64_t table = l1_[l1_index] & kOffsetMask;
    entry = {};
    if (table == 0) return 0;
    if ((table & (cluster_bytes() - 1)) != 0) return -EIO;
    std::lock_guard lock(mutex_);
    const std::vector<uint64_t>* l2 = tables_.find(table);
    if (l2 == nullptr) {
      std::vector<uint8_t> raw(cluster_bytes());
      if (const int error = file_.read(table, raw.data(), raw.size())) return error;
      std::vector<uint64_t> words(raw.size() / 8);
      for (size_t i = 0; i < words.size(); ++i) words[i] = big64(&raw[8 * i]);
      l2 = tables_.insert(table, std::move(words));
    }
    const uint64_t index = (offset >> header_.cluster_bits) & ((uint64_t{1} << l2_bits) - 1);
    if (header_.extended_l2) {
      entry = {(*l2)[2 * index], (*l2)[2 * index + 1]};
    } else {
      entry.descriptor = (*l2)[index];
    }
    return 0;
  }

  // "Compressed Clusters Descriptor": host offset in the low bits, 512-byte sectors above.
  int read_compressed(uint64_t descriptor, uint64_t within, uint8_t* out, size_t size) {
    const unsigned offset_bits = 62 - (header_.cluster_bits - 8);
    const uint64_t host = descriptor & ((uint64_t{1} << offset_bits) - 1);
    const uint64_t sectors = ((descriptor & (kCompressed - 1)) >> offset_bits) + 1;
    std::lock_guard lock(mutex_);
    const std::vector<uint8_t>* cluster = clusters_.find(host);
    if (cluster == nullptr) {
      std::vector<uint8_t> packed(sectors * 512 - (host & 511));
      if (const int error = file_.read(host, packed.data(), packed.size())) return error;
      std::vector<uint8_t> plain(cluster_bytes());
      if (!unpack_cluster(header_.compression, packed, plain)) return -EIO;
      cluster = clusters_.insert(host, std::move(plain));
    }
    std::memcpy(out, cluster->data() + within, size);
    return 0;
  }

  const HostFile file_;
  const Qcow2Header header_;
  const unsigned piece_bits_;
  const std::vector<uint64_t> l1_;
  const std::unique_ptr<Image> backing_;
  std::mutex mutex_;
  RecentlyUsed<uint64_t> tables_;
  RecentlyUsed<uint8_t> clusters_;
};

// The backing file's path; empty: the name means something other than a file of this host.
std::string backing_path(const std::string& image, std::string name) {
  if (name.starts_with("file:")) {
    name.erase(0, 5);
  } else if (const size_t colon = name.find(':'); colon < name.find('/')) {
    return {};  // QEMU's `PROTOCOL:...`, `json:...`
  }
  if (name.empty() || name[0] == '/') return name;
  const size_t slash = image.rfind('/');
  return slash == std::string::npos ? name : image.substr(0, slash + 1) + name;
}

// Opens what the header names. The result's image stays null, without an error, if that is nothing.
ImageResult open_below(const HostFile& file, const Qcow2Header& header, BackingChain& chain) {
  ImageResult result;
  if (header.backing_file.empty()) return result;
  const std::string what = file.path() + ": ";
  const std::string named = "backing file `" + header.backing_file + "`";
  if (!chain.allowed) {
    result.error = needs_backing(file, header);
    return result;
  }
  ImageFormat format = ImageFormat::kProbe;
  if (header.backing_format == "raw") format = ImageFormat::kRaw;
  if (header.backing_format == "qcow2") format = ImageFormat::kQcow2;
  if (format == ImageFormat::kProbe && !header.backing_format.empty()) {
    result.error = what + named + " is neither raw nor qcow2";
    return result;
  }
  if (chain.files.size() == BackingChain::kMaxFiles) {
    result.error = what + "more than " + std::to_string(BackingChain::kMaxFiles) +
                   " files in a chain of backing files";
    return result;
  }
  const std::string path = backing_path(file.path(), header.backing_file);
  if (path.empty()) {
    result.error = what + named + " is not a file of this host";
    return result;
  }
  result = open_backing(path, format, chain);
  if (result.image == nullptr) result.error = what + "backing file " + result.error;
  return result;
}

}  // namespace

std::string needs_backing(const HostFile& file, const Qcow2Header& header) {
  return file.path() + ": needs its backing file `" + header.backing_file +
         "`: `backing=yes` lets it be read";
}

ImageResult open_qcow2(HostFile file, BackingChain& chain) {
  ImageResult result;
  if (std::find(chain.files.begin(), chain.files.end(), file.identity()) != chain.files.end()) {
    result.error = file.path() + ": the chain of backing files comes back to it";
    return result;
  }
  chain.files.push_back(file.identity());
  Qcow2Header header;
  if (const std::string why = read_qcow2_header(file, header); !why.empty()) {
    result.error = file.path() + ": " + why;
    return result;
  }
  ImageResult below = open_below(file, header, chain);
  if (!below.error.empty()) return below;
  result.warning = below.warning;
  if (header.corrupt) {
    result.warning += (result.warning.empty() ? "" : "; ") + file.path() +
                      ": qcow2 image is marked corrupt: what it holds may be wrong";
  }
  std::vector<uint8_t> raw(uint64_t{header.l1_entries} * 8);
  if (const int error = file.read(header.l1_offset, raw.data(), raw.size())) {
    result.error = file.path() + ": cannot read the qcow2 L1 table: " + std::strerror(-error);
    return result;
  }
  std::vector<uint64_t> l1(header.l1_entries);
  for (size_t i = 0; i < l1.size(); ++i) l1[i] = big64(&raw[8 * i]);
  result.image = std::make_unique<Qcow2Image>(std::move(file), std::move(header), std::move(l1),
                                              std::move(below.image));
  return result;
}

}  // namespace trapline::virtio
