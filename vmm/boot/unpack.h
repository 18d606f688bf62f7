// Compressed kernels: gzip, and the EFI zboot format with gzip or zstd inside. What comes out is
// bounded by the guest's memory, whatever the file claims.
#ifndef TRAPLINE_VMM_BOOT_UNPACK_H_
#define TRAPLINE_VMM_BOOT_UNPACK_H_

#include <cstdint>

#include "vmm/boot/boot_file.h"
#include "vmm/config/result.h"

namespace trapline {

// The first bytes of a file, which say what it is.
inline constexpr uint64_t kMagicBytes = 64;

bool is_gzip(const uint8_t (&head)[kMagicBytes]);
// A PE file with "zimg" behind its "MZ": Linux's drivers/firmware/efi/libstub/zboot-header.S.
bool is_zboot(const uint8_t (&head)[kMagicBytes]);

// The unpacked kernel, at most `limit` bytes; nor may what is read be larger.
Result<BootFile> unpack_gzip(const BootFile& file, uint64_t limit);
Result<BootFile> unpack_zboot(const BootFile& file, uint64_t limit);

}  // namespace trapline

#endif  // TRAPLINE_VMM_BOOT_UNPACK_H_
