#include "watchdog/agent.h"

namespace agentmesh::watchdog {
namespace {

Status status_of_condition(Condition condition) {
  switch (condition) {
    case Condition::busy:
      return Status::busy;
    case Condition::idle:
      return Status::idle;
    case Condition::waiting_permission:
      return Status::waiting_permission;
    case Condition::waiting_question:
      return Status::waiting_question;
    case Condition::rate_limited:
      return Status::rate_limited;
    case Condition::auth_required:
      return Status::auth_required;
    case Condition::stuck:
      return Status::stuck;
    case Condition::unknown:
      break;
  }
  return Status::unknown;
}

}  // namespace

Agent make_agent(AgentName name, WallTime now) {
  Agent agent{{.name = std::move(name), .phase_since = now}, {}};
  agent.live.condition_since = now;
  agent.live.status_since = now;
  agent.live.last_activity = now;
  return agent;
}

Agent load_agent(AgentRecord record) { return Agent{std::move(record), {}}; }

Status status_of(const Agent& agent) {
  if (agent.wanted == Wanted::stopped) {
    return agent.phase == Phase::absent ? Status::stopped : Status::stopping;
  }
  switch (agent.phase) {
    case Phase::up:
      return status_of_condition(agent.live.condition);
    case Phase::failed:
      return Status::failed;
    case Phase::held:
      return agent.hold == Hold::login ? Status::auth_required : Status::rate_limited;
    default:
      return agent.restarting ? Status::restarting : Status::starting;
  }
}

const std::string& status_reason(const Agent& agent) {
  return agent.phase == Phase::up ? agent.live.detail : agent.reason;
}

std::optional<WallTime> next_wake(const Agent& agent) { return agent.live.wake_at; }

bool has_work(const Agent& agent) { return agent.work_open || agent.live.turn_open; }

bool may_exist(const Agent& agent) { return agent.run_begun; }

}  // namespace agentmesh::watchdog
