#pragma once
// What one run of an agent asks of the engine, as a plain value, and its exact translation into the body of
// /containers/create. Pure: it knows nothing of paths' safety (mount_policy) nor of the engine's state.
// The rights of a sandbox are not fields: nobody can ask for a capability, a device or a host namespace.

#include "base/result.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::sandbox {

constexpr std::uint64_t kMinMemoryBytes = 16ULL * 1024 * 1024;
constexpr std::uint64_t kDefaultTmpBytes =
    1024ULL * 1024 * 1024;  // tmpfs /tmp; counts against the memory limit
constexpr std::uint64_t kDefaultRunBytes = 16ULL * 1024 * 1024;  // tmpfs /run
constexpr std::uint64_t kDefaultLogBytes = 10ULL * 1024 * 1024;  // the engine's own log of the terminal
constexpr std::uint64_t kDefaultOpenFiles = 16'384;  // an engine cannot give more than its own limit
constexpr double kMinCpus = 0.01;                    // the engine's own least

constexpr std::string_view kWorkspaceTarget = "/workspace";
constexpr std::string_view kChannelTarget = "/run/agentmesh";
constexpr std::string_view kHomeTarget = "/home/agent";
constexpr std::string_view kPasswordTarget = "/run/agentmesh.password";  // serve mode only

constexpr std::string_view kOwnerLabel = "agentmesh.owner";
constexpr std::string_view kAgentLabel = "agentmesh.agent";
constexpr std::string_view kRunLabel = "agentmesh.run";
constexpr std::string_view kSpecLabel = "agentmesh.spec";

enum class Access { read_only, read_write };

struct Mount {
  std::string source;  // absolute, resolved by mount_policy or made by the daemon
  std::string target;  // absolute, inside the sandbox
  Access access = Access::read_only;
  auto operator<=>(const Mount&) const = default;
};

// uid:gid the agent runs as.
struct Identity {
  std::uint32_t uid = 65'534;
  std::uint32_t gid = 65'534;
  auto operator<=>(const Identity&) const = default;
};

struct ResourceLimits {
  double cpus = 1.0;
  std::uint64_t memory_bytes = 2ULL * 1024 * 1024 * 1024;  // swap none: MemorySwap equals it
  std::int64_t pids = 512;
  std::uint64_t open_files = kDefaultOpenFiles;
  std::uint64_t tmp_bytes = kDefaultTmpBytes;
  std::uint64_t run_bytes = kDefaultRunBytes;
  std::uint64_t log_bytes = kDefaultLogBytes;
};

enum class NetworkKind { none, bridge, named };

struct NetworkChoice {
  NetworkKind kind = NetworkKind::none;
  std::string name;  // of `named`: the daemon's internal network
};

// A port of the sandbox on 127.0.0.1 of the host (serve mode only).
struct PublishedPort {
  std::uint16_t host_port = 0;
  std::uint16_t container_port = 0;
};

enum class Terminal { yes, no };

struct RunSpec {
  std::string image;                    // immutable id, "sha256:..."
  std::vector<std::string> entrypoint;  // empty: the image's
  std::vector<std::string> command;     // empty: the image's
  std::string hostname;                 // 1 to 63 of [a-z0-9-]; empty: the engine's choice
  Identity user;
  std::map<std::string, std::string> environment;
  std::string workdir{kWorkspaceTarget};
  std::vector<Mount> mounts;
  ResourceLimits limits;
  NetworkChoice network;
  std::map<std::string, std::string> extra_hosts;  // name -> address, for the gateway
  std::vector<std::string> dns;                    // name servers instead of the host's
  std::optional<PublishedPort> publish;
  Terminal terminal = Terminal::yes;
  std::map<std::string, std::string> labels;
};

// What the engine says of its host (Engine::info).
struct HostCapacity {
  std::uint32_t cpus = 0;          // 0: not known, not checked
  std::uint64_t memory_bytes = 0;  // 0: not known, not checked
};

// "2", "0.5". Errors: invalid (not a number, 0, negative, nan, infinite).
Result<double> parse_cpus(std::string_view text);

// Errors: invalid, naming the field and its range: cpus, memory, pids, image, names, paths that are not
// absolute or not normal, the same target twice, NUL or newline where none may be.
Result<> validate(const RunSpec& spec, const HostCapacity& host);

// The body of /containers/create, members in alphabetical order. Expects a valid spec.
std::string create_json(const RunSpec& spec);

// SHA-256, hex, of the body without the labels .run and .spec: equal for two runs of the same specification.
std::string spec_hash(const RunSpec& spec);

}  // namespace agentmesh::sandbox
