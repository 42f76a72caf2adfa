#pragma once
// What the command line asks of the daemon: HTTP and JSON on the private Unix socket daemon.sock. Routes
// only: each reads its request, asks one module, and shapes the answer. docs/formats/control-socket.md lists
// them.

#include "daemon/agent_json.h"
#include "daemon/answering.h"
#include "daemon/hub_link.h"
#include "daemon/mailbox.h"
#include "daemon/supervisor.h"
#include "net/server.h"
#include "sandbox/mount_policy.h"

#include <functional>
#include <string>

namespace agentmesh::daemon {

struct ControlParts {
  boost::asio::io_context& io;
  const Clock& clock;
  const config::Config& config;
  const Home& home;
  Journal& journal;
  EventLog& events;
  sandbox::Engine& engine;
  const std::string& engine_socket;
  const sandbox::MountPolicy& policy;
  tmux::Tmux& tmux;
  Effects& effects;
  Panes& panes;
  Supervisor& supervisor;
  Mailbox& mailbox;
  Answering& answering;
  HubLink& hub;
  const std::string& hub_url;
  std::function<void()> shutdown;
};

// All parts must outlive the server that serves the routes.
net::Routes control_routes(ControlParts& parts);

}  // namespace agentmesh::daemon
