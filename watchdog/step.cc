#include "watchdog/step.h"

#include "watchdog/change.h"

#include <algorithm>

namespace agentmesh::watchdog {
namespace {

// How far away a deadline may be; further means that the clock was set back.
Millis longest_wait(const Agent& agent, const Policy& policy) {
  switch (agent.phase) {
    case Phase::queued:
      return policy.queue_recheck;
    case Phase::creating:
      return policy.create_timeout;
    case Phase::starting:
      return policy.start_timeout;
    case Phase::launching:
      return policy.ready_timeout;
    case Phase::stopping:
      return policy.stop_timeout_max + policy.stop_grace;
    case Phase::ended:
      return policy.report_timeout;
    case Phase::removing:
      return policy.remove_timeout;
    case Phase::checking:
      return std::max(policy.look_again, policy.retry_max);
    case Phase::backoff:
      return policy.backoff_max * (100 + policy.jitter_percent) / 100;
    case Phase::held:
      return agent.hold == Hold::usage_limit ? policy.limit_max + policy.limit_jitter : policy.recheck;
    case Phase::absent:
    case Phase::up:
    case Phase::failed:
      break;
  }
  return policy.recheck;
}

void clamp_times(Change& c) {
  Agent& agent = c.agent;
  const auto past = [&](std::optional<WallTime>& time) {
    if (time) time = std::min(*time, c.now);
  };
  agent.phase_since = std::min(agent.phase_since, c.now);
  past(agent.started_at);
  past(agent.exit.at);
  past(agent.last_restart_at);
  for (auto& at : agent.restarts) at = std::min(at, c.now);
  const WallTime latest = c.now + longest_wait(agent, c.policy);
  if (agent.deadline) agent.deadline = std::min(*agent.deadline, latest);
  if (agent.next_restart_at && at_rest(agent.phase)) {
    agent.next_restart_at = std::min(*agent.next_restart_at, latest);
  }
}

void arm(Change& c) {
  auto wake = c.agent.deadline;
  const auto by_condition = condition_wake(c.agent, c.policy);
  if (by_condition && (!wake || *by_condition < *wake)) wake = by_condition;
  c.agent.live.wake_at = wake;
}

bool touches_engine(const Action& action) {
  return std::holds_alternative<Create>(action) || std::holds_alternative<Start>(action) ||
         std::holds_alternative<Stop>(action) || std::holds_alternative<Kill>(action) ||
         std::holds_alternative<Remove>(action);
}

bool needs_saving(const Change& c, const Agent& before) {
  const AgentRecord& old_record = before;
  const AgentRecord& new_record = c.agent;
  return old_record != new_record || std::ranges::any_of(c.actions, touches_engine);
}

void tell_status(Change& c, const Agent& before) {
  if (status_of(before) == status_of(c.agent)) return;
  c.agent.live.status_since = c.now;
  c.act(Emit{EventName::status, status_reason(c.agent)});
}

std::string unproved(const Agent& agent) {
  if (agent.trouble == Effect::remove || agent.trouble == Effect::none) return kNotRemoved;
  return "it is not known whether its container runs: " + agent.reason;
}

void again(Change& c, Millis wait) { c.agent.deadline = c.now + wait; }

void deadline_passed(Change& c) {
  switch (c.agent.phase) {
    case Phase::absent:
      return;
    case Phase::queued:
      return again(c, c.policy.queue_recheck);
    case Phase::creating:
      return check(c, Effect::create, Failure::unknown, "no answer in time");
    case Phase::starting:
      return check(c, Effect::start, Failure::unknown, "no answer in time");
    case Phase::launching:
      return go_up(c);
    case Phase::up:
      return again(c, c.policy.recheck);
    case Phase::stopping:
      try_again(c, c.policy.stop_grace, "its container cannot be killed");
      begin_kill(c);
      return c.act(Look{});
    case Phase::ended:
      return begin_remove(c);
    case Phase::removing:
      return check(c, Effect::remove, Failure::unknown, "no answer in time");
    case Phase::checking:
      again(c, try_again(c, c.policy.look_again, unproved(c.agent)));
      return c.act(Look{});
    case Phase::backoff:
      return queue(c);
    case Phase::held:
      return c.agent.hold == Hold::login ? again(c, c.policy.recheck) : queue(c);
    case Phase::failed:
      return again(c, c.policy.recheck);
  }
}

}  // namespace

void handle(Change& c, const Tick&) {
  if (c.agent.deadline && *c.agent.deadline <= c.now) deadline_passed(c);
  condition_wakes(c);
}

Step step(const Agent& agent, const Event& event, const Policy& policy, WallTime now) {
  Change c{.agent = agent, .policy = policy, .now = now, .actions = {}};
  clamp_times(c);
  std::visit([&](const auto& what) { handle(c, what); }, event);
  tell_status(c, agent);
  arm(c);
  if (needs_saving(c, agent)) c.actions.insert(c.actions.begin(), Persist{});
  return {std::move(c.agent), std::move(c.actions)};
}

}  // namespace agentmesh::watchdog
