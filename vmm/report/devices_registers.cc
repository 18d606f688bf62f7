// Registers' names, as the devices' manuals have them.
#include <fmt/format.h>

#include <span>

#include "vmm/report/devices_map.h"

namespace trapline {
namespace {

struct Name {
  uint32_t start, bytes;
  std::string_view name;
};

// Arm PrimeCell UART (PL011) TRM, table 3-1.
constexpr Name kPl011[] = {
    {0x000, 4, "UARTDR"},         {0x004, 4, "UARTRSR"},   {0x018, 4, "UARTFR"},
    {0x020, 4, "UARTILPR"},       {0x024, 4, "UARTIBRD"},  {0x028, 4, "UARTFBRD"},
    {0x02c, 4, "UARTLCR_H"},      {0x030, 4, "UARTCR"},    {0x034, 4, "UARTIFLS"},
    {0x038, 4, "UARTIMSC"},       {0x03c, 4, "UARTRIS"},   {0x040, 4, "UARTMIS"},
    {0x044, 4, "UARTICR"},        {0x048, 4, "UARTDMACR"}, {0xfe0, 0x10, "UARTPeriphID"},
    {0xff0, 0x10, "UARTPCellID"},
};
// Arm PrimeCell Real Time Clock (PL031) TRM, table 3-1.
constexpr Name kPl031[] = {
    {0x00, 4, "RTCDR"},          {0x04, 4, "RTCMR"},   {0x08, 4, "RTCLR"},
    {0x0c, 4, "RTCCR"},          {0x10, 4, "RTCIMSC"}, {0x14, 4, "RTCRIS"},
    {0x18, 4, "RTCMIS"},         {0x1c, 4, "RTCICR"},  {0xfe0, 0x10, "RTCPeriphID"},
    {0xff0, 0x10, "RTCPCellID"},
};
// Arm IHI 0069, 12.8: the distributor.
constexpr Name kGicd[] = {
    {0x0000, 4, "GICD_CTLR"},           {0x0004, 4, "GICD_TYPER"},
    {0x0008, 4, "GICD_IIDR"},           {0x000c, 4, "GICD_TYPER2"},
    {0x0010, 4, "GICD_STATUSR"},        {0x0040, 4, "GICD_SETSPI_NSR"},
    {0x0048, 4, "GICD_CLRSPI_NSR"},     {0x0050, 4, "GICD_SETSPI_SR"},
    {0x0058, 4, "GICD_CLRSPI_SR"},      {0x0080, 0x80, "GICD_IGROUPR"},
    {0x0100, 0x80, "GICD_ISENABLER"},   {0x0180, 0x80, "GICD_ICENABLER"},
    {0x0200, 0x80, "GICD_ISPENDR"},     {0x0280, 0x80, "GICD_ICPENDR"},
    {0x0300, 0x80, "GICD_ISACTIVER"},   {0x0380, 0x80, "GICD_ICACTIVER"},
    {0x0400, 0x400, "GICD_IPRIORITYR"}, {0x0800, 0x400, "GICD_ITARGETSR"},
    {0x0c00, 0x100, "GICD_ICFGR"},      {0x0d00, 0x80, "GICD_IGRPMODR"},
    {0x0e00, 0x100, "GICD_NSACR"},      {0x0f00, 4, "GICD_SGIR"},
    {0x0f10, 0x10, "GICD_CPENDSGIR"},   {0x0f20, 0x10, "GICD_SPENDSGIR"},
    {0x6000, 0x1fe0, "GICD_IROUTER"},   {0xffd0, 0x10, "GICD_PIDR4"},
    {0xffe0, 8, "GICD_PIDR0"},          {0xffe8, 4, "GICD_PIDR2"},
    {0xffec, 4, "GICD_PIDR3"},          {0xfff0, 0x10, "GICD_CIDR"},
};
// 12.10: a redistributor's two frames of 64 KiB.
constexpr Name kGicr[] = {
    {0x0'0000, 4, "GICR_CTLR"},        {0x0'0004, 4, "GICR_IIDR"},
    {0x0'0008, 8, "GICR_TYPER"},       {0x0'0010, 4, "GICR_STATUSR"},
    {0x0'0014, 4, "GICR_WAKER"},       {0x0'0018, 4, "GICR_MPAMIDR"},
    {0x0'001c, 4, "GICR_PARTIDR"},     {0x0'0040, 8, "GICR_SETLPIR"},
    {0x0'0048, 8, "GICR_CLRLPIR"},     {0x0'0070, 8, "GICR_PROPBASER"},
    {0x0'0078, 8, "GICR_PENDBASER"},   {0x0'00a0, 8, "GICR_INVLPIR"},
    {0x0'00b0, 8, "GICR_INVALLR"},     {0x0'00c0, 4, "GICR_SYNCR"},
    {0x0'ffd0, 0x10, "GICR_PIDR4"},    {0x0'ffe0, 8, "GICR_PIDR0"},
    {0x0'ffe8, 4, "GICR_PIDR2"},       {0x0'ffec, 4, "GICR_PIDR3"},
    {0x0'fff0, 0x10, "GICR_CIDR"},     {0x1'0080, 4, "GICR_IGROUPR0"},
    {0x1'0100, 4, "GICR_ISENABLER0"},  {0x1'0180, 4, "GICR_ICENABLER0"},
    {0x1'0200, 4, "GICR_ISPENDR0"},    {0x1'0280, 4, "GICR_ICPENDR0"},
    {0x1'0300, 4, "GICR_ISACTIVER0"},  {0x1'0380, 4, "GICR_ICACTIVER0"},
    {0x1'0400, 32, "GICR_IPRIORITYR"}, {0x1'0c00, 4, "GICR_ICFGR0"},
    {0x1'0c04, 4, "GICR_ICFGR1"},      {0x1'0d00, 4, "GICR_IGRPMODR0"},
    {0x1'0e00, 4, "GICR_NSACR"},
};
// Virtio 1.2, 4.2.2, and 4.2.4 of the legacy interface.
constexpr Name kVirtio[] = {
    {0x000, 4, "MagicValue"},      {0x004, 4, "Version"},
    {0x008, 4, "DeviceID"},        {0x00c, 4, "VendorID"},
    {0x010, 4, "DeviceFeatures"},  {0x014, 4, "DeviceFeaturesSel"},
    {0x020, 4, "DriverFeatures"},  {0x024, 4, "DriverFeaturesSel"},
    {0x028, 4, "GuestPageSize"},   {0x030, 4, "QueueSel"},
    {0x034, 4, "QueueNumMax"},     {0x038, 4, "QueueNum"},
    {0x03c, 4, "QueueAlign"},      {0x040, 4, "QueuePFN"},
    {0x044, 4, "QueueReady"},      {0x050, 4, "QueueNotify"},
    {0x060, 4, "InterruptStatus"}, {0x064, 4, "InterruptACK"},
    {0x070, 4, "Status"},          {0x080, 4, "QueueDescLow"},
    {0x084, 4, "QueueDescHigh"},   {0x090, 4, "QueueDriverLow"},
    {0x094, 4, "QueueDriverHigh"}, {0x0a0, 4, "QueueDeviceLow"},
    {0x0a4, 4, "QueueDeviceHigh"}, {0x0ac, 4, "SHMSel"},
    {0x0b0, 4, "SHMLenLow"},       {0x0b4, 4, "SHMLenHigh"},
    {0x0b8, 4, "SHMBaseLow"},      {0x0bc, 4, "SHMBaseHigh"},
    {0x0c0, 4, "QueueReset"},      {0x0fc, 4, "ConfigGeneration"},
    {0x100, 0x100, "Config"},
};
constexpr Name kFwCfg[] = {{0, 8, "Data"}, {8, 8, "Selector"}, {16, 8, "DMA"}};

struct Device {
  std::string_view begins;
  std::span<const Name> names;
  uint64_t mask;  // a window may hold several
};
constexpr Device kDevices[] = {
    {"pl011", kPl011, 0xfff},  {"pl031", kPl031, 0xfff},    {"gicd", kGicd, 0xffff},
    {"gicr", kGicr, 0x1'ffff}, {"virtio", kVirtio, 0xffff}, {"fw_cfg", kFwCfg, 0xff},
};

}  // namespace

std::string device_register_name(std::string_view device, uint64_t offset) {
  if (device.starts_with("pflash")) return "flash";
  for (const Device& known : kDevices) {
    if (!device.starts_with(known.begins)) continue;
    for (const Name& name : known.names) {
      if ((offset & known.mask) - name.start < name.bytes) return std::string(name.name);
    }
  }
  return fmt::format("+{:#x}", offset & ~uint64_t{3});
}

}  // namespace trapline
