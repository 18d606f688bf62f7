// The recording of a machine: its file, and who hears of writes.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "vmm/host/messages.h"
#include "vmm/trace/recorder.h"
#include "vmm/vcpu/host_clock.h"

namespace trapline::trace {
namespace {

// Within some percent: a trace that is cut off has nothing better.
double ns_per_cycle() {
  constexpr uint64_t kLookNs = 2'000'000;
  const uint64_t ns = steady_ns(), cycles = host_cycles();
  while (steady_ns() - ns < kLookNs) {
  }
  return static_cast<double>(steady_ns() - ns) / static_cast<double>(host_cycles() - cycles);
}

size_t filter_slot(uint64_t ipa) { return (ipa / kPageSize * 0x9e3779b97f4a7c15) >> 48; }

}  // namespace

Result<std::unique_ptr<Recording>> Recording::create(const std::string& path, const Setup& setup) {
  auto writer = BlockWriter::create(path);
  if (!writer) return Error{writer.error()};
  std::unique_ptr<Recording> recording(new Recording);
  recording->backend_ = setup.backend;
  recording->writer_ = std::move(*writer);
  for (unsigned i = 0; i < setup.cpus; ++i) {
    recording->vcpus_.push_back(std::make_unique<ExitRecorder>(*recording, i));
  }
  nlohmann::json regions = nlohmann::json::array();
  for (const Bus::Region& region : setup.bus->regions()) {
    if (Bus::is_part(region)) break;  // the last: what the trace names is what has an address
    regions.push_back({{"base", region.base},
                       {"size", region.size},
                       {"device_offset", region.device_offset},
                       {"device", std::string(Bus::device_of(region).name())}});
  }
  const nlohmann::json configuration{{"version", kVersion},
                                     {"cpus", setup.cpus},
                                     {"icount", setup.icount},
                                     {"icache", setup.icache},
                                     {"decoder", setup.decoder},
                                     {"isv", setup.isv},
                                     {"cpu", setup.cpu},
                                     {"backend", setup.backend->name()},
                                     {"ns_per_cycle", ns_per_cycle()},
                                     {"regions", regions}};
  recording->writer_->write(BlockType::kConfiguration, configuration.dump());
  return recording;
}

void Recording::write(Block block) {
  writer_->write(std::move(block));
  if (writer_->failed() && !told_.exchange(true)) {
    message(fmt::format("trapline: --record {}; the guest goes on\n", writer_->error()));
  }
}

void Recording::watch(uint64_t ipa) {
  std::atomic<uint8_t>& slot = filter_[filter_slot(ipa)];
  if (slot.load(std::memory_order_relaxed) == 0) slot.store(1, std::memory_order_relaxed);
  backend_->watch(ipa & ~(kPageSize - 1));
}

void Recording::memory_written(uint64_t ipa, uint64_t size) {
  bool watched = false;
  // A large piece at once: told without a look at each of its pages.
  constexpr uint64_t kFewPages = 64;
  if (size / kPageSize > kFewPages) watched = true;
  for (uint64_t page = ipa & ~(kPageSize - 1); !watched && page < ipa + size; page += kPageSize) {
    watched = filter_[filter_slot(page)].load(std::memory_order_relaxed) != 0;
  }
  if (!watched) return;
  for (const auto& vcpu : vcpus_) vcpu->memory_written(ipa, size);
}

void Recording::map_changed() {
  for (const auto& vcpu : vcpus_) vcpu->map_changed();
}

void Recording::put_names(const std::string& names) { writer_->write(BlockType::kNames, names); }

std::string Recording::finish(const std::string& names) {
  for (const auto& vcpu : vcpus_) vcpu->flush();
  writer_->write(BlockType::kNames, names);
  return writer_->finish();
}

}  // namespace trapline::trace
