#pragma once
// What step() asks of its caller. Plain values; the caller performs them in order and answers Create, Start,
// Stop, Kill, Remove, OpenPane and WriteCrashReport each with exactly one EffectDone or EffectFailed, Look
// with Observed (or with silence, when the engine cannot be asked), Nudge with NudgeResult, Probe with Probed
// within probe_timeout. The rest has no answer.

#include "base/clock.h"
#include "base/ids.h"
#include "watchdog/agent.h"

#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace agentmesh::watchdog {

// Always the first when present: save the agent's record. Not saved: perform nothing of this step and keep
// the agent as it was before (step.h).
struct Persist {};

// Containers are addressed by name (container_name), so that a lost id does not matter; Start alone by id, so
// that one that arrives late cannot start a later container of the same name.
struct Create {
  RunId run;
  std::string spec_hash;
  Conversation conversation = Conversation::fresh;
};
struct Start {
  RunId run;
  std::string container_id;
};
struct Stop {  // save the context, then SIGTERM, after the timeout SIGKILL
  RunId run;
  Millis timeout{};
};
struct Kill {
  RunId run;
};
struct Remove {  // by force, whatever its state; of another run too, when a snapshot showed a leftover
  RunId run;
};

// Afterwards the agent's session has one live pane on this run: made, or respawned where a dead one stands.
struct OpenPane {
  RunId run;
};
struct ClosePane {};

// One block in the crash log. May be asked twice for one run after a restart of the daemon: the writer skips
// a run that it has already.
struct WriteCrashReport {
  RunId run;
  LastExit exit;
  int restart_number = 0;  // the restart that follows; 0: none follows
  int restart_limit = 0;
  std::optional<WallTime> next_restart_at;
};

// Snapshot engine and tmux, now. One listing answers the Looks of all agents.
struct Look {};

// Is there life that no signal shows? Asked when time is up, never by a clock of its own.
struct Probe {
  RunId run;
  WallTime asked{};  // names this Probe
  WallTime since{};  // the last sign of life
};

enum class NudgeKind { keep_going, limit_over };
struct Nudge {  // verified delivery: types nothing into a dialog, a draft or an unreadable screen
  RunId run;
  NudgeKind kind = NudgeKind::keep_going;
};

enum class Verdict { deny, allow };
struct Answer {  // of this permission prompt and no other, through the runner's own channel first
  RunId run;
  Verdict verdict = Verdict::deny;
  std::string prompt;  // its id; empty: it was told without
  std::string detail;
};

enum class NotifyKind { permission, question, login, usage_limit, stuck, nudge_blocked, effect_failed };
struct Notify {  // a person should know: desktop, hook, hub
  NotifyKind kind = NotifyKind::permission;
  std::string text;
};
struct Alert {  // it failed for good: terminal bell, event, notification
  std::string text;
};
enum class EventName {
  status,  // the status changed; reason is the new reason
  adopted,
  ready,
  ended,
  oom,
  nudged,
  probed,   // silent, but a Probe saw life
  fresh,    // resuming its conversation kept failing: the next run begins a new one, the old one is kept
  excused,  // an end is not counted after all
  reaped,   // a leftover of another run or time was found and is being removed
};
struct Emit {  // a line of `events`
  EventName name = EventName::status;
  std::string reason;
};

using Action = std::variant<Persist, Create, Start, Stop, Kill, Remove, OpenPane, ClosePane, WriteCrashReport,
                            Look, Probe, Nudge, Answer, Notify, Alert, Emit>;

std::string_view to_string(NudgeKind value);
std::string_view to_string(Verdict value);
std::string_view to_string(NotifyKind value);
std::string_view to_string(EventName value);
// "create", "start", ...: for logs and tests.
std::string_view action_name(const Action& action);

}  // namespace agentmesh::watchdog
