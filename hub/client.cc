#include "hub/client.h"

#include "base/backoff.h"
#include "base/json.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/spawn_logged.h"
#include "base/text.h"
#include "net/server.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::hub {
namespace {

namespace asio = boost::asio;
using nlohmann::json;
using Steady = std::chrono::steady_clock;

constexpr std::size_t kMaxAnswerBytes = 8 * 1024 * 1024;  // a page of items with their bodies

// What a host says of an agent or an item may hold what a screen or a provider said. One text that the hub
// would refuse must not hold up all the others: no control characters (each would be six bytes of JSON), and
// within the limit. Redacted before it is cut: half a key is not known for one.
std::string fitting(std::string_view reason) {
  std::string text = redact(plain_text(reason));
  if (text.size() <= kMaxReasonBytes) return text;
  std::size_t end = kMaxReasonBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  text.resize(end);
  return text;
}

// A path segment or query value: everything but the unreserved characters is escaped.
std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string_view verb_of(ItemState state) { return state == ItemState::pushed ? "ack" : to_string(state); }

template <class T, class From>
Result<T> decoded(const Result<json>& answer, From from) {
  if (!answer) return pass(answer.error());
  return from(*answer);
}

template <class T, class From>
Result<std::vector<T>> decoded_list(const Result<json>& answer, std::string_view name, From from) {
  if (!answer) return pass(answer.error());
  std::vector<T> list;
  const auto found = answer->is_object() ? answer->find(name) : answer->end();
  if (!answer->is_object() || found == answer->end() || !found->is_array()) {
    return fail(ErrorCode::internal, "hub", fmt::format("the hub's answer has no '{}'", name));
  }
  for (const auto& element : *found) {
    auto value = from(element);
    if (!value) return pass(value.error());
    list.push_back(std::move(*value));
  }
  return list;
}

// At most `count` of them, taken from the list.
std::vector<AgentState> take_front(std::vector<AgentState>& states, std::size_t count) {
  const auto end = states.begin() + static_cast<std::ptrdiff_t>(std::min(count, states.size()));
  std::vector<AgentState> taken(states.begin(), end);
  states.erase(states.begin(), end);
  return taken;
}

class HttpHubClient final : public HubClient, public std::enable_shared_from_this<HttpHubClient> {
 public:
  HttpHubClient(asio::io_context& io, net::HttpClient& http, HubClientOptions options)
      : io_(io), http_(http), options_(std::move(options)), pause_(io), wake_(io) {}

  void start(HubEvents events) override {
    events_ = std::move(events);
    spawn_logged(io_, "hub", stream_loop());
    spawn_logged(io_, "hub", send_loop());
  }

  void stop() override {
    stopped_ = true;
    pause_.expires_at({});
    wake_.expires_at({});
    if (stream_) stream_->close(1000, "");
  }

  bool connected() const override { return connected_; }

  Result<void> put_state(AgentState state) override {
    state.reason = fitting(state.reason);
    auto put = outbox_.put(std::move(state));
    wake();
    return put;
  }

  Result<void> report(ItemReport item) override {
    item.reason = fitting(item.reason);
    auto put = outbox_.put(std::move(item));
    wake();
    return put;
  }

  void forget_agent(const std::string& agent_id) override { outbox_.remove_agent(agent_id); }

  Task<Registered> register_agent(Registration registration) override {
    const auto self = shared_from_this();
    const auto answer = co_await post("/v1/agents/register", to_json(registration));
    auto registered = decoded<Registered>(answer, registered_from);
    if (registered) outbox_.forget_acknowledgement(registered->agent_id);
    wake();
    co_return registered;
  }

  Task<InboxItem> post_item(NewItem item) override {
    co_return decoded<InboxItem>(co_await post("/v1/inbox", to_json(item)), inbox_item_from);
  }

  Task<InboxItem> get_item(std::string item_id) override {
    co_return decoded<InboxItem>(co_await get("/v1/inbox/" + escape(item_id)), inbox_item_from);
  }

