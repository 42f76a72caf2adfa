#include "net/server.h"

#include "base/files.h"
#include "base/log.h"
#include "base/pause.h"
#include "base/socket_address.h"
#include "base/spawn_logged.h"
#include "base/unique_fd.h"
#include "base/waiters.h"
#include "net/connection.h"
#include "net/router.h"
#include "net/wire.h"

#include <cerrno>
#include <chrono>
#include <list>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

namespace agentmesh::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Local = asio::local::stream_protocol;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr Millis kAcceptPause{100};  // after a failed accept (no descriptors left): never a busy loop
constexpr int kBacklog = 512;

Error socket_error(const error_code& ec, std::string_view what) {
  Error error = os_error("listen", std::string(what), ec.value());
  if (ec == asio::error::address_in_use) error.code = ErrorCode::conflict;
  return error;
}

// A socket file of a dead process is removed. Errors: conflict.
Result<void> clear_stale_socket(const std::string& path, const SocketAddress& address) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode))
    return fail(ErrorCode::conflict, "listen", path + " is there and is not a socket");
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int connected = ::connect(probe.get(), address.get(), address.size());
  if (connected == 0 || errno != ECONNREFUSED) {
    return fail(ErrorCode::conflict, "listen", "another process listens at " + path, "stop it first");
  }
  ::unlink(path.c_str());
  return {};
}

// The file of a listening socket, removed at the end unless somebody else has put another there.
class SocketFile {
 public:
  SocketFile(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {
    struct stat status{};
    if (::lstat(path_.c_str(), &status) == 0) inode_ = status.st_ino;
  }
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;
  ~SocketFile() {
    struct stat status{};
    if (::lstat(path_.c_str(), &status) == 0 && status.st_ino == inode_) ::unlink(path_.c_str());
  }

 private:
  std::string path_;
  UniqueFd lock_;
  ino_t inode_ = 0;
};

}  // namespace

class HttpServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, Routes routes, ServerLimits limits)
      : io_(io), router_(std::move(routes)), limits_(limits), grace_(io) {}

  Result<std::uint16_t> listen_tcp(const std::string& address, std::uint16_t port);
  Result<void> listen_unix(const std::string& path);
  void stop();
  void drop_all();
  asio::awaitable<void> stopped();
  std::size_t connections() const { return open_.size(); }

 private:
  struct Open {
    std::shared_ptr<Connection> connection;
    std::string address;
    asio::cancellation_signal cancel;
  };

  template <class Acceptor>
  static asio::awaitable<void> accept_loop(std::shared_ptr<Impl> self, std::shared_ptr<Acceptor> acceptor);
  void welcome(tcp::socket socket);
  void welcome(Local::socket socket);
  void admit(StreamSocket socket, Peer peer);
  void finished(std::list<Open>::iterator place);
  static void turn_away(StreamSocket socket, int status, Error error);

  asio::io_context& io_;
  Router router_;
  ServerLimits limits_;
  std::vector<std::shared_ptr<tcp::acceptor>> tcp_;
  std::vector<std::shared_ptr<Local::acceptor>> local_;
  std::list<SocketFile> files_;
  std::list<Open> open_;
  std::map<std::string, std::size_t> per_address_;
  Waiters waiters_;  // for the end of the last connection
  asio::steady_timer grace_;
  bool stopping_ = false;
};

Result<std::uint16_t> HttpServer::Impl::listen_tcp(const std::string& address, std::uint16_t port) {
  error_code ec;
  const auto ip = asio::ip::make_address(address, ec);
  if (ec) {
    return fail(ErrorCode::invalid, "listen", fmt::format("'{}' is not a numeric address", address),
                "as in 127.0.0.1 or ::1");
  }
  const tcp::endpoint endpoint(ip, port);
  const std::string name = fmt::format("{} port {}", address, port);
  const auto acceptor = std::make_shared<tcp::acceptor>(io_);
  if (acceptor->open(endpoint.protocol(), ec); ec) return pass(socket_error(ec, name));
  acceptor->set_option(tcp::acceptor::reuse_address(true), ec);
  if (acceptor->bind(endpoint, ec); ec) return pass(socket_error(ec, name));
  if (acceptor->listen(kBacklog, ec); ec) return pass(socket_error(ec, name));
  tcp_.push_back(acceptor);
  spawn_logged(io_, "listen", accept_loop(shared_from_this(), acceptor));
  return acceptor->local_endpoint().port();
}

Result<void> HttpServer::Impl::listen_unix(const std::string& path) {
  const auto address = SocketAddress::of(path);
  if (!address) {
    return fail(ErrorCode::invalid, "listen",
                fmt::format("the socket's path '{}' is empty or over {} bytes", path, kMaxSocketPath),
                "use a shorter AGENTMESH_HOME");
  }
  auto lock = lock_file(path + ".lock");
  if (!lock) return pass(lock.error());
  if (auto clear = clear_stale_socket(path, *address); !clear) return clear;
  error_code ec;
  const auto acceptor = std::make_shared<Local::acceptor>(io_);
  if (acceptor->open(Local(), ec); ec) return pass(socket_error(ec, path));
  if (acceptor->bind(Local::endpoint(path), ec); ec) return pass(socket_error(ec, path));
  // Until listen nobody can connect, so the mode is right for every client.
  files_.emplace_back(path, std::move(*lock));
  if (::chmod(path.c_str(), 0600) != 0) return pass(os_error("listen", path, errno));
  if (acceptor->listen(kBacklog, ec); ec) return pass(socket_error(ec, path));
  local_.push_back(acceptor);
  spawn_logged(io_, "listen", accept_loop(shared_from_this(), acceptor));
  return {};
}

