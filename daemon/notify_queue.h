#pragma once
// What waits to be told through one channel: who is next, when a failed one is tried again, and what did not
// fit. Agents take turns, one notice of each at a time; of an agent and kind the newest waits, in the place
// of the older. Passive: it reads no clock and sends nothing; its owner asks for what is due and reports how
// it went.

#include "base/backoff.h"
#include "daemon/notice.h"

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>

namespace agentmesh::daemon {

struct QueuePolicy {
  std::size_t depth = 500;  // waiting and being sent; what does not fit is dropped and counted
  std::size_t at_once = 4;
  int tries = 1;
  Millis backoff_first{1'000};  // before the second try; doubles, each off by up to a quarter
  Millis backoff_most{60'000};
};

enum class Again { later, never };

class NotifyQueue {
 public:
  explicit NotifyQueue(QueuePolicy policy) : policy_(policy) {}

  // False: one was dropped, this one or, when this is no chatter (notice_gate.h), one that waits and is.
  bool add(Notice notice, WallTime now);
  // Of what is due: first what is no chatter, then the agent that was served longest ago, then the oldest. It
  // counts as being sent until done() or failed(). None: nothing is due, or at_once are being sent.
  std::optional<Notice> next(WallTime now);
  void done(const std::string& id);
  // How many tries it had, when it is given up; none: it, or a newer one of its kind, waits for another.
  std::optional<int> failed(const std::string& id, Again again, WallTime now);
  // When next() may answer something. None: only done() or failed() can change that.
  std::optional<WallTime> next_wake() const;
  // Dropped since this was asked last; 0 while more than half of the places are taken, so that a storm is
  // told once, when it is over.
  std::uint64_t take_dropped();

 private:
  struct Place {
    Notice notice;
    WallTime due{};
    Backoff backoff;
    int tries = 0;
    bool sending = false;
  };
  using Places = std::list<Place>;
  Places::iterator find(const std::string& id);
  Places::iterator waiting_like(const Notice& notice);
  bool make_room();
  bool may_go(const Place& place, WallTime now) const;
  bool before(const Place& left, const Place& right) const;
  std::uint64_t served(const std::string& agent) const;
  bool agent_sends(const std::string& agent) const;
  std::size_t sending() const;

  QueuePolicy policy_;
  Places places_;
  std::map<std::string, std::uint64_t> served_;  // the turn each agent had last
  std::uint64_t turn_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace agentmesh::daemon
