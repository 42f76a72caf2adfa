#pragma once
// The daemon's inner parts around a real Supervisor, with nothing outside: no engine answers, tmux is a fake,
// and each agent's Link does what the test says. Time is the loop's; no test waits.

#include "daemon/mailbox.h"
#include "sandbox/docker_engine.h"
#include "tests/fakes/eventually.h"
#include "tests/fakes/fake_tmux.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace agentmesh::daemon::test {

constexpr Millis kLimit{5'000};

// What a Link was given, and what it answers; outlives the Link.
struct Line {
  std::vector<agents::Message> messages;
  std::vector<std::string> titles;
  std::function<agents::Delivery(const agents::Message&)> answer = [](const agents::Message&) {
    return agents::Delivery{agents::DeliveryResult::delivered, ""};
  };
};

class FakeLink final : public agents::Link {
 public:
  FakeLink(boost::asio::io_context& io, Line& line) : io_(io), line_(line) {}
  Result<> start() override { return {}; }
  void title(std::string_view title) override { line_.titles.emplace_back(title); }
  bool painted() override { return false; }
  void screen(const agents::ScreenReading&) override {}
  Task<agents::Delivery> deliver(agents::Message message) override {
    return deliver_on(io_, line_, std::move(message));
  }
  Task<> answer(std::string, agents::PermissionAnswer, std::string) override { co_return Result<>{}; }
  std::optional<std::string> session_id() const override { return std::nullopt; }

 private:
  static Task<agents::Delivery> deliver_on(boost::asio::io_context& io, Line& line, agents::Message message) {
    line.messages.push_back(message);
    co_await boost::asio::post(io, boost::asio::use_awaitable);
    co_return line.answer(message);
  }
  boost::asio::io_context& io_;
  Line& line_;
};

class Mesh {
 public:
  Mesh() {
    supervisor.emplace(World{io, clock, config, home, *journal, events, notifier, engine, host, tmux, http,
                             effects, panes, prober, usage, offload},
                       hooks());
    mailbox.emplace(io,
                    MailboxParts{*supervisor, *journal, events, notifier, deliverer, panes, config, clock},
                    [this](const hub::ItemReport& report) { reports.push_back(report); });
  }
  ~Mesh() {
    mailbox.reset();
    supervisor.reset();
    std::filesystem::remove_all(home.root);
  }
  Mesh(const Mesh&) = delete;
  Mesh& operator=(const Mesh&) = delete;

  // An agent that is up in `run`, once load() was called.
  void agent(const std::string& name, const std::string& runner, RunId run) {
    AgentRow row{watchdog::make_agent(*AgentName::parse(name), clock.now()), {}, "agt_" + name, ""};
    row.spec.runner = runner;
    runs[name] = run;
    if (!journal->save(row)) std::terminate();
  }
  // A row of an assignment; before load().
  void item(const std::string& id, const std::string& agent, Progress progress, RunId run) {
    const ItemRow row{.id = id, .agent = agent, .document = document(id, agent)};
    if (!journal->accept(row, clock.now()) || !journal->set_run(id, 1, run, clock.now()) ||
        !journal->set_progress(id, 1, progress, ""))
      std::terminate();
  }
  // Then every agent is at rest.
  void load() {
    if (!supervisor->load()) std::terminate();
    for (auto& [name, entry] : supervisor->entries()) {
      entry->agent.wanted = watchdog::Wanted::running;
      entry->agent.phase = watchdog::Phase::up;
      entry->agent.run = runs[name];
      entry->agent.live.pane_open = true;
      entry->link = std::make_unique<FakeLink>(io, lines[name]);
      entry->link_run = runs[name];
    }
    if (!mailbox->load()) std::terminate();
    for (auto& [name, entry] : supervisor->entries()) tell(name, watchdog::SignalKind::idle);
  }
  Entry& entry(const std::string& name) { return *supervisor->find(name); }
  void tell(const std::string& name, watchdog::SignalKind kind) {
    Entry& known = entry(name);
    ++known.changes;
    if (kind == watchdog::SignalKind::busy || kind == watchdog::SignalKind::idle) {
      const bool busy = kind == watchdog::SignalKind::busy;
      known.last_signal =
          DecidingSignal{{.kind = busy ? agents::SignalKind::busy : agents::SignalKind::idle}, clock.now()};
    }
    supervisor->feed(
        known.agent.name,
        watchdog::Signal{
            .kind = kind, .run = known.agent.run, .at = clock.now(), .source = watchdog::Source::native});
  }
  // As the daemon does with a runner's signals of these kinds; with a time: of a turn that nobody heard the
  // end of.
  void turn_ended(const std::string& name, std::optional<WallTime> at = {}) {
    entry(name).last_signal = DecidingSignal{{.kind = agents::SignalKind::turn_ended}, clock.now()};
    tell(name, watchdog::SignalKind::turn_ended);
    mailbox->turn_ended(entry(name).agent.name, at);
  }
  void turn_failed(const std::string& name, const std::string& text, std::optional<WallTime> at = {}) {
    entry(name).last_signal = DecidingSignal{{.kind = agents::SignalKind::turn_failed}, clock.now()};
    tell(name, watchdog::SignalKind::turn_ended);
    mailbox->turn_failed(entry(name).agent.name, text, at);
  }
  bool until(const std::function<bool()>& condition) {
    return agentmesh::test::eventually(io, kLimit, condition);
  }
  // Whatever can be done now is done.
  void settle() {
    if (io.stopped()) io.restart();
    while (io.poll_one() > 0) {
    }
  }
  // As the journal has it.
  std::string progress(const std::string& id) {
    const auto open = journal->open_items();
    for (const ItemRow& row : *open) {
      if (row.id == id) return std::string(to_string(row.progress));
    }
    const auto owed = journal->unreported_items();
    for (const ItemRow& row : *owed) {
      if (row.id == id) return std::string(to_string(row.progress)) + ": " + row.reason;
    }
    return "";
  }
  bool asked_tmux(std::string_view call) const {
    return std::ranges::any_of(tmux.calls, [&](const std::string& line) { return line.starts_with(call); });
  }
  bool told(const std::string& agent, const std::string& event) {
    const auto rows = journal->last_events_of(agent, 100);
    return std::ranges::any_of(*rows, [&](const EventRow& row) { return row.name == event; });
  }

 private:
  static std::string document(const std::string& id, const std::string& agent);
  static Home new_home() {
    Home made{std::filesystem::temp_directory_path() / ("agentmesh-mesh-" + random_hex(6))};
    if (!prepare_home(made)) std::terminate();
    return made;
  }
  SupervisorHooks hooks() {
    SupervisorHooks hooks;
    hooks.changed = [this](Entry& changed) {
      if (on_changed) on_changed(changed);
      if (mailbox) mailbox->pump(changed.agent.name);
    };
    hooks.signalled = [](Entry&, const agents::Signal&) {};
    hooks.nudge = [](Entry&, const watchdog::Nudge&) {};
    hooks.answer = [](Entry&, const watchdog::Answer&) {};
    hooks.report = [](Entry&, watchdog::WriteCrashReport) -> boost::asio::awaitable<void> { co_return; };
    return hooks;
  }

 public:
  boost::asio::io_context io{1};
  ManualClock clock;
  config::Config config;
  Home home = new_home();
  Result<Journal> journal = Journal::open(home.state_db());
  net::HttpClient http{io.get_executor()};
  sandbox::DockerEngine engine{http, {.socket = (home.root / "no-engine.sock").string()}};
  sandbox::MountPolicy policy{sandbox::PolicyFacts{}};
  tmux::FakeTmux tmux;
  tmux::Deliverer deliverer{tmux, io.get_executor(),
                            [](Millis) -> boost::asio::awaitable<void> { co_return; }};
  EventLog events{*journal, clock};
  Notifier notifier{io, clock, config.notify, events, tmux, http, {}};
  host::Runs host{io.get_executor(),
                  http,
                  {.folder = home.host_runs(), .program = "/no/program", .owner = journal->owner()},
                  [](const host::RunIdentity&, int) {}};
  Offload offload;
  Effects effects{EffectsParts{engine, "", host, policy, config, home, offload, journal->owner()}};
  Panes panes{io.get_executor(), tmux, home, {.program = "/no/program"}};
  Prober prober{find_process(engine, host), clock, offload, {}};
  UsageWatch usage{io, engine, clock, {}};
  std::map<std::string, Line> lines;  // by agent's name
  std::map<std::string, RunId> runs;
  std::vector<hub::ItemReport> reports;
  std::function<void(Entry&)> on_changed;
  std::optional<Supervisor> supervisor;
  std::optional<Mailbox> mailbox;
};

}  // namespace agentmesh::daemon::test
