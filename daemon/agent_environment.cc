#include "daemon/agent_environment.h"

#include <algorithm>

#include <fmt/format.h>

namespace agentmesh::daemon {

bool is_ours(std::string_view variable, std::string_view runner, agents::Place place) {
  if (variable.starts_with("AGENTMESH_")) return true;
  if (variable == "HOME" && place == agents::Place::sandbox) return true;
  const auto adapter = agents::find_adapter(runner);
  if (!adapter) return false;
  const auto own = (*adapter)->facts().own_variables;
  return std::ranges::find(own, variable) != own.end();
}

Result<void> check_environment(const Environment& given, std::string_view runner, agents::Place place) {
  for (const auto& [name, value] : given) {
    if (!is_ours(name, runner, place)) continue;
    return fail(ErrorCode::invalid, "env", fmt::format("{} is set by agentmesh and cannot be given", name),
                "leave it out of --env and of [agents.NAME.env]");
  }
  return {};
}

Environment agent_environment(const EnvironmentParts& parts, const Environment& given,
                              const agents::LaunchPlan& plan, const Environment& usual) {
  Environment all = plan.env;
  for (const auto& [name, value] : given) {
    if (!is_ours(name, parts.runner, parts.place)) all.insert_or_assign(name, value);
  }
  all["AGENTMESH_AGENT"] = parts.agent;
  all["AGENTMESH_AGENT_ID"] = parts.agent_id;
  all.insert(usual.begin(), usual.end());
  all.insert({{"TERM", "xterm-256color"}, {"COLORTERM", "truecolor"}, {"LANG", "C.UTF-8"}});
  return all;
}

}  // namespace agentmesh::daemon
