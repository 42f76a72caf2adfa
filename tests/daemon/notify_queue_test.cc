#include "daemon/notify_queue.h"

#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

const WallTime kStart = from_millis(1'000'000);

// Of an agent of its own.
Notice notice(const std::string& id) {
  return {.id = id, .at = kStart, .kind = "failed", .agent = "of-" + id};
}
Notice notice_of(std::string agent, std::string kind, std::string id) {
  return {.id = std::move(id), .at = kStart, .kind = std::move(kind), .agent = std::move(agent)};
}

std::string ids(NotifyQueue& queue, WallTime now) {
  std::string all;
  while (auto next = queue.next(now)) all += next->id;
  return all;
}

TEST(NotifyQueueTest, TheOldestAreSentFirstAndSoManyAtOnce) {
  NotifyQueue queue({.at_once = 2});
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(queue.add(notice(id), kStart));
  EXPECT_EQ(queue.next_wake(), kStart);
  EXPECT_EQ(ids(queue, kStart), "ab");
  EXPECT_EQ(queue.next_wake(), std::nullopt) << "only an answer helps";
  queue.done("b");
  EXPECT_EQ(ids(queue, kStart), "c");
  queue.done("a");
  queue.done("c");
  queue.done("c");  // twice changes nothing
  EXPECT_EQ(queue.next(kStart), std::nullopt);
  EXPECT_EQ(queue.next_wake(), std::nullopt);
}

