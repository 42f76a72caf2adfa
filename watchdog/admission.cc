#include "watchdog/admission.h"

#include <algorithm>
#include <tuple>

namespace agentmesh::watchdog {
namespace {

bool waits(const Agent& agent) {
  return agent.phase == Phase::queued && !agent.live.blind && !agent.live.engine_lost;
}

}  // namespace

bool holds_slot(const Agent& agent) {
  const bool launching = agent.phase == Phase::launching && !agent.live.answers;
  return launching || agent.phase == Phase::creating || agent.phase == Phase::starting;
}

std::vector<const Agent*> next_starts(std::span<const Agent* const> agents, const HostPolicy& policy) {
  const auto taken = std::ranges::count_if(agents, [](const Agent* a) { return holds_slot(*a); });
  const auto free = std::max<std::ptrdiff_t>(0, policy.max_starting - taken);
  std::vector<const Agent*> waiting;
  std::ranges::copy_if(agents, std::back_inserter(waiting), [](const Agent* a) { return waits(*a); });
  std::ranges::sort(waiting, {}, [](const Agent* a) { return std::tie(a->phase_since, a->name); });
  if (std::ssize(waiting) > free) waiting.resize(static_cast<std::size_t>(free));
  return waiting;
}

std::optional<Mass> DeathWatch::died(const AgentName& agent, std::size_t alive, WallTime now) {
  std::erase_if(deaths_, [&](const Death& death) {
    return death.agent == agent || death.at + policy_.mass_death_window <= now;
  });
  deaths_.push_back({agent, alive, now});
  const std::size_t before = deaths_.front().alive;
  const bool many = std::ssize(deaths_) >= policy_.mass_death_agents;
  if (!many || deaths_.size() * 2 <= before) return std::nullopt;
  const bool first = !tripped_at_ || *tripped_at_ + policy_.mass_death_window <= now;
  tripped_at_ = now;
  held_until_ = now + policy_.mass_death_hold;
  return Mass{deaths_.front().at, first ? News::first : News::further};
}

bool DeathWatch::holds(WallTime now) const { return held_until_ && now < *held_until_; }

bool DeathWatch::verified(WallTime begun) {
  if (!holds(begun) || begun < *tripped_at_) return false;
  held_until_.reset();
  return true;
}

}  // namespace agentmesh::watchdog
