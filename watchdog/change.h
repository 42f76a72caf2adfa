#pragma once
// Inside step(): the agent being changed, the actions collected, and the moves between phases that the
// handlers are made of. Private to watchdog/.

#include "watchdog/action.h"
#include "watchdog/agent.h"
#include "watchdog/event.h"
#include "watchdog/policy.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::watchdog {

struct Change {
  Agent agent;
  const Policy& policy;
  WallTime now;
  std::vector<Action> actions;

  void act(Action action) { actions.push_back(std::move(action)); }
};

enum class Witness { seen, missed };

// What the engine told about an end: the code is none when the container vanished.
struct End {
  std::optional<int> code;
  bool oom_killed = false;
  Witness witness = Witness::seen;
};

// Phases in which nothing of the agent exists and nothing is in flight.
bool at_rest(Phase phase);
// A container runs.
bool is_live(Phase phase);

void enter(Change& c, Phase phase, Millis wait);
void queue(Change& c);
void begin_create(Change& c);
void begin_start(Change& c);
void launch(Change& c);
void go_up(Change& c);
// Takes a running container as ours without starting it.
void adopt(Change& c);
void begin_stop(Change& c, ExitReason ending, Millis timeout);
void begin_kill(Change& c);
// What a stop or restart asked for a run that only now turns out to be there.
void end_as_asked(Change& c, ExitReason ending);
// Remembers it.
void ask_end(Change& c, Millis timeout, StopManner manner);
// The run is over: name the reason, decide what follows, write the report.
void end_run(Change& c, const End& end);
// Create or start failed and nothing runs: the same for a run that never was.
void end_attempt(Change& c);
// Asks for the report of the newest end: when it ends, and of a daemon that did not hear that it was written.
void report(Change& c);
void begin_remove(Change& c);
void check(Change& c, Effect effect, Failure failure, std::string message);
// The run is proved gone: on to what follows.
void gone(Change& c);
// Nothing exists: rest when stopped is wanted, else what `after` says.
void settle(Change& c);
// One more try of what does not come about: the wait before the next. `what` is for the person who is told.
Millis try_again(Change& c, Millis first, const std::string& what);
Millis retry_wait(const Agent& agent, const Policy& policy, Millis first);
inline constexpr const char* kNotRemoved = "its container cannot be removed";
void open_pane(Change& c);
// Takes back the count of an end since `since` that was the host's fault, not the agent's.
void excuse(Change& c, WallTime since);

// Condition while up (conditions.cc).
void set_condition(Change& c, Condition condition, std::string detail);
// A sign of life: the clock starts again, and a Probe in flight is pointless.
void progress(Change& c, WallTime at);
bool may_get_stuck(const Agent& agent);
void judge(Change& c, const Probed& answer);
bool dialog_open(const Agent& agent);
void become_stuck(Change& c, NudgeKind kind, std::string detail);
void accept_idle(Change& c);
void condition_wakes(Change& c);
std::optional<WallTime> condition_wake(const Agent& agent, const Policy& policy);

// One handler per event.
void handle(Change& c, const StartAsked& event);
void handle(Change& c, const StopAsked& event);
void handle(Change& c, const RestartAsked& event);
void handle(Change& c, const DaemonStarted& event);
void handle(Change& c, const Admitted& event);
void handle(Change& c, const EffectDone& event);
void handle(Change& c, const EffectFailed& event);
void handle(Change& c, const Observed& event);
void handle(Change& c, const ContainerDied& event);
void handle(Change& c, const OomKilled& event);
void handle(Change& c, const ContainerGone& event);
void handle(Change& c, const PaneLost& event);
void handle(Change& c, const Signal& event);
void handle(Change& c, const Work& event);
void handle(Change& c, const NudgeResult& event);
void handle(Change& c, const Probed& event);
void handle(Change& c, const EngineLost& event);
void handle(Change& c, const EngineBack& event);
void handle(Change& c, const MassDeath& event);
void handle(Change& c, const Tick& event);

}  // namespace agentmesh::watchdog
