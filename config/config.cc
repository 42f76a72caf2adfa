#include "config/config.h"

namespace agentmesh::config {
namespace {

template <class T>
void fill(std::optional<T>& value, const std::optional<T>& lower) {
  if (!value) value = lower;
}

}  // namespace

AgentSettings merge(const AgentSettings& upper, const AgentSettings& lower) {
  AgentSettings merged = upper;
  fill(merged.runner, lower.runner);
  fill(merged.model, lower.model);
  fill(merged.model_url, lower.model_url);
  fill(merged.command, lower.command);
  fill(merged.workdir, lower.workdir);
  fill(merged.image, lower.image);
  fill(merged.cpus, lower.cpus);
  fill(merged.memory_bytes, lower.memory_bytes);
  fill(merged.pids, lower.pids);
  fill(merged.network, lower.network);
  fill(merged.permissions, lower.permissions);
  fill(merged.serve_port, lower.serve_port);
  fill(merged.sandbox, lower.sandbox);
  merged.mounts.insert(merged.mounts.begin(), lower.mounts.begin(), lower.mounts.end());
  merged.env.insert(lower.env.begin(), lower.env.end());
  return merged;
}

AgentSettings built_in() {
  AgentSettings settings;
  settings.runner = "opencode";
  settings.image = "agentmesh/sandbox:latest";
  settings.cpus = 1.0;
  settings.pids = 512;
  settings.network = "egress";
  settings.permissions = "open";
  settings.sandbox = true;
  return settings;
}

}  // namespace agentmesh::config
