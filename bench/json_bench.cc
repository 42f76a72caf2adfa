// The JSON of a hundred agents: written for the journal, read back, and checked when it comes from outside.
#include "base/json.h"
#include "daemon/record_json.h"

#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

constexpr int kAgents = 100;

std::vector<watchdog::AgentRecord> records() {
  std::vector<watchdog::AgentRecord> all;
  for (int i = 0; i < kAgents; ++i) {
    watchdog::Agent agent = watchdog::make_agent(*AgentName::parse(fmt::format("agent-{}", i)), WallTime{});
    agent.run = RunId{7};
    agent.container_id = std::string(64, 'c');
    agent.spec_hash = std::string(64, 'd');
    agent.reason = "restarted after exit code 137 (SIGKILL)";
    all.push_back(agent);
  }
  return all;
}

nlohmann::json as_json(const std::vector<watchdog::AgentRecord>& all) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& record : all) list.push_back(to_json(record));
  return list;
}

void write_100_agents(benchmark::State& state) {
  const auto all = records();
  for (auto _ : state) benchmark::DoNotOptimize(dump_json(as_json(all)));
}
BENCHMARK(write_100_agents)->Unit(benchmark::kMicrosecond);

void read_100_agents(benchmark::State& state) {
  const std::string text = dump_json(as_json(records()));
  for (auto _ : state) {
    const auto list = parse_json(text, "bench");
    for (const auto& row : *list) benchmark::DoNotOptimize(record_from_json(row));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}
BENCHMARK(read_100_agents)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace agentmesh::daemon
