#pragma once
// The container engine as agentmesh sees it: the seam between the daemon and Docker or Podman. DockerEngine
// (docker_engine.h) speaks the Docker Engine API over a Unix socket; tests/fakes has one that misbehaves.
// Owned by the daemon. It keeps no state of containers, never retries, never runs the `docker` program.
//
// Every method is a conversation with a deadline (EngineOptions, 30 s) unless it says otherwise. Errors of
// every method, stage "engine":
//   unavailable  the socket is missing, refuses, or may not be opened; the hint is the cure. Nothing was
//   sent.
//                Or a read-only call broke off.
//   timeout      no answer by the deadline, or the answer broke off: whether it happened is NOT known
//   internal     the engine failed (5xx, with its message) or answered something that is not its API
//   exhausted    its answer is over the limit
//   invalid      the engine refuses the request as malformed (400, with its message), or it is too old
// What a method adds is said there. `id` is an id or a name.

#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"
#include "sandbox/run_spec.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::sandbox {

constexpr std::size_t kMaxExecOutputBytes = 1024 * 1024;
constexpr std::size_t kMaxLogBytes = 4 * 1024 * 1024;

struct EngineVersion {
  std::string version;     // of the engine, "20.10.24"
  std::string api;         // negotiated, "1.41": what every call uses
  std::string engine_api;  // the newest the engine serves
};

struct EngineInfo {
  std::string version;
  std::string id;  // of this engine's data root; changes when it is set up anew
  std::uint32_t cpus = 0;
  std::uint64_t memory_bytes = 0;
  std::string cgroup_version;  // "1", "2"
  std::string cgroup_driver;   // "systemd", "cgroupfs"
  std::string storage_driver;
  bool live_restore = false;
  bool rootless = false;
  bool seccomp = false;
  std::vector<std::string> warnings;  // the engine's own
};

enum class ContainerState { created, running, paused, restarting, removing, exited, dead, unknown };
std::string_view to_string(ContainerState state);
ContainerState container_state_from(std::string_view text);  // other text gives unknown

struct ContainerSummary {
  std::string id;
  std::string name;  // without the leading slash
  std::string image;
  ContainerState state = ContainerState::unknown;
  std::map<std::string, std::string> labels;
  WallTime created_at{};
};

struct ContainerDetails {
  std::string id;
  std::string name;
  std::string image_id;
  ContainerState state = ContainerState::unknown;
  std::int64_t pid = 0;     // on the host; 0 when it does not run
  int exit_code = 0;        // 128 + signal for a signal; meaningful when exited or dead
  bool oom_killed = false;  // the main process only: a child's end is told by the oom event alone
  std::string error;        // why the engine could not start it
  WallTime created_at{};
  std::optional<WallTime> started_at;
  std::optional<WallTime> finished_at;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> addresses;  // network name -> IPv4
  bool terminal = false;
};

struct LogsRequest {
  std::uint32_t tail_lines = 200;
  std::size_t max_bytes = kMaxLogBytes;  // the newest are kept
};

struct TerminalSize {
  std::uint16_t columns = 80;
  std::uint16_t rows = 24;
};

struct ExecRequest {
  std::vector<std::string> command;
  std::map<std::string, std::string> environment;
  std::string user;                                    // empty: the container's
  std::string workdir;                                 // empty: the container's
  std::size_t max_output_bytes = kMaxExecOutputBytes;  // of each stream; the rest is read and dropped
  Millis deadline{30'000};
};

struct ExecResult {
  int exit_code = 0;
  std::string out;
  std::string err;
  bool truncated = false;
};

struct ImageDetails {
  std::string id;  // "sha256:..."
  std::vector<std::string> tags;
  std::uint64_t size_bytes = 0;
  WallTime created_at{};
  std::map<std::string, std::string> labels;
};

// One step of a pull, build or import, as the engine tells it.
struct ImageProgress {
  std::string id;      // of the layer; may be empty
  std::string status;  // "Downloading", or a line of the build's output
  std::uint64_t current_bytes = 0;
  std::uint64_t total_bytes = 0;  // 0: not known
};
using ProgressHandler = std::function<void(const ImageProgress&)>;

struct BuildRequest {
  std::string context_folder;
  std::string dockerfile;  // relative to the folder
  std::string tag;
  std::map<std::string, std::string> arguments;
  std::map<std::string, std::string> labels;
  std::string network_mode;  // empty: the engine's choice
};

struct ImportRequest {
  std::string tar_file;              // a root file system; may be compressed
  std::string tag;                   // "name:tag"
  std::vector<std::string> changes;  // Dockerfile lines: "CMD [...]"
};

enum class Reach { internal, external };  // internal: no route out

struct NetworkRequest {
  std::string name;
  Reach reach = Reach::internal;
  std::string subnet;   // "172.31.7.0/24"; empty: the engine's choice
  std::string gateway;  // the host's address in it; empty: the engine's choice
  std::map<std::string, std::string> labels;
};

struct NetworkDetails {
  std::string id;
  std::string name;
  std::string driver;
  Reach reach = Reach::external;
  std::string subnet;
  std::string gateway;  // the host's address in it
  std::map<std::string, std::string> labels;
  std::vector<std::string> container_ids;  // from inspect_network only
};

using Labels = std::map<std::string, std::string>;

class Engine {
 public:
  virtual ~Engine() = default;

