#include "daemon/panes.h"

#include "base/text.h"

namespace agentmesh::daemon {
namespace {

constexpr tmux::Size kSize{160, 48};  // until a terminal attaches

std::string last_lines(std::string text, int lines) {
  std::size_t at = text.find_last_not_of("\n ");
  text.resize(at == std::string::npos ? 0 : at + 1);
  for (at = text.size(); lines > 0 && at != std::string::npos; --lines) {
    at = at == 0 ? std::string::npos : text.rfind('\n', at - 1);
  }
  return at == std::string::npos ? text : text.substr(at + 1);
}

}  // namespace

Panes::Panes(boost::asio::any_io_executor executor, tmux::Tmux& tmux, const Home& home, PaneOptions options)
    : tmux_(tmux), home_(home), options_(std::move(options)), turns_(std::move(executor)) {}

std::vector<std::string> Panes::relay(const AgentName& agent, const sandbox::AttachTarget& terminal) const {
  return {options_.program,
          "pane",
          terminal.container,
          "--engine",
          terminal.engine_socket,
          "--state",
          home_.agent_pane(agent).string()};
}

Task<> Panes::open(AgentName agent, RunId run, sandbox::AttachTarget terminal) {
  const auto held = co_await turns_.take(session_name(agent));
  auto done = co_await open_now(agent, run, terminal);
  co_return done;
}

Task<> Panes::open_now(const AgentName& agent, RunId run, const sandbox::AttachTarget& terminal) {
  const std::string session = session_name(agent);
  if (auto up = co_await tmux_.ensure(); !up) co_return pass(up.error());
  const auto listed = co_await tmux_.list();
  if (!listed) co_return pass(listed.error());
  panes_.erase(session);
  for (const tmux::Pane& pane : *listed) {
    if (pane.session == session) seen(pane);  // the others' changes are told to who reads their pictures
  }
  const auto known = panes_.find(session);
  const auto shown = runs_.find(session);
  const bool of_run = shown != runs_.end() && shown->second == run;
  if (known != panes_.end() && !known->second.dead && of_run) co_return Result<void>{};
  Result<tmux::Pane> opened = fail(ErrorCode::internal, "tmux", "no pane");
  if (known == panes_.end()) {
    opened = co_await tmux_.open(
        {.session = session, .argv = relay(agent, terminal), .env = {}, .workdir = "", .size = kSize});
  } else {
    opened = co_await tmux_.respawn(known->second.id, relay(agent, terminal));
  }
  if (!opened) co_return pass(opened.error());
  runs_[session] = run;
  seen(*opened);
  co_return Result<void>{};
}

Task<> Panes::close(AgentName agent) {
  const std::string session = session_name(agent);
  const auto held = co_await turns_.take(session);
  auto closed = co_await tmux_.close(session);
  if (closed) {
    panes_.erase(session);
    runs_.erase(session);
  }
  co_return closed;
}

Task<PaneText> Panes::text(AgentName agent, int lines) {
  const std::string session = session_name(agent);
  const auto held = co_await turns_.take(session);
  const auto pane = pane_of(agent);
  if (!pane) co_return fail(ErrorCode::not_found, "tmux", "the agent has no pane");
  auto captured =
      co_await tmux_.capture(pane->id, std::min(lines, tmux::kMaxCaptureLines), tmux::Rendering::text);
  if (!captured) co_return pass(captured.error());
  const auto run = runs_.find(session);
  co_return PaneText{last_lines(plain_text(*captured), lines),
                     run == runs_.end() ? std::nullopt : std::optional(run->second)};
}

Task<std::string> Panes::picture(AgentName agent) {
  const auto pane = pane_of(agent);
  if (!pane) co_return fail(ErrorCode::not_found, "tmux", "the agent has no pane");
  co_return co_await tmux_.capture(pane->id, 0, tmux::Rendering::colour);
}

std::optional<tmux::Pane> Panes::seen(const tmux::Pane& pane) {
  const auto [known, fresh] = panes_.try_emplace(pane.session, pane);
  if (fresh) return std::nullopt;
  return std::exchange(known->second, pane);
}

bool Panes::gone(const std::string& session, tmux::PaneId id) {
  const auto known = panes_.find(session);
  if (known != panes_.end() && known->second.id != id) return false;
  panes_.erase(session);
  return true;
}

void Panes::all_gone() { panes_.clear(); }

std::optional<tmux::Pane> Panes::pane_of(const AgentName& agent) const {
  const auto found = panes_.find(session_name(agent));
  return found == panes_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace agentmesh::daemon
