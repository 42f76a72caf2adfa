#pragma once
// Drives one agent by hand: feeds events, keeps the last actions, moves time. For tests that tell a story.

#include "watchdog/step.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace agentmesh::watchdog::test {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

class Drive {
 public:
  Drive() : agent(make_agent(*AgentName::parse("a1"), WallTime{Millis{1'700'000'000'000}})) {}

  WallTime now() const { return now_; }

  void feed(const Event& event) {
    Step next = step(agent, event, policy, now_);
    agent = std::move(next.agent);
    actions = std::move(next.actions);
    seen.insert(seen.end(), actions.begin(), actions.end());
    if (const auto* probe = did<Probe>(); probe != nullptr && probed) {
      feed(Probed{agent.run, probe->asked, *probed, "looked"});
    }
  }

  // To the next wake time after `by`, ticking at every wake on the way.
  void pass(Millis by) {
    const WallTime end = now_ + by;
    while (agent.live.wake_at && *agent.live.wake_at <= end) {
      now_ = std::max(now_, *agent.live.wake_at);
      feed(Tick{});
    }
    now_ = end;
  }
  void set_clock(WallTime time) { now_ = time; }

  template <class What>
  const What* did() const {
    for (const auto& action : actions) {
      if (const auto* found = std::get_if<What>(&action)) return found;
    }
    return nullptr;
  }
  // Over the whole story.
  template <class What>
  int count() const {
    int number = 0;
    for (const auto& action : seen) number += std::holds_alternative<What>(action) ? 1 : 0;
    return number;
  }

  Phase phase() const { return agent.phase; }
  Status status() const { return status_of(agent); }
  std::string names() const {
    std::string text;
    for (const auto& action : actions) text += std::string(action_name(action)) + " ";
    return text;
  }

  void done(Effect effect) {
    feed(EffectDone{
        .effect = effect, .run = agent.run, .container_id = "c" + std::to_string(agent.run.value)});
  }
  void failed(Effect effect, Failure failure) {
    feed(EffectFailed{.effect = effect, .run = agent.run, .failure = failure, .message = "because"});
  }
  void signal(SignalKind kind, Source source = Source::native) {
    feed(Signal{.kind = kind, .run = agent.run, .at = now_, .source = source, .detail = "detail"});
  }
  void die(int code, bool oom = false) { feed(ContainerDied{agent.run, code, oom}); }
  ContainerSeen own(ContainerState state, int code = 0) const {
    return {.run = agent.run, .container_id = "c", .state = state, .exit_code = code};
  }
  void observe(std::vector<ContainerSeen> containers, PaneState pane = PaneState::live) {
    feed(Observed{.as_of = agent.epoch, .containers = std::move(containers), .pane = pane});
  }

  void start() { feed(StartAsked{"spec1"}); }
  void stop() { feed(StopAsked{10s}); }
  void to_creating() {
    if (agent.phase == Phase::absent) start();
    feed(Admitted{});
  }
  void to_launching() {
    to_creating();
    done(Effect::create);
    done(Effect::start);
    done(Effect::open_pane);
  }
  void to_up() {
    to_launching();
    signal(SignalKind::idle);
  }
  // From ended to where the end leads.
  void bury() {
    done(Effect::write_report);
    done(Effect::remove);
  }
  void crash_and_restart() {
    die(1);
    bury();
    if (phase() != Phase::backoff) return;
    pass(*agent.next_restart_at - now_);
    to_launching();
  }

  Policy policy;
  std::optional<Progress> probed = Progress::none;  // the answer to every Probe; none: no answer
  Agent agent;
  std::vector<Action> actions;
  std::vector<Action> seen;

 private:
  WallTime now_{Millis{1'700'000'000'000}};
};

// An agent that is up and works; the story begins there.
inline Drive busy() {
  Drive d;
  d.to_up();
  d.signal(SignalKind::busy);
  d.seen.clear();
  return d;
}

// It works, and then nobody can tell what it does.
inline Drive unreadable() {
  Drive d = busy();
  d.signal(SignalKind::unreadable);
  d.seen.clear();
  return d;
}

}  // namespace agentmesh::watchdog::test
