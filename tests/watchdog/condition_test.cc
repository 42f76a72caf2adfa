// Signals, stuck agents and nudges: stories of an agent that is up.
#include "tests/watchdog/drive.h"

#include <gtest/gtest.h>

namespace agentmesh::watchdog::test {
namespace {

TEST(StuckTest, IsNudgedThenRestarted) {
  Drive d = busy();
  d.pass(d.policy.stuck_after - 1ms);
  EXPECT_EQ(d.count<Nudge>(), 0);
  d.pass(1ms);
  EXPECT_EQ(d.status(), Status::stuck);
  ASSERT_TRUE(d.did<Nudge>());
  d.feed(NudgeResult{d.agent.run, Delivery::delivered});
  d.pass(d.policy.nudge_wait);
  EXPECT_TRUE(d.did<Stop>());
  d.die(143);
  EXPECT_EQ(d.agent.exit.reason, ExitReason::stuck_after_nudge);
  EXPECT_TRUE(d.did<WriteCrashReport>());
  EXPECT_EQ(d.agent.restarts.size(), 1U);
  d.bury();
  EXPECT_EQ(d.phase(), Phase::backoff);
}

TEST(StuckTest, ActivityAfterTheNudgeSavesIt) {
  Drive d = busy();
  d.pass(d.policy.stuck_after);
  d.pass(1min);
  d.signal(SignalKind::activity);
  EXPECT_EQ(d.status(), Status::busy);
  EXPECT_FALSE(d.agent.live.nudged_at);
  d.pass(d.policy.nudge_wait);
  EXPECT_EQ(d.count<Stop>(), 0);
}

TEST(StuckTest, ABusyStateThatNeverChangesIsNoActivity) {
  Drive d = busy();
  for (int i = 0; i < 10; ++i) {
    d.pass(30s);
    d.signal(SignalKind::busy);
  }
  EXPECT_EQ(d.status(), Status::stuck);
  d.signal(SignalKind::busy);
  EXPECT_EQ(d.status(), Status::stuck);
}

TEST(StuckTest, IdleWithAnEmptyInboxIsIdle) {
  Drive d;
  d.to_up();
  d.pass(24h);
  EXPECT_EQ(d.status(), Status::idle);
  EXPECT_EQ(d.count<Nudge>(), 0);
}

TEST(StuckTest, IdleWithAnOpenAssignmentIsNot) {
  Drive d;
  d.to_up();
  d.feed(Work{WorkState::open});
  d.pass(5min);
  EXPECT_EQ(d.status(), Status::stuck);
  d.signal(SignalKind::activity);
  EXPECT_EQ(d.status(), Status::idle) << "what it was before";
}

TEST(StuckTest, UnknownIsNeverNudgedNorRestarted) {
  Drive d = busy();
  d.feed(Work{WorkState::open});
  d.signal(SignalKind::unreadable);
  d.pass(24h);
  EXPECT_EQ(d.status(), Status::unknown);
  EXPECT_EQ(d.count<Nudge>() + d.count<Stop>(), 0);
}

TEST(StuckTest, ABlockedNudgeTellsAPersonAndNeverRestarts) {
  Drive d = busy();
  d.pass(5min);
  for (int i = 0; i < 12; ++i) {
    d.feed(NudgeResult{d.agent.run, Delivery::blocked});
    d.pass(2min);
  }
  EXPECT_EQ(d.count<Stop>(), 0);
  EXPECT_EQ(d.count<Notify>(), 1);
  EXPECT_EQ(d.count<Nudge>(), 13);
}

TEST(StuckTest, ANudgeThatWasBlockedIsTriedAgainSoonThenLaterEachTime) {
  Drive d = busy();
  d.pass(5min);
  for (const Millis wait :
       {Millis(5s), Millis(10s), Millis(20s), Millis(40s), Millis(80s), Millis(2min), Millis(2min)}) {
    const int nudges = d.count<Nudge>();
    d.feed(NudgeResult{d.agent.run, Delivery::blocked});
    d.pass(wait - 1ms);
    EXPECT_EQ(d.count<Nudge>(), nudges) << wait;
    d.pass(1ms);
    EXPECT_EQ(d.count<Nudge>(), nudges + 1) << wait;
  }
}

TEST(StuckTest, ABlockedNudgeThatPassesIsNotTold) {
  Drive d = busy();
  d.pass(5min);
  d.feed(NudgeResult{d.agent.run, Delivery::blocked});
  d.pass(5s);
  d.feed(NudgeResult{d.agent.run, Delivery::delivered});
  d.pass(d.policy.nudge_wait - 1ms);
  EXPECT_EQ(d.count<Notify>(), 0);
  d.pass(1ms);
  EXPECT_TRUE(d.did<Stop>()) << "it was typed and did not help";
  EXPECT_EQ(d.count<Nudge>(), 2);
}

TEST(StuckTest, ABlockedNudgeInFlightIsNotTypedTwice) {
  Drive d = busy();
  d.pass(5min);
  d.feed(NudgeResult{d.agent.run, Delivery::blocked});
  d.pass(5s);
  ASSERT_EQ(d.count<Nudge>(), 2);
  d.pass(d.policy.typing_limit);
  EXPECT_EQ(d.count<Nudge>(), 2);
}

// A busy agent at a limit that is over, whose nudge meets the dialog.
Drive at_a_limits_dialog() {
  Drive d = busy();
  d.feed(Signal{.kind = SignalKind::rate_limited, .run = d.agent.run, .until = d.now() + 1h});
  d.pass(1h + d.policy.limit_jitter);
  return d;
}

// The run is over because of the dialog; the next is due.
void end_at_dialog(Drive& d) {
  d.feed(NudgeResult{d.agent.run, Delivery::at_limit});
  d.die(143);
  d.bury();
}

TEST(LimitDialogTest, ANewRunGoesOnWithTheConversation) {
  Drive d = at_a_limits_dialog();
  ASSERT_EQ(d.count<Nudge>(), 1);
  d.feed(NudgeResult{d.agent.run, Delivery::at_limit});
  EXPECT_EQ(d.count<Stop>(), 1);
  EXPECT_EQ(d.agent.ending, ExitReason::limit_dialog);
  d.feed(NudgeResult{d.agent.run, Delivery::at_limit});
  EXPECT_EQ(d.count<Stop>(), 1) << "it is ending already";
  d.die(143);
  d.bury();
  d.to_up();
  EXPECT_EQ(d.agent.exit.reason, ExitReason::limit_dialog);
  EXPECT_TRUE(d.agent.restarts.empty()) << "not counted";
  EXPECT_TRUE(d.agent.resumed);
  EXPECT_EQ(d.count<Nudge>(), 2) << "it was in the middle of a turn";
  d.signal(SignalKind::busy);
  d.signal(SignalKind::turn_ended);
  d.pass(24h);
  EXPECT_EQ(d.count<Nudge>(), 2) << "once";
}

TEST(LimitDialogTest, AnAssignmentIsNudgeEnough) {
  Drive d = busy();
  d.feed(Work{WorkState::open});
  d.feed(Signal{.kind = SignalKind::rate_limited, .run = d.agent.run, .until = d.now() + 1h});
  d.pass(1h + d.policy.limit_jitter);
  end_at_dialog(d);
  d.to_up();
  EXPECT_EQ(d.count<Nudge>(), 1);
}

TEST(LimitDialogTest, OneThatWorksAgainByItselfIsNotNudged) {
  Drive d = at_a_limits_dialog();
  end_at_dialog(d);
  d.to_launching();
  d.signal(SignalKind::busy);
  d.signal(SignalKind::idle);
  EXPECT_EQ(d.count<Nudge>(), 1);
}

TEST(LimitDialogTest, ItIsNudgedOnceThoughADialogCameBetween) {
  Drive d = at_a_limits_dialog();
  end_at_dialog(d);
  d.to_up();
  ASSERT_EQ(d.count<Nudge>(), 2);
  d.signal(SignalKind::permission_asked);
  d.signal(SignalKind::permission_closed);
  d.signal(SignalKind::idle);
  EXPECT_EQ(d.count<Nudge>(), 2);
}

TEST(LimitDialogTest, WhatAPersonStopsMeanwhileForgetsIt) {
  Drive d = at_a_limits_dialog();
  d.feed(NudgeResult{d.agent.run, Delivery::at_limit});
  d.stop();
  d.die(143);
  d.bury();
  ASSERT_EQ(d.phase(), Phase::absent);
  d.to_up();
  EXPECT_EQ(d.count<Nudge>(), 1);
}

TEST(StuckTest, ATerminalThatIsOpenedAgainIsNoActivity) {
  Drive d = busy();
  d.pass(4min);
  d.done(Effect::open_pane);
  d.pass(1min);
  EXPECT_EQ(d.status(), Status::stuck);
}

TEST(StuckTest, WithoutATerminalOrAnEngineNobodyIsJudged) {
  Drive no_pane = busy();
  no_pane.feed(PaneLost{no_pane.agent.run});
  no_pane.pass(10min);
  EXPECT_EQ(no_pane.count<Nudge>(), 0);
  Drive no_engine = busy();
  no_engine.feed(EngineLost{});
  no_engine.pass(10min);
  EXPECT_EQ(no_engine.count<Nudge>(), 0);
  no_engine.feed(EngineBack{});
  no_engine.pass(1min);
  EXPECT_EQ(no_engine.count<Nudge>(), 0) << "the clock begins anew";
}

TEST(StuckTest, RepetitionIsStuckThoughItMoves) {
  Drive d = busy();
  d.signal(SignalKind::repeated);
  EXPECT_EQ(d.status(), Status::stuck);
  EXPECT_EQ(d.count<Nudge>(), 1);
  d.pass(30s);
  d.signal(SignalKind::activity);
  EXPECT_EQ(d.status(), Status::stuck);
  for (int i = 0; i < d.policy.loop_repeats; ++i) d.signal(SignalKind::repeated);
  d.pass(90s);
  EXPECT_EQ(d.count<Stop>(), 1);
  EXPECT_EQ(d.count<Probe>(), 0) << "that it lives is not the question";
  EXPECT_EQ(d.agent.ending, ExitReason::looping_after_nudge);

  Drive healed = busy();
  healed.signal(SignalKind::repeated);
  healed.pass(2min);
  EXPECT_EQ(healed.status(), Status::busy);
}

TEST(PermissionTest, IsNeverNudgedAndAPersonIsTold) {
  Drive d = busy();
  d.signal(SignalKind::permission_asked);
  EXPECT_EQ(d.status(), Status::waiting_permission);
  EXPECT_EQ(d.did<Notify>()->kind, NotifyKind::permission);
  EXPECT_FALSE(d.did<Answer>());
  d.signal(SignalKind::permission_asked);
  EXPECT_EQ(d.count<Notify>(), 1) << "the same prompt is told once";
  d.signal(SignalKind::idle);
  d.signal(SignalKind::busy);
  d.signal(SignalKind::unreadable);
  EXPECT_EQ(d.status(), Status::waiting_permission);
  d.pass(24h);
  EXPECT_EQ(d.count<Nudge>() + d.count<Stop>(), 0);
  d.signal(SignalKind::permission_closed);
  EXPECT_EQ(d.status(), Status::busy);
}

TEST(PermissionTest, EachPromptIsToldAlsoOneWithoutAText) {
  Drive d;
  d.to_up();
  const auto ask = [&](const std::string& what) {
    d.feed(Signal{.kind = SignalKind::permission_asked, .run = d.agent.run, .detail = what});
  };
  ask("");
  EXPECT_EQ(d.count<Notify>(), 1);
  ask("rm");
  ask("rm");
  EXPECT_EQ(d.count<Notify>(), 2);
}

TEST(PermissionTest, TwoForTheSameThingAreTwo) {
  Drive d;
  d.policy.on_permission = OnPermission::deny;
  d.to_up();
  const auto ask = [&](const std::string& id) {
    d.feed(Signal{.kind = SignalKind::permission_asked, .run = d.agent.run, .detail = "rm", .id = id});
  };
  ask("a");
  ask("a");
  EXPECT_EQ(d.count<Answer>(), 1);
  ask("b");
  ASSERT_TRUE(d.did<Answer>()) << "or it would wait for ever";
  EXPECT_EQ(d.did<Answer>()->prompt, "b");
  EXPECT_EQ(d.did<Answer>()->detail, "rm");
  EXPECT_EQ(d.count<Notify>(), 2);
}

TEST(PermissionTest, ObeysThePolicy) {
  Drive deny;
  deny.policy.on_permission = OnPermission::deny;
  deny.to_up();
  deny.signal(SignalKind::permission_asked);
  EXPECT_EQ(deny.did<Answer>()->verdict, Verdict::deny);
  Drive allow;
  allow.policy.on_permission = OnPermission::allow_in_sandbox;
  allow.to_up();
  allow.signal(SignalKind::permission_asked);
  EXPECT_EQ(allow.did<Answer>()->verdict, Verdict::allow);
}

TEST(PermissionTest, OpenWhileAStuckAgentWaitsStopsTheClock) {
  Drive d = busy();
  d.pass(5min);
  EXPECT_EQ(d.status(), Status::stuck);
  d.signal(SignalKind::permission_asked);
  d.pass(10min);
  EXPECT_EQ(d.count<Stop>(), 0);
}

TEST(QuestionTest, WaitsAndCloses) {
  Drive d = busy();
  d.signal(SignalKind::question_asked);
  EXPECT_EQ(d.status(), Status::waiting_question);
  d.signal(SignalKind::permission_closed);
  EXPECT_EQ(d.status(), Status::waiting_question);
  d.signal(SignalKind::turn_ended);
  EXPECT_EQ(d.status(), Status::waiting_question)
      << "a part's turn: nothing may be typed into the open dialog";
  d.signal(SignalKind::question_closed);
  EXPECT_EQ(d.status(), Status::busy);
  d.signal(SignalKind::turn_ended);
  EXPECT_EQ(d.status(), Status::idle);
}

TEST(IdleTest, AnInferredDowngradeNeedsTwoSamplesOrSilence) {
  Drive d = busy();
  d.signal(SignalKind::idle, Source::inferred);
  EXPECT_EQ(d.status(), Status::busy);
  d.signal(SignalKind::busy, Source::inferred);
  d.pass(5s);
  EXPECT_EQ(d.status(), Status::busy) << "busy beats idle";
  d.signal(SignalKind::idle, Source::inferred);
  d.signal(SignalKind::idle, Source::inferred);
  EXPECT_EQ(d.status(), Status::idle);
  d.signal(SignalKind::busy, Source::inferred);
  EXPECT_EQ(d.status(), Status::busy);
  d.signal(SignalKind::idle, Source::inferred);
  d.pass(d.policy.idle_confirm);
  EXPECT_EQ(d.status(), Status::idle);
  d.signal(SignalKind::busy);
  d.signal(SignalKind::idle, Source::native);
  EXPECT_EQ(d.status(), Status::idle);
}

TEST(LimitTest, IsSleptThroughAndTheWorkIsTakenUp) {
  Drive d = busy();
  d.feed(Signal{.kind = SignalKind::rate_limited, .run = d.agent.run, .until = d.now() + 1h});
  d.signal(SignalKind::idle);
  EXPECT_EQ(d.status(), Status::rate_limited) << "the prompt of a limited runner is not idle";
  d.pass(1h - 1s);
  EXPECT_EQ(d.count<Nudge>(), 0);
  d.pass(61s);
  EXPECT_EQ(d.count<Nudge>(), 1);
}

TEST(LimitTest, IdleIsIdleAgainFromItsVeryEnd) {
  Drive d = busy();
  d.feed(Signal{.kind = SignalKind::rate_limited, .run = d.agent.run, .until = d.now() + 1h});
  d.set_clock(d.now() + 1h - 1ms);
  d.signal(SignalKind::idle);
  EXPECT_EQ(d.status(), Status::rate_limited);
  d.set_clock(d.now() + 1ms);
  d.signal(SignalKind::idle);
  EXPECT_EQ(d.status(), Status::idle);
}

TEST(LimitTest, AnAbsurdLimitIsBounded) {
  Drive d = busy();
  d.feed(Signal{.kind = SignalKind::rate_limited, .run = d.agent.run, .until = WallTime{Millis{1LL << 60}}});
  EXPECT_EQ(*d.agent.limited_until, d.now() + d.policy.limit_max);
}

TEST(LimitTest, BusyMeansItIsOver) {
  Drive d = busy();
  d.signal(SignalKind::rate_limited);
  d.signal(SignalKind::busy);
  EXPECT_EQ(d.status(), Status::busy);
  d.die(1);
  EXPECT_EQ(d.agent.exit.reason, ExitReason::crashed);
}

TEST(NamesTest, EveryValueComesBack) {
  for (int i = 0; i <= static_cast<int>(Phase::failed); ++i) {
    const auto value = static_cast<Phase>(i);
    EXPECT_EQ(from_string<Phase>(to_string(value)), value);
  }
  for (int i = 0; i <= static_cast<int>(ExitReason::container_gone); ++i) {
    const auto value = static_cast<ExitReason>(i);
    EXPECT_EQ(from_string<ExitReason>(to_string(value)), value);
  }
  for (int i = 0; i <= static_cast<int>(Condition::stuck); ++i) {
    const auto value = static_cast<Condition>(i);
    EXPECT_EQ(from_string<Condition>(to_string(value)), value);
  }
  for (int i = 0; i <= static_cast<int>(SignalKind::answers); ++i) {
    const auto value = static_cast<SignalKind>(i);
    EXPECT_EQ(from_string<SignalKind>(to_string(value)), value);
  }
  for (int i = 0; i <= static_cast<int>(Failure::gone); ++i) {
    const auto value = static_cast<Failure>(i);
    EXPECT_EQ(from_string<Failure>(to_string(value)), value);
  }
  EXPECT_FALSE(from_string<Phase>("Up"));
  EXPECT_FALSE(from_string<Phase>(""));
}

}  // namespace
}  // namespace agentmesh::watchdog::test
