// A file's bytes, unpacked where it is compressed.
#ifndef TRAPLINE_VMM_SYMBOLS_KERNEL_FILE_H_
#define TRAPLINE_VMM_SYMBOLS_KERNEL_FILE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vmm/config/result.h"

namespace trapline {

class KernelFile {
 public:
  // gzip, zstd and EFI zboot are unpacked, to at most 1 GiB. The error names the file.
  static Result<KernelFile> open(const std::string& path);

  KernelFile(KernelFile&& other) noexcept;
  KernelFile& operator=(KernelFile&&) = delete;
  ~KernelFile();

  std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  KernelFile() = default;

  std::vector<uint8_t> unpacked_;
  std::span<const uint8_t> mapped_;
  std::span<const uint8_t> bytes_;
};

// The same of bytes: whether they are compressed; if so `out` is what they hold, or the error what
// is wrong with them.
Result<bool> unpack(std::span<const uint8_t> in, std::vector<uint8_t>& out);

}  // namespace trapline

#endif  // TRAPLINE_VMM_SYMBOLS_KERNEL_FILE_H_
