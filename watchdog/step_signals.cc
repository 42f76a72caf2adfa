// What the agent's signals tell, and the nudge.
#include "watchdog/change.h"

#include <algorithm>

namespace agentmesh::watchdog {
namespace {

// A state that only a runner which came up can show.
bool shows_ready(SignalKind kind) {
  switch (kind) {
    case SignalKind::activity:
    case SignalKind::unreadable:
    case SignalKind::repeated:
    case SignalKind::varied:
    case SignalKind::answers:
      return false;
    default:
      return true;
  }
}

bool shows_conversation(SignalKind kind) { return shows_ready(kind) && kind != SignalKind::auth_required; }

bool limited(const Change& c) { return c.agent.limited_until && *c.agent.limited_until > c.now; }

// Not said by the runner, and at a time when we type: as like as not the terminal shows our own keystrokes.
bool may_be_echo(const Change& c, const Signal& event) {
  const Live& live = c.agent.live;
  return event.source == Source::inferred && live.typing_until && c.now < *live.typing_until;
}

void on_activity(Change& c, const Signal& event) {
  const Live& live = c.agent.live;
  if (may_be_echo(c, event)) return;
  const bool future = event.at > c.now || event.at == WallTime{};
  progress(c, future ? c.now : event.at);
  if (live.condition == Condition::stuck && !live.repeated_at) set_condition(c, live.before_stuck, "");
}

void on_busy(Change& c) {
  Live& live = c.agent.live;
  live.idle_since.reset();
  live.turn_open = true;
  live.goes_on = false;
  if (dialog_open(c.agent) || live.condition == Condition::busy) return;
  if (live.condition == Condition::stuck && live.before_stuck == Condition::busy) return;
  c.agent.limited_until.reset();
  set_condition(c, Condition::busy, "");
  progress(c, c.now);
}

void on_idle(Change& c, Source source) {
  Live& live = c.agent.live;
  const Condition shown = live.condition == Condition::stuck ? live.before_stuck : live.condition;
  if (dialog_open(c.agent) || shown == Condition::idle) return;
  if (shown == Condition::rate_limited && limited(c)) return;
  const bool sure = source == Source::native || shown == Condition::unknown || live.idle_since;
  if (sure) return accept_idle(c);
  live.idle_since = c.now;
}

void on_turn_ended(Change& c) {
  if (dialog_open(c.agent)) return;  // the turn of a part: whoever asks still waits
  c.agent.live.turn_open = false;
  progress(c, c.now);
  if (c.agent.live.condition == Condition::rate_limited && limited(c)) return;
  set_condition(c, Condition::idle, "");
}

void on_permission(Change& c, const Signal& event) {
  Live& live = c.agent.live;
  const bool same = live.detail == event.detail && live.prompt == event.id;
  const bool known = live.condition == Condition::waiting_permission && same;
  live.turn_open = true;
  live.prompt = event.id;
  if (live.condition == Condition::rate_limited) c.agent.limited_until.reset();  // its work goes on
  set_condition(c, Condition::waiting_permission, event.detail);
  if (known) return;
  c.act(Notify{NotifyKind::permission, event.detail});
  if (c.policy.on_permission == OnPermission::ask) return;
  const bool deny = c.policy.on_permission == OnPermission::deny;
  c.act(Answer{c.agent.run, deny ? Verdict::deny : Verdict::allow, event.id, event.detail});
}

void on_question(Change& c, const Signal& event) {
  c.agent.live.turn_open = true;
  if (dialog_open(c.agent)) return;
  set_condition(c, Condition::waiting_question, event.detail);
  c.act(Notify{NotifyKind::question, event.detail});
}

void on_closed(Change& c, Condition dialog) {
  if (c.agent.live.condition != dialog) return;
  set_condition(c, limited(c) ? Condition::rate_limited : Condition::busy, "");
  progress(c, c.now);
}

void on_limit(Change& c, const Signal& event) {
  const bool known = c.agent.live.condition == Condition::rate_limited || limited(c);
  const WallTime until = event.until.value_or(c.now + c.policy.limit_default);
  c.agent.limited_until = std::clamp(until, c.now, c.now + c.policy.limit_max);
  if (!known) c.act(Notify{NotifyKind::usage_limit, event.detail});
  if (!dialog_open(c.agent)) set_condition(c, Condition::rate_limited, event.detail);
}

void on_login(Change& c, const Signal& event) {
  if (c.agent.live.condition == Condition::waiting_permission) return;
  const bool known = c.agent.live.condition == Condition::auth_required;
  set_condition(c, Condition::auth_required, event.detail);
  if (!known) c.act(Notify{NotifyKind::login, event.detail});
}

void on_repeated(Change& c, const Signal& event) {
  Live& live = c.agent.live;
  if (may_get_stuck(c.agent)) {
    become_stuck(c, NudgeKind::keep_going, event.detail);
  } else if (live.condition == Condition::stuck) {
    ++live.repeats;
  } else {
    return;
  }
  live.repeated_at = c.now;
  live.probe_asked.reset();  // it lives: that is not the question any more
}

void on_varied(Change& c, const Signal& event) {
  if (may_be_echo(c, event)) return;
  c.agent.live.repeated_at.reset();  // the loop is broken
  on_activity(c, event);
}

// Nothing is typed into the dialog, so only a new run goes on with the conversation. An open assignment is
// given to it again anyway.
void leave_limit(Change& c) {
  if (c.agent.phase != Phase::up) return;
  c.agent.live.goes_on = !c.agent.work_open;
  begin_stop(c, ExitReason::limit_dialog, c.policy.stop_timeout);
}

// A terminal that is still drawn takes the next nudge; a dialog may be open for hours.
void on_blocked(Change& c) {
  constexpr int kMostDoublings = 10;
  Live& live = c.agent.live;
  const Millis wait = c.policy.blocked_wait * (1 << std::min(live.nudges_blocked, kMostDoublings));
  live.nudge_again = c.now + std::min(c.policy.nudge_wait, wait);
  if (++live.nudges_blocked == 2) c.act(Notify{NotifyKind::nudge_blocked, "the nudge could not be typed"});
}

void show_ready(Change& c) {
  if (c.agent.phase == Phase::launching) go_up(c);
  c.agent.live.ready = true;
  c.agent.resume_deaths = 0;
}

void on_unreadable(Change& c, const Signal& event) {
  if (!dialog_open(c.agent)) set_condition(c, Condition::unknown, event.detail);
}

}  // namespace

void handle(Change& c, const Signal& event) {
  if (event.run != c.agent.run || !is_live(c.agent.phase)) return;
  if (shows_ready(event.kind)) show_ready(c);
  if (shows_conversation(event.kind)) c.agent.resume = true;
  switch (event.kind) {
    case SignalKind::activity:
      return on_activity(c, event);
    case SignalKind::busy:
      return on_busy(c);
    case SignalKind::idle:
      return on_idle(c, event.source);
    case SignalKind::turn_ended:
      return on_turn_ended(c);
    case SignalKind::permission_asked:
      return on_permission(c, event);
    case SignalKind::permission_closed:
      return on_closed(c, Condition::waiting_permission);
    case SignalKind::question_asked:
      return on_question(c, event);
    case SignalKind::question_closed:
      return on_closed(c, Condition::waiting_question);
    case SignalKind::rate_limited:
      return on_limit(c, event);
    case SignalKind::auth_required:
      return on_login(c, event);
    case SignalKind::repeated:
      return on_repeated(c, event);
    case SignalKind::varied:
      return on_varied(c, event);
    case SignalKind::unreadable:
      return on_unreadable(c, event);
    case SignalKind::answers:
      c.agent.live.answers = true;
      return;
  }
}

void handle(Change& c, const NudgeResult& event) {
  Live& live = c.agent.live;
  if (event.run != c.agent.run || !live.typing_until) return;
  live.typing_until = c.now + c.policy.echo;
  if (event.delivery == Delivery::delivered) c.act(Emit{EventName::nudged, live.detail});
  if (live.condition != Condition::stuck) return;
  if (event.delivery == Delivery::at_limit) return leave_limit(c);
  if (event.delivery == Delivery::blocked) return on_blocked(c);
  live.nudges_blocked = 0;
  if (event.delivery != Delivery::delivered) return;
  live.nudged_at = c.now;
  live.waiting_since = c.now;
}

void handle(Change& c, const Probed& event) {
  const Agent& agent = c.agent;
  if (event.run == agent.run && agent.live.probe_asked == event.asked) judge(c, event);
}

}  // namespace agentmesh::watchdog
