#include "daemon/supervisor.h"

#include "base/log.h"
#include "base/process.h"
#include "base/secret.h"
#include "base/spawn_logged.h"
#include "base/text.h"
#include "daemon/signals.h"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;
namespace wd = agentmesh::watchdog;

constexpr Millis kLeastWait{10};
constexpr Millis kUnsavedRetry{1'000};  // a row that cannot be saved (disk full) must not spin
constexpr int kKilled = 137;            // 128 + SIGKILL: perhaps for memory

std::filesystem::path user_home() {
  const auto environment = current_environment();
  const auto home = environment.find("HOME");
  return home == environment.end() ? "" : home->second;
}

Result<void> saved(bool taken, std::string_view what) {
  if (taken) return {};
  return fail(ErrorCode::exhausted, "journal", fmt::format("the {} could not be saved", what),
              "is the disk full?");
}

}  // namespace

Entry::Entry(asio::io_context& io, AgentRow row, LoopWatch loop_watch)
    : agent(wd::load_agent(std::move(row.record))),
      spec(std::move(row.spec)),
      agent_id(std::move(row.agent_id)),
      session_id(std::move(row.session_id)),
      conversation(session_id.empty() ? agents::Conversation::fresh : agents::Conversation::continue_session),
      loops(std::move(loop_watch)),
      timer(io),
      look(io) {}

RunPlace run_of(const Entry& entry, RunId run) { return {entry.spec.place, entry.agent.name, run}; }

agents::ScreenReading reading_of(const Entry& entry, std::string_view picture) {
  const auto adapter = agents::find_adapter(entry.spec.runner);
  const std::string version = entry.link ? entry.link->version() : std::string();
  return adapter ? (*adapter)->read_screen(picture, version) : agents::ScreenReading{};
}

Supervisor::Supervisor(World world, SupervisorHooks hooks)
    : world_(world),
      hooks_(std::move(hooks)),
      statuses_(world.io, world.events),
      reserve_(world_.home.reserve()),
      deaths_({}),
      relist_timer_(world.io),
      slot_timer_(world.io),
      look_timer_(world.io) {
  host_policy_.max_starting = static_cast<int>(world.config.watchdog.max_starting);
  deaths_ = wd::DeathWatch(host_policy_);
}

Supervisor::~Supervisor() { stop(); }

Result<void> Supervisor::load() {
  auto rows = world_.journal.agents();
  if (!rows) return pass(rows.error());
  for (AgentRow& row : *rows) {
    const std::string name = row.record.name.str();
    entries_.emplace(name, std::make_unique<Entry>(world_.io, std::move(row), new_loop_watch()));
  }
  reserve_.take();
  feed_all(wd::DaemonStarted{});
  return {};
}

void Supervisor::run() {
  spawn_logged(world_.io, "relist", relist_loop());
  request_look();
}

void Supervisor::stop() {
  stopped_ = true;
  alive_.reset();
  statuses_.stop();
  relist_timer_.cancel();
  slot_timer_.cancel();
  look_timer_.cancel();
  for (auto& [name, entry] : entries_) {
    entry->timer.cancel();
    entry->link.reset();
  }
  note_change();
}

