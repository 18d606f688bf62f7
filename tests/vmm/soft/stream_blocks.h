// Random blocks of instructions whose memory accesses all fall into the block's own memory.
#ifndef TRAPLINE_TESTS_VMM_SOFT_STREAM_BLOCKS_H_
#define TRAPLINE_TESTS_VMM_SOFT_STREAM_BLOCKS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "tests/vmm/soft/stream_classes.h"

namespace trapline::soft::stream {

inline constexpr unsigned kMemoryBytes = 704;  // at TPIDR_EL0, 64-byte aligned

struct Block {
  uint64_t address = 0;
  std::vector<uint32_t> words;
};

class Generator {
 public:
  // Literals are read from `code_begin` on.
  Generator(Random& random, uint64_t code_begin, CpuModel model)
      : random_(random), code_begin_(code_begin), model_(model), drawn(classes().size()) {}
  // A block of `draws` random instructions and what they need around them.
  Block block(uint64_t address, unsigned draws);

 private:
  // Offset from TPIDR_EL0 that a register is known to hold; SP is 31.
  using Known = std::optional<int64_t>;
  static constexpr unsigned kNone = 63;
  struct Pending {
    size_t at;  // of a branch, or of the ADR before an indirect one
    unsigned units;
  };

  uint64_t here() const { return block_.address + 4 * block_.words.size(); }
  void emit(uint32_t word) { block_.words.push_back(word); }
  void forget_all();
  void forget(unsigned reg) { known_[reg].reset(); }
  bool avoided(unsigned reg) const { return reg == avoid_; }
  const Class& pick(Kind kind);
  uint32_t draw(const Class& c);

  void unit();
  void data(Kind kind);
  void system();
  void memory();
  void common_run();
  void crypto_run();
  bool drawable(const Class& c) const;
  void loop();
  void branch();
  void land(bool all);
  bool try_memory(uint32_t word, bool may_set_up);
  void literal(uint32_t word);
  void exclusive_pair(const Class& c);
  void set_base(unsigned reg, int64_t offset, unsigned temporary);
  void add_offset(unsigned d, unsigned n, int64_t offset);
  void after_access(const Access& access);
  unsigned other_register(uint32_t busy);

  Random& random_;
  uint64_t code_begin_;
  CpuModel model_;
  Block block_;
  Known known_[32];
  std::vector<Pending> pending_;
  unsigned avoid_ = kNone;  // a loop's counter

 public:
  std::vector<uint64_t> drawn;  // by class
};

}  // namespace trapline::soft::stream

#endif  // TRAPLINE_TESTS_VMM_SOFT_STREAM_BLOCKS_H_
