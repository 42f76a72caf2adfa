// Thousands of small worlds that lose answers, lie, delay and crash. AGENTMESH_SIM_SEEDS sets how many,
// AGENTMESH_SIM_SEED runs one and prints its history.
#include "tests/watchdog/world.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <gtest/gtest.h>

namespace agentmesh::watchdog::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Millis kChaos = minutes{12};
constexpr Millis kCalm = minutes{20};  // more than the longest backoff and a relist
constexpr Millis kRelist = seconds{60};
constexpr std::size_t kHistory = 400;
constexpr Millis kLongestSilence = seconds{45};  // the longest of stuck_after, nudge_wait, probe_timeout

AgentName name() { return *AgentName::parse("a1"); }

Policy quick_policy(std::mt19937_64& random) {
  Policy policy;
  policy.max_restarts = static_cast<int>(random() % 12);
  policy.stuck_after = seconds{40};
  policy.nudge_wait = seconds{15};
  policy.limit_default = seconds{90};
  policy.limit_max = minutes{5};
  policy.create_timeout = seconds{20};
  policy.start_timeout = seconds{20};
  return policy;
}

}  // namespace

World::World(std::uint64_t seed, Telling telling)
    : telling_(telling == Telling::history),
      random_(seed),
      policy_(quick_policy(random_)),
      agent_(make_agent(name(), time_)),
      journal_(agent_) {}

bool World::chance(int percent) {
  return mood_ == Mood::chaos && static_cast<int>(random_() % 100) < percent;
}

Millis World::between(Millis low, Millis high) {
  return low +
         Millis{static_cast<Millis::rep>(random_() % static_cast<std::uint64_t>((high - low).count() + 1))};
}

void World::at(Millis delay, std::function<void()> what) {
  items_.push({time_ + delay, order_++, std::nullopt, std::move(what)});
}

void World::to_daemon(Millis delay, Event event) {
  items_.push({time_ + delay, order_++, daemon_, [this, event = std::move(event)] { feed(event); }});
}

void World::run_until(WallTime end) {
  while (broken_.empty()) {
    std::optional<WallTime> wake;
    if (daemon_up_ && agent_.live.wake_at) wake = std::max(time_, *agent_.live.wake_at - skew_);
    const WallTime next_item = items_.empty() ? WallTime::max() : items_.top().at;
    const WallTime next = std::min(next_item, wake.value_or(WallTime::max()));
    if (next > end) break;
    time_ = std::max(time_, next);
    if (wake && *wake <= next_item) {
      feed(Tick{});
      if (!last_saved_) to_daemon(seconds{1}, Tick{});
      continue;
    }
    Item item = items_.top();
    items_.pop();
    if (!item.daemon || (daemon_up_ && *item.daemon == daemon_)) item.what();
  }
  time_ = std::max(time_, end);
}

void World::broken(std::string what) {
  say("BROKEN " + what);
  if (broken_.empty()) broken_ = std::move(what);
}

void World::say(std::string what) {
  if (!telling_) return;
  if (history_.size() == kHistory) history_.erase(history_.begin());
  history_.push_back(to_rfc3339(time_) + " " + std::move(what));
}

// ------------------------------------------------------------------ the daemon

void World::feed(const Event& event) {
  if (!daemon_up_) return;
  const Agent before = agent_;
  Step next = step(agent_, event, policy_, time_ + skew_);
  ++steps_;
  check_step(before, next);
  tell(event, before, next);
  const bool saves = !next.actions.empty() && std::holds_alternative<Persist>(next.actions.front());
  last_saved_ = !saves || !chance(2);
  if (!last_saved_) return say("disk full");
  agent_ = std::move(next.agent);
  if (!perform_all(next.actions)) return;
  admit();
}

void World::tell(const Event& event, const Agent& before, const Step& next) {
  if (!telling_) return;
  std::string line = "event " + std::to_string(event.index()) + ": " + std::string(to_string(before.phase)) +
                     " -> " + std::string(to_string(next.agent.phase)) + " wanted " +
                     std::string(to_string(next.agent.wanted)) + " run " +
                     std::to_string(next.agent.run.value);
  for (const auto& action : next.actions) line += " " + std::string(action_name(action));
  say(line);
}

