#include "devices/virtio/scsi.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

#include "devices/virtio/blk_engine.h"
#include "devices/virtio/disk.h"
#include "devices/virtio/scsi_wire.h"

namespace trapline::virtio {
namespace {

using namespace scsi_wire;
using scsi::LogicalUnit;
using scsi::Outcome;
using scsi::Sense;

constexpr uint16_t kQueueSize = 256;
constexpr uint16_t kControlQueueSize = 64;
constexpr unsigned kMaxQueues = 8;
constexpr unsigned kMaxTargets = 256;
constexpr unsigned kBudgetAtNotify = 16;  // requests that a vCPU's thread looks at
constexpr uint32_t kMaxSectors = 65535;   // of a request, for drivers that do not know better
constexpr uint32_t kMaxSenseSize = 252, kMaxCdbSize = 260;  // SPC-4, 4.5.1 and 4.2.3
constexpr size_t kPatternBytes = 64 * 1024;  // of WRITE SAME, written again and again

struct Request : BlkRequest {
  unsigned queue = 0;
  Chain chain;
  unsigned target = 0;
  uint64_t id = 0;        // the driver's
  uint64_t awaited = 0;   // a bit for each entry of Scsi::tmfs_ that waits for its end
  uint64_t data_at = 0;   // of the writable part: what a read fills
  uint32_t residual = 0;  // bytes of the driver's buffers that are left over
  bool under_way = false;
  std::vector<uint8_t> pattern;
};

// A task management function that is answered when the requests it concerns have ended. What a disk
// has begun is not taken back: it ends as it would have, and the driver is told so first.
struct Tmf {
  Chain chain;
  unsigned awaits = 0;  // requests
};

struct Target {
  Target(scsi::Drive&& spec, const std::string& name)
      : disk(std::move(spec.image), name), unit(disk.image(), spec.type, name) {}
  Disk disk;
  LogicalUnit unit;
};

class Scsi final : public Function, private Disk::Controller {
 public:
  Scsi(std::vector<scsi::Drive> drives, const std::string& name, unsigned queues)
      : queues_(std::clamp(queues, 1u, kMaxQueues)) {
    for (scsi::Drive& spec : drives) {
      const unsigned number = spec.number;
      targets_[number] =
          std::make_unique<Target>(std::move(spec), name + "-" + std::to_string(number));
      last_ = std::max(last_, number);
    }
    // All requests there can be, so that a host that runs out of memory later still has them.
    pool_.resize(BlkEngine::kMaxInFlight);
    free_.reserve(pool_.size());
    for (Request& request : pool_) free_.push_back(&request);
  }

  uint32_t device_id() const override { return 8; }
  uint32_t pci_class() const override { return 0x010000; }  // mass storage, SCSI
  uint64_t features() const override { return 0; }
  unsigned queue_count() const override { return kFirstRequestQueue + queues_; }
  uint16_t queue_max(unsigned index) const override {
    return index == kControlQueue ? kControlQueueSize : kQueueSize;
  }
  unsigned config_bytes() const override { return sizeof(Config); }
  void config_read(unsigned offset, void* out, unsigned size) const override;
  void config_write(unsigned offset, const void* data, unsigned size) override;
  void reset() override;
  bool process(unsigned queue) override { return process_some(queue, kQueueSize); }
  // A request is decoded in less than a thread takes to wake, and the disk's thread does the rest.
  bool process_at_notify(unsigned queue) override { return !process_some(queue, kBudgetAtNotify); }
  bool finishes_at_notify() const override { return true; }
  void begin(int kick_fd) override;
  bool idle() const override { return in_flight_ == 0; }
  void wait(int kick_fd, bool block, bool running) override;
  void counters(CounterVisitor visit, void* context) const override {
    std::vector<const Disk*> disks;
    for (const auto& target : targets_) {
      if (target != nullptr) disks.push_back(&target->disk);
    }
    Disk::sum_counters(disks, visit, context);
  }
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;

 private:
  enum class Taken : uint8_t { kDone, kEmpty, kBroken };

