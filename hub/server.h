#pragma once
// The hub: routes over a Store. It answers only what is already durable, pushes assignments to the host that
// runs the agent, and keeps nothing in memory but the open streams. Owned by the daemon (embedded, loopback)
// or by `agentmesh hub`. It never starts an agent and never reads a configuration.

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "hub/rate_limit.h"
#include "hub/store.h"
#include "net/server.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace agentmesh::hub {

enum class PlainHttp {
  loopback_only,
  anywhere,  // keys and messages can be read on the way
};

struct HubOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  // 0 picks one
  PlainHttp plain_http = PlainHttp::loopback_only;
  net::ServerLimits limits;
  Millis token_life = std::chrono::hours(24);  // of an agent's token; each heartbeat renews it
  Millis agent_away{90'000};                   // no heartbeat for so long (three missed): not given new work
  Millis sweep_every{10'000};                  // expiry is seen within this time
  RateLimit rate{.per_second = 200, .burst = 400};  // requests of one key: 429 above
};

class HubServer {
 public:
  // `io`, `store` and `clock` must outlive it.
  HubServer(boost::asio::io_context& io, Store& store, const Clock& clock, HubOptions options);
  // Drops every connection at once; what was answered is on the disk.
  ~HubServer();
  HubServer(const HubServer&) = delete;
  HubServer& operator=(const HubServer&) = delete;

  // Listens. The port. Errors: denied (beyond loopback without a key in the store, or in
  // clear without PlainHttp::anywhere), conflict (the port is
  // taken), invalid (the address).
  Result<std::uint16_t> start();
  void stop();
  boost::asio::awaitable<void> stopped();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

// The admin key of an embedded hub: read from the file, or made (256 random bits, "amk_..."), put into the
// store and written to the file, 0600. A file whose key the store does not have is put there: the store was
// replaced. Errors: as Store and base/files.h; denied (the file is readable by others), invalid (not a key).
Result<Secret> ensure_admin_key(Store& store, const std::filesystem::path& file, WallTime now);

// A new key's text; and what a store keeps of it.
Secret new_key();
std::string key_hash(const Secret& key);

}  // namespace agentmesh::hub
