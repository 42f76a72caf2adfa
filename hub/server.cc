#include "hub/server.h"

#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/spawn_logged.h"
#include "base/text.h"
#include "hub/api.h"
#include "hub/streams.h"

#include <optional>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

namespace agentmesh::hub {
namespace {

namespace asio = boost::asio;
constexpr std::size_t kKeyBytes = 32;  // 256 random bits
constexpr std::string_view kKeyPrefix = "amk_";

bool is_loopback(const std::string& address) {
  boost::system::error_code ec;
  const auto ip = asio::ip::make_address(address, ec);
  return !ec && ip.is_loopback();
}

bool is_key(std::string_view text) {
  return text.starts_with(kKeyPrefix) && text.size() == kKeyPrefix.size() + 2 * kKeyBytes;
}

net::Reply stopping() {
  return net::error_reply(Error{ErrorCode::unavailable, "hub", "the hub stops", "try again later"});
}

}  // namespace

// Kept alive by the connections' coroutines; after close() nothing of it touches the store.
class HubServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, Store& store, const Clock& clock, HubOptions options)
      : io_(io),
        store_(store),
        options_(std::move(options)),
        streams_(std::make_shared<Streams>(io.get_executor(), store, clock)),
        api_(store, clock, {options_.token_life, options_.agent_away, options_.rate},
             [this] { streams_->notify(); }),
        tick_(io) {}

  Result<std::uint16_t> start();
  void close();
  net::HttpServer* http() { return http_ ? &*http_ : nullptr; }
  void stop();

 private:
  Result<void> may_listen();
  net::Routes routes();
  std::optional<net::Reply> admit_stream(const net::ServerRequest& request);
  Task<> serve_stream(net::ServerRequest request, std::shared_ptr<net::WebSocket> peer);
  static asio::awaitable<void> tick(std::shared_ptr<Impl> self);

  asio::io_context& io_;
  Store& store_;
  HubOptions options_;
  std::shared_ptr<Streams> streams_;
  Api api_;
  asio::steady_timer tick_;
  std::optional<net::HttpServer> http_;
  bool stopping_ = false;  // no more sweeps; requests under way finish
  bool closed_ = false;    // the store is not touched any more
};

Result<void> HubServer::Impl::may_listen() {
  if (is_loopback(options_.address)) return {};
  const auto keys = store_.count_keys();
  if (!keys) return pass(keys.error());
  if (*keys == 0) {
    return fail(ErrorCode::denied, "hub",
                fmt::format("there is no key, and {} is not loopback", options_.address),
                "`agentmesh token create` makes one");
  }
  if (options_.plain_http == PlainHttp::anywhere) return {};
  return fail(ErrorCode::denied, "hub",
              fmt::format("{} is not loopback, and the connection is in clear", options_.address),
              "put TLS in front of it, or say --insecure");
}

Result<std::uint16_t> HubServer::Impl::start() {
  if (auto may = may_listen(); !may) return pass(may.error());
  http_.emplace(io_, routes(), options_.limits);
  auto port = http_->listen_tcp(options_.address, options_.port);
  if (!port) return port;
  spawn_logged(io_, "hub", tick(shared_from_this()));
  return port;
}

net::Routes HubServer::Impl::routes() {
  net::Routes routes;
  const auto self = shared_from_this();
  const auto all = Api::routes();
  for (std::size_t number = 0; number < all.size(); ++number) {
    routes.add(all[number].method, all[number].pattern,
               [self, number](net::ServerRequest request) -> Task<net::Reply> {
                 if (self->closed_) co_return stopping();
                 co_return self->api_.answer(number, request);
               });
  }
  routes.add_websocket(
      "/v1/stream", [self](const net::ServerRequest& request) { return self->admit_stream(request); },
      [self](net::ServerRequest request, std::shared_ptr<net::WebSocket> peer) {
        return self->serve_stream(std::move(request), std::move(peer));
      });
  return routes;
}

std::optional<net::Reply> HubServer::Impl::admit_stream(const net::ServerRequest& request) {
  if (closed_) return stopping();
  if (auto key = api_.admit(request, Role::operator_); !key) return std::move(key.error());
  for (const auto& [name, value] : request.query) {
    const bool known = name == "host" || (name == "after" && whole_number<std::int64_t>(value, 0));
    if (known && value.size() <= kMaxFieldBytes) continue;
    return net::error_reply(Error{ErrorCode::invalid, "request",
                                  fmt::format("'{}' is not understood here", name.substr(0, 80)),
                                  "as in ?host=NAME&after=SEQ"});
  }
  return std::nullopt;
}

Task<> HubServer::Impl::serve_stream(net::ServerRequest request, std::shared_ptr<net::WebSocket> peer) {
  const auto self = shared_from_this();
  if (closed_) co_return Result<void>{};
  const auto key = api_.admit(request, Role::operator_);
  if (!key) co_return fail(ErrorCode::denied, "hub", "the key is not valid any more");
  StreamQuery query{.tenant = key->tenant, .host = request.query_value("host").value_or("")};
  if (const auto after = request.query_value("after")) query.after = whole_number<std::int64_t>(*after, 0);
  co_return co_await streams_->serve(std::move(query), std::move(peer));
}

asio::awaitable<void> HubServer::Impl::tick(std::shared_ptr<Impl> self) {
  while (!self->closed_ && !self->stopping_) {
    self->api_.sweep();
    self->tick_.expires_after(self->options_.sweep_every);
    co_await self->tick_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

void HubServer::Impl::stop() {
  stopping_ = true;
  if (http_) http_->stop();
  tick_.cancel();
}

void HubServer::Impl::close() {
  closed_ = true;
  streams_->close();
  tick_.cancel();
  http_.reset();
}

HubServer::HubServer(asio::io_context& io, Store& store, const Clock& clock, HubOptions options)
    : impl_(std::make_shared<Impl>(io, store, clock, std::move(options))) {}

HubServer::~HubServer() { impl_->close(); }

Result<std::uint16_t> HubServer::start() { return impl_->start(); }

void HubServer::stop() { impl_->stop(); }

asio::awaitable<void> HubServer::stopped() {
  if (auto* http = impl_->http()) co_await http->stopped();
}

Secret new_key() { return Secret(std::string(kKeyPrefix) + random_hex(kKeyBytes)); }

std::string key_hash(const Secret& key) { return sha256_hex(key.reveal()); }

Result<Secret> ensure_admin_key(Store& store, const std::filesystem::path& file, WallTime now) {
  auto key = resolve_secret("file:" + file.string());
  if (!key && key.error().code != ErrorCode::not_found) return key;
  if (!key) {
    key = new_key();
    if (auto written = write_file(file, key->reveal() + "\n", 0600); !written) return pass(written.error());
  }
  if (!is_key(key->reveal())) {
    return fail(ErrorCode::invalid, "hub", fmt::format("{} does not hold a key", file.string()),
                "remove the file to get a new one");
  }
  const auto known = store.find_key(key_hash(*key), now);
  if (known) return key;
  if (known.error().code != ErrorCode::not_found) return pass(known.error());
  const KeyRow row{.id = new_id("key"), .tenant = std::string(kDefaultTenant), .role = Role::admin};
  if (auto added = store.add_key(row, key_hash(*key), now); !added) return pass(added.error());
  return key;
}

}  // namespace agentmesh::hub
