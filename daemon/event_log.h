#pragma once
// The host's events: saved in the journal and told to whoever follows (`events -f`). A disk that is full
// costs the row, never the daemon.

#include "base/clock.h"
#include "daemon/journal.h"

#include <functional>
#include <list>
#include <memory>
#include <string>

namespace agentmesh::daemon {

class EventLog {
 public:
  using Listener = std::function<void(const EventRow&)>;

  EventLog(Journal& journal, const Clock& clock) : journal_(journal), clock_(clock) {}

  // `agent` empty: of the host.
  void add(const std::string& agent, std::string name, std::string reason);

  // The listener is told until the returned handle is destroyed.
  [[nodiscard]] std::shared_ptr<void> listen(Listener listener);

 private:
  Journal& journal_;
  const Clock& clock_;
  std::shared_ptr<std::list<Listener>> listeners_ = std::make_shared<std::list<Listener>>();
};

}  // namespace agentmesh::daemon
