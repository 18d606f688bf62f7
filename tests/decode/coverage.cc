#include "tests/decode/coverage.h"

#include <fmt/format.h>

#include "decode/a64_decoder.h"
#include "decode/access_text.h"
#include "tests/decode/oracle_compare.h"

namespace trapline::test {
namespace {

// Why the decoder takes a word that LLVM 19 does not; null when there is no reason.
const char* why_accepted(uint32_t word, const Access&) {
  if ((word & 0x3fe0fc00) == 0x38a0c000 && (word >> 16 & 31) != 31) {
    return "LDAPR whose should-be-one field Rs is not 11111: the field is ignored, as in LDAR";
  }
  return nullptr;
}

// LLVM's text names a memory operand: "[x", "[sp" or "[z" at the start of an operand.
bool names_memory(const std::string& text) {
  if (canonical(text).starts_with("adr ")) return false;  // a vector of addresses, no access
  for (size_t at = text.find('['); at != std::string::npos; at = text.find('[', at + 1)) {
    if (at == 0 || at + 1 >= text.size()) continue;
    const char before = text[at - 1], after = text[at + 1];
    if ((before == ' ' || before == '\t') && (after == 'x' || after == 's' || after == 'z')) {
      return true;
    }
  }
  return false;
}

}  // namespace

void Coverage::note(Buckets& buckets, const std::string& key, uint32_t word,
                    const std::string& ours_text, const std::string& theirs) {
  Bucket& b = buckets[key];
  if (b.words++ == 0) b.example = fmt::format("{:08x}  us: {}  LLVM: {}", word, ours_text, theirs);
}

void Coverage::compare(uint32_t word) {
  std::string theirs;
  const LlvmOracle::Verdict verdict = llvm_.disassemble(word, theirs);
  const bool taken = verdict != LlvmOracle::Verdict::kUnallocated;
  Access access;
  const DecodeStatus status = decode(word, access);
  ++words;
  allocated += taken;
  unpredictable += verdict == LlvmOracle::Verdict::kUnpredictable;
  if (status == DecodeStatus::kAccess) {
    ++ours;
    const std::string text = access_text(access);
    if (!taken) {
      ++over;
      const char* why = why_accepted(word, access);
      over_unexplained += why == nullptr;
      note(over_by, fmt::format("{}: {}", decode_class(word), why ? why : "UNEXPLAINED"), word,
           text, "unallocated");
      return;
    }
    ++accepted;
    const std::string a = canonical(text), b = canonical(theirs);
    if (a == b) {
      ++same;
    } else {
      note(different, llvm_.opcode_name(), word, a, b);
    }
    return;
  }
  if (!taken) return;
  if (status == DecodeStatus::kUnsupported) {
    note(unsupported, decode_class(word), word, "unsupported", theirs);
  } else {
    note(missed, llvm_.opcode_name(), word, decode_class(word), theirs);
  }
}

void Coverage::run_group(uint32_t stride, unsigned samples) {
  for (uint32_t opcode = static_cast<uint32_t>(random_() % stride); opcode < kOpcodes;
       opcode += stride) {
    for (uint32_t rm = 0; rm < 32; ++rm) {
      for (unsigned i = 0; i < samples; ++i) {
        const uint64_t r = random_();
        uint32_t rn = r & 31, rt = r >> 5 & 31;
        switch (r >> 10 & 7) {  // the corners, each an eighth of the time
          case 0:
            rt = rn;
            break;
          case 1:
            rt = 31;
            break;
          case 2:
            rn = 31;
            break;
          case 3:
            rt = rm;
            break;
          default:
            break;
        }
        compare(group_word(opcode, rm, rn, rt));
      }
    }
  }
}

void Coverage::run_system() {
  for (uint32_t fields = 0; fields < 1u << 11; ++fields) {
    const uint32_t read = fields >> 10 & 1, op1 = fields >> 7 & 7, crm = fields >> 3 & 15,
                   op2 = fields & 7;
    const uint32_t word = 0xd5087000 | read << 21 | op1 << 16 | crm << 8 | op2 << 5 |
                          static_cast<uint32_t>(random_() % 31);
    std::string theirs;
    const bool taken = llvm_.disassemble(word, theirs) != LlvmOracle::Verdict::kUnallocated;
    const std::string text = canonical(theirs);
    ++system_words;
    Access access;
    const DecodeStatus status = decode(word, access);
    // The DC and IC operations that take a VA; by set/way (…SW) and by PA (CIPA…) do not.
    bool memory = taken && (text.starts_with("dc ") || text.starts_with("ic ivau"));
    for (const char* other : {"isw", "csw", "cisw", "igsw", "cgsw", "cigsw", "igdsw", "cgdsw",
                              "cigdsw", "cipae", "cigdpae", "cipapa", "cigdpapa"}) {
      if (text.starts_with(fmt::format("dc {},", other))) memory = false;
    }
    const bool gcs = taken && (text.starts_with("gcspush") || text.starts_with("gcspop") ||
                               text.starts_with("gcsss"));
    if (memory || gcs) ++system_memory;
    if (gcs) {
      if (status != DecodeStatus::kUnsupported) note(missed, "GCS system", word, "-", text);
    } else if (memory) {
      if (status != DecodeStatus::kAccess) {
        note(missed, "SYS", word, decode_class(word), text);
      } else if (canonical(access_text(access)) != text) {
        note(different, "SYS", word, access_text(access), text);
      }
    } else if (status == DecodeStatus::kAccess || status == DecodeStatus::kUnsupported) {
      // LLVM 19 prints what it has no name for as SYS: FEAT_OCCMO, and the EL1 forms of FEAT_GCS.
      const bool named = !text.starts_with("sys ");
      over_unexplained += named;
      note(over_by,
           fmt::format("system {}: {}", decode_class(word),
                       named ? "UNEXPLAINED" : "LLVM 19 has no name for it"),
           word, access_text(access), text);
    }
  }
}

void Coverage::run_elsewhere(uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    uint32_t word = static_cast<uint32_t>(random_());
    // Three of four words in the SVE and SME regions, which are a sixteenth of the space.
    constexpr uint32_t kFixed[][2] = {
        {0x9e000000, 0x84000000}, {0xfe000000, 0xe0000000}, {0xfe800000, 0xa0000000}};
    if (i & 3) word = (word & ~kFixed[(i & 3) - 1][0]) | kFixed[(i & 3) - 1][1];
    if ((word & 0x0a000000) == 0x08000000) continue;
    ++elsewhere_words;
    std::string theirs;
    const bool taken = llvm_.disassemble(word, theirs) != LlvmOracle::Verdict::kUnallocated;
    Access access;
    const bool marked = decode(word, access) == DecodeStatus::kUnsupported;
    elsewhere_marked += marked;
    if (marked && !taken) {
      ++over_unexplained;
      note(over_by, fmt::format("elsewhere {}: UNEXPLAINED", decode_class(word)), word, "", "");
    }
    if (!taken) continue;
    const bool memory = names_memory(theirs);
    elsewhere_memory += memory;
    if (memory && !marked) {
      note(missed, "elsewhere " + llvm_.opcode_name(), word, decode_class(word), theirs);
    } else if (!memory && marked && (word & 0xfff80000) != 0xd5080000 &&
               (word & 0xfff80000) != 0xd5280000) {  // system instructions: run_system()
      note(over_by, fmt::format("elsewhere {} {}", decode_class(word), llvm_.opcode_name()), word,
           decode_class(word), theirs);
    }
  }
}

