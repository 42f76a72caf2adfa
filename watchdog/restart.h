#pragma once
// The arithmetic of restarting: sliding window, delay curve, jitter. Pure: jitter is a hash of name, run and
// count, so that the same agent waits the same time in a test and thirty agents do not wake together.

#include "base/clock.h"
#include "watchdog/agent.h"
#include "watchdog/policy.h"

namespace agentmesh::watchdog {

// Drops the restarts that left the window.
void prune_restarts(AgentRecord& agent, const Policy& policy, WallTime now);
// The counted ones that are younger than the window.
int restarts_within(const AgentRecord& agent, Millis window, WallTime now);
bool budget_left(const AgentRecord& agent, const Policy& policy);
// The delay before the restart that follows `agent.failures` failures in a row (at least 1):
// backoff_first doubling to backoff_max, then within jitter_percent of that.
Millis restart_delay(const AgentRecord& agent, const Policy& policy);
// A share of [0, limit], the same for the same agent, run and count.
Millis spread(const AgentRecord& agent, Millis limit);

}  // namespace agentmesh::watchdog
