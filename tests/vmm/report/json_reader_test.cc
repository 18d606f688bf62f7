#include "vmm/report/json_reader.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/vmm/report/sample.h"
#include "vmm/report/json_writer.h"

namespace trapline {
namespace {

using nlohmann::json;

std::string error_of(const std::string& text) {
  Result<Profile> profile = read_profile_json(text, "F");
  return profile ? "" : profile.error();
}

json sample_document() { return json::parse(write_json(sample_profile())); }

// What is written is read again, whole.
TEST(ProfileJson, RoundTrip) {
  const Profile before = sample_profile();
  Result<Profile> read = read_profile_json(write_json(before), "F");
  ASSERT_TRUE(read) << read.error();
  const Profile& after = *read;
  EXPECT_EQ(after.file, "F");
  EXPECT_EQ(after.source, before.source);
  EXPECT_EQ(after.exits(), before.exits());
  ASSERT_EQ(after.rows.size(), before.rows.size());
  for (size_t i = 0; i < before.rows.size(); ++i) {
    const ProfileRow &a = before.rows[i], &b = after.rows[i];
    EXPECT_EQ(b.vcpu, a.vcpu);
    EXPECT_EQ(b.pc, a.pc);
    EXPECT_TRUE(b.key == a.key);
    EXPECT_EQ(b.isv, a.isv);
    EXPECT_EQ(b.other, a.other);
    EXPECT_EQ(b.to_user, a.to_user);
    EXPECT_DOUBLE_EQ(b.time.quantile_ns(0.99), a.time.quantile_ns(0.99));
    EXPECT_EQ(b.time.buckets.size(), a.time.buckets.size());
    EXPECT_EQ(b.stages_ns, a.stages_ns);
    EXPECT_EQ(b.text, a.text);
    EXPECT_EQ(b.symbol, a.symbol);
  }
  EXPECT_EQ(after.series.at(0).counts, before.series.at(0).counts);
  EXPECT_EQ(after.stacks.at(0).frames, before.stacks.at(0).frames);
  EXPECT_EQ(after.latencies.at("irq_to_iar").count, before.latencies.at("irq_to_iar").count);
  EXPECT_EQ(after.icache, before.icache);
  EXPECT_EQ(after.notes, before.notes);
  ASSERT_EQ(after.nested.size(), 2u);
  EXPECT_EQ(after.nested[1].traps_nv, 190u);
  EXPECT_EQ(after.nested[1].traps.at(1).name, "SPSR_EL2");
  // And once more gives the same text.
  EXPECT_EQ(write_json(after), write_json(before));
}

TEST(ProfileJson, LedgerWithoutProfile) {
  json document = sample_document();
  document.erase("profile");
  Result<Profile> read = read_profile_json(document.dump(), "F");
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->exits(), 0u);
  EXPECT_EQ(read->nested.size(), 2u);
  EXPECT_EQ(read->notes.size(), 1u);
  document["nested_ledger"]["hypercall"]["traps"][0]["nv"] = "x";
  EXPECT_EQ(error_of(document.dump()),
            "F: nested_ledger.hypercall.traps[0].nv: is no whole number");
}

TEST(ProfileJson, OneLineSaysWhatIsWrongAndWhere) {
  const struct {
    const char *text, *expected;
  } kRows[] = {
      {"", "F: not JSON, or cut off: line 1, column 1"},
      {"{\"schema\": 2,\n \"profile\": {", "F: not JSON, or cut off: line 2, column"},
      {"{\"schema\": 2} x", "F: not JSON, or cut off: line 1, column 15"},
      {"[1, 2]", "F: JSON, but no statistics of Trapline's"},
      {"{\"name\": 1}", "F: JSON, but no statistics of Trapline's"},
      {"{\"schema\": 2, \"exits\": {}}", "F: no part 'profile': made without --profile"},
      {"{\"exits\": {}}", "F: no part 'profile': made without --profile"},
      {"{\"schema\": 3, \"profile\": 0}", "F: schema 3 is newer than this program knows (2)"},
      {"{\"schema\": \"2\", \"profile\": {}}", "F: schema: is no whole number"},
      {"{\"schema\": 2, \"profile\": []}", "F: profile: is no object"},
      {"{\"schema\": 2, \"profile\": {}}", "F: profile: no field 'duration_ns'"},
      {"{\"profile\": {}}", "F: no field 'schema'"},
      {"{\"schema\": 2, \"profile\": {\"duration_ns\": 1e999}}", "F: a number that is too large"},
      {"{\"schema\": 2, \"profile\": {\"duration_ns\": -1}}", "F: profile.duration_ns: is no time"},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(error_of(row.text).find(row.expected), 0u) << row.text << "\n" << error_of(row.text);
  }
}

// Each field of the wrong type: its place is named.
TEST(ProfileJson, WrongFields) {
  const struct {
    const char* pointer;
    json value;
    const char* expected;
  } kRows[] = {
      {"/profile/rows", 1, "profile.rows: is no list"},
      {"/profile/rows/0", 1, "profile.rows[0]: is no object"},
      {"/profile/rows/0/vcpu", -1, "profile.rows[0].vcpu: is no whole number"},
      {"/profile/rows/0/vcpu", 70000, "profile.rows[0].vcpu: 70000 is more than 65535"},
      {"/profile/rows/0/pc", 4096, "profile.rows[0].pc: is no text"},
      {"/profile/rows/0/pc", "0x12g", "profile.rows[0].pc: is no address"},
      {"/profile/rows/0/pc", "0x11112222333344445", "profile.rows[0].pc: is no address"},
      {"/profile/rows/0/isv", 2, "profile.rows[0].isv: 2 is more than 1"},
      {"/profile/rows/0/count", 1.5, "profile.rows[0].count: is no whole number"},
      {"/profile/rows/0/word", "0x123456789", "profile.rows[0].word: is no instruction word"},
      {"/profile/rows/0/time_ns/min", 1e9, "profile.rows[0].time_ns: min is more than max"},
      {"/profile/rows/0/time_ns/buckets/0", json::array({1, 2}),
       "profile.rows[0].time_ns.buckets[0]: is no bucket"},
      {"/profile/rows/0/time_ns/buckets/0", json::array({2, 2, 1}),
       "profile.rows[0].time_ns.buckets[0]: is no bucket"},
      {"/profile/rows/0/time_ns/buckets/1", json::array({0, 2, 1}),
       "profile.rows[0].time_ns.buckets[1]: is not in ascending order"},
      {"/profile/rows/0/stages_ns/emulate", "1", "profile.rows[0].stages_ns.emulate: is no number"},
      {"/profile/timeline/series/0/counts/1", -3,
       "profile.timeline.series[0].counts[1]: is no whole number"},
      {"/profile/timeline/slice_ns", 0, "profile.timeline: slice_ns is 0"},
      {"/profile/stacks/0/frames", "f", "profile.stacks[0].frames: is no list"},
      {"/profile/latencies/irq_to_iar/count", nullptr,
       "profile.latencies.irq_to_iar.count: is no whole number"},
      {"/profile/notes/0", 7, "profile.notes[0]: is no text"},
  };
  for (const auto& row : kRows) {
    json document = sample_document();
    document[json::json_pointer(row.pointer)] = row.value;
    const std::string error = error_of(document.dump());
    EXPECT_EQ(error.find(std::string("F: ") + row.expected), 0u) << row.pointer << "\n" << error;
    EXPECT_EQ(error.find('\n'), std::string::npos);
  }
}

TEST(ProfileJson, WhatIsNotKnownIsPassedOver) {
  json document = sample_document();
  document["profile"]["icache"]["policy"] = "recheck";
  document["profile"]["rows"][0]["from_the_future"] = {{"a", 1}};
  document["devices"] = {{"pl011", {{"reads", 1}}}};
  EXPECT_EQ(error_of(document.dump()), "");
}

// Deep nesting ends in an answer, not in a stack that is used up.
TEST(ProfileJson, Deep) {
  const std::string deep(1'000'000, '[');
  EXPECT_NE(error_of(deep).find("not JSON"), std::string::npos);
  EXPECT_NE(error_of("{\"schema\": 2, \"profile\": " + deep), "");
}

}  // namespace
}  // namespace trapline
