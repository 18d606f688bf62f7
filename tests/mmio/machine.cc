#include "tests/mmio/machine.h"

#include <cstdlib>
#include <cstring>
#include <sstream>

namespace trapline::test {
namespace {

uint64_t little_endian(const uint8_t* p, unsigned size) {
  uint64_t value = 0;
  std::memcpy(&value, p, size);
  return value;
}

constexpr uint64_t page_of(uint64_t address) { return address & ~uint64_t{0xfff}; }

}  // namespace

std::string hex(uint64_t value) {
  std::ostringstream out;
  out << std::hex << value;
  return out.str();
}

MmioResult RecordingDevice::read(uint64_t offset, unsigned size, unsigned) {
  if (offset + size > sizeof bytes) {
    log_ += name_ + ".outside ";
    return {0, true};
  }
  const uint64_t value = little_endian(bytes + offset, size);
  log_ += name_ + ".r" + std::to_string(size) + "@" + hex(offset) + "=" + hex(value) + " ";
  return {value, offset >= abort_from};
}

MmioResult RecordingDevice::write(uint64_t offset, unsigned size, uint64_t value, unsigned) {
  if (offset + size > sizeof bytes) {
    log_ += name_ + ".outside ";
    return {0, true};
  }
  log_ += name_ + ".w" + std::to_string(size) + "@" + hex(offset) + "=" + hex(value) + " ";
  if (offset >= abort_from) return {0, true};
  std::memcpy(bytes + offset, &value, size);
  return {};
}

bool RecordingDevice::accepts(uint64_t offset, unsigned, bool) const {
  return offset < reject_from;
}

bool RecordingDevice::read64b(uint64_t offset, uint64_t data[8], unsigned) {
  if (!takes_64b_ || offset + 64 > sizeof bytes) return false;
  log_ += name_ + ".r64@" + hex(offset) + " ";
  std::memcpy(data, bytes + offset, 64);
  return true;
}

bool RecordingDevice::write64b(uint64_t offset, const uint64_t data[8], unsigned) {
  if (!takes_64b_ || offset + 64 > sizeof bytes) return false;
  log_ += name_ + ".w64@" + hex(offset) + " ";
  std::memcpy(bytes + offset, data, 64);
  return true;
}

void RecordingDevice::reset() {
  for (unsigned i = 0; i < sizeof bytes; ++i) bytes[i] = static_cast<uint8_t>(i);
}

FakeView::FakeView() {
  regs = &general;
  v = vectors;
  monitor = &exclusive;
  tbi_lower = true;
}

void FakeView::page(uint64_t ipa, PageKind kind) {
  Page& page = pages_[page_of(ipa)];
  page.kind = kind;
  page.bytes = std::make_unique<uint8_t[]>(4096);
  for (unsigned i = 0; i < 4096; ++i) page.bytes[i] = static_cast<uint8_t>(i);
}

uint8_t* FakeView::host(uint64_t ipa) {
  auto it = pages_.find(page_of(ipa));
  return it == pages_.end() ? nullptr : it->second.bytes.get() + (ipa & 0xfff);
}

Translation FakeView::translate(uint64_t va, unsigned size, Direction dir, bool unprivileged) {
  ++translations;
  Translation t{};
  t.status = Translation::Status::kOk;
  t.ipa = va << 8 >> 8;  // TBI; only the lower half is used
  auto it = pages_.find(page_of(t.ipa));
  const PageKind kind = it == pages_.end() ? kUnmapped : it->second.kind;
  uint8_t fsc = 0;
  if (kind == kUnmapped || (va & 0xfff) + size > 4096) fsc = 0x07;
  if (kind == kRamReadOnlyStage1 && dir != Direction::kRead) fsc = 0x0f;
  if (kind == kEl1Only && unprivileged) fsc = 0x0f;
  if (fsc != 0) {
    t.status = Translation::Status::kFault;
    t.fault.fsc = fsc;
  }
  if (kind == kRetryPage) t.status = Translation::Status::kRetry;
  t.device = kind == kDeviceMemory;
  return t;
}

uint8_t* FakeView::ram(uint64_t ipa, Direction dir) {
  auto it = pages_.find(page_of(ipa));
  if (it == pages_.end()) return nullptr;
  const PageKind kind = it->second.kind;
  const bool readable = kind == kRam || kind == kRamReadOnly || kind == kRamReadOnlyStage1;
  if (!readable || (kind == kRamReadOnly && dir != Direction::kRead)) return nullptr;
  return it->second.bytes.get() + (ipa & 0xfff);
}

void FakeView::bracket_ram(std::string& log, unsigned stale_at) {
  brackets_ram = true;
  ram_log_ = &log;
  stale_at_ = stale_at;
}

bool FakeView::begin_ram_access() {
  *ram_log_ += "[";
  if (stale_at_ == 0 || --stale_at_ != 0) return true;
  *ram_log_ += "stale ";
  return false;
}

void FakeView::ram_written(uint64_t ipa, unsigned size) {
  written += hex(ipa) + "+" + std::to_string(size) + " ";
}

// Offset from kBase: 0 device A | 1000 device B, takes 64 bytes | 2000 RAM | 3000 unmapped | 4000
// RAM, read-only at stage 1 | 5000 hole | 6000 device C, Device memory | 7000 retry | 8000 RAM,
// read-only at stage 2 | 9000 device D: rejects from 800, aborts from 400 | a000 devices E and F,
// 200 bytes each, then a hole | b000 device G, EL1 only | c000, d000 RAM | e000 unmapped
Machine::Machine() {
  context.gate = &gate;
  const auto device = [&](const char* name, uint64_t offset, uint64_t size, PageKind kind,
                          bool takes_64b = false) {
    devices.push_back(std::make_unique<RecordingDevice>(name, log, takes_64b));
    bus.add(kBase + offset, size, devices.back().get());
    view.page(kBase + offset, kind);
    return devices.back().get();
  };
  device("A", 0, 0x1000, kDevicePage);
  device("B", 0x1000, 0x1000, kDevicePage, true);
  view.page(kBase + 0x2000, kRam);
  view.page(kBase + 0x4000, kRamReadOnlyStage1);
  view.page(kBase + 0x5000, kHole);
  device("C", 0x6000, 0x1000, kDeviceMemory);
  view.page(kBase + 0x7000, kRetryPage);
  view.page(kBase + 0x8000, kRamReadOnly);
  RecordingDevice* d = device("D", 0x9000, 0x1000, kDevicePage);
  d->reject_from = 0x800;
  d->abort_from = 0x400;
  device("E", 0xa000, 0x200, kDevicePage);
  device("F", 0xa200, 0x200, kDevicePage);
  device("G", 0xb000, 0x1000, kEl1Only);
  view.page(kBase + 0xc000, kRam);
  view.page(kBase + 0xd000, kRam);
}

void Machine::set(const std::string& state) {
  std::istringstream in(state);
  std::string token;
  while (in >> token) {
    const size_t equal = token.find('=');
    const std::string name = token.substr(0, equal), text = token.substr(equal + 1);
    const uint64_t value = std::strtoull(text.c_str(), nullptr, 16);
    if (name == "sp") {
      view.general.x[kSlotSp] = value;
    } else if (name == "pc") {
      view.pc = value;
    } else if (name == "nzcv") {
      view.nzcv = static_cast<uint32_t>(value);
    } else if (name == "known") {
      view.known_va_page = view.known_ipa_page = value;
    } else if (name == "be") {
      view.big_endian = value != 0;
    } else if (name == "sa") {
      view.sp_alignment_check = value != 0;
    } else if (name == "a") {
      view.alignment_check = value != 0;
    } else if (name == "lse2") {
      view.lse2 = value != 0;
    } else if (name == "optb") {
      view.mops_option_a = value == 0;
    } else if (name == "brackets" || name == "stale") {
      view.bracket_ram(log, name == "stale" ? static_cast<unsigned>(value) : 0);
    } else if (name == "zva") {
      view.zero_block_log2 = static_cast<unsigned>(value);
    } else if (name[0] == 'x') {
      view.general.x[std::atoi(name.c_str() + 1)] = value;
    } else if (name[0] == 'v') {
      const size_t bar = text.find('_');
      Vreg& v = view.vectors[std::atoi(name.c_str() + 1)];
      v.hi = bar == std::string::npos ? 0 : value;
      v.lo = bar == std::string::npos ? value : std::strtoull(text.c_str() + bar + 1, nullptr, 16);
    } else {
      std::abort();
    }
  }
  before_ = view.general;
  std::memcpy(vectors_before_, view.vectors, sizeof vectors_before_);
  nzcv_before_ = view.nzcv;
}

std::string Machine::run(uint32_t word, bool with_bus) {
  Access access;
  if (decode(word, access) != DecodeStatus::kAccess) return "not decoded";
  return run(access, effective_address(access, view), with_bus);
}

std::string Machine::run(const Access& access, uint64_t va, bool with_bus) {
  const Outcome outcome = emulate(access, va, view, with_bus ? &bus : nullptr, context);
  const std::string where = hex(outcome.fault.far) + (outcome.fault.write ? " w" : " r");
  switch (outcome.status) {
    case Outcome::Status::kDone:
      return "done";
    case Outcome::Status::kProgress:
      return "progress";
    case Outcome::Status::kFault:
      if (outcome.fault.ec != 0x24) return "fault ec " + hex(outcome.fault.ec);
      return "fault " + hex(outcome.fault.fsc) + " " + where;
    case Outcome::Status::kUnsupported:
      return "unsupported";
    case Outcome::Status::kRetry:
      return "retry";
    case Outcome::Status::kNeedsExit:
      return "exit " + where;
  }
  return "?";
}

std::string Machine::changes() const {
  std::string text;
  for (unsigned i = 0; i <= kSlotSp; ++i) {
    if (view.general.x[i] == before_.x[i]) continue;
    text += (i == kSlotSp ? "sp" : "x" + std::to_string(i)) + "=" + hex(view.general.x[i]) + " ";
  }
  for (unsigned i = 0; i < 32; ++i) {
    if (view.vectors[i] == vectors_before_[i]) continue;
    text += "v" + std::to_string(i) + "=" + hex(view.vectors[i].hi) + "_" +
            hex(view.vectors[i].lo) + " ";
  }
  if (view.nzcv != nzcv_before_) text += "nzcv=" + hex(view.nzcv) + " ";
  return text;
}

uint64_t Machine::memory(uint64_t ipa, unsigned size) {
  return little_endian(view.host(ipa), size);
}

}  // namespace trapline::test
