#include "devices/virtio/nbd.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "devices/virtio/blk_engine.h"
#include "devices/virtio/nbd_dial.h"
#include "devices/virtio/nbd_journal.h"
#include "devices/virtio/nbd_library.h"
#include "devices/virtio/nbd_link.h"
#include "devices/virtio/report.h"

namespace trapline::virtio {
namespace {

constexpr unsigned kMaxLinks = 4;
constexpr uint64_t kSectorBytes = 512;
// Of one command. What a guest asks for in one request may be more than we want to copy at once.
constexpr uint64_t kMostMoved = uint64_t{1} << 20;
constexpr uint64_t kMostNamed = uint64_t{1} << 30;  // discard, write zeroes
constexpr uint64_t kMostKept = uint64_t{64} << 20;  // of writes since the last flush
constexpr size_t kReplaysAtOnce = 32;
// Milliseconds.
constexpr int64_t kConnectMs = 10'000, kExtraLinkMs = 1'000;
constexpr int64_t kFirstPauseMs = 100, kLongestPauseMs = 5'000;
constexpr int64_t kParkMs = 3'000;     // who parks has this patience with a server that is away
constexpr int64_t kAtOnceMs = 10'000;  // and who has no engine this

int64_t now_ms() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * int64_t{1000} + t.tv_nsec / 1'000'000;
}

bool writes(BlkOp op) { return op != BlkOp::kRead && op != BlkOp::kFlush; }
bool moves_data(BlkOp op) { return op == BlkOp::kRead || op == BlkOp::kWrite; }

// Copies between `data` and what `iov` holds from `skip` on.
void copy(const std::vector<iovec>& iov, uint64_t skip, uint8_t* data, uint64_t bytes, bool out) {
  for (const iovec& v : iov) {
    if (bytes == 0) return;
    if (skip >= v.iov_len) {
      skip -= v.iov_len;
      continue;
    }
    const uint64_t n = std::min<uint64_t>(bytes, v.iov_len - skip);
    uint8_t* const at = static_cast<uint8_t*>(v.iov_base) + skip;
    std::memcpy(out ? at : data, out ? data : at, n);
    data += n;
    bytes -= n;
    skip = 0;
  }
}

// Where [skip, skip + bytes) of `iov` is, if it is in one piece.
uint8_t* one_piece(const std::vector<iovec>& iov, uint64_t skip, uint64_t bytes) {
  for (const iovec& v : iov) {
    if (skip < v.iov_len) {
      return bytes <= v.iov_len - skip ? static_cast<uint8_t*>(v.iov_base) + skip : nullptr;
    }
    skip -= v.iov_len;
  }
  return nullptr;
}

class NbdImage final : public Image {
 public:
  NbdImage(const std::string& name, const ImageOptions& options, std::shared_ptr<void> keeper)
      : keeper_(std::move(keeper)),
        fail_on_loss_(options.fail_on_loss),
        away_(name),
        back_(name),
        wrong_(name) {
    path_ = name;
    read_only_ = options.read_only;
    tasks_.resize(BlkEngine::kMaxInFlight + kReplaysAtOnce + 2);  // a flush, a synchronous request
    for (std::vector<Task*>* list : {&free_, &waiting_, &finished_, &resuming_})
      list->reserve(tasks_.size());
    for (Task& task : tasks_) {
      task.owner = this;
      free_.push_back(&task);
    }
  }
  ~NbdImage() override { drop_links(); }

  std::string open_uri(const std::string& uri);
  std::string open_socket(int socket);

  std::string address() const override { return target_.by_uri_only ? "" : target_.address; }
  bool is_remote() const override { return true; }
  uint64_t tail() const { return about_.bytes % kSectorBytes; }
  std::unique_ptr<BlkEngine> make_engine() override;
  void counters(CounterVisitor visit, void* context) const override {
    visit(context, "nbd_connections", connections_);
    visit(context, "nbd_reconnects", reconnects_);
    visit(context, "nbd_writes_sent_again", sent_again_);
  }

