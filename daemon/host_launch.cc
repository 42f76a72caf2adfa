#include "daemon/host_launch.h"

#include "base/files.h"
#include "base/process.h"
#include "daemon/agent_environment.h"
#include "daemon/loopback_port.h"

#include <algorithm>
#include <array>
#include <random>
#include <unistd.h>

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 18> kHandedOn{
    "HOME",       "USER",        "LOGNAME",  "SHELL",         "PATH",         "LANG",
    "LANGUAGE",   "TZ",          "TMPDIR",   "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY",    "HTTPS_PROXY",  "NO_PROXY"};
constexpr std::array<std::string_view, 2> kHandedOnPrefixes{"LC_", "XDG_"};
constexpr std::uint16_t kFirstPort = 12'000;
constexpr std::uint16_t kLastPort = 31'999;  // Linux gives out 32768 and above
constexpr int kPortTries = 100;
constexpr std::size_t kPasswordBytes = 16;

Result<agents::LaunchPlan> plan_on_host(const AgentSpec& spec, const LaunchInput& input,
                                        const host::HolderLaunch& launch, const fs::path& run_dir) {
  const auto adapter = agents::find_adapter(spec.runner);
  if (!adapter) return pass(adapter.error());
  auto request = launch_request(spec, input, agents::Place::host);
  request.run_dir = run_dir;
  request.http_port = launch.http_port;
  request.http_password = launch.http_password;
  return (*adapter)->plan(request);
}

Result<std::string> workdir_of(const AgentSpec& spec) {
  std::error_code ec;
  const fs::path path = fs::canonical(spec.workdir, ec);
  const bool usable = !ec && fs::is_directory(path, ec) && ::access(path.c_str(), R_OK | X_OK) == 0;
  if (usable) return path.string();
  return fail(ErrorCode::invalid, "workdir", fmt::format("{} is not a folder that can be used", spec.workdir),
              "name one with --workdir DIR");
}

}  // namespace

std::map<std::string, std::string> handed_on(const std::map<std::string, std::string>& environment) {
  std::map<std::string, std::string> chosen;
  for (const auto& [name, value] : environment) {
    const bool named = std::ranges::find(kHandedOn, name) != kHandedOn.end();
    const bool prefixed = std::ranges::any_of(
        kHandedOnPrefixes, [&](std::string_view prefix) { return name.starts_with(prefix); });
    if (named || prefixed) chosen[name] = value;
  }
  return chosen;
}

Result<std::uint16_t> free_port() {
  std::random_device random;
  std::uniform_int_distribution<int> any(kFirstPort, kLastPort);
  for (int i = 0; i < kPortTries; ++i) {
    const auto port = static_cast<std::uint16_t>(any(random));
    if (loopback_port_is_free(port)) return port;
  }
  return fail(ErrorCode::exhausted, "start", "no free port for the agent's server on 127.0.0.1");
}

Result<std::string> check_host_launch(const AgentSpec& spec, const AgentName& name) {
  auto workdir = workdir_of(spec);
  if (!workdir) return workdir;
  const auto plan = plan_on_host(spec, LaunchInput{.name = name, .run = RunId{1}}, {}, "/");
  if (!plan) return pass(plan.error());
  return workdir;
}

Result<host::HolderLaunch> prepare_host_launch(const AgentSpec& spec, const LaunchInput& input,
                                               const Home& home) {
  const auto workdir = workdir_of(spec);
  if (!workdir) return pass(workdir.error());
  for (const fs::path& folder : {home.agent_run(input.name), home.agent_pane(input.name)}) {
    if (auto made = make_dir(folder, 0700); !made) return pass(made.error());
  }
  const auto port = free_port();
  if (!port) return pass(port.error());
  host::HolderLaunch launch{.workdir = *workdir,
                            .open_files = sandbox::kDefaultOpenFiles,
                            .http_port = *port,
                            .http_password = Secret(random_hex(kPasswordBytes))};
  const auto plan = plan_on_host(spec, input, launch, home.agent_run(input.name));
  if (!plan) return pass(plan.error());
  if (!plan->serves_http) {
    launch.http_port = 0;
    launch.http_password = Secret();
  }
  launch.argv = plan->argv;
  launch.env = agent_environment({spec.runner, agents::Place::host, input.name.str(), input.agent_id},
                                 spec.env, *plan, handed_on(current_environment()));
  return launch;
}

}  // namespace agentmesh::daemon
