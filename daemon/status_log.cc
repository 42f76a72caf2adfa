#include "daemon/status_log.h"

#include <utility>

namespace agentmesh::daemon {

void StatusLog::tell(const std::string& name, std::string status) {
  auto& agent = agents_[name];
  if (!agent) agent = std::make_shared<Agent>(io_);
  agent->newest = std::move(status);
  if (agent->quiet) write(name, agent);
}

void StatusLog::flush(const std::string& name) {
  const auto found = agents_.find(name);
  if (found != agents_.end() && found->second->newest != found->second->told) write(name, found->second);
}

void StatusLog::write(const std::string& name, const std::shared_ptr<Agent>& agent) {
  events_.add(name, "status", agent->newest);
  agent->told = agent->newest;
  agent->quiet = false;
  agent->timer.expires_after(every_);
  agent->timer.async_wait([this, name, guard = std::weak_ptr<Agent>(agent)](boost::system::error_code ec) {
    const auto known = guard.lock();
    if (ec || !known) return;
    known->quiet = true;
    if (known->newest != known->told) write(name, known);
  });
}

}  // namespace agentmesh::daemon
