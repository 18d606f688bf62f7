// virtio-blk on virtio-mmio and on virtio-pci, by its message (virtio 1.2, 2.7, 4.1, 4.2 and 5.2).
#include "disk.h"
#include "pci.h"

enum { kSlots = 32, kSlotBytes = 0x200, kFirstSlot = 0x0a000000 };
enum { kQueueSize = 8 };
enum { kTypeIn = 0, kTypeOut = 1, kTypeGetId = 8 };
enum { kFlush = 1 << 9 };  // without it writes go through to the disk

struct Descriptor {
  u64 address;
  u32 length;
  u16 flags, next;
};
static struct Descriptor table[kQueueSize] __attribute__((aligned(16)));
static struct { u16 flags, index, ring[kQueueSize], event; } available __attribute__((aligned(2)));
static struct {
  u16 flags, index;
  struct {
    u32 id, length;
  } ring[kQueueSize];
  u16 event;
} used __attribute__((aligned(4)));
static struct {
  u32 type, reserved;
  u64 sector;
} header;
static u8 status;
static u64 device, doorbell;

static void prepare(enum Operation operation, u64 block, int poll) {
  header.type = operation == kRead ? kTypeIn : operation == kWrite ? kTypeOut : kTypeGetId;
  header.sector = block * (kBlock / kSector);
  status = 0xff;
  table[0] = (struct Descriptor){(u64)&header, sizeof header, 1, 1};
  table[1] = (struct Descriptor){(u64)data, operation == kIdentify ? 20 : kBlock,
                                 operation == kWrite ? 1 : 1 | 2, 2};
  table[2] = (struct Descriptor){(u64)&status, 1, 2, 0};
  available.flags = poll ? 1 : 0;  // VIRTQ_AVAIL_F_NO_INTERRUPT
  available.ring[available.index % kQueueSize] = 0;
  __asm__ volatile("dmb ish" ::: "memory");
  *(volatile u16*)&available.index = (u16)(available.index + 1);
}
static int done(void) { return *(volatile u16*)&used.index == available.index; }
static int good(void) { return *(volatile u8*)&status == 0; }
static void fill(struct Disk* disk) {
  disk->prepare = prepare;
  disk->done = done;
  disk->good = good;
  if (disk->blocks == 0) fail("the disk is too small");
}
static void set_half(u64 address, u64 value) {
  set(address, (u32)value);
  set(address + 4, (u32)(value >> 32));
}

// --- virtio-mmio ---------------------------------------------------------------------------------

static void mmio_start(void) { set(doorbell, 0); }
static void mmio_acknowledge(void) { set(device + 0x64, get(device + 0x60)); }

int virtio_mmio_disk(struct Disk* disk) {
  for (u64 slot = 0; slot < kSlots && device == 0; ++slot) {
    const u64 base = kFirstSlot + slot * kSlotBytes;
    if (get(base) == 0x74726976 && get(base + 0x08) == 2) {
      device = base;
      expect_spi(kFirstSpi + 16 + (u32)slot);
    }
  }
  if (device == 0) return 0;
  if (get(device + 0x04) != 2) fail("not virtio-mmio version 2");
  set(device + 0x70, 0);  // Status
  set(device + 0x70, 1 | 2);
  set(device + 0x24, 1);  // DriverFeaturesSel
  set(device + 0x20, 1);  // VERSION_1
  set(device + 0x24, 0);
  set(device + 0x20, kFlush);
  set(device + 0x70, 1 | 2 | 8);
  if ((get(device + 0x70) & 8) == 0) fail("features refused");
  set(device + 0x30, 0);           // QueueSel
  set(device + 0x38, kQueueSize);  // QueueNum
  set_half(device + 0x80, (u64)table);
  set_half(device + 0x90, (u64)&available);
  set_half(device + 0xa0, (u64)&used);
  set(device + 0x44, 1);  // QueueReady
  set(device + 0x70, 1 | 2 | 4 | 8);
  doorbell = device + 0x50;  // QueueNotify
  disk->start = mmio_start;
  disk->acknowledge = mmio_acknowledge;
  disk->blocks = (get(device + 0x100) | (u64)get(device + 0x104) << 32) / (kBlock / kSector);
  fill(disk);
  return 1;
}

// --- virtio-pci ----------------------------------------------------------------------------------

static void pci_start(void) { set_u16(doorbell, 0); }
static void pci_acknowledge(void) {}  // a message says all

// A structure of the function, by its capability (4.1.4); `more`: the word behind.
static u64 structure(u64 function, u8 type, u32* more) {
  for (u64 at = 0; (at = pci_capability(function, 9, at)) != 0;) {
    if (get_u8(at + 3) != type) continue;
    if (more != 0) *more = get(at + 16);
    return pci_bar(function, get_u8(at + 4)) + get(at + 8);
  }
  fail("a structure is missing");
  return 0;
}

int virtio_pci_disk(struct Disk* disk) {
  const u64 function = pci_find(0, ~0u, 0x10421af4);
  if (function == 0) return 0;
  const u64 msix = pci_capability(function, 0x11, 0);
  if (msix == 0) fail("no MSI-X");
  const u32 place = get(msix + 4);
  const u64 vector = pci_bar(function, place & 7) + (place & ~7u);
  set_u16(msix + 2, 1u << 15);  // enabled
  set_half(vector, kDoorbell);
  set(vector + 8, 0);   // its event
  set(vector + 12, 0);  // not masked
  expect_message(pci_device_id(function));

  u32 multiplier;
  const u64 common = structure(function, 1, 0), notify = structure(function, 2, &multiplier);
  const u64 capacity = structure(function, 4, 0);
  set_u8(common + 0x14, 0);  // device_status
  set_u8(common + 0x14, 1 | 2);
  set(common + 0x08, 1);  // driver_feature_select
  set(common + 0x0c, 1);
  set(common + 0x08, 0);
  set(common + 0x0c, kFlush);
  set_u8(common + 0x14, 1 | 2 | 8);
  if ((get_u8(common + 0x14) & 8) == 0) fail("features refused");
  set_u16(common + 0x16, 0);  // queue_select
  set_u16(common + 0x18, kQueueSize);
  set_u16(common + 0x1a, 0);  // queue_msix_vector
  set_half(common + 0x20, (u64)table);
  set_half(common + 0x28, (u64)&available);
  set_half(common + 0x30, (u64)&used);
  doorbell = notify + get_u16(common + 0x1e) * multiplier;
  set_u16(common + 0x1c, 1);  // queue_enable
  set_u8(common + 0x14, 1 | 2 | 4 | 8);
  disk->start = pci_start;
  disk->acknowledge = pci_acknowledge;
  disk->blocks = (get(capacity) | (u64)get(capacity + 4) << 32) / (kBlock / kSector);
  fill(disk);
  return 1;
}
