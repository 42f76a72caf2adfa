#include "daemon/control_api.h"

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/doctor.h"
#include "daemon/engine_inquiry.h"
#include "daemon/host_launch.h"
#include "daemon/launch.h"
#include "daemon/loopback_port.h"
#include "sandbox/image.h"

#include <unistd.h>

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

using nlohmann::json;
namespace asio = boost::asio;
namespace wd = agentmesh::watchdog;
using net::Reply;
using net::ServerRequest;

constexpr Millis kDefaultStop{10'000};
constexpr Millis kMostStop{600'000};
constexpr Millis kStopMargin{20'000};   // for the engine to remove what has ended
constexpr Millis kStartMargin{60'000};  // create, start and pane, on a busy machine
constexpr Millis kDefaultWait{30'000};
constexpr std::int64_t kEventPage = 1000;

Reply ok(const json& body) { return Reply{.body = dump_json(body)}; }

Result<json> body_of(const ServerRequest& request) {
  if (request.body.empty()) return json::object();
  auto body = parse_json(request.body, "control");
  if (body && !body->is_object()) return fail(ErrorCode::invalid, "control", "the body must be an object");
  return body;
}

Result<Millis> duration_of(const json& body, const char* key, Millis fallback, Millis most) {
  const auto ms = json_int(body, key, fallback.count());
  if (!ms) return pass(ms.error());
  if (*ms < 0 || *ms > most.count()) {
    return fail(ErrorCode::invalid, "control",
                fmt::format("'{}' must be from 0 to {} ms", key, most.count()));
  }
  return Millis{*ms};
}

// Neither on its way up, nor between its end and what follows from it.
bool has_settled(const wd::Agent& agent) {
  const bool ending = agent.phase == wd::Phase::ended || agent.phase == wd::Phase::removing ||
                      agent.phase == wd::Phase::checking || agent.phase == wd::Phase::stopping;
  const wd::Status status = wd::status_of(agent);
  return !ending && status != wd::Status::starting && status != wd::Status::stopping;
}

// By a person, who will not see it come up.
bool is_called_off(const wd::Agent& agent) { return agent.wanted == wd::Wanted::stopped && !agent.finished; }

class Control {
 public:
  explicit Control(ControlParts& parts) : parts_(parts) { inquiry_.begin(); }

  ShowParts show() const {
    return {parts_.panes,           parts_.mailbox,    parts_.config, parts_.config.tmux.socket,
            parts_.hub.connected(), parts_.clock.now()};
  }

  Result<Entry*> entry_of(const ServerRequest& request) const {
    const auto name = AgentName::parse(request.param("name"));
    if (!name) return pass(name.error());
    if (Entry* entry = parts_.supervisor.find(name->str())) return entry;
    return fail(ErrorCode::not_found, "agent", fmt::format("no agent '{}'", name->str()),
                "agentmesh list --all");
  }

  Task<Reply> list(ServerRequest request) {
    const bool all = request.query_value("all") == "1";
    std::string agents = "[";
    const ShowParts parts = show();
    for (const auto& [name, entry] : parts_.supervisor.entries()) {
      const bool stopped = wd::status_of(entry->agent) == wd::Status::stopped;
      if (!all && stopped) continue;
      if (agents.size() > 1) agents += ',';
      agents += agent_json(*entry, parts);
    }
    co_return Reply{.body = agents + "]"};
  }

  Task<Reply> one(ServerRequest request) {
    const auto entry = entry_of(request);
    if (!entry) co_return pass(entry.error());
    co_return Reply{.body = agent_json(**entry, show())};
  }

  Task<Reply> explain(ServerRequest request) {
    const auto entry = entry_of(request);
    if (!entry) co_return pass(entry.error());
    co_return ok(explain_json(**entry, parts_.clock.now()));
  }

  Task<Reply> status(ServerRequest) {
    const auto [version, info] = co_await inquiry_.facts();
    json by_status = json::object();
    for (const auto& [name, entry] : parts_.supervisor.entries()) {
      auto& count = by_status[std::string(wd::to_string(wd::status_of(entry->agent)))];
      count = count.is_null() ? 1 : count.get<int>() + 1;
    }
    const auto tmux = co_await parts_.tmux.ensure();
    co_return ok(json{
        {"daemon",
         {{"pid", ::getpid()},
          {"version", AGENTMESH_VERSION},
          {"uptime_s", (parts_.clock.now() - started_).count() / 1000},
          {"rss_bytes", resident_bytes()},
          {"home", parts_.home.root.string()}}},
        {"engine",
         {{"reachable", version.has_value()},
          {"socket", parts_.engine_socket},
          {"version", version ? json(version->version) : json(nullptr)},
          {"api", version ? json(version->api) : json(nullptr)},
          {"live_restore", info ? json(info->live_restore) : json(nullptr)},
          {"cgroup", info ? json(info->cgroup_version) : json(nullptr)}}},
        {"tmux",
         {{"socket", parts_.config.tmux.socket},
          {"server_pid", tmux ? json(tmux->pid) : json(nullptr)},
          {"version", tmux ? json(tmux->version) : json(nullptr)}}},
        {"hub",
         {{"url", parts_.hub_url},
          {"embedded", parts_.config.hub.url.empty()},
          {"connected", parts_.hub.connected()}}},
        {"agents", {{"total", parts_.supervisor.entries().size()}, {"by_status", std::move(by_status)}}},
    });
  }

  Task<Reply> start(ServerRequest request) {
    const auto body = body_of(request);
    if (!body) co_return pass(body.error());
    const auto name_text = json_string(*body, "name", "");
    if (!name_text) co_return pass(name_text.error());
    const auto name = AgentName::parse(*name_text);
    if (!name) co_return pass(name.error());
    const auto settings = settings_from_json(body->value("settings", json::object()));
    if (!settings) co_return pass(settings.error());
    const auto here = json_string(*body, "current_folder", "");
    if (!here) co_return pass(here.error());
    auto spec = resolve_spec(parts_.config, name->str(), *settings, *here);
    if (!spec) co_return pass(spec.error());
    if (auto fit = co_await check(*name, *spec); !fit) co_return pass(fit.error());
    const std::string agent_id = co_await parts_.hub.id_for(*name, *spec);
    if (auto begun = parts_.supervisor.start(*name, std::move(*spec), agent_id); !begun)
      co_return pass(begun.error());
    co_return co_await started(*name);
  }

  // Everything that can be said before anything is done: paths, limits, engine, image, tmux.
  Task<> check(const AgentName& name, AgentSpec& spec) {
    const bool on_host = spec.place == agents::Place::host;
    auto fits = on_host ? check_host(name, spec) : co_await check_sandbox(name, spec);
    if (!fits) co_return fits;
    if (auto up = co_await parts_.tmux.ensure(); !up) co_return pass(up.error());
    co_return Result<void>{};
  }

  static Result<> check_host(const AgentName& name, AgentSpec& spec) {
    const auto workdir = check_host_launch(spec, name);
    if (!workdir) return pass(workdir.error());
    spec.workdir = *workdir;
    return {};
  }

  Task<> check_sandbox(const AgentName& name, AgentSpec& spec) {
    if (auto alive = co_await parts_.engine.ping(); !alive) co_return pass(alive.error());
    const auto host = co_await parts_.effects.capacity();
    const auto workspace = check_launch(spec, name, parts_.policy, host);
    if (!workspace) co_return pass(workspace.error());
    spec.workdir = workspace->path;
    if (auto free = port_is_free(name, spec); !free) co_return free;
    if (auto image = co_await sandbox::resolve_image(parts_.engine, spec.image); !image)
      co_return pass(image.error());
    co_return Result<void>{};
  }

  // An agent's own run may hold its port: then it runs already, and that is what is said.
  Result<void> port_is_free(const AgentName& name, const AgentSpec& spec) const {
    if (!served(spec)) return {};
    const std::string cure = "name another with --serve-port";
    for (const auto& [other, entry] : parts_.supervisor.entries()) {
      const bool same =
          entry->spec.serve_port == spec.serve_port && entry->agent.wanted == wd::Wanted::running;
      if (same && other == name.str()) return {};
      if (same)
        return fail(ErrorCode::conflict, "start",
                    fmt::format("port {} is that of {}", spec.serve_port, other), cure);
    }
    if (loopback_port_is_free(spec.serve_port)) return {};
    return fail(ErrorCode::conflict, "start", fmt::format("port {} of 127.0.0.1 is taken", spec.serve_port),
                cure);
  }

  // True when it holds of the agent within the limit, or the agent was stopped meanwhile.
  asio::awaitable<bool> comes_to(AgentName name, Millis limit, std::function<bool(const wd::Agent&)> holds) {
    co_return co_await parts_.supervisor.until(limit, [this, name, holds] {
      const Entry* now = parts_.supervisor.find(name.str());
      return now == nullptr || is_called_off(now->agent) || holds(now->agent);
    });
  }

  // Waits until the agent is ready, or says why it is not.
  Task<Reply> started(AgentName name) {
    const Entry* entry = parts_.supervisor.find(name.str());
    const auto adapter = agents::find_adapter(entry->spec.runner);
    const Millis own = adapter ? (*adapter)->facts().ready_limit : kDefaultWait;
    const Millis limit = parts_.config.watchdog.ready_limit.value_or(own) + kStartMargin;
    const bool settled = co_await comes_to(name, limit, has_settled);
    entry = parts_.supervisor.find(name.str());
    const auto status = wd::status_of(entry->agent);
    if (is_called_off(entry->agent)) {
      co_return fail(ErrorCode::conflict, "start", fmt::format("{} was stopped meanwhile", name.str()),
                     fmt::format("agentmesh start {}", name.str()));
    }
    if (!settled) {
      co_return fail(ErrorCode::timeout, "start",
                     fmt::format("{} is not ready yet: {}", name.str(), entry->agent.reason),
                     fmt::format("agentmesh attach {}", name.str()));
    }
    const bool down = status == wd::Status::failed || status == wd::Status::restarting;
    if (!down) co_return Reply{.body = agent_json(*entry, show())};
    co_return fail(ErrorCode::internal, "start",
                   fmt::format("{} is {}: {}", name.str(), wd::to_string(status),
                               entry->agent.reason.empty() ? entry->agent.exit.text : entry->agent.reason),
                   fmt::format("agentmesh crashes {} --last", name.str()));
  }

  Task<Reply> stop(ServerRequest request) {
    const auto body = body_of(request);
    if (!body) co_return pass(body.error());
    const auto entry = entry_of(request);
    if (!entry) co_return pass(entry.error());
    const auto timeout = duration_of(*body, "timeout_ms", kDefaultStop, kMostStop);
    if (!timeout) co_return pass(timeout.error());
    const auto force = json_bool(*body, "force", false);
    if (!force) co_return pass(force.error());
    const AgentName name = (*entry)->agent.name;
    const auto manner = *force ? wd::StopManner::force : wd::StopManner::graceful;
    if (auto asked = parts_.supervisor.ask_stop(name, *timeout, manner); !asked)
      co_return pass(asked.error());
    if (!co_await gone(name, *timeout + kStopMargin)) {
      co_return fail(ErrorCode::timeout, "stop", fmt::format("{} is still stopping", name.str()),
                     "it will be stopped as soon as the engine answers");
    }
    co_return Reply{.body = agent_json(**entry, show())};
  }

  asio::awaitable<bool> gone(AgentName name, Millis limit) {
    co_return co_await parts_.supervisor.until(limit, [this, name] {
      const Entry* entry = parts_.supervisor.find(name.str());
      return entry == nullptr || (entry->agent.phase == wd::Phase::absent && !parts_.panes.pane_of(name));
    });
  }

  Task<Reply> restart(ServerRequest request) {
    const auto entry = entry_of(request);
    if (!entry) co_return pass(entry.error());
    const AgentName name = (*entry)->agent.name;
    const RunId before = (*entry)->agent.run;
    if (auto asked = parts_.supervisor.ask_restart(name, kDefaultStop); !asked) co_return pass(asked.error());
    co_await comes_to(name, kDefaultStop + kStopMargin, [before](const wd::Agent& agent) {
      return agent.run != before || agent.phase == wd::Phase::failed;
    });
    co_await comes_to(name, kStartMargin,
                      [](const wd::Agent& agent) { return wd::status_of(agent) != wd::Status::restarting; });
    co_return co_await started(name);
  }

  Task<Reply> nudge(ServerRequest request) {
    const auto body = body_of(request);
    if (!body) co_return pass(body.error());
    const auto entry = entry_of(request);
    if (!entry) co_return pass(entry.error());
    const auto text = json_string(*body, "message", parts_.config.watchdog.nudge_text);
    if (!text) co_return pass(text.error());
    const auto wait = duration_of(*body, "wait_ms", kDefaultWait, kMostStop);
    if (!wait) co_return pass(wait.error());
    const auto defer = json_bool(*body, "defer", false);
    if (!defer) co_return pass(defer.error());
    const AgentName name = (*entry)->agent.name;
    if (auto allowed = parts_.mailbox.check(name, *text); !allowed) co_return pass(allowed.error());
    if (*defer) {
      if (auto queued = parts_.mailbox.defer(name, *text); !queued) co_return pass(queued.error());
      co_return ok(json{{"result", "queued"}, {"why", nullptr}});
    }
    const Sent sent = co_await parts_.mailbox.send(name, *text, *wait);
    co_return ok(json{{"result", agents::to_string(sent.result)},
                      {"why", sent.why.empty() ? json(nullptr) : json(sent.why)}});
  }

  Task<Reply> permission(ServerRequest request) {
    const auto body = body_of(request);
    if (!body) co_return pass(body.error());
    const auto entry = entry_of(request);
    if (!entry) co_return pass(entry.error());
    const auto answer = json_string(*body, "answer", "");
    const auto reason = json_string(*body, "reason", "");
    const auto prompt = json_string(*body, "prompt", "");
    const auto yes = json_bool(*body, "yes", false);
    if (!answer || !reason || !prompt || !yes || (*answer != "allow" && *answer != "deny")) {
      co_return fail(ErrorCode::invalid, "permission", "'answer' must be allow or deny");
    }
    const AgentName name = (*entry)->agent.name;
    const auto verdict =
        *answer == "allow" ? agents::PermissionAnswer::allow_once : agents::PermissionAnswer::deny;
    const auto which = prompt->empty() ? std::nullopt : std::optional(*prompt);
    const auto done =
        co_await parts_.answering.answer(name, {.verdict = verdict,
                                                .reason = *reason,
                                                .prompt = which,
                                                .if_cut = *yes ? IfCut::answer : IfCut::refuse});
    if (!done) co_return pass(done.error());
    co_return ok(json{{"agent", name.str()},
                      {"answer", *answer},
                      {"prompt", done->id.empty() ? json(nullptr) : json(done->id)},
                      {"detail", done->detail.empty() ? json(nullptr) : json(done->detail)}});
  }

  // The pane's picture; of a server, which has none, what it printed.
  Task<PaneText> text_of(const Entry& entry, int lines) {
    if (!served(entry.spec)) {
      auto shown = co_await parts_.panes.text(entry.agent.name, lines);
      if (shown && !shown->run && entry.agent.live.pane_open) shown->run = entry.agent.run;
      co_return shown;
    }
    const RunId run = entry.agent.run;
    const auto log = co_await parts_.engine.logs(container_name(entry.agent.name, run),
                                                 {.tail_lines = static_cast<std::uint32_t>(lines)});
    if (!log) co_return pass(log.error());
    co_return PaneText{std::string(trim(plain_text(*log))), run};
  }

  Task<Reply> logs(ServerRequest request) {
    const auto entry = entry_of(request);
    if (!entry) co_return pass(entry.error());
    const std::string tail = request.query_value("tail").value_or("200");
    const auto lines = whole_number<int>(tail, 1, tmux::kMaxCaptureLines);
    if (!lines) {
      co_return fail(ErrorCode::invalid, "logs",
                     fmt::format("'{}' is not a number of lines from 1 to {}", tail, tmux::kMaxCaptureLines));
    }
    const auto shown = co_await text_of(**entry, *lines);
    if (!shown && shown.error().code == ErrorCode::not_found) {
      co_return fail(ErrorCode::not_found, "logs",
                     fmt::format("{} has no terminal now", (*entry)->agent.name.str()),
                     fmt::format("agentmesh crashes {}", (*entry)->agent.name.str()));
    }
    if (!shown) co_return pass(shown.error());
    co_return ok(json{{"agent", (*entry)->agent.name.str()},
                      {"run", shown->run ? json(shown->run->value) : json(nullptr)},
                      {"text", shown->text}});
  }

  Task<Reply> crashes(ServerRequest request) {
    const std::string agent = request.query_value("agent").value_or("");
    if (!agent.empty() && parts_.supervisor.find(agent) == nullptr) {
      co_return fail(ErrorCode::not_found, "crashes", fmt::format("no agent '{}'", agent),
                     "agentmesh list --all");
    }
    const auto rows = parts_.journal.crashes(agent, request.query_value("last") == "1" ? 1 : kKeptCrashes);
    if (!rows) co_return pass(rows.error());
    json reports = json::array();
    for (const CrashRow& row : *rows) reports.push_back(json::parse(row.report, nullptr, false));
    co_return ok(reports);
  }

  Task<> events(ServerRequest request, std::shared_ptr<net::ReplyStream> stream) {
    std::int64_t seq = 0;
    const auto since = request.query_value("since");
    const auto from = since ? from_rfc3339(*since) : std::nullopt;
    if (since && !from)
      co_return fail(ErrorCode::invalid, "events", fmt::format("'{}' is not an RFC 3339 time", *since));
    // What happens while the kept ones are read is read with them: each once and in order.
    const auto caught_up = std::make_shared<bool>(false);
    std::shared_ptr<void> listening;
    if (request.query_value("follow") == "1") {
      listening = parts_.events.listen([stream, caught_up](const EventRow& row) {
        if (*caught_up) (void)stream->send(dump_json(event_json(row)) + "\n");
      });
    }
    while (true) {
      const auto rows = parts_.journal.events_after(seq, kEventPage);
      if (!rows) co_return pass(rows.error());
      for (const EventRow& row : *rows) {
        seq = row.seq;
        if (from && row.at < *from) continue;
        if (auto sent = stream->send(dump_json(event_json(row)) + "\n"); !sent) co_return pass(sent.error());
      }
      if (static_cast<std::int64_t>(rows->size()) < kEventPage) break;
      if (auto flushed = co_await stream->flush(); !flushed) co_return pass(flushed.error());
    }
    *caught_up = true;
    if (listening) co_await stream->ended();
    co_return Result<void>{};
  }

  Task<Reply> post_item(ServerRequest request) {
    const auto body = body_of(request);
    if (!body) co_return pass(body.error());
    auto item = hub::new_item_from(*body);
    if (!item) co_return pass(item.error());
    const auto posted = co_await parts_.hub.client().post_item(std::move(*item));
    if (!posted) co_return pass(posted.error());
    co_return ok(hub::to_json(*posted));
  }

  // The open ones, or all; each state is asked for by itself, so that finished items never crowd out open
  // ones.
  Task<Reply> list_items(ServerRequest request) {
    hub::ItemQuery query{.limit = hub::kMaxPage};
    query.agent = request.query_value("agent");
    if (query.agent) {
      if (const Entry* entry = parts_.supervisor.find(*query.agent);
          entry != nullptr && !entry->agent_id.empty()) {
        query.agent = entry->agent_id;
      }
    }
    std::vector<std::optional<hub::ItemState>> states{hub::ItemState::queued, hub::ItemState::pushed,
                                                      hub::ItemState::delivered};
    if (request.query_value("all") == "1") states = {std::nullopt};
    json list = json::array();
    for (const auto& state : states) {
      query.state = state;
      const auto items = co_await parts_.hub.client().list_items(query);
      if (!items) co_return pass(items.error());
      for (const hub::InboxItem& item : *items) list.push_back(hub::to_json(item));
    }
    co_return ok(list);
  }

  Task<Reply> set_item(ServerRequest request) {
    const std::string id(request.param("id"));
    const std::string verb(request.param("verb"));
    Result<hub::InboxItem> item =
        fail(ErrorCode::not_found, "inbox", fmt::format("no such verb '{}'", verb), "done, fail or retry");
    const auto known = verb == "retry" ? co_await parts_.hub.client().retry_item(id)
                                       : co_await parts_.hub.client().get_item(id);
    if (!known) co_return pass(known.error());
    if (verb == "retry") co_return ok(hub::to_json(*known));
    const bool done = verb == "done";
    if (done || verb == "fail") {
      const auto state = done ? hub::ItemState::done : hub::ItemState::failed;
      item = co_await parts_.hub.client().set_item({id, known->attempt, state, "set by a person"});
      if (item) parts_.mailbox.settled(id, done ? Progress::done : Progress::failed, "set by a person");
    }
    if (!item) co_return pass(item.error());
    co_return ok(hub::to_json(*item));
  }

  Task<Reply> doctor(ServerRequest) {
    HostAgents host;
    for (const auto& [name, entry] : parts_.supervisor.entries()) {
      const bool wanted = entry->agent.wanted == wd::Wanted::running;
      if (wanted && entry->spec.place == agents::Place::host) host.names.push_back(name);
    }
    const auto findings = co_await examine(parts_.engine, parts_.tmux, parts_.home, parts_.config, host);
    co_return ok(to_json(findings));
  }

  Task<Reply> shutdown(ServerRequest request) {
    const auto body = body_of(request);
    if (!body) co_return pass(body.error());
    const auto with_agents = json_bool(*body, "agents", false);
    if (!with_agents) co_return pass(with_agents.error());
    std::vector<AgentName> names;
    if (*with_agents) {
      for (const auto& [name, entry] : parts_.supervisor.entries()) {
        if (entry->agent.phase != wd::Phase::absent) names.push_back(entry->agent.name);
      }
    }
    for (const AgentName& name : names) {
      if (auto asked = parts_.supervisor.ask_stop(name, kDefaultStop, wd::StopManner::graceful); !asked) {
        co_return pass(asked.error());
      }
    }
    for (const AgentName& name : names) {
      if (!co_await gone(name, kDefaultStop + kStopMargin)) {
        co_return fail(ErrorCode::timeout, "down",
                       fmt::format("{} is still stopping; the daemon stays", name.str()));
      }
    }
    if (*with_agents) (void)co_await parts_.tmux.kill_server();
    asio::post(parts_.io, parts_.shutdown);
    co_return ok(json{{"stopped_agents", names.size()}, {"pid", ::getpid()}});
  }

 private:
  static std::uint64_t resident_bytes() {
    const auto text = read_file("/proc/self/statm", 256);
    if (!text) return 0;
    const auto fields = split(*text, ' ');
    const auto pages = fields.size() > 1 ? whole_number<std::uint64_t>(fields[1]) : std::nullopt;
    return pages.value_or(0) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  }

  ControlParts& parts_;
  WallTime started_ = parts_.clock.now();
  EngineInquiry inquiry_{parts_.io, [this] { return facts_of(parts_.engine); }, Patience{}};
};

}  // namespace

net::Routes control_routes(ControlParts& parts) {
  const auto control = std::make_shared<Control>(parts);
  net::Routes routes;
  const auto add = [&](std::string_view method, std::string_view pattern,
                       Task<Reply> (Control::*handler)(ServerRequest)) {
    routes.add(method, pattern, [control, handler](ServerRequest request) {
      return ((*control).*handler)(std::move(request));
    });
  };
  add("GET", "/v1/status", &Control::status);
  add("GET", "/v1/agents", &Control::list);
  add("POST", "/v1/agents", &Control::start);
  add("GET", "/v1/agents/{name}", &Control::one);
  add("GET", "/v1/agents/{name}/explain", &Control::explain);
  add("GET", "/v1/agents/{name}/logs", &Control::logs);
  add("POST", "/v1/agents/{name}/stop", &Control::stop);
  add("POST", "/v1/agents/{name}/restart", &Control::restart);
  add("POST", "/v1/agents/{name}/nudge", &Control::nudge);
  add("POST", "/v1/agents/{name}/permission", &Control::permission);
  add("GET", "/v1/crashes", &Control::crashes);
  add("POST", "/v1/inbox", &Control::post_item);
  add("GET", "/v1/inbox", &Control::list_items);
  add("POST", "/v1/inbox/{id}/{verb}", &Control::set_item);
  add("GET", "/v1/doctor", &Control::doctor);
  add("POST", "/v1/shutdown", &Control::shutdown);
  routes.add_stream("GET", "/v1/events",
                    [control](ServerRequest request, std::shared_ptr<net::ReplyStream> stream) {
                      return control->events(std::move(request), std::move(stream));
                    });
  return routes;
}

}  // namespace agentmesh::daemon
