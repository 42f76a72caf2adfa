#pragma once
// Claude Code 2.x. Its state comes from its status file and its hooks, its permission prompts are answered
// through the hook that told them; a message is typed into its pane. Its settings go in by --settings, so
// that no file of a person's home is written; in a sandbox the files that answer its first dialogs are
// written once.

#include "agents/adapter.h"

#include <string>

namespace agentmesh::agents {

class ClaudeAdapter final : public Adapter {
 public:
  const RunnerFacts& facts() const override;
  Result<LaunchPlan> plan(const LaunchRequest& request) const override;
  bool takes_session(std::string_view id) const override;
  std::unique_ptr<Link> link(LinkContext context, SignalSink sink) const override;
};

// The settings as JSON: the hooks, and that the warning of bypass mode has been read.
std::string claude_settings(const LaunchRequest& request);

}  // namespace agentmesh::agents
