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

// Whether it takes up one of the host's slots: from creating until the runner shows a state or at least that
// it runs, or until its ready limit has passed.
bool holds_slot(const Agent& agent);

// The queued agents whose turn it is, longest waiting first: feed each an Admitted.
std::vector<const Agent*> next_starts(std::span<const Agent* const> agents, const HostPolicy& policy);

// Whether a person was told of this mass death already.
enum class News { first, further };

struct Mass {
  WallTime since{};  // the first death of those counted
  News news = News::first;
};

// The breaker. Tell it every end of a run that nobody asked for. When it trips, on the first death: feed
// MassDeath{since} to all agents, say so; on a further one: feed it to that agent. Each time start nothing
// (`holds`) and look at engine and tmux; what the look shows is said to `verified`.
class DeathWatch {
 public:
  explicit DeathWatch(HostPolicy policy) : policy_(policy) {}
  // `alive` counts the agents up or launching before this death.
  std::optional<Mass> died(const AgentName& agent, std::size_t alive, WallTime now);
  bool holds(WallTime now) const;
  std::optional<WallTime> held_until() const { return held_until_; }
  // Engine and tmux answered a look that was begun then: releases a hold that is not newer. Whether it did.
  bool verified(WallTime begun);

 private:
  struct Death {
    AgentName agent;
    std::size_t alive;
    WallTime at;
  };
  HostPolicy policy_;
  std::deque<Death> deaths_;
  std::optional<WallTime> held_until_;
  std::optional<WallTime> tripped_at_;
};

}  // namespace agentmesh::watchdog
