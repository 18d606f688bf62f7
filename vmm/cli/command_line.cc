#include "vmm/cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/cli/config_words.h"
#include "vmm/cli/display.h"
#include "vmm/cli/serial.h"
#include "vmm/config/platform.h"
#include "vmm/config/size.h"
#include "vmm/control/names.h"
#include "vmm/control/sockets.h"
#include "vmm/soft/soft_vcpu.h"

namespace trapline {
namespace {

// Sanitizers' run-time libraries open files and fork at will.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSandboxByDefault = false;
#else
constexpr bool kSandboxByDefault = true;
#endif

template <typename T>
struct Plain {
  using type = T;
};
template <typename T>
struct Plain<std::optional<T>> {
  using type = T;
};

// A number from `least` to `most`, kept in `target`; `shown` is the default as the help prints it.
template <typename T>
void add_number(CLI::App* app, const std::string& name, T& target, uint64_t least, uint64_t most,
                const std::string& help, const std::string& shown) {
  app->add_option_function<std::string>(
         name,
         [name, &target, least, most](const std::string& text) {
           uint64_t number = 0;
           if (std::string error = parse_number(text, least, most, number); !error.empty()) {
             throw CLI::ValidationError(fmt::format("{} {}: {}", name, text, error));
           }
           target = static_cast<typename Plain<T>::type>(number);
         },
         help)
      ->default_str(shown)
      ->type_name("N");
}

// One of `choices` by name, kept in `target`, whose value now is the default.
template <typename T>
void add_choice(CLI::App* app, const std::string& name, T& target,
                const std::vector<std::pair<std::string, T>>& choices, const std::string& help) {
  const auto now = std::find_if(choices.begin(), choices.end(),
                                [&](const auto& choice) { return choice.second == target; });
  // The last one given is the first to run: a name that is none is refused before it is looked up.
  app->add_option(name, target, help)
      ->transform(CLI::Transformer(choices).description(""))
      ->transform(CLI::IsMember(choices))
      ->default_str(now->first)
      ->type_name("NAME");
}

// The items of --el2, "true" if there are none. What is wrong with them; empty if nothing.
std::string read_el2(std::string_view items, Options::El2& el2) {
  el2.on = true;
  if (items == "true") return {};
  for (bool more = true; more;) {
    const std::string_view item = items.substr(0, items.find(','));
    more = item.size() < items.size();
    items.remove_prefix(item.size() + (more ? 1 : 0));
    if (item == "novhe") {
      el2.vhe = false;
    } else if (item == "lrs=1" || item == "lrs=4" || item == "lrs=8" || item == "lrs=16") {
      el2.list_registers = item == "lrs=16" ? 16 : static_cast<unsigned>(item[4] - '0');
      el2.list_registers_given = true;
    } else {
      return fmt::format("--el2={}: give novhe, lrs=1, lrs=4, lrs=8 or lrs=16", item);
    }
  }
  return {};
}

// The value of a device that is there or not, "true" if it has none. As above.
std::string read_bus(const char* option, std::string_view value, bool& pci) {
  pci = value == "bus=pci";
  if (pci || value == "true" || value == "bus=mmio") return {};
  return fmt::format("{}={}: give bus=mmio or bus=pci", option, value);
}

// F[,append=S] of --module: a comma in F is written twice, S goes to the end. As above.
std::string read_module(const std::string& text, std::vector<Options::BootModule>& modules) {
  Options::BootModule module;
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if (text[at] == ',' && (at + 1 == text.size() || text[++at] != ',')) break;
    module.path += text[at];
  }
  constexpr std::string_view kAppend = "append=";
  if (at < text.size()) {
    const std::string_view rest = std::string_view(text).substr(at);
    if (!rest.starts_with(kAppend)) {
      return fmt::format(
          "--module {}: give append=TEXT after the file's name, not `{}` (a comma in "
          "the name is written twice)",
          text, rest);
    }
    module.append = rest.substr(kAppend.size());
  }
  if (module.path.empty()) return "--module " + text + ": names no file";
  modules.push_back(std::move(module));
  return {};
}

// What is wrong with --module beside the other options.
std::string check_modules(const Options& o) {
  constexpr size_t kMost = 16;
  if (o.modules.empty()) return {};
  if (!o.el2.on) return "--module needs --el2: it is for a hypervisor, whose guest it is";
  if (o.kernel.empty()) return "--module needs --kernel: the hypervisor";
  if (!o.initrd.empty()) return "--module and --initrd: give the initrd as the second --module";
  if (o.modules.size() > kMost) return fmt::format("--module: given more than {} times", kMost);
  return {};
}

// What is wrong with the options as a whole; empty if nothing.
std::string check(const Options& o, const std::string& memory_text) {
  constexpr uint64_t kLeast = uint64_t{1} << 20, kMost = uint64_t{255} << 30;
  int sources = int{!o.kernel.empty()} + int{!o.raw.empty()} + int{!o.firmware.empty()};
  if (sources == 0) return "run needs --kernel, --raw or --firmware";
  if (sources > 1) return "--kernel, --raw and --firmware exclude each other";
  if (o.memory < kLeast || o.memory > kMost || (o.memory & 0xfff) != 0) {
    return "--memory " + memory_text + ": give from 1M to 255G, a multiple of 4K";
  }
  constexpr uint64_t kMostLow = uint64_t{3} << 30;  // RAM begins at 1 GiB
  if (!o.highmem && o.memory > kMostLow) {
    return "--memory " + memory_text + ": with --highmem off no more than 3G";
  }
  constexpr size_t kMaxAppend = 16 * 1024;
  size_t append = o.append.size();
  for (const Options::BootModule& module : o.modules) append += module.append.size();
  if (append > kMaxAppend) return "--append: longer than 16384 characters";
  if (std::string error = check_modules(o); !error.empty()) return error;
  if (!o.initrd.empty() && o.kernel.empty()) return "--initrd needs --kernel";
  if (!o.vars.empty() && o.firmware.empty()) return "--vars needs --firmware";
  if (o.flash_trapped && o.firmware.empty()) return "--flash trapped needs --firmware";
  if (o.profile && o.stats.empty())
    return "--profile needs --stats F: the file that it is written to";
  if (!o.name.empty()) {
    if (std::string error = check_vm_name(o.name); !error.empty()) return "--name: " + error;
  }
  if (!o.metrics.empty()) {
    std::string error = check_metrics_address(o.metrics);
    if (!error.empty()) return "--metrics " + o.metrics + ": " + error;
  }
  if (std::string error = SerialLine::check(o.serial); !error.empty()) {
    return "--serial " + o.serial + ": " + error;
  }
  if (!o.audio.empty() && o.audio != "none" && alsa_device(o.audio).empty() &&
      (!o.audio.starts_with("wav:") || o.audio.size() == 4)) {
    return "--audio " + o.audio + ": give none, wav:FILE, pipewire or alsa[:DEVICE]";
  }
  if (std::string error = check_display(o.display); !error.empty()) {
    return "--display " + o.display + ": " + error;
  }
  if (!o.record.empty() && o.record == o.stats) return "--record and --stats name one file";
  if (o.profile_stacks != 0 && !o.profile) return "--profile-stacks needs --profile";
  return {};
}

bool is_help(std::string_view word) { return word == "--help" || word == "-h"; }

}  // namespace

