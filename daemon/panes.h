#pragma once
// The agents' panes: one tmux session per agent, its pane running the relay to the agent's container.
// Operations on one agent's session run one after another. It keeps only what tmux told it, and decides
// nothing.

#include "base/ids.h"
#include "base/task.h"
#include "daemon/home.h"
#include "tmux/tmux.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>

namespace agentmesh::daemon {

struct PaneOptions {
  std::string program;        // this program's own path
  std::string engine_socket;  // handed to the relay
};

class Panes {
 public:
  Panes(boost::asio::any_io_executor executor, tmux::Tmux& tmux, const Home& home, PaneOptions options);

  // Afterwards the agent's session has one live pane on this run. Errors: those of Tmux.
  Task<> open(AgentName agent, RunId run);
  Task<> close(AgentName agent);
  // The pane's text: `lines` from its end, without trailing blanks. Errors: not_found, those of Tmux.
  Task<std::string> text(AgentName agent, int lines);

  // What tmux tells: a pane as it is now, or gone. seen() answers what was known before.
  std::optional<tmux::Pane> seen(const tmux::Pane& pane);
  void gone(const std::string& session);
  void all_gone();
  std::optional<tmux::Pane> pane_of(const AgentName& agent) const;

 private:
  class Turn;
  boost::asio::awaitable<std::shared_ptr<void>> turn(std::string session);
  Task<> open_now(const AgentName& agent, RunId run);
  std::vector<std::string> relay(const AgentName& agent, RunId run) const;

  struct Lane {
    bool taken = false;
    std::deque<std::shared_ptr<boost::asio::steady_timer>> waiting;
  };

  boost::asio::any_io_executor executor_;
  tmux::Tmux& tmux_;
  const Home& home_;
  PaneOptions options_;
  std::map<std::string, tmux::Pane> panes_;  // by session
  std::map<std::string, RunId> runs_;        // by session: what its pane was opened for
  // Shared with whoever holds a turn: a frame may be destroyed after us.
  std::shared_ptr<std::map<std::string, Lane>> lanes_ = std::make_shared<std::map<std::string, Lane>>();
};

}  // namespace agentmesh::daemon
