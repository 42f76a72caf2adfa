#include "daemon/agent_json.h"

#include "base/json.h"
#include "watchdog/restart.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

using nlohmann::json;
namespace wd = agentmesh::watchdog;

constexpr std::size_t kAgentBytes = 1024;  // of one agent, about

json time(const std::optional<WallTime>& time) { return time ? json(to_rfc3339(*time)) : json(nullptr); }

json text_or_null(const std::string& text) { return text.empty() ? json(nullptr) : json(text); }

json exit_json(const wd::LastExit& exit) {
  if (exit.reason == wd::ExitReason::none) return nullptr;
  return json{{"code", exit.code ? json(*exit.code) : json(nullptr)},
              {"signal", exit.signal ? json(*exit.signal) : json(nullptr)},
              {"oom_killed", exit.oom_main || exit.oom_child},
              {"reason", wd::to_string(exit.reason)},
              {"text", exit.text},
              {"at", time(exit.at)}};
}

// Writes one JSON object member by member. A hundred agents are shown in every `list`: a document for each
// would take longer than all the rest of the answer.
class Object {
 public:
  explicit Object(std::string& out) : out_(out) { out_ += '{'; }
  ~Object() { out_ += '}'; }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  std::string& member(std::string_view name) {
    if (out_.back() != '{') out_ += ',';
    out_ += '"';
    out_ += name;
    out_ += "\":";
    return out_;
  }
  void text(std::string_view name, std::string_view value) { member(name) += quoted(value); }
  void text_or_null(std::string_view name, std::string_view value) {
    member(name) += value.empty() ? "null" : quoted(value);
  }
  void time(std::string_view name, const std::optional<WallTime>& value) {
    text_or_null(name, value ? to_rfc3339(*value) : std::string());
  }
  template <class Number>
  void number(std::string_view name, Number value) {
    fmt::format_to(std::back_inserter(member(name)), "{}", value);
  }

 private:
  static std::string quoted(std::string_view value) {
    const auto plain = [](unsigned char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; };
    if (!std::all_of(value.begin(), value.end(), plain)) return dump_json(json(value));
    std::string text(1, '"');
    text += value;
    return text += '"';
  }

  std::string& out_;
};

void write_sandbox(std::string& out, const Entry& entry) {
  if (entry.spec.place == agents::Place::host) {
    out += "null";
    return;
  }
  const bool exists = wd::may_exist(entry.agent);
  Object object(out);
  object.text_or_null("container_id", exists ? entry.agent.container_id : "");
  object.text_or_null("container_name", exists ? container_name(entry.agent.name, entry.agent.run) : "");
  object.text("image", entry.spec.image);
  object.number("cpus", entry.spec.cpus);
  object.number("memory_bytes", entry.spec.memory_bytes);
  object.number("pids", entry.spec.pids);
  object.text("network", entry.spec.network);
}

void write_tmux(std::string& out, const Entry& entry, const ShowParts& parts) {
  const auto pane = parts.panes.pane_of(entry.agent.name);
  Object object(out);
  object.text("socket", parts.tmux_socket);
  object.text_or_null("session", served(entry.spec) ? "" : session_name(entry.agent.name));
  object.text_or_null("pane", pane ? pane->id.str() : "");
}

std::string serve_url(const AgentSpec& spec) {
  return served(spec) ? fmt::format("http://127.0.0.1:{}", spec.serve_port) : "";
}

void write_restarts(std::string& out, const wd::Agent& agent, const ShowParts& parts) {
  const config::Watchdog& watchdog = parts.config.watchdog;
  Object object(out);
  object.number("count", wd::restarts_within(agent, watchdog.restart_window, parts.now));
  object.number("limit", watchdog.max_restarts);
  object.number("window_s", watchdog.restart_window.count() / 1000);
  object.time("last_at", agent.last_restart_at);
  object.time("next_at", agent.next_restart_at);
}

void write_links(Object& object, const Entry& entry, const ShowParts& parts) {
  {
    Object hub(object.member("hub"));
    hub.text_or_null("agent_id", entry.agent_id);
    hub.number("registered", !entry.agent_id.empty());
    hub.number("connected", parts.hub_connected);
  }
  const auto counts = parts.mailbox.counts(entry.agent.name);
  Object inbox(object.member("inbox"));
  inbox.number("pending", counts.pending);
  inbox.number("delivered", counts.delivered);
}

}  // namespace

std::string agent_json(const Entry& entry, const ShowParts& parts) {
  const wd::Agent& agent = entry.agent;
  std::string out;
  out.reserve(kAgentBytes);
  {
    Object object(out);
    object.text("name", agent.name.str());
    object.text_or_null("agent_id", entry.agent_id);
    object.text("status", wd::to_string(wd::status_of(agent)));
    object.time("status_since", agent.live.status_since);
    object.text_or_null("reason", wd::status_reason(agent));
    object.text("runner", entry.spec.runner);
    object.text_or_null("model", entry.spec.model);
    object.text("workdir", entry.spec.workdir);
    write_sandbox(object.member("sandbox"), entry);
    write_tmux(object.member("tmux"), entry, parts);
    object.text_or_null("serve_url", serve_url(entry.spec));
    write_restarts(object.member("restarts"), agent, parts);
    object.time("stuck_since", agent.live.stuck_since);
    object.time("nudged_at", agent.live.nudged_at);
    object.time("started_at", agent.started_at);
    object.member("exit") += dump_json(exit_json(agent.exit));
    write_links(object, entry, parts);
  }
  return out;
}

json explain_json(const Entry& entry, WallTime now) {
  const wd::Agent& agent = entry.agent;
  json signal = nullptr;
  if (entry.last_signal) {
    signal = {{"kind", agents::to_string(entry.last_signal->signal.kind)},
              {"source", entry.last_signal->signal.source},
              {"detail", entry.last_signal->signal.detail},
              {"at", to_rfc3339(entry.last_signal->at)},
              {"age_s", (now - entry.last_signal->at).count() / 1000}};
  }
  return json{{"name", agent.name.str()},
              {"status", wd::to_string(wd::status_of(agent))},
              {"status_since", to_rfc3339(agent.live.status_since)},
              {"reason", text_or_null(wd::status_reason(agent))},
              {"wanted", wd::to_string(agent.wanted)},
              {"phase", wd::to_string(agent.phase)},
              {"phase_since", to_rfc3339(agent.phase_since)},
              {"condition", wd::to_string(agent.live.condition)},
              {"signal", std::move(signal)},
              {"prompt", text_or_null(entry.prompt.id)},
              {"last_activity", to_rfc3339(agent.live.last_activity)},
              {"has_work", wd::has_work(agent)},
              {"run", agent.run.value},
              {"next_wake", time(wd::next_wake(agent))},
              {"limited_until", time(agent.limited_until)},
              {"session_id", text_or_null(entry.session_id)},
              {"exit", exit_json(agent.exit)}};
}

json event_json(const EventRow& row) {
  return json{{"seq", row.seq},
              {"at", to_rfc3339(row.at)},
              {"agent", text_or_null(row.agent)},
              {"name", row.name},
              {"reason", text_or_null(row.reason)}};
}

}  // namespace agentmesh::daemon
