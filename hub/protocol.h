#pragma once
// What the hub and its clients say to each other, as plain structs and their JSON. Decoding is strict: a
// wrong type or a value out of its limit is an Error that names the field; so is an unknown field in what a
// client sends. In what the hub answers an unknown field is skipped: the hub may be newer. Pure; no I/O.

#include "base/clock.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::hub {

constexpr std::size_t kMaxTitleBytes = 512;
constexpr std::size_t kMaxItemBodyBytes = 64 * 1024;  // what a message to an agent may be (supervision)
constexpr std::size_t kMaxFieldBytes = 512;           // every other text
constexpr std::size_t kMaxReasonBytes = 2048;
constexpr std::size_t kMaxPage = 500;         // rows of one list
constexpr std::size_t kMaxSyncAgents = 100;   // states of one sync: with a full reason each,
constexpr std::size_t kMaxSyncReports = 100;  // and as many reports, it is within a body's limit
constexpr std::int64_t kMaxTtlSeconds = 30LL * 24 * 3600;
constexpr std::int64_t kDefaultTtlSeconds = 30 * 60;         // supervision: 30 min,
constexpr std::int64_t kDefaultUrgentTtlSeconds = 2 * 3600;  // urgent 2 h
// The stage of an Error about the request itself: a size over its limit is 413 then, and no repetition helps.
constexpr std::string_view kRequestStage = "request";
constexpr std::string_view kAnyAgent = "any";
constexpr std::string_view kDefaultTenant = "default";

enum class Priority { low, normal, high, urgent };
enum class ItemState {
  queued,     // the hub has it; no host has acknowledged it
  pushed,     // the host has it in its journal
  delivered,  // the agent has it
  done,
  failed,
  expired,  // its ttl passed before it was delivered
};
enum class Role { agent, operator_, admin };

std::string_view to_string(Priority priority);
std::string_view to_string(ItemState state);
std::string_view to_string(Role role);  // "agent", "operator", "admin"
Result<Priority> priority_from(std::string_view text);
Result<ItemState> item_state_from(std::string_view text);
Result<Role> role_from(std::string_view text);

// POST /v1/agents/register
struct Registration {
  std::string name;
  std::string host;  // one daemon: names the host and, where several share it, the user
  std::string runner;
  std::string model;
  std::optional<std::string>
      agent_id;  // what the daemon was given before; absent: it has forgotten, or is new
  bool restore_context = true;
};

struct Registered {
  std::string agent_id;
  std::string token;  // a key of role agent, bound to this agent; a secret
  WallTime expires_at;
  bool again = false;  // status "re-registered"
};

// The newest state of one agent. `version` counts up at the daemon; the hub keeps the greatest.
struct AgentState {
  std::string agent_id;
  std::int64_t version = 0;
  std::string status;  // as in `list`: idle, busy, ...
  WallTime status_since;
  std::string reason;
};

// POST /v1/agents/{id}/heartbeat takes an AgentState without agent_id.
struct HeartbeatAnswer {
  std::int64_t version = 0;  // the state the hub holds now
  WallTime expires_at;       // of the agent's token, renewed
};

// GET /v1/agents
struct AgentInfo {
  std::string agent_id;
  std::string name;
  std::string host;
  std::string runner;
  std::string model;
  AgentState state;
  WallTime registered_at;
  WallTime seen_at;
};

// POST /v1/inbox
struct NewItem {
  std::string to;      // an agent's id or name, or "any"
  std::string runner;  // with "any": only an agent of this runner; empty: every one
  std::string title;
  std::string body;
  Priority priority = Priority::normal;
  std::optional<std::int64_t> ttl_s;  // absent: the defaults above
  std::optional<std::string> issue_id;
  std::optional<std::string> repo;
  std::optional<std::string> ref;
  std::optional<std::string> idempotency_key;
};

