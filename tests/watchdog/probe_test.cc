// Silence is looked into before it counts: Probe and its answers, given, lost and late.
#include "tests/watchdog/drive.h"

#include <gtest/gtest.h>

namespace agentmesh::watchdog::test {
namespace {

// Busy, and no Probe is answered by itself.
Drive silent() {
  Drive d = busy();
  d.probed.reset();
  return d;
}

void answer(Drive& d, Progress progress) {
  d.feed(Probed{d.agent.run, d.agent.live.probe_asked.value_or(WallTime{}), progress, "looked"});
}

// Stuck, nudged, and asked whether the nudge helped.
Drive nudged() {
  Drive d = silent();
  d.pass(d.policy.stuck_after);
  answer(d, Progress::none);
  d.feed(NudgeResult{d.agent.run, Delivery::delivered});
  d.pass(d.policy.nudge_wait);
  d.seen.clear();
  return d;
}

TEST(ProbeTest, ComesBeforeTheNudge) {
  Drive d = silent();
  const WallTime since = d.now();
  d.pass(d.policy.stuck_after - 1ms);
  EXPECT_EQ(d.count<Probe>(), 0);
  d.pass(1ms);
  ASSERT_TRUE(d.did<Probe>());
  EXPECT_EQ(d.did<Probe>()->run, d.agent.run);
  EXPECT_EQ(d.did<Probe>()->since, since);
  EXPECT_EQ(d.did<Probe>()->asked, d.now());
  EXPECT_EQ(d.status(), Status::busy) << "nothing is known yet";
  EXPECT_EQ(d.names(), "probe ") << "and nothing is saved for it";
  answer(d, Progress::none);
  EXPECT_EQ(d.status(), Status::stuck);
  EXPECT_EQ(status_reason(d.agent), "looked");
  EXPECT_TRUE(d.did<Nudge>());
}

TEST(ProbeTest, LifeStartsTheClockAgain) {
  Drive d = silent();
  for (int i = 0; i < 3; ++i) {
    d.pass(d.policy.stuck_after);
    ASSERT_TRUE(d.did<Probe>()) << i;
    answer(d, Progress::seen);
    EXPECT_EQ(d.did<Emit>()->name, EventName::probed);
    EXPECT_EQ(d.agent.live.last_activity, d.now());
  }
  EXPECT_EQ(d.status(), Status::busy);
  EXPECT_EQ(d.count<Probe>(), 3);
  EXPECT_EQ(d.count<Nudge>(), 0);
}

TEST(ProbeTest, WithoutAnAnswerTheNudgeIsSentAllTheSame) {
  Drive d = silent();
  d.pass(d.policy.stuck_after + d.policy.probe_timeout - 1ms);
  EXPECT_EQ(d.status(), Status::busy);
  d.pass(1ms);
  EXPECT_EQ(d.status(), Status::stuck);
  EXPECT_EQ(d.count<Nudge>(), 1);
  EXPECT_FALSE(d.agent.unproved) << "a nudge harms nobody";
}

TEST(ProbeTest, ComesAgainBeforeTheRestart) {
  Drive d = nudged();
  ASSERT_TRUE(d.did<Probe>());
  EXPECT_EQ(d.count<Stop>(), 0);
  answer(d, Progress::none);
  EXPECT_TRUE(d.did<Stop>());
  ASSERT_TRUE(d.did<Notify>());
  EXPECT_EQ(d.did<Notify>()->kind, NotifyKind::stuck);
  EXPECT_EQ(d.agent.ending, ExitReason::stuck_after_nudge);
  EXPECT_FALSE(d.agent.unproved);
}

TEST(ProbeTest, LifeAfterTheNudgeSavesIt) {
  Drive d = nudged();
  answer(d, Progress::seen);
  EXPECT_EQ(d.status(), Status::busy);
  EXPECT_FALSE(d.agent.live.stuck_since);
  d.pass(d.policy.stuck_after - 1ms);
  EXPECT_EQ(d.count<Probe>() + d.count<Stop>() + d.count<Nudge>(), 0) << "the clock begins anew";
  d.pass(1ms);
  EXPECT_EQ(d.count<Probe>(), 1);
}

TEST(ProbeTest, WithoutAnAnswerTwiceItIsRestartedOnceAndThenAPersonIsAsked) {
  Drive d = nudged();
  answer(d, Progress::unknown);
  EXPECT_EQ(d.count<Stop>(), 0) << "one answer may get lost";
  d.pass(d.policy.nudge_wait);
  EXPECT_TRUE(d.did<Probe>());
  d.pass(d.policy.probe_timeout);
  EXPECT_EQ(d.count<Stop>(), 1);
  EXPECT_TRUE(d.agent.unproved);

  d.die(143);
  d.bury();
  d.pass(*d.agent.next_restart_at - d.now());
  d.to_up();
  d.signal(SignalKind::busy);
  d.seen.clear();
  d.pass(24h);
  EXPECT_EQ(d.status(), Status::stuck);
  EXPECT_EQ(d.count<Stop>(), 0) << "not blindly again";
  EXPECT_EQ(d.count<Notify>(), 1) << "a person is told, once";
  EXPECT_EQ(d.did<Notify>(), nullptr);
  EXPECT_EQ(d.count<Nudge>(), 1);
  EXPECT_GT(d.count<Probe>(), 100) << "it is asked again and again";

  while (!d.agent.live.probe_asked) d.pass(1s);
  answer(d, Progress::none);
  EXPECT_EQ(d.count<Stop>(), 1) << "an answer is a proof";
  EXPECT_FALSE(d.agent.unproved);
}

TEST(ProbeTest, AnAnswerOrAPersonAllowsABlindRestartAgain) {
  const auto blind = [] {
    Drive d = nudged();
    answer(d, Progress::unknown);
    d.pass(d.policy.nudge_wait + d.policy.probe_timeout);
    return d;
  };
  Drive answered = blind();
  answered.die(143);
  answered.bury();
  answered.pass(*answered.agent.next_restart_at - answered.now());
  answered.to_up();
  answered.signal(SignalKind::busy);
  answered.pass(answered.policy.stuck_after);
  answer(answered, Progress::seen);
  EXPECT_FALSE(answered.agent.unproved);

  Drive asked = blind();
  ASSERT_TRUE(asked.agent.unproved);
  asked.feed(RestartAsked{"spec1"});
  EXPECT_FALSE(asked.agent.unproved);
}

TEST(ProbeTest, AnAnswerThatIsLateOrDoubledChangesNothing) {
  Drive d = silent();
  d.pass(d.policy.stuck_after);
  const Probed first{d.agent.run, *d.agent.live.probe_asked, Progress::none, "late"};
  d.signal(SignalKind::activity);
  d.feed(first);
  EXPECT_EQ(d.status(), Status::busy) << "it showed life meanwhile";
  EXPECT_TRUE(d.actions.empty());
  d.pass(d.policy.stuck_after);
  ASSERT_TRUE(d.agent.live.probe_asked);
  d.feed(first);
  EXPECT_EQ(d.status(), Status::busy) << "the answer to another question";
  answer(d, Progress::none);
  EXPECT_EQ(d.count<Nudge>(), 1);
  d.feed(Probed{d.agent.run, d.now(), Progress::none, "again"});
  EXPECT_EQ(d.count<Nudge>(), 1);
  EXPECT_EQ(d.count<Stop>(), 0);
}

TEST(ProbeTest, IsPointlessOnceTheAgentWaitsForAPerson) {
  for (const SignalKind kind : {SignalKind::permission_asked, SignalKind::question_asked,
                                SignalKind::turn_ended, SignalKind::rate_limited, SignalKind::unreadable}) {
    Drive d = silent();
    d.pass(d.policy.stuck_after);
    const Probed late{d.agent.run, *d.agent.live.probe_asked, Progress::none, "late"};
    d.signal(kind);
    EXPECT_FALSE(d.agent.live.probe_asked) << to_string(kind);
    d.feed(late);
    d.pass(d.policy.probe_timeout);
    EXPECT_EQ(d.count<Nudge>() + d.count<Stop>(), 0) << to_string(kind);
  }
}

TEST(ProbeTest, IsForgottenWithTheEngineAndThePane) {
  Drive engine = silent();
  engine.pass(engine.policy.stuck_after);
  const Probed late{engine.agent.run, *engine.agent.live.probe_asked, Progress::none, "late"};
  engine.feed(EngineLost{});
  engine.feed(late);
  engine.feed(EngineBack{});
  engine.pass(engine.policy.probe_timeout);
  EXPECT_EQ(engine.count<Nudge>(), 0);

  Drive pane = silent();
  pane.pass(pane.policy.stuck_after);
  pane.feed(PaneLost{pane.agent.run});
  answer(pane, Progress::none);
  EXPECT_EQ(pane.count<Nudge>(), 0) << "without a terminal nobody is judged";

  Drive away = nudged();
  const Probed stale{away.agent.run, *away.agent.live.probe_asked, Progress::none, "late"};
  away.feed(EngineLost{});
  away.feed(stale);
  EXPECT_EQ(away.count<Stop>(), 0) << "nobody is restarted without an engine";

  Drive restart = nudged();
  restart.feed(PaneLost{restart.agent.run});
  answer(restart, Progress::none);
  EXPECT_EQ(restart.count<Stop>(), 0);
  restart.observe({restart.own(ContainerState::running)}, PaneState::live);
  restart.pass(1ms);
  EXPECT_EQ(restart.count<Probe>(), 1) << "asked again once there is one";
}

TEST(ProbeTest, ALimitedOrIdleAgentIsNotAsked) {
  Drive limited = silent();
  limited.signal(SignalKind::rate_limited);
  limited.pass(10min);
  EXPECT_EQ(limited.count<Probe>(), 0);
  Drive idle = silent();
  idle.signal(SignalKind::turn_ended);
  idle.pass(24h);
  EXPECT_EQ(idle.count<Probe>(), 0);
}

TEST(EchoTest, OurOwnKeystrokesAreNoLife) {
  Drive d = silent();
  d.pass(d.policy.stuck_after);
  answer(d, Progress::none);
  d.signal(SignalKind::activity, Source::inferred);
  EXPECT_EQ(d.status(), Status::stuck) << "the nudge is being typed";
  d.feed(NudgeResult{d.agent.run, Delivery::failed});
  d.pass(d.policy.echo - 1ms);
  d.signal(SignalKind::activity, Source::inferred);
  EXPECT_EQ(d.status(), Status::stuck) << "the terminal still repaints";
  d.pass(1ms);
  d.signal(SignalKind::activity, Source::inferred);
  EXPECT_EQ(d.status(), Status::busy);
}

TEST(EchoTest, WhatTheRunnerSaysItselfIsLifeAlsoThen) {
  Drive d = silent();
  d.pass(d.policy.stuck_after);
  answer(d, Progress::none);
  d.signal(SignalKind::activity, Source::native);
  EXPECT_EQ(d.status(), Status::busy);
}

TEST(EchoTest, ANudgeWhoseEndIsNotToldStopsBeingAnExcuse) {
  Drive d = silent();
  d.pass(d.policy.stuck_after);
  answer(d, Progress::none);
  d.pass(d.policy.typing_limit);
  d.signal(SignalKind::activity, Source::inferred);
  EXPECT_EQ(d.status(), Status::busy);
}

TEST(EchoTest, ANudgeThatIsDeliveredLateStartsTheWaitThen) {
  Drive d = silent();
  d.pass(d.policy.stuck_after);
  answer(d, Progress::none);
  d.pass(1min);
  d.feed(NudgeResult{d.agent.run, Delivery::delivered});
  EXPECT_EQ(d.agent.live.nudged_at, d.now());
  d.seen.clear();
  d.pass(d.policy.nudge_wait - 1ms);
  EXPECT_EQ(d.count<Probe>(), 0);
  d.pass(1ms);
  EXPECT_EQ(d.count<Probe>(), 1);
}

TEST(LoopTest, OnlyWorkThatIsOpenCanLoop) {
  Drive idle;
  idle.to_up();
  idle.signal(SignalKind::repeated);
  EXPECT_EQ(idle.status(), Status::idle);
  Drive no_pane = silent();
  no_pane.feed(PaneLost{no_pane.agent.run});
  no_pane.signal(SignalKind::repeated);
  EXPECT_EQ(no_pane.status(), Status::busy);
  EXPECT_EQ(idle.count<Nudge>() + no_pane.count<Nudge>(), 0);
}

TEST(LoopTest, IsRestartedOnlyAfterAsManyRepetitionsAgain) {
  Drive d = silent();
  d.signal(SignalKind::repeated);
  EXPECT_EQ(d.count<Nudge>(), 1);
  for (int i = 1; i < d.policy.loop_repeats; ++i) {
    d.pass(1min);
    d.signal(SignalKind::repeated);
  }
  EXPECT_EQ(d.count<Stop>(), 0);
  EXPECT_EQ(d.status(), Status::stuck) << "slow, but it goes on";
  d.signal(SignalKind::repeated);
  d.pass(d.policy.nudge_wait);
  EXPECT_EQ(d.count<Stop>(), 1);
  EXPECT_EQ(d.agent.ending, ExitReason::looping_after_nudge);
  EXPECT_EQ(d.count<Nudge>(), 1);
}

TEST(LoopTest, IsOverWithTheFirstThatDiffers) {
  Drive d = silent();
  d.signal(SignalKind::repeated);
  d.pass(3s);
  d.signal(SignalKind::varied);
  EXPECT_EQ(d.status(), Status::busy);
  EXPECT_EQ(d.agent.live.last_activity, d.now());
  d.pass(d.policy.nudge_wait);
  EXPECT_EQ(d.count<Stop>(), 0);
}

TEST(LoopTest, OurOwnNudgeOnTheScreenIsNoVariety) {
  Drive d = silent();
  d.signal(SignalKind::repeated);
  d.signal(SignalKind::varied, Source::inferred);
  EXPECT_EQ(d.status(), Status::stuck);
  EXPECT_TRUE(d.agent.live.repeated_at);
}

TEST(LoopTest, WhatLoopsIsNotProbed) {
  Drive d = nudged();
  d.signal(SignalKind::repeated);
  EXPECT_FALSE(d.agent.live.probe_asked) << "it lives: that is not the question any more";
  d.pass(d.policy.nudge_wait);
  EXPECT_EQ(d.count<Probe>(), 0);
}

}  // namespace
}  // namespace agentmesh::watchdog::test
