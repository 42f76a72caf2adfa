#include "daemon/daemon.h"

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/spawn_logged.h"
#include "base/steady_clock.h"
#include "base/text.h"
#include "daemon/control_api.h"
#include "daemon/crash_report.h"
#include "daemon/policy_answer.h"
#include "hub/server.h"
#include "sandbox/docker_engine.h"
#include "sandbox/engine_socket.h"
#include "tmux/control_tmux.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;
namespace wd = agentmesh::watchdog;

constexpr std::size_t kCrashEvents = 20;
constexpr Millis kStartOver{60'000};  // the start is over: engine and tmux were looked at, agents adopted

// This daemon at the hub: host name, user and home, so that two daemons of one host are two.
std::string host_identity(const Home& home) {
  return fmt::format("{}:{}:{}", host_name(), ::geteuid(), sha256_hex(home.root.string()).substr(0, 8));
}

// The embedded hub and the key to it, or the remote one's.
struct HubPart {
  std::unique_ptr<hub::Store> store;
  std::unique_ptr<hub::HubServer> server;
  std::string url;
  Secret key;
};

Result<HubPart> open_hub(asio::io_context& io, const Clock& clock, const config::Config& config,
                         const Home& home) {
  HubPart part;
  if (!config.hub.url.empty()) {
    auto key = resolve_secret(config.hub.key);
    if (!key)
      return pass(
          Error{key.error().code, "hub", key.error().what, "set the hub's key: [hub] key in config.toml"});
    part.url = config.hub.url;
    part.key = std::move(*key);
    return part;
  }
  const auto listen = parse_listen(config.hub.listen);
  if (!listen) return pass(listen.error());
  auto store = hub::open_sqlite_store(home.hub_db().string());
  if (!store) return pass(store.error());
  part.store = std::move(*store);
  auto key = hub::ensure_admin_key(*part.store, home.hub_key(), clock.now());
  if (!key) return pass(key.error());
  part.key = std::move(*key);
  part.server = std::make_unique<hub::HubServer>(
      io, *part.store, clock, hub::HubOptions{.address = listen->first, .port = listen->second});
  const auto port = part.server->start();
  if (!port) return pass(port.error());
  part.url = fmt::format("http://{}:{}", listen->first, *port);
  return part;
}

// Without the blanks that pad a terminal's lines.
std::string tidy(const std::string& screen) {
  std::string text;
  for (std::string_view line : split(screen, '\n')) {
    const std::size_t end = line.find_last_not_of(" \t");
    text.append(line.substr(0, end == std::string_view::npos ? 0 : end + 1));
    text += '\n';
  }
  if (!text.empty()) text.pop_back();
  return text;
}

class Daemon {
 public:
  Daemon(asio::io_context& io, const Clock& clock, const config::Config& config, const Home& home,
         Journal journal, HubPart hub_part, std::string engine_socket)
      : io_(io),
        clock_(clock),
        config_(config),
        home_(home),
        journal_(std::move(journal)),
        hub_part_(std::move(hub_part)),
        engine_socket_(std::move(engine_socket)),
        http_(io.get_executor()),
        engine_(http_, {.socket = engine_socket_, .deadline = config.engine.deadline}),
        policy_(sandbox::host_facts(home.root.string(), config.sandbox.allow_mounts)),
        tmux_(io.get_executor(), {.socket = config.tmux.socket, .owner = home.root.string()},
              [this](const tmux::Event& event) { on_tmux(event); }),
        deliverer_(tmux_, io.get_executor()),
        events_(journal_, clock),
        notifier_(io, clock, config.notify, events_, tmux_, http_, {}),
        host_(
            io.get_executor(), http_,
            {.folder = home.host_runs(), .program = own_program().string(), .owner = journal_.owner()},
            [this](const host::RunIdentity& run, int exit_code) { supervisor_.on_host_end(run, exit_code); }),
        effects_({engine_, engine_socket_, host_, policy_, config, home, offload_, journal_.owner()}),
        panes_(io.get_executor(), tmux_, home, {.program = own_program().string()}),
        prober_(find_process(engine_, host_), clock, offload_, {}),
        usage_(io, engine_, clock, {}),
        client_(hub::make_hub_client(
            io, http_, {.url = hub_part_.url, .key = hub_part_.key, .host = host_identity(home)})),
        hub_(io, *client_, journal_, events_, clock, host_identity(home)),
        supervisor_(World{io, clock, config, home, journal_, events_, notifier_, engine_, host_, tmux_, http_,
                          effects_, panes_, prober_, usage_, offload_},
                    hooks()),
        mailbox_(io, {supervisor_, journal_, events_, notifier_, deliverer_, panes_, config, clock},
                 [this](const hub::ItemReport& report) { hub_.report(report); }),
        answering_({supervisor_, events_, tmux_, deliverer_, panes_, clock}),
        policy_answer_({supervisor_, events_, notifier_,
                        [this](AgentName agent, Answer asked) { return answering_.answer(agent, asked); }},
                       {}),
        feed_(io.get_executor(), http_, {.socket = engine_socket_, .owner = journal_.owner()},
              feed_handlers()),
        control_parts_{io_,         clock_,         config_,    home_, journal_,      events_,
                       engine_,     engine_socket_, policy_,    tmux_, effects_,      panes_,
                       supervisor_, mailbox_,       answering_, hub_,  hub_part_.url, [this] { stop(); }},
        control_(io, control_routes(control_parts_), control_limits()) {}

  Result<void> start() {
    if (auto listening = control_.listen_unix(home_.socket().string()); !listening) return listening;
    if (auto loaded = supervisor_.load(); !loaded) return loaded;
    if (auto loaded = mailbox_.load(); !loaded) return loaded;
    feed_.start();
    supervisor_.run();
    hub_.start(supervisor_, mailbox_);
    events_.add("", "daemon_started", fmt::format("version {} pid {}", AGENTMESH_VERSION, ::getpid()));
    return {};
  }

  void stop() {
    if (stopping_) return;
    stopping_ = true;
    events_.add("", "daemon_stopped", "agents go on");
    hub_.stop();
    policy_answer_.stop();
    notifier_.stop();
    feed_.stop();
    supervisor_.stop();
    control_.stop();
    if (hub_part_.server) hub_part_.server->stop();
    spawn_logged(io_, "stop", end());
  }

 private:
  asio::awaitable<void> end() {
    co_await control_.stopped();
    io_.stop();
  }

  static net::ServerLimits control_limits() {
    net::ServerLimits limits;
    limits.per_peer = 1'000;
    limits.total = 1'000;
    limits.stop_grace = Millis{1'000};
    return limits;
  }

  SupervisorHooks hooks() {
    SupervisorHooks hooks;
    hooks.changed = [this](Entry& entry) {
      hub_.changed(entry);
      mailbox_.pump(entry.agent.name);
    };
    hooks.signalled = [this](Entry& entry, const agents::Signal& signal) {
      if (signal.kind == agents::SignalKind::turn_ended) mailbox_.turn_ended(entry.agent.name, signal.at);
      if (signal.kind == agents::SignalKind::turn_failed)
        mailbox_.turn_failed(entry.agent.name, signal.detail, signal.at);
    };
    hooks.nudge = [this](Entry& entry, const wd::Nudge& nudge) { mailbox_.nudge(entry.agent.name, nudge); };
    hooks.answer = [this](Entry& entry, const wd::Answer& asked) {
      spawn_logged(io_, "permission", answer(entry.agent.name, asked));
    };
    hooks.report = [this](Entry& entry, wd::WriteCrashReport asked) {
      return report(entry, std::move(asked));
    };
    return hooks;
  }

  sandbox::EventsHandlers feed_handlers() {
    return {[this](const sandbox::ContainerEvent& event) { supervisor_.on_engine_event(event); },
            [this] { supervisor_.on_engine_connected(); },
            [this](const Error& error) { supervisor_.on_engine_lost(error); }};
  }

  void on_tmux(const tmux::Event& event) {
    if (!stopping_) supervisor_.on_tmux_event(event);
  }

  // The pane still shows the last screen (it is kept until the report is written); without one, what the
  // engine or the run's holder kept.
  asio::awaitable<std::string> last_text(RunPlace run) {
    const int lines = static_cast<int>(config_.crash.lines);
    if (auto text = co_await panes_.text(run.agent, lines); text && !trim(text->text).empty())
      co_return tidy(text->text);
    const auto log = co_await effects_.logs(run, static_cast<std::uint32_t>(lines));
    co_return log ? plain_text(*log) : "(no terminal text: " + describe(log.error()) + ")";
  }

  // Posted: never inside the step that asked.
  asio::awaitable<void> answer(AgentName agent, wd::Answer asked) {
    co_await asio::post(io_, asio::use_awaitable);
    co_await policy_answer_.run(agent, std::move(asked));
  }

  std::optional<Usage> used_by(const Entry& entry, RunId run) const {
    if (entry.spec.place == agents::Place::sandbox) return usage_.of(entry.agent.name, run);
    const auto end = host_.end_of(host_.id_of(entry.agent.name, run));
    if (!end) return std::nullopt;
    return Usage{end->use.peak_memory_bytes, end->use.cpu, end->at};
  }

  asio::awaitable<void> report(Entry& entry, wd::WriteCrashReport asked) {
    const AgentName agent = entry.agent.name;
    CrashReport crash{.at = clock_.now(),
                      .agent = agent.str(),
                      .agent_id = entry.agent_id,
                      .asked = asked,
                      .started_at = entry.agent.started_at,
                      .container_id = entry.agent.container_id,
                      .spec = entry.spec,
                      .usage = used_by(entry, asked.run),
                      .assignments = assignments_of(mailbox_.open_items(agent))};
    const RunStage created = crash.container_id.empty() ? RunStage::create : RunStage::launch;
    crash.stage = stage_of(asked.exit.reason, entry.up_run == asked.run ? RunStage::run : created);
    if (auto events = journal_.last_events_of(agent.str(), kCrashEvents)) crash.events = std::move(*events);
    crash.terminal = co_await last_text(run_of(entry, asked.run));
    if (entry.spec.place == agents::Place::sandbox) {
      if (const auto details = co_await engine_.inspect(container_name(agent, asked.run)))
        crash.image_id = details->image_id;
    }
    const nlohmann::json report = to_json(crash);
    const auto added = journal_.add_crash({agent.str(), asked.run.value, dump_json(report)}, crash.at);
    if (!added) log_error(added.error());
    if (added && !*added) co_return;
    if (auto wrote = append_crash_log(home_.crash_log(agent), crash_text(report), config_.crash); !wrote)
      log_error(wrote.error());
  }

  asio::io_context& io_;
  const Clock& clock_;
  const config::Config& config_;
  const Home& home_;
  Journal journal_;
  HubPart hub_part_;
  std::string engine_socket_;
  net::HttpClient http_;
  sandbox::DockerEngine engine_;
  sandbox::MountPolicy policy_;
  tmux::ControlTmux tmux_;
  tmux::Deliverer deliverer_;
  EventLog events_;
  Notifier notifier_;
  host::Runs host_;
  Offload offload_;
  Effects effects_;
  Panes panes_;
  Prober prober_;
  UsageWatch usage_;
  std::unique_ptr<hub::HubClient> client_;
  HubLink hub_;
  Supervisor supervisor_;
  Mailbox mailbox_;
  Answering answering_;
  PolicyAnswer policy_answer_;
  sandbox::EventsFeed feed_;
  ControlParts control_parts_;
  net::HttpServer control_;
  bool stopping_ = false;
};

Result<void> run(const config::Config& config, const Home& home) {
  asio::io_context io(1);
  const SteadyClock clock;
  const auto lock = lock_file(home.lock());
  if (!lock && lock.error().code != ErrorCode::conflict) return pass(lock.error());
  if (!lock) {
    return fail(lock.error().code, "daemon", "another daemon runs with this home",
                "agentmesh status, or agentmesh down");
  }
  auto journal = Journal::open(home.state_db());
  if (!journal) return pass(journal.error());
  const auto socket = engine_socket(config);
  if (!socket) return pass(socket.error());
  auto hub_part = open_hub(io, clock, config, home);
  if (!hub_part) return pass(hub_part.error());
  Daemon daemon(io, clock, config, home, std::move(*journal), std::move(*hub_part), *socket);
  if (auto started = daemon.start(); !started) return started;
  asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&](boost::system::error_code ec, int) {
    if (!ec) daemon.stop();
  });
  asio::steady_timer start_over(io, kStartOver);
  start_over.async_wait([](boost::system::error_code ec) {
    if (!ec) release_start_memory();
  });
  io.run();
  return {};
}

}  // namespace

