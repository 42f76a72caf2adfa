// What engine and tmux answer and tell.
#include "watchdog/change.h"
#include "watchdog/exit_class.h"

#include <algorithm>
#include <utility>

namespace agentmesh::watchdog {
namespace {

constexpr int kSigkillCode = 137;

Witness witness(const Change& c) { return c.agent.live.blind ? Witness::missed : Witness::seen; }

bool must_end(const Agent& agent) {
  return agent.wanted == Wanted::stopped || agent.ending == ExitReason::restarted_by_user;
}

ExitReason why_end(const Agent& agent) {
  return agent.wanted == Wanted::stopped ? ExitReason::stopped_by_user : agent.ending;
}

void create_done(Change& c, const EffectDone& event) {
  c.agent.container_id = event.container_id;
  must_end(c.agent) ? begin_remove(c) : begin_start(c);
}

void start_done(Change& c) {
  if (must_end(c.agent)) return end_as_asked(c, why_end(c.agent));
  launch(c);
}

void stop_done(Change& c) {
  c.agent.deadline = c.now + retry_wait(c.agent, c.policy, c.policy.stop_grace);
  c.act(Look{});
}

void pane_opened(Change& c) {
  Live& live = c.agent.live;
  live.pane_asked = false;
  if (!is_live(c.agent.phase) || live.pane_open) return;
  live.pane_open = true;
  progress(c, c.now);
}

void pane_missing(Change& c) {
  c.agent.live.pane_asked = false;
  c.agent.live.pane_open = false;
  if (is_live(c.agent.phase)) c.agent.live.look_at = c.now + c.policy.pane_retry;
}

// The snapshot, cut into our run and the leftovers.
struct View {
  const ContainerSeen* own = nullptr;
  std::vector<const ContainerSeen*> others;
  bool complete = false;
  PaneState pane = PaneState::unasked;
};

View view_of(const Agent& agent, const Observed& event) {
  View view{.complete = event.engine == Completeness::complete, .pane = event.pane};
  for (const auto& seen : event.containers) {
    if (seen.run == agent.run) {
      view.own = &seen;
    } else {
      view.others.push_back(&seen);
    }
  }
  return view;
}

bool may_remove(const Change& c) { return !c.agent.live.not_before || c.now >= *c.agent.live.not_before; }

void reap_all(Change& c, const std::vector<const ContainerSeen*>& leftovers) {
  if (leftovers.empty() || !may_remove(c)) return;
  c.agent.live.not_before = c.now + retry_wait(c.agent, c.policy, c.policy.look_again);
  for (const auto* leftover : leftovers) {
    c.act(Remove{leftover->run});
    c.act(Emit{EventName::reaped, "run " + std::to_string(leftover->run.value)});
  }
}

void see_pane(Change& c, PaneState pane) {
  if (pane == PaneState::unasked || !is_live(c.agent.phase)) return;
  if (pane == PaneState::live) return c.agent.live.pane_asked ? void() : pane_opened(c);
  c.agent.live.pane_open = false;
  if (!c.agent.live.pane_asked) open_pane(c);
}

void see_live(Change& c, const View& view) {
  if (view.own == nullptr) return view.complete ? end_run(c, {.witness = witness(c)}) : void();
  if (view.own->state == ContainerState::exited) {
    return end_run(c, {view.own->exit_code, view.own->oom_killed, witness(c)});
  }
  if (view.own->state == ContainerState::created) return end_run(c, {.witness = witness(c)});
  if (c.agent.live.blind && view.complete) c.act(Emit{EventName::adopted, "still running"});
  see_pane(c, view.pane);
}

void see_stopping(Change& c, const View& view) {
  if (view.own == nullptr) return view.complete ? end_run(c, {.witness = witness(c)}) : void();
  if (view.own->state == ContainerState::exited) {
    return end_run(c, {view.own->exit_code, view.own->oom_killed, witness(c)});
  }
  if (view.own->state == ContainerState::created) return end_run(c, {.witness = witness(c)});
  if (c.agent.live.blind && view.complete) end_as_asked(c, c.agent.ending);
}

void see_removing(Change& c, const View& view) {
  if (view.own == nullptr) return view.complete ? gone(c) : void();
  if (c.agent.live.blind && view.complete) begin_remove(c);
}

// Nothing should exist: remove what does, and look until it is gone.
void see_at_rest(Change& c, const View& view, const Observed& event) {
  if (event.containers.empty()) {
    const bool stray = view.pane == PaneState::live || view.pane == PaneState::dead;
    if (c.agent.phase == Phase::absent && stray) c.act(ClosePane{});
    return;
  }
  std::vector<const ContainerSeen*> leftovers;
  for (const auto& seen : event.containers) leftovers.push_back(&seen);
  reap_all(c, leftovers);
  check(c, Effect::remove, Failure::none, "");
}

void attempt_failed(Change& c, const View& view) {
  const bool removed_meanwhile = c.agent.trouble == Effect::start && view.own == nullptr;
  const bool ours = c.agent.trouble_kind == Failure::unreachable || c.agent.trouble_kind == Failure::unknown;
  if (!ours || removed_meanwhile) return end_attempt(c);
  c.agent.after = After::backoff;
  c.agent.next_restart_at =
      c.now + (c.agent.live.engine_lost
                   ? c.policy.backoff_first
                   : try_again(c, c.policy.backoff_first, "it cannot be started: " + c.agent.reason));
  view.own == nullptr ? settle(c) : begin_remove(c);
}

void decide_absent(Change& c, const View& view) {
  const Effect trouble = c.agent.trouble;
  if (trouble == Effect::remove || trouble == Effect::none) return gone(c);
  if (c.agent.wanted == Wanted::stopped) return gone(c);
  if (must_end(c.agent)) {
    c.agent.after = After::start;
    return gone(c);
  }
  attempt_failed(c, view);
}

void remove_again(Change& c) {
  if (may_remove(c)) begin_remove(c);
}

void decide_created(Change& c, const View& view) {
  c.agent.container_id = view.own->container_id;
  if (c.agent.trouble == Effect::remove) return remove_again(c);
  if (must_end(c.agent)) return begin_remove(c);
  if (c.agent.trouble == Effect::create && c.agent.trouble_kind != Failure::permanent) return begin_start(c);
  attempt_failed(c, view);
}

void decide_running(Change& c, const View& view) {
  c.agent.container_id = view.own->container_id;
  if (c.agent.trouble == Effect::remove) return remove_again(c);
  if (!must_end(c.agent)) return adopt(c);
  c.agent.tries = 0;
  end_as_asked(c, why_end(c.agent));
}

void decide(Change& c, const View& view) {
  const bool running = view.own != nullptr && view.own->state == ContainerState::running;
  reap_all(c, view.others);
  if (running) return decide_running(c, view);
  if (!view.others.empty() || !view.complete) return;
  if (view.own == nullptr) return decide_absent(c, view);
  if (view.own->state == ContainerState::created) return decide_created(c, view);
  if (c.agent.trouble == Effect::remove) return remove_again(c);
  end_run(c, {view.own->exit_code, view.own->oom_killed, witness(c)});
}

void see(Change& c, const View& view, const Observed& event) {
  if (at_rest(c.agent.phase)) return see_at_rest(c, view, event);
  if (c.agent.phase == Phase::checking) return decide(c, view);
  reap_all(c, view.others);
  switch (c.agent.phase) {
    case Phase::launching:
    case Phase::up:
      return see_live(c, view);
    case Phase::stopping:
      return see_stopping(c, view);
    case Phase::removing:
      return see_removing(c, view);
    default:
      return;  // creating, starting, ended: an answer is on its way
  }
}

// A run that was started ends once: whoever tells it first is right.
bool could_have_run(const Agent& agent) {
  if (agent.phase == Phase::checking) return agent.trouble == Effect::start;
  return is_live(agent.phase) || agent.phase == Phase::starting || agent.phase == Phase::stopping;
}

}  // namespace

void handle(Change& c, const EffectDone& event) {
  if (event.run != c.agent.run) return;
  const Phase phase = c.agent.phase;
  switch (event.effect) {
    case Effect::create:
      return phase == Phase::creating ? create_done(c, event) : void();
    case Effect::start:
      return phase == Phase::starting ? start_done(c) : void();
    case Effect::stop:
    case Effect::kill:
      return phase == Phase::stopping ? stop_done(c) : void();
    case Effect::remove:
      return phase == Phase::removing ? gone(c) : void();
    case Effect::open_pane:
      return pane_opened(c);
    case Effect::write_report:
      return phase == Phase::ended ? begin_remove(c) : void();
    case Effect::close_pane:
    case Effect::none:
      return;
  }
}

void handle(Change& c, const EffectFailed& event) {
  if (event.run != c.agent.run) return;
  const Phase phase = c.agent.phase;
  const bool is_gone = event.failure == Failure::gone;
  switch (event.effect) {
    case Effect::create:
    case Effect::start: {
      const Phase asked = event.effect == Effect::create ? Phase::creating : Phase::starting;
      return phase == asked ? check(c, event.effect, event.failure, event.message) : void();
    }
    case Effect::stop:
    case Effect::kill:
      if (phase != Phase::stopping) return;
      return is_gone ? end_run(c, {.witness = witness(c)}) : c.act(Look{});
    case Effect::remove:
      if (phase != Phase::removing) return;
      return is_gone ? gone(c) : check(c, Effect::remove, event.failure, event.message);
    case Effect::open_pane:
      return pane_missing(c);
    case Effect::write_report:
      return phase == Phase::ended ? begin_remove(c) : void();
    case Effect::close_pane:
    case Effect::none:
      return;
  }
}

void handle(Change& c, const Observed& event) {
  if (event.as_of != c.agent.epoch) return;
  for (const auto& seen : event.containers) {
    if (seen.run > c.agent.run && at_rest(c.agent.phase)) c.agent.run = seen.run;  // its name is taken
  }
  const bool complete = event.engine == Completeness::complete;
  see(c, view_of(c.agent, event), event);
  if (complete) c.agent.live.blind = false;
}

void handle(Change& c, const ContainerDied& event) {
  if (event.run != c.agent.run || !could_have_run(c.agent)) return;
  end_run(c, {event.exit_code, event.oom_killed, witness(c)});
}

void handle(Change& c, const OomKilled& event) {
  Agent& agent = c.agent;
  if (event.run != agent.run) return;
  if (could_have_run(agent)) {
    if (std::exchange(agent.live.oom_child, true)) return;  // a fork bomb is killed a thousand times
    return c.act(Emit{EventName::oom, "a process was killed for memory"});
  }
  const bool late = agent.phase == Phase::ended || agent.phase == Phase::removing;
  if (!late || agent.exit.code != kSigkillCode || agent.exit.reason != ExitReason::killed) return;
  agent.exit.oom_main = true;
  agent.exit.reason = ExitReason::out_of_memory;
  agent.exit.text = std::string(describe(ExitReason::out_of_memory)) + ", " + agent.exit.text;
  agent.reason = agent.exit.text;
}

void handle(Change& c, const ContainerGone& event) {
  if (event.run != c.agent.run) return;
  if (c.agent.phase == Phase::removing) return gone(c);
  if (could_have_run(c.agent)) end_run(c, {.witness = witness(c)});
}

void handle(Change& c, const PaneLost& event) {
  if (event.run != c.agent.run || !is_live(c.agent.phase)) return;
  pane_missing(c);
  c.act(Look{});
}

}  // namespace agentmesh::watchdog
