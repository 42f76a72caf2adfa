#pragma once
// Gemini CLI 0.x. Its state comes from its hooks, its title and its screen; a message is typed into its pane,
// and a permission prompt is answered there by keys, because no hook of it can answer one. In a sandbox its
// first start is answered by its settings file, which is written once: it keeps its own settings there too.

#include "agents/adapter.h"

#include <string>

namespace agentmesh::agents {

class GeminiAdapter final : public Adapter {
 public:
  const RunnerFacts& facts() const override;
  Result<LaunchPlan> plan(const LaunchRequest& request) const override;
  bool takes_session(std::string_view id) const override;
  std::unique_ptr<Link> link(LinkContext context, SignalSink sink) const override;
  // "@" and a folder that is always there ("@/", "@.", "@../"): it asks a person to let it read that, or puts
  // what is in it into the prompt.
  std::optional<std::string> misread(std::string_view message) const override;
};

// ~/.gemini/settings.json: hooks, no update, no usage statistics, no search of the workspace for each "@" in
// a message, and the key as the way to log in when one is given.
std::string gemini_settings(const LaunchRequest& request);

}  // namespace agentmesh::agents
