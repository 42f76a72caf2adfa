#pragma once
// An agent's environment, the same for every place: what it is told by its own channel belongs to agentmesh
// and cannot be given; of all other variables the user's wins over the adapter's, and that over the usual
// ones. Pure.

#include "agents/adapter.h"
#include "base/result.h"

#include <map>
#include <string>
#include <string_view>

namespace agentmesh::daemon {

using Environment = std::map<std::string, std::string>;

// AGENTMESH_*, what the runner's own channel needs (RunnerFacts::own_variables), and HOME in a sandbox.
bool is_ours(std::string_view variable, std::string_view runner, agents::Place place);

// Errors: invalid, naming the variable that is ours.
Result<void> check_environment(const Environment& given, std::string_view runner, agents::Place place);

struct EnvironmentParts {
  std::string_view runner;
  agents::Place place = agents::Place::sandbox;
  std::string agent;
  std::string agent_id;
};

// `given` is the user's: what is ours in it, as in a row of an earlier version, counts for nothing. `usual`
// is the place's; terminal and language are added.
Environment agent_environment(const EnvironmentParts& parts, const Environment& given,
                              const agents::LaunchPlan& plan, const Environment& usual);

}  // namespace agentmesh::daemon
