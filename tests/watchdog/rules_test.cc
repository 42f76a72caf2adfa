// The small rules: exit classes, restart arithmetic, admission, mass death.
#include "tests/watchdog/drive.h"
#include "watchdog/admission.h"
#include "watchdog/exit_class.h"
#include "watchdog/restart.h"

#include <gtest/gtest.h>

namespace agentmesh::watchdog::test {
namespace {

struct ExitCase {
  EndOfRun end;
  ExitClass kind;
  ExitReason reason;
  std::string text;
};

TEST(ExitClassTest, Table) {
  const std::vector<ExitCase> cases{
      {{.code = 0}, ExitClass::done, ExitReason::done, "done, exit code 0"},
      {{.code = 0, .work = true},
       ExitClass::transient,
       ExitReason::exited,
       "exited with its work unfinished, exit code 0"},
      {{.code = 0, .work = true, .on_clean_exit = CleanExit::never_restart},
       ExitClass::done,
       ExitReason::done,
       "done, exit code 0"},
      {{.code = 0, .on_clean_exit = CleanExit::restart_always},
       ExitClass::transient,
       ExitReason::exited,
       "exited with its work unfinished, exit code 0"},
      {{.code = 0, .witnessed = false},
       ExitClass::transient,
       ExitReason::exited,
       "exited with its work unfinished, exit code 0"},
      {{.code = 1}, ExitClass::transient, ExitReason::crashed, "exit code 1"},
      {{.code = 255}, ExitClass::transient, ExitReason::crashed, "exit code 255"},
      {{.code = -1}, ExitClass::transient, ExitReason::crashed, "exit code -1"},
      {{.code = 137}, ExitClass::transient, ExitReason::killed, "exit code 137 (SIGKILL)"},
      {{.code = 139}, ExitClass::transient, ExitReason::killed, "exit code 139 (SIGSEGV)"},
      {{.code = 163}, ExitClass::transient, ExitReason::killed, "exit code 163 (signal 35)"},
      {{.code = 137, .oom_killed = true},
       ExitClass::transient,
       ExitReason::out_of_memory,
       "out of memory (main process), exit code 137 (SIGKILL)"},
      {{.code = 1, .oom_killed = true},
       ExitClass::transient,
       ExitReason::out_of_memory_child,
       "out of memory (a child process), exit code 1"},
      {{.code = 1, .oom_child = true},
       ExitClass::transient,
       ExitReason::out_of_memory_child,
       "out of memory (a child process), exit code 1"},
      {{.code = 0, .oom_child = true}, ExitClass::done, ExitReason::done, "done, exit code 0"},
      {{.code = 127, .early = true},
       ExitClass::broken,
       ExitReason::command_not_found,
       "command not found, exit code 127"},
      {{.code = 126, .early = true},
       ExitClass::broken,
       ExitReason::not_executable,
       "command not executable, exit code 126"},
      {{.code = 127}, ExitClass::transient, ExitReason::crashed, "exit code 127"},
      {{.code = 1, .limited = true}, ExitClass::limited, ExitReason::usage_limit, "usage limit, exit code 1"},
      {{.code = 0, .login_shown = true},
       ExitClass::login,
       ExitReason::login_needed,
       "login needed, exit code 0"},
      {{}, ExitClass::transient, ExitReason::container_gone, "container removed by somebody else"},
      {{.code = 143, .ending = ExitReason::stopped_by_user},
       ExitClass::asked,
       ExitReason::stopped_by_user,
       "stopped by user, exit code 143 (SIGTERM)"},
      {{.code = 0, .ending = ExitReason::stuck_after_nudge},
       ExitClass::asked,
       ExitReason::stuck_after_nudge,
       "stuck, and a nudge did not help, exit code 0"},
  };
  for (const auto& row : cases) {
    const ExitVerdict verdict = classify(row.end);
    EXPECT_EQ(to_string(verdict.kind), to_string(row.kind)) << row.text;
    EXPECT_EQ(to_string(verdict.reason), to_string(row.reason)) << row.text;
    EXPECT_EQ(verdict.text, row.text);
    EXPECT_EQ(verdict.oom_main, row.reason == ExitReason::out_of_memory) << row.text;
  }
}

TEST(ExitClassTest, ZeroOfAProgramThatIsNeverRestartedForItIsDoneWhateverItTold) {
  const auto kind = [](EndOfRun end) {
    end.on_clean_exit = CleanExit::never_restart;
    return classify(end).kind;
  };
  EXPECT_EQ(kind({.code = 0}), ExitClass::done);
  EXPECT_EQ(kind({.code = 0, .limited = true}), ExitClass::done);
  EXPECT_EQ(kind({.code = 0, .login_shown = true}), ExitClass::done);
  EXPECT_EQ(kind({.code = 0, .work = true, .witnessed = false}), ExitClass::done);
  EXPECT_EQ(kind({.code = 1, .limited = true}), ExitClass::limited);
  EXPECT_EQ(kind({.code = 0, .ending = ExitReason::stuck_after_nudge}), ExitClass::asked);
  EXPECT_EQ(classify({.code = 0, .limited = true}).kind, ExitClass::limited) << "any other program's";
}

TEST(ExitClassTest, EachHasItsName) {
  EXPECT_EQ(to_string(ExitClass::asked), "asked");
  EXPECT_EQ(to_string(ExitClass::broken), "broken");
}

TEST(FailureTest, TimeoutIsUnknown) {
  EXPECT_EQ(failure_of(Effect::create, {.code = ErrorCode::timeout}), Failure::unknown);
  EXPECT_EQ(failure_of(Effect::create, {.code = ErrorCode::unavailable}), Failure::unreachable);
  EXPECT_EQ(failure_of(Effect::create, {.code = ErrorCode::not_found}), Failure::permanent);
  EXPECT_EQ(failure_of(Effect::remove, {.code = ErrorCode::not_found}), Failure::gone);
  EXPECT_EQ(failure_of(Effect::start, {.code = ErrorCode::invalid}), Failure::permanent);
  EXPECT_EQ(failure_of(Effect::start, {.code = ErrorCode::internal}), Failure::definite);
}

TEST(RestartMathTest, TheCurveDoublesToItsCapWithinTheJitter) {
  const Policy policy;
  Drive d;
  Millis nominal = policy.backoff_first;
  for (d.agent.failures = 1; d.agent.failures < 40; ++d.agent.failures) {
    const Millis delay = restart_delay(d.agent, policy);
    EXPECT_GE(delay, nominal * 3 / 4) << d.agent.failures;
    EXPECT_LE(delay, nominal * 5 / 4) << d.agent.failures;
    nominal = std::min(nominal * 2, policy.backoff_max);
  }
}

TEST(RestartMathTest, NoWaitAtFirstIsNoWaitEver) {
  Policy policy;
  policy.backoff_first = Millis{0};
  Drive d;
  for (d.agent.failures = 1; d.agent.failures < 40; ++d.agent.failures) {
    EXPECT_EQ(restart_delay(d.agent, policy), Millis{0}) << d.agent.failures;
  }
}

TEST(RestartMathTest, JitterIsPureAndSpreadsAgents) {
  const Policy policy;
  std::set<Millis> delays;
  for (int i = 0; i < 30; ++i) {
    Agent agent = make_agent(*AgentName::parse("a" + std::to_string(i)), WallTime{});
    agent.failures = 5;
    EXPECT_EQ(restart_delay(agent, policy), restart_delay(agent, policy));
    delays.insert(restart_delay(agent, policy));
  }
  EXPECT_GT(delays.size(), 25U);
}

TEST(RestartMathTest, TheWindowSlides) {
  const Policy policy;
  Drive d;
  d.agent.restarts = {d.now() - 31min, d.now() - 30min, d.now() - 29min};
  EXPECT_FALSE(budget_left(d.agent, policy));
  prune_restarts(d.agent, policy, d.now());
  EXPECT_EQ(d.agent.restarts.size(), 1U);
  EXPECT_TRUE(budget_left(d.agent, policy));
}

std::vector<Agent> agents_in(std::initializer_list<Phase> phases, WallTime now) {
  std::vector<Agent> agents;
  for (const Phase phase : phases) {
    agents.push_back(make_agent(*AgentName::parse("a" + std::to_string(agents.size())), now));
    agents.back().phase = phase;
    agents.back().phase_since = now + Millis{std::ssize(agents)};
  }
  return agents;
}

std::vector<const Agent*> pointers(const std::vector<Agent>& agents) {
  std::vector<const Agent*> all;
  for (const auto& agent : agents) all.push_back(&agent);
  return all;
}

TEST(AdmissionTest, AtMostFourAtATimeLongestWaitingFirst) {
  const WallTime now = Drive().now();
  auto agents = agents_in(
      {Phase::queued, Phase::creating, Phase::starting, Phase::queued, Phase::queued, Phase::up}, now);
  agents[0].phase_since = now + 1min;
  const auto next = next_starts(pointers(agents), HostPolicy{});
  ASSERT_EQ(next.size(), 2U);
  EXPECT_EQ(next[0], &agents[3]);
  EXPECT_EQ(next[1], &agents[4]);
  agents[3].live.blind = true;
  EXPECT_EQ(next_starts(pointers(agents), HostPolicy{}).front(), &agents[4]);
}

TEST(AdmissionTest, ALaunchHoldsItsSlotUntilItIsUp) {
  const WallTime now = Drive().now();
  const HostPolicy policy{.max_starting = 1};
  auto agents = agents_in({Phase::launching, Phase::queued}, now);
  EXPECT_TRUE(next_starts(pointers(agents), policy).empty());
  agents[0].phase = Phase::up;
  EXPECT_EQ(next_starts(pointers(agents), policy).size(), 1U);
}

TEST(DeathWatchTest, TripsOnFiveAndOverHalfWithinTheWindow) {
  const WallTime now = Drive().now();
  const auto name = [](int i) { return *AgentName::parse("a" + std::to_string(i)); };
  DeathWatch watch{HostPolicy{}};
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(watch.died(name(i), 8U - static_cast<unsigned>(i), now + i * 1s));
  const auto mass = watch.died(name(4), 4, now + 4s);
  ASSERT_TRUE(mass);
  EXPECT_EQ(mass->since, now);
  EXPECT_EQ(mass->news, News::first);
  EXPECT_TRUE(watch.holds(now + 5s));
  EXPECT_FALSE(watch.holds(now + 40s));
}

TEST(DeathWatchTest, AMassDeathIsToldOnceHoweverManyDieOfIt) {
  const WallTime now = Drive().now();
  const auto name = [](int i) { return *AgentName::parse("a" + std::to_string(i)); };
  DeathWatch watch{HostPolicy{}};
  for (int i = 0; i < 5; ++i) (void)watch.died(name(i), 9U - static_cast<unsigned>(i), now);
  for (int i = 5; i < 9; ++i) {
    const auto further = watch.died(name(i), 9U - static_cast<unsigned>(i), now + i * 1s);
    ASSERT_TRUE(further) << i;
    EXPECT_EQ(further->news, News::further) << i;
    EXPECT_EQ(further->since, now);
    EXPECT_TRUE(watch.verified(now + i * 1s));
  }
  for (int i = 0; i < 5; ++i) {
    const auto another = watch.died(name(i), 5, now + 18s);
    EXPECT_EQ(another.has_value(), i == 4);
    if (another) EXPECT_EQ(another->news, News::first) << "the last one of the first was 10 s ago";
  }
}

TEST(DeathWatchTest, OnlyALookBegunSinceThenVerifies) {
  const WallTime now = Drive().now();
  DeathWatch watch{HostPolicy{}};
  EXPECT_FALSE(watch.verified(now)) << "nothing is held";
  for (int i = 0; i < 5; ++i) (void)watch.died(*AgentName::parse("a" + std::to_string(i)), 5, now);
  EXPECT_FALSE(watch.verified(now - 1ms));
  EXPECT_TRUE(watch.holds(now));
  EXPECT_TRUE(watch.verified(now));
  EXPECT_FALSE(watch.holds(now));
  EXPECT_FALSE(watch.verified(now)) << "it was said";
}

TEST(DeathWatchTest, StaysCalmForFewForHalfForSlowAndForOneThatLoops) {
  const WallTime now = Drive().now();
  const auto name = [](int i) { return *AgentName::parse("a" + std::to_string(i)); };
  DeathWatch half{HostPolicy{}};
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(half.died(name(i), 10U - static_cast<unsigned>(i), now));
  DeathWatch slow{HostPolicy{}};
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(slow.died(name(i), 9U - static_cast<unsigned>(i), now + i * 3s));
  DeathWatch loop{HostPolicy{}};
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(loop.died(name(0), 1, now + i * 1s));
}

}  // namespace
}  // namespace agentmesh::watchdog::test
