#include "devices/nic/e1000.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "devices/virtio/net_features.h"

namespace trapline {

using namespace e1000;

namespace {

constexpr uint32_t kStateVersion = 1;
constexpr uint64_t kItrTicks = 256 / Clock::kNsPerTick;  // ITR counts 256 ns
constexpr uint64_t kOffloads = virtio::net::kCsum | virtio::net::kHostTso4 | virtio::net::kHostTso6;

// What is stored as it is written. Registers that act are in write_register() and read_register();
// what is in neither reads as zero and ignores writes.
struct Row {
  uint32_t offset, words;
  uint32_t writable, initial;
  std::string_view name;
};
constexpr Row kRows[] = {
    {kCtrl, 1, ~(kCtrlReset | kCtrlPhyReset), 0x00000241, "CTRL"},
    {kStatus, 1, 0, kStatusUp, "STATUS"},
    {kEecd, 1, 0, kEecdPresent, "EECD"},
    {kEerd, 1, 0, 0, "EERD"},
    {kCtrlExt, 1, 0x0000ffff, 0, "CTRL_EXT"},
    {kMdic, 1, 0, kMdicReady, "MDIC"},
    {kFcal, 1, ~0u, 0, "FCAL"},
    {kFcah, 1, 0xffff, 0, "FCAH"},
    {kFct, 1, 0xffff, 0, "FCT"},
    {kVet, 1, 0xffff, 0x8100, "VET"},
    {kIcr, 1, 0, 0, "ICR"},
    {kItr, 1, 0xffff, 0, "ITR"},
    {kIcs, 1, 0, 0, "ICS"},
    {kIms, 1, 0, 0, "IMS"},
    {kImc, 1, 0, 0, "IMC"},
    {kRctl, 1, 0x07fff7fe, 0, "RCTL"},
    {kFcttv, 1, 0xffff, 0, "FCTTV"},
    {kTxcw, 1, ~0u, 0, "TXCW"},
    {kRxcw, 1, 0, 0, "RXCW"},
    {kTctl, 1, 0x03fffffa, 0, "TCTL"},
    {kTipg, 1, 0x3fffffff, 0x00602006, "TIPG"},
    {kAit, 1, 0xffff, 0, "AIFS"},
    {kLedctl, 1, ~0u, 0x07068302, "LEDCTL"},
    {kPba, 1, 0xffff, 0x00100030, "PBA"},
    {kFcrtl, 1, 0x8000fff8, 0, "FCRTL"},
    {kFcrth, 1, 0xfff8, 0, "FCRTH"},
    {kRdbal, 1, 0xfffffff0, 0, "RDBAL"},
    {kRdbah, 1, ~0u, 0, "RDBAH"},
    {kRdlen, 1, 0xfff80, 0, "RDLEN"},
    {kRdh, 1, 0xffff, 0, "RDH"},
    {kRdt, 1, 0xffff, 0, "RDT"},
    {kRdtr, 1, 0xffff, 0, "RDTR"},
    {kRxdctl, 1, 0x013f3f3f, 0x00010000, "RXDCTL"},
    {kRadv, 1, 0xffff, 0, "RADV"},
    {kRsrpd, 1, 0xfff, 0, "RSRPD"},
    {kTdbal, 1, 0xfffffff0, 0, "TDBAL"},
    {kTdbah, 1, ~0u, 0, "TDBAH"},
    {kTdlen, 1, 0xfff80, 0, "TDLEN"},
    {kTdh, 1, 0xffff, 0, "TDH"},
    {kTdt, 1, 0xffff, 0, "TDT"},
    {kTidv, 1, 0xffff, 0, "TIDV"},
    {kTxdctl, 1, 0xff3f3f3f, 0, "TXDCTL"},
    {kTadv, 1, 0xffff, 0, "TADV"},
    {kTspmt, 1, ~0u, 0x01000400, "TSPMT"},
    {kStatistics, 64, 0, 0, "statistics"},
    {kRxcsum, 1, 0x7ff, 0, "RXCSUM"},
    {kMta, 128, ~0u, 0, "MTA"},
    {kRa, 32, ~0u, 0, "RAL,RAH"},
    {kVfta, 128, ~0u, 0, "VFTA"},
    {kWuc, 1, 0xf, 0, "WUC"},
    {kWufc, 1, 0xffff, 0, "WUFC"},
    {kWus, 1, 0, 0, "WUS"},
    {kManc, 1, ~0u, 0, "MANC"},
};

const Row* row_at(uint32_t offset) {
  const Row* const after =
      std::upper_bound(std::begin(kRows), std::end(kRows), offset,
                       [](uint32_t at, const Row& row) { return at < row.offset; });
  if (after == std::begin(kRows)) return nullptr;
  const Row& row = *(after - 1);
  return offset < row.offset + 4 * row.words ? &row : nullptr;
}
static_assert(std::is_sorted(std::begin(kRows), std::end(kRows),
                             [](const Row& a, const Row& b) { return a.offset < b.offset; }),
              "row_at() looks by halves");

pci::Endpoint::Spec spec_of(const std::string& name, Device* registers, Device* io) {
  pci::Endpoint::Spec spec;
  spec.name = name;
  spec.vendor = 0x8086;
  spec.device = 0x100e;
  spec.subsystem_vendor = 0x1af4;
  spec.subsystem = 0x1100;
  spec.revision = 3;
  spec.class_code = 0x020000;
  spec.interrupt_pin = true;
  spec.bars[0] = {.space = pci::Space::kMemory32, .size = kBarBytes, .device = registers};
  spec.bars[1] = {.space = pci::Space::kIo, .size = kIoBytes, .device = io};
  return spec;
}

}  // namespace

// 13.3, "I/O-mapped access": an address and the register there.
class E1000::IoBar final : public Device {
 public:
  explicit IoBar(E1000& card) : card_(card) {}
  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override {
    if (size != 4) return {};
    if (offset == kIoData) return card_.read(address(), 4, vcpu);
    return {.value = offset == kIoAddress ? address() : 0};
  }
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override {
    if (size != 4) return {};
    if (offset == kIoData) return card_.write(address(), 4, value, vcpu);
    if (offset != kIoAddress) return {};
    std::lock_guard lock(card_.mutex_);
    card_.io_address_ = static_cast<uint32_t>(value) & (kBarBytes - 4);
    return {};
  }
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return card_.name(); }
  std::string_view register_name(uint64_t offset) const override {
    return offset == kIoAddress ? "IOADDR" : offset == kIoData ? "IODATA" : std::string_view{};
  }

