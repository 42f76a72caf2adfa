#pragma once
// opencode 1.x. Its HTTP server runs inside the TUI's process, so one process is both what a person sees and
// what the Link talks to. Configuration goes in by OPENCODE_CONFIG_CONTENT: no file of the home is written.

#include "agents/adapter.h"

namespace agentmesh::agents {

class OpencodeAdapter final : public Adapter {
 public:
  const RunnerFacts& facts() const override;
  Result<LaunchPlan> plan(const LaunchRequest& request) const override;
  bool takes_session(std::string_view id) const override;
  std::unique_ptr<Link> link(LinkContext context, SignalSink sink) const override;
};

// The configuration as JSON. Errors: invalid (a model without "PROVIDER/", a base URL without a model).
Result<std::string> opencode_config(const LaunchRequest& request);

}  // namespace agentmesh::agents
