// `trapline wrap`: finds the drop-in (vmm/nisv) and the program, and says beforehand where the
// dynamic loader would say nothing: a statically linked program is run without what is preloaded.
#include "vmm/cli/wrap.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>

#include "vmm/cli/run.h"

namespace trapline {
namespace {

constexpr const char* kLibrary = "libtrapline-nisv.so";
#ifdef __aarch64__
constexpr uint16_t kMachine = EM_AARCH64;
#else
constexpr uint16_t kMachine = EM_X86_64;
#endif

std::string find_library() {
  if (const char* given = std::getenv("TRAPLINE_NISV_LIBRARY")) return given;
  char self[4096];
  const ssize_t n = readlink("/proc/self/exe", self, sizeof self);
  if (n <= 0) return {};
  const std::string path(self, static_cast<size_t>(n));
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  for (const char* place : {TRAPLINE_LIBRARIES_FROM_PROGRAM, "../lib/", ""}) {
    std::string candidate = folder + place + kLibrary;
    if (access(candidate.c_str(), R_OK) == 0) return candidate;
  }
  return {};
}

// As execvp(3) looks for it; empty if there is none.
std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return access(name.c_str(), F_OK) == 0 ? name : "";
  const char* path = std::getenv("PATH");
  std::string_view left = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
  for (;;) {
    const size_t colon = left.find(':');
    std::string folder(left.substr(0, colon));
    if (folder.empty()) folder = ".";
    std::string candidate = fmt::format("{}/{}", folder, name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
    if (colon == std::string_view::npos) return {};
    left.remove_prefix(colon + 1);
  }
}

// Why nothing can be preloaded into it; empty if it can.
std::string why_not_elf(const std::string& path, std::ifstream& file, const Elf64_Ehdr& header) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != kMachine) {
    return fmt::format("{}: is a program for another kind of processor", path);
  }
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    file.clear();
    file.seekg(static_cast<std::streamoff>(header.e_phoff + i * sizeof segment));
    if (!file.read(reinterpret_cast<char*>(&segment), sizeof segment)) break;
    if (segment.p_type != PT_INTERP) continue;
    char loader[64] = {};
    file.seekg(static_cast<std::streamoff>(segment.p_offset));
    file.read(loader, sizeof loader - 1);
    if (std::strstr(loader, "ld-musl") == nullptr) return {};
    return fmt::format("{}: is linked with musl; the drop-in needs glibc", path);
  }
  return fmt::format("{}: is statically linked: nothing can be preloaded into it", path);
}

std::string why_not(const std::string& path, unsigned depth = 0) {
  constexpr unsigned kMostScripts = 4;
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return fmt::format("{}: {}", path, std::strerror(errno));
  const bool as_owner = (status.st_mode & S_ISUID) != 0 && status.st_uid != geteuid();
  const bool as_group = (status.st_mode & S_ISGID) != 0 && status.st_gid != getegid();
  if (as_owner || as_group) {
    return fmt::format("{}: is set-user-ID: the loader preloads nothing into it", path);
  }
  std::ifstream file(path, std::ios::binary);
  Elf64_Ehdr header{};
  file.read(reinterpret_cast<char*>(&header), sizeof header);
  const auto got = static_cast<size_t>(file.gcount());
  if (got == sizeof header && std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0) {
    return why_not_elf(path, file, header);
  }
  const auto* text = reinterpret_cast<const char*>(&header);
  if (got > 2 && text[0] == '#' && text[1] == '!' && depth < kMostScripts) {
    file.clear();
    file.seekg(2);
    std::string interpreter;
    file >> interpreter;
    return why_not(interpreter, depth + 1);
  }
  return fmt::format("{}: is neither a program nor a script", path);
}

}  // namespace

int wrap_command(const std::vector<std::string>& words) {
  const std::string& name = words.front();
  const std::string program = find_program(name);
  if (program.empty()) return fail(fmt::format("wrap: {}: no such program", name));
  if (const std::string why = why_not(program); !why.empty()) return fail("wrap: " + why);
  std::string library = find_library();
  if (library.empty()) {
    return fail(fmt::format(
        "wrap: {} is not installed beside this program (TRAPLINE_NISV_LIBRARY names it)",
        kLibrary));
  }
  if (access(library.c_str(), R_OK) != 0) {
    return fail(fmt::format("wrap: {}: {}", library, std::strerror(errno)));
  }
  if (library.find_first_of(": ") != std::string::npos) {
    return fail(fmt::format("wrap: {}: LD_PRELOAD takes no name with a blank or a colon", library));
  }
  const char* others = std::getenv("LD_PRELOAD");
  if (others != nullptr && *others != 0) library += std::string(":") + others;
  setenv("LD_PRELOAD", library.c_str(), 1);
  for (const int number : {SIGPIPE, SIGXFSZ}) std::signal(number, SIG_DFL);
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execv(program.c_str(), arguments.data());
  return fail(fmt::format("wrap: {}: {}", program, std::strerror(errno)));
}

}  // namespace trapline
