#include "net/server.h"
#include "tests/fakes/eventually.h"
#include "tests/fakes/raw_client.h"

#include <filesystem>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::net {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using test::eventually;
using test::RawClient;

constexpr Millis kLimit{5'000};

std::string get(std::string_view target, std::string_view more = "") {
  return fmt::format("GET {} HTTP/1.1\r\nHost: x\r\n{}\r\n", target, more);
}

std::string post(std::string_view target, std::string_view body) {
  return fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}", target, body.size(),
                     body);
}

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    std::string pattern = (fs::temp_directory_path() / "agentmesh-net-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    limits_.stop_grace = Millis{300};
  }
  ~ServerTest() override {
    if (server_) {
      server_->stop();
      test::complete(io_, server_->stopped(), kLimit);
    }
    server_.reset();
    fs::remove_all(folder_);
  }

  Routes routes() {
    Routes routes;
    routes.add("GET", "/hello/{name}", [](ServerRequest request) -> Task<Reply> {
      co_return Reply{.body = fmt::format("{}|{}|{}", request.param("name"),
                                          request.query_value("q").value_or("-"), request.header("x-test")),
                      .content_type = "text/plain"};
    });
    routes.add("POST", "/echo", [](ServerRequest request) -> Task<Reply> {
      co_return Reply{.status = 201, .body = std::move(request.body)};
    });
    routes.add("GET", "/fail/{code}", [](ServerRequest request) -> Task<Reply> {
      co_return fail(error_code_from(request.param("code")), "test", "no", "cure");
    });
    routes.add("GET", "/throw", [](ServerRequest) -> Task<Reply> {
      throw std::runtime_error("boom");
      co_return Reply{};
    });
    routes.add("GET", "/wait", [this](ServerRequest) -> Task<Reply> {
      ++waiting_;
      asio::steady_timer timer(io_, std::chrono::hours(1));
      gate_ = &timer;
      co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
      gate_ = nullptr;
      co_return Reply{.body = "waited"};
    });
    routes.add("GET", "/peer", [](ServerRequest request) -> Task<Reply> {
      co_return Reply{
          .body = fmt::format("{} {}", request.peer.address, request.peer.uid.value_or(0) == geteuid())};
    });
    routes.add_stream("GET", "/follow",
                      [this](ServerRequest request, std::shared_ptr<ReplyStream> out) -> Task<> {
                        if (request.query_value("refuse"))
                          co_return fail(ErrorCode::not_found, "test", "no such agent");
                        stream_ = out;
                        const auto first = out->send("one\n");
                        if (!first) co_return pass(first.error());
                        co_await out->ended();
                        ++left_;
                        co_return Result<void>{};
                      });
    routes.add_stream("GET", "/twice", [](ServerRequest, std::shared_ptr<ReplyStream> out) -> Task<> {
      out->begin({.content_type = "text/plain"});
      if (auto sent = out->send("ab"); !sent) co_return sent;
      if (auto flushed = co_await out->flush(); !flushed) co_return flushed;
      co_return out->send("c");
    });
    return routes;
  }

  std::uint16_t serve() {
    server_.emplace(io_, routes(), limits_);
    const auto port = server_->listen_tcp("127.0.0.1", 0);
    EXPECT_TRUE(port);
    port_ = port.value_or(0);
    return port_;
  }

  std::shared_ptr<RawClient> ask(std::string bytes) {
    auto client = RawClient::tcp(io_, port_);
    client->send(std::move(bytes));
    return client;
  }
  // The status of the answer to these bytes.
  int status_of_bytes(std::string bytes) {
    const auto client = ask(std::move(bytes));
    EXPECT_TRUE(eventually(io_, kLimit, [&] { return client->ended() || client->has("\r\n\r\n"); }));
    return client->status();
  }
  bool answered(const std::shared_ptr<RawClient>& client, std::string_view text) {
    return eventually(io_, kLimit, [&] { return client->has(text); });
  }

  asio::io_context io_;
  fs::path folder_;
  ServerLimits limits_;
  std::optional<HttpServer> server_;
  std::uint16_t port_ = 0;
  int waiting_ = 0;
  int left_ = 0;
  asio::steady_timer* gate_ = nullptr;
  std::shared_ptr<ReplyStream> stream_;
};

TEST_F(ServerTest, ARouteGetsItsParametersAndAnswers) {
  serve();
  const auto client = ask(get("/hello/w%C3%B6rld?q=a+b", "X-Test: 1\r\nx-test: 2\r\n"));
  ASSERT_TRUE(answered(client, "wörld|a b|1, 2"));
  EXPECT_EQ(client->status(), 200);
  EXPECT_TRUE(client->has("Content-Type: text/plain"));
}

