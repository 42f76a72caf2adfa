#pragma once
// Processes as /proc shows them: who descends from whom, who carries a mark, what they have used. Read when a
// run ends, is stopped or is asked about, never on a timer. A process that ends meanwhile is not an error.

#include <chrono>
#include <filesystem>
#include <optional>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace agentmesh::host {

struct ProcessSeen {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t session = 0;
  std::chrono::microseconds started{0};     // since the machine started
  std::chrono::microseconds cpu{0};         // its own
  std::chrono::microseconds waited_cpu{0};  // of children that ended and were waited for
};

// One line of /proc/PID/stat. Nothing: not that format.
std::optional<ProcessSeen> parse_stat(std::string_view line);
// Nothing: it has ended, or what is read is not that format.
std::optional<ProcessSeen> read_process(pid_t pid, const std::filesystem::path& proc);

// Children, their children and so on, nearest first, without `root` itself.
std::vector<ProcessSeen> descendants_of(pid_t root, const std::filesystem::path& proc);

// Sends a signal to that process; one that has its pid by now has another start and is left alone.
void signal_seen(const ProcessSeen& process, int signal, const std::filesystem::path& proc);

// Processes whose environment holds this "NAME=VALUE". Those of other users cannot be read and are left out.
std::vector<pid_t> carriers_of(std::string_view variable, const std::filesystem::path& proc);
bool carries(pid_t pid, std::string_view variable, const std::filesystem::path& proc);

// What everything below `root` has used, as far as it can be known: a process that its parent did not wait
// for takes its share with it.
std::chrono::microseconds cpu_below(pid_t root, const std::filesystem::path& proc);

}  // namespace agentmesh::host
