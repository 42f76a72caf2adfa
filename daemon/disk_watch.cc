#include "daemon/disk_watch.h"

#include "base/text.h"

#include <fmt/format.h>

namespace agentmesh::daemon {

std::optional<std::string> DiskWatch::saved(const Result<void>& done, WallTime now) {
  if (done || done.error().code != ErrorCode::exhausted) return std::nullopt;
  return tell(describe(done.error()), now);
}

std::optional<std::string> DiskWatch::looked(std::uint64_t bytes_left, WallTime now) {
  if (bytes_left >= 2 * kNoDiskBytes) told_.reset();
  if (bytes_left >= kNoDiskBytes) return std::nullopt;
  return tell(fmt::format("{} left", format_size(bytes_left)), now);
}

std::optional<std::string> DiskWatch::tell(std::string what, WallTime now) {
  if (told_ && now - *told_ < kDiskToldAgain) return std::nullopt;
  told_ = now;
  return what;
}

}  // namespace agentmesh::daemon
