#include "daemon/usage.h"

#include "base/log.h"
#include "base/spawn_logged.h"

#include <algorithm>

namespace agentmesh::daemon {

namespace asio = boost::asio;

UsageWatch::UsageWatch(asio::io_context& io, sandbox::Engine& engine, const Clock& clock, CgroupRoots roots)
    : io_(io), engine_(engine), clock_(clock), roots_(std::move(roots)) {}

void UsageWatch::look(const AgentName& agent, RunId run) {
  Watched& watched = watched_[agent.str()];
  if (watched.run != run) watched = Watched{.run = run};
  if (watched.cgroup) return read(watched);
  if (!std::exchange(watched.asking, true)) ask(agent, run);
}

std::optional<Usage> UsageWatch::of(const AgentName& agent, RunId run) const {
  const auto found = watched_.find(agent.str());
  return found == watched_.end() || found->second.run != run ? std::nullopt : found->second.usage;
}

void UsageWatch::ask(const AgentName& agent, RunId run) {
  spawn_logged(io_, "usage", engine_.inspect(container_name(agent, run)),
               [this, name = agent.str(), run,
                guard = std::weak_ptr<int>(alive_)](const Result<sandbox::ContainerDetails>& details) {
                 const auto found = guard.expired() ? watched_.end() : watched_.find(name);
                 if (guard.expired() || found == watched_.end() || found->second.run != run) return;
                 Watched& watched = found->second;
                 watched.asking = false;
                 if (!details || details->pid == 0) return;
                 auto cgroup = cgroup_of(static_cast<pid_t>(details->pid), details->id, roots_);
                 if (!cgroup) return log_line(LogLevel::debug, "usage", describe(cgroup.error()));
                 watched.cgroup = std::move(*cgroup);
                 read(watched);
               });
}

// The kernel's peak is of the whole life; the maximum is kept for a kernel that tells only what is used now.
void UsageWatch::read(Watched& watched) const {
  const auto memory = peak_memory(*watched.cgroup);
  const auto cpu = cpu_time(*watched.cgroup);
  if (!memory || !cpu) return;
  const std::uint64_t before = watched.usage ? watched.usage->peak_memory_bytes : 0;
  watched.usage = Usage{std::max(before, *memory), *cpu, clock_.now()};
}

}  // namespace agentmesh::daemon