struct InboxItem {
  std::string id;
  std::int64_t seq = 0;  // of the change that announced it; grows
  std::string to;
  std::string runner;
  std::string agent_id;  // empty: nobody has claimed it yet
  std::string title;
  std::string body;
  Priority priority = Priority::normal;
  std::int64_t ttl_s = 0;
  std::optional<std::string> issue_id;
  std::optional<std::string> repo;
  std::optional<std::string> ref;
  std::optional<std::string> idempotency_key;
  ItemState state = ItemState::queued;
  std::int64_t attempt = 1;  // a retry counts up; (id, attempt) is delivered once
  std::string reason;        // of the state it is in
  WallTime created_at;
  WallTime expires_at;
  std::optional<WallTime> pushed_at;
  std::optional<WallTime> delivered_at;
  std::optional<WallTime> done_at;
  std::optional<WallTime> failed_at;
  std::optional<WallTime> expired_at;
};

// POST /v1/inbox/{id}/ack|delivered|done|failed: what a host or agent says about an item.
struct ItemReport {
  std::string item_id;
  std::int64_t attempt = 1;             // 0 (absent in JSON): of the attempt that is under way
  ItemState state = ItemState::pushed;  // pushed, delivered, done or failed
  std::string reason;
};

// POST /v1/sync: what one host has to say, in one push: the states of its agents (the heartbeat of all of
// them) and what became of items.
struct Sync {
  std::string host;
  std::vector<AgentState> agents;
  std::vector<ItemReport> reports;
};

struct SyncedAgent {
  std::string agent_id;
  std::int64_t before = 0;  // the version the hub held; smaller than what it acknowledged: it was restored
  std::int64_t version = 0;
  WallTime expires_at;
};

struct RefusedReport {
  std::string item_id;
  ErrorCode code = ErrorCode::not_found;  // or conflict
  std::string message;
};

struct SyncAnswer {
  std::vector<SyncedAgent> agents;
  std::vector<std::string> unknown;    // agents that must be registered again
  std::vector<RefusedReport> refused;  // the other reports were taken
};

// A text frame of GET /v1/stream. Types: "hello" (data: Hello), "assignment" (data: InboxItem), "inbox" (an
// item changed; data: InboxItem without body), "agent" (data: AgentInfo).
struct Frame {
  std::int64_t seq = 0;
  std::string type;
  WallTime at;
  std::string data;  // JSON text
};

struct Hello {
  std::string hub_id;    // made with the database
  std::int64_t seq = 0;  // of the newest change
  bool fresh = false;    // the client's cursor is not of this history: it must send and take everything again
};

// GET /v1/whoami
struct Identity {
  std::string tenant;
  Role role = Role::agent;
  std::string agent_id;  // of an agent's token
};

// Encoding.
nlohmann::json to_json(const Registration& value);
nlohmann::json to_json(const Registered& value);
nlohmann::json to_json(const AgentState& value);
nlohmann::json to_json(const HeartbeatAnswer& value);
nlohmann::json to_json(const Sync& value);
nlohmann::json to_json(const SyncAnswer& value);
nlohmann::json to_json(const AgentInfo& value);
nlohmann::json to_json(const NewItem& value);
nlohmann::json to_json(const InboxItem& value);
nlohmann::json to_json(const ItemReport& value);  // {attempt, reason}: the rest is in the path
nlohmann::json to_json(const Hello& value);
nlohmann::json to_json(const Identity& value);
std::string frame_text(const Frame& frame);

// Decoding. Errors: invalid (unknown field, wrong type, missing, empty where it must not be), exhausted (over
// its limit); stage "hub".
Result<Registration> registration_from(const nlohmann::json& value);
Result<Registered> registered_from(const nlohmann::json& value);
// `agent_id`: of the path; in a Sync each state carries its own.
Result<AgentState> agent_state_from(const nlohmann::json& value, std::string_view agent_id);
Result<HeartbeatAnswer> heartbeat_answer_from(const nlohmann::json& value);
Result<Sync> sync_from(const nlohmann::json& value);
Result<SyncAnswer> sync_answer_from(const nlohmann::json& value);
Result<AgentInfo> agent_info_from(const nlohmann::json& value);
Result<NewItem> new_item_from(const nlohmann::json& value);
Result<InboxItem> inbox_item_from(const nlohmann::json& value);
Result<ItemReport> item_report_from(const nlohmann::json& value, std::string_view item_id, ItemState state);
Result<Hello> hello_from(const nlohmann::json& value);
Result<Identity> identity_from(const nlohmann::json& value);
Result<Frame> frame_from(std::string_view text);

}  // namespace agentmesh::hub