 private:
  uint32_t address() const {
    std::lock_guard lock(card_.mutex_);
    return card_.io_address_;
  }
  E1000& card_;
};

E1000::E1000(Options options, std::unique_ptr<virtio::NetBackend> backend)
    : options_(std::move(options)),
      io_(std::make_unique<IoBar>(*this)),
      endpoint_(std::make_unique<pci::Endpoint>(spec_of(options_.name, this, io_.get()), this)),
      report_(options_.name),
      eeprom_(options_.mac),
      alarm_(
          *options_.clock,
          [](void* owner, uint64_t generation) {
            auto* const self = static_cast<E1000*>(owner);
            std::lock_guard lock(self->mutex_);
            if (self->alarm_.accept(generation)) self->update_line();
          },
          this),
      backend_(*backend) {
  tx_frame_.reserve(virtio::NetBackend::kMaxFrame);
  power_on();
  NicThread::Card& card = *this;
  thread_ = std::make_unique<NicThread>(card, std::move(backend), kOffloads, options_.name);
}

E1000::~E1000() {
  thread_.reset();
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    stale = alarm_.retire();
  }
  alarm_.cancel(stale);
}

// --- registers -----------------------------------------------------------------------------------

// All of the card but its PHY.
void E1000::power_on() {
  registers_ = {};
  for (const Row& row : kRows) {
    for (uint32_t i = 0; i < row.words; ++i) reg(row.offset + 4 * i) = row.initial;
  }
  const virtio::MacAddress& mac = options_.mac;
  reg(kRa) = static_cast<uint32_t>(mac[0] | mac[1] << 8 | mac[2] << 16) | uint32_t{mac[3]} << 24;
  reg(kRa + 4) = static_cast<uint32_t>(mac[4] | mac[5] << 8) | kRahValid;
  eeprom_.drive(false, false, false);
  forget();
  next_interrupt_ = 0;
  update_line();
}

