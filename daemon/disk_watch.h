#pragma once
// Whether the disk of AGENTMESH_HOME has room: a person is told when it has none, once while it lasts,
// because from then on nothing new is started and homes and workspaces, which have no quota, may be what
// fills it. Passive: it reads no clock and no disk.

#include "base/clock.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>

namespace agentmesh::daemon {

constexpr std::uint64_t kNoDiskBytes = 100ULL * 1024 * 1024;  // the journal needs this much to go on
constexpr Millis kDiskToldAgain{60 * 60'000};

class DiskWatch {
 public:
  // How a row was saved. An answer is what a person should hear.
  std::optional<std::string> saved(const Result<void>& done, WallTime now);
  // Seen from time to time: what users may still write.
  std::optional<std::string> looked(std::uint64_t bytes_left, WallTime now);

 private:
  std::optional<std::string> tell(std::string what, WallTime now);
  std::optional<WallTime> told_;
};

}  // namespace agentmesh::daemon
