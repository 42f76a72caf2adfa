// What must not end in silence: a state that nobody knows, a stop that is asked too early, a limit around a
// dialog, effects that never come about.
#include "tests/watchdog/drive.h"
#include "watchdog/admission.h"

#include <functional>

#include <gtest/gtest.h>

namespace agentmesh::watchdog::test {
namespace {

int notices(const Drive& d, NotifyKind kind) {
  int number = 0;
  for (const auto& action : d.seen) {
    const auto* notify = std::get_if<Notify>(&action);
    number += notify != nullptr && notify->kind == kind ? 1 : 0;
  }
  return number;
}

// ------------------------------------------------------------------ a state that is not known

TEST(UnknownTest, WithWorkItIsProbedAndAPersonIsToldOnce) {
  Drive d = unreadable();
  d.pass(d.policy.stuck_after - 1ms);
  EXPECT_EQ(d.count<Probe>(), 0);
  d.pass(1ms);
  EXPECT_EQ(d.count<Probe>(), 1);
  ASSERT_TRUE(d.did<Notify>());
  EXPECT_EQ(d.did<Notify>()->kind, NotifyKind::stuck);
  EXPECT_EQ(d.did<Notify>()->text, "its state is not known");
  d.pass(24h);
  EXPECT_EQ(d.count<Probe>(), 1);
  EXPECT_EQ(d.count<Notify>(), 1);
  EXPECT_EQ(d.count<Nudge>() + d.count<Stop>(), 0);
  EXPECT_EQ(d.status(), Status::unknown);
}

TEST(UnknownTest, AProbeThatIsNotAnsweredTellsAPersonToo) {
  Drive d = unreadable();
  d.probed.reset();
  d.pass(d.policy.stuck_after + d.policy.probe_timeout - 1ms);
  EXPECT_EQ(d.count<Notify>(), 0);
  d.pass(1ms);
  EXPECT_EQ(d.count<Notify>(), 1);
}

TEST(UnknownTest, OneThatLivesIsLeftAlone) {
  Drive d = unreadable();
  d.probed = Progress::seen;
  d.pass(1h);
  EXPECT_EQ(d.count<Probe>(), 12);
  EXPECT_EQ(d.count<Notify>(), 0);
  d.signal(SignalKind::activity);
  d.probed = Progress::none;
  d.pass(d.policy.stuck_after);
  EXPECT_EQ(d.count<Notify>(), 1);
}

TEST(UnknownTest, WithoutWorkTerminalOrEngineNobodyAsks) {
  Drive idle;
  idle.to_up();
  idle.signal(SignalKind::unreadable);
  idle.pass(24h);
  EXPECT_EQ(idle.count<Probe>(), 0);
  Drive no_pane = unreadable();
  no_pane.feed(PaneLost{no_pane.agent.run});
  no_pane.pass(1h);
  EXPECT_EQ(no_pane.count<Probe>(), 0);
  Drive no_engine = unreadable();
  no_engine.feed(EngineLost{});
  no_engine.pass(1h);
  EXPECT_EQ(no_engine.count<Probe>(), 0);
  Drive lost_meanwhile = unreadable();
  lost_meanwhile.probed.reset();
  lost_meanwhile.pass(lost_meanwhile.policy.stuck_after);
  lost_meanwhile.feed(EngineLost{});
  lost_meanwhile.pass(lost_meanwhile.policy.probe_timeout);
  EXPECT_EQ(lost_meanwhile.count<Notify>(), 0) << "what the probe would have seen is not known";
}

TEST(UnknownTest, AnotherSilenceAfterItWasReadableIsToldAgain) {
  Drive d = unreadable();
  d.pass(d.policy.stuck_after);
  d.signal(SignalKind::busy);
  d.signal(SignalKind::unreadable);
  d.pass(d.policy.stuck_after);
  EXPECT_EQ(d.count<Notify>(), 2);
}

TEST(UnknownTest, OneThatNeverShowedAStateIsToldOfWhenItHasWork) {
  Drive d;
  d.to_launching();
  d.feed(Work{WorkState::open});
  d.pass(d.policy.ready_timeout + d.policy.stuck_after);
  EXPECT_EQ(d.status(), Status::unknown);
  EXPECT_EQ(notices(d, NotifyKind::stuck), 1);
}

TEST(UnknownTest, AProgramThatRunsWithoutAStateIsLaunchingUntilItsLimit) {
  Drive d;
  d.to_launching();
  d.signal(SignalKind::answers);
  EXPECT_EQ(d.phase(), Phase::launching);
  EXPECT_FALSE(holds_slot(d.agent)) << "but holds nobody up";
  d.pass(d.policy.ready_timeout);
  EXPECT_EQ(d.status(), Status::unknown);
  EXPECT_FALSE(d.agent.resume) << "no conversation was seen";
  d.signal(SignalKind::busy);
  d.signal(SignalKind::answers);
  EXPECT_EQ(d.status(), Status::busy);
}

// ------------------------------------------------------------------ a stop during the start

TEST(EarlyStopTest, ByForceKillsWhatStarted) {
  Drive d;
  d.to_creating();
  d.done(Effect::create);
  d.feed(StopAsked{10s, StopManner::force});
  EXPECT_EQ(d.agent.deadline, d.now() + d.policy.stop_grace);
  d.done(Effect::start);
  EXPECT_TRUE(d.did<Kill>());
  EXPECT_EQ(d.count<Stop>(), 0);
  d.die(137);
  EXPECT_EQ(d.agent.exit.reason, ExitReason::stopped_by_user);
}

// A moment of a start, and how the start goes on after it.
struct Moment {
  const char* name;
  std::function<void(Drive&)> before;
  std::function<void(Drive&)> after;
};

TEST(EarlyStopTest, ByForceIsNeverGracefulWhateverMomentItMeets) {
  const auto nothing = [](Drive&) {};
  const auto created = [](Drive& d) {
    d.to_creating();
    d.done(Effect::create);
  };
  const auto is_running = [](Drive& d) { d.observe({d.own(ContainerState::running)}); };
  const Moment moments[] = {
      {"queued", [](Drive& d) { d.start(); }, nothing},
      {"creating", [](Drive& d) { d.to_creating(); }, [](Drive& d) { d.done(Effect::create); }},
      {"starting", created, [](Drive& d) { d.done(Effect::start); }},
      {"starting for too long", created,
       [&](Drive& d) {
         d.pass(d.policy.stop_grace);
         is_running(d);
       }},
      {"the answer to the start was lost",
       [&](Drive& d) {
         created(d);
         d.failed(Effect::start, Failure::unknown);
       },
       is_running},
      {"launching", [](Drive& d) { d.to_launching(); }, nothing},
  };
  for (const Moment& moment : moments) {
    SCOPED_TRACE(moment.name);
    Drive d;
    moment.before(d);
    d.feed(StopAsked{10s, StopManner::force});
    moment.after(d);
    EXPECT_EQ(d.count<Stop>(), 0);
    EXPECT_EQ(d.count<Kill>(), d.count<Start>()) << "what was started is killed, once";
    d.die(137);
    d.done(Effect::remove);
    EXPECT_EQ(d.status(), Status::stopped);
  }
}

TEST(EarlyStopTest, KeepsItsTimeout) {
  Drive d;
  d.to_creating();
  d.feed(StopAsked{3s});
  d.done(Effect::create);
  EXPECT_TRUE(d.did<Remove>()) << "what never ran needs no stop";
  Drive starting;
  starting.to_creating();
  starting.done(Effect::create);
  starting.feed(StopAsked{3s});
  starting.done(Effect::start);
  ASSERT_TRUE(starting.did<Stop>());
  EXPECT_EQ(starting.did<Stop>()->timeout, 3s);
  Drive bounded;
  bounded.to_creating();
  bounded.done(Effect::create);
  bounded.feed(StopAsked{24h});
  bounded.done(Effect::start);
  EXPECT_EQ(bounded.did<Stop>()->timeout, bounded.policy.stop_timeout_max);
}

TEST(EarlyStopTest, IsKeptWhileNothingIsKnownAndOverARestartOfTheDaemon) {
  for (const StopManner manner : {StopManner::force, StopManner::graceful}) {
    Drive d;
    d.to_creating();
    d.done(Effect::create);
    d.failed(Effect::start, Failure::unknown);
    d.feed(StopAsked{3s, manner});
    d.agent = load_agent(d.agent);
    d.feed(DaemonStarted{});
    d.observe({d.own(ContainerState::running)});
    if (manner == StopManner::force) {
      EXPECT_TRUE(d.did<Kill>());
    } else {
      ASSERT_TRUE(d.did<Stop>());
      EXPECT_EQ(d.did<Stop>()->timeout, 3s);
    }
  }
}

TEST(EarlyStopTest, ARestartKeepsItsTimeoutToo) {
  Drive d;
  d.to_creating();
  d.done(Effect::create);
  d.feed(RestartAsked{"spec2", Conversation::resume, 3s});
  d.done(Effect::start);
  ASSERT_TRUE(d.did<Stop>());
  EXPECT_EQ(d.did<Stop>()->timeout, 3s);
  EXPECT_EQ(d.agent.ending, ExitReason::restarted_by_user);
}

TEST(EarlyStopTest, TheNextRunKnowsNothingOfIt) {
  Drive d;
  d.to_creating();
  d.done(Effect::create);
  d.feed(StopAsked{3s, StopManner::force});
  d.start();
  d.done(Effect::start);
  d.die(137);
  d.done(Effect::remove);
  d.feed(Admitted{});
  EXPECT_EQ(d.agent.stop_manner, StopManner::graceful);
  EXPECT_EQ(d.agent.stop_timeout, d.policy.stop_timeout);
}

TEST(EarlyStopTest, AKillIsNotFollowedByAStopWhenTheDaemonReturns) {
  Drive d;
  d.to_up();
  d.feed(StopAsked{10s, StopManner::force});
  d.agent = load_agent(d.agent);
  d.feed(DaemonStarted{});
  d.observe({d.own(ContainerState::running)});
  EXPECT_TRUE(d.did<Kill>());
  EXPECT_EQ(d.count<Stop>(), 0);
}

TEST(EarlyStopTest, NorIsAKillThatFollowedAStop) {
  Drive d;
  d.to_up();
  d.stop();
  d.pass(10s + d.policy.stop_grace);
  ASSERT_TRUE(d.did<Kill>());
  d.seen.clear();
  d.agent = load_agent(d.agent);
  d.feed(DaemonStarted{});
  d.observe({d.own(ContainerState::running)});
  EXPECT_TRUE(d.did<Kill>());
  EXPECT_EQ(d.count<Stop>(), 0);
}

TEST(LateStopTest, LeavesTheEndOfAFinishedAgentAsItWas) {
  Drive d;
  d.to_up();
  d.die(0);
  d.stop();
  EXPECT_EQ(d.agent.reason, "done, exit code 0") << "while it is being removed";
  d.done(Effect::remove);
  const auto epoch = d.agent.epoch;
  d.stop();
  EXPECT_EQ(d.agent.reason, "done, exit code 0");
  EXPECT_EQ(d.agent.epoch, epoch);
  d.feed(MassDeath{d.now() - 1s});
  EXPECT_EQ(d.phase(), Phase::absent) << "a stop means stop, whatever its end was";
}

TEST(LateStopTest, OfAStoppedAgentDoesNothing) {
  Drive d;
  d.stop();
  EXPECT_TRUE(d.actions.empty());
  EXPECT_TRUE(d.agent.reason.empty());
  d.to_up();
  d.stop();
  d.die(143);
  d.done(Effect::remove);
  d.stop();
  EXPECT_TRUE(d.actions.empty());
}

// ------------------------------------------------------------------ a limit around a dialog

Signal limit_for(const Drive& d, Millis wait) {
  return {.kind = SignalKind::rate_limited, .run = d.agent.run, .until = d.now() + wait, .detail = "limit"};
}

TEST(LimitTest, ToldDuringADialogHoldsAfterIt) {
  for (const bool permission : {true, false}) {
    Drive d;
    d.to_up();
    d.signal(SignalKind::busy);
    d.signal(permission ? SignalKind::permission_asked : SignalKind::question_asked);
    d.feed(limit_for(d, 1h));
    EXPECT_EQ(notices(d, NotifyKind::usage_limit), 1);
    d.feed(limit_for(d, 1h));
    EXPECT_EQ(notices(d, NotifyKind::usage_limit), 1) << "told once";
    EXPECT_NE(d.status(), Status::rate_limited);
    d.signal(permission ? SignalKind::permission_closed : SignalKind::question_closed);
    EXPECT_EQ(d.status(), Status::rate_limited);
    d.pass(1h - 1s);
    EXPECT_EQ(d.count<Nudge>(), 0);
    d.pass(61s);
    EXPECT_EQ(d.count<Nudge>(), 1) << "the limit is over";
  }
}

TEST(LimitTest, OverBeforeTheDialogClosedItDoesNotHold) {
  Drive d;
  d.to_up();
  d.signal(SignalKind::permission_asked);
  d.feed(limit_for(d, 1h));
  d.pass(1h);
  d.signal(SignalKind::permission_closed);
  EXPECT_EQ(d.status(), Status::busy);
}

TEST(LimitTest, APromptOutOfItProvesThatWorkGoesOn) {
  Drive d;
  d.to_up();
  d.feed(limit_for(d, 1h));
  d.signal(SignalKind::permission_asked);
  EXPECT_FALSE(d.agent.limited_until);
  d.signal(SignalKind::permission_closed);
  EXPECT_EQ(d.status(), Status::busy);
  d.die(1);
  EXPECT_EQ(d.agent.exit.reason, ExitReason::crashed);
  Drive asked;
  asked.to_up();
  asked.feed(limit_for(asked, 1h));
  asked.signal(SignalKind::question_asked);
  EXPECT_TRUE(asked.agent.limited_until) << "the limit's own menu is a question";
}

// ------------------------------------------------------------------ effects that never come about

TEST(PatienceTest, AKillThatDoesNothingIsToldOnceAndBecomesRare) {
  Drive d;
  d.to_up();
  d.stop();
  d.seen.clear();
  d.pass(10s + d.policy.stop_grace + 5 * d.policy.stop_grace);
  EXPECT_EQ(d.count<Kill>(), 6);
  EXPECT_EQ(notices(d, NotifyKind::effect_failed), 1);
  d.seen.clear();
  d.pass(1h);
  EXPECT_LE(d.count<Kill>(), 62);
  EXPECT_GE(d.count<Kill>(), 58);
  EXPECT_EQ(d.count<Notify>(), 0);
  EXPECT_LE(d.count<Persist>(), 62);
}

TEST(PatienceTest, AKillThatIsAnsweredButDoesNothingBecomesRareToo) {
  Drive d;
  d.to_up();
  d.feed(StopAsked{Millis{}, StopManner::force});
  for (int i = 0; i < 20; ++i) {
    d.done(Effect::kill);
    d.observe({d.own(ContainerState::running)});
    d.pass(*d.agent.deadline - d.now());
  }
  d.done(Effect::kill);
  EXPECT_EQ(*d.agent.deadline - d.now(), d.policy.retry_max);
  EXPECT_EQ(notices(d, NotifyKind::effect_failed), 1);
}

TEST(PatienceTest, ARemovalThatFailsIsToldOnceAndBecomesRare) {
  Drive d;
  d.to_up();
  d.die(1);
  d.done(Effect::write_report);
  d.seen.clear();
  const WallTime begun = d.now();
  while (d.now() < begun + 1h) {
    if (d.phase() == Phase::removing) d.failed(Effect::remove, Failure::definite);
    d.observe({d.own(ContainerState::exited, 1)});
    if (d.phase() == Phase::checking) d.pass(1s);
  }
  EXPECT_LE(d.count<Remove>(), 70);
  EXPECT_GE(d.count<Remove>(), 55);
  EXPECT_EQ(d.count<Notify>(), 1);
  EXPECT_LE(d.count<Persist>(), 4 * 70);
  d.observe({});
  EXPECT_EQ(d.phase(), Phase::backoff) << "and goes on when it is gone";
}

TEST(PatienceTest, ARemovalThatFailedOnceIsTriedAgainAtOnce) {
  Drive d;
  d.to_up();
  d.die(1);
  d.done(Effect::write_report);
  d.failed(Effect::remove, Failure::unknown);
  EXPECT_TRUE(d.did<Look>());
  d.observe({d.own(ContainerState::exited, 1)});
  EXPECT_TRUE(d.did<Remove>());
}

TEST(PatienceTest, ALeftoverThatCannotBeRemovedIsToldOfOnce) {
  Drive d;
  const ContainerSeen stray{.run = RunId{4}, .container_id = "x", .state = ContainerState::exited};
  const WallTime begun = d.now();
  while (d.now() < begun + 1h) {
    if (d.phase() == Phase::removing) d.failed(Effect::remove, Failure::definite);
    d.observe({stray}, PaneState::none);
    d.pass(1s);
  }
  EXPECT_LE(d.count<Remove>(), 70);
  EXPECT_GE(d.count<Remove>(), 55);
  EXPECT_EQ(d.count<Notify>(), 1);
  d.observe({}, PaneState::none);
  EXPECT_EQ(d.status(), Status::stopped);
  EXPECT_EQ(d.agent.tries, 0);
}

TEST(PatienceTest, AStartOfWhichNothingIsEverKnownIsToldOnceAndBecomesRare) {
  Drive d;
  const WallTime begun = d.now();
  d.start();
  while (d.now() < begun + 1h) {
    if (d.phase() == Phase::queued) d.feed(Admitted{});
    if (d.phase() == Phase::creating) d.failed(Effect::create, Failure::unreachable);
    if (d.phase() == Phase::checking) d.observe({});
    d.pass(1s);
  }
  EXPECT_LE(d.count<Create>(), 75);
  EXPECT_EQ(d.count<Notify>(), 1);
  EXPECT_TRUE(d.agent.restarts.empty()) << "not the agent's fault";
}

TEST(PatienceTest, AnEngineThatIsAwayCountsNoTry) {
  Drive d;
  d.to_creating();
  d.failed(Effect::create, Failure::unreachable);
  d.feed(EngineLost{});
  d.seen.clear();
  d.pass(1h);
  EXPECT_EQ(d.count<Notify>(), 0);
  EXPECT_LE(d.count<Persist>(), 62);
  EXPECT_EQ(d.agent.tries, 0);
  d.feed(EngineBack{});
  EXPECT_TRUE(d.did<Look>());
  d.observe({});
  EXPECT_EQ(d.phase(), Phase::backoff);
  EXPECT_EQ(*d.agent.next_restart_at - d.now(), d.policy.backoff_first);
}

TEST(PatienceTest, ANewRunBeginsWithAllOfIt) {
  Drive d;
  d.agent.tries = 9;
  d.to_creating();
  EXPECT_EQ(d.agent.tries, 0);
  d.agent.tries = 9;
  d.done(Effect::create);
  d.done(Effect::start);
  EXPECT_EQ(d.agent.tries, 0);
  d.agent.tries = 9;
  d.die(1);
  EXPECT_EQ(d.agent.tries, 0);
}

}  // namespace
}  // namespace agentmesh::watchdog::test
