// GDB's remote serial protocol below its commands (GDB manual, appendix E.1): bytes to packets and
// back. Knows no socket and no machine.
#ifndef TRAPLINE_VMM_DEBUG_GDB_PROTOCOL_H_
#define TRAPLINE_VMM_DEBUG_GDB_PROTOCOL_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace trapline {

// Of a packet's body, as told to the debugger (PacketSize).
inline constexpr size_t kGdbMaxPacket = 16 * 1024;

// Takes the peer's bytes apart. The first byte that does not belong to the protocol ends it: a
// client that talks something else (HTTP, say) must not have its text searched for packets.
class GdbFraming {
 public:
  enum class Kind : uint8_t {
    kMore,       // all was taken; feed() more
    kPacket,     // body
    kInterrupt,  // 0x03
    kNack,       // the last packet is to be sent again
    kCorrupt,    // a packet with a wrong checksum: to be asked for again
    kRefused,    // not the protocol; the connection is to be closed. Stays so. `body` says why
  };
  struct Item {
    Kind kind;
    std::string body;
  };

  void feed(std::string_view bytes);
  Item next();
  // From now on a wrong checksum is refused, since nobody is asked again (QStartNoAckMode).
  void no_acknowledgements() { no_ack_ = true; }

 private:
  Item refuse(std::string why);

  std::string input_;
  size_t at_ = 0;       // of input_: what is not taken yet
  size_t scanned_ = 0;  // of input_: no end of a packet before it
  bool no_ack_ = false;
  std::string refused_;
};

// "$body#checksum".
std::string gdb_frame(std::string_view body);

std::string to_hex(const void* data, size_t size);
// Exactly 2 * size digits at the start of `hex`; false, with `out` undefined, if there are not.
bool from_hex(std::string_view hex, void* out, size_t size);
// The escapes of binary data in a packet ('}', and the byte xor 0x20).
std::string gdb_unescape(std::string_view data);

// Reads a packet's text piece by piece; what does not match is left where it is.
class GdbCursor {
 public:
  explicit GdbCursor(std::string_view text) : text_(text) {}

  bool eat(char c);
  bool eat(std::string_view word);
  bool number(uint64_t& value);  // hexadecimal, up to 64 bits
  bool done() const { return text_.empty(); }
  std::string_view rest() const { return text_; }

 private:
  std::string_view text_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_DEBUG_GDB_PROTOCOL_H_
