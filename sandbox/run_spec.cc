#include "sandbox/run_spec.h"

#include "base/json.h"
#include "base/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::sandbox {
namespace {

using nlohmann::json;

constexpr std::int64_t kMaxPids = 4'194'304;  // the kernel's PID_MAX_LIMIT
constexpr std::uint64_t kMinOpenFiles = 64;
constexpr std::size_t kMaxEnvironmentEntry = 128 * 1024 - 1;  // the kernel's MAX_ARG_STRLEN
constexpr std::size_t kMaxHostname = 63;
constexpr double kNanosPerCpu = 1e9;

std::unexpected<Error> invalid(std::string what, std::string hint = "") {
  return fail(ErrorCode::invalid, "sandbox", std::move(what), std::move(hint));
}

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

// Absolute, no empty, "." or ".." part, no slash at the end.
bool is_normal_path(std::string_view path) {
  if (path.size() < 2 || path[0] != '/' || has_nul(path)) return false;
  return std::ranges::none_of(split(path.substr(1), '/'), [](std::string_view part) {
    return part.empty() || part == "." || part == "..";
  });
}

bool is_hostname(std::string_view name) {
  if (name.size() > kMaxHostname || name.front() == '-' || name.back() == '-') return false;
  return std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

Result<> check_limits(const ResourceLimits& limits, const HostCapacity& host) {
  if (!std::isfinite(limits.cpus) || limits.cpus < kMinCpus) {
    return invalid(fmt::format("cpus is {}, it must be at least {}", limits.cpus, kMinCpus));
  }
  if (host.cpus > 0 && limits.cpus > host.cpus) {
    return invalid(fmt::format("cpus is {}, this host has {}", limits.cpus, host.cpus));
  }
  if (limits.memory_bytes < kMinMemoryBytes) {
    return invalid(fmt::format("memory is {}, it must be at least {}", format_size(limits.memory_bytes),
                               format_size(kMinMemoryBytes)));
  }
  if (host.memory_bytes > 0 && limits.memory_bytes > host.memory_bytes) {
    return invalid(fmt::format("memory is {}, this host has {}", format_size(limits.memory_bytes),
                               format_size(host.memory_bytes)));
  }
  if (limits.pids < 1 || limits.pids > kMaxPids) {
    return invalid(fmt::format("pids is {}, it must be from 1 to {}", limits.pids, kMaxPids));
  }
  if (limits.open_files < kMinOpenFiles) {
    return invalid(fmt::format("open files is {}, it must be at least {}", limits.open_files, kMinOpenFiles));
  }
  if (limits.tmp_bytes == 0 || limits.run_bytes == 0 || limits.log_bytes == 0) {
    return invalid("the sizes of /tmp, /run and the log must not be 0");
  }
  return {};
}

Result<> check_mounts(const std::vector<Mount>& mounts) {
  std::set<std::string> targets{"/tmp", "/run"};
  for (const auto& mount : mounts) {
    if (!is_normal_path(mount.source))
      return invalid("mount source '" + mount.source + "' is not an absolute path");
    if (!is_normal_path(mount.target))
      return invalid("mount target '" + mount.target + "' is not an absolute path");
    if (!targets.insert(mount.target).second) return invalid("two mounts at " + mount.target);
  }
  return {};
}

Result<> check_environment(const std::map<std::string, std::string>& environment) {
  for (const auto& [name, value] : environment) {
    if (name.empty() || name.find('=') != std::string::npos || has_nul(name) || has_nul(value)) {
      return invalid("environment variable '" + plain_text(name) + "' is malformed");
    }
    if (name.size() + value.size() > kMaxEnvironmentEntry) {
      return invalid(fmt::format("environment variable '{}' is over {} bytes", name, kMaxEnvironmentEntry));
    }
  }
  return {};
}

Result<> check_names(const RunSpec& spec) {
  if (!spec.image.starts_with("sha256:"))
    return invalid("the image '" + spec.image + "' is not an immutable id");
  if (!spec.hostname.empty() && !is_hostname(spec.hostname))
    return invalid("hostname '" + spec.hostname + "' is malformed");
  if (!is_normal_path(spec.workdir)) return invalid("workdir '" + spec.workdir + "' is not an absolute path");
  if (spec.network.kind == NetworkKind::named && spec.network.name.empty())
    return invalid("the network has no name");
  if (spec.publish && (spec.publish->host_port == 0 || spec.publish->container_port == 0)) {
    return invalid("a published port must be from 1 to 65535");
  }
  for (const auto* words : {&spec.entrypoint, &spec.command}) {
    if (std::ranges::any_of(*words, has_nul)) return invalid("the command has a NUL byte");
    if (!words->empty() && words->front().empty()) return invalid("the command's first word is empty");
  }
  return {};
}

json mount_json(const Mount& mount) {
  const bool read_only = mount.access == Access::read_only;
  // A read-only mount does not bring other mounts below it, which would be writable.
  return {{"Type", "bind"},
          {"Source", mount.source},
          {"Target", mount.target},
          {"ReadOnly", read_only},
          {"BindOptions", {{"Propagation", "rprivate"}, {"NonRecursive", read_only}}}};
}

std::string network_mode(const NetworkChoice& network) {
  switch (network.kind) {
    case NetworkKind::none:
      return "none";
    case NetworkKind::bridge:
      return "bridge";
    case NetworkKind::named:
      return network.name;
  }
  return "none";
}

json tmpfs_json(const RunSpec& spec) {
  const auto& limits = spec.limits;
  return {{"/tmp", fmt::format("rw,nosuid,nodev,exec,mode=1777,size={}", limits.tmp_bytes)},
          {"/run", fmt::format("rw,nosuid,nodev,noexec,mode=0755,uid={},gid={},size={}", spec.user.uid,
                               spec.user.gid, limits.run_bytes)}};
}

json ulimit_json(std::string_view name, std::uint64_t value) {
  return {{"Name", name}, {"Soft", value}, {"Hard", value}};
}

json rights_json(const RunSpec& spec) {
  return {{"CapAdd", json::array()},   {"CapDrop", {"ALL"}},
          {"CgroupnsMode", "private"}, {"Devices", json::array()},
          {"IpcMode", "private"},      {"PidMode", ""},
          {"Privileged", false},       {"PublishAllPorts", false},
          {"ReadonlyRootfs", true},    {"SecurityOpt", {"no-new-privileges:true"}},
          {"Tmpfs", tmpfs_json(spec)}, {"UTSMode", ""}};
}

json host_config(const RunSpec& spec) {
  const auto& limits = spec.limits;
  json host = rights_json(spec);
  host["AutoRemove"] = false;
  host["Init"] = true;
  host["LogConfig"] = {{"Type", "json-file"},
                       {"Config", {{"max-size", std::to_string(limits.log_bytes)}, {"max-file", "1"}}}};
  host["Memory"] = limits.memory_bytes;
  host["MemorySwap"] = limits.memory_bytes;
  host["NanoCpus"] = std::llround(limits.cpus * kNanosPerCpu);
  host["PidsLimit"] = limits.pids;
  host["Ulimits"] = {ulimit_json("core", 0), ulimit_json("nofile", limits.open_files)};
  host["NetworkMode"] = network_mode(spec.network);
  host["RestartPolicy"] = {{"Name", "no"}};
  host["Mounts"] = json::array();
  for (const auto& mount : spec.mounts) host["Mounts"].push_back(mount_json(mount));
  host["ExtraHosts"] = json::array();
  for (const auto& [name, address] : spec.extra_hosts) host["ExtraHosts"].push_back(name + ":" + address);
  if (!spec.dns.empty()) host["Dns"] = spec.dns;
  return host;
}

void add_published_port(json& body, const PublishedPort& port) {
  const std::string inside = fmt::format("{}/tcp", port.container_port);
  body["ExposedPorts"] = {{inside, json::object()}};
  body["HostConfig"]["PortBindings"] = {
      {inside, json::array({{{"HostIp", "127.0.0.1"}, {"HostPort", std::to_string(port.host_port)}}})}};
}

json create_body(const RunSpec& spec) {
  json body;
  body["Image"] = spec.image;
  if (!spec.entrypoint.empty()) body["Entrypoint"] = spec.entrypoint;
  if (!spec.command.empty()) body["Cmd"] = spec.command;
  if (!spec.hostname.empty()) body["Hostname"] = spec.hostname;
  body["User"] = fmt::format("{}:{}", spec.user.uid, spec.user.gid);
  body["WorkingDir"] = spec.workdir;
  body["Env"] = json::array();
  for (const auto& [name, value] : spec.environment) body["Env"].push_back(name + "=" + value);
  body["Labels"] = json::object();
  for (const auto& [name, value] : spec.labels) body["Labels"][name] = value;
  const bool terminal = spec.terminal == Terminal::yes;
  body["Tty"] = terminal;
  body["OpenStdin"] = terminal;
  body["StdinOnce"] = false;
  body["HostConfig"] = host_config(spec);
  if (spec.publish) add_published_port(body, *spec.publish);
  return body;
}

}  // namespace

Result<double> parse_cpus(std::string_view text) {
  const auto word = trim(text);
  double value = 0;
  const auto [end, error] =
      std::from_chars(word.data(), word.data() + word.size(), value, std::chars_format::fixed);
  if (error != std::errc{} || end != word.data() + word.size() || !std::isfinite(value) || value < kMinCpus) {
    return invalid("'" + plain_text(word.substr(0, 40)) + "' is not a number of CPUs", "write 1, 2 or 0.5");
  }
  return value;
}

Result<> validate(const RunSpec& spec, const HostCapacity& host) {
  if (auto ok = check_names(spec); !ok) return ok;
  if (auto ok = check_limits(spec.limits, host); !ok) return ok;
  if (auto ok = check_mounts(spec.mounts); !ok) return ok;
  return check_environment(spec.environment);
}

std::string create_json(const RunSpec& spec) { return dump_json(create_body(spec)); }

std::string spec_hash(const RunSpec& spec) {
  RunSpec same = spec;
  same.labels.erase(std::string(kRunLabel));
  same.labels.erase(std::string(kSpecLabel));
  return sha256_hex(create_json(same));
}

}  // namespace agentmesh::sandbox
