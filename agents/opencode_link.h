#pragma once
// The live line to one opencode: follows its events, asks for its whole state after every gap and once a
// minute, puts messages into the conversation, answers permissions. Times it uses are named here.

#include "agents/adapter.h"
#include "agents/opencode_api.h"

#include <memory>

namespace agentmesh::agents {

struct OpencodeTimes {
  Millis health{1'000};     // a request made while opencode boots can hang for ever: short, and again
  Millis answer{5'000};     // of any other request
  Millis first_retry{250};  // after the line was lost; doubles
  Millis max_retry{5'000};
  Millis painted{6'000};  // after the server answers, for the TUI to set its title
  Millis resync{60'000};  // a whole state although nothing seemed missed
  Millis resync_failed{1'000};
  Millis sync_every{1'000};  // the whole state, at most: what asks for it is up to a program we do not trust
  Millis silence{30'000};    // it sends a heartbeat every 10 s
  Millis look{150};          // between two looks whether a message has arrived
  Millis activity{1'000};    // activity is told at most this often
};

std::unique_ptr<Link> make_opencode_link(LinkContext context, SignalSink sink);

// For tests: with another way to the server, and other times.
std::unique_ptr<Link> make_opencode_link(LinkContext context, SignalSink sink,
                                         std::shared_ptr<OpencodeApi> api, OpencodeTimes times);

}  // namespace agentmesh::agents
