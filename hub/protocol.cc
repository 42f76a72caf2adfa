#include "hub/protocol.h"

#include "base/ids.h"
#include "base/json.h"
#include "hub/reader.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace agentmesh::hub {
namespace {

using nlohmann::json;

constexpr TextRule kField{.most = kMaxFieldBytes};
constexpr TextRule kReason{.most = kMaxReasonBytes, .lines = Lines::many};
constexpr TextRule kTitle{.most = kMaxTitleBytes};
constexpr TextRule kBody{.most = kMaxItemBodyBytes, .lines = Lines::many};
constexpr std::size_t kMaxId = 64;

template <class T>
struct Named {
  T value;
  std::string_view name;
};

constexpr std::array kPriorities{
    Named<Priority>{Priority::low, "low"}, Named<Priority>{Priority::normal, "normal"},
    Named<Priority>{Priority::high, "high"}, Named<Priority>{Priority::urgent, "urgent"}};
constexpr std::array kStates{
    Named<ItemState>{ItemState::queued, "queued"},       Named<ItemState>{ItemState::pushed, "pushed"},
    Named<ItemState>{ItemState::delivered, "delivered"}, Named<ItemState>{ItemState::done, "done"},
    Named<ItemState>{ItemState::failed, "failed"},       Named<ItemState>{ItemState::expired, "expired"}};
constexpr std::array kRoles{Named<Role>{Role::agent, "agent"}, Named<Role>{Role::operator_, "operator"},
                            Named<Role>{Role::admin, "admin"}};

template <class Table, class T>
std::string_view name_in(const Table& table, T value) {
  const auto found = std::ranges::find(table, value, [](const auto& row) { return row.value; });
  return found == table.end() ? "" : found->name;
}

template <class T, std::size_t N>
Result<T> value_in(const std::array<Named<T>, N>& table, std::string_view text, std::string_view what) {
  std::vector<std::string_view> names;
  for (const auto& row : table) {
    if (row.name == text) return row.value;
    names.push_back(row.name);
  }
  return fail(ErrorCode::invalid, "hub", fmt::format("'{}' is not a {}", text.substr(0, 40), what),
              fmt::format("one of {}", fmt::join(names, ", ")));
}

void check_id(Reader& reader, std::string_view id) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  if (id.empty() || id.size() > kMaxId || !std::ranges::all_of(id, fits)) {
    reader.refuse(ErrorCode::invalid, fmt::format("'{}' is not an id", id.substr(0, 80)), "");
  }
}

json optional_text(const std::optional<std::string>& value) { return value ? json(*value) : json(nullptr); }
json time_text(WallTime time) { return to_rfc3339(time); }
json optional_time(const std::optional<WallTime>& time) { return time ? time_text(*time) : json(nullptr); }

// The answers of the hub that hold a list; the first bad element refuses all.
template <class T, class From>
std::vector<T> elements(Reader& reader, std::string_view name, std::size_t most, From from) {
  std::vector<T> list;
  for (const json& element : reader.array(name, most)) {
    auto value = from(element);
    if (!value) {
      reader.refuse(value.error());
      return list;
    }
    list.push_back(std::move(*value));
  }
  return list;
}

AgentState read_state(Reader& reader) {
  AgentState state;
  state.version = reader.number("version", 0, INT64_MAX);
  state.status = reader.text("status", kField);
  state.status_since = reader.time("status_since");
  state.reason = reader.text_or("reason", kReason, "");
  return state;
}

ItemReport read_report(Reader& reader) {
  ItemReport report;
  report.attempt = reader.optional_number("attempt", 1, INT64_MAX).value_or(0);
  report.reason = reader.text_or("reason", kReason, "");
  return report;
}

Result<ItemReport> synced_report_from(const json& value) {
  Reader reader(value, "report", Unknown::refuse);
  ItemReport report = read_report(reader);
  report.item_id = reader.text("item_id", kField);
  report.state = reader.choice("state", item_state_from, ItemState::queued);
  if (report.state == ItemState::queued || report.state == ItemState::expired) {
    reader.refuse(ErrorCode::invalid, "report: 'state' must be pushed, delivered, done or failed", "");
  }
  return reader.finish(std::move(report));
}

}  // namespace

std::string_view to_string(Priority priority) { return name_in(kPriorities, priority); }
std::string_view to_string(ItemState state) { return name_in(kStates, state); }
std::string_view to_string(Role role) { return name_in(kRoles, role); }
Result<Priority> priority_from(std::string_view text) { return value_in(kPriorities, text, "priority"); }
Result<ItemState> item_state_from(std::string_view text) { return value_in(kStates, text, "state"); }
Result<Role> role_from(std::string_view text) { return value_in(kRoles, text, "role"); }

