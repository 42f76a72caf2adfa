#include "net/websocket.h"

#include "base/socket_address.h"
#include "base/spawn_logged.h"
#include "base/text.h"
#include "base/waiters.h"
#include "net/server.h"
#include "net/websocket_accept.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <optional>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/websocket/error.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <fmt/format.h>

namespace agentmesh::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using boost::system::error_code;
using Steady = std::chrono::steady_clock;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr Millis kGoodbye{1'000};  // for the peer to answer a close
constexpr std::size_t kMaxCloseReason = 120;
constexpr std::size_t kMaxUrl = 4 * 1024;

std::unexpected<Error> unavailable(std::string what) {
  return fail(ErrorCode::unavailable, "websocket", std::move(what));
}

// The stream type is a parameter, so that a TLS stream can take the place of the plain one.
template <class Stream>
class Session final : public WebSocket, public std::enable_shared_from_this<Session<Stream>> {
 public:
  Session(Stream stream, WebSocketLimits limits)
      : ws_(std::move(stream)), limits_(limits), ping_timer_(ws_.get_executor()) {
    ws_.read_message_max(limits_.message_bytes);
    ws_.text(true);
    ws_.auto_fragment(false);
    ws_.control_callback([this](websocket::frame_type, beast::string_view) { heard_ = Steady::now(); });
  }

  websocket::stream<Stream>& stream() { return ws_; }

  // The session lives as long as its coroutines; the handle's end ends them.
  static std::shared_ptr<WebSocket> run(std::shared_ptr<Session> session) {
    session->open_ = true;
    session->heard_ = Steady::now();
    spawn_logged(session->ws_.get_executor(), "websocket", session->write_loop());
    spawn_logged(session->ws_.get_executor(), "websocket", session->watch_loop());
    WebSocket* plain = session.get();
    return std::shared_ptr<WebSocket>(plain, [kept = std::move(session)](WebSocket*) { kept->drop(); });
  }

  Result<void> send(std::string text) override {
    if (!open_ || closing_) return unavailable(end_text());
    if (!queue_.empty() && queued_bytes_ + text.size() > limits_.backlog_bytes) {
      end("the peer does not read: dropped");
      return fail(ErrorCode::exhausted, "websocket",
                  fmt::format("the peer left {} bytes unread", queued_bytes_));
    }
    queued_bytes_ += text.size();
    queue_.push_back(std::move(text));
    writer_.wake();
    return {};
  }

  Task<> flush() override {
    const auto self = this->shared_from_this();
    while (open_ && !queue_.empty()) co_await others_.wait();
    if (!open_) co_return unavailable(end_text());
    co_return Result<void>{};
  }

  asio::awaitable<void> ended() override {
    const auto self = this->shared_from_this();
    while (open_) co_await others_.wait();
  }

  Task<std::string> receive() override {
    const auto self = this->shared_from_this();
    if (!open_) co_return unavailable(end_text());
    if (std::exchange(reading_, true))
      co_return fail(ErrorCode::conflict, "websocket", "there is a reader already");
    beast::flat_buffer buffer;
    const auto [ec, bytes] = co_await ws_.async_read(buffer, kTuple);
    reading_ = false;
    heard_ = Steady::now();
    if (ec) co_return end_of_read(ec);
    if (!ws_.got_text()) {
      close(websocket::close_code::unknown_data, "text only");
      co_return fail(ErrorCode::invalid, "websocket", "the peer sent a binary message");
    }
    co_return beast::buffers_to_string(buffer.data());
  }

  void close(std::uint16_t code, std::string_view reason) override {
    if (!open_ || closing_) return;
    closing_ =
        websocket::close_reason(static_cast<websocket::close_code>(code),
                                beast::string_view(reason.data(), std::min(reason.size(), kMaxCloseReason)));
    if (ended_.empty()) ended_ = "closed here";
    writer_.wake();
    const auto timer = std::make_shared<asio::steady_timer>(ws_.get_executor(), kGoodbye);
    timer->async_wait([timer, weak = this->weak_from_this()](error_code) {
      if (const auto self = weak.lock()) self->drop();
    });
  }

  void drop() override { end("dropped"); }
  bool is_open() const override { return open_ && !closing_; }

 private:
  std::string end_text() const { return ended_.empty() ? "the connection is closed" : ended_; }

  void end(std::string_view why) {
    if (ended_.empty()) ended_ = why;
    if (!std::exchange(open_, false)) return;
    error_code ignored;
    beast::get_lowest_layer(ws_).close(ignored);
    ping_timer_.cancel();
    writer_.wake();
    others_.wake();
  }

  Result<std::string> end_of_read(error_code ec) {
    if (ec == websocket::error::message_too_big) {
      end("the peer sent a message over the limit");
      return fail(ErrorCode::exhausted, "websocket",
                  fmt::format("the peer sent a message over {} bytes", limits_.message_bytes));
    }
    if (ec == websocket::error::bad_frame_payload) {
      end("the peer sent text that is not UTF-8");
      return fail(ErrorCode::invalid, "websocket", ended_);
    }
    if (ec == websocket::error::closed) {
      const auto& reason = ws_.reason();
      end(fmt::format("the peer closed the connection ({}{}{})", reason.code,
                      reason.reason.empty() ? "" : ": ",
                      std::string_view(reason.reason.data(), reason.reason.size())));
    }
    end(ec.message());
    return unavailable(end_text());
  }

  asio::awaitable<void> write_loop() {
    const auto self = this->shared_from_this();
    while (open_) {
      if (!queue_.empty()) {
        co_await write_front();
      } else if (closing_) {
        co_await ws_.async_close(*closing_, kTuple);
        end("closed");
      } else {
        co_await writer_.wait();
      }
    }
  }

  asio::awaitable<void> write_front() {
    write_began_ = Steady::now();
    const auto [ec, bytes] = co_await ws_.async_write(asio::buffer(queue_.front()), kTuple);
    write_began_.reset();
    queued_bytes_ -= queue_.front().size();
    queue_.pop_front();
    if (ec) end(ec.message());
    if (queue_.empty()) others_.wake();
  }

  // Pings, and ends a session whose peer is silent or takes nothing.
  asio::awaitable<void> watch_loop() {
    const auto self = this->shared_from_this();
    while (open_) {
      ping_timer_.expires_after(std::min(limits_.ping_every, limits_.silence));
      co_await ping_timer_.async_wait(kTuple);
      if (!open_) co_return;
      const auto now = Steady::now();
      if (now - heard_ >= limits_.silence) {
        end("the peer is silent: dropped");
      } else if (write_began_ && now - *write_began_ >= limits_.silence) {
        end("the peer does not read: dropped");
      } else if (!closing_ && !std::exchange(pinging_, true)) {
        ws_.async_ping({}, [self](error_code) { self->pinging_ = false; });
      }
    }
  }

  websocket::stream<Stream> ws_;
  WebSocketLimits limits_;
  asio::steady_timer ping_timer_;
  Waiters writer_;
  Waiters others_;                 // for the end, or for an empty queue
  std::deque<std::string> queue_;  // the front one is being written
  std::size_t queued_bytes_ = 0;
  Steady::time_point heard_;
  std::optional<Steady::time_point> write_began_;
  std::optional<websocket::close_reason> closing_;
  std::string ended_;
  bool open_ = false;
  bool pinging_ = false;
  bool reading_ = false;
};

using PlainSession = Session<StreamSocket>;

struct Url {
  std::string host;
  std::string port;
  std::string target;
  std::string socket = {};  // a Unix socket's path, in place of host and port
};

Result<Url> parse_url(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return fail(ErrorCode::invalid, "websocket", fmt::format("the URL {}", why), "as in ws://host:port/path");
  };
  if (text.size() > kMaxUrl) return bad("is too long");
  std::size_t skip = 0;
  for (const std::string_view scheme : {"ws://", "http://"}) {
    if (text.starts_with(scheme)) skip = scheme.size();
  }
  if (skip == 0) return bad("must begin with ws:// or http://");
  text.remove_prefix(skip);
  const std::size_t slash = text.find_first_of("/?");
  Url url{.port = "80", .target = slash == std::string_view::npos ? "/" : std::string(text.substr(slash))};
  if (url.target.front() == '?') url.target.insert(0, "/");
  std::string_view authority = text.substr(0, slash);
  const std::size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos) {
    url.port = authority.substr(colon + 1);
    authority = authority.substr(0, colon);
  }
  if (authority.starts_with('[') && authority.ends_with(']'))
    authority = authority.substr(1, authority.size() - 2);
  url.host = authority;
  const auto unfit = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '@'; };
  if (url.host.empty() || std::ranges::any_of(url.host, unfit)) return bad("has no host");
  if (!whole_number<int>(url.port, 1, 65'535)) return bad("has no port of 1 to 65535");
  if (std::ranges::any_of(url.target,
                          [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; })) {
    return bad("has a blank or a control character");
  }
  return url;
}

// One try to connect; shared by the coroutine that works and the one that waits for it.
struct Attempt {
  explicit Attempt(asio::any_io_executor executor)
      : resolver(executor), tcp(executor), local(executor), deadline(executor) {}

  void cancel() {
    cancelled = true;
    resolver.cancel();
    error_code ignored;
    tcp.close(ignored);
    local.close(ignored);
    if (session) beast::get_lowest_layer(session->stream()).close(ignored);
  }

  asio::ip::tcp::resolver resolver;
  asio::ip::tcp::socket tcp;
  asio::local::stream_protocol::socket local;
  asio::steady_timer deadline;
  std::shared_ptr<PlainSession> session;
  std::optional<Result<void>> outcome;
  bool cancelled = false;
};

Task<> open_tcp(std::shared_ptr<Attempt> attempt, const Url& url) {
  const auto [resolve_error, found] = co_await attempt->resolver.async_resolve(url.host, url.port, kTuple);
  if (resolve_error) co_return unavailable(fmt::format("{}: {}", url.host, resolve_error.message()));
  if (attempt->cancelled) co_return unavailable("cancelled");
  const auto [ec, endpoint] = co_await asio::async_connect(attempt->tcp, found, kTuple);
  if (ec) co_return unavailable(fmt::format("{}:{}: {}", url.host, url.port, ec.message()));
  if (attempt->cancelled) co_return unavailable("cancelled");
  error_code ignored;
  attempt->tcp.set_option(asio::ip::tcp::no_delay(true), ignored);
  co_return Result<void>{};
}

Task<> open_local(std::shared_ptr<Attempt> attempt, const Url& url) {
  const auto [ec] =
      co_await attempt->local.async_connect(asio::local::stream_protocol::endpoint(url.socket), kTuple);
  if (ec) co_return unavailable(fmt::format("{}: {}", url.socket, ec.message()));
  if (attempt->cancelled) co_return unavailable("cancelled");
  co_return Result<void>{};
}

Task<> shake_hands(std::shared_ptr<Attempt> attempt, const Url& url, const std::vector<HttpHeader>& headers) {
  auto& stream = attempt->session->stream();
  stream.set_option(websocket::stream_base::decorator([&headers](websocket::request_type& request) {
    for (const auto& header : headers) request.set(header.name, header.value);
  }));
  websocket::response_type response;
  const std::string host = url.host.find(':') == std::string::npos ? url.host : '[' + url.host + ']';
  const auto [ec] = co_await stream.async_handshake(response, host + ':' + url.port, url.target, kTuple);
  if (!ec) co_return Result<void>{};
  if (ec == websocket::error::upgrade_declined) {
    const auto body = response.body();
    co_return pass(error_from_reply(static_cast<int>(response.result_int()), body));
  }
  co_return unavailable(fmt::format("{}:{}: {}", url.host, url.port, ec.message()));
}

asio::awaitable<void> attempt_all(std::shared_ptr<Attempt> attempt, Url url, std::vector<HttpHeader> headers,
                                  WebSocketLimits limits) {
  const bool local = !url.socket.empty();
  Result<void> outcome = local ? co_await open_local(attempt, url) : co_await open_tcp(attempt, url);
  if (outcome) {
    StreamSocket socket =
        local ? StreamSocket(std::move(attempt->local)) : StreamSocket(std::move(attempt->tcp));
    attempt->session = std::make_shared<PlainSession>(std::move(socket), limits);
    outcome = co_await shake_hands(attempt, url, headers);
  }
  attempt->outcome = std::move(outcome);
  attempt->deadline.cancel();
}

Task<std::shared_ptr<WebSocket>> connect(Url url, std::vector<HttpHeader> headers, WebSocketLimits limits) {
  const auto executor = co_await asio::this_coro::executor;
  const auto attempt = std::make_shared<Attempt>(executor);
  // A name that does not resolve cannot be interrupted: the work goes on by itself, the caller does not wait.
  struct Cancel {
    std::shared_ptr<Attempt> attempt;
    ~Cancel() {
      if (!attempt->outcome) attempt->cancel();
    }
  } cancel{attempt};
  attempt->deadline.expires_after(limits.connect);
  spawn_logged(executor, "websocket", attempt_all(attempt, std::move(url), std::move(headers), limits));
  while (!attempt->outcome && attempt->deadline.expiry() > Steady::now()) {
    const auto [ec] = co_await attempt->deadline.async_wait(kTuple);
    if (!ec) break;
  }
  if (!attempt->outcome) co_return unavailable("no connection within the time given");
  if (!*attempt->outcome) co_return pass(attempt->outcome->error());
  co_return PlainSession::run(std::move(attempt->session));
}

}  // namespace

