#pragma once
// One blocking exchange on the daemon's control socket. The command line does one thing at a time: it needs
// no loop, and a connection is made and closed for each request.

#include "base/clock.h"
#include "base/unique_fd.h"
#include "cli/http_reply.h"

#include <optional>
#include <string>
#include <string_view>

namespace agentmesh::cli {

// When nothing has come for `quiet`, a second connection asks the daemon for anything; when it does not
// answer that within `answer` either, it hangs. So a command waits as long as the daemon lets it, and no
// longer.
struct Silence {
  Millis quiet;
  Millis answer;
};
constexpr Silence kSilence{.quiet = Millis{5'000}, .answer = Millis{10'000}};

struct ControlRequest {
  std::string socket;  // path
  std::string_view method;
  std::string path;
  std::string body;                // JSON, or empty
  std::optional<Silence> silence;  // none: silence is no fault, as between two lines that are followed
};

struct ControlReply {
  int status = 0;
  std::string body;  // empty when `on_data` took it
};

// A request that was sent and whose answer is still to be read.
struct SentRequest {
  ControlRequest request;
  UniqueFd fd;
};

// Errors: unavailable (nobody listens), timeout (it takes no connection), denied (another user's socket).
Result<SentRequest> send_request(ControlRequest request);
// Success is any complete answer, whatever its status. The daemon keeps its own deadlines. Errors:
// unavailable (the answer to a GET broke off), timeout (the answer to another method broke off, or the daemon
// hangs: the outcome is not known), those of HttpReply.
Result<ControlReply> read_reply(const SentRequest& sent, std::size_t most, HttpReply::OnData on_data);
// Both.
Result<ControlReply> exchange(ControlRequest request, std::size_t most, HttpReply::OnData on_data);

}  // namespace agentmesh::cli
