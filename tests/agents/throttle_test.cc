#include "agents/throttle.h"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace agentmesh::agents {
namespace {

using Names = std::vector<std::string>;

class SignalQueueTest : public ::testing::Test {
 protected:
  void push(SignalKind kind, std::string id = "") { queue_.push({kind, "hook", "", std::move(id)}); }
  void use_up() {
    for (int i = 0; i < kSignalBurst; ++i) {
      push(SignalKind::busy);
      ASSERT_TRUE(queue_.pop(now_));
    }
  }
  // What is told as time goes on, at once first.
  Names rest() {
    Names out;
    while (!queue_.empty()) {
      if (const auto signal = queue_.pop(now_)) {
        out.push_back(std::string(to_string(signal->kind)) + signal->id);
      } else {
        now_ += queue_.wait(now_);
      }
    }
    return out;
  }
  SignalQueue queue_;
  WallTime now_{Millis{1'700'000'000'000}};
};

TEST_F(SignalQueueTest, ABurstPassesThenOneAtATime) {
  use_up();
  push(SignalKind::idle);
  EXPECT_EQ(queue_.pop(now_), std::nullopt);
  EXPECT_EQ(queue_.wait(now_), kSignalEvery);
  EXPECT_EQ(queue_.pop(now_ + kSignalEvery - Millis{1}), std::nullopt);
  EXPECT_TRUE(queue_.pop(now_ + kSignalEvery));
  EXPECT_TRUE(queue_.empty());
  now_ += kSignalEvery * kSignalBurst + kSignalEvery;
  use_up();
}

TEST_F(SignalQueueTest, TheNewestStateStandsForTheOthers) {
  use_up();
  for (int i = 0; i < 1'000; ++i) {
    push(SignalKind::busy);
    push(SignalKind::rate_limited);
    push(SignalKind::turn_ended);
    push(SignalKind::idle);
  }
  EXPECT_EQ(rest(), (Names{"turn_ended", "idle"}));
}

TEST_F(SignalQueueTest, AnOpenPromptIsNeverLeftOutWhateverFollows) {
  use_up();
  push(SignalKind::permission_asked, " per_1");
  for (int i = 0; i < 1'000; ++i) {
    push(SignalKind::busy);
    push(SignalKind::question_asked, " que_1");
    push(SignalKind::tool_called, " call");
    push(SignalKind::turn_ended);
    push(SignalKind::idle);
  }
  EXPECT_EQ(rest().front(), "permission_asked per_1");
}

TEST_F(SignalQueueTest, APromptThatClosedIsNotToldOpenAndTheNextOneIs) {
  use_up();
  for (const char* id : {" per_1", " per_2", " per_3"}) {
    push(SignalKind::permission_asked, id);
    push(SignalKind::permission_closed, id);
  }
  EXPECT_EQ(rest(), Names{"permission_closed per_3"});
  push(SignalKind::permission_closed, " per_4");
  push(SignalKind::permission_asked, " per_5");
  push(SignalKind::permission_asked, " per_6");
  EXPECT_EQ(rest(), (Names{"permission_closed per_4", "permission_asked per_6"}));
}

TEST_F(SignalQueueTest, WhatWaitsIsBounded) {
  use_up();
  for (int i = 0; i < 10'000; ++i) push(static_cast<SignalKind>(i % 14), std::to_string(i));
  EXPECT_LE(rest().size(), 14U);
}

TEST(SignalThrottleTest, WhatWaitsIsToldWhenItsTimeHasComeAndNothingAfterTheEnd) {
  boost::asio::io_context io;
  ManualClock clock;
  std::vector<SignalKind> seen;
  auto throttle = std::make_unique<SignalThrottle>(
      io.get_executor(), clock, [&](const Signal& signal) { seen.push_back(signal.kind); });
  for (int i = 0; i < 1'000; ++i) throttle->tell({i % 2 == 0 ? SignalKind::busy : SignalKind::idle, "hook"});
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kSignalBurst));
  clock.advance(kSignalEvery);
  io.run();
  ASSERT_EQ(seen.size(), static_cast<std::size_t>(kSignalBurst) + 1);
  EXPECT_EQ(seen.back(), SignalKind::idle);
  throttle->tell({SignalKind::busy, "hook"});
  throttle.reset();
  clock.advance(kSignalEvery);
  io.restart();
  io.run();
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kSignalBurst) + 1);
}

}  // namespace
}  // namespace agentmesh::agents
