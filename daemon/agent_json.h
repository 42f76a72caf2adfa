#pragma once
// An agent as `list --json`, `status --json NAME` and `explain --json` show it. Field names are stable.

#include "daemon/mailbox.h"
#include "daemon/supervisor.h"

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::daemon {

struct ShowParts {
  const Panes& panes;
  const Mailbox& mailbox;
  const config::Config& config;
  const std::string& tmux_socket;
  bool hub_connected = false;
  WallTime now{};
};

// One JSON object, on one line.
std::string agent_json(const Entry& entry, const ShowParts& parts);
nlohmann::json explain_json(const Entry& entry, WallTime now);
nlohmann::json event_json(const EventRow& row);

}  // namespace agentmesh::daemon