json to_json(const Registration& value) {
  json object{{"name", value.name},
              {"host", value.host},
              {"runner", value.runner},
              {"model", value.model},
              {"restore_context", value.restore_context}};
  if (value.agent_id) object["agent_id"] = *value.agent_id;
  return object;
}

Result<Registration> registration_from(const json& value) {
  Reader reader(value, "registration", Unknown::refuse);
  Registration registration;
  registration.name = reader.text("name", kField);
  registration.host = reader.text("host", kField);
  registration.runner = reader.text("runner", kField);
  registration.model = reader.text_or("model", kField, "");
  registration.agent_id = reader.optional_text("agent_id", kField);
  registration.restore_context = reader.flag_or("restore_context", true);
  if (reader.good()) {
    if (const auto name = AgentName::parse(registration.name); !name) reader.refuse(name.error());
    if (registration.name == kAnyAgent) {
      reader.refuse(ErrorCode::invalid, "an agent cannot be called 'any'",
                    "it stands for every agent; take another");
    }
    if (registration.agent_id) check_id(reader, *registration.agent_id);
  }
  return reader.finish(std::move(registration));
}

json to_json(const Registered& value) {
  return {{"agent_id", value.agent_id},
          {"token", value.token},
          {"expires_at", time_text(value.expires_at)},
          {"status", value.again ? "re-registered" : "registered"}};
}

Result<Registered> registered_from(const json& value) {
  Reader reader(value, "registered", Unknown::skip);
  Registered registered;
  registered.agent_id = reader.text("agent_id", kField);
  registered.token = reader.text("token", kField);
  registered.expires_at = reader.time("expires_at");
  registered.again = reader.text("status", kField) == "re-registered";
  return reader.finish(std::move(registered));
}

json to_json(const AgentState& value) {
  json object{{"version", value.version},
              {"status", value.status},
              {"status_since", time_text(value.status_since)},
              {"reason", value.reason}};
  if (!value.agent_id.empty()) object["agent_id"] = value.agent_id;
  return object;
}

Result<AgentState> agent_state_from(const json& value, std::string_view agent_id) {
  Reader reader(value, "state", Unknown::refuse);
  AgentState state = read_state(reader);
  state.agent_id = reader.text_or("agent_id", kField, agent_id);
  if (state.agent_id != agent_id)
    reader.refuse(ErrorCode::invalid, "state: 'agent_id' is not the one of the path", "");
  return reader.finish(std::move(state));
}

json to_json(const HeartbeatAnswer& value) {
  return {{"version", value.version}, {"expires_at", time_text(value.expires_at)}};
}

Result<HeartbeatAnswer> heartbeat_answer_from(const json& value) {
  Reader reader(value, "heartbeat", Unknown::skip);
  HeartbeatAnswer answer{.version = reader.number("version", 0, INT64_MAX),
                         .expires_at = reader.time("expires_at")};
  return reader.finish(answer);
}

json to_json(const Sync& value) {
  json agents = json::array();
  for (const auto& state : value.agents) agents.push_back(to_json(state));
  json reports = json::array();
  for (const auto& report : value.reports) {
    json object = to_json(report);
    object["item_id"] = report.item_id;
    object["state"] = std::string(to_string(report.state));
    reports.push_back(std::move(object));
  }
  return {{"host", value.host}, {"agents", std::move(agents)}, {"reports", std::move(reports)}};
}

Result<Sync> sync_from(const json& value) {
  Reader reader(value, "sync", Unknown::refuse);
  Sync sync;
  sync.host = reader.text("host", kField);
  sync.agents = elements<AgentState>(reader, "agents", kMaxSyncAgents, [](const json& element) {
    Reader state_reader(element, "state", Unknown::refuse);
    AgentState state = read_state(state_reader);
    state.agent_id = state_reader.text("agent_id", kField);
    return state_reader.finish(std::move(state));
  });
  sync.reports = elements<ItemReport>(reader, "reports", kMaxSyncReports, synced_report_from);
  return reader.finish(std::move(sync));
}

json to_json(const SyncAnswer& value) {
  json agents = json::array();
  for (const auto& agent : value.agents) {
    agents.push_back({{"agent_id", agent.agent_id},
                      {"before", agent.before},
                      {"version", agent.version},
                      {"expires_at", time_text(agent.expires_at)}});
  }
  json refused = json::array();
  for (const auto& report : value.refused) {
    refused.push_back({{"item_id", report.item_id},
                       {"code", std::string(to_string(report.code))},
                       {"message", report.message}});
  }
  return {{"agents", std::move(agents)}, {"unknown", value.unknown}, {"refused", std::move(refused)}};
}

