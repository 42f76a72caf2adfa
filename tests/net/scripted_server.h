#pragma once
// An HTTP server on a Unix socket that answers what a test tells it, also badly: it records every request and
// plays a list of steps for each. It runs on the test's io_context.

#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

namespace agentmesh::test {

namespace asio = boost::asio;

struct Recorded {
  std::string head;  // request line and headers
  std::string body;
  std::string line() const { return head.substr(0, head.find("\r\n")); }
};

// What the server does with one request.
struct Reply {
  std::vector<std::string> pieces;  // written one after the other, as they are
  bool close_after = false;
  bool hang_after = false;  // keeps the connection open and says no more
};

inline Reply answer(int status, std::string_view body, std::string_view headers = "") {
  return {
      {fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(), headers, body)}};
}
inline Reply json(std::string_view body) { return answer(200, body, "Content-Type: application/json\r\n"); }
inline Reply hang() { return {{}, false, true}; }
inline Reply raw(std::string bytes) { return {{std::move(bytes)}, true}; }

class ScriptedServer {
 public:
  using Handler = std::function<Reply(const Recorded&)>;

  ScriptedServer(asio::io_context& io, Handler handler)
      : io_(io),
        path_(fmt::format("/tmp/test-scripted-{}-{}.sock", ::getpid(), next_number())),
        handler_(std::move(handler)),
        acceptor_(io, asio::local::stream_protocol::endpoint(path_)) {
    asio::co_spawn(io_, accept(), asio::detached);
  }
  ~ScriptedServer() { ::unlink(path_.c_str()); }

  const std::string& path() const { return path_; }
  const std::vector<Recorded>& requests() const { return requests_; }
  int connections() const { return connections_; }
  void close() {
    acceptor_.close();
    ::unlink(path_.c_str());
  }

 private:
  using Socket = asio::local::stream_protocol::socket;

  static int next_number() {
    static int number = 0;
    return ++number;
  }

  asio::awaitable<void> accept() {
    for (;;) {
      boost::system::error_code ec;
      auto socket = std::make_shared<Socket>(io_);
      co_await acceptor_.async_accept(*socket, asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return;
      ++connections_;
      asio::co_spawn(io_, serve(socket), [](std::exception_ptr) {});
    }
  }

  asio::awaitable<void> serve(std::shared_ptr<Socket> socket) {
    std::string buffer;
    for (;;) {
      Recorded request;
      co_await read_head(*socket, buffer, request);
      co_await read_body(*socket, buffer, request);
      requests_.push_back(request);
      const auto reply = handler_(request);
      for (const auto& piece : reply.pieces)
        co_await asio::async_write(*socket, asio::buffer(piece), asio::use_awaitable);
      if (reply.close_after) co_return;
      if (reply.hang_after) held_.push_back(socket);
      if (reply.hang_after) co_return;
    }
  }

  static asio::awaitable<void> more(Socket& socket, std::string& buffer) {
    char chunk[16384];
    const auto size = co_await socket.async_read_some(asio::buffer(chunk), asio::use_awaitable);
    buffer.append(chunk, size);
  }

  static asio::awaitable<void> read_head(Socket& socket, std::string& buffer, Recorded& request) {
    std::size_t end = 0;
    while ((end = buffer.find("\r\n\r\n")) == std::string::npos) co_await more(socket, buffer);
    request.head = buffer.substr(0, end + 2);
    buffer.erase(0, end + 4);
  }

  static asio::awaitable<void> read_body(Socket& socket, std::string& buffer, Recorded& request) {
    if (request.head.find("Transfer-Encoding: chunked") != std::string::npos) {
      std::size_t end = 0;
      while ((end = buffer.find("0\r\n\r\n")) == std::string::npos) co_await more(socket, buffer);
      request.body = buffer.substr(0, end + 5);
      buffer.erase(0, end + 5);
      co_return;
    }
    const auto at = request.head.find("Content-Length: ");
    const auto size = at == std::string::npos ? 0 : std::stoul(request.head.substr(at + 16));
    while (buffer.size() < size) co_await more(socket, buffer);
    request.body = buffer.substr(0, size);
    buffer.erase(0, size);
  }

  asio::io_context& io_;
  std::string path_;
  Handler handler_;
  asio::local::stream_protocol::acceptor acceptor_;
  std::vector<Recorded> requests_;
  std::vector<std::shared_ptr<Socket>> held_;
  int connections_ = 0;
};

}  // namespace agentmesh::test
