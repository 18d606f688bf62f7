// The exit loop against a scripted vCPU: every way through ExitHandler, and design rule 1.
#include "vmm/exit/exit.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace trapline {
namespace {

constexpr uint64_t kPc = 0x40001000, kDeviceVa = 0xffff'0000'0900'0000, kDeviceIpa = 0x09000000;

class FakeView : public CpuView {
 public:
  Translation translate(uint64_t va, unsigned, Direction, bool) override {
    ++translations;
    Translation t{};
    t.status = Translation::Status::kOk;
    t.ipa = va & 0xffff'ffff;
    return t;
  }
  uint8_t* ram(uint64_t, Direction) override { return nullptr; }
  void ram_written(uint64_t, unsigned) override {}
  int translations = 0;
};

class FakeVcpu : public Vcpu {
 public:
  FakeVcpu() {
    view_.regs = &registers;
    view_.v = vectors;
    view_.monitor = &monitor;
  }
  void run(uint64_t, ExitSink&) override {}
  void step(ExitSink&) override {}
  void set_breakpoints(const uint64_t*, unsigned) override {}
  Fetched fetch(uint64_t pc) override {
    ++fetches;
    Fetched f;
    f.ok = code_mapped;
    f.word = word;
    f.ipa = pc;
    f.word_host = &word;
    return f;
  }
  bool fetch_overtaken() const override { return overtaken; }
  const TranslationRegs& translation_regs() override { return regs; }
  Stage1Walk look_up(uint64_t, WalkFor, bool) override {
    Stage1Walk walk;
    walk.level = 2;
    return walk;
  }
  void set_irq(bool) override {}
  void set_fiq(bool) override {}
  void kick() override {}
  bool wakeup_pending() override { return false; }
  void wait_for_event(uint64_t, bool) override {}
  void reset(uint64_t, uint64_t) override {}
  uint64_t get_register(unsigned i) override { return registers.x[i]; }
  void get_registers(uint64_t mask, uint64_t* out) override {
    for (unsigned i = 0; i < 33; ++i) {
      if ((mask >> i & 1) != 0) *out++ = registers.x[i];
    }
  }
  void set_register(unsigned i, uint64_t value) override { registers.x[i] = value; }
  Vreg get_vector(unsigned i) override { return vectors[i]; }
  void set_vector(unsigned i, Vreg value) override { vectors[i] = value; }
  uint64_t get_sysreg(SysregId) override { return 0; }
  uint64_t retired() const override { return 0; }
  void save(StateWriter&) override {}
  bool load(StateReader&) override { return false; }

  GeneralRegisters registers{};
  Vreg vectors[32]{};
  ExclusiveMonitor monitor;
  FakeView view_;
  TranslationRegs regs;
  uint32_t word = 0;
  bool code_mapped = true, overtaken = false;
  int fetches = 0;
};

class Recorder : public Device {
 public:
  struct Op {
    bool write;
    uint64_t offset;
    unsigned size;
    uint64_t value;
    friend bool operator==(const Op&, const Op&) = default;
  };
  MmioResult read(uint64_t offset, unsigned size, unsigned) override {
    ops.push_back({false, offset, size, 0});
    return {0xa5a5a5a5a5a5a5a5 >> (64 - 8 * size), false};
  }
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned) override {
    ops.push_back({true, offset, size, value});
    return {};
  }
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return "recorder"; }
  std::vector<Op> ops;
};

class ExitTest : public testing::TestWithParam<CachePolicy> {
 protected:
  ExitTest() {
    EXPECT_EQ(bus_.add(kDeviceIpa, 0x1000, &device_), "");
    services_.bus = &bus_;
    services_.gate = &gate_;
    services_.icount = true;
    handler_ = std::make_unique<ExitHandler>(
        vcpu_, services_,
        InstructionSource::Choice{DecoderChoice::kNative, GetParam(), false, nullptr});
  }

