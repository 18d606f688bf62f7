#include "vmm/boot/boot.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "vmm/boot/elf_image.h"
#include "vmm/boot/unpack.h"
#include "vmm/config/platform.h"
#include "vmm/config/size.h"
#include "vmm/memory/guest_memory.h"

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

Error does_not_fit(const std::string& path, uint64_t bytes, uint64_t memory) {
  return Error{path + ": needs " + needs_but_has(bytes, memory) + " (--memory)"};
}

// What a file is, by its first bytes.
enum class Kind : uint8_t { kOther, kImage, kElf, kGzip, kZboot };

Result<Kind> kind_of(const BootFile& file) {
  uint8_t head[kMagicBytes] = {};
  const uint64_t have = std::min(file.size(), kMagicBytes);
  if (std::string error = file.read(0, head, have); !error.empty()) return Error{error};
  ImageHeader image;
  static_assert(sizeof image == kMagicBytes);
  std::memcpy(&image, head, sizeof image);
  if (std::memcmp(head, ELFMAG, SELFMAG) == 0) return Kind::kElf;
  if (is_gzip(head)) return Kind::kGzip;
  if (is_zboot(head)) return Kind::kZboot;
  return image.magic == kImageMagic ? Kind::kImage : Kind::kOther;
}

// The bytes that the sections of an Image's PE header (its EFI stub) occupy in the file; exact,
// where image_size also counts BSS. ~0 if the header itself is cut off.
uint64_t pe_file_size(const Bytes& file) {
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

// Where QEMU's virt puts the initrd, and the tree behind it, if the image ends before.
uint64_t usual_end(const Options& options) {
  return platform::kRamBase + std::min(options.memory / 2, 128 * kMiB);
}

// Places a whole file.
std::string place(BootPlan& plan, uint64_t ipa, BootFile& file) {
  auto bytes = file.take();
  if (!bytes) return bytes.error();
  plan.placements.push_back({ipa, bytes->size(), bytes->data()});
  plan.content.push_back(std::move(*bytes));
  return {};
}

std::string plan_elf(const BootFile& file, const Options& options, BootPlan& plan) {
  auto elf = load_elf(file, platform::kRamBase, platform::kRamBase + options.memory);
  if (!elf) return elf.error();
  plan.placements = std::move(elf->placements);
  plan.content.push_back(std::move(elf->content));
  plan.entry = elf->entry;
  plan.image_start = elf->start;
  plan.image_end = elf->end;
  plan.tree_below = true;
  return {};
}

std::string plan_image(BootFile& file, const Options& options, BootPlan& plan) {
  const std::string& path = file.path();
  ImageHeader header;
  if (std::string error = file.read(0, &header, sizeof header); !error.empty()) return error;
  uint64_t offset = header.image_size == 0 ? platform::kRawOffset : header.text_offset;
  if (offset < 0x1000) offset += 2 * kMiB;
  const uint64_t size = file.size();
  const uint64_t reserved = std::max<uint64_t>(header.image_size, size);
  if (offset > options.memory || reserved > options.memory - offset) {
    return does_not_fit(path, reserved > ~uint64_t{0} - offset ? reserved : reserved + offset,
                        options.memory)
        .text;
  }
  plan.entry = platform::kRamBase + offset;
  if (std::string error = place(plan, plan.entry, file); !error.empty()) return error;
  // Without a PE header nothing says how much of image_size is BSS.
  const uint64_t expected = header.pe_offset == 0 ? 0 : pe_file_size(plan.content.back());
  if (size < expected) {
    return fmt::format("{}: truncated Image: {} bytes of at least {}", path, size, expected);
  }
  plan.image_start = plan.entry;
  plan.image_end = plan.entry + reserved;
  return {};
}

std::string plan_kernel(const Options& options, BootFiles& files, BootPlan& plan) {
  auto file = files.open(options.kernel);
  if (!file) return file.error();
  auto kind = kind_of(*file);
  if (!kind) return kind.error();
  if (*kind == Kind::kGzip || *kind == Kind::kZboot) {
    auto unpacked = *kind == Kind::kGzip ? unpack_gzip(*file, options.memory)
                                         : unpack_zboot(*file, options.memory);
    if (!unpacked) return unpacked.error();
    file = std::move(unpacked);
    kind = kind_of(*file);
    if (!kind) return kind.error();
  }
  if (*kind == Kind::kElf) return plan_elf(*file, options, plan);
  if (*kind == Kind::kImage) return plan_image(*file, options, plan);
  return options.kernel +
         ": not an arm64 Image, gzip, EFI zboot or ELF file (--raw starts a bare binary)";
}

std::string plan_raw(const Options& options, BootFiles& files, BootPlan& plan) {
  auto file = files.open(options.raw);
  if (!file) return file.error();
  auto kind = kind_of(*file);
  if (!kind) return kind.error();
  // An Image's first word is an instruction: it may be meant, as the benchmarks' guest is.
  if (*kind != Kind::kOther && *kind != Kind::kImage) {
    const char* name = *kind == Kind::kElf    ? "an ELF file"
                       : *kind == Kind::kGzip ? "a gzip file"
                                              : "an EFI zboot kernel";
    return fmt::format("{}: {}, not a bare binary: give it with --kernel", options.raw, name);
  }
  const uint64_t size = file->size();
  if (options.memory < platform::kRawOffset || size > options.memory - platform::kRawOffset) {
    return does_not_fit(options.raw, platform::kRawOffset + size, options.memory).text;
  }
  plan.entry = platform::kRamBase + platform::kRawOffset;
  plan.image_start = plan.entry;
  plan.image_end = plan.entry + size;
  plan.tree_below = true;
  return place(plan, plan.entry, *file);
}

// Places a whole file at the next 2 MiB from `from` on; the end of what it takes in `end`.
std::string place_behind(BootPlan& plan, BootFiles& files, const std::string& path,
                         const Options& options, uint64_t from, uint64_t& start, uint64_t& end) {
  auto file = files.open(path);
  if (!file) return file.error();
  const uint64_t ram_end = platform::kRamBase + options.memory;
  start = align_up(from, 2 * kMiB);
  const uint64_t size = file->size();
  if (start > ram_end || size > ram_end - start) {
    return does_not_fit(path, start - platform::kRamBase + size, options.memory).text;
  }
  end = start + size;
  return place(plan, start, *file);
}

// Zeroes without making host memory of pages that are zero already.
void zero(GuestMemory& memory, uint64_t ipa, uint64_t size) {
  uint8_t* at = memory.host(ipa, size);
  static constexpr uint8_t kZeroes[kPageSize] = {};
  for (uint64_t done = 0; done < size;) {
    const uint64_t n = std::min(kPageSize, size - done);
    if (std::memcmp(at + done, kZeroes, n) != 0) std::memset(at + done, 0, n);
    done += n;
  }
  memory.dma_done(ipa, size);
}

// What is moved with it, up to the end of its last page, is nobody else's: other images begin at
// the next 2 MiB, and the device tree is written later.
bool can_move(const Placement& p, const Bytes& bytes, const GuestMemory& memory) {
  constexpr uint64_t kWorthIt = 256 << 10;  // bytes
  const uint64_t align = bytes.movable() >= 2 * kMiB ? 2 * kMiB : kPageSize;
  return p.size >= kWorthIt && p.ipa % align == 0 && memory.host(p.ipa, bytes.movable()) != nullptr;
}

}  // namespace

