#pragma once
// The one conversation of opencode's that must not go wrong: a message put into a session once. The message
// and its part get ids made of the caller's id, so that opencode itself keeps a second one from being a
// second message, and so that it can be found again. Internal to agents/.

#include "agents/opencode_api.h"
#include "agents/opencode_link.h"

#include <string>

namespace agentmesh::agents {

struct OpencodeIds {
  std::string message;  // "msg_" + 12 hex of the time + 14 hex of the caller's id: opencode sorts by it
  std::string part;
};

// A message that sorts before the last answer would be taken as answered: so the time is that of sending.
OpencodeIds opencode_ids(std::string_view caller_id, WallTime now);
// Is a message with that caller's id in this list of messages (GET /session/ID/message)?
bool holds_message(std::string_view messages, std::string_view caller_id);

// Errors are told inside the Delivery. `session` is known to exist. `gone` is true when it does not after
// all.
struct SessionDelivery {
  Delivery delivery;
  bool session_gone = false;
};
boost::asio::awaitable<SessionDelivery> deliver_to_session(std::shared_ptr<OpencodeApi> api,
                                                           OpencodeTimes times, const Clock& clock,
                                                           std::string session, Message message);

// Why nothing may be said now: what is asked, or that it cannot be known. Empty: nothing is asked.
boost::asio::awaitable<std::string> asked_now(std::shared_ptr<OpencodeApi> api, OpencodeTimes times);

}  // namespace agentmesh::agents
