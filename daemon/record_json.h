#pragma once
// The watchdog's AgentRecord as the JSON text of a journal row, and back. Times are milliseconds since 1970.
// docs/formats/state-db.md lists the members.

#include "base/result.h"
#include "watchdog/agent.h"

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::daemon {

nlohmann::json to_json(const watchdog::AgentRecord& record);
// Errors: invalid (a member is missing, of another type, or a word that this version does not know).
Result<watchdog::AgentRecord> record_from_json(const nlohmann::json& row);

}  // namespace agentmesh::daemon
