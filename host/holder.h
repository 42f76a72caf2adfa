#pragma once
// `agentmesh hold`: the process that stands where the engine stands for a container. One for each run on the
// host, started by the daemon, in a session of its own, a child of nobody who may be restarted. It makes the
// agent's terminal, starts the agent when it is told to, reaps what descends from it, writes its end into the
// run's folder before it tells anybody, and answers on the folder's socket the engine's own calls: json,
// start, wait, attach, resize, logs, stop, kill, and DELETE, which ends it. Beyond those: link, which gives
// the next daemon the way to the agent's own HTTP server.
// It never restarts an agent and never decides anything. If it is killed, its agent is killed by the kernel.

#include <filesystem>

namespace agentmesh::host {

// Runs until it is removed; the launch comes on standard input. Answers the process's exit code.
int run_holder(const std::filesystem::path& folder);

}  // namespace agentmesh::host