  // A translation fault at level 3 on the device page.
  Exit abort(bool wnr, uint64_t offset, uint64_t iss = 0) {
    Exit exit;
    exit.kind = ExitKind::kDataAbort;
    exit.esr = uint64_t{0x24} << 26 | 1u << 25 | iss | unsigned{wnr} << 6 | 0x07;
    exit.far = kDeviceVa + offset;
    exit.ipa = kDeviceIpa + offset;
    exit.valid_mask = Exit::kEsr | Exit::kFar | Exit::kIpa;
    exit.pc = kPc;
    return exit;
  }
  const ExitCounters& counters() { return handler_->counters().counters; }
  void handle(const Exit& exit) {
    vcpu_.view_.pc = exit.pc;
    const Answer answer = handler_->handle(exit, vcpu_.view_);
    EXPECT_TRUE(answer.then_leave) << "under icount";
    answers_.push_back(answer.how);
    if (answer.how == Resume::kFault && handler_->fault.ec != 0) ++external_aborts_;
  }
  uint64_t counted(ExitClass c) { return handler_->counters().exits[static_cast<size_t>(c)]; }

  FakeVcpu vcpu_;
  Recorder device_;
  Bus bus_;
  DeviceGate gate_;
  ExitServices services_;
  std::unique_ptr<ExitHandler> handler_;
  std::vector<Resume> answers_;
  int external_aborts_ = 0;
};

using Answers = std::vector<Resume>;

constexpr uint32_t kStrPost = 0xb8004401;   // str w1, [x0], #4
constexpr uint32_t kLdrPost = 0xb8404401;   // ldr w1, [x0], #4
constexpr uint32_t kStrOther = 0xb8004461;  // str w1, [x3], #4
constexpr uint32_t kLdpW = 0x29400801;      // ldp w1, w2, [x0]
constexpr uint32_t kAdd = 0x8b010000;       // add x0, x0, x1
constexpr uint32_t kSveLoad = 0xa5e0a000;   // ld1d {z0.d}, p0/z, [x0]

TEST_P(ExitTest, Isv1LoadNeedsNoInstruction) {
  vcpu_.registers.x[5] = ~uint64_t{0};
  // 4-byte load to w5
  handle(abort(false, 0x10, 1u << 24 | 2u << 22 | 5u << 16));
  EXPECT_EQ(device_.ops, (std::vector<Recorder::Op>{{false, 0x10, 4, 0}}));
  EXPECT_EQ(vcpu_.registers.x[5], 0xa5a5a5a5u);
  EXPECT_EQ(vcpu_.fetches, 0);
  EXPECT_EQ(vcpu_.view_.translations, 0);
  EXPECT_EQ(answers_, Answers{Resume::kGoOn});
}

TEST_P(ExitTest, Isv0StoreWithWriteBack) {
  vcpu_.word = kStrPost;
  vcpu_.registers.x[0] = kDeviceVa + 8;
  vcpu_.registers.x[1] = 0x1'2345'6789;
  for (int i = 0; i < 3; ++i) handle(abort(true, 8 + 4 * i));
  EXPECT_EQ(vcpu_.registers.x[0], kDeviceVa + 20);
  EXPECT_EQ(device_.ops,
            (std::vector<Recorder::Op>{
                {true, 8, 4, 0x23456789}, {true, 12, 4, 0x23456789}, {true, 16, 4, 0x23456789}}));
  CacheCounters cache = handler_->instructions().cache_counters();
  EXPECT_EQ(cache.hits, GetParam() == CachePolicy::kOff       ? 0u
                        : GetParam() == CachePolicy::kProtect ? 0u  // nothing can be watched here
                                                              : 2u);
  EXPECT_EQ(vcpu_.view_.translations, 0);
}

