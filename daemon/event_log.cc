#include "daemon/event_log.h"

#include "base/log.h"
#include "base/secret.h"
#include "base/text.h"

namespace agentmesh::daemon {

constexpr std::size_t kMaxReasonBytes = 500;

void EventLog::add(const std::string& agent, std::string name, std::string reason) {
  // Redacted before it is cut: half a key is not known for one.
  EventRow row{0, clock_.now(), agent, std::move(name),
               cut_utf8(redact(plain_text(reason)), kMaxReasonBytes)};
  log_info("event", "{} {} {}", row.agent.empty() ? "-" : row.agent, row.name, row.reason);
  if (auto seq = journal_.append_event(row)) {
    row.seq = *seq;
  } else {
    log_error(seq.error());
  }
  const auto listeners = listeners_;
  for (auto it = listeners->begin(); it != listeners->end();) (it++)->operator()(row);
}

std::shared_ptr<void> EventLog::listen(Listener listener) {
  const auto listeners = listeners_;
  const auto place = listeners->insert(listeners->end(), std::move(listener));
  return {&*place, [listeners, place](void*) { listeners->erase(place); }};
}

}  // namespace agentmesh::daemon
