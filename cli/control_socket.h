#pragma once
// One blocking exchange on the daemon's control socket. The command line does one thing at a time: it needs
// no loop, and a connection is made and closed for each request.

#include "cli/http_reply.h"

#include <string>
#include <string_view>

namespace agentmesh::cli {

struct ControlRequest {
  std::string socket;  // path
  std::string_view method;
  std::string path;
  std::string body;  // JSON, or empty
};

struct ControlReply {
  int status = 0;
  std::string body;  // empty when `on_data` took it
};

// Success is any complete answer, whatever its status. Without a deadline: the daemon keeps its own. Errors:
// unavailable (nobody listens, or the answer to a GET broke off), timeout (the answer to another method broke
// off: the outcome is not known), denied (another user's socket), those of HttpReply.
Result<ControlReply> exchange(const ControlRequest& request, std::size_t most, HttpReply::OnData on_data);

}  // namespace agentmesh::cli
