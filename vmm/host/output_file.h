// Files that the user asked for: each appears whole or not at all, whatever ends the program or
// fills the disk meanwhile.
#ifndef TRAPLINE_VMM_HOST_OUTPUT_FILE_H_
#define TRAPLINE_VMM_HOST_OUTPUT_FILE_H_

#include <string>
#include <string_view>

namespace trapline {

// Empty if write_output(path, ...) can be expected to work; else one line that names the path.
// Leaves what is there as it is.
std::string check_output(const std::string& path);

// Writes a file beside `path`, makes it durable and renames it over `path`. What is no regular file
// (a pipe, /dev/stdout) is written as it is. One line that names the path, empty on success: then
// and only then is the old content gone.
std::string write_output(const std::string& path, std::string_view content);

}  // namespace trapline

#endif  // TRAPLINE_VMM_HOST_OUTPUT_FILE_H_
