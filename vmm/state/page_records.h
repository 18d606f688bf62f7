// Pages of RAM as records: of a migration, and of files that are not mapped.
#ifndef TRAPLINE_VMM_STATE_PAGE_RECORDS_H_
#define TRAPLINE_VMM_STATE_PAGE_RECORDS_H_

#include <vector>

#include "vmm/state/dirty_log.h"
#include "vmm/state/records.h"

namespace trapline::state {

class PageRecords final : public PageSink {
 public:
  PageRecords(Channel& out, bool compress, const std::atomic<bool>& cancelled)
      : out_(out), compress_(compress), cancelled_(cancelled) {}
  bool pages(uint64_t first, uint32_t count, const uint8_t* bytes) override;
  bool zeroes(uint64_t first, uint32_t count) override;
  uint64_t written() const { return written_; }

 private:
  Channel& out_;
  const bool compress_;
  const std::atomic<bool>& cancelled_;
  uint64_t written_ = 0;  // pages
  std::vector<uint8_t> packed_;
};

// Into `ram`, which begins at RAM's first byte and has `size` of them.
std::string take_pages(const std::string& what, const Record& record, uint8_t* ram, uint64_t size);

}  // namespace trapline::state

#endif  // TRAPLINE_VMM_STATE_PAGE_RECORDS_H_
