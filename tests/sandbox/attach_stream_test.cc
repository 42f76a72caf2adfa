// AttachStream against an engine played by this test on a socket of its own.

#include "sandbox/attach.h"

#include <filesystem>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

namespace agentmesh::sandbox {
namespace {

namespace asio = boost::asio;
using Unix = asio::local::stream_protocol;

struct AttachStreamTest : testing::Test {
  std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("attach-test-{}", ::getpid())).string();
  asio::io_context context;
  std::string request;

  void TearDown() override { std::filesystem::remove(path); }

  // Answers one connection with `answer`, sends back one line it gets, and hangs up.
  asio::awaitable<void> serve(std::shared_ptr<Unix::acceptor> acceptor, std::string answer) {
    Unix::socket peer = co_await acceptor->async_accept(asio::use_awaitable);
    const std::size_t head =
        co_await asio::async_read_until(peer, asio::dynamic_buffer(request), "\r\n\r\n", asio::use_awaitable);
    co_await asio::async_write(peer, asio::buffer(answer), asio::use_awaitable);
    if (!answer.starts_with("HTTP/1.1 101")) co_return;
    std::string typed = request.substr(head);
    const std::size_t line =
        co_await asio::async_read_until(peer, asio::dynamic_buffer(typed), "\n", asio::use_awaitable);
    co_await asio::async_write(peer, asio::buffer(typed.substr(0, line)), asio::use_awaitable);
  }
  void engine(const std::string& answer) {
    std::filesystem::remove(path);
    auto acceptor = std::make_shared<Unix::acceptor>(context, Unix::endpoint(path));
    asio::co_spawn(context, serve(acceptor, answer), asio::detached);
  }
  template <class T>
  Result<T> wait(Task<T> task) {
    std::optional<Result<T>> result;
    asio::co_spawn(context, std::move(task),
                   [&](std::exception_ptr, Result<T> value) { result = std::move(value); });
    context.restart();
    while (!result && context.run_one() > 0) continue;
    return std::move(*result);
  }
  auto open() { return wait(AttachStream::open(context.get_executor(), {path, "1.41", "agentmesh-a-1"})); }
};

TEST_F(AttachStreamTest, BytesGoBothWaysUntilTheEnd) {
  engine("HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nhello");
  auto stream = open();
  ASSERT_TRUE(stream.has_value()) << describe(stream.error());
  EXPECT_TRUE(request.starts_with("POST /v1.41/containers/agentmesh-a-1/attach?"));
  EXPECT_EQ(wait((*stream)->read(3)), "hel");
  EXPECT_EQ(wait((*stream)->read(100)), "lo");
  ASSERT_TRUE(wait((*stream)->write("typed\n")).has_value());
  EXPECT_EQ(wait((*stream)->read(100)), "typed\n");
  EXPECT_EQ(wait((*stream)->read(100)), "");
}

TEST_F(AttachStreamTest, ARefusalIsAnErrorOfItsKind) {
  const std::pair<std::string, ErrorCode> cases[] = {{"404 Not Found", ErrorCode::not_found},
                                                     {"409 Conflict", ErrorCode::conflict},
                                                     {"500 Oops", ErrorCode::unavailable}};
  for (const auto& [status, code] : cases) {
    engine("HTTP/1.1 " + status + "\r\n\r\n");
    EXPECT_EQ(open().error().code, code) << status;
  }
  engine("not http at all");
  EXPECT_EQ(open().error().code, ErrorCode::invalid);
  engine("HTTP/1.1 1");
  EXPECT_EQ(open().error().code, ErrorCode::unavailable) << "half an answer";
}

TEST_F(AttachStreamTest, WithoutAnEngineItIsUnavailable) {
  EXPECT_EQ(open().error().code, ErrorCode::unavailable);
  const AttachTarget long_path{std::string(200, 'x'), "", "a"};
  EXPECT_EQ(wait(AttachStream::open(context.get_executor(), long_path)).error().code, ErrorCode::invalid);
  EXPECT_EQ(wait(AttachStream::open(context.get_executor(), {path, "", "a/../b"})).error().code,
            ErrorCode::invalid);
}

}  // namespace
}  // namespace agentmesh::sandbox
