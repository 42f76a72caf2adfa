#include "agents/opencode_api.h"

#include "base/offload.h"
#include "base/unique_fd.h"
#include "net/http_client.h"

#include <filesystem>
#include <fstream>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

namespace agentmesh::agents {
namespace {

using boost::asio::awaitable;
using boost::asio::use_awaitable;
using boost::asio::local::stream_protocol;

// Answers every request with its name, and keeps its connections open.
awaitable<void> converse(stream_protocol::socket socket, std::string name) {
  try {
    boost::asio::streambuf buffer;
    while (true) {
      const auto bytes = co_await boost::asio::async_read_until(socket, buffer, "\r\n\r\n", use_awaitable);
      buffer.consume(bytes);
      const std::string answer =
          "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(name.size()) + "\r\n\r\n" + name;
      co_await boost::asio::async_write(socket, boost::asio::buffer(answer), use_awaitable);
    }
  } catch (const boost::system::system_error&) {
  }
}

awaitable<void> serve(stream_protocol::acceptor& acceptor, std::string name) {
  try {
    while (true) {
      auto socket = co_await acceptor.async_accept(use_awaitable);
      boost::asio::co_spawn(acceptor.get_executor(), converse(std::move(socket), name),
                            boost::asio::detached);
    }
  } catch (const boost::system::system_error&) {
  }
}

class OpencodeApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/agentmesh-api-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    for (const char* agent : {"a", "b", "elsewhere"}) {
      std::filesystem::create_directory(folder_ / agent);
      acceptors_.push_back(std::make_unique<stream_protocol::acceptor>(
          io_, stream_protocol::endpoint((folder_ / agent / "http.sock").string())));
      boost::asio::co_spawn(io_, serve(*acceptors_.back(), agent), boost::asio::detached);
    }
  }
  void TearDown() override {
    acceptors_.clear();
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<OpencodeApi> api(std::string_view agent) {
    return make_opencode_api({.executor = io_.get_executor(),
                              .http = http_,
                              .clock = clock_,
                              .offload = offload_,
                              .run_dir = folder_ / agent});
  }
  template <class T>
  Result<T> await(Task<T> task) {
    std::optional<Result<T>> result;
    boost::asio::co_spawn(io_, std::move(task),
                          [&](std::exception_ptr, Result<T> value) { result = std::move(value); });
    io_.restart();
    while (!result && io_.run_one_for(Millis{5'000}) > 0) {
    }
    if (!result) return fail(ErrorCode::timeout, "test", "no answer");
    return std::move(*result);
  }
  std::string ask(OpencodeApi& api) {
    const auto answer = await(api.get("/global/health", Millis{5'000}));
    return answer ? answer->body : std::string(to_string(answer.error().code));
  }

  boost::asio::io_context io_;
  net::HttpClient http_{io_.get_executor()};
  Offload offload_;
  ManualClock clock_;
  std::filesystem::path folder_;
  std::vector<std::unique_ptr<stream_protocol::acceptor>> acceptors_;
};

TEST_F(OpencodeApiTest, AnAgentIsNotAnsweredForByTheOneThatHadItsDescriptorBefore) {
  auto first = api("a");
  EXPECT_EQ(ask(*first), "a");
  EXPECT_EQ(ask(*first), "a");
  first.reset();
  auto second = api("b");
  EXPECT_EQ(ask(*second), "b");
}

TEST_F(OpencodeApiTest, ALinkInPlaceOfTheSocketIsNotFollowed) {
  const auto socket = folder_ / "a" / "http.sock";
  auto a = api("a");
  EXPECT_EQ(ask(*a), "a");
  std::filesystem::remove(socket);
  EXPECT_EQ(ask(*a), "unavailable");
  std::filesystem::create_symlink(folder_ / "elsewhere" / "http.sock", socket);
  EXPECT_EQ(ask(*a), "denied");
  const auto posted = await(a->post("/session", "{}", Millis{5'000}));
  ASSERT_FALSE(posted);
  EXPECT_EQ(posted.error().code, ErrorCode::denied);
  const auto events = await(a->events([](std::string_view) { return true; }, Millis{5'000}));
  ASSERT_FALSE(events);
  EXPECT_EQ(events.error().code, ErrorCode::denied);
  std::filesystem::remove(socket);
  std::ofstream(socket) << "a file";
  EXPECT_EQ(ask(*a), "denied");
}

}  // namespace
}  // namespace agentmesh::agents