Result<SyncAnswer> sync_answer_from(const json& value) {
  Reader reader(value, "sync", Unknown::skip);
  SyncAnswer answer;
  answer.agents = elements<SyncedAgent>(reader, "agents", kMaxSyncAgents, [](const json& element) {
    Reader agent_reader(element, "sync", Unknown::skip);
    SyncedAgent agent{.agent_id = agent_reader.text("agent_id", kField),
                      .before = agent_reader.number("before", 0, INT64_MAX),
                      .version = agent_reader.number("version", 0, INT64_MAX),
                      .expires_at = agent_reader.time("expires_at")};
    return agent_reader.finish(std::move(agent));
  });
  answer.unknown = elements<std::string>(
      reader, "unknown", kMaxSyncAgents, [](const json& element) -> Result<std::string> {
        if (element.is_string()) return element.get<std::string>();
        return fail(ErrorCode::invalid, "hub", "sync: 'unknown' must hold strings");
      });
  answer.refused = elements<RefusedReport>(reader, "refused", kMaxSyncReports, [](const json& element) {
    Reader refused_reader(element, "sync", Unknown::skip);
    RefusedReport refused{.item_id = refused_reader.text("item_id", kField),
                          .code = error_code_from(refused_reader.text("code", kField)),
                          .message = refused_reader.text_or("message", kReason, "")};
    return refused_reader.finish(std::move(refused));
  });
  return reader.finish(std::move(answer));
}

json to_json(const AgentInfo& value) {
  return {{"agent_id", value.agent_id},
          {"name", value.name},
          {"host", value.host},
          {"runner", value.runner},
          {"model", value.model},
          {"version", value.state.version},
          {"status", value.state.status},
          {"status_since", time_text(value.state.status_since)},
          {"reason", value.state.reason},
          {"registered_at", time_text(value.registered_at)},
          {"seen_at", time_text(value.seen_at)}};
}

Result<AgentInfo> agent_info_from(const json& value) {
  Reader reader(value, "agent", Unknown::skip);
  AgentInfo info;
  info.agent_id = reader.text("agent_id", kField);
  info.name = reader.text("name", kField);
  info.host = reader.text("host", kField);
  info.runner = reader.text("runner", kField);
  info.model = reader.text_or("model", kField, "");
  info.state = read_state(reader);
  info.state.agent_id = info.agent_id;
  info.registered_at = reader.time("registered_at");
  info.seen_at = reader.time("seen_at");
  return reader.finish(std::move(info));
}

json to_json(const NewItem& value) {
  json object{{"to", value.to},
              {"title", value.title},
              {"body", value.body},
              {"priority", std::string(to_string(value.priority))}};
  const auto add = [&](std::string_view name, const auto& optional) {
    if (optional) object[std::string(name)] = *optional;
  };
  if (!value.runner.empty()) object["runner"] = value.runner;
  add("ttl_s", value.ttl_s);
  add("issue_id", value.issue_id);
  add("repo", value.repo);
  add("ref", value.ref);
  add("idempotency_key", value.idempotency_key);
  return object;
}

Result<NewItem> new_item_from(const json& value) {
  Reader reader(value, "item", Unknown::refuse);
  NewItem item;
  item.to = reader.text("to", kField);
  item.runner = reader.text_or("runner", kField, "");
  item.title = reader.text("title", kTitle);
  item.body = reader.text_or("body", kBody, "");
  item.priority = reader.choice("priority", priority_from, Priority::normal);
  item.ttl_s = reader.optional_number("ttl_s", 1, kMaxTtlSeconds);
  item.issue_id = reader.optional_text("issue_id", kField);
  item.repo = reader.optional_text("repo", kField);
  item.ref = reader.optional_text("ref", kField);
  item.idempotency_key = reader.optional_text("idempotency_key", kField);
  if (!item.runner.empty() && item.to != kAnyAgent) {
    reader.refuse(ErrorCode::invalid, "item: 'runner' goes with to: \"any\" alone", "");
  }
  return reader.finish(std::move(item));
}

