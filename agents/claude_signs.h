#pragma once
// What Claude Code says, read: its status file (sessions/PID.json below its configuration), its hooks, its
// title and its screen. Pure, and it stands any input. The files and hooks are those of 2.1; what a later
// version says in other words is not understood, and then the next source of the ladder tells the state.

#include "agents/terminal_link.h"

#include <optional>
#include <string>
#include <string_view>

namespace agentmesh::agents {

class ClaudeSigns final : public RunnerSigns {
 public:
  // `session`: the conversation as last known; empty: not known yet. On the host other conversations of the
  // user's have status files beside the agent's: before its own is known, none counts.
  ClaudeSigns(std::string session, const Clock& clock, Place place)
      : session_(std::move(session)), clock_(clock), place_(place) {}

  std::optional<Sign> title(std::string_view title) override;
  HookSaid hook(const nlohmann::json& hook) override;
  std::optional<Sign> screen(const ScreenReading& reading) override;
  std::optional<Sign> status(const std::vector<std::string>& texts) override;
  std::string version() const override { return version_; }
  std::string answer(PermissionAnswer answer, std::string_view reason) const override;

 private:
  HookSaid asked(const nlohmann::json& hook) const;
  HookSaid failed(const nlohmann::json& hook) const;

  std::string session_;
  const Clock& clock_;
  Place place_;
  std::optional<Sign> status_;  // as last understood
  std::string version_;         // of its status file
  // The limit that a screen showed last: what it says means the time at which it was said first.
  struct ShownLimit {
    std::string text;
    std::optional<WallTime> until;
    bool shown = false;  // still, as far as we have looked
  };
  ShownLimit limit_;
};

// When a limit is over, as Claude Code words it: "resets 6:56pm (UTC)", "resets Nov 26, 3am (UTC)",
// "retrying in 23s (4:55pm)". A time of day that is less than an hour past is past. None: it does not say.
std::optional<WallTime> claude_limit_end(std::string_view text, WallTime now);

}  // namespace agentmesh::agents