Result<void> Supervisor::start(const AgentName& name, AgentSpec spec, const std::string& agent_id) {
  const std::string hash = hash_of(spec);
  Entry* known = find(name.str());
  if (known != nullptr && known->agent.wanted == wd::Wanted::running &&
      known->agent.phase != wd::Phase::failed && known->agent.phase != wd::Phase::held &&
      known->agent.phase != wd::Phase::backoff) {
    return fail(ErrorCode::conflict, "start", fmt::format("{} is already running", name.str()),
                fmt::format("agentmesh attach {0}, or agentmesh restart {0}", name.str()));
  }
  if (known != nullptr && known->spec.place != spec.place && wd::may_exist(known->agent)) {
    return fail(ErrorCode::conflict, "start", fmt::format("the last run of {} has not ended yet", name.str()),
                fmt::format("agentmesh stop {}", name.str()));
  }
  AgentRow row{wd::make_agent(name, world_.clock.now()), std::move(spec), agent_id, ""};
  // Another runner, or another home, knows nothing of the conversation.
  const bool same_home =
      known != nullptr && known->spec.runner == row.spec.runner && known->spec.place == row.spec.place;
  if (known != nullptr) {
    row = AgentRow{known->agent, std::move(row.spec), known->agent_id, same_home ? known->session_id : ""};
  }
  if (auto saved = world_.journal.save(row); !saved) return saved;
  if (known == nullptr) {
    entries_.emplace(name.str(), std::make_unique<Entry>(world_.io, std::move(row), new_loop_watch()));
  } else {
    known->spec = std::move(row.spec);
    known->session_id = std::move(row.session_id);
  }
  const auto conversation = same_home ? wd::Conversation::resume : wd::Conversation::fresh;
  return saved(feed(name, wd::StartAsked{.spec_hash = hash, .conversation = conversation}), "start");
}

Result<void> Supervisor::ask_stop(const AgentName& name, Millis timeout, wd::StopManner manner) {
  Entry* entry = find(name.str());
  if (entry == nullptr)
    return fail(ErrorCode::not_found, "stop", fmt::format("no agent '{}'", name.str()),
                "agentmesh list --all");
  return saved(feed(name, wd::StopAsked{timeout, manner}), "stop");
}

Result<void> Supervisor::ask_restart(const AgentName& name, Millis timeout) {
  Entry* entry = find(name.str());
  if (entry == nullptr)
    return fail(ErrorCode::not_found, "restart", fmt::format("no agent '{}'", name.str()),
                "agentmesh list --all");
  return saved(feed(name, wd::RestartAsked{.spec_hash = hash_of(entry->spec), .timeout = timeout}),
               "restart");
}

Entry* Supervisor::find(std::string_view name) {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : found->second.get();
}

Entry* Supervisor::find_by_agent_id(std::string_view agent_id) {
  for (auto& [name, entry] : entries_) {
    if (entry->agent_id == agent_id) return entry.get();
  }
  return nullptr;
}

bool Supervisor::feed(const AgentName& name, const wd::Event& event) {
  Entry* entry = find(name.str());
  if (entry == nullptr || stopped_) return false;
  return apply(*entry, wd::step(entry->agent, event, policy_of(*entry), world_.clock.now()));
}

void Supervisor::feed_all(const wd::Event& event) {
  for (auto& [name, entry] : entries_) feed(entry->agent.name, event);
}

void Supervisor::feed_all_at(agents::Place place, const wd::Event& event) {
  for (auto& [name, entry] : entries_) {
    if (entry->spec.place == place) feed(entry->agent.name, event);
  }
}

// The journal first: a step whose row is not on the disk is as if it had not been taken. But an agent that is
// to be stopped is stopped: it may be what fills the disk, and nothing is created for it any more.
bool Supervisor::keep(Entry& entry, const wd::AgentRecord& next) {
  auto saved = world_.journal.save_record(next);
  if (saved) {
    entry.unsaved = false;
    reserve_.take();  // as soon as there is room again
    return true;
  }
  log_error(saved.error());
  tell_disk(disk_.saved(saved, world_.clock.now()));
  save_again_later();
  if (next.wanted != wd::Wanted::stopped) {
    arm(entry, kUnsavedRetry);
    return false;
  }
  if (reserve_.give_up()) saved = world_.journal.save_record(next);
  entry.unsaved = !saved;
  return true;
}

