#pragma once
// Any terminal program. It runs as the person wrote it; what it does is known only as far as it says so, by
// hooks or by a word in its terminal title. Without them its state stays unknown.

#include "agents/adapter.h"

#include <optional>
#include <string_view>

namespace agentmesh::agents {

class CustomAdapter final : public Adapter {
 public:
  const RunnerFacts& facts() const override;
  Result<LaunchPlan> plan(const LaunchRequest& request) const override;
  bool takes_session(std::string_view id) const override;
  std::unique_ptr<Link> link(LinkContext context, SignalSink sink) const override;
};

// The state a title tells by a word "[agentmesh:busy]", "[agentmesh:idle]", "[agentmesh:permission]" or
// "[agentmesh:question]" anywhere in it.
std::optional<SignalKind> state_in_title(std::string_view title);

// The command as `sh -c` gets it: with `exec` in front where it is one program and its words, so that no
// shell stands between a signal and the program. A line with shell syntax stays as it was written.
std::string shell_line(std::string_view command);

// What every runner gets: who it is and where its hook socket is.
std::map<std::string, std::string> common_environment(const LaunchRequest& request);

}  // namespace agentmesh::agents
