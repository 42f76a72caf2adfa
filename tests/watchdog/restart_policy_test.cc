// The policy of restarts, a test for each sentence that the stories of step_test.cc and the small rules of
// rules_test.cc do not prove: windows over time, holds, budgets that are not spent, admission of many.
#include "tests/watchdog/drive.h"
#include "watchdog/admission.h"
#include "watchdog/restart.h"

#include <gtest/gtest.h>

namespace agentmesh::watchdog::test {
namespace {

void wait_out(Drive& d) {
  d.pass(*d.agent.next_restart_at - d.now());
  d.to_launching();
}

TEST(WindowTest, CrashesThatAreFarApartNeverFail) {
  Drive d;
  d.to_up();
  for (int i = 0; i < 20; ++i) {
    d.pass(d.policy.restart_window / d.policy.max_restarts);
    d.die(1);
    d.bury();
    ASSERT_EQ(d.phase(), Phase::backoff) << i;
    EXPECT_LE(std::ssize(d.agent.restarts), d.policy.max_restarts);
    wait_out(d);
    d.signal(SignalKind::idle);
  }
}

TEST(WindowTest, OneMoreThanTheLimitWithinItFails) {
  Drive d;
  d.to_up();
  for (int i = 0; i <= d.policy.max_restarts; ++i) {
    d.pass(d.policy.restart_window / (d.policy.max_restarts + 1));
    d.die(1);
    d.bury();
    if (d.phase() == Phase::backoff) wait_out(d);
  }
  EXPECT_EQ(d.status(), Status::failed);
  EXPECT_EQ(d.count<Create>(), 1 + d.policy.max_restarts);
}

TEST(WindowTest, TheLimitsTextTellsAShortWindowToo) {
  Drive d;
  d.policy.max_restarts = 0;
  d.policy.restart_window = 45s;
  d.to_up();
  d.die(1);
  EXPECT_EQ(d.agent.reason, "restart limit reached (0 in 45s): exit code 1");
}

TEST(WindowTest, ARestartIsWithinItUntilItsTimeIsUp) {
  Drive d;
  d.agent.restarts = {d.now() - 2s, d.now() - 1s, d.now()};
  EXPECT_EQ(restarts_within(d.agent, 2001ms, d.now()), 3);
  EXPECT_EQ(restarts_within(d.agent, 2s, d.now()), 2) << "as the budget counts them";
  prune_restarts(d.agent, {.restart_window = 2s}, d.now());
  EXPECT_EQ(d.agent.restarts.size(), 2U);
  EXPECT_EQ(restarts_within(d.agent, 2s, d.now() + 2s), 0) << "also while nothing prunes them";
}

TEST(StableTest, StableMeansUpWithoutInterruption) {
  Drive d;
  d.to_up();
  d.crash_and_restart();
  d.signal(SignalKind::idle);
  d.pass(d.policy.stable_after - 1ms);
  EXPECT_EQ(d.agent.failures, 1);
  EXPECT_EQ(d.agent.restarts.size(), 1U);
  d.pass(1ms);
  EXPECT_EQ(d.agent.failures, 0);
  EXPECT_TRUE(d.agent.restarts.empty());
}

TEST(StableTest, ADaemonThatWasAwayBeginsToCountAnew) {
  Drive d;
  d.to_up();
  d.crash_and_restart();
  d.signal(SignalKind::idle);
  d.pass(d.policy.stable_after - 1min);
  d.feed(DaemonStarted{});
  d.observe({d.own(ContainerState::running)});
  d.pass(2min);
  EXPECT_EQ(d.agent.failures, 1);
}

TEST(BudgetTest, NothingThatIsNotItsFaultSpendsIt) {
  const auto left = [](const std::function<void(Drive&)>& end) {
    Drive d;
    d.to_up();
    end(d);
    EXPECT_TRUE(d.agent.restarts.empty());
    EXPECT_EQ(d.agent.failures, 0);
    return d.agent.after;
  };
  EXPECT_EQ(left([](Drive& d) { d.feed(RestartAsked{"spec1"}), d.die(143); }), After::start);
  EXPECT_EQ(left([](Drive& d) {
              d.feed(Signal{.kind = SignalKind::rate_limited, .run = d.agent.run, .until = d.now() + 1h});
              d.die(1);
            }),
            After::hold);
  EXPECT_EQ(left([](Drive& d) { d.signal(SignalKind::auth_required), d.die(1); }), After::hold);
  EXPECT_EQ(left([](Drive& d) { d.feed(DaemonStarted{}), d.observe({}); }), After::backoff);
  EXPECT_EQ(left([](Drive& d) { d.die(137), d.feed(EngineLost{}); }), After::backoff);
}

TEST(BudgetTest, ALostEngineExcusesOnlyTheDeathsBeforeIt) {
  Drive d;
  d.to_up();
  d.die(137);
  d.bury();
  d.pass(*d.agent.next_restart_at - d.now());
  d.pass(d.policy.excuse_window);
  d.feed(EngineLost{});
  EXPECT_EQ(d.agent.restarts.size(), 1U) << "too long ago";
}

TEST(BudgetTest, AMassDeathExcusesWhatEndedByItselfOnly) {
  Drive broken;
  broken.to_launching();
  broken.die(127);
  broken.feed(MassDeath{broken.now() - 1s});
  broken.bury();
  EXPECT_EQ(broken.status(), Status::failed) << "the command is missing all the same";
  Drive stopped;
  stopped.to_up();
  stopped.stop();
  stopped.die(143);
  stopped.feed(MassDeath{stopped.now() - 1s});
  EXPECT_EQ(stopped.agent.wanted, Wanted::stopped);
  Drive counted;
  counted.to_up();
  counted.die(137);
  EXPECT_EQ(counted.agent.failures, 1);
  counted.feed(MassDeath{counted.now()});
  EXPECT_TRUE(counted.agent.restarts.empty());
  EXPECT_EQ(counted.agent.failures, 0);
}

TEST(BudgetTest, ADoneAgentThatTheEngineTookDownComesBackUnlessItMustNot) {
  Drive d;
  d.policy.on_clean_exit = CleanExit::never_restart;
  d.to_up();
  d.die(0);
  d.feed(EngineLost{});
  EXPECT_EQ(d.agent.wanted, Wanted::stopped);
  EXPECT_FALSE(d.agent.excused);
}

TEST(HoldTest, ALimitSleepsUntilItsTimeAndThirtyAgentsDoNotWakeTogether) {
  std::set<WallTime> wakes;
  for (int i = 0; i < 30; ++i) {
    Drive d;
    d.agent.name = *AgentName::parse("a" + std::to_string(i));
    d.to_up();
    const WallTime until = d.now() + 3h;
    d.feed(Signal{.kind = SignalKind::rate_limited, .run = d.agent.run, .until = until});
    d.die(1);
    d.bury();
    EXPECT_GE(*d.agent.next_restart_at, until);
    EXPECT_LE(*d.agent.next_restart_at, until + d.policy.limit_jitter);
    wakes.insert(*d.agent.next_restart_at);
    d.pass(3h - 1ms);
    EXPECT_EQ(d.phase(), Phase::held);
  }
  EXPECT_GT(wakes.size(), 25U);
}

TEST(HoldTest, ALimitOutlivesTheDaemon) {
  Drive d;
  d.to_up();
  const WallTime until = d.now() + 3h;
  d.feed(Signal{.kind = SignalKind::rate_limited, .run = d.agent.run, .until = until});
  d.pass(1h);
  d.agent = load_agent(d.agent);
  d.feed(DaemonStarted{});
  EXPECT_EQ(d.status(), Status::rate_limited) << "while it runs";
  d.observe({d.own(ContainerState::running)});
  d.die(1);
  d.bury();
  d.agent = load_agent(d.agent);
  d.feed(DaemonStarted{});
  d.observe({}, PaneState::none);
  EXPECT_EQ(d.status(), Status::rate_limited) << "while nothing does";
  d.pass(2h - 1ms);
  EXPECT_EQ(d.phase(), Phase::held);
  d.pass(d.policy.limit_jitter + 1ms);
  EXPECT_EQ(d.phase(), Phase::queued);
}

TEST(HoldTest, WithoutATimeALimitLastsItsDefault) {
  Drive d;
  d.to_up();
  d.signal(SignalKind::rate_limited);
  EXPECT_EQ(*d.agent.limited_until, d.now() + d.policy.limit_default);
}

// Runs a program for `time` that ends 100 ms after each of its starts, by `end`. How often it was started.
int starts_within(Millis time, const std::function<void(Drive&)>& end) {
  Drive d;
  d.start();
  const WallTime over = d.now() + time;
  while (d.now() < over && d.phase() != Phase::failed) {
    d.to_up();
    d.pass(100ms);
    end(d);
    d.bury();
    if (d.agent.next_restart_at) d.pass(*d.agent.next_restart_at - d.now());
  }
  EXPECT_TRUE(d.agent.restarts.empty());
  return d.count<Create>();
}

void end_with_limit(Drive& d, Millis claimed, int code) {
  d.feed(Signal{.kind = SignalKind::rate_limited, .run = d.agent.run, .until = d.now() + claimed});
  d.die(code);
}

TEST(HoldTest, AShortLimitThatIsClaimedAtEveryEndIsWaitedForEverLonger) {
  for (const Millis claimed : {Millis{1}, Millis{2s}, Millis{30s}, Millis{2min}}) {
    for (const int code : {0, 1, 137}) {
      const int starts = starts_within(1h, [&](Drive& d) { end_with_limit(d, claimed, code); });
      EXPECT_LE(starts, 28) << claimed.count() << " ms, exit code " << code;
      EXPECT_GE(starts, 10) << "it is not given up";
    }
  }
}

TEST(HoldTest, ALimitThatOutlastsTheBackoffIsWaitedForAndNoMore) {
  const int starts = starts_within(1h, [](Drive& d) { end_with_limit(d, 10min, 1); });
  EXPECT_EQ(starts, 6);
}

TEST(HoldTest, AStableRunForgetsTheShortLimits) {
  Drive d;
  for (int i = 0; i < 5; ++i) {
    d.to_up();
    end_with_limit(d, 2s, 1);
    d.bury();
    d.pass(*d.agent.next_restart_at - d.now());
  }
  EXPECT_EQ(d.agent.failures, 5);
  d.to_up();
  d.pass(d.policy.stable_after);
  EXPECT_EQ(d.agent.failures, 0);
}

TEST(HoldTest, ALoginHoldsForEverAndIsNoFailure) {
  Drive d;
  d.to_up();
  d.signal(SignalKind::auth_required);
  d.die(1);
  d.bury();
  d.pass(30 * 24h);
  EXPECT_EQ(d.phase(), Phase::held);
  EXPECT_EQ(d.agent.hold, Hold::login);
  EXPECT_EQ(d.count<Alert>(), 0);
  EXPECT_EQ(d.count<Create>(), 1);
  ASSERT_TRUE(d.agent.live.wake_at) << "it proves now and then that it is alive";
}

TEST(QuarantineTest, IsLeftByAPersonWithACleanSlateOnly) {
  Drive d;
  d.policy.max_restarts = 0;
  d.to_up();
  d.die(1);
  d.bury();
  ASSERT_EQ(d.status(), Status::failed);
  for (const Event& event : std::initializer_list<Event>{Admitted{}, EngineLost{}, EngineBack{},
                                                         Work{WorkState::open}, DaemonStarted{}, Tick{}}) {
    d.feed(event);
    d.pass(2h);
    EXPECT_EQ(d.phase(), Phase::failed) << event.index();
  }
  Drive restarted = d;
  restarted.feed(RestartAsked{"spec2"});
  EXPECT_EQ(restarted.phase(), Phase::queued);
  EXPECT_EQ(restarted.agent.reason, "");
  d.feed(StartAsked{"spec2"});
  EXPECT_EQ(d.phase(), Phase::queued);
  EXPECT_EQ(d.agent.spec_hash, "spec2");
}

TEST(AttemptTest, ACreateThatIsRefusedAgainAndAgainIsBounded) {
  Drive d;
  d.start();
  for (int i = 0; i <= d.policy.max_restarts; ++i) {
    d.feed(Admitted{});
    d.failed(Effect::create, Failure::definite);
    d.observe({}, PaneState::none);
    d.bury();
    if (d.phase() == Phase::backoff) d.pass(*d.agent.next_restart_at - d.now());
  }
  EXPECT_EQ(d.status(), Status::failed);
  EXPECT_EQ(d.agent.exit.reason, ExitReason::create_failed);
  EXPECT_EQ(d.agent.reason, "restart limit reached (3 in 30m00s): container could not be created: because");
}

TEST(AttemptTest, AStartThatIsRefusedForGoodFailsAtOnce) {
  Drive d;
  d.to_creating();
  d.done(Effect::create);
  d.failed(Effect::start, Failure::permanent);
  d.observe({d.own(ContainerState::created)});
  d.bury();
  EXPECT_EQ(d.status(), Status::failed);
  EXPECT_EQ(d.agent.exit.reason, ExitReason::broken_spec);
}

TEST(AttemptTest, AContainerThatWasRemovedWhileItStartedIsCounted) {
  Drive d;
  d.to_creating();
  d.done(Effect::create);
  d.failed(Effect::start, Failure::unknown);
  d.observe({}, PaneState::none);
  EXPECT_EQ(d.agent.exit.reason, ExitReason::start_failed);
  EXPECT_EQ(d.agent.restarts.size(), 1U);
}

TEST(AttemptTest, AStopWithoutAnAnswerIsKilledAndLookedAfterUntilItsEndIsSeen) {
  Drive d;
  d.to_up();
  d.stop();
  for (int i = 1; i <= 5; ++i) {
    d.pass(i == 1 ? 15s : 5s);
    EXPECT_EQ(d.count<Kill>(), i);
    EXPECT_TRUE(d.did<Look>());
  }
  d.failed(Effect::kill, Failure::unknown);
  EXPECT_TRUE(d.did<Look>());
  EXPECT_EQ(d.phase(), Phase::stopping) << "no answer is no proof";
  d.done(Effect::kill);
  EXPECT_EQ(d.phase(), Phase::stopping) << "nor is an answer";
  d.failed(Effect::kill, Failure::gone);
  EXPECT_EQ(d.phase(), Phase::removing);
}

TEST(AttemptTest, AStopThatIsUnderWayIsNotAskedAgainByASnapshot) {
  Drive d;
  d.to_up();
  d.stop();
  d.observe({d.own(ContainerState::running)});
  EXPECT_EQ(d.count<Stop>(), 1) << "nobody was away";
  d.feed(DaemonStarted{});
  d.feed(Observed{.as_of = d.agent.epoch,
                  .engine = Completeness::partial,
                  .containers = {d.own(ContainerState::running)}});
  EXPECT_EQ(d.count<Stop>(), 1) << "a partial one does not end the blindness";
  d.observe({d.own(ContainerState::running)});
  EXPECT_EQ(d.count<Stop>(), 2);
}

TEST(AttemptTest, AStopShortensTheWaitForTheAnswerThatIsUnderWay) {
  Drive d;
  d.to_creating();
  d.feed(StopAsked{3s});
  EXPECT_EQ(d.agent.deadline, d.now() + 3s + d.policy.stop_grace);
  d.feed(StopAsked{1h});
  EXPECT_EQ(d.agent.deadline, d.now() + 3s + d.policy.stop_grace) << "and never lengthens it";
}

TEST(AttemptTest, ATimeoutBeyondAllBoundsIsBounded) {
  Drive d;
  d.to_up();
  d.feed(StopAsked{24h});
  EXPECT_EQ(d.did<Stop>()->timeout, d.policy.stop_timeout_max);
}

TEST(ReportTest, TellsTheRestartThatFollowsOrThatNoneDoes) {
  Drive d;
  d.policy.max_restarts = 1;
  d.to_up();
  d.die(1);
  const auto* first = d.did<WriteCrashReport>();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->restart_number, 1);
  EXPECT_EQ(first->restart_limit, 1);
  EXPECT_EQ(first->next_restart_at, d.agent.next_restart_at);
  d.bury();
  wait_out(d);
  d.signal(SignalKind::idle);
  d.die(1);
  const auto* last = d.did<WriteCrashReport>();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->restart_number, 0);
  EXPECT_FALSE(last->next_restart_at);
}

