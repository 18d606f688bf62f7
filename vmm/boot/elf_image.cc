#include "vmm/boot/elf_image.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace trapline {
namespace {

std::string check_header(const std::string& path, const Elf64_Ehdr& header) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64) {
    return path + ": a 32-bit ELF file: guests are AArch64, little-endian";
  }
  if (header.e_ident[EI_DATA] != ELFDATA2LSB) {
    return path + ": a big-endian ELF file: guests are AArch64, little-endian";
  }
  if (header.e_machine != EM_AARCH64) {
    return fmt::format("{}: an ELF file for another machine (e_machine {}), not AArch64", path,
                       header.e_machine);
  }
  if (header.e_phentsize < sizeof(Elf64_Phdr) && header.e_phnum != 0) {
    return path + ": damaged ELF file: its program headers are too short";
  }
  return {};
}

Result<std::vector<Elf64_Phdr>> read_segments(const BootFile& file, const Elf64_Ehdr& header,
                                              uint64_t ram_base, uint64_t ram_end) {
  std::vector<Elf64_Phdr> segments;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    const uint64_t at = header.e_phoff + uint64_t{i} * header.e_phentsize;
    Elf64_Phdr segment;
    if (at < header.e_phoff || at > file.size() || sizeof segment > file.size() - at) {
      return Error{file.path() + ": truncated ELF file"};
    }
    if (std::string error = file.read(at, &segment, sizeof segment); !error.empty()) {
      return Error{error};
    }
    if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
    if (segment.p_offset > file.size() || segment.p_filesz > file.size() - segment.p_offset ||
        segment.p_filesz > segment.p_memsz) {
      return Error{file.path() + ": truncated ELF file"};
    }
    if (segment.p_paddr < ram_base || segment.p_paddr > ram_end ||
        segment.p_memsz > ram_end - segment.p_paddr) {
      return Error{
          fmt::format("{}: ELF segment at {:#x}, {:#x} bytes, lies outside memory ({:#x} "
                      "to {:#x}, see --memory)",
                      file.path(), segment.p_paddr, segment.p_memsz, ram_base, ram_end)};
    }
    segments.push_back(segment);
  }
  if (segments.empty()) return Error{file.path() + ": ELF file with nothing to load"};
  return segments;
}

// A part of memory that one segment defines: by the file's bytes from `offset` on, or by zeroes.
struct Part {
  uint64_t ipa, size;
  std::optional<uint64_t> offset;
};

// Addresses that are spoken for: start -> end, neither overlapping nor touching.
using Taken = std::map<uint64_t, uint64_t>;

// Appends what of [ipa, ipa + size) is not yet taken.
void add_parts(const Taken& taken, uint64_t ipa, uint64_t size, std::optional<uint64_t> offset,
               std::vector<Part>& parts) {
  const uint64_t start = ipa, end = ipa + size;
  auto next = taken.upper_bound(ipa);
  if (next != taken.begin()) ipa = std::max(ipa, std::prev(next)->second);
  while (ipa < end) {
    const uint64_t gap_end = next == taken.end() ? end : std::min(end, next->first);
    if (ipa < gap_end) {
      std::optional<uint64_t> from;
      if (offset) from = *offset + (ipa - start);
      parts.push_back({ipa, gap_end - ipa, from});
    }
    if (next == taken.end()) break;
    ipa = std::max(ipa, next->second);
    ++next;
  }
}

void take(Taken& taken, uint64_t start, uint64_t end) {
  auto next = taken.upper_bound(start);
  if (next != taken.begin() && std::prev(next)->second >= start) --next;
  while (next != taken.end() && next->first <= end) {
    start = std::min(start, next->first);
    end = std::max(end, next->second);
    next = taken.erase(next);
  }
  taken.emplace(start, end);
}

