#include "daemon/launch.h"

#include "daemon/agent_environment.h"

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

Result<agents::LaunchPlan> plan_of(const AgentSpec& spec, const LaunchInput& input) {
  const auto adapter = agents::find_adapter(spec.runner);
  if (!adapter) return pass(adapter.error());
  auto request = launch_request(spec, input, agents::Place::sandbox);
  request.surface = spec.serve_port == 0 ? agents::Surface::terminal : agents::Surface::server;
  request.password_file = fs::path(sandbox::kPasswordTarget);
  request.http_port = agents::kSandboxHttpPort;
  return (*adapter)->plan(request);
}

Environment environment_of(const AgentSpec& spec, const LaunchInput& input, const agents::LaunchPlan& plan,
                           const sandbox::Identity& owner) {
  Environment usual{{"HOME", std::string(sandbox::kHomeTarget)}};
  if (owner.uid == 0) usual["IS_SANDBOX"] = "1";
  return agent_environment({spec.runner, agents::Place::sandbox, input.name.str(), input.agent_id}, spec.env,
                           plan, usual);
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

agents::LaunchRequest launch_request(const AgentSpec& spec, const LaunchInput& input, agents::Place place) {
  const auto usual = place == agents::Place::host ? agents::Permissions::own : agents::Permissions::ask;
  return {.name = input.name,
          .place = place,
          .permissions = permissions_from(spec.permissions).value_or(usual),
          .command = spec.command,
          .model = spec.model,
          .provider = {.base_url = spec.model_url, .token_env = ""},
          .conversation = conversation_of(input.conversation, input.session_id),
          .session_id = input.session_id,
          .password_file = {},
          .http_password = {}};
}

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

Result<Launch> prepare_launch(const AgentSpec& spec, const LaunchInput& input, const Home& home,
                              const sandbox::MountPolicy& policy, const sandbox::HostCapacity& host) {
  const auto workspace = policy.workspace(spec.workdir);
  if (!workspace) return pass(workspace.error());
  const auto owner = policy.identity(*workspace);
  if (!owner) return pass(owner.error());
  auto mounts = extra_mounts(spec, policy);
  if (!mounts) return pass(mounts.error());
  auto plan = plan_of(spec, input);
  if (!plan) return pass(plan.error());
  sandbox::RunSpec run = run_spec_of(spec, input, home, *plan, *workspace, *owner);
  run.mounts.insert(run.mounts.end(), mounts->begin(), mounts->end());
  run.labels[std::string(sandbox::kSpecLabel)] = sandbox::spec_hash(run);
  if (auto valid = sandbox::validate(run, host); !valid) return pass(valid.error());
  AgentFolders folders{.home = home.agent_home(input.name),
                       .run = home.agent_run(input.name),
                       .pane = home.agent_pane(input.name),
                       .password = spec.serve_port == 0 ? "" : home.agent_password(input.name),
                       .owner = *owner,
                       .files = std::move(plan->files),
                       .emptied = std::move(plan->emptied)};
  return Launch{std::move(run), std::move(folders)};
}

}  // namespace agentmesh::daemon
