#pragma once
// From an agent's spec to what a holder is told: the agent's launch on the host. It runs as the daemon's user
// with that user's own home, login and configuration, so nothing is written there; its environment is what a
// person's shell would give it and no more. It prepares the agent's folders and talks to nobody.

#include "daemon/launch.h"
#include "host/holder_launch.h"

#include <map>
#include <string>

namespace agentmesh::daemon {

// The part of our environment that is handed on: who the user is, where programs, files and proxies are.
// Never what only happens to be set where the daemon was started.
std::map<std::string, std::string> handed_on(const std::map<std::string, std::string>& environment);

// Checks without touching the disk, for an early and clear refusal. Answers the workdir, absolute and without
// links. Errors: invalid (workdir, the runner's plan).
Result<std::string> check_host_launch(const AgentSpec& spec, const AgentName& name);

// Errors: as above, and those of the disk.
Result<host::HolderLaunch> prepare_host_launch(const AgentSpec& spec, const LaunchInput& input,
                                               const Home& home);

// A port of 127.0.0.1 that nobody listens on, below those the kernel gives out by itself. Between our look
// and the agent's listening another may take it: then the agent fails to start, and the next run takes
// another. Errors: exhausted.
Result<std::uint16_t> free_port();

}  // namespace agentmesh::daemon
