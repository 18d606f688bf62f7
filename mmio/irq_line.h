// A level-sensitive interrupt wire, bound to an input of the interrupt controller when the machine
// is assembled. Devices know no interrupt numbers.
#ifndef TRAPLINE_MMIO_IRQ_LINE_H_
#define TRAPLINE_MMIO_IRQ_LINE_H_

namespace trapline {

class IrqLine {
 public:
  virtual ~IrqLine() = default;
  // Idempotent and callable from any thread, also with a device's own lock held: an
  // implementation takes only locks of the interrupt controller, which never calls a device.
  virtual void set(bool level) = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_IRQ_LINE_H_
