#pragma once
// Feeds the watchdog and performs what it asks; nothing clever. One Entry per agent; every event of engine,
// tmux, runner, hub, person and clock ends in feed(), and feed() alone changes an agent. It owns the agents'
// links and timers. Everything runs on the one thread of the io_context.

#include "agents/adapter.h"
#include "agents/throttle.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/offload.h"
#include "base/task.h"
#include "base/waiters.h"
#include "config/config.h"
#include "daemon/disk_reserve.h"
#include "daemon/disk_watch.h"
#include "daemon/effects.h"
#include "daemon/event_log.h"
#include "daemon/home.h"
#include "daemon/journal.h"
#include "daemon/loop_watch.h"
#include "daemon/notifier.h"
#include "daemon/observer.h"
#include "daemon/panes.h"
#include "daemon/probe.h"
#include "daemon/status_log.h"
#include "daemon/usage.h"
#include "net/http_client.h"
#include "sandbox/events_feed.h"
#include "tmux/tmux.h"
#include "watchdog/admission.h"
#include "watchdog/step.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace agentmesh::daemon {

constexpr Millis kOrphanGrace{5 * 60'000};  // a container of ours without a row is removed after this

// The outside world as the supervisor uses it. All of it outlives the supervisor.
struct World {
  boost::asio::io_context& io;
  const Clock& clock;
  const config::Config& config;
  const Home& home;
  Journal& journal;
  EventLog& events;
  Notifier& notifier;
  sandbox::Engine& engine;
  host::Runs& host;
  tmux::Tmux& tmux;
  net::HttpClient& http;
  Effects& effects;
  Panes& panes;
  Prober& prober;
  UsageWatch& usage;
  Offload& offload;
};

// The signal that decided the state, for `explain`.
struct DecidingSignal {
  agents::Signal signal;
  WallTime at{};
};

struct OpenPrompt {
  std::string id;  // empty: it was told without, as by a screen
  std::string detail;
  std::string source;  // of the signal
};
std::string shown(const OpenPrompt& prompt);  // "Bash: make (prompt 5f3a)"

struct Entry {
  Entry(boost::asio::io_context& io, AgentRow row, LoopWatch loop_watch);

  watchdog::Agent agent;
  AgentSpec spec;
  std::string agent_id;
  std::string session_id;
  agents::Conversation conversation;  // how the run was launched
  std::unique_ptr<agents::Link> link;
  RunId link_run;
  bool unsaved = false;       // it is being stopped, and its row could not be saved yet
  bool pane_shown = false;    // to the link: the pane is open for the link's run
  LoopWatch loops;            // of the link's run
  RunId up_run;               // the newest run that was seen up
  WallTime typed_at{};        // when we pressed keys in its pane last
  OpenPrompt prompt;          // the permission prompt that was told last
  std::uint64_t prompts = 0;  // counts prompts that opened or closed
  std::uint64_t changes = 0;  // counts signs of the runner's own doing: what proves a delivery
  std::optional<DecidingSignal> last_signal;
  agents::SignalQueue early;  // told before the engine's answer to the start; told again after it
  boost::asio::steady_timer timer;
  boost::asio::steady_timer look;  // at a picture that may have changed untold
};

// The agent's run, and where it runs.
RunPlace run_of(const Entry& entry, RunId run);

// What a capture of its pane shows, by the rules for the version that runs. Unknown without rules.
agents::ScreenReading reading_of(const Entry& entry, std::string_view picture);

// Told after an agent's row has changed; the entry is in its new state.
struct SupervisorHooks {
  std::function<void(Entry&)> changed;
  std::function<void(Entry&, const agents::Signal&)> signalled;
  // The watchdog wants this agent nudged; the answer is a NudgeResult event.
  std::function<void(Entry&, const watchdog::Nudge&)> nudge;
  // The policy answers the open permission prompt.
  std::function<void(Entry&, const watchdog::Answer&)> answer;
  std::function<boost::asio::awaitable<void>(Entry&, watchdog::WriteCrashReport)> report;
};

class Supervisor {
 public:
  Supervisor(World world, SupervisorHooks hooks);
  ~Supervisor();

  // Reads the journal; everything that was running is looked for. Errors: the journal's.
  Result<void> load();
  // The periodic relist. Runs until stop().
  void run();
  void stop();
  // Nothing changes an agent any more, and nobody may wait for it.
  bool stopped() const { return stopped_; }

  // Errors: conflict (it runs or is being started), exhausted or others of the journal.
  Result<void> start(const AgentName& name, AgentSpec spec, const std::string& agent_id);
  // Errors: not_found.
  Result<void> ask_stop(const AgentName& name, Millis timeout, watchdog::StopManner manner);
  Result<void> ask_restart(const AgentName& name, Millis timeout);

  // False when nothing happened: the agent is not known, or what it changed could not be saved.
  bool feed(const AgentName& name, const watchdog::Event& event);
  void feed_all(const watchdog::Event& event);
  void feed_all_at(agents::Place place, const watchdog::Event& event);

  Entry* find(std::string_view name);
  Entry* find_by_agent_id(std::string_view agent_id);
  std::map<std::string, std::unique_ptr<Entry>, std::less<>>& entries() { return entries_; }

  // Waits until the condition holds, checked after every change; false when the limit passes first, and at
  // once when it is stopped: who waits in a loop asks stopped() too.
  boost::asio::awaitable<bool> until(Millis limit, std::function<bool()> condition);

  void on_engine_event(const sandbox::ContainerEvent& event);
  void on_engine_connected();
  void on_engine_lost(const Error& error);
  void on_tmux_event(const tmux::Event& event);
  void on_host_end(const host::RunIdentity& identity, int exit_code);

  // Asks for one look at engine and tmux, now; several asks become one.
  void request_look();
  void note_change();

 private:
  boost::asio::awaitable<void> look_loop();
  boost::asio::awaitable<Sight> look(agents::Place place);
  void look_at_usage(const Entry& entry, RunId run);
  boost::asio::awaitable<void> relist_loop();
  void look_at_disk();
  void tell_disk(const std::optional<std::string>& news);
  void look_done(const Sight& sight, const std::map<std::string, std::uint64_t>& epochs);
  void reap_orphans(const Sight& sight);
  bool apply(Entry& entry, watchdog::Step next);
  void after_phase(Entry& entry, watchdog::Phase before);
  void mass_death(const AgentName& name, const watchdog::Mass& mass);
  void starts_go_on();
  void tell_early(Entry& entry);
  void perform(Entry& entry, const watchdog::Action& action);
  void engine_effect(Entry& entry, watchdog::Effect effect, RunId run, Task<> task);
  void create(Entry& entry, const watchdog::Create& action);
  void forget_session(Entry& entry);
  void probe(Entry& entry, const watchdog::Probe& action);
  void sync_link(Entry& entry);
  static void note_prompt(Entry& entry, const agents::Signal& signal);
  bool keep(Entry& entry, const watchdog::AgentRecord& next);
  void save_again_later();
  void show_pane(Entry& entry);
  void pane_seen(const tmux::Pane& pane);
  void picture_changed(Entry& entry, const tmux::Pane& pane);
  enum class LookIf { any, unknown };
  void look_again(Entry& entry, const tmux::PaneId& pane, WallTime when, LookIf look_if = LookIf::any);
  void look_while_unknown(Entry& entry, const tmux::PaneId& pane);
  enum class Picture { painted, again };
  void read_picture(const Entry& entry, const tmux::PaneId& pane, Picture picture);
  void on_signal(const AgentName& name, RunId run, const agents::Signal& signal);
  void arm(Entry& entry, Millis least);
  void admit();
  void admit_at(WallTime when);
  void died(const AgentName& name, RunId run, const sandbox::ContainerEvent& event);
  Secret password_of(const Entry& entry) const;
  watchdog::Policy policy_of(const Entry& entry) const;
  LoopWatch new_loop_watch() const;
  std::size_t alive() const;

  World world_;
  SupervisorHooks hooks_;
  StatusLog statuses_;
  DiskWatch disk_;
  DiskReserve reserve_;
  watchdog::HostPolicy host_policy_;
  watchdog::DeathWatch deaths_;
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> entries_;
  std::map<agents::Place, std::map<std::string, WallTime>> orphans_;  // container id, first seen
  Waiters waiters_;                                                   // in until()
  boost::asio::steady_timer relist_timer_;
  boost::asio::steady_timer slot_timer_;
  boost::asio::steady_timer look_timer_;
  bool look_wanted_ = false;
  bool looking_ = false;
  bool engine_reachable_ = false;
  bool stopped_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // expires with us: late answers are dropped
};

}  // namespace agentmesh::daemon