// Rows that wait for room, and the reserve; and a look, which brings back events that were lost with their
// rows.
void Supervisor::save_again_later() {
  look_timer_.expires_after(kUnsavedRetry);
  look_timer_.async_wait([this, guard = std::weak_ptr<int>(alive_)](boost::system::error_code ec) {
    if (ec || guard.expired()) return;
    for (auto& [name, entry] : entries_) {
      if (entry->unsaved) entry->unsaved = !world_.journal.save_record(entry->agent);
    }
    const bool saved = std::ranges::none_of(entries_, [](const auto& item) { return item.second->unsaved; });
    if (!saved || !reserve_.take()) save_again_later();
    request_look();
  });
}

bool Supervisor::apply(Entry& entry, wd::Step next) {
  const bool persist = !next.actions.empty() && std::holds_alternative<wd::Persist>(next.actions.front());
  if (persist && !keep(entry, next.agent)) return false;
  const wd::Phase before = entry.agent.phase;
  const bool held_slot = wd::holds_slot(entry.agent);
  entry.agent = std::move(next.agent);
  arm(entry, kLeastWait);
  sync_link(entry);
  show_pane(entry);
  for (const wd::Action& action : next.actions) perform(entry, action);
  if (entry.agent.phase != before) after_phase(entry, before);
  if (held_slot && !wd::holds_slot(entry.agent)) admit();
  hooks_.changed(entry);
  note_change();
  return true;
}

void Supervisor::after_phase(Entry& entry, wd::Phase before) {
  const bool was_alive = before == wd::Phase::up || before == wd::Phase::launching;
  const bool died =
      was_alive && (entry.agent.phase == wd::Phase::ended || entry.agent.phase == wd::Phase::removing);
  if (died) {
    const WallTime at = entry.agent.exit.at.value_or(world_.clock.now());  // as what it excuses is dated
    const auto mass = deaths_.died(entry.agent.name, alive() + 1, at);
    if (mass) mass_death(entry.agent.name, *mass);
  }
  if (entry.agent.phase == wd::Phase::launching) tell_early(entry);
  if (entry.agent.phase == wd::Phase::up) {
    entry.up_run = entry.agent.run;
    look_at_usage(entry, entry.agent.run);
  }
  admit();
}

void Supervisor::mass_death(const AgentName& name, const wd::Mass& mass) {
  if (mass.news == wd::News::first) {
    world_.notifier.tell("mass_death", "", "starts are held while engine and tmux are checked");
    feed_all(wd::MassDeath{mass.since});
  } else {
    feed(name, wd::MassDeath{mass.since});
  }
  request_look();
}

// A quick agent speaks before the engine has answered that it started it.
void Supervisor::tell_early(Entry& entry) {
  if (entry.early.empty()) return;
  asio::post(world_.io,
             [this, name = entry.agent.name, run = entry.agent.run, guard = std::weak_ptr<int>(alive_)] {
               Entry* known = guard.expired() ? nullptr : find(name.str());
               if (known == nullptr) return;
               for (const agents::Signal& signal : known->early.take_all()) on_signal(name, run, signal);
             });
}

std::size_t Supervisor::alive() const {
  return static_cast<std::size_t>(std::count_if(entries_.begin(), entries_.end(), [](const auto& item) {
    return item.second->agent.phase == wd::Phase::up || item.second->agent.phase == wd::Phase::launching;
  }));
}

// Who may start now, posted so that a step never runs inside another agent's step.
void Supervisor::admit() {
  asio::post(world_.io, [this, guard = std::weak_ptr<int>(alive_)] {
    if (guard.expired()) return;
    if (deaths_.holds(world_.clock.now())) return admit_at(*deaths_.held_until());
    std::vector<const wd::Agent*> agents;
    for (const auto& [name, entry] : entries_) agents.push_back(&entry->agent);
    std::vector<AgentName> chosen;
    for (const wd::Agent* agent : wd::next_starts(agents, host_policy_)) chosen.push_back(agent->name);
    for (const AgentName& name : chosen) feed(name, wd::Admitted{});
  });
}

