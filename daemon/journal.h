#pragma once
// state.db: what this host must not forget. Agents with their intent and phase, accepted assignments, crash
// reports and recent events. Synchronous: a call that returned success is on the disk (a WAL commit at FULL
// costs about 0.14 ms). Owned by the daemon; decides nothing. docs/formats/state-db.md describes the tables.

#include "base/clock.h"
#include "base/ids.h"
#include "base/sqlite.h"
#include "daemon/agent_spec.h"
#include "watchdog/agent.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace agentmesh::daemon {

constexpr std::int64_t kKeptEvents = 10'000;    // shared out evenly among the agents and the host
constexpr std::int64_t kKeptEventsOfOne = 100;  // newest of each, also where the even share is less
constexpr std::int64_t kKeptCrashes = 50;       // newest, of one agent
// Items that are finished and reported. They are kept for as long as the hub keeps its own, so that one which
// it pushes again, restored from an old copy, is still known; and at most so many, the newest.
constexpr Millis kKeptItemsFor{30LL * 24 * 3600 * 1000};
constexpr std::int64_t kKeptItems = 10'000;

struct AgentRow {
  watchdog::AgentRecord record;
  AgentSpec spec;
  std::string agent_id;    // given by the hub; empty before the first registration
  std::string session_id;  // of the runner's conversation; empty when it is not known
};

// How far an accepted assignment is on this host.
enum class Progress { accepted, sending, delivered, done, failed };
std::string_view to_string(Progress progress);

struct ItemRow {
  std::string id;
  std::int64_t attempt = 1;
  std::string agent;     // name
  std::string document;  // the hub's InboxItem as JSON
  Progress progress = Progress::accepted;
  std::string reason;
  bool reported = false;  // the hub took the newest report
  RunId run;              // the run it was typed into last; 0: none
  WallTime told_at{};     // when that began; 1970: not known
};

struct EventRow {
  std::int64_t seq = 0;
  WallTime at{};
  std::string agent;  // empty: of the host
  std::string name;
  std::string reason;
};

struct CrashRow {
  std::string agent;
  std::uint64_t run = 0;
  std::string report;  // JSON
};

class Journal {
 public:
  // Errors: those of Database::open and migrate, stage "journal".
  static Result<Journal> open(const std::filesystem::path& path);

  // Made with the database: the value of the label agentmesh.owner.
  const std::string& owner() const { return owner_; }

  Result<std::vector<AgentRow>> agents();
  Result<void> save(const AgentRow& row);
  Result<void> save_record(const watchdog::AgentRecord& record);
  Result<void> save_session(const AgentName& agent, const std::string& session_id);
  Result<void> save_agent_id(const AgentName& agent, const std::string& agent_id);

  // True: new. False: (id, attempt) is known already and nothing changed. Old items are removed now and then.
  Result<bool> accept(const ItemRow& row, WallTime now);
  Result<void> set_progress(const std::string& id, std::int64_t attempt, Progress progress,
                            const std::string& reason);
  Result<void> set_run(const std::string& id, std::int64_t attempt, RunId run, WallTime told_at);
  // The hub took this much; a later progress is still owed.
  Result<void> set_reported(const std::string& id, std::int64_t attempt, Progress progress);
  // Not done and not failed, in order of acceptance; and those the hub was not told about.
  Result<std::vector<ItemRow>> open_items();
  Result<std::vector<ItemRow>> unreported_items();

  // Of each agent, and of the host, the newest of its share are kept: none takes another's place.
  Result<std::int64_t> append_event(const EventRow& row);
  // Oldest first, after `seq`, at most `limit`.
  Result<std::vector<EventRow>> events_after(std::int64_t seq, std::int64_t limit);
  Result<std::vector<EventRow>> last_events_of(const std::string& agent, std::int64_t limit);

  // False: this run has a report already.
  Result<bool> add_crash(const CrashRow& row, WallTime at);
  // Newest first. `agent` empty: of every agent.
  Result<std::vector<CrashRow>> crashes(const std::string& agent, std::int64_t limit);

 private:
  explicit Journal(Database database) : database_(std::move(database)) {}
  Result<void> load_owner();
  Result<void> prune_events();
  Result<void> prune_items(WallTime now);
  Result<std::vector<ItemRow>> items_where(std::string_view condition);

  Database database_;
  std::string owner_;
};

}  // namespace agentmesh::daemon