bool Coverage::good() const {
  return missed.empty() && different.empty() && over_unexplained == 0 && over * 1000 <= ours;
}

void Coverage::print(std::FILE* to) const {
  const auto percent = [](uint64_t part, uint64_t whole) {
    return whole ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0;
  };
  uint64_t only_recognised = 0;
  for (const auto& [key, b] : unsupported) only_recognised += b.words;
  fmt::print(to,
             "loads and stores: {} words compared, LLVM 19 takes {} ({} of them unpredictable)\n",
             words, allocated, unpredictable);
  fmt::print(to, "  accepted {} = {:.4f} % of those not reported unsupported ({})\n", accepted,
             percent(accepted, allocated - only_recognised), only_recognised);
  fmt::print(to, "  same registers, size, immediate, write-back, ordering: {} = {:.4f} %\n", same,
             percent(same, accepted));
  fmt::print(to, "  over-acceptance: {} of {} accepted = {:.4f} %, unexplained {}\n", over, ours,
             percent(over, ours), over_unexplained);
  fmt::print(to, "system: {} words, {} by VA or GCS\n", system_words, system_memory);
  fmt::print(to, "elsewhere: {} words, {} memory accesses for LLVM, {} marked SVE, SME, GCS here\n",
             elsewhere_words, elsewhere_memory, elsewhere_marked);
  const auto list = [&](const char* title, const Buckets& buckets) {
    for (const auto& [key, b] : buckets) {
      fmt::print(to, "  {} {}: {} words, e.g. {}\n", title, key, b.words, b.example);
    }
  };
  list("unsupported", unsupported);
  list("missed", missed);
  list("different", different);
  list("over-accepted", over_by);
}

}  // namespace trapline::test
