#pragma once
// The whole configuration as plain values with their built-in defaults. config/default.toml documents each
// key in the order of these structs; a test keeps the two equal. Nothing here reads a file: see load.h.

#include "base/clock.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::config {

struct Daemon {
  std::string log_level = "info";
};

struct Hub {
  std::string url;                              // empty: the hub embedded in the daemon
  std::string key = "env:AGENTMESH_HUB_TOKEN";  // a reference to the API key, never the key itself
  std::string listen = "127.0.0.1:0";           // of the embedded hub; port 0: any free one
};

struct Engine {
  std::string socket;       // empty: looked for where Docker and Podman put it
  Millis deadline{30'000};  // for one call; builds and pulls have a stall limit instead
};

struct Tmux {
  std::string socket = "agentmesh";  // name of the private server, as in tmux -L
};

// What one agent runs with. Unset fields come from the layer below: flags, [agents.NAME], [defaults], built
// in.
struct AgentSettings {
  std::optional<std::string> runner;
  std::optional<std::string> model;
  std::optional<std::string> model_url;  // where the runner finds its model
  std::optional<std::string> command;
  std::optional<std::string> workdir;
  std::optional<std::string> image;
  std::optional<double> cpus;
  std::optional<std::uint64_t> memory_bytes;
  std::optional<std::int64_t> pids;
  std::optional<std::string> network;
  std::optional<std::string> permissions;  // open | ask | own
  std::optional<std::int64_t> serve_port;  // of the loopback, for the runner's server; unset: its terminal
  std::optional<bool> sandbox;             // false: on the host
  std::vector<std::string> mounts;         // SRC:DST[:ro|:rw]; layers add up
  std::map<std::string, std::string> env;  // layers add up, the upper one wins
};

struct Sandbox {
  std::vector<std::string> allow_mounts;  // more roots that --mount may name
  bool required = false;                  // no agent runs on the host
};

struct Watchdog {
  Millis stuck_after{5 * 60'000};
  Millis nudge_wait{2 * 60'000};
  std::int64_t loop_repeats = 5;  // the same tool call or screen cycle so often in a row is a loop
  std::string nudge_text = "Please continue with your current task.";
  Millis turn_retry{30'000};  // a turn that failed at the provider: so long until it is asked to go on, once
  std::int64_t max_restarts = 3;
  Millis restart_window{30 * 60'000};
  Millis backoff_first{1'000};
  Millis backoff_max{5 * 60'000};
  std::int64_t backoff_jitter_percent = 25;
  Millis stable_after{30 * 60'000};
  std::string on_permission = "ask";  // ask | deny | allow-in-sandbox
  std::int64_t max_starting = 4;      // agents of this host that may be starting at one time
  std::optional<Millis> ready_limit;  // in place of the runner's own: launched, and no sign of life so long
  Millis relist{60'000};  // every so often engine and tmux are listed to repair what events missed
};

struct Delivery {
  Millis paste_wait{
      150};  // between the text and Enter; some programs drop an Enter that comes sooner than 20 ms
  Millis ttl{30 * 60'000};
  std::int64_t queue_depth = 50;
};

constexpr std::uint64_t kMinCrashBytes = 16 * 1024;  // a report with a screen or two

struct Crash {
  std::int64_t lines = 200;
  std::uint64_t max_bytes = 5ULL * 1024 * 1024;
  std::int64_t files = 5;
};

// What a person may be told of. The first nine concern one agent, the others this host.
constexpr std::array<std::string_view, 12> kNotices{"permission",    "question",    "login",
                                                    "usage_limit",   "stuck",       "nudge_blocked",
                                                    "effect_failed", "failed",      "assignment_failed",
                                                    "mass_death",    "engine_lost", "disk_full"};

// How a person is told, beside the event and the bell, which always come.
struct Notify {
  std::vector<std::string> on{kNotices.begin(), kNotices.end()};
  bool desktop = true;               // through the terminals that are attached
  std::vector<std::string> command;  // run without a shell; empty: none
  std::string webhook;               // URL; empty: none
  std::string secret;  // a reference to the key that signs, never the key itself; empty: not signed
};

struct Config {
  Daemon daemon;
  Hub hub;
  Engine engine;
  Tmux tmux;
  AgentSettings defaults;
  Sandbox sandbox;
  Watchdog watchdog;
  Delivery delivery;
  Crash crash;
  Notify notify;
  std::map<std::string, AgentSettings> agents;
};

// The upper layer's set fields over the lower one's; env and mounts add up.
AgentSettings merge(const AgentSettings& upper, const AgentSettings& lower);

// The built-in layer: runner opencode, 1 CPU, 512 pids, network egress, permissions open, image
// agentmesh/sandbox:latest. Memory is left unset: the runner's own default applies (2 GiB; 4 GiB for
// opencode, which needs about 1 GiB before any tool).
AgentSettings built_in();

}  // namespace agentmesh::config
