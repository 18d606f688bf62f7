// A disk behind one of the machine's buses, as notify.c drives it: one request of one block at a
// time.
#ifndef TRAPLINE_BENCH_IO_DISK_H_
#define TRAPLINE_BENCH_IO_DISK_H_

#include "bare.h"

// What a request does; kQueued: by a disk's own queue (NCQ), where it has one. kIdentify needs no
// host I/O.
enum Operation { kRead, kWrite, kIdentify, kQueuedRead, kQueuedWrite };

struct Disk {
  // Makes a request of `data`; `poll`: without an interrupt.
  void (*prepare)(enum Operation operation, u64 block, int poll);
  void (*start)(void);  // the doorbell
  int (*done)(void);
  int (*good)(void);
  void (*acknowledge)(void);  // its interrupt, at the device
  u64 blocks;
};

extern u8 data[kBlock];

// Each finds its disk, or does nothing and returns false.
int virtio_mmio_disk(struct Disk* disk);
int virtio_pci_disk(struct Disk* disk);
int ahci_disk(struct Disk* disk);

#endif  // TRAPLINE_BENCH_IO_DISK_H_