void Supervisor::admit_at(WallTime when) {
  slot_timer_.expires_after(std::max(when - world_.clock.now(), kLeastWait));
  slot_timer_.async_wait([this, guard = std::weak_ptr<int>(alive_)](boost::system::error_code ec) {
    if (!ec && !guard.expired()) admit();
  });
}

void Supervisor::arm(Entry& entry, Millis least) {
  const auto wake = wd::next_wake(entry.agent);
  entry.timer.cancel();
  if (!wake) return;
  const Millis wait = std::max(*wake - world_.clock.now(), least);
  entry.timer.expires_after(wait);
  entry.timer.async_wait(
      [this, name = entry.agent.name, guard = std::weak_ptr<int>(alive_)](boost::system::error_code ec) {
        if (ec || guard.expired()) return;
        feed(name, wd::Tick{});
        admit();
      });
}

wd::Policy Supervisor::policy_of(const Entry& entry) const {
  const config::Watchdog& configured = world_.config.watchdog;
  wd::Policy policy;
  policy.max_restarts = static_cast<int>(configured.max_restarts);
  policy.restart_window = configured.restart_window;
  policy.backoff_first = configured.backoff_first;
  policy.backoff_max = configured.backoff_max;
  policy.jitter_percent = static_cast<int>(configured.backoff_jitter_percent);
  policy.stable_after = configured.stable_after;
  policy.stuck_after = configured.stuck_after;
  policy.nudge_wait = configured.nudge_wait;
  policy.loop_repeats = static_cast<int>(configured.loop_repeats);
  policy.on_permission = configured.on_permission == "deny"               ? wd::OnPermission::deny
                         : configured.on_permission == "allow-in-sandbox" ? wd::OnPermission::allow_in_sandbox
                                                                          : wd::OnPermission::ask;
  const bool on_host = entry.spec.place == agents::Place::host;
  if (on_host && policy.on_permission == wd::OnPermission::allow_in_sandbox)
    policy.on_permission = wd::OnPermission::ask;
  // A custom program that ends with 0 has done its job; it is not run again because nobody watched its end.
  if (entry.spec.runner == "custom") policy.on_clean_exit = wd::CleanExit::never_restart;
  const auto adapter = agents::find_adapter(entry.spec.runner);
  policy.ready_timeout =
      configured.ready_limit.value_or(adapter ? (*adapter)->facts().ready_limit : policy.ready_timeout);
  return policy;
}

LoopWatch Supervisor::new_loop_watch() const {
  return LoopWatch(static_cast<int>(world_.config.watchdog.loop_repeats));
}

// Without it the link finds out that the server refuses it.
Secret Supervisor::password_of(const Entry& entry) const {
  if (!served(entry.spec)) return {};
  auto password = resolve_secret("file:" + world_.home.agent_password(entry.agent.name).string());
  if (!password) log_error(password.error());
  return password ? std::move(*password) : Secret();
}

// A link lives exactly as long as a run that has been or is being started.
void Supervisor::sync_link(Entry& entry) {
  const wd::Phase phase = entry.agent.phase;
  const bool wanted = phase == wd::Phase::starting || phase == wd::Phase::launching || phase == wd::Phase::up;
  if (entry.link && (!wanted || entry.link_run != entry.agent.run)) {
    entry.link.reset();
    entry.pane_shown = false;
    entry.early = {};
  }
  if (!wanted || entry.link) return;
  const auto adapter = agents::find_adapter(entry.spec.runner);
  if (!adapter) return;
  const RunId run = entry.agent.run;
  const AgentName name = entry.agent.name;
  const bool on_host = entry.spec.place == agents::Place::host;
  const auto channel =
      on_host ? world_.host.channel_of(world_.host.id_of(name, run)) : std::optional(host::Channel{});
  if (!channel) return;  // the first look asks the run's holder, and comes here again
  agents::LinkContext context{
      .place = entry.spec.place,
      .executor = world_.io.get_executor(),
      .http = world_.http,
      .clock = world_.clock,
      .offload = world_.offload,
      .run_dir = world_.home.agent_run(name),
      .home = on_host ? user_home() : world_.home.agent_home(name),
      .http_port = channel->http_port,
      .http_password = on_host ? channel->http_password : password_of(entry),
      .surface = served(entry.spec) ? agents::Surface::server : agents::Surface::terminal,
      .permissions = permissions_from(entry.spec.permissions).value_or(agents::Permissions::ask),
      .conversation = entry.conversation,
      .session_id = entry.session_id};
  entry.link_run = run;
  entry.loops = new_loop_watch();
  entry.link = (*adapter)->link(std::move(context),
                                [this, name, run, guard = std::weak_ptr<int>(alive_)](agents::Signal signal) {
                                  asio::post(world_.io, [this, name, run, guard, signal = std::move(signal)] {
                                    if (!guard.expired()) on_signal(name, run, signal);
                                  });
                                });
  if (auto started = entry.link->start(); !started) log_error(started.error());
}

