#pragma once
// Carries out on the engine what the watchdog asked for one run, and says what came of it in the watchdog's
// words. Stateless but for what it knows of the engine's host. It never decides what to do next.

#include "base/task.h"
#include "daemon/agent_spec.h"
#include "daemon/home.h"
#include "daemon/launch.h"
#include "sandbox/engine.h"
#include "sandbox/mount_policy.h"
#include "watchdog/action.h"
#include "watchdog/event.h"

#include <map>
#include <string>

namespace agentmesh::daemon {

class Effects {
 public:
  // All references must outlive it.
  Effects(sandbox::Engine& engine, const sandbox::MountPolicy& policy, const Home& home, std::string owner);

  // The container's id; one that exists already with our labels is adopted. Errors as the engine's and
  // launch's.
  Task<std::string> create(AgentSpec spec, LaunchInput input);
  // By id, so that a late start never starts a later container of that name. The workspace must still be the
  // folder it was at create. Errors: denied (it was replaced).
  Task<> start(std::string container_id);
  Task<> stop(AgentName agent, RunId run, Millis timeout);
  Task<> kill(AgentName agent, RunId run);
  Task<> remove(AgentName agent, RunId run);

  // The engine's host, asked once; zeros (not checked) while the engine cannot be reached.
  boost::asio::awaitable<sandbox::HostCapacity> capacity();

 private:
  Task<std::string> adopt(const std::string& container, const LaunchInput& input);

  sandbox::Engine& engine_;
  const sandbox::MountPolicy& policy_;
  const Home& home_;
  std::string owner_;
  sandbox::HostCapacity host_;
  std::map<std::string, sandbox::ResolvedSource> workspaces_;  // by container id, from create to start
};

}  // namespace agentmesh::daemon
