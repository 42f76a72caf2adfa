#pragma once
// Where everything of one AGENTMESH_HOME lives. The folder and all below it are private to the user (0700),
// but for an agent's own two folders, which belong to the user that its sandbox runs as.

#include "base/ids.h"
#include "base/result.h"

#include <filesystem>
#include <string>

namespace agentmesh::daemon {

struct Home {
  std::filesystem::path root;

  std::filesystem::path config() const { return root / "config.toml"; }
  std::filesystem::path state_db() const { return root / "state.db"; }
  std::filesystem::path reserve() const { return root / "state.reserve"; }  // DiskReserve
  std::filesystem::path hub_db() const { return root / "hub.db"; }
  std::filesystem::path hub_key() const { return root / "hub.key"; }
  std::filesystem::path socket() const { return root / "daemon.sock"; }
  std::filesystem::path lock() const { return root / "daemon.lock"; }
  std::filesystem::path logs() const { return root / "logs"; }
  std::filesystem::path daemon_log() const { return logs() / "daemon.log"; }
  std::filesystem::path crash_log(const AgentName& agent) const {
    return logs() / ("crash-" + agent.str() + ".log");
  }
  std::filesystem::path host_runs() const { return root / "host"; }
  std::filesystem::path agent_home(const AgentName& agent) const {
    return root / "agents" / agent.str() / "home";
  }
  std::filesystem::path agent_run(const AgentName& agent) const {
    return root / "agents" / agent.str() / "run";
  }
  // Of the server in serve mode: its password. Below the agent's folder, out of its sandbox's reach.
  std::filesystem::path agent_password(const AgentName& agent) const {
    return root / "agents" / agent.str() / "server.password";
  }
  std::filesystem::path agent_pane(const AgentName& agent) const {
    return root / "agents" / agent.str() / "pane";
  }
};

// Makes the folders. Errors: denied (read-only disk, another's folder), invalid (the socket's path would be
// longer than a Unix socket allows, 107 bytes).
Result<void> prepare_home(const Home& home);

}  // namespace agentmesh::daemon