bool World::perform_all(const std::vector<Action>& actions) {
  for (const auto& action : actions) {
    if (chance(1)) {
      crash();
      return false;
    }
    std::visit([this](const auto& what) { perform(what); }, action);
  }
  return true;
}

void World::crash() {
  say("daemon dies");
  ++crashes_;
  ++daemon_;
  daemon_up_ = false;
  at(between(milliseconds{10}, seconds{20}), [this] { boot(); });
}

void World::boot() {
  if (chance(20)) skew_ -= between(seconds{1}, minutes{60});
  agent_ = load_agent(journal_);
  daemon_up_ = true;
  admitting_ = false;
  say("daemon starts");
  feed(DaemonStarted{});
}

void World::admit() {
  if (agent_.phase != Phase::queued || admitting_) return;
  admitting_ = true;
  const auto life = daemon_;
  items_.push({time_ + between(milliseconds{0}, seconds{2}), order_++, life, [this] {
                 admitting_ = false;
                 feed(Admitted{});
               }});
}

void World::relist() {
  look();
  at(kRelist, [this] { relist(); });
}

// The listing is begun now, the engine answers somewhere on the way, the daemon hears it later.
void World::look() {
  if (!daemon_up_ || !engine_up_ || chance(5)) return;
  const auto as_of = agent_.epoch;
  const bool partial = chance(5);
  const auto life = daemon_;
  const auto way = between(milliseconds{1}, milliseconds{400});
  at(way, [this, as_of, partial, life] {
    Observed seen{
        .as_of = as_of, .engine = partial ? Completeness::partial : Completeness::complete, .pane = pane_};
    for (const auto& [run, box] : containers_) {
      if (partial && chance(50)) continue;
      seen.containers.push_back({run, box.id, box.state, box.exit_code, box.oom});
    }
    items_.push({time_ + between(milliseconds{1}, milliseconds{400}), order_++, life,
                 [this, seen = std::move(seen)] { feed(seen); }});
  });
}

void World::check_step(const Agent& before, const Step& next) {
  const Agent& after = next.agent;
  if (after.phase != Phase::absent && !after.live.wake_at) broken("a waiting phase without a wake");
  for (const auto& action : next.actions) {
    const bool begins = std::holds_alternative<Create>(action) || std::holds_alternative<Start>(action);
    if (begins && after.wanted != Wanted::running) broken("start of an agent that is to be stopped");
    if (begins && asked_ == Wanted::stopped) broken("start after a stop");
  }
  const bool works = after.phase == Phase::up && has_work(after) && after.live.pane_open;
  constexpr std::array kToldOf{Condition::auth_required, Condition::rate_limited,
                               Condition::waiting_permission, Condition::waiting_question};
  const bool person_knows = after.live.unknown_told || std::ranges::count(kToldOf, after.live.condition) > 0;
  const bool watched = after.live.wake_at && *after.live.wake_at <= time_ + skew_ + kLongestSilence;
  if (works && !person_knows && !after.live.engine_lost && !watched) broken("work that nobody looks after");
  const auto box = containers_.find(before.run);
  const bool alive = box != containers_.end() && box->second.state == ContainerState::running;
  const bool lived = before.phase == Phase::launching || before.phase == Phase::up;
  const bool declared_dead = lived && (after.phase == Phase::ended || after.phase == Phase::removing);
  if (alive && declared_dead) broken("a living run was declared dead");
  const bool stuck = after.ending == ExitReason::stuck_after_nudge && before.phase == Phase::up;
  if (stuck && before.unproved && after.unproved) broken("a second restart without proof");
  if (before.phase == Phase::failed && after.phase == Phase::creating) broken("quarantine left by itself");
}

// ------------------------------------------------------------------ effects

void World::perform(const Persist&) { journal_ = agent_; }

