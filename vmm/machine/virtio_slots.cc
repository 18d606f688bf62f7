#include "vmm/machine/virtio_slots.h"

#include <fmt/format.h>

#include <charconv>

#include "devices/ahci/registers.h"

namespace trapline {

namespace {

// Takes `,KEY=VALUE` out of `text`; `value`: VALUE, if it was there. False: it is there twice.
bool take_word(std::string& text, std::string_view key, std::optional<std::string>& value) {
  // A comma that is written twice belongs to a file's name.
  const auto find = [&text, key] {
    size_t at = text.find(key);
    while (at != std::string::npos) {
      size_t commas = 1;
      while (commas <= at && text[at - commas] == ',') ++commas;
      if (commas % 2 == 1) break;
      at = text.find(key, at + 1);
    }
    return at;
  };
  const size_t at = find();
  if (at == std::string::npos) return true;
  const size_t begin = at + key.size(), end = std::min(text.find(',', begin), text.size());
  value = text.substr(begin, end - begin);
  text.erase(at, end - at);
  return find() == std::string::npos;
}

struct BusKind {
  std::string_view word;
  VirtioBus bus;
  unsigned first, end;  // slots
};
constexpr BusKind kBuses[kVirtioBuses] = {
    {"mmio", VirtioBus::kMmio, 0, platform::kVirtioSlots},
    {"pci", VirtioBus::kPci, 1, platform::kPcieDevices},  // device 0 is the bridge
    {"scsi", VirtioBus::kScsi, 0, 32},
    {"scsi-pci", VirtioBus::kScsiPci, 0, 32},
    {"ahci", VirtioBus::kAhci, 0, ahci::kPorts},
};
static_assert(kBuses[static_cast<unsigned>(VirtioBus::kAhci)].bus == VirtioBus::kAhci);

const BusKind& kind_of(VirtioBus bus) { return kBuses[static_cast<unsigned>(bus)]; }

}  // namespace

std::string_view word_of(VirtioBus bus) { return kind_of(bus).word; }

Result<VirtioPlace> take_place(std::string& text, bool disk) {
  VirtioPlace place;
  std::optional<std::string> bus, digits;
  if (!take_word(text, ",bus=", bus)) return Error{"bus= is given twice"};
  if (!take_word(text, ",slot=", digits)) return Error{"slot= is given twice"};
  if (bus.has_value()) {
    std::string all;
    const BusKind* found = nullptr;
    for (const BusKind& kind : kBuses) {
      if (has_disks_only(kind.bus) && !disk) continue;
      all += fmt::format("{}{}", all.empty() ? "" : "|", kind.word);
      if (kind.word == *bus) found = &kind;
    }
    if (found == nullptr) return Error{fmt::format("bus={}: give bus={}", *bus, all)};
    place.bus = found->bus;
  }
  if (!digits.has_value()) return place;
  unsigned slot = 0;
  const char* const stop = digits->data() + digits->size();
  const auto [read, error] = std::from_chars(digits->data(), stop, slot);
  const BusKind& kind = kind_of(place.bus);
  if (error != std::errc() || read != stop || slot >= kind.end || slot < kind.first) {
    return Error{
        fmt::format("slot={}: give a slot from {} to {}", *digits, kind.first, kind.end - 1)};
  }
  place.slot = slot;
  return place;
}

Result<std::vector<VirtioSlots::Device>> VirtioSlots::read(const std::string& option,
                                                           const std::vector<std::string>& values) {
  std::vector<Device> devices;
  for (const std::string& value : values) {
    Device device{value, {}};
    auto place = take_place(device.text, option == "--disk");
    if (!place) return Error{fmt::format("{} {}: {}", option, value, place.error())};
    device.place = *place;
    if (device.place.slot.has_value()) {
      std::string& owner = owners(device.place.bus)[*device.place.slot];
      const std::string name = fmt::format("{} {}", option, value);
      if (!owner.empty()) {
        return Error{fmt::format("{}: slot {} is taken by {}", name, *device.place.slot, owner)};
      }
      owner = name;
    }
    devices.push_back(std::move(device));
  }
  return devices;
}

std::optional<unsigned> VirtioSlots::take(const VirtioPlace& wanted) {
  std::array<std::string, kSlots>& owner = owners(wanted.bus);
  std::optional<unsigned> slot = wanted.slot;
  const BusKind& kind = kind_of(wanted.bus);
  for (unsigned i = kind.first; i < kind.end && !slot.has_value(); ++i) {
    const unsigned n = wanted.bus == VirtioBus::kMmio ? kind.end - 1 - i : i;
    if (owner[n].empty()) slot = n;
  }
  if (!slot.has_value()) return slot;
  if (owner[*slot].empty()) owner[*slot] = "a device without slot=";
  if (wanted.bus == VirtioBus::kMmio) order_.push_back(*slot);
  return slot;
}

}  // namespace trapline
