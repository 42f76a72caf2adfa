#pragma once
// What Gemini CLI says, read: its hooks, its title and its screen. Pure, and it stands any input.
// Its title is not enough: "Ready" stands over every dialog that is no tool's, "Working" over the one for a
// usage limit, and "Action Required" over a shell command that has been silent for half a minute too.

#include "agents/terminal_link.h"

#include <optional>
#include <string>
#include <string_view>

namespace agentmesh::agents {

class GeminiSigns final : public RunnerSigns {
 public:
  explicit GeminiSigns(const Clock& clock) : clock_(clock) {}

  std::optional<Sign> title(std::string_view title) override;
  HookSaid hook(const nlohmann::json& hook) override;
  std::optional<Sign> screen(const ScreenReading& reading) override;

 private:
  const Clock& clock_;
  Sign limit_;  // as first read: the dialog names a time of day, which is tomorrow's once it has passed
};

// When a limit is over, as Gemini CLI words it: "Access resets at 5:15 PM UTC." It leaves the seconds out, so
// the end of that minute. None: it does not say, or in a zone that is neither UTC nor ours.
std::optional<WallTime> gemini_limit_end(std::string_view text, WallTime now);

}  // namespace agentmesh::agents
