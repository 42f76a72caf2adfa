// Stories of one agent, each named after the promise it keeps.
#include "tests/watchdog/drive.h"

#include <gtest/gtest.h>

namespace agentmesh::watchdog::test {
namespace {

// ------------------------------------------------------------------ start and stop

TEST(StartTest, GoesFromQueueToUp) {
  Drive d;
  d.start();
  EXPECT_EQ(d.phase(), Phase::queued);
  EXPECT_EQ(d.status(), Status::starting);
  d.feed(Admitted{});
  ASSERT_TRUE(d.did<Create>());
  EXPECT_EQ(d.did<Create>()->run, RunId{1});
  EXPECT_EQ(d.did<Create>()->spec_hash, "spec1");
  EXPECT_EQ(d.did<Create>()->conversation, Conversation::fresh);
  EXPECT_EQ(d.names(), "persist create ");
  d.done(Effect::create);
  ASSERT_TRUE(d.did<Start>());
  EXPECT_EQ(d.did<Start>()->container_id, "c1");
  d.done(Effect::start);
  EXPECT_EQ(d.phase(), Phase::launching);
  EXPECT_TRUE(d.did<OpenPane>());
  EXPECT_EQ(d.status(), Status::starting);
  d.signal(SignalKind::activity);
  EXPECT_EQ(d.phase(), Phase::launching) << "output alone is not readiness";
  d.signal(SignalKind::idle);
  EXPECT_EQ(d.status(), Status::idle);
}

TEST(StartTest, WithoutASignalItIsUpAndUnknown) {
  Drive d;
  d.to_launching();
  d.pass(d.policy.ready_timeout);
  EXPECT_EQ(d.phase(), Phase::up);
  EXPECT_EQ(d.status(), Status::unknown);
  EXPECT_FALSE(d.agent.resume);
}

TEST(StartTest, OfARunningAgentChangesNothing) {
  Drive d;
  d.to_up();
  d.feed(StartAsked{"spec2", Conversation::fresh});
  EXPECT_TRUE(d.actions.empty());
  EXPECT_EQ(d.agent.spec_hash, "spec1");
}

TEST(StopTest, IsGracefulThenKillsAndRemoves) {
  Drive d;
  d.to_up();
  d.stop();
  ASSERT_TRUE(d.did<Stop>());
  EXPECT_EQ(d.did<Stop>()->timeout, 10s);
  EXPECT_EQ(d.status(), Status::stopping);
  d.pass(15s);
  EXPECT_TRUE(d.did<Kill>());
  d.die(137);
  EXPECT_TRUE(d.did<Remove>());
  EXPECT_FALSE(d.did<WriteCrashReport>()) << "a stop is no crash";
  d.done(Effect::remove);
  EXPECT_EQ(d.status(), Status::stopped);
  EXPECT_EQ(d.agent.exit.reason, ExitReason::stopped_by_user);
  EXPECT_TRUE(d.did<ClosePane>());
}

TEST(StopTest, ThatIsAnsweredIsLookedAfterAndKilledWhenItLives) {
  Drive d;
  d.to_up();
  d.stop();
  d.done(Effect::stop);
  EXPECT_TRUE(d.did<Look>());
  EXPECT_EQ(d.agent.deadline, d.now() + d.policy.stop_grace);
}

TEST(StopTest, ByForceKillsAtOnce) {
  Drive d;
  d.to_up();
  d.feed(StopAsked{10s, StopManner::force});
  EXPECT_TRUE(d.did<Kill>());
  EXPECT_FALSE(d.did<Stop>());
}

TEST(StopTest, WhileCreatingWaitsForTheAnswerAndThenRemoves) {
  Drive d;
  d.to_creating();
  d.stop();
  EXPECT_EQ(d.names(), "persist emit ");
  d.observe({});
  EXPECT_EQ(d.phase(), Phase::creating) << "a create in flight is not refuted by a snapshot";
  d.done(Effect::create);
  EXPECT_TRUE(d.did<Remove>());
  d.done(Effect::remove);
  EXPECT_EQ(d.status(), Status::stopped);
}

TEST(StopTest, WhileStartingStopsWhatStarted) {
  Drive d;
  d.to_creating();
  d.done(Effect::create);
  d.stop();
  d.done(Effect::start);
  EXPECT_TRUE(d.did<Stop>());
  EXPECT_EQ(d.count<OpenPane>(), 0);
}

TEST(StopTest, MeansStopForTheNextHours) {
  Drive d;
  d.to_up();
  d.stop();
  d.die(143);
  d.done(Effect::remove);
  d.seen.clear();
  d.feed(DaemonStarted{});
  d.observe({}, PaneState::none);
  d.pass(3h);
  EXPECT_EQ(d.count<Create>() + d.count<Start>(), 0);
  EXPECT_EQ(d.status(), Status::stopped);
}

TEST(StopTest, WhatASnapshotShowsOfAStoppedAgentIsRemoved) {
  Drive d;
  d.observe({{.run = RunId{4}, .state = ContainerState::running}}, PaneState::dead);
  ASSERT_TRUE(d.did<Remove>());
  EXPECT_EQ(d.did<Remove>()->run, RunId{4});
  d.observe({}, PaneState::none);
  EXPECT_EQ(d.status(), Status::stopped);
  d.to_creating();
  EXPECT_EQ(d.agent.run, RunId{5}) << "a name that was taken is not used again";
}

TEST(RestartTest, ByAPersonIsNotCountedAndTakesTheNewSpec) {
  Drive d;
  d.to_up();
  d.feed(RestartAsked{"spec2", Conversation::resume, 3s});
  EXPECT_EQ(d.did<Stop>()->timeout, 3s);
  d.die(143);
  EXPECT_EQ(d.agent.exit.reason, ExitReason::restarted_by_user);
  d.done(Effect::remove);
  EXPECT_EQ(d.phase(), Phase::queued);
  EXPECT_EQ(d.status(), Status::restarting);
  d.feed(Admitted{});
  EXPECT_EQ(d.did<Create>()->spec_hash, "spec2");
  EXPECT_EQ(d.did<Create>()->conversation, Conversation::resume);
  EXPECT_EQ(d.did<Create>()->run, RunId{2});
  EXPECT_TRUE(d.agent.restarts.empty());
}

TEST(RestartTest, DuringTheCrashReportNeitherWaitsNorFails) {
  for (const int code : {1, 127}) {
    Drive d;
    d.to_launching();
    d.die(code);
    d.feed(RestartAsked{"spec2"});
    d.bury();
    EXPECT_EQ(d.phase(), Phase::queued);
    EXPECT_EQ(d.agent.container_id, "");
    EXPECT_TRUE(d.agent.restarts.empty());
  }
}

// ------------------------------------------------------------------ crash loops (promises 7, 8, 9, 10)

TEST(CrashTest, WritesTheReportBeforeItRemovesTheCorpse) {
  Drive d;
  d.to_up();
  d.die(1);
  EXPECT_EQ(d.phase(), Phase::ended);
  ASSERT_TRUE(d.did<WriteCrashReport>());
  EXPECT_EQ(d.did<WriteCrashReport>()->restart_number, 1);
  EXPECT_EQ(d.did<WriteCrashReport>()->exit.text, "exit code 1");
  EXPECT_FALSE(d.did<Remove>());
  EXPECT_EQ(d.status(), Status::restarting);
  d.done(Effect::write_report);
  EXPECT_TRUE(d.did<Remove>());
}

TEST(CrashTest, AReportThatIsNeverWrittenDoesNotHoldTheRestart) {
  Drive d;
  d.to_up();
  d.die(1);
  d.pass(d.policy.report_timeout);
  EXPECT_TRUE(d.did<Remove>());
}

TEST(CrashTest, ALoopIsBoundedAndItsDelaysFollowTheCurve) {
  Drive d;
  d.to_up();
  Millis expected = 1s;
  for (int i = 1; i <= d.policy.max_restarts; ++i, expected *= 2) {
    d.die(1);
    const Millis delay = *d.agent.next_restart_at - d.now();
    EXPECT_GE(delay, expected * 3 / 4);
    EXPECT_LE(delay, expected * 5 / 4);
    d.bury();
    d.pass(delay);
    d.to_launching();
  }
  d.die(1);
  EXPECT_EQ(d.count<Alert>(), 1);
  d.bury();
  EXPECT_EQ(d.status(), Status::failed);
  EXPECT_EQ(d.agent.reason, "restart limit reached (3 in 30m00s): exit code 1");
  EXPECT_EQ(d.count<Create>(), 1 + d.policy.max_restarts);
  d.pass(24h);
  EXPECT_EQ(d.count<Create>(), 1 + d.policy.max_restarts) << "quarantine ends by a person only";
  d.start();
  d.to_launching();
  EXPECT_TRUE(d.agent.restarts.empty()) << "a manual start never counts";
}

TEST(CrashTest, TheCountIsClearedAfterStableWork) {
  Drive d;
  d.to_up();
  d.crash_and_restart();
  d.crash_and_restart();
  EXPECT_EQ(d.agent.failures, 2);
  d.signal(SignalKind::idle);
  d.pass(d.policy.stable_after);
  EXPECT_EQ(d.agent.failures, 0);
  EXPECT_TRUE(d.agent.restarts.empty());
}

TEST(CrashTest, TheConversationIsResumedOnceItWasReady) {
  Drive d;
  d.to_up();
  d.die(1);
  d.bury();
  d.pass(2s);
  d.feed(Admitted{});
  EXPECT_EQ(d.did<Create>()->conversation, Conversation::resume);
}

TEST(CrashTest, BrokenIsFailedAfterOneStart) {
  for (const int code : {126, 127}) {
    Drive d;
    d.to_launching();
    d.die(code);
    d.bury();
    EXPECT_EQ(d.status(), Status::failed);
    d.pass(2h);
    EXPECT_EQ(d.count<Create>(), 1);
    EXPECT_EQ(d.count<Alert>(), 1);
  }
}

TEST(CrashTest, AMissingImageIsFailedAtOnce) {
  Drive d;
  d.to_creating();
  d.failed(Effect::create, Failure::permanent);
  EXPECT_TRUE(d.did<Look>());
  d.observe({}, PaneState::none);
  d.bury();
  EXPECT_EQ(d.status(), Status::failed);
  EXPECT_EQ(d.agent.reason, "cannot be started as configured: because");
  EXPECT_EQ(d.agent.exit.reason, ExitReason::broken_spec);
}

TEST(CrashTest, AUsageLimitSpendsNoBudgetAndStartsWhenItIsOver) {
  Drive d;
  d.to_up();
  const WallTime until = d.now() + 2h;
  d.feed(Signal{.kind = SignalKind::rate_limited, .run = d.agent.run, .until = until});
  EXPECT_EQ(d.status(), Status::rate_limited);
  d.die(1);
  d.bury();
  EXPECT_EQ(d.phase(), Phase::held);
  EXPECT_EQ(d.status(), Status::rate_limited);
  EXPECT_TRUE(d.agent.restarts.empty());
  EXPECT_GE(*d.agent.next_restart_at, until);
  EXPECT_LE(*d.agent.next_restart_at, until + 60s);
  d.pass(2h + 60s);
  EXPECT_EQ(d.phase(), Phase::queued);
}

TEST(CrashTest, ALimitThatIsOverIsNoExcuse) {
  Drive d;
  d.to_up();
  d.feed(Signal{.kind = SignalKind::rate_limited, .run = d.agent.run, .until = d.now() - 1h});
  d.die(1);
  EXPECT_EQ(d.agent.exit.reason, ExitReason::crashed);
  EXPECT_EQ(d.agent.restarts.size(), 1U);
}

TEST(CrashTest, LoginNeededHoldsUntilAPersonStarts) {
  Drive d;
  d.to_up();
  d.signal(SignalKind::auth_required);
  EXPECT_TRUE(d.did<Notify>());
  d.die(1);
  d.bury();
  d.pass(12h);
  EXPECT_EQ(d.status(), Status::auth_required);
  d.start();
  EXPECT_EQ(d.phase(), Phase::queued);
}

TEST(CrashTest, OutOfMemoryIsNamedForMainAndChild) {
  Drive main;
  main.to_up();
  main.die(137, true);
  EXPECT_EQ(main.agent.exit.reason, ExitReason::out_of_memory);
  EXPECT_TRUE(main.agent.exit.oom_main);

  Drive child;
  child.to_up();
  child.feed(OomKilled{child.agent.run});
  EXPECT_EQ(child.phase(), Phase::up) << "the agent itself lives";
  EXPECT_TRUE(child.did<Emit>());
  child.feed(OomKilled{child.agent.run});
  EXPECT_FALSE(child.did<Emit>()) << "one event of a run, however many are killed";
  child.die(1);
  EXPECT_EQ(child.agent.exit.reason, ExitReason::out_of_memory_child);

  Drive late;
  late.to_up();
  late.die(137);
  late.feed(OomKilled{late.agent.run});
  EXPECT_EQ(late.agent.exit.reason, ExitReason::out_of_memory);
}

TEST(CrashTest, ExitCodeZeroIsDoneUnlessThereIsWork) {
  Drive idle;
  idle.to_up();
  idle.die(0);
  idle.done(Effect::remove);
  EXPECT_EQ(idle.status(), Status::stopped);
  EXPECT_EQ(idle.agent.reason, "done, exit code 0");
  EXPECT_EQ(idle.count<WriteCrashReport>(), 0);

  Drive busy;
  busy.to_up();
  busy.feed(Work{WorkState::open});
  busy.die(0);
  EXPECT_EQ(busy.agent.exit.reason, ExitReason::exited);
  EXPECT_EQ(busy.status(), Status::restarting);
}

// ------------------------------------------------------------------ unknown answers (promises 1, 2, 5)

TEST(UnknownTest, ACreateErrorThatLiedIsTakenUp) {
  Drive d;
  d.to_creating();
  d.failed(Effect::create, Failure::definite);
  d.observe({d.own(ContainerState::created)});
  EXPECT_TRUE(d.did<Start>());
  EXPECT_TRUE(d.agent.restarts.empty());
}

TEST(UnknownTest, AStartErrorThatLiedIsAdopted) {
  Drive d;
  d.to_creating();
  d.done(Effect::create);
  d.failed(Effect::start, Failure::unknown);
  d.observe({d.own(ContainerState::running)});
  EXPECT_EQ(d.phase(), Phase::launching);
  EXPECT_EQ(d.count<Start>(), 1);
}

TEST(UnknownTest, AnUnknownCreateIsRepeatedUnderTheSameName) {
  Drive d;
  d.to_creating();
  d.failed(Effect::create, Failure::unknown);
  d.observe({}, PaneState::none);
  d.pass(2s);
  d.feed(Admitted{});
  EXPECT_EQ(d.did<Create>()->run, RunId{1});
  EXPECT_TRUE(d.agent.restarts.empty());
}

TEST(UnknownTest, AnUnknownStartIsRemovedBeforeTheNextRun) {
  Drive d;
  d.to_creating();
  d.done(Effect::create);
  d.failed(Effect::start, Failure::unknown);
  d.observe({d.own(ContainerState::created)});
  EXPECT_TRUE(d.did<Remove>());
  d.done(Effect::remove);
  d.pass(2s);
  d.feed(Admitted{});
  EXPECT_EQ(d.did<Create>()->run, RunId{2});
}

TEST(UnknownTest, AnUnreachableEngineSpendsNoBudget) {
  Drive d;
  d.start();
  for (int i = 0; i < 20; ++i) {
    d.feed(Admitted{});
    d.failed(Effect::create, Failure::unreachable);
    d.pass(10s);
    d.observe({}, PaneState::none);
    d.pass(d.policy.retry_max);
  }
  EXPECT_EQ(d.phase(), Phase::queued);
  EXPECT_TRUE(d.agent.restarts.empty());
}

TEST(UnknownTest, APartialSnapshotProvesNoAbsence) {
  Drive d;
  d.to_up();
  d.feed(Observed{.as_of = d.agent.epoch, .engine = Completeness::partial});
  EXPECT_EQ(d.phase(), Phase::up);
}

TEST(UnknownTest, ARemovalWithoutAnswerIsLookedAfter) {
  Drive d;
  d.to_up();
  d.die(1);
  d.done(Effect::write_report);
  d.pass(d.policy.remove_timeout);
  EXPECT_EQ(d.phase(), Phase::checking);
  d.observe({d.own(ContainerState::exited, 1)});
  EXPECT_EQ(d.phase(), Phase::removing);
  d.observe({});
  EXPECT_EQ(d.phase(), Phase::backoff);
  EXPECT_EQ(d.agent.restarts.size(), 1U) << "one end counts once";
}

TEST(DaemonTest, AdoptsWhatRunsWithoutTouchingIt) {
  Drive d;
  d.to_up();
  d.agent = load_agent(d.agent);
  d.seen.clear();
  d.feed(DaemonStarted{});
  EXPECT_TRUE(d.did<Look>());
  EXPECT_EQ(d.status(), Status::unknown) << "what was seen before is not known now";
  d.observe({d.own(ContainerState::running)}, PaneState::live);
  EXPECT_EQ(d.phase(), Phase::up);
  EXPECT_EQ(d.count<Create>() + d.count<Start>() + d.count<Stop>() + d.count<OpenPane>(), 0);
  EXPECT_FALSE(d.agent.live.blind);
}

TEST(DaemonTest, AnEndWhileItWasAwayIsRestartedButNotCounted) {
  Drive d;
  d.to_up();
  d.feed(DaemonStarted{});
  d.observe({d.own(ContainerState::exited, 0)}, PaneState::dead);
  d.bury();
  EXPECT_EQ(d.phase(), Phase::backoff);
  EXPECT_TRUE(d.agent.restarts.empty());
}

TEST(DaemonTest, StartsNothingBeforeItHasLooked) {
  Drive d;
  d.start();
  d.feed(DaemonStarted{});
  d.feed(Admitted{});
  EXPECT_EQ(d.phase(), Phase::queued);
  d.observe({}, PaneState::none);
  d.feed(Admitted{});
  EXPECT_EQ(d.phase(), Phase::creating);
}

TEST(DaemonTest, WhatWasInFlightIsUnknownAtOnce) {
  Drive creating;
  creating.to_creating();
  creating.feed(DaemonStarted{});
  EXPECT_EQ(creating.phase(), Phase::checking);
  Drive starting;
  starting.to_creating();
  starting.done(Effect::create);
  starting.feed(DaemonStarted{});
  EXPECT_EQ(starting.phase(), Phase::checking);
  starting.observe({starting.own(ContainerState::running)});
  EXPECT_EQ(starting.phase(), Phase::launching);
}

TEST(DaemonTest, AStopThatWasUnderWayIsAskedAgain) {
  Drive d;
  d.to_up();
  d.stop();
  d.feed(DaemonStarted{});
  d.observe({d.own(ContainerState::running)});
  ASSERT_TRUE(d.did<Stop>());
  EXPECT_EQ(d.did<Stop>()->timeout, 10s);
}

TEST(DaemonTest, ARemovalThatWasUnderWayIsAskedAgain) {
  Drive d;
  d.to_up();
  d.stop();
  d.die(143);
  d.feed(DaemonStarted{});
  d.observe({d.own(ContainerState::exited, 143)});
  EXPECT_TRUE(d.did<Remove>());
  d.observe({});
  EXPECT_EQ(d.status(), Status::stopped);
}

TEST(LeftoverTest, OfAnotherRunIsRemovedBesideARunningAgent) {
  Drive d;
  d.to_up();
  d.observe({d.own(ContainerState::running), {.run = RunId{9}, .state = ContainerState::running}});
  EXPECT_EQ(d.names(), "persist remove emit ");
  EXPECT_EQ(d.did<Remove>()->run, RunId{9});
  EXPECT_EQ(d.phase(), Phase::up);
}

TEST(LeftoverTest, HoldsTheNextStartUntilItIsGone) {
  Drive d;
  d.to_up();
  d.die(1);
  d.bury();
  const ContainerSeen older{.run = RunId{8}, .state = ContainerState::running};
  const ContainerSeen newer{.run = RunId{9}, .state = ContainerState::exited};
  d.observe({older, newer});
  EXPECT_EQ(d.phase(), Phase::checking);
  d.pass(1min);
  d.observe({older});
  EXPECT_TRUE(d.did<Remove>());
  EXPECT_EQ(d.phase(), Phase::checking);
  d.feed(Observed{.as_of = d.agent.epoch, .engine = Completeness::partial});
  EXPECT_EQ(d.phase(), Phase::checking) << "a partial snapshot proves no absence";
  d.observe({});
  EXPECT_EQ(d.phase(), Phase::backoff);
  d.pass(1ms);
  d.feed(Admitted{});
  EXPECT_EQ(d.did<Create>()->run, RunId{10});
  EXPECT_EQ(d.agent.restarts.size(), 1U);
}

TEST(LeftoverTest, OfTheLastRunIsRemovedEvenWhenItRuns) {
  Drive d;
  d.to_up();
  d.die(1);
  d.bury();
  d.observe({d.own(ContainerState::running)});
  EXPECT_TRUE(d.did<Remove>());
  d.observe({d.own(ContainerState::running)});
  EXPECT_FALSE(d.did<Remove>()) << "it is asked already";
  d.pass(d.policy.look_again);
  d.observe({d.own(ContainerState::running)});
  EXPECT_EQ(d.phase(), Phase::removing);
  EXPECT_TRUE(d.did<Remove>());
}

TEST(LeftoverTest, InQuarantineIsRemovedAndQuarantineKept) {
  Drive d;
  d.to_launching();
  d.die(127);
  d.bury();
  d.observe({d.own(ContainerState::created)});
  d.observe({});
  EXPECT_EQ(d.status(), Status::failed);
  EXPECT_EQ(d.agent.reason, "command not found, exit code 127");
  EXPECT_EQ(d.count<Alert>(), 1);
}

TEST(DaemonTest, LooksAgainWhenNobodyAnswers) {
  Drive d;
  d.to_up();
  d.feed(DaemonStarted{});
  d.seen.clear();
  d.pass(10s);
  EXPECT_GE(d.count<Look>(), 4);
}

TEST(EngineTest, AnEngineThatTookItsAgentsDownIsExcused) {
  Drive d;
  d.to_up();
  d.die(0);
  d.done(Effect::remove);
  EXPECT_EQ(d.status(), Status::stopped) << "it looked done";
  d.feed(EngineLost{});
  EXPECT_EQ(d.status(), Status::restarting);
  d.pass(1min);
  d.feed(Admitted{});
  EXPECT_EQ(d.phase(), Phase::queued) << "no engine, no start";
  d.feed(EngineBack{});
  d.observe({}, PaneState::none);
  d.feed(Admitted{});
  EXPECT_EQ(d.phase(), Phase::creating);
  EXPECT_TRUE(d.agent.restarts.empty());
}

TEST(EngineTest, ItsReturnAsksForOneLookAndNoMoreOnceThatWasAnswered) {
  Drive d;
  d.to_up();
  d.feed(EngineLost{});
  d.feed(EngineBack{});
  EXPECT_TRUE(d.did<Look>());
  EXPECT_EQ(d.agent.live.look_at, d.now() + d.policy.look_again);
  d.observe({d.own(ContainerState::running)});
  d.seen.clear();
  d.pass(1min);
  EXPECT_EQ(d.count<Look>(), 0);
}

TEST(EngineTest, AMassDeathIsTakenBack) {
  Drive d;
  d.policy.max_restarts = 0;
  d.to_up();
  d.die(137);
  EXPECT_EQ(d.agent.after, After::fail);
  d.feed(MassDeath{d.now() - 5s});
  d.bury();
  EXPECT_EQ(d.phase(), Phase::backoff);
  d.feed(MassDeath{d.now() - 5s});
  EXPECT_FALSE(d.did<Emit>()) << "once";
}

TEST(PaneTest, ASnapshotAloneTellsThatItIsGone) {
  for (const PaneState pane : {PaneState::none, PaneState::dead}) {
    Drive d;
    d.to_up();
    d.observe({d.own(ContainerState::running)}, pane);
    EXPECT_FALSE(d.agent.live.pane_open);
    EXPECT_TRUE(d.did<OpenPane>());
  }
}

TEST(PaneTest, IsRebuiltWithoutTouchingTheAgent) {
  Drive d;
  d.to_up();
  d.seen.clear();
  d.feed(PaneLost{d.agent.run});
  EXPECT_EQ(d.names(), "look ");
  d.observe({d.own(ContainerState::running)}, PaneState::none);
  EXPECT_EQ(d.names(), "open_pane ");
  d.observe({d.own(ContainerState::running)}, PaneState::none);
  EXPECT_FALSE(d.did<OpenPane>()) << "one is being opened";
  d.failed(Effect::open_pane, Failure::unreachable);
  d.pass(1s);
  EXPECT_TRUE(d.did<Look>());
  d.observe({d.own(ContainerState::running)}, PaneState::dead);
  d.done(Effect::open_pane);
  EXPECT_TRUE(d.agent.live.pane_open);
  EXPECT_EQ(d.phase(), Phase::up);
  EXPECT_EQ(d.count<Stop>() + d.count<Create>(), 0);
}

}  // namespace
}  // namespace agentmesh::watchdog::test
