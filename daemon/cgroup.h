#pragma once
// What a container has used, read from the kernel's own files: no fork, no call to the engine. A Cgroup is
// where those files are (version 1, 2 or both mounted); it is found once for each run, through the
// container's main process. Memory counts the file cache, as the container's limit does. A container that has
// ended has no files.

#include "base/result.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace agentmesh::daemon {

constexpr std::size_t kMaxCgroupProcesses = 10'000;  // more are not listed

struct CgroupRoots {
  std::filesystem::path proc = "/proc";
  std::filesystem::path cgroup = "/sys/fs/cgroup";
};

enum class CgroupVersion { v1, v2 };

struct Cgroup {
  CgroupVersion version = CgroupVersion::v2;
  std::filesystem::path memory;  // the folder of that controller; all three are one in version 2
  std::filesystem::path cpu;
  std::filesystem::path processes;
};

// `pid` and `container_id` as the engine's inspect gives them. A pid of another pid namespace, or one that
// was given to another process meanwhile, is noticed: its cgroup does not carry the container's id. Errors:
// not_found (no such process, or not the container's), invalid (not the kernel's format).
Result<Cgroup> cgroup_of(pid_t pid, std::string_view container_id, const CgroupRoots& roots);

// Since the container started. Errors of these three: not_found when it has ended, invalid.
Result<std::chrono::microseconds> cpu_time(const Cgroup& cgroup);
// The most it ever had, in bytes; on a kernel before 5.19 with version 2, what it has now.
Result<std::uint64_t> peak_memory(const Cgroup& cgroup);
// As this host counts them.
Result<std::vector<pid_t>> processes(const Cgroup& cgroup);

}  // namespace agentmesh::daemon
