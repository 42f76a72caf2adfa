#include "daemon/mailbox.h"

#include "base/json.h"
#include "base/log.h"
#include "base/pause.h"
#include "base/spawn_logged.h"
#include "base/text.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;
namespace wd = agentmesh::watchdog;
using agents::DeliveryResult;

constexpr Millis kSendLimit{20'000};  // one attempt, its verification included
constexpr Millis kDeferAgain{1'000};  // between two attempts of a deferred message
constexpr Millis kHandsAgain{500};    // between two looks whether a person still types
constexpr Millis kItemAgain{2'000};   // ... while only assignments wait
constexpr Millis kNudgeHold{10'000};  // how long our own nudge waits for a person

const agents::RunnerFacts& facts_of(const Entry& entry) {
  static const agents::RunnerFacts kNone{};
  const auto adapter = agents::find_adapter(entry.spec.runner);
  return adapter ? (*adapter)->facts() : kNone;
}

bool finished(Progress progress) { return progress == Progress::done || progress == Progress::failed; }

hub::ItemReport report_of(const ItemRow& row) {
  const auto state = row.progress == Progress::done        ? hub::ItemState::done
                     : row.progress == Progress::failed    ? hub::ItemState::failed
                     : row.progress == Progress::delivered ? hub::ItemState::delivered
                                                           : hub::ItemState::pushed;
  return {row.id, row.attempt, state, row.reason};
}

// A number for each state of each run: what a delivery may take for proof when it changes.
std::uint64_t state_of(const Entry* entry) {
  constexpr int kChangesOfARun = 40;  // bits
  return entry == nullptr ? 0 : (entry->agent.run.value << kChangesOfARun) + entry->changes;
}

// Why a screen forbids typing; `waits` of the answer: it may pass by itself.
std::optional<Refusal> screen_refusal(const agents::ScreenReading& reading, tmux::DeliveryStep step) {
  using enum agents::ScreenMeaning;
  switch (reading.meaning) {
    case permission:
    case question:
    case login:
    case limit:
    case dialog:
      return Refusal{fmt::format("its screen shows a prompt ({})", agents::to_string(reading.meaning)),
                     false};
    case busy:
      if (step == tmux::DeliveryStep::enter) return std::nullopt;
      return Refusal{"its screen shows that it works", true};
    case idle:
      return std::nullopt;
    case unknown:
      // What was pasted may fill the screen.
      if (step == tmux::DeliveryStep::enter) return std::nullopt;
      return Refusal{"its screen is not known, and an unknown screen is never typed into", true};
  }
  return Refusal{"its screen is not known", false};
}

bool at_rest(const wd::Agent& agent) {
  return agent.phase == wd::Phase::up && agent.live.condition == wd::Condition::idle && !agent.live.turn_open;
}

wd::Delivery verdict_of(DeliveryResult result) {
  if (result == DeliveryResult::delivered) return wd::Delivery::delivered;
  return result == DeliveryResult::blocked ? wd::Delivery::blocked : wd::Delivery::failed;
}

}  // namespace

std::optional<Refusal> refusal(const wd::Agent& agent, bool own_channel) {
  if (agent.phase != wd::Phase::up && agent.phase != wd::Phase::launching) {
    const bool comes_by_itself = agent.wanted == wd::Wanted::running && agent.phase != wd::Phase::failed &&
                                 agent.phase != wd::Phase::held;
    return Refusal{fmt::format("the agent is {}", wd::to_string(wd::status_of(agent))), comes_by_itself};
  }
  if (agent.phase == wd::Phase::launching) return Refusal{"the agent is starting", true};
  switch (agent.live.condition) {
    case wd::Condition::waiting_permission:
      return Refusal{"a permission prompt is open", false};
    case wd::Condition::waiting_question:
      return Refusal{"the agent asks a question", false};
    case wd::Condition::auth_required:
      return Refusal{"the agent needs a login", false};
    case wd::Condition::rate_limited:
      return Refusal{"the agent is at a usage limit", false};
    case wd::Condition::unknown:
      return Refusal{"the agent's state is not known, and an unknown screen is never typed into", false};
    case wd::Condition::busy:
      if (own_channel) return std::nullopt;
      return Refusal{"the agent is busy", true};
    case wd::Condition::idle:
    case wd::Condition::stuck:
      return std::nullopt;
  }
  return Refusal{"the agent's state is not known", false};
}

std::string assignment_text(const std::vector<const hub::InboxItem*>& items, bool again) {
  std::string text;
  if (again) text += "You were restarted. This is still assigned to you:\n\n";
  for (const hub::InboxItem* item : items) {
    if (items.size() > 1 && item != items.front()) text += "\n\n";
    text +=
        fmt::format("[assignment {}, priority {}] {}", item->id, hub::to_string(item->priority), item->title);
    if (!item->body.empty()) text += "\n\n" + item->body;
    if (item->repo)
      text += fmt::format("\n\nRepository: {}{}", *item->repo, item->ref ? " at " + *item->ref : "");
  }
  return text;
}

// A program without a channel of its own needs its pane, which is opened after it was started.
std::optional<Refusal> Mailbox::why_not(const Entry& entry) const {
  if (parts_.supervisor.stopped()) return Refusal{"the daemon is ending", false};
  const agents::RunnerFacts& facts = facts_of(entry);
  if (auto no = refusal(entry.agent, facts.own_delivery); no || facts.own_delivery) return no;
  const auto pane = parts_.panes.pane_of(entry.agent.name);
  if (!pane || pane->dead) return Refusal{"its terminal is not open yet", true};
  if (!facts.brackets_pastes || pane->brackets_pastes) return std::nullopt;
  return Refusal{"its program has not asked for bracketed pastes yet, and would take one for keys", true};
}

Mailbox::Mailbox(asio::io_context& io, MailboxParts parts, Report report)
    : io_(io), parts_(parts), report_(std::move(report)) {}

asio::awaitable<Sent> Mailbox::send(AgentName agent, std::string text, Millis wait) {
  const agents::Message message{.id = new_id("msg"), .text = std::move(text), .limit = kSendLimit};
  const auto deadline = std::chrono::steady_clock::now() + wait;
  while (true) {
    const Sent sent = co_await attempt(agent, message);
    if (sent.result != DeliveryResult::blocked) co_return sent;
    const auto left = std::chrono::duration_cast<Millis>(deadline - std::chrono::steady_clock::now());
    const Entry* entry = parts_.supervisor.find(agent.str());
    if (entry == nullptr || left <= Millis{0}) co_return sent;
    if (sent.waits) {
      co_await parts_.supervisor.until(std::min(left, kHandsAgain), [] { return false; });
      continue;
    }
    const auto no = why_not(*entry);
    if (!no || !no->waits) co_return sent;
    co_await parts_.supervisor.until(left, [this, agent] {
      const Entry* now = parts_.supervisor.find(agent.str());
      if (now == nullptr) return true;
      const auto still = why_not(*now);
      return !still || !still->waits;
    });
  }
}

asio::awaitable<Sent> Mailbox::attempt(AgentName agent, agents::Message message) {
  Entry* entry = parts_.supervisor.find(agent.str());
  if (entry == nullptr) co_return Sent{DeliveryResult::failed, "no such agent"};
  const bool own_channel = facts_of(*entry).own_delivery;
  if (const auto no = why_not(*entry)) co_return Sent{DeliveryResult::blocked, no->why};
  if (!entry->link) co_return Sent{DeliveryResult::blocked, "the agent is not running"};
  if (!own_channel) co_return co_await by_pane(agent, std::move(message));
  const auto delivery = co_await entry->link->deliver(std::move(message));
  if (!delivery) co_return Sent{DeliveryResult::unknown, describe(delivery.error())};
  co_return Sent{delivery->result, delivery->why, delivery->result == DeliveryResult::blocked};
}

Result<void> Mailbox::check(const AgentName& agent, std::string_view text) const {
  const auto clean = tmux::clean_message(text);
  if (!clean) return pass(clean.error());
  const Entry* entry = parts_.supervisor.find(agent.str());
  if (entry == nullptr || facts_of(*entry).own_delivery) return {};
  const char first = trim(*clean).front();
  if (facts_of(*entry).command_marks.contains(first)) {
    return fail(
        ErrorCode::invalid, "message",
        fmt::format("a message that begins with '{}' would be a command to {}, not words for its model",
                    first, entry->spec.runner),
        fmt::format("begin it with a word; commands are for its terminal: agentmesh attach {}", agent.str()));
  }
  const auto adapter = agents::find_adapter(entry->spec.runner);
  const auto misread = adapter ? (*adapter)->misread(trim(*clean)) : std::nullopt;
  if (!misread) return {};
  return fail(ErrorCode::invalid, "message",
              fmt::format("{} takes '{}' for a folder to read, not for words for its model",
                          entry->spec.runner, *misread),
              "put a blank between them");
}

asio::awaitable<Sent> Mailbox::by_pane(AgentName agent, agents::Message message) {
  const auto pane = parts_.panes.pane_of(agent);
  if (!pane || pane->dead) co_return Sent{DeliveryResult::blocked, "the agent has no pane"};
  if (auto allowed = check(agent, message.text); !allowed)
    co_return Sent{DeliveryResult::failed, describe(allowed.error())};
  const Entry* entry = parts_.supervisor.find(agent.str());
  const agents::RunnerFacts& facts = facts_of(*entry);
  const tmux::DeliveryManner manner{
      .settle = std::max(parts_.config.delivery.paste_wait, facts.enter_wait),
      .key_after_paste = std::string(facts.key_after_paste),
      .proof = tmux::kProof,
      .marks = facts.brackets_pastes ? tmux::PasteMarks::required : tmux::PasteMarks::if_asked_for};
  const auto done = co_await parts_.deliverer.deliver({agent.str(), pane->id}, std::move(message.text),
                                                      manner, pane_checks(agent));
  if (!done) co_return Sent{DeliveryResult::failed, describe(done.error())};
  if (done->outcome == tmux::Outcome::delivered) co_return Sent{DeliveryResult::delivered, ""};
  const bool unknown = done->outcome == tmux::Outcome::unknown;
  co_return Sent{unknown ? DeliveryResult::unknown : DeliveryResult::blocked, done->reason, done->waits};
}

tmux::DeliveryChecks Mailbox::pane_checks(const AgentName& agent) {
  tmux::DeliveryChecks checks;
  checks.forbids = [this, agent](tmux::DeliveryStep step) { return forbids(agent, step); };
  checks.draft = [this, agent]() -> asio::awaitable<std::optional<std::string>> {
    const auto reading = co_await screen(agent);
    if (!reading || !reading->composer) co_return std::nullopt;
    co_return reading->draft;
  };
  checks.state = [this, agent] { return state_of(parts_.supervisor.find(agent.str())); };
  checks.changed = [this, agent](std::uint64_t before, Millis limit) {
    return parts_.supervisor.until(
        limit, [this, agent, before] { return state_of(parts_.supervisor.find(agent.str())) != before; });
  };
  return checks;
}

// What its pane shows, of a runner whose screens are known.
asio::awaitable<std::optional<agents::ScreenReading>> Mailbox::screen(AgentName agent) {
  const Entry* entry = parts_.supervisor.find(agent.str());
  if (entry == nullptr || !facts_of(*entry).shows_composer) co_return std::nullopt;
  const auto picture = co_await parts_.panes.picture(agent);
  entry = parts_.supervisor.find(agent.str());
  if (entry == nullptr || !picture) co_return agents::ScreenReading{};
  co_return reading_of(*entry, *picture);
}

asio::awaitable<bool> Mailbox::shows_limit(AgentName agent) {
  const Entry* entry = parts_.supervisor.find(agent.str());
  if (entry == nullptr || !facts_of(*entry).limit_dialog_stays) co_return false;
  const auto reading = co_await screen(agent);
  co_return reading && reading->meaning == agents::ScreenMeaning::limit;
}

// Typing is allowed by the state, and by the screen where it can be read.
asio::awaitable<std::optional<Refusal>> Mailbox::forbids(AgentName agent, tmux::DeliveryStep step) {
  const auto reading = co_await screen(agent);
  Entry* entry = parts_.supervisor.find(agent.str());
  if (entry == nullptr) co_return Refusal{"the agent is gone"};
  auto no = why_not(*entry);
  if (!no && reading) no = screen_refusal(*reading, step);
  if (!no) entry->typed_at = parts_.clock.now();
  co_return no;
}

asio::awaitable<std::optional<Refusal>> Mailbox::hindrance(AgentName agent) {
  const Entry* entry = parts_.supervisor.find(agent.str());
  const auto pane = parts_.panes.pane_of(agent);
  if (entry == nullptr || facts_of(*entry).own_delivery || !pane) co_return std::nullopt;
  co_return co_await parts_.deliverer.hindrance({agent.str(), pane->id}, pane_checks(agent));
}

Result<void> Mailbox::defer(AgentName agent, std::string text) {
  std::deque<Deferred>& waiting = deferred_[agent.str()];
  if (std::ssize(waiting) >= parts_.config.delivery.queue_depth) {
    return fail(ErrorCode::exhausted, "nudge",
                fmt::format("{} messages wait for {} already", waiting.size(), agent.str()));
  }
  waiting.push_back({std::move(text), std::chrono::steady_clock::now() + parts_.config.delivery.ttl});
  if (waiting.size() == 1) spawn_logged(io_, "nudge", deliver_deferred(agent));
  return {};
}

asio::awaitable<void> Mailbox::deliver_deferred(AgentName agent) {
  const Finally over(alive_, [this, agent] { deferred_.erase(agent.str()); });
  std::deque<Deferred>& waiting = deferred_[agent.str()];
  while (!waiting.empty()) {
    const Sent sent = co_await send_by(agent, waiting.front().text, waiting.front().deadline);
    const bool arrived = sent.result == DeliveryResult::delivered;
    parts_.events.add(agent.str(), arrived ? "nudged" : "undelivered",
                      arrived ? "a deferred message arrived" : sent.why);
    waiting.pop_front();
  }
}

asio::awaitable<Sent> Mailbox::send_by(AgentName agent, std::string text,
                                       std::chrono::steady_clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::duration_cast<Millis>(deadline - std::chrono::steady_clock::now());
    co_await parts_.supervisor.until(left, [this, agent] {
      const Entry* entry = parts_.supervisor.find(agent.str());
      return entry == nullptr || !why_not(*entry);
    });
    const Sent sent = co_await send(agent, text, Millis{0});
    const auto over = [&] {
      return parts_.supervisor.stopped() || std::chrono::steady_clock::now() >= deadline;
    };
    if (sent.result != DeliveryResult::blocked || over()) co_return sent;
    co_await parts_.supervisor.until(kDeferAgain, [] { return false; });
    if (over()) co_return sent;
  }
}

void Mailbox::nudge(const AgentName& agent, const wd::Nudge& nudge) {
  spawn_logged(io_, "nudge", watchdogs_nudge(agent),
               [this, agent, run = nudge.run,
                owner = std::weak_ptr<int>(alive_)](const Result<wd::Delivery>& delivery) {
                 if (owner.expired()) return;
                 parts_.supervisor.feed(agent, wd::NudgeResult{run, delivery.value_or(wd::Delivery::failed)});
               });
}

asio::awaitable<wd::Delivery> Mailbox::watchdogs_nudge(AgentName agent) {
  const Sent sent = co_await nudge_now(agent);
  const bool lost = sent.result == DeliveryResult::failed || sent.result == DeliveryResult::unknown;
  if (lost) parts_.events.add(agent.str(), "undelivered", sent.why);
  const bool held = sent.result == DeliveryResult::blocked && co_await shows_limit(agent);
  co_return held ? wd::Delivery::at_limit : verdict_of(sent.result);
}

asio::awaitable<Sent> Mailbox::nudge_now(AgentName agent) {
  co_await asio::post(io_, asio::use_awaitable);  // never inside the step that asked
  const agents::Message message{
      .id = new_id("msg"), .text = parts_.config.watchdog.nudge_text, .limit = kSendLimit};
  const auto hold = std::chrono::steady_clock::now() + kNudgeHold;
  Sent sent = co_await attempt(agent, message);
  while (sent.waits && std::chrono::steady_clock::now() < hold) {
    co_await parts_.supervisor.until(kHandsAgain, [] { return false; });
    sent = co_await attempt(agent, message);
  }
  co_return sent;
}

Result<void> Mailbox::load() {
  auto rows = parts_.journal.open_items();
  if (!rows) return pass(rows.error());
  for (ItemRow& row : *rows) {
    const auto document = parse_json(row.document, "journal");
    if (!document) return pass(document.error());
    auto item = hub::inbox_item_from(*document);
    if (!item) return pass(item.error());
    items_[row.agent].push_back(std::make_unique<Item>(Item{row, std::move(*item)}));
  }
  auto owed = parts_.journal.unreported_items();
  if (!owed) return pass(owed.error());
  for (const ItemRow& row : *owed) report_(report_of(row));
  loaded_ = true;
  for (const auto& [name, entry] : parts_.supervisor.entries()) pump(entry->agent.name);
  return {};
}

Result<void> Mailbox::accept(const hub::InboxItem& item) {
  Entry* entry = parts_.supervisor.find_by_agent_id(item.agent_id);
  if (entry == nullptr)
    return fail(ErrorCode::not_found, "inbox", fmt::format("no agent {} on this host", item.agent_id));
  const AgentName name = entry->agent.name;
  ItemRow row{
      .id = item.id, .attempt = item.attempt, .agent = name.str(), .document = dump_json(hub::to_json(item))};
  const auto fresh = parts_.journal.accept(row, parts_.clock.now());
  if (!fresh) return pass(fresh.error());
  if (!*fresh) return {};
  items_[name.str()].push_back(std::make_unique<Item>(Item{std::move(row), item}));
  parts_.events.add(name.str(), "assigned", fmt::format("{} {}", item.id, item.title));
  pump(name);
  return {};
}

// Told again until the watchdog has it: a row that could not be saved takes what it was told with it.
void Mailbox::tell_watchdog(const Entry& entry) {
  const bool open = !items_of(entry.agent.name).empty();
  if (entry.agent.work_open == open) return;
  parts_.supervisor.feed(entry.agent.name, wd::Work{open ? wd::WorkState::open : wd::WorkState::none});
}

const Mailbox::Items& Mailbox::items_of(const AgentName& agent) const {
  static const Items kNone;
  const auto found = items_.find(agent.str());
  return found == items_.end() ? kNone : found->second;
}

// Items in order: those that were being sent when the daemon ended come first and alone, because their
// message may have arrived; then what was delivered to a run that has ended; then new ones, urgent first.
std::vector<Mailbox::Item*> Mailbox::next_batch(const AgentName& agent) const {
  const Entry* entry = parts_.supervisor.find(agent.str());
  std::vector<Item*> sending;
  std::vector<Item*> again;
  std::vector<Item*> fresh;
  for (const auto& item : items_of(agent)) {
    if (item->row.progress == Progress::sending) sending.push_back(item.get());
    if (item->row.progress == Progress::accepted) fresh.push_back(item.get());
    const bool old_run = entry != nullptr && item->row.run != entry->agent.run;
    if (item->row.progress == Progress::delivered && old_run) again.push_back(item.get());
  }
  if (!sending.empty()) return sending;
  if (!again.empty()) return again;
  std::sort(fresh.begin(), fresh.end(), [](const Item* a, const Item* b) {
    return std::tuple(b->item.priority, a->item.seq) < std::tuple(a->item.priority, b->item.seq);
  });
  std::size_t bytes = 0;
  std::size_t count = 0;
  while (count < fresh.size()) {
    bytes += fresh[count]->item.title.size() + fresh[count]->item.body.size() + hub::kMaxFieldBytes;
    if (count > 0 && bytes > agents::kMaxMessageBytes) break;
    ++count;
  }
  fresh.resize(count);
  return fresh;
}

void Mailbox::pump(const AgentName& agent) {
  const Entry* entry = parts_.supervisor.find(agent.str());
  if (entry == nullptr || !loaded_) return;
  tell_watchdog(*entry);
  if (sending_.contains(agent.str()) || items_of(agent).empty()) return;
  rested(*entry);
  if (why_not(*entry) || next_batch(agent).empty()) return;
  sending_.insert(agent.str());
  spawn_logged(io_, "inbox", deliver_items(agent));
}

asio::awaitable<void> Mailbox::deliver_items(AgentName agent) {
  const Finally over(alive_, [this, &agent] { end_delivery(agent); });
  const auto ready = [this, &agent] {
    const Entry* entry = parts_.supervisor.find(agent.str());
    return entry != nullptr && !why_not(*entry) && !next_batch(agent).empty();
  };
  while (ready()) {
    // Asked before anything is written down, because a person may type for long.
    const auto no = co_await hindrance(agent);
    if (!no && !ready()) break;
    const Sent sent = no ? Sent{DeliveryResult::blocked, no->why, no->waits}
                         : co_await deliver_batch(agent, next_batch(agent));
    if (sent.waits) spawn_logged(io_, "inbox", pump_soon(agent));
    if (sent.result == DeliveryResult::blocked) break;  // else the next change pumps again
  }
  end_delivery(agent);
  forget_finished();
  if (const Entry* entry = parts_.supervisor.find(agent.str())) rested(*entry);
}

void Mailbox::end_delivery(const AgentName& agent) {
  sending_.erase(agent.str());
  for (const auto& item : items_of(agent)) item->in_flight = false;
}

// No change of the agent tells that a person has left its terminal.
asio::awaitable<void> Mailbox::pump_soon(AgentName agent) {
  co_await pause(kItemAgain);
  pump(agent);
}

// A custom program need not tell the end of its turns: of one that has told none in this run, the state says
// it. An end that is just being told says itself how it was.
void Mailbox::rested(const Entry& entry) {
  const wd::Agent& agent = entry.agent;
  using enum agents::SignalKind;
  const auto last = entry.last_signal ? entry.last_signal->signal.kind : idle;
  if (last == turn_ended || last == turn_failed) return;
  if (entry.spec.runner != "custom" || !at_rest(agent) || turns_told(agent.name, agent.run) > 0) return;
  settle_delivered(agent.name, agent.run, {});
}

std::uint64_t Mailbox::turns_told(const AgentName& agent, RunId run) const {
  const auto found = turns_.find(agent.str());
  return found == turns_.end() || found->second.run != run ? 0 : found->second.count;
}

// An item's run and, unless it is delivered again, that it is being sent: on the disk before anything is
// sent.
Result<void> Mailbox::begin(Item& item, RunId run) {
  // Sent before the daemon ended: its turn may have begun then.
  const bool sent_before = item.row.progress == Progress::sending && item.row.told_at > WallTime{};
  if (!sent_before) item.row.told_at = parts_.clock.now();
  if (auto saved = typed_into(item, run); !saved) return saved;
  if (item.row.progress == Progress::delivered) return {};
  auto saved = parts_.journal.set_progress(item.row.id, item.row.attempt, Progress::sending, "");
  if (saved) item.row.progress = Progress::sending;
  return saved;
}

Result<void> Mailbox::typed_into(Item& item, RunId run) {
  item.row.run = run;
  return parts_.journal.set_run(item.row.id, item.row.attempt, run, item.row.told_at);
}

asio::awaitable<Sent> Mailbox::deliver_batch(AgentName agent, std::vector<Item*> batch) {
  const Entry* entry = parts_.supervisor.find(agent.str());
  const RunId run = entry->agent.run;
  const bool again = batch.front()->row.progress == Progress::delivered;
  const bool recovered = batch.front()->row.progress == Progress::sending;
  std::vector<const hub::InboxItem*> texts;
  std::string key = again ? fmt::format("run {}", run.value) : std::string("first");
  for (Item* item : batch) {
    texts.push_back(&item->item);
    key += fmt::format(" {}#{}", item->row.id, item->row.attempt);
  }
  if (recovered && !facts_of(*entry).own_delivery) {
    for (Item* item : batch)
      progress(*item, Progress::failed, "the daemon ended while it was being typed; not repeated");
    co_return Sent{DeliveryResult::unknown, ""};
  }
  const Progress before = batch.front()->row.progress;
  std::vector<RunId> runs;
  for (Item* item : batch) {
    runs.push_back(item->row.run);
    item->in_flight = true;
    if (auto begun = begin(*item, run); !begun) {
      log_error(begun.error());
      for (std::size_t i = 0; i < runs.size(); ++i) sent(*batch[i], Sent{}, before, runs[i]);
      co_return Sent{};  // what is not on the disk is not sent
    }
  }
  const agents::Message message{.id = "msg_" + sha256_hex(key).substr(0, 26),
                                .text = assignment_text(texts, again),
                                .limit = kSendLimit,
                                .attempt = recovered ? agents::Attempt::repeated : agents::Attempt::first};
  const std::uint64_t told = turns_told(agent, run);
  const Sent outcome = co_await attempt(agent, message);
  for (std::size_t i = 0; i < batch.size(); ++i) sent(*batch[i], outcome, before, runs[i]);
  // A short turn may be over before its message is proved.
  entry = parts_.supervisor.find(agent.str());
  if (entry != nullptr && at_rest(entry->agent) && turns_told(agent, run) > told)
    settle_delivered(agent, run, turns_.at(agent.str()).newest);
  co_return outcome;
}

// What came of one that was `before` and was last told to the run `run_before`.
void Mailbox::sent(Item& item, const Sent& outcome, Progress before, RunId run_before) {
  item.in_flight = false;
  if (outcome.result == DeliveryResult::blocked) {
    if (auto saved = typed_into(item, run_before); !saved) log_error(saved.error());
  }
  if (finished(item.row.progress)) return;
  switch (outcome.result) {
    case DeliveryResult::delivered:
      if (before != Progress::delivered) progress(item, Progress::delivered, "");
      return;
    case DeliveryResult::blocked:
      // A recovered one may have arrived: it stays in doubt until the conversation could be searched.
      if (before != Progress::accepted) return;
      if (!item.expired.empty()) return ended_at_hub(item, Progress::failed, item.expired);
      return progress(item, Progress::accepted, outcome.why);
    case DeliveryResult::unknown:
      return progress(item, Progress::failed, "not known whether it arrived: " + outcome.why);
    case DeliveryResult::failed:
    case DeliveryResult::unsupported:
      return progress(item, Progress::failed, outcome.why);
  }
}

void Mailbox::progress(Item& item, Progress progress, const std::string& reason) {
  if (auto saved = parts_.journal.set_progress(item.row.id, item.row.attempt, progress, reason); !saved) {
    log_error(saved.error());
  }
  item.row.progress = progress;
  item.row.reason = reason;
  const std::string told = reason.empty() ? item.row.id : item.row.id + ": " + reason;
  if (progress == Progress::failed) {
    parts_.notifier.tell("assignment_failed", item.row.agent, told);
  } else if (progress == Progress::delivered || progress == Progress::done) {
    parts_.events.add(item.row.agent, "assignment_" + std::string(to_string(progress)), told);
  }
  report_(report_of(item.row));
}

void Mailbox::turn_ended(const AgentName& agent, std::optional<WallTime> at) { told_end(agent, {{}, at}); }

void Mailbox::turn_failed(const AgentName& agent, const std::string& text, std::optional<WallTime> at) {
  if (!at) parts_.events.add(agent.str(), "turn_failed", text);
  told_end(agent, {text, at});
}

void Mailbox::told_end(const AgentName& agent, const TurnEnd& end) {
  const Entry* entry = parts_.supervisor.find(agent.str());
  if (entry == nullptr || entry->agent.live.turn_open) return;  // of a part: whoever asks still waits
  const RunId run = entry->agent.run;
  turns_[agent.str()] = {run, turns_told(agent, run) + 1, end};
  settle_delivered(agent, run, end);
}

// An end that was not heard says nothing of what was told after it, nor twice the same.
bool Mailbox::concerns(const Item& item, RunId run, const TurnEnd& end) {
  if (item.row.progress != Progress::delivered || item.row.run != run || item.in_flight) return false;
  return !end.at || (item.row.told_at > WallTime{} && *end.at > std::max(item.row.told_at, item.counted));
}

void Mailbox::settle_delivered(const AgentName& agent, RunId run, const TurnEnd& end) {
  bool retry = false;
  bool told = !end.error || !end.at;  // in the events
  for (const auto& item : items_of(agent)) {
    if (!concerns(*item, run, end)) continue;
    if (!std::exchange(told, true)) parts_.events.add(agent.str(), "turn_failed", *end.error);
    item->counted = end.at.value_or(parts_.clock.now());
    if (end.error) {
      retry = fail_or_retry(*item, *end.error) || retry;
    } else {
      progress(*item, Progress::done, "the agent's turn ended");
    }
  }
  forget_finished();
  if (retry) spawn_logged(io_, "nudge", retry_turn(agent, run));
}

// True: it is to be tried once more.
bool Mailbox::fail_or_retry(Item& item, const std::string& error) {
  if (!std::exchange(item.retried, true)) return true;
  progress(item, Progress::failed, "the agent's turn failed: " + error);
  return false;
}

// Unless something else has happened meanwhile: a person went on, the run ended, the work is over.
asio::awaitable<void> Mailbox::retry_turn(AgentName agent, RunId run) {
  const auto over = [this, agent, run] {
    const Entry* entry = parts_.supervisor.find(agent.str());
    return entry == nullptr || entry->agent.run != run || entry->agent.live.turn_open ||
           items_of(agent).empty();
  };
  if (co_await parts_.supervisor.until(parts_.config.watchdog.turn_retry, over)) co_return;
  if (parts_.supervisor.stopped()) co_return;
  const Sent sent = co_await nudge_now(agent);
  const bool arrived = sent.result == DeliveryResult::delivered;
  parts_.events.add(agent.str(), arrived ? "nudged" : "undelivered",
                    arrived ? "asked to go on after a turn that failed" : sent.why);
}

void Mailbox::settled(const std::string& item_id, Progress progress, const std::string& reason) {
  for (auto& [name, items] : items_) {
    for (const auto& item : items) {
      if (item->row.id == item_id && !finished(item->row.progress)) ended_at_hub(*item, progress, reason);
    }
  }
  forget_finished();
}

void Mailbox::expired(const std::string& item_id, const std::string& reason) {
  for (auto& [name, items] : items_) {
    for (const auto& item : items) {
      if (item->row.id != item_id) continue;
      if (item->row.progress == Progress::accepted) ended_at_hub(*item, Progress::failed, reason);
      if (item->row.progress == Progress::sending) item->expired = reason;
    }
  }
  forget_finished();
}

void Mailbox::ended_at_hub(Item& item, Progress progress, const std::string& reason) {
  item.row.progress = progress;
  auto saved = parts_.journal.set_progress(item.row.id, item.row.attempt, progress, reason);
  if (saved) saved = parts_.journal.set_reported(item.row.id, item.row.attempt, progress);
  if (!saved) log_error(saved.error());
  parts_.events.add(item.row.agent, "assignment_" + std::string(to_string(progress)),
                    item.row.id + ": " + reason);
}

void Mailbox::report_all() {
  for (const auto& [name, items] : items_) {
    for (const auto& item : items) report_(report_of(item->row));
  }
}

void Mailbox::forget_finished() {
  for (auto& [name, items] : items_) {
    if (sending_.contains(name)) continue;
    const auto removed = std::erase_if(items, [](const auto& item) { return finished(item->row.progress); });
    Entry* entry = removed > 0 ? parts_.supervisor.find(name) : nullptr;
    if (entry != nullptr) tell_watchdog(*entry);
  }
}

Mailbox::Counts Mailbox::counts(const AgentName& agent) const {
  Counts counts;
  for (const auto& item : items_of(agent)) {
    if (item->row.progress == Progress::delivered) ++counts.delivered;
    if (item->row.progress == Progress::accepted || item->row.progress == Progress::sending) ++counts.pending;
  }
  return counts;
}

std::vector<ItemRow> Mailbox::open_items(const AgentName& agent) const {
  std::vector<ItemRow> rows;
  for (const auto& item : items_of(agent)) rows.push_back(item->row);
  return rows;
}

}  // namespace agentmesh::daemon
