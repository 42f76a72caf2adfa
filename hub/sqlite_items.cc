// The inbox's part of the SQLite store.

#include "base/ids.h"
#include "base/json.h"
#include "base/text.h"
#include "hub/sqlite_store.h"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::hub {
namespace {

constexpr std::string_view kItemColumns =
    "items.id, items.seq, items.addressed, items.runner, items.agent_id, items.title, items.body, "
    "items.priority,"
    " items.ttl_s, items.issue_id, items.repo, items.ref, items.idempotency_key, items.state, items.attempt,"
    " items.reason, items.created_at, items.expires_at, items.pushed_at, items.delivered_at, items.done_at,"
    " items.failed_at, items.expired_at";

std::optional<WallTime> time_at(const Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return from_millis(row.column_int(column));
}

InboxItem item_of(const Statement& row) {
  InboxItem item;
  item.id = row.column_text(0);
  item.seq = row.column_int(1);
  item.to = row.column_text(2);
  item.runner = row.column_text(3);
  item.agent_id = row.column_text(4);
  item.title = row.column_text(5);
  item.body = row.column_text(6);
  item.priority = static_cast<Priority>(row.column_int(7));
  item.ttl_s = row.column_int(8);
  item.issue_id = row.column_optional_text(9);
  item.repo = row.column_optional_text(10);
  item.ref = row.column_optional_text(11);
  item.idempotency_key = row.column_optional_text(12);
  item.state = item_state_from(row.column_text(13)).value_or(ItemState::failed);
  item.attempt = row.column_int(14);
  item.reason = row.column_text(15);
  item.created_at = from_millis(row.column_int(16));
  item.expires_at = from_millis(row.column_int(17));
  item.pushed_at = time_at(row, 18);
  item.delivered_at = time_at(row, 19);
  item.done_at = time_at(row, 20);
  item.failed_at = time_at(row, 21);
  item.expired_at = time_at(row, 22);
  return item;
}

// The column that holds when an item came into a state.
std::string_view time_column(ItemState state) {
  switch (state) {
    case ItemState::pushed:
      return "pushed_at";
    case ItemState::delivered:
      return "delivered_at";
    case ItemState::done:
      return "done_at";
    case ItemState::failed:
      return "failed_at";
    case ItemState::expired:
      return "expired_at";
    case ItemState::queued:
      break;
  }
  return "changed_at";
}

enum class Move { go, stay, refuse };

// What a report does to an item of the attempt it speaks of. A host's word that an item was delivered or done
// is a fact: it counts after the hub has given the item up as expired, too.
Move move_of(ItemState from, ItemState to) {
  if (from == to) return Move::stay;
  switch (to) {
    case ItemState::pushed:
      return from == ItemState::queued ? Move::go : Move::stay;
    case ItemState::delivered:
      if (from == ItemState::done) return Move::stay;
      return from == ItemState::failed ? Move::refuse : Move::go;
    case ItemState::done:
      return from == ItemState::failed ? Move::refuse : Move::go;
    case ItemState::failed:
      return from == ItemState::done ? Move::refuse : Move::go;
    case ItemState::queued:
    case ItemState::expired:
      break;
  }
  return Move::refuse;
}

std::int64_t ttl_of(const NewItem& item) {
  const bool urgent = item.priority == Priority::urgent;
  return item.ttl_s.value_or(urgent ? kDefaultUrgentTtlSeconds : kDefaultTtlSeconds);
}

std::int64_t expiry(WallTime now, std::int64_t ttl_s) { return to_millis(now) + ttl_s * 1000; }

Result<std::int64_t> count_of(Result<Statement> statement) {
  if (!statement) return pass(statement.error());
  if (const auto found = statement->step(); !found) return pass(found.error());
  return statement->column_int(0);
}

}  // namespace

Result<std::optional<InboxItem>> SqliteStore::find_item(std::string_view tenant, std::string_view id) {
  auto row = db_.prepare(fmt::format("SELECT {} FROM items WHERE tenant = ?1 AND id = ?2", kItemColumns));
  if (!row) return pass(row.error());
  const auto found = row->bind_all(tenant, id).step();
  if (!found) return pass(found.error());
  if (!*found) return std::nullopt;
  return item_of(*row);
}

Result<InboxItem> SqliteStore::get_item(std::string_view tenant, std::string_view item_id) {
  auto item = find_item(tenant, item_id);
  if (!item) return pass(item.error());
  if (!*item) return fail(ErrorCode::not_found, "hub", fmt::format("no item '{}'", item_id));
  return std::move(**item);
}

