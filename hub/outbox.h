#pragma once
// What a daemon still owes the hub: the newest state of each agent and the furthest report of each item.
// State, not a log: a newer value replaces an older one, so its size is bounded by agents and open items,
// however long the hub is away. Pure; owned by the client. It is filled again from the daemon's journal after
// a restart.

#include "base/result.h"
#include "hub/protocol.h"

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::hub {

constexpr std::size_t kMaxOutboxStates = 10'000;   // agents of one host
constexpr std::size_t kMaxOutboxReports = 10'000;  // items that the hub was not told about

class Outbox {
 public:
  // Errors: exhausted (over the limits above: an agent or item that is not in it yet is refused).
  Result<void> put(AgentState state);
  Result<void> put(ItemReport report);

  // At most `limit` states the hub has not acknowledged, least recently sent first.
  std::vector<AgentState> states_to_send(std::size_t limit) const;
  // Every agent's, acknowledged or not: a heartbeat.
  std::vector<AgentState> all_states() const;
  // At most `limit` reports, oldest first.
  std::vector<ItemReport> reports_to_send(std::size_t limit) const;

  // The hub holds this version of the agent's state. A smaller one than it once acknowledged means that it
  // was restored from an old copy: true, and everything is to be sent again.
  bool state_held(std::string_view agent_id, std::int64_t before, std::int64_t version);
  // The hub took this report, or will never take it. A newer one that came meanwhile stays.
  void report_settled(const ItemReport& report);
  // Everything is to be sent again.
  void forget_acknowledgements();
  void forget_acknowledgement(std::string_view agent_id);
  void remove_agent(std::string_view agent_id);

  bool empty() const;  // nothing to send
  std::size_t states_pending() const;
  std::size_t reports_pending() const { return reports_.size(); }

 private:
  struct StateRow {
    AgentState state;
    std::int64_t acknowledged = -1;  // version
    std::uint64_t order = 0;
  };
  struct ReportRow {
    ItemReport report;
    std::uint64_t order = 0;
  };
  std::map<std::string, StateRow, std::less<>> states_;    // by agent id
  std::map<std::string, ReportRow, std::less<>> reports_;  // by item id
  std::uint64_t next_order_ = 1;
};

// Whether `next` says more about an item than `known`: a later attempt, or a state further on.
bool supersedes(const ItemReport& next, const ItemReport& known);

}  // namespace agentmesh::hub
