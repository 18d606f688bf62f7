#include <iterator>
#include <string>

#include "vmm/soft/nested_counter.h"
#include "vmm/soft/sysreg_table.h"

namespace trapline::soft {
namespace {

struct Name {
  SysregId id;
  const char* name;
};
constexpr SysregId sys(unsigned op1, unsigned crn, unsigned crm, unsigned op2) {
  return sysreg_id(1, op1, crn, crm, op2);
}
constexpr Name kInstructions[] = {
    {sys(0, 7, 8, 0), "AT S1E1R"},          {sys(0, 7, 8, 1), "AT S1E1W"},
    {sys(0, 7, 8, 2), "AT S1E0R"},          {sys(0, 7, 8, 3), "AT S1E0W"},
    {sys(0, 7, 9, 0), "AT S1E1RP"},         {sys(0, 7, 9, 1), "AT S1E1WP"},
    {sys(4, 7, 8, 0), "AT S1E2R"},          {sys(4, 7, 8, 1), "AT S1E2W"},
    {sys(4, 7, 8, 4), "AT S12E1R"},         {sys(4, 7, 8, 5), "AT S12E1W"},
    {sys(4, 7, 8, 6), "AT S12E0R"},         {sys(4, 7, 8, 7), "AT S12E0W"},
    {sys(0, 8, 3, 0), "TLBI VMALLE1IS"},    {sys(0, 8, 3, 1), "TLBI VAE1IS"},
    {sys(0, 8, 3, 2), "TLBI ASIDE1IS"},     {sys(0, 8, 3, 3), "TLBI VAAE1IS"},
    {sys(0, 8, 3, 5), "TLBI VALE1IS"},      {sys(0, 8, 3, 7), "TLBI VAALE1IS"},
    {sys(0, 8, 7, 0), "TLBI VMALLE1"},      {sys(0, 8, 7, 1), "TLBI VAE1"},
    {sys(0, 8, 7, 2), "TLBI ASIDE1"},       {sys(0, 8, 7, 3), "TLBI VAAE1"},
    {sys(0, 8, 7, 5), "TLBI VALE1"},        {sys(0, 8, 7, 7), "TLBI VAALE1"},
    {sys(4, 8, 0, 1), "TLBI IPAS2E1IS"},    {sys(4, 8, 0, 5), "TLBI IPAS2LE1IS"},
    {sys(4, 8, 3, 0), "TLBI ALLE2IS"},      {sys(4, 8, 3, 1), "TLBI VAE2IS"},
    {sys(4, 8, 3, 4), "TLBI ALLE1IS"},      {sys(4, 8, 3, 5), "TLBI VALE2IS"},
    {sys(4, 8, 3, 6), "TLBI VMALLS12E1IS"}, {sys(4, 8, 4, 1), "TLBI IPAS2E1"},
    {sys(4, 8, 4, 5), "TLBI IPAS2LE1"},     {sys(4, 8, 7, 0), "TLBI ALLE2"},
    {sys(4, 8, 7, 1), "TLBI VAE2"},         {sys(4, 8, 7, 4), "TLBI ALLE1"},
    {sys(4, 8, 7, 5), "TLBI VALE2"},        {sys(4, 8, 7, 6), "TLBI VMALLS12E1"},
};

std::string by_encoding(SysregId id) {
  return "S" + std::to_string(id >> 14) + "_" + std::to_string(id >> 11 & 7) + "_C" +
         std::to_string(id >> 7 & 15) + "_C" + std::to_string(id >> 3 & 15) + "_" +
         std::to_string(id & 7);
}

}  // namespace

std::string nested_trap_name(uint32_t what) {
  switch (what) {
    case kNestedEret:
      return "ERET";
    case kNestedHvc:
      return "HVC";
    case kNestedSmc:
      return "SMC";
    case kNestedExitItself:
      return "exit";
    default:
      break;
  }
  const auto id = static_cast<SysregId>(what);
  for (const Name& each : kInstructions) {
    if (each.id == id) return each.name;
  }
  if ((id >> 11 & 7) != 5) {
    const char* name = sysreg_name(id);
    return name != nullptr ? name : by_encoding(id);
  }
  // *_EL12 of a register of EL1, *_EL02 of one of EL0.
  const bool timer = (id >> 7 & 15) == 14 && (id >> 3 & 15) != 1;
  const auto own = static_cast<SysregId>((id & ~(7u << 11)) | (timer ? 3u << 11 : 0));
  const char* name = sysreg_name(own);
  if (name == nullptr) return by_encoding(id);
  std::string text = name;
  return text.substr(0, text.rfind("_EL")) + (timer ? "_EL02" : "_EL12");
}

}  // namespace trapline::soft
