#include "daemon/journal.h"

#include "base/json.h"
#include "daemon/record_json.h"

#include <array>

#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

constexpr std::array<std::string_view, 3> kMigrations{R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE agents (
  name TEXT PRIMARY KEY, record TEXT NOT NULL, spec TEXT NOT NULL,
  agent_id TEXT NOT NULL DEFAULT '', session_id TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE items (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, attempt INTEGER NOT NULL, agent TEXT NOT NULL,
  document TEXT NOT NULL, progress TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  reported INTEGER NOT NULL DEFAULT 0, accepted_at INTEGER NOT NULL, run INTEGER NOT NULL DEFAULT 0,
  UNIQUE (id, attempt)) STRICT;
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, agent TEXT NOT NULL, name TEXT NOT NULL,
  reason TEXT NOT NULL) STRICT;
CREATE INDEX events_by_agent ON events (agent, seq);
CREATE TABLE crashes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT NOT NULL, run INTEGER NOT NULL, at INTEGER NOT NULL,
  report TEXT NOT NULL, UNIQUE (agent, run)) STRICT;
)sql",
                                                      R"sql(
CREATE INDEX items_open ON items (seq) WHERE progress NOT IN ('done', 'failed');
CREATE INDEX items_unreported ON items (seq) WHERE reported = 0;
)sql",
                                                      R"sql(
ALTER TABLE items ADD COLUMN told_at INTEGER NOT NULL DEFAULT 0;
)sql"};

constexpr std::int64_t kPruneEvery = 100;  // rows added

constexpr std::array<std::pair<Progress, std::string_view>, 5> kProgress{{
    {Progress::accepted, "accepted"},
    {Progress::sending, "sending"},
    {Progress::delivered, "delivered"},
    {Progress::done, "done"},
    {Progress::failed, "failed"},
}};

Progress progress_from(std::string_view text) {
  for (const auto& [progress, name] : kProgress) {
    if (name == text) return progress;
  }
  return Progress::failed;
}

EventRow event_of(const Statement& row) {
  return EventRow{row.column_int(0), from_millis(row.column_int(1)), row.column_text(2), row.column_text(3),
                  row.column_text(4)};
}

Result<AgentRow> agent_of(const Statement& row) {
  const auto record_text = parse_json(row.column_text(0), "journal");
  const auto spec_text = parse_json(row.column_text(1), "journal");
  if (!record_text) return pass(record_text.error());
  if (!spec_text) return pass(spec_text.error());
  auto record = record_from_json(*record_text);
  if (!record) return pass(record.error());
  auto spec = spec_from_json(*spec_text);
  if (!spec) return pass(spec.error());
  return AgentRow{std::move(*record), std::move(*spec), row.column_text(2), row.column_text(3)};
}

}  // namespace

std::string_view to_string(Progress progress) {
  for (const auto& [value, name] : kProgress) {
    if (value == progress) return name;
  }
  return "failed";
}

Result<Journal> Journal::open(const std::filesystem::path& path) {
  auto database = Database::open({.path = path.string(), .stage = "journal"});
  if (!database) return pass(database.error());
  if (auto checked = database->check(); !checked) return pass(checked.error());
  if (auto migrated = database->migrate(kMigrations); !migrated) return pass(migrated.error());
  Journal journal(std::move(*database));
  if (auto loaded = journal.load_owner(); !loaded) return pass(loaded.error());
  return journal;
}

Result<void> Journal::load_owner() {
  if (auto made = database_.execute("INSERT OR IGNORE INTO meta VALUES ('owner', ?1)", random_hex(8)); !made)
    return made;
  auto statement = database_.prepare("SELECT value FROM meta WHERE key = 'owner'");
  if (!statement) return pass(statement.error());
  if (auto row = statement->step(); !row) return pass(row.error());
  owner_ = statement->column_text(0);
  return {};
}

Result<std::vector<AgentRow>> Journal::agents() {
  return rows_of<AgentRow>(
      database_.prepare("SELECT record, spec, agent_id, session_id FROM agents ORDER BY name"), agent_of);
}

Result<void> Journal::save(const AgentRow& row) {
  return database_.execute(
      "INSERT INTO agents (name, record, spec, agent_id, session_id) VALUES (?1, ?2, ?3, ?4, ?5) "
      "ON CONFLICT (name) DO UPDATE SET record = ?2, spec = ?3, agent_id = ?4, session_id = ?5",
      row.record.name.str(), dump_json(to_json(row.record)), dump_json(to_json(row.spec)), row.agent_id,
      row.session_id);
}

Result<void> Journal::save_record(const watchdog::AgentRecord& record) {
  auto saved = database_.execute("UPDATE agents SET record = ?2 WHERE name = ?1", record.name.str(),
                                 dump_json(to_json(record)));
  if (saved && database_.changes() != 1)
    return fail(ErrorCode::internal, "journal", "an agent without a row");
  return saved;
}

Result<void> Journal::save_session(const AgentName& agent, const std::string& session_id) {
  return database_.execute("UPDATE agents SET session_id = ?2 WHERE name = ?1", agent.str(), session_id);
}

Result<void> Journal::save_agent_id(const AgentName& agent, const std::string& agent_id) {
  return database_.execute("UPDATE agents SET agent_id = ?2 WHERE name = ?1", agent.str(), agent_id);
}

Result<bool> Journal::accept(const ItemRow& row, WallTime now) {
  return database_.transaction([&]() -> Result<bool> {
    auto done = database_.execute(
        "INSERT OR IGNORE INTO items (id, attempt, agent, document, progress, accepted_at) VALUES (?1, ?2, "
        "?3, ?4, ?5, ?6)",
        row.id, row.attempt, row.agent, row.document, to_string(row.progress), to_millis(now));
    if (!done) return pass(done.error());
    if (database_.changes() == 0) return false;
    if (database_.last_insert_id() % kPruneEvery != 0) return true;
    if (auto pruned = prune_items(now); !pruned) return pass(pruned.error());
    return true;
  });
}

