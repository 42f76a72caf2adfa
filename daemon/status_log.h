#pragma once
// The events `status` of all agents, at most one a second of each: of what an agent shows in between, the
// newest is told when the second is over. An agent that flaps costs one row a second, whatever it does.

#include "base/clock.h"
#include "daemon/event_log.h"

#include <map>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace agentmesh::daemon {

constexpr Millis kStatusEvery{1'000};

class StatusLog {
 public:
  StatusLog(boost::asio::io_context& io, EventLog& events, Millis every = kStatusEvery)
      : io_(io), events_(events), every_(every) {}

  void tell(const std::string& agent, std::string status);
  // What waits is told now: something else of this agent is told next, and comes after it.
  void flush(const std::string& agent);
  // What waits is not told any more.
  void stop() { agents_.clear(); }

 private:
  struct Agent {
    explicit Agent(boost::asio::io_context& io) : timer(io) {}
    std::string told;
    std::string newest;
    bool quiet = true;  // the last one was told longer ago
    boost::asio::steady_timer timer;
  };
  void write(const std::string& name, const std::shared_ptr<Agent>& agent);

  boost::asio::io_context& io_;
  EventLog& events_;
  Millis every_;
  std::map<std::string, std::shared_ptr<Agent>> agents_;
};

}  // namespace agentmesh::daemon
