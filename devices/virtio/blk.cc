#include "devices/virtio/blk.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include "devices/virtio/blk_engine.h"
#include "devices/virtio/blk_wire.h"

namespace trapline::virtio {
namespace {

using namespace blk;

constexpr unsigned kSectorBytes = 512;
constexpr uint16_t kQueueSize = 256;
constexpr unsigned kMaxQueues = 8;
constexpr size_t kSerialBytes = 20;
constexpr uint64_t kMaxBytesAtNotify = 16 * 1024;      // copied in less than a thread takes to wake
constexpr uint32_t kMaxDiscardSectors = 1u << 22;      // 2 GiB
constexpr uint32_t kMaxWriteZeroesSectors = 1u << 16;  // 32 MiB: some hosts must write them

struct Request : BlkRequest {
  unsigned queue = 0;
  Chain chain;
  Segment status = {};  // one byte
};

class Blk final : public Function {
 public:
  Blk(std::unique_ptr<Image> image, const BlkOptions& options)
      : image_(std::move(image)),
        serial_(options.serial.substr(0, kSerialBytes)),
        queues_(std::clamp(options.queues, 1u, kMaxQueues)),
        engine_choice_(options.engine) {
    // All requests there can be, so that a host that runs out of memory later still has them: those
    // under way, and the one that is looked at.
    pool_.resize(BlkEngine::kMaxInFlight + 1);
    free_.reserve(pool_.size());
    done_.reserve(pool_.size());
    for (Request& request : pool_) free_.push_back(&request);
  }

  uint32_t device_id() const override { return 2; }
  uint32_t pci_class() const override { return 0x010000; }  // mass storage, SCSI
  uint64_t features() const override;
  unsigned queue_count() const override { return queues_; }
  uint16_t queue_max(unsigned) const override { return kQueueSize; }
  unsigned config_bytes() const override { return sizeof(Config); }
  void config_read(unsigned offset, void* out, unsigned size) const override;
  void config_write(unsigned offset, const void* data, unsigned size) override;
  void start(uint64_t features, bool legacy) override;
  void reset() override {
    features_ = stalled_ = 0;
    writeback_ = true;
  }
  bool process(unsigned queue) override;
  bool process_at_notify(unsigned queue) override;
  bool finishes_at_notify() const override { return true; }
  bool idle() const override { return in_flight_ == 0; }
  void begin(int kick_fd) override;
  void wait(int kick_fd, bool block, bool running) override;
  void counters(CounterVisitor visit, void* context) const override {
    image_->counters(visit, context);
  }
  void save(StateWriter& out) const override { out.put(uint8_t{writeback_.load()}); }
  bool load(StateReader& in) override {
    writeback_ = in.get<uint8_t>() != 0;
    return in.ok();
  }

 private:
  enum class Parsed : uint8_t { kSubmit, kAnswered, kBroken };
  enum class Taken : uint8_t { kSubmit, kAnswered, kEmpty, kBroken };

  Taken take(unsigned index, Request*& request);
  Taken take_into(unsigned index, Request* r);
  Parsed parse(Request& r, uint8_t& status);
  uint8_t parse_transfer(Request& r, const RequestHeader& header, bool write);
  uint8_t parse_range(Request& r, bool discard);
  uint8_t get_id(Request& r);
  void complete(Request& r);
  void answer(Request& r, uint8_t status);
  void use_threads();

  const std::unique_ptr<Image> image_;
  const std::string serial_;
  const unsigned queues_;
  const BlkEngineKind engine_choice_;
  std::atomic<bool> writeback_{true};
  uint64_t features_ = 0;

