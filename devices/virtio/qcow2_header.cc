#include "devices/virtio/qcow2_header.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace trapline::virtio {
namespace {

// The fields' byte offsets. Version 2 ends at 72.
enum Field : size_t {
  kVersion = 4,
  kBackingFileOffset = 8,
  kBackingFileSize = 16,
  kClusterBits = 20,
  kSize = 24,
  kCryptMethod = 32,
  kL1Size = 36,
  kL1TableOffset = 40,
  kVersion2Bytes = 72,
  kIncompatibleFeatures = 72,
  kHeaderLength = 100,
  kCompressionType = 104,
  kMaxHeaderBytes = 112,
};

enum Incompatible : uint64_t {
  kDirty = 1,  // reference counts may be stale: no matter for reading
  kCorrupt = 2,
  kExternalData = 4,
  kCompression = 8,
  kExtendedL2 = 16,
};

enum Extension : uint32_t { kEnd = 0, kBackingFormat = 0xe2792aca };

constexpr unsigned kMinClusterBits = 9, kMaxClusterBits = 21;
constexpr unsigned kMinExtendedClusterBits = 14;  // subclusters of a sector at least
constexpr uint64_t kMaxL1Entries = (32u << 20) / 8;
constexpr uint32_t kMaxBackingName = 1023;
constexpr uint32_t kMaxFormatName = 15;

bool printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != 0x7f;
  });
}

// The header extensions end with a zero type, the backing file's name, or the first cluster.
std::string find_backing_format(const std::vector<uint8_t>& cluster, uint64_t at, uint64_t end,
                                std::string& format) {
  end = std::min<uint64_t>(end, cluster.size());
  while (at + 8 <= end) {
    const uint32_t type = big32(&cluster[at]);
    const uint32_t size = big32(&cluster[at + 4]);
    if (type == kEnd) break;
    at += 8;
    if (size > end - at) return "qcow2 header extension does not fit the header";
    if (type == kBackingFormat) {
      if (size > kMaxFormatName) return "qcow2 image names a backing format that is not known";
      format.assign(reinterpret_cast<const char*>(&cluster[at]), size);
    }
    at += (uint64_t{size} + 7) / 8 * 8;
  }
  return {};
}

std::string read_backing(const HostFile& file, const uint8_t* bytes, uint64_t header_bytes,
                         Qcow2Header& h) {
  const uint64_t offset = big64(bytes + kBackingFileOffset);
  if (offset == 0) return {};
  const uint32_t size = big32(bytes + kBackingFileSize);
  std::vector<uint8_t> cluster(uint64_t{1} << std::min(h.cluster_bits, 16u));
  if (size == 0 || size > kMaxBackingName || offset > cluster.size() ||
      size > cluster.size() - offset) {
    return "qcow2 image's backing file name does not fit the header";
  }
  if (const int error = file.read(0, cluster.data(), cluster.size())) {
    return std::string("cannot read: ") + std::strerror(-error);
  }
  h.backing_file.assign(reinterpret_cast<const char*>(&cluster[offset]), size);
  if (!printable(h.backing_file)) return "qcow2 image's backing file name is not text";
  return find_backing_format(cluster, header_bytes, offset, h.backing_format);
}

}  // namespace

std::string read_qcow2_header(const HostFile& file, Qcow2Header& h) {
  uint8_t b[kMaxHeaderBytes] = {};
  if (const int error = file.read(0, b, sizeof b)) {
    return std::string("cannot read: ") + std::strerror(-error);
  }
  h.version = big32(b + kVersion);
  if (h.version != 2 && h.version != 3) return "qcow2 version is neither 2 nor 3";
  if (big32(b + kCryptMethod) != 0) return "encrypted qcow2 images are not supported";
  uint64_t incompatible = 0;
  uint32_t header_bytes = kVersion2Bytes;
  if (h.version == 3) {
    incompatible = big64(b + kIncompatibleFeatures);
    header_bytes = big32(b + kHeaderLength);
    if (header_bytes < kCompressionType) return "qcow2 header is too short for its version";
  }
  if ((incompatible & kExternalData) != 0) {
    return "qcow2 images with an external data file are not supported";
  }
  if ((incompatible & ~uint64_t{kDirty | kCorrupt | kCompression | kExtendedL2}) != 0) {
    return "qcow2 image has unknown incompatible features";
  }
  h.corrupt = (incompatible & kCorrupt) != 0;
  h.extended_l2 = (incompatible & kExtendedL2) != 0;
  if ((incompatible & kCompression) != 0) {
    const uint8_t type = header_bytes > kCompressionType ? b[kCompressionType] : 0;
    if (type > static_cast<uint8_t>(Qcow2Compression::kZstd)) {
      return "qcow2 images compressed by other than zlib and zstd are not supported";
    }
    h.compression = static_cast<Qcow2Compression>(type);
  }
  h.cluster_bits = big32(b + kClusterBits);
  if (h.cluster_bits < (h.extended_l2 ? kMinExtendedClusterBits : kMinClusterBits) ||
      h.cluster_bits > kMaxClusterBits) {
    return "qcow2 cluster size is out of range";
  }
  h.bytes = big64(b + kSize) / 512 * 512;
  if (h.bytes == 0) return "too small for a disk: less than a sector";
  h.l1_entries = big32(b + kL1Size);
  const unsigned per_l1_bits = h.cluster_bits + h.l2_bits();  // bytes of the disk under an L1 entry
  if (h.l1_entries > kMaxL1Entries || (h.bytes - 1) >> per_l1_bits >= h.l1_entries) {
    return "qcow2 L1 table does not fit the disk's size";
  }
  h.l1_offset = big64(b + kL1TableOffset);
  if (h.l1_offset % (uint64_t{1} << h.cluster_bits) != 0) return "qcow2 L1 table is misaligned";
  if (h.l1_offset > file.size() || uint64_t{h.l1_entries} * 8 > file.size() - h.l1_offset) {
    return "qcow2 L1 table lies beyond the end of the file";
  }
  return read_backing(file, b, header_bytes, h);
}

}  // namespace trapline::virtio
