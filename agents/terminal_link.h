#pragma once
// The live line to a program that is known by its terminal: title, hooks, screen, and what a runner has
// besides. One Link for all of them; what differs is a RunnerSigns, a small pure reader of one runner's
// words. A permission prompt is answered through the hook that told it, when that waits for an answer.

#include "agents/adapter.h"
#include "agents/sign_fold.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::agents {

// What a hook said: a state, and news that are none (session_learned, tool_called, activity, turn_ended).
struct HookSaid {
  std::optional<Sign> sign = {};
  std::vector<Signal> news = {};
  bool call_over =
      false;  // the tool call it names has been run or refused: nothing is asked about it any more
};

// Reads one runner's words. It stands any input: the program in the sandbox may send and write what it likes.
class RunnerSigns {
 public:
  virtual ~RunnerSigns() = default;
  // None: this title says nothing about the state (a program inside set it, or it is not the runner's form).
  virtual std::optional<Sign> title(std::string_view title) = 0;
  // The runner's own JSON, as its hook command passed it on; at most kMaxHookBytes. A tool_called without a
  // detail gets the hook command's hash of the whole call.
  virtual HookSaid hook(const nlohmann::json& hook) = 0;
  // What the screen says; none: nothing that a state follows from.
  virtual std::optional<Sign> screen(const ScreenReading& reading);
  // What the program's status files say, all that are in its folder; none: no file of this run, or one that
  // is not understood.
  virtual std::optional<Sign> status(const std::vector<std::string>& texts);
  // The program's version as its words told it; empty: they did not.
  virtual std::string version() const { return {}; }
  // What a hook that waits prints to answer its permission prompt. Empty: it cannot.
  virtual std::string answer(PermissionAnswer answer, std::string_view reason) const;
};

struct TerminalProgram {
  std::string_view runner;  // whose screen rules
  std::unique_ptr<RunnerSigns> signs;
  int busy_paints = 5;                       // of a busy pane's pictures every so many is looked at
  std::filesystem::path status_folder = {};  // below the home; empty: it has none
};

std::unique_ptr<Link> make_terminal_link(LinkContext context, SignalSink sink, TerminalProgram program);

// What a screen says of the state; none: nothing that a state follows from.
std::optional<Sign> sign_of(const ScreenReading& reading);

}  // namespace agentmesh::agents
