#include "net/http_client.h"

#include "tests/net/run_task.h"
#include "tests/net/scripted_server.h"

#include <chrono>
#include <fstream>
#include <sys/fsuid.h>
#include <sys/stat.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gtest/gtest.h>

namespace agentmesh::net {
namespace {

using test::answer;
using test::hang;
using test::raw;
using test::Recorded;
using test::Reply;
using test::run_task;
using test::ScriptedServer;

class HttpClientTest : public ::testing::Test {
 protected:
  HttpRequest get(const ScriptedServer& server) {
    HttpRequest request;
    request.url = "http://peer/path";
    request.unix_socket = server.path();
    request.total_timeout = Millis{5000};
    return request;
  }
  Result<HttpResponse> send(HttpRequest request) {
    return run_task<HttpResponse>(io_, client_.send(std::move(request)));
  }
  Result<HttpResponse> reply_of(Reply reply) {
    ScriptedServer server(io_, [&](const Recorded&) { return reply; });
    return send(get(server));
  }

  boost::asio::io_context io_;
  HttpClient client_{io_.get_executor()};
};

TEST_F(HttpClientTest, GetsStatusHeadersAndBody) {
  const auto response = reply_of(answer(201, "hello", "X-One: a\r\nx-ONE: b\r\nEmpty:\r\n"));
  ASSERT_TRUE(response) << describe(response.error());
  EXPECT_EQ(response->status, 201);
  EXPECT_EQ(response->body, "hello");
  EXPECT_EQ(response->header("x-one"), "a");
  ASSERT_EQ(response->headers.size(), 4U);
  EXPECT_EQ(response->headers[2].value, "b");
}

TEST_F(HttpClientTest, NoProxyStandsBeforeLoopback) {
  ::setenv("http_proxy", "http://proxy.invalid:1", 1);
  HttpRequest request;
  request.url = "http://127.0.0.1:2/";
  const auto loopback = send(request);
  request.url = "http://127.0.0.1.example:2/";
  const auto far = send(request);
  ::unsetenv("http_proxy");
  ASSERT_FALSE(loopback);
  EXPECT_NE(loopback.error().what.find("refused"), std::string::npos) << loopback.error().what;
  ASSERT_FALSE(far);
  EXPECT_NE(far.error().what.find("proxy"), std::string::npos) << far.error().what;
}

TEST_F(HttpClientTest, UsesOneConnectionForManyRequests) {
  ScriptedServer server(io_, [](const Recorded&) { return answer(200, "ok"); });
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(send(get(server)));
  EXPECT_EQ(server.connections(), 1);
  EXPECT_EQ(server.requests().size(), 20U);
}

TEST_F(HttpClientTest, AClosedIdleConnectionIsReplaced) {
  ScriptedServer server(io_, [](const Recorded&) {
    auto reply = answer(200, "ok");
    reply.close_after = true;
    return reply;
  });
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(send(get(server)));
  EXPECT_EQ(server.connections(), 5);
}

TEST_F(HttpClientTest, SendsMethodHeadersAndBodyExactly) {
  ScriptedServer server(io_, [](const Recorded&) { return answer(200, ""); });
  auto request = get(server);
  request.method = "PATCH";
  request.url = "http://peer/a/../b%2F?x=1";
  request.headers = {{"X-Test", "1"}, {"X-Empty", ""}};
  request.body = std::string("a\0b", 3);
  ASSERT_TRUE(send(std::move(request)));
  const auto& seen = server.requests().at(0);
  EXPECT_EQ(seen.line(), "PATCH /a/../b%2F?x=1 HTTP/1.1");
  EXPECT_EQ(seen.body, std::string("a\0b", 3));
  EXPECT_NE(seen.head.find("X-Test: 1\r\n"), std::string::npos);
  EXPECT_NE(seen.head.find("X-Empty:\r\n"), std::string::npos);
  EXPECT_EQ(seen.head.find("Expect"), std::string::npos);
  EXPECT_EQ(seen.head.find("Content-Type"), std::string::npos);
}

TEST_F(HttpClientTest, AnEmptyPostHasALength) {
  ScriptedServer server(io_, [](const Recorded&) { return answer(204, ""); });
  auto request = get(server);
  request.method = "POST";
  ASSERT_TRUE(send(std::move(request)));
  EXPECT_NE(server.requests().at(0).head.find("Content-Length: 0\r\n"), std::string::npos);
}

TEST_F(HttpClientTest, HeadHasNoBody) {
  ScriptedServer server(
      io_, [](const Recorded&) { return Reply{{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"}}; });
  auto request = get(server);
  request.method = "HEAD";
  const auto response = send(std::move(request));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->header("content-length"), "9");
}

TEST_F(HttpClientTest, NeverFollowsARedirect) {
  const auto response = reply_of(answer(302, "", "Location: http://127.0.0.1:1/\r\n"));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 302);
}

TEST_F(HttpClientTest, SkipsInterimAnswers) {
  int heads = 0;
  ScriptedServer server(io_, [](const Recorded&) {
    return Reply{
        {"HTTP/1.1 100 Continue\r\nA: 1\r\n\r\n", "HTTP/1.1 200 OK\r\nB: 2\r\nContent-Length: 0\r\n\r\n"}};
  });
  auto request = get(server);
  request.on_head = [&](int status) {
    EXPECT_EQ(status, 200);
    ++heads;
  };
  const auto response = send(std::move(request));
  ASSERT_TRUE(response);
  EXPECT_EQ(heads, 1);
  EXPECT_EQ(response->header("a"), "");
  EXPECT_EQ(response->header("b"), "2");
}

TEST_F(HttpClientTest, UploadsWithAndWithoutAKnownSize) {
  ScriptedServer server(io_, [](const Recorded&) { return answer(200, ""); });
  for (const bool sized : {true, false}) {
    auto request = get(server);
    request.method = "POST";
    int calls = 0;
    HttpUpload upload;
    upload.pull = [calls](std::span<char> into) mutable -> Result<std::size_t> {
      if (calls++ == 2) return 0U;
      into[0] = 'x';
      into[1] = 'y';
      return 2U;
    };
    if (sized) upload.bytes = 4;
    request.upload = upload;
    const auto response = send(std::move(request));
    ASSERT_TRUE(response) << describe(response.error());
  }
  EXPECT_EQ(server.requests().at(0).body, "xyxy");
  EXPECT_EQ(server.requests().at(1).body, "2\r\nxy\r\n2\r\nxy\r\n0\r\n\r\n");
}

TEST_F(HttpClientTest, AFailingUploadGivesItsOwnError) {
  ScriptedServer server(io_, [](const Recorded&) { return answer(200, ""); });
  auto request = get(server);
  request.method = "POST";
  request.upload = HttpUpload{
      [](std::span<char>) -> Result<std::size_t> { return fail(ErrorCode::conflict, "disk", "it changed"); },
      10};
  const auto response = send(std::move(request));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::conflict);
  EXPECT_EQ(response.error().stage, "disk");
}

TEST_F(HttpClientTest, UploadsAFile) {
  const std::string path = ::testing::TempDir() + "http_upload_test";
  std::ofstream(path) << std::string(300'000, 'z');
  ScriptedServer server(io_, [](const Recorded&) { return answer(200, ""); });
  auto request = get(server);
  request.method = "PUT";
  auto upload = upload_file(path);
  ASSERT_TRUE(upload);
  request.upload = *upload;
  ASSERT_TRUE(send(std::move(request)));
  EXPECT_EQ(server.requests().at(0).body, std::string(300'000, 'z'));
  EXPECT_EQ(server.requests().at(0).line(), "PUT /path HTTP/1.1");
  EXPECT_EQ(upload_file("/nonexistent").error().code, ErrorCode::not_found);
  EXPECT_EQ(upload_file("/tmp").error().code, ErrorCode::invalid);
}

TEST_F(HttpClientTest, StreamsAndStopsEarly) {
  ScriptedServer server(io_, [](const Recorded&) {
    return Reply{{"HTTP/1.1 200 OK\r\n\r\n", "one\n", "two\n", "three\n"}, false, true};
  });
  auto request = get(server);
  request.max_response_bytes = 1;
  std::string seen;
  request.on_data = [&](std::string_view data) {
    seen += data;
    return seen.find("three") == std::string::npos ? Flow::more : Flow::stop;
  };
  const auto response = send(std::move(request));
  ASSERT_TRUE(response) << describe(response.error());
  EXPECT_TRUE(response->stopped);
  EXPECT_EQ(seen, "one\ntwo\nthree\n");
  EXPECT_TRUE(response->body.empty());
}

TEST_F(HttpClientTest, AStreamIsReadNoFasterThanAsked) {
  const std::string body(400'000, 'x');
  HttpRequest request;
  std::size_t got = 0;
  ScriptedServer server(io_, [&](const Recorded&) { return answer(200, body); });
  request = get(server);
  request.total_timeout = Millis{20'000};
  request.receive_per_second = 200'000;
  request.on_data = [&](std::string_view data) {
    got += data.size();
    return Flow::more;
  };
  const auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(send(std::move(request)));
  EXPECT_EQ(got, body.size());
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(1'000));
}

TEST_F(HttpClientTest, AStreamsErrorAnswerIsCollectedAndBounded) {
  ScriptedServer server(
      io_, [](const Recorded&) { return answer(500, std::string(kMaxErrorBodyBytes * 3, 'e')); });
  auto request = get(server);
  request.on_data = [](std::string_view) -> Flow {
    ADD_FAILURE();
    return Flow::stop;
  };
  const auto response = send(std::move(request));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 500);
  EXPECT_EQ(response->body.size(), kMaxErrorBodyBytes);
}

TEST_F(HttpClientTest, AHandlerThatThrowsIsAnError) {
  ScriptedServer server(io_, [](const Recorded&) { return answer(200, "x"); });
  auto request = get(server);
  request.on_data = [](std::string_view) -> Flow { throw std::runtime_error("no"); };
  EXPECT_EQ(send(std::move(request)).error().code, ErrorCode::internal);
}

TEST_F(HttpClientTest, RefusesALargeBodyOrHeader) {
  ScriptedServer server(io_, [](const Recorded& request) {
    return request.line().find("/head") == std::string::npos
               ? answer(200, std::string(1001, 'x'))
               : answer(200, "", "X: " + std::string(kMaxResponseHeaderBytes, 'h') + "\r\n");
  });
  auto request = get(server);
  request.max_response_bytes = 1000;
  EXPECT_EQ(send(request).error().code, ErrorCode::exhausted);
  request.max_response_bytes = 1001;
  EXPECT_TRUE(send(request));
  request.url = "http://peer/head";
  EXPECT_EQ(send(request).error().code, ErrorCode::exhausted);
}

TEST_F(HttpClientTest, RefusesTooManyHeaders) {
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "A: b\r\n";
  EXPECT_EQ(reply_of(answer(200, "", many)).error().code, ErrorCode::exhausted);
}

TEST_F(HttpClientTest, NobodyThereIsUnavailable) {
  HttpRequest request;
  request.url = "http://peer/";
  request.unix_socket = "/tmp/no-such-socket";
  auto response = send(request);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::unavailable);
  EXPECT_EQ(response.error().what, "cannot connect to /tmp/no-such-socket: No such file or directory");
  request.unix_socket.clear();
  request.url = "http://127.0.0.1:1/";
  response = send(request);
  EXPECT_EQ(response.error().code, ErrorCode::unavailable);
  EXPECT_EQ(response.error().what, "cannot connect to 127.0.0.1:1: Connection refused");
}

TEST_F(HttpClientTest, NoRightToTheSocketIsDenied) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  ScriptedServer server(io_, [](const Recorded&) { return answer(200, ""); });
  ::chmod(server.path().c_str(), 0600);
  ::setfsuid(65534);
  const auto response = send(get(server));
  ::setfsuid(0);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::denied) << describe(response.error());
}

TEST_F(HttpClientTest, ABrokenAnswerIsUnknownUnlessItOnlyRead) {
  for (const std::string_view half :
       {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "HTTP/1.1 200 OK\r\nConte", "",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"}) {
    ScriptedServer server(io_, [&](const Recorded&) { return raw(std::string(half)); });
    auto request = get(server);
    EXPECT_EQ(send(request).error().code, ErrorCode::unavailable) << half;
    request.method = "POST";
    EXPECT_EQ(send(request).error().code, ErrorCode::timeout) << half;
  }
}

TEST_F(HttpClientTest, WhatIsNotHttpIsInternal) {
  EXPECT_EQ(reply_of(raw("SSH-2.0-x\r\n\r\n")).error().code, ErrorCode::internal);
  EXPECT_EQ(reply_of(raw("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n")).error().code, ErrorCode::internal);
}

TEST_F(HttpClientTest, TheTotalTimeoutHolds) {
  ScriptedServer server(io_, [](const Recorded&) { return hang(); });
  auto request = get(server);
  request.total_timeout = Millis{60};
  const auto begin = std::chrono::steady_clock::now();
  const auto response = send(request);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::timeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST_F(HttpClientTest, TheStallLimitHoldsInTheMiddleOfABody) {
  ScriptedServer server(io_, [](const Recorded&) {
    return Reply{{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"}, false, true};
  });
  auto request = get(server);
  request.total_timeout = Millis{0};
  request.stall_limit = Millis{60};
  const auto response = send(request);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::timeout);
  EXPECT_NE(response.error().what.find("has said nothing"), std::string::npos);
}

TEST_F(HttpClientTest, RefusesMalformedRequests) {
  const auto code = [this](auto change) {
    HttpRequest request;
    request.url = "http://peer/";
    request.unix_socket = "/tmp/no-such-socket";
    change(request);
    const auto response = send(std::move(request));
    return response ? ErrorCode::internal : response.error().code;
  };
  EXPECT_EQ(code([](auto& r) { r.url = "ftp://x/"; }), ErrorCode::invalid);
  EXPECT_EQ(code([](auto& r) { r.url = "http://x/ HTTP/1.1\r\nA: b"; }), ErrorCode::invalid);
  EXPECT_EQ(code([](auto& r) { r.url = "http://x/" + std::string(kMaxUrlBytes, 'a'); }), ErrorCode::invalid);
  EXPECT_EQ(code([](auto& r) { r.method = "GET /"; }), ErrorCode::invalid);
  EXPECT_EQ(code([](auto& r) { r.method = ""; }), ErrorCode::invalid);
  EXPECT_EQ(code([](auto& r) { r.headers = {{"A", "b\r\nC: d"}}; }), ErrorCode::invalid);
  EXPECT_EQ(code([](auto& r) { r.headers = {{"A b", "c"}}; }), ErrorCode::invalid);
  EXPECT_EQ(code([](auto& r) { r.unix_socket = "/" + std::string(200, 'a'); }), ErrorCode::invalid);
}

TEST_F(HttpClientTest, IgnoresTheProxyEnvironmentForUnixSockets) {
  ::setenv("http_proxy", "http://proxy.invalid:1", 1);
  const auto response = reply_of(answer(200, "direct"));
  ::unsetenv("http_proxy");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "direct");
}

TEST_F(HttpClientTest, ACancelledRequestEndsAndTheClientLivesOn) {
  ScriptedServer server(io_, [](const Recorded& r) {
    return r.line().find("/hang") != std::string::npos ? hang() : answer(200, "ok");
  });
  auto request = get(server);
  request.url = "http://peer/hang";
  request.total_timeout = Millis{0};
  request.on_data = [](std::string_view) { return Flow::more; };
  boost::asio::cancellation_signal signal;
  bool ended = false;
  boost::asio::co_spawn(io_, client_.send(request),
                        boost::asio::bind_cancellation_slot(
                            signal.slot(), [&](std::exception_ptr, Result<HttpResponse>) { ended = true; }));
  while (server.requests().empty()) io_.run_one();
  signal.emit(boost::asio::cancellation_type::terminal);
  while (!ended) io_.run_one();
  EXPECT_EQ(send(get(server))->body, "ok");
}

TEST_F(HttpClientTest, ADestroyedClientEndsItsRequests) {
  auto client = std::make_unique<HttpClient>(io_.get_executor());
  ScriptedServer server(io_, [](const Recorded&) { return hang(); });
  auto request = get(server);
  std::optional<Result<HttpResponse>> out;
  boost::asio::co_spawn(io_, client->send(request),
                        [&](std::exception_ptr, Result<HttpResponse> r) { out = std::move(r); });
  while (server.requests().empty()) io_.run_one();
  client.reset();
  while (!out) io_.run_one();
  ASSERT_FALSE(*out);
  EXPECT_EQ(out->error().code, ErrorCode::unavailable);
}

TEST(HttpClientLife, TheLoopMayGoFirst) {
  auto io = std::make_unique<boost::asio::io_context>();
  auto client = std::make_unique<HttpClient>(io->get_executor());
  {
    ScriptedServer server(*io, [](const Recorded&) { return hang(); });
    HttpRequest request;
    request.url = "http://peer/";
    request.unix_socket = server.path();
    boost::asio::co_spawn(*io, client->send(request), boost::asio::detached);
    while (server.requests().empty()) io->run_one();
    client.reset();
  }
  io.reset();
}

TEST(HttpClientLife, FramesMayBeDestroyedUnderWay) {
  boost::asio::io_context outer;
  std::optional<HttpClient> client;
  auto io = std::make_unique<boost::asio::io_context>();
  client.emplace(io->get_executor());
  auto server = std::make_unique<ScriptedServer>(*io, [](const Recorded&) { return hang(); });
  HttpRequest request;
  request.url = "http://peer/";
  request.unix_socket = server->path();
  boost::asio::co_spawn(*io, client->send(request), boost::asio::detached);
  while (server->requests().empty()) io->run_one();
  client.reset();
  server.reset();
  io.reset();  // the frame of send() is destroyed here
}

TEST_F(HttpClientTest, ARequestMayBeSentFromAHandler) {
  ScriptedServer server(io_, [](const Recorded&) { return answer(200, "ok"); });
  int inner = 0;
  auto request = get(server);
  request.on_data = [&](std::string_view) {
    boost::asio::co_spawn(io_, client_.send(get(server)),
                          [&](std::exception_ptr, Result<HttpResponse> r) { inner = r ? r->status : -1; });
    return Flow::more;
  };
  ASSERT_TRUE(send(request));
  io_.restart();
  while (inner == 0) io_.run_one();
  EXPECT_EQ(inner, 200);
}

TEST_F(HttpClientTest, FiftyAtOnce) {
  ScriptedServer server(io_, [](const Recorded& r) { return answer(200, r.line()); });
  int good = 0;
  for (int i = 0; i < 50; ++i) {
    auto request = get(server);
    request.url = "http://peer/" + std::to_string(i);
    boost::asio::co_spawn(io_, client_.send(request), [&good, i](std::exception_ptr, Result<HttpResponse> r) {
      good += r && r->body == "GET /" + std::to_string(i) + " HTTP/1.1" ? 1 : 0;
    });
  }
  while (good < 50 && io_.run_one_for(std::chrono::seconds(5)) > 0) {
  }
  EXPECT_EQ(good, 50);
}

}  // namespace
}  // namespace agentmesh::net