  int readv(const iovec* iov, unsigned count, uint64_t offset) override {
    return transfer(BlkOp::kRead, iov, count, offset, false);
  }
  int writev(const iovec* iov, unsigned count, uint64_t offset, bool durable) override {
    return transfer(BlkOp::kWrite, iov, count, offset, durable);
  }
  int flush() override { return range(BlkOp::kFlush, 0, 0, false); }
  int discard(uint64_t offset, uint64_t size) override {
    return range(BlkOp::kDiscard, offset, size, false);
  }
  int write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) override {
    return range(BlkOp::kWriteZeroes, offset, size, may_unmap);
  }
  // A server may have but one client at a time.
  std::string unlock() override {
    if (keeper_ != nullptr) {
      return path_ +
             ": qemu-nbd keeps it open for this machine: serve it to both sides, by "
             "`--disk nbd+unix:///?socket=P`, to move the machine";
    }
    std::lock_guard lock(mutex_);
    released_ = true;
    drop_links();
    return {};
  }
  std::string lock() override {
    std::lock_guard lock(mutex_);
    released_ = false;
    next_dial_ = now_ms();
    return {};
  }

  // --- for the engine ---
  void submit(BlkRequest* request);
  bool submit_at_notify(BlkRequest* request, bool& again);
  // Sleeps until `kick_fd` (-1: none) or an answer is there, and takes the answers.
  void pump(int kick_fd, bool block, std::vector<BlkRequest*>& done);
  // Nobody waits for ever.
  void give_up_after(int64_t ms) {
    std::lock_guard lock(mutex_);
    if (in_use() > 0 && give_up_at_ == 0) give_up_at_ = now_ms() + ms;
  }

 private:
  struct Task {
    enum class Kind : uint8_t { kRequest, kOwnFlush, kReplay };
    NbdImage* owner = nullptr;
    Kind kind = Kind::kRequest;
    BlkRequest* request = nullptr;  // kRequest
    // The command: what is under way of the request.
    BlkOp op = BlkOp::kRead;
    bool durable = false, may_unmap = false;
    uint64_t offset = 0, bytes = 0;
    uint8_t* buffer = nullptr;
    std::unique_ptr<uint8_t[]> data;  // of it, where it is ours
    uint64_t mark = 0;                // flush: of the journal
    uint64_t promised = 0;            // write: of the journal's room
    int link = -1;                    // -1: not sent
    bool answered = false;
    int error = 0;  // a positive errno
  };

  size_t in_use() const { return tasks_.size() - free_.size(); }
  // What is written is kept until it is durable; pointless once something was lost.
  bool journals() const { return !read_only_ && about_.flush && lost_ == 0; }
  // A connection that ended can be made again. One by TLS reads files, which a jail forbids.
  bool can_dial() const {
    return target_.by_uri_only ? nbd_dial() == dial_here : !target_.address.empty();
  }
  int64_t deadline() const;
  std::string first_contact();
  std::string refusal(const NbdExport& about) const;

  void begin(BlkRequest* request);
  Task* take_task(Task::Kind kind);
  void give_back(Task* task);
  void next_command(Task* task);
  void prepare(Task* task);
  void send(Task* task);
  int64_t command(Task* task, nbd_handle* handle);
  void answered();
  void advance(Task* task);
  void finish(Task* task, int result);
  void flush_own();
  void send_waiting();

  void tick();
  void lose(const std::string& why);
  void drop_links();
  void dial(NbdLink& link);
  void replay();
  void come_up();
  void fail_waiting();
  static int completed(void* task, int* error);

  int transfer(BlkOp op, const iovec* iov, unsigned count, uint64_t offset, bool durable);
  int range(BlkOp op, uint64_t offset, uint64_t size, bool may_unmap);
  int perform_request(BlkRequest& request);

  const std::shared_ptr<void> keeper_;  // goes after the links
  const bool fail_on_loss_;
  Report away_, back_, wrong_;  // each at its own bounded rate
  NbdTarget target_;
  NbdExport about_;
  unsigned wanted_links_ = 1;
  std::array<NbdLink, kMaxLinks> links_;
  NbdJournal journal_{kMostKept};

  // Of all that follows and of the links; not held while pump(), on the one thread that calls it,
  // sleeps.
  std::mutex mutex_;
  std::vector<Task> tasks_;
  std::vector<Task*> free_, waiting_, finished_, resuming_;
  std::vector<BlkRequest*> done_;
  std::vector<pollfd> fds_;  // pump()'s

