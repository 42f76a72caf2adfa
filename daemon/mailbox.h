#pragma once
// Brings messages to agents: a person's nudge, the watchdog's, and assignments from the hub. One message at a
// time per agent, through the runner's own channel first, else typed into the pane with proof. Nothing is
// sent while the agent waits for a person or its state is not known. An assignment's progress is in the
// journal before and after each step, so that it reaches the agent once, whatever ends when.

#include "base/clock.h"
#include "config/config.h"
#include "daemon/journal.h"
#include "daemon/notifier.h"
#include "daemon/supervisor.h"
#include "hub/protocol.h"
#include "tmux/delivery.h"

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include <boost/asio/awaitable.hpp>

namespace agentmesh::daemon {

struct Sent {
  agents::DeliveryResult result = agents::DeliveryResult::blocked;
  std::string why;  // empty when delivered
  // Blocked by a person at its terminal, by what is half typed, or by a program that does not answer just
  // now: worth another try soon.
  bool waits = false;
};

struct MailboxParts {
  Supervisor& supervisor;
  Journal& journal;
  EventLog& events;
  Notifier& notifier;
  tmux::Deliverer& deliverer;
  Panes& panes;
  const config::Config& config;
  const Clock& clock;
};

// Why nothing may be sent to an agent now; nothing when it may. It waits for what time alone may change.
using tmux::Refusal;
std::optional<Refusal> refusal(const watchdog::Agent& agent, bool own_channel);

class Mailbox {
 public:
  // `report` tells the hub how far an item is; it may be called again for the same state.
  using Report = std::function<void(const hub::ItemReport&)>;
  Mailbox(boost::asio::io_context& io, MailboxParts parts, Report report);

  // Whether this text may go to this agent at all. Errors: invalid (not text; a command to the program
  // instead of words for its model), exhausted (too long).
  Result<void> check(const AgentName& agent, std::string_view text) const;
  // Delivers, waiting at most `wait` for a busy agent or a person at its terminal. A permission prompt, a
  // question or an unknown state is not waited for.
  boost::asio::awaitable<Sent> send(AgentName agent, std::string text, Millis wait);
  // Delivers when it can be delivered, within [delivery] ttl, after what was deferred before; says what came
  // of it in the events. Errors: exhausted.
  Result<void> defer(AgentName agent, std::string text);
  // The watchdog's nudge: answered by a NudgeResult event.
  void nudge(const AgentName& agent, const watchdog::Nudge& nudge);

  // Durable when it returns success; the same item again changes nothing. Errors: not_found (no such agent
  // here).
  Result<void> accept(const hub::InboxItem& item);
  // Looks what can go to this agent now. Cheap; called after every change.
  void pump(const AgentName& agent);
  // A turn of the agent's run ended by itself: what was delivered to that run is done. With a time: it ended
  // then, unheard, and says something only of what was told before, and only once.
  void turn_ended(const AgentName& agent, std::optional<WallTime> at = {});
  // It ended by an error of its provider. What was delivered is tried once more, by one nudge after
  // [watchdog] turn_retry; the second time it is failed with the text.
  void turn_failed(const AgentName& agent, const std::string& text, std::optional<WallTime> at = {});
  // Reads the journal's open items; called once, after Supervisor::load. Nothing is sent before it.
  Result<void> load();

  struct Counts {
    std::int64_t pending = 0;
    std::int64_t delivered = 0;
  };
  Counts counts(const AgentName& agent) const;
  std::vector<ItemRow> open_items(const AgentName& agent) const;
  // A person ended an item at the hub.
  void settled(const std::string& item_id, Progress progress, const std::string& reason);
  // The hub gave an item up that was not delivered in time. What is delivered already is left alone, and what
  // is under way ends by it only when it comes back undelivered: the hub takes our word for a delivery then.
  void expired(const std::string& item_id, const std::string& reason);
  // The hub forgot: every open item is reported again.
  void report_all();