TEST_P(ExitTest, UnknownIpaIsWalked) {
  vcpu_.word = kStrPost;
  vcpu_.registers.x[0] = kDeviceVa;
  Exit exit = abort(true, 0);
  exit.valid_mask = Exit::kEsr | Exit::kFar;
  exit.ipa = 0xdeadbeef;
  handle(exit);
  EXPECT_EQ(device_.ops.size(), 1u);
  EXPECT_EQ(vcpu_.view_.translations, 1);
}

// Rule 1: never emulate what did not trap.
// The word may be another page's: it is not decoded, nor kept.
TEST_P(ExitTest, AFetchThatATlbiOvertookIsNotUsed) {
  vcpu_.word = kStrPost;
  vcpu_.registers.x[0] = kDeviceVa;
  vcpu_.overtaken = true;
  handle(abort(true, 0));
  EXPECT_EQ(answers_, Answers{Resume::kAgain});
  EXPECT_TRUE(device_.ops.empty());
  vcpu_.overtaken = false;
  handle(abort(true, 0));
  EXPECT_EQ(answers_.back(), Resume::kGoOn);
  EXPECT_EQ(device_.ops.size(), 1u);
}

TEST_P(ExitTest, RewrittenInstructionIsNotEmulated) {
  struct {
    const char* what;
    uint32_t word;
    bool wnr;
    uint64_t offset;
  } const kCases[] = {
      {"trapped as a load, is a store now", kStrPost, false, 0},
      {"trapped as a store, is a load now", kLdrPost, true, 0},
      {"another base", kStrOther, true, 0},
      {"the address computed is not FAR's", kStrPost, true, 0x20},
      {"FAR outside both elements", kLdpW, false, 8},
      {"not a memory instruction", kAdd, true, 0},
      {"not an instruction", 0, true, 0},
  };
  for (const auto& c : kCases) {
    answers_.clear();
    vcpu_.word = c.word;
    vcpu_.registers.x[0] = kDeviceVa;
    vcpu_.registers.x[3] = kDeviceVa + 0x100;
    uint64_t before = counters().disagreements;
    handle(abort(c.wnr, c.offset));
    EXPECT_EQ(answers_, Answers{Resume::kAgain}) << c.what;
    EXPECT_EQ(counters().disagreements, before + 1) << c.what;
    EXPECT_TRUE(device_.ops.empty()) << c.what;
    EXPECT_EQ(vcpu_.registers.x[0], kDeviceVa) << c.what;
    EXPECT_EQ(external_aborts_, 0) << c.what;
  }
}

TEST_P(ExitTest, RewriteAfterAHitIsNotEmulated) {
  vcpu_.registers.x[0] = kDeviceVa;
  vcpu_.word = kStrPost;
  handle(abort(true, 0));
  ASSERT_EQ(device_.ops.size(), 1u);
  // The entry is warm, the instruction that traps now is a load at the same PC.
  vcpu_.registers.x[0] = kDeviceVa;
  vcpu_.word = kLdrPost;
  handle(abort(false, 0));  // a stale hit must end in a retry, never in a store
  if (answers_.back() == Resume::kAgain) handle(abort(false, 0));
  EXPECT_EQ(answers_.back(), Resume::kGoOn);
  ASSERT_EQ(device_.ops.size(), 2u);
  EXPECT_FALSE(device_.ops[1].write);
}

TEST_P(ExitTest, UnmappedCodePageRetriesThenAborts) {
  vcpu_.code_mapped = false;
  vcpu_.registers.x[0] = kDeviceVa;
  for (int i = 0; i < 1000; ++i) handle(abort(true, 0));
  EXPECT_EQ(external_aborts_, 0);
  handle(abort(true, 0));
  EXPECT_EQ(external_aborts_, 1);
  EXPECT_EQ(counters().stuck_aborts, 1u);
  EXPECT_TRUE(device_.ops.empty());
}

