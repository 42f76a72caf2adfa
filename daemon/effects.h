#pragma once
// Carries out what the watchdog asked for one run, on the engine or, for an agent without a sandbox, on the
// host, and says what came of it in the watchdog's words. Stateless but for what it knows of the engine's
// host. It never decides what to do next.

#include "base/offload.h"
#include "base/task.h"
#include "config/config.h"
#include "daemon/agent_spec.h"
#include "daemon/home.h"
#include "daemon/launch.h"
#include "host/runs.h"
#include "sandbox/attach.h"
#include "sandbox/engine.h"
#include "sandbox/mount_policy.h"
#include "watchdog/action.h"
#include "watchdog/event.h"

#include <map>
#include <string>

namespace agentmesh::daemon {

struct EffectsParts {
  sandbox::Engine& engine;
  std::string engine_socket;
  host::Runs& host;
  const sandbox::MountPolicy& policy;
  const config::Config& config;
  const Home& home;
  Offload& offload;
  std::string owner;
};

// Which run, and where it runs.
struct RunPlace {
  agents::Place place = agents::Place::sandbox;
  AgentName agent;
  RunId run;
};

class Effects {
 public:
  // All references must outlive it.
  explicit Effects(EffectsParts parts) : parts_(std::move(parts)) {}

  // The container's id, or the run's on the host; one that exists already with our labels is adopted. Errors
  // as the engine's and launch's.
  Task<std::string> create(AgentSpec spec, LaunchInput input);
  // By id, so that a late start never starts a later container of that name. The workspace must still be the
  // folder it was at create. Errors: denied (it was replaced).
  Task<> start(std::string container_id);
  Task<> stop(RunPlace run, Millis timeout);
  Task<> kill(RunPlace run);
  Task<> remove(RunPlace run);
  // What belongs to no agent, by its id.
  Task<> remove_stray(std::string id);
  // What the run printed last, when no pane shows it. Errors: the engine's and the host's.
  Task<std::string> logs(RunPlace run, std::uint32_t lines);
  // Whom the pane's relay asks for the run's terminal.
  sandbox::AttachTarget terminal_of(const RunPlace& run) const;

  // The engine's host, asked once; zeros (not checked) while the engine cannot be reached.
  boost::asio::awaitable<sandbox::HostCapacity> capacity();

 private:
  Task<std::string> create_in_sandbox(AgentSpec spec, LaunchInput input);
  Task<std::string> create_on_host(AgentSpec spec, LaunchInput input);
  Task<> prepare(AgentFolders folders);
  Task<std::string> adopt(const std::string& container, const LaunchInput& input);

  std::string host_id(const RunPlace& run) const { return parts_.host.id_of(run.agent, run.run); }

  EffectsParts parts_;
  sandbox::HostCapacity host_;
  struct Created {
    std::string container;
    sandbox::ResolvedSource workspace;
  };
  std::map<std::string, Created> created_;  // by container id, from create to start or removal
};

}  // namespace agentmesh::daemon