void E1000::forget() {
  for (Context& context : contexts_) context = {};
  tx_frame_.clear();
  tx_begun_ = tx_broken_ = tx_extended_ = tx_segments_ = false;
  tx_options_ = 0;
}

MmioResult E1000::read(uint64_t offset, unsigned size, unsigned) {
  std::lock_guard lock(mutex_);
  const auto at = static_cast<uint32_t>(offset);
  uint64_t value = read_register(at & ~3u);
  if (size == 8) value |= uint64_t{read_register((at & ~3u) + 4)} << 32;
  return {.value = value >> 8 * (offset & 3) & ~uint64_t{0} >> (64 - 8 * size)};
}

MmioResult E1000::write(uint64_t offset, unsigned size, uint64_t value, unsigned) {
  std::lock_guard lock(mutex_);
  const auto at = static_cast<uint32_t>(offset);
  if (size < 4 || offset % 4 != 0) {
    report_.add("write of a part of a register");
    return {};
  }
  write_register(at, static_cast<uint32_t>(value));
  if (size == 8) write_register(at + 4, static_cast<uint32_t>(value >> 32));
  return {};
}

uint32_t E1000::read_register(uint32_t offset) {
  if (row_at(offset) == nullptr) return 0;
  if (offset == kIcr) {
    const uint32_t causes = std::exchange(reg(kIcr), 0);
    update_line();
    return causes;
  }
  if (offset == kEecd) return reg(kEecd) | (eeprom_.out() ? kEecdOut : 0);
  if (offset >= kStatistics && offset < kStatisticsEnd) return std::exchange(reg(offset), 0);
  if (offset == kIcs || offset == kImc) return 0;  // written only
  return reg(offset);
}

void E1000::write_register(uint32_t offset, uint32_t value) {
  const Row* const row = row_at(offset);
  if (row == nullptr) return;
  reg(offset) = (reg(offset) & ~row->writable) | (value & row->writable);
  switch (offset) {
    case kCtrl:
      if ((value & kCtrlPhyReset) != 0) phy_.reset();
      if ((value & kCtrlReset) != 0) power_on();
      return;
    case kEecd:
      reg(kEecd) =
          (value & kEecdWritable) | kEecdPresent | ((value & kEecdRequest) != 0 ? kEecdGrant : 0);
      return eeprom_.drive((value & kEecdSelect) != 0, (value & kEecdClock) != 0,
                           (value & kEecdIn) != 0);
    case kEerd:
      if ((value & kEerdStart) != 0) {
        const unsigned word = value >> 8 & 0xff;
        reg(kEerd) = uint32_t{eeprom_.word(word)} << 16 | word << 8 | kEerdDone;
      }
      return;
    case kMdic:
      return write_mdic(value);
    case kIcr:
      reg(kIcr) &= ~value;
      return update_line();
    case kIcs:
      return raise(value & kCauses);
    case kIms:
      reg(kIms) |= value & kCauses;
      return update_line();
    case kImc:
      reg(kIms) &= ~value;
      return update_line();
    case kRctl:
    case kRdt:
    case kRdlen:
      if (std::exchange(wants_room_, false)) thread_->kick();
      return;
    case kTdt:
    case kTctl:
      return thread_->kick();
    default:
      return;
  }
}

void E1000::write_mdic(uint32_t value) {
  const unsigned number = value >> 16 & 31, address = value >> 21 & 31;
  reg(kMdic) = (value & (0x03ffffff | kMdicInterrupt)) | (value & (kMdicRead | kMdicWrite));
  if (address != Phy::kAddress) {
    reg(kMdic) |= kMdicError;
  } else if ((value & kMdicRead) != 0) {
    reg(kMdic) = (reg(kMdic) & ~0xffffu) | phy_.read(number);
  } else if ((value & kMdicWrite) != 0 && phy_.write(number, static_cast<uint16_t>(value))) {
    raise(kLsc);
  }
  reg(kMdic) |= kMdicReady;
  if ((value & kMdicInterrupt) != 0) raise(kMdac);
}

