#include "vmm/state/page_records.h"

#include <fmt/format.h>
#include <zstd.h>

#include <cstring>

#include "vmm/config/platform.h"

namespace trapline::state {
namespace {

constexpr int kLevel = 1;

Bytes head_of(const PagesHeader& head) {
  return {reinterpret_cast<const uint8_t*>(&head), sizeof head};
}

uint64_t ipa_of(uint64_t page) { return platform::kRamBase + page * kPageSize; }

}  // namespace

bool PageRecords::pages(uint64_t first, uint32_t count, const uint8_t* bytes) {
  if (cancelled_) return false;
  written_ += count;
  PagesHeader head{ipa_of(first), count, PagesHeader::Coding::kPlain};
  const size_t size = count * kPageSize;
  if (compress_) {
    packed_.resize(ZSTD_compressBound(size));
    const size_t packed = ZSTD_compress(packed_.data(), packed_.size(), bytes, size, kLevel);
    if (ZSTD_isError(packed) == 0 && packed < size) {
      head.coding = PagesHeader::Coding::kZstd;
      return put_record(out_, kPages, head_of(head), {packed_.data(), packed});
    }
  }
  return put_record(out_, kPages, head_of(head), {bytes, size});
}

bool PageRecords::zeroes(uint64_t first, uint32_t count) {
  if (cancelled_) return false;
  const PagesHeader head{ipa_of(first), count, PagesHeader::Coding::kZero};
  return put_record(out_, kPages, head_of(head));
}

std::string take_pages(const std::string& what, const Record& record, uint8_t* ram, uint64_t size) {
  const auto damaged = [&what] {
    return fmt::format("{}: is damaged: section '{}'", what, kPages);
  };
  PagesHeader head;
  if (record.payload.size() < sizeof head) return damaged();
  std::memcpy(&head, record.payload.data(), sizeof head);
  const uint8_t* const data = record.payload.data() + sizeof head;
  const size_t have = record.payload.size() - sizeof head;
  const uint64_t at = head.ipa - platform::kRamBase, bytes = uint64_t{head.pages} * kPageSize;
  if (head.pages == 0 || head.pages > kMostPages || (at & kPageMask) != 0 || at >= size ||
      bytes > size - at) {
    return damaged();
  }
  switch (head.coding) {
    case PagesHeader::Coding::kPlain:
      if (have != bytes) return damaged();
      std::memcpy(ram + at, data, bytes);
      return {};
    case PagesHeader::Coding::kZstd: {
      const size_t made = ZSTD_decompress(ram + at, bytes, data, have);
      return ZSTD_isError(made) != 0 || made != bytes ? damaged() : std::string();
    }
    case PagesHeader::Coding::kZero:
      if (have != 0) return damaged();
      std::memset(ram + at, 0, bytes);
      return {};
  }
  return damaged();
}

}  // namespace trapline::state
