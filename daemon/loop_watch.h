#pragma once
// The loop detectors of one run (watchdog/repeats.h), fed with what the runner's link and the pane tell. The
// supervisor owns one for each run.

#include "agents/adapter.h"
#include "watchdog/event.h"
#include "watchdog/repeats.h"

#include <optional>
#include <string_view>

namespace agentmesh::daemon {

class LoopWatch {
 public:
  explicit LoopWatch(int limit) : limit_(limit), calls_(limit), screens_(limit) {}

  // `translated` is what the watchdog is told of `signal`; a tool call that repeats itself becomes
  // `repeated`, the first other one after it `varied`. The end of a turn ends every loop.
  void judge(const agents::Signal& signal, watchdog::Signal& translated);
  // The pane's text after a change, at most once a second. None: no loop, nothing to tell.
  std::optional<watchdog::Signal> screen(std::string_view text, RunId run, WallTime now);

 private:
  int limit_;
  watchdog::CallRepeats calls_;
  watchdog::ScreenRepeats screens_;
};

}  // namespace agentmesh::daemon
