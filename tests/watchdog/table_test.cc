// The full table: every phase, wanted or not, times every event, and every pair of events after it. What must
// hold after any step at all.
#include "tests/watchdog/drive.h"

#include <functional>
#include <map>

#include <gtest/gtest.h>

namespace agentmesh::watchdog::test {
namespace {

using Case = std::pair<std::string, Drive>;

Drive made(const std::function<void(Drive&)>& story) {
  Drive drive;
  story(drive);
  return drive;
}

Drive held(SignalKind why) {
  return made([&](Drive& d) {
    d.to_up();
    d.signal(why);
    d.die(1);
    d.bury();
  });
}

std::vector<Case> all_phases() {
  std::vector<Case> cases;
  const auto add = [&](std::string name, const std::function<void(Drive&)>& story) {
    cases.emplace_back(std::move(name), made(story));
  };
  add("absent", [](Drive&) {});
  add("queued", [](Drive& d) { d.start(); });
  add("creating", [](Drive& d) { d.to_creating(); });
  add("creating, to stop", [](Drive& d) { d.to_creating(), d.stop(); });
  add("creating, to restart", [](Drive& d) { d.to_creating(), d.feed(RestartAsked{"spec2"}); });
  add("starting", [](Drive& d) { d.to_creating(), d.done(Effect::create); });
  add("starting, to stop", [](Drive& d) { d.to_creating(), d.done(Effect::create), d.stop(); });
  add("launching", [](Drive& d) { d.to_launching(); });
  add("up idle", [](Drive& d) { d.to_up(); });
  add("up busy", [](Drive& d) { d.to_up(), d.signal(SignalKind::busy); });
  add("up unknown", [](Drive& d) { d.to_up(), d.signal(SignalKind::unreadable); });
  add("up permission", [](Drive& d) { d.to_up(), d.signal(SignalKind::permission_asked); });
  add("up question", [](Drive& d) { d.to_up(), d.signal(SignalKind::question_asked); });
  add("up limited", [](Drive& d) { d.to_up(), d.signal(SignalKind::rate_limited); });
  add("up login", [](Drive& d) { d.to_up(), d.signal(SignalKind::auth_required); });
  add("up probed", [](Drive& d) { d.probed.reset(), d.to_up(), d.signal(SignalKind::busy), d.pass(5min); });
  add("up stuck", [](Drive& d) { d.to_up(), d.signal(SignalKind::busy), d.pass(5min); });
  add("up stuck, probed",
      [](Drive& d) { d.to_up(), d.signal(SignalKind::busy), d.pass(5min), d.probed.reset(), d.pass(2min); });
  add("up looping", [](Drive& d) { d.to_up(), d.signal(SignalKind::busy), d.signal(SignalKind::repeated); });
  add("up blind", [](Drive& d) { d.to_up(), d.feed(DaemonStarted{}); });
  add("up engine lost", [](Drive& d) { d.to_up(), d.feed(EngineLost{}); });
  add("stopping", [](Drive& d) { d.to_up(), d.stop(); });
  add("stopping, to restart", [](Drive& d) { d.to_up(), d.feed(RestartAsked{"spec1"}); });
  add("stopping, stuck", [](Drive& d) { d.to_up(), d.signal(SignalKind::busy), d.pass(7min); });
  add("ended", [](Drive& d) { d.to_up(), d.die(1); });
  add("ended, to stop", [](Drive& d) { d.to_up(), d.die(1), d.stop(); });
  add("removing", [](Drive& d) { d.to_up(), d.die(1), d.done(Effect::write_report); });
  add("removing, to stop", [](Drive& d) { d.to_up(), d.die(1), d.done(Effect::write_report), d.stop(); });
  add("removing, done", [](Drive& d) { d.to_up(), d.die(0); });
  for (const Failure failure :
       {Failure::definite, Failure::unreachable, Failure::unknown, Failure::permanent}) {
    const std::string how(to_string(failure));
    add("checking create " + how, [&](Drive& d) { d.to_creating(), d.failed(Effect::create, failure); });
    add("checking start " + how, [&](Drive& d) {
      d.to_creating();
      d.done(Effect::create);
      d.failed(Effect::start, failure);
    });
  }
  add("checking, to stop",
      [](Drive& d) { d.to_creating(), d.failed(Effect::create, Failure::unknown), d.stop(); });
  add("checking remove", [](Drive& d) {
    d.to_up(), d.die(1), d.done(Effect::write_report), d.failed(Effect::remove, Failure::unknown);
  });
  add("backoff", [](Drive& d) { d.to_up(), d.die(1), d.bury(); });
  cases.emplace_back("held limit", held(SignalKind::rate_limited));
  cases.emplace_back("held login", held(SignalKind::auth_required));
  add("failed", [](Drive& d) { d.to_launching(), d.die(127), d.bury(); });
  return cases;
}

std::vector<Event> all_events(const Agent& agent) {
  std::vector<Event> events{StartAsked{"spec1"},
                            StartAsked{"spec2", Conversation::fresh},
                            StopAsked{10s},
                            StopAsked{Millis{}, StopManner::force},
                            StopAsked{-1s},
                            RestartAsked{"spec2", Conversation::resume, 3s},
                            DaemonStarted{},
                            Admitted{},
                            OomKilled{agent.run},
                            ContainerGone{agent.run},
                            PaneLost{agent.run},
                            Work{WorkState::open},
                            Work{WorkState::none},
                            EngineLost{},
                            EngineBack{},
                            MassDeath{WallTime{Millis{1'600'000'000'000}}},
                            Tick{}};
  for (int effect = 0; effect <= static_cast<int>(Effect::write_report); ++effect) {
    events.emplace_back(EffectDone{static_cast<Effect>(effect), agent.run, "c"});
    for (int failure = 0; failure <= static_cast<int>(Failure::gone); ++failure) {
      events.emplace_back(
          EffectFailed{static_cast<Effect>(effect), agent.run, static_cast<Failure>(failure), "because"});
    }
  }
  for (const int code : {0, 1, 126, 127, 137, 143, 255, -1, 100'000}) {
    events.emplace_back(ContainerDied{agent.run, code, false});
    events.emplace_back(ContainerDied{agent.run, code, true});
  }
  for (int kind = 0; kind <= static_cast<int>(SignalKind::answers); ++kind) {
    for (const Source source : {Source::inferred, Source::native}) {
      events.emplace_back(Signal{.kind = static_cast<SignalKind>(kind), .run = agent.run, .source = source});
    }
  }
  for (const Delivery delivery :
       {Delivery::delivered, Delivery::blocked, Delivery::at_limit, Delivery::failed}) {
    events.emplace_back(NudgeResult{agent.run, delivery});
  }
  for (const Progress progress : {Progress::none, Progress::seen, Progress::unknown}) {
    events.emplace_back(Probed{agent.run, agent.live.probe_asked.value_or(WallTime{}), progress, "looked"});
  }
  for (const auto completeness : {Completeness::complete, Completeness::partial}) {
    for (const PaneState pane : {PaneState::unasked, PaneState::none, PaneState::live, PaneState::dead}) {
      const auto seen = [&](std::vector<ContainerSeen> boxes) {
        events.emplace_back(Observed{agent.epoch, completeness, std::move(boxes), pane});
      };
      seen({});
      for (const auto state : {ContainerState::created, ContainerState::running, ContainerState::exited}) {
        const ContainerSeen own{.run = agent.run, .container_id = "c", .state = state, .exit_code = 1};
        const ContainerSeen other{.run = RunId{agent.run.value + 7}, .container_id = "d", .state = state};
        seen({own});
        seen({other});
        seen({own, other});
      }
    }
  }
  return events;
}

bool rests(Phase phase) {
  return phase == Phase::absent || phase == Phase::queued || phase == Phase::backoff ||
         phase == Phase::held || phase == Phase::failed;
}

bool touches_engine(const Action& action) {
  return std::holds_alternative<Create>(action) || std::holds_alternative<Start>(action) ||
         std::holds_alternative<Stop>(action) || std::holds_alternative<Kill>(action) ||
         std::holds_alternative<Remove>(action);
}

// The first law that the step breaks, or empty.
std::string broken_law(const Agent& before, const Event& event, const Step& next) {
  const Agent& after = next.agent;
  const bool persists = !next.actions.empty() && std::holds_alternative<Persist>(next.actions.front());
  const bool changed = static_cast<const AgentRecord&>(before) != static_cast<const AgentRecord&>(after);
  if (changed && !persists) return "a changed record is not saved";
  int begins = 0;
  for (std::size_t i = 0; i < next.actions.size(); ++i) {
    const Action& action = next.actions[i];
    if (touches_engine(action) && !persists) return "an effect that is not announced";
    if (i > 0 && std::holds_alternative<Persist>(action)) return "a Persist that is not first";
    if (const auto* create = std::get_if<Create>(&action)) {
      ++begins;
      if (create->run != after.run) return "create of another run";
      if (after.phase != Phase::creating) return "create outside creating";
      if (before.phase != Phase::queued) return "create without admission";
    }
    if (const auto* start = std::get_if<Start>(&action)) {
      ++begins;
      if (start->run != after.run || start->container_id.empty()) return "start of something else";
    }
    if (std::holds_alternative<Nudge>(action)) {
      const Condition shown = before.live.condition;
      const bool allowed = shown == Condition::busy || shown == Condition::idle ||
                           shown == Condition::stuck || shown == Condition::rate_limited;
      if (!allowed) return "typed into " + std::string(to_string(shown));
    }
  }
  if (begins > 1) return "two begins in one step";
  if (begins > 0 && after.wanted == Wanted::stopped) return "a begin while stopped is wanted";
  if (after.phase != Phase::absent && (!after.deadline || !after.live.wake_at)) return "no wake time";
  if (after.phase == Phase::absent && after.wanted == Wanted::running) return "wanted, but absent";
  if (rests(after.phase) && after.phase != Phase::absent && after.wanted == Wanted::stopped)
    return "stopped in vain";
  if ((after.phase == Phase::up || after.phase == Phase::launching) && after.wanted == Wanted::stopped) {
    return "runs though stopped";
  }
  if (after.run < before.run || after.run.value > before.run.value + 7) return "the run jumped";
  if (!rests(before.phase) && after.run != before.run) return "the run changed under way";
  if (after.phase == Phase::backoff && !after.next_restart_at) return "backoff without an end";
  const bool asked = std::holds_alternative<StartAsked>(event) ||
                     std::holds_alternative<RestartAsked>(event) || std::holds_alternative<StopAsked>(event);
  const bool leaves = before.phase == Phase::failed && after.phase != Phase::failed;
  if (leaves && !asked && after.phase != Phase::checking) return "quarantine left by itself";
  if (std::holds_alternative<StopAsked>(event) && after.wanted != Wanted::stopped)
    return "a stop was not heard";
  if (status_of(after) == Status::failed && after.reason.empty()) return "failed without a reason";
  return "";
}

void expect_lawful(const std::string& name, const Drive& from, const Event& event, const Step& next) {
  const std::string law = broken_law(from.agent, event, next);
  if (law.empty()) return;
  std::string did;
  for (const auto& action : next.actions) did += std::string(action_name(action)) + " ";
  ADD_FAILURE() << law << ": " << name << ", event " << event.index() << ": " << to_string(from.agent.phase)
                << " -> " << to_string(next.agent.phase) << ": " << did;
}

TEST(TableTest, EveryPhaseTimesEveryPairOfEvents) {
  for (const auto& [name, drive] : all_phases()) {
    for (const auto& event : all_events(drive.agent)) {
      const Step first = step(drive.agent, event, drive.policy, drive.now() + 1s);
      expect_lawful(name, drive, event, first);
      Drive next = drive;
      next.agent = first.agent;
      for (const auto& second : all_events(next.agent)) {
        expect_lawful(name, next, second, step(next.agent, second, drive.policy, drive.now() + 10min));
        if (HasFailure()) return;
      }
    }
  }
}

TEST(TableTest, TheCasesCoverEveryPhase) {
  std::map<Phase, int> seen;
  for (const auto& [name, drive] : all_phases()) ++seen[drive.agent.phase];
  for (int phase = 0; phase <= static_cast<int>(Phase::failed); ++phase) {
    EXPECT_GT(seen[static_cast<Phase>(phase)], 0) << to_string(static_cast<Phase>(phase));
  }
}

TEST(TableTest, EventsOfAnotherRunChangeNothing) {
  for (const auto& [name, drive] : all_phases()) {
    Agent other = drive.agent;
    other.run = RunId{drive.agent.run.value + 1};
    for (const auto& event : all_events(other)) {
      const bool has_run =
          std::holds_alternative<EffectDone>(event) || std::holds_alternative<EffectFailed>(event) ||
          std::holds_alternative<ContainerDied>(event) || std::holds_alternative<OomKilled>(event) ||
          std::holds_alternative<ContainerGone>(event) || std::holds_alternative<PaneLost>(event) ||
          std::holds_alternative<Signal>(event) || std::holds_alternative<NudgeResult>(event) ||
          std::holds_alternative<Probed>(event);
      if (!has_run) continue;
      const Step next = step(drive.agent, event, drive.policy, drive.now());
      EXPECT_EQ(static_cast<const AgentRecord&>(next.agent), static_cast<const AgentRecord&>(drive.agent))
          << name;
      EXPECT_EQ(next.agent.live, drive.agent.live) << name << " event " << event.index();
      EXPECT_TRUE(next.actions.empty()) << name;
    }
  }
}

TEST(TableTest, AnEarlyTickChangesNothing) {
  for (const auto& [name, drive] : all_phases()) {
    const Step next = step(drive.agent, Tick{}, drive.policy, drive.now());
    EXPECT_EQ(static_cast<const AgentRecord&>(next.agent), static_cast<const AgentRecord&>(drive.agent))
        << name;
    EXPECT_TRUE(next.actions.empty()) << name;
  }
}

TEST(TableTest, AStaleSnapshotProvesNothing) {
  for (const auto& [name, drive] : all_phases()) {
    const Step next = step(drive.agent, Observed{.as_of = drive.agent.epoch + 1}, drive.policy, drive.now());
    EXPECT_EQ(static_cast<const AgentRecord&>(next.agent), static_cast<const AgentRecord&>(drive.agent))
        << name;
    EXPECT_TRUE(next.actions.empty()) << name;
  }
}

// Whatever happened, a stop and complete, truthful snapshots lead to absent, and nothing begins on the way.
TEST(TableTest, AStopEndsAbsentFromEverywhere) {
  for (const auto& [name, start] : all_phases()) {
    Drive drive = start;
    drive.stop();
    drive.seen.clear();
    for (int i = 0; i < 20 && drive.phase() != Phase::absent; ++i) {
      drive.pass(30s);
      drive.observe({}, PaneState::none);
    }
    EXPECT_EQ(drive.phase(), Phase::absent) << name;
    EXPECT_EQ(drive.count<Create>() + drive.count<Start>(), 0) << name;
  }
}

// A clock that was set back a day while the daemon was away delays nothing but a usage limit.
TEST(TableTest, AClockSetBackStarvesNoWake) {
  for (const auto& [name, start] : all_phases()) {
    Drive drive = start;
    const WallTime earlier = drive.now() - 24h;
    drive.set_clock(earlier);
    drive.feed(DaemonStarted{});
    if (drive.phase() == Phase::absent || drive.phase() == Phase::held) continue;
    ASSERT_TRUE(drive.agent.live.wake_at) << name;
    EXPECT_LE(*drive.agent.live.wake_at, earlier + 1h) << name;
    EXPECT_LE(drive.agent.phase_since, earlier) << name;
  }
}

}  // namespace
}  // namespace agentmesh::watchdog::test
