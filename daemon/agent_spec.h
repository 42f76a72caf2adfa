#pragma once
// What one agent was started with, resolved: every default filled in. Saved beside its record, so that a
// restart of the daemon needs no configuration to bring it back the same.

#include "agents/adapter.h"
#include "base/result.h"
#include "config/config.h"
#include "sandbox/run_spec.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::daemon {

struct AgentSpec {
  agents::Place place = agents::Place::sandbox;
  std::string runner;
  std::string model;
  std::string model_url;  // empty: the runner's own configuration decides
  std::string command;
  std::string workdir;  // resolved by the mount policy
  // Of the container; all empty on the host.
  std::string image;  // as the person named it; resolved to an id at each create
  double cpus = 1.0;
  std::uint64_t memory_bytes = 0;
  std::int64_t pids = 0;
  std::string network;
  std::string permissions;       // open | ask | own
  std::uint16_t serve_port = 0;  // of 127.0.0.1, for the runner's server; 0: its terminal program runs
  std::vector<std::string> mounts;
  std::map<std::string, std::string> env;
};

// Its container is a server without a terminal: no pane, no tmux session.
inline bool served(const AgentSpec& spec) { return spec.serve_port != 0; }

nlohmann::json to_json(const AgentSpec& spec);
// Errors: invalid (a row that this version did not write).
Result<AgentSpec> spec_from_json(const nlohmann::json& row);

// Flags over [agents.NAME] over [defaults] over built in; the workdir is `current_folder` when no layer names
// one. On the host: what is the container's is left empty, and the permissions are the runner's own unless a
// flag or [agents.NAME] says otherwise. Errors: invalid (bad runner, no command for custom, a flag that needs
// a container), denied (an environment value that looks like a real secret; on the host although a sandbox is
// required, or with open permissions).
Result<AgentSpec> resolve_spec(const config::Config& config, const std::string& name,
                               const config::AgentSettings& flags, const std::string& current_folder);

// Settings as the control socket carries them; unknown names and wrong types are errors.
Result<config::AgentSettings> settings_from_json(const nlohmann::json& object);

std::optional<agents::Permissions> permissions_from(std::string_view text);

std::string_view to_string(agents::Place place);  // sandbox, host

// Asked again at every start of a run: the policy may have become stricter. Errors: denied.
Result<void> allow_place(agents::Place place, const config::Config& config);

std::string hash_of(const AgentSpec& spec);

}  // namespace agentmesh::daemon
