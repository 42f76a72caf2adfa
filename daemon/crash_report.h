#pragma once
// What an operator reads in the morning: one block per crash in logs/crash-NAME.log, and the same as JSON in
// the journal. Secrets are redacted, escape codes are gone, files are rotated. The text is made from the
// JSON, so that the log and `agentmesh crashes` say the same, also of a report that an older version wrote.

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "config/config.h"
#include "daemon/journal.h"
#include "daemon/usage.h"
#include "watchdog/action.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::daemon {

// A line of a terminal is at most 1000 columns; more than this much of it is not read by a person. The newest
// text is kept.
constexpr std::size_t kMaxCrashTerminal = 128 * 1024;

// Where a run was when it ended.
enum class RunStage {
  create,  // the container could not be made
  start,   // or not be started
  launch,  // it ended before its runner was up
  run,
};
std::string_view to_string(RunStage stage);
// `reached` is how far the run is known to have come: create (nothing exists), launch or run.
RunStage stage_of(watchdog::ExitReason reason, RunStage reached);

struct OpenAssignment {
  std::string id;
  std::string title;
};
// From the rows of the mailbox; a document that cannot be read leaves its title empty.
std::vector<OpenAssignment> assignments_of(const std::vector<ItemRow>& items);

struct CrashReport {
  WallTime at{};
  std::string agent;
  std::string agent_id;
  watchdog::WriteCrashReport asked;
  RunStage stage = RunStage::run;
  std::optional<WallTime> started_at;
  std::string container_id;
  std::string image_id;  // empty: the container was gone
  AgentSpec spec;
  std::optional<Usage> usage;
  std::vector<OpenAssignment> assignments;
  std::vector<EventRow> events;
  std::string terminal;  // as text
};

nlohmann::json to_json(const CrashReport& report);
// The block of the log file, ending in a blank line. Members that are absent or of another type are left out.
std::string crash_text(const nlohmann::json& report);

// Appends the block, rotating FILE to FILE.1 .. FILE.n before it grows over the limit. A block over the limit
// loses its middle. Errors: those of the disk; the block is written also when the old files cannot be moved.
Result<void> append_crash_log(const std::filesystem::path& path, const std::string& block,
                              const config::Crash& limits);

}  // namespace agentmesh::daemon
