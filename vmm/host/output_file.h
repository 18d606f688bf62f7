// Files that the user asked for: each appears whole or not at all, whatever ends the program or
// fills the disk meanwhile.
#ifndef TRAPLINE_VMM_HOST_OUTPUT_FILE_H_
#define TRAPLINE_VMM_HOST_OUTPUT_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace trapline {

// A new file beside the one that it will replace, gone again unless it does.
class FileAside {
 public:
  enum class Mode : uint8_t {
    kAsReplaced,  // of the file that it replaces; else of any new file
    kPrivate,     // 0600
  };
  FileAside() = default;
  FileAside(const FileAside&) = delete;
  FileAside& operator=(const FileAside&) = delete;
  ~FileAside();

  // One line that names the path, empty on success; so the next.
  std::string make(const std::string& path, Mode mode);
  // Makes it durable, and renames it over `path`.
  std::string put_in_place();
  int fd() const { return fd_; }

 private:
  std::string failed(const char* what) const;
  int fd_ = -1;
  std::string path_, target_, name_;
};

// What stands at `path` is written as it is, not replaced: a pipe, a device, a descriptor's name.
bool written_in_place(const std::string& path);
// Opens that for writing: -1 and errno.
int open_in_place(const std::string& path);
// All of it; false: see errno.
bool write_all(int fd, std::string_view content);

// Empty if write_output(path, ...) can be expected to work; else one line that names the path.
// Leaves what is there as it is.
std::string check_output(const std::string& path);

// Writes a file beside `path`, makes it durable and renames it over `path`. What is no regular file
// (a pipe, /dev/stdout) is written as it is. One line that names the path, empty on success: then
// and only then is the old content gone.
std::string write_output(const std::string& path, std::string_view content);

}  // namespace trapline

#endif  // TRAPLINE_VMM_HOST_OUTPUT_FILE_H_
