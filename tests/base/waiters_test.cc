#include "base/waiters.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace agentmesh {
namespace {

namespace asio = boost::asio;
using Steady = std::chrono::steady_clock;

struct WaitersTest : testing::Test {
  std::optional<asio::io_context> context{std::in_place, 1};
  std::unique_ptr<Waiters> waiters = std::make_unique<Waiters>();
  std::vector<std::string> log;

  // Waits for one wake, or until the limit.
  void wait(const std::string& name, Steady::time_point limit) {
    asio::co_spawn(
        *context,
        [this, name, limit]() -> asio::awaitable<void> {
          co_await waiters->wait_until(limit);
          log.push_back(name);
        },
        asio::detached);
  }
  void wait(const std::string& name) { wait(name, Steady::time_point::max()); }
  void settle() {
    context->restart();
    context->poll();
  }
};

TEST_F(WaitersTest, AWakeIsForAllWhoWaitNow) {
  wait("a");
  wait("b");
  settle();
  EXPECT_TRUE(log.empty());
  waiters->wake();
  EXPECT_TRUE(log.empty()) << "they go on after the caller";
  settle();
  EXPECT_EQ(log, (std::vector<std::string>{"a", "b"}));
  waiters->wake();
  wait("c");
  settle();
  EXPECT_EQ(log.size(), 2U) << "an earlier wake is not remembered";
}

TEST_F(WaitersTest, AConditionIsWaitedForInALoop) {
  bool done = false;
  asio::co_spawn(
      *context,
      [&]() -> asio::awaitable<void> {
        while (!done) co_await waiters->wait();
        log.push_back("done");
      },
      asio::detached);
  settle();
  waiters->wake();
  settle();
  EXPECT_TRUE(log.empty());
  done = true;
  waiters->wake();
  settle();
  EXPECT_EQ(log.size(), 1U);
}

TEST_F(WaitersTest, ALimitThatHasPassedEndsOneWaitAlone) {
  wait("a");
  wait("b", Steady::now());
  while (log.empty()) context->run_one();
  EXPECT_EQ(log, (std::vector<std::string>{"b"}));
  waiters->wake();
  settle();
  EXPECT_EQ(log, (std::vector<std::string>{"b", "a"}));
}

TEST_F(WaitersTest, AWaitMayOutliveThemAndEndsWithItsLoop) {
  wait("a");
  settle();
  waiters.reset();
  context.reset();
  EXPECT_TRUE(log.empty());
}

}  // namespace
}  // namespace agentmesh
