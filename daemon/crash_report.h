#pragma once
// What an operator reads in the morning: one block per crash in logs/crash-NAME.log, and the same as JSON in
// the journal. Secrets are redacted, escape codes are gone, files are rotated.

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "config/config.h"
#include "daemon/journal.h"
#include "watchdog/action.h"

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::daemon {

struct CrashReport {
  WallTime at{};
  std::string agent;
  std::string agent_id;
  watchdog::WriteCrashReport asked;
  std::string container_id;
  AgentSpec spec;
  std::string assignment;  // the open one; empty when there is none
  std::vector<EventRow> events;
  std::string terminal;  // as text
};

nlohmann::json to_json(const CrashReport& report);
// The block of the log file, ending in a blank line.
std::string to_text(const CrashReport& report);

// Appends the block, rotating FILE to FILE.1 .. FILE.n before it grows over the limit.
Result<void> append_crash_log(const std::filesystem::path& path, const std::string& block,
                              const config::Crash& limits);

}  // namespace agentmesh::daemon
