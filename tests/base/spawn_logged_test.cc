#include "base/spawn_logged.h"

#include "base/task.h"

#include <optional>
#include <stdexcept>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>

namespace agentmesh {
namespace {

namespace asio = boost::asio;

TEST(SpawnLogged, WhatEscapesIsLoggedAndEndsNothing) {
  asio::io_context io;
  log_to_stderr(LogLevel::info);
  testing::internal::CaptureStderr();
  spawn_logged(io, "looking", []() -> asio::awaitable<void> {
    throw std::runtime_error("a defect");
    co_return;
  }());
  EXPECT_NO_THROW(io.run());
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("looking"), std::string::npos) << log;
  EXPECT_NE(log.find("a defect"), std::string::npos) << log;
}

Task<int> answer(int value) { co_return value; }
Task<int> defect() {
  throw std::runtime_error("a defect");
  co_return 1;
}

TEST(SpawnLogged, WhoWaitsForTheValueGetsItOrTheDefectAsAnError) {
  asio::io_context io;
  log_to_stderr(LogLevel::info);
  testing::internal::CaptureStderr();
  std::vector<Result<int>> got;
  const auto keep = [&](Result<int> result) { got.push_back(std::move(result)); };
  spawn_logged(io, "asking", answer(7), keep);
  spawn_logged(io, "asking", []() -> asio::awaitable<int> { co_return 8; }(), keep);
  spawn_logged(io, "asking", defect(), keep);
  EXPECT_NO_THROW(io.run());
  const std::string log = testing::internal::GetCapturedStderr();
  ASSERT_EQ(got.size(), 3U);
  EXPECT_EQ(got[0], 7);
  EXPECT_EQ(got[1], 8);
  ASSERT_FALSE(got[2]);
  EXPECT_EQ(got[2].error().code, ErrorCode::internal);
  EXPECT_EQ(got[2].error().stage, "asking");
  EXPECT_NE(got[2].error().what.find("a defect"), std::string::npos) << got[2].error().what;
  EXPECT_NE(log.find("a defect"), std::string::npos) << log;
}

TEST(SpawnLogged, AnEndThatWasAskedForIsNoDefect) {
  asio::io_context io;
  log_to_stderr(LogLevel::info);
  testing::internal::CaptureStderr();
  asio::cancellation_signal stop;
  std::optional<Result<>> ended;
  asio::co_spawn(
      io,
      []() -> asio::awaitable<void> {
        asio::steady_timer never(co_await asio::this_coro::executor, asio::steady_timer::time_point::max());
        co_await never.async_wait(asio::use_awaitable);
      },
      asio::bind_cancellation_slot(stop.slot(), Logged("waiting", [&](Result<> result) { ended = result; })));
  asio::post(io, [&] { stop.emit(asio::cancellation_type::terminal); });
  io.run();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  ASSERT_TRUE(ended);
  ASSERT_FALSE(*ended);
  EXPECT_EQ(ended->error().code, ErrorCode::unavailable);
}

TEST(SpawnLogged, AFlagIsPutBackHoweverTheCoroutineEnds) {
  asio::io_context io;
  const auto alive = std::make_shared<int>(0);
  bool busy = true;
  spawn_logged(io, "looking", [](std::weak_ptr<int> owner, bool& flag) -> asio::awaitable<void> {
    const Finally over(owner, [&flag] { flag = false; });
    throw std::runtime_error("a defect");
    co_return;
  }(alive, busy));
  io.run();
  EXPECT_FALSE(busy);
}

TEST(SpawnLogged, AFlagOfAnOwnerThatIsGoneIsLeftAlone) {
  auto alive = std::make_shared<int>(0);
  bool busy = true;
  {
    const Finally over(alive, [&busy] { busy = false; });
    alive.reset();
  }
  EXPECT_TRUE(busy);
}

}  // namespace
}  // namespace agentmesh
