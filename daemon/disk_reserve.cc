#include "daemon/disk_reserve.h"

#include <fcntl.h>
#include <unistd.h>

namespace agentmesh::daemon {

bool DiskReserve::take() {
  const UniqueFd file(::open(file_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.valid() && ::posix_fallocate(file.get(), 0, kReserveBytes) == 0) return true;
  give_up();  // a part is no use
  return false;
}

bool DiskReserve::give_up() { return ::unlink(file_.c_str()) == 0; }

}  // namespace agentmesh::daemon