void World::effect(Effect what, RunId run, std::function<bool()> does) {
  const auto way = between(milliseconds{5}, milliseconds{500});
  const auto failed = [&](Failure failure) {
    to_daemon(way + (failure == Failure::unknown ? seconds{5} : seconds{0}),
              EffectFailed{.effect = what, .run = run, .failure = failure, .message = "as luck has it"});
  };
  if (!engine_up_) return failed(Failure::unreachable);
  if (chance(4)) return failed(chance(10) ? Failure::permanent : Failure::definite);
  if (chance(3)) return failed(Failure::unknown);
  if (chance(3)) {  // late: the answer is lost, the effect comes when it likes
    failed(Failure::unknown);
    return at(between(milliseconds{0}, seconds{40}), [does] { (void)does(); });
  }
  const bool lies = chance(4);
  const bool lost = chance(3);
  const auto life = daemon_;
  at(way, [this, does, lies, lost, what, run, life] {
    const bool ok = does();
    if (lost) {
      items_.push(
          {time_ + seconds{15}, order_++, life, [this, what, run] {
             feed(EffectFailed{.effect = what, .run = run, .failure = Failure::unknown, .message = "lost"});
           }});
      return;
    }
    const std::string id = containers_.contains(run) ? containers_.at(run).id : "";
    Event answer = EffectDone{.effect = what, .run = run, .container_id = id};
    if (lies)
      answer = EffectFailed{.effect = what, .run = run, .failure = Failure::definite, .message = "a lie"};
    if (!ok)
      answer =
          EffectFailed{.effect = what, .run = run, .failure = Failure::gone, .message = "no such container"};
    items_.push({time_ + milliseconds{5}, order_++, life, [this, answer] { feed(answer); }});
  });
}

void World::perform(const Create& action) {
  effect(Effect::create, action.run, [this, run = action.run] { return do_create(run); });
}
void World::perform(const Start& action) {
  effect(Effect::start, action.run,
         [this, run = action.run, id = action.container_id] { return do_start(run, id); });
}
void World::perform(const Stop& action) {
  const bool ignores = chance(20);
  effect(Effect::stop, action.run, [this, run = action.run, ignores] {
    return ignores ? containers_.contains(run) : do_end(run, 143);
  });
}
void World::perform(const Kill& action) {
  effect(Effect::kill, action.run, [this, run = action.run] { return do_end(run, 137); });
}
void World::perform(const Remove& action) {
  effect(Effect::remove, action.run, [this, run = action.run] { return do_remove(run); });
}
void World::perform(const OpenPane& action) {
  const bool ok = !chance(10);
  if (ok) pane_ = PaneState::live;
  ok ? to_daemon(milliseconds{20}, EffectDone{.effect = Effect::open_pane, .run = action.run})
     : to_daemon(milliseconds{20}, EffectFailed{.effect = Effect::open_pane, .run = action.run});
}
void World::perform(const ClosePane&) { pane_ = PaneState::none; }
void World::perform(const WriteCrashReport& action) {
  if (!chance(5)) to_daemon(milliseconds{50}, EffectDone{.effect = Effect::write_report, .run = action.run});
}
void World::perform(const Look&) { look(); }
// Answered, or lost, or late, or twice.
void World::perform(const Probe& action) {
  ++probes_;
  if (chance(15)) return;
  const auto luck = static_cast<Progress>(random_() % 3);
  const auto way = chance(20) ? between(seconds{1}, minutes{2}) : between(milliseconds{1}, seconds{6});
  const Probed answer{action.run, action.asked, luck, "luck"};
  to_daemon(way, answer);
  if (chance(10)) to_daemon(way + between(milliseconds{1}, minutes{1}), answer);
}
void World::perform(const Nudge& action) {
  const auto luck = mood_ == Mood::calm ? 0 : random_() % 3;
  to_daemon(milliseconds{300}, NudgeResult{action.run, static_cast<Delivery>(luck)});
  if (luck == 0) {
    to_daemon(seconds{1}, Signal{.kind = SignalKind::activity, .run = action.run});
    to_daemon(seconds{2}, Signal{.kind = SignalKind::turn_ended, .run = action.run});
  }
}

bool World::do_create(RunId run) {
  if (run == agent_.run) {  // not one that comes late
    for (const auto& [other, box] : containers_) {
      if (other < run && box.state == ContainerState::running) broken("created beside a running one");
    }
  }
  if (!containers_.contains(run)) containers_[run].id = "id" + std::to_string(++made_);  // else: to adopt
  return true;
}

