#include "hub/api.h"

#include "base/ids.h"
#include "base/json.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/text.h"
#include "hub/server.h"

#include <algorithm>
#include <initializer_list>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::hub {
namespace {

using net::Reply;
using net::ServerRequest;
using nlohmann::json;

constexpr std::size_t kMaxKeyBytes = 256;

enum class Access { everybody, key };

Reply json_reply(int status, const json& body) { return {.status = status, .body = dump_json(body)}; }

std::unexpected<Error> request_error(Error error) {
  error.stage = kRequestStage;
  return pass(std::move(error));
}

std::unexpected<Error> bad_request(std::string what, std::string hint) {
  return fail(ErrorCode::invalid, std::string(kRequestStage), std::move(what), std::move(hint));
}

// The body as JSON; none at all is an empty object.
Result<json> body_of(const ServerRequest& request) {
  if (request.body.empty()) return json::object();
  auto parsed = parse_json(request.body, kRequestStage);
  if (!parsed) return request_error(parsed.error());
  return parsed;
}

template <class T, class From>
Result<T> decode(const ServerRequest& request, From from) {
  const auto body = body_of(request);
  if (!body) return pass(body.error());
  auto value = from(*body);
  if (!value) return request_error(value.error());
  return value;
}

Result<std::int64_t> query_number(const ServerRequest& request, std::string_view name, std::int64_t fallback,
                                  std::int64_t most) {
  const auto text = request.query_value(name);
  if (!text) return fallback;
  if (const auto value = whole_number<std::int64_t>(*text, 0, most)) return *value;
  return bad_request(fmt::format("'{}' must be a whole number of 0 to {}", name, most), "");
}

Result<void> check_query(const ServerRequest& request, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : request.query) {
    if (std::ranges::find(known, name) == known.end()) {
      return bad_request(fmt::format("unknown query parameter '{}'", name.substr(0, 80)), "");
    }
  }
  return {};
}

template <class T>
json list_of(const std::vector<T>& values) {
  json list = json::array();
  for (const auto& value : values) list.push_back(to_json(value));
  return list;
}

Reply unauthorized() {
  Reply reply = net::error_reply(401, Error{ErrorCode::denied, "hub", "a valid key is needed",
                                            "send it as 'Authorization: Bearer amk_...'"});
  reply.headers.push_back({"WWW-Authenticate", "Bearer"});
  return reply;
}

Reply too_fast(Millis wait) {
  const auto seconds = std::max<std::int64_t>(1, (wait.count() + 999) / 1000);
  Reply reply = net::error_reply(Error{ErrorCode::exhausted, "hub", "too many requests with this key",
                                       fmt::format("try again in {} s", seconds)});
  reply.headers.push_back({"Retry-After", std::to_string(seconds)});
  return reply;
}

std::string_view bearer(const ServerRequest& request) {
  constexpr std::string_view scheme = "bearer ";
  const std::string_view header = request.header("authorization");
  if (header.size() <= scheme.size() || header.size() > kMaxKeyBytes) return {};
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
  if (!std::ranges::equal(header.substr(0, scheme.size()), scheme, same)) return {};
  return trim(header.substr(scheme.size()));
}

}  // namespace

struct Api::Row {
  std::string_view method;
  std::string_view pattern;
  Access access;
  Role least;
  Handler handler;
};

const std::vector<Api::Row>& Api::table() {
  static const std::vector<Row> rows{
      {"GET", "/healthz", Access::everybody, Role::agent, &Api::health},
      {"GET", "/readyz", Access::everybody, Role::agent, &Api::readiness},
      {"GET", "/v1/whoami", Access::key, Role::agent, &Api::whoami},
      {"POST", "/v1/agents/register", Access::key, Role::operator_, &Api::register_agent},
      {"POST", "/v1/agents/{id}/heartbeat", Access::key, Role::agent, &Api::heartbeat},
      {"POST", "/v1/sync", Access::key, Role::operator_, &Api::sync},
      {"GET", "/v1/agents", Access::key, Role::operator_, &Api::list_agents},
      {"POST", "/v1/inbox", Access::key, Role::operator_, &Api::post_item},
      {"GET", "/v1/inbox", Access::key, Role::agent, &Api::list_items},
      {"GET", "/v1/inbox/{id}", Access::key, Role::agent, &Api::get_item},
      {"POST", "/v1/inbox/{id}/ack", Access::key, Role::operator_, &Api::report_item},
      {"POST", "/v1/inbox/{id}/delivered", Access::key, Role::operator_, &Api::report_item},
      {"POST", "/v1/inbox/{id}/done", Access::key, Role::agent, &Api::report_item},
      {"POST", "/v1/inbox/{id}/failed", Access::key, Role::agent, &Api::report_item},
      {"POST", "/v1/inbox/{id}/retry", Access::key, Role::operator_, &Api::retry_item},
  };
  return rows;
}

