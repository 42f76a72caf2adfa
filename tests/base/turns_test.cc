#include "base/turns.h"

#include <string>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

namespace agentmesh {
namespace {

namespace asio = boost::asio;

struct TurnsTest : testing::Test {
  asio::io_context context;
  std::unique_ptr<Turns<std::string>> turns = std::make_unique<Turns<std::string>>(context.get_executor());
  std::vector<std::string> log;

  // Takes the turn, and gives it back after three rounds of the loop.
  void work(const std::string& key, const std::string& name) {
    asio::co_spawn(
        context,
        [this, key, name]() -> asio::awaitable<void> {
          const auto turn = co_await turns->take(key);
          log.push_back("+" + name);
          for (int i = 0; i < 3; ++i) co_await asio::post(context, asio::use_awaitable);
          log.push_back("-" + name);
        },
        asio::detached);
  }
};

TEST_F(TurnsTest, OneAtATimeInTheOrderOfTheCalls) {
  for (const char* name : {"a", "b", "c"}) work("key", name);
  context.run();
  EXPECT_EQ(log, (std::vector<std::string>{"+a", "-a", "+b", "-b", "+c", "-c"}));
}

TEST_F(TurnsTest, OtherKeysDoNotWait) {
  work("one", "a");
  work("two", "b");
  context.run();
  EXPECT_EQ(log, (std::vector<std::string>{"+a", "+b", "-a", "-b"}));
}

TEST_F(TurnsTest, ATurnMayOutliveThem) {
  work("key", "a");
  work("key", "b");
  context.run_one();
  context.run_one();
  turns.reset();
  context.run();
  EXPECT_EQ(log, (std::vector<std::string>{"+a", "-a", "+b", "-b"}));
}

TEST_F(TurnsTest, AnUnfinishedWaitEndsWithItsLoop) {
  asio::co_spawn(
      context,
      [this]() -> asio::awaitable<void> {
        const auto turn = co_await turns->take("key");
        asio::steady_timer never(context, asio::steady_timer::time_point::max());
        co_await never.async_wait(asio::use_awaitable);
      },
      asio::detached);
  work("key", "b");
  context.poll();
  EXPECT_TRUE(log.empty());
}

}  // namespace
}  // namespace agentmesh
