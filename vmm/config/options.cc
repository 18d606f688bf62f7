#include "vmm/config/options.h"

namespace trapline {

std::string alsa_device(const std::string& audio) {
  if (audio == "pipewire") return audio;  // its plugin
  if (audio == "alsa") return "default";
  return audio.starts_with("alsa:") ? audio.substr(5) : std::string();
}

std::string option_of_software_cpu(const Options& options) {
  const struct {
    bool given;
    const char* name;
  } options_of_it[] = {
      {options.icount, "--clock icount"},
      {options.isv_never, "--isv never"},
      {options.cpu_given, "--cpu"},
      {options.max_insns != 0, "--max-insns"},
      {options.icache == CachePolicy::kProtect, "--icache protect"},
      {options.nested_ledger != NestedLedgerChoice::kOff, "--nested-ledger"},
      {options.flash_trapped, "--flash trapped"},
      {options.translate_after.has_value(), "--translate-after"},
      {options.el2.list_registers_given, "--el2=lrs"},
  };
  for (const auto& option : options_of_it) {
    if (option.given) return option.name;
  }
  return {};
}

}  // namespace trapline
