// The LPIs of one redistributor (IHI 0069, 5.1): which are pending, how they are configured, and
// the best of those that are enabled.
//
// Configuration is read from the guest's table when an LPI becomes pending and when an INV asks for
// it, and cached only while it is pending. The pending table in the guest's memory is read when
// LPIs are enabled and written when they are disabled; between them the state is here alone, as the
// architecture leaves open.
#ifndef TRAPLINE_DEVICES_GICV3_LPI_H_
#define TRAPLINE_DEVICES_GICV3_LPI_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "devices/gicv3/key.h"
#include "devices/virtio/dma.h"
#include "mmio/state.h"

namespace trapline::gicv3 {

inline constexpr unsigned kFirstLpi = 8192;
inline constexpr unsigned kLpiIdBits = 16;  // of an INTID, where there are LPIs
inline constexpr unsigned kLpis = (1u << kLpiIdBits) - kFirstLpi;
constexpr bool is_lpi(uint32_t intid) { return intid - kFirstLpi < kLpis; }

// A set of numbers below kLpis: three levels of words, so that each operation touches three.
class LpiSet {
 public:
  bool empty() const { return top_ == 0; }
  bool contains(unsigned n) const { return (leaves_[n / 64] >> (n % 64) & 1) != 0; }
  // False if it was there.
  bool insert(unsigned n);
  // False if it was not.
  bool erase(unsigned n);
  unsigned first() const;  // the lowest; not of an empty one
  // The lowest that is not below `n`; kLpis: none.
  unsigned next(unsigned n) const;
  uint64_t word(size_t i) const { return leaves_[i]; }  // numbers 64 * i and on

 private:
  static constexpr unsigned kLeaves = kLpis / 64;
  static_assert(kLpis % (64 * 64) == 0 && kLeaves / 64 <= 64);
  uint64_t top_ = 0;
  std::array<uint64_t, kLeaves / 64> middle_{};
  std::array<uint64_t, kLeaves> leaves_{};
};

class Lpis {
 public:
  explicit Lpis(Dma& dma) : dma_(dma) {}

  bool enabled() const { return enabled_; }
  uint64_t propbaser() const { return propbaser_; }
  uint64_t pendbaser() const { return pendbaser_; }
  // Ignored while enabled (12.11: UNPREDICTABLE).
  void set_propbaser(uint64_t value);
  void set_pendbaser(uint64_t value);
  // GICR_CTLR.EnableLPIs. Tables outside RAM are all zero: nothing enabled, nothing pending.
  void enable(bool on);
  void reset();

  // These do nothing while LPIs are disabled, or if the INTID is beyond GICR_PROPBASER.IDbits.
  void set_pending(uint32_t intid);
  void clear_pending(uint32_t intid);
  void configuration_changed(uint32_t intid);  // INV
  void configurations_changed();               // INVALL
  // MOVI and MOVALL: only if both sides are enabled.
  void move_to(Lpis& other, uint32_t intid);
  void move_all_to(Lpis& other);

  bool pending(uint32_t intid) const { return pending_.contains(intid - kFirstLpi); }
  unsigned pending_count() const { return pending_count_; }
  // Of those that are pending and enabled, or kNone.
  Key best() const;

  void save(StateWriter& out) const;
  bool load(StateReader& in);

 private:
  bool takes(uint32_t intid) const {
    return enabled_ && intid >= kFirstLpi && intid < end_ && is_lpi(intid);
  }
  void find_tables();
  uint8_t configuration(unsigned n) const;
  void insert(unsigned n, uint8_t configuration);
  void erase(unsigned n);
  void file(unsigned n, uint8_t configuration);
  void unfile(unsigned n);
  std::span<uint64_t> pending_table() const;
  void read_pending_table();
  void write_pending_table();

  Dma& dma_;
  bool enabled_ = false;
  bool pending_table_zero_ = false;  // GICR_PENDBASER.PTZ, as last written
  uint64_t propbaser_ = 0;
  uint64_t pendbaser_ = 0;
  // Of the tables, while enabled.
  uint32_t end_ = 0;                         // INTIDs are below
  const uint8_t* configurations_ = nullptr;  // of kFirstLpi and on; null: not in RAM

  LpiSet pending_;
  unsigned pending_count_ = 0;
  std::array<uint8_t, kLpis> cached_{};  // configurations of the pending ones
  // Those pending and enabled, by priority: bit n of levels_ says that ready_[n] is not empty.
  uint32_t levels_ = 0;
  std::array<std::unique_ptr<LpiSet>, 1u << kPriorityBits> ready_;
};

}  // namespace trapline::gicv3

#endif  // TRAPLINE_DEVICES_GICV3_LPI_H_
