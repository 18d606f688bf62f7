#include "decode/capstone_adapter.h"

#include <capstone/capstone.h>
#include <dlfcn.h>

#include <array>
#include <type_traits>

namespace trapline {
namespace {

// What the mnemonic alone says. `size` -1: as wide as the first data register.
struct Spec {
  Op op = Op::kNone;
  int8_t size = -1;
  bool sign = false;
  bool unprivileged = false;
  bool nontemporal = false;
  bool acquire = false;
  bool release = false;
  bool base_only = false;  // exclusives, ordered: no offset exists, so kBase and not kOffset
  uint8_t regs = 0;        // data registers of a transfer or structure
};

// Loaded at the first use: its tables take a hundred times longer to relocate than all else.
struct Capstone {
  Capstone() {
    void* library = dlopen(TRAPLINE_CAPSTONE_SONAME, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      missing = dlerror();
      return;
    }
    const auto find = [&](const char* name, auto& function) {
      function =
          reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      if (function == nullptr) missing = std::string(TRAPLINE_CAPSTONE_SONAME " has no ") + name;
    };
    find("cs_open", open);
    find("cs_option", option);
    find("cs_malloc", malloc);
    find("cs_free", free);
    find("cs_close", close);
    find("cs_disasm_iter", disassemble);
  }

