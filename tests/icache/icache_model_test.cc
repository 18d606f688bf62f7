// A guest in miniature rewrites code, page tables and registers at random; each hit is compared
// with a fresh walk and fetch, and what must hit is checked to hit.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <tuple>

#include "icache/icache.h"
#include "icache/owned.h"

namespace trapline::icache {
namespace {

// Guest memory: pages of words, two of them holding tables. A "walk" reads a root and a leaf; the
// leaf names the page of the code.
class MiniGuest {
 public:
  static constexpr unsigned kCodePages = 8;
  static constexpr unsigned kTables = 4;   // root tables, a page each
  static constexpr unsigned kLeaves = 16;  // leaf tables, a page each
  static constexpr unsigned kPcs = 24;     // PCs per half

  Source walk(const Context& context, uint64_t pc) const {
    const bool upper = (pc >> 55 & 1) != 0;
    const uint64_t ttbr = upper ? context.ttbr1 : context.ttbr0;
    Source s;
    s.loads = 2;
    const unsigned root = (ttbr >> 12) % kTables;
    const unsigned index = pc >> 2 & 7;
    step(s, 0, &roots_[root][index], page_of_root(root));
    const unsigned leaf = s.desc[0] % kLeaves;
    step(s, 1, &leaves_[leaf][index], page_of_leaf(leaf));
    const unsigned code = s.desc[1] % kCodePages;
    s.word_host = &code_[code][pc >> 2 & 31];
    s.word = *s.word_host;
    s.ipa = (page_of_code(code) << 12) + (pc & 0x7c);
    return s;
  }

  // Writes something somewhere; returns the page.
  uint64_t write(std::mt19937_64& rng) {
    const unsigned index = rng() % 8;
    switch (rng() % 4) {
      case 0: {
        const unsigned root = rng() % kTables;
        roots_[root][index] = rng() % 64;
        return page_of_root(root);
      }
      case 1: {
        const unsigned leaf = rng() % kLeaves;
        leaves_[leaf][index] = rng() % 64;
        return page_of_leaf(leaf);
      }
      default: {
        const unsigned code = rng() % kCodePages;
        code_[code][rng() % 32] = static_cast<uint32_t>(rng() % 1000);
        return page_of_code(code);
      }
    }
  }

 private:
  static uint64_t page_of_root(unsigned i) { return 0x100 + i; }
  static uint64_t page_of_leaf(unsigned i) { return 0x200 + i; }
  static uint64_t page_of_code(unsigned i) { return 0x300 + i; }
  static void step(Source& s, unsigned level, const uint64_t* at, uint64_t page) {
    s.desc_host[level] = at;
    s.desc[level] = *at;
    s.desc_ipa[level] = page << 12;
  }

  uint64_t roots_[kTables][8] = {};
  uint64_t leaves_[kLeaves][8] = {};
  uint32_t code_[kCodePages][32] = {};
};

Access decode(uint32_t word) {
  Access access{};
  access.op = Op::kStore;
  access.imm = static_cast<int32_t>(word * 3 + 1);
  return access;
}

// What the context of a PC is, by the design's words, spelled differently from the code under test.
using Key = std::tuple<uint64_t, uint64_t, uint64_t, uint64_t, unsigned, unsigned, uint64_t>;
Key key_of(const Context& c, uint64_t pc) {
  const bool upper = (pc >> 55 & 1) != 0;
  uint64_t ttbr = c.ttbr0;
  if (upper) {
    ttbr = (c.ttbr1 << 16 >> 17) << 1;
  }
  return {c.sctlr, c.tcr, c.mair, ttbr, c.vmid, c.el, pc};
}

class Model : public testing::TestWithParam<std::tuple<Policy, unsigned>> {};

TEST_P(Model, EveryHitEqualsAFreshWalk) {
  const auto [policy, entries_log2] = GetParam();
  std::mt19937_64 rng(20240 + entries_log2);
  MiniGuest guest;
  OwnedICache cache(policy, entries_log2);
  Context context{};
  cache->set_context(context);

  std::map<Key, Source> inserted;  // what may hit; the last insert of each key
  uint64_t last_insert_pc = 0;
  bool fresh = false;  // nothing happened since the last insert: it must hit
  uint64_t hits = 0;
  for (unsigned step = 0; step < 400'000; ++step) {
    const uint64_t dice = rng() % 100;
    const bool upper = rng() % 2 != 0;
    const uint64_t pc = (upper ? 0xffff800000000000 : 0) + 4 * (rng() % MiniGuest::kPcs);
    if (dice < 6) {
      const uint64_t page = guest.write(rng);
      if (policy == Policy::kProtect) {
        cache->invalidate_page(page);
      }
      fresh = false;
    } else if (dice < 14) {
      switch (rng() % 6) {
        case 0:
          context.ttbr0 = (rng() % 4) << 12 | (rng() % 2) << 48 | rng() % 2;
          break;
        case 1:
          context.ttbr1 = (rng() % 4) << 12 | (rng() % 4) << 48 | rng() % 2;
          break;
        case 2:
          context.el = rng() % 2;
          break;
        case 3:
          context.sctlr = rng() % 2;
          break;
        case 4:
          context.vmid = rng() % 2;
          break;
        case 5:
          context.tcr = rng() % 2;
          break;
      }
      cache->set_context(context);
      fresh = false;
    } else if (dice < 15) {
      cache->drop(pc);
      inserted.erase(key_of(context, pc));
      fresh = false;
    } else if (dice == 15 && rng() % 50 == 0) {
      cache->invalidate_all();
      inserted.clear();
      fresh = false;
    } else {
      const uint64_t at = fresh && rng() % 4 == 0 ? last_insert_pc : pc;
      const Source now = guest.walk(context, at);
      if (policy == Policy::kRewalk) {
        const Entry* entry = cache->lookup_word(now.word);
        if (entry == nullptr) {
          entry = cache->insert_word(now.word, decode(now.word));
        } else {
          ++hits;
        }
        ASSERT_NE(entry, nullptr);
        ASSERT_EQ(entry->access, decode(now.word));
        continue;
      }
      const Entry* entry = cache->lookup(at);
      if (entry != nullptr) {
        ++hits;
        ASSERT_TRUE(inserted.contains(key_of(context, at))) << "a hit on what was never inserted";
        ASSERT_EQ(entry->word, now.word) << "step " << step;
        ASSERT_EQ(entry->access, decode(now.word));
      } else {
        ASSERT_FALSE(fresh && at == last_insert_pc) << "step " << step;
        const uint64_t token = cache->begin();
        ASSERT_NE(cache->insert(at, decode(now.word), now, token), nullptr);
        inserted[key_of(context, at)] = now;
        last_insert_pc = at;
        fresh = true;
      }
    }
  }
  const Counters counters = cache->counters();
  EXPECT_EQ(counters.hits, hits);
  EXPECT_GT(hits, 10'000u);
  // Tiny tables evict before much can grow stale.
  const uint64_t enough = entries_log2 >= 8 ? 1'000 : 10;
  if (policy == Policy::kRecheck) {
    EXPECT_GT(counters.stale, enough);
  }
  if (policy == Policy::kProtect) {
    EXPECT_GT(counters.invalidations, enough);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, Model,
                         testing::Combine(testing::Values(Policy::kRewalk, Policy::kRecheck,
                                                          Policy::kProtect),
                                          testing::Values(1u, 4u, 8u, 13u)));

}  // namespace
}  // namespace trapline::icache
