#include "vmm/report/perfetto_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <protozero/pbf_writer.hpp>
#include <set>

#include "vmm/report/summary.h"

namespace trapline {
namespace {

using protozero::pbf_writer;

// Field numbers of Perfetto's trace.proto and of what it includes.
namespace trace {
enum : uint32_t { kPacket = 1 };
}
namespace packet {
enum : uint32_t {
  kTimestamp = 8,
  kSequenceId = 10,
  kTrackEvent = 11,
  kInternedData = 12,
  kSequenceFlags = 13,
  kTrackDescriptor = 60
};
constexpr uint32_t kStateCleared = 1, kNeedsState = 2;
}  // namespace packet
namespace descriptor {
enum : uint32_t { kUuid = 1, kName = 2, kProcess = 3, kThread = 4, kParentUuid = 5, kCounter = 8 };
}
namespace process {
enum : uint32_t { kPid = 1, kName = 6 };
}
namespace thread {
enum : uint32_t { kPid = 1, kTid = 2, kName = 5 };
}
namespace counter {
enum : uint32_t { kUnitName = 6 };
}
namespace event {
enum : uint32_t {
  kAnnotation = 4,
  kType = 9,
  kNameId = 10,
  kTrackUuid = 11,
  kDoubleCounterValue = 44
};
constexpr int32_t kSliceBegin = 1, kSliceEnd = 2, kCounter = 4;
}  // namespace event
namespace annotation {
enum : uint32_t { kText = 6, kPointer = 7, kName = 10 };
}
namespace interned {
enum : uint32_t { kEventNames = 2 };
}
namespace event_name {
enum : uint32_t { kId = 1, kName = 2 };
}

class Perfetto {
 public:
  void put(const Profile& profile) {
    ++pid_;
    process_uuid_ = fresh_uuid();
    {
      Packet packet(*this);
      pbf_writer track(packet.out, packet::kTrackDescriptor);
      track.add_uint64(descriptor::kUuid, process_uuid_);
      pbf_writer described(track, descriptor::kProcess);
      described.add_int32(process::kPid, pid_);
      described.add_string(process::kName, profile.file);
    }
    if (profile.events.empty()) {
      put_counters(profile);
    } else {
      put_events(profile);
    }
  }
  std::string take() { return std::move(bytes_); }

 private:
  // One TracePacket. What refers to names says so, or they would be looked up in vain.
  struct Packet {
    explicit Packet(Perfetto& to) : out(to.trace_, trace::kPacket) {
      out.add_uint32(packet::kSequenceId, 1);
      out.add_uint32(packet::kSequenceFlags,
                     to.started_ ? packet::kNeedsState : packet::kStateCleared);
      to.started_ = true;
    }
    pbf_writer out;
  };

  uint64_t fresh_uuid() { return ++uuid_; }

  void put_counters(const Profile& profile) {
    for (const Series& series : profile.series) {
      const uint64_t uuid = fresh_uuid();
      {
        Packet packet(*this);
        pbf_writer track(packet.out, packet::kTrackDescriptor);
        track.add_uint64(descriptor::kUuid, uuid);
        track.add_uint64(descriptor::kParentUuid, process_uuid_);
        track.add_string(descriptor::kName, full_label(series.key));
        pbf_writer described(track, descriptor::kCounter);
        described.add_string(counter::kUnitName, "exits/s");
      }
      for (size_t i = 0; i <= series.counts.size(); ++i) {
        const bool past = i == series.counts.size();
        if (i > 0 && !past && series.counts[i] == series.counts[i - 1]) continue;
        const double count = past ? 0 : static_cast<double>(series.counts[i]);
        Packet packet(*this);
        packet.out.add_uint64(packet::kTimestamp, time(static_cast<double>(i) * profile.slice_ns));
        pbf_writer value(packet.out, packet::kTrackEvent);
        value.add_int32(event::kType, event::kCounter);
        value.add_uint64(event::kTrackUuid, uuid);
        value.add_double(event::kDoubleCounterValue, count / profile.slice_ns * 1e9);
      }
    }
  }

