#pragma once
// What a runner's signal means to the watchdog. Pure.

#include "agents/adapter.h"
#include "watchdog/event.h"

#include <optional>

namespace agentmesh::daemon {

// Nothing: the signal says nothing about the state. `ready` of a runner that tells its state
// (tells_state) is told by the state that follows.
std::optional<watchdog::Signal> watchdog_signal(const agents::Signal& signal, RunId run, WallTime at,
                                                bool tells_state);

// The runner's own doing, and not an echo of what we typed: proof that a message was taken.
bool proves_change(const agents::Signal& signal);

// Whether `explain` should name it.
bool decides_state(const agents::Signal& signal);

}  // namespace agentmesh::daemon