TEST_F(ServerTest, AConnectionServesManyRequestsEvenPipelined) {
  serve();
  const auto client = ask(post("/echo", "first") + post("/echo", "second") + get("/hello/third"));
  ASSERT_TRUE(answered(client, "third"));
  EXPECT_TRUE(client->has("first") && client->has("second"));
  client->clear();
  client->send(get("/hello/fourth"));
  EXPECT_TRUE(answered(client, "fourth"));
}

TEST_F(ServerTest, AnHttp10ClientAndConnectionCloseAreClosed) {
  serve();
  const auto old = ask("GET /hello/a HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return old->ended(); }));
  EXPECT_TRUE(old->has("a|-|"));
  const auto closing = ask(get("/hello/b", "Connection: close\r\n"));
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return closing->ended(); }));
  EXPECT_TRUE(closing->has("b|-|"));
}

TEST_F(ServerTest, HeadHasNoBody) {
  serve();
  const auto client = ask("HEAD /hello/abc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return client->ended(); }));
  EXPECT_TRUE(client->has("Content-Length: 6"));
  EXPECT_TRUE(client->received().ends_with("\r\n\r\n"));
}

TEST_F(ServerTest, ErrorsHaveTheirStatusAndForm) {
  serve();
  EXPECT_EQ(status_of_bytes(get("/fail/not_found")), 404);
  EXPECT_EQ(status_of_bytes(get("/fail/conflict")), 409);
  EXPECT_EQ(status_of_bytes(get("/fail/invalid")), 400);
  EXPECT_EQ(status_of_bytes(get("/fail/denied")), 403);
  EXPECT_EQ(status_of_bytes(get("/fail/exhausted")), 429);
  EXPECT_EQ(status_of_bytes(get("/fail/unavailable")), 503);
  EXPECT_EQ(status_of_bytes(get("/fail/timeout")), 504);
  EXPECT_EQ(status_of_bytes(get("/fail/internal")), 500);
  const auto client = ask(get("/fail/conflict"));
  EXPECT_TRUE(
      answered(client, R"({"error":{"code":"conflict","hint":"cure","message":"no","stage":"test"}})"));
}

TEST_F(ServerTest, AnExceptionIsOneBadRequestsAffair) {
  serve();
  const auto client = ask(get("/throw"));
  ASSERT_TRUE(answered(client, "\"internal\""));
  EXPECT_EQ(client->status(), 500);
  EXPECT_FALSE(client->has("boom"));
  client->clear();
  client->send(get("/hello/still"));
  EXPECT_TRUE(answered(client, "still"));
}

TEST_F(ServerTest, NoRouteIs404AndAnotherMethodIs405) {
  serve();
  EXPECT_EQ(status_of_bytes(get("/nowhere")), 404);
  const auto client = ask(post("/hello/a", "{}"));
  ASSERT_TRUE(answered(client, "Allow: GET"));
  EXPECT_EQ(client->status(), 405);
}

TEST_F(ServerTest, WhatIsNotHttpIs400) {
  serve();
  EXPECT_EQ(status_of_bytes("\x16\x03\x01\x02 hello there\r\n\r\n"), 400);
  EXPECT_EQ(status_of_bytes("GET /a b HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(status_of_bytes(get("/%zz")), 400);
  EXPECT_EQ(status_of_bytes("POST /echo HTTP/1.1\r\nContent-Length: -4\r\n\r\nabcd"), 400);
  EXPECT_EQ(status_of_bytes("POST /echo HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
            400);
  EXPECT_EQ(status_of_bytes(
                "POST /echo HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            400);
  EXPECT_EQ(status_of_bytes("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"), 400);
}

TEST_F(ServerTest, LimitsHaveTheirStatus) {
  serve();
  EXPECT_EQ(status_of_bytes(get("/" + std::string(5'000, 'a'))), 414);
  EXPECT_EQ(status_of_bytes(get("/hello/a", "X-Big: " + std::string(9'000, 'a') + "\r\n")), 431);
  EXPECT_EQ(status_of_bytes(get("/" + std::string(20'000, 'a'))), 431);
  EXPECT_EQ(status_of_bytes(post("/echo", std::string(1024 * 1024 + 1, 'x'))), 413);
  EXPECT_EQ(status_of_bytes(post("/echo", std::string(1024 * 1024, 'x'))), 201);
  std::string chunked = "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 17; ++i) chunked += "10000\r\n" + std::string(0x10000, 'y') + "\r\n";
  EXPECT_EQ(status_of_bytes(chunked), 413);
}

TEST_F(ServerTest, ManyHeaderLinesAreWithinTheSameLimit) {
  serve();
  std::string lines;
  for (int i = 0; i < 3'000; ++i) lines += "a:\r\n";
  EXPECT_EQ(status_of_bytes(get("/hello/a", lines)), 431);
}

TEST_F(ServerTest, ExpectContinueIsAnswered) {
  serve();
  const auto client = ask("POST /echo HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(answered(client, "100 Continue"));
  client->send("abcd");
  EXPECT_TRUE(answered(client, "201 Created"));
}

TEST_F(ServerTest, HalfARequestIs408InTime) {
  limits_.request = Millis{50};
  serve();
  EXPECT_EQ(status_of_bytes("POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"), 408);
  EXPECT_EQ(status_of_bytes("GET /hel"), 408);
  EXPECT_EQ(status_of_bytes(get("/hello/fine")), 200);
}

TEST_F(ServerTest, AnIdleConnectionIsClosed) {
  limits_.idle = Millis{50};
  serve();
  const auto silent = RawClient::tcp(io_, port_);
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return silent->ended(); }));
  EXPECT_TRUE(silent->received().empty());
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return server_->connections() == 0; }));
}

TEST_F(ServerTest, OnePeerHasItsShareOfConnections) {
  limits_.per_peer = 2;
  serve();
  const auto first = ask(get("/hello/a"));
  const auto second = ask(get("/hello/a"));
  ASSERT_TRUE(answered(first, "a|") && answered(second, "a|"));
  const auto third = RawClient::tcp(io_, port_);
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return third->ended(); }));
  EXPECT_EQ(third->status(), 429);
  first->close();
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return server_->connections() == 1; }));
  EXPECT_EQ(status_of_bytes(get("/hello/a")), 200);
}

TEST_F(ServerTest, AllConnectionsTogetherHaveALimit) {
  limits_.total = 1;
  serve();
  const auto first = ask(get("/hello/a"));
  ASSERT_TRUE(answered(first, "a|"));
  const auto second = RawClient::tcp(io_, port_);
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return second->ended(); }));
  EXPECT_EQ(second->status(), 503);
}

TEST_F(ServerTest, AThousandSlowClientsHoldNobody) {
  limits_.per_peer = 2'000;
  serve();
  std::vector<std::shared_ptr<RawClient>> slow;
  for (int i = 0; i < 1'000; ++i) {
    slow.push_back(ask("POST /echo HTTP/1.1\r\nContent-Length: 100\r\n\r\nx"));
    if (i % 100 == 99)
      eventually(io_, kLimit, [&] { return server_->connections() > static_cast<std::size_t>(i); });
  }
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(status_of_bytes(get("/hello/a")), 200);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(50 * 250));
}

TEST_F(ServerTest, AStreamGoesOnUntilTheClientLeaves) {
  serve();
  const auto client = ask(get("/follow"));
  ASSERT_TRUE(answered(client, "4\r\none\n\r\n"));
  EXPECT_TRUE(client->has("Transfer-Encoding: chunked"));
  ASSERT_TRUE(stream_->send("two\n"));
  ASSERT_TRUE(answered(client, "two\n"));
  client->close();
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return left_ == 1; }));
  EXPECT_FALSE(stream_->send("three"));
  stream_.reset();
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return server_->connections() == 0; }));
}