TEST_P(ExitTest, ProgressRenewsPatience) {
  vcpu_.registers.x[0] = kDeviceVa;
  for (int i = 0; i < 5000; ++i) {
    vcpu_.code_mapped = i % 900 == 899;  // a break-before-make that ends in time
    vcpu_.word = kLdpW;
    handle(abort(false, 0));
  }
  EXPECT_EQ(external_aborts_, 0);
}

TEST_P(ExitTest, TableWalkAbortIsNeverEmulated) {
  vcpu_.word = kStrPost;
  vcpu_.registers.x[0] = kDeviceVa;
  // S1PTW wins over CM and over a valid syndrome.
  handle(abort(true, 0, 1u << 7));
  handle(abort(true, 0, 1u << 7 | 1u << 8));
  handle(abort(true, 0, 1u << 7 | 1u << 24));
  EXPECT_EQ(external_aborts_, 3);
  EXPECT_TRUE(device_.ops.empty());
}

TEST_P(ExitTest, CacheMaintenanceIsSkipped) {
  handle(abort(true, 0, 1u << 8));
  EXPECT_EQ(answers_, Answers{Resume::kGoOn});
  EXPECT_TRUE(device_.ops.empty());
}

TEST_P(ExitTest, UnsupportedInstructionAborts) {
  vcpu_.word = kSveLoad;
  handle(abort(false, 0));
  EXPECT_EQ(external_aborts_, 1);
  EXPECT_EQ(counters().decode_unsupported, 1u);
}

TEST_P(ExitTest, HoleIsAnExternalAbort) {
  Exit exit = abort(true, 0, 1u << 24 | 2u << 22 | 1u << 16);
  exit.far += 0x5000;
  exit.ipa += 0x5000;
  handle(exit);
  EXPECT_EQ(answers_, Answers{Resume::kFault});
  EXPECT_EQ(handler_->fault.fsc, 0x10);
  EXPECT_TRUE(handler_->fault.write);
  EXPECT_EQ(handler_->fault.far, exit.far);
  EXPECT_EQ(counters().unmapped_accesses, 1u);
}

TEST_P(ExitTest, ExternalAbortsByWhatIsKnown) {
  struct Case {
    const char* name;
    ExitKind kind;
    uint8_t valid;
    uint32_t iss;
    uint64_t far;
    GuestFault expected;
  };
  constexpr uint8_t kFar = Exit::kEsr | Exit::kFar;
  for (const Case& c : {
           Case{"walk",
                ExitKind::kDataAbort,
                kFar,
                iss::kS1ptw | iss::kWnr,
                0x9008,
                {.far = 0x9008, .fsc = 0x16, .write = true}},
           {"walk, no FAR",
            ExitKind::kDataAbort,
            Exit::kEsr,
            iss::kS1ptw,
            0x9008,
            {.far = 0, .fsc = 0x10, .write = false, .iss = iss::kFnv}},
           {"walk of maintenance",
            ExitKind::kDataAbort,
            kFar,
            iss::kS1ptw | iss::kCm | iss::kWnr,
            0x9008,
            {.far = 0x9008, .fsc = 0x16, .write = true, .iss = iss::kCm}},
           {"prefetch",
            ExitKind::kPrefetchAbort,
            kFar,
            0,
            0x9008,
            {.far = 0x9008, .fsc = 0x10, .write = false, .ec = 0x20}},
       }) {
    SCOPED_TRACE(c.name);
    Exit exit = abort(false, 0, c.iss);
    exit.kind = c.kind;
    exit.valid_mask = c.valid;
    exit.far = c.far;
    handle(exit);
    EXPECT_EQ(answers_.back(), Resume::kFault);
    EXPECT_EQ(handler_->fault.far, c.expected.far);
    EXPECT_EQ(handler_->fault.fsc, c.expected.fsc);
    EXPECT_EQ(handler_->fault.write, c.expected.write);
    EXPECT_EQ(handler_->fault.ec, c.expected.ec);
    EXPECT_EQ(handler_->fault.iss, c.expected.iss);
  }
}

