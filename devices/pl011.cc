#include "devices/pl011.h"

#include <algorithm>

namespace trapline {
namespace {

constexpr uint32_t kStateVersion = 2;

// DDI 0183, 3.2.
enum Offset : uint32_t {
  kDr = 0x00,
  kRsr = 0x04,  // write: ECR
  kFr = 0x18,
  kIlpr = 0x20,
  kIbrd = 0x24,
  kFbrd = 0x28,
  kLcrH = 0x2c,
  kCr = 0x30,
  kIfls = 0x34,
  kImsc = 0x38,
  kRis = 0x3c,
  kMis = 0x40,
  kIcr = 0x44,
  kDmacr = 0x48,
  kIds = 0xfe0,  // PeriphID0-3, PCellID0-3
};

enum Fr : uint32_t {
  kFrCts = 1,
  kFrDsr = 2,
  kFrDcd = 4,
  kFrBusy = 8,
  kFrRxfe = 0x10,
  kFrTxff = 0x20,
  kFrRxff = 0x40,
  kFrTxfe = 0x80,
  kFrRi = 0x100,
};

enum Cr : uint32_t {
  kCrUarten = 1,
  kCrLbe = 0x80,
  kCrTxe = 0x100,
  kCrRxe = 0x200,
  kCrDtr = 0x400,
  kCrRts = 0x800,
  kCrOut1 = 0x1000,
  kCrOut2 = 0x2000,
  kCrMask = 0xff87,
};

constexpr uint32_t kLcrFen = 0x10;
constexpr uint32_t kLcrBrk = 1;
constexpr uint32_t kIflsReset = 0x12;  // both triggers at half

// The interrupts, as in IMSC, RIS, MIS and ICR.
enum Interrupt : uint32_t {
  kIntRi = 1,
  kIntCts = 2,
  kIntDcd = 4,
  kIntDsr = 8,
  kIntRx = 0x10,
  kIntTx = 0x20,
  kIntRt = 0x40,
  kIntFe = 0x80,
  kIntPe = 0x100,
  kIntBe = 0x200,
  kIntOe = 0x400,
  kIntAll = 0x7ff,
};

// Error bits of a FIFO entry, in DR's layout; RSR has them shifted down by 8.
enum Entry : uint16_t {
  kEntryFe = 0x100,
  kEntryPe = 0x200,
  kEntryBe = 0x400,
  kEntryOe = 0x800,
};

}  // namespace

Pl011::Pl011(OutputSink& output, IrqLine* irq) : output_(output), irq_(irq) {
  clear_registers();
  update();
}

void Pl011::clear_registers() {
  fifo_head_ = fifo_count_ = 0;
  overrun_ = touched_ = polling_ = cr_written_ = false;
  polls_ = 0;
  rsr_ = ilpr_ = ibrd_ = fbrd_ = lcr_h_ = imsc_ = ris_ = dmacr_ = modem_ = 0;
  cr_ = kCrTxe | kCrRxe;
  ifls_ = kIflsReset;
}

// --- the receiver
// ------------------------------------------------------------------------------------

unsigned Pl011::depth() const { return (lcr_h_ & kLcrFen) != 0 ? kFifoDepth : 1; }

unsigned Pl011::rx_trigger() const {
  if ((lcr_h_ & kLcrFen) == 0) return 1;
  // IFLS 5:3: 1/8, 1/4, 1/2, 3/4, 7/8; the rest is reserved.
  constexpr uint8_t kLevels[8] = {2, 4, 8, 12, 14, 14, 14, 14};
  return kLevels[ifls_ >> 3 & 7];
}

// The UART and its receiver are enabled; or the guest never says so and uses the UART all the same,
// as many do that were only ever run on QEMU.
bool Pl011::receiver_on() const {
  if (!cr_written_) return touched_;
  return (cr_ & (kCrUarten | kCrRxe)) == (kCrUarten | kCrRxe);
}

// Bytes are kept back until the guest reads them, not only until the receiver is on: Linux' console
// turns it on to print, long before the driver proper starts, which first empties the FIFO and only
// then unmasks a receive interrupt. Who takes no interrupts (EDK2, U-Boot) polls FR: three reads of
// it in a row, no DR written between them, since who prints reads it up to twice a byte (TXFF
// before, BUSY after). Those bytes that a reset or a new driver finds in the FIFO are lost as ever.
bool Pl011::listening() const {
  return receiver_on() && (polling_ || (imsc_ & (kIntRx | kIntRt)) != 0);
}

// FR was read and showed an idle UART, while the guest did not listen.
void Pl011::note_poll() {
  constexpr unsigned kPolls = 3;
  if (polls_.fetch_add(1, std::memory_order_relaxed) + 1 < kPolls) return;
  bool space;
  {
    std::lock_guard lock(mutex_);
    polls_ = 0;
    const bool was_full = space_locked() == 0;
    if (!cr_written_) touched_ = true;
    if (!receiver_on()) return;
    polling_ = true;
    space = was_full && space_locked() != 0;
    update();
  }
  if (space && rx_space_callback_) rx_space_callback_();
}

size_t Pl011::space_locked() const {
  if (!listening() || (cr_ & kCrLbe) != 0) return 0;
  return depth() > fifo_count_ ? depth() - fifo_count_ : 0;
}

size_t Pl011::rx_space() const {
  std::lock_guard lock(mutex_);
  return space_locked();
}

void Pl011::push(uint16_t entry) {
  if (fifo_count_ >= depth()) {
    // The byte is lost; the FIFO keeps what it has, and the next one received carries the mark.
    overrun_ = true;
    rsr_ |= kEntryOe >> 8;
    ris_ |= kIntOe;
    return;
  }
  if (overrun_) {
    entry |= kEntryOe;
    overrun_ = false;
  }
  if ((entry & kEntryBe) != 0) ris_ |= kIntBe;
  if ((entry & kEntryFe) != 0) ris_ |= kIntFe;
  fifo_[(fifo_head_ + fifo_count_) % kFifoDepth] = entry;
  ++fifo_count_;
}

void Pl011::received() {
  if (fifo_count_ >= rx_trigger()) {
    ris_ |= kIntRx;
  } else if (fifo_count_ != 0) {
    ris_ |= kIntRt;
  }
}

uint32_t Pl011::pop() {
  if (fifo_count_ == 0) return 0;
  const uint16_t entry = fifo_[fifo_head_];
  fifo_head_ = (fifo_head_ + 1) % kFifoDepth;
  --fifo_count_;
  rsr_ = entry >> 8;
  if (fifo_count_ < rx_trigger()) ris_ &= ~uint32_t{kIntRx};
  if (fifo_count_ == 0) {
    ris_ &= ~uint32_t{kIntRt};
  } else if (fifo_count_ < rx_trigger()) {
    ris_ |= kIntRt;  // what is left would time out
  }
  return entry;
}

void Pl011::receive(std::span<const uint8_t> bytes) {
  std::lock_guard lock(mutex_);
  if (!receiver_on() || (cr_ & kCrLbe) != 0) return;
  for (uint8_t byte : bytes) push(byte);
  received();
  update();
}

void Pl011::receive_break() {
  std::lock_guard lock(mutex_);
  if (!receiver_on() || (cr_ & kCrLbe) != 0) return;
  push(kEntryBe | kEntryFe);
  received();
  update();
}

// --- the transmitter and the modem lines
// ---------------------------------------------------------------

unsigned Pl011::tx_trigger() const {
  if ((lcr_h_ & kLcrFen) == 0) return 0;
  // IFLS 2:0: 1/8, 1/4, 1/2, 3/4, 7/8; the rest is reserved.
  constexpr uint8_t kLevels[8] = {2, 4, 8, 12, 14, 14, 14, 14};
  return kLevels[ifls_ & 7];
}

void Pl011::send(uint8_t byte) {
  if (tx_count_ == 0 && output_.put(&byte, 1) == 1) {
    ris_ |= kIntTx;  // the FIFO fills and drains through its trigger level at once
    return;
  }
  if (tx_count_ >= depth()) {
    // The guest does not look at TXFF. On silicon the byte is lost; here nothing is, and the guest
    // waits instead.
    tx_overruns_.fetch_add(1, std::memory_order_relaxed);
    output_.force(tx_fifo_, tx_count_);
    output_.force(&byte, 1);
    tx_count_ = 0;
    ris_ |= kIntTx;
    return;
  }
  tx_fifo_[tx_count_++] = byte;
  if (tx_count_ > tx_trigger()) ris_ &= ~uint32_t{kIntTx};
}

void Pl011::drain() {
  if (tx_count_ == 0) return;
  const auto sent = static_cast<unsigned>(output_.put(tx_fifo_, tx_count_));
  if (sent == 0) return;
  tx_count_ -= sent;
  std::copy(tx_fifo_ + sent, tx_fifo_ + sent + tx_count_, tx_fifo_);
  if (tx_count_ <= tx_trigger()) ris_ |= kIntTx;
}

void Pl011::tx_room() {
  std::lock_guard lock(mutex_);
  drain();
  update();
}

// Nothing is wired to the modem inputs; in loopback the outputs drive them (DDI 0183, 2.4.5).
void Pl011::set_modem_inputs() {
  uint32_t modem = 0;
  if ((cr_ & kCrLbe) != 0) {
    if ((cr_ & kCrRts) != 0) modem |= kFrCts;
    if ((cr_ & kCrDtr) != 0) modem |= kFrDsr;
    if ((cr_ & kCrOut1) != 0) modem |= kFrDcd;
    if ((cr_ & kCrOut2) != 0) modem |= kFrRi;
  }
  const uint32_t changed = modem ^ modem_;
  if ((changed & kFrCts) != 0) ris_ |= kIntCts;
  if ((changed & kFrDsr) != 0) ris_ |= kIntDsr;
  if ((changed & kFrDcd) != 0) ris_ |= kIntDcd;
  if ((changed & kFrRi) != 0) ris_ |= kIntRi;
  modem_ = modem;
}

void Pl011::update() {
  uint32_t flags = modem_ | (tx_count_ == 0 ? kFrTxfe : kFrBusy);
  if (tx_count_ >= depth()) flags |= kFrTxff;
  if (fifo_count_ == 0) flags |= kFrRxfe;
  if (fifo_count_ >= depth()) flags |= kFrRxff;
  const bool level = (ris_ & imsc_) != 0;
  if (level != irq_level_) {
    irq_level_ = level;
    if (irq_ != nullptr) irq_->set(level);
  }
  listening_.store(listening(), std::memory_order_relaxed);
  // After the line: FR is read without the lock, and who sees a byte there finds its interrupt
  // pending.
  flags_.store(flags, std::memory_order_release);
}

// --- registers
// -----------------------------------------------------------------------------------------

uint32_t Pl011::read32(uint64_t offset, bool& space) {
  constexpr uint8_t kIdValues[8] = {0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
  switch (offset) {
    case kDr: {
      const bool was_full = space_locked() == 0;
      if (!cr_written_) touched_ = true;
      if (receiver_on()) polling_ = true;
      const uint32_t entry = pop();
      space = was_full && space_locked() != 0;
      update();
      return entry;
    }
    case kRsr:
      return rsr_;
    case kIlpr:
      return ilpr_;
    case kIbrd:
      return ibrd_;
    case kFbrd:
      return fbrd_;
    case kLcrH:
      return lcr_h_;
    case kCr:
      return cr_;
    case kIfls:
      return ifls_;
    case kImsc:
      return imsc_;
    case kRis:
      return ris_;
    case kMis:
      return ris_ & imsc_;
    case kDmacr:
      return dmacr_;
    default:
      return offset >= kIds && offset < kSize ? kIdValues[(offset - kIds) / 4] : 0;
  }
}

void Pl011::write32(uint64_t offset, uint32_t value, bool& space) {
  const bool was_full = space_locked() == 0;
  switch (offset) {
    case kDr:
      if (!cr_written_) touched_ = true;
      polls_.store(0, std::memory_order_relaxed);
      if ((cr_ & kCrLbe) != 0) {
        push(static_cast<uint8_t>(value));
        received();
        ris_ |= kIntTx;
      } else {
        send(static_cast<uint8_t>(value));
      }
      break;
    case kRsr:
      rsr_ = 0;
      break;
    case kIlpr:
      ilpr_ = value & 0xff;
      break;
    case kIbrd:
      ibrd_ = value & 0xffff;
      break;
    case kFbrd:
      fbrd_ = value & 0x3f;
      break;
    case kLcrH: {
      const uint32_t old = lcr_h_;
      lcr_h_ = value & 0xff;
      if ((old & ~lcr_h_ & kLcrFen) != 0) {
        // Back to one byte: the FIFO is emptied. The other way its one byte stays: Linux unmasks
        // the receive interrupt before it sets FEN.
        fifo_head_ = fifo_count_ = 0;
        ris_ &= ~uint32_t{kIntRx | kIntRt};
      }
      // In loopback a break that we send is one that we receive.
      if ((lcr_h_ & ~old & kLcrBrk) != 0 && (cr_ & kCrLbe) != 0) {
        push(kEntryBe | kEntryFe);
        received();
      }
      break;
    }
    case kCr:
      cr_ = value & kCrMask;
      cr_written_ = true;
      polls_ = 0;
      if (!receiver_on()) polling_ = false;
      set_modem_inputs();
      break;
    case kIfls:
      ifls_ = value & 0x3f;
      if (fifo_count_ != 0) received();
      break;
    case kImsc:
      imsc_ = value & kIntAll;
      polls_ = 0;
      polling_ = false;  // a driver that takes interrupts, or is about to
      break;
    case kIcr:
      ris_ &= ~(value & kIntAll);
      break;
    case kDmacr:
      dmacr_ = value & 7;  // no DMA controller is wired to it
      break;
    default:
      break;
  }
  space = was_full && space_locked() != 0;
  update();
}

MmioResult Pl011::read_word(uint64_t offset) {
  if (offset == kFr) {
    const uint32_t flags = flags_.load(std::memory_order_acquire);
    const bool idle = (flags & (kFrRxfe | kFrTxff | kFrBusy)) == kFrRxfe;
    if (idle && !listening_.load(std::memory_order_relaxed)) note_poll();
    return {flags, false};
  }
  bool space = false;
  uint32_t value;
  {
    std::lock_guard lock(mutex_);
    value = read32(offset, space);
  }
  if (space && rx_space_callback_) rx_space_callback_();
  return {value, false};
}

void Pl011::write_word(uint64_t offset, uint32_t value) {
  bool space = false;
  {
    std::lock_guard lock(mutex_);
    write32(offset, value, space);
  }
  if (space && rx_space_callback_) rx_space_callback_();
}

// A register is 32 bits wide. Narrower accesses reach it at its own offset, other byte lanes are
// RAZ/WI; a 64-bit access is two, the lower first.
MmioResult Pl011::read(uint64_t offset, unsigned size, unsigned /*vcpu*/) {
  if ((offset & 3) != 0) return {};
  if (size == 8) {
    const uint64_t low = read_word(offset).value;
    return {low | read_word(offset + 4).value << 32, false};
  }
  const MmioResult result = read_word(offset);
  return {result.value & (~uint64_t{0} >> (64 - size * 8)), false};
}

MmioResult Pl011::write(uint64_t offset, unsigned size, uint64_t value, unsigned /*vcpu*/) {
  if ((offset & 3) != 0) return {};
  if (size < 4) value &= ~uint64_t{0} >> (64 - size * 8);
  write_word(offset, static_cast<uint32_t>(value));
  if (size == 8) write_word(offset + 4, static_cast<uint32_t>(value >> 32));
  return {};
}

void Pl011::reset() {
  std::lock_guard lock(mutex_);
  clear_registers();
  irq_level_ = true;  // whatever the wire says now, say low
  update();
}

void Pl011::save(StateWriter& out) const {
  std::lock_guard lock(mutex_);
  out.put(kStateVersion);
  for (uint32_t word :
       {rsr_, ilpr_, ibrd_, fbrd_, lcr_h_, cr_, ifls_, imsc_, ris_, dmacr_, modem_, fifo_count_}) {
    out.put(word);
  }
  for (unsigned n = 0; n < kFifoDepth; ++n) out.put(fifo_[(fifo_head_ + n) % kFifoDepth]);
  for (bool flag : {overrun_, touched_, polling_, cr_written_}) out.put(uint8_t{flag});
  out.put(tx_count_);
  for (unsigned n = 0; n < kFifoDepth; ++n) out.put(n < tx_count_ ? tx_fifo_[n] : uint8_t{0});
}

bool Pl011::load(StateReader& in) {
  std::lock_guard lock(mutex_);
  if (in.get<uint32_t>() != kStateVersion) return false;
  for (uint32_t* word : {&rsr_, &ilpr_, &ibrd_, &fbrd_, &lcr_h_, &cr_, &ifls_, &imsc_, &ris_,
                         &dmacr_, &modem_, &fifo_count_}) {
    *word = in.get<uint32_t>();
  }
  fifo_head_ = 0;
  for (uint16_t& entry : fifo_) entry = in.get<uint16_t>();
  for (bool* flag : {&overrun_, &touched_, &polling_, &cr_written_}) {
    *flag = in.get<uint8_t>() != 0;
  }
  tx_count_ = std::min(in.get<unsigned>(), kFifoDepth);
  for (uint8_t& byte : tx_fifo_) byte = in.get<uint8_t>();
  fifo_count_ = std::min(fifo_count_, depth());
  polls_ = 0;
  drain();
  ris_ &= kIntAll;
  imsc_ &= kIntAll;
  modem_ &= kFrCts | kFrDsr | kFrDcd | kFrRi;
  update();
  if (irq_ != nullptr) irq_->set(irq_level_);  // whatever the wire says now
  return in.ok();
}

std::string_view Pl011::register_name(uint64_t offset) const {
  switch (offset & ~uint64_t{3}) {
    case kDr:
      return "UARTDR";
    case kRsr:
      return "UARTRSR";
    case kFr:
      return "UARTFR";
    case kIlpr:
      return "UARTILPR";
    case kIbrd:
      return "UARTIBRD";
    case kFbrd:
      return "UARTFBRD";
    case kLcrH:
      return "UARTLCR_H";
    case kCr:
      return "UARTCR";
    case kIfls:
      return "UARTIFLS";
    case kImsc:
      return "UARTIMSC";
    case kRis:
      return "UARTRIS";
    case kMis:
      return "UARTMIS";
    case kIcr:
      return "UARTICR";
    case kDmacr:
      return "UARTDMACR";
    default:
      break;
  }
  if (offset >= kIds && offset < kSize) return offset < 0xff0 ? "UARTPeriphID" : "UARTPCellID";
  return {};
}

}  // namespace trapline