std::vector<Api::Route> Api::routes() {
  std::vector<Route> routes;
  for (const auto& row : table()) routes.push_back({row.method, row.pattern});
  return routes;
}

Reply Api::answer(std::size_t route, const ServerRequest& request) {
  const Row& row = table()[route];
  KeyRow key;
  if (row.access == Access::key) {
    auto admitted = admit(request, row.least);
    if (!admitted) return std::move(admitted.error());
    key = std::move(*admitted);
  }
  auto reply = (this->*row.handler)(key, request);
  if (reply) return std::move(*reply);
  const Error& error = reply.error();
  const bool too_large = error.stage == kRequestStage && error.code == ErrorCode::exhausted;
  return too_large ? net::error_reply(413, error) : net::error_reply(error);
}

std::expected<KeyRow, Reply> Api::admit(const ServerRequest& request, Role least) {
  const std::string_view presented = bearer(request);
  if (presented.empty()) return std::unexpected(unauthorized());
  auto key = store_.find_key(sha256_hex(presented), clock_.now());
  if (!key && key.error().code == ErrorCode::not_found) return std::unexpected(unauthorized());
  if (!key) return std::unexpected(net::error_reply(key.error()));
  if (const Millis wait = limiter_.take(key->id, clock_.now()); wait.count() > 0)
    return std::unexpected(too_fast(wait));
  if (key->role >= least) return std::move(*key);
  return std::unexpected(net::error_reply(
      Error{ErrorCode::denied, "hub", fmt::format("a key of role {} may not do this", to_string(key->role)),
            fmt::format("use one of role {}", to_string(least))}));
}

void Api::sweep() {
  const auto changed = store_.sweep(clock_.now());
  if (!changed) log_error(changed.error());
  if (changed.value_or(0) > 0) on_change_();
  claim();
}

void Api::claim() {
  const auto claimed = store_.claim_items(clock_.now() - options_.agent_away, clock_.now());
  if (!claimed) log_error(claimed.error());
  if (claimed.value_or(0) > 0) on_change_();
}

Result<Reply> Api::health(const KeyRow&, const ServerRequest&) { return json_reply(200, {{"status", "ok"}}); }

Result<Reply> Api::readiness(const KeyRow&, const ServerRequest&) {
  if (const auto ready = store_.ready(); !ready) {
    return fail(ErrorCode::unavailable, "hub", ready.error().what, ready.error().hint);
  }
  return json_reply(200, {{"status", "ready"}});
}

Result<Reply> Api::whoami(const KeyRow& key, const ServerRequest&) {
  return json_reply(200, to_json(Identity{.tenant = key.tenant, .role = key.role, .agent_id = key.agent_id}));
}

Result<Reply> Api::register_agent(const KeyRow& key, const ServerRequest& request) {
  const auto registration = decode<Registration>(request, registration_from);
  if (!registration) return pass(registration.error());
  const Secret token = new_key();
  auto registered =
      store_.register_agent(key.tenant, *registration, key_hash(token), token_end(), clock_.now());
  if (!registered) return pass(registered.error());
  registered->token = token.reveal();
  on_change_();
  return json_reply(200, to_json(*registered));
}

Result<Reply> Api::heartbeat(const KeyRow& key, const ServerRequest& request) {
  const std::string_view agent_id = request.param("id");
  const auto unknown = fail(ErrorCode::not_found, "hub", fmt::format("no agent '{}' is registered", agent_id),
                            "register it again");
  if (key.role == Role::agent && key.agent_id != agent_id) return unknown;
  auto state =
      decode<AgentState>(request, [&](const json& body) { return agent_state_from(body, agent_id); });
  if (!state) return pass(state.error());
  const auto answer = store_.sync(key.tenant, {.agents = {std::move(*state)}}, token_end(), clock_.now());
  if (!answer) return pass(answer.error());
  if (answer->agents.empty()) return unknown;
  on_change_();
  claim();
  const SyncedAgent& agent = answer->agents.front();
  return json_reply(200, to_json(HeartbeatAnswer{.version = agent.version, .expires_at = agent.expires_at}));
}