  bool up_ = false;         // requests are sent
  bool closing_ = false;    // what completes now does not
  bool released_ = false;   // unlock()
  bool own_flush_ = false;  // one is under way
  int lost_ = 0;            // a flush fails with it: what it covers is not known to be there
  uint64_t promised_ = 0;   // of the journal's room, to writes that are under way
  size_t replayed_ = 0;     // of the journal, sent again
  size_t replaying_ = 0;    // under way of it
  bool replays_ = false;
  int64_t next_dial_ = 0, pause_ = kFirstPauseMs;
  int64_t up_since_ = 0;       // since when requests are sent
  int64_t link_deadline_ = 0;  // of a link that does not yet carry commands; 0: none
  int64_t give_up_at_ = 0;     // 0: never
  std::atomic<uint64_t> connections_{0}, reconnects_{0}, sent_again_{0};
};

// --- requests ------------------------------------------------------------------------------------

NbdImage::Task* NbdImage::take_task(Task::Kind kind) {
  Task* const task = free_.back();
  free_.pop_back();
  task->kind = kind;
  task->request = nullptr;
  return task;
}

void NbdImage::give_back(Task* task) {
  task->data.reset();
  task->link = -1;
  task->answered = false;
  free_.push_back(task);
  if (in_use() == 0) give_up_at_ = 0;
}

void NbdImage::submit(BlkRequest* request) {
  std::lock_guard lock(mutex_);
  begin(request);
}

// Saves the waking of another thread. What pump() sleeps on stays as it is: it hears of the answer
// by itself, and of anything else by `again`.
bool NbdImage::submit_at_notify(BlkRequest* request, bool& again) {
  std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || !up_ || in_use() != 0) return false;
  begin(request);
  again = !done_.empty() || !finished_.empty() || !waiting_.empty();
  for (const NbdLink& link : links_) again = again || (link.wanted().events & POLLOUT) != 0;
  return true;
}

void NbdImage::begin(BlkRequest* request) {
  Task* const task = take_task(Task::Kind::kRequest);
  task->request = request;
  request->result = 0;
  request->done = 0;
  request->syncing = false;
  give_up_at_ = 0;
  next_command(task);
}

void NbdImage::finish(Task* task, int result) {
  task->request->result = result;
  done_.push_back(task->request);
  give_back(task);
}

// What comes next of the task's request.
void NbdImage::next_command(Task* task) {
  const BlkRequest& r = *task->request;
  const bool flushes = r.op == BlkOp::kFlush || r.syncing;
  if (flushes && (lost_ != 0 || !about_.flush || read_only_)) return finish(task, -lost_);
  if (r.op == BlkOp::kDiscard && !about_.trim) return finish(task, 0);  // a hint
  if (!flushes && r.op != BlkOp::kRead && read_only_) return finish(task, -EROFS);
  task->op = flushes ? BlkOp::kFlush : r.op;
  task->durable = r.durable && about_.fua;
  task->may_unmap = r.may_unmap;
  task->offset = r.offset + r.done;
  task->bytes = flushes ? 0 : r.bytes - r.done;
  try {
    prepare(task);
  } catch (const std::bad_alloc&) {
    return finish(task, -ENOMEM);
  }
  send(task);
}

void NbdImage::prepare(Task* task) {
  const BlkRequest& r = *task->request;
  if (task->op == BlkOp::kWriteZeroes && !about_.zero) task->op = BlkOp::kWrite;
  const uint64_t most = std::min(kMostMoved, about_.most != 0 ? about_.most : kMostMoved);
  task->bytes = std::min(task->bytes, moves_data(task->op) ? most : kMostNamed);
  task->buffer = nullptr;
  task->data.reset();
  if (!moves_data(task->op)) return;
  if (task->op == BlkOp::kRead) task->buffer = one_piece(r.iov, r.done, task->bytes);
  if (task->buffer != nullptr) return;
  task->data.reset(new uint8_t[task->bytes]);
  task->buffer = task->data.get();
  if (r.op == BlkOp::kWrite) {
    // On a copy: it may have to be sent again, when the guest's memory has other things to hold.
    copy(r.iov, r.done, task->buffer, task->bytes, false);
  } else {
    std::memset(task->buffer, 0, task->bytes);
  }
}

int NbdImage::completed(void* user, int* error) {
  Task* const task = static_cast<Task*>(user);
  if (task->owner->closing_) return 1;
  task->error = *error;
  task->answered = true;
  task->owner->finished_.push_back(task);
  return 1;  // libnbd forgets it
}

