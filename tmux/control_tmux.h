#pragma once
// Tmux over ONE control-mode client (tmux -C) on a private server: no fork per call, none while idle.
// The daemon owns it. The server is detached into a session of its own, so it outlives the daemon however
// that ends; the client ends with the daemon. The user's tmux.conf is not read: a private server must not
// change its behaviour with it (TmuxOptions::config names another file for those who want their own keys).

#include "base/clock.h"
#include "tmux/tmux.h"

#include <chrono>
#include <memory>
#include <string>

#include <boost/asio/any_io_executor.hpp>

namespace agentmesh::tmux {

constexpr Millis kCommandDeadline{5000};
constexpr Millis kFirstReconnect{100};  // doubles up to kLastReconnect while the server cannot be reached
constexpr Millis kLastReconnect{30000};

struct TmuxOptions {
  std::string program = "tmux";      // a path, or looked up in PATH
  std::string socket = "agentmesh";  // a name (tmux -L), or a path when it holds a slash (tmux -S)
  std::string config = "/dev/null";  // read once, when the server starts
  std::string owner =
      "agentmesh";  // a home: its server is refused to others while it is used; see ownership.h
  Millis deadline = kCommandDeadline;  // of one call
};

class ControlTmux final : public Tmux {
 public:
  // The handler is called on the executor, never from inside a call of this object. It starts nothing yet.
  ControlTmux(boost::asio::any_io_executor executor, TmuxOptions options, Handler handler);
  ~ControlTmux() override;
  ControlTmux(const ControlTmux&) = delete;
  ControlTmux& operator=(const ControlTmux&) = delete;

  // After the first success a lost server is started again by itself, with backoff; see ServerLost,
  // ServerBack.
  Task<ServerInfo> ensure() override;
  Task<Pane> open(OpenSpec spec) override;
  Task<> close(std::string session) override;
  Task<std::vector<Pane>> list() override;
  Task<std::string> capture(PaneId pane, int history_lines, Rendering rendering) override;
  Task<Pane> respawn(PaneId pane, std::vector<std::string> argv) override;
  Task<std::optional<LastKey>> last_key(PaneId pane) override;
  Task<> paste(PaneId pane, std::string text, PasteMarks marks) override;
  Task<> press(PaneId pane, std::vector<std::string> keys) override;
  Task<> announce(std::string session, std::string text) override;
  Task<> notify_desktop(std::string title, std::string text) override;
  Task<> kill_server() override;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace agentmesh::tmux
