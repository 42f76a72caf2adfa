#include "daemon/effects.h"

#include "base/spawn_logged.h"
#include "daemon/host_launch.h"
#include "daemon/kill.h"
#include "daemon/observer.h"
#include "sandbox/image.h"

#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

// In parts, so that other work has its turn. What the daemon's end interrupts is found at the agent's next
// start.
boost::asio::awaitable<void> remove_aside(Offload& offload, std::filesystem::path home,
                                          std::vector<std::filesystem::path> aside) {
  for (const std::filesystem::path& folder : aside) {
    while (co_await offload.run([home, folder] { return remove_some(home, folder); }) == Removed::some) {
    }
  }
}

}  // namespace

boost::asio::awaitable<sandbox::HostCapacity> Effects::capacity() {
  if (host_.cpus == 0) {
    if (const auto info = co_await parts_.engine.info()) host_ = {info->cpus, info->memory_bytes};
  }
  co_return host_;
}

Task<std::string> Effects::create(AgentSpec spec, LaunchInput input) {
  if (auto allowed = allow_place(spec.place, parts_.config); !allowed) co_return pass(allowed.error());
  if (spec.place == agents::Place::host) co_return co_await create_on_host(std::move(spec), std::move(input));
  co_return co_await create_in_sandbox(std::move(spec), std::move(input));
}

Task<std::string> Effects::create_on_host(AgentSpec spec, LaunchInput input) {
  auto launch = prepare_host_launch(spec, input, parts_.home);
  if (!launch) co_return pass(launch.error());
  co_return co_await parts_.host.create(input.name, input.run, std::move(*launch));
}

Task<std::string> Effects::create_in_sandbox(AgentSpec spec, LaunchInput input) {
  const std::string name = container_name(input.name, input.run);
  auto image = co_await sandbox::resolve_image(parts_.engine, spec.image);
  if (!image) co_return pass(image.error());
  input.image_id = *image;
  input.owner = parts_.owner;
  const auto host = co_await capacity();
  const auto workspace = parts_.policy.workspace(spec.workdir);
  if (!workspace) co_return pass(workspace.error());
  auto launch = prepare_launch(spec, input, parts_.home, parts_.policy, host);
  if (!launch) co_return pass(launch.error());
  if (auto prepared = co_await prepare(std::move(launch->folders)); !prepared)
    co_return pass(prepared.error());
  auto created = co_await parts_.engine.create(name, std::move(launch->run));
  if (created) created_.insert_or_assign(*created, Created{name, *workspace});
  if (created || created.error().code != ErrorCode::conflict) co_return created;
  co_return co_await adopt(name, input);
}

Task<> Effects::prepare(AgentFolders folders) {
  auto aside = co_await parts_.offload.run([folders] { return prepare_folders(folders); });
  if (!aside) co_return pass(aside.error());
  if (!aside->empty()) {
    const auto executor = co_await boost::asio::this_coro::executor;
    spawn_logged(executor, "home", remove_aside(parts_.offload, folders.home, std::move(*aside)));
  }
  co_return Result<void>{};
}

Task<std::string> Effects::adopt(const std::string& container, const LaunchInput& input) {
  const auto found = co_await parts_.engine.inspect(container);
  if (!found) co_return pass(found.error());
  if (label_of(found->labels, sandbox::kOwnerLabel) == parts_.owner &&
      label_of(found->labels, sandbox::kAgentLabel) == input.name.str()) {
    co_return found->id;
  }
  co_return fail(ErrorCode::conflict, "engine",
                 fmt::format("a container named {} belongs to somebody else", container),
                 fmt::format("remove it (docker rm -f {}) or choose another name", container));
}

Task<> Effects::start(std::string id) {
  if (id.starts_with(host::kIdPrefix)) co_return co_await parts_.host.start(std::move(id));
  if (const auto known = created_.extract(id); known) {
    if (auto same = sandbox::recheck(known.mapped().workspace); !same) co_return pass(same.error());
  }
  auto done = co_await parts_.engine.start(std::move(id));
  co_return done;
}

Task<> Effects::stop(RunPlace run, Millis timeout) {
  if (run.place == agents::Place::host) co_return co_await parts_.host.stop(host_id(run), timeout);
  auto done = co_await parts_.engine.stop(container_name(run.agent, run.run), timeout);
  co_return done;
}

Task<> Effects::kill(RunPlace run) {
  if (run.place == agents::Place::host) co_return co_await parts_.host.kill(host_id(run));
  co_return co_await kill_container(parts_.engine, container_name(run.agent, run.run), kKillPatience);
}

Task<> Effects::remove(RunPlace run) {
  if (run.place == agents::Place::host) co_return co_await parts_.host.remove(host_id(run));
  const std::string name = container_name(run.agent, run.run);
  std::erase_if(created_, [&](const auto& known) { return known.second.container == name; });
  auto done = co_await parts_.engine.remove(name);
  co_return done;
}

Task<> Effects::remove_stray(std::string id) {
  if (id.starts_with(host::kIdPrefix)) co_return co_await parts_.host.remove(std::move(id));
  co_return co_await parts_.engine.remove(std::move(id));
}

Task<std::string> Effects::logs(RunPlace run, std::uint32_t lines) {
  if (run.place == agents::Place::host) co_return co_await parts_.host.logs(host_id(run), lines);
  co_return co_await parts_.engine.logs(container_name(run.agent, run.run), {.tail_lines = lines});
}

sandbox::AttachTarget Effects::terminal_of(const RunPlace& run) const {
  const std::string name = container_name(run.agent, run.run);
  if (run.place == agents::Place::sandbox) return {parts_.engine_socket, "", name};
  return {parts_.host.socket_of(host_id(run)).string(), "", name};
}

}  // namespace agentmesh::daemon
