// A disk of AHCI, by its message (Serial ATA AHCI 1.3.1; Serial ATA 3.1, 10.3.4).
#include "disk.h"
#include "pci.h"

static struct {
  u16 flags, prds;
  u32 moved;
  u64 table;
  u32 reserved[4];
} list[32] __attribute__((aligned(1024)));
static u8 received[256] __attribute__((aligned(256)));
static struct {
  u8 frame[64], packet[16], reserved[48];
  u64 address;
  u32 reserved2, count;
} table __attribute__((aligned(128)));
static u64 registers, port;
static int queued;

static void issue(u8 command, u64 sector, u32 count, int write) {
  for (unsigned i = 0; i < sizeof table.frame; ++i) table.frame[i] = 0;
  u8* const f = table.frame;
  f[0] = 0x27;  // a register frame, with a command
  f[1] = 0x80;
  f[2] = command;
  f[4] = (u8)sector;
  f[5] = (u8)(sector >> 8);
  f[6] = (u8)(sector >> 16);
  f[7] = 0x40;  // LBA
  f[8] = (u8)(sector >> 24);
  f[9] = (u8)(sector >> 32);
  f[10] = (u8)(sector >> 40);
  if (queued) {
    f[3] = (u8)count;  // the tag, 0, stands in the count's place
  } else {
    f[12] = (u8)count;
  }
  table.address = (u64)data;
  table.count = (count == 0 ? kSector : kBlock) - 1;
  list[0].flags = (u16)(5 | (write ? 1 << 6 : 0));  // words of the frame
  list[0].prds = 1;
  list[0].moved = 0;
  list[0].table = (u64)&table;
}
static void prepare(enum Operation operation, u64 block, int poll) {
  static const u8 commands[] = {0x25, 0x35, 0xec, 0x60, 0x61};
  (void)poll;
  queued = operation == kQueuedRead || operation == kQueuedWrite;
  issue(commands[operation], operation == kIdentify ? 0 : block * (kBlock / kSector),
        operation == kIdentify ? 0 : kBlock / kSector,
        operation == kWrite || operation == kQueuedWrite);
}
static void start(void) {
  if (queued) set(port + 0x34, 1);  // PxSACT
  set(port + 0x38, 1);              // PxCI
}
static int done(void) { return get(port + 0x38) == 0 && get(port + 0x34) == 0; }
static int good(void) { return (get(port + 0x20) & 0x89) == 0; }  // PxTFD: BSY, DRQ, ERR
static void acknowledge(void) {
  set(port + 0x10, get(port + 0x10));  // PxIS
  set(registers + 0x08, 1);            // IS
}

int ahci_disk(struct Disk* disk) {
  const u64 function = pci_find(8, 0xffffff00, 0x01060100);
  if (function == 0) return 0;
  const u64 msi = pci_capability(function, 5, 0);
  if (msi == 0 || (get_u16(msi + 2) & 0x80) == 0) fail("no MSI of 64 bits");
  set(msi + 4, kDoorbell);
  set(msi + 8, 0);
  set_u16(msi + 12, 0);  // its event
  set_u16(msi + 2, 1);
  expect_message(pci_device_id(function));

  registers = pci_bar(function, 5);
  port = registers + 0x100;
  set(registers + 0x04, 1u << 31);              // GHC: AHCI
  if ((get(port + 0x28) & 0xf) != 3) return 0;  // PxSSTS: no disk
  set(port + 0x00, (u32)(u64)list);
  set(port + 0x04, 0);
  set(port + 0x08, (u32)(u64)received);
  set(port + 0x0c, 0);
  set(port + 0x30, ~0u);          // PxSERR
  set(port + 0x18, 1u << 4 | 6);  // PxCMD: receives frames
  set(port + 0x18, 1u << 4 | 7);  // runs
  set(port + 0x10, ~0u);
  set(registers + 0x08, ~0u);

  disk->prepare = prepare;
  disk->start = start;
  disk->done = done;
  disk->good = good;
  disk->acknowledge = acknowledge;
  prepare(kIdentify, 0, 1);
  barrier();
  start();
  while (!done()) {
  }
  disk->blocks = get_u64((u64)data + 200) / (kBlock / kSector);  // words 100 to 103
  set(port + 0x10, ~0u);
  set(registers + 0x08, ~0u);
  set(port + 0x14, 1u << 0 | 1u << 1 | 1u << 3 | 1u << 30);  // PxIE: frames, errors
  set(registers + 0x04, 1u << 31 | 2);                       // GHC: and interrupts
  if (disk->blocks == 0) fail("the disk is too small");
  return 1;
}