// The last segment is loaded last: from the last to the first, each gets what is left.
std::vector<Part> without_overlaps(const std::vector<Elf64_Phdr>& segments) {
  Taken taken;
  std::vector<Part> parts;
  for (auto s = segments.rbegin(); s != segments.rend(); ++s) {
    add_parts(taken, s->p_paddr, s->p_filesz, s->p_offset, parts);
    add_parts(taken, s->p_paddr + s->p_filesz, s->p_memsz - s->p_filesz, std::nullopt, parts);
    take(taken, s->p_paddr, s->p_paddr + s->p_memsz);
  }
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.ipa < b.ipa; });
  return parts;
}

// Reads what the parts need of the file, each byte once, and makes placements of them.
std::string read_parts(const BootFile& file, const std::vector<Part>& parts, ElfImage& image) {
  struct Extent {
    uint64_t offset, end;
    uint64_t at;  // in the content
  };
  std::vector<Extent> needed;
  for (const Part& part : parts) {
    if (part.offset) needed.push_back({*part.offset, *part.offset + part.size, 0});
  }
  std::sort(needed.begin(), needed.end(),
            [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
  std::vector<Extent> extents;
  uint64_t total = 0;
  for (const Extent& each : needed) {
    if (!extents.empty() && each.offset <= extents.back().end) {
      total += std::max(each.end, extents.back().end) - extents.back().end;
      extents.back().end = std::max(each.end, extents.back().end);
    } else {
      extents.push_back({each.offset, each.end, total});
      total += each.end - each.offset;
    }
  }
  auto content = Bytes::reserve(total);
  if (!content) return file.path() + ": " + content.error();
  for (const Extent& e : extents) {
    std::string error = file.read(e.offset, content->data() + e.at, e.end - e.offset);
    if (!error.empty()) return error;
  }
  for (const Part& part : parts) {
    const uint8_t* bytes = nullptr;
    if (part.offset) {
      auto after = std::upper_bound(extents.begin(), extents.end(), *part.offset,
                                    [](uint64_t o, const Extent& e) { return o < e.offset; });
      const Extent& e = *std::prev(after);
      bytes = content->data() + e.at + (*part.offset - e.offset);
    }
    image.placements.push_back({part.ipa, part.size, bytes});
  }
  image.content = std::move(*content);
  return {};
}

// e_entry is an address of the program, so a virtual one; it is entered with the MMU off. Some
// linker scripts name the physical one instead.
std::optional<uint64_t> entry_of(const std::vector<Elf64_Phdr>& segments, uint64_t entry) {
  for (const bool executable : {true, false}) {
    for (const Elf64_Phdr& s : segments) {
      if (executable && (s.p_flags & PF_X) == 0) continue;
      if (entry - s.p_vaddr < s.p_memsz) return entry - s.p_vaddr + s.p_paddr;
    }
  }
  for (const Elf64_Phdr& s : segments) {
    if (entry - s.p_paddr < s.p_memsz) return entry;
  }
  return std::nullopt;
}

}  // namespace

Result<ElfImage> load_elf(const BootFile& file, uint64_t ram_base, uint64_t ram_end) {
  Elf64_Ehdr header{};
  const uint64_t have = std::min<uint64_t>(file.size(), sizeof header);
  if (std::string error = file.read(0, &header, have); !error.empty()) return Error{error};
  if (have < sizeof header) return Error{file.path() + ": truncated ELF file"};
  if (std::string error = check_header(file.path(), header); !error.empty()) return Error{error};
  auto segments = read_segments(file, header, ram_base, ram_end);
  if (!segments) return Error{segments.error()};

  ElfImage image;
  const auto entry = entry_of(*segments, header.e_entry);
  if (!entry) {
    return Error{fmt::format("{}: its ELF entry point {:#x} lies in none of its segments",
                             file.path(), header.e_entry)};
  }
  image.entry = *entry;
  if (std::string error = read_parts(file, without_overlaps(*segments), image); !error.empty()) {
    return Error{error};
  }
  image.start = image.placements.front().ipa;
  image.end = image.placements.back().ipa + image.placements.back().size;
  return image;
}

}  // namespace trapline
