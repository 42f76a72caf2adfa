#include "sandbox/engine_socket.h"

#include "base/socket_address.h"

#include <algorithm>
#include <cstdlib>
#include <sys/stat.h>

namespace agentmesh::sandbox {
namespace {

constexpr std::string_view kScheme = "unix://";

std::vector<std::string> usual_places(const HostView& host) {
  std::vector<std::string> places{"/var/run/docker.sock"};
  const auto runtime = host.environment("XDG_RUNTIME_DIR");
  if (runtime && runtime->starts_with('/')) {
    places.push_back(*runtime + "/docker.sock");
    places.push_back(*runtime + "/podman/podman.sock");
  }
  places.push_back("/run/podman/podman.sock");
  return places;
}

}  // namespace

HostView this_host() {
  return {[](std::string_view name) -> std::optional<std::string> {
            const char* value = std::getenv(std::string(name).c_str());
            return value == nullptr ? std::nullopt : std::optional<std::string>(value);
          },
          [](const std::string& path) {
            struct stat status{};
            return ::stat(path.c_str(), &status) == 0;
          }};
}

Result<std::string> find_engine_socket(const HostView& host) {
  const auto named = host.environment("DOCKER_HOST");
  if (named && !named->empty()) {
    if (!named->starts_with(kScheme)) {
      return fail(ErrorCode::invalid, "engine", "DOCKER_HOST is '" + *named + "', only unix:// is served",
                  "set DOCKER_HOST=unix://PATH or unset it");
    }
    const auto path = named->substr(kScheme.size());
    if (!path.starts_with('/') || path.size() > kMaxSocketPath) {
      return fail(ErrorCode::invalid, "engine",
                  "DOCKER_HOST's path must be absolute and fit a socket's address");
    }
    return path;
  }
  const auto places = usual_places(host);
  const auto found = std::ranges::find_if(places, host.exists);
  return found == places.end() ? places.front() : *found;
}

std::vector<std::string> socket_candidates(const HostView& host) {
  auto places = usual_places(host);
  places.emplace_back("/run/docker.sock");
  places.emplace_back("/run/containerd/containerd.sock");
  const auto named = host.environment("DOCKER_HOST");
  if (named && named->starts_with("unix:///")) places.push_back(named->substr(kScheme.size()));
  return places;
}

}  // namespace agentmesh::sandbox
