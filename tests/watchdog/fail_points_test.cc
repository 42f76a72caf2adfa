// The daemon is killed before and after each Persist, Create, Start, Stop, Kill and Remove of an agent's
// whole life, once, and then a second time at each later point: it converges all the same, and no run is
// doubled. The world is calm, so that the points are the same ones each time; world_test.cc has the other
// worlds.
#include "tests/watchdog/drive.h"

#include <deque>
#include <iostream>
#include <limits>
#include <map>
#include <set>

#include <gtest/gtest.h>

namespace agentmesh::watchdog::test {
namespace {

constexpr int kNever = std::numeric_limits<int>::max();
constexpr int kMostEvents = 2'000;  // of one life; more is a loop

class Life {
 public:
  Life(int first_kill, int second_kill) : first_(first_kill), second_(second_kill) {}

  // The first broken promise, or empty.
  std::string live() {
    ask(StartAsked{"spec"}, Wanted::running);
    settle();
    if (!runs_once()) return "not running once after the start";
    die(1);
    settle();
    if (!runs_once()) return "not running once after the crash";
    feed(RestartAsked{"spec", Conversation::resume, 3s});
    settle();
    if (!runs_once()) return "not running once after a person's restart";
    ask(StopAsked{3s, StopManner::graceful}, Wanted::stopped);
    settle();
    if (agent_.phase != Phase::absent || !containers_.empty()) return "something is left after the stop";
    return broken_;
  }
  int points() const { return points_; }
  int kills() const { return kills_; }

 private:
  // A person asks again when the daemon died before it had accepted.
  void ask(const Event& event, Wanted wanted) {
    feed(event);
    if (journal_.wanted != wanted) feed(event);
    if (journal_.wanted != wanted) feed(event);
  }

  void feed(const Event& event) {
    if (++events_ > kMostEvents) return;
    Step next = step(agent_, event, policy_, now_);
    agent_ = std::move(next.agent);
    for (const Action& action : next.actions) {
      if (killed(action)) return;
      std::visit([this](const auto& what) { perform(what); }, action);
      if (killed(action)) return;
    }
  }

  static bool is_point(const Action& action) {
    static const std::set<std::string_view> points{"persist", "create", "start", "stop", "kill", "remove"};
    return points.contains(action_name(action));
  }
  bool killed(const Action& action) {
    if (!is_point(action)) return false;
    const int point = points_++;
    if (point != first_ && point != second_) return false;
    ++kills_;
    to_come_.clear();
    agent_ = load_agent(journal_);
    now_ += 2s;
    feed(DaemonStarted{});
    return true;
  }

  // Until nothing is to come but what is more than a relist away.
  void settle() {
    const WallTime end = now_ + 2min;
    while (events_ <= kMostEvents) {
      if (!to_come_.empty()) {
        const Event event = to_come_.front();
        to_come_.pop_front();
        feed(event);
      } else if (agent_.phase == Phase::queued && !agent_.live.blind) {
        feed(Admitted{});
      } else if (agent_.live.wake_at && *agent_.live.wake_at <= end) {
        now_ = std::max(now_, *agent_.live.wake_at);
        feed(Tick{});
      } else {
        break;
      }
    }
    if (events_ > kMostEvents) broken("it does not settle");
    now_ = std::max(now_, end);
  }

  bool runs_once() const {
    return broken_.empty() && agent_.phase == Phase::up && containers_.size() == 1 &&
           containers_.begin()->first == agent_.run && containers_.begin()->second == ContainerState::running;
  }

  void answer(Effect effect, RunId run) {
    to_come_.emplace_back(EffectDone{effect, run, containers_.contains(run) ? id_of(run) : ""});
  }
  static std::string id_of(RunId run) { return "id" + std::to_string(run.value); }

  void die(int code) {
    for (auto& [run, state] : containers_) {
      if (state != ContainerState::running) continue;
      state = ContainerState::exited;
      to_come_.emplace_back(ContainerDied{run, code});
    }
  }

  void broken(std::string_view what) {
    if (broken_.empty()) broken_ = what;
  }

  void perform(const Persist&) { journal_ = agent_; }
  void perform(const Create& action) {
    if (!containers_.empty() && !containers_.contains(action.run)) broken("created beside another run");
    containers_.try_emplace(action.run, ContainerState::created);
    answer(Effect::create, action.run);
  }
  void perform(const Start& action) {
    const auto box = containers_.find(action.run);
    if (box == containers_.end()) return broken("start without a container");
    if (box->second == ContainerState::exited) broken("an ended run was started again");
    if (!started_.insert(action.run).second && box->second != ContainerState::running)
      broken("a run was started twice");
    box->second = ContainerState::running;
    answer(Effect::start, action.run);
    to_come_.emplace_back(Signal{.kind = SignalKind::idle, .run = action.run, .source = Source::native});
  }
  void perform(const Stop& action) {
    die(143);
    answer(Effect::stop, action.run);
  }
  void perform(const Kill& action) {
    die(137);
    answer(Effect::kill, action.run);
  }
  void perform(const Remove& action) {
    containers_.erase(action.run);
    answer(Effect::remove, action.run);
  }
  void perform(const OpenPane& action) {
    pane_ = PaneState::live;
    answer(Effect::open_pane, action.run);
  }
  void perform(const ClosePane&) { pane_ = PaneState::none; }
  void perform(const WriteCrashReport& action) { answer(Effect::write_report, action.run); }
  void perform(const Look&) {
    Observed seen{.as_of = agent_.epoch, .pane = pane_};
    for (const auto& [run, state] : containers_) {
      seen.containers.push_back({run, id_of(run), state, state == ContainerState::exited ? 1 : 0, false});
    }
    to_come_.emplace_back(std::move(seen));
  }
  template <class Other>
  void perform(const Other&) {}

  int first_;
  int second_;
  int points_ = 0;
  int kills_ = 0;
  int events_ = 0;
  std::string broken_;
  WallTime now_{Millis{1'700'000'000'000}};
  Policy policy_;
  Agent agent_ = make_agent(*AgentName::parse("a1"), now_);
  AgentRecord journal_ = agent_;
  std::map<RunId, ContainerState> containers_;
  std::set<RunId> started_;
  PaneState pane_ = PaneState::none;
  std::deque<Event> to_come_;
};

TEST(FailPoints, KilledAtEachPointItConverges) {
  Life whole(kNever, kNever);
  ASSERT_EQ(whole.live(), "");
  ASSERT_GT(whole.points(), 40) << "the life has too few steps to prove anything";
  for (int first = 0; first < whole.points(); ++first) {
    Life life(first, kNever);
    ASSERT_EQ(life.live(), "") << "killed at point " << first;
    ASSERT_EQ(life.kills(), 1);
  }
  std::cout << "not converged after a kill at one of " << whole.points() << " points: 0 / 0\n";
}

TEST(FailPoints, KilledTwiceItConverges) {
  int lives = 0;
  for (int first = 0;; ++first) {
    Life once(first, kNever);
    ASSERT_EQ(once.live(), "");
    if (once.kills() == 0) break;
    for (int second = first + 1; second < once.points(); ++second, ++lives) {
      Life life(first, second);
      ASSERT_EQ(life.live(), "") << "killed at points " << first << " and " << second;
      ASSERT_EQ(life.kills(), 2);
    }
  }
  std::cout << "not converged after two kills, of " << lives << " pairs of points: 0 / 0\n";
}

}  // namespace
}  // namespace agentmesh::watchdog::test
