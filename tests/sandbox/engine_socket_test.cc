#include "sandbox/engine_socket.h"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

namespace agentmesh::sandbox {
namespace {

HostView host(std::map<std::string, std::string, std::less<>> environment, std::set<std::string> files) {
  return {[=](std::string_view name) -> std::optional<std::string> {
            const auto found = environment.find(name);
            return found == environment.end() ? std::nullopt : std::optional(found->second);
          },
          [=](const std::string& path) { return files.contains(path); }};
}

TEST(EngineSocket, TheEnvironmentComesFirst) {
  EXPECT_EQ(
      find_engine_socket(host({{"DOCKER_HOST", "unix:///x/y.sock"}}, {"/var/run/docker.sock"})).value_or(""),
      "/x/y.sock");
  EXPECT_EQ(find_engine_socket(host({{"DOCKER_HOST", ""}}, {"/var/run/docker.sock"})).value_or(""),
            "/var/run/docker.sock");
}

TEST(EngineSocket, OnlyUnixIsServed) {
  for (const auto* bad :
       {"tcp://127.0.0.1:2375", "ssh://x", "/var/run/docker.sock", "unix://relative", "unix://"}) {
    const auto found = find_engine_socket(host({{"DOCKER_HOST", bad}}, {}));
    ASSERT_FALSE(found) << bad;
    EXPECT_EQ(found.error().code, ErrorCode::invalid);
  }
  EXPECT_FALSE(find_engine_socket(host({{"DOCKER_HOST", "unix:///" + std::string(200, 'a')}}, {})));
}

TEST(EngineSocket, TheFirstThatExists) {
  const std::map<std::string, std::string, std::less<>> runtime{{"XDG_RUNTIME_DIR", "/run/user/7"}};
  EXPECT_EQ(find_engine_socket(host(runtime, {})).value_or(""), "/var/run/docker.sock");
  EXPECT_EQ(
      find_engine_socket(host(runtime, {"/run/user/7/docker.sock", "/run/podman/podman.sock"})).value_or(""),
      "/run/user/7/docker.sock");
  EXPECT_EQ(find_engine_socket(host(runtime, {"/run/user/7/podman/podman.sock"})).value_or(""),
            "/run/user/7/podman/podman.sock");
  EXPECT_EQ(find_engine_socket(host({}, {"/run/user/7/docker.sock", "/run/podman/podman.sock"})).value_or(""),
            "/run/podman/podman.sock");
}

TEST(EngineSocket, AllPlacesAreCandidates) {
  const auto all =
      socket_candidates(host({{"DOCKER_HOST", "unix:///x.sock"}, {"XDG_RUNTIME_DIR", "/run/user/7"}}, {}));
  for (const auto* wanted : {"/var/run/docker.sock", "/run/docker.sock", "/x.sock", "/run/user/7/docker.sock",
                             "/run/podman/podman.sock"}) {
    EXPECT_NE(std::ranges::find(all, wanted), all.end()) << wanted;
  }
}

}  // namespace
}  // namespace agentmesh::sandbox
