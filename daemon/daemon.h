#pragma once
// The daemon: wires the modules together, listens on the control socket, and runs until it is told to stop.
// Agents outlive it.

#include "base/result.h"
#include "config/config.h"
#include "daemon/home.h"

#include <cstdint>
#include <string>
#include <utility>

namespace agentmesh::daemon {

// Runs until SIGTERM, SIGINT or POST /v1/shutdown. Returns the exit code: 0, or that of the error that kept
// it from starting (4: another daemon has this home).
int run_daemon(const config::Config& config, const Home& home);

// The configured one, else where an engine is found. Errors: invalid (DOCKER_HOST).
Result<std::string> engine_socket(const config::Config& config);

// "127.0.0.1:8440". Errors: invalid.
Result<std::pair<std::string, std::uint16_t>> parse_listen(const std::string& text);

}  // namespace agentmesh::daemon