TEST(ReportTest, IsAskedAgainByADaemonThatDidNotHearItsEnd) {
  Drive d;
  d.to_up();
  d.die(1);
  const LastExit exit = d.agent.exit;
  d.feed(DaemonStarted{});
  ASSERT_TRUE(d.did<WriteCrashReport>());
  EXPECT_EQ(d.did<WriteCrashReport>()->exit, exit);
  EXPECT_EQ(d.did<WriteCrashReport>()->run, RunId{1});
}

TEST(ReportTest, SaysTheSameWhenItIsAskedAgain) {
  Drive d;
  d.policy.max_restarts = 1;
  d.to_up();
  d.die(1);
  d.pass(1s);
  d.feed(DaemonStarted{});
  const auto* counted = d.did<WriteCrashReport>();
  ASSERT_TRUE(counted);
  EXPECT_EQ(counted->restart_number, 1) << "a restart follows";
  EXPECT_EQ(counted->restart_limit, 1);
  EXPECT_EQ(counted->next_restart_at, d.agent.next_restart_at);
  d.observe({d.own(ContainerState::exited, 1)});
  d.bury();
  wait_out(d);
  d.signal(SignalKind::idle);
  d.die(1);
  d.pass(1s);
  d.feed(DaemonStarted{});
  const auto* last = d.did<WriteCrashReport>();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->restart_number, 0) << "the budget is spent";
  EXPECT_FALSE(last->next_restart_at);
}