// --- other exits ---

struct Registers final : SysregDevice {
  bool sysreg_read(SysregId id, unsigned, uint64_t& value) override {
    value = 0x77;
    return id != 0;
  }
  bool sysreg_write(SysregId id, unsigned, uint64_t value) override {
    written = value;
    return id != 0;
  }
  uint64_t written = 0;
};

TEST_P(ExitTest, SystemRegisters) {
  Registers gic, timer;
  services_.gic = &gic;
  services_.timer = &timer;
  ExitHandler handler(vcpu_, services_, {});
  Exit exit;
  exit.kind = ExitKind::kSysreg;
  exit.sysreg = sysreg_id(3, 0, 12, 12, 0);
  exit.sysreg_rt = 9;
  EXPECT_EQ(handler.handle(exit, vcpu_.view_), (Answer{Resume::kGoOn, true}));
  EXPECT_EQ(vcpu_.registers.x[9], 0x77u);
  exit.sysreg_rt = 31;
  handler.handle(exit, vcpu_.view_);
  EXPECT_EQ(vcpu_.registers.x[kSlotXzr], 0u);
  exit.sysreg = sysreg_id(3, 3, 14, 3, 2);
  exit.sysreg_write = true;
  exit.sysreg_value = 5;
  handler.handle(exit, vcpu_.view_);
  EXPECT_EQ(timer.written, 5u);
  exit.sysreg = 0;
  EXPECT_EQ(handler.handle(exit, vcpu_.view_).how, Resume::kFault);
  EXPECT_EQ(handler.fault.ec, 0);
  EXPECT_EQ(handler.counters().counters.undefined, 1u);
}

struct Power final : PowerControl {
  unsigned cpu_count() const override { return 1; }
  PowerControl::Power power(unsigned) override { return PowerControl::Power::kOn; }
  bool cpu_on(unsigned, uint64_t, uint64_t) override { return false; }
  bool is_guest_memory(uint64_t) const override { return true; }
};

