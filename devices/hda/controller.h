// A High Definition Audio controller (Intel's specification, revision 1.0a), as a PCI function with
// the identity of an ICH6's, 8086:2668: one output stream, one codec. The stream's samples leave
// guest memory at their rate by the machine's clock, which is all that runs while it plays.
#ifndef TRAPLINE_DEVICES_HDA_CONTROLLER_H_
#define TRAPLINE_DEVICES_HDA_CONTROLLER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "devices/alarm.h"
#include "devices/audio_sink.h"
#include "devices/hda/codec.h"
#include "devices/pci/endpoint.h"
#include "devices/virtio/dma.h"
#include "devices/virtio/report.h"
#include "mmio/device.h"

namespace trapline::hda {

class Controller final : public Device, public pci::Endpoint::Client {
 public:
  static constexpr uint64_t kBarBytes = 0x4000;

  Controller(std::string name, Dma* dma, Clock& clock, AudioSink& sink);
  ~Controller() override;
  pci::Endpoint& endpoint() { return *endpoint_; }

  // BAR 0: accesses of each width, aligned or not.
  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return name_; }
  std::string_view register_name(uint64_t offset) const override;
  void counters(CounterVisitor visit, void* context) const override;

 private:
  static constexpr unsigned kWords = 0xa0 / 4;  // with registers: up to the one stream's last

  void bus_master(bool on) override;

  uint32_t read_word(uint64_t at);
  void write_word(uint64_t at, uint32_t value, uint32_t mask);
  // The next all with mutex_ held.
  uint32_t& word(uint64_t at) { return words_[at / 4]; }
  uint32_t word(uint64_t at) const { return words_[at / 4]; }
  uint64_t address(uint64_t low) const;
  void power_on();
  void stream_control(uint32_t before);
  void run_commands();
  void respond(uint32_t response);
  void immediate_command();
  bool plays() const;
  void advance();
  void transfer(uint64_t bytes);
  bool next_piece(uint64_t& at, uint32_t& bytes, bool& interrupts);
  void show_position();
  void update_interrupt();
  uint32_t interrupt_status() const;
  Clock::Handle arm();
  static void on_tick(void* self, uint64_t generation);

  const std::string name_;
  Dma* const dma_;
  Clock& clock_;
  AudioSink& sink_;
  Report report_;
  std::unique_ptr<pci::Endpoint> endpoint_;

  mutable std::mutex mutex_;  // inside it only the endpoint's and the clock's
  std::array<uint32_t, kWords> words_{};
  Codec codec_;
  bool bus_master_ = false;
  bool interrupting_ = false;
  uint64_t since_ = 0;               // ticks: up to where the stream was moved
  uint64_t owed_ = 0;                // parts of a frame, of Clock::kFrequency
  uint32_t entry_ = 0;               // of the buffer descriptor list
  uint32_t entry_at_ = 0;            // bytes of it that are played
  std::atomic<uint64_t> played_{0};  // bytes
  Alarm alarm_;
};

}  // namespace trapline::hda

#endif  // TRAPLINE_DEVICES_HDA_CONTROLLER_H_