template <class Acceptor>
asio::awaitable<void> HttpServer::Impl::accept_loop(std::shared_ptr<Impl> self,
                                                    std::shared_ptr<Acceptor> acceptor) {
  while (acceptor->is_open()) {
    auto [ec, socket] = co_await acceptor->async_accept(kTuple);
    if (!ec) {
      if (!self->stopping_) self->welcome(std::move(socket));
      continue;
    }
    if (!acceptor->is_open()) co_return;
    log_warn("listen", "cannot accept: {}", ec.message());
    co_await pause(kAcceptPause);
  }
}

void HttpServer::Impl::welcome(tcp::socket socket) {
  error_code ec;
  const auto remote = socket.remote_endpoint(ec);
  if (ec) return;
  socket.set_option(tcp::no_delay(true), ec);
  admit(StreamSocket(std::move(socket)), Peer{.address = remote.address().to_string()});
}

void HttpServer::Impl::welcome(Local::socket socket) {
  const auto peer = peer_of(socket.native_handle());
  if (!peer || peer->uid != ::geteuid()) {
    turn_away(StreamSocket(std::move(socket)), 403,
              Error{ErrorCode::denied, "socket", "this socket serves its owner alone", ""});
    return;
  }
  admit(StreamSocket(std::move(socket)), Peer{.address = "unix", .uid = peer->uid});
}

void HttpServer::Impl::admit(StreamSocket socket, Peer peer) {
  if (open_.size() >= limits_.total) {
    const auto what = fmt::format("{} connections are open already", limits_.total);
    return turn_away(std::move(socket), 503, Error{ErrorCode::exhausted, "http", what, "try again later"});
  }
  std::size_t& count = per_address_[peer.address];
  if (!peer.uid && count >= limits_.per_peer) {
    const auto what = fmt::format("{} connections from {} are open already", limits_.per_peer, peer.address);
    return turn_away(std::move(socket), 429, Error{ErrorCode::exhausted, "http", what, "close some of them"});
  }
  ++count;
  const std::string address = peer.address;
  const auto connection = make_connection(std::move(socket), std::move(peer), router_, limits_);
  const auto place = open_.emplace(open_.end());
  place->connection = connection;
  place->address = address;
  asio::co_spawn(
      io_, connection->run(),
      asio::bind_cancellation_slot(
          place->cancel.slot(),
          Logged("http", [self = shared_from_this(), place](const Result<>&) { self->finished(place); })));
}

void HttpServer::Impl::finished(std::list<Open>::iterator place) {
  const auto count = per_address_.find(place->address);
  if (--count->second == 0) per_address_.erase(count);
  open_.erase(place);
  if (!open_.empty() || !stopping_) return;
  grace_.cancel();
  waiters_.wake();
}

// As much as the socket takes at once: a client that is turned away costs nothing more.
void HttpServer::Impl::turn_away(StreamSocket socket, int status, Error error) {
  const Reply reply = error_reply(status, error);
  const std::string text = reply_head(reply, reply.body.size(), AfterReply::close) + reply.body;
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(text), ignored);
  socket.shutdown(StreamSocket::shutdown_send, ignored);
}

void HttpServer::Impl::stop() {
  if (std::exchange(stopping_, true)) return;
  error_code ignored;
  for (const auto& acceptor : tcp_) acceptor->close(ignored);
  for (const auto& acceptor : local_) acceptor->close(ignored);
  files_.clear();
  for (auto& open : open_) open.connection->stop_softly();
  grace_.expires_after(limits_.stop_grace);
  grace_.async_wait([weak = weak_from_this()](error_code ec) {
    if (const auto self = weak.lock(); self && !ec) self->drop_all();
  });
}

void HttpServer::Impl::drop_all() {
  stop();
  grace_.cancel();
  for (auto& open : open_) open.connection->drop();
  // Boost 1.81 keeps a bare pointer to the coroutine when emit is called outside the loop: it may have ended
  // before it is used. Inside the loop emit acts at once.
  asio::post(io_, [self = shared_from_this()] {
    for (auto place = self->open_.begin(); place != self->open_.end();) {
      (place++)->cancel.emit(asio::cancellation_type::terminal);
    }
  });
}

asio::awaitable<void> HttpServer::Impl::stopped() {
  const auto self = shared_from_this();
  while (!stopping_ || !open_.empty()) co_await waiters_.wait();
}

HttpServer::HttpServer(asio::io_context& io, Routes routes, ServerLimits limits)
    : impl_(std::make_shared<Impl>(io, std::move(routes), limits)) {}

HttpServer::~HttpServer() { impl_->drop_all(); }

Result<std::uint16_t> HttpServer::listen_tcp(const std::string& address, std::uint16_t port) {
  return impl_->listen_tcp(address, port);
}

Result<void> HttpServer::listen_unix(const std::string& path) { return impl_->listen_unix(path); }

void HttpServer::stop() { impl_->stop(); }

asio::awaitable<void> HttpServer::stopped() { return impl_->stopped(); }

std::size_t HttpServer::connections() const { return impl_->connections(); }

}  // namespace agentmesh::net
