// Stage 1 and the instruction at a PC, read through the caller's callbacks.
#include "vmm/embed/cpu.h"
#include "vmm/memory/walk_inl.h"

namespace trapline::embed {
namespace {

const void* lent(tl_vcpu& vcpu, uint64_t ipa) {
  return vcpu.ops.ram == nullptr ? nullptr : vcpu.ops.ram(vcpu.arg, ipa, TL_READ);
}

[[gnu::noinline]] bool read_descriptor(tl_vcpu& vcpu, uint64_t ipa, uint64_t& descriptor) {
  const auto* host = static_cast<const uint64_t*>(lent(vcpu, ipa));
  if (host != nullptr) {
    descriptor = __atomic_load_n(host, __ATOMIC_RELAXED);
  } else if (vcpu.ops.read_memory == nullptr ||
             vcpu.ops.read_memory(vcpu.arg, ipa, &descriptor, sizeof descriptor) != 0) {
    return false;
  }
  icache::Source& source = vcpu.source;
  if (vcpu.keep_source && source.loads < icache::Source::kMaxLoads) {
    source.desc_host[source.loads] = host;
    source.desc_ipa[source.loads] = ipa;
    source.desc[source.loads++] = descriptor;
  }
  return true;
}

}  // namespace

void walk(tl_vcpu& vcpu, uint64_t va, Direction dir, bool is_fetch, bool as_el0) {
  const WalkFor purpose = is_fetch ? WalkFor::kFetch : walk_for(dir);
  Stage1Walk& walk = vcpu.walk;
  walk = {};
  walk_stage1_into<HostWalkFeatures>(walk, vcpu.translation, va, purpose, as_el0,
                                     [&vcpu](uint64_t ipa, uint64_t& descriptor) {
                                       return read_descriptor(vcpu, ipa, descriptor);
                                     });
  Walked& out = vcpu.walked;
  out = {TL_FAULT, {}};
  switch (walk.status) {
    case Stage1Walk::Status::kOk:
      out.result = TL_DONE;
      out.to.ipa = walk.ipa;
      out.to.device = walk.device ? 1 : 0;
      return;
    case Stage1Walk::Status::kFault:
      out.to.fsc = walk.fsc;
      return;
    case Stage1Walk::Status::kTableFault:
      // What is no memory answers a walk with an external abort.
      out.to.fsc = fsc_at(kFscExternalOnWalk, walk.level);
      out.to.ipa = walk.table_ipa;
      return;
  }
}

tl_result fetch(tl_vcpu& vcpu, uint64_t pc, uint32_t& word) {
  if ((pc & 3) != 0) return TL_RETRY;
  icache::Source& source = vcpu.source;
  source.loads = 0;
  source.word_host = nullptr;
  Walked& walked = vcpu.walked;
  if (vcpu.ops.translate != nullptr) {
    walked = {};
    walked.result =
        vcpu.ops.translate(vcpu.arg, vcpu.cpu, pc & ~uint64_t{0xfff}, TL_FETCH, 0, &walked.to);
    walked.to.ipa |= pc & 0xfff;
  } else {
    vcpu.keep_source = true;
    walk(vcpu, pc, Direction::kRead, true, as_el0(*vcpu.cpu));
    vcpu.keep_source = false;
  }
  if (walked.result != TL_DONE) return TL_RETRY;
  source.ipa = walked.to.ipa;
  const auto* host = static_cast<const uint32_t*>(lent(vcpu, source.ipa));
  if (host != nullptr) {
    word = __atomic_load_n(host, __ATOMIC_RELAXED);
  } else if (vcpu.ops.read_memory == nullptr ||
             vcpu.ops.read_memory(vcpu.arg, source.ipa, &word, sizeof word) != 0) {
    return TL_RETRY;
  }
  source.word_host = host;
  source.word = word;
  return TL_DONE;
}

}  // namespace trapline::embed