Result<CommandLine> parse_command_line(int argc, const char* const* argv,
                                       const std::string& machine) {
  auto words = with_config({argv, argv + argc}, machine);
  if (!words) return Error{words.error()};
  CLI::App app{"An arm64 VMM for the exits that hardware does not describe", "trapline"};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(), "Print the version and exit");

  CommandLine line;
  Options& options = line.options;
  std::string memory = "512M", el2, rng, virtio_console, input, balloon;
  std::string config_file;  // which with_config() has read
  std::vector<std::string> modules;
  CLI::App* run_command = app.add_subcommand("run", "Boot a guest");
  run_command->add_option("--kernel", options.kernel, "arm64 Image (also gzip, EFI zboot) or ELF");
  run_command->add_option("--raw", options.raw, "bare binary, entered at RAM + 0x80000");
  run_command->add_option("--initrd", options.initrd, "initial RAM disk");
  run_command->add_option("--firmware", options.firmware, "EDK2 or U-Boot, in flash at address 0");
  run_command->add_option("--vars", options.vars, "file that keeps the second flash bank");
  run_command
      ->add_option(
          "--disk", options.disks,
          "F[,ro][,cd][,format=raw|qcow2|vmdk|vpc|vhdx|vdi][,backing=yes], or an NBD server's "
          "URI[,ro][,on-server-loss=wait|error]; [,bus=mmio|pci|scsi|scsi-pci|ahci][,slot=N]: "
          "disk: virtio-blk, or behind virtio-scsi or AHCI; repeatable")
      ->allow_extra_args(false);
  run_command
      ->add_option(
          "--net", options.nets,
          "user[,hostfwd=tcp::2222-:22][,host-access|,restrict][,flows=512], passt[,the same but "
          "flows] or tap,ifname=NAME; "
          "[,mac=M][,model=virtio|e1000|ne2000][,bus=mmio|pci][,slot=N]: "
          "network")
      ->allow_extra_args(false);
  run_command->add_flag("--rng", rng, "[=bus=mmio|pci]: virtio entropy device");
  run_command->add_flag("--virtio-console", virtio_console,
                        "[=bus=mmio|pci]: virtio console (hvc0) that gets standard input");
  run_command->add_option(
      "--display", options.display,
      "a framebuffer that EDK2 draws into (ramfb), for `ctl NAME screenshot` and "
      "none, or VNC viewers at vnc:unix:PATH or vnc:PORT (loopback: every user "
      "of this host that connects sees and types)");
  run_command->add_option(
      "--audio", options.audio,
      "HD Audio on PCIe, whose output goes to wav:FILE, to pipewire, to alsa[:DEVICE], or none: "
      "nowhere");
  run_command->add_flag("--input", input,
                        "[=bus=mmio|pci]: virtio keyboard and tablet, for VNC viewers");
  run_command->add_flag("--balloon", balloon,
                        "[=bus=mmio|pci]: virtio balloon, which also gives back what is free");
  run_command->add_option("--append", options.append, "kernel command line");
  run_command
      ->add_option("--memory", memory, "RAM: bytes (also 0x...), or with K, M, G, as 512M, 1.5GiB")
      ->type_name("SIZE")
      ->capture_default_str();
  add_number(run_command, "--cpus", options.cpus, 1, platform::kMaxCpus,
             fmt::format("1 to {}", platform::kMaxCpus), std::to_string(options.cpus));
  options.icache = CachePolicy::kRecheck;
  add_choice(
      run_command, "--backend", options.backend,
      {{"auto", BackendChoice::kAuto},
       {"soft", BackendChoice::kSoft},
       {"kvm", BackendChoice::kKvm}},
      "kvm: an arm64 host's processors; soft: the software CPU, on any host; auto: kvm where "
      "that works and no option needs the software CPU");
  add_choice(run_command, "--highmem", options.highmem, {{"on", true}, {"off", false}},
             "off: nothing of PCIe, nor RAM, lies above 4 GiB");
  add_choice(run_command, "--ioeventfd", options.ioeventfd, {{"on", true}, {"off", false}},
             "with KVM: the host's kernel hands notifications of virtio-mmio devices on (disks "
             "excepted); off: each is an exit, to be profiled or recorded");
  add_choice(run_command, "--flash", options.flash_trapped, {{"mapped", false}, {"trapped", true}},
             "trapped: every data read of flash is an exit");
  add_choice(run_command, "--virtio", options.virtio_legacy, {{"modern", false}, {"legacy", true}},
             "legacy: virtio-mmio version 1");
  add_choice(run_command, "--clock", options.icount, {{"host", false}, {"icount", true}},
             "icount: time is instructions, reproducible");
  add_choice(run_command, "--isv", options.isv_never, {{"auto", false}, {"never", true}},
             "never: every data abort needs decoding");
  add_choice(run_command, "--cpu", options.cpu,
             {{"base", CpuModel::kBase}, {"max", CpuModel::kMax}},
             "what the software CPU is: base, Armv8.0 with LSE and CRC32; max, all that it knows");
  run_command->add_flag("--el2", el2,
                        "[=novhe][,lrs=1|4|8|16]: the guest starts at EL2 and may be a hypervisor");
  run_command
      ->add_option(
          "--module", modules,
          "F[,append=TEXT]: with --el2, what Xen finds as multiboot module: first the kernel "
          "of dom0, then its initrd; --append is Xen's own; repeatable")
      ->allow_extra_args(false);
  add_choice(run_command, "--nested-ledger", options.nested_ledger,
             {{"off", NestedLedgerChoice::kOff},
              {"nv", NestedLedgerChoice::kNv},
              {"nv2", NestedLedgerChoice::kNv2},
              {"both", NestedLedgerChoice::kBoth}},
             "with --el2: what the guest's own guests would cost it under FEAT_NV, FEAT_NV2");
  add_choice(run_command, "--decoder", options.decoder,
             {{"native", DecoderChoice::kNative}, {"capstone", DecoderChoice::kCapstone}},
             "on a cache miss");
  add_choice(run_command, "--icache", options.icache,
             {{"off", CachePolicy::kOff},
              {"rewalk", CachePolicy::kRewalk},
              {"recheck", CachePolicy::kRecheck},
              {"protect", CachePolicy::kProtect}},
             "policy of the decoded-instruction cache");
  run_command->add_flag("--icache-check", options.icache_check,
                        "check every cache hit against a fresh walk, fetch and decode");
  add_number(run_command, "--translate-after", options.translate_after, 0, 65535,
             "runs of a block until it is translated to host code; 0: never",
             std::to_string(soft::kTranslateAfter));
  run_command->add_option("--stats", options.stats, "write statistics as JSON");
  add_number(run_command, "--stats-every", options.stats_every, 1, 1'000'000,
             "time one exit in N, chosen at random; 1: each", std::to_string(options.stats_every));
  run_command->add_flag("--profile", options.profile,
                        "attribute every exit to its guest instruction, in the --stats file");
  add_number(run_command, "--profile-stacks", options.profile_stacks, 0, 1'000'000'000,
             "and take the guest's call stack of one exit in N; 0: none", "0");
  run_command->add_option("--record", options.record,
                          "every exit into a trace, for `replay` and `report`");
  run_command
      ->add_option("--symbols", options.symbols,
                   "names for the profile: vmlinux or another ELF, an Image, System.map or "
                   "/proc/kallsyms text; auto: what the kernel carries in its memory; none")
      ->capture_default_str();
  add_number(run_command, "--kaslr-offset", options.kaslr_offset, 0, ~uint64_t{0},
             "how far above the addresses of --symbols F the kernel runs; Linux's is found", "0");
  add_number(run_command, "--max-insns", options.max_insns, 0, ~uint64_t{0},
             "stop after so many: status 124; 0: no limit", "0");
  run_command->add_option("--name", options.name,
                          "a control socket of that name, for trapline list, stat, top and ctl");
  run_command->add_option("--metrics", options.metrics,
                          "unix:PATH or tcp:PORT (loopback): OpenMetrics over HTTP, /metrics");
  run_command
      ->add_option("--serial", options.serial,
                   "where the guest's serial line is: stdio, none (but for `ctl NAME console`), "
                   "unix:PATH, tcp:PORT (loopback), file:PATH")
      ->capture_default_str();
  run_command->add_option("--restore", options.restore,
                          "go on from a machine that `ctl NAME save` wrote, instead of a boot");
  run_command->add_flag("--accept-changed-disks", options.accept_changed_disks,
                        "with --restore: disks may have changed since");
  run_command->add_option("--incoming", options.incoming,
                          "unix:PATH or exec:COMMAND: wait for a machine that `ctl NAME migrate` "
                          "sends there, and go on from it");
  line.sandbox = kSandboxByDefault;
  add_choice(run_command, "--sandbox", line.sandbox, {{"on", true}, {"off", false}},
             "on: from the guest's first instruction on this process can open no file, make no "
             "socket, run no program; off: for debugging");
  run_command->add_option("--config", config_file,
                          "JSON with options by their names; the command line goes before it");
  run_command->add_option("--dump-dtb", options.dump_dtb, "write the device tree and exit");
  run_command->add_flag("--no-reboot", options.no_reboot, "a guest's reset ends the run");
  add_number(run_command, "--gdb", options.gdb_port, 0, 65535,
             "wait for gdb on this TCP port of the loopback interface: every user and process of "
             "this host that connects controls the guest and its memory; 0: no gdb",
             "0");
  run_command->add_flag("--kaslr-seed", options.kaslr_seed, "let the kernel randomise its address");

  CLI::App* decode_command = app.add_subcommand(
      "decode",
      "What instruction words do: hex words, or - for standard input (words apart by blanks,\n"
      "# begins a comment)");
  decode_command->add_option("words", line.words, "32-bit hex words");
  CLI::App* replay_command = app.add_subcommand(
      "replay", "A trace's exits through the exit path again, compared and timed");
  ReplayCommandOptions& replay = line.replay;
  replay_command->add_option("trace", replay.file, "what `run --record F` wrote")->required();
  replay_command->add_option("--decoder", replay.decoder, "native or capstone; else as recorded")
      ->transform(CLI::IsMember({"native", "capstone"}).description(""));
  replay_command
      ->add_option("--icache", replay.icache, "off, rewalk, recheck or protect; else as recorded")
      ->transform(CLI::IsMember({"off", "rewalk", "recheck", "protect"}).description(""));
  add_number(replay_command, "--repeat", replay.repeat, 1, 1'000'000, "times; the best one counts",
             "1");
  replay_command->add_option("--stats", replay.stats, "write statistics as JSON");
  const CLI::App* const report_command = add_report_command(app, line.report);
  add_live_commands(app, line.live);
  app.add_subcommand(
         "wrap",
         "-- PROGRAM ARGS: an unmodified KVM VMM, which loads libtrapline-nisv.so: its guest's\n"
         "accesses that the hardware does not describe (ISV=0) reach its devices")
      ->add_option("program", line.words, "the program and its arguments")
      ->type_name("PROGRAM ARGS");

  const std::string command = words->size() > 1 ? (*words)[1] : "-";
  const auto called = [&command](const CLI::App* sub) { return sub->get_name() == command; };
  if (command[0] != '-' && std::as_const(app).get_subcommands(called).empty()) {
    return Error{fmt::format("unknown command '{}' (see trapline --help)", command)};
  }
  // What is behind it is the program's, whatever it looks like.
  if (command == "wrap" && !(argc > 2 && is_help(argv[2]))) {
    const int first = argc > 2 && std::string_view(argv[2]) == "--" ? 3 : 2;
    if (first >= argc) return Error{"wrap needs a program: trapline wrap -- PROGRAM ARGS"};
    line.words.assign(argv + first, argv + argc);
    line.command = CommandLine::Command::kWrap;
    return line;
  }
  try {
    std::vector<const char*> pointers;
    for (const std::string& word : *words) pointers.push_back(word.c_str());
    app.parse(static_cast<int>(pointers.size()), pointers.data());
  } catch (const CLI::CallForVersion&) {
    line.command = CommandLine::Command::kVersion;
    return line;
  } catch (const CLI::Success&) {  // a call for help
    line.help = app.help();        // of the subcommand if there is one
    return line;
  } catch (const CLI::ParseError& error) {
    return Error{std::string(error.what()) + " (see trapline --help)"};
  }
  if (decode_command->parsed()) {
    line.command = CommandLine::Command::kDecode;
    return line;
  }
  if (line.live.command != LiveOptions::Command::kNone) {
    line.command = CommandLine::Command::kLive;
    if (std::string error = check_live_options(line.live); !error.empty()) return Error{error};
    return line;
  }
  if (replay_command->parsed()) {
    line.command = CommandLine::Command::kReplay;
    return line;
  }
  if (report_command->parsed()) {
    line.command = CommandLine::Command::kReport;
    std::string error = check_report_options(*report_command, line.report);
    if (!error.empty()) return Error{error};
    return line;
  }

  line.command = CommandLine::Command::kRun;
  line.argv = {argv, argv + argc};
  if (!options.restore.empty() && !options.incoming.empty()) {
    return Error{"--restore and --incoming exclude each other"};
  }
  const bool arrives = !options.restore.empty() || !options.incoming.empty();
  if (arrives && !options.dump_dtb.empty()) {
    return Error{"--dump-dtb: a machine that goes on has its device tree in its memory"};
  }
  if (arrives && machine.empty()) return line;
  if (std::string error = parse_size(memory, options.memory); !error.empty()) {
    return Error{fmt::format("--memory {}: {}", memory, error)};
  }
  options.cpu_given = run_command->count("--cpu") != 0;
  const struct {
    const char* option;
    const std::string& value;
    bool &given, &pci;
  } on_a_bus[] = {
      {"--rng", rng, options.rng, options.rng_pci},
      {"--virtio-console", virtio_console, options.virtio_console, options.virtio_console_pci},
      {"--input", input, options.input, options.input_pci},
      {"--balloon", balloon, options.balloon, options.balloon_pci},
  };
  for (const auto& device : on_a_bus) {
    if (run_command->count(device.option) == 0) continue;
    device.given = true;
    std::string error = read_bus(device.option, device.value, device.pci);
    if (!error.empty()) return Error{error};
  }
  if (run_command->count("--el2") != 0) {
    if (std::string error = read_el2(el2, options.el2); !error.empty()) return Error{error};
  }
  for (const std::string& module : modules) {
    if (std::string error = read_module(module, options.modules); !error.empty()) {
      return Error{error};
    }
  }
  if (options.nested_ledger != NestedLedgerChoice::kOff && !options.el2.on) {
    return Error{"--nested-ledger: only a guest with --el2 has guests of its own"};
  }
  if (std::string error = check(options, memory); !error.empty()) return Error{error};
  return line;
}

}  // namespace trapline