void E1000::count(uint32_t which, uint64_t amount) {
  // They stop at their largest value, 13.7.
  reg(which) = static_cast<uint32_t>(std::min<uint64_t>(reg(which) + amount, ~uint32_t{0}));
}

// A counter of 64 bits.
void E1000::count_bytes(uint32_t which, uint64_t bytes) {
  const uint64_t now = (uint64_t{reg(which + 4)} << 32 | reg(which)) + bytes;
  reg(which) = static_cast<uint32_t>(now);
  reg(which + 4) = static_cast<uint32_t>(now >> 32);
}

// --- interrupts ----------------------------------------------------------------------------------

void E1000::raise(uint32_t causes) {
  reg(kIcr) |= causes;
  update_line();
}

// ITR: so long between two interrupts.
void E1000::update_line() {
  const bool wanted = (reg(kIcr) & reg(kIms)) != 0;
  if (wanted == line_) return;
  if (wanted) {
    const uint64_t now = options_.clock->now();
    if (now < next_interrupt_) {
      // One that is armed is for this very time: nothing to cancel.
      static_cast<void>(alarm_.arm(now, next_interrupt_));
      return;
    }
    next_interrupt_ = now + reg(kItr) * kItrTicks;
  }
  line_ = wanted;
  endpoint_->set_interrupt(wanted);
}

uint8_t* E1000::descriptor(uint32_t base, uint32_t index, uint64_t& ipa) {
  ipa = (uint64_t{reg(base + 4)} << 32 | reg(base)) + uint64_t{index} * kDescriptorBytes;
  return options_.dma->host(ipa, kDescriptorBytes);
}

// --- life ----------------------------------------------------------------------------------------

void E1000::bus_master(bool on) {
  std::lock_guard lock(mutex_);
  allowed_ = on;
  if (on && thread_ != nullptr) thread_->kick();
}

void E1000::reset() {
  {
    std::lock_guard lock(mutex_);
    phy_.reset();
    io_address_ = 0;
    power_on();
  }
  endpoint_->reset();
}

void E1000::save(StateWriter& out) const {
  endpoint_->save(out);
  std::lock_guard lock(mutex_);
  out.put(kStateVersion);
  out.put(registers_);
  out.put(phy_.registers());
  out.put(eeprom_.state());
  out.put(io_address_);
  out.put(contexts_);
  out.put(uint8_t{tx_begun_});
  out.put(uint8_t{tx_broken_});
  out.put(uint8_t{tx_extended_});
  out.put(uint8_t{tx_segments_});
  out.put(tx_options_);
  out.string(std::string(tx_frame_.begin(), tx_frame_.end()));
}

bool E1000::load(StateReader& in) {
  if (!endpoint_->load(in)) return false;
  std::lock_guard lock(mutex_);
  const bool good = in.get<uint32_t>() == kStateVersion;
  registers_ = in.get<std::array<uint32_t, kRegisterBytes / 4>>();
  phy_.set_registers(in.get<std::array<uint16_t, Phy::kRegisters>>());
  eeprom_.set_state(in.get<Eeprom::State>());
  io_address_ = in.get<uint32_t>() & (kBarBytes - 4);
  in.bytes(contexts_, sizeof contexts_);
  tx_begun_ = in.get<uint8_t>() != 0;
  tx_broken_ = in.get<uint8_t>() != 0;
  tx_extended_ = in.get<uint8_t>() != 0;
  tx_segments_ = in.get<uint8_t>() != 0;
  tx_options_ = in.get<uint8_t>();
  const std::string frame = in.string();
  if (!good || !in.ok() || frame.size() > virtio::NetBackend::kMaxFrame) return false;
  tx_frame_.assign(frame.begin(), frame.end());
  next_interrupt_ = 0;
  line_ = false;
  update_line();
  return true;
}

std::string_view E1000::register_name(uint64_t offset) const {
  const Row* const row = row_at(static_cast<uint32_t>(offset));
  return row != nullptr ? row->name : std::string_view{};
}

}  // namespace trapline