bool World::do_start(RunId run, const std::string& id) {
  const auto it = containers_.find(run);
  if (it == containers_.end() || it->second.id != id) return false;
  if (it->second.state == ContainerState::running) return true;
  it->second.state = ContainerState::running;
  ++starts_;
  if (running() > 1) broken("two runs at once");
  live_a_little(run);
  return true;
}

bool World::do_end(RunId run, int code) {
  const auto it = containers_.find(run);
  if (it == containers_.end()) return false;
  if (it->second.state != ContainerState::running) return true;
  it->second = {it->second.id, ContainerState::exited, code, code == 137 && chance(30)};
  if (pane_ == PaneState::live) pane_ = PaneState::dead;
  if (it->second.oom && !chance(20)) to_daemon(milliseconds{2}, OomKilled{run});
  if (!chance(20))
    to_daemon(between(milliseconds{1}, milliseconds{50}), ContainerDied{run, code, it->second.oom});
  if (!chance(20)) to_daemon(between(milliseconds{1}, milliseconds{50}), PaneLost{run});
  return true;
}

bool World::do_remove(RunId run) {
  if (!containers_.contains(run)) return true;
  do_end(run, 137);
  containers_.erase(run);
  if (!chance(20)) to_daemon(milliseconds{3}, ContainerGone{run});
  return true;
}

// ------------------------------------------------------------------ the weather

void World::live_a_little(RunId run) {
  at(between(milliseconds{100}, seconds{5}), [this, run] { signal(run); });
  if (mood_ == Mood::calm || chance(30)) return;
  constexpr std::array kCodes{0, 1, 2, 126, 127, 137, 139, 143};
  const int code = kCodes.at(random_() % kCodes.size());
  at(between(milliseconds{1}, minutes{3}), [this, run, code] {
    if (mood_ == Mood::chaos) do_end(run, code);
  });
}

void World::signal(RunId run) {
  const auto it = containers_.find(run);
  if (it == containers_.end() || it->second.state != ContainerState::running) return;
  Signal told{.run = run, .at = time_ + skew_, .source = chance(50) ? Source::native : Source::inferred};
  told.kind = mood_ == Mood::calm ? SignalKind::turn_ended : static_cast<SignalKind>(random_() % 14);
  if (told.kind == SignalKind::auth_required && !chance(10)) told.kind = SignalKind::busy;
  if (daemon_up_) to_daemon(milliseconds{1}, told);
  if (chance(15)) to_daemon(milliseconds{1}, Work{chance(50) ? WorkState::open : WorkState::none});
  const bool silent = chance(15);
  at(silent ? between(seconds{30}, minutes{5}) : between(seconds{1}, seconds{30}),
     [this, run] { signal(run); });
}

void World::operator_acts() {
  const bool hasty = chance(40);
  at(hasty ? between(milliseconds{1}, seconds{2}) : between(seconds{5}, minutes{2}),
     [this] { operator_acts(); });
  if (!daemon_up_ || mood_ == Mood::calm) return;
  const auto kind = random_() % 5;
  const Wanted wanted = kind >= 3 ? Wanted::stopped : Wanted::running;
  const auto conversation = chance(20) ? Conversation::fresh : Conversation::resume;
  const std::string spec = chance(30) ? "spec2" : "spec1";
  const Wanted before = asked_;
  asked_ = wanted;
  const auto life = daemon_;
  if (kind < 2) feed(StartAsked{spec, conversation});
  if (kind == 2) feed(RestartAsked{spec, conversation, seconds{3}});
  if (kind == 3) feed(StopAsked{seconds{3}, StopManner::graceful});
  if (kind == 4) feed(StopAsked{Millis{}, StopManner::force});
  if (!last_saved_) asked_ = before;  // the caller was told so
  // It died: the journal knows whether it was accepted. An agent that was done is stopped, but not by this.
  const bool accepted = journal_.wanted == wanted && !journal_.finished;
  if (life != daemon_ && !accepted) asked_ = before;
}

