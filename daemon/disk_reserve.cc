#include "daemon/disk_reserve.h"

#include <fcntl.h>
#include <unistd.h>

namespace agentmesh::daemon {

bool DiskReserve::take() {
  if (held_) return true;
  const UniqueFd file(::open(file_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  held_ = file.valid() && ::posix_fallocate(file.get(), 0, kReserveBytes) == 0;
  if (!held_) give_up();  // a part is no use
  return held_;
}

bool DiskReserve::give_up() {
  held_ = false;
  return ::unlink(file_.c_str()) == 0;
}

}  // namespace agentmesh::daemon