void Supervisor::on_signal(const AgentName& name, RunId run, const agents::Signal& signal) {
  Entry* entry = find(name.str());
  if (entry == nullptr || entry->agent.run != run) return;
  const bool early = entry->agent.phase == wd::Phase::starting || !entry->early.empty();
  if (early) return entry->early.push(signal);
  const auto adapter = agents::find_adapter(entry->spec.runner);
  const bool learned = signal.kind == agents::SignalKind::session_learned && signal.id != entry->session_id;
  if (learned && adapter && (*adapter)->takes_session(signal.id)) {
    entry->session_id = signal.id;
    if (auto saved = world_.journal.save_session(name, signal.id); !saved) log_error(saved.error());
  }
  auto translated =
      watchdog_signal(signal, run, world_.clock.now(), adapter && (*adapter)->facts().tells_permission);
  if (proves_change(signal)) ++entry->changes;
  note_prompt(*entry, signal);
  if (translated) {
    entry->loops.judge(signal, *translated);
    if (decides_state(signal)) entry->last_signal = DecidingSignal{signal, world_.clock.now()};
    feed(name, *translated);
  }
  hooks_.signalled(*entry, signal);
  note_change();
}

std::string shown(const OpenPrompt& prompt) {
  const std::string what = prompt.detail.empty() ? "a permission" : prompt.detail;
  return prompt.id.empty() ? what : fmt::format("{} (prompt {})", what, prompt.id);
}

void Supervisor::note_prompt(Entry& entry, const agents::Signal& signal) {
  if (signal.kind == agents::SignalKind::permission_asked) {
    entry.prompt = {signal.id, signal.detail, signal.source};
  } else if (signal.kind == agents::SignalKind::permission_closed) {
    entry.prompt = {};
  } else {
    return;
  }
  ++entry.prompts;
}

boost::asio::awaitable<bool> Supervisor::until(Millis limit, std::function<bool()> condition) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  if (stopped_)
    co_await asio::post(world_.io, asio::use_awaitable);  // who asks again at once holds nobody up
  while (!condition()) {
    if (stopped_ || std::chrono::steady_clock::now() >= deadline) co_return false;
    co_await waiters_.wait_until(deadline);
  }
  co_return true;
}

void Supervisor::note_change() { waiters_.wake(); }

void Supervisor::on_engine_event(const sandbox::ContainerEvent& event) {
  const auto name = AgentName::parse(label_of(event.labels, sandbox::kAgentLabel));
  const RunId run = labelled_run(event.labels);
  if (!name) return;
  switch (event.type) {
    case sandbox::EventType::die:
      died(*name, run, event);
      break;
    case sandbox::EventType::oom:
      world_.usage.look(*name, run);
      feed(*name, wd::OomKilled{run});
      break;
    case sandbox::EventType::destroy:
      feed(*name, wd::ContainerGone{run});
      break;
    default:
      break;
  }
}

