// What stands behind a virtio transport: the device type proper (block, network, console, entropy).
#ifndef TRAPLINE_DEVICES_VIRTIO_FUNCTION_H_
#define TRAPLINE_DEVICES_VIRTIO_FUNCTION_H_

#include <cstdint>
#include <mutex>

#include "devices/virtio/dma.h"
#include "devices/virtio/queue.h"
#include "devices/virtio/report.h"
#include "mmio/device.h"
#include "mmio/state.h"

namespace trapline::virtio {

// The transport as a function sees it. All methods are for the thread that runs process() and
// wait() (the I/O thread, or the clock's), unless they say otherwise.
class Host {
 public:
  virtual ~Host() = default;
  virtual Dma& dma() = 0;
  virtual Queue& queue(unsigned index) = 0;
  // publish() on the queue, and the used-buffer interrupt if the driver wants it.
  virtual void publish(unsigned index) = 0;
  // The queue's content is beyond repair: DEVICE_NEEDS_RESET, a counter and a line.
  virtual void fail(const char* why) = 0;
  // The configuration space changed: new generation, interrupt. Any thread.
  virtual void config_changed() = 0;
  // process(index) shall run, as if the driver had notified. Any thread when threaded; the clock's
  // thread only when deterministic.
  virtual void kick(unsigned index) = 0;
  virtual Report& report() = 0;
  virtual bool deterministic() const = 0;
  // Held around process() and process_at_notify(), which may come from different threads. A
  // function that has the latter takes it in wait() while it completes chains.
  virtual std::mutex& work_mutex() = 0;
};

class Function {
 public:
  virtual ~Function() = default;

  void bind(Host* host) { host_ = host; }

  virtual uint32_t device_id() const = 0;  // virtio 1.2, 5
  // Base class, sub-class and interface of the function on PCI, which the standard leaves open: as
  // QEMU's. What has none is unclassified.
  virtual uint32_t pci_class() const { return 0x00ff00; }
  // Feature bits of the device type (0-23, 50 and up); the transport adds its own.
  virtual uint64_t features() const = 0;
  virtual unsigned queue_count() const = 0;                             // at most 62
  virtual uint16_t queue_max(unsigned /*index*/) const { return 256; }  // power of two

  // Configuration space. `offset + size` lies within config_bytes(). Any vCPU thread, one at a
  // time.
  virtual unsigned config_bytes() const { return 0; }
  virtual void config_read(unsigned /*offset*/, void* /*out*/, unsigned /*size*/) const {}
  virtual void config_write(unsigned /*offset*/, const void* /*data*/, unsigned /*size*/) {}

  // DRIVER_OK: the features are settled, process() may follow. `legacy`: a version 1 driver.
  virtual void start(uint64_t /*features*/, bool /*legacy*/) {}
  // The device was reset, or is to be; nothing is in flight. Forget the driver.
  virtual void reset() {}

  // Handle what is available on the queue, in a bounded number of steps. True: there is more.
  virtual bool process(unsigned queue) = 0;

  // Threaded mode only, on the vCPU's thread that notified, if nobody works on the queues: finish
  // what takes no longer than to wake another thread would, and never wait for the host. False:
  // process() shall look, which finds the queue as it was or with less in it.
  virtual bool process_at_notify(unsigned /*queue*/) { return false; }

  // process_at_notify() has something to finish: a notification is worth a vCPU's time.
  virtual bool finishes_at_notify() const { return false; }

  // --- threaded mode only, all but the first on the I/O thread ---
  // At assembly, before that thread is there: makes what cannot be had any more when a guest runs.
  virtual void begin(int /*kick_fd*/) {}
  // Nothing in flight: no completion can touch guest memory any more.
  virtual bool idle() const { return true; }
  // Sleeps until `kick_fd` (an eventfd) or the function's own work is ready, and does that work.
  // With `block` false only looks. `running` false: parking; start nothing new. Must consume
  // kick_fd when it is readable. The default knows no other work.
  virtual void wait(int kick_fd, bool block, bool running);

  // For statistics; any thread.
  virtual void counters(CounterVisitor /*visit*/, void* /*context*/) const {}

  virtual void save(StateWriter& /*out*/) const {}
  virtual bool load(StateReader& /*in*/) { return true; }

 protected:
  Host* host_ = nullptr;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_FUNCTION_H_