  // Of who holds Host::work_mutex(); done_ is the I/O thread's, and so is the engine but for
  // submit_at_notify().
  std::unique_ptr<BlkEngine> engine_;
  std::vector<Request> pool_;
  std::vector<Request*> free_;
  std::vector<BlkRequest*> done_;
  unsigned in_flight_ = 0;
  uint64_t stalled_ = 0;  // queues left with chains because too many are in flight
  int lost_ = 0;  // a flush failed with this: what was written before is not known to be safe
};

uint64_t Blk::features() const {
  uint64_t bits = kSegMax | kBlkSize | kTopology;
  if (queues_ > 1) bits |= kMultiQueue;
  if (image_->read_only()) return bits | kReadOnly;
  return bits | kFlush | kConfigWce | kDiscard | kWriteZeroes;
}

void Blk::config_read(unsigned offset, void* out, unsigned size) const {
  Config config = {};
  config.capacity = image_->bytes() / kSectorBytes;
  config.seg_max = kQueueSize - 2;  // besides the header and the status
  config.blk_size = kSectorBytes;
  config.physical_block_exp = 3;  // 4 KiB: what host file systems like
  config.min_io_size = 1;
  config.writeback = writeback_;
  config.num_queues = static_cast<uint16_t>(queues_);
  if (!image_->read_only()) {
    config.max_discard_sectors = kMaxDiscardSectors;
    config.max_discard_seg = 1;
    config.discard_sector_alignment = 8;
    config.max_write_zeroes_sectors = kMaxWriteZeroesSectors;
    config.max_write_zeroes_seg = 1;
    config.write_zeroes_may_unmap = 1;
  }
  std::memcpy(out, reinterpret_cast<const uint8_t*>(&config) + offset, size);
}

void Blk::config_write(unsigned offset, const void* data, unsigned size) {
  constexpr unsigned kAt = offsetof(Config, writeback);
  if ((features_ & kConfigWce) == 0 || offset > kAt || offset + size <= kAt) return;
  writeback_ = (static_cast<const uint8_t*>(data)[kAt - offset] & 1) != 0;
}

void Blk::start(uint64_t features, bool) {
  features_ = features;
  // 5.2.5.2: a driver that cannot flush gets a write-through cache.
  writeback_ = (features & (kConfigWce | kFlush)) != 0;
  if (engine_ == nullptr && !host_->deterministic()) use_threads();
}

void Blk::begin(int kick_fd) {
  engine_ = image_->make_engine();
  if (engine_ == nullptr && engine_choice_ != BlkEngineKind::kThreads) {
    engine_ = make_uring_engine(*image_, kick_fd);
  }
}

// Called when the guest starts the device, on its vCPU: without descriptors, threads or memory for
// an engine the I/O thread does the work itself.
void Blk::use_threads() {
  try {
    if (engine_choice_ == BlkEngineKind::kUring) {
      host_->report().add("io_uring is not available for this image: using threads");
    }
    engine_ = make_thread_engine(*image_);
  } catch (const std::system_error& error) {
    host_->report().add(std::string("one request at a time: ") + error.what());
  } catch (const std::bad_alloc&) {
    host_->report().add("one request at a time: the host is out of memory");
  }
}

// The queue's next request, if it needs I/O; what needs none is answered.
Blk::Taken Blk::take(unsigned index, Request*& request) {
  Request* r = free_.back();
  free_.pop_back();
  Taken taken = Taken::kBroken;
  try {
    taken = take_into(index, r);
  } catch (const std::bad_alloc&) {
    // The chain stays the driver's, which is told that the device is broken.
    host_->queue(index).refuse("the host is out of memory");
    host_->fail(host_->queue(index).error());
  }
  if (taken == Taken::kSubmit) {
    request = r;
  } else if (taken != Taken::kAnswered) {
    free_.push_back(r);
  }
  return taken;
}

Blk::Taken Blk::take_into(unsigned index, Request* r) {
  Queue& queue = host_->queue(index);
  r->queue = index;
  const Queue::Pop popped = queue.pop(r->chain);
  if (popped == Queue::Pop::kEmpty) return Taken::kEmpty;
  uint8_t status = kOk;
  Parsed parsed = Parsed::kBroken;
  if (popped == Queue::Pop::kChain) {
    parsed = parse(*r, status);
    if (parsed == Parsed::kBroken) queue.refuse("block request without room for header and status");
  }
  switch (parsed) {
    case Parsed::kSubmit:
      return Taken::kSubmit;
    case Parsed::kAnswered:
      answer(*r, status);
      return Taken::kAnswered;
    default:
      host_->fail(queue.error());
      return Taken::kBroken;
  }
}

bool Blk::process(unsigned index) {
  Queue& queue = host_->queue(index);
  for (unsigned budget = kQueueSize; budget > 0; --budget) {
    if (in_flight_ >= BlkEngine::kMaxInFlight) {
      stalled_ |= bit(index);
      host_->publish(index);
      return false;
    }
    Request* r = nullptr;
    const Taken taken = take(index, r);
    if (taken == Taken::kEmpty && queue.enable_notifications()) continue;
    if (taken == Taken::kEmpty || taken == Taken::kBroken) break;
    if (taken == Taken::kAnswered) continue;
    if (engine_ != nullptr) {
      ++in_flight_;
      engine_->submit(r);
    } else {
      perform(*image_, *r);
      complete(*r);
    }
  }
  host_->publish(index);
  return queue.has_available();
}

// One request and nothing else under way: a small read is done here if the host has the data in
// memory, and what is small and goes to a server is sent from here. More, and the I/O thread is
// awake anyway or worth waking.
bool Blk::process_at_notify(unsigned index) {
  if (in_flight_ != 0) return false;
  Queue& queue = host_->queue(index);
  bool again = false;
  Request* r = nullptr;
  switch (take(index, r)) {
    case Taken::kEmpty:
      return false;
    case Taken::kSubmit:
      if (r->op == BlkOp::kRead && r->bytes <= kMaxBytesAtNotify &&
          image_->read_at_once(r->iov.data(), static_cast<unsigned>(r->iov.size()), r->offset,
                               r->bytes)) {
        complete(*r);
        break;
      }
      if (engine_ != nullptr && r->bytes <= kMaxBytesAtNotify &&
          engine_->submit_at_notify(r, again)) {
        ++in_flight_;
        break;
      }
      free_.push_back(r);
      queue.unpop(1);
      return false;
    default:
      break;
  }
  const bool more = queue.enable_notifications();
  host_->publish(index);
  return !more && !again;
}

Blk::Parsed Blk::parse(Request& r, uint8_t& status) {
  Chain& chain = r.chain;
  if (chain.readable_bytes < sizeof(RequestHeader) || chain.writable_bytes < 1) {
    return Parsed::kBroken;
  }
  const Segment& last = chain.writable.back();
  r.status = {last.host + last.size - 1, last.ipa + last.size - 1, 1};
  r.op = BlkOp::kFlush;
  r.durable = !writeback_;
  r.may_unmap = false;
  r.offset = r.bytes = r.done = 0;
  r.iov.clear();
  r.first_iov = 0;
  r.result = 0;
  r.syncing = false;

  RequestHeader header;
  chain.read(0, &header, sizeof header);
  switch (header.type) {
    case kTypeIn:
    case kTypeOut:
      status = parse_transfer(r, header, header.type == kTypeOut);
      // Nothing to move: done, as far as the sector exists.
      return status == kOk && r.bytes > 0 ? Parsed::kSubmit : Parsed::kAnswered;
    case kTypeFlush:
      if (lost_ != 0) status = kIoError;
      return lost_ != 0 ? Parsed::kAnswered : Parsed::kSubmit;
    case kTypeGetId:
      status = get_id(r);
      return Parsed::kAnswered;
    case kTypeDiscard:
    case kTypeWriteZeroes:
      status = parse_range(r, header.type == kTypeDiscard);
      return status == kOk && r.bytes > 0 ? Parsed::kSubmit : Parsed::kAnswered;
    default:
      status = kUnsupported;
      return Parsed::kAnswered;
  }
}

// Fills in a read or write. The data are the chain without the header in front and the status
// byte at the end, however the driver cut it into descriptors (2.7.4.3).
uint8_t Blk::parse_transfer(Request& r, const RequestHeader& header, bool write) {
  r.op = write ? BlkOp::kWrite : BlkOp::kRead;
  r.bytes = write ? r.chain.readable_bytes - sizeof header : r.chain.writable_bytes - 1;
  const uint64_t capacity = image_->bytes() / kSectorBytes;
  const uint64_t sectors = r.bytes / kSectorBytes;
  if (r.bytes % kSectorBytes != 0 || header.sector > capacity ||
      sectors > capacity - header.sector || (write && image_->read_only())) {
    host_->report().add(write && image_->read_only() ? "write to a read-only disk"
                                                     : "request beyond the disk or of odd length");
    r.bytes = 0;
    return kIoError;
  }
  r.offset = header.sector * kSectorBytes;
  append_iov(write ? r.chain.readable : r.chain.writable, write ? sizeof header : 0, r.bytes,
             r.iov);
  if (write && !keeps_format(*image_, r, host_->report())) {
    r.bytes = 0;
    return kIoError;
  }
  return kOk;
}

uint8_t Blk::parse_range(Request& r, bool discard) {
  r.op = discard ? BlkOp::kDiscard : BlkOp::kWriteZeroes;
  RangeSegment range;
  const uint64_t bytes = r.chain.readable_bytes - sizeof(RequestHeader);
  if ((features_ & (discard ? kDiscard : kWriteZeroes)) == 0) return kUnsupported;
  if (bytes != sizeof range) return kIoError;  // max_discard_seg and max_write_zeroes_seg are 1
  r.chain.read(sizeof(RequestHeader), &range, sizeof range);
  // 5.2.6.2: unknown flags, and unmap for a discard, are unsupported.
  if ((range.flags & ~kUnmap) != 0 || (discard && range.flags != 0)) return kUnsupported;
  const uint64_t capacity = image_->bytes() / kSectorBytes;
  const uint32_t most = discard ? kMaxDiscardSectors : kMaxWriteZeroesSectors;
  if (range.sectors > most || range.sector > capacity || range.sectors > capacity - range.sector) {
    host_->report().add("discard or write zeroes beyond the disk");
    return kIoError;
  }
  r.may_unmap = (range.flags & kUnmap) != 0;
  r.offset = range.sector * kSectorBytes;
  r.bytes = uint64_t{range.sectors} * kSectorBytes;
  return kOk;
}

uint8_t Blk::get_id(Request& r) {
  char id[kSerialBytes] = {};
  std::memcpy(id, serial_.data(), serial_.size());
  r.chain.write(host_->dma(), 0, id, std::min<uint64_t>(sizeof id, r.chain.writable_bytes - 1));
  return kOk;
}

void Blk::complete(Request& r) {
  if (r.result != 0) {
    report_failure(*image_, r, host_->report());
    // After a failed fdatasync the kernel forgets what it could not write: a later one that
    // succeeds would lie.
    if (r.op == BlkOp::kFlush) lost_ = r.result;
  }
  if (r.op == BlkOp::kRead) r.chain.done(host_->dma(), r.chain.writable_bytes - 1);
  answer(r, r.result == 0 ? kOk : kIoError);
}

void Blk::answer(Request& r, uint8_t status) {
  *r.status.host = status;
  host_->dma().done(r.status.ipa, 1);
  host_->queue(r.queue).push(r.chain.head, static_cast<uint32_t>(r.chain.writable_bytes));
  free_.push_back(&r);
}

void Blk::wait(int kick_fd, bool block, bool running) {
  if (engine_ == nullptr) return Function::wait(kick_fd, block, running);
  if (!running) engine_->parking();
  engine_->wait(kick_fd, block, done_);
  std::lock_guard lock(host_->work_mutex());
  uint64_t touched = 0;
  for (BlkRequest* finished : done_) {
    auto& r = static_cast<Request&>(*finished);
    touched |= bit(r.queue);
    --in_flight_;
    complete(r);
  }
  done_.clear();
  for (unsigned i = 0; i < queues_; ++i) {
    if ((touched & bit(i)) != 0) host_->publish(i);
  }
  const uint64_t stalled = std::exchange(stalled_, 0);
  for (unsigned i = 0; running && i < queues_; ++i) {
    if ((stalled & bit(i)) != 0 && process(i)) host_->kick(i);
  }
}

}  // namespace

std::unique_ptr<Function> make_blk(std::unique_ptr<Image> image, const BlkOptions& options) {
  return std::make_unique<Blk>(std::move(image), options);
}

}  // namespace trapline::virtio
