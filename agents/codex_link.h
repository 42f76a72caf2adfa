#pragma once
// The live line to one Codex: a client of its app-server, beside the TUI, in JSON-RPC over a WebSocket. It
// follows every conversation's status, reads all of it out after each gap and once a minute, puts messages
// into the conversation and answers permission requests. While the line is down, title and screen tell what
// it asks and that it works, never that it is idle, and nothing is delivered. Times it uses are named here.

#include "agents/adapter.h"

#include <functional>
#include <memory>

namespace agentmesh::net {
class WebSocket;
}

namespace agentmesh::agents {

struct CodexTimes {
  Millis answer{5'000};     // of a request
  Millis parse{10'000};     // of one message: then the line is lost
  Millis first_retry{250};  // after the line was lost; doubles
  Millis max_retry{5'000};
  Millis resync{60'000};  // a whole reading although nothing seemed missed
  Millis resync_failed{1'000};
  Millis join_again{200};  // a conversation cannot be joined before its first turn is written down
  Millis look{100};        // between two looks whether a message has arrived, or an answer was taken
  Millis activity{1'000};  // activity is told at most this often
  Millis prompt{300};      // a permission is told without its request, when that does not follow
};

// Opens the line; the default goes over http.sock.
using CodexConnect = std::function<Task<std::shared_ptr<net::WebSocket>>()>;

std::unique_ptr<Link> make_codex_link(LinkContext context, SignalSink sink);

// For tests: with another way to the server, and other times.
std::unique_ptr<Link> make_codex_link(LinkContext context, SignalSink sink, CodexConnect connect,
                                      CodexTimes times);

}  // namespace agentmesh::agents
