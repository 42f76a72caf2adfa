#pragma once
// The daemon: wires the modules together, listens on the control socket, and runs until it is told to stop.
// Agents outlive it.

#include "config/config.h"
#include "daemon/home.h"

namespace agentmesh::daemon {

// Runs until SIGTERM, SIGINT or POST /v1/shutdown. Returns the exit code: 0, or that of the error that kept
// it from starting (4: another daemon has this home).
int run_daemon(const config::Config& config, const Home& home);

}  // namespace agentmesh::daemon
