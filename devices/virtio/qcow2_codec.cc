#include "devices/virtio/qcow2_codec.h"

#include <zlib.h>
#include <zstd.h>

#include <memory>

namespace trapline::virtio {
namespace {

// A raw deflate stream.
bool inflate_cluster(const std::vector<uint8_t>& packed, std::vector<uint8_t>& plain) {
  z_stream stream = {};
  if (inflateInit2(&stream, -15) != Z_OK) return false;
  stream.next_in = const_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = plain.data();
  stream.avail_out = static_cast<uInt>(plain.size());
  const int result = inflate(&stream, Z_FINISH);
  const bool full = stream.avail_out == 0;
  inflateEnd(&stream);
  return full && (result == Z_STREAM_END || result == Z_BUF_ERROR || result == Z_OK);
}

// A frame may ask for a window, which is memory, of any size: no cluster needs more than this.
constexpr int kMaxWindowLog = 23;

// One or more zstd frames.
bool zstd_cluster(const std::vector<uint8_t>& packed, std::vector<uint8_t>& plain) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                   ZSTD_freeDCtx);
  if (context == nullptr) return false;
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
  ZSTD_inBuffer in = {packed.data(), packed.size(), 0};
  ZSTD_outBuffer out = {plain.data(), plain.size(), 0};
  while (out.pos < out.size) {
    const size_t in_before = in.pos, out_before = out.pos;
    if (ZSTD_isError(ZSTD_decompressStream(context.get(), &out, &in)) != 0) return false;
    if (in.pos == in_before && out.pos == out_before) return false;  // the input is used up
  }
  return true;
}

}  // namespace

bool unpack_cluster(Qcow2Compression compression, const std::vector<uint8_t>& packed,
                    std::vector<uint8_t>& plain) {
  return compression == Qcow2Compression::kZstd ? zstd_cluster(packed, plain)
                                                : inflate_cluster(packed, plain);
}

}  // namespace trapline::virtio
