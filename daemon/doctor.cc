#include "daemon/doctor.h"

#include "base/process.h"
#include "base/secret.h"
#include "base/text.h"
#include "config/webhook_url.h"
#include "daemon/disk_watch.h"
#include "sandbox/image.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

using nlohmann::json;
namespace asio = boost::asio;

constexpr std::uint64_t kLowDiskBytes = 2ULL * 1024 * 1024 * 1024;  // an agent's image and its work

Finding good(std::string check, std::string what) {
  return {std::move(check), Grade::ok, std::move(what), ""};
}
Finding warn(std::string check, std::string what, std::string cure) {
  return {std::move(check), Grade::warning, std::move(what), std::move(cure)};
}
Finding bad(std::string check, std::string what, std::string cure) {
  return {std::move(check), Grade::problem, std::move(what), std::move(cure)};
}
Finding bad(std::string check, const Error& error) { return bad(std::move(check), error.what, error.hint); }

void engine_findings(std::vector<Finding>& findings, const sandbox::EngineInfo& info) {
  findings.push_back(
      info.live_restore
          ? good("live-restore", "on: a restart of the engine leaves agents running")
          : warn("live-restore", "off: a restart of the engine ends every agent",
                 "put {\"live-restore\": true} in /etc/docker/daemon.json and reload the engine"));
  findings.push_back(good("cgroups", fmt::format("v{} by {}", info.cgroup_version, info.cgroup_driver)));
  if (!info.seccomp)
    findings.push_back(warn("seccomp", "the engine has no seccomp", "use a kernel with seccomp"));
  for (const std::string& warning : info.warnings) findings.push_back(warn("engine", warning, ""));
}

Finding disk(const Home& home) {
  struct statvfs info{};
  if (::statvfs(home.root.c_str(), &info) != 0)
    return bad("disk", "cannot be read", "check " + home.root.string());
  const std::uint64_t left = std::uint64_t{info.f_bavail} * info.f_frsize;
  const std::string what = fmt::format("{} left for {}", format_size(left), home.root.string());
  if (left < kNoDiskBytes)
    return bad("disk", what, "free some space: no agent is started without a journal row");
  return left < kLowDiskBytes ? warn("disk", what, "free some space") : good("disk", what);
}

Finding permissions(const Home& home) {
  struct stat info{};
  if (::stat(home.root.c_str(), &info) != 0)
    return bad("home", "cannot be read", "check " + home.root.string());
  if ((info.st_mode & 077) != 0)
    return bad("home", home.root.string() + " can be read by others", "chmod 700 " + home.root.string());
  return good("home", home.root.string() + " is private");
}

Finding user() {
  if (::geteuid() != 0) return good("user", "the daemon is not root");
  return warn(
      "user",
      "the daemon runs as root: agents in a root-owned workspace run as uid 0, without any capability",
      "run it as a user of the group docker");
}

Finding clock_finding() {
  timex state{};
  if (::adjtimex(&state) == TIME_ERROR) {
    return warn("clock", "no time service keeps the clock right",
                "install one: apt-get install systemd-timesyncd");
  }
  return good("clock", "kept by a time service");
}

void notify_findings(std::vector<Finding>& findings, const config::Notify& notify) {
  if (!notify.command.empty()) {
    const std::string& program = notify.command.front();
    findings.push_back(
        find_program(program)
            ? good("notify command", program)
            : bad("notify command", fmt::format("no program '{}'", program),
                  "name one in [notify] command that the daemon's PATH has, or its whole path"));
  }
  if (notify.webhook.empty()) return;
  const auto origin = config::webhook_origin(notify.webhook);
  if (!origin) return findings.push_back(bad("notify webhook", origin.error()));
  if (notify.secret.empty()) {
    findings.push_back(warn("notify webhook", *origin + " cannot tell our messages from others'",
                            "name a key that both have: [notify] secret"));
    return;
  }
  const auto secret = resolve_secret(notify.secret);
  findings.push_back(
      secret ? good("notify webhook", *origin + ", signed")
             : bad("notify webhook", "nothing is sent: " + secret.error().what, secret.error().hint));
}

Finding host_agents(const HostAgents& host, const config::Config& config) {
  if (host.names.empty()) {
    return good("host", config.sandbox.required ? "a sandbox is required: no agent is started on the host"
                                                : "no agent runs without a sandbox");
  }
  const std::string rights = ::geteuid() == 0 ? "everything root may do" : "everything your user may do";
  return warn(
      "host",
      fmt::format("without a sandbox: {}. They may do {}, and their memory, CPU and processes are not "
                  "limited",
                  fmt::join(host.names, ", "), rights),
      "agentmesh start NAME --sandbox, or [sandbox] required = true");
}

}  // namespace

asio::awaitable<std::vector<Finding>> examine(sandbox::Engine& engine, tmux::Tmux& tmux, const Home& home,
                                              const config::Config& config, const HostAgents& host) {
  std::vector<Finding> findings;
  const auto version = co_await engine.version();
  findings.push_back(version ? good("engine", fmt::format("{} speaks API {}", version->version, version->api))
                             : bad("engine", version.error()));
  if (version) {
    const auto info = co_await engine.info();
    if (info) engine_findings(findings, *info);
    const std::string image = config.defaults.image.value_or(std::string(sandbox::kDefaultImage));
    const auto id = co_await sandbox::resolve_image(engine, image);
    findings.push_back(id ? good("image", image) : bad("image", id.error()));
  }
  const auto server = co_await tmux.ensure();
  findings.push_back(server
                         ? good("tmux", fmt::format("{} on socket {}", server->version, config.tmux.socket))
                         : bad("tmux", server.error()));
  findings.push_back(disk(home));
  findings.push_back(permissions(home));
  findings.push_back(user());
  findings.push_back(clock_finding());
  notify_findings(findings, config.notify);
  findings.push_back(host_agents(host, config));
  co_return findings;
}

json to_json(const std::vector<Finding>& findings) {
  json list = json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"check", finding.check},
                    {"status", to_string(finding.grade)},
                    {"what", finding.what},
                    {"cure", finding.cure.empty() ? json(nullptr) : json(finding.cure)}});
  }
  return list;
}

std::string_view to_string(Grade grade) {
  switch (grade) {
    case Grade::ok:
      return "ok";
    case Grade::warning:
      return "warning";
    case Grade::problem:
      return "problem";
  }
  return "problem";
}

}  // namespace agentmesh::daemon
