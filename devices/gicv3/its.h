// The interrupt translation service (IHI 0069, 5.2 and 12.18 to 12.19): messages of devices become
// LPIs by tables in the guest's memory, which a queue of commands there sets up. Two frames in one
// window of kSize: control, and translation, which holds GITS_TRANSLATER.
//
// Our tables' entries are eight bytes each (its_tables.h; docs/machine.md). What a guest writes
// there or queues is bounded: a command takes a bounded time, a batch of them is at most so long,
// and what is left of the queue is done by the clock's thread later; CREADR tells how far it came.
// A command that is wrong is ignored; one whose tables, or that itself, lies outside RAM stalls the
// queue (GITS_CREADR.Stalled) until GITS_CWRITER.Retry.
//
// Access sizes: 32 bits everywhere, 64 bits for the 64-bit registers, 16 for GITS_TRANSLATER.
// Others are RAZ/WI.
#ifndef TRAPLINE_DEVICES_GICV3_ITS_H_
#define TRAPLINE_DEVICES_GICV3_ITS_H_

#include <cstdint>
#include <mutex>

#include "devices/alarm.h"
#include "devices/gicv3/gicv3.h"
#include "devices/gicv3/its_tables.h"
#include "devices/virtio/dma.h"
#include "mmio/clock.h"
#include "mmio/device.h"
#include "mmio/msi.h"

namespace trapline {

class Its final : public Device, public MsiTarget {
 public:
  static constexpr uint64_t kSize = 0x20000;      // bytes of the window
  static constexpr uint64_t kDoorbell = 0x10040;  // GITS_TRANSLATER, from its start

  // At assembly: from now on `gic` has LPIs. `base`: the window's IPA. All three outlive it.
  Its(Gicv3& gic, Dma& dma, Clock& clock, uint64_t base);
  ~Its() override;

  // A write of a CPU to GITS_TRANSLATER is a message of device 0.
  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void message(uint32_t device_id, uint64_t address, uint32_t data) override;

  void reset() override;
  void quiesce() override;
  void resume() override;
  // With the redistributors' LPI state (and not that of GICR_CTLR's other bits): load the GIC
  // first.
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return "its"; }
  std::string_view register_name(uint64_t offset) const override;
  // messages, messages_dropped, commands, command_errors, stalls.
  void counters(CounterVisitor visit, void* context) const override;

 private:
  struct Command;
  enum class Outcome : uint8_t { kDone, kIgnored, kStalled };
  enum class Event : uint8_t { kSet, kClear, kDiscard };
  // What an event of a device translates to.
  struct Route {
    uint64_t entry;  // IPA of its interrupt translation entry
    gicv3::TranslationEntry translation;
    gicv3::CollectionEntry collection;
  };

  uint64_t read64(uint32_t offset) const;
  void write64(uint32_t offset, uint64_t value, uint64_t mask);

  // its_commands.cc
  void run_queue();
  bool work_left() const;
  void spend(unsigned lpis);
  Outcome run(const Command& command);
  Outcome map_device(const Command& command);
  Outcome map_collection(const Command& command);
  Outcome map_interrupt(const Command& command, uint32_t intid);
  Outcome move_interrupt(const Command& command);
  Outcome move_all(const Command& command);
  Outcome invalidate(const Command& command);
  Outcome invalidate_all(const Command& command);
  Outcome event(uint32_t device_id, uint32_t event_id, Event what);
  Outcome find_in(const gicv3::ItsTable& table, uint32_t id, uint64_t& ipa) const;
  Outcome read_entry(const gicv3::ItsTable& table, uint32_t id, uint64_t& word) const;
  Outcome write_entry(const gicv3::ItsTable& table, uint32_t id, uint64_t word);
  Outcome find_entry(uint32_t device_id, uint32_t event_id, uint64_t& entry) const;
  Outcome find_route(uint32_t device_id, uint32_t event_id, Route& route) const;
  Outcome find_collection(uint32_t id, gicv3::CollectionEntry& collection) const;

  // With the mutex held: the alarm rings if the queue is not done. To be cancelled without it.
  [[nodiscard]] Clock::Handle arm();
  static void continue_queue(void* owner, uint64_t generation);

  static constexpr uint64_t kStalled = 1, kRetry = 1;  // of GITS_CREADR, GITS_CWRITER

  gicv3::Core& core_;
  Dma& dma_;
  Clock& clock_;
  const uint64_t doorbell_;

  mutable std::mutex mutex_;  // taken before the GIC's; guards everything below
  Alarm alarm_;               // the rest of a long queue
  uint32_t ctlr_ = 0;
  uint64_t cbaser_ = 0;
  uint64_t cwriter_ = 0;
  uint64_t creadr_ = 0;
  gicv3::ItsTable devices_{gicv3::ItsTable::kDevices};
  gicv3::ItsTable collections_{gicv3::ItsTable::kCollections};
  unsigned budget_ = 0;  // of the batch that runs

  uint64_t messages_ = 0;
  uint64_t messages_dropped_ = 0;
  uint64_t commands_ = 0;
  uint64_t command_errors_ = 0;
  uint64_t stalls_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_GICV3_ITS_H_
