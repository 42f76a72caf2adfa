#include "daemon/loop_watch.h"

#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace wd = agentmesh::watchdog;
using Kind = agents::SignalKind;

wd::SignalKind told(LoopWatch& loops, const agents::Signal& signal) {
  wd::Signal translated{.kind = wd::SignalKind::activity, .detail = signal.detail};
  loops.judge(signal, translated);
  return translated.kind;
}

TEST(LoopWatchTest, EqualCallsOfARunnerThatNamesThemByTheirHash) {
  LoopWatch loops(3);
  const auto call = [&](const std::string& id, const std::string& hash) {
    return told(loops, {Kind::tool_called, "event", hash, id});
  };
  EXPECT_EQ(call("1", "abc"), wd::SignalKind::activity);
  EXPECT_EQ(call("2", "abc"), wd::SignalKind::activity);
  EXPECT_EQ(call("2", "abc"), wd::SignalKind::activity) << "told twice";
  EXPECT_EQ(call("3", "abc"), wd::SignalKind::repeated);
  EXPECT_EQ(call("4", "def"), wd::SignalKind::varied);
}

TEST(LoopWatchTest, EqualCallsOfAHookThatNamesThemByTheirId) {
  LoopWatch loops(2);
  EXPECT_EQ(told(loops, {Kind::tool_called, "hook", "", "ls"}), wd::SignalKind::activity);
  EXPECT_EQ(told(loops, {Kind::tool_called, "hook", "", "ls"}), wd::SignalKind::repeated);
}

TEST(LoopWatchTest, TheEndOfATurnEndsEveryLoop) {
  for (const Kind end : {Kind::turn_ended, Kind::idle}) {
    LoopWatch loops(2);
    (void)told(loops, {Kind::tool_called, "hook", "", "ls"});
    (void)told(loops, {end, "hook", "", ""});
    EXPECT_EQ(told(loops, {Kind::tool_called, "hook", "", "ls"}), wd::SignalKind::activity);
  }
}

TEST(LoopWatchTest, OtherSignalsAreLeftAlone) {
  LoopWatch loops(2);
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(told(loops, {Kind::activity, "hook", "same", "same"}), wd::SignalKind::activity);
  }
}

TEST(LoopWatchTest, ACycleOfScreensIsASignalOfTheRun) {
  LoopWatch loops(2);
  WallTime now{Millis{1'700'000'000'000}};
  std::optional<wd::Signal> found;
  for (int i = 0; i < 8 && !found; ++i, now += Millis{60'000}) {
    found = loops.screen(i % 2 == 0 ? "one\ntwo\nthree" : "four\nfive\nsix", RunId{4}, now);
  }
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, wd::SignalKind::repeated);
  EXPECT_EQ(found->run, RunId{4});
  EXPECT_EQ(found->source, wd::Source::inferred);
  EXPECT_EQ(found->detail, "the same screens 2 times in a row");
}

}  // namespace
}  // namespace agentmesh::daemon
