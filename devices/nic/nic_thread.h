// The thread of an emulated network card: it sends what the driver has put up, and takes what the
// back end has. Woken by the card's registers, parked while all else stands still.
#ifndef TRAPLINE_DEVICES_NIC_NIC_THREAD_H_
#define TRAPLINE_DEVICES_NIC_NIC_THREAD_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "devices/virtio/net_backend.h"

namespace trapline {

class NicThread {
 public:
  // What the card does; on the thread.
  class Card {
   public:
    virtual ~Card() = default;
    // Sends a bounded number of frames, without a lock of the card's held while it calls
    // backend(). True: there is more.
    virtual bool transmit() = 0;
    // A frame for the guest; false: no room now, kick() is the sign to try again.
    virtual bool receive(const uint8_t* frame, size_t size) = 0;
  };

  // Starts parked. `offloads`: the features of virtio-net that the card's driver stands for.
  NicThread(Card& card, std::unique_ptr<virtio::NetBackend> backend, uint64_t offloads,
            const std::string& name);
  ~NicThread();
  NicThread(const NicThread&) = delete;
  NicThread& operator=(const NicThread&) = delete;

  virtio::NetBackend& backend() { return *backend_; }
  // There may be something to send, or room. Any thread; never blocks.
  void kick();
  // Returns when the thread touches neither the card nor guest memory.
  void park();
  void unpark();

 private:
  void run();
  void wait(bool block);

  Card& card_;
  const std::unique_ptr<virtio::NetBackend> backend_;
  const int kick_fd_;
  std::atomic<bool> kicked_{false};
  bool refused_ = false;  // the thread's: the back end was told that there is no room
  std::vector<pollfd> fds_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool park_ = true, parked_ = false, exit_ = false;
  std::thread thread_;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_NIC_NIC_THREAD_H_
