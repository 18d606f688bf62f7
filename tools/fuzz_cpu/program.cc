#include "tools/fuzz_cpu/program.h"

#include "vmm/soft/sysreg_table.h"

namespace trapline::fuzz {
namespace {

// Where `mask` has ones the word is `bits`, elsewhere random. C4.1.
struct Pattern {
  uint32_t mask, bits;
};
constexpr Pattern kPatterns[] = {
    {0x1c000000, 0x10000000},  // data processing, immediate
    {0x0e000000, 0x0a000000},  // data processing, register
    {0x0e000000, 0x0e000000},  // scalar FP and Advanced SIMD
    {0x9f000400, 0x0e000400},  // Advanced SIMD, three registers
    {0x5f200c00, 0x1e200800},  // FP, two registers
    {0x1c000000, 0x14000000},  // branches, exceptions, system
    {0xfe000000, 0x54000000},  // B.cond
    {0x7e000000, 0x34000000},  // CBZ, CBNZ
    {0xfffffc1f, 0xd61f0000},  // BR
    {0x0a000000, 0x08000000},  // loads and stores
    {0x3b000000, 0x39000000},  // unsigned offset
    {0x3b200000, 0x38000000},  // unscaled, pre, post, unprivileged
    {0x3b200c00, 0x38200800},  // register offset
    {0x3a000000, 0x28000000},  // pairs
    {0x3f000000, 0x08000000},  // exclusives, ordered, CAS
    {0x3b200c00, 0x38200000},  // LSE
    {0xbf9f0000, 0x0c000000},  // LD1-LD4
    {0xbf000000, 0x0d000000},  // lanes
    {0x3b000000, 0x18000000},  // literals
    {0xffe0001f, 0xd4000001},  // SVC
    {0xffe0001f, 0xd4000002},  // HVC
    {0xffffffe0, 0xd50b7420},  // DC ZVA
    {0xffffffe0, 0xd50b7520},  // IC IVAU
    {0xfffff01f, 0xd503301f},  // barriers
    {0xfffff01f, 0xd503201f},  // hints
    {0xfff8f01f, 0xd500401f},  // MSR (immediate)
    {0xffffffff, 0xd69f03e0},  // ERET
    {0xffff0000, 0xd5080000},  // SYS: AT, TLBI, IC, DC
    {0xfffffe00, 0xd5088600},  // TLBI
    {0xffc00000, 0xd5000000},  // system
};

constexpr Pattern kEl2Patterns[] = {
    {0xffffff1f, 0xd50c7800},  // AT S1E2, S12E1, S12E0
    {0xfffff000, 0xd50c8000},  // TLBI of EL2
    {0xffe0001f, 0xd4000003},  // SMC
    {0xffffffff, 0xd69f03e0},  // ERET
};

uint32_t sysreg_word(Random& random, bool el2) {
  const auto rows = soft::sysreg_rows();
  SysregId id = rows[random.below(rows.size())].id;
  if (el2 && random.one_in(6)) id = static_cast<SysregId>((id & ~0x3800) | 5 << 11);  // *_EL12
  // SysregId is op0:op1:CRn:CRm:op2, as the instruction has it at bit 5.
  return 0xd5000000u | (random.one_in(2) ? 1u << 21 : 0) |
         (static_cast<uint32_t>(id) << 5 & 0x1fffe0u) | static_cast<uint32_t>(random.below(32));
}

}  // namespace

uint32_t random_word(Random& random, bool el2) {
  const uint64_t kind = random.below(16);
  const auto any = static_cast<uint32_t>(random.next());
  if (kind == 0) return any;
  if (kind == 1 || (el2 && kind == 2)) return sysreg_word(random, el2);
  if (el2 && random.one_in(16)) {
    const Pattern p = random.pick(kEl2Patterns);
    return (any & ~p.mask) | p.bits;
  }
  const Pattern& p = kPatterns[random.below(sizeof kPatterns / sizeof *kPatterns)];
  uint32_t word = (any & ~p.mask) | p.bits;
  // Branches that stay near.
  if ((p.bits == 0x54000000 || p.bits == 0x34000000) && !random.one_in(8)) {
    word =
        (word & ~0x00ffffe0u) | (static_cast<uint32_t>(random.below(64) - 32) << 5 & 0x00ffffe0u);
  }
  return word;
}

uint64_t random_value(Random& random) {
  const uint64_t r = random.next();
  const uint64_t low = r >> 32;
  uint64_t value;
  switch (r & 15) {
    case 0:
      value = kRam + low % kRamSize;
      break;
    case 1:
      value = kRam + (low % kRamSize & ~uint64_t{0xfff}) + 0x1000 - (r >> 8 & 15);
      break;
    case 2:
      value = kCode + (low & 0x1ff8);
      break;
    case 3:
      value = kDevice + (low & 0xff8);
      break;
    case 4:
      value = kRom + low % kRomSize;
      break;
    case 5:
      value = 0x0b000000 + (low & 0xfff);
      break;
    case 6:
      value = kTables + (low & 0x7ff8);
      break;
    case 7:
    case 8:
      value = kWindow + (low & 0x1fffff);
      break;
    case 9:
      value = kWindow + (low & 0x1ff000) + 0x1000 - (r >> 8 & 31);
      break;
    case 10:
      value = low & 0xff;
      break;
    case 11:
      value = ~uint64_t{0} << (low & 63);
      break;
    case 12:
      value = (kWindow + (low & 0x1ffff8)) | (r & 0xff00) << 48;
      break;
    case 13:
      value = kRam + (low % kRamSize & ~uint64_t{15});
      break;
    case 14:
      value = ~uint64_t{0} << 39 | (low & 0x1fffff);
      break;
    default:
      value = random.next();
      break;
  }
  return value;
}

}  // namespace trapline::fuzz
