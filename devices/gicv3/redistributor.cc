#include "devices/gicv3/redistributor.h"

#include <algorithm>
#include <cstring>

#include "devices/gicv3/distributor.h"
#include "devices/gicv3/registers.h"

namespace trapline::gicv3 {
namespace {

constexpr uint32_t kStateVersion = 2;
constexpr uint8_t kPart = 0x93;  // GICR_PIDR0
constexpr uint32_t kFrameMask = 0x1ffff;
constexpr unsigned kFrameLog2 = 17;
constexpr uint32_t kCtlrWritable = kGicrCtlrDpg0 | kGicrCtlrDpg1ns;
constexpr uint8_t kBprMask = 7;

bool within(uint32_t offset, uint32_t start, uint32_t bytes) {
  return offset >= start && offset - start < bytes;
}

// The 64-bit LPI registers (and SYNCR, 32-bit).
bool lpi_register(uint32_t offset) {
  switch (offset & ~7u) {
    case kGicrSetlpir:
    case kGicrClrlpir:
    case kGicrPropbaser:
    case kGicrPendbaser:
    case kGicrInvlpir:
    case kGicrInvallr:
      return true;
    default:
      return offset == kGicrSyncr;
  }
}

// What an LPI register holds: zero, but for the tables' addresses where there are LPIs.
uint64_t read_lpi_register(const Cpu& cpu, uint32_t offset) {
  if (cpu.lpis == nullptr) return 0;
  switch (offset & ~7u) {
    case kGicrPropbaser:
      return cpu.lpis->propbaser();
    case kGicrPendbaser:
      return cpu.lpis->pendbaser();
    default:
      return 0;
  }
}

// Writes the bits of `mask`.
void write_lpi_register(Cpu& cpu, uint32_t offset, uint64_t value, uint64_t mask) {
  if (cpu.lpis == nullptr) return;
  value = (value & mask) | (read_lpi_register(cpu, offset) & ~mask);
  if ((offset & ~7u) == kGicrPropbaser) cpu.lpis->set_propbaser(value);
  if ((offset & ~7u) == kGicrPendbaser) cpu.lpis->set_pendbaser(value);
}

}  // namespace

// GICR_TYPER (12.11.36): Affinity_Value 63:32, Processor_Number 23:8, DPGS 5, Last 4, PLPIS 0.
// CommonLPIAff 0: all share one configuration table. PPInum 0: INTIDs up to 31.
uint64_t Redistributors::typer(const Cpu& cpu) const {
  const uint64_t n = static_cast<uint64_t>(&cpu - core_.cpus);
  const uint64_t last = n + 1 == core_.num_cpus;
  return n << 32 | n << 8 | 1u << 5 | last << 4 | uint64_t{core_.has_lpis()};
}

MmioResult Redistributors::read(uint64_t offset, unsigned size, unsigned /*vcpu*/) {
  const uint64_t n = offset >> kFrameLog2;
  if (n >= core_.num_cpus) return {};
  Cpu& cpu = core_.cpus[n];
  const uint32_t at = static_cast<uint32_t>(offset) & kFrameMask;
  std::lock_guard lock(core_.mutex);
  Access access = Access::kReserved;
  uint64_t value = 0;
  if ((at & (size - 1)) == 0) {
    if (size == 4) {
      uint32_t word = 0;
      access = read32(cpu, at, word);
      value = word;
    } else if (size == 8 && (at == kGicrTyper || lpi_register(at))) {
      value = at == kGicrTyper ? typer(cpu) : read_lpi_register(cpu, at);
      access = Access::kOk;
    } else if (size == 1 && within(at, kGicrIpriorityr, 32)) {
      value = cpu.priority[at - kGicrIpriorityr];
      access = Access::kOk;
    }
  }
  if (access != Access::kOk) {
    cpu.status |= access == Access::kReserved ? kStatusRrd : kStatusRwod;
  }
  return {value, false};
}

MmioResult Redistributors::write(uint64_t offset, unsigned size, uint64_t value,
                                 unsigned /*vcpu*/) {
  const uint64_t n = offset >> kFrameLog2;
  if (n >= core_.num_cpus) return {};
  Cpu& cpu = core_.cpus[n];
  const uint32_t at = static_cast<uint32_t>(offset) & kFrameMask;
  std::lock_guard lock(core_.mutex);
  Access access = Access::kReserved;
  if ((at & (size - 1)) == 0) {
    if (size == 4) {
      access = write32(cpu, at, static_cast<uint32_t>(value));
    } else if (size == 8 && (at == kGicrTyper || lpi_register(at))) {
      access = at == kGicrTyper ? Access::kWrongWay : Access::kOk;
      write_lpi_register(cpu, at, value, ~uint64_t{0});
    } else if (size == 1 && within(at, kGicrIpriorityr, 32)) {
      cpu.priority[at - kGicrIpriorityr] = static_cast<uint8_t>(value) & kPriorityMask;
      core_.signal(cpu);
      access = Access::kOk;
    }
  }
  if (access != Access::kOk) {
    cpu.status |= access == Access::kReserved ? kStatusWrd : kStatusWrod;
  }
  return {};
}

Redistributors::Access Redistributors::read32(const Cpu& cpu, uint32_t offset,
                                              uint32_t& value) const {
  switch (offset) {
    case kGicrCtlr:  // RWP and UWP are 0: writes take effect at once
      value = cpu.ctlr;
      if (cpu.lpis != nullptr) {
        value |= kGicrCtlrCes | (cpu.lpis->enabled() ? kGicrCtlrEnableLpis : 0u);
      }
      return Access::kOk;
    case kGicrIidr:
      value = kIidr;
      return Access::kOk;
    case kGicrTyper:
      value = static_cast<uint32_t>(typer(cpu));
      return Access::kOk;
    case kGicrTyper + 4:
      value = static_cast<uint32_t>(typer(cpu) >> 32);
      return Access::kOk;
    case kGicrStatusr:
      value = cpu.status;
      return Access::kOk;
    case kGicrWaker:
      value = cpu.asleep ? kWakerProcessorSleep | kWakerChildrenAsleep : 0u;
      return Access::kOk;
    case kGicrIgroupr0:
      value = cpu.group;
      return Access::kOk;
    case kGicrIsenabler0:
    case kGicrIcenabler0:
      value = cpu.enabled;
      return Access::kOk;
    case kGicrIspendr0:
    case kGicrIcpendr0:
      value = cpu.pending();
      return Access::kOk;
    case kGicrIsactiver0:
    case kGicrIcactiver0:
      value = cpu.active;
      return Access::kOk;
    case kGicrIcfgr0:
      value = config_from_bits(cpu.edge);
      return Access::kOk;
    case kGicrIcfgr1:
      value = config_from_bits(cpu.edge >> 16);
      return Access::kOk;
    case kGicrMpamidr:
    case kGicrPartidr:
    case kGicrIgrpmodr0:  // RES0 with DS == 1, like NSACR
    case kGicrNsacr:
      return Access::kOk;
    default:
      break;
  }
  if (within(offset, kGicrIpriorityr, 32)) {
    std::memcpy(&value, &cpu.priority[offset - kGicrIpriorityr], 4);
    return Access::kOk;
  }
  if (within(offset, kGicrIdRegisters, 0x30)) {
    value = id_register(offset, kPart);
    return Access::kOk;
  }
  if (!lpi_register(offset)) return Access::kReserved;
  value = static_cast<uint32_t>(read_lpi_register(cpu, offset) >> (offset & 4) * 8);
  return Access::kOk;
}

Redistributors::Access Redistributors::write32(Cpu& cpu, uint32_t offset, uint32_t value) {
  switch (offset) {
    case kGicrCtlr:
      cpu.ctlr = value & kCtlrWritable;
      if (cpu.lpis != nullptr) {
        cpu.lpis->enable((value & kGicrCtlrEnableLpis) != 0);
        core_.lpis_changed(cpu);
      }
      core_.enables_changed();
      return Access::kOk;
    case kGicrWaker: {
      const bool sleep = (value & kWakerProcessorSleep) != 0;
      if (sleep != cpu.asleep) {
        cpu.asleep = sleep;
        core_.enables_changed();
      }
      return Access::kOk;
    }
    case kGicrStatusr:
      cpu.status &= ~(value & kStatusMask);
      return Access::kOk;
    case kGicrIgroupr0:
      cpu.group = value;
      break;
    case kGicrIsenabler0:
      cpu.enabled |= value;
      break;
    case kGicrIcenabler0:
      cpu.enabled &= ~value;
      break;
    case kGicrIspendr0:
      cpu.latched |= value;
      break;
    case kGicrIcpendr0:
      cpu.latched &= ~value;
      break;
    case kGicrIsactiver0:
      cpu.active |= value;
      break;
    case kGicrIcactiver0:
      cpu.active &= ~value;
      break;
    case kGicrIcfgr1:  // ICFGR0 is read-only: SGIs are edge-triggered
      cpu.edge = 0xffff | bits_from_config(value) << 16;
      break;
    case kGicrIidr:
    case kGicrTyper:
    case kGicrTyper + 4:
    case kGicrMpamidr:
    case kGicrIcfgr0:
      return Access::kWrongWay;
    case kGicrPartidr:
    case kGicrIgrpmodr0:
    case kGicrNsacr:
      return Access::kOk;
    default:
      if (within(offset, kGicrIpriorityr, 32)) {
        for (unsigned byte = 0; byte < 4; ++byte) {
          cpu.priority[offset - kGicrIpriorityr + byte] =
              static_cast<uint8_t>(value >> byte * 8) & kPriorityMask;
        }
        break;
      }
      if (within(offset, kGicrIdRegisters, 0x30)) return Access::kWrongWay;
      if (!lpi_register(offset)) return Access::kReserved;
      write_lpi_register(cpu, offset, uint64_t{value} << (offset & 4) * 8,
                         uint64_t{0xffff'ffff} << (offset & 4) * 8);
      return Access::kOk;
  }
  core_.signal(cpu);
  return Access::kOk;
}

void Redistributors::reset() {
  for (unsigned n = 0; virtual_.present() && n < core_.num_cpus; ++n) virtual_.reset(n);
  std::lock_guard lock(core_.mutex);
  for (unsigned n = 0; n < core_.num_cpus; ++n) core_.reset_redistributor(core_.cpus[n]);
  core_.recompute();
}

void Redistributors::save(StateWriter& out) const {
  std::lock_guard lock(core_.mutex);
  out.put(kStateVersion);
  out.put<uint32_t>(core_.num_cpus);
  out.put<uint32_t>(core_.num_intids);
  out.put<uint32_t>(core_.last_one_of_n);
  for (unsigned intid = 0; intid < core_.num_intids; ++intid) out.put(core_.target(intid));
  for (unsigned n = 0; n < core_.num_cpus; ++n) {
    const Cpu& cpu = core_.cpus[n];
    for (uint32_t word :
         {cpu.group, cpu.enabled, cpu.latched, cpu.level, cpu.active, cpu.edge, cpu.ctlr,
          cpu.status, cpu.active_priorities[0], cpu.active_priorities[1]}) {
      out.put(word);
    }
    out.bytes(cpu.priority, sizeof cpu.priority);
    for (uint8_t byte :
         {uint8_t{cpu.asleep}, cpu.pmr, cpu.bpr[0], cpu.bpr[1], uint8_t{cpu.group_enabled[0]},
          uint8_t{cpu.group_enabled[1]}, uint8_t{cpu.cbpr}, uint8_t{cpu.eoi_mode}}) {
      out.put(byte);
    }
  }
  virtual_.save(out);
}

bool Redistributors::load(StateReader& in) { return load_physical(in) && virtual_.load(in); }

bool Redistributors::load_physical(StateReader& in) {
  std::lock_guard lock(core_.mutex);
  if (in.get<uint32_t>() != kStateVersion || in.get<uint32_t>() != core_.num_cpus ||
      in.get<uint32_t>() != core_.num_intids) {
    return false;
  }
  core_.last_one_of_n = in.get<uint32_t>() % core_.num_cpus;
  uint8_t chosen[kWords * 32];
  in.bytes(chosen, core_.num_intids);
  for (unsigned n = 0; n < core_.num_cpus; ++n) {
    Cpu& cpu = core_.cpus[n];
    for (uint32_t* word :
         {&cpu.group, &cpu.enabled, &cpu.latched, &cpu.level, &cpu.active, &cpu.edge, &cpu.ctlr,
          &cpu.status, &cpu.active_priorities[0], &cpu.active_priorities[1]}) {
      *word = in.get<uint32_t>();
    }
    cpu.level &= 0xffff'0000;
    cpu.edge |= 0xffff;
    cpu.ctlr &= kCtlrWritable;
    cpu.status &= kStatusMask;
    in.bytes(cpu.priority, sizeof cpu.priority);
    for (uint8_t& priority : cpu.priority) priority &= kPriorityMask;
    cpu.asleep = in.get<uint8_t>() != 0;
    cpu.pmr = in.get<uint8_t>() & kPriorityMask;
    cpu.bpr[0] = std::max<uint8_t>(in.get<uint8_t>() & kBprMask, kMinBpr0);
    cpu.bpr[1] = std::max<uint8_t>(in.get<uint8_t>() & kBprMask, kMinBpr1);
    cpu.group_enabled[0] = in.get<uint8_t>() != 0;
    cpu.group_enabled[1] = in.get<uint8_t>() != 0;
    cpu.cbpr = in.get<uint8_t>() != 0;
    cpu.eoi_mode = in.get<uint8_t>() != 0;
  }
  core_.recompute(chosen);
  return in.ok();
}

std::string_view Redistributors::register_name(uint64_t offset) const {
  struct Name {
    uint32_t start, bytes;
    std::string_view name;
  };
  static constexpr Name kNames[] = {
      {kGicrCtlr, 4, "GICR_CTLR"},
      {kGicrIidr, 4, "GICR_IIDR"},
      {kGicrTyper, 8, "GICR_TYPER"},
      {kGicrStatusr, 4, "GICR_STATUSR"},
      {kGicrWaker, 4, "GICR_WAKER"},
      {kGicrMpamidr, 4, "GICR_MPAMIDR"},
      {kGicrPartidr, 4, "GICR_PARTIDR"},
      {kGicrSetlpir, 8, "GICR_SETLPIR"},
      {kGicrClrlpir, 8, "GICR_CLRLPIR"},
      {kGicrPropbaser, 8, "GICR_PROPBASER"},
      {kGicrPendbaser, 8, "GICR_PENDBASER"},
      {kGicrInvlpir, 8, "GICR_INVLPIR"},
      {kGicrInvallr, 8, "GICR_INVALLR"},
      {kGicrSyncr, 4, "GICR_SYNCR"},
      {kGicrIdRegisters, 0x10, "GICR_PIDR4"},
      {0xffe0, 8, "GICR_PIDR0"},
      {0xffe8, 4, "GICR_PIDR2"},
      {0xffec, 4, "GICR_PIDR3"},
      {0xfff0, 0x10, "GICR_CIDR"},
      {kGicrIgroupr0, 4, "GICR_IGROUPR0"},
      {kGicrIsenabler0, 4, "GICR_ISENABLER0"},
      {kGicrIcenabler0, 4, "GICR_ICENABLER0"},
      {kGicrIspendr0, 4, "GICR_ISPENDR0"},
      {kGicrIcpendr0, 4, "GICR_ICPENDR0"},
      {kGicrIsactiver0, 4, "GICR_ISACTIVER0"},
      {kGicrIcactiver0, 4, "GICR_ICACTIVER0"},
      {kGicrIpriorityr, 32, "GICR_IPRIORITYR"},
      {kGicrIcfgr0, 4, "GICR_ICFGR0"},
      {kGicrIcfgr1, 4, "GICR_ICFGR1"},
      {kGicrIgrpmodr0, 4, "GICR_IGRPMODR0"},
      {kGicrNsacr, 4, "GICR_NSACR"},
  };
  const uint32_t at = static_cast<uint32_t>(offset) & kFrameMask;
  for (const Name& n : kNames) {
    if (within(at, n.start, n.bytes)) return n.name;
  }
  return {};
}

}  // namespace trapline::gicv3