int64_t NbdImage::command(Task* task, nbd_handle* handle) {
  const nbd_completion_callback done = {completed, task, nullptr};
  const uint32_t fua = task->durable ? LIBNBD_CMD_FLAG_FUA : 0;
  switch (task->op) {
    case BlkOp::kRead:
      return libnbd().aio_pread(handle, task->buffer, task->bytes, task->offset, done, 0);
    case BlkOp::kWrite:
      return libnbd().aio_pwrite(handle, task->buffer, task->bytes, task->offset, done, fua);
    case BlkOp::kFlush:
      return libnbd().aio_flush(handle, done, 0);
    case BlkOp::kDiscard:
      return libnbd().aio_trim(handle, task->bytes, task->offset, done, fua);
    default:
      return libnbd().aio_zero(handle, task->bytes, task->offset, done,
                               fua | (task->may_unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE));
  }
}

void NbdImage::send(Task* task) {
  task->link = -1;
  task->answered = false;
  if (!up_ && task->kind != Task::Kind::kReplay) return waiting_.push_back(task);
  if (task->kind == Task::Kind::kRequest && journals() && !task->durable && writes(task->op)) {
    const uint64_t cost = NbdJournal::cost(task->data != nullptr ? task->bytes : 0);
    if (!journal_.has_room(promised_ + cost)) {
      flush_own();
      return waiting_.push_back(task);
    }
    promised_ += task->promised = cost;
  }
  int best = 0;
  for (int i = 1; i < static_cast<int>(wanted_links_); ++i) {
    if (links_[i].state() == NbdLink::State::kUp && links_[i].in_flight < links_[best].in_flight) {
      best = i;
    }
  }
  if (task->op == BlkOp::kFlush) task->mark = journal_.mark();
  task->link = best;
  task->error = 0;
  ++links_[best].in_flight;
  if (command(task, links_[best].handle()) >= 0) return;
  // Out of memory, or a connection that broke as it was written to, which is seen when it is waited
  // for: either is known by whether the link is still there.
  if (libnbd().aio_is_dead(links_[best].handle()) > 0) {
    task->error = ENOTCONN;
  } else {
    task->error = EIO;
  }
  task->answered = true;
  finished_.push_back(task);
}

// Takes what has been answered, until nothing is.
void NbdImage::answered() {
  while (!finished_.empty()) {
    Task* const task = finished_.back();
    finished_.pop_back();
    if (task->error == ENOTCONN || task->error == ESHUTDOWN) {
      task->answered = false;
      lose(task->error == ESHUTDOWN ? "the server is shutting down" : "the connection broke");
      continue;
    }
    if (task->link >= 0) --links_[task->link].in_flight;
    task->link = -1;
    promised_ -= std::exchange(task->promised, 0);
    advance(task);
    // There may be room again.
    if (finished_.empty() && up_) send_waiting();
  }
}

void NbdImage::send_waiting() {
  std::swap(waiting_, resuming_);
  for (Task* task : resuming_) send(task);
  resuming_.clear();
}

void NbdImage::advance(Task* task) {
  const int error = task->error;
  if (task->op == BlkOp::kFlush && error == 0) journal_.flushed(task->mark);
  if (task->kind == Task::Kind::kOwnFlush || task->kind == Task::Kind::kReplay) {
    if (error != 0 && lost_ == 0) {
      lost_ = error;
      wrong_.add("what was written is not known to be there: the next flush fails");
    }
    if (task->kind == Task::Kind::kOwnFlush) {
      own_flush_ = false;
      return give_back(task);
    }
    give_back(task);
    if (--replaying_ == 0) replay();
    return;
  }
  BlkRequest& r = *task->request;
  if (error != 0) return finish(task, -error);
  if (task->op == BlkOp::kFlush) return finish(task, 0);
  if (task->op == BlkOp::kRead) {
    if (task->data != nullptr) copy(r.iov, r.done, task->buffer, task->bytes, true);
  } else if (journals() && !task->durable) {
    journal_.add({task->op, task->may_unmap, task->offset, task->bytes, std::move(task->data)});
    if (journal_.wants_flush()) flush_own();
  }
  r.done += task->bytes;
  if (r.done >= r.bytes) {
    if (task->op == BlkOp::kRead || !r.durable || task->durable) return finish(task, 0);
    r.syncing = true;
  }
  next_command(task);
}

