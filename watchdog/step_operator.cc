// What people, the daemon and the host ask.
#include "watchdog/change.h"

#include <algorithm>

namespace agentmesh::watchdog {
namespace {

// A start that a person asked for: with a clean slate.
void renew(Change& c, const std::string& spec_hash, Conversation conversation) {
  Agent& agent = c.agent;
  agent.wanted = Wanted::running;
  agent.finished = false;
  agent.spec_hash = spec_hash;
  if (conversation == Conversation::fresh) agent.resume = false;
  agent.restarts.clear();
  agent.failures = 0;
  agent.resume_deaths = 0;
  agent.unproved = false;
  agent.tries = 0;
  agent.after = After::start;
}

void start_from_rest(Change& c) {
  c.agent.run_begun = false;  // what may still come into being has the old spec: never adopt it
  c.agent.restarting = false;
  c.agent.reason.clear();
  queue(c);
}

// What is in flight or ending goes on to its end; the new run follows.
void start_after_end(Change& c) {
  c.agent.ending = ExitReason::restarted_by_user;
  c.agent.restarting = true;
}

Millis until_killed(const Change& c, const StopAsked& event) {
  if (event.manner == StopManner::force) return c.policy.stop_grace;
  return std::clamp(event.timeout, Millis{}, c.policy.stop_timeout_max) + c.policy.stop_grace;
}

void shorten_deadline(Change& c, Millis wait) {
  c.agent.deadline = std::min(c.agent.deadline.value_or(c.now + wait), c.now + wait);
}

// A start is in flight, or what came of it is not known yet.
bool may_come_up(Phase phase) {
  return phase == Phase::creating || phase == Phase::starting || phase == Phase::checking;
}

}  // namespace

void handle(Change& c, const StartAsked& event) {
  const bool wanted = c.agent.wanted == Wanted::running;
  switch (c.agent.phase) {
    case Phase::absent:
    case Phase::queued:
    case Phase::backoff:
    case Phase::held:
    case Phase::failed:
      renew(c, event.spec_hash, event.conversation);
      return start_from_rest(c);
    case Phase::creating:
    case Phase::starting:
    case Phase::checking:
    case Phase::launching:
    case Phase::up:
      if (wanted) return;
      [[fallthrough]];
    case Phase::stopping:
    case Phase::ended:
    case Phase::removing:
      renew(c, event.spec_hash, event.conversation);
      return start_after_end(c);
  }
}

void handle(Change& c, const RestartAsked& event) {
  renew(c, event.spec_hash, event.conversation);
  if (at_rest(c.agent.phase)) return start_from_rest(c);
  if (is_live(c.agent.phase)) begin_stop(c, ExitReason::restarted_by_user, event.timeout);
  if (may_come_up(c.agent.phase)) ask_end(c, event.timeout, StopManner::graceful);
  start_after_end(c);
}

void handle(Change& c, const StopAsked& event) {
  if (c.agent.finished) c.agent.excused = true;  // its end stands, whatever comes to light of it
  if (c.agent.finished || c.agent.phase == Phase::absent) return;
  c.agent.wanted = Wanted::stopped;
  if (at_rest(c.agent.phase)) return settle(c);
  if (is_live(c.agent.phase) || may_come_up(c.agent.phase)) ask_end(c, event.timeout, event.manner);
  if (is_live(c.agent.phase)) return end_as_asked(c, ExitReason::stopped_by_user);
  c.agent.ending = ExitReason::stopped_by_user;
  c.agent.reason.clear();
  if (c.agent.phase == Phase::ended || c.agent.phase == Phase::removing) return;
  if (c.agent.phase == Phase::stopping && event.manner == StopManner::force) return begin_kill(c);
  shorten_deadline(c, until_killed(c, event));
}

void handle(Change& c, const DaemonStarted&) {
  Agent& agent = c.agent;
  agent.live = Live{.condition_since = c.now,
                    .status_since = agent.phase_since,
                    .blind = true,
                    .look_at = c.now + c.policy.look_again,
                    .ready = agent.phase == Phase::up,
                    .last_activity = c.now,
                    .stable_since = c.now};
  switch (agent.phase) {
    case Phase::creating:
      return check(c, Effect::create, Failure::unknown, "the daemon was restarted");
    case Phase::starting:
      return check(c, Effect::start, Failure::unknown, "the daemon was restarted");
    case Phase::ended:
      report(c);
      break;
    case Phase::up:
      if (agent.limited_until && *agent.limited_until > c.now) set_condition(c, Condition::rate_limited, "");
      break;
    default:
      break;
  }
  c.act(Look{});
}

void handle(Change& c, const Admitted&) {
  const Agent& agent = c.agent;
  if (agent.phase != Phase::queued || agent.wanted != Wanted::running) return;
  if (agent.live.blind || agent.live.engine_lost) return;
  begin_create(c);
}

void handle(Change& c, const Work& event) { c.agent.work_open = event.state == WorkState::open; }

void handle(Change& c, const EngineLost&) {
  c.agent.live.blind = true;
  c.agent.live.engine_lost = true;
  c.agent.live.probe_asked.reset();
  excuse(c, c.now - c.policy.excuse_window);
}

void handle(Change& c, const EngineBack&) {
  c.agent.live.engine_lost = false;
  progress(c, c.now);
  c.agent.live.look_at = c.now + c.policy.look_again;
  c.act(Look{});
}

void handle(Change& c, const MassDeath& event) { excuse(c, event.since); }

}  // namespace agentmesh::watchdog
