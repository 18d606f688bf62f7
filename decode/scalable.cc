#include "decode/scalable.h"

namespace trapline::a64 {
namespace {

struct Pattern {
  uint32_t mask, value;
  bool rm_not_31;  // the register-offset forms without an offset of XZR
};

// The fixed bits of every SVE and SME load, store and prefetch up to SVE2.1 and SME2.1 (Arm ARM
// C4.1, "SVE encodings" and "SME encodings"), reduced to few masks: no row is one instruction.
// bench_decode_coverage holds the table against LLVM 19.
constexpr Pattern kPatterns[] = {
    {0xbf208000, 0x84000000, false}, {0xff40c000, 0x84008000, false},
    {0xfee0e000, 0x8400a000, false}, {0xfe60e010, 0x8400c000, true},
    {0xbe60e010, 0x8400e000, false}, {0xbfa08010, 0x84200000, false},
    {0xbf608000, 0x84208000, false}, {0xbee0c000, 0x8420c000, false},
    {0xfe408000, 0x84408000, false}, {0xbf808000, 0x84800000, false},
    {0xbf80c000, 0x85004000, false}, {0xff80e010, 0x85800000, false},
    {0xffc0e000, 0x85804000, false}, {0xffc08010, 0x85c00000, false},
    {0xfec08000, 0xa0000000, false}, {0xffc08002, 0xa0008000, false},
    {0xfed08000, 0xa0400000, false}, {0xffd08002, 0xa0408000, false},
    {0xffc08004, 0xa1008000, false}, {0xffd08004, 0xa1408000, false},
    {0xfe40a000, 0xa4000000, true},  {0xfe506000, 0xa4002000, false},
    {0xfe006000, 0xa4004000, true},  {0xfe00e000, 0xa4006000, false},
    {0xfe10a000, 0xa400a000, false}, {0xfe00e000, 0xa400a000, false},
    {0xbf90e000, 0xa400e000, false}, {0xbf30e000, 0xa420e000, false},
    {0xbe50e000, 0xa440e000, false}, {0xbef0e000, 0xa490e000, false},
    {0xfee02000, 0xa4a00000, true},  {0xff402000, 0xa5000000, true},
    {0xff606000, 0xa5002000, false}, {0xff60a000, 0xa500a000, false},
    {0xdf20a000, 0xc4008000, false}, {0xdfa0c000, 0xc4008000, false},
    {0xff600000, 0xc4400000, false}, {0xdee06000, 0xc4402000, false},
    {0xfe604000, 0xc4404000, false}, {0xffe00010, 0xc4600000, false},
    {0xfe80c000, 0xc4804000, false}, {0xdf80a000, 0xc4808000, false},
    {0xdec0e000, 0xc480c000, false}, {0xdfa0c000, 0xc4a08000, false},
    {0xfec04000, 0xc4c04000, false}, {0xff808000, 0xc5000000, false},
    {0xdf80a000, 0xc5008000, false}, {0xff204000, 0xc5204000, false},
    {0xdfa0c000, 0xc5208000, false}, {0xff000010, 0xe0000000, false},
    {0xfec00010, 0xe0c00000, false}, {0xffdf9c10, 0xe1000000, false},
    {0xffdffc1f, 0xe11f8000, false}, {0xff206000, 0xe4002000, false},
    {0xfe606000, 0xe4002000, false}, {0xffc0e000, 0xe4002000, false},
    {0xfea0c000, 0xe4004000, true},  {0xfe00e000, 0xe4006000, true},
    {0xfe20e000, 0xe400a000, false}, {0xfea0e000, 0xe400e000, false},
    {0xfe10e000, 0xe410e000, false}, {0xff20c000, 0xe4204000, true},
    {0xff70e000, 0xe4400000, false}, {0xfe40c000, 0xe4404000, true},
    {0xff40e000, 0xe440a000, false}, {0xff60a000, 0xe4600000, true},
    {0xffb0e000, 0xe4800000, false}, {0xffa0a000, 0xe4a00000, true},
    {0xff40c000, 0xe5008000, false}, {0xffc0e010, 0xe5800000, false},
    {0xffc0e000, 0xe5804000, false},
};

}  // namespace

bool is_scalable_access(uint32_t w) {
  const bool rm_31 = (w >> 16 & 31) == 31;
  for (const Pattern& p : kPatterns) {
    if ((w & p.mask) == p.value && !(p.rm_not_31 && rm_31)) return true;
  }
  return false;
}

}  // namespace trapline::a64