  Task<std::vector<InboxItem>> list_items(ItemQuery query) override {
    std::string target = fmt::format("/v1/inbox?limit={}", std::clamp<std::size_t>(query.limit, 1, kMaxPage));
    if (query.agent) target += "&agent=" + escape(*query.agent);
    if (query.state) target += fmt::format("&state={}", to_string(*query.state));
    if (query.after) target += fmt::format("&after={}", *query.after);
    co_return decoded_list<InboxItem>(co_await get(std::move(target)), "items", inbox_item_from);
  }

  Task<InboxItem> retry_item(std::string item_id) override {
    const std::string target = fmt::format("/v1/inbox/{}/retry", escape(item_id));
    co_return decoded<InboxItem>(co_await post(target, json::object()), inbox_item_from);
  }

  Task<InboxItem> set_item(ItemReport report) override {
    const std::string target = fmt::format("/v1/inbox/{}/{}", escape(report.item_id), verb_of(report.state));
    co_return decoded<InboxItem>(co_await post(target, to_json(report)), inbox_item_from);
  }

  Task<std::vector<AgentInfo>> list_agents() override {
    const auto self = shared_from_this();
    std::vector<AgentInfo> all;
    while (true) {
      const std::string after = all.empty() ? "" : "&after=" + escape(all.back().agent_id);
      auto page = decoded_list<AgentInfo>(co_await get(fmt::format("/v1/agents?limit={}{}", kMaxPage, after)),
                                          "agents", agent_info_from);
      if (!page) co_return page;
      const bool last = page->size() < kMaxPage;
      std::ranges::move(*page, std::back_inserter(all));
      if (last) co_return all;
    }
  }

  Task<Identity> whoami() override { co_return decoded<Identity>(co_await get("/v1/whoami"), identity_from); }

 private:
  enum class Sent { all, some, nothing };

  Task<json> get(std::string target) { return exchange("GET", std::move(target), ""); }
  Task<json> post(std::string target, json body) {
    return exchange("POST", std::move(target), dump_json(body));
  }
  Task<json> exchange(std::string method, std::string target, std::string body);

  asio::awaitable<void> stream_loop();
  Task<> stream_once();
  Result<void> take_frame(const std::string& text);
  Result<void> take_hello(const Frame& frame);
  Result<void> take_item(const Frame& frame);
  void set_connected(bool connected);

  asio::awaitable<void> send_loop();
  asio::awaitable<Sent> send_everything(std::vector<AgentState> states);
  Task<> push(std::vector<AgentState> states, std::vector<ItemReport> reports);
  void settle(const ItemReport& report, const std::vector<RefusedReport>& refused);
  void everything_again();
  // Something is to be sent. A hub that is away is not asked more often for it.
  void wake() {
    if (!backing_off_) wake_.expires_at({});
  }

