#include "daemon/effects.h"

#include "base/log.h"
#include "sandbox/image.h"

#include <signal.h>

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

std::string label(const sandbox::ContainerDetails& container, std::string_view key) {
  const auto found = container.labels.find(std::string(key));
  return found == container.labels.end() ? "" : found->second;
}

}  // namespace

Effects::Effects(sandbox::Engine& engine, const sandbox::MountPolicy& policy, const Home& home,
                 std::string owner)
    : engine_(engine), policy_(policy), home_(home), owner_(std::move(owner)) {}

boost::asio::awaitable<sandbox::HostCapacity> Effects::capacity() {
  if (host_.cpus == 0) {
    if (const auto info = co_await engine_.info()) host_ = {info->cpus, info->memory_bytes};
  }
  co_return host_;
}

Task<std::string> Effects::create(AgentSpec spec, LaunchInput input) {
  const std::string name = container_name(input.name, input.run);
  auto image = co_await sandbox::resolve_image(engine_, spec.image);
  if (!image) co_return pass(image.error());
  input.image_id = *image;
  input.owner = owner_;
  const auto host = co_await capacity();
  const auto workspace = policy_.workspace(spec.workdir);
  if (!workspace) co_return pass(workspace.error());
  auto run = prepare_launch(spec, input, home_, policy_, host);
  if (!run) co_return pass(run.error());
  auto created = co_await engine_.create(name, std::move(*run));
  if (created) workspaces_.insert_or_assign(*created, *workspace);
  if (created || created.error().code != ErrorCode::conflict) co_return created;
  co_return co_await adopt(name, input);
}

Task<std::string> Effects::adopt(const std::string& container, const LaunchInput& input) {
  const auto found = co_await engine_.inspect(container);
  if (!found) co_return pass(found.error());
  if (label(*found, sandbox::kOwnerLabel) == owner_ &&
      label(*found, sandbox::kAgentLabel) == input.name.str()) {
    co_return found->id;
  }
  co_return fail(ErrorCode::conflict, "engine",
                 fmt::format("a container named {} belongs to somebody else", container),
                 fmt::format("remove it (docker rm -f {}) or choose another name", container));
}

Task<> Effects::start(std::string container_id) {
  if (const auto known = workspaces_.extract(container_id); known) {
    if (auto same = sandbox::recheck(known.mapped()); !same) co_return pass(same.error());
  }
  auto done = co_await engine_.start(std::move(container_id));
  co_return done;
}

Task<> Effects::stop(AgentName agent, RunId run, Millis timeout) {
  auto done = co_await engine_.stop(container_name(agent, run), timeout);
  co_return done;
}

Task<> Effects::kill(AgentName agent, RunId run) {
  auto done = co_await engine_.kill(container_name(agent, run), SIGKILL);
  const bool ended = !done && done.error().code == ErrorCode::conflict;  // it does not run: that was the aim
  if (ended) co_return Result<void>{};
  co_return done;
}

Task<> Effects::remove(AgentName agent, RunId run) {
  auto done = co_await engine_.remove(container_name(agent, run));
  co_return done;
}

}  // namespace agentmesh::daemon
