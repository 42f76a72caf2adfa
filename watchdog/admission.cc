#include "watchdog/admission.h"

#include <algorithm>
#include <tuple>

namespace agentmesh::watchdog {
namespace {

bool holds_slot(const Agent& agent, const HostPolicy& policy, WallTime now) {
  if (agent.phase == Phase::launching) return agent.phase_since + policy.launch_slot > now;
  return agent.phase == Phase::creating || agent.phase == Phase::starting;
}

bool waits(const Agent& agent) {
  return agent.phase == Phase::queued && !agent.live.blind && !agent.live.engine_lost;
}

}  // namespace

std::vector<const Agent*> next_starts(std::span<const Agent* const> agents, const HostPolicy& policy,
                                      WallTime now) {
  const auto taken =
      std::ranges::count_if(agents, [&](const Agent* a) { return holds_slot(*a, policy, now); });
  const auto free = std::max<std::ptrdiff_t>(0, policy.max_starting - taken);
  std::vector<const Agent*> waiting;
  std::ranges::copy_if(agents, std::back_inserter(waiting), [](const Agent* a) { return waits(*a); });
  std::ranges::sort(waiting, {}, [](const Agent* a) { return std::tie(a->phase_since, a->name); });
  if (std::ssize(waiting) > free) waiting.resize(static_cast<std::size_t>(free));
  return waiting;
}

std::optional<WallTime> next_slot(std::span<const Agent* const> agents, const HostPolicy& policy,
                                  WallTime now) {
  if (std::ranges::none_of(agents, [](const Agent* a) { return waits(*a); })) return std::nullopt;
  std::optional<WallTime> earliest;
  for (const Agent* agent : agents) {
    if (agent->phase != Phase::launching || !holds_slot(*agent, policy, now)) continue;
    const WallTime at = agent->phase_since + policy.launch_slot;
    if (!earliest || at < *earliest) earliest = at;
  }
  return earliest;
}

std::optional<WallTime> DeathWatch::died(const AgentName& agent, std::size_t alive, WallTime now) {
  std::erase_if(deaths_, [&](const Death& death) {
    return death.agent == agent || death.at + policy_.mass_death_window <= now;
  });
  deaths_.push_back({agent, alive, now});
  const std::size_t before = deaths_.front().alive;
  const bool many = std::ssize(deaths_) >= policy_.mass_death_agents;
  if (!many || deaths_.size() * 2 <= before) return std::nullopt;
  held_until_ = now + policy_.mass_death_hold;
  return deaths_.front().at;
}

bool DeathWatch::holds(WallTime now) const { return held_until_ && now < *held_until_; }

void DeathWatch::verified() {
  held_until_.reset();
  deaths_.clear();
}

}  // namespace agentmesh::watchdog