// Without the guest's asking, so that what is kept stays small.
void NbdImage::flush_own() {
  if (std::exchange(own_flush_, true)) return;
  Task* const task = take_task(Task::Kind::kOwnFlush);
  task->op = BlkOp::kFlush;
  task->bytes = 0;
  send(task);
}

// --- connections ---------------------------------------------------------------------------------

void NbdImage::drop_links() {
  closing_ = true;
  for (NbdLink& link : links_) {
    link.drop();
    link.in_flight = 0;
  }
  closing_ = false;
  up_ = false;
  connections_ = 0;
  link_deadline_ = 0;
}

// All connections are given up: whether the server is another one now nobody can tell.
void NbdImage::lose(const std::string& why) {
  const bool was_up = up_;
  drop_links();
  replays_ = false;
  replaying_ = 0;
  for (Task& task : tasks_) promised_ -= std::exchange(task.promised, 0);
  std::erase_if(finished_, [](Task* task) {
    if (task->error != ENOTCONN && task->error != ESHUTDOWN) return false;
    task->answered = false;
    return true;
  });
  for (Task& task : tasks_) {
    if (task.link < 0) continue;
    task.link = -1;
    if (task.answered) continue;
    if (task.kind == Task::Kind::kRequest) {
      waiting_.push_back(&task);
    } else {
      if (task.kind == Task::Kind::kOwnFlush) own_flush_ = false;
      give_back(&task);
    }
  }
  if (!journal_.whole() && lost_ == 0) {
    lost_ = EIO;
    wrong_.add("more was written since the last flush than is kept: the next flush fails");
  }
  const int64_t now = now_ms();
  if (was_up) {
    away_.add(why + (!can_dial()     ? "; every request fails from now on"
                     : fail_on_loss_ ? "; requests fail until the server is back"
                                     : "; requests wait for the server"));
  }
  // Soon, of a server that has served for a while; one that ends at once is given time.
  if (was_up && now - up_since_ >= kLongestPauseMs) {
    pause_ = kFirstPauseMs;
    next_dial_ = now;
  } else {
    next_dial_ = now + pause_;
    pause_ = std::min(2 * pause_, kLongestPauseMs);
  }
}

void NbdImage::fail_waiting() {
  std::swap(waiting_, resuming_);
  for (Task* task : resuming_) {
    if (task->kind == Task::Kind::kRequest) {
      finish(task, -EIO);
    } else {
      own_flush_ = false;
      give_back(task);
    }
  }
  resuming_.clear();
}

void NbdImage::dial(NbdLink& link) {
  link_deadline_ = now_ms() + (&link == links_.data() ? kConnectMs : kExtraLinkMs);
  if (!link.begin_dial(target_) && &link == links_.data()) lose(link.error());
}

// What is due: a link to be dialled, one that takes too long, one that has come up.
void NbdImage::tick() {
  const int64_t now = now_ms();
  NbdLink& first = links_[0];
  if (!up_ && !replays_ && !released_ && can_dial()) {
    if (first.state() == NbdLink::State::kDown) {
      if (now >= next_dial_) dial(first);
    } else if (first.state() == NbdLink::State::kUp) {
      const NbdExport about = first.about();
      if (const std::string why = refusal(about); !why.empty()) {
        wrong_.add(why);
        lose(why);
      } else {
        about_ = about;
        link_deadline_ = 0;
        replays_ = true;
        replayed_ = 0;
        replay();
      }
    } else if (now >= link_deadline_) {
      lose("no answer");
    }
  } else if (up_) {
    // The further links, one after the other; a server that does not want them has its will.
    for (unsigned i = 1; i < wanted_links_; ++i) {
      NbdLink& link = links_[i];
      if (link.state() == NbdLink::State::kUp) continue;
      if (link.state() == NbdLink::State::kDown) {
        dial(link);
      } else if (now < link_deadline_) {
        break;
      }
      if (link.state() == NbdLink::State::kDown || now >= link_deadline_) {
        link.drop();
        wanted_links_ = i;
        link_deadline_ = 0;
      }
      break;
    }
  }
  if (!up_ && !waiting_.empty()) {
    if (fail_on_loss_ || !can_dial() || (give_up_at_ != 0 && now >= give_up_at_)) fail_waiting();
  }
}

