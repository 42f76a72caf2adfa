#include "daemon/hub_link.h"

#include "base/log.h"
#include "base/spawn_logged.h"

#include <algorithm>

namespace agentmesh::daemon {

namespace asio = boost::asio;
namespace wd = agentmesh::watchdog;

namespace {

// What of an item's progress here the hub knows by a report.
std::vector<Progress> progress_of(hub::ItemState state) {
  if (state == hub::ItemState::done) return {Progress::done};
  if (state == hub::ItemState::failed) return {Progress::failed};
  if (state == hub::ItemState::delivered) return {Progress::delivered};
  return {Progress::accepted, Progress::sending};
}

}  // namespace

HubLink::HubLink(asio::io_context& io, hub::HubClient& client, Journal& journal, EventLog& events,
                 const Clock& clock, std::string host)
    : io_(io), client_(client), journal_(journal), events_(events), clock_(clock), host_(std::move(host)) {}

HubLink::~HubLink() { stop(); }

void HubLink::start(Supervisor& supervisor, Mailbox& mailbox) {
  supervisor_ = &supervisor;
  mailbox_ = &mailbox;
  hub::HubEvents events;
  events.on_assignment = [this](const hub::InboxItem& item) -> Result<void> {
    auto accepted = mailbox_->accept(item);
    if (accepted || accepted.error().code != ErrorCode::not_found) return accepted;
    // Pushing it again would help nobody, and would hold up what is behind it.
    return client_.report({item.id, item.attempt, hub::ItemState::failed, accepted.error().what});
  };
  events.on_reported = [this](const hub::ItemReport& report, const Result<void>& taken) {
    if (!taken) log_error(taken.error());
    for (const Progress progress : progress_of(report.state)) {
      auto saved = journal_.set_reported(report.item_id, report.attempt, progress);
      if (!saved) log_error(saved.error());
    }
  };
  events.on_unknown_agent = [this](const std::string& agent_id) {
    Entry* entry = supervisor_->find_by_agent_id(agent_id);
    if (entry == nullptr) return;
    enrolled_.erase(entry->agent.name.str());
    enroll(*entry);
  };
  events.on_fresh = [this] {
    events_.add("", "hub_fresh", "another hub, or one restored from an old copy: everything is told again");
    mailbox_->report_all();
  };
  events.on_item_changed = [this](const hub::InboxItem& item) {
    if (item.state == hub::ItemState::done) mailbox_->settled(item.id, Progress::done, item.reason);
    if (item.state == hub::ItemState::failed) mailbox_->settled(item.id, Progress::failed, item.reason);
    if (item.state == hub::ItemState::expired) mailbox_->expired(item.id, item.reason);
  };
  events.on_connection = [this](bool connected) {
    events_.add("", connected ? "hub_connected" : "hub_lost", "");
    if (connected && looked_) enroll_all();
    supervisor_->note_change();
  };
  client_.start(std::move(events));
  spawn_logged(io_, "hub", enroll_after_look());
}

// A registration is a commit of the hub's, and an embedded hub's commits are waited for by this thread.
asio::awaitable<void> HubLink::enroll_after_look() {
  const std::weak_ptr<int> guard = alive_;
  co_await supervisor_->until(kLookLimit, [this] {
    return std::ranges::none_of(supervisor_->entries(),
                                [](const auto& item) { return item.second->agent.live.blind; });
  });
  if (guard.expired()) co_return;
  looked_ = true;
  if (client_.connected()) enroll_all();
}

void HubLink::stop() {
  alive_.reset();
  client_.stop();
}

void HubLink::enroll_all() {
  for (auto& [name, entry] : supervisor_->entries()) {
    if (!enrolled_.contains(name)) enroll(*entry);
  }
}

// One registration per agent at a time; a failed one is tried again when the hub's stream stands.
void HubLink::enroll(Entry& entry) {
  const AgentName name = entry.agent.name;
  if (!enrolling_.insert(name.str()).second) return;
  hub::Registration registration{
      .name = name.str(), .host = host_, .runner = entry.spec.runner, .model = entry.spec.model};
  if (!entry.agent_id.empty()) registration.agent_id = entry.agent_id;
  spawn_logged(io_, "hub", client_.register_agent(std::move(registration)),
               [this, name, guard = std::weak_ptr<int>(alive_)](const Result<hub::Registered>& registered) {
                 if (guard.expired()) return;
                 enrolling_.erase(name.str());
                 Entry* known = supervisor_->find(name.str());
                 if (known == nullptr) return;
                 if (!registered) {
                   log_warn("hub", "{} is not registered: {}", name.str(), describe(registered.error()));
                   return;
                 }
                 enrolled_.insert(name.str());
                 if (known->agent_id != registered->agent_id) {
                   known->agent_id = registered->agent_id;
                   if (auto saved = journal_.save_agent_id(name, known->agent_id); !saved)
                     log_error(saved.error());
                 }
                 told_.erase(name.str());
                 put_state(*known);
                 supervisor_->note_change();
               });
}

void HubLink::changed(Entry& entry) {
  if (supervisor_ == nullptr || !looked_) return;
  if (!enrolled_.contains(entry.agent.name.str())) {
    if (client_.connected()) enroll(entry);  // else as soon as it is
    return;
  }
  put_state(entry);
}

void HubLink::put_state(const Entry& entry) {
  const std::string status(wd::to_string(wd::status_of(entry.agent)));
  const std::string& reason = wd::status_reason(entry.agent);
  std::string& told = told_[entry.agent.name.str()];
  if (told == status + reason) return;
  version_ = std::max(version_ + 1, to_millis(clock_.now()));
  hub::AgentState state{.agent_id = entry.agent_id,
                        .version = version_,
                        .status = status,
                        .status_since = entry.agent.live.status_since,
                        .reason = reason};
  if (auto put = client_.put_state(std::move(state)); !put) return log_error(put.error());
  told = status + reason;
}

asio::awaitable<std::string> HubLink::id_for(AgentName name, AgentSpec spec) {
  const Entry* known = supervisor_->find(name.str());
  if (known != nullptr && !known->agent_id.empty()) co_return known->agent_id;
  if (!client_.connected()) co_return "";
  const auto registered = co_await client_.register_agent(
      {.name = name.str(), .host = host_, .runner = spec.runner, .model = spec.model});
  co_return registered ? registered->agent_id : "";
}

void HubLink::report(const hub::ItemReport& report) {
  if (auto put = client_.report(report); !put) log_error(put.error());
}

}  // namespace agentmesh::daemon
