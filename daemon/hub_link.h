#pragma once
// Keeps the hub told about this host's agents and brings its assignments in. With the hub away everything
// goes on: registrations are tried again, states and reports wait in the client's outbox. A daemon that
// starts sees to its agents first: they are registered when the first look has found them, or after
// kLookLimit without one.

#include "daemon/journal.h"
#include "daemon/mailbox.h"
#include "daemon/supervisor.h"
#include "hub/client.h"

#include <memory>
#include <set>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace agentmesh::daemon {

constexpr Millis kLookLimit{2'000};

class HubLink {
 public:
  // All references must outlive it. `host` names this daemon at the hub.
  HubLink(boost::asio::io_context& io, hub::HubClient& client, Journal& journal, EventLog& events,
          const Clock& clock, std::string host);
  ~HubLink();

  void start(Supervisor& supervisor, Mailbox& mailbox);
  void stop();
  bool connected() const { return client_.connected(); }

  // Registers the agent if it has no id yet, else tells its newest state.
  void changed(Entry& entry);
  // The id of an agent that is about to be started for the first time; empty while the hub is away.
  boost::asio::awaitable<std::string> id_for(AgentName name, AgentSpec spec);
  void report(const hub::ItemReport& report);
  hub::HubClient& client() { return client_; }

 private:
  void enroll(Entry& entry);
  void enroll_all();
  boost::asio::awaitable<void> enroll_after_look();
  void put_state(const Entry& entry);

  boost::asio::io_context& io_;
  hub::HubClient& client_;
  Journal& journal_;
  EventLog& events_;
  const Clock& clock_;
  std::string host_;
  std::int64_t version_ = 0;  // of the newest state put: the wall clock, never the same twice
  Supervisor* supervisor_ = nullptr;
  Mailbox* mailbox_ = nullptr;
  bool looked_ = false;
  std::set<std::string> enrolling_;
  std::set<std::string> enrolled_;           // by name: registered since this daemon started
  std::map<std::string, std::string> told_;  // by name: the status last put
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace agentmesh::daemon
