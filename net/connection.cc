#include "net/connection.h"

#include "base/log.h"
#include "base/spawn_logged.h"
#include "base/text.h"
#include "net/reply_stream.h"
#include "net/wire.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <fmt/format.h>

namespace agentmesh::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Steady = std::chrono::steady_clock;
using Parser = http::request_parser<http::string_body>;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr Millis kLinger{1'000};                       // for a refused client to read why
constexpr std::size_t kLingerBytes = 2 * 1024 * 1024;  // read and thrown away meanwhile
constexpr std::size_t kReadAhead = 16 * 1024;

Error http_error(ErrorCode code, std::string what, std::string hint = "") {
  return Error{code, "http", std::move(what), std::move(hint)};
}

Error crash(std::string_view what) {
  log_error("http", "a handler threw: {}", what);
  return Error{ErrorCode::internal, "http", "the server failed at this request", "its log says more"};
}

// Runs a handler; an exception becomes an Error.
template <class Work>
std::invoke_result_t<Work> guarded(Work work) {
  try {
    co_return co_await work();
  } catch (const boost::system::system_error& problem) {
    if (problem.code() != asio::error::operation_aborted) co_return pass(crash(problem.what()));
    co_return pass(http_error(ErrorCode::unavailable, "the server stops"));
  } catch (const std::exception& problem) {
    co_return pass(crash(problem.what()));
  }
}

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

std::map<std::string, std::string> to_headers(const http::fields& fields) {
  std::map<std::string, std::string> headers;
  for (const auto& field : fields) {
    auto [row, added] = headers.try_emplace(lower_case(view(field.name_string())), view(field.value()));
    if (!added) row->second.append(", ").append(view(field.value()));
  }
  return headers;
}

enum class Next { request, close, linger };
enum class Body { send, leave_out };
struct Asked {
  AfterReply after;
  Body body;
};

class HttpConnection final : public Connection, public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(StreamSocket socket, Peer peer, const Router& router, const ServerLimits& limits)
      : socket_(std::move(socket)),
        peer_(std::move(peer)),
        router_(router),
        limits_(limits),
        deadline_(socket_.get_executor()) {}

  asio::awaitable<void> run() override {
    const auto self = shared_from_this();
    Next next = Next::request;
    while (next == Next::request && !stopping_ && socket_.is_open()) next = co_await serve_one();
    if (next == Next::linger) co_await linger();
    drop();
    stream_.reset();  // it holds this connection
    websocket_.reset();
  }

  void stop_softly() override {
    stopping_ = true;
    if (idle_) drop();
    if (stream_) stream_->end();
    if (websocket_) websocket_->close(1001, "the server stops");
  }

  void drop() override {
    disarm();
    error_code ignored;
    socket_.close(ignored);
    if (stream_) stream_->drop();
    if (websocket_) websocket_->drop();
  }

 private:
  enum class OnDeadline { end_reading, drop };

  // Ending the reading side makes every later read end too, and leaves the writing side for the answer.
  void arm(Millis limit, OnDeadline action) {
    disarm();
    deadline_.expires_after(limit);
    deadline_.async_wait([weak = weak_from_this(), generation = generation_, action](error_code ec) {
      const auto self = weak.lock();
      if (!self || ec || generation != self->generation_) return;
      self->late_ = true;
      error_code ignored;
      if (action == OnDeadline::drop) {
        self->drop();
      } else {
        self->socket_.shutdown(StreamSocket::shutdown_receive, ignored);
      }
    });
  }

  void disarm() {
    ++generation_;
    late_ = false;
    deadline_.cancel();
  }

  asio::awaitable<Next> serve_one() {
    Parser parser;
    parser.header_limit(static_cast<std::uint32_t>(limits_.header_bytes));
    parser.body_limit(limits_.body_bytes);
    if (!co_await wait_for_request()) co_return Next::close;
    arm(limits_.request, OnDeadline::end_reading);
    auto [ec, bytes] = co_await http::async_read_header(socket_, buffer_, parser, kTuple);
    if (!ec) ec = co_await read_body(parser);
    const bool late = late_;
    disarm();
    if (ec) co_return co_await refuse(ec, late, parser.is_header_done());
    co_return co_await route(parser);
  }

  asio::awaitable<bool> wait_for_request() {
    if (buffer_.size() > 0) co_return true;
    idle_ = true;
    arm(limits_.idle, OnDeadline::drop);
    const auto [ec] = co_await socket_.async_wait(StreamSocket::wait_read, kTuple);
    idle_ = false;
    co_return !ec && socket_.is_open();
  }

  asio::awaitable<error_code> read_body(Parser& parser) {
    if (beast::iequals(parser.get()[http::field::expect], "100-continue") && !parser.is_done()) {
      constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      const auto [ec, bytes] = co_await asio::async_write(socket_, asio::buffer(go_on), kTuple);
      if (ec) co_return ec;
    }
    const auto [ec, bytes] = co_await http::async_read(socket_, buffer_, parser, kTuple);
    co_return ec;
  }

  asio::awaitable<Next> refuse(error_code ec, bool late, bool has_header) {
    if (late) {
      const auto what =
          fmt::format("the request did not arrive within {} s", limits_.request.count() / 1000.0);
      co_return co_await refuse_with(408, http_error(ErrorCode::timeout, what));
    }
    if (ec == http::error::body_limit) {
      const auto what = fmt::format("the body is over {} bytes", limits_.body_bytes);
      co_return co_await refuse_with(413, http_error(ErrorCode::exhausted, what));
    }
    if (ec == http::error::header_limit || (ec == http::error::buffer_overflow && !has_header)) {
      const auto what = fmt::format("the header is over {} bytes", limits_.header_bytes);
      co_return co_await refuse_with(431, http_error(ErrorCode::exhausted, what));
    }
    const bool left = ec == http::error::end_of_stream || ec == http::error::partial_message;
    if (left || ec.category() != make_error_code(http::error::bad_value).category()) co_return Next::close;
    co_return co_await refuse_with(400,
                                   http_error(ErrorCode::invalid, "not an HTTP request: " + ec.message()));
  }

  asio::awaitable<Next> refuse_with(int status, Error error) {
    co_await write(error_reply(status, error), {AfterReply::close, Body::send});
    co_return Next::linger;
  }

  asio::awaitable<Next> route(Parser& parser) {
    auto& message = parser.get();
    if (message.target().size() > limits_.target_bytes) {
      const auto what = fmt::format("the target is over {} bytes", limits_.target_bytes);
      co_return co_await refuse_with(414, http_error(ErrorCode::exhausted, what));
    }
    auto target = parse_target(view(message.target()));
    if (!target) co_return co_await refuse_with(400, target.error());
    const std::string method(view(message.method_string()));
    auto match = router_.find(method, *target);
    const Asked asked{message.keep_alive() ? AfterReply::keep : AfterReply::close,
                      method == "HEAD" ? Body::leave_out : Body::send};
    if (match.entry == nullptr) co_return co_await answer(no_route(*target, match), asked);
    ServerRequest request{.method = method,
                          .path = std::move(target->path),
                          .query = std::move(target->query),
                          .params = std::move(match.params),
                          .headers = to_headers(message.base()),
                          .body = std::move(message.body()),
                          .peer = peer_};
    const Router::Entry& entry = *match.entry;
    if (entry.websocket) co_return co_await serve_websocket(entry, message, std::move(request));
    if (entry.stream) {
      const Framing framing = message.version() >= 11 ? Framing::chunked : Framing::until_close;
      co_return co_await serve_stream(entry, std::move(request), framing);
    }
    auto reply = co_await guarded([&] { return entry.handler(std::move(request)); });
    co_return co_await answer(reply ? std::move(*reply) : error_reply(reply.error()), asked);
  }

  static Reply no_route(const Target& target, const Router::Match& match) {
    if (match.allowed.empty()) {
      return error_reply(
          http_error(ErrorCode::not_found, fmt::format("nothing is served at {}", target.path)));
    }
    Reply reply = error_reply(
        405, http_error(ErrorCode::invalid, fmt::format("{} is not served in this way", target.path),
                        "use " + match.allowed));
    reply.headers.push_back({"Allow", match.allowed});
    return reply;
  }

  asio::awaitable<Next> answer(Reply reply, Asked asked) {
    const AfterReply after = stopping_ ? AfterReply::close : asked.after;
    const bool sent = co_await write(std::move(reply), {after, asked.body});
    co_return sent&& after == AfterReply::keep ? Next::request : Next::close;
  }

  asio::awaitable<bool> write(Reply reply, Asked asked) {
    const std::string head = reply_head(reply, reply.body.size(), asked.after);
    if (asked.body == Body::leave_out) reply.body.clear();
    const std::array<asio::const_buffer, 2> parts{asio::buffer(head), asio::buffer(reply.body)};
    arm(limits_.write, OnDeadline::drop);
    const auto [ec, bytes] = co_await asio::async_write(socket_, parts, kTuple);
    disarm();
    co_return !ec;
  }

  asio::awaitable<Next> serve_stream(const Router::Entry& entry, ServerRequest request, Framing framing) {
    stream_ = std::make_shared<QueuedStream>(socket_, shared_from_this(), limits_, framing);
    const auto stream = stream_;
    if (stopping_) stream->end();
    spawn_logged(socket_.get_executor(), "http", watch_client());
    const auto outcome = co_await guarded([&] { return entry.stream(std::move(request), stream); });
    if (outcome) {
      co_await stream->finish();
    } else if (!stream->begun()) {
      co_await write(error_reply(outcome.error()), {AfterReply::close, Body::send});
    }
    co_return Next::close;
  }

  // While an answer goes on the client has nothing to say: what comes is thrown away, its end is the news.
  asio::awaitable<void> watch_client() {
    const auto self = shared_from_this();
    co_await discard(kReadAhead);
    if (stream_) stream_->end();
  }

  asio::awaitable<void> discard(std::size_t limit) {
    std::array<char, 4096> scrap;
    while (limit > 0) {
      const auto [ec, bytes] = co_await socket_.async_read_some(asio::buffer(scrap), kTuple);
      if (ec) co_return;
      limit -= std::min(limit, bytes);
    }
  }

  asio::awaitable<Next> serve_websocket(const Router::Entry& entry, const Parser::value_type& message,
                                        ServerRequest request) {
    if (!beast::websocket::is_upgrade(message) || buffer_.size() > 0) {
      co_return co_await refuse_with(400, http_error(ErrorCode::invalid, "a WebSocket is served here"));
    }
    if (auto refused = entry.admit(request)) {
      co_return co_await answer(std::move(*refused), {AfterReply::close, Body::send});
    }
    UpgradeRequest upgrade{.target = std::string(view(message.target()))};
    for (const auto& field : message.base()) {
      upgrade.headers.push_back({std::string(view(field.name_string())), std::string(view(field.value()))});
    }
    auto session = co_await accept_websocket(std::move(socket_), std::move(upgrade), limits_.websocket);
    if (!session) co_return Next::close;
    websocket_ = *session;
    if (stopping_) stop_softly();
    const auto outcome = co_await guarded([&] { return entry.websocket(std::move(request), *session); });
    websocket_->close(outcome ? 1000 : 1011, outcome ? "" : outcome.error().what);
    co_await websocket_->ended();
    co_return Next::close;
  }

  // A client that is still sending would lose the answer with the connection: it gets a moment to read it.
  asio::awaitable<void> linger() {
    error_code ignored;
    socket_.shutdown(StreamSocket::shutdown_send, ignored);
    arm(kLinger, OnDeadline::drop);
    co_await discard(kLingerBytes);
  }

  StreamSocket socket_;
  Peer peer_;
  const Router& router_;
  const ServerLimits& limits_;
  asio::steady_timer deadline_;
  beast::flat_buffer buffer_{kReadAhead};
  std::shared_ptr<QueuedStream> stream_;
  std::shared_ptr<WebSocket> websocket_;
  std::uint64_t generation_ = 0;  // of the deadline
  bool late_ = false;
  bool idle_ = false;
  bool stopping_ = false;
};

}  // namespace

std::shared_ptr<Connection> make_connection(StreamSocket socket, Peer peer, const Router& router,
                                            const ServerLimits& limits) {
  return std::make_shared<HttpConnection>(std::move(socket), std::move(peer), router, limits);
}

}  // namespace agentmesh::net
