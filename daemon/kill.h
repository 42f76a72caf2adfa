#pragma once
// Ends a container that may have overdrawn its share of the processors: of a fork bomb at its limit no
// process gets the moment it needs to die of its SIGKILL, and the engine gives up after 12 s. Such a
// container is given all processors first. Keeps nothing; who asks decides whether to ask again.

#include "base/clock.h"
#include "base/task.h"
#include "sandbox/engine.h"

#include <chrono>
#include <string>

namespace agentmesh::daemon {

// An ordinary kill is answered within 0.5 s, on a busy machine too.
constexpr Millis kKillPatience = std::chrono::seconds{1};

// Ended, or did not run. When the kill is not answered within `patience` the processor limit is lifted beside
// it; when it fails the limit is lifted and the kill asked once more. Errors: the engine's.
Task<> kill_container(sandbox::Engine& engine, std::string id, Millis patience);

}  // namespace agentmesh::daemon
