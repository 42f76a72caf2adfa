#pragma once
// How often one agent may call for a person: so many notices of a kind in a minute are told as they come;
// what comes beyond is counted, and told as one when the minute is over, with the newest text. Failures and
// what the host tells pass always: they are never withheld for an agent's chatter. Passive: it reads no
// clock.

#include "base/clock.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace agentmesh::daemon {

// An agent's own doing causes them, as often as it likes; all others are the watchdog's or the host's.
bool is_chatter(const std::string& kind);

struct GatePolicy {
  int most = 6;  // of one agent and kind in one window
  Millis window{60'000};
};

struct Withheld {
  std::string kind;
  std::string agent;
  std::uint64_t count = 0;
  std::string text;  // the newest
};

class NoticeGate {
 public:
  explicit NoticeGate(GatePolicy policy) : policy_(policy) {}

  // False: withheld.
  bool admit(const std::string& kind, const std::string& agent, const std::string& text, WallTime now);
  // What was withheld in the windows that are over. While it goes on, the next window tells nothing but this.
  std::vector<Withheld> due(WallTime now);
  // When due() may answer something. None: nothing is withheld.
  std::optional<WallTime> next_wake() const;

 private:
  struct Window {
    WallTime ends{};
    int told = 0;
    std::uint64_t withheld = 0;
    std::string text;
  };
  GatePolicy policy_;
  std::map<std::pair<std::string, std::string>, Window> windows_;  // of (agent, kind)
};

}  // namespace agentmesh::daemon
