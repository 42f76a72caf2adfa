#include "net/server.h"
#include "net/websocket.h"
#include "tests/fakes/eventually.h"
#include "tests/fakes/raw_client.h"

#include <cstdlib>
#include <filesystem>
#include <optional>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::net {
namespace {

namespace asio = boost::asio;
using test::eventually;
using test::RawClient;

constexpr Millis kLimit{5'000};

using Connected = Result<std::shared_ptr<WebSocket>>;

class WebSocketTest : public ::testing::Test {
 protected:
  ~WebSocketTest() override {
    peer_.reset();
    if (!server_) return;
    server_->stop();
    test::complete(io_, server_->stopped(), kLimit);
  }

  void serve() {
    Routes routes;
    const auto echo = [](ServerRequest, std::shared_ptr<WebSocket> peer) -> Task<> {
      while (true) {
        auto text = co_await peer->receive();
        if (!text) co_return pass(text.error());
        if (*text == "bye") co_return Result<void>{};
        if (auto sent = peer->send(std::move(*text)); !sent) co_return sent;
      }
    };
    routes.add_websocket("/echo", admit(), echo);
    routes.add_websocket("/", [](const ServerRequest&) { return std::optional<Reply>(); }, echo);
    routes.add_websocket("/hold", admit(), [this](ServerRequest, std::shared_ptr<WebSocket> peer) -> Task<> {
      peer_ = peer;
      co_await peer->ended();
      ++ended_;
      co_return Result<void>{};
    });
    server_.emplace(io_, std::move(routes), limits_);
    port_ = server_->listen_tcp("127.0.0.1", 0).value();
  }

  static Admission admit() {
    return [](const ServerRequest& request) -> std::optional<Reply> {
      if (request.header("authorization") == "Bearer good") return std::nullopt;
      return error_reply(401, Error{ErrorCode::denied, "test", "a key is needed", ""});
    };
  }

  Connected connect(std::string_view path, std::string_view key = "good") {
    return test::complete(
        io_,
        connect_websocket(fmt::format("http://127.0.0.1:{}{}", port_, path),
                          {{"Authorization", fmt::format("Bearer {}", key)}}, client_limits_),
        kLimit);
  }
  Result<std::string> receive(const std::shared_ptr<WebSocket>& from) {
    return test::complete(io_, from->receive(), kLimit);
  }
  // Masked frames as a client sends them, mask zero.
  static std::string frame(int first_byte, std::string_view payload) {
    std::string bytes(1, static_cast<char>(first_byte));
    if (payload.size() < 126) {
      bytes += static_cast<char>(0x80 | payload.size());
    } else {
      bytes += static_cast<char>(0x80 | 127);
      for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(payload.size() >> shift);
    }
    return bytes + std::string(4, '\0') + std::string(payload);
  }
  std::shared_ptr<RawClient> raw_upgrade(std::string_view path) {
    auto client = RawClient::tcp(io_, port_);
    client->send(
        fmt::format("GET {} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Authorization: Bearer good\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                    path));
    EXPECT_TRUE(eventually(io_, kLimit, [&] { return client->has("\r\n\r\n"); }));
    EXPECT_EQ(client->status(), 101);
    return client;
  }

  asio::io_context io_;
  ServerLimits limits_;
  WebSocketLimits client_limits_;
  std::optional<HttpServer> server_;
  std::uint16_t port_ = 0;
  std::shared_ptr<WebSocket> peer_;
  int ended_ = 0;
};

TEST_F(WebSocketTest, TextGoesThereAndBack) {
  serve();
  const auto client = connect("/echo");
  ASSERT_TRUE(client) << describe(client.error());
  for (const std::string& text :
       {std::string("hello"), std::string(""), std::string("ünï"), std::string(900'000, 'x')}) {
    ASSERT_TRUE((*client)->send(text));
    EXPECT_EQ(receive(*client), text);
  }
}

TEST_F(WebSocketTest, AUnixSocketIsAWayToo) {
  serve();
  char folder[] = "/tmp/agentmesh-ws-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::filesystem::path path = std::filesystem::path(folder) / "a.sock";
  const auto call = [&](const std::filesystem::path& to) {
    return test::complete(io_, connect_websocket(to, client_limits_), kLimit);
  };
  EXPECT_EQ(call(path).error().code, ErrorCode::unavailable);
  ASSERT_TRUE(server_->listen_unix(path));
  const auto client = call(path);
  ASSERT_TRUE(client) << describe(client.error());
  ASSERT_TRUE((*client)->send("hello"));
  EXPECT_EQ(receive(*client), "hello");
  EXPECT_EQ(call(std::string(108, 'x')).error().code, ErrorCode::invalid);
  EXPECT_EQ(call("").error().code, ErrorCode::invalid);
  std::filesystem::remove_all(folder);
}

TEST_F(WebSocketTest, TheKeyIsCheckedBeforeTheUpgrade) {
  serve();
  const auto refused = connect("/echo", "bad");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::denied);
  EXPECT_EQ(refused.error().what, "a key is needed");
  EXPECT_EQ(connect("/nowhere").error().code, ErrorCode::not_found);
}

TEST_F(WebSocketTest, ACloseTellsItsReason) {
  serve();
  const auto client = connect("/echo");
  ASSERT_TRUE((*client)->send("bye"));
  const auto end = receive(*client);
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, ErrorCode::unavailable);
  EXPECT_NE(end.error().what.find("1000"), std::string::npos);
  EXPECT_FALSE((*client)->is_open());
  EXPECT_FALSE((*client)->send("late"));
}

TEST_F(WebSocketTest, StopClosesWith1001) {
  serve();
  const auto client = connect("/hold");
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return peer_ != nullptr; }));
  server_->stop();
  const auto end = receive(*client);
  EXPECT_NE(end.error().what.find("1001"), std::string::npos) << end.error().what;
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return ended_ == 1; }));
}

