#include "daemon/observer.h"

#include "base/log.h"
#include "sandbox/run_spec.h"

#include <charconv>

namespace agentmesh::daemon {
namespace {

constexpr std::string_view kSessionPrefix = "agentmesh-";

std::string label(const sandbox::Labels& labels, std::string_view key) {
  const auto found = labels.find(std::string(key));
  return found == labels.end() ? "" : found->second;
}

RunId run_of(const sandbox::Labels& labels) {
  const std::string text = label(labels, sandbox::kRunLabel);
  RunId run;
  std::from_chars(text.data(), text.data() + text.size(), run.value);
  return run;
}

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

// The list has no exit code: one inspect more for each container that has ended.
Task<watchdog::ContainerSeen> seen(sandbox::Engine& engine, sandbox::ContainerSummary summary) {
  watchdog::ContainerSeen container{run_of(summary.labels), summary.id, state_of(summary.state), 0, false};
  if (container.state != watchdog::ContainerState::exited) co_return container;
  const auto details = co_await engine.inspect(summary.id);
  if (!details) co_return pass(details.error());
  container.exit_code = details->exit_code;
  container.oom_killed = details->oom_killed;
  co_return container;
}

Task<std::vector<tmux::Pane>> panes(tmux::Tmux& tmux) {
  if (auto up = co_await tmux.ensure(); !up) co_return pass(up.error());
  co_return co_await tmux.list();
}

}  // namespace

Task<Sight> look(sandbox::Engine& engine, tmux::Tmux& tmux, std::string owner) {
  Sight sight;
  auto containers = co_await engine.list({{std::string(sandbox::kOwnerLabel), std::move(owner)}});
  if (!containers) co_return pass(containers.error());
  for (const auto& summary : *containers) {
    auto container = co_await seen(engine, summary);
    if (!container && container.error().code == ErrorCode::not_found)
      continue;  // removed since it was listed
    if (!container) co_return pass(container.error());
    sight.containers[label(summary.labels, sandbox::kAgentLabel)].push_back(std::move(*container));
  }
  const auto listed = co_await panes(tmux);
  sight.panes_known = listed.has_value();
  if (!listed) {
    log_error(listed.error());
    co_return sight;
  }
  for (const tmux::Pane& pane : *listed) {
    if (pane.session.starts_with(kSessionPrefix))
      sight.panes[pane.session.substr(kSessionPrefix.size())] = pane;
  }
  co_return sight;
}

watchdog::Observed observed_of(const Sight& sight, const std::string& agent, std::uint64_t as_of) {
  watchdog::Observed observed;
  observed.as_of = as_of;
  observed.engine = watchdog::Completeness::complete;
  if (const auto found = sight.containers.find(agent); found != sight.containers.end()) {
    observed.containers = found->second;
  }
  if (sight.panes_known) {
    const auto pane = sight.panes.find(agent);
    const bool live = pane != sight.panes.end() && !pane->second.dead;
    observed.pane = pane == sight.panes.end() ? watchdog::PaneState::none
                    : live                    ? watchdog::PaneState::live
                                              : watchdog::PaneState::dead;
  }
  return observed;
}

}  // namespace agentmesh::daemon