TEST_P(ExitTest, HypervisorCalls) {
  Power power;
  services_.power = &power;
  ExitHandler handler(vcpu_, services_, {});
  struct Case {
    const char* name;
    uint64_t immediate, x0, answer;
    Resume how;
    AfterExit after;
  };
  for (const Case& c :
       {Case{"PSCI_VERSION", 0, 0x8400'0000, 0x1'0001, Resume::kGoOn, AfterExit::kResume},
        {"unknown", 0, 0x1234, ~uint64_t{0}, Resume::kGoOn, AfterExit::kResume},
        {"HVC #1", 1, 0x8400'0008, ~uint64_t{0}, Resume::kGoOn, AfterExit::kResume},
        {"CPU_OFF", 0, 0x8400'0002, 0x8400'0002, Resume::kLeave, AfterExit::kCpuOff},
        {"SYSTEM_RESET", 0, 0x8400'0009, 0x8400'0009, Resume::kLeave, AfterExit::kSystemReset},
        {"SYSTEM_OFF", 0, 0x8400'0008, 0x8400'0008, Resume::kLeave, AfterExit::kSystemOff}}) {
    SCOPED_TRACE(c.name);
    Exit exit;
    exit.kind = ExitKind::kHvc;
    exit.esr = uint64_t{0x16} << 26 | 1u << 25 | c.immediate;
    vcpu_.registers.x[0] = c.x0;
    EXPECT_EQ(handler.handle(exit, vcpu_.view_).how, c.how);
    EXPECT_EQ(vcpu_.registers.x[0], c.answer);
    EXPECT_EQ(handler.after(), c.after);
    EXPECT_EQ(handler.after(), AfterExit::kResume) << "told once";
  }
}

TEST_P(ExitTest, WhatLeaves) {
  for (const auto& [kind, after] : {std::pair{ExitKind::kBudget, AfterExit::kResume},
                                    {ExitKind::kKicked, AfterExit::kKicked},
                                    {ExitKind::kDebug, AfterExit::kDebug},
                                    {ExitKind::kWfi, AfterExit::kWait},
                                    {ExitKind::kWfe, AfterExit::kWaitEvent},
                                    {ExitKind::kCrashed, AfterExit::kCrashed},
                                    {ExitKind::kShutdown, AfterExit::kSystemOff},
                                    {ExitKind::kReset, AfterExit::kSystemReset},
                                    {ExitKind::kFailed, AfterExit::kFailed}}) {
    Exit exit;
    exit.kind = kind;
    exit.pc = kPc;
    EXPECT_EQ(handler_->handle(exit, vcpu_.view_).how, Resume::kLeave);
    EXPECT_EQ(handler_->after(), after);
    if (after != AfterExit::kResume) {
      EXPECT_EQ(handler_->left_by().kind, kind);
      EXPECT_EQ(handler_->left_by().pc, kPc);
    }
  }
}

// --- brief exits ---

// A brief exit does what a whole one does, or nothing.
TEST_P(ExitTest, ASyndromeAloneIsEnough) {
  struct Case {
    const char* name;
    bool wnr;
    uint64_t offset, iss;
    bool performed;
  };
  services_.icount = false;
  ExitHandler handler(vcpu_, services_, {});
  constexpr uint32_t kIsv = 1u << 24, kSse = 1u << 21, kSf = 1u << 15, kAr = 1u << 14;
  for (const Case& c :
       {Case{"word", false, 0x10, kIsv | 2u << 22 | 5u << 16, true},
        {"byte", false, 0x13, kIsv | 5u << 16, true},
        {"halfword to 64 bits", false, 0x12, kIsv | 1u << 22 | kSse | kSf | 5u << 16, true},
        {"halfword to 32 bits", false, 0x12, kIsv | 1u << 22 | kSse | 5u << 16, true},
        {"to XZR", false, 0x10, kIsv | 3u << 22 | kSf | 31u << 16, true},
        {"store", true, 0x18, kIsv | 3u << 22 | kSf | 6u << 16, true},
        {"store of WZR", true, 0x18, kIsv | 2u << 22 | 31u << 16, true},
        {"acquire", false, 0x10, kIsv | 2u << 22 | kAr | 5u << 16, false},
        {"hole", false, 0x2000, kIsv | 2u << 22 | 5u << 16, false}}) {
    SCOPED_TRACE(c.name);
    Exit exit = abort(c.wnr, c.offset, c.iss);
    vcpu_.registers = {};
    vcpu_.registers.x[6] = 0x1122'3344'5566'7788;
    const GeneralRegisters before = vcpu_.registers;
    handle(exit);
    const GeneralRegisters expected = vcpu_.registers;
    const auto ops = std::exchange(device_.ops, {});
    vcpu_.registers = before;
    const auto& exits = handler.counters().exits;
    const uint64_t counted = exits[static_cast<size_t>(ExitClass::kDataAbortIsv1)];
    exit.brief = true;
    EXPECT_EQ(handler.handle(exit, vcpu_.view_),
              Answer{c.performed ? Resume::kGoOn : Resume::kWhole});
    EXPECT_EQ(exits[static_cast<size_t>(ExitClass::kDataAbortIsv1)], counted + c.performed);
    EXPECT_EQ(device_.ops, c.performed ? ops : std::vector<Recorder::Op>{});
    for (unsigned i = 0; i <= kSlotXzr; ++i) {
      EXPECT_EQ(vcpu_.registers.x[i], c.performed ? expected.x[i] : before.x[i]) << "x" << i;
    }
    device_.ops.clear();
  }
}

// --- observers ---

struct Count final : ExitObserver {
  void exited(const ExitRecord& record) override {
    ++exits;
    staged += record.staged;
  }
  unsigned exits = 0, staged = 0;
};

TEST_P(ExitTest, ASampleIsAsLargeAsAskedForAndCountsStayExact) {
  Count sampled, all;
  handler_->sample_every(16);
  handler_->add_observer(&sampled, Attention::kSample);
  Exit hvc;
  hvc.kind = ExitKind::kHvc;
  constexpr unsigned kExits = 16'000;
  for (unsigned i = 0; i < kExits; ++i) handler_->handle(hvc, vcpu_.view_);
  EXPECT_EQ(handler_->counters().exits[static_cast<size_t>(ExitClass::kHvc)], kExits);
  EXPECT_NEAR(sampled.exits, kExits / 16.0, 150);
  EXPECT_EQ(sampled.staged, sampled.exits);

  handler_->add_observer(&all, Attention::kEveryExit);
  const unsigned before = sampled.exits;
  for (unsigned i = 0; i < kExits; ++i) handler_->handle(hvc, vcpu_.view_);
  EXPECT_EQ(all.exits, kExits);
  EXPECT_NEAR(all.staged, kExits / 16.0, 150);
  EXPECT_EQ(sampled.exits - before, all.staged);

  handler_->remove_observer(&all);
  handler_->remove_observer(&sampled);
  for (unsigned i = 0; i < kExits; ++i) handler_->handle(hvc, vcpu_.view_);
  EXPECT_EQ(all.exits, kExits);
}

struct Notes final : ExitObserver {
  void exited(const ExitRecord& record) override {
    records.push_back(record);
    records.back().exit = nullptr;
    records.back().access = nullptr;
    accesses += record.access != nullptr;
  }
  std::vector<ExitRecord> records;
  unsigned accesses = 0;
};

TEST_P(ExitTest, EveryObserverHearsOfEveryExit) {
  Notes one, two;
  handler_->add_observer(&one, Attention::kEveryExit);
  handler_->add_observer(&two, Attention::kEveryExit);
  vcpu_.word = kStrPost;
  vcpu_.registers.x[0] = kDeviceVa + 8;
  vcpu_.registers.x[1] = 0x1234;
  handle(abort(true, 8));
  // Whoever watches wants it whole.
  Exit brief = abort(false, 0x10, 1u << 24 | 2u << 22);
  brief.brief = true;
  EXPECT_EQ(handler_->handle(brief, vcpu_.view_).how, Resume::kWhole);
  Exit wfi;
  wfi.kind = ExitKind::kWfi;
  handler_->handle(wfi, vcpu_.view_);
  Exit kicked;
  kicked.kind = ExitKind::kKicked;  // nothing of the guest's
  handler_->handle(kicked, vcpu_.view_);
  ASSERT_EQ(one.records.size(), 2u);
  EXPECT_EQ(two.records.size(), 2u);
  const ExitRecord& store = one.records[0];
  EXPECT_EQ(store.exit_class, ExitClass::kDataAbortIsv0);
  EXPECT_EQ(store.answer, (Answer{Resume::kGoOn, true}));
  EXPECT_EQ(store.offset, 8u);
  EXPECT_EQ(store.size, 4);
  EXPECT_TRUE(store.write);
  EXPECT_EQ(store.value, 0x1234u);
  EXPECT_NE(store.stages_passed >> static_cast<unsigned>(Stage::kEmulate) & 1, 0);
  EXPECT_EQ(one.accesses, 1u);
  EXPECT_EQ(one.records[1].exit_class, ExitClass::kWfx);
  EXPECT_EQ(one.records[1].answer.how, Resume::kLeave);
  EXPECT_EQ(counted(ExitClass::kDataAbortIsv0), 1u);
}

INSTANTIATE_TEST_SUITE_P(Policies, ExitTest,
                         testing::Values(CachePolicy::kOff, CachePolicy::kRewalk,
                                         CachePolicy::kRecheck, CachePolicy::kProtect));

}  // namespace
}  // namespace trapline