// After an oom event a kill may have been the main process's end for memory, or a child's: only an inspect
// tells. It is asked only then, because the engine answers it once it has torn the container down.
void Supervisor::died(const AgentName& name, RunId run, const sandbox::ContainerEvent& event) {
  const int code = event.exit_code.value_or(0);
  const Entry* entry = find(name.str());
  const bool for_memory = code == kKilled && entry != nullptr && entry->agent.live.oom_child;
  if (!for_memory) {
    feed(name, wd::ContainerDied{run, code, false});
    return;
  }
  spawn_logged(world_.io, "inspect", world_.engine.inspect(event.container_id),
               [this, name, run, code,
                guard = std::weak_ptr<int>(alive_)](const Result<sandbox::ContainerDetails>& details) {
                 if (!guard.expired())
                   feed(name, wd::ContainerDied{run, code, details && details->oom_killed});
               });
}

void Supervisor::on_engine_connected() {
  if (!engine_reachable_) world_.events.add("", "engine_back", "the container engine answers");
  engine_reachable_ = true;
  feed_all_at(agents::Place::sandbox, wd::EngineBack{});
  request_look();
}

void Supervisor::on_engine_lost(const Error& error) {
  engine_reachable_ = false;
  world_.notifier.tell("engine_lost", "", describe(error));
  feed_all_at(agents::Place::sandbox, wd::EngineLost{});
}

void Supervisor::on_host_end(const host::RunIdentity& identity, int exit_code) {
  const auto name = AgentName::parse(identity.agent);
  if (name && identity.owner == world_.journal.owner())
    feed(*name, wd::ContainerDied{identity.run, exit_code, false});
}

void Supervisor::on_tmux_event(const tmux::Event& event) {
  const auto lost = [this](const std::string& session) {
    const Entry* entry = find(agent_of_session(session));
    if (entry != nullptr) feed(entry->agent.name, wd::PaneLost{entry->agent.run});
  };
  if (const auto* changed = std::get_if<tmux::PaneChanged>(&event)) {
    pane_seen(changed->pane);
    if (changed->pane.dead) lost(changed->pane.session);
  } else if (const auto* gone = std::get_if<tmux::PaneGone>(&event)) {
    if (world_.panes.gone(gone->session, gone->id)) lost(gone->session);
  } else if (const auto* server_lost = std::get_if<tmux::ServerLost>(&event)) {
    world_.panes.all_gone();
    world_.events.add("", "tmux_lost", server_lost->reason);
  } else if (const auto* back = std::get_if<tmux::ServerBack>(&event)) {
    world_.events.add("", "tmux_back",
                      back->fresh ? "a new server: panes are opened again" : "the server answers");
    request_look();  // at panes that showed nothing new meanwhile, or went
    if (!back->fresh) return;
    for (auto& [name, entry] : entries_) feed(entry->agent.name, wd::PaneLost{entry->agent.run});
  }
}

void Supervisor::request_look() {
  look_wanted_ = true;
  if (looking_ || stopped_) return;
  looking_ = true;
  spawn_logged(world_.io, "look", look_loop());
}

boost::asio::awaitable<void> Supervisor::look_loop() {
  const std::weak_ptr<int> guard = alive_;
  const Finally over(guard, [this] { looking_ = false; });
  while (look_wanted_) {
    look_wanted_ = false;
    // The host first: an engine that hangs holds nobody up but its own.
    const WallTime begun = world_.clock.now();
    bool whole = true;
    for (const agents::Place place : {agents::Place::host, agents::Place::sandbox}) {
      std::map<std::string, std::uint64_t> epochs;
      for (const auto& [name, entry] : entries_) {
        if (entry->spec.place == place) epochs[name] = entry->agent.epoch;
      }
      const Sight sight = co_await look(place);
      if (guard.expired()) co_return;
      look_done(sight, epochs);
      whole = whole && (epochs.empty() || (sight.runs && sight.panes));
    }
    if (whole && deaths_.verified(begun)) starts_go_on();
  }
}

