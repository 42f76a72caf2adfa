#pragma once
// What the hub answers to each request: who asks, may they, what the store says. Nothing here waits. For
// hub/server.cc alone.

#include "base/clock.h"
#include "hub/rate_limit.h"
#include "hub/store.h"
#include "net/server.h"

#include <functional>
#include <memory>
#include <string_view>

namespace agentmesh::hub {

struct ApiOptions {
  Millis token_life;
  Millis agent_away;
  RateLimit rate;
};

class Api {
 public:
  // `on_change`: the store has something new for the streams. All must outlive it.
  Api(Store& store, const Clock& clock, ApiOptions options, std::function<void()> on_change)
      : store_(store),
        clock_(clock),
        options_(options),
        limiter_(options.rate),
        on_change_(std::move(on_change)) {}

  net::Reply answer(std::size_t route, const net::ServerRequest& request);
  // The method and pattern of each route, by its number.
  struct Route {
    std::string_view method;
    std::string_view pattern;
  };
  static std::vector<Route> routes();

  // The key of the request, if its role is at least `least`; else the Reply that refuses.
  std::expected<KeyRow, net::Reply> admit(const net::ServerRequest& request, Role least);
  // Expires and claims what is due.
  void sweep();

 private:
  using Handler = Result<net::Reply> (Api::*)(const KeyRow&, const net::ServerRequest&);
  struct Row;
  static const std::vector<Row>& table();

  Result<net::Reply> health(const KeyRow&, const net::ServerRequest&);
  Result<net::Reply> readiness(const KeyRow&, const net::ServerRequest&);
  Result<net::Reply> whoami(const KeyRow& key, const net::ServerRequest&);
  Result<net::Reply> register_agent(const KeyRow& key, const net::ServerRequest& request);
  Result<net::Reply> heartbeat(const KeyRow& key, const net::ServerRequest& request);
  Result<net::Reply> sync(const KeyRow& key, const net::ServerRequest& request);
  Result<net::Reply> list_agents(const KeyRow& key, const net::ServerRequest& request);
  Result<net::Reply> post_item(const KeyRow& key, const net::ServerRequest& request);
  Result<net::Reply> list_items(const KeyRow& key, const net::ServerRequest& request);
  Result<net::Reply> get_item(const KeyRow& key, const net::ServerRequest& request);
  Result<net::Reply> report_item(const KeyRow& key, const net::ServerRequest& request);
  Result<net::Reply> retry_item(const KeyRow& key, const net::ServerRequest& request);

  Result<InboxItem> visible_item(const KeyRow& key, std::string_view item_id);
  WallTime token_end() const { return clock_.now() + options_.token_life; }
  void claim();

  Store& store_;
  const Clock& clock_;
  ApiOptions options_;
  RateLimiter limiter_;
  std::function<void()> on_change_;
};

}  // namespace agentmesh::hub
