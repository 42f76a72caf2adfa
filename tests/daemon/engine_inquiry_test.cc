#include "daemon/engine_inquiry.h"

#include <exception>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;

// An engine that answers when it is told to.
class EngineInquiryTest : public testing::Test {
 protected:
  asio::awaitable<EngineFacts> asked() {
    ++questions_;
    boost::system::error_code ec;
    if (hangs_) co_await gate_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    EngineFacts facts;
    if (there_) facts.version = sandbox::EngineVersion{.version = version_};
    co_return facts;
  }

  // Empty: it cannot be reached or hangs.
  std::string version() {
    std::optional<EngineFacts> got;
    io_.restart();
    asio::co_spawn(io_, inquiry_.facts(),
                   [&](std::exception_ptr, EngineFacts facts) { got = std::move(facts); });
    while (!got) io_.run_one();
    return got->version ? got->version->version : "";
  }
  void goes_on() {
    hangs_ = false;
    gate_.cancel();
    io_.restart();
    io_.poll();
  }

  asio::io_context io_;
  asio::steady_timer gate_{io_, asio::steady_timer::time_point::max()};
  bool there_ = true;
  bool hangs_ = false;
  std::string version_ = "1";
  int questions_ = 0;
  EngineInquiry inquiry_{io_, [this] { return asked(); }, Patience{.first = Millis{20}, .later = Millis{1}}};
};

TEST_F(EngineInquiryTest, EveryAnswerIsNew) {
  EXPECT_EQ(version(), "1");
  version_ = "2";
  EXPECT_EQ(version(), "2");
  there_ = false;
  EXPECT_EQ(version(), "");
  EXPECT_EQ(questions_, 3);
}

TEST_F(EngineInquiryTest, WhatWasAskedAheadIsAtHand) {
  inquiry_.begin();
  inquiry_.begin();
  io_.run();
  hangs_ = true;
  EXPECT_EQ(version(), "1");
  EXPECT_EQ(questions_, 2);
}

TEST_F(EngineInquiryTest, AHungEngineIsAskedOnceAndHoldsNobody) {
  hangs_ = true;
  EXPECT_EQ(version(), "");
  EXPECT_EQ(version(), "");
  EXPECT_EQ(questions_, 1);
  goes_on();
  EXPECT_EQ(version(), "1");
  EXPECT_EQ(questions_, 2);
}

TEST_F(EngineInquiryTest, WhatWasSaidLastStandsInForALateAnswer) {
  EXPECT_EQ(version(), "1");
  hangs_ = true;
  EXPECT_EQ(version(), "1");
  // In the end it hangs.
  while (!version().empty()) {
  }
  EXPECT_EQ(questions_, 2);
  goes_on();
  EXPECT_EQ(version(), "1");
}

}  // namespace
}  // namespace agentmesh::daemon