  void put_events(const Profile& profile) {
    std::map<unsigned, uint64_t> tracks;
    for (const ProfileRow& row : profile.rows) {
      if (tracks.contains(row.vcpu)) continue;
      const uint64_t uuid = tracks[row.vcpu] = fresh_uuid();
      Packet packet(*this);
      pbf_writer track(packet.out, packet::kTrackDescriptor);
      track.add_uint64(descriptor::kUuid, uuid);
      track.add_uint64(descriptor::kParentUuid, process_uuid_);
      pbf_writer described(track, descriptor::kThread);
      described.add_int32(thread::kPid, pid_);
      described.add_int32(thread::kTid, pid_ * kMaxThreads + static_cast<int32_t>(row.vcpu));
      described.add_string(thread::kName, fmt::format("vCPU {}", row.vcpu));
    }
    std::vector<uint64_t> names(profile.rows.size());
    for (const ExitEvent& exit : profile.events) {
      const ProfileRow& row = profile.rows[exit.row];
      const uint64_t track = tracks[row.vcpu];
      {
        Packet packet(*this);
        packet.out.add_uint64(packet::kTimestamp, time(exit.start_ns));
        if (names[exit.row] == 0) names[exit.row] = name_id(packet.out, row.key);
        pbf_writer begin(packet.out, packet::kTrackEvent);
        begin.add_int32(event::kType, event::kSliceBegin);
        begin.add_uint64(event::kTrackUuid, track);
        begin.add_uint64(event::kNameId, names[exit.row]);
        put_annotations(begin, exit, row);
      }
      Packet packet(*this);
      packet.out.add_uint64(packet::kTimestamp, time(exit.start_ns + exit.total_ns));
      pbf_writer end(packet.out, packet::kTrackEvent);
      end.add_int32(event::kType, event::kSliceEnd);
      end.add_uint64(event::kTrackUuid, track);
    }
  }

  uint64_t name_id(pbf_writer& to, const ExitKey& key) {
    const std::string name = full_label(key);
    const auto [it, fresh] = names_.try_emplace(name, names_.size() + 1);
    if (fresh) {
      pbf_writer data(to, packet::kInternedData);
      pbf_writer entry(data, interned::kEventNames);
      entry.add_uint64(event_name::kId, it->second);
      entry.add_string(event_name::kName, name);
    }
    return it->second;
  }

  static void put_annotations(pbf_writer& to, const ExitEvent& exit, const ProfileRow& row) {
    const auto pointer = [&](const char* name, uint64_t value) {
      pbf_writer entry(to, event::kAnnotation);
      entry.add_string(annotation::kName, name);
      entry.add_uint64(annotation::kPointer, value);
    };
    const auto text = [&](const char* name, const std::string& value) {
      if (value.empty()) return;
      pbf_writer entry(to, event::kAnnotation);
      entry.add_string(annotation::kName, name);
      entry.add_string(annotation::kText, value);
    };
    if (!row.other) pointer("pc", row.pc);
    text("symbol", row.symbol);
    text("instruction", row.text);
    if (!row.key.reg.empty() || !row.key.device.empty()) {
      pointer(exit.write ? "written" : "read", exit.value);
    }
    if (exit.to_user) text("handled by", "user space");
  }

  static uint64_t time(double ns) { return ns > 0 ? static_cast<uint64_t>(std::min(ns, 9e18)) : 0; }

  static constexpr int32_t kMaxThreads = 100'000;

  std::string bytes_;
  pbf_writer trace_{bytes_};
  bool started_ = false;
  int32_t pid_ = 0;
  uint64_t uuid_ = 0, process_uuid_ = 0;
  std::map<std::string, uint64_t> names_;
};

}  // namespace

std::string write_perfetto(const std::vector<Profile>& profiles) {
  Perfetto perfetto;
  for (const Profile& profile : profiles) perfetto.put(profile);
  return perfetto.take();
}

}  // namespace trapline
