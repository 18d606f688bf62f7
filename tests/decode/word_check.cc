#include "tests/decode/word_check.h"

#include <fmt/format.h>

#include <cstring>

#include "decode/a64_decoder.h"

namespace trapline::test {
namespace {

// The answer, kept apart from what stood in `out` before.
DecodeStatus decode_into(uint32_t word, unsigned char fill, Access& out) {
  std::memset(static_cast<void*>(&out), fill, sizeof(out));
  return decode(word, out);
}

bool has_structure_registers(Op op) { return op >= Op::kLoadMultiple && op <= Op::kLoadReplicate; }

const char* check_access(const Access& a) {
  if (a.op == Op::kNone || a.op >= Op::kCount) return "operation out of range";
  if (a.size_log2 > 4) return "size out of range";
  if (a.count < 1 || a.count > 64) return "count out of range";
  if (a.bytes() > 64) return "more than 64 bytes";
  if (a.rt > 31 || a.rt2 > 31 || a.rs > 31 || a.rn > 31 || a.rm > 31) return "register over 31";
  if (a.spare != 0) return "spare byte not zero";
  if (a.mode == AddressMode::kRegister) {
    if (a.imm != 0) return "register offset with an immediate";
    if (a.op != Op::kLoad && a.op != Op::kStore && a.op != Op::kPrefetch) {
      return "register offset of an operation that has none";
    }
    if (a.shift != 0 && a.shift != (a.op == Op::kPrefetch ? 3 : a.size_log2)) {
      return "shift is not the element's";
    }
  } else {
    if (a.shift != 0 || a.extend != Extend::kUxtw) return "extend without a register offset";
    if (a.mode == AddressMode::kBase && a.imm != 0 && a.op != Op::kPrefetch) {
      return "base mode with an immediate";
    }
  }
  if (a.mode == AddressMode::kPostRegister && (a.rm == 31 || a.imm != 0)) {
    return "post-register with XZR or an immediate";
  }
  if (a.imm < -1048576 || a.imm > 1048575) return "immediate out of range";
  if (a.sign != SignExtend::kNone) {
    if (a.op != Op::kLoad || a.vector) return "sign extension of what is no integer load";
    if (a.size_log2 > 2 || (a.sign == SignExtend::kTo32 && a.size_log2 > 1)) {
      return "sign extension that extends nothing";
    }
  }
  if (has_structure_registers(a.op)) {
    if (!a.vector) return "structure without vector registers";
    if (a.interleaved && a.regs() == 1) return "one register interleaved";
    const bool multiple = a.op == Op::kLoadMultiple || a.op == Op::kStoreMultiple;
    if (multiple && a.bytes() != a.regs() * (a.q ? 16 : 8)) return "structure bytes";
    if (!multiple && a.count != a.regs()) return "single structure count";
    if (!multiple && (unsigned{a.lane} << a.size_log2) >= 16) return "lane outside the register";
  } else if (a.extra_regs || a.q || a.interleaved || (a.lane && a.op != Op::kLoadAuthenticated)) {
    return "lane layout without lanes";
  }
  if (a.op == Op::kCompareAndSwap && a.count == 2 && ((a.rs | a.rt) & 1)) return "odd CASP pair";
  const bool touches = reads_memory(a.op) || writes_memory(a.op);
  if (!touches && a.op != Op::kPrefetch && a.op != Op::kCacheMaintenance) {
    return "neither reads nor writes";
  }
  if (a.acquire && !reads_memory(a.op)) return "acquire without a read";
  if (a.acquire_pc && (!reads_memory(a.op) || writes_memory(a.op))) return "acquirePC";
  if (a.release && !writes_memory(a.op)) return "release without a write";
  return nullptr;
}

}  // namespace

const char* check_word(uint32_t word) {
  Access first, second;
  const DecodeStatus status = decode_into(word, 0x00, first);
  if (decode_into(word, 0xff, second) != status) return "status depends on the past";
  if (std::memcmp(&first, &second, sizeof(first)) != 0) return "access depends on the past";
  if (status != DecodeStatus::kAccess) {
    return first == Access{} ? nullptr : "access not empty for a word that is none";
  }
  return check_access(first);
}

AllWords check_words(uint64_t first, uint64_t end, uint64_t step) {
  AllWords r;
  for (uint64_t word = first; word < end; word += step) {
    const uint32_t w = static_cast<uint32_t>(word);
    if (const char* what = check_word(w)) {
      ++r.broken;
      if (r.examples.size() < 20) r.examples.push_back(fmt::format("{:08x}: {}", w, what));
    }
    Access unused;
    switch (decode(w, unused)) {
      case DecodeStatus::kAccess:
        ++r.access;
        break;
      case DecodeStatus::kUnsupported:
        ++r.unsupported;
        break;
      case DecodeStatus::kUnallocated:
        ++r.unallocated;
        break;
      case DecodeStatus::kNotMemory:
        ++r.not_memory;
        break;
    }
  }
  return r;
}

}  // namespace trapline::test
