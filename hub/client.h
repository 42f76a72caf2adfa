#pragma once
// The daemon's side of the hub: a seam, and its one real form over HTTP and a WebSocket. It keeps the
// connection (backoff 1 s to 60 s with jitter, resumed from its cursor), sends state and reports when it can,
// and never makes the daemon wait: with the hub away everything is kept in a bounded outbox. It stores
// nothing.
//
// Exactly once to the agent: an assignment is told to the daemon at least once, is acknowledged only after
// on_assignment has returned success (the daemon's journal has it), and (id, attempt) never changes, so that
// the daemon tells a repeated one by its journal.

#include "base/clock.h"
#include "base/secret.h"
#include "base/task.h"
#include "hub/outbox.h"
#include "hub/protocol.h"
#include "net/http_client.h"
#include "net/websocket.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

namespace agentmesh::hub {

struct ItemQuery {
  std::optional<std::string> agent;  // id or name
  std::optional<ItemState> state;
  std::optional<std::int64_t> after;  // seq: the next page
  std::size_t limit = 100;            // at most kMaxPage
};

// What the client tells its owner, on the loop's thread. on_assignment is needed; the others may be empty.
struct HubEvents {
  // Durably kept when it returns success; an Error makes the hub push it again after a pause.
  std::function<Result<void>(const InboxItem&)> on_assignment;
  // The hub has taken this report, or (with an Error) refused it for good: it will not be sent again.
  std::function<void(const ItemReport&, const Result<void>&)> on_reported;
  // The hub does not know this agent: register it again.
  std::function<void(const std::string& agent_id)> on_unknown_agent;
  // The hub is another one, or was restored from an old copy: everything the journal keeps of items that are
  // not finished is to be reported again. States are sent again by the client itself.
  std::function<void()> on_fresh;
  // An item of this host's agents changed at the hub (it expired, or a person ended it). Its body is left
  // out.
  std::function<void(const InboxItem&)> on_item_changed;
  std::function<void(bool connected)> on_connection;
};

class HubClient {
 public:
  virtual ~HubClient() = default;

  virtual void start(HubEvents events) = 0;
  // Ends the stream; sends nothing more.
  virtual void stop() = 0;
  virtual bool connected() const = 0;  // the stream stands

  // Errors: unavailable (the hub is away: agents run without it), denied (the key), invalid.
  virtual Task<Registered> register_agent(Registration registration) = 0;
  // Kept newest per agent, sent when the hub can be reached, repeated every 30 s as heartbeat. Never waits.
  // The reason is redacted and cut here, as that of a report is. Errors: exhausted.
  virtual Result<void> put_state(AgentState state) = 0;
  // Kept until the hub has taken it. Never waits. Errors: exhausted.
  virtual Result<void> report(ItemReport report) = 0;
  virtual void forget_agent(const std::string& agent_id) = 0;

  // For the command line, through the daemon. Errors: unavailable, timeout (post only: the outcome is not
  // known; repeat with the same idempotency_key), not_found, conflict, exhausted, denied, invalid.
  virtual Task<InboxItem> post_item(NewItem item) = 0;
  virtual Task<InboxItem> get_item(std::string item_id) = 0;
  virtual Task<std::vector<InboxItem>> list_items(ItemQuery query) = 0;
  virtual Task<InboxItem> retry_item(std::string item_id) = 0;
  virtual Task<InboxItem> set_item(ItemReport report) = 0;  // done or failed, now, not through the outbox
  virtual Task<std::vector<AgentInfo>> list_agents() = 0;
  virtual Task<Identity> whoami() = 0;
};

struct HubClientOptions {
  std::string url;  // http://HOST:PORT
  Secret key;
  std::string host;  // as in Registration
  Millis request_timeout{10'000};
  Millis sync_every{30'000};
  Millis backoff_first{1'000};
  Millis backoff_most{60'000};
  net::WebSocketLimits websocket;
};

// Both references must outlive it. Its end stops it.
std::unique_ptr<HubClient> make_hub_client(boost::asio::io_context& io, net::HttpClient& http,
                                           HubClientOptions options);

}  // namespace agentmesh::hub
