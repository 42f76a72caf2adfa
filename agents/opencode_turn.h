#pragma once
// How opencode says that a turn ended, where no event told it: by the newest message of a conversation, and
// by the error in it. Pure. Internal to agents/. Both forms of a message are read: version 1 has it in `info`
// and a `role`, version 2 itself and a `type`.

#include "agents/adapter.h"

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::agents {

struct OpencodeError {
  enum class Kind {
    interrupted,
    login,
    limited,
    other,
  };
  Kind kind = Kind::other;
  std::string said;  // one line
};
// The `error` of a message or of session.error, in the form of version 1.
OpencodeError opencode_error(const nlohmann::json& error);

// The end of the turn that the answer of GET /session/ID/message?limit=1 shows, as a Signal with its time:
// turn_ended, or turn_failed with the words. None where it is not certain that a turn has ended by itself: it
// runs, the newest message is a person's, it was interrupted, it ended at a limit or without a login (which
// lasts only as long as the events say so), it is a summary, or anything is missing or of a wrong type.
std::optional<Signal> opencode_last_end(std::string_view messages);

}  // namespace agentmesh::agents