  // The engine answers. Takes well under a millisecond.
  virtual Task<> ping() = 0;
  // What it is and which API both sides speak (ours is 1.41 to 1.44). invalid: it is too old or too new.
  virtual Task<EngineVersion> version() = 0;
  virtual Task<EngineInfo> info() = 0;

  // The new container's id; it does not run yet. not_found: no such image (hint: build it). conflict: the
  // name is taken. Expects a spec that passed validate().
  virtual Task<std::string> create(std::string name, RunSpec spec) = 0;
  // Running, or already running. not_found. invalid or internal: a mount or a limit cannot be used. A program
  // that is not there starts all the same, since the init does: it ends at once with exit code 127 and a line
  // in the log.
  virtual Task<> start(std::string id) = 0;
  // Ended, or was not running: TERM, and KILL after the grace (whole seconds, rounded up). not_found.
  virtual Task<> stop(std::string id, Millis grace) = 0;
  // The signal was sent, and SIGKILL has ended it. conflict: it does not run. not_found. internal: SIGKILL
  // has not ended it within the engine's own 12 s.
  virtual Task<> kill(std::string id, int signal) = 0;
  // It may use every processor of the host from now on. not_found. conflict: it is being removed.
  virtual Task<> lift_cpu_limit(std::string id) = 0;
  // Gone, running or not, with its anonymous volumes; gone already is success. conflict: it is being removed.
  virtual Task<> remove(std::string id) = 0;
  // All states, those with every given label (an empty value asks for the label with any value).
  virtual Task<std::vector<ContainerSummary>> list(Labels labels) = 0;
  // not_found.
  virtual Task<ContainerDetails> inspect(std::string id) = 0;
  // The exit code, when it no longer runs (at once if it does not). No deadline. not_found. A container that
  // is removed meanwhile gives its code too.
  virtual Task<int> wait(std::string id) = 0;
  // The newest lines of what it printed, both streams in order, without the engine's framing. not_found.
  virtual Task<std::string> logs(std::string id, LogsRequest request) = 0;
  // conflict: it does not run. not_found.
  virtual Task<> resize(std::string id, TerminalSize size) = 0;
  // Runs a program beside the agent, without a terminal and without rights more than the container's.
  // timeout: the program may still run. conflict: the container does not run. not_found.
  virtual Task<ExecResult> exec(std::string id, ExecRequest request) = 0;

  // By name or id. not_found: no such image.
  virtual Task<ImageDetails> inspect_image(std::string name) = 0;
  virtual Task<std::vector<ImageDetails>> list_images(Labels labels) = 0;
  // No deadline, but a stall limit, for these three. The image's immutable id. not_found, denied: the
  // registry says so.
  virtual Task<std::string> pull_image(std::string name, ProgressHandler progress) = 0;
  virtual Task<std::string> build_image(BuildRequest request, ProgressHandler progress) = 0;
  virtual Task<std::string> import_image(ImportRequest request, ProgressHandler progress) = 0;
  // Gone; gone already is success. conflict: a container uses it.
  virtual Task<> remove_image(std::string name) = 0;

  virtual Task<std::vector<NetworkDetails>> list_networks(Labels labels) = 0;
  // The id. conflict: the name or the subnet is taken.
  virtual Task<std::string> create_network(NetworkRequest request) = 0;
  // Gone; gone already is success. conflict: containers use it.
  virtual Task<> remove_network(std::string name) = 0;
  // not_found.
  virtual Task<NetworkDetails> inspect_network(std::string name) = 0;
};

}  // namespace agentmesh::sandbox
