#pragma once
// An agent's folders on the disk, made ready for its next run. The agent owns what is in them and may have
// put anything there: no link is followed, and nothing takes longer because the agent filled a folder. All of
// it blocks, so it runs on base/offload.

#include "agents/adapter.h"
#include "base/result.h"
#include "sandbox/mount_policy.h"

#include <filesystem>
#include <vector>

namespace agentmesh::daemon {

struct AgentFolders {
  std::filesystem::path home;
  std::filesystem::path run;
  std::filesystem::path pane;
  std::filesystem::path password;  // made once, so that who is connected stays so; empty: none
  sandbox::Identity owner;
  std::vector<agents::HomeFile> files;
  std::vector<std::filesystem::path> emptied;  // below home
};

// Makes the folders for their owner, writes the files, each whole or not at all (an empty one counts as
// absent), and puts new folders in the place of those that begin empty. Answers where the old ones are now,
// and what an earlier call put aside and nobody has removed yet. Errors: those of the disk.
Result<std::vector<std::filesystem::path>> prepare_folders(const AgentFolders& folders);

constexpr std::size_t kRemovedAtOnce = 2'000;  // entries looked at in one call
constexpr int kMaxRemovedDepth = 32;           // what lies deeper stays

enum class Removed { all, some, nothing_more };
// Removes a part of what prepare_folders put aside, `relative` below `home`. `some`: call again.
Removed remove_some(const std::filesystem::path& home, const std::filesystem::path& relative);

}  // namespace agentmesh::daemon