TEST_F(WebSocketTest, TheLastHandlesEndDropsTheConnection) {
  serve();
  auto client = connect("/hold");
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return peer_ != nullptr; }));
  client->reset();
  // The server hears of it when it reads, at the latest.
  EXPECT_FALSE(receive(peer_));
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return ended_ == 1; }));
}

TEST_F(WebSocketTest, TwoReadersAreRefused) {
  serve();
  const auto client = connect("/hold");
  bool first_ended = false;
  asio::co_spawn(
      io_,
      [&]() -> asio::awaitable<void> {
        std::ignore = co_await (*client)->receive();
        first_ended = true;
      },
      asio::detached);
  io_.poll();
  EXPECT_EQ(receive(*client).error().code, ErrorCode::conflict);
  (*client)->drop();
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return first_ended; }));
}

TEST_F(WebSocketTest, AnIdleConnectionIsKeptByPings) {
  limits_.websocket.ping_every = Millis{10};
  limits_.websocket.silence = Millis{60};
  serve();
  const auto client = connect("/hold");
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return peer_ != nullptr; }));
  // Both ends must read for pings to be answered.
  const auto read = [](std::shared_ptr<WebSocket> end) -> asio::awaitable<void> {
    std::ignore = co_await end->receive();
  };
  asio::co_spawn(io_, read(*client), asio::detached);
  asio::co_spawn(io_, read(peer_), asio::detached);
  EXPECT_FALSE(eventually(io_, Millis{300}, [&] { return !peer_->is_open(); }));
  (*client)->drop();
}

TEST_F(WebSocketTest, ASilentPeerIsDropped) {
  limits_.websocket.ping_every = Millis{10};
  limits_.websocket.silence = Millis{60};
  serve();
  const auto silent = raw_upgrade("/hold");
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return ended_ == 1 && silent->ended(); }));
}

