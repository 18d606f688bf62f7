// A qcow2 image's header (QEMU docs/interop/qcow2.txt, "Header" and "Header extensions").
#ifndef TRAPLINE_DEVICES_VIRTIO_QCOW2_HEADER_H_
#define TRAPLINE_DEVICES_VIRTIO_QCOW2_HEADER_H_

#include <cstdint>
#include <string>

#include "devices/virtio/host_file.h"

namespace trapline::virtio {

enum class Qcow2Compression : uint8_t { kZlib = 0, kZstd = 1 };

struct Qcow2Header {
  uint32_t version = 0;
  unsigned cluster_bits = 0;
  uint64_t bytes = 0;  // of the disk
  uint32_t l1_entries = 0;
  uint64_t l1_offset = 0;
  bool extended_l2 = false;
  bool corrupt = false;
  Qcow2Compression compression = Qcow2Compression::kZlib;
  std::string backing_file;    // as the image spells it; empty: none
  std::string backing_format;  // empty: the image does not say

  // Entries of an L2 table; each has 8 bytes, or 16 if extended.
  unsigned l2_bits() const { return cluster_bits - (extended_l2 ? 4 : 3); }
};

// Reads the header and refuses what cannot be read right: every size and offset in it is bounded
// afterwards. Returns an error text without the file's name; empty on success.
std::string read_qcow2_header(const HostFile& file, Qcow2Header& header);

// Big-endian numbers, as everything in a qcow2 image is.
inline uint32_t big32(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}
inline uint64_t big64(const uint8_t* p) { return uint64_t{big32(p)} << 32 | big32(p + 4); }

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_QCOW2_HEADER_H_
