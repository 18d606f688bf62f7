#include "vmm/trace/reader.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace trapline::trace {
namespace {

constexpr unsigned kMostCpus = 512;
constexpr size_t kMostRegions = 4096;

// What a configuration says; throws nlohmann's exceptions where it says something else.
Configuration parse(const nlohmann::json& from) {
  Configuration to;
  to.cpus = from.at("cpus").get<unsigned>();
  to.icount = from.at("icount").get<bool>();
  to.icache = from.at("icache").get<std::string>();
  to.decoder = from.at("decoder").get<std::string>();
  to.isv = from.at("isv").get<std::string>();
  to.backend = from.at("backend").get<std::string>();
  to.ns_per_cycle = from.at("ns_per_cycle").get<double>();
  for (const auto& region : from.at("regions")) {
    to.regions.push_back({region.at("base").get<uint64_t>(), region.at("size").get<uint64_t>(),
                          region.at("device_offset").get<uint64_t>(),
                          region.at("device").get<std::string>()});
  }
  return to;
}

}  // namespace

bool looks_like_trace(std::string_view first_bytes) {
  return first_bytes.starts_with(std::string_view(kMagic, sizeof kMagic));
}

Result<Reader> Reader::open(const std::string& path) {
  auto file = BlockReader::open(path);
  if (!file) return Error{file.error()};
  Reader reader;
  reader.file_ = std::move(*file);
  Block block;
  if (reader.file_->next(block) != BlockReader::Status::kBlock) {
    return Error{reader.file_->why().empty() ? path + ": an empty trace" : reader.file_->why()};
  }
  if (block.header.type != BlockType::kConfiguration) {
    return Error{path + ": does not begin with a configuration: not written by Trapline"};
  }
  try {
    const auto json = nlohmann::json::parse(block.data.begin(), block.data.end());
    const auto version = json.at("version").get<uint64_t>();
    if (version < kVersion) {
      return Error{fmt::format("{}: version {} of an older Trapline; this one reads {}", path,
                               version, kVersion)};
    }
    if (version > kVersion) {
      return Error{fmt::format("{}: version {} of a newer Trapline; this one reads {}", path,
                               version, kVersion)};
    }
    reader.configuration_ = parse(json);
  } catch (const nlohmann::json::exception&) {
    return Error{path + ": its configuration cannot be read: not written by Trapline"};
  }
  const Configuration& c = reader.configuration_;
  if (c.cpus == 0 || c.cpus > kMostCpus || c.regions.size() > kMostRegions) {
    return Error{path + ": an impossible configuration: not written by Trapline"};
  }
  return reader;
}

Error Reader::bad(const Block& block, const char* what) const {
  return {fmt::format("{}: vCPU {}, after exit {}: {}: not written by Trapline", file_->path(),
                      block.header.vcpu, streams_[block.header.vcpu].exits, what)};
}

Result<bool> Reader::read_events(const Block& block, Listener& listener) {
  if (block.header.vcpu >= streams_.size()) {
    return Error{fmt::format("{}: a block of vCPU {}, of {}: not written by Trapline",
                             file_->path(), block.header.vcpu, streams_.size())};
  }
  const unsigned vcpu = block.header.vcpu;
  Stream& stream = streams_[vcpu];
  Decoder in(block.data);
  while (!in.at_end()) {
    bool more = true;
    const uint8_t tag = in.byte();
    if (is_exit(tag)) {
      if (!read_event(in, stream.coding, tag, event_)) return bad(block, "an exit cannot be read");
      event_.exit.vcpu = static_cast<uint8_t>(vcpu);
      if (!listener.exit(vcpu, stream.exits++, event_)) return false;
      continue;
    }
    switch (static_cast<Tag>(tag)) {
      case Tag::kContext: {
        const uint64_t number = in.varint();
        const TranslationRegs regs = read_regs(in);
        if (in.ok()) more = listener.context(vcpu, number, regs);
        break;
      }
      case Tag::kSource: {
        SourceData source;
        if (!read_source(in, source)) return bad(block, "a source cannot be read");
        more = listener.source(vcpu, ++stream.sources, source);
        break;
      }
      case Tag::kViewState: {
        const ViewState state = read_view_state(in);
        if (in.ok()) more = listener.view_state(vcpu, state);
        break;
      }
      case Tag::kWritten: {
        const uint64_t ipa = in.varint(), size = in.varint();
        if (in.ok()) more = listener.written(vcpu, ipa, size);
        break;
      }
      case Tag::kMapChanged:
        more = listener.map_changed(vcpu);
        break;
      case Tag::kMaintenance: {
        const auto op = static_cast<SysregId>(in.varint());
        const uint64_t operand = in.varint();
        if (in.ok()) more = listener.maintained(vcpu, op, operand);
        break;
      }
      case Tag::kMaintenanceLost: {
        const uint64_t count = in.varint();
        if (in.ok()) more = listener.maintenance_lost(vcpu, count);
        break;
      }
      case Tag::kSlept: {
        const uint64_t cycles = in.varint();
        if (in.ok()) more = listener.slept(vcpu, cycles);
        break;
      }
      case Tag::kPlace: {
        const uint64_t pc = in.varint();
        const auto word = static_cast<uint32_t>(in.varint());
        if (in.ok()) more = listener.place(vcpu, pc, word);
        break;
      }
      default:
        return bad(block, "an unknown event");
    }
    if (!in.ok()) return bad(block, "an event ends too early");
    if (!more) return false;
  }
  return true;
}

Result<bool> Reader::read(Listener& listener) {
  file_->rewind();
  streams_.assign(configuration_.cpus, {});
  why_.clear();
  Block block;
  for (;;) {
    switch (file_->next(block)) {
      case BlockReader::Status::kEnd:
        return true;
      case BlockReader::Status::kCutOff:
      case BlockReader::Status::kDamaged:
        why_ = file_->why();
        return true;
      case BlockReader::Status::kBlock:
        break;
    }
    if (block.header.type == BlockType::kNames) {
      names_ = nlohmann::json::parse(block.data.begin(), block.data.end(), nullptr, false);
      if (!names_.is_object()) names_ = nullptr;
    }
    if (block.header.type != BlockType::kEvents) continue;
    auto more = read_events(block, listener);
    if (!more || !*more) return more;
  }
}

}  // namespace trapline::trace