TEST_F(ServerTest, AStreamThatEndsIsWhole) {
  serve();
  const auto client = ask(get("/twice"));
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return client->ended(); }));
  EXPECT_TRUE(client->received().ends_with("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"));
  const auto old = ask("GET /twice HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return old->ended(); }));
  EXPECT_TRUE(old->received().ends_with("\r\n\r\nabc"));
}

TEST_F(ServerTest, AStreamRefusedBeforeItsFirstByteHasAStatus) {
  serve();
  EXPECT_EQ(status_of_bytes(get("/follow?refuse=1")), 404);
}

TEST_F(ServerTest, AStreamThatIsNotReadIsDroppedAtItsBacklog) {
  serve();
  auto client = RawClient::tcp(io_, port_);
  client->stop_reading();
  client->send(get("/follow"));
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return stream_ != nullptr; }));
  Result<void> sent;
  std::size_t bytes = 0;
  // The system's own buffers take some megabytes first.
  while (sent && bytes < 64 * 1024 * 1024) {
    sent = stream_->send(std::string(64 * 1024, 's'));
    bytes += 64 * 1024;
    io_.poll();
  }
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, ErrorCode::exhausted);
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return left_ == 1; }));
}

TEST_F(ServerTest, StopLetsTheRequestUnderWayFinish) {
  serve();
  const auto busy = ask(get("/wait"));
  const auto idle = ask(get("/hello/a"));
  const auto following = ask(get("/follow"));
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return waiting_ == 1; }));
  ASSERT_TRUE(answered(idle, "a|") && answered(following, "one"));
  server_->stop();
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return idle->ended() && following->ended(); }));
  EXPECT_TRUE(following->received().ends_with("0\r\n\r\n"));
  ASSERT_NE(gate_, nullptr);
  gate_->cancel();
  EXPECT_TRUE(answered(busy, "waited"));
  EXPECT_TRUE(busy->has("Connection: close"));
  test::complete(io_, server_->stopped(), kLimit);
  EXPECT_THROW(RawClient::tcp(io_, port_), boost::system::system_error);
}

