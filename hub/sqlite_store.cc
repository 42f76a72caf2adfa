#include "hub/sqlite_store.h"

#include "base/ids.h"
#include "base/json.h"
#include "base/secret.h"

#include <array>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::hub {
namespace {

// Times are milliseconds since 1970, UTC. docs/formats/hub-database.md tells a stranger the rest.
constexpr std::string_view kFirst = R"sql(
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE keys(
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  role TEXT NOT NULL CHECK(role IN ('agent', 'operator', 'admin')),
  lookup TEXT NOT NULL,          -- the first 16 characters of sha256
  sha256 TEXT NOT NULL UNIQUE,
  agent_id TEXT,                 -- of an agent's token
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT;
CREATE INDEX keys_lookup ON keys(lookup);
CREATE INDEX keys_agent ON keys(agent_id) WHERE agent_id IS NOT NULL;

CREATE TABLE agents(
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  host TEXT NOT NULL,
  runner TEXT NOT NULL,
  model TEXT NOT NULL,
  version INTEGER NOT NULL,      -- of the state that follows
  status TEXT NOT NULL,
  status_since INTEGER NOT NULL,
  reason TEXT NOT NULL,
  registered_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  UNIQUE(tenant, host, name)
) STRICT;
CREATE INDEX agents_name ON agents(tenant, name);
CREATE INDEX agents_idle ON agents(tenant, seen_at) WHERE status = 'idle';

CREATE TABLE items(
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  seq INTEGER NOT NULL,          -- of the change that announced it
  addressed TEXT NOT NULL,       -- as the sender wrote it
  runner TEXT NOT NULL,
  agent_id TEXT,                 -- null: to 'any' and not claimed
  title TEXT NOT NULL,
  body TEXT NOT NULL,
  priority INTEGER NOT NULL CHECK(priority BETWEEN 0 AND 3),
  ttl_s INTEGER NOT NULL,
  issue_id TEXT,
  repo TEXT,
  ref TEXT,
  idempotency_key TEXT,
  fingerprint TEXT NOT NULL,     -- SHA-256 of the request
  state TEXT NOT NULL CHECK(state IN ('queued', 'pushed', 'delivered', 'done', 'failed', 'expired')),
  attempt INTEGER NOT NULL,
  reason TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  pushed_at INTEGER,
  delivered_at INTEGER,
  done_at INTEGER,
  failed_at INTEGER,
  expired_at INTEGER,
  changed_at INTEGER NOT NULL,
  UNIQUE(tenant, idempotency_key)
) STRICT;
CREATE INDEX items_seq ON items(tenant, seq);
CREATE INDEX items_agent ON items(agent_id, state);
CREATE INDEX items_due ON items(expires_at) WHERE state IN ('queued', 'pushed');
CREATE INDEX items_finished ON items(changed_at) WHERE state IN ('done', 'failed', 'expired');
CREATE INDEX items_unclaimed ON items(priority DESC, seq) WHERE state = 'queued' AND agent_id IS NULL;

CREATE TABLE changes(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  subject TEXT NOT NULL CHECK(subject IN ('agent', 'inbox', 'assignment')),
  id TEXT NOT NULL,
  at INTEGER NOT NULL,
  UNIQUE(subject, id)
) STRICT;
)sql";

constexpr std::array kMigrations{kFirst};
constexpr std::string_view kAgentColumns =
    "id, name, host, runner, model, version, status, status_since, reason, registered_at, seen_at";
constexpr std::size_t kLookup = 16;

AgentInfo agent_of(const Statement& row) {
  AgentInfo agent;
  agent.agent_id = row.column_text(0);
  agent.name = row.column_text(1);
  agent.host = row.column_text(2);
  agent.runner = row.column_text(3);
  agent.model = row.column_text(4);
  agent.state = {.agent_id = agent.agent_id,
                 .version = row.column_int(5),
                 .status = row.column_text(6),
                 .status_since = from_millis(row.column_int(7)),
                 .reason = row.column_text(8)};
  agent.registered_at = from_millis(row.column_int(9));
  agent.seen_at = from_millis(row.column_int(10));
  return agent;
}

Result<std::string> read_hub_id(Database& database) {
  auto row = database.prepare("SELECT value FROM meta WHERE key = 'hub_id'");
  if (!row) return pass(row.error());
  const auto found = row->step();
  if (!found) return pass(found.error());
  if (*found) return row->column_text(0);
  std::string id = new_id("hub");
  if (auto kept = database.execute("INSERT INTO meta VALUES('hub_id', ?1)", id); !kept)
    return pass(kept.error());
  return id;
}

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& path) {
  auto database = Database::open({.path = path, .mode = OpenMode::create, .stage = "hub store"});
  if (!database) return pass(database.error());
  if (auto checked = database->check(); !checked) return pass(checked.error());
  if (auto migrated = database->migrate(kMigrations); !migrated) return pass(migrated.error());
  auto id = read_hub_id(*database);
  if (!id) return pass(id.error());
  return std::make_unique<SqliteStore>(std::move(*database), std::move(*id));
}

