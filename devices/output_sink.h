// Where a serial device's output goes, which may be full: a pipe that nobody reads, a stopped
// terminal.
#ifndef TRAPLINE_DEVICES_OUTPUT_SINK_H_
#define TRAPLINE_DEVICES_OUTPUT_SINK_H_

#include <cstddef>
#include <cstdint>

namespace trapline {

// Thread-safe, and nothing here waits: a device calls it with its own lock held.
class OutputSink {
 public:
  virtual ~OutputSink() = default;
  // Takes the first bytes, as many as there is room for, and returns how many. After less than
  // `size` the device is told once when there is room again (from a thread of the sink's).
  virtual size_t put(const uint8_t* data, size_t size) = 0;
  // Takes all, beyond its bound if need be; then the guest is held until it is below it. For what
  // cannot be refused: a guest that does not look whether the device is ready.
  virtual void force(const uint8_t* data, size_t size) = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_OUTPUT_SINK_H_
