#pragma once
// Was anything below a folder written to lately? A bounded walk that never follows a link and never leaves
// the folder, whoever moves what meanwhile. Blocks: run it with base/offload.

#include "base/clock.h"
#include "base/result.h"

#include <filesystem>
#include <optional>
#include <string>

namespace agentmesh {

struct WalkLimits {
  std::size_t entries = 100'000;  // 0.2 s when the kernel has them in memory
  Millis time{2'000};
  std::size_t depth = 64;  // what is deeper is not looked at
};

struct RecentWrite {
  std::optional<std::string> path;  // relative to the folder; none: nothing found
  bool whole = false;               // everything was looked at
};

// The first entry found whose change time is within the last `age`. The change time and not that of the
// content, because an agent can set the latter. What lies in the future, because the clock was set back, is
// not counted. The most recently changed folders come first. Errors: not_found, denied, as for read_file.
Result<RecentWrite> find_recent_write(const std::filesystem::path& folder, Millis age,
                                      const WalkLimits& limits);

}  // namespace agentmesh