Result<void> SqliteStore::ready() {
  return db_.transaction([]() -> Result<void> { return {}; });
}

Result<void> SqliteStore::add_key(const KeyRow& key, std::string_view sha256, WallTime now) {
  const std::optional<std::string> agent_id =
      key.agent_id.empty() ? std::nullopt : std::optional<std::string>(key.agent_id);
  const std::optional<std::int64_t> expires =
      key.expires_at ? std::optional<std::int64_t>(to_millis(*key.expires_at)) : std::nullopt;
  return db_.execute(
      "INSERT INTO keys(id, tenant, role, lookup, sha256, agent_id, created_at, expires_at)"
      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
      key.id, key.tenant, to_string(key.role), sha256.substr(0, kLookup), sha256, agent_id, to_millis(now),
      expires);
}

Result<KeyRow> SqliteStore::find_key(std::string_view sha256, WallTime now) {
  auto rows = db_.prepare(
      "SELECT id, tenant, role, agent_id, expires_at, sha256 FROM keys"
      " WHERE lookup = ?1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)");
  if (!rows) return pass(rows.error());
  rows->bind_all(sha256.substr(0, kLookup), to_millis(now));
  while (true) {
    const auto found = rows->step();
    if (!found) return pass(found.error());
    if (!*found) return fail(ErrorCode::not_found, "hub", "this key is not known");
    if (!Secret(rows->column_text(5)).equals(sha256)) continue;
    KeyRow key{.id = rows->column_text(0), .tenant = rows->column_text(1), .agent_id = rows->column_text(3)};
    const auto role = role_from(rows->column_text(2));
    if (!role) return pass(role.error());
    key.role = *role;
    if (!rows->is_null(4)) key.expires_at = from_millis(rows->column_int(4));
    return key;
  }
}

Result<std::size_t> SqliteStore::count_keys() {
  auto row = db_.prepare("SELECT count(*) FROM keys WHERE role != 'agent' AND revoked_at IS NULL");
  if (!row) return pass(row.error());
  if (const auto found = row->step(); !found) return pass(found.error());
  return static_cast<std::size_t>(row->column_int(0));
}

Result<std::optional<AgentInfo>> SqliteStore::one_agent(std::string_view where, std::string_view a,
                                                        std::string_view b, std::string_view c) {
  auto row = db_.prepare(fmt::format("SELECT {} FROM agents WHERE {}", kAgentColumns, where));
  if (!row) return pass(row.error());
  row->bind(1, a).bind(2, b);
  if (!c.empty()) row->bind(3, c);
  const auto found = row->step();
  if (!found) return pass(found.error());
  if (!*found) return std::nullopt;
  return agent_of(*row);
}

Result<Registered> SqliteStore::register_agent(std::string_view tenant, const Registration& registration,
                                               std::string_view token_sha256, WallTime expires_at,
                                               WallTime now) {
  return db_.transaction([&]() -> Result<Registered> {
    const auto placed = place_agent(tenant, registration, now);
    if (!placed) return pass(placed.error());
    const auto& [id, again] = *placed;
    if (auto gone = db_.execute("DELETE FROM keys WHERE agent_id = ?1", id); !gone) return pass(gone.error());
    const KeyRow key{.id = new_id("key"),
                     .tenant = std::string(tenant),
                     .role = Role::agent,
                     .agent_id = id,
                     .expires_at = expires_at};
    if (auto added = add_key(key, token_sha256, now); !added) return pass(added.error());
    if (auto told = add_change(Subject::agent, id, now); !told) return pass(told.error());
    return Registered{.agent_id = id, .expires_at = expires_at, .again = again};
  });
}

