#pragma once
// Where the hub keeps everything: agents, keys, the inbox, and the changes that streams are fed from. One
// interface, no SQL above it, no state beside it. Each method is one transaction that is on the disk when it
// returns. `now` is a parameter; it reads no clock and sends nothing.
//
// Errors of every method: exhausted (disk full), denied (read-only disk), unavailable (locked, I/O), internal
// (damaged). A tenant's method sees that tenant's rows alone: a foreign row is not_found.

#include "base/clock.h"
#include "base/result.h"
#include "hub/protocol.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::hub {

constexpr std::size_t kMaxOpenItems = 50;     // not yet delivered, of one agent (supervision: depth limit)
constexpr std::size_t kMaxUnclaimed = 1'000;  // to "any", of one tenant
constexpr std::size_t kMaxAgents = 10'000;    // of one tenant
constexpr Millis kKeepFinished = std::chrono::hours(24 * 30);  // done, failed and expired items

struct KeyRow {
  std::string id;
  std::string tenant;
  Role role = Role::agent;
  std::string agent_id;  // of an agent's token
  std::optional<WallTime> expires_at;
};

struct ItemFilter {
  std::optional<std::string> agent_id;
  std::optional<std::string> host;
  std::optional<ItemState> state;
  std::int64_t after_seq = 0;
  std::size_t limit = kMaxPage;
};

// What has changed since a cursor. Changes are kept one per object (the newest), and told as the object is
// now: a cursor is never too old, and what changed twice is told once.
struct ChangePage {
  std::vector<Frame> frames;
  std::int64_t cursor = 0;  // where the next page begins
  bool more = false;
};

struct PostOutcome {
  InboxItem item;
  bool existed = false;  // the idempotency key was known, with this same content
};

class Store {
 public:
  virtual ~Store() = default;

  // Made with the database, kept in every copy of it.
  virtual std::string hub_id() const = 0;
  virtual Result<void> ready() = 0;  // it could write now

  // A key is stored as its SHA-256. Errors: conflict (the hash is there).
  virtual Result<void> add_key(const KeyRow& key, std::string_view sha256, WallTime now) = 0;
  // Compares in constant time. Errors: not_found (unknown, expired or revoked).
  virtual Result<KeyRow> find_key(std::string_view sha256, WallTime now) = 0;
  virtual Result<std::size_t> count_keys() = 0;  // that are not an agent's

  // By agent_id, else by host and name, else new. A known agent that came without its agent_id has lost its
  // journal: what was pushed to it is queued again. The token replaces the agent's earlier one. Errors:
  // conflict (the id is another name's), exhausted (kMaxAgents).
  virtual Result<Registered> register_agent(std::string_view tenant, const Registration& registration,
                                            std::string_view token_sha256, WallTime expires_at,
                                            WallTime now) = 0;
  // Keeps the greatest version of each state, renews the tokens, takes the reports. `host` empty: of any
  // host; else another host's agents are unknown.
  virtual Result<SyncAnswer> sync(std::string_view tenant, const Sync& news, WallTime expires_at,
                                  WallTime now) = 0;
  // In order of id, those after `after_id`.
  virtual Result<std::vector<AgentInfo>> list_agents(std::string_view tenant, std::string_view after_id,
                                                     std::size_t limit) = 0;
  // By id, else by name. Errors: not_found, conflict (several hosts have an agent of that name).
  virtual Result<AgentInfo> find_agent(std::string_view tenant, std::string_view id_or_name) = 0;

  // Errors: not_found (the agent), conflict (the key is another item's), exhausted (kMaxOpenItems).
  virtual Result<PostOutcome> post_item(std::string_view tenant, const NewItem& item, WallTime now) = 0;
  virtual Result<InboxItem> get_item(std::string_view tenant, std::string_view item_id) = 0;
  // In order of seq.
  virtual Result<std::vector<InboxItem>> list_items(std::string_view tenant, const ItemFilter& filter) = 0;
  // The same report again, or one of an attempt that is over, changes nothing. Errors: not_found, conflict
  // (done after failed, failed after done).
  virtual Result<InboxItem> report_item(std::string_view tenant, const ItemReport& report, WallTime now) = 0;
  // failed or expired: queued again as the next attempt; queued: unchanged. Errors: not_found, conflict.
  virtual Result<InboxItem> retry_item(std::string_view tenant, std::string_view item_id, WallTime now) = 0;
  // Gives items to "any" to idle agents seen since `seen_after`; each to one. The number given.
  virtual Result<std::size_t> claim_items(WallTime seen_after, WallTime now) = 0;

  // Expires what is due, forgets what is finished long ago and dead tokens. Rows changed.
  virtual Result<std::size_t> sweep(WallTime now) = 0;

  virtual Result<std::int64_t> last_change() = 0;
  // Oldest first. `host` empty: of every agent and item; else of the items of its agents. An assignment that
  // is acknowledged is not told again.
  virtual Result<ChangePage> changes_after(std::string_view tenant, std::string_view host,
                                           std::int64_t cursor, std::size_t limit) = 0;
};

// WAL, synchronous FULL, STRICT tables. `path` may be ":memory:". Errors: as base/sqlite.h, and conflict
// (written by a newer version).
Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& path);

}  // namespace agentmesh::hub
