#include "devices/gicv3/distributor.h"

#include <cstring>

#include "devices/gicv3/registers.h"

namespace trapline::gicv3 {
namespace {

constexpr uint32_t kStateVersion = 1;
constexpr uint8_t kPart = 0x92;  // GICD_PIDR0
constexpr uint32_t kCtlrWritable = kCtlrEnableGrp0 | kCtlrEnableGrp1 | kCtlrE1nwf;
// GICD_IROUTER<n>: Aff3 39:32, IRM 31, Aff2.Aff1.Aff0 23:0.
constexpr uint64_t kRouterWritable = 0xff'80ff'ffff;
constexpr uint64_t kRouterIrm = 1u << 31;

// GICD_TYPER (12.9.41). IDbits is the number of INTID bits less one. MBIS: SETSPI is there. A3V:
// affinity level 3 is compared. No1N is 0: 1-of-N works. LPIS: there are as many as INTID bits
// allow (num_LPIs 0). No security extension or ESPIs.
constexpr uint32_t kTyperIdBits = 9u << 19;
constexpr uint32_t kTyperLpis = 1u << 17 | (kLpiIdBits - 1) << 19;
constexpr uint32_t kTyperMbis = 1u << 16;
constexpr uint32_t kTyperA3v = 1u << 24;

uint32_t typer(const Core& core) {  // with affinity routing CPUNumber is 0
  return ((core.num_intids + 31) / 32 - 1) | kTyperMbis | kTyperA3v |
         (core.has_lpis() ? kTyperLpis : kTyperIdBits);
}

bool within(uint32_t offset, uint32_t start, uint32_t bytes) {
  return offset >= start && offset - start < bytes;
}

}  // namespace

uint32_t config_from_bits(uint32_t edge16) {
  uint32_t x = edge16 & 0xffff;
  x = (x | x << 8) & 0x00ff00ff;
  x = (x | x << 4) & 0x0f0f0f0f;
  x = (x | x << 2) & 0x33333333;
  x = (x | x << 1) & 0x55555555;
  return x << 1;
}

uint32_t bits_from_config(uint32_t config) {
  uint32_t x = config >> 1 & 0x55555555;
  x = (x | x >> 1) & 0x33333333;
  x = (x | x >> 2) & 0x0f0f0f0f;
  x = (x | x >> 4) & 0x00ff00ff;
  return (x | x >> 8) & 0xffff;
}

MmioResult Distributor::read(uint64_t offset, unsigned size, unsigned /*vcpu*/) {
  const uint32_t at = static_cast<uint32_t>(offset & 0xffff);
  // These never change: no lock.
  if (size == 4 && at == kGicdIidr) return {kIidr, false};
  if (size == 4 && at == kGicdTyper) return {typer(core_), false};
  return read_locked(at, size);
}

[[gnu::noinline]] MmioResult Distributor::read_locked(uint32_t at, unsigned size) {
  std::lock_guard lock(core_.mutex);
  Access access = Access::kReserved;
  uint64_t value = 0;
  if ((at & (size - 1)) == 0) {
    if (size == 4) {
      uint32_t word = 0;
      access = read32(at, word);
      value = word;
    } else if (size == 1) {
      if (within(at, kGicdIpriorityr, 0x400)) {
        const unsigned intid = at - kGicdIpriorityr;
        value = core_.is_spi(intid) ? core_.priority[intid] : 0;
        access = Access::kOk;
      } else if (within(at, kGicdItargetsr, 0x400) || within(at, kGicdCpendsgir, 0x20)) {
        access = Access::kOk;
      }
    } else if (size == 8 && within(at, kGicdIrouter, kGicdIrouterEnd - kGicdIrouter)) {
      const unsigned intid = (at - kGicdIrouter) / 8;
      value = core_.is_spi(intid) ? core_.router[intid] : 0;
      access = Access::kOk;
    } else if (size == 2 && within(at, kGicdSetspiNsr, 0x20)) {
      access = Access::kWrongWay;
    }
  }
  if (access != Access::kOk) {
    core_.status |= access == Access::kReserved ? kStatusRrd : kStatusRwod;
  }
  return {value, false};
}

MmioResult Distributor::write(uint64_t offset, unsigned size, uint64_t value, unsigned /*vcpu*/) {
  const uint32_t at = static_cast<uint32_t>(offset & 0xffff);
  std::lock_guard lock(core_.mutex);
  Access access = Access::kReserved;
  if ((at & (size - 1)) == 0) {
    if (size == 4) {
      access = write32(at, static_cast<uint32_t>(value));
    } else if (size == 1) {
      if (within(at, kGicdIpriorityr, 0x400)) {
        set_priority(at - kGicdIpriorityr, static_cast<uint8_t>(value));
        access = Access::kOk;
      } else if (within(at, kGicdItargetsr, 0x400) || within(at, kGicdCpendsgir, 0x20)) {
        access = Access::kOk;
      }
    } else if (size == 8 && within(at, kGicdIrouter, kGicdIrouterEnd - kGicdIrouter)) {
      set_router((at - kGicdIrouter) / 8, value);
      access = Access::kOk;
    } else if (size == 2 && within(at, kGicdSetspiNsr, 0x20) && (at & 7) == 0) {
      access = write32(at, static_cast<uint16_t>(value));
    }
  }
  if (access != Access::kOk) {
    core_.status |= access == Access::kReserved ? kStatusWrd : kStatusWrod;
  }
  return {};
}

Distributor::Access Distributor::read32(uint32_t offset, uint32_t& value) const {
  switch (offset) {
    case kGicdCtlr:  // RWP, bit 31, is 0: every write has taken effect when it returns
      value = core_.ctlr | kCtlrAre | kCtlrDs;
      return Access::kOk;
    case kGicdTyper2:
      return Access::kOk;
    case kGicdStatusr:
      value = core_.status;
      return Access::kOk;
    case kGicdSetspiNsr:
    case kGicdClrspiNsr:
    case kGicdSetspiSr:
    case kGicdClrspiSr:
    case kGicdSgir:
      return Access::kWrongWay;
    default:
      break;
  }
  if (within(offset, kGicdIgroupr, kGicdIpriorityr - kGicdIgroupr)) {
    value = read_bitmap(offset);
    return Access::kOk;
  }
  if (within(offset, kGicdIpriorityr, 0x400)) {
    const unsigned intid = offset - kGicdIpriorityr;
    if (core_.is_spi(intid)) std::memcpy(&value, &core_.priority[intid], 4);
    return Access::kOk;
  }
  if (within(offset, kGicdIcfgr, 0x100)) {
    value = read_config((offset - kGicdIcfgr) / 4);
    return Access::kOk;
  }
  if (within(offset, kGicdIrouter, kGicdIrouterEnd - kGicdIrouter)) {
    const unsigned intid = (offset - kGicdIrouter) / 8;
    if (core_.is_spi(intid)) {
      value = static_cast<uint32_t>(core_.router[intid] >> (offset & 4) * 8);
    }
    return Access::kOk;
  }
  if (offset >= kGicdIdRegisters) {
    value = id_register(offset, kPart);
    return Access::kOk;
  }
  // RES0: ITARGETSR and the SGI bytes because ARE == 1; IGRPMODR and NSACR because DS == 1.
  if (within(offset, kGicdItargetsr, 0x400) || within(offset, kGicdIgrpmodr, 0x80) ||
      within(offset, kGicdNsacr, 0x100) || within(offset, kGicdCpendsgir, 0x20)) {
    return Access::kOk;
  }
  return Access::kReserved;
}

Distributor::Access Distributor::write32(uint32_t offset, uint32_t value) {
  switch (offset) {
    case kGicdCtlr:
      if (((core_.ctlr ^ value) & kCtlrWritable) != 0) {
        core_.ctlr = value & kCtlrWritable;
        core_.enables_changed();
      }
      return Access::kOk;
    case kGicdStatusr:
      core_.status &= ~(value & kStatusMask);
      return Access::kOk;
    case kGicdSetspiNsr:
    case kGicdClrspiNsr:
      message_spi(value & 0x1fff, offset == kGicdSetspiNsr);
      return Access::kOk;
    case kGicdSetspiSr:  // WI with DS == 1
    case kGicdClrspiSr:
    case kGicdSgir:  // RES0 with ARE == 1
      return Access::kOk;
    case kGicdTyper:
    case kGicdIidr:
    case kGicdTyper2:
      return Access::kWrongWay;
    default:
      break;
  }
  if (within(offset, kGicdIgroupr, kGicdIpriorityr - kGicdIgroupr)) {
    write_bitmap(offset, value);
    return Access::kOk;
  }
  if (within(offset, kGicdIpriorityr, 0x400)) {
    for (unsigned byte = 0; byte < 4; ++byte) {
      set_priority(offset - kGicdIpriorityr + byte, static_cast<uint8_t>(value >> byte * 8));
    }
    return Access::kOk;
  }
  if (within(offset, kGicdIcfgr, 0x100)) {
    write_config((offset - kGicdIcfgr) / 4, value);
    return Access::kOk;
  }
  if (within(offset, kGicdIrouter, kGicdIrouterEnd - kGicdIrouter)) {
    const unsigned intid = (offset - kGicdIrouter) / 8;
    if (core_.is_spi(intid)) {
      const unsigned shift = (offset & 4) * 8;
      const uint64_t keep = core_.router[intid] & ~(uint64_t{0xffff'ffff} << shift);
      set_router(intid, keep | uint64_t{value} << shift);
    }
    return Access::kOk;
  }
  if (offset >= kGicdIdRegisters) return Access::kWrongWay;
  if (within(offset, kGicdItargetsr, 0x400) || within(offset, kGicdIgrpmodr, 0x80) ||
      within(offset, kGicdNsacr, 0x100) || within(offset, kGicdCpendsgir, 0x20)) {
    return Access::kOk;
  }
  return Access::kReserved;
}

// The seven arrays of one bit an interrupt, 0x80 bytes each, IGROUPR to ICACTIVER. Word 0 (SGIs and
// PPIs) is RES0 here: affinity routing moves it to the redistributors.
uint32_t Distributor::read_bitmap(uint32_t offset) const {
  const unsigned word = (offset & 0x7f) / 4;
  if (core_.implemented(word) == 0) return 0;
  switch (offset & ~0x7fu) {
    case kGicdIgroupr:
      return core_.group[word];
    case kGicdIsenabler:
    case kGicdIcenabler:
      return core_.enabled[word];
    case kGicdIspendr:
    case kGicdIcpendr:
      return core_.pending(word);
    default:  // ISACTIVER, ICACTIVER
      return core_.active[word];
  }
}

void Distributor::write_bitmap(uint32_t offset, uint32_t value) {
  const unsigned word = (offset & 0x7f) / 4;
  const uint32_t implemented = core_.implemented(word);
  value &= implemented;
  uint32_t changed = value;
  switch (offset & ~0x7fu) {
    case kGicdIgroupr:
      changed = core_.group[word] ^ value;
      core_.group[word] = value;
      break;
    case kGicdIsenabler:
      changed &= ~core_.enabled[word];
      core_.enabled[word] |= value;
      break;
    case kGicdIcenabler:
      changed &= core_.enabled[word];
      core_.enabled[word] &= ~value;
      break;
    case kGicdIspendr:
      core_.latched[word] |= value;
      break;
    case kGicdIcpendr:
      core_.latched[word] &= ~value;
      break;
    case kGicdIsactiver:
      core_.active[word] |= value;
      break;
    default:
      core_.active[word] &= ~value;
      break;
  }
  core_.spis_changed(word, changed);
}

// GICD_ICFGR<n>: sixteen interrupts a register.
uint32_t Distributor::read_config(unsigned n) const {
  return config_from_bits((core_.edge[n / 2] & core_.implemented(n / 2)) >> (n % 2) * 16);
}

void Distributor::write_config(unsigned n, uint32_t value) {
  const unsigned word = n / 2;
  const unsigned shift = (n % 2) * 16;
  const uint32_t mask = core_.implemented(word) & (0xffffu << shift);
  const uint32_t old = core_.edge[word];
  core_.edge[word] = (old & ~mask) | (bits_from_config(value) << shift & mask);
  core_.spis_changed(word, old ^ core_.edge[word]);
}

void Distributor::set_priority(unsigned intid, uint8_t value) {
  if (!core_.is_spi(intid) || core_.priority[intid] == (value & kPriorityMask)) return;
  core_.priority[intid] = value & kPriorityMask;
  core_.spi_changed(intid);
}

void Distributor::set_router(unsigned intid, uint64_t value) {
  if (!core_.is_spi(intid)) return;
  value &= kRouterWritable;
  if (core_.router[intid] == value) return;
  core_.router[intid] = value;
  const uint32_t bit = 1u << (intid % 32);
  if ((value & kRouterIrm) != 0) {
    core_.one_of_n[intid / 32] |= bit;
  } else {
    core_.one_of_n[intid / 32] &= ~bit;
  }
  core_.router_changed(intid);
}

// Message-based SPIs (4.1.2): a set makes an edge-triggered one pending, and is the level of a
// level-sensitive one until it is cleared.
void Distributor::message_spi(uint32_t intid, bool set) {
  if (!core_.is_spi(intid)) return;
  const unsigned word = intid / 32;
  const uint32_t bit = 1u << (intid % 32);
  if (!set) {
    core_.message[word] &= ~bit;
    core_.latched[word] &= ~bit;
  } else if ((core_.edge[word] & bit) != 0) {
    core_.latched[word] |= bit;
  } else {
    core_.message[word] |= bit;
  }
  core_.spi_changed(intid);
}

void Distributor::reset() {
  std::lock_guard lock(core_.mutex);
  core_.reset_distributor();
  core_.recompute();
}

void Distributor::save(StateWriter& out) const {
  std::lock_guard lock(core_.mutex);
  out.put(kStateVersion);
  out.put<uint32_t>(core_.num_intids);
  out.put(core_.ctlr);
  out.put(core_.status);
  for (const uint32_t* words : {core_.group, core_.enabled, core_.latched, core_.level,
                                core_.message, core_.active, core_.edge}) {
    out.bytes(words, core_.num_words * sizeof *words);
  }
  out.bytes(core_.priority, core_.num_intids);
  out.bytes(core_.router, core_.num_intids * sizeof core_.router[0]);
}

bool Distributor::load(StateReader& in) {
  std::lock_guard lock(core_.mutex);
  if (in.get<uint32_t>() != kStateVersion || in.get<uint32_t>() != core_.num_intids) return false;
  core_.ctlr = in.get<uint32_t>() & kCtlrWritable;
  core_.status = in.get<uint32_t>() & kStatusMask;
  for (uint32_t* words : {core_.group, core_.enabled, core_.latched, core_.level, core_.message,
                          core_.active, core_.edge}) {
    in.bytes(words, core_.num_words * sizeof *words);
    for (unsigned word = 0; word < core_.num_words; ++word) words[word] &= core_.implemented(word);
  }
  in.bytes(core_.priority, core_.num_intids);
  in.bytes(core_.router, core_.num_intids * sizeof core_.router[0]);
  for (unsigned intid = 0; intid < core_.num_intids; ++intid) {
    core_.priority[intid] &= core_.is_spi(intid) ? kPriorityMask : 0;
    core_.router[intid] &= core_.is_spi(intid) ? kRouterWritable : 0;
    const uint32_t bit = 1u << (intid % 32);
    core_.one_of_n[intid / 32] &= ~bit;
    if ((core_.router[intid] & kRouterIrm) != 0) core_.one_of_n[intid / 32] |= bit;
  }
  core_.recompute();
  return in.ok();
}

std::string_view Distributor::register_name(uint64_t offset) const {
  const uint32_t at = static_cast<uint32_t>(offset & 0xffff);
  struct Name {
    uint32_t start, bytes;
    std::string_view name;
  };
  static constexpr Name kNames[] = {
      {kGicdCtlr, 4, "GICD_CTLR"},
      {kGicdTyper, 4, "GICD_TYPER"},
      {kGicdIidr, 4, "GICD_IIDR"},
      {kGicdTyper2, 4, "GICD_TYPER2"},
      {kGicdStatusr, 4, "GICD_STATUSR"},
      {kGicdSetspiNsr, 4, "GICD_SETSPI_NSR"},
      {kGicdClrspiNsr, 4, "GICD_CLRSPI_NSR"},
      {kGicdSetspiSr, 4, "GICD_SETSPI_SR"},
      {kGicdClrspiSr, 4, "GICD_CLRSPI_SR"},
      {kGicdIgroupr, 0x80, "GICD_IGROUPR"},
      {kGicdIsenabler, 0x80, "GICD_ISENABLER"},
      {kGicdIcenabler, 0x80, "GICD_ICENABLER"},
      {kGicdIspendr, 0x80, "GICD_ISPENDR"},
      {kGicdIcpendr, 0x80, "GICD_ICPENDR"},
      {kGicdIsactiver, 0x80, "GICD_ISACTIVER"},
      {kGicdIcactiver, 0x80, "GICD_ICACTIVER"},
      {kGicdIpriorityr, 0x400, "GICD_IPRIORITYR"},
      {kGicdItargetsr, 0x400, "GICD_ITARGETSR"},
      {kGicdIcfgr, 0x100, "GICD_ICFGR"},
      {kGicdIgrpmodr, 0x80, "GICD_IGRPMODR"},
      {kGicdNsacr, 0x100, "GICD_NSACR"},
      {kGicdSgir, 4, "GICD_SGIR"},
      {kGicdCpendsgir, 0x10, "GICD_CPENDSGIR"},
      {kGicdSpendsgir, 0x10, "GICD_SPENDSGIR"},
      {kGicdIrouter, kGicdIrouterEnd - kGicdIrouter, "GICD_IROUTER"},
      {kGicdIdRegisters, 0x10, "GICD_PIDR4"},
      {0xffe0, 8, "GICD_PIDR0"},
      {0xffe8, 4, "GICD_PIDR2"},
      {0xffec, 4, "GICD_PIDR3"},
      {0xfff0, 0x10, "GICD_CIDR"},
  };
  for (const Name& n : kNames) {
    if (within(at, n.start, n.bytes)) return n.name;
  }
  return {};
}

}  // namespace trapline::gicv3
