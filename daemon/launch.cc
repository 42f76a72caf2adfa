#include "daemon/launch.h"

#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;

Result<std::vector<sandbox::Mount>> extra_mounts(const AgentSpec& spec, const sandbox::MountPolicy& policy) {
  std::vector<sandbox::Mount> mounts;
  for (const std::string& text : spec.mounts) {
    const auto request = sandbox::parse_mount(text);
    if (!request) return pass(request.error());
    auto mount = policy.mount(*request);
    if (!mount) return pass(mount.error());
    mounts.push_back(std::move(*mount));
  }
  return mounts;
}

sandbox::NetworkChoice network_of(const std::string& name) {
  return {name == "bridge" ? sandbox::NetworkKind::bridge : sandbox::NetworkKind::none, ""};
}

constexpr std::size_t kPasswordBytes = 16;  // of randomness

// Made once for an agent, so that who is connected stays so over a restart.
Result<void> prepare_password(const fs::path& path, const sandbox::Identity& owner) {
  std::error_code ec;
  if (!fs::exists(path, ec)) {
    if (auto wrote = write_file(path, random_hex(kPasswordBytes) + "\n", 0600); !wrote) return wrote;
  }
  if (::geteuid() != 0 || ::lchown(path.c_str(), owner.uid, owner.gid) == 0) return {};
  return pass(os_error("home", fmt::format("cannot give {} to uid {}", path.string(), owner.uid), errno));
}

Result<agents::LaunchPlan> plan_of(const AgentSpec& spec, const LaunchInput& input) {
  const auto adapter = agents::find_adapter(spec.runner);
  if (!adapter) return pass(adapter.error());
  return (*adapter)->plan(agents::LaunchRequest{
      .name = input.name,
      .place = agents::Place::sandbox,
      .permissions = permissions_from(spec.permissions).value_or(agents::Permissions::ask),
      .command = spec.command,
      .model = spec.model,
      .provider = {.base_url = spec.model_url, .token_env = ""},
      .conversation = conversation_of(input.conversation, input.session_id),
      .session_id = input.session_id,
      .surface = spec.serve_port == 0 ? agents::Surface::terminal : agents::Surface::server,
      .password_file = fs::path(sandbox::kPasswordTarget),
      .http_port = agents::kSandboxHttpPort,
      .http_password = {}});
}

// A folder of the agent's own: private, owned by the user its sandbox runs as. A link in its place is
// refused, because the agent could have put it there.
Result<void> private_folder(const fs::path& path, const sandbox::Identity& owner) {
  if (auto made = make_dir(path.parent_path(), 0700); !made) return made;
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return pass(os_error("home", fmt::format("cannot make {}", path.string()), errno));
  }
  const UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) return pass(os_error("home", fmt::format("cannot open {}", path.string()), errno));
  const bool owned = ::geteuid() != 0 || ::fchown(folder.get(), owner.uid, owner.gid) == 0;
  if (!owned || ::fchmod(folder.get(), 0700) != 0) {
    return pass(os_error("home", fmt::format("cannot give {} to uid {}", path.string(), owner.uid), errno));
  }
  return {};
}

