// A file that lives as long as a test.
#ifndef TRAPLINE_TESTS_DEVICES_VIRTIO_TEMP_FILE_H_
#define TRAPLINE_TESTS_DEVICES_VIRTIO_TEMP_FILE_H_

#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace trapline::virtio::test {

class TempFile {
 public:
  explicit TempFile(const std::vector<uint8_t>& bytes) : TempFile() { write(bytes); }
  explicit TempFile(size_t size) : TempFile() {
    if (truncate(path.c_str(), static_cast<off_t>(size)) != 0) abort();
  }
  TempFile() {
    const char* dir = getenv("TMPDIR");
    path = std::string(dir != nullptr ? dir : "/tmp") + "/trapline-test-XXXXXX";
    const int fd = mkstemp(path.data());
    if (fd < 0) abort();
    close(fd);
  }
  ~TempFile() { unlink(path.c_str()); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  void write(const std::vector<uint8_t>& bytes) const {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }
  std::vector<uint8_t> read() const {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string path;
};

}  // namespace trapline::virtio::test

#endif  // TRAPLINE_TESTS_DEVICES_VIRTIO_TEMP_FILE_H_
