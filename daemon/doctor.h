#pragma once
// A check of everything agentmesh stands on: engine, live-restore, cgroups, tmux, disk, clock, permissions.
// Each finding has its cure. It changes nothing.

#include "config/config.h"
#include "daemon/home.h"
#include "sandbox/engine.h"
#include "tmux/tmux.h"

#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <nlohmann/json_fwd.hpp>

namespace agentmesh::daemon {

enum class Grade { ok, warning, problem };

struct Finding {
  std::string check;  // "engine", "tmux", ...
  Grade grade = Grade::ok;
  std::string what;
  std::string cure;  // empty when ok
};

struct HostAgents {
  std::vector<std::string> names;  // of those that run without a sandbox
};

boost::asio::awaitable<std::vector<Finding>> examine(sandbox::Engine& engine, tmux::Tmux& tmux,
                                                     const Home& home, const config::Config& config,
                                                     const HostAgents& host);
nlohmann::json to_json(const std::vector<Finding>& findings);
std::string_view to_string(Grade grade);

}  // namespace agentmesh::daemon
