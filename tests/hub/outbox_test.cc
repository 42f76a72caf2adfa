#include "hub/outbox.h"

#include "base/backoff.h"
#include "hub/rate_limit.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::hub {
namespace {

AgentState state(std::string id, std::int64_t version, std::string status = "idle") {
  return {.agent_id = std::move(id), .version = version, .status = std::move(status)};
}

ItemReport item(std::string id, ItemState now, std::int64_t attempt = 1) {
  return {.item_id = std::move(id), .attempt = attempt, .state = now};
}

TEST(Outbox, OnlyTheNewestStateIsSent) {
  Outbox outbox;
  EXPECT_TRUE(outbox.empty());
  ASSERT_TRUE(outbox.put(state("a", 1, "busy")));
  ASSERT_TRUE(outbox.put(state("a", 3, "idle")));
  ASSERT_TRUE(outbox.put(state("a", 2, "stuck")));
  const auto states = outbox.states_to_send(10);
  ASSERT_EQ(states.size(), 1U);
  EXPECT_EQ(states[0].status, "idle");
}

TEST(Outbox, WhatIsAcknowledgedIsNotSentAgainUntilItChanges) {
  Outbox outbox;
  ASSERT_TRUE(outbox.put(state("a", 1)));
  EXPECT_FALSE(outbox.state_held("a", 0, 1));
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.all_states().size(), 1U);
  ASSERT_TRUE(outbox.put(state("a", 2)));
  EXPECT_EQ(outbox.states_pending(), 1U);
}

TEST(Outbox, AChangeWhileSendingIsKept) {
  Outbox outbox;
  ASSERT_TRUE(outbox.put(state("a", 1)));
  ASSERT_TRUE(outbox.put(state("a", 2)));
  EXPECT_FALSE(outbox.state_held("a", 0, 1));
  EXPECT_EQ(outbox.states_to_send(10).at(0).version, 2);
}

TEST(Outbox, ARestoredHubIsNoticedAndGetsEverything) {
  Outbox outbox;
  ASSERT_TRUE(outbox.put(state("a", 5)));
  ASSERT_TRUE(outbox.put(state("b", 1)));
  outbox.state_held("a", 4, 5);
  outbox.state_held("b", 0, 1);
  EXPECT_TRUE(outbox.state_held("a", 2, 5));
  outbox.forget_acknowledgements();
  EXPECT_EQ(outbox.states_to_send(10).size(), 2U);
}

TEST(Outbox, TheFurthestReportOfAnItemIsSent) {
  Outbox outbox;
  ASSERT_TRUE(outbox.put(item("i", ItemState::pushed)));
  ASSERT_TRUE(outbox.put(item("i", ItemState::done)));
  ASSERT_TRUE(outbox.put(item("i", ItemState::delivered)));
  ASSERT_EQ(outbox.reports_to_send(10).size(), 1U);
  EXPECT_EQ(outbox.reports_to_send(10)[0].state, ItemState::done);
  ASSERT_TRUE(outbox.put(item("i", ItemState::pushed, 2)));
  EXPECT_EQ(outbox.reports_to_send(10)[0].attempt, 2);
}

TEST(Outbox, AReportThatCameWhileOneWasSentStays) {
  Outbox outbox;
  ASSERT_TRUE(outbox.put(item("i", ItemState::pushed)));
  const auto sent = outbox.reports_to_send(1).at(0);
  ASSERT_TRUE(outbox.put(item("i", ItemState::delivered)));
  outbox.report_settled(sent);
  ASSERT_EQ(outbox.reports_pending(), 1U);
  outbox.report_settled(outbox.reports_to_send(1).at(0));
  EXPECT_TRUE(outbox.empty());
}

TEST(Outbox, ReportsGoInTheirOrder) {
  Outbox outbox;
  for (const char* id : {"c", "a", "b"}) ASSERT_TRUE(outbox.put(item(id, ItemState::pushed)));
  const auto first = outbox.reports_to_send(2);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].item_id, "c");
  EXPECT_EQ(first[1].item_id, "a");
}

TEST(Outbox, ItsSizeIsBoundedAndWhatIsInItCanStillChange) {
  Outbox outbox;
  for (std::size_t i = 0; i < kMaxOutboxReports; ++i) {
    ASSERT_TRUE(outbox.put(item(fmt::format("i{}", i), ItemState::pushed)));
  }
  const auto refused = outbox.put(item("more", ItemState::pushed));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::exhausted);
  EXPECT_TRUE(outbox.put(item("i5", ItemState::done)));
}

// A day away from the hub, 50 agents that change every 10 s: the outbox is as large as the agents are many.
TEST(Outbox, ADayWithoutTheHubGrowsNothing) {
  Outbox outbox;
  for (std::int64_t second = 0; second < 24 * 3600; second += 10) {
    for (int agent = 0; agent < 50; ++agent) {
      ASSERT_TRUE(outbox.put(state(fmt::format("a{}", agent), second + 1)));
      ASSERT_TRUE(outbox.put(item(fmt::format("i{}", agent), ItemState::delivered)));
    }
  }
  EXPECT_EQ(outbox.states_pending(), 50U);
  EXPECT_EQ(outbox.reports_pending(), 50U);
}

TEST(Outbox, ARemovedAgentIsNotSent) {
  Outbox outbox;
  ASSERT_TRUE(outbox.put(state("a", 1)));
  outbox.remove_agent("a");
  EXPECT_TRUE(outbox.empty());
  EXPECT_FALSE(outbox.state_held("a", 0, 1));
}

TEST(Backoff, DoublesToItsMostWithinAQuarter) {
  Backoff backoff(Millis{1'000}, Millis{60'000});
  for (const std::int64_t wanted : {1'000, 2'000, 4'000, 8'000, 16'000, 32'000, 60'000, 60'000}) {
    const auto wait = backoff.next().count();
    EXPECT_GE(wait, wanted * 3 / 4);
    EXPECT_LE(wait, wanted * 5 / 4);
  }
  backoff.reset();
  EXPECT_LE(backoff.next().count(), 1'250);
}

TEST(RateLimiter, ABucketEmptiesAndFills) {
  RateLimiter limiter({.per_second = 10, .burst = 3});
  WallTime now = from_millis(1'000'000);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.take("a", now).count(), 0);
  EXPECT_EQ(limiter.take("a", now).count(), 100);
  EXPECT_EQ(limiter.take("b", now).count(), 0);
  now += Millis{100};
  EXPECT_EQ(limiter.take("a", now).count(), 0);
  EXPECT_GT(limiter.take("a", now).count(), 0);
}

TEST(RateLimiter, FullBucketsAreForgotten) {
  RateLimiter limiter({.per_second = 10, .burst = 3});
  WallTime now = from_millis(1'000'000);
  for (int i = 0; i < 1'000; ++i) limiter.take(fmt::format("{}", i), now);
  now += Millis{120'000};
  limiter.take("one", now);
  EXPECT_EQ(limiter.size(), 1U);
}

}  // namespace
}  // namespace agentmesh::hub