// What cannot be asked is logged and left out.
boost::asio::awaitable<Sight> Supervisor::look(agents::Place place) {
  Sight sight{.place = place};
  auto& tmux = world_.tmux;
  const bool has_agents =
      std::ranges::any_of(entries_, [&](const auto& item) { return item.second->spec.place == place; });
  auto runs = co_await look_at_runs({world_.engine, world_.host, world_.journal.owner()}, place);
  if (!runs) log_error(runs.error());
  if (runs) sight.runs = std::move(*runs);
  if (!has_agents) co_return sight;
  auto panes = co_await look_at_panes(tmux);
  if (!panes) log_error(panes.error());
  if (panes) sight.panes = std::move(*panes);
  co_return sight;
}

void Supervisor::look_done(const Sight& sight, const std::map<std::string, std::uint64_t>& epochs) {
  if (sight.place == agents::Place::sandbox && sight.runs) engine_reachable_ = true;
  for (const auto& [name, pane] : sight.panes.value_or(PanesSeen{})) pane_seen(pane);
  if (!sight.runs) return;
  for (const auto& [name, epoch] : epochs) {
    Entry* entry = find(name);
    if (entry == nullptr) continue;
    wd::Observed observed = observed_of(sight, name, epoch);
    if (served(entry->spec)) observed.pane = wd::PaneState::live;  // it has none, and none is missing
    feed(entry->agent.name, observed);
  }
  for (const auto& [name, entry] : entries_) {
    if (entry->agent.phase == wd::Phase::up && entry->spec.place == sight.place)
      look_at_usage(*entry, entry->agent.run);
  }
  reap_orphans(sight);
  admit();
}

void Supervisor::starts_go_on() {
  world_.events.add("", "verified", "engine and tmux answer: starts go on");
  admit();
}

// What is of no agent, or of one that runs elsewhere now.
void Supervisor::reap_orphans(const Sight& sight) {
  const WallTime now = world_.clock.now();
  std::map<std::string, WallTime> still;
  for (const auto& [name, runs] : sight.runs->of) {
    const Entry* entry = find(name);
    if (entry != nullptr && entry->spec.place == sight.place) continue;
    for (const wd::ContainerSeen& run : runs) {
      const auto& known = orphans_[sight.place];
      const auto before = known.find(run.container_id);
      const WallTime since = before == known.end() ? now : before->second;
      still[run.container_id] = since;
      if (now - since < kOrphanGrace) continue;
      world_.events.add(name, "reaped",
                        fmt::format("{} belongs to no agent", run.container_id.substr(0, 12)));
      spawn_logged(world_.io, "reap", world_.effects.remove_stray(run.container_id),
                   [](const Result<>& done) {
                     if (!done) log_error(done.error());
                   });
    }
  }
  orphans_[sight.place] = std::move(still);
}

// A run on the host needs no look: its holder counts what it used.
void Supervisor::look_at_usage(const Entry& entry, RunId run) {
  if (entry.spec.place == agents::Place::sandbox) world_.usage.look(entry.agent.name, run);
}

boost::asio::awaitable<void> Supervisor::relist_loop() {
  const std::weak_ptr<int> guard = alive_;
  while (!guard.expired()) {
    boost::system::error_code ec;
    relist_timer_.expires_after(world_.config.watchdog.relist);
    co_await relist_timer_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    if (ec || guard.expired()) co_return;
    look_at_disk();
    request_look();
  }
}

void Supervisor::look_at_disk() {
  std::error_code ec;
  const auto space = std::filesystem::space(world_.home.root, ec);
  if (!ec) tell_disk(disk_.looked(space.available, world_.clock.now()));
}

void Supervisor::tell_disk(const std::optional<std::string>& news) {
  if (news) world_.notifier.tell("disk_full", "", *news);
}

}  // namespace agentmesh::daemon