Result<SqliteStore::Placed> SqliteStore::place_agent(std::string_view tenant,
                                                     const Registration& registration, WallTime now) {
  std::optional<AgentInfo> known;
  if (registration.agent_id) {
    auto by_id = one_agent("tenant = ?1 AND id = ?2", tenant, *registration.agent_id, "");
    if (!by_id) return pass(by_id.error());
    known = std::move(*by_id);
    if (known && known->name != registration.name) {
      return fail(ErrorCode::conflict, "hub",
                  fmt::format("agent {} is called '{}' here", known->agent_id, known->name),
                  "register without agent_id to get another");
    }
  }
  const bool remembered = known.has_value();
  if (!known) {
    auto by_name =
        one_agent("tenant = ?1 AND host = ?2 AND name = ?3", tenant, registration.host, registration.name);
    if (!by_name) return pass(by_name.error());
    known = std::move(*by_name);
  }
  if (!known) return new_agent(tenant, registration, now);
  const auto updated = db_.execute(
      "UPDATE agents SET host = ?2, runner = ?3, model = ?4, registered_at = ?5, seen_at = ?5 WHERE id = ?1",
      known->agent_id, registration.host, registration.runner, registration.model, to_millis(now));
  if (!updated) return pass(updated.error());
  if (!remembered) {
    if (auto forgot = forget_host_copy(known->agent_id, now); !forgot) return pass(forgot.error());
  }
  return Placed{known->agent_id, true};
}

Result<SqliteStore::Placed> SqliteStore::new_agent(std::string_view tenant, const Registration& registration,
                                                   WallTime now) {
  auto count = db_.prepare("SELECT count(*) FROM agents WHERE tenant = ?1");
  if (!count) return pass(count.error());
  if (const auto found = count->bind(1, tenant).step(); !found) return pass(found.error());
  if (static_cast<std::size_t>(count->column_int(0)) >= kMaxAgents) {
    return fail(ErrorCode::exhausted, "hub", fmt::format("{} agents are registered already", kMaxAgents));
  }
  // An id this hub has never given (it was restored, or is new) is kept, unless somebody else has it.
  auto taken = db_.prepare("SELECT 1 FROM agents WHERE id = ?1");
  if (!taken) return pass(taken.error());
  const auto exists = taken->bind(1, registration.agent_id.value_or("")).step();
  if (!exists) return pass(exists.error());
  const std::string id = registration.agent_id && !*exists ? *registration.agent_id : new_id("agt");
  const auto added = db_.execute(
      "INSERT INTO agents VALUES(?1, ?2, ?3, ?4, ?5, ?6, 0, 'unknown', ?7, '', ?7, ?7)", id, tenant,
      registration.name, registration.host, registration.runner, registration.model, to_millis(now));
  if (!added) return pass(added.error());
  return Placed{id, false};
}

// The host has lost its journal: the version counts from the start, and what it had acknowledged it has not.
Result<void> SqliteStore::forget_host_copy(std::string_view agent_id, WallTime now) {
  if (auto reset = db_.execute("UPDATE agents SET version = 0 WHERE id = ?1", agent_id); !reset) return reset;
  return requeue_pushed(agent_id, now);
}

Result<SyncAnswer> SqliteStore::sync(std::string_view tenant, const Sync& news, WallTime expires_at,
                                     WallTime now) {
  return db_.transaction([&]() -> Result<SyncAnswer> {
    SyncAnswer answer;
    for (const auto& state : news.agents) {
      auto put = put_state(tenant, news.host, state, expires_at, now);
      if (!put) return pass(put.error());
      if (*put) {
        answer.agents.push_back(std::move(**put));
      } else {
        answer.unknown.push_back(state.agent_id);
      }
    }
    for (const auto& report : news.reports) {
      const auto item = apply_report(tenant, report, now);
      if (item) continue;
      const Error& error = item.error();
      if (error.code != ErrorCode::not_found && error.code != ErrorCode::conflict) return pass(error);
      answer.refused.push_back({report.item_id, error.code, error.what});
    }
    return answer;
  });
}

Result<std::optional<SyncedAgent>> SqliteStore::put_state(std::string_view tenant, std::string_view host,
                                                          const AgentState& state, WallTime expires_at,
                                                          WallTime now) {
  const auto agent = one_agent("tenant = ?1 AND id = ?2", tenant, state.agent_id, "");
  if (!agent) return pass(agent.error());
  if (!*agent || (!host.empty() && (*agent)->host != host)) return std::nullopt;
  const AgentState& known = (*agent)->state;
  if (auto seen = db_.execute("UPDATE agents SET seen_at = ?2 WHERE id = ?1", state.agent_id, to_millis(now));
      !seen) {
    return pass(seen.error());
  }
  if (auto renewed = db_.execute("UPDATE keys SET expires_at = ?2 WHERE agent_id = ?1", state.agent_id,
                                 to_millis(expires_at));
      !renewed) {
    return pass(renewed.error());
  }
  SyncedAgent answer{.agent_id = state.agent_id,
                     .before = known.version,
                     .version = std::max(known.version, state.version),
                     .expires_at = expires_at};
  if (state.version <= known.version) return answer;
  const auto updated =
      db_.execute("UPDATE agents SET version = ?2, status = ?3, status_since = ?4, reason = ?5 WHERE id = ?1",
                  state.agent_id, state.version, state.status, to_millis(state.status_since), state.reason);
  if (!updated) return pass(updated.error());
  if (auto told = add_change(Subject::agent, state.agent_id, now); !told) return pass(told.error());
  return answer;
}

