// The condition of a running agent: how it changes, and what time alone makes of it.
#include "watchdog/change.h"
#include "watchdog/restart.h"

#include <algorithm>
#include <utility>

namespace agentmesh::watchdog {
namespace {

WallTime limit_over(const Agent& agent, const Policy& policy) {
  return agent.limited_until.value_or(agent.live.condition_since) + spread(agent, policy.limit_jitter);
}

void nudge(Change& c, NudgeKind kind) {
  Live& live = c.agent.live;
  live.nudged_at = c.now;
  live.waiting_since = c.now;
  live.nudge_again.reset();
  live.typing_until = c.now + c.policy.typing_limit;
  live.repeats = 0;
  live.unanswered = 0;
  c.act(Nudge{c.agent.run, kind});
}

void ask_probe(Change& c) {
  c.agent.live.probe_asked = c.now;
  c.act(Probe{c.agent.run, c.now, c.agent.live.last_activity});
}

void recover(Change& c) {
  set_condition(c, c.agent.live.before_stuck, "");
  progress(c, c.now);
}

void restart_stuck(Change& c, ExitReason reason) {
  c.act(Notify{NotifyKind::stuck, "no reaction to the nudge: restarting"});
  begin_stop(c, reason, c.policy.stop_timeout);
}

// Repeated loop_repeats times more since the nudge: it did not help. Fewer: it may be slow. None: it helped.
void wake_looping(Change& c) {
  Live& live = c.agent.live;
  if (live.repeats >= c.policy.loop_repeats) return restart_stuck(c, ExitReason::looping_after_nudge);
  if (*live.repeated_at <= *live.waiting_since) return recover(c);
  live.waiting_since = c.now;
}

void wake_stuck(Change& c) {
  if (c.agent.live.nudges_blocked > 0) return nudge(c, NudgeKind::keep_going);
  c.agent.live.repeated_at ? wake_looping(c) : ask_probe(c);
}

void found_alive(Change& c, const std::string& detail) {
  c.act(Emit{EventName::probed, detail});
  if (c.agent.live.condition == Condition::stuck) return recover(c);
  progress(c, c.now);
}

// Nobody can say whether a nudged agent lives: ask twice, restart once, then leave it to a person.
void restart_unproved(Change& c) {
  Live& live = c.agent.live;
  live.waiting_since = c.now;
  if (++live.unanswered == 1) return;
  if (!c.agent.unproved) {
    c.agent.unproved = true;
    return restart_stuck(c, ExitReason::stuck_after_nudge);
  }
  if (live.unanswered == 2) c.act(Notify{NotifyKind::stuck, "no reaction, and no telling whether it works"});
}

// Work, and a state that nobody understands: it may be typed into as little as it may be restarted.
bool works_unseen(const Agent& agent) {
  const Live& live = agent.live;
  return agent.phase == Phase::up && live.condition == Condition::unknown && !live.unknown_told &&
         has_work(agent) && live.pane_open;
}

void tell_unseen(Change& c) {
  c.agent.live.unknown_told = true;
  c.act(Notify{NotifyKind::stuck, "its state is not known"});
}

void wake_limited(Change& c) {
  c.agent.limited_until.reset();
  set_condition(c, Condition::idle, "");
  progress(c, c.now);
  if (may_get_stuck(c.agent)) become_stuck(c, NudgeKind::limit_over, "usage limit over");
}

void clear_count(Change& c) {
  c.agent.restarts.clear();
  c.agent.failures = 0;
  c.agent.live.stable_since.reset();
}

bool has_count(const Agent& agent) { return !agent.restarts.empty() || agent.failures > 0; }

std::optional<WallTime> stable_wake(const Agent& agent, const Policy& policy) {
  if (agent.phase != Phase::up || !agent.live.stable_since || !has_count(agent)) return std::nullopt;
  return *agent.live.stable_since + policy.stable_after;
}

std::optional<WallTime> signal_wake(const Agent& agent, const Policy& policy) {
  const Live& live = agent.live;
  if (agent.phase != Phase::up || live.engine_lost) return std::nullopt;
  if (live.idle_since) return *live.idle_since + policy.idle_confirm;
  if (live.probe_asked) return *live.probe_asked + policy.probe_timeout;
  if (live.condition == Condition::stuck && live.waiting_since && live.pane_open) {
    return live.nudge_again.value_or(*live.waiting_since + policy.nudge_wait);
  }
  if (live.condition == Condition::rate_limited) return limit_over(agent, policy);
  if (may_get_stuck(agent) || works_unseen(agent)) return live.last_activity + policy.stuck_after;
  return std::nullopt;
}

void signal_due(Change& c) {
  const Condition condition = c.agent.live.condition;
  if (c.agent.live.idle_since) return accept_idle(c);
  if (c.agent.live.probe_asked) return judge(c, Probed{.detail = "no activity"});
  if (condition == Condition::stuck) return wake_stuck(c);
  if (condition == Condition::rate_limited) return wake_limited(c);
  ask_probe(c);
}

bool lacks_pane(const Agent& agent) {
  return is_live(agent.phase) && !agent.live.pane_open && !agent.live.pane_asked;
}

std::optional<WallTime> look_wake(const Agent& agent) {
  const bool useful = agent.live.blind || lacks_pane(agent);
  return useful && !agent.live.engine_lost ? agent.live.look_at : std::nullopt;
}

}  // namespace

// Work, a state that we understand, nobody waited for, and a terminal to see activity in.
bool may_get_stuck(const Agent& agent) {
  const Live& live = agent.live;
  const bool works = live.condition == Condition::busy || live.condition == Condition::idle;
  return agent.phase == Phase::up && works && has_work(agent) && live.pane_open && !live.engine_lost;
}

void set_condition(Change& c, Condition condition, std::string detail) {
  Live& live = c.agent.live;
  live.detail = std::move(detail);
  live.idle_since.reset();
  if (live.condition == condition) return;
  live.condition = condition;
  live.condition_since = c.now;
  live.stuck_since.reset();
  live.nudged_at.reset();
  live.waiting_since.reset();
  live.probe_asked.reset();
  live.repeated_at.reset();
  live.nudges_blocked = 0;
  live.unknown_told = false;
}

void progress(Change& c, WallTime at) {
  c.agent.live.last_activity = std::max(c.agent.live.last_activity, at);
  c.agent.live.probe_asked.reset();
}

void judge(Change& c, const Probed& answer) {
  Live& live = c.agent.live;
  live.probe_asked.reset();
  if (answer.progress != Progress::unknown) c.agent.unproved = false;
  if (answer.progress == Progress::seen) return found_alive(c, answer.detail);
  if (may_get_stuck(c.agent)) return become_stuck(c, NudgeKind::keep_going, answer.detail);
  if (works_unseen(c.agent)) return tell_unseen(c);
  if (live.condition != Condition::stuck || !live.pane_open) return;
  if (answer.progress == Progress::unknown) return restart_unproved(c);
  restart_stuck(c, ExitReason::stuck_after_nudge);
}

bool dialog_open(const Agent& agent) {
  return agent.live.condition == Condition::waiting_permission ||
         agent.live.condition == Condition::waiting_question;
}

void become_stuck(Change& c, NudgeKind kind, std::string detail) {
  c.agent.live.before_stuck = c.agent.live.condition;
  set_condition(c, Condition::stuck, std::move(detail));
  c.agent.live.stuck_since = c.now;
  nudge(c, kind);
}

void accept_idle(Change& c) {
  c.agent.live.turn_open = false;
  c.agent.limited_until.reset();
  set_condition(c, Condition::idle, "");
  progress(c, c.now);
  if (std::exchange(c.agent.live.goes_on, false))
    become_stuck(c, NudgeKind::limit_over, "started again after its usage limit");
}

std::optional<WallTime> condition_wake(const Agent& agent, const Policy& policy) {
  std::optional<WallTime> earliest;
  for (const auto wake : {signal_wake(agent, policy), stable_wake(agent, policy), look_wake(agent)}) {
    if (wake && (!earliest || *wake < *earliest)) earliest = wake;
  }
  return earliest;
}

void condition_wakes(Change& c) {
  const auto due = [&](std::optional<WallTime> wake) { return wake && *wake <= c.now; };
  if (due(stable_wake(c.agent, c.policy))) clear_count(c);
  if (due(look_wake(c.agent))) {
    c.agent.live.look_at = c.now + (c.agent.live.blind ? c.policy.look_again : c.policy.pane_retry);
    c.act(Look{});
  }
  if (due(signal_wake(c.agent, c.policy))) signal_due(c);
}

}  // namespace agentmesh::watchdog
