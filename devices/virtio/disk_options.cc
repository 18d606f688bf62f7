#include "devices/virtio/disk_options.h"

#include "devices/virtio/nbd.h"
#include "devices/virtio/qemu_nbd.h"

namespace trapline::virtio {
namespace {

// One word after the file's name. `set` gets what stands behind `=`, and says whether it is one of
// `values`.
struct Word {
  std::string_view key;
  std::string_view values;  // for people; empty: a word without a value
  bool (*set)(DiskOptions& options, std::string_view value);
};

bool yes_or_no(std::string_view value, bool& out) {
  out = value == "yes";
  return out || value == "no";
}

constexpr Word kWords[] = {
    {"ro", "",
     [](DiskOptions& o, std::string_view) {
       o.image.read_only = true;
       return true;
     }},
    {"cd", "",
     [](DiskOptions& o, std::string_view) {
       o.cd = o.image.read_only = true;
       return true;
     }},
    {"format", "raw|qcow2|vmdk|vpc|vhdx|vdi",
     [](DiskOptions& o, std::string_view value) {
       for (const ImageFormat format : {ImageFormat::kRaw, ImageFormat::kQcow2, ImageFormat::kVmdk,
                                        ImageFormat::kVpc, ImageFormat::kVhdx, ImageFormat::kVdi}) {
         if (value != format_name(format)) continue;
         o.image.format = format;
         // What a server has is a raw disk, whatever keeps it.
         return format == ImageFormat::kRaw || !is_nbd_uri(o.path);
       }
       return false;
     }},
    {"on-server-loss", "wait|error",
     [](DiskOptions& o, std::string_view value) {
       o.image.fail_on_loss = value == "error";
       return is_nbd_uri(o.path) && (value == "error" || value == "wait");
     }},
    {"backing", "yes|no",
     [](DiskOptions& o, std::string_view value) { return yes_or_no(value, o.image.backing); }},
};

std::string spelled(const Word& word) {
  std::string text(word.key);
  if (!word.values.empty()) text.append("=").append(word.values);
  return text;
}

std::string all_words() {
  std::string text;
  for (const Word& word : kWords) text += (text.empty() ? "" : ", ") + spelled(word);
  return text;
}

// The file's name; what follows its comma stays in `text`.
std::string take_path(std::string_view& text) {
  std::string path;
  while (!text.empty()) {
    if (text[0] == ',') {
      if (text.size() == 1 || text[1] != ',') break;
      text.remove_prefix(1);
    }
    path += text[0];
    text.remove_prefix(1);
  }
  return path;
}

std::string set_word(std::string_view item, DiskOptions& options) {
  const size_t equals = item.find('=');
  const std::string_view key = item.substr(0, equals);
  const bool has_value = equals != std::string_view::npos;
  const std::string quoted = "`" + std::string(item) + "`";
  for (const Word& word : kWords) {
    if (word.key != key) continue;
    if (has_value == !word.values.empty() &&
        word.set(options, has_value ? item.substr(equals + 1) : item)) {
      return {};
    }
    return quoted + ": give " + spelled(word);
  }
  // The machine takes those two out before.
  return "unknown option " + quoted + "; there are " + all_words() +
         ", bus=mmio|pci|scsi|scsi-pci|ahci, slot=N (a comma in a file's name is written twice)";
}

}  // namespace

std::string parse_disk(std::string_view text, DiskOptions& options) {
  options = {};
  std::string_view rest = text;
  options.path = take_path(rest);
  if (options.path.empty()) return "--disk: no file is named";
  while (!rest.empty()) {
    rest.remove_prefix(1);  // the comma
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(item.size());
    if (std::string error = set_word(item, options); !error.empty()) {
      return "--disk " + options.path + ": " + error;
    }
  }
  return {};
}

}  // namespace trapline::virtio