  bool process_some(unsigned queue, unsigned budget);
  Taken take(unsigned index);
  Taken take_request(unsigned index, Request& r);
  Taken take_control(Queue& queue);
  bool execute(Request& r, uint64_t out_bytes, uint64_t in_bytes);
  bool begin_io(Request& r, const Outcome& outcome, uint64_t out_bytes, uint64_t in_bytes);
  uint8_t begin_tmf(const TmfRequest& request, unsigned slot);
  Target* target_of(const uint8_t* lun, unsigned& number, unsigned& unit) const;
  void finished(const std::vector<BlkRequest*>& requests) override;
  void complete(Request& r);
  void answer(Request& r, uint8_t response, const Sense& sense, uint64_t residual,
              uint64_t data_bytes = 0);
  void answer_tmf(unsigned slot, uint8_t response);

  std::array<std::unique_ptr<Target>, kMaxTargets> targets_;
  unsigned last_ = 0;  // the highest number
  const unsigned queues_;
  std::atomic<uint32_t> sense_size_{kDefaultSenseSize}, cdb_size_{kDefaultCdbSize};

  // Of who holds Host::work_mutex().
  std::vector<Request> pool_;
  std::vector<Request*> free_;
  std::array<Tmf, kControlQueueSize> tmfs_;
  uint64_t tmfs_used_ = 0;  // a bit each
  uint64_t stalled_ = 0;    // queues left with chains because too many are in flight
  std::atomic<unsigned> in_flight_{0};
};

uint64_t bit(unsigned n) { return uint64_t{1} << n; }

// --- configuration -------------------------------------------------------------------------------

void Scsi::config_read(unsigned offset, void* out, unsigned size) const {
  Config config = {};
  config.num_queues = queues_;
  config.seg_max = kQueueSize - 2;  // besides the headers
  config.max_sectors = kMaxSectors;
  config.cmd_per_lun = BlkEngine::kMaxInFlight;
  config.event_info_size = 16;  // struct virtio_scsi_event
  config.sense_size = sense_size_;
  config.cdb_size = cdb_size_;
  config.max_target = static_cast<uint16_t>(last_);
  std::memcpy(out, reinterpret_cast<const uint8_t*>(&config) + offset, size);
}

void Scsi::config_write(unsigned offset, const void* data, unsigned size) {
  Config config;
  config_read(0, &config, sizeof config);
  std::memcpy(reinterpret_cast<uint8_t*>(&config) + offset, data, size);
  if (config.sense_size <= kMaxSenseSize) sense_size_ = config.sense_size;
  if (config.cdb_size > 0 && config.cdb_size <= kMaxCdbSize) cdb_size_ = config.cdb_size;
}

// --- request queues ------------------------------------------------------------------------------

// True: there is more, and room for it.
bool Scsi::process_some(unsigned index, unsigned budget) {
  // Nothing happens to disks that an event would tell of: the driver's buffers stay where they are.
  if (index == kEventQueue) return false;
  Queue& queue = host_->queue(index);
  for (; budget > 0; --budget) {
    if (free_.empty() && index != kControlQueue) {
      stalled_ |= bit(index);
      host_->publish(index);
      return false;
    }
    const Taken taken = take(index);
    if (taken == Taken::kEmpty && queue.enable_notifications()) continue;
    if (taken != Taken::kDone) break;
  }
  host_->publish(index);
  return queue.has_available();
}

Scsi::Taken Scsi::take(unsigned index) {
  Queue& queue = host_->queue(index);
  Taken taken = Taken::kBroken;
  try {
    if (index == kControlQueue) {
      taken = take_control(queue);
    } else {
      Request* r = free_.back();
      free_.pop_back();
      taken = take_request(index, *r);
      if (taken != Taken::kDone) free_.push_back(r);
    }
  } catch (const std::bad_alloc&) {
    // The chain stays the driver's, which is told that the device is broken.
    queue.refuse("the host is out of memory");
    taken = Taken::kBroken;
  }
  if (taken == Taken::kBroken) host_->fail(queue.error());
  return taken;
}

Scsi::Taken Scsi::take_request(unsigned index, Request& r) {
  Queue& queue = host_->queue(index);
  const Queue::Pop popped = queue.pop(r.chain);
  if (popped != Queue::Pop::kChain) {
    return popped == Queue::Pop::kEmpty ? Taken::kEmpty : Taken::kBroken;
  }
  const uint64_t request = sizeof(RequestHeader) + cdb_size_;
  const uint64_t response = sizeof(ResponseHeader) + sense_size_;
  if (r.chain.readable_bytes < request || r.chain.writable_bytes < response) {
    queue.refuse("SCSI request without room for command and response");
    return Taken::kBroken;
  }
  r.queue = index;
  r.awaited = 0;
  r.data_at = response;
  r.iov.clear();
  if (!execute(r, r.chain.readable_bytes - request, r.chain.writable_bytes - response))
    return Taken::kDone;
  ++in_flight_;
  r.under_way = true;
  if (targets_[r.target]->disk.submit(r, in_flight_ == 1)) {
    --in_flight_;
    complete(r);
  }
  return Taken::kDone;
}

// 5.6.6.1, single level structure: 1, the target, and a unit by peripheral or flat addressing.
Target* Scsi::target_of(const uint8_t* lun, unsigned& number, unsigned& unit) const {
  number = lun[1];
  unit = (lun[2] & 0x3fu) << 8 | lun[3];
  return lun[0] == 1 && lun[2] < 0x80 ? targets_[number].get() : nullptr;
}

// False: the request is answered.
bool Scsi::execute(Request& r, uint64_t out_bytes, uint64_t in_bytes) {
  RequestHeader header;
  scsi::Cdb cdb{};
  r.chain.read(0, &header, sizeof header);
  r.chain.read(sizeof header, cdb.data(), std::min<size_t>(cdb.size(), cdb_size_));
  r.id = header.id;
  unsigned lun = 0;
  Target* target = target_of(header.lun, r.target, lun);
  const uint64_t all = out_bytes + in_bytes;
  if (target == nullptr || (out_bytes > 0 && in_bytes > 0)) {
    // Both ways at once was not negotiated.
    answer(r, target == nullptr ? kBadTarget : kFailure, {}, all);
    return false;
  }
  Outcome outcome;
  if (lun != 0) {
    scsi::execute_absent(cdb, outcome);
  } else {
    uint8_t parameters[LogicalUnit::kMaxParameterBytes];
    const size_t wanted = std::min<uint64_t>(target->unit.parameter_bytes(cdb), out_bytes);
    r.chain.read(sizeof header + cdb_size_, parameters, wanted);
    target->unit.execute(cdb, {parameters, wanted}, outcome);
    if (outcome.kind == Outcome::Kind::kIo && outcome.repeated) {
      r.pattern.resize(std::min<uint64_t>(outcome.bytes, kPatternBytes));
      for (size_t i = 0; i < r.pattern.size(); i += wanted) {
        std::memcpy(&r.pattern[i], parameters, wanted);
      }
    }
  }
  switch (outcome.kind) {
    case Outcome::Kind::kIo:
      return begin_io(r, outcome, out_bytes, in_bytes);
    case Outcome::Kind::kRefused:
      answer(r, kOk, outcome.sense, all);
      return false;
    default:
      if (outcome.size > in_bytes) {
        answer(r, kOverrun, {}, all);
        return false;
      }
      r.chain.write(host_->dma(), r.data_at, outcome.data.data(), outcome.size);
      answer(r, kOk, {}, all - outcome.size, outcome.size);
      return false;
  }
}

bool Scsi::begin_io(Request& r, const Outcome& outcome, uint64_t out_bytes, uint64_t in_bytes) {
  r.op = outcome.op;
  r.durable = outcome.durable;
  r.may_unmap = outcome.may_unmap;
  r.offset = outcome.offset;
  r.bytes = outcome.bytes;
  const bool read = r.op == BlkOp::kRead, write = r.op == BlkOp::kWrite;
  const uint64_t moved = write && outcome.repeated ? LogicalUnit::kDiskBlock : r.bytes;
  if ((read && moved > in_bytes) || (write && moved > out_bytes)) {
    answer(r, kOverrun, {}, out_bytes + in_bytes);
    return false;
  }
  r.residual = static_cast<uint32_t>(read ? in_bytes - moved : write ? out_bytes - moved : 0);
  if (read) {
    append_iov(r.chain.writable, r.data_at, r.bytes, r.iov);
  } else if (write && outcome.repeated) {
    for (uint64_t left = r.bytes; left > 0; left -= r.iov.back().iov_len) {
      r.iov.push_back({r.pattern.data(), std::min<uint64_t>(left, r.pattern.size())});
    }
  } else if (write) {
    append_iov(r.chain.readable, sizeof(RequestHeader) + cdb_size_, r.bytes, r.iov);
  }
  if (write && !keeps_format(targets_[r.target]->disk.image(), r, host_->report())) {
    answer(r, kOk, scsi::kWriteError, out_bytes);
    return false;
  }
  return true;
}

void Scsi::complete(Request& r) {
  r.under_way = false;
  const int failed = targets_[r.target]->disk.result(r, host_->report());
  const uint64_t read = r.op == BlkOp::kRead && failed == 0 ? r.bytes : 0;
  r.chain.done(host_->dma(), r.data_at + read);
  answer(r, kOk, failed == 0 ? Sense{} : LogicalUnit::failure(r.op), r.residual, read);
  for (uint64_t waiting = r.awaited; waiting != 0; waiting &= waiting - 1) {
    const auto slot = static_cast<unsigned>(std::countr_zero(waiting));
    if (--tmfs_[slot].awaits == 0) answer_tmf(slot, kOk);
  }
}

void Scsi::answer(Request& r, uint8_t response, const Sense& sense, uint64_t residual,
                  uint64_t data_bytes) {
  ResponseHeader header = {};
  header.residual = static_cast<uint32_t>(std::min<uint64_t>(residual, ~uint32_t{0}));
  header.response = response;
  if (sense.key != 0) {
    const auto fixed = scsi::fixed_format(sense);
    header.status = scsi::kCheckCondition;
    header.sense_len = std::min<uint32_t>(fixed.size(), sense_size_);
    r.chain.write(host_->dma(), sizeof header, fixed.data(), header.sense_len);
  }
  r.chain.write(host_->dma(), 0, &header, sizeof header);
  host_->queue(r.queue).push(r.chain.head, static_cast<uint32_t>(r.data_at + data_bytes));
  free_.push_back(&r);
}

// On a disk's thread.
void Scsi::finished(const std::vector<BlkRequest*>& requests) {
  std::lock_guard lock(host_->work_mutex());
  uint64_t touched = 0;
  for (BlkRequest* finished : requests) {
    auto& r = static_cast<Request&>(*finished);
    touched |= bit(r.queue) | (r.awaited != 0 ? bit(kControlQueue) : 0);
    complete(r);
    --in_flight_;
  }
  const uint64_t stalled = std::exchange(stalled_, 0);
  for (unsigned i = 0; i < queue_count(); ++i) {
    if ((touched & bit(i)) != 0) host_->publish(i);
    if ((stalled & bit(i)) != 0) host_->kick(i);
  }
}

// --- control queue, 5.6.6.2 ----------------------------------------------------------------------

Scsi::Taken Scsi::take_control(Queue& queue) {
  // There is a free one: the queue holds no more chains.
  const auto slot = static_cast<unsigned>(std::countr_one(tmfs_used_));
  if (slot >= tmfs_.size()) return Taken::kEmpty;
  Tmf& tmf = tmfs_[slot];
  const Queue::Pop popped = queue.pop(tmf.chain);
  if (popped != Queue::Pop::kChain) {
    return popped == Queue::Pop::kEmpty ? Taken::kEmpty : Taken::kBroken;
  }
  uint32_t type = ~uint32_t{0};
  tmf.chain.read(0, &type, sizeof type);
  if (type == kTmf && tmf.chain.readable_bytes >= sizeof(TmfRequest) &&
      tmf.chain.writable_bytes >= 1) {
    TmfRequest request;
    tmf.chain.read(0, &request, sizeof request);
    tmfs_used_ |= bit(slot);
    tmf.awaits = 0;
    const uint8_t response = begin_tmf(request, slot);
    if (tmf.awaits == 0) answer_tmf(slot, response);
  } else if ((type == kAnQuery || type == kAnSubscribe) &&
             tmf.chain.readable_bytes >= sizeof(AnRequest) &&
             tmf.chain.writable_bytes >= sizeof(AnResponse)) {
    const AnResponse none = {0, kOk};  // no such events
    tmf.chain.write(host_->dma(), 0, &none, sizeof none);
    queue.push(tmf.chain.head, sizeof none);
  } else {
    queue.refuse("SCSI control request of no known kind, or too short");
    return Taken::kBroken;
  }
  return Taken::kDone;
}

uint8_t Scsi::begin_tmf(const TmfRequest& request, unsigned slot) {
  unsigned number = 0, lun = 0;
  Target* target = target_of(request.lun, number, lun);
  if (target == nullptr) return kBadTarget;
  if (lun != 0) return kIncorrectLun;
  if (request.subtype > kQueryTaskSet) return kFunctionRejected;
  const bool one = request.subtype == kAbortTask || request.subtype == kQueryTask;
  const bool query = request.subtype == kQueryTask || request.subtype == kQueryTaskSet;
  if (request.subtype == kClearAca) return kOk;
  if (request.subtype == kNexusReset || request.subtype == kUnitReset) {
    target->unit.reset(scsi::kUnitReset);
  }
  for (Request& r : pool_) {
    if (!r.under_way || r.target != number || (one && r.id != request.id)) continue;
    if (query) return kFunctionSucceeded;
    r.awaited |= bit(slot);
    ++tmfs_[slot].awaits;
  }
  return kOk;
}

void Scsi::answer_tmf(unsigned slot, uint8_t response) {
  const Chain& chain = tmfs_[slot].chain;
  chain.write(host_->dma(), 0, &response, 1);
  host_->queue(kControlQueue).push(chain.head, 1);
  tmfs_used_ &= ~bit(slot);
}

// --- life ----------------------------------------------------------------------------------------

void Scsi::begin(int) {
  for (auto& target : targets_) {
    if (target != nullptr) target->disk.start(*this);
  }
}

void Scsi::wait(int kick_fd, bool block, bool running) {
  if (running) return Function::wait(kick_fd, block, running);
  for (auto& target : targets_) {
    if (target != nullptr) target->disk.drain();
  }
}

void Scsi::reset() {
  sense_size_ = kDefaultSenseSize;
  cdb_size_ = kDefaultCdbSize;
  stalled_ = 0;
  for (auto& target : targets_) {
    if (target != nullptr) target->unit.reset(scsi::kPowerOn);
  }
}

void Scsi::save(StateWriter& out) const {
  out.put(sense_size_.load());
  out.put(cdb_size_.load());
  for (const auto& target : targets_) {
    out.put(uint8_t{target != nullptr});
    if (target != nullptr) target->unit.save(out);
  }
}

bool Scsi::load(StateReader& in) {
  const auto sense_size = in.get<uint32_t>(), cdb_size = in.get<uint32_t>();
  if (sense_size > kMaxSenseSize || cdb_size == 0 || cdb_size > kMaxCdbSize) return false;
  sense_size_ = sense_size;
  cdb_size_ = cdb_size;
  for (auto& target : targets_) {
    if ((in.get<uint8_t>() != 0) != (target != nullptr)) return false;
    if (target != nullptr && !target->unit.load(in)) return false;
  }
  return in.ok();
}

}  // namespace

std::unique_ptr<Function> make_scsi(std::vector<scsi::Drive> drives, const std::string& name,
                                    unsigned queues) {
  return std::make_unique<Scsi>(std::move(drives), name, queues);
}

}  // namespace trapline::virtio
