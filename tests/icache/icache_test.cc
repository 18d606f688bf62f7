// The cache's contract, case by case. The random comparison with a model: icache_model_test.cc.
#include "icache/icache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "icache/owned.h"

namespace trapline::icache {
namespace {

constexpr uint64_t kUpperPc = 0xffff800008123450;
constexpr uint64_t kLowerPc = 0x0000aaaa00001230;

Access access_of(uint32_t word) {
  Access access{};
  access.op = Op::kLoad;
  access.count = 1;
  access.imm = static_cast<int32_t>(word);
  return access;
}

Context kernel() {
  return {.sctlr = 0x30d0199d,
          .tcr = 0x34b5503510,
          .mair = 0x040044ff,
          .ttbr0 = 0x41000000,
          .ttbr1 = 0x0005000042000001,
          .vmid = 1,
          .el = 1};
}

// One word reached through two descriptors, all changeable under the cache.
struct Code {
  uint32_t word = 0xf8408401;
  uint64_t table[2] = {0x42001003, 0x0060000043000f03};

  Source source() const {
    Source s;
    s.word = word;
    s.loads = 2;
    s.ipa = 0x43000450;
    s.word_host = &word;
    for (unsigned i = 0; i < 2; ++i) {
      s.desc_host[i] = &table[i];
      s.desc[i] = table[i];
      s.desc_ipa[i] = 0x42000000 + 0x1000 * i;
    }
    return s;
  }
};

const Entry* insert(ICache& cache, uint64_t pc, const Code& code) {
  const uint64_t token = cache.begin();
  return cache.insert(pc, access_of(code.word), code.source(), token);
}

TEST(ICache, OffNeverHits) {
  OwnedICache cache(Policy::kOff);
  Code code;
  cache->set_context(kernel());
  EXPECT_EQ(insert(*cache, kUpperPc, code), nullptr);
  EXPECT_EQ(cache->insert_word(code.word, access_of(1)), nullptr);
  EXPECT_EQ(cache->lookup(kUpperPc), nullptr);
}

TEST(ICache, RewalkIsKeyedByTheWord) {
  OwnedICache cache(Policy::kRewalk);
  EXPECT_EQ(cache->lookup_word(7), nullptr);
  ASSERT_NE(cache->insert_word(7, access_of(7)), nullptr);
  ASSERT_NE(cache->lookup_word(7), nullptr);
  EXPECT_EQ(cache->lookup_word(7)->access, access_of(7));
  EXPECT_EQ(cache->lookup_word(8), nullptr);
  EXPECT_EQ(cache->lookup_word(0), nullptr) << "word 0 must not match a free slot";
  const Counters counters = cache->counters();
  EXPECT_EQ(counters.hits, 2u);
  EXPECT_EQ(counters.misses, 3u);
}

// Which change of the registers makes a PC miss.
TEST(ICache, ContextsAreComparedInFull) {
  struct Case {
    const char* name;
    void (*change)(Context&);
    bool upper_hits;
    bool lower_hits;
  };
  const Case cases[] = {
      {"nothing", [](Context&) {}, true, true},
      {"SCTLR", [](Context& c) { c.sctlr ^= 1 << 25; }, false, false},
      {"TCR", [](Context& c) { c.tcr ^= 1; }, false, false},
      {"MAIR", [](Context& c) { c.mair ^= 4; }, false, false},
      {"VMID", [](Context& c) { c.vmid = 2; }, false, false},
      {"EL", [](Context& c) { c.el = 0; }, false, false},
      {"TTBR0 table", [](Context& c) { c.ttbr0 ^= 0x1000; }, true, false},
      {"TTBR0 ASID", [](Context& c) { c.ttbr0 ^= uint64_t{1} << 48; }, true, false},
      {"TTBR0 CnP", [](Context& c) { c.ttbr0 ^= 1; }, true, false},
      {"TTBR1 table", [](Context& c) { c.ttbr1 ^= 0x1000; }, false, true},
      {"TTBR1 ASID", [](Context& c) { c.ttbr1 ^= uint64_t{1} << 48; }, true, true},
      {"TTBR1 CnP", [](Context& c) { c.ttbr1 ^= 1; }, true, true},
      {"TTBR1 bit 47", [](Context& c) { c.ttbr1 ^= uint64_t{1} << 47; }, false, true},
  };
  for (const Policy policy : {Policy::kRecheck, Policy::kProtect}) {
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name);
      OwnedICache cache(policy);
      Code code;
      Context context = kernel();
      cache->set_context(context);
      ASSERT_NE(insert(*cache, kUpperPc, code), nullptr);
      ASSERT_NE(insert(*cache, kLowerPc, code), nullptr);
      c.change(context);
      cache->set_context(context);
      EXPECT_EQ(cache->lookup(kUpperPc) != nullptr, c.upper_hits);
      EXPECT_EQ(cache->lookup(kLowerPc) != nullptr, c.lower_hits);
      // Back again: the old context's entries are found again.
      cache->set_context(kernel());
      EXPECT_NE(cache->lookup(kUpperPc), nullptr);
      EXPECT_NE(cache->lookup(kLowerPc), nullptr);
    }
  }
}

