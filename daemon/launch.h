#pragma once
// From an agent's spec to what the engine is asked for: paths judged by the mount policy, the runner's launch
// plan, and the run spec. It changes nothing on the disk and talks to nobody.

#include "agents/adapter.h"
#include "base/ids.h"
#include "daemon/agent_folders.h"
#include "daemon/agent_spec.h"
#include "daemon/home.h"
#include "sandbox/mount_policy.h"
#include "sandbox/run_spec.h"
#include "watchdog/agent.h"

#include <string>

namespace agentmesh::daemon {

struct LaunchInput {
  AgentName name;
  RunId run;
  watchdog::Conversation conversation = watchdog::Conversation::fresh;
  std::string session_id;
  std::string agent_id;
  std::string owner;
  std::string image_id;
};

// How the runner is to be launched for what the watchdog asked.
agents::Conversation conversation_of(watchdog::Conversation asked, const std::string& session_id);

// What every place asks of the runner's adapter; the place adds its own channels.
agents::LaunchRequest launch_request(const AgentSpec& spec, const LaunchInput& input, agents::Place place);

// Checks without touching the disk, for an early and clear refusal: workdir, mounts, limits, the runner's
// plan. Errors: invalid, denied (with the rule's name).
Result<sandbox::ResolvedSource> check_launch(const AgentSpec& spec, const AgentName& name,
                                             const sandbox::MountPolicy& policy,
                                             const sandbox::HostCapacity& host);

struct Launch {
  sandbox::RunSpec run;
  AgentFolders folders;  // to be prepared before the run is created
};

// The run spec, and what its folders need. Errors: as above.
Result<Launch> prepare_launch(const AgentSpec& spec, const LaunchInput& input, const Home& home,
                              const sandbox::MountPolicy& policy, const sandbox::HostCapacity& host);

}  // namespace agentmesh::daemon