void World::engine_away() {
  at(between(seconds{30}, minutes{5}), [this] { engine_away(); });
  if (mood_ == Mood::calm || !engine_up_) return;
  engine_up_ = false;
  if (!chance(20)) to_daemon(milliseconds{50}, EngineLost{});
  if (chance(50)) {
    for (auto& [run, box] : containers_) do_end(run, chance(50) ? 0 : 137);
  }
  if (chance(30)) pane_ = PaneState::none;
  at(between(seconds{1}, seconds{60}), [this] {
    engine_up_ = true;
    to_daemon(milliseconds{50}, EngineBack{});
  });
}

// What an older life left behind, or a person's experiment with our labels.
void World::stray_appears() {
  at(between(minutes{1}, minutes{8}), [this] { stray_appears(); });
  if (mood_ == Mood::calm) return;
  const RunId run{agent_.run.value + (chance(50) ? 0 : random_() % 3)};
  const auto state = chance(50) ? ContainerState::created : ContainerState::exited;
  if (run.value > 0 && (run != agent_.run || !agent_.run_begun)) {
    containers_.try_emplace(run, Container{"id" + std::to_string(++made_), state, 1, false});
  }
}

int World::running() const {
  return static_cast<int>(std::ranges::count_if(
      containers_, [](const auto& entry) { return entry.second.state == ContainerState::running; }));
}

std::string World::verdict() const {
  const auto phase = std::string(to_string(agent_.phase));
  if (!daemon_up_) return "the daemon is down";
  if (agent_.wanted != asked_ && !agent_.finished) return "the last word of the operator was forgotten";
  if (agent_.wanted == Wanted::stopped) {
    return containers_.empty() && agent_.phase == Phase::absent ? ""
                                                                : "stopped, but something is left: " + phase;
  }
  if (agent_.phase == Phase::failed || agent_.phase == Phase::held) {
    if (status_reason(agent_).empty()) return "no reason for " + phase;
    return containers_.empty() ? "" : "leftovers in " + phase;
  }
  const bool one = running() == 1 && containers_.size() == 1 && containers_.begin()->first == agent_.run;
  const bool up = agent_.phase == Phase::up || agent_.phase == Phase::launching;
  if (!one || !up) return "wanted, but not running: " + phase;
  return pane_ == PaneState::live ? "" : "running without a pane";
}

std::string World::run() {
  relist();
  at(milliseconds{1}, [this] { operator_acts(); });
  at(between(seconds{1}, minutes{2}), [this] { engine_away(); });
  at(between(seconds{1}, minutes{8}), [this] { stray_appears(); });
  run_until(time_ + kChaos);
  mood_ = Mood::calm;
  to_daemon(milliseconds{1}, Work{WorkState::none});
  run_until(time_ + kCalm);
  if (broken_.empty()) broken_ = verdict();
  return broken_;
}
namespace {

constexpr std::uint64_t kSeeds = 10'000;

std::uint64_t setting(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string history_of(std::uint64_t seed) {
  World again(seed, Telling::history);
  again.run();
  std::string text;
  for (const auto& line : again.history()) text += line + "\n";
  return text;
}

TEST(WorldTest, ConvergesOverManySeeds) {
  const std::uint64_t only = setting("AGENTMESH_SIM_SEED", 0);
  const std::uint64_t first = only != 0 ? only : 1;
  const std::uint64_t last = only != 0 ? only : setting("AGENTMESH_SIM_SEEDS", kSeeds);
  std::uint64_t steps = 0;
  std::uint64_t crashes = 0;
  std::uint64_t starts = 0;
  std::uint64_t probes = 0;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    World world(seed, Telling::silent);
    const std::string broken = world.run();
    ASSERT_EQ(broken, "") << "seed " << seed << "\n" << history_of(seed);
    steps += world.steps();
    crashes += world.crashes();
    starts += world.starts();
    probes += world.probes();
  }
  RecordProperty("steps", std::to_string(steps));
  RecordProperty("crashes", std::to_string(crashes));
  RecordProperty("starts", std::to_string(starts));
  RecordProperty("probes", std::to_string(probes));
  if (last > first) {
    EXPECT_GT(crashes, last / 2) << "the worlds are too kind";
    EXPECT_GT(starts, last) << "the worlds do nothing";
    EXPECT_GT(probes, last / 4) << "the worlds are never silent";
  }
}

}  // namespace
}  // namespace agentmesh::watchdog::test