// Sends the journal, as much at once as may be in any order; once all of it is there, the rest.
void NbdImage::replay() {
  if (!replays_) return;
  const std::deque<NbdWrite>& writes = journal_.writes();
  if (replayed_ == writes.size()) return come_up();
  const size_t count = journal_.apart(replayed_, kReplaysAtOnce);
  replaying_ = count;
  for (size_t i = 0; i < count && replays_; ++i) {
    const NbdWrite& write = writes[replayed_ + i];
    Task* const task = take_task(Task::Kind::kReplay);
    task->op = write.op;
    task->durable = false;
    task->may_unmap = write.may_unmap;
    task->offset = write.offset;
    task->bytes = write.bytes;
    task->buffer = write.data.get();
    send(task);
  }
  replayed_ += count;
  sent_again_ += count;
}

void NbdImage::come_up() {
  replays_ = false;
  up_ = true;
  up_since_ = now_ms();
  ++reconnects_;
  back_.add("the server is back; " + std::to_string(replayed_) +
            " writes since the last flush were sent again");
  send_waiting();
}

int64_t NbdImage::deadline() const {
  int64_t at = 0;
  const auto earlier = [&at](int64_t other) {
    if (other != 0 && (at == 0 || other < at)) at = other;
  };
  earlier(link_deadline_);
  if (up_) return at;
  if (!released_ && can_dial() && links_[0].state() == NbdLink::State::kDown) earlier(next_dial_);
  if (!waiting_.empty()) earlier(give_up_at_);
  return at;
}

void NbdImage::pump(int kick_fd, bool block, std::vector<BlkRequest*>& done) {
  std::unique_lock lock(mutex_);
  tick();
  answered();
  fds_.clear();
  fds_.push_back({.fd = kick_fd, .events = POLLIN, .revents = 0});
  for (const NbdLink& link : links_) fds_.push_back(link.wanted());
  int timeout = block && done_.empty() ? -1 : 0;
  if (const int64_t at = deadline(); timeout < 0 && at != 0) {
    timeout = static_cast<int>(std::max<int64_t>(at - now_ms(), 0));
  }
  lock.unlock();
  const int ready = poll(fds_.data(), fds_.size(), timeout);
  lock.lock();
  if (ready > 0) {
    if (fds_[0].revents != 0) {
      uint64_t count;
      [[maybe_unused]] const ssize_t n = ::read(kick_fd, &count, sizeof count);
    }
    for (unsigned i = 0; i < kMaxLinks; ++i) {
      NbdLink& link = links_[i];
      const bool carried = link.state() == NbdLink::State::kUp;
      link.dispatch(fds_[1 + i].revents);
      if (link.state() == NbdLink::State::kDown && fds_[1 + i].revents != 0) {
        // One that never carried anything, and is not the first, is but not wanted.
        if (carried || i == 0) {
          lose(link.error());
          break;
        }
        wanted_links_ = std::min(wanted_links_, i);
      }
    }
    unsigned carrying = 0;
    for (const NbdLink& link : links_) carrying += link.state() == NbdLink::State::kUp ? 1 : 0;
    connections_ = carrying;
    answered();
    tick();
    answered();
  }
  done.insert(done.end(), done_.begin(), done_.end());
  done_.clear();
}

// --- at once -------------------------------------------------------------------------------------

// While no engine is at work.
int NbdImage::perform_request(BlkRequest& request) {
  std::vector<BlkRequest*> done;
  submit(&request);
  while (done.empty()) {
    give_up_after(kAtOnceMs);
    pump(-1, true, done);
  }
  return request.result;
}

int NbdImage::transfer(BlkOp op, const iovec* iov, unsigned count, uint64_t offset, bool durable) {
  BlkRequest request;
  request.op = op;
  request.durable = durable;
  request.offset = offset;
  request.iov.assign(iov, iov + count);
  for (const iovec& v : request.iov) request.bytes += v.iov_len;
  return request.bytes == 0 ? 0 : perform_request(request);
}

int NbdImage::range(BlkOp op, uint64_t offset, uint64_t size, bool may_unmap) {
  BlkRequest request;
  request.op = op;
  request.may_unmap = may_unmap;
  request.offset = offset;
  request.bytes = size;
  return perform_request(request);
}

// --- the engine ----------------------------------------------------------------------------------

