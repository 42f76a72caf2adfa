#pragma once
// What the end of a run means: a table from exit code, signal, memory and the circumstances to a class (what
// to do) and a named reason (what to say). Pure.

#include "watchdog/agent.h"
#include "watchdog/policy.h"

#include <optional>
#include <string>
#include <string_view>

namespace agentmesh::watchdog {

enum class ExitClass {
  asked,      // we ended it: `after` was decided then
  done,       // it finished: stopped, as if asked
  transient,  // restart, counted
  limited,    // restart when the usage limit is over, not counted
  login,      // held until a person logs in
  broken,     // it would fail again: failed at once
};

// The circumstances of an end.
struct EndOfRun {
  std::optional<int> code;               // none: the container vanished
  bool oom_killed = false;               // the engine says that this container's cgroup met its limit
  bool oom_child = false;                // a process was killed for memory earlier in this run
  ExitReason ending = ExitReason::none;  // why we ended it, if we did
  bool limited = false;                  // the run's usage limit is not over
  bool login_shown = false;
  bool work = false;
  bool witnessed = true;  // false: daemon or engine was away, so a code of 0 may be its shutdown
  bool early = false;     // within broken_within of its start
  CleanExit on_clean_exit = CleanExit::when_work;
};

struct ExitVerdict {
  ExitClass kind = ExitClass::transient;
  ExitReason reason = ExitReason::crashed;
  std::optional<int> signal;
  bool oom_main = false;
  std::string text;  // "exit code 137 (SIGKILL)", "out of memory (main process)"
};

ExitVerdict classify(const EndOfRun& end);

// "SIGKILL" for 9; "signal 77" for one without a name.
std::string signal_name(int signal);
// One sentence without details, per reason: "stopped by user".
std::string_view describe(ExitReason reason);
std::string_view to_string(ExitClass value);

}  // namespace agentmesh::watchdog
