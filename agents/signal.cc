#include "agents/adapter.h"

namespace agentmesh::agents {

std::string_view to_string(SignalKind kind) {
  switch (kind) {
    case SignalKind::ready:
      return "ready";
    case SignalKind::activity:
      return "activity";
    case SignalKind::busy:
      return "busy";
    case SignalKind::idle:
      return "idle";
    case SignalKind::permission_asked:
      return "permission_asked";
    case SignalKind::permission_closed:
      return "permission_closed";
    case SignalKind::question_asked:
      return "question_asked";
    case SignalKind::question_closed:
      return "question_closed";
    case SignalKind::turn_ended:
      return "turn_ended";
    case SignalKind::turn_failed:
      return "turn_failed";
    case SignalKind::rate_limited:
      return "rate_limited";
    case SignalKind::auth_required:
      return "auth_required";
    case SignalKind::session_learned:
      return "session_learned";
    case SignalKind::tool_called:
      return "tool_called";
    case SignalKind::unreadable:
      return "unreadable";
  }
  return "unreadable";
}

std::string_view to_string(DeliveryResult result) {
  switch (result) {
    case DeliveryResult::delivered:
      return "delivered";
    case DeliveryResult::blocked:
      return "blocked";
    case DeliveryResult::failed:
      return "failed";
    case DeliveryResult::unknown:
      return "unknown";
    case DeliveryResult::unsupported:
      return "unsupported";
  }
  return "unknown";
}

ScreenReading Adapter::read_screen(std::string_view coloured, std::string_view version) const {
  return screen_rules().read(facts().runner, version, coloured);
}

std::optional<std::string> Adapter::misread(std::string_view) const { return std::nullopt; }

}  // namespace agentmesh::agents
