// What the world should not tell, told: twice, in the wrong order, after the end, of another run, with a
// clock that was set back.
#include "tests/watchdog/drive.h"

#include <gtest/gtest.h>

namespace agentmesh::watchdog::test {
namespace {

constexpr int kSignalKinds = static_cast<int>(SignalKind::answers) + 1;

std::vector<SignalKind> all_signals() {
  std::vector<SignalKind> all;
  for (int kind = 0; kind < kSignalKinds; ++kind) all.push_back(static_cast<SignalKind>(kind));
  return all;
}

int told(const Drive& d) {
  return d.count<Notify>() + d.count<Answer>() + d.count<Nudge>() + d.count<Stop>();
}

TEST(DoubledTest, AStateToldTwiceIsTheSameStateAndToldOnce) {
  for (const SignalKind first : all_signals()) {
    for (const SignalKind second : all_signals()) {
      Drive once;
      once.policy.on_permission = OnPermission::deny;
      once.to_up();
      once.signal(first);
      once.signal(second);
      Drive twice = once;
      twice.signal(second);
      if (once.agent.live.condition == Condition::stuck) continue;  // each repetition counts
      EXPECT_EQ(twice.agent.live, once.agent.live) << to_string(first) << " " << to_string(second);
      EXPECT_EQ(told(twice), told(once)) << to_string(first) << " " << to_string(second);
    }
  }
}

TEST(DoubledTest, EveryAnswerAndEndCountsOnce) {
  Drive d;
  d.to_creating();
  d.done(Effect::create);
  d.done(Effect::create);
  EXPECT_EQ(d.count<Start>(), 1);
  d.done(Effect::start);
  d.done(Effect::start);
  EXPECT_EQ(d.count<OpenPane>(), 1);
  d.signal(SignalKind::idle);
  d.die(1);
  d.die(1);
  d.feed(ContainerGone{d.agent.run});
  EXPECT_EQ(d.agent.restarts.size(), 1U);
  EXPECT_EQ(d.count<WriteCrashReport>(), 1);
  d.done(Effect::write_report);
  d.done(Effect::write_report);
  EXPECT_EQ(d.count<Remove>(), 1);
  d.done(Effect::remove);
  d.done(Effect::remove);
  d.feed(ContainerGone{d.agent.run});
  EXPECT_EQ(d.phase(), Phase::backoff);
  EXPECT_EQ(d.agent.restarts.size(), 1U);
}

TEST(LateTest, ASignalAfterTheEndChangesNothing) {
  const std::vector<std::function<void(Drive&)>> ends{
      [](Drive& d) { d.die(1); },
      [](Drive& d) { d.die(1), d.done(Effect::write_report); },
      [](Drive& d) { d.die(1), d.bury(); },
      [](Drive& d) { d.stop(); },
      [](Drive& d) { d.stop(), d.die(143), d.done(Effect::remove); },
  };
  for (const auto& end : ends) {
    for (const SignalKind kind : all_signals()) {
      Drive d;
      d.to_up();
      end(d);
      const Agent before = d.agent;
      d.signal(kind);
      EXPECT_EQ(d.agent.live, before.live) << to_string(before.phase) << " " << to_string(kind);
      EXPECT_EQ(static_cast<const AgentRecord&>(d.agent), static_cast<const AgentRecord&>(before));
      EXPECT_TRUE(d.actions.empty());
    }
  }
}

TEST(LateTest, ASignalOfTheRunBeforeChangesNothing) {
  for (const SignalKind kind : all_signals()) {
    Drive d;
    d.to_up();
    d.crash_and_restart();
    const Agent before = d.agent;
    d.feed(Signal{.kind = kind, .run = RunId{1}, .at = d.now(), .source = Source::native});
    EXPECT_EQ(d.agent.live, before.live) << to_string(kind);
    EXPECT_EQ(d.phase(), Phase::launching) << to_string(kind);
  }
}

TEST(DisorderTest, AClosingThatComesWithoutItsPromptOpensNothing) {
  Drive d;
  d.to_up();
  d.signal(SignalKind::permission_closed);
  d.signal(SignalKind::question_closed);
  EXPECT_EQ(d.status(), Status::idle);
}

TEST(DisorderTest, TheEndOfATurnBeforeItsBeginningLeavesTheTurnOpen) {
  Drive d;
  d.to_up();
  d.signal(SignalKind::turn_ended);
  d.signal(SignalKind::busy);
  EXPECT_EQ(d.status(), Status::busy);
  EXPECT_TRUE(has_work(d.agent)) << "so that it is looked after: a lost end is found by the nudge";
  d.pass(d.policy.stuck_after);
  EXPECT_EQ(d.count<Nudge>(), 1);
}

TEST(DisorderTest, AStartOfTheSessionAfterTheFirstPromptDoesNotEndTheTurn) {
  Drive d;
  d.to_launching();
  d.signal(SignalKind::busy);
  d.signal(SignalKind::idle, Source::inferred);
  EXPECT_EQ(d.status(), Status::busy) << "an idle that is not sure waits for a second";
  d.signal(SignalKind::activity);
  d.signal(SignalKind::busy);
  d.pass(d.policy.idle_confirm);
  EXPECT_EQ(d.status(), Status::busy);
}

TEST(DisorderTest, AnOldActivityMovesNoClockBackAndAFutureOneNoneForward) {
  Drive d = busy();
  const WallTime now = d.now();
  for (const WallTime at : {now - 1h, now + 1h, WallTime{}, WallTime::max(), WallTime::min()}) {
    d.feed(Signal{.kind = SignalKind::activity, .run = d.agent.run, .at = at, .source = Source::native});
    EXPECT_EQ(d.agent.live.last_activity, now);
  }
}

TEST(DisorderTest, AnOutOfMemoryThatComesBeforeOrAfterTheEndNamesIt) {
  Drive before;
  before.to_up();
  before.feed(OomKilled{before.agent.run});
  before.die(137);
  EXPECT_EQ(before.agent.exit.reason, ExitReason::out_of_memory);
  Drive after;
  after.to_up();
  after.die(137);
  after.feed(OomKilled{after.agent.run});
  after.feed(OomKilled{after.agent.run});
  EXPECT_TRUE(after.agent.exit.oom_main);
  EXPECT_EQ(after.agent.reason, "out of memory (main process), exit code 137 (SIGKILL)");
  Drive other;
  other.to_up();
  other.die(1);
  other.feed(OomKilled{other.agent.run});
  EXPECT_EQ(other.agent.exit.reason, ExitReason::crashed) << "it ended by itself";
}

// ------------------------------------------------------------------ a clock that was set back an hour

// The daemon's clock never goes back while it lives; a new daemon reads the new time.
Drive an_hour_earlier(Drive d) {
  d.set_clock(d.now() - 1h);
  d.agent = load_agent(d.agent);
  d.feed(DaemonStarted{});
  return d;
}

TEST(ClockTest, ABackoffIsNotAnHourLonger) {
  Drive d;
  d.to_up();
  d.die(1);
  d.bury();
  d = an_hour_earlier(std::move(d));
  d.observe({}, PaneState::none);
  d.pass(d.policy.backoff_max * 2);
  EXPECT_EQ(d.phase(), Phase::queued);
}

TEST(ClockTest, RestartsOfTheFutureLeaveTheWindow) {
  Drive d;
  d.to_up();
  d.crash_and_restart();
  d = an_hour_earlier(std::move(d));
  ASSERT_EQ(d.agent.restarts.size(), 1U);
  EXPECT_EQ(d.agent.restarts.front(), d.now());
  EXPECT_EQ(d.agent.started_at, d.now());
  EXPECT_EQ(d.agent.last_restart_at, d.now());
  EXPECT_EQ(d.agent.exit.at, d.now());
  d.observe({d.own(ContainerState::running)});
  d.signal(SignalKind::idle);
  d.pass(d.policy.stable_after);
  EXPECT_TRUE(d.agent.restarts.empty());
}

TEST(ClockTest, ASilentAgentIsStillSeenInTime) {
  Drive d = an_hour_earlier(busy());
  d.observe({d.own(ContainerState::running)});
  d.signal(SignalKind::busy);
  d.pass(d.policy.stuck_after);
  EXPECT_EQ(d.status(), Status::stuck);
}

TEST(ClockTest, AUsageLimitEndsAtItsTimeByTheNewClock) {
  Drive d;
  d.to_up();
  const WallTime until = d.now() + 1h;
  d.feed(Signal{.kind = SignalKind::rate_limited, .run = d.agent.run, .until = until});
  d.die(1);
  d.bury();
  d = an_hour_earlier(std::move(d));
  d.observe({}, PaneState::none);
  d.pass(2h - 1ms);
  EXPECT_EQ(d.phase(), Phase::held);
  d.pass(d.policy.limit_jitter + 1ms);
  EXPECT_EQ(d.phase(), Phase::queued);
}

TEST(ClockTest, EveryWaitingPhaseComesToItsEnd) {
  for (const auto effect : {Effect::create, Effect::start, Effect::stop, Effect::remove}) {
    Drive d;
    d.to_creating();
    if (effect != Effect::create) d.done(Effect::create);
    if (effect == Effect::stop || effect == Effect::remove) d.done(Effect::start);
    if (effect == Effect::stop) d.stop();
    if (effect == Effect::remove) d.die(1), d.done(Effect::write_report);
    d = an_hour_earlier(std::move(d));
    for (int i = 0; i < 3; ++i) {
      d.pass(1min);
      d.observe({}, PaneState::none);
    }
    EXPECT_TRUE(d.phase() == Phase::queued || d.phase() == Phase::absent || d.phase() == Phase::backoff)
        << to_string(effect) << " " << to_string(d.phase());
  }
}

}  // namespace
}  // namespace agentmesh::watchdog::test