// A file's own pages take the place of the guest's; what belongs to no whole page is copied.
void BootPlan::load(GuestMemory& memory, bool is_new) {
  for (const Placement& p : placements) {
    if (p.bytes == nullptr) {
      zero(memory, p.ipa, p.size);
      continue;
    }
    const auto from = std::find_if(content.begin(), content.end(),
                                   [&](const Bytes& b) { return b.data() == p.bytes; });
    if (is_new && from != content.end() && from->size() == p.size && can_move(p, *from, memory) &&
        memory.move_in(p.ipa, from->movable(), from->data()) == 0) {
      memory.dma_done(p.ipa, from->movable());
      from->moved();
    } else {
      memory.write(p.ipa, p.bytes, p.size);
    }
  }
  content.clear();
  placements.clear();
  loaded = true;
}

std::string BootPlan::place_device_tree(uint64_t size, const Options& options) {
  const uint64_t ram_end = platform::kRamBase + options.memory;
  if (image_end == 0 || (tree_below && size <= image_start - platform::kRamBase)) {
    dtb_ipa = platform::kRamBase;
  } else {
    const uint64_t last = modules.empty() ? initrd_end : modules.back().end;
    const uint64_t end = std::max(image_end, last);
    dtb_ipa = align_up(std::max(end, last == 0 ? usual_end(options) : 0), 2 * kMiB);
    // Small guests: behind the image when the usual place is past the end.
    if (dtb_ipa > ram_end || kDtbMax > ram_end - dtb_ipa) dtb_ipa = align_up(end, 4096);
  }
  if (dtb_ipa <= ram_end && size <= ram_end - dtb_ipa) return {};
  return does_not_fit(name, dtb_ipa - platform::kRamBase + size, options.memory).text;
}

Result<BootPlan> plan_boot(const Options& options, BootFiles& files) {
  BootPlan plan;
  if (!options.firmware.empty()) {
    // The flash holds the firmware (machine assembly puts it there); it finds the tree at RAM's
    // start.
    plan.name = options.firmware;
    plan.entry = platform::kFlash[0].base;
    return plan;
  }
  plan.name = options.raw.empty() ? options.kernel : options.raw;
  std::string error =
      options.raw.empty() ? plan_kernel(options, files, plan) : plan_raw(options, files, plan);
  if (!error.empty()) return Error{error};

  uint64_t from = std::max(plan.image_end, usual_end(options));
  if (!options.initrd.empty()) {
    error = place_behind(plan, files, options.initrd, options, from, plan.initrd_start,
                         plan.initrd_end);
  }
  for (const Options::BootModule& module : options.modules) {
    if (!error.empty()) break;
    BootPlan::Module& placed = plan.modules.emplace_back();
    placed.append = module.append;
    error = place_behind(plan, files, module.path, options, from, placed.start, placed.end);
    from = placed.end;
  }
  if (!error.empty()) return Error{error};
  return plan;
}

}  // namespace trapline
