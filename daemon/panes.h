#pragma once
// The agents' panes: one tmux session per agent, its pane running the relay to the agent's terminal.
// Operations on one agent's session run one after another. It keeps only what tmux told it, and decides
// nothing.

#include "base/clock.h"
#include "base/ids.h"
#include "base/task.h"
#include "base/turns.h"
#include "daemon/home.h"
#include "sandbox/attach.h"
#include "tmux/tmux.h"

#include <map>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>

namespace agentmesh::daemon {

// A second that tmux told, which goes by the system's clock, on ours, which a set date does not move.
inline WallTime on_our_clock(std::int64_t tmux_second, WallTime system_now, WallTime our_now) {
  return our_now - (system_now - WallTime{std::chrono::seconds(tmux_second)});
}

struct PaneOptions {
  std::string program;  // this program's own path
};

struct PaneText {
  std::string text;
  std::optional<RunId> run;  // that it is of; none: the pane was not opened by this daemon
};

class Panes {
 public:
  Panes(boost::asio::any_io_executor executor, tmux::Tmux& tmux, const Home& home, PaneOptions options);

  // Afterwards the agent's session has one live pane on this run. Errors: those of Tmux.
  Task<> open(AgentName agent, RunId run, sandbox::AttachTarget terminal);
  Task<> close(AgentName agent);
  // The pane's text: `lines` from its end, without trailing blanks; not while it is opened for another run.
  // Errors: not_found, those of Tmux.
  Task<PaneText> text(AgentName agent, int lines);

  // What the pane shows now, with its colours. Errors: the same.
  Task<std::string> picture(AgentName agent);

  // What tmux tells: a pane as it is now, or gone. seen() answers what was known before. gone() answers
  // whether the session has none now: another may have taken its place already.
  std::optional<tmux::Pane> seen(const tmux::Pane& pane);
  bool gone(const std::string& session, tmux::PaneId id);
  void all_gone();
  std::optional<tmux::Pane> pane_of(const AgentName& agent) const;

 private:
  Task<> open_now(const AgentName& agent, RunId run, const sandbox::AttachTarget& terminal);
  std::vector<std::string> relay(const AgentName& agent, const sandbox::AttachTarget& terminal) const;

  tmux::Tmux& tmux_;
  const Home& home_;
  PaneOptions options_;
  std::map<std::string, tmux::Pane> panes_;  // by session
  std::map<std::string, RunId> runs_;        // by session: what its pane was opened for
  Turns<std::string> turns_;                 // by session
};

}  // namespace agentmesh::daemon
