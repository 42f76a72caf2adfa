#include "daemon/observer.h"

#include "base/log.h"
#include "base/text.h"
#include "sandbox/run_spec.h"

namespace agentmesh::daemon {
namespace {

watchdog::ContainerState state_of(sandbox::ContainerState state) {
  switch (state) {
    case sandbox::ContainerState::created:
      return watchdog::ContainerState::created;
    case sandbox::ContainerState::exited:
    case sandbox::ContainerState::removing:
    case sandbox::ContainerState::dead:
      return watchdog::ContainerState::exited;
    default:
      return watchdog::ContainerState::running;
  }
}

Task<watchdog::ContainerSeen> seen(const Inspect& inspect, const sandbox::ContainerSummary& summary) {
  watchdog::ContainerSeen container{labelled_run(summary.labels), summary.id, state_of(summary.state), 0,
                                    false};
  if (container.state != watchdog::ContainerState::exited) co_return container;
  const auto details = co_await inspect(summary.id);
  if (!details) co_return pass(details.error());
  container.exit_code = details->exit_code;
  container.oom_killed = details->oom_killed;
  co_return container;
}

Task<RunsSeen> containers_of(sandbox::Engine& engine, std::string owner) {
  auto containers = co_await engine.list({{std::string(sandbox::kOwnerLabel), std::move(owner)}});
  if (!containers) co_return pass(containers.error());
  co_return co_await runs_in(std::move(*containers),
                             [&engine](std::string id) { return engine.inspect(std::move(id)); });
}

watchdog::ContainerState state_of(host::RunState state) {
  switch (state) {
    case host::RunState::created:
      return watchdog::ContainerState::created;
    case host::RunState::running:
      return watchdog::ContainerState::running;
    default:
      return watchdog::ContainerState::exited;
  }
}

// The home is ours alone: a run of another journal is nobody's, which no agent's name can be.
Task<RunsSeen> host_runs_of(host::Runs& host, std::string owner) {
  const auto runs = co_await host.list();
  if (!runs) co_return pass(runs.error());
  RunsSeen found;
  for (const host::RunSeen& run : *runs) {
    const std::string agent = run.identity.owner == owner ? run.identity.agent : "";
    found.of[agent].push_back({run.identity.run, run.id, state_of(run.state), run.exit_code, false});
  }
  co_return found;
}

}  // namespace

std::string label_of(const sandbox::Labels& labels, std::string_view key) {
  const auto found = labels.find(std::string(key));
  return found == labels.end() ? "" : found->second;
}

RunId labelled_run(const sandbox::Labels& labels) {
  return RunId{whole_number<std::uint64_t>(label_of(labels, sandbox::kRunLabel)).value_or(0)};
}

Task<RunsSeen> runs_in(std::vector<sandbox::ContainerSummary> containers, Inspect inspect) {
  RunsSeen found;
  for (const auto& summary : containers) {
    auto container = co_await seen(inspect, summary);
    const std::string agent = label_of(summary.labels, sandbox::kAgentLabel);
    if (container) {
      found.of[agent].push_back(std::move(*container));
    } else if (container.error().code == ErrorCode::unavailable) {
      co_return pass(container.error());                          // the engine has gone meanwhile
    } else if (container.error().code != ErrorCode::not_found) {  // that one is removed since it was listed
      log_error(container.error());
      found.partial.insert(agent);
    }
  }
  co_return found;
}

Task<RunsSeen> look_at_runs(LookedAt world, agents::Place place) {
  if (place == agents::Place::host) co_return co_await host_runs_of(world.host, world.owner);
  co_return co_await containers_of(world.engine, world.owner);
}

Task<PanesSeen> look_at_panes(tmux::Tmux& tmux) {
  if (auto up = co_await tmux.ensure(); !up) co_return pass(up.error());
  const auto listed = co_await tmux.list();
  if (!listed) co_return pass(listed.error());
  PanesSeen found;
  for (const tmux::Pane& pane : *listed) {
    if (const auto agent = agent_of_session(pane.session); !agent.empty()) found[std::string(agent)] = pane;
  }
  co_return found;
}

watchdog::Observed observed_of(const Sight& sight, const std::string& agent, std::uint64_t as_of) {
  watchdog::Observed observed;
  observed.as_of = as_of;
  const bool partial = sight.runs->partial.contains(agent);
  observed.engine = partial ? watchdog::Completeness::partial : watchdog::Completeness::complete;
  if (const auto found = sight.runs->of.find(agent); found != sight.runs->of.end()) {
    observed.containers = found->second;
  }
  if (sight.panes) {
    const auto pane = sight.panes->find(agent);
    const bool live = pane != sight.panes->end() && !pane->second.dead;
    observed.pane = pane == sight.panes->end() ? watchdog::PaneState::none
                    : live                     ? watchdog::PaneState::live
                                               : watchdog::PaneState::dead;
  }
  return observed;
}

}  // namespace agentmesh::daemon