 private:
  struct Item {
    ItemRow row;
    hub::InboxItem item;
    bool in_flight = false;  // its message is under way: the end of a turn may be an earlier one's
    bool retried = false;    // a nudge asks, or has asked, to go on after a turn that failed
    std::string expired;     // why the hub gave it up while its message was under way; else empty
    WallTime counted{};      // the newest end of a turn that counted for it
  };
  using Items = std::vector<std::unique_ptr<Item>>;
  struct TurnEnd {
    std::optional<std::string> error;  // none: it ended well
    std::optional<WallTime> at;        // of one that was not heard
  };
  // The ends of turns that a run has told, and the newest.
  struct TurnsTold {
    RunId run;
    std::uint64_t count = 0;
    TurnEnd newest;
  };
  struct Deferred {
    std::string text;
    std::chrono::steady_clock::time_point deadline;
  };
  boost::asio::awaitable<Sent> attempt(AgentName agent, agents::Message message);
  boost::asio::awaitable<Sent> by_pane(AgentName agent, agents::Message message);
  boost::asio::awaitable<std::optional<Refusal>> hindrance(AgentName agent);
  boost::asio::awaitable<std::optional<Refusal>> forbids(AgentName agent, tmux::DeliveryStep step);
  boost::asio::awaitable<std::optional<agents::ScreenReading>> screen(AgentName agent);
  boost::asio::awaitable<bool> shows_limit(AgentName agent);
  tmux::DeliveryChecks pane_checks(const AgentName& agent);
  boost::asio::awaitable<void> deliver_deferred(AgentName agent);
  boost::asio::awaitable<Sent> send_by(AgentName agent, std::string text,
                                       std::chrono::steady_clock::time_point deadline);
  boost::asio::awaitable<Sent> nudge_now(AgentName agent);
  boost::asio::awaitable<watchdog::Delivery> watchdogs_nudge(AgentName agent);
  boost::asio::awaitable<void> pump_soon(AgentName agent);
  boost::asio::awaitable<void> retry_turn(AgentName agent, RunId run);
  boost::asio::awaitable<void> deliver_items(AgentName agent);
  boost::asio::awaitable<Sent> deliver_batch(AgentName agent, std::vector<Item*> batch);
  std::optional<Refusal> why_not(const Entry& entry) const;
  void rested(const Entry& entry);
  void told_end(const AgentName& agent, const TurnEnd& end);
  void settle_delivered(const AgentName& agent, RunId run, const TurnEnd& end);
  static bool concerns(const Item& item, RunId run, const TurnEnd& end);
  bool fail_or_retry(Item& item, const std::string& error);
  void end_delivery(const AgentName& agent);
  std::uint64_t turns_told(const AgentName& agent, RunId run) const;
  Result<void> begin(Item& item, RunId run);
  Result<void> typed_into(Item& item, RunId run);
  void sent(Item& item, const Sent& outcome, Progress before, RunId run_before);
  const Items& items_of(const AgentName& agent) const;
  std::vector<Item*> next_batch(const AgentName& agent) const;
  void progress(Item& item, Progress progress, const std::string& reason);
  void ended_at_hub(Item& item, Progress progress, const std::string& reason);
  void tell_watchdog(const Entry& entry);
  void forget_finished();

  boost::asio::io_context& io_;
  MailboxParts parts_;
  Report report_;
  bool loaded_ = false;
  std::map<std::string, Items> items_;                    // by agent's name
  std::set<std::string> sending_;                         // agents with a delivery of items under way
  std::map<std::string, TurnsTold> turns_;                // by agent's name
  std::map<std::string, std::deque<Deferred>> deferred_;  // by agent's name, the first is being delivered
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

// The text an agent gets for its assignments.
std::string assignment_text(const std::vector<const hub::InboxItem*>& items, bool again);

}  // namespace agentmesh::daemon