Result<std::vector<AgentInfo>> SqliteStore::list_agents(std::string_view tenant, std::string_view after_id,
                                                        std::size_t limit) {
  auto rows = db_.prepare(
      fmt::format("SELECT {} FROM agents WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3", kAgentColumns));
  if (rows) rows->bind_all(tenant, after_id, limit);
  return rows_of<AgentInfo>(std::move(rows), agent_of);
}

Result<AgentInfo> SqliteStore::find_agent(std::string_view tenant, std::string_view id_or_name) {
  const auto by_id = one_agent("tenant = ?1 AND id = ?2", tenant, id_or_name, "");
  if (!by_id) return pass(by_id.error());
  if (*by_id) return **by_id;
  auto rows = db_.prepare(
      fmt::format("SELECT {} FROM agents WHERE tenant = ?1 AND name = ?2 LIMIT 2", kAgentColumns));
  if (!rows) return pass(rows.error());
  rows->bind_all(tenant, id_or_name);
  const auto first = rows->step();
  if (!first) return pass(first.error());
  if (!*first) {
    return fail(ErrorCode::not_found, "hub", fmt::format("no agent '{}' is registered", id_or_name),
                "`agentmesh list` shows those there are");
  }
  AgentInfo agent = agent_of(*rows);
  const auto second = rows->step();
  if (!second) return pass(second.error());
  if (*second) {
    return fail(ErrorCode::conflict, "hub", fmt::format("several hosts have an agent '{}'", id_or_name),
                fmt::format("use its id: {} is the one on {}", agent.agent_id, agent.host));
  }
  return agent;
}

std::string_view SqliteStore::name_of(Subject subject) {
  switch (subject) {
    case Subject::agent:
      return "agent";
    case Subject::inbox:
      return "inbox";
    case Subject::assignment:
      return "assignment";
  }
  return "";
}

Result<std::int64_t> SqliteStore::add_change(Subject subject, std::string_view id, WallTime now) {
  const auto added = db_.execute("INSERT OR REPLACE INTO changes(subject, id, at) VALUES(?1, ?2, ?3)",
                                 name_of(subject), id, to_millis(now));
  if (!added) return pass(added.error());
  return db_.last_insert_id();
}

Result<std::int64_t> SqliteStore::last_change() {
  auto row = db_.prepare("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'changes'");
  if (!row) return pass(row.error());
  if (const auto found = row->step(); !found) return pass(found.error());
  return row->column_int(0);
}

Result<ChangePage> SqliteStore::changes_after(std::string_view tenant, std::string_view host,
                                              std::int64_t cursor, std::size_t limit) {
  auto rows = db_.prepare("SELECT seq, subject, id, at FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2");
  if (!rows) return pass(rows.error());
  rows->bind_all(cursor, limit);
  ChangePage page{.cursor = cursor};
  std::size_t read = 0;
  while (true) {
    const auto found = rows->step();
    if (!found) return pass(found.error());
    if (!*found) break;
    ++read;
    const std::string subject = rows->column_text(1);
    const Change change{.seq = rows->column_int(0),
                        .subject = subject == "agent"   ? Subject::agent
                                   : subject == "inbox" ? Subject::inbox
                                                        : Subject::assignment,
                        .id = rows->column_text(2),
                        .at = from_millis(rows->column_int(3))};
    auto frame = change.subject == Subject::agent ? agent_frame(tenant, host, change)
                                                  : item_frame(tenant, host, change);
    if (!frame) return pass(frame.error());
    if (*frame) page.frames.push_back(std::move(**frame));
    page.cursor = change.seq;
  }
  page.more = read == limit;
  return page;
}

Result<std::optional<Frame>> SqliteStore::agent_frame(std::string_view tenant, std::string_view host,
                                                      const Change& change) {
  if (!host.empty()) return std::nullopt;
  const auto agent = one_agent("tenant = ?1 AND id = ?2", tenant, change.id, "");
  if (!agent) return pass(agent.error());
  if (!*agent) return std::nullopt;
  return Frame{.seq = change.seq, .type = "agent", .at = change.at, .data = dump_json(to_json(**agent))};
}

}  // namespace agentmesh::hub
