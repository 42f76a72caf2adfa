#pragma once
// Codex. In a sandbox its app-server runs beside the TUI, which is attached to it as one client, as the Link
// is another (codex_link.h): state, messages and answers go over that, no key is pressed. Settings are words
// of its command line (-c), so no file of the home is written.

#include "agents/adapter.h"

namespace agentmesh::agents {

class CodexAdapter final : public Adapter {
 public:
  const RunnerFacts& facts() const override;
  // Errors: invalid (a model or URL with control characters, a session that is no id, open permissions
  // outside a sandbox).
  Result<LaunchPlan> plan(const LaunchRequest& request) const override;
  bool takes_session(std::string_view id) const override;
  std::unique_ptr<Link> link(LinkContext context, SignalSink sink) const override;
};

}  // namespace agentmesh::agents