TEST(ICache, EvictedContextsNeverComeBack) {
  OwnedICache cache(Policy::kProtect);
  Code code;
  Context context = kernel();
  cache->set_context(context);
  ASSERT_NE(insert(*cache, kLowerPc, code), nullptr);
  for (uint64_t process = 1; process < 5000; ++process) {
    context.ttbr0 = 0x50000000 + (process << 12);
    cache->set_context(context);
    ASSERT_EQ(cache->lookup(kLowerPc), nullptr) << process;
  }
}

TEST(ICache, RecheckSeesEveryChangedByte) {
  struct Case {
    const char* name;
    void (*change)(Code&);
  };
  const Case cases[] = {
      {"word", [](Code& c) { c.word ^= 1u << 31; }},
      {"root descriptor", [](Code& c) { c.table[0] ^= 0x1000; }},
      {"leaf descriptor", [](Code& c) { c.table[1] ^= uint64_t{1} << 53; }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    OwnedICache cache(Policy::kRecheck);
    Code code;
    cache->set_context(kernel());
    ASSERT_NE(insert(*cache, kUpperPc, code), nullptr);
    ASSERT_NE(cache->lookup(kUpperPc), nullptr);
    const Code before = code;
    c.change(code);
    EXPECT_EQ(cache->lookup(kUpperPc), nullptr);
    EXPECT_EQ(cache->counters().stale, 1u);
    code = before;
    EXPECT_EQ(cache->lookup(kUpperPc), nullptr) << "a stale entry is gone for good";
    EXPECT_EQ(cache->counters().stale, 1u);
  }
}

TEST(ICache, RecheckWithoutHostPointersCachesNothing) {
  OwnedICache cache(Policy::kRecheck);
  Code code;
  cache->set_context(kernel());
  Source source = code.source();
  source.word_host = nullptr;
  EXPECT_EQ(cache->insert(kUpperPc, access_of(1), source, cache->begin()), nullptr);
}

TEST(ICache, ProtectDropsByCodePageAndByTablePage) {
  for (const uint64_t page : {0x43000, 0x42000, 0x42001}) {
    SCOPED_TRACE(page);
    OwnedICache cache(Policy::kProtect);
    Code code;
    cache->set_context(kernel());
    ASSERT_NE(insert(*cache, kUpperPc, code), nullptr);
    EXPECT_EQ(cache->invalidate_page(page + 7), 0u);
    ASSERT_NE(cache->lookup(kUpperPc), nullptr);
    EXPECT_EQ(cache->invalidate_page(page), 1u);
    EXPECT_EQ(cache->lookup(kUpperPc), nullptr);
    EXPECT_EQ(cache->invalidate_page(page), 0u);
    EXPECT_EQ(cache->counters().invalidations, 1u);
  }
}

// A guest's guest: 19 descriptors, each of which must be as it was.
TEST(ICache, ManyDescriptors) {
  uint32_t word = 0xf8408401;
  uint64_t tables[Source::kMaxLoads];
  Source source;
  source.word = word;
  source.ipa = 0x43000450;
  source.word_host = &word;
  source.loads = Source::kMaxLoads;
  for (unsigned i = 0; i < source.loads; ++i) {
    tables[i] = 0x42001003 + 0x1000 * i;
    source.desc_host[i] = &tables[i];
    source.desc[i] = tables[i];
    source.desc_ipa[i] = 0x42000000 + 0x1000 * i;
  }
  const Access access = access_of(word);
  for (const Policy policy : {Policy::kRecheck, Policy::kProtect}) {
    OwnedICache usual(policy);
    usual->set_context(kernel());
    EXPECT_EQ(usual->insert(kUpperPc, access, source, usual->begin()), nullptr) << "no room for it";
    OwnedICache cache(policy, 4, Source::kMaxLoads);
    cache->set_context(kernel());
    for (unsigned i = 0; i < source.loads; ++i) {
      ASSERT_NE(cache->insert(kUpperPc, access, source, cache->begin()), nullptr);
      ASSERT_NE(cache->lookup(kUpperPc), nullptr);
      if (policy == Policy::kProtect) {
        EXPECT_EQ(cache->invalidate_page(source.desc_ipa[i] >> 12), 1u) << i;
        EXPECT_EQ(cache->lookup(kUpperPc), nullptr) << i;
      } else {
        tables[i] ^= 1u << 10;
        EXPECT_EQ(cache->lookup(kUpperPc), nullptr) << i;
        tables[i] ^= 1u << 10;
      }
    }
  }
}

// The hypervisor's stage 2 is part of what an entry is found by.
TEST(ICache, ContextsOfAHypervisorsGuests) {
  OwnedICache cache(Policy::kRecheck, 4, Source::kMaxLoads);
  Code code;
  Context guest = kernel();
  guest.vttbr = 0x44000000;
  guest.vtcr = 0x80023558;
  guest.guest_stage2 = 1;
  cache->set_context(guest);
  ASSERT_NE(insert(*cache, kUpperPc, code), nullptr);
  const struct {
    const char* name;
    void (*change)(Context&);
  } kRows[] = {{"VTTBR", [](Context& c) { c.vttbr ^= 0x1000; }},
               {"VTCR", [](Context& c) { c.vtcr ^= 1; }},
               {"VMID", [](Context& c) { ++c.vmid; }},
               {"no stage 2", [](Context& c) { c.guest_stage2 = 0; }},
               {"regime", [](Context& c) { c.regime = 2; }}};
  for (const auto& row : kRows) {
    Context other = guest;
    row.change(other);
    cache->set_context(other);
    EXPECT_EQ(cache->lookup(kUpperPc), nullptr) << row.name;
    cache->set_context(guest);
    EXPECT_NE(cache->lookup(kUpperPc), nullptr) << row.name;
  }
}

TEST(ICache, InvalidateRangeTakesEachPageThatItTouches) {
  struct Case {
    uint64_t ipa, size;
    bool drops;
  };
  const Case cases[] = {
      {0x43000fff, 1, true},
      {0x42fff000, 0x1000, false},
      {0x42fff000, 0x1001, true},
      {0x43001000, 0x1000, false},
      {0x40000000, 1 << 28, true},
      {0, ~uint64_t{0}, true},
      {0x43000000, ~uint64_t{0}, true},
      {0x43000000, 0, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.ipa);
    OwnedICache cache(Policy::kProtect, 4);
    Code code;
    cache->set_context(kernel());
    ASSERT_NE(insert(*cache, kUpperPc, code), nullptr);
    cache->invalidate_range(c.ipa, c.size);
    EXPECT_EQ(cache->lookup(kUpperPc) == nullptr, c.drops);
  }
}

TEST(ICache, AnInvalidationOvertakesAnInsertInFlight) {
  for (const Policy policy : {Policy::kRecheck, Policy::kProtect}) {
    OwnedICache cache(policy);
    Code code;
    cache->set_context(kernel());
    const uint64_t token = cache->begin();
    const Source source = code.source();
    if (policy == Policy::kProtect) {
      cache->invalidate_page(0x43000);
    } else {
      cache->invalidate_all();
    }
    EXPECT_EQ(cache->insert(kUpperPc, access_of(1), source, token), nullptr);
    EXPECT_EQ(cache->lookup(kUpperPc), nullptr);
    EXPECT_EQ(cache->counters().refused, 1u);
    EXPECT_NE(insert(*cache, kUpperPc, code), nullptr);
  }
}

TEST(ICache, DropForgetsOnePcInOneContext) {
  for (const Policy policy : {Policy::kRecheck, Policy::kProtect}) {
    OwnedICache cache(policy);
    Code code;
    cache->set_context(kernel());
    insert(*cache, kUpperPc, code);
    insert(*cache, kUpperPc + 4, code);
    cache->drop(kUpperPc);
    EXPECT_EQ(cache->lookup(kUpperPc), nullptr);
    EXPECT_NE(cache->lookup(kUpperPc + 4), nullptr);
    EXPECT_EQ(cache->counters().invalidations, 1u);
  }
}

TEST(ICache, InvalidateAllEmptiesTheTable) {
  for (const Policy policy : {Policy::kRewalk, Policy::kRecheck, Policy::kProtect}) {
    OwnedICache cache(policy, 6);
    Code code;
    cache->set_context(kernel());
    for (unsigned i = 0; i < 40; ++i) {
      insert(*cache, kUpperPc + 4 * i, code);
      cache->insert_word(i, access_of(i));
    }
    cache->invalidate_all();
    for (unsigned i = 0; i < 40; ++i) {
      EXPECT_EQ(cache->lookup(kUpperPc + 4 * i), nullptr);
      EXPECT_EQ(cache->lookup_word(i), nullptr);
    }
    const Counters counters = cache->counters();
    EXPECT_EQ(counters.invalidations, counters.inserts - counters.evictions);
  }
}

// One thread rewrites the word and invalidates, as device DMA does; the owner must never see a word
// older than the last one whose invalidation had returned before the lookup began.
TEST(ICache, InvalidationFromAnotherThreadIsCompleteWhenItReturns) {
  OwnedICache cache(Policy::kProtect, 6);
  std::atomic<uint32_t> memory{0};
  std::atomic<uint32_t> published{0};
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (uint32_t version = 1; !stop.load(); ++version) {
      memory.store(version);
      cache->invalidate_page(0x43000);
      published.store(version);
    }
  });
  cache->set_context(kernel());
  uint64_t wrong = 0;
  uint64_t hits = 0;
  // Until the two have met often enough, however the host schedules them.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (unsigned round = 0; round < 2'000'000 || cache->counters().invalidations < 100; ++round) {
    if (round % 1024 == 0 && std::chrono::steady_clock::now() > deadline) {
      break;
    }
    const uint32_t at_least = published.load();
    const Entry* entry = cache->lookup(kUpperPc);
    if (entry != nullptr) {
      ++hits;
      // Serial numbers may wrap, hence the difference.
      wrong += static_cast<int32_t>(entry->word - at_least) < 0;
    } else {
      const uint64_t token = cache->begin();
      Source source;
      source.word = memory.load();
      source.ipa = 0x43000450;
      cache->insert(kUpperPc, access_of(source.word), source, token);
    }
  }
  stop = true;
  writer.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_GE(cache->counters().invalidations, 100u);
  RecordProperty("hits", static_cast<int>(hits));
}

}  // namespace
}  // namespace trapline::icache
