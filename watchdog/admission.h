#pragma once
// The rules that concern all agents of a host at once: how many may start at a time, and what to make of many
// dying together. Pure; the supervisor owns one DeathWatch and asks after every step that changed a phase.

#include "base/clock.h"
#include "base/ids.h"
#include "watchdog/agent.h"
#include "watchdog/policy.h"

#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace agentmesh::watchdog {

// The queued agents whose turn it is, longest waiting first: feed each an Admitted. Slots are held by agents
// in creating, starting, and in launching for at most launch_slot.
std::vector<const Agent*> next_starts(std::span<const Agent* const> agents, const HostPolicy& policy,
                                      WallTime now);

// The earliest time at which a launching agent gives its slot up while others wait; none: no need to ask
// again.
std::optional<WallTime> next_slot(std::span<const Agent* const> agents, const HostPolicy& policy,
                                  WallTime now);

// The breaker. Tell it every end of a run that nobody asked for; when it trips, feed MassDeath{since} to all
// agents, start nothing (`holds`), check engine and tmux, say so. `verified` releases it early.
class DeathWatch {
 public:
  explicit DeathWatch(HostPolicy policy) : policy_(policy) {}
  // `alive` counts the agents up or launching before this death. Result: the start of the window, when this
  // death trips the breaker.
  std::optional<WallTime> died(const AgentName& agent, std::size_t alive, WallTime now);
  bool holds(WallTime now) const;
  std::optional<WallTime> held_until() const { return held_until_; }
  void verified();

 private:
  struct Death {
    AgentName agent;
    std::size_t alive;
    WallTime at;
  };
  HostPolicy policy_;
  std::deque<Death> deaths_;
  std::optional<WallTime> held_until_;
};

}  // namespace agentmesh::watchdog