TEST_F(ServerTest, StopDropsWhatDoesNotFinish) {
  serve();
  const auto busy = ask(get("/wait"));
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return waiting_ == 1; }));
  server_->stop();
  test::complete(io_, server_->stopped(), kLimit);
  EXPECT_EQ(gate_, nullptr);
}

TEST_F(ServerTest, TheServersEndCancelsItsHandlers) {
  serve();
  const auto busy = ask(get("/wait"));
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return waiting_ == 1; }));
  server_.reset();
  EXPECT_TRUE(eventually(io_, kLimit, [&] { return gate_ == nullptr && busy->ended(); }));
}

TEST_F(ServerTest, ATakenPortIsAConflict) {
  serve();
  HttpServer other(io_, Routes(), limits_);
  EXPECT_EQ(other.listen_tcp("127.0.0.1", port_).error().code, ErrorCode::conflict);
  EXPECT_EQ(other.listen_tcp("localhost", 0).error().code, ErrorCode::invalid);
}

TEST_F(ServerTest, TheUnixSocketIsItsOwnersOnly) {
  server_.emplace(io_, routes(), limits_);
  const std::string path = folder_ / "d.sock";
  ASSERT_TRUE(server_->listen_unix(path));
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  const auto client = RawClient::local(io_, path);
  client->send(get("/peer"));
  EXPECT_TRUE(answered(client, "unix true"));
}

TEST_F(ServerTest, AnotherUidIsRefusedBeforeItIsRead) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  server_.emplace(io_, routes(), limits_);
  const std::string path = folder_ / "d.sock";
  ASSERT_TRUE(server_->listen_unix(path));
  fs::permissions(folder_, fs::perms::all, fs::perm_options::add);
  ASSERT_EQ(::chmod(path.c_str(), 0666), 0);
  const int helper = ::fork();
  if (helper == 0) {
    asio::io_context own;
    if (::setuid(65534) != 0) ::_exit(3);
    const auto client = RawClient::local(own, path);
    eventually(own, kLimit, [&] { return client->ended(); });
    ::_exit(client->status() == 403 ? 0 : 1);
  }
  int ended = -1;
  ASSERT_TRUE(eventually(io_, kLimit, [&] { return ::waitpid(helper, &ended, WNOHANG) == helper; }));
  EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(ServerTest, ALivingSocketIsAConflictAndAStaleOneIsReplaced) {
  const std::string path = folder_ / "d.sock";
  {
    HttpServer first(io_, routes(), limits_);
    ASSERT_TRUE(first.listen_unix(path));
    HttpServer second(io_, routes(), limits_);
    EXPECT_EQ(second.listen_unix(path).error().code, ErrorCode::conflict);
    EXPECT_TRUE(fs::exists(path));
  }
  EXPECT_FALSE(fs::exists(path));
  {
    asio::local::stream_protocol::acceptor dead(io_, asio::local::stream_protocol::endpoint(path));
  }
  ASSERT_TRUE(fs::exists(path));
  HttpServer third(io_, routes(), limits_);
  EXPECT_TRUE(third.listen_unix(path));
}

TEST_F(ServerTest, AListenerThatIsNotOursIsAConflictToo) {
  const std::string path = folder_ / "d.sock";
  asio::local::stream_protocol::acceptor other(io_, asio::local::stream_protocol::endpoint(path));
  HttpServer server(io_, routes(), limits_);
  EXPECT_EQ(server.listen_unix(path).error().code, ErrorCode::conflict);
}

TEST_F(ServerTest, SocketPathsThatCannotBeAreRefused) {
  HttpServer server(io_, routes(), limits_);
  EXPECT_EQ(server.listen_unix(std::string(108, 'a')).error().code, ErrorCode::invalid);
  EXPECT_EQ(server.listen_unix(folder_ / "no" / "d.sock").error().code, ErrorCode::not_found);
  fs::create_directory(folder_ / "d.sock");
  EXPECT_EQ(server.listen_unix(folder_ / "d.sock").error().code, ErrorCode::conflict);
}

}  // namespace
}  // namespace agentmesh::net
