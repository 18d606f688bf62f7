#include "vmm/state/machine_config.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "devices/virtio/nbd.h"

namespace trapline::state {
namespace {

std::string absolute(const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  std::error_code error;
  const std::filesystem::path here = std::filesystem::current_path(error);
  return error ? path : (here / path).string();
}

// An option's text that begins with a file's name, in which a comma is written twice.
std::string absolute_text(const std::string& text) {
  if (text.empty() || text[0] == '/' || virtio::is_nbd_uri(text)) return text;
  std::string here;
  for (const char c : absolute("./")) here += c == ',' ? ",," : std::string(1, c);
  return here.substr(0, here.size() - 2) + text;
}

std::string el2_text(const Options::El2& el2) {
  std::string text = el2.vhe ? "" : "novhe,";
  return text + fmt::format("lrs={}", el2.list_registers);
}

}  // namespace

std::string machine_config(const Options& o) {
  nlohmann::ordered_json out;
  const auto file = [&out](const char* name, const std::string& path) {
    if (!path.empty()) out[name] = absolute(path);
  };
  file("kernel", o.kernel);
  file("raw", o.raw);
  file("initrd", o.initrd);
  file("firmware", o.firmware);
  file("vars", o.vars);
  if (!o.append.empty()) out["append"] = o.append;
  for (const Options::BootModule& module : o.modules) {
    std::string text;
    for (const char c : absolute(module.path)) text += c == ',' ? ",," : std::string(1, c);
    if (!module.append.empty()) text += ",append=" + module.append;
    out["module"].push_back(text);
  }
  out["memory"] = std::to_string(o.memory);
  out["cpus"] = o.cpus;
  for (const std::string& disk : o.disks) out["disk"].push_back(absolute_text(disk));
  for (const std::string& net : o.nets) out["net"].push_back(net);
  const auto flag = [&out](const char* name, bool given, bool pci) {
    if (given && pci) {
      out[name] = "bus=pci";
    } else if (given) {
      out[name] = true;
    }
  };
  flag("rng", o.rng, o.rng_pci);
  flag("virtio-console", o.virtio_console, o.virtio_console_pci);
  flag("input", o.input, o.input_pci);
  flag("balloon", o.balloon, o.balloon_pci);
  if (!o.display.empty()) out["display"] = "none";  // who looks at it is another matter
  if (!o.audio.empty()) out["audio"] = "none";      // nor is who hears it
  out["backend"] = o.backend == BackendChoice::kKvm ? "kvm" : "soft";
  if (o.backend != BackendChoice::kKvm) out["cpu"] = name_of(o.cpu);
  out["clock"] = o.icount ? "icount" : "host";
  if (o.virtio_legacy) out["virtio"] = "legacy";
  if (!o.highmem) out["highmem"] = "off";
  if (o.isv_never) out["isv"] = "never";
  if (o.flash_trapped) out["flash"] = "trapped";
  if (o.el2.on) out["el2"] = el2_text(o.el2);
  if (o.kaslr_seed) out["kaslr-seed"] = true;
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace trapline::state
