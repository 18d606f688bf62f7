#include "vmm/debug/gdb_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "vmm/debug/gdb_protocol.h"

namespace trapline {
namespace {

// Register numbers: the order of the description.
enum Number : unsigned { kCpsr = 33, kV0 = 34, kFpsr = 66, kFpcr = 67, kSystem = 68 };
constexpr SysregId kIdFpcr = sysreg_id(3, 3, 4, 4, 0), kIdFpsr = sysreg_id(3, 3, 4, 4, 1);

// All that can be read without changing anything.
constexpr struct {
  const char* name;
  SysregId id;
  const char* type;
} kSystemRegisters[] = {
    {"ELR_EL1", sysreg_id(3, 0, 4, 0, 1), "code_ptr"},
    {"SPSR_EL1", sysreg_id(3, 0, 4, 0, 0), "spsr_flags"},
    {"ESR_EL1", sysreg_id(3, 0, 5, 2, 0), "esr_flags"},
    {"FAR_EL1", sysreg_id(3, 0, 6, 0, 0), "data_ptr"},
    {"VBAR_EL1", sysreg_id(3, 0, 12, 0, 0), "code_ptr"},
    {"SP_EL0", sysreg_id(3, 0, 4, 1, 0), "data_ptr"},
    {"SP_EL1", sysreg_id(3, 4, 4, 1, 0), "data_ptr"},
    {"CurrentEL", sysreg_id(3, 0, 4, 2, 2), "uint64"},
    {"SCTLR_EL1", sysreg_id(3, 0, 1, 0, 0), "uint64"},
    {"TCR_EL1", sysreg_id(3, 0, 2, 0, 2), "uint64"},
    {"TTBR0_EL1", sysreg_id(3, 0, 2, 0, 0), "uint64"},
    {"TTBR1_EL1", sysreg_id(3, 0, 2, 0, 1), "uint64"},
    {"MAIR_EL1", sysreg_id(3, 0, 10, 2, 0), "uint64"},
    {"PAR_EL1", sysreg_id(3, 0, 7, 4, 0), "uint64"},
    {"CPACR_EL1", sysreg_id(3, 0, 1, 0, 2), "uint64"},
    {"CONTEXTIDR_EL1", sysreg_id(3, 0, 13, 0, 1), "uint64"},
    {"TPIDR_EL0", sysreg_id(3, 3, 13, 0, 2), "uint64"},
    {"TPIDRRO_EL0", sysreg_id(3, 3, 13, 0, 3), "uint64"},
    {"TPIDR_EL1", sysreg_id(3, 0, 13, 0, 4), "uint64"},
    {"MPIDR_EL1", sysreg_id(3, 0, 0, 0, 5), "uint64"},
    {"MDSCR_EL1", sysreg_id(2, 0, 0, 2, 2), "uint64"},
    {"ISR_EL1", sysreg_id(3, 0, 12, 1, 0), "uint64"},
    {"CNTKCTL_EL1", sysreg_id(3, 0, 14, 1, 0), "uint64"},
    {"CNTFRQ_EL0", sysreg_id(3, 3, 14, 0, 0), "uint64"},
    {"CNTVCT_EL0", sysreg_id(3, 3, 14, 0, 2), "uint64"},
    {"CNTV_CTL_EL0", sysreg_id(3, 3, 14, 3, 1), "uint64"},
    {"CNTV_CVAL_EL0", sysreg_id(3, 3, 14, 3, 2), "uint64"},
    {"CNTP_CTL_EL0", sysreg_id(3, 3, 14, 2, 1), "uint64"},
    {"CNTP_CVAL_EL0", sysreg_id(3, 3, 14, 2, 2), "uint64"},
    {"ICC_PMR_EL1", sysreg_id(3, 0, 4, 6, 0), "uint64"},
    {"ICC_IGRPEN1_EL1", sysreg_id(3, 0, 12, 12, 7), "uint64"},
    {"ICC_RPR_EL1", sysreg_id(3, 0, 12, 11, 3), "uint64"},
    {"ICC_HPPIR1_EL1", sysreg_id(3, 0, 12, 12, 2), "uint64"},
};

struct Field {
  const char* name;
  unsigned first, last;
};

std::string flags(const char* id, unsigned bytes, std::initializer_list<Field> fields) {
  std::string x = fmt::format("<flags id=\"{}\" size=\"{}\">", id, bytes);
  for (const Field& f : fields) {
    x += fmt::format("<field name=\"{}\" start=\"{}\" end=\"{}\"/>", f.name, f.first, f.last);
  }
  return x + "</flags>";
}

// PSTATE as SPSR_EL1 has it (D17.2.124), of what this CPU has.
std::string pstate_flags(const char* id, unsigned bytes) {
  return flags(id, bytes,
               {{"SP", 0, 0},
                {"EL", 2, 3},
                {"nRW", 4, 4},
                {"F", 6, 6},
                {"I", 7, 7},
                {"A", 8, 8},
                {"D", 9, 9},
                {"IL", 20, 20},
                {"SS", 21, 21},
                {"PAN", 22, 22},
                {"V", 28, 28},
                {"C", 29, 29},
                {"Z", 30, 30},
                {"N", 31, 31}});
}

// The views that GDB's own description of the vector registers offers: v0.d.u, v0.s.f, v0.h.bf ...
std::string vector_types() {
  struct Element {
    const char *letter, *name, *type;
  };
  constexpr struct {
    const char* letter;
    unsigned count;
    Element elements[4];
  } kViews[] = {
      {"d", 2, {{"f", "v2d", "ieee_double"}, {"u", "v2u", "uint64"}, {"s", "v2i", "int64"}, {}}},
      {"s", 4, {{"f", "v4f", "ieee_single"}, {"u", "v4u", "uint32"}, {"s", "v4i", "int32"}, {}}},
      {"h",
       8,
       {{"bf", "v8bf16", "bfloat16"},
        {"f", "v8f", "ieee_half"},
        {"u", "v8u", "uint16"},
        {"s", "v8i", "int16"}}},
      {"b", 16, {{"u", "v16u", "uint8"}, {"s", "v16i", "int8"}, {}, {}}},
      {"q", 1, {{"u", "v1u", "uint128"}, {"s", "v1i", "int128"}, {}, {}}},
  };
  std::string x, all;
  for (const auto& view : kViews) {
    std::string fields;
    for (const Element& e : view.elements) {
      if (e.letter == nullptr) continue;
      x += fmt::format("<vector id=\"{}\" type=\"{}\" count=\"{}\"/>", e.name, e.type, view.count);
      fields += fmt::format("<field name=\"{}\" type=\"{}\"/>", e.letter, e.name);
    }
    x += fmt::format("<union id=\"vn{}\">{}</union>", view.letter, fields);
    all += fmt::format("<field name=\"{0}\" type=\"vn{0}\"/>", view.letter);
  }
  return x + fmt::format("<union id=\"aarch64v\">{}</union>", all);
}

std::string make_xml() {
  std::string x =
      "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
      "<architecture>aarch64</architecture><feature name=\"org.gnu.gdb.aarch64.core\">";
  x += pstate_flags("cpsr_flags", 4);
  for (int i = 0; i < 31; ++i) x += fmt::format("<reg name=\"x{}\" bitsize=\"64\"/>", i);
  x += "<reg name=\"sp\" bitsize=\"64\" type=\"data_ptr\"/>"
       "<reg name=\"pc\" bitsize=\"64\" type=\"code_ptr\"/>"
       "<reg name=\"cpsr\" bitsize=\"32\" type=\"cpsr_flags\"/></feature>"
       "<feature name=\"org.gnu.gdb.aarch64.fpu\">";
  x += vector_types();
  // C5.2.8 and C5.2.9.
  x += flags("fpsr_flags", 4,
             {{"IOC", 0, 0},
              {"DZC", 1, 1},
              {"OFC", 2, 2},
              {"UFC", 3, 3},
              {"IXC", 4, 4},
              {"IDC", 7, 7},
              {"QC", 27, 27}});
  x += flags("fpcr_flags", 4, {{"RMode", 22, 23}, {"FZ", 24, 24}, {"DN", 25, 25}, {"AHP", 26, 26}});
  for (int i = 0; i < 32; ++i) {
    x += fmt::format("<reg name=\"v{}\" bitsize=\"128\" type=\"aarch64v\"/>", i);
  }
  x += "<reg name=\"fpsr\" bitsize=\"32\" type=\"fpsr_flags\"/>"
       "<reg name=\"fpcr\" bitsize=\"32\" type=\"fpcr_flags\"/></feature>"
       "<feature name=\"org.trapline.system\">";
  x += pstate_flags("spsr_flags", 8);
  x += flags("esr_flags", 8, {{"ISS", 0, 24}, {"IL", 25, 25}, {"EC", 26, 31}});
  for (const auto& r : kSystemRegisters) {
    x += fmt::format(
        "<reg name=\"{}\" bitsize=\"64\" type=\"{}\" group=\"system\" save-restore=\"no\"/>",
        r.name, r.type);
  }
  return x + "</feature></target>";
}

// Digits of a register in `g` and `G`.
constexpr size_t digits_of(unsigned number) {
  return number < kCpsr ? 16 : number >= kV0 && number < kFpsr ? 32 : 8;
}

}  // namespace

const std::string& gdb_target_xml() {
  static const std::string kText = make_xml();
  return kText;
}

std::string GdbTarget::reg(unsigned index, uint64_t number) {
  Vcpu& cpu = debuggee_.cpu(index);
  if (number <= kCpsr) {
    const uint64_t value = cpu.get_register(static_cast<unsigned>(number));
    return to_hex(&value, number == kCpsr ? 4 : 8);
  }
  if (number < kFpsr) {
    const Vreg value = cpu.get_vector(static_cast<unsigned>(number) - kV0);
    return to_hex(&value, 16);
  }
  if (number < kSystem) {
    const uint64_t value = cpu.get_sysreg(number == kFpsr ? kIdFpsr : kIdFpcr);
    return to_hex(&value, 4);
  }
  uint64_t value = 0;
  if (number - kSystem >= std::size(kSystemRegisters) ||
      !debuggee_.read_sysreg(index, kSystemRegisters[number - kSystem].id, value)) {
    return {};
  }
  return to_hex(&value, 8);
}

bool GdbTarget::set_reg(unsigned index, uint64_t number, std::string_view hex) {
  Vcpu& cpu = debuggee_.cpu(index);
  uint64_t value = 0;
  if (number <= kCpsr) {
    if (!from_hex(hex, &value, number == kCpsr ? 4 : 8)) return false;
    cpu.set_register(static_cast<unsigned>(number), value);
    return true;
  }
  if (number < kFpsr) {
    Vreg vector{};
    if (!from_hex(hex, &vector, 16)) return false;
    cpu.set_vector(static_cast<unsigned>(number) - kV0, vector);
    return true;
  }
  if (number < kSystem) {
    return from_hex(hex, &value, 4) && cpu.set_sysreg(number == kFpsr ? kIdFpsr : kIdFpcr, value);
  }
  return number - kSystem < std::size(kSystemRegisters) && from_hex(hex, &value, 8) &&
         cpu.set_sysreg(kSystemRegisters[number - kSystem].id, value);
}

std::string GdbTarget::registers(unsigned cpu) {
  std::string out;
  for (unsigned i = 0; i < kSystem; ++i) out += reg(cpu, i);
  return out;
}

bool GdbTarget::set_registers(unsigned cpu, std::string_view hex) {
  for (unsigned i = 0; i < kSystem && !hex.empty(); ++i) {
    if (!set_reg(cpu, i, hex)) return false;
    hex.remove_prefix(digits_of(i));
  }
  return true;
}

Stage1Walk GdbTarget::walk(unsigned cpu, uint64_t va, bool el0) {
  return debuggee_.cpu(cpu).look_up(va, WalkFor::kRead, el0);
}

uint8_t* GdbTarget::host(unsigned cpu, uint64_t va, uint64_t& ipa) {
  const Stage1Walk found = walk(cpu, va, false);
  if (found.status != Stage1Walk::Status::kOk) return nullptr;
  ipa = found.ipa;
  return debuggee_.guest_memory().host(ipa, 1);
}

std::string GdbTarget::memory(unsigned cpu, uint64_t va, uint64_t size) {
  std::string out;
  size = std::min<uint64_t>(size, kGdbMaxPacket / 2);
  while (size != 0) {
    uint64_t ipa = 0;
    const uint64_t n = std::min(size, kPageSize - (va & kPageMask));
    const uint8_t* bytes = host(cpu, va, ipa);
    if (bytes == nullptr) break;
    out += to_hex(bytes, n);
    va += n;
    size -= n;
  }
  return out;
}

bool GdbTarget::set_memory(unsigned cpu, uint64_t va, std::string_view bytes) {
  while (!bytes.empty()) {
    uint64_t ipa = 0;
    const uint64_t n = std::min<uint64_t>(bytes.size(), kPageSize - (va & kPageMask));
    if (host(cpu, va, ipa) == nullptr) return false;
    debuggee_.guest_memory().write(ipa, bytes.data(), n);
    va += n;
    bytes.remove_prefix(n);
  }
  return true;
}

}  // namespace trapline