Result<std::string> engine_socket(const config::Config& config) {
  if (!config.engine.socket.empty()) return config.engine.socket;
  return sandbox::find_engine_socket(sandbox::this_host());
}

Result<std::pair<std::string, std::uint16_t>> parse_listen(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const auto port =
      colon == std::string::npos ? std::nullopt : whole_number<std::uint16_t>(text.substr(colon + 1));
  if (!port) return fail(ErrorCode::invalid, "config", fmt::format("'{}' is not ADDRESS:PORT", text));
  return std::pair(text.substr(0, colon), *port);
}

int run_daemon(const config::Config& config, const Home& home) {
  ::prctl(PR_SET_DUMPABLE, 0);
  ::umask(0077);
  if (auto prepared = prepare_home(home); !prepared) {
    fmt::print(stderr, "agentmesh: {}\n", describe(prepared.error()));
    return exit_code_of(prepared.error().code);
  }
  const auto level = parse_log_level(config.daemon.log_level);
  if (auto logging = log_to_file(home.daemon_log(), level.value_or(LogLevel::info)); !logging) {
    log_to_stderr(LogLevel::info);
    log_error(logging.error());
  }
  const auto done = run(config, home);
  if (done) return 0;
  log_error(done.error());
  fmt::print(stderr, "agentmesh: {}\n", describe(done.error()));
  return exit_code_of(done.error().code);
}

}  // namespace agentmesh::daemon