Result<PostOutcome> SqliteStore::post_item(std::string_view tenant, const NewItem& item, WallTime now) {
  const std::string fingerprint = sha256_hex(dump_json(to_json(item)));
  return db_.transaction([&]() -> Result<PostOutcome> {
    auto same = same_post(tenant, item, fingerprint);
    if (!same) return pass(same.error());
    if (*same) return std::move(**same);
    const auto agent_id = addressee(tenant, item);
    if (!agent_id) return pass(agent_id.error());
    auto inserted = insert_item(tenant, item, *agent_id, fingerprint, now);
    if (!inserted) return pass(inserted.error());
    return PostOutcome{.item = std::move(*inserted)};
  });
}

Result<std::optional<PostOutcome>> SqliteStore::same_post(std::string_view tenant, const NewItem& item,
                                                          std::string_view fingerprint) {
  if (!item.idempotency_key) return std::nullopt;
  auto row = db_.prepare("SELECT id, fingerprint FROM items WHERE tenant = ?1 AND idempotency_key = ?2");
  if (!row) return pass(row.error());
  const auto found = row->bind_all(tenant, *item.idempotency_key).step();
  if (!found) return pass(found.error());
  if (!*found) return std::nullopt;
  if (row->column_text(1) != fingerprint) {
    return fail(ErrorCode::conflict, "hub", "this idempotency_key was used for another item",
                "use a new key for a new item");
  }
  auto known = get_item(tenant, row->column_text(0));
  if (!known) return pass(known.error());
  return PostOutcome{.item = std::move(*known), .existed = true};
}

// The agent's id; "" for any.
Result<std::string> SqliteStore::addressee(std::string_view tenant, const NewItem& item) {
  if (item.to == kAnyAgent) {
    auto waiting =
        db_.prepare("SELECT count(*) FROM items WHERE tenant = ?1 AND state = 'queued' AND agent_id IS NULL");
    if (waiting) waiting->bind(1, tenant);
    const auto count = count_of(std::move(waiting));
    if (!count) return pass(count.error());
    if (static_cast<std::size_t>(*count) < kMaxUnclaimed) return std::string();
    return fail(ErrorCode::exhausted, "hub", fmt::format("{} items wait for any agent already", *count),
                "start more agents, or wait");
  }
  auto agent = find_agent(tenant, item.to);
  if (!agent) return pass(agent.error());
  auto open = db_.prepare("SELECT count(*) FROM items WHERE agent_id = ?1 AND state IN ('queued', 'pushed')");
  if (open) open->bind(1, agent->agent_id);
  const auto count = count_of(std::move(open));
  if (!count) return pass(count.error());
  if (static_cast<std::size_t>(*count) < kMaxOpenItems) return std::move(agent->agent_id);
  return fail(ErrorCode::exhausted, "hub", fmt::format("{} items wait for '{}' already", *count, agent->name),
              "wait until it has taken some");
}

Result<InboxItem> SqliteStore::insert_item(std::string_view tenant, const NewItem& item,
                                           const std::string& agent_id, std::string_view fingerprint,
                                           WallTime now) {
  const std::string id = new_id("itm");
  const std::int64_t ttl_s = ttl_of(item);
  const auto seq = add_change(agent_id.empty() ? Subject::inbox : Subject::assignment, id, now);
  if (!seq) return pass(seq.error());
  const std::optional<std::string> owner =
      agent_id.empty() ? std::nullopt : std::optional<std::string>(agent_id);
  const auto added = db_.execute(
      "INSERT INTO items(id, tenant, seq, addressed, runner, agent_id, title, body, priority, ttl_s, "
      "issue_id, repo,"
      " ref, idempotency_key, fingerprint, state, attempt, reason, created_at, expires_at, changed_at)"
      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, 'queued', 1, '', ?16, ?17, "
      "?16)",
      id, tenant, *seq, item.to, item.runner, owner, item.title, item.body, static_cast<int>(item.priority),
      ttl_s, item.issue_id, item.repo, item.ref, item.idempotency_key, fingerprint, to_millis(now),
      expiry(now, ttl_s));
  if (!added) return pass(added.error());
  return get_item(tenant, id);
}

