#include "base/spawn_logged.h"

#include <stdexcept>

#include <boost/asio/io_context.hpp>
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