json to_json(const InboxItem& value) {
  return {{"id", value.id},
          {"seq", value.seq},
          {"to", value.to},
          {"runner", value.runner},
          {"agent_id", value.agent_id},
          {"title", value.title},
          {"body", value.body},
          {"priority", std::string(to_string(value.priority))},
          {"ttl_s", value.ttl_s},
          {"issue_id", optional_text(value.issue_id)},
          {"repo", optional_text(value.repo)},
          {"ref", optional_text(value.ref)},
          {"idempotency_key", optional_text(value.idempotency_key)},
          {"state", std::string(to_string(value.state))},
          {"attempt", value.attempt},
          {"reason", value.reason},
          {"created_at", time_text(value.created_at)},
          {"expires_at", time_text(value.expires_at)},
          {"pushed_at", optional_time(value.pushed_at)},
          {"delivered_at", optional_time(value.delivered_at)},
          {"done_at", optional_time(value.done_at)},
          {"failed_at", optional_time(value.failed_at)},
          {"expired_at", optional_time(value.expired_at)}};
}

Result<InboxItem> inbox_item_from(const json& value) {
  Reader reader(value, "item", Unknown::skip);
  InboxItem item;
  item.id = reader.text("id", kField);
  item.seq = reader.number("seq", 0, INT64_MAX);
  item.to = reader.text("to", kField);
  item.runner = reader.text_or("runner", kField, "");
  item.agent_id = reader.text_or("agent_id", kField, "");
  item.title = reader.text("title", kTitle);
  item.body = reader.text_or("body", kBody, "");
  item.priority = reader.choice("priority", priority_from, Priority::normal);
  item.ttl_s = reader.number("ttl_s", 1, kMaxTtlSeconds);
  item.issue_id = reader.optional_text("issue_id", kField);
  item.repo = reader.optional_text("repo", kField);
  item.ref = reader.optional_text("ref", kField);
  item.idempotency_key = reader.optional_text("idempotency_key", kField);
  item.state = reader.choice("state", item_state_from, ItemState::queued);
  item.attempt = reader.number("attempt", 1, INT64_MAX);
  item.reason = reader.text_or("reason", kReason, "");
  item.created_at = reader.time("created_at");
  item.expires_at = reader.time("expires_at");
  item.pushed_at = reader.optional_time("pushed_at");
  item.delivered_at = reader.optional_time("delivered_at");
  item.done_at = reader.optional_time("done_at");
  item.failed_at = reader.optional_time("failed_at");
  item.expired_at = reader.optional_time("expired_at");
  return reader.finish(std::move(item));
}

json to_json(const ItemReport& value) { return {{"attempt", value.attempt}, {"reason", value.reason}}; }

Result<ItemReport> item_report_from(const json& value, std::string_view item_id, ItemState state) {
  Reader reader(value, "report", Unknown::refuse);
  ItemReport report = read_report(reader);
  report.item_id = item_id;
  report.state = state;
  return reader.finish(std::move(report));
}

json to_json(const Hello& value) {
  return {{"hub_id", value.hub_id}, {"seq", value.seq}, {"fresh", value.fresh}};
}

Result<Hello> hello_from(const json& value) {
  Reader reader(value, "hello", Unknown::skip);
  Hello hello{.hub_id = reader.text("hub_id", kField),
              .seq = reader.number("seq", 0, INT64_MAX),
              .fresh = reader.flag_or("fresh", false)};
  return reader.finish(std::move(hello));
}

json to_json(const Identity& value) {
  json object{{"tenant", value.tenant}, {"role", std::string(to_string(value.role))}};
  if (!value.agent_id.empty()) object["agent_id"] = value.agent_id;
  return object;
}

Result<Identity> identity_from(const json& value) {
  Reader reader(value, "identity", Unknown::skip);
  Identity identity;
  identity.tenant = reader.text("tenant", kField);
  identity.role = reader.choice("role", role_from, Role::agent);
  identity.agent_id = reader.text_or("agent_id", kField, "");
  return reader.finish(std::move(identity));
}

std::string frame_text(const Frame& frame) {
  return fmt::format(R"({{"seq":{},"type":"{}","at":"{}","data":{}}})", frame.seq, frame.type,
                     to_rfc3339(frame.at), frame.data);
}

Result<Frame> frame_from(std::string_view text) {
  const auto value = parse_json(text, "hub");
  if (!value) return pass(value.error());
  Reader reader(*value, "frame", Unknown::skip);
  Frame frame;
  frame.seq = reader.number("seq", 0, INT64_MAX);
  frame.type = reader.text("type", kField);
  frame.at = reader.time("at");
  frame.data = dump_json(reader.member("data"));
  return reader.finish(std::move(frame));
}

}  // namespace agentmesh::hub
