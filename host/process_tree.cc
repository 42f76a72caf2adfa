#include "host/process_tree.h"

#include "base/files.h"
#include "base/process.h"
#include "base/text.h"

#include <algorithm>
#include <set>
#include <unistd.h>

namespace agentmesh::host {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxStat = 4 * 1024;
constexpr std::size_t kMaxEnvironment = 4 * 1024 * 1024;
// proc(5), counted from the field after the name, which is the state.
constexpr std::size_t kParent = 1;
constexpr std::size_t kSession = 3;
constexpr std::size_t kUser = 11;
constexpr std::size_t kChildUser = 13;
constexpr std::size_t kStarted = 19;

std::chrono::microseconds of_ticks(std::int64_t ticks) {
  static const std::int64_t per_second = ::sysconf(_SC_CLK_TCK);
  return std::chrono::microseconds(ticks * 1'000'000 / per_second);
}

template <class Visit>
void each_process(const fs::path& proc, Visit visit) {
  std::error_code ec;
  for (fs::directory_iterator at(proc, ec), end; !ec && at != end; at.increment(ec)) {
    if (const auto pid = whole_number<pid_t>(at->path().filename().string(), 1)) visit(*pid);
  }
}

}  // namespace

// "PID (NAME) STATE PARENT GROUP SESSION ...", where the name may hold anything.
std::optional<ProcessSeen> parse_stat(std::string_view line) {
  const std::size_t open = line.find(" (");
  const std::size_t close = line.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return std::nullopt;
  const auto pid = whole_number<pid_t>(line.substr(0, open));
  const auto fields = split(trim(line.substr(close + 2)), ' ');
  if (!pid || fields.size() <= kStarted) return std::nullopt;
  std::vector<std::int64_t> values;
  for (const std::size_t field :
       {kParent, kSession, kUser, kUser + 1, kChildUser, kChildUser + 1, kStarted}) {
    const auto value = whole_number<std::int64_t>(fields[field]);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  return ProcessSeen{.pid = *pid,
                     .parent = static_cast<pid_t>(values[0]),
                     .session = static_cast<pid_t>(values[1]),
                     .started = of_ticks(values[6]),
                     .cpu = of_ticks(values[2] + values[3]),
                     .waited_cpu = of_ticks(values[4] + values[5])};
}

std::optional<ProcessSeen> read_process(pid_t pid, const fs::path& proc) {
  const auto line = read_file(proc / std::to_string(pid) / "stat", kMaxStat);
  return line ? parse_stat(*line) : std::nullopt;
}

std::vector<ProcessSeen> descendants_of(pid_t root, const fs::path& proc) {
  std::vector<ProcessSeen> all;
  each_process(proc, [&](pid_t pid) {
    if (const auto seen = read_process(pid, proc)) all.push_back(*seen);
  });
  std::vector<ProcessSeen> found;
  std::set<pid_t> generation{root};
  while (!generation.empty()) {
    std::set<pid_t> next;
    for (const ProcessSeen& process : all) {
      if (!generation.contains(process.parent) || process.pid == root) continue;
      found.push_back(process);
      next.insert(process.pid);
    }
    generation = std::move(next);
  }
  return found;
}

void signal_seen(const ProcessSeen& process, int signal, const fs::path& proc) {
  signal_process(process.pid, signal, [&] {
    const auto now = read_process(process.pid, proc);
    return now && now->started == process.started;
  });
}

bool carries(pid_t pid, std::string_view variable, const fs::path& proc) {
  const auto environment = read_file(proc / std::to_string(pid) / "environ", kMaxEnvironment);
  if (!environment) return false;
  const auto lines = split(*environment, '\0');
  return std::ranges::find(lines, variable) != lines.end();
}

std::vector<pid_t> carriers_of(std::string_view variable, const fs::path& proc) {
  std::vector<pid_t> found;
  each_process(proc, [&](pid_t pid) {
    if (carries(pid, variable, proc)) found.push_back(pid);
  });
  return found;
}

std::chrono::microseconds cpu_below(pid_t root, const fs::path& proc) {
  std::chrono::microseconds sum{0};
  if (const auto self = read_process(root, proc)) sum += self->waited_cpu;
  for (const ProcessSeen& process : descendants_of(root, proc)) sum += process.cpu + process.waited_cpu;
  return sum;
}

}  // namespace agentmesh::host
