#include "base/offload.h"

#include <stdexcept>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace agentmesh {
namespace {

namespace asio = boost::asio;

TEST(OffloadTest, WorksElsewhereAndAnswersOnTheLoop) {
  asio::io_context io(1);
  Offload offload;
  const auto loop = std::this_thread::get_id();
  std::thread::id worked;
  std::thread::id answered;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        worked = co_await offload.run([] { return std::this_thread::get_id(); });
        answered = std::this_thread::get_id();
      },
      asio::detached);
  io.run();
  EXPECT_NE(worked, std::thread::id{});
  EXPECT_NE(worked, loop);
  EXPECT_EQ(answered, loop);
}

TEST(OffloadTest, AnExceptionOfTheWorkIsTheCallers) {
  asio::io_context io(1);
  Offload offload;
  std::exception_ptr problem;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<int> { return offload.run([]() -> int { throw std::runtime_error("x"); }); },
      [&](std::exception_ptr thrown, int) { problem = std::move(thrown); });
  io.run();
  EXPECT_TRUE(problem);
}

TEST(OffloadTest, WhoNeverWorksHasNoThreads) { const Offload offload; }

}  // namespace
}  // namespace agentmesh
