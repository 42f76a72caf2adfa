// One step of the watchdog: what every event of every agent costs before anything is done about it.
#include "watchdog/step.h"

#include <benchmark/benchmark.h>

namespace agentmesh::watchdog {
namespace {

constexpr WallTime kBegin{Millis{1'700'000'000'000}};

// An agent that is up and idle, on its way there by the events a real one gets.
Agent idle_agent() {
  Agent agent = make_agent(*AgentName::parse("a1"), kBegin);
  const auto feed = [&](const Event& event) { agent = step(agent, event, Policy{}, kBegin).agent; };
  feed(StartAsked{.spec_hash = "spec"});
  feed(Admitted{});
  feed(EffectDone{.effect = Effect::create, .run = agent.run, .container_id = "c1"});
  feed(EffectDone{.effect = Effect::start, .run = agent.run, .container_id = ""});
  feed(EffectDone{.effect = Effect::open_pane, .run = agent.run, .container_id = ""});
  feed(Signal{
      .kind = SignalKind::idle, .run = agent.run, .at = kBegin, .source = Source::native, .detail = ""});
  return agent;
}

void step_of(benchmark::State& state, const Agent& agent, const Event& event) {
  const Policy policy;
  const WallTime now = kBegin + Millis{60'000};
  for (auto _ : state) benchmark::DoNotOptimize(step(agent, event, policy, now));
}

void tick(benchmark::State& state) { step_of(state, idle_agent(), Tick{}); }
BENCHMARK(tick);

void signal(benchmark::State& state) {
  const Agent agent = idle_agent();
  const WallTime now = kBegin + Millis{60'000};
  step_of(
      state, agent,
      Signal{.kind = SignalKind::busy, .run = agent.run, .at = now, .source = Source::native, .detail = ""});
}
BENCHMARK(signal);

void observed(benchmark::State& state) {
  const Agent agent = idle_agent();
  const ContainerSeen seen{.run = agent.run,
                           .container_id = "c1",
                           .state = ContainerState::running,
                           .exit_code = 0,
                           .oom_killed = false};
  step_of(state, agent,
          Observed{.as_of = agent.epoch,
                   .engine = Completeness::complete,
                   .containers = {seen},
                   .pane = PaneState::live});
}
BENCHMARK(observed);

}  // namespace
}  // namespace agentmesh::watchdog
