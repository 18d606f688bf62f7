#include "vmm/boot.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "vmm/platform.h"

namespace trapline {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kDtbMax = 2 * kMiB;

constexpr uint64_t align_up(uint64_t value, uint64_t align) {
  return (value + align - 1) & ~(align - 1);
}

// The 64-byte header of an arm64 Image.
struct ImageHeader {
  uint32_t code[2];
  uint64_t text_offset;
  uint64_t image_size;  // 0 before Linux 3.17
  uint64_t flags;       // bit 0: big-endian
  uint64_t reserved[3];
  uint32_t magic;  // "ARM\x64"
  uint32_t pe_offset;
};
static_assert(sizeof(ImageHeader) == 64);
constexpr uint32_t kImageMagic = 0x644d5241;

// Inflates up to `limit` bytes.
Result<std::vector<uint8_t>> gunzip(const std::string& path, const std::vector<uint8_t>& in,
                                    uint64_t limit) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return Error{"zlib cannot start"};
  std::vector<uint8_t> out;
  stream.next_in = const_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  int status = Z_OK;
  while (status == Z_OK) {
    size_t have = out.size();
    if (have > limit) break;
    out.resize(have + kMiB);
    stream.next_out = out.data() + have;
    stream.avail_out = kMiB;
    status = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
    if (status == Z_BUF_ERROR ||
        (status == Z_OK && stream.avail_in == 0 && stream.avail_out != 0)) {
      break;
    }
  }
  inflateEnd(&stream);
  if (out.size() > limit) return Error{path + ": larger than the guest's memory when unpacked"};
  if (status != Z_STREAM_END) return Error{path + ": damaged or truncated gzip file"};
  return out;
}

struct Range {
  uint64_t start, end;
};

Error does_not_fit(const std::string& path, uint64_t bytes, uint64_t memory) {
  return Error{fmt::format("{}: needs {} MiB, but the guest has {} MiB of memory (--memory)", path,
                           align_up(bytes, kMiB) / kMiB, memory / kMiB)};
}

// ELF: PT_LOAD segments at their physical addresses.
Result<Range> plan_elf(const std::string& path, const std::vector<uint8_t>& file,
                       const Options& options, BootPlan& plan) {
  Elf64_Ehdr header;
  if (file.size() < sizeof header) return Error{path + ": truncated ELF file"};
  std::memcpy(&header, file.data(), sizeof header);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_AARCH64) {
    return Error{path + ": not a little-endian AArch64 ELF file"};
  }
  Range all{~uint64_t{0}, 0};
  uint64_t ram_end = platform::kRamBase + options.memory;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    uint64_t at = header.e_phoff + uint64_t{i} * header.e_phentsize;
    if (header.e_phentsize < sizeof segment || at > file.size() ||
        file.size() - at < sizeof segment) {
      return Error{path + ": truncated ELF file"};
    }
    std::memcpy(&segment, file.data() + at, sizeof segment);
    if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
    if (segment.p_offset > file.size() || segment.p_filesz > file.size() - segment.p_offset ||
        segment.p_filesz > segment.p_memsz) {
      return Error{path + ": truncated ELF file"};
    }
    if (segment.p_paddr < platform::kRamBase || segment.p_paddr > ram_end ||
        segment.p_memsz > ram_end - segment.p_paddr) {
      return Error{fmt::format("{}: ELF segment at {:#x} lies outside memory ({:#x} to {:#x})",
                               path, segment.p_paddr, platform::kRamBase, ram_end)};
    }
    Blob blob{path, segment.p_paddr, {}, segment.p_memsz};
    auto begin = file.begin() + static_cast<ptrdiff_t>(segment.p_offset);
    blob.bytes.assign(begin, begin + static_cast<ptrdiff_t>(segment.p_filesz));
    blob.bytes.resize(segment.p_memsz);
    plan.blobs.push_back(std::move(blob));
    all.start = std::min(all.start, segment.p_paddr);
    all.end = std::max(all.end, segment.p_paddr + segment.p_memsz);
  }
  if (all.end == 0) return Error{path + ": ELF file with nothing to load"};
  plan.entry = header.e_entry;
  return all;
}

// The bytes that the sections of an Image's PE header (its EFI stub) occupy in the file; exact,
// where image_size also counts BSS. ~0 if the header itself is cut off.
uint64_t pe_file_size(const std::vector<uint8_t>& file) {
  auto get = [&file](uint64_t at, unsigned bytes) {
    uint64_t value = ~uint64_t{0};
    if (at <= file.size() && bytes <= file.size() - at) {
      value = 0;
      std::memcpy(&value, file.data() + at, bytes);
    }
    return value;
  };
  uint64_t pe = get(0x3c, 4);
  if (get(pe, 4) == ~uint64_t{0}) return ~uint64_t{0};
  if (get(pe, 4) != 0x4550) return 0;  // no PE header after all
  uint64_t sections = get(pe + 6, 2), table = pe + 24 + get(pe + 20, 2), end = 0;
  if (sections > 96) return 0;
  for (uint64_t i = 0; i < sections; ++i) {
    uint64_t size = get(table + i * 40 + 16, 4), start = get(table + i * 40 + 20, 4);
    if (size == ~uint64_t{0} || start == ~uint64_t{0}) return ~uint64_t{0};
    end = std::max(end, start + size);
  }
  return end;
}