// Those of the newest kKeptItems by order of acceptance are kept; what is open or not reported is kept
// anyway.
Result<void> Journal::prune_items(WallTime now) {
  return database_.execute(
      "DELETE FROM items WHERE reported = 1 AND progress IN ('done', 'failed') AND "
      "(accepted_at < ?1 OR seq <= ?2)",
      to_millis(now - kKeptItemsFor), database_.last_insert_id() - kKeptItems);
}

Result<void> Journal::set_progress(const std::string& id, std::int64_t attempt, Progress progress,
                                   const std::string& reason) {
  return database_.execute(
      "UPDATE items SET progress = ?3, reason = ?4, reported = 0 WHERE id = ?1 AND attempt = ?2", id, attempt,
      to_string(progress), reason);
}

Result<void> Journal::set_reported(const std::string& id, std::int64_t attempt, Progress progress) {
  return database_.execute("UPDATE items SET reported = 1 WHERE id = ?1 AND attempt = ?2 AND progress = ?3",
                           id, attempt, to_string(progress));
}

Result<void> Journal::set_run(const std::string& id, std::int64_t attempt, RunId run, WallTime told_at) {
  return database_.execute("UPDATE items SET run = ?3, told_at = ?4 WHERE id = ?1 AND attempt = ?2", id,
                           attempt, static_cast<std::int64_t>(run.value), to_millis(told_at));
}

Result<std::vector<ItemRow>> Journal::items_where(std::string_view condition) {
  const std::string sql = fmt::format(
      "SELECT id, attempt, agent, document, progress, reason, reported, run, told_at FROM items WHERE {} "
      "ORDER BY seq",
      condition);
  return rows_of<ItemRow>(database_.prepare(sql), [](const Statement& row) {
    return ItemRow{row.column_text(0),
                   row.column_int(1),
                   row.column_text(2),
                   row.column_text(3),
                   progress_from(row.column_text(4)),
                   row.column_text(5),
                   row.column_int(6) != 0,
                   RunId{static_cast<std::uint64_t>(row.column_int(7))},
                   from_millis(row.column_int(8))};
  });
}

Result<std::vector<ItemRow>> Journal::open_items() {
  return items_where("progress NOT IN ('done', 'failed')");
}

Result<std::vector<ItemRow>> Journal::unreported_items() { return items_where("reported = 0"); }

Result<std::int64_t> Journal::append_event(const EventRow& row) {
  auto done = database_.execute("INSERT INTO events (at, agent, name, reason) VALUES (?1, ?2, ?3, ?4)",
                                to_millis(row.at), row.agent, row.name, row.reason);
  if (!done) return pass(done.error());
  const std::int64_t seq = database_.last_insert_id();
  if (seq % kKeptEventsOfOne == 0) {
    if (auto pruned = prune_events(); !pruned) return pass(pruned.error());
  }
  return seq;
}

Result<void> Journal::prune_events() {
  return database_.execute(
      "DELETE FROM events WHERE seq IN (SELECT seq FROM "
      "(SELECT seq, row_number() OVER (PARTITION BY agent ORDER BY seq DESC) AS place FROM events) "
      "WHERE place > max(?1 / (SELECT count(DISTINCT agent) FROM events), ?2))",
      kKeptEvents, kKeptEventsOfOne);
}

Result<std::vector<EventRow>> Journal::events_after(std::int64_t seq, std::int64_t limit) {
  auto statement = database_.prepare(
      "SELECT seq, at, agent, name, reason FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2");
  if (statement) statement->bind_all(seq, limit);
  return rows_of<EventRow>(std::move(statement), event_of);
}

Result<std::vector<EventRow>> Journal::last_events_of(const std::string& agent, std::int64_t limit) {
  auto statement = database_.prepare(
      "SELECT seq, at, agent, name, reason FROM events WHERE agent = ?1 ORDER BY seq DESC LIMIT ?2");
  if (statement) statement->bind_all(agent, limit);
  auto rows = rows_of<EventRow>(std::move(statement), event_of);
  if (rows) std::reverse(rows->begin(), rows->end());
  return rows;
}

Result<bool> Journal::add_crash(const CrashRow& row, WallTime at) {
  auto done =
      database_.execute("INSERT OR IGNORE INTO crashes (agent, run, at, report) VALUES (?1, ?2, ?3, ?4)",
                        row.agent, row.run, to_millis(at), row.report);
  if (!done) return pass(done.error());
  if (database_.changes() == 0) return false;
  auto pruned = database_.execute(
      "DELETE FROM crashes WHERE agent = ?1 AND seq NOT IN "
      "(SELECT seq FROM crashes WHERE agent = ?1 ORDER BY seq DESC LIMIT ?2)",
      row.agent, kKeptCrashes);
  if (!pruned) return pass(pruned.error());
  return true;
}

Result<std::vector<CrashRow>> Journal::crashes(const std::string& agent, std::int64_t limit) {
  auto statement = database_.prepare(
      "SELECT agent, run, report FROM crashes WHERE ?1 = '' OR agent = ?1 ORDER BY seq DESC LIMIT ?2");
  if (statement) statement->bind_all(agent, limit);
  return rows_of<CrashRow>(std::move(statement), [](const Statement& row) {
    return CrashRow{row.column_text(0), static_cast<std::uint64_t>(row.column_int(1)), row.column_text(2)};
  });
}

}  // namespace agentmesh::daemon