Result<std::vector<InboxItem>> SqliteStore::list_items(std::string_view tenant, const ItemFilter& filter) {
  std::string sql = fmt::format("SELECT {} FROM items", kItemColumns);
  if (filter.host) sql += " JOIN agents ON agents.id = items.agent_id AND agents.host = ?4";
  sql += " WHERE items.tenant = ?1 AND items.seq > ?2";
  if (filter.agent_id) sql += " AND items.agent_id = ?5";
  if (filter.state) sql += " AND items.state = ?6";
  sql += " ORDER BY items.seq LIMIT ?3";
  auto rows = db_.prepare(sql);
  if (!rows) return pass(rows.error());
  rows->bind_all(tenant, filter.after_seq, filter.limit);
  if (filter.host) rows->bind(4, *filter.host);
  if (filter.agent_id) rows->bind(5, *filter.agent_id);
  if (filter.state) rows->bind(6, to_string(*filter.state));
  return rows_of<InboxItem>(std::move(rows), item_of);
}

Result<InboxItem> SqliteStore::report_item(std::string_view tenant, const ItemReport& report, WallTime now) {
  return db_.transaction([&] { return apply_report(tenant, report, now); });
}

Result<InboxItem> SqliteStore::apply_report(std::string_view tenant, const ItemReport& report, WallTime now) {
  auto item = get_item(tenant, report.item_id);
  if (!item) return item;
  if (report.attempt != 0 && report.attempt != item->attempt) return item;
  switch (move_of(item->state, report.state)) {
    case Move::stay:
      return item;
    case Move::refuse:
      return fail(ErrorCode::conflict, "hub",
                  fmt::format("item {} is {} already", item->id, to_string(item->state)),
                  item->state == ItemState::failed ? "retry it first" : "");
    case Move::go:
      break;
  }
  if (auto set = set_state(*item, report.state, report.reason, now); !set) return pass(set.error());
  return get_item(tenant, report.item_id);
}

Result<void> SqliteStore::set_state(const InboxItem& item, ItemState state, std::string_view reason,
                                    WallTime now) {
  const auto updated = db_.execute(
      fmt::format("UPDATE items SET state = ?2, reason = ?3, changed_at = ?4, {} = ?4 WHERE id = ?1",
                  time_column(state)),
      item.id, to_string(state), reason, to_millis(now));
  if (!updated) return updated;
  if (auto told = add_change(Subject::inbox, item.id, now); !told) return pass(told.error());
  return {};
}

Result<InboxItem> SqliteStore::retry_item(std::string_view tenant, std::string_view item_id, WallTime now) {
  return db_.transaction([&]() -> Result<InboxItem> {
    auto item = get_item(tenant, item_id);
    if (!item || item->state == ItemState::queued) return item;
    if (item->state != ItemState::failed && item->state != ItemState::expired) {
      return fail(ErrorCode::conflict, "hub", fmt::format("item {} is {}", item->id, to_string(item->state)),
                  "only a failed or expired item can be tried again");
    }
    if (item->to == kAnyAgent) item->agent_id.clear();
    ++item->attempt;
    if (auto queued = queue_again(*item, "tried again", now); !queued) return pass(queued.error());
    return get_item(tenant, item_id);
  });
}

// Queued as `item` says: its agent and its attempt; its time to live begins again.
Result<void> SqliteStore::queue_again(const InboxItem& item, std::string_view reason, WallTime now) {
  const auto seq = add_change(item.agent_id.empty() ? Subject::inbox : Subject::assignment, item.id, now);
  if (!seq) return pass(seq.error());
  const std::optional<std::string> owner =
      item.agent_id.empty() ? std::nullopt : std::optional<std::string>(item.agent_id);
  return db_.execute(
      "UPDATE items SET state = 'queued', seq = ?2, agent_id = ?3, attempt = ?4, reason = ?5, changed_at = "
      "?6,"
      " expires_at = ?7, pushed_at = NULL, delivered_at = NULL, done_at = NULL, failed_at = NULL, expired_at "
      "= NULL"
      " WHERE id = ?1",
      item.id, *seq, owner, item.attempt, reason, to_millis(now), expiry(now, item.ttl_s));
}

Result<void> SqliteStore::requeue_pushed(std::string_view agent_id, WallTime now) {
  auto rows = db_.prepare(fmt::format(
      "SELECT {} FROM items WHERE agent_id = ?1 AND state = 'pushed' ORDER BY seq", kItemColumns));
  if (rows) rows->bind(1, agent_id);
  const auto items = rows_of<InboxItem>(std::move(rows), item_of);
  if (!items) return pass(items.error());
  for (const auto& item : *items) {
    if (auto queued = queue_again(item, "the host had lost it", now); !queued) return queued;
  }
  return {};
}