  asio::io_context& io_;
  net::HttpClient& http_;
  HubClientOptions options_;
  HubEvents events_;
  Outbox outbox_;
  std::shared_ptr<net::WebSocket> stream_;
  asio::steady_timer pause_;  // between two tries of the stream
  asio::steady_timer wake_;   // the sender waits on it
  std::optional<std::int64_t> cursor_;
  std::string hub_id_;
  bool connected_ = false;
  bool greeted_ = false;
  bool backing_off_ = false;
  bool stopped_ = false;
};

Task<json> HttpHubClient::exchange(std::string method, std::string target, std::string body) {
  const auto self = shared_from_this();
  if (stopped_) co_return fail(ErrorCode::unavailable, "hub", "the client has stopped");
  net::HttpRequest request{.method = std::move(method),
                           .url = options_.url + target,
                           .headers = {{"Authorization", "Bearer " + options_.key.reveal()}},
                           .body = std::move(body),
                           .connect_timeout = options_.request_timeout,
                           .total_timeout = options_.request_timeout};
  if (request.method == "POST") request.headers.push_back({"Content-Type", "application/json"});
  auto answer = co_await http_.send(std::move(request));
  if (!answer) {
    Error error = answer.error();
    error.stage = "hub";
    error.hint = fmt::format("is the hub at {} up?", options_.url);
    co_return pass(std::move(error));
  }
  if (answer->status >= 400) co_return pass(net::error_from_reply(answer->status, answer->body));
  co_return parse_json(answer->body, "hub", {.bytes = kMaxAnswerBytes});
}

asio::awaitable<void> HttpHubClient::stream_loop() {
  const auto self = shared_from_this();
  Backoff backoff(options_.backoff_first, options_.backoff_most);
  while (!stopped_) {
    const auto ended = co_await stream_once();
    set_connected(false);
    if (stopped_) co_return;
    if (std::exchange(greeted_, false)) backoff.reset();
    const Millis wait = backoff.next();
    log_warn("hub", "the stream ended: {}; next try in {} ms", describe(ended.error()), wait.count());
    pause_.expires_after(wait);
    co_await pause_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

// Always ends in the Error that ended it.
Task<> HttpHubClient::stream_once() {
  std::string url = fmt::format("{}/v1/stream?host={}", options_.url, escape(options_.host));
  if (cursor_) url += fmt::format("&after={}", *cursor_);
  std::vector<net::HttpHeader> headers{{"Authorization", "Bearer " + options_.key.reveal()}};
  auto stream = co_await net::connect_websocket(std::move(url), std::move(headers), options_.websocket);
  if (!stream) co_return pass(stream.error());
  if (stopped_) co_return fail(ErrorCode::unavailable, "hub", "the client has stopped");
  stream_ = *stream;
  while (true) {
    const auto text = co_await (*stream)->receive();
    if (!text) co_return pass(text.error());
    if (stopped_) co_return fail(ErrorCode::unavailable, "hub", "the client has stopped");
    if (auto taken = take_frame(*text); !taken) {
      (*stream)->close(1002, taken.error().what);
      co_return taken;
    }
  }
}

Result<void> HttpHubClient::take_frame(const std::string& text) {
  const auto frame = frame_from(text);
  if (!frame) return pass(frame.error());
  Result<void> taken;
  if (frame->type == "hello") {
    taken = take_hello(*frame);
  } else if (frame->type == "assignment" || frame->type == "inbox") {
    taken = take_item(*frame);
  }
  // A frame of a type this client does not know is of a newer hub: it is passed over.
  if (taken && frame->seq > 0) cursor_ = frame->seq;
  return taken;
}

Result<void> HttpHubClient::take_hello(const Frame& frame) {
  const auto data = parse_json(frame.data, "hub");
  if (!data) return pass(data.error());
  const auto hello = hello_from(*data);
  if (!hello) return pass(hello.error());
  const bool other = !hub_id_.empty() && hub_id_ != hello->hub_id;
  hub_id_ = hello->hub_id;
  greeted_ = true;
  cursor_ = frame.seq;
  set_connected(true);
  if (hello->fresh || other) everything_again();
  wake_.expires_at({});  // the hub is back
  return {};
}

Result<void> HttpHubClient::take_item(const Frame& frame) {
  const auto data = parse_json(frame.data, "hub");
  if (!data) return pass(data.error());
  const auto item = inbox_item_from(*data);
  if (!item) return pass(item.error());
  if (frame.type == "inbox") {
    if (events_.on_item_changed) events_.on_item_changed(*item);
    return {};
  }
  if (auto kept = events_.on_assignment(*item); !kept) return kept;
  return report({.item_id = item->id, .attempt = item->attempt, .state = ItemState::pushed});
}

void HttpHubClient::set_connected(bool connected) {
  if (std::exchange(connected_, connected) == connected || stopped_) return;
  if (events_.on_connection) events_.on_connection(connected);
}

void HttpHubClient::everything_again() {
  outbox_.forget_acknowledgements();
  if (events_.on_fresh) events_.on_fresh();
}

asio::awaitable<void> HttpHubClient::send_loop() {
  const auto self = shared_from_this();
  Backoff backoff(options_.backoff_first, options_.backoff_most);
  auto heartbeat = Steady::now() + options_.sync_every;
  while (!stopped_) {
    // Armed before the outbox is read: what comes meanwhile is seen.
    wake_.expires_at(heartbeat);
    const bool beat = Steady::now() >= heartbeat;
    const Sent sent =
        co_await send_everything(beat ? outbox_.all_states() : outbox_.states_to_send(kMaxOutboxStates));
    if (beat && sent == Sent::all) heartbeat = Steady::now() + options_.sync_every;
    if (stopped_) co_return;
    // A hub that takes a part at a time (its rate limit) is not one that is away.
    if (sent != Sent::nothing) backoff.reset();
    backing_off_ = sent != Sent::all;
    if (backing_off_) wake_.expires_after(backoff.next());
    co_await wake_.async_wait(asio::as_tuple(asio::use_awaitable));
    backing_off_ = false;
  }
}

asio::awaitable<HttpHubClient::Sent> HttpHubClient::send_everything(std::vector<AgentState> states) {
  Sent so_far = Sent::nothing;
  while (!stopped_) {
    auto reports = outbox_.reports_to_send(kMaxSyncReports);
    if (states.empty() && reports.empty()) co_return Sent::all;
    const auto pushed = co_await push(take_front(states, kMaxSyncAgents), std::move(reports));
    if (!pushed) co_return so_far;
    so_far = Sent::some;
  }
  co_return so_far;
}

Task<> HttpHubClient::push(std::vector<AgentState> states, std::vector<ItemReport> reports) {
  const Sync news{.host = options_.host, .agents = std::move(states), .reports = std::move(reports)};
  const auto answer = decoded<SyncAnswer>(co_await post("/v1/sync", to_json(news)), sync_answer_from);
  if (!answer) co_return pass(answer.error());
  if (stopped_) co_return Result<void>{};
  bool restored = false;
  for (const auto& agent : answer->agents) {
    restored |= outbox_.state_held(agent.agent_id, agent.before, agent.version);
  }
  for (const auto& report : news.reports) settle(report, answer->refused);
  if (restored) everything_again();
  for (const auto& id : answer->unknown) {
    if (events_.on_unknown_agent) events_.on_unknown_agent(id);
  }
  co_return Result<void>{};
}

void HttpHubClient::settle(const ItemReport& report, const std::vector<RefusedReport>& refused) {
  outbox_.report_settled(report);
  if (!events_.on_reported) return;
  const auto found = std::ranges::find(refused, report.item_id, &RefusedReport::item_id);
  if (found == refused.end()) return events_.on_reported(report, {});
  events_.on_reported(report, fail(found->code, "hub", found->message));
}

// What the owner holds. The client's coroutines keep the client itself until they have seen that it stops.
class Handle final : public HubClient {
 public:
  explicit Handle(std::shared_ptr<HttpHubClient> client) : client_(std::move(client)) {}
  ~Handle() override { client_->stop(); }

  void start(HubEvents events) override { client_->start(std::move(events)); }
  void stop() override { client_->stop(); }
  bool connected() const override { return client_->connected(); }
  Task<Registered> register_agent(Registration registration) override {
    return client_->register_agent(std::move(registration));
  }
  Result<void> put_state(AgentState state) override { return client_->put_state(std::move(state)); }
  Result<void> report(ItemReport report) override { return client_->report(std::move(report)); }
  void forget_agent(const std::string& agent_id) override { client_->forget_agent(agent_id); }
  Task<InboxItem> post_item(NewItem item) override { return client_->post_item(std::move(item)); }
  Task<InboxItem> get_item(std::string item_id) override { return client_->get_item(std::move(item_id)); }
  Task<std::vector<InboxItem>> list_items(ItemQuery query) override {
    return client_->list_items(std::move(query));
  }
  Task<InboxItem> retry_item(std::string item_id) override { return client_->retry_item(std::move(item_id)); }
  Task<InboxItem> set_item(ItemReport report) override { return client_->set_item(std::move(report)); }
  Task<std::vector<AgentInfo>> list_agents() override { return client_->list_agents(); }
  Task<Identity> whoami() override { return client_->whoami(); }

 private:
  std::shared_ptr<HttpHubClient> client_;
};

}  // namespace

std::unique_ptr<HubClient> make_hub_client(asio::io_context& io, net::HttpClient& http,
                                           HubClientOptions options) {
  return std::make_unique<Handle>(std::make_shared<HttpHubClient>(io, http, std::move(options)));
}

}  // namespace agentmesh::hub
