#include "daemon/agent_json.h"

#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

using nlohmann::json;
namespace wd = agentmesh::watchdog;

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

json sandbox_json(const Entry& entry) {
  const bool exists = wd::may_exist(entry.agent);
  return json{
      {"container_id", exists ? text_or_null(entry.agent.container_id) : json(nullptr)},
      {"container_name", exists ? json(container_name(entry.agent.name, entry.agent.run)) : json(nullptr)},
      {"image", entry.spec.image},
      {"cpus", entry.spec.cpus},
      {"memory_bytes", entry.spec.memory_bytes},
      {"pids", entry.spec.pids},
      {"network", entry.spec.network}};
}

json tmux_json(const Entry& entry, const ShowParts& parts) {
  const auto pane = parts.panes.pane_of(entry.agent.name);
  return json{{"socket", parts.tmux_socket},
              {"session", session_name(entry.agent.name)},
              {"pane", pane ? json(pane->id.str()) : json(nullptr)}};
}

}  // namespace

json agent_json(const Entry& entry, const ShowParts& parts) {
  const wd::Agent& agent = entry.agent;
  const auto inbox = parts.mailbox.counts(agent.name);
  return json{
      {"name", agent.name.str()},
      {"agent_id", text_or_null(entry.agent_id)},
      {"status", wd::to_string(wd::status_of(agent))},
      {"status_since", to_rfc3339(agent.live.status_since)},
      {"reason", text_or_null(wd::status_reason(agent))},
      {"runner", entry.spec.runner},
      {"model", text_or_null(entry.spec.model)},
      {"workdir", entry.spec.workdir},
      {"sandbox", sandbox_json(entry)},
      {"tmux", tmux_json(entry, parts)},
      {"restarts",
       {{"count", agent.restarts.size()},
        {"limit", parts.config.watchdog.max_restarts},
        {"window_s", parts.config.watchdog.restart_window.count() / 1000},
        {"last_at", time(agent.last_restart_at)},
        {"next_at", time(agent.next_restart_at)}}},
      {"stuck_since", time(agent.live.stuck_since)},
      {"nudged_at", time(agent.live.nudged_at)},
      {"started_at", time(agent.started_at)},
      {"exit", exit_json(agent.exit)},
      {"hub",
       {{"agent_id", text_or_null(entry.agent_id)},
        {"registered", !entry.agent_id.empty()},
        {"connected", parts.hub_connected}}},
      {"inbox", {{"pending", inbox.pending}, {"delivered", inbox.delivered}}},
  };
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
              {"last_activity", to_rfc3339(agent.live.last_activity)},
              {"has_work", wd::has_work(agent)},
              {"run", agent.run.value},
              {"next_wake", time(wd::next_wake(agent))},
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