Result<Reply> Api::sync(const KeyRow& key, const ServerRequest& request) {
  const auto news = decode<Sync>(request, sync_from);
  if (!news) return pass(news.error());
  const auto answer = store_.sync(key.tenant, *news, token_end(), clock_.now());
  if (!answer) return pass(answer.error());
  on_change_();
  claim();
  return json_reply(200, to_json(*answer));
}

Result<Reply> Api::list_agents(const KeyRow& key, const ServerRequest& request) {
  if (auto known = check_query(request, {"after", "limit"}); !known) return pass(known.error());
  const auto limit = query_number(request, "limit", kMaxPage, kMaxPage);
  if (!limit) return pass(limit.error());
  const auto wanted = static_cast<std::size_t>(std::max<std::int64_t>(1, *limit));
  const auto agents = store_.list_agents(key.tenant, request.query_value("after").value_or(""), wanted);
  if (!agents) return pass(agents.error());
  const json next = agents->size() < wanted ? json(nullptr) : json(agents->back().agent_id);
  return json_reply(200, {{"agents", list_of(*agents)}, {"next", next}});
}

Result<Reply> Api::post_item(const KeyRow& key, const ServerRequest& request) {
  const auto item = decode<NewItem>(request, new_item_from);
  if (!item) return pass(item.error());
  auto posted = store_.post_item(key.tenant, *item, clock_.now());
  if (!posted) return pass(posted.error());
  on_change_();
  if (item->to == kAnyAgent && !posted->existed) {
    claim();
    if (auto now = store_.get_item(key.tenant, posted->item.id)) posted->item = std::move(*now);
  }
  return json_reply(posted->existed ? 200 : 201, to_json(posted->item));
}

Result<Reply> Api::list_items(const KeyRow& key, const ServerRequest& request) {
  if (auto known = check_query(request, {"agent", "state", "after", "limit"}); !known)
    return pass(known.error());
  const auto limit = query_number(request, "limit", 100, kMaxPage);
  if (!limit) return pass(limit.error());
  const auto after = query_number(request, "after", 0, INT64_MAX);
  if (!after) return pass(after.error());
  ItemFilter filter{.after_seq = *after,
                    .limit = static_cast<std::size_t>(std::max<std::int64_t>(1, *limit))};
  if (const auto text = request.query_value("state")) {
    const auto state = item_state_from(*text);
    if (!state) return request_error(state.error());
    filter.state = *state;
  }
  if (key.role == Role::agent) {
    filter.agent_id = key.agent_id;
  } else if (const auto agent = request.query_value("agent")) {
    const auto found = store_.find_agent(key.tenant, *agent);
    if (!found) return pass(found.error());
    filter.agent_id = found->agent_id;
  }
  const auto items = store_.list_items(key.tenant, filter);
  if (!items) return pass(items.error());
  const json next = items->size() < filter.limit ? json(nullptr) : json(items->back().seq);
  return json_reply(200, {{"items", list_of(*items)}, {"next", next}});
}

// What a key may not see is not there.
Result<InboxItem> Api::visible_item(const KeyRow& key, std::string_view item_id) {
  auto item = store_.get_item(key.tenant, item_id);
  if (!item || key.role != Role::agent || item->agent_id == key.agent_id) return item;
  return fail(ErrorCode::not_found, "hub", fmt::format("no item '{}'", item_id));
}

Result<Reply> Api::get_item(const KeyRow& key, const ServerRequest& request) {
  const auto item = visible_item(key, request.param("id"));
  if (!item) return pass(item.error());
  return json_reply(200, to_json(*item));
}

Result<Reply> Api::report_item(const KeyRow& key, const ServerRequest& request) {
  const std::string_view id = request.param("id");
  if (const auto visible = visible_item(key, id); !visible) return pass(visible.error());
  const std::string_view verb = std::string_view(request.path).substr(request.path.rfind('/') + 1);
  const auto state = verb == "ack" ? Result<ItemState>(ItemState::pushed) : item_state_from(verb);
  if (!state) return pass(state.error());
  const auto report =
      decode<ItemReport>(request, [&](const json& body) { return item_report_from(body, id, *state); });
  if (!report) return pass(report.error());
  const auto item = store_.report_item(key.tenant, *report, clock_.now());
  if (!item) return pass(item.error());
  on_change_();
  return json_reply(200, to_json(*item));
}

Result<Reply> Api::retry_item(const KeyRow& key, const ServerRequest& request) {
  const auto item = store_.retry_item(key.tenant, request.param("id"), clock_.now());
  if (!item) return pass(item.error());
  on_change_();
  claim();
  return json_reply(200, to_json(*item));
}

}  // namespace agentmesh::hub
