// PrimeCell real-time clock PL031 (DDI 0224): seconds since 1970, an alarm.
#ifndef TRAPLINE_DEVICES_PL031_H_
#define TRAPLINE_DEVICES_PL031_H_

#include <cstdint>
#include <mutex>

#include "devices/alarm.h"
#include "mmio/clock.h"
#include "mmio/device.h"
#include "mmio/irq_line.h"

namespace trapline {

class Pl031 final : public Device {
 public:
  static constexpr uint64_t kSize = 0x1000;

  // `epoch`: the seconds since 1970 that tick 0 of `clock` stands for (the host's time, or a fixed
  // one). `irq` may be null.
  Pl031(Clock& clock, uint64_t epoch, IrqLine* irq);
  ~Pl031() override;

  // Another epoch, before load(): a match that came due while the machine was not there is due.
  void set_epoch(uint64_t epoch) { epoch_ = epoch; }

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return "pl031"; }
  std::string_view register_name(uint64_t offset) const override;

 private:
  static void fire(void* self, uint64_t generation);
  uint32_t read32(uint64_t offset);
  void write32(uint64_t offset, uint32_t value);
  uint32_t seconds(uint64_t now) const;
  // Sets the interrupt if the match has come. The alarm comes late, on the clock's thread: a read
  // that shows the time or the status looks first, so that who sees the match finds its interrupt
  // pending. mutex_ held.
  void look(uint64_t now);
  // And arms the alarm if it has not come. The result goes to alarm_.cancel() once the mutex is
  // released.
  [[nodiscard]] Clock::Handle check_match();
  void rearm_match(uint64_t now);
  void update_line();

  Clock& clock_;
  uint64_t epoch_;
  IrqLine* const irq_;
  mutable std::mutex mutex_;
  Alarm alarm_;
  uint32_t offset_ = 0;  // what LR added, modulo 2^32
  uint32_t load_ = 0;    // LR
  uint32_t match_ = 0;   // MR
  uint64_t match_tick_ = 0;
  bool match_pending_ = false;
  bool imsc_ = false;
  bool ris_ = false;
  bool level_ = false;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_PL031_H_