Task<std::shared_ptr<WebSocket>> connect_websocket(std::string url, std::vector<HttpHeader> headers,
                                                   WebSocketLimits limits) {
  auto parsed = parse_url(url);
  if (!parsed) co_return pass(parsed.error());
  co_return co_await connect(std::move(*parsed), std::move(headers), limits);
}

Task<std::shared_ptr<WebSocket>> connect_websocket(std::filesystem::path socket, WebSocketLimits limits) {
  if (socket.empty() || socket.native().size() > kMaxSocketPath) {
    co_return fail(ErrorCode::invalid, "websocket",
                   fmt::format("a socket's path has 1 to {} bytes", kMaxSocketPath));
  }
  Url url{.host = "localhost", .port = "80", .target = "/", .socket = socket.native()};
  co_return co_await connect(std::move(url), {}, limits);
}

Task<std::shared_ptr<WebSocket>> accept_websocket(StreamSocket socket, UpgradeRequest request,
                                                  WebSocketLimits limits) {
  const auto session = std::make_shared<PlainSession>(std::move(socket), limits);
  http::request<http::string_body> upgrade(http::verb::get, request.target, 11);
  for (const auto& header : request.headers) upgrade.insert(header.name, header.value);
  const auto [ec] = co_await session->stream().async_accept(upgrade, kTuple);
  if (ec) co_return fail(ErrorCode::invalid, "websocket", ec.message());
  co_return PlainSession::run(session);
}

}  // namespace agentmesh::net
