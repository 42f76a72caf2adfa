#pragma once
// The watchdog: one pure function. It reads no clock, opens nothing, logs nothing; the same arguments give
// the same answer. The caller (daemon/supervisor) feeds events one at a time and performs the actions in
// order.
//
//   Step next = step(agent, event, policy, clock.now());
//   if the first action is Persist and the row was not saved: keep `agent`, perform nothing, say so;
//     the wake time or the next relist asks again.
//   agent = next.agent; perform the remaining actions; arm a timer for next_wake(agent).

#include "base/clock.h"
#include "watchdog/action.h"
#include "watchdog/agent.h"
#include "watchdog/event.h"
#include "watchdog/policy.h"

#include <vector>

namespace agentmesh::watchdog {

struct Step {
  Agent agent;
  std::vector<Action> actions;
};

// `now` is the clock of the caller: milliseconds, never backwards within one process.
// Never fails: an event that makes no sense in the agent's phase changes nothing.
Step step(const Agent& agent, const Event& event, const Policy& policy, WallTime now);

}  // namespace agentmesh::watchdog
