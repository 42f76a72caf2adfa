#pragma once
// What each agent's run has used, as far as it was seen: a run that has ended has no cgroup to read, so it is
// looked at while it lives, when something happens (it is up, a process was killed for memory, it is about to
// be stopped) and at the periodic relist, never by a timer of its own. The first look at a run asks the
// engine for its process; later ones read two small files.

#include "base/clock.h"
#include "base/ids.h"
#include "daemon/cgroup.h"
#include "sandbox/engine.h"

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>

namespace agentmesh::daemon {

struct Usage {
  std::uint64_t peak_memory_bytes = 0;
  std::chrono::microseconds cpu_time{};
  WallTime seen_at{};
};

class UsageWatch {
 public:
  UsageWatch(boost::asio::io_context& io, sandbox::Engine& engine, const Clock& clock, CgroupRoots roots);

  // Nothing is kept of an earlier run. A look that fails changes nothing.
  void look(const AgentName& agent, RunId run);
  // None: this run was never seen.
  std::optional<Usage> of(const AgentName& agent, RunId run) const;

 private:
  struct Watched {
    RunId run;
    bool asking = false;
    std::optional<Cgroup> cgroup;
    std::optional<Usage> usage;
  };
  void ask(const AgentName& agent, RunId run);
  void read(Watched& watched) const;

  boost::asio::io_context& io_;
  sandbox::Engine& engine_;
  const Clock& clock_;
  CgroupRoots roots_;
  std::map<std::string, Watched> watched_;  // by agent's name
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace agentmesh::daemon