// The host: many agents that all want to start.
TEST(AdmissionTest, AHundredAgentsStartFourAtATimeAndAllInTheirTurn) {
  const HostPolicy host;
  std::vector<Drive> drives(100);
  for (std::size_t i = 0; i < drives.size(); ++i) {
    drives[i].agent.name = *AgentName::parse("a" + std::to_string(i));
    drives[i].start();
  }
  std::size_t started = 0;
  for (int round = 0; round < 200 && started < drives.size(); ++round) {
    std::vector<const Agent*> agents;
    for (const auto& drive : drives) agents.push_back(&drive.agent);
    const auto next = next_starts(agents, host);
    EXPECT_LE(std::ssize(next), host.max_starting);
    std::vector<AgentName> names;
    for (const Agent* agent : next) names.push_back(agent->name);
    for (auto& drive : drives) {
      if (std::ranges::count(names, drive.agent.name) == 0) continue;
      drive.to_up();
      ++started;
    }
    for (auto& drive : drives) drive.pass(1s);
  }
  EXPECT_EQ(started, drives.size());
}

TEST(DeathWatchTest, HoldsUntilItIsVerifiedOrItsTimeIsUp) {
  const WallTime now = Drive().now();
  const HostPolicy policy;
  DeathWatch watch{policy};
  for (int i = 0; i < 5; ++i) {
    const auto since = watch.died(*AgentName::parse("a" + std::to_string(i)), 5, now);
    EXPECT_EQ(since.has_value(), i == 4);
  }
  EXPECT_TRUE(watch.holds(now + policy.mass_death_hold - 1ms));
  EXPECT_FALSE(watch.holds(now + policy.mass_death_hold));
  EXPECT_EQ(watch.held_until(), now + policy.mass_death_hold);
  EXPECT_TRUE(watch.verified(now));
  EXPECT_FALSE(watch.held_until());
}

}  // namespace
}  // namespace agentmesh::watchdog::test
