#pragma once
// One look at engine, host and tmux for all agents: what the watchdog's Observed is made of. The same code
// serves the daemon's start, the return of the engine and the periodic relist. It changes nothing.

#include "agents/adapter.h"
#include "base/task.h"
#include "host/runs.h"
#include "sandbox/engine.h"
#include "tmux/tmux.h"
#include "watchdog/event.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::daemon {

struct RunsSeen {
  std::map<std::string, std::vector<watchdog::ContainerSeen>> of;  // by agent's name
  std::set<std::string> partial;  // agents of which some container could not be looked at
};
using PanesSeen = std::map<std::string, tmux::Pane>;  // by agent's name

// One place at a time, so that an engine that is away hides nothing but its own. Nothing: it could not be
// asked.
struct Sight {
  agents::Place place = agents::Place::sandbox;
  std::optional<RunsSeen> runs;
  std::optional<PanesSeen> panes;
};

struct LookedAt {
  sandbox::Engine& engine;
  host::Runs& host;
  std::string owner;
};

// What a list of containers is worth. The list has no exit code: one `inspect` more for each that has ended.
// One that cannot be inspected makes its agent's view partial and hides nobody else. Errors: unavailable.
using Inspect = std::function<Task<sandbox::ContainerDetails>(std::string id)>;
Task<RunsSeen> runs_in(std::vector<sandbox::ContainerSummary> containers, Inspect inspect);

// Errors of these two: those of the engine or the host, when it cannot be listed; those of tmux.
Task<RunsSeen> look_at_runs(LookedAt world, agents::Place place);
Task<PanesSeen> look_at_panes(tmux::Tmux& tmux);

// What a container of ours carries; empty or 0 when it does not.
std::string label_of(const sandbox::Labels& labels, std::string_view key);
RunId labelled_run(const sandbox::Labels& labels);

// The part that concerns one agent of that place, when its runs are known.
watchdog::Observed observed_of(const Sight& sight, const std::string& agent, std::uint64_t as_of);

}  // namespace agentmesh::daemon
