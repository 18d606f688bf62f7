// What a recording of a KVM host comes to, as text:
//   read_trace FILE [--symbols F] [--image F] [--dtb F] [--map F]
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <vector>

#include "vmm/report/ftrace.h"

int main(int argc, char** argv) {
  using namespace trapline;
  HostTraceOptions options;
  std::string file;
  for (int i = 1; i < argc; ++i) {
    std::string* value = nullptr;
    if (std::strcmp(argv[i], "--symbols") == 0) value = &options.symbols;
    if (std::strcmp(argv[i], "--image") == 0) value = &options.image;
    if (std::strcmp(argv[i], "--dtb") == 0) value = &options.dtb;
    if (std::strcmp(argv[i], "--map") == 0) value = &options.map;
    if (value == nullptr) {
      file = argv[i];
    } else if (i + 1 < argc) {
      *value = argv[++i];
    }
  }
  Result<Profile> profile = read_host_trace(file, options);
  if (!profile) {
    std::fprintf(stderr, "%s\n", profile.error().c_str());
    return 1;
  }
  std::map<std::string, uint64_t> classes, devices;
  for (const ProfileRow& row : profile->rows) {
    classes[row.key.exit_class] += row.count;
    devices[row.key.device + " " + row.key.reg] += row.count;
  }
  std::printf("%s: %lu exits in %zu rows, %.3f s\n", profile->source.c_str(), profile->exits(),
              profile->rows.size(), profile->duration_ns / 1e9);
  for (const auto& [name, count] : classes) std::printf("  %s %lu\n", name.c_str(), count);
  for (const auto& [name, count] : devices) {
    if (count * 400 > profile->exits()) std::printf("  %s %lu\n", name.c_str(), count);
  }
  for (const auto& [name, count] : profile->counters)
    std::printf("  %s %lu\n", name.c_str(), count);
  for (const VcpuTime& v : profile->vcpus) {
    std::printf("  vCPU %u: guest %.3f s, exits %.3f s, idle %.3f s\n", v.vcpu, v.guest_ns / 1e9,
                v.exit_ns / 1e9, v.idle_ns / 1e9);
  }
  std::printf("  %zu series of %zu slices of %.0f ns; %zu events\n", profile->series.size(),
              profile->series.empty() ? 0 : profile->series[0].counts.size(), profile->slice_ns,
              profile->events.size());
  std::vector<const ProfileRow*> top;
  for (const ProfileRow& row : profile->rows) top.push_back(&row);
  std::sort(top.begin(), top.end(),
            [](const ProfileRow* a, const ProfileRow* b) { return a->cost_ns() > b->cost_ns(); });
  for (size_t i = 0; i < top.size() && i < 12; ++i) {
    const ProfileRow& r = *top[i];
    std::printf("  %lu x %.0f ns, %u %#lx %s %s %s isv=%d user=%lu %s; %s\n", r.count,
                r.time.mean_ns(), r.vcpu, r.pc, r.key.exit_class.c_str(), r.key.device.c_str(),
                r.key.reg.c_str(), static_cast<int>(r.isv), r.to_user, r.symbol.c_str(),
                r.text.c_str());
  }
  for (const std::string& note : profile->notes) std::printf("  note: %s\n", note.c_str());
  return 0;
}
