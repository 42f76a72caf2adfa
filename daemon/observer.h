#pragma once
// One look at engine and tmux for all agents: what the watchdog's Observed is made of. The same code serves
// the daemon's start, the return of the engine and the periodic relist. It changes nothing.

#include "base/task.h"
#include "sandbox/engine.h"
#include "tmux/tmux.h"
#include "watchdog/event.h"

#include <map>
#include <string>
#include <vector>

namespace agentmesh::daemon {

struct Sight {
  std::map<std::string, std::vector<watchdog::ContainerSeen>> containers;  // by agent's name
  std::map<std::string, tmux::Pane> panes;                                 // by agent's name
  bool panes_known = false;                                                // tmux could be asked
};

// Errors: the engine's, when it cannot be listed. A tmux that cannot be asked leaves panes_known false.
Task<Sight> look(sandbox::Engine& engine, tmux::Tmux& tmux, std::string owner);

// The part that concerns one agent.
watchdog::Observed observed_of(const Sight& sight, const std::string& agent, std::uint64_t as_of);

}  // namespace agentmesh::daemon
