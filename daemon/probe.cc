#include "daemon/probe.h"

#include "base/log.h"
#include "base/pause.h"
#include "base/text.h"
#include "host/process_tree.h"

#include <algorithm>

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;
namespace wd = agentmesh::watchdog;

double seconds(Micros time) { return std::chrono::duration<double>(time).count(); }

// A line for people when the tools worked between the two looks, else empty.
std::string work_between(const CpuLook& before, const CpuLook& after) {
  const Micros tools = tools_cpu(before, after);
  const Millis passed = after.at - before.at;
  if (passed <= Millis{} || tools < Micros{passed} * kToolPercent / 100) return "";
  return fmt::format("tools used {:.1f} s of CPU time in {:.0f} s", seconds(tools), seconds(passed));
}

}  // namespace

FindProcess find_process(sandbox::Engine& engine, const host::Runs& host) {
  return [&engine, &host](AgentName agent, RunId run) -> Task<ContainerProcess> {
    const std::string id = host.id_of(agent, run);
    if (const auto holder = host.holder_of(id)) co_return ContainerProcess{id, *holder};
    const auto details = co_await engine.inspect(container_name(agent, run));
    if (!details) co_return pass(details.error());
    if (details->pid > 0) co_return ContainerProcess{details->id, details->pid};
    co_return fail(ErrorCode::not_found, "probe", "the container does not run");
  };
}

Result<CpuLook> look_below(const std::filesystem::path& proc, std::int64_t holder, Millis own_within) {
  const auto seen = host::descendants_of(static_cast<pid_t>(holder), proc);
  if (seen.empty()) return fail(ErrorCode::not_found, "probe", "the agent does not run");
  const Micros first = std::ranges::min(seen, {}, &host::ProcessSeen::started).started;
  CpuLook look;
  for (const host::ProcessSeen& process : seen) {
    if (process.started <= first + own_within)
      look.own_processes[{process.pid, process.started.count()}] = process.cpu;
  }
  look.total = host::cpu_below(static_cast<pid_t>(holder), proc);
  return look;
}

Result<CpuLook> look_at_cpu(const CgroupRoots& roots, const ContainerProcess& process, Millis own_within) {
  const auto cgroup = cgroup_of(static_cast<pid_t>(process.pid), process.container_id, roots);
  if (!cgroup) return pass(cgroup.error());
  const auto first = host::read_process(static_cast<pid_t>(process.pid), roots.proc);
  if (!first) return fail(ErrorCode::not_found, "probe", "the container does not run");
  const auto pids = processes(*cgroup);
  if (!pids) return pass(pids.error());
  CpuLook look;
  for (const pid_t pid : *pids) {
    const auto seen = host::read_process(pid, roots.proc);
    if (!seen || seen->started > first->started + own_within) continue;  // ended meanwhile, or a tool
    look.own_processes[{pid, seen->started.count()}] = seen->cpu;
  }
  // Read last: what the agent used since its processes were read counts as the tools', a few milliseconds.
  const auto total = cpu_time(*cgroup);
  if (!total) return pass(total.error());
  look.total = *total;
  return look;
}

Micros tools_cpu(const CpuLook& before, const CpuLook& after) {
  Micros used = after.total - before.total;
  for (const auto& [process, cpu] : after.own_processes) {
    const auto known = before.own_processes.find(process);
    used -= known == before.own_processes.end() ? cpu : cpu - known->second;
  }
  return std::max(used, Micros{});
}

Prober::Prober(FindProcess find, const Clock& clock, Offload& offload, ProbeOptions options)
    : find_(std::move(find)), clock_(clock), offload_(offload), options_(std::move(options)) {}

Task<CpuLook> Prober::look(AgentName agent, RunId run) {
  auto process = co_await find_(std::move(agent), run);
  if (!process) co_return pass(process.error());
  auto look = co_await offload_.run(
      [roots = options_.roots, own = options_.own_within, process = std::move(*process)] {
        if (process.container_id.starts_with(host::kIdPrefix))
          return look_below(roots.proc, process.pid, own);
        return look_at_cpu(roots, process, own);
      });
  if (!look) co_return look;
  look->run = run;
  look->at = clock_.now();
  co_return look;
}

// First against the last look, when that is not older than the last sign of life; then for a moment.
Task<std::string> Prober::tools_at_work(AgentName agent, wd::Probe asked) {
  auto before = co_await look(agent, asked.run);
  if (!before) co_return pass(before.error());
  const auto last = last_.find(agent.str());
  const bool comparable =
      last != last_.end() && last->second.run == asked.run && last->second.at >= asked.since;
  std::string work = comparable ? work_between(last->second, *before) : "";
  last_.insert_or_assign(agent.str(), *before);
  if (!work.empty()) co_return work;
  co_await pause(options_.window);
  const auto after = co_await look(agent, asked.run);
  if (!after) co_return pass(after.error());
  last_.insert_or_assign(agent.str(), *after);
  co_return work_between(*before, *after);
}

asio::awaitable<RecentWrite> Prober::written(std::string workspace, Millis age) {
  const auto found = co_await offload_.run([workspace = std::move(workspace), age, limits = options_.walk] {
    return find_recent_write(workspace, age, limits);
  });
  if (found) co_return *found;
  log_error(found.error());
  co_return RecentWrite{};
}

asio::awaitable<wd::Probed> Prober::probe(AgentName agent, std::string workspace, wd::Probe asked) {
  wd::Probed answer{.run = asked.run, .asked = asked.asked, .progress = wd::Progress::seen};
  const RecentWrite write = co_await written(std::move(workspace), clock_.now() - asked.since);
  if (write.path) {
    answer.detail = fmt::format("{} was written to", one_line(*write.path));
    co_return answer;
  }
  auto work = co_await tools_at_work(std::move(agent), asked);
  if (!work) {
    answer.progress = wd::Progress::unknown;
    answer.detail = fmt::format("no activity; CPU time not known: {}", work.error().what);
  } else if (work->empty()) {
    answer.progress = wd::Progress::none;
    answer.detail = write.whole ? "no activity, no CPU time of tools, no write in the workspace"
                                : "no activity, no CPU time of tools, no write seen in the workspace";
  } else {
    answer.detail = std::move(*work);
  }
  co_return answer;
}

}  // namespace agentmesh::daemon
