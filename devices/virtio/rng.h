// virtio entropy device (virtio 1.2, 5.4).
#ifndef TRAPLINE_DEVICES_VIRTIO_RNG_H_
#define TRAPLINE_DEVICES_VIRTIO_RNG_H_

#include <cstdint>
#include <optional>

#include "devices/virtio/function.h"

namespace trapline::virtio {

class Rng final : public Function {
 public:
  static constexpr uint32_t kMaxBytes = 64 * 1024;  // of one chain; a device may fill less

  // Without a seed: the host's getrandom(). With one: a fixed sequence (not for secrets), so that
  // runs under icount repeat.
  explicit Rng(std::optional<uint64_t> seed) : seed_(seed), state_(seed.value_or(0)) {}

  uint32_t device_id() const override { return 4; }
  uint64_t features() const override { return 0; }
  unsigned queue_count() const override { return 1; }
  uint16_t queue_max(unsigned) const override { return 64; }
  bool process(unsigned queue) override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;

 private:
  bool fill(uint8_t* out, uint32_t size);

  const std::optional<uint64_t> seed_;
  uint64_t state_;
  Chain chain_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_RNG_H_