// Walks to the parent of `relative` below `root` without following a link, making folders on the way.
Result<UniqueFd> open_parent(const fs::path& root, const fs::path& relative, const sandbox::Identity& owner) {
  UniqueFd folder(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  for (const fs::path& part : relative.parent_path()) {
    if (!folder.valid() || part == "..") break;
    if (::mkdirat(folder.get(), part.c_str(), 0700) == 0 && ::geteuid() == 0) {
      const int chowned = ::fchownat(folder.get(), part.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW);
      if (chowned != 0) return pass(os_error("home", "cannot own " + part.string(), errno));
    }
    folder = UniqueFd(::openat(folder.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  if (!folder.valid()) return pass(os_error("home", fmt::format("cannot open {}", relative.string()), errno));
  return folder;
}

// A file that is ours is made anew beside the old one, which may be a link to anywhere.
Result<void> write_home_file(const fs::path& root, const agents::HomeFile& file,
                             const sandbox::Identity& owner) {
  auto parent = open_parent(root, file.path, owner);
  if (!parent) return pass(parent.error());
  const std::string name = file.path.filename().string();
  if (file.rewrite == agents::Rewrite::always && ::unlinkat(parent->get(), name.c_str(), 0) != 0 &&
      errno != ENOENT) {
    return pass(os_error("home", fmt::format("cannot replace {}", file.path.string()), errno));
  }
  const UniqueFd fd(
      ::openat(parent->get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, file.mode));
  if (!fd.valid() && errno == EEXIST) return {};
  const bool wrote = fd.valid() &&
                     ::write(fd.get(), file.content.data(), file.content.size()) ==
                         static_cast<ssize_t>(file.content.size()) &&
                     (::geteuid() != 0 || ::fchown(fd.get(), owner.uid, owner.gid) == 0);
  if (!wrote) return pass(os_error("home", fmt::format("cannot write {}", file.path.string()), errno));
  return {};
}

// Takes the files out of a folder, which is made if it is not there; folders in it stay.
Result<void> empty_folder(const fs::path& root, const fs::path& relative, const sandbox::Identity& owner) {
  auto folder = open_parent(root, relative / "file", owner);
  if (!folder) return pass(folder.error());
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/self/fd/{}", folder->get()), ec)) {
    const std::string name = entry.path().filename().string();
    if (::unlinkat(folder->get(), name.c_str(), 0) == 0 || errno == EISDIR || errno == EPERM) continue;
    return pass(os_error("home", fmt::format("cannot empty {}", relative.string()), errno));
  }
  if (ec) return pass(os_error("home", fmt::format("cannot read {}", relative.string()), ec.value()));
  return {};
}

Result<void> prepare_folders(const AgentSpec& spec, const LaunchInput& input, const Home& home,
                             const agents::LaunchPlan& plan, const sandbox::Identity& owner) {
  const fs::path agent_home = home.agent_home(input.name);
  if (auto made = private_folder(agent_home, owner); !made) return made;
  if (auto made = private_folder(home.agent_run(input.name), owner); !made) return made;
  if (auto made = make_dir(home.agent_pane(input.name), 0700); !made) return made;
  if (spec.serve_port != 0) {
    if (auto made = prepare_password(home.agent_password(input.name), owner); !made) return made;
  }
  for (const agents::HomeFile& file : plan.files) {
    if (auto wrote = write_home_file(agent_home, file, owner); !wrote) return wrote;
  }
  for (const fs::path& folder : plan.emptied) {
    if (auto emptied = empty_folder(agent_home, folder, owner); !emptied) return emptied;
  }
  return {};
}

std::map<std::string, std::string> environment_of(const AgentSpec& spec, const LaunchInput& input,
                                                  const agents::LaunchPlan& plan,
                                                  const sandbox::Identity& owner) {
  std::map<std::string, std::string> env = spec.env;
  env.insert(plan.env.begin(), plan.env.end());
  env["HOME"] = std::string(sandbox::kHomeTarget);
  env.emplace("TERM", "xterm-256color");
  env.emplace("COLORTERM", "truecolor");
  env.emplace("LANG", "C.UTF-8");
  env["AGENTMESH_AGENT"] = input.name.str();
  env["AGENTMESH_AGENT_ID"] = input.agent_id;
  if (owner.uid == 0) env["IS_SANDBOX"] = "1";
  return env;
}

sandbox::RunSpec run_spec_of(const AgentSpec& spec, const LaunchInput& input, const Home& home,
                             const agents::LaunchPlan& plan, const sandbox::ResolvedSource& workspace,
                             const sandbox::Identity& owner) {
  sandbox::RunSpec run;
  run.image = input.image_id;
  run.command = plan.argv;
  run.hostname = "agentmesh";
  run.user = owner;
  run.environment = environment_of(spec, input, plan, owner);
  run.mounts = {
      {workspace.path, std::string(sandbox::kWorkspaceTarget), sandbox::Access::read_write},
      {home.agent_home(input.name).string(), std::string(sandbox::kHomeTarget), sandbox::Access::read_write},
      {home.agent_run(input.name).string(), std::string(sandbox::kChannelTarget),
       sandbox::Access::read_write},
  };
  run.limits.cpus = spec.cpus;
  run.limits.memory_bytes = spec.memory_bytes;
  run.limits.pids = spec.pids;
  run.network = network_of(spec.network);
  if (spec.serve_port != 0) {
    run.mounts.push_back({home.agent_password(input.name).string(), std::string(sandbox::kPasswordTarget),
                          sandbox::Access::read_only});
    run.publish = sandbox::PublishedPort{spec.serve_port, agents::kSandboxHttpPort};
    run.terminal = sandbox::Terminal::no;
  }
  run.labels = {{std::string(sandbox::kOwnerLabel), input.owner},
                {std::string(sandbox::kAgentLabel), input.name.str()},
                {std::string(sandbox::kRunLabel), std::to_string(input.run.value)}};
  return run;
}

}  // namespace

agents::Conversation conversation_of(watchdog::Conversation asked, const std::string& session_id) {
  if (asked == watchdog::Conversation::fresh) return agents::Conversation::fresh;
  return session_id.empty() ? agents::Conversation::continue_last : agents::Conversation::continue_session;
}

Result<sandbox::ResolvedSource> check_launch(const AgentSpec& spec, const AgentName& name,
                                             const sandbox::MountPolicy& policy,
                                             const sandbox::HostCapacity& host) {
  auto workspace = policy.workspace(spec.workdir);
  if (!workspace) return workspace;
  const auto owner = policy.identity(*workspace);
  if (!owner) return pass(owner.error());
  auto mounts = extra_mounts(spec, policy);
  if (!mounts) return pass(mounts.error());
  const LaunchInput input{.name = name, .run = RunId{1}, .image_id = "sha256:0"};
  const auto plan = plan_of(spec, input);
  if (!plan) return pass(plan.error());
  sandbox::RunSpec run = run_spec_of(spec, input, Home{"/"}, *plan, *workspace, *owner);
  run.mounts.insert(run.mounts.end(), mounts->begin(), mounts->end());
  if (auto valid = sandbox::validate(run, host); !valid) return pass(valid.error());
  return workspace;
}

Result<sandbox::RunSpec> prepare_launch(const AgentSpec& spec, const LaunchInput& input, const Home& home,
                                        const sandbox::MountPolicy& policy,
                                        const sandbox::HostCapacity& host) {
  const auto workspace = policy.workspace(spec.workdir);
  if (!workspace) return pass(workspace.error());
  const auto owner = policy.identity(*workspace);
  if (!owner) return pass(owner.error());
  auto mounts = extra_mounts(spec, policy);
  if (!mounts) return pass(mounts.error());
  const auto plan = plan_of(spec, input);
  if (!plan) return pass(plan.error());
  if (auto prepared = prepare_folders(spec, input, home, *plan, *owner); !prepared)
    return pass(prepared.error());
  sandbox::RunSpec run = run_spec_of(spec, input, home, *plan, *workspace, *owner);
  run.mounts.insert(run.mounts.end(), mounts->begin(), mounts->end());
  run.labels[std::string(sandbox::kSpecLabel)] = sandbox::spec_hash(run);
  if (auto valid = sandbox::validate(run, host); !valid) return pass(valid.error());
  return run;
}

}  // namespace agentmesh::daemon
