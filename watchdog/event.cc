#include "watchdog/event.h"

namespace agentmesh::watchdog {

Failure failure_of(Effect effect, const Error& error) {
  switch (error.code) {
    case ErrorCode::timeout:
      return Failure::unknown;
    case ErrorCode::unavailable:
      return Failure::unreachable;
    case ErrorCode::invalid:
    case ErrorCode::denied:
      return Failure::permanent;
    case ErrorCode::not_found:
      return effect == Effect::create ? Failure::permanent : Failure::gone;
    default:
      return Failure::definite;
  }
}

}  // namespace agentmesh::watchdog