  decltype(&cs_open) open = nullptr;
  decltype(&cs_option) option = nullptr;
  decltype(&cs_malloc) malloc = nullptr;
  decltype(&cs_free) free = nullptr;
  decltype(&cs_close) close = nullptr;
  decltype(&cs_disasm_iter) disassemble = nullptr;
  std::string missing;  // empty: all is there
};
const Capstone& capstone() {
  static const Capstone library;
  return library;
}

constexpr size_t kSpecs = ARM64_INS_ENDING;
using Specs = std::array<Spec, kSpecs>;

constexpr Specs make_specs() {
  Specs s{};
  const auto sized = [&s](unsigned id, Spec spec, int8_t size) {
    spec.size = size;
    s[id] = spec;
  };
  const Spec load{.op = Op::kLoad, .regs = 1}, store{.op = Op::kStore, .regs = 1};
  const Spec signed_load{.op = Op::kLoad, .sign = true, .regs = 1};
  const Spec user_load{.op = Op::kLoad, .unprivileged = true, .regs = 1};
  const Spec user_store{.op = Op::kStore, .unprivileged = true, .regs = 1};
  const Spec user_signed{.op = Op::kLoad, .sign = true, .unprivileged = true, .regs = 1};
  for (unsigned id : {ARM64_INS_LDR, ARM64_INS_LDUR}) s[id] = load;
  for (unsigned id : {ARM64_INS_STR, ARM64_INS_STUR}) s[id] = store;
  for (unsigned id : {ARM64_INS_LDRB, ARM64_INS_LDURB}) sized(id, load, 0);
  for (unsigned id : {ARM64_INS_LDRH, ARM64_INS_LDURH}) sized(id, load, 1);
  for (unsigned id : {ARM64_INS_STRB, ARM64_INS_STURB}) sized(id, store, 0);
  for (unsigned id : {ARM64_INS_STRH, ARM64_INS_STURH}) sized(id, store, 1);
  for (unsigned id : {ARM64_INS_LDRSB, ARM64_INS_LDURSB}) sized(id, signed_load, 0);
  for (unsigned id : {ARM64_INS_LDRSH, ARM64_INS_LDURSH}) sized(id, signed_load, 1);
  for (unsigned id : {ARM64_INS_LDRSW, ARM64_INS_LDURSW}) sized(id, signed_load, 2);
  s[ARM64_INS_LDTR] = user_load;
  s[ARM64_INS_STTR] = user_store;
  sized(ARM64_INS_LDTRB, user_load, 0);
  sized(ARM64_INS_LDTRH, user_load, 1);
  sized(ARM64_INS_STTRB, user_store, 0);
  sized(ARM64_INS_STTRH, user_store, 1);
  sized(ARM64_INS_LDTRSB, user_signed, 0);
  sized(ARM64_INS_LDTRSH, user_signed, 1);
  sized(ARM64_INS_LDTRSW, user_signed, 2);

  s[ARM64_INS_LDP] = {.op = Op::kLoad, .regs = 2};
  s[ARM64_INS_STP] = {.op = Op::kStore, .regs = 2};
  s[ARM64_INS_LDNP] = {.op = Op::kLoad, .nontemporal = true, .regs = 2};
  s[ARM64_INS_STNP] = {.op = Op::kStore, .nontemporal = true, .regs = 2};
  s[ARM64_INS_LDPSW] = {.op = Op::kLoad, .size = 2, .sign = true, .regs = 2};

  const Spec ldar{.op = Op::kLoad, .acquire = true, .base_only = true, .regs = 1};
  const Spec stlr{.op = Op::kStore, .release = true, .base_only = true, .regs = 1};
  s[ARM64_INS_LDAR] = ldar;
  s[ARM64_INS_STLR] = stlr;
  sized(ARM64_INS_LDARB, ldar, 0);
  sized(ARM64_INS_LDARH, ldar, 1);
  sized(ARM64_INS_STLRB, stlr, 0);
  sized(ARM64_INS_STLRH, stlr, 1);

  const Spec ldxr{.op = Op::kLoadExclusive, .base_only = true, .regs = 1};
  const Spec stxr{.op = Op::kStoreExclusive, .base_only = true, .regs = 1};
  Spec ldaxr = ldxr, stlxr = stxr;
  ldaxr.acquire = true;
  stlxr.release = true;
  s[ARM64_INS_LDXR] = ldxr;
  s[ARM64_INS_LDAXR] = ldaxr;
  s[ARM64_INS_STXR] = stxr;
  s[ARM64_INS_STLXR] = stlxr;
  sized(ARM64_INS_LDXRB, ldxr, 0);
  sized(ARM64_INS_LDXRH, ldxr, 1);
  sized(ARM64_INS_LDAXRB, ldaxr, 0);
  sized(ARM64_INS_LDAXRH, ldaxr, 1);
  sized(ARM64_INS_STXRB, stxr, 0);
  sized(ARM64_INS_STXRH, stxr, 1);
  sized(ARM64_INS_STLXRB, stlxr, 0);
  sized(ARM64_INS_STLXRH, stlxr, 1);
  for (const auto& [pair, one] : {std::pair{ARM64_INS_LDXP, ldxr},
                                  {ARM64_INS_LDAXP, ldaxr},
                                  {ARM64_INS_STXP, stxr},
                                  {ARM64_INS_STLXP, stlxr}}) {
    s[pair] = one;
    s[pair].regs = 2;
  }

  constexpr unsigned kLoads[] = {ARM64_INS_LD1, ARM64_INS_LD2, ARM64_INS_LD3, ARM64_INS_LD4};
  constexpr unsigned kStores[] = {ARM64_INS_ST1, ARM64_INS_ST2, ARM64_INS_ST3, ARM64_INS_ST4};
  constexpr unsigned kReplicates[] = {ARM64_INS_LD1R, ARM64_INS_LD2R, ARM64_INS_LD3R,
                                      ARM64_INS_LD4R};
  for (uint8_t n = 0; n < 4; ++n) {
    const uint8_t regs = static_cast<uint8_t>(n + 1);
    s[kLoads[n]] = {.op = Op::kLoadMultiple, .base_only = true, .regs = regs};
    s[kStores[n]] = {.op = Op::kStoreMultiple, .base_only = true, .regs = regs};
    s[kReplicates[n]] = {.op = Op::kLoadReplicate, .base_only = true, .regs = regs};
  }
  s[ARM64_INS_PRFM] = {.op = Op::kPrefetch};
  s[ARM64_INS_PRFUM] = {.op = Op::kPrefetch};
  return s;
}

constexpr Specs kSpecOf = make_specs();

// A register of Capstone's: its number, log2 of its bytes, and whether it is SIMD&FP.
struct Register {
  int number = -1;
  uint8_t size = 0;
  bool vector = false;
};

Register register_of(unsigned reg) {
  if (reg >= ARM64_REG_X0 && reg <= ARM64_REG_X28) return {int(reg - ARM64_REG_X0), 3, false};
  if (reg >= ARM64_REG_W0 && reg <= ARM64_REG_W30) return {int(reg - ARM64_REG_W0), 2, false};
  if (reg >= ARM64_REG_V0 && reg < ARM64_REG_V0 + 32) return {int(reg - ARM64_REG_V0), 4, true};
  if (reg >= ARM64_REG_B0 && reg < ARM64_REG_B0 + 32) return {int(reg - ARM64_REG_B0), 0, true};
  if (reg >= ARM64_REG_H0 && reg < ARM64_REG_H0 + 32) return {int(reg - ARM64_REG_H0), 1, true};
  if (reg >= ARM64_REG_S0 && reg < ARM64_REG_S0 + 32) return {int(reg - ARM64_REG_S0), 2, true};
  if (reg >= ARM64_REG_D0 && reg < ARM64_REG_D0 + 32) return {int(reg - ARM64_REG_D0), 3, true};
  if (reg >= ARM64_REG_Q0 && reg < ARM64_REG_Q0 + 32) return {int(reg - ARM64_REG_Q0), 4, true};
  switch (reg) {
    case ARM64_REG_X29:
      return {29, 3, false};
    case ARM64_REG_X30:
      return {30, 3, false};
    case ARM64_REG_SP:
    case ARM64_REG_XZR:
      return {31, 3, false};
    case ARM64_REG_WSP:
    case ARM64_REG_WZR:
      return {31, 2, false};
    default:
      return {};
  }
}

// The operands sorted by what they are.
struct Operands {
  Register registers[6];
  unsigned register_count = 0;             // before the memory operand
  const cs_arm64_op* structure = nullptr;  // the last of the vector list
  const cs_arm64_op* memory = nullptr;
  const cs_arm64_op* immediate = nullptr;  // after the memory operand, or a literal's target
  const cs_arm64_op* index = nullptr;      // register after the memory operand
  const cs_arm64_op* prefetch = nullptr;
};

bool sort_operands(const cs_arm64& detail, bool prefetch, Operands& o) {
  for (unsigned i = 0; i < detail.op_count; ++i) {
    const cs_arm64_op& op = detail.operands[i];
    switch (op.type) {
      case ARM64_OP_REG:
        if (o.memory) {
          o.index = &op;
          break;
        }
        if (o.register_count == 6) return false;
        o.registers[o.register_count] = register_of(op.reg);
        if (o.registers[o.register_count++].number < 0) return false;
        o.structure = &op;
        break;
      case ARM64_OP_MEM:
        o.memory = &op;
        break;
      case ARM64_OP_IMM:
        if (prefetch && i == 0) {
          o.prefetch = &op;
        } else {
          o.immediate = &op;
        }
        break;
      case ARM64_OP_PREFETCH:
        o.prefetch = &op;
        break;
      default:
        return false;
    }
  }
  return true;
}

bool fill_address(const cs_arm64& detail, const Operands& o, bool base_only, Access& a) {
  if (!o.memory) {
    if (!o.immediate) return false;
    a.mode = AddressMode::kLiteral;
    a.imm = static_cast<int32_t>(o.immediate->imm);
    return true;
  }
  const arm64_op_mem& mem = o.memory->mem;
  const Register base = register_of(mem.base);
  if (base.number < 0) return false;
  a.rn = static_cast<uint8_t>(base.number);
  if (o.index) {
    a.mode = AddressMode::kPostRegister;
    a.rm = static_cast<uint8_t>(register_of(o.index->reg).number);
    return true;
  }
  if (o.immediate) {
    a.mode = AddressMode::kPostIndex;
    a.imm = static_cast<int32_t>(o.immediate->imm);
    return true;
  }
  if (mem.index != ARM64_REG_INVALID) {
    const Register index = register_of(mem.index);
    if (index.number < 0) return false;
    a.mode = AddressMode::kRegister;
    a.rm = static_cast<uint8_t>(index.number);
    switch (o.memory->ext) {
      case ARM64_EXT_UXTW:
        a.extend = Extend::kUxtw;
        break;
      case ARM64_EXT_SXTW:
        a.extend = Extend::kSxtw;
        break;
      case ARM64_EXT_SXTX:
        a.extend = Extend::kSxtx;
        break;
      default:
        a.extend = Extend::kLsl;
        break;
    }
    a.shift = o.memory->shift.value & 7;
    return true;
  }
  a.mode = detail.writeback ? AddressMode::kPreIndex
           : base_only      ? AddressMode::kBase
                            : AddressMode::kOffset;
  a.imm = mem.disp;
  return true;
}

// LD1-LD4, ST1-ST4 and the replicating forms, from the vector list's arrangement and index.
bool fill_structure(const Spec& spec, const Operands& o, Access& a) {
  const unsigned regs = o.register_count;
  if (regs < 1 || regs > 4) return false;
  a.vector = 1;
  a.rt = static_cast<uint8_t>(o.registers[0].number);
  a.extra_regs = regs - 1u;
  const cs_arm64_op& last = *o.structure;
  if (last.vector_index >= 0) {
    if (last.vess < ARM64_VESS_B || last.vess > ARM64_VESS_D) return false;
    a.op = spec.op == Op::kLoadMultiple ? Op::kLoadLane : Op::kStoreLane;
    a.size_log2 = static_cast<uint8_t>(last.vess - ARM64_VESS_B);
    a.lane = last.vector_index & 15;
    // The Q bit is the top bit of the lane.
    a.q = (unsigned{a.lane} << a.size_log2) >= 8;
  } else {
    if (last.vas < ARM64_VAS_8B || last.vas > ARM64_VAS_2D) return false;
    const unsigned arrangement = last.vas - ARM64_VAS_8B;
    a.size_log2 = static_cast<uint8_t>(arrangement >> 1);
    a.q = arrangement & 1;
  }
  const bool multiple = spec.op == Op::kLoadMultiple || spec.op == Op::kStoreMultiple;
  const bool whole = multiple && last.vector_index < 0;
  a.interleaved = whole ? spec.regs > 1 : regs > 1;
  a.count = static_cast<uint8_t>(whole ? regs << (3 + a.q - a.size_log2) : regs);
  return true;
}

bool fill_transfer(const Spec& spec, const Operands& o, Access& a) {
  const bool status = spec.op == Op::kStoreExclusive;
  const unsigned first = status ? 1 : 0;
  if (o.register_count != first + spec.regs) return false;
  const Register& data = o.registers[first];
  a.rt = static_cast<uint8_t>(data.number);
  if (spec.regs == 2) a.rt2 = static_cast<uint8_t>(o.registers[first + 1].number);
  if (status) a.rs = static_cast<uint8_t>(o.registers[0].number);
  a.vector = data.vector;
  a.size_log2 = spec.size < 0 ? data.size : static_cast<uint8_t>(spec.size);
  a.count = spec.regs;
  if (spec.sign) a.sign = data.size == 3 ? SignExtend::kTo64 : SignExtend::kTo32;
  return true;
}

bool fill_prefetch(const Operands& o, Access& a) {
  if (!o.prefetch) return false;
  a.count = 1;
  a.rt = static_cast<uint8_t>(o.prefetch->type == ARM64_OP_IMM ? o.prefetch->imm
                                                               : o.prefetch->prefetch - 1);
  // RPRFM (FEAT_RPRFM) took these PRFM operations; Capstone 4 prints the old meaning.
  return !(a.mode == AddressMode::kRegister && a.rt >= 24);
}

bool access_of(const Spec& spec, const cs_arm64& detail, Access& a) {
  Operands o;
  if (!sort_operands(detail, spec.op == Op::kPrefetch, o)) return false;
  a.op = spec.op;
  a.unprivileged = spec.unprivileged;
  a.nontemporal = spec.nontemporal;
  a.acquire = spec.acquire;
  a.release = spec.release;
  if (!fill_address(detail, o, spec.base_only, a)) return false;
  if (spec.op == Op::kPrefetch) return fill_prefetch(o, a);
  if (spec.op == Op::kLoadMultiple || spec.op == Op::kStoreMultiple ||
      spec.op == Op::kLoadReplicate) {
    return fill_structure(spec, o, a);
  }
  return fill_transfer(spec, o, a);
}

// DC and IC by VA, with `imm` as the native decoder gives it: op1:CRm:op2.
bool access_of_maintenance(unsigned id, const cs_arm64& detail, Access& a, bool& by_va) {
  by_va = true;
  if (detail.op_count != 2 || detail.operands[1].type != ARM64_OP_REG) {
    by_va = false;  // IC IALLU
    return detail.op_count == 1;
  }
  const auto operation = [](int op1, int crm, int op2) { return op1 << 10 | crm << 4 | op2; };
  a.op = Op::kCacheMaintenance;
  if (id == ARM64_INS_IC) {
    by_va = detail.operands[0].sys == ARM64_IC_IVAU;
    a.imm = operation(3, 5, 1);
  } else {
    switch (detail.operands[0].sys) {
      case ARM64_DC_ZVA:
        a.op = Op::kZeroBlock;
        break;
      case ARM64_DC_IVAC:
        a.imm = operation(0, 6, 1);
        break;
      case ARM64_DC_CVAC:
        a.imm = operation(3, 10, 1);
        break;
      case ARM64_DC_CVAU:
        a.imm = operation(3, 11, 1);
        break;
      case ARM64_DC_CIVAC:
        a.imm = operation(3, 14, 1);
        break;
      default:
        by_va = false;
        break;
    }
  }
  a.count = 1;
  a.mode = AddressMode::kRegisterVa;
  const Register rt = register_of(detail.operands[1].reg);
  if (rt.number < 0) return false;
  a.rt = static_cast<uint8_t>(rt.number);
  return true;
}

}  // namespace

bool CapstoneDecoder::built_in() { return true; }
std::string CapstoneDecoder::missing() { return capstone().missing; }

CapstoneDecoder::CapstoneDecoder() {
  if (!capstone().missing.empty()) return;
  csh handle = 0;
  if (capstone().open(CS_ARCH_ARM64, CS_MODE_ARM, &handle) != CS_ERR_OK) return;
  // CS_OPT_ON is 3: any other "true" leaves the memory operands out.
  capstone().option(handle, CS_OPT_DETAIL, CS_OPT_ON);
  handle_ = handle;
  insn_ = capstone().malloc(handle);
}

CapstoneDecoder::~CapstoneDecoder() {
  if (insn_) capstone().free(insn_, 1);
  csh handle = handle_;
  if (handle) capstone().close(&handle);
}

bool CapstoneDecoder::disassemble(uint32_t word, uint64_t pc) {
  if (!insn_) return false;
  const uint8_t bytes[4] = {static_cast<uint8_t>(word), static_cast<uint8_t>(word >> 8),
                            static_cast<uint8_t>(word >> 16), static_cast<uint8_t>(word >> 24)};
  const uint8_t* code = bytes;
  size_t size = 4;
  return capstone().disassemble(handle_, &code, &size, &pc, insn_);
}

DecodeStatus CapstoneDecoder::native(uint32_t word, Access& out) {
  last_was_native_ = true;
  return trapline::decode(word, out);
}

DecodeStatus CapstoneDecoder::decode(uint32_t word, Access& out) {
  last_was_native_ = false;
  if (!disassemble(word, 0)) {
    ++counts_.unknown;
    return native(word, out);
  }
  out = Access{};
  const unsigned id = insn_->id;
  const cs_arm64& detail = insn_->detail->arm64;
  if (id == ARM64_INS_DC || id == ARM64_INS_IC) {
    bool by_va = false;
    if (access_of_maintenance(id, detail, out, by_va)) {
      ++counts_.capstone;
      if (by_va) return DecodeStatus::kAccess;
      out = Access{};
      return DecodeStatus::kNotMemory;
    }
  } else if (id < kSpecs && kSpecOf[id].op != Op::kNone) {
    if (access_of(kSpecOf[id], detail, out)) {
      ++counts_.capstone;
      return DecodeStatus::kAccess;
    }
  } else if (id != ARM64_INS_SYS && id != ARM64_INS_SYSL) {
    // Unnamed system instructions may be cache maintenance that Capstone 4 has no name for.
    ++counts_.capstone;
    return DecodeStatus::kNotMemory;
  }
  ++counts_.incomplete;
  return native(word, out);
}

std::string CapstoneDecoder::text(uint32_t word, uint64_t pc) {
  if (!disassemble(word, pc)) return {};
  std::string line = insn_->mnemonic;
  if (insn_->op_str[0]) {
    line += ' ';
    line += insn_->op_str;
  }
  return line;
}

}  // namespace trapline
