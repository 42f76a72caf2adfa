#include "daemon/cgroup.h"

#include "base/files.h"
#include "base/text.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFile = 256 * 1024;  // bytes: 10,000 pids, or a line for each controller
constexpr std::int64_t kNanosPerMicro = 1'000;

std::unexpected<Error> malformed(const fs::path& file) {
  return fail(ErrorCode::invalid, "cgroup", file.string() + " has an unknown format");
}

Result<std::uint64_t> number_of(std::string_view text, const fs::path& file) {
  if (const auto value = whole_number<std::uint64_t>(trim(text))) return *value;
  return malformed(file);
}

Result<std::uint64_t> number_in(const fs::path& file) {
  const auto text = read_file(file, kMaxFile);
  if (!text) return pass(text.error());
  return number_of(*text, file);
}

// The value of a line "KEY NUMBER".
Result<std::uint64_t> keyed_number(const fs::path& file, std::string_view key) {
  const auto text = read_file(file, kMaxFile);
  if (!text) return pass(text.error());
  for (const std::string_view line : split(*text, '\n')) {
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ' ')
      return number_of(line.substr(key.size()), file);
  }
  return malformed(file);
}

struct Membership {
  std::string_view controllers;  // of version 1, separated by commas; empty: version 2
  std::string_view path;
};

// "4:memory:/docker/ID" or "0::/docker/ID"
std::optional<Membership> membership_of(std::string_view line) {
  const std::size_t first = line.find(':');
  const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  return Membership{line.substr(first + 1, second - first - 1), line.substr(second + 1)};
}

// Where the controller is mounted, by the names every distribution uses, and the process's folder in it.
std::optional<fs::path> folder_of(std::string_view file, std::string_view controller, const fs::path& root) {
  for (const std::string_view line : split(file, '\n')) {
    const auto member = membership_of(line);
    if (!member) continue;
    const auto names = split(member->controllers, ',');
    if (std::find(names.begin(), names.end(), controller) == names.end()) continue;
    return root / controller / member->path.substr(std::min<std::size_t>(1, member->path.size()));
  }
  return std::nullopt;
}

bool is_of(const fs::path& folder, std::string_view container_id) {
  const std::string path = folder.string();
  return path.contains(container_id) && !path.contains("/../");
}

}  // namespace

Result<Cgroup> cgroup_of(pid_t pid, std::string_view container_id, const CgroupRoots& roots) {
  const fs::path source = roots.proc / std::to_string(pid) / "cgroup";
  const auto file = read_file(source, kMaxFile);
  if (!file) return pass(file.error());
  Cgroup found;
  const auto memory = folder_of(*file, "memory", roots.cgroup);
  const auto cpu = folder_of(*file, "cpuacct", roots.cgroup);
  if (memory && cpu) {
    found = {CgroupVersion::v1, *memory, *cpu, *memory};
  } else {
    const auto unified = folder_of(*file, "", roots.cgroup);
    if (!unified) return malformed(source);
    // The empty controller's name adds a slash, no folder.
    found = {CgroupVersion::v2, *unified, *unified, *unified};
  }
  const bool ours =
      container_id.size() >= 12 && is_of(found.memory, container_id) && is_of(found.cpu, container_id);
  if (ours) return found;
  return fail(ErrorCode::not_found, "cgroup",
              fmt::format("process {} is not of container {}", pid, container_id.substr(0, 12)));
}

Result<std::chrono::microseconds> cpu_time(const Cgroup& cgroup) {
  const bool nanos = cgroup.version == CgroupVersion::v1;
  const auto used =
      nanos ? number_in(cgroup.cpu / "cpuacct.usage") : keyed_number(cgroup.cpu / "cpu.stat", "usage_usec");
  if (!used) return pass(used.error());
  return std::chrono::microseconds(static_cast<std::int64_t>(*used) / (nanos ? kNanosPerMicro : 1));
}

Result<std::uint64_t> peak_memory(const Cgroup& cgroup) {
  if (cgroup.version == CgroupVersion::v1) return number_in(cgroup.memory / "memory.max_usage_in_bytes");
  const auto peak = number_in(cgroup.memory / "memory.peak");
  return peak || peak.error().code != ErrorCode::not_found ? peak
                                                           : number_in(cgroup.memory / "memory.current");
}

Result<std::vector<pid_t>> processes(const Cgroup& cgroup) {
  const fs::path source = cgroup.processes / "cgroup.procs";
  const auto text = read_file(source, kMaxFile);
  if (!text) return pass(text.error());
  std::vector<pid_t> pids;
  for (const std::string_view line : split(trim(*text), '\n')) {
    if (line.empty() || pids.size() == kMaxCgroupProcesses) continue;
    const auto pid = number_of(line, source);
    if (!pid) return pass(pid.error());
    pids.push_back(static_cast<pid_t>(*pid));
  }
  return pids;
}

}  // namespace agentmesh::daemon
