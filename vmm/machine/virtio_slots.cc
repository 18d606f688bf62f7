#include "vmm/machine/virtio_slots.h"

#include <fmt/format.h>

#include <charconv>

namespace trapline {

namespace {

constexpr std::string_view kWord = ",slot=";

// A comma that is written twice belongs to a file's name.
size_t find_slot(const std::string& text) {
  size_t at = text.find(kWord);
  while (at != std::string::npos) {
    size_t commas = 1;
    while (commas <= at && text[at - commas] == ',') ++commas;
    if (commas % 2 == 1) break;
    at = text.find(kWord, at + 1);
  }
  return at;
}

}  // namespace

Result<std::optional<unsigned>> take_slot(std::string& text) {
  const size_t at = find_slot(text);
  if (at == std::string::npos) return std::optional<unsigned>();
  const size_t digits = at + kWord.size(), end = std::min(text.find(',', digits), text.size());
  unsigned slot = 0;
  const char* const stop = text.data() + end;
  const auto [read, error] = std::from_chars(text.data() + digits, stop, slot);
  if (error != std::errc() || read != stop || slot >= platform::kVirtioSlots) {
    return Error{fmt::format("{}: give a slot from 0 to {}", text.substr(at + 1, end - at - 1),
                             platform::kVirtioSlots - 1)};
  }
  text.erase(at, end - at);
  if (find_slot(text) != std::string::npos) return Error{"slot= is given twice"};
  return std::optional<unsigned>(slot);
}

Result<std::vector<VirtioSlots::Device>> VirtioSlots::read(const std::string& option,
                                                           const std::vector<std::string>& values) {
  std::vector<Device> devices;
  for (const std::string& value : values) {
    Device device{value, {}};
    auto slot = take_slot(device.text);
    if (!slot) return Error{fmt::format("{} {}: {}", option, value, slot.error())};
    device.slot = *slot;
    if (device.slot.has_value()) {
      std::string& owner = owner_[*device.slot];
      const std::string name = fmt::format("{} {}", option, value);
      if (!owner.empty()) {
        return Error{fmt::format("{}: slot {} is taken by {}", name, *device.slot, owner)};
      }
      owner = name;
    }
    devices.push_back(std::move(device));
  }
  return devices;
}

std::optional<unsigned> VirtioSlots::take(std::optional<unsigned> wanted) {
  std::optional<unsigned> slot = wanted;
  for (unsigned n = platform::kVirtioSlots; n-- > 0 && !slot.has_value();) {
    if (owner_[n].empty()) slot = n;
  }
  if (!slot.has_value()) return slot;
  if (owner_[*slot].empty()) owner_[*slot] = "a device without slot=";
  order_.push_back(*slot);
  return slot;
}

}  // namespace trapline