class NbdEngine final : public BlkEngine {
 public:
  explicit NbdEngine(NbdImage& image) : image_(image) {}
  void submit(BlkRequest* request) override { image_.submit(request); }
  bool submit_at_notify(BlkRequest* request, bool& again) override {
    return image_.submit_at_notify(request, again);
  }
  void wait(int kick_fd, bool block, std::vector<BlkRequest*>& done) override {
    image_.pump(kick_fd, block, done);
  }
  void parking() override { image_.give_up_after(kParkMs); }

 private:
  NbdImage& image_;
};

std::unique_ptr<BlkEngine> NbdImage::make_engine() { return std::make_unique<NbdEngine>(*this); }

// --- start ---------------------------------------------------------------------------------------

// Why this is not, or no longer, the disk that the guest knows.
std::string NbdImage::refusal(const NbdExport& about) const {
  if (about.bytes / kSectorBytes * kSectorBytes != bytes_) {
    return "the export has another size than before";
  }
  if (about.read_only && !read_only_) return "the export is read-only now";
  if (about.least > kSectorBytes) return "the export's blocks are larger than before";
  return {};
}

// Until the first link carries commands, and, where they may be, the others.
std::string NbdImage::first_contact() {
  NbdLink& first = links_[0];
  const int64_t until = now_ms() + kConnectMs;
  while (first.state() != NbdLink::State::kUp) {
    if (first.state() == NbdLink::State::kDown) return first.error();
    const int64_t left = until - now_ms();
    if (left <= 0) return "no answer";
    pollfd fd = first.wanted();
    if (poll(&fd, 1, static_cast<int>(left)) > 0) first.dispatch(fd.revents);
  }
  about_ = first.about();
  if (about_.bytes < kSectorBytes) {
    return "too small for a disk: " + std::to_string(about_.bytes) + " bytes";
  }
  if (about_.least > kSectorBytes) {
    return "takes no less than " + std::to_string(about_.least) +
           " bytes at once, and a disk has sectors of 512 (nbdkit: --filter=blocksize)";
  }
  if (about_.read_only && !read_only_) return "the export is read-only: add `,ro`";
  bytes_ = about_.bytes / kSectorBytes * kSectorBytes;
  target_ = first.reached(keeper_ == nullptr ? path_ : std::string());
  wanted_links_ = about_.multi && !target_.address.empty() ? kMaxLinks : 1;
  up_ = true;
  connections_ = 1;
  // What has not come up in time is left out.
  const int64_t patience = now_ms() + kExtraLinkMs;
  while (wanted_links_ > 1 && links_[wanted_links_ - 1].state() != NbdLink::State::kUp &&
         now_ms() < patience) {
    std::vector<BlkRequest*> none;
    pump(-1, true, none);
  }
  return {};
}

std::string NbdImage::open_uri(const std::string& uri) {
  NbdTarget target;
  target.uri = uri;
  if (!links_[0].begin_uri(target)) return links_[0].error();
  return first_contact();
}

std::string NbdImage::open_socket(int socket) {
  if (!links_[0].begin_socket({}, socket)) return links_[0].error();
  return first_contact();
}

template <typename Open>
ImageResult open_with(const std::string& name, const ImageOptions& options,
                      std::shared_ptr<void> keeper, Open open) {
  ImageResult result;
  if (!libnbd().missing.empty()) {
    result.error = name + ": libnbd is missing (" + libnbd().missing + "); Debian: package libnbd0";
    return result;
  }
  auto image = std::make_unique<NbdImage>(name, options, std::move(keeper));
  if (std::string error = open(*image); !error.empty()) {
    result.error = name + ": " + error;
    return result;
  }
  if (image->tail() != 0) {
    result.warning = name + ": size is not a multiple of 512; the last " +
                     std::to_string(image->tail()) + " bytes are not part of the disk";
  }
  result.image = std::move(image);
  return result;
}

}  // namespace

ImageResult open_nbd(const std::string& uri, const ImageOptions& options) {
  return open_with(uri, options, nullptr, [&](NbdImage& image) { return image.open_uri(uri); });
}

ImageResult open_nbd_socket(int socket, const std::string& path, const ImageOptions& options,
                            std::shared_ptr<void> keeper) {
  return open_with(path, options, std::move(keeper),
                   [&](NbdImage& image) { return image.open_socket(socket); });
}

}  // namespace trapline::virtio
