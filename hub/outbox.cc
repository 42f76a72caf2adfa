#include "hub/outbox.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace agentmesh::hub {
namespace {

// How far along an item is.
int progress(ItemState state) {
  switch (state) {
    case ItemState::queued:
      return 0;
    case ItemState::pushed:
      return 1;
    case ItemState::delivered:
      return 2;
    case ItemState::done:
    case ItemState::failed:
    case ItemState::expired:
      return 3;
  }
  return 0;
}

std::unexpected<Error> full(std::string_view what, std::size_t limit) {
  return fail(ErrorCode::exhausted, "hub", fmt::format("the hub was not told about {} {} yet", limit, what),
              "wait until the hub can be reached again");
}

}  // namespace

bool supersedes(const ItemReport& next, const ItemReport& known) {
  if (next.attempt != known.attempt) return next.attempt > known.attempt;
  return progress(next.state) > progress(known.state);
}

Result<void> Outbox::put(AgentState state) {
  const auto found = states_.find(state.agent_id);
  if (found == states_.end()) {
    if (states_.size() >= kMaxOutboxStates) return full("agents", kMaxOutboxStates);
    std::string id = state.agent_id;
    states_.emplace(std::move(id), StateRow{.state = std::move(state), .order = next_order_++});
  } else if (state.version > found->second.state.version) {
    found->second.state = std::move(state);
  }
  return {};
}

Result<void> Outbox::put(ItemReport report) {
  const auto found = reports_.find(report.item_id);
  if (found == reports_.end()) {
    if (reports_.size() >= kMaxOutboxReports) return full("items", kMaxOutboxReports);
    std::string id = report.item_id;
    reports_.emplace(std::move(id), ReportRow{std::move(report), next_order_++});
  } else if (supersedes(report, found->second.report)) {
    found->second.report = std::move(report);
  }
  return {};
}

std::vector<AgentState> Outbox::states_to_send(std::size_t limit) const {
  std::vector<const StateRow*> rows;
  for (const auto& [id, row] : states_) {
    if (row.acknowledged < row.state.version) rows.push_back(&row);
  }
  std::ranges::sort(rows, {}, &StateRow::order);
  std::vector<AgentState> states;
  for (std::size_t i = 0; i < std::min(limit, rows.size()); ++i) states.push_back(rows[i]->state);
  return states;
}

std::vector<AgentState> Outbox::all_states() const {
  std::vector<AgentState> states;
  for (const auto& [id, row] : states_) states.push_back(row.state);
  return states;
}

std::vector<ItemReport> Outbox::reports_to_send(std::size_t limit) const {
  std::vector<const ReportRow*> rows;
  for (const auto& [id, row] : reports_) rows.push_back(&row);
  std::ranges::sort(rows, {}, &ReportRow::order);
  std::vector<ItemReport> reports;
  for (std::size_t i = 0; i < std::min(limit, rows.size()); ++i) reports.push_back(rows[i]->report);
  return reports;
}

bool Outbox::state_held(std::string_view agent_id, std::int64_t before, std::int64_t version) {
  const auto found = states_.find(agent_id);
  if (found == states_.end()) return false;
  const bool restored = before < found->second.acknowledged;
  found->second.acknowledged = version;
  found->second.order = next_order_++;
  return restored;
}

void Outbox::report_settled(const ItemReport& report) {
  const auto found = reports_.find(report.item_id);
  if (found != reports_.end() && !supersedes(found->second.report, report)) reports_.erase(found);
}

void Outbox::forget_acknowledgements() {
  for (auto& [id, row] : states_) row.acknowledged = -1;
}

void Outbox::forget_acknowledgement(std::string_view agent_id) {
  const auto found = states_.find(agent_id);
  if (found != states_.end()) found->second.acknowledged = -1;
}

void Outbox::remove_agent(std::string_view agent_id) {
  const auto found = states_.find(agent_id);
  if (found != states_.end()) states_.erase(found);
}

bool Outbox::empty() const { return reports_.empty() && states_pending() == 0; }

std::size_t Outbox::states_pending() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      states_, [](const auto& row) { return row.second.acknowledged < row.second.state.version; }));
}

}  // namespace agentmesh::hub
