#pragma once
// Answers the watchdog's Probe: is there life in a silent agent that no signal shows? Two places are looked
// at: the CPU time that the container's tools used, and the change times below the workspace. Only when
// asked; it has no clock of its own, starts no process, and never decides what an answer means.
//
// Tools are what the agent runs: processes that are younger than the agent itself, or have ended already. The
// agent's own processes are taken off, because the spinner of a hung terminal program burns CPU time too.
// Model traffic will be a signal of the gateway (`activity`), not a part of this.

#include "base/clock.h"
#include "base/ids.h"
#include "base/offload.h"
#include "base/task.h"
#include "base/walk.h"
#include "daemon/cgroup.h"
#include "host/runs.h"
#include "sandbox/engine.h"
#include "watchdog/action.h"
#include "watchdog/event.h"

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace agentmesh::daemon {

// Processes that began this soon after the container's first are the agent's own: the slowest of the runners
// shows its terminal after 17 s (opencode 1.18, first start, 2 cores).
constexpr Millis kOwnWithin{30'000};
// How long CPU time is watched when there is no earlier look to compare with.
constexpr Millis kProbeWindow{5'000};
// Tools that use less than this share of a core do not count: helpers that only wait (language servers, MCP
// servers) use up to 3 % (idle runners measured: 0.1 to 3 %), a tool at work nearly 100 %.
constexpr int kToolPercent = 5;

using Micros = std::chrono::microseconds;

struct ContainerProcess {
  std::string container_id;
  std::int64_t pid = 0;  // of its first process, as this host counts; of the holder for a run without one
};
// Of a run. Errors: the engine's, not_found when it does not run.
using FindProcess = std::function<Task<ContainerProcess>(AgentName, RunId)>;

// Both must outlive it. A run that has a holder is looked for in no engine.
FindProcess find_process(sandbox::Engine& engine, const host::Runs& host);

// One look at a container's CPU time.
struct CpuLook {
  RunId run;
  WallTime at{};
  Micros total{};                                                         // of all, ended ones included
  std::map<std::pair<std::int64_t, std::int64_t>, Micros> own_processes;  // pid and start: CPU time
};

// Errors: those of cgroup_of and cpu_time.
Result<CpuLook> look_at_cpu(const CgroupRoots& roots, const ContainerProcess& process, Millis own_within);
// The same of everything below a holder. Errors: not_found.
Result<CpuLook> look_below(const std::filesystem::path& proc, std::int64_t holder, Millis own_within);
// What the tools used between two looks of one run; never negative.
Micros tools_cpu(const CpuLook& before, const CpuLook& after);

struct ProbeOptions {
  CgroupRoots roots;
  Millis own_within = kOwnWithin;
  Millis window = kProbeWindow;
  WalkLimits walk;
};

class Prober {
 public:
  // Clock and Offload outlive it.
  Prober(FindProcess find, const Clock& clock, Offload& offload, ProbeOptions options);

  // Always an answer, normally within kProbeWindow and the engine's deadline. `unknown` only when the CPU
  // time could not be looked at and no write was found. One probe at a time for one agent.
  boost::asio::awaitable<watchdog::Probed> probe(AgentName agent, std::string workspace,
                                                 watchdog::Probe asked);

 private:
  Task<CpuLook> look(AgentName agent, RunId run);
  // A line for people when the tools worked, else empty.
  Task<std::string> tools_at_work(AgentName agent, watchdog::Probe asked);
  boost::asio::awaitable<RecentWrite> written(std::string workspace, Millis age);

  FindProcess find_;
  const Clock& clock_;
  Offload& offload_;
  ProbeOptions options_;
  std::map<std::string, CpuLook> last_;  // of each agent, the newest
};

}  // namespace agentmesh::daemon