TEST_F(WebSocketTest, APeerThatDoesNotReadIsDroppedAtItsBacklog) {
  serve();
  const auto client = connect("/hold");
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return peer_ != nullptr; }));
  Result<void> sent;
  for (int i = 0; sent && i < 1'000; ++i) {
    sent = peer_->send(std::string(64 * 1024, 's'));
    io_.poll();
  }
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, ErrorCode::exhausted);
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return ended_ == 1; }));
}

TEST_F(WebSocketTest, OneMessageMayBeLargerThanTheBacklog) {
  limits_.websocket.backlog_bytes = 10;
  serve();
  const auto client = connect("/echo");
  ASSERT_TRUE((*client)->send(std::string(1'000, 'x')));
  EXPECT_EQ(receive(*client)->size(), 1'000U);
}

TEST_F(WebSocketTest, FlushWaitsForTheQueue) {
  serve();
  const auto client = connect("/hold");
  ASSERT_TRUE((*client)->send(std::string(100'000, 'x')));
  EXPECT_TRUE(test::complete(io_, (*client)->flush(), kLimit));
}

TEST_F(WebSocketTest, BadFramesEndTheSessionAlone) {
  serve();
  const std::string_view good = "good";
  const std::vector<std::string> bad{
      frame(0x82, "binary"),                           // binary
      frame(0x81, "\xff\xfe"),                         // not UTF-8
      frame(0x81, std::string(1024 * 1024 + 1, 'x')),  // over the limit
      frame(0xf1, "reserved bits"),
      std::string("\x81\x04", 2) + std::string(good),  // not masked
      frame(0x80, "continuation of nothing"),
      frame(0x89, std::string(200, 'p')),  // a ping of over 125 bytes
  };
  for (const auto& bytes : bad) {
    const auto client = raw_upgrade("/echo");
    client->send(bytes);
    EXPECT_TRUE(eventually(io_, kLimit, [&] { return client->ended(); })) << bytes.substr(0, 20);
  }
  const auto client = raw_upgrade("/echo");
  client->clear();
  client->send(frame(0x81, good));
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return client->has(good); }));
}

TEST_F(WebSocketTest, HalfAFrameThenNothingIsNotAMessage) {
  limits_.websocket.silence = Millis{60};
  serve();
  const auto client = raw_upgrade("/echo");
  client->send(frame(0x81, "good").substr(0, 7));
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return client->ended(); }));
}

TEST_F(WebSocketTest, APlainRequestIsToldThatAWebSocketIsServed) {
  serve();
  const auto client = RawClient::tcp(io_, port_);
  client->send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return client->ended(); }));
  EXPECT_EQ(client->status(), 400);
}

TEST_F(WebSocketTest, NobodyThereIsUnavailable) {
  serve();
  server_.reset();
  const auto client = connect("/echo");
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, ErrorCode::unavailable);
}

TEST_F(WebSocketTest, APeerThatNeverAnswersIsUnavailableInTime) {
  asio::ip::tcp::acceptor mute(io_, {asio::ip::make_address("127.0.0.1"), 0});
  port_ = mute.local_endpoint().port();
  client_limits_.connect = Millis{50};
  const auto client = connect("/echo");
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, ErrorCode::unavailable);
}

TEST_F(WebSocketTest, UrlsThatCannotBeAreInvalid) {
  for (const std::string_view bad :
       {"", "https://h/", "wss://h/", "ftp://h", "ws://", "ws://h:0/", "ws://h:99999/", "ws://h:x/",
        "ws://user@h/", "ws://h/a b", "ws://h/\r\nX: y"}) {
    const auto client = test::complete(io_, connect_websocket(std::string(bad), {}, client_limits_), kLimit);
    ASSERT_FALSE(client) << bad;
    EXPECT_EQ(client.error().code, ErrorCode::invalid) << bad;
  }
}

}  // namespace
}  // namespace agentmesh::net
