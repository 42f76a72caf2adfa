#pragma once
// Where the engine listens. Pure: the environment and the file system are given.

#include "base/result.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::sandbox {

struct HostView {
  std::function<std::optional<std::string>(std::string_view)> environment;
  std::function<bool(const std::string&)> exists;
};
HostView this_host();

// DOCKER_HOST=unix://PATH, else the first that exists of /var/run/docker.sock, $XDG_RUNTIME_DIR/docker.sock,
// $XDG_RUNTIME_DIR/podman/podman.sock, /run/podman/podman.sock; the first of them when none does.
// Errors: invalid (DOCKER_HOST is not unix://, or its path is not absolute or too long for a socket).
Result<std::string> find_engine_socket(const HostView& host);

// Every place above, and the one DOCKER_HOST names: what no sandbox may see.
std::vector<std::string> socket_candidates(const HostView& host);

}  // namespace agentmesh::sandbox
