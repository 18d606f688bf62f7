// From a trapped PC of the guest to its instruction, as a VMM outside the kernel does it: the
// registers from KVM, one by one, a walk of the guest's stage 1 in its memory, fetch and decode; or
// our cache.
#ifndef TRAPLINE_TESTS_GUEST_EL2_KVM_INSTRUCTION_H_
#define TRAPLINE_TESTS_GUEST_EL2_KVM_INSTRUCTION_H_

#include <cstdint>

#include "decode/a64_decoder.h"
#include "icache/owned.h"

// One vCPU's register by KVM_GET_ONE_REG; host memory of an IPA, or null.
uint64_t guest_sysreg(unsigned cpu, unsigned op1, unsigned crn, unsigned crm, unsigned op2);
const uint8_t* guest_memory(uint64_t ipa);

class InstructionSource {
 public:
  explicit InstructionSource(bool cached)
      : cached_(cached), cache_(trapline::icache::Policy::kRecheck) {}

  // Null: what is there is no memory instruction, or not in memory.
  const trapline::Access* find(unsigned cpu, uint64_t pc) {
    trapline::icache::Context context;
    context.sctlr = guest_sysreg(cpu, 0, 1, 0, 0);
    context.tcr = guest_sysreg(cpu, 0, 2, 0, 2);
    context.ttbr0 = guest_sysreg(cpu, 0, 2, 0, 0);
    context.ttbr1 = guest_sysreg(cpu, 0, 2, 0, 1);
    uint64_t token = 0;
    if (cached_) {
      cache_->set_context(context);
      if (const auto* entry = cache_->lookup(pc)) return &entry->access;
      token = cache_->begin();
    }
    trapline::icache::Source source;
    if (!walk(context, pc, source)) return nullptr;
    source.word = __atomic_load_n(source.word_host, __ATOMIC_RELAXED);
    if (trapline::decode(source.word, access_) != trapline::DecodeStatus::kAccess) return nullptr;
    if (cached_) cache_->insert(pc, access_, source, token);
    return &access_;
  }

  uint64_t hits() const { return cache_->counters().hits; }

 private:
  // 4 KiB granules, as inner.c has them.
  static bool walk(const trapline::icache::Context& context, uint64_t pc,
                   trapline::icache::Source& source) {
    constexpr uint64_t kAddress = 0x0000'ffff'ffff'f000;
    uint64_t ipa = pc;
    if ((context.sctlr & 1) != 0) {
      const bool upper = (pc >> 55 & 1) != 0;
      const unsigned bits = 64 - (context.tcr >> (upper ? 16 : 0) & 63);
      uint64_t table = (upper ? context.ttbr1 : context.ttbr0) & kAddress;
      unsigned level = 4 - (bits - 12 + 8) / 9;
      for (;; ++level) {
        const unsigned shift = 12 + 9 * (3 - level);
        const unsigned index = pc >> shift & 511;
        const auto* entry = reinterpret_cast<const uint64_t*>(guest_memory(table + 8 * index));
        if (entry == nullptr) return false;
        const uint64_t descriptor = __atomic_load_n(entry, __ATOMIC_RELAXED);
        source.desc_host[source.loads] = entry;
        source.desc_ipa[source.loads] = table + 8 * index;
        source.desc[source.loads++] = descriptor;
        if ((descriptor & 1) == 0) return false;
        if (level == 3 || (descriptor & 2) == 0) {
          const uint64_t inside = (uint64_t{1} << shift) - 1;
          ipa = (descriptor & kAddress & ~inside) | (pc & inside);
          break;
        }
        table = descriptor & kAddress;
      }
    }
    source.ipa = ipa;
    source.word_host = reinterpret_cast<const uint32_t*>(guest_memory(ipa));
    return source.word_host != nullptr;
  }

  bool cached_;
  trapline::icache::OwnedICache cache_;
  trapline::Access access_{};
};

#endif  // TRAPLINE_TESTS_GUEST_EL2_KVM_INSTRUCTION_H_
