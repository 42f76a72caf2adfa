#pragma once
// What can happen to an agent: asked by a person, answered by an effect, seen in engine or tmux, told by a
// signal, or time. Plain values; the caller makes them, step() reads them.

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "watchdog/agent.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace agentmesh::watchdog {

// Asked by a person, or by a changed spec. Never counted as a restart; clears the count; leaves quarantine.
// On an agent that runs or is being started it changes nothing (the caller answers "conflict").
struct StartAsked {
  std::string spec_hash;
  Conversation conversation = Conversation::resume;  // resume takes effect only if there is one to resume
};

struct StopAsked {
  Millis timeout{};  // SIGTERM to SIGKILL
  StopManner manner = StopManner::graceful;
};

// Ends the run, if any, and starts another: also of a stopped, held or failed agent.
struct RestartAsked {
  std::string spec_hash;
  Conversation conversation = Conversation::resume;
  Millis timeout{};
};

// The first event after load_agent: whatever was in flight is unknown, whatever was signalled is forgotten.
struct DaemonStarted {};

// The agent's turn among the queued ones (admission.h chooses).
struct Admitted {};

// The answers to effects: exactly one per action performed. `run` is the action's.
// A create that met an existing container of that name and label is done, with that container's id; a start
// of a running one, a stop of a stopped one, a removal of none are done too.
struct EffectDone {
  Effect effect = Effect::none;
  RunId run;
  std::string container_id;  // create only
};

struct EffectFailed {
  Effect effect = Effect::none;
  RunId run;
  Failure failure = Failure::definite;
  std::string message;  // one line for people: stage, what, cure
};

enum class ContainerState { created, running, exited };

struct ContainerSeen {
  RunId run;
  std::string container_id;
  ContainerState state = ContainerState::created;
  int exit_code = 0;  // exited only
  bool oom_killed = false;
};

enum class PaneState { unasked, none, live, dead };  // unasked: tmux could not be asked
enum class Completeness { partial, complete };

// The answer to Look and the periodic relist, cut down to one agent: all containers that carry its label.
struct Observed {
  std::uint64_t as_of = 0;  // agent.epoch at the moment the listing was begun
  Completeness engine = Completeness::complete;
  std::vector<ContainerSeen> containers;
  PaneState pane = PaneState::unasked;
};

struct ContainerDied {
  RunId run;
  int exit_code = 0;
  bool oom_killed = false;
};
struct OomKilled {  // some process of the run's cgroup was killed for memory
  RunId run;
};
struct ContainerGone {  // removed
  RunId run;
};
struct PaneLost {  // its process ended, or the pane, session or tmux server is gone
  RunId run;
};

enum class SignalKind {
  activity,  // output, a tool call, model traffic that a gateway sees. Never our own keystrokes.
  busy,      // a state: not progress by itself
  idle,
  turn_ended,
  permission_asked,
  permission_closed,  // answered or withdrawn; also sent when an adapter connects anew and finds none open
  question_asked,
  question_closed,
  rate_limited,
  auth_required,
  repeated,    // the same tool call or screen cycle, now loop_repeats times over or more often (repeats.h)
  varied,      // the first that differs after that
  unreadable,  // nobody understands what it shows
  answers,     // the program runs and shows something, but no state
};

enum class Source {
  inferred,
  native
};  // native: the runner said so itself (API, hook); else title or screen

struct Signal {
  SignalKind kind = SignalKind::activity;
  RunId run;
  WallTime at{};
  Source source = Source::inferred;
  std::optional<WallTime> until;  // rate_limited
  std::string detail;             // for people: the command that wants permission, the limit's text
  std::string id;                 // permission_asked: of the prompt; may be empty
};

enum class WorkState { none, open };
struct Work {  // assignments open for this agent
  WorkState state = WorkState::none;
};

// blocked: not typed, because a dialog, a person's draft or an unreadable screen was found. failed: typed or
// tried, no reaction.
// at_limit: not typed, because the dialog of a usage limit is open, which no end of the limit closes.
enum class Delivery { delivered, blocked, at_limit, failed };
struct NudgeResult {
  RunId run;
  Delivery delivery = Delivery::delivered;
};

// The answer to Probe{run, asked}; an answer to an older Probe changes nothing.
enum class Progress {
  none,    // all of it was looked at: no life
  seen,    // tools used CPU time, or the workspace was written to
  unknown  // it could not be looked at, or not wholly
};
struct Probed {
  RunId run;
  WallTime asked{};
  Progress progress = Progress::unknown;
  std::string detail;  // for people: what was seen, or why it is not known
};

struct EngineLost {};
struct EngineBack {};
// Many agents died together since then: those deaths are not theirs (admission.h detects it).
struct MassDeath {
  WallTime since{};
};
struct Tick {};

using Event = std::variant<StartAsked, StopAsked, RestartAsked, DaemonStarted, Admitted, EffectDone,
                           EffectFailed, Observed, ContainerDied, OomKilled, ContainerGone, PaneLost, Signal,
                           Work, NudgeResult, Probed, EngineLost, EngineBack, MassDeath, Tick>;

// How an adapter's error counts: timeout is unknown, unavailable unreachable, invalid and denied permanent,
// not_found gone for start, stop, kill and remove and permanent for create (the image), the rest definite.
Failure failure_of(Effect effect, const Error& error);

std::string_view to_string(SignalKind value);
std::string_view to_string(ContainerState value);
std::string_view to_string(Delivery value);
std::string_view to_string(Progress value);
template <>
std::optional<SignalKind> from_string(std::string_view text);
template <>
std::optional<ContainerState> from_string(std::string_view text);
template <>
std::optional<Delivery> from_string(std::string_view text);

}  // namespace agentmesh::watchdog