Result<Range> plan_image(const std::string& path, std::vector<uint8_t> file, const Options& options,
                         BootPlan& plan) {
  ImageHeader header;
  if (file.size() < sizeof header) return Error{path + ": not an arm64 Image, gzip or ELF file"};
  std::memcpy(&header, file.data(), sizeof header);
  if (header.magic != kImageMagic) return Error{path + ": not an arm64 Image, gzip or ELF file"};
  uint64_t offset = header.image_size == 0 ? platform::kRawOffset : header.text_offset;
  if (offset < 0x1000) offset += 2 * kMiB;
  uint64_t reserved = std::max<uint64_t>(header.image_size, file.size());
  // Without a PE header nothing says how much of image_size is BSS.
  uint64_t expected = header.pe_offset == 0 ? 0 : pe_file_size(file);
  if (file.size() < expected) {
    return Error{
        fmt::format("{}: truncated Image: {} bytes of at least {}", path, file.size(), expected)};
  }
  if (offset > options.memory || reserved > options.memory - offset) {
    return does_not_fit(path, reserved + offset, options.memory);
  }
  plan.entry = platform::kRamBase + offset;
  plan.blobs.push_back({path, plan.entry, std::move(file), reserved});
  return Range{plan.entry, plan.entry + reserved};
}

Result<Range> plan_kernel(const Options& options, BootPlan& plan) {
  const std::string& path = options.kernel;
  auto file = read_file(path);
  if (!file) return Error{file.error()};
  if (file->size() > 2 && (*file)[0] == 0x1f && (*file)[1] == 0x8b) {
    file = gunzip(path, *file, options.memory);
    if (!file) return Error{file.error()};
  }
  if (file->size() >= 4 && std::memcmp(file->data(), ELFMAG, SELFMAG) == 0) {
    return plan_elf(path, *file, options, plan);
  }
  return plan_image(path, std::move(*file), options, plan);
}

}  // namespace

Result<std::vector<uint8_t>> read_file(const std::string& path) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (file == nullptr) return Error{path + ": " + std::strerror(errno)};
  struct stat info {};
  if (fstat(fileno(file.get()), &info) != 0) return Error{path + ": " + std::strerror(errno)};
  if (S_ISDIR(info.st_mode)) {
    return Error{path + ": is a directory"};
  }
  // A file that says its size is read into place at once: growing copied a kernel twice, a tenth of
  // a boot. One byte more, to see that it ended there; what says nothing (a pipe) grows.
  constexpr uint64_t kLargest = uint64_t{64} << 30;
  const bool sized = S_ISREG(info.st_mode) && info.st_size > 0;
  if (sized && static_cast<uint64_t>(info.st_size) > kLargest) return Error{path + ": too large"};
  std::vector<uint8_t> bytes(sized ? static_cast<size_t>(info.st_size) + 1 : 0);
  size_t have = 0, got = 0;
  do {
    if (have > kLargest) return Error{path + ": too large"};
    if (have == bytes.size()) bytes.resize(have + std::max<size_t>(kMiB, have));
    got = std::fread(bytes.data() + have, 1, bytes.size() - have, file.get());
    have += got;
  } while (got != 0);
  if (std::ferror(file.get()) != 0) return Error{path + ": " + std::strerror(errno)};
  bytes.resize(have);
  if (bytes.empty()) return Error{path + ": is empty"};
  return bytes;
}

Result<BootPlan> plan_boot(const Options& options) {
  BootPlan plan;
  uint64_t ram_end = platform::kRamBase + options.memory;

  if (!options.firmware.empty()) {
    // The flash holds the firmware (machine assembly puts it there); it finds the tree at RAM's
    // start.
    plan.entry = platform::kFlash[0].base;
    plan.dtb_ipa = platform::kRamBase;
    return plan;
  }

  Range image{};
  if (!options.raw.empty()) {
    auto file = read_file(options.raw);
    if (!file) return Error{file.error()};
    image.start = platform::kRamBase + platform::kRawOffset;
    image.end = image.start + file->size();
    if (options.memory < platform::kRawOffset + kDtbMax ||
        file->size() > options.memory - platform::kRawOffset - kDtbMax) {
      return does_not_fit(options.raw, platform::kRawOffset + file->size() + kDtbMax,
                          options.memory);
    }
    plan.entry = image.start;
    plan.blobs.push_back({options.raw, image.start, std::move(*file), 0});
  } else {
    auto range = plan_kernel(options, plan);
    if (!range) return Error{range.error()};
    image = *range;
  }

  uint64_t next =
      std::max(image.end, platform::kRamBase + std::min(options.memory / 2, 128 * kMiB));
  next = align_up(next, 2 * kMiB);
  if (!options.initrd.empty()) {
    auto file = read_file(options.initrd);
    if (!file) return Error{file.error()};
    if (next > ram_end || file->size() + kDtbMax > ram_end - next) {
      return does_not_fit(options.initrd, next - platform::kRamBase + file->size() + kDtbMax,
                          options.memory);
    }
    plan.initrd_start = next;
    plan.initrd_end = next + file->size();
    plan.blobs.push_back({options.initrd, next, std::move(*file), 0});
    next = align_up(plan.initrd_end, 2 * kMiB);
  }
  // Small guests: behind the image when the usual place is past the end.
  if (next + kDtbMax > ram_end) next = align_up(std::max(image.end, plan.initrd_end), 4096);
  if (next + 64 * 1024 > ram_end) {
    return does_not_fit(options.kernel.empty() ? options.raw : options.kernel,
                        next + 64 * 1024 - platform::kRamBase, options.memory);
  }
  plan.dtb_ipa = next;
  return plan;
}

}  // namespace trapline
