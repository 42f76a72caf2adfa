// The policy's answer to a prompt: tried again while that may help, and told when a person is needed.
#include "daemon/policy_answer.h"

#include "tests/daemon/mesh_fixture.h"

#include <deque>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace wd = agentmesh::watchdog;

class PolicyAnswerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    mesh_.agent("demo", "opencode", RunId{4});
    mesh_.load();
    mesh_.entry("demo").prompt = {.id = "per_1", .detail = "bash: make", .source = "event"};
    mesh_.tell("demo", wd::SignalKind::permission_asked);
  }
  void start() { start(mesh_.entry("demo").agent.run); }
  void start(RunId run) {
    const auto name = mesh_.entry("demo").agent.name;
    boost::asio::co_spawn(mesh_.io, policy_.run(name, {run, wd::Verdict::deny, "per_1", "bash: make"}),
                          [this](const std::exception_ptr&) { ++ended_; });
  }
  bool ended(int count) {
    return mesh_.until([&] { return ended_ == count; });
  }
  int told(std::string_view event) {
    const auto rows = mesh_.journal->last_events_of("demo", 100);
    return static_cast<int>(std::ranges::count(*rows, event, &EventRow::name));
  }

  test::Mesh mesh_;
  std::deque<ErrorCode> failures_;  // of the next tries; then it works
  int tries_ = 0;
  int ended_ = 0;
  PolicyAnswer policy_{{*mesh_.supervisor, mesh_.events, mesh_.notifier,
                        [this](AgentName, Answer asked) -> Task<OpenPrompt> {
                          ++tries_;
                          if (failures_.empty()) co_return OpenPrompt{*asked.prompt, *asked.detail, ""};
                          const ErrorCode code = failures_.front();
                          failures_.pop_front();
                          co_return fail(code, "answer", "no");
                        }},
                       {.first_wait = Millis{1}, .most_wait = Millis{2}}};
};

TEST_F(PolicyAnswerTest, AFailureThatMayPassIsTriedAgainUntilItIsAnswered) {
  const int asked = told("notify_permission");
  failures_ = {ErrorCode::unavailable, ErrorCode::timeout, ErrorCode::conflict, ErrorCode::not_found};
  start();
  ASSERT_TRUE(ended(1));
  EXPECT_EQ(tries_, 5);
  EXPECT_EQ(told("answer_failed"), 1) << "once for the prompt";
  EXPECT_EQ(told("notify_permission"), asked + 1);
}

TEST_F(PolicyAnswerTest, OneFailureThatPassesIsNobodysBusiness) {
  failures_ = {ErrorCode::unavailable};
  start();
  ASSERT_TRUE(ended(1));
  EXPECT_EQ(tries_, 2);
  EXPECT_EQ(told("answer_failed"), 0);
}

TEST_F(PolicyAnswerTest, WhatCannotBeAnsweredIsToldAtOnceAndNotTriedAgain) {
  const int asked = told("notify_permission");
  failures_ = {ErrorCode::invalid};
  start();
  ASSERT_TRUE(ended(1));
  EXPECT_EQ(tries_, 1);
  EXPECT_EQ(told("answer_failed"), 1);
  EXPECT_EQ(told("notify_permission"), asked + 1);
}

TEST_F(PolicyAnswerTest, NoTryFollowsAPromptThatIsGoneOrAnotherRun) {
  failures_ = std::deque(100, ErrorCode::unavailable);
  start();
  ASSERT_TRUE(mesh_.until([&] { return tries_ >= 2; }));
  mesh_.tell("demo", wd::SignalKind::permission_closed);
  ASSERT_TRUE(ended(1));
  const int tries = tries_;
  start();
  ASSERT_TRUE(ended(2)) << "it is closed";
  EXPECT_EQ(tries_, tries);
  mesh_.tell("demo", wd::SignalKind::permission_asked);
  start(RunId{3});
  ASSERT_TRUE(ended(3)) << "of an earlier run";
  EXPECT_EQ(tries_, tries);
}

TEST_F(PolicyAnswerTest, TheNewestAskedForIsTheOneThatIsTried) {
  failures_ = std::deque(100, ErrorCode::unavailable);
  start();
  ASSERT_TRUE(mesh_.until([&] { return tries_ >= 2; }));
  start();
  ASSERT_TRUE(ended(1)) << "the one before";
  policy_.stop();
  EXPECT_TRUE(ended(2));
}

}  // namespace
}  // namespace agentmesh::daemon
