#include "watchdog/restart.h"

#include "watchdog/hash.h"

#include <algorithm>

namespace agentmesh::watchdog {
namespace {

constexpr std::uint64_t kSpreadSteps = 10'000;

std::uint64_t mixed(std::uint64_t value) {  // splitmix64
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

std::uint64_t seed_of(const AgentRecord& agent) {
  return mixed(hashed(kHashStart, agent.name.str()) ^ mixed(agent.run.value) ^
               mixed(static_cast<std::uint64_t>(agent.failures) << 32U));
}

}  // namespace

void prune_restarts(AgentRecord& agent, const Policy& policy, WallTime now) {
  std::erase_if(agent.restarts, [&](WallTime at) { return at + policy.restart_window <= now; });
}

int restarts_within(const AgentRecord& agent, Millis window, WallTime now) {
  return static_cast<int>(
      std::ranges::count_if(agent.restarts, [&](WallTime at) { return at + window > now; }));
}

bool budget_left(const AgentRecord& agent, const Policy& policy) {
  return std::ssize(agent.restarts) < policy.max_restarts;
}

Millis restart_delay(const AgentRecord& agent, const Policy& policy) {
  Millis delay = policy.backoff_first;
  for (int i = 1; i < agent.failures && delay < policy.backoff_max; ++i) delay *= 2;
  delay = std::min(delay, policy.backoff_max);
  const Millis reach = delay * policy.jitter_percent / 100;
  return delay - reach + spread(agent, 2 * reach);
}

Millis spread(const AgentRecord& agent, Millis limit) {
  const auto share = static_cast<Millis::rep>(seed_of(agent) % (kSpreadSteps + 1));
  return limit * share / static_cast<Millis::rep>(kSpreadSteps);
}

}  // namespace agentmesh::watchdog