TEST(NotifyQueueTest, AFailedOneWaitsLongerEachTimeAndIsGivenUp) {
  NotifyQueue queue({.tries = 4, .backoff_first = Millis{1'000}, .backoff_most = Millis{3'000}});
  ASSERT_TRUE(queue.add(notice("a"), kStart));
  WallTime now = kStart;
  for (const Millis wait : {Millis{1'000}, Millis{2'000}, Millis{3'000}}) {
    ASSERT_EQ(ids(queue, now), "a");
    ASSERT_EQ(queue.failed("a", Again::later, now), std::nullopt);
    const auto wake = queue.next_wake();
    ASSERT_TRUE(wake);
    EXPECT_GE(*wake, now + wait * 3 / 4);
    EXPECT_LE(*wake, now + wait * 5 / 4);
    EXPECT_EQ(queue.next(*wake - Millis{1}), std::nullopt) << "not before its time";
    now = *wake;
  }
  ASSERT_EQ(ids(queue, now), "a");
  EXPECT_EQ(queue.failed("a", Again::later, now), 4);
  EXPECT_EQ(queue.next(now + Millis{100'000}), std::nullopt);
}

TEST(NotifyQueueTest, WhatIsRefusedIsNotTriedAgain) {
  NotifyQueue queue({.tries = 8});
  ASSERT_TRUE(queue.add(notice("a"), kStart));
  ASSERT_EQ(ids(queue, kStart), "a");
  EXPECT_EQ(queue.failed("a", Again::never, kStart), 1);
  EXPECT_EQ(queue.failed("a", Again::never, kStart), std::nullopt) << "it is gone";
  EXPECT_EQ(queue.next_wake(), std::nullopt);
}

TEST(NotifyQueueTest, AWaitingOneLetsOthersPass) {
  NotifyQueue queue({.at_once = 1, .tries = 2});
  ASSERT_TRUE(queue.add(notice("a"), kStart));
  ASSERT_TRUE(queue.add(notice("b"), kStart));
  ASSERT_EQ(queue.next(kStart)->id, "a");
  ASSERT_EQ(queue.failed("a", Again::later, kStart), std::nullopt);
  EXPECT_EQ(queue.next(kStart)->id, "b");
}

TEST(NotifyQueueTest, WhatDoesNotFitIsCountedAndToldWhenTheStormIsOver) {
  NotifyQueue queue({.depth = 4, .at_once = 4});
  for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(queue.add(notice(id), kStart));
  EXPECT_FALSE(queue.add(notice("e"), kStart));
  EXPECT_EQ(ids(queue, kStart), "abcd");
  EXPECT_FALSE(queue.add(notice("f"), kStart)) << "what is being sent takes its place too";
  queue.done("a");
  EXPECT_EQ(queue.take_dropped(), 0U);
  queue.done("b");
  EXPECT_EQ(queue.take_dropped(), 2U);
  EXPECT_EQ(queue.take_dropped(), 0U);
  EXPECT_TRUE(queue.add(notice("g"), kStart));
}

TEST(NotifyQueueTest, OfAnAgentAndAKindTheNewestWaits) {
  NotifyQueue queue({.depth = 3, .at_once = 4});
  for (const char* id : {"1", "2", "3", "4", "5"})
    ASSERT_TRUE(queue.add(notice_of("noisy", "permission", id), kStart));
  ASSERT_TRUE(queue.add(notice_of("noisy", "question", "q"), kStart));
  ASSERT_TRUE(queue.add(notice_of("quiet", "permission", "z"), kStart));
  EXPECT_EQ(ids(queue, kStart), "5z") << "one of an agent at a time";
  queue.done("5");
  EXPECT_EQ(ids(queue, kStart), "q");
}

TEST(NotifyQueueTest, ANewerOneTakesThePlaceOfOneThatFailed) {
  NotifyQueue queue({.tries = 2, .backoff_first = Millis{1'000}});
  ASSERT_TRUE(queue.add(notice_of("a", "stuck", "1"), kStart));
  ASSERT_EQ(ids(queue, kStart), "1");
  ASSERT_TRUE(queue.add(notice_of("a", "stuck", "2"), kStart));
  EXPECT_EQ(queue.next_wake(), std::nullopt) << "the first one's end says when";
  EXPECT_EQ(queue.failed("1", Again::later, kStart), std::nullopt);
  EXPECT_EQ(queue.next(kStart), std::nullopt) << "it waits as the failed one would";
  EXPECT_EQ(ids(queue, kStart + Millis{2'000}), "2");
  EXPECT_EQ(queue.failed("2", Again::later, kStart), std::nullopt) << "tries of its own";
}

TEST(NotifyQueueTest, AgentsTakeTurnsAndFailuresGoFirst) {
  NotifyQueue queue({.at_once = 1});
  for (const char* kind : {"permission", "question", "stuck"})
    ASSERT_TRUE(queue.add(notice_of("noisy", kind, kind), kStart));
  ASSERT_TRUE(queue.add(notice_of("quiet", "permission", "quiet"), kStart));
  ASSERT_TRUE(queue.add(notice_of("noisy", "failed", "failed"), kStart));
  std::string order;
  while (const auto next = queue.next(kStart)) {
    order += next->id + " ";
    queue.done(next->id);
  }
  EXPECT_EQ(order, "failed quiet permission question stuck ");
}

TEST(NotifyQueueTest, AFailureTakesThePlaceOfChatter) {
  NotifyQueue queue({.depth = 3, .at_once = 1});
  ASSERT_TRUE(queue.add(notice_of("quiet", "permission", "p"), kStart));
  ASSERT_TRUE(queue.add(notice_of("noisy", "permission", "n"), kStart));
  ASSERT_TRUE(queue.add(notice_of("noisy", "question", "q"), kStart));
  EXPECT_FALSE(queue.add(notice_of("other", "stuck", "s"), kStart));
  EXPECT_FALSE(queue.add(notice_of("other", "failed", "f"), kStart)) << "one was dropped for it";
  EXPECT_FALSE(queue.add(notice_of("", "engine_lost", "e"), kStart));
  EXPECT_FALSE(queue.add(notice_of("third", "failed", "g"), kStart));
  EXPECT_FALSE(queue.add(notice_of("fourth", "failed", "h"), kStart)) << "nothing but failures is left";
  std::string order;
  while (const auto next = queue.next(kStart)) {
    order += next->id;
    queue.done(next->id);
  }
  EXPECT_EQ(order, "feg");
  EXPECT_EQ(queue.take_dropped(), 5U);
}

TEST(NotifyQueueTest, AClockThatJumpsBackStarvesNobody) {
  NotifyQueue queue({.tries = 2});
  ASSERT_TRUE(queue.add(notice("a"), kStart));
  EXPECT_EQ(queue.next_wake(), kStart);
  // The daemon's clock never runs backwards (base/clock.h); a queue that is asked early says when to come.
  EXPECT_EQ(queue.next(kStart - Millis{5}), std::nullopt);
  EXPECT_EQ(queue.next_wake(), kStart);
}

}  // namespace
}  // namespace agentmesh::daemon