Result<std::size_t> SqliteStore::claim_items(WallTime seen_after, WallTime now) {
  std::size_t claimed = 0;
  while (true) {
    const auto one = db_.transaction([&]() -> Result<bool> { return claim_one(seen_after, now); });
    if (!one) return pass(one.error());
    if (!*one) return claimed;
    ++claimed;
  }
}

// An idle agent has nothing waiting: so each gets one, and the next when it has finished.
Result<bool> SqliteStore::claim_one(WallTime seen_after, WallTime now) {
  auto row = db_.prepare(
      "SELECT items.id, agents.id FROM items JOIN agents ON agents.tenant = items.tenant"
      " WHERE items.state = 'queued' AND items.agent_id IS NULL AND items.expires_at > ?2"
      " AND agents.status = 'idle' AND agents.seen_at >= ?1"
      " AND (items.runner = '' OR items.runner = agents.runner)"
      " AND NOT EXISTS (SELECT 1 FROM items AS open WHERE open.agent_id = agents.id"
      "                 AND open.state IN ('queued', 'pushed'))"
      " ORDER BY items.priority DESC, items.seq, agents.status_since, agents.id LIMIT 1");
  if (!row) return pass(row.error());
  const auto found = row->bind_all(to_millis(seen_after), to_millis(now)).step();
  if (!found || !*found) return found;
  const std::string item_id = row->column_text(0);
  const std::string agent_id = row->column_text(1);
  const auto seq = add_change(Subject::assignment, item_id, now);
  if (!seq) return pass(seq.error());
  const auto taken = db_.execute("UPDATE items SET agent_id = ?2, seq = ?3, changed_at = ?4 WHERE id = ?1",
                                 item_id, agent_id, *seq, to_millis(now));
  if (!taken) return pass(taken.error());
  return true;
}

Result<std::size_t> SqliteStore::sweep(WallTime now) {
  return db_.transaction([&]() -> Result<std::size_t> {
    const auto expired = expire_due(now);
    if (!expired) return pass(expired.error());
    const std::int64_t old = to_millis(now - kKeepFinished);
    std::size_t rows = *expired;
    for (const std::string_view sql : {
             "DELETE FROM changes WHERE subject != 'agent' AND id IN (SELECT id FROM items WHERE changed_at "
             "< ?1"
             " AND state IN ('done', 'failed', 'expired'))",
             "DELETE FROM items WHERE changed_at < ?1 AND state IN ('done', 'failed', 'expired')",
             "DELETE FROM keys WHERE role = 'agent' AND expires_at < ?1",
         }) {
      if (auto gone = db_.execute(sql, old); !gone) return pass(gone.error());
      rows += static_cast<std::size_t>(db_.changes());
    }
    return rows;
  });
}

Result<std::size_t> SqliteStore::expire_due(WallTime now) {
  auto rows = db_.prepare(
      fmt::format("SELECT {} FROM items WHERE state IN ('queued', 'pushed') AND expires_at <= ?1 LIMIT {}",
                  kItemColumns, kMaxPage));
  if (rows) rows->bind(1, to_millis(now));
  const auto due = rows_of<InboxItem>(std::move(rows), item_of);
  if (!due) return pass(due.error());
  for (const auto& item : *due) {
    const auto reason = fmt::format("not delivered within {} s", item.ttl_s);
    if (auto set = set_state(item, ItemState::expired, reason, now); !set) return pass(set.error());
  }
  return due->size();
}

Result<std::optional<Frame>> SqliteStore::item_frame(std::string_view tenant, std::string_view host,
                                                     const Change& change) {
  auto item = find_item(tenant, change.id);
  if (!item) return pass(item.error());
  if (!*item) return std::nullopt;
  const bool assignment = change.subject == Subject::assignment;
  if (assignment && (*item)->state != ItemState::queued) return std::nullopt;
  if (!host.empty()) {
    const auto agent = one_agent("tenant = ?1 AND id = ?2", tenant, (*item)->agent_id, "");
    if (!agent) return pass(agent.error());
    if (!*agent || (*agent)->host != host) return std::nullopt;
  }
  nlohmann::json data = to_json(**item);
  if (!assignment) data["body"] = "";
  return Frame{.seq = change.seq,
               .type = std::string(name_of(change.subject)),
               .at = change.at,
               .data = dump_json(data)};
}

}  // namespace agentmesh::hub
