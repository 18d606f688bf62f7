// virtio-scsi as it is on the wire (virtio 1.2, 5.6).
#ifndef TRAPLINE_DEVICES_VIRTIO_SCSI_WIRE_H_
#define TRAPLINE_DEVICES_VIRTIO_SCSI_WIRE_H_

#include <cstddef>
#include <cstdint>

namespace trapline::virtio::scsi_wire {

// 5.6.2: behind these two the request queues.
inline constexpr unsigned kControlQueue = 0, kEventQueue = 1, kFirstRequestQueue = 2;

// struct virtio_scsi_config, 5.6.4.
struct Config {
  uint32_t num_queues;
  uint32_t seg_max;
  uint32_t max_sectors;  // of 512 bytes, in a request
  uint32_t cmd_per_lun;
  uint32_t event_info_size;
  uint32_t sense_size;  // the driver's
  uint32_t cdb_size;    // the driver's
  uint16_t max_channel;
  uint16_t max_target;
  uint32_t max_lun;
};
static_assert(sizeof(Config) == 36 && offsetof(Config, sense_size) == 20, "as on the wire");
inline constexpr uint32_t kDefaultSenseSize = 96, kDefaultCdbSize = 32;

// struct virtio_scsi_req_cmd, 5.6.6.1: up to the CDB, whose size is cdb_size; behind it the data.
struct __attribute__((packed)) RequestHeader {
  uint8_t lun[8];
  uint64_t id;
  uint8_t task_attr, priority, crn;
};
static_assert(sizeof(RequestHeader) == 19, "as on the wire");

// Up to the sense data, whose size is sense_size; behind it the data.
struct ResponseHeader {
  uint32_t sense_len;
  uint32_t residual;
  uint16_t status_qualifier;
  uint8_t status;
  uint8_t response;
};
static_assert(sizeof(ResponseHeader) == 12, "as on the wire");

enum Response : uint8_t {
  kOk = 0,
  kOverrun = 1,
  kBadTarget = 3,
  kFailure = 9,
  // 5.6.6.2: of control requests
  kFunctionSucceeded = 10,
  kFunctionRejected = 11,
  kIncorrectLun = 12,
};

enum ControlType : uint32_t { kTmf = 0, kAnQuery = 1, kAnSubscribe = 2 };

enum TmfSubtype : uint32_t {
  kAbortTask = 0,
  kAbortTaskSet = 1,
  kClearAca = 2,
  kClearTaskSet = 3,
  kNexusReset = 4,
  kUnitReset = 5,
  kQueryTask = 6,
  kQueryTaskSet = 7,
};

// struct virtio_scsi_ctrl_tmf; one byte, the response, is for the driver.
struct TmfRequest {
  uint32_t type;
  uint32_t subtype;
  uint8_t lun[8];
  uint64_t id;
};
static_assert(sizeof(TmfRequest) == 24, "as on the wire");

// struct virtio_scsi_ctrl_an; for the driver the events, a word, and the response.
struct __attribute__((packed)) AnRequest {
  uint32_t type;
  uint8_t lun[8];
  uint32_t event_requested;
};
struct __attribute__((packed)) AnResponse {
  uint32_t event_actual;
  uint8_t response;
};
static_assert(sizeof(AnRequest) == 16 && sizeof(AnResponse) == 5, "as on the wire");

}  // namespace trapline::virtio::scsi_wire

#endif  // TRAPLINE_DEVICES_VIRTIO_SCSI_WIRE_H_
